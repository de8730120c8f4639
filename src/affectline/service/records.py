"""What the API says, as Pydantic models: they check the answers, and OpenAPI is made from them."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import TYPE_CHECKING, Literal

from pydantic import BaseModel, ConfigDict, Field, create_model

from affectline.labels import FERPLUS_8
from affectline.schema import timeline_columns
from affectline.service.job_store import Job, JobState

if TYPE_CHECKING:
    from affectline.service.progress import Progress


class ProgressRecord(BaseModel):
    """How far a running analysis is."""

    stage: str = Field(description="`networks` are loaded, `frames` are analysed, the `report` is written.")
    done: int = Field(description="Frames that are done.", ge=0)
    total: int | None = Field(description="Frames that there are; null where the file does not say.")
    share: float | None = Field(description="done / total.", ge=0, le=1)
    rest_s: float | None = Field(description="Seconds that the rest of the stage may take.", ge=0)


class UploadRecord(BaseModel):
    """What was uploaded."""

    kind: Literal["video", "image"]
    size_bytes: int = Field(ge=1)
    width: int = Field(description="Pixels of the upright picture.", ge=1)
    height: int = Field(description="Pixels of the upright picture.", ge=1)
    duration_s: float | None = Field(description="Seconds; null for an image.")


class ResultRecord(BaseModel):
    """The result in short; the timeline has it all."""

    frames: int = Field(ge=0)
    rows: int = Field(ge=0)
    tracks: int = Field(
        description="Faces that were followed, of which a person may have several; in a picture, its faces.", ge=0
    )
    expression: str | None = Field(description="The most frequent expression; null without a face.")
    valence: float | None = Field(description="Mean, -1 (negative) to 1 (positive).")
    arousal: float | None = Field(description="Mean, -1 (calm) to 1 (activated).")
    warning: str | None = Field(description="What was wrong with the upload; null if nothing was.")


class Analysis(BaseModel):
    """One analysis: state, progress, times."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "id": "Zk3v8rJ0pTq1sL5wXy7BdA",
                    "name": "WolfgangLanger_Pexels.mp4",
                    "state": "done",
                    "upload": {
                        "kind": "video",
                        "size_bytes": 1_404_052,
                        "width": 640,
                        "height": 360,
                        "duration_s": 19.686,
                    },
                    "created": "2026-11-28T01:10:00Z",
                    "started": "2026-11-28T01:10:00Z",
                    "finished": "2026-11-28T01:10:21Z",
                    "position": None,
                    "progress": None,
                    "result": {
                        "frames": 472,
                        "rows": 472,
                        "tracks": 1,
                        "expression": "Happiness",
                        "valence": 0.2155,
                        "arousal": 0.1822,
                        "warning": None,
                    },
                    "problem": None,
                    "links": {
                        "self": "/v1/analyses/Zk3v8rJ0pTq1sL5wXy7BdA",
                        "report": "/v1/analyses/Zk3v8rJ0pTq1sL5wXy7BdA/report",
                        "csv": "/v1/analyses/Zk3v8rJ0pTq1sL5wXy7BdA/timeline.csv",
                    },
                }
            ]
        }
    )

    id: str
    name: str = Field(description="The file name that was sent, for display.")
    state: JobState
    upload: UploadRecord
    created: datetime = Field(description="When the upload was complete.")
    started: datetime | None
    finished: datetime | None
    position: int | None = Field(description="How many analyses come before this one; null if it does not wait.")
    progress: ProgressRecord | None = Field(description="Null unless it is running.")
    result: ResultRecord | None = Field(description="Null unless it is done.")
    problem: str | None = Field(description="Why it failed; null unless it did.")
    links: dict[str, str] = Field(description="What can be asked for now, by name.")


class AnalysisList(BaseModel):
    """Analyses, the newest first."""

    analyses: list[Analysis]


class ModelEntry(BaseModel):
    """A model file that affectline knows."""

    name: str
    kind: str
    licence: str = Field(description="Of the file.")
    trained_on: str = Field(description="The data it was trained on, with their terms.")
    is_here: bool = Field(description="It is on this machine.")


class ModelList(BaseModel):
    """Which models there are."""

    backbones_in_use: list[str] = Field(description="What this service was told to run; empty for the default.")
    models: list[ModelEntry]


class ColumnEntry(BaseModel):
    """One column of the timeline."""

    name: str
    meaning: str
    unit: str
    range: str
    source: str
    type: str


class LimitsRecord(BaseModel):
    """What may be uploaded."""

    max_bytes: int
    max_seconds: float
    max_pixels: int
    keep_hours: float = Field(description="Results are removed after so long; 0 keeps them.")


class Description(BaseModel):
    """What the timeline holds, and what may be uploaded."""

    columns: list[ColumnEntry]
    limits: LimitsRecord


class Health(BaseModel):
    """The service works."""

    status: Literal["ok"]
    version: str


_PYTHON_TYPES = {"int64": int, "int32": int, "float64": float, "float32": float, "string": str, "bool": bool}

TimelineRow = create_model(
    "TimelineRow",
    __doc__="One line of timeline.jsonl; every cell may be empty (null).",
    **{
        column.name: (_PYTHON_TYPES[column.type] | None, Field(description=column.meaning))
        for column in timeline_columns(FERPLUS_8)
    },
)  # type: ignore[call-overload]  # fields by name
"""A row of a timeline with the default expression head; with another one, the p_ columns are those of its classes."""


def analysis_record(job: Job, progress: Progress | None, position: int | None) -> Analysis:
    """Return what the API says of a job.

    Args:
        job: the job.
        progress: how far it is, if it is running.
        position: how many come before it, if it waits.
    """
    probed, outcome = job.probed, job.outcome
    is_done = job.state is JobState.DONE and outcome is not None
    return Analysis(
        id=job.id,
        name=job.name,
        state=job.state,
        upload=UploadRecord(
            kind="image" if probed.kind == "image" else "video",
            size_bytes=job.size_bytes,
            width=probed.width,
            height=probed.height,
            duration_s=probed.duration_s,
        ),
        created=_time(job.created_s),
        started=None if job.started_s is None else _time(job.started_s),
        finished=None if job.finished_s is None else _time(job.finished_s),
        position=position,
        progress=None if progress is None else _progress_record(progress, job),
        result=ResultRecord.model_validate(outcome, from_attributes=True) if is_done else None,
        problem=None if outcome is None else outcome.problem,
        links=_links(job),
    )


def _progress_record(progress: Progress, job: Job) -> ProgressRecord:
    step = progress.step
    total = job.probed.frames if step.total is None and step.stage == "frames" else step.total
    share = min(step.done / total, 1.0) if total else None
    return ProgressRecord(stage=step.stage, done=step.done, total=total, share=share, rest_s=progress.rest_s(total))


def _links(job: Job) -> dict[str, str]:
    own = f"/v1/analyses/{job.id}"
    if job.state is not JobState.DONE:
        return {"self": own}
    tables = {suffix: f"{own}/timeline.{suffix}" for suffix in ("csv", "parquet", "jsonl")}
    return {"self": own, "report": f"{own}/report", **tables}


def _time(time_s: float) -> datetime:
    return datetime.fromtimestamp(time_s, timezone.utc)
