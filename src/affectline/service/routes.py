"""The API: what programs ask for."""

from __future__ import annotations

from http import HTTPStatus
from typing import Annotated, Any, Final, Literal

from fastapi import APIRouter, Depends, Query, Request, Response, WebSocket
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from affectline import __version__
from affectline.service.headers import report_policy
from affectline.service.job_folder import TABLE_FORMATS, JobFolder
from affectline.service.job_store import Job, JobState
from affectline.service.parts import Parts
from affectline.service.problems import PROBLEM_TYPE, Problem, ProblemError
from affectline.service.records import (
    Analysis,
    AnalysisList,
    ColumnEntry,
    Description,
    Health,
    LimitsRecord,
    ModelEntry,
    ModelList,
    TimelineRow,
    analysis_record,
)
from affectline.service.result_file import ResultFile, no_such_analysis
from affectline.service.uploads import FIELD, receive_upload

Answers = dict[int | str, dict[str, Any]]
"""What FastAPI wants to know of the answers of a route."""


def problems(*statuses: HTTPStatus) -> Answers:
    """Return the problems that a route may answer with, for OpenAPI: these and those that any route may."""
    everywhere = (
        HTTPStatus.BAD_REQUEST,
        HTTPStatus.UNAUTHORIZED,
        HTTPStatus.FORBIDDEN,
        HTTPStatus.MISDIRECTED_REQUEST,
        HTTPStatus.UNPROCESSABLE_ENTITY,
    )
    reference = {"$ref": "#/components/schemas/Problem"}
    return {
        int(status): {"description": status.phrase, "content": {PROBLEM_TYPE: {"schema": reference}}}
        for status in (*everywhere, *statuses)
    }


_BYTES: Final = {"type": "string", "format": "binary"}
_UPLOAD_BODY: Final = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": [FIELD],
                    "properties": {FIELD: {**_BYTES, "description": "The video or image."}},
                }
            },
            "application/octet-stream": {"schema": _BYTES},
            "video/mp4": {"schema": _BYTES},
            "image/jpeg": {"schema": _BYTES},
        },
    }
}

router = APIRouter(responses=problems())
NOT_FOUND: Final = problems(HTTPStatus.NOT_FOUND)


def _file(description: str, content: dict[str, Any]) -> Answers:
    """Return the answers of a route that gives a file of a result, whole or in part, for OpenAPI."""
    return {
        **problems(HTTPStatus.NOT_FOUND, HTTPStatus.CONFLICT, HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE),
        int(HTTPStatus.OK): {"description": description, "content": content},
        int(HTTPStatus.PARTIAL_CONTENT): {
            "description": "The range of it that the header `Range` asks for.",
            "content": content,
        },
    }


async def parts_of(request: Request) -> Parts:
    """Return what the service consists of."""
    parts: Parts = request.app.state.parts
    return parts


Service = Annotated[Parts, Depends(parts_of)]


async def _job(analysis_id: str, service: Service) -> Job:
    job = service.store.get(analysis_id)
    if job is None or job.state is JobState.CANCELLED:
        raise no_such_analysis()
    return job


AnyJob = Annotated[Job, Depends(_job)]


async def _finished(job: AnyJob, service: Service) -> JobFolder:
    if job.state is not JobState.DONE:
        what = f"failed: {job.outcome.problem}" if job.outcome is not None else f"is {job.state.value}"
        raise ProblemError(HTTPStatus.CONFLICT, "no_result", f"There is no result: the analysis {what}.")
    return service.queue.folder(job.id)


Finished = Annotated[JobFolder, Depends(_finished)]


@router.post(
    "/v1/analyses",
    status_code=HTTPStatus.CREATED,
    summary="Upload a video or image",
    tags=["analyses"],
    openapi_extra=_UPLOAD_BODY,
    responses=problems(
        HTTPStatus.REQUEST_TIMEOUT,
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
        HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
        HTTPStatus.TOO_MANY_REQUESTS,
        HTTPStatus.SERVICE_UNAVAILABLE,
        HTTPStatus.INSUFFICIENT_STORAGE,
    ),
)
async def create_analysis(request: Request, response: Response, service: Service) -> Analysis:
    """Take a video or image in and queue it. Its size, length and resolution are checked before it is decoded."""
    analysis = await service.stopping.cuts(_take_in(request, service))
    response.headers["Location"] = f"/v1/analyses/{analysis.id}"
    return analysis


async def _take_in(request: Request, service: Parts) -> Analysis:
    async with service.queue.place() as folder:
        name = await receive_upload(request, folder.upload, service.settings.limits.max_bytes)
        job = await service.queue.submit(folder, name, request.is_disconnected)
        return _record(job, service)  # at once: a worker may take it any time


@router.get(
    "/v1/analyses",
    summary="List analyses",
    tags=["analyses"],
)
async def list_analyses(
    service: Service,
    limit: Annotated[int, Query(ge=1, le=200, description="How many.")] = 50,
    offset: Annotated[int, Query(ge=0, le=2**31, description="How many newer ones to leave out.")] = 0,
) -> AnalysisList:
    """Return the analyses, the newest first."""
    jobs = service.store.newest(limit, offset)
    return AnalysisList(analyses=[_record(job, service) for job in jobs])


@router.get("/v1/analyses/{analysis_id}", summary="State, progress, times", tags=["analyses"], responses=NOT_FOUND)
async def get_analysis(job: AnyJob, service: Service) -> Analysis:
    """Return how far an analysis is and, when it is done, its result in short."""
    return _record(job, service)


@router.delete(
    "/v1/analyses/{analysis_id}",
    status_code=HTTPStatus.NO_CONTENT,
    summary="Cancel and delete",
    tags=["analyses"],
    responses=problems(HTTPStatus.NOT_FOUND, HTTPStatus.INSUFFICIENT_STORAGE),
)
async def delete_analysis(job: AnyJob, service: Service) -> None:
    """End an analysis if it has not ended, and remove all that belongs to it."""
    await service.queue.cancel(job)


@router.get(
    "/v1/analyses/{analysis_id}/timeline.{suffix}",
    summary="The result table",
    tags=["analyses"],
    response_class=ResultFile,
    responses=_file(
        "One row per frame and face; GET /v1/schema tells what the columns mean.",
        {
            "text/csv": {"schema": {"type": "string"}},
            TABLE_FORMATS["parquet"]: {"schema": _BYTES},
            TABLE_FORMATS["jsonl"]: {"schema": {"$ref": "#/components/schemas/TimelineRow"}},
        },
    ),
)
async def get_timeline(suffix: Literal["csv", "parquet", "jsonl"], job: AnyJob, folder: Finished) -> ResultFile:
    """Return the timeline: a table with one row per frame and face."""
    stem = job.name.rpartition(".")[0] or job.name
    return ResultFile(folder.timeline(suffix), media_type=TABLE_FORMATS[suffix], filename=f"{stem}.{suffix}")


@router.get(
    "/v1/analyses/{analysis_id}/report",
    summary="The report",
    tags=["analyses"],
    response_class=ResultFile,
    responses=_file("One HTML file.", {"text/html": {"schema": {"type": "string"}}}),
)
async def get_report(folder: Finished) -> ResultFile:
    """Return the HTML report, in a sandbox."""
    policy = report_policy(folder.report_video.is_file())
    return ResultFile(folder.report, media_type="text/html", headers={"Content-Security-Policy": policy})


@router.get(
    "/v1/analyses/{analysis_id}/report_video.mp4",
    summary="The video beside a long report",
    tags=["analyses"],
    response_class=ResultFile,
    responses=_file("The video.", {"video/mp4": {"schema": _BYTES}}),
)
async def get_report_video(folder: Finished) -> ResultFile:
    """Return the video that a report plays; only a long one lies beside its report. Ranges are served."""
    if not folder.report_video.is_file():
        raise ProblemError(HTTPStatus.NOT_FOUND, "no_such_video", "The report holds its video itself.")
    return ResultFile(folder.report_video, media_type="video/mp4")


@router.get("/v1/models", summary="Models, licences, training data", tags=["about"])
async def get_models(service: Service) -> ModelList:
    """Return which models affectline knows, under which terms."""
    from affectline.assets import list_assets

    models = [
        ModelEntry(
            name=state.spec.name,
            kind=state.spec.kind.value,
            licence=state.spec.licence,
            trained_on=state.spec.training_data,
            is_here=bool(state.spec.embedded) or state.path is not None,
        )
        for state in list_assets()
    ]
    return ModelList(backbones_in_use=list(service.settings.analysis.backbones), models=models)


@router.get("/v1/schema", summary="Columns and limits", tags=["about"])
async def get_schema(service: Service) -> Description:
    """Return what each column of the timeline means, and what may be uploaded."""
    from affectline.schema import schema_as_json

    limits = service.settings.limits
    return Description(
        columns=[ColumnEntry(**column) for column in schema_as_json()],
        limits=LimitsRecord(
            max_bytes=limits.max_bytes,
            max_seconds=limits.max_seconds,
            max_pixels=limits.max_pixels,
            keep_hours=service.settings.keep_hours,
        ),
    )


@router.get("/healthz", summary="Does it work?", tags=["about"])
async def get_health(service: Service) -> Health:
    """Return that the service works; needs no token."""
    service.store.count(JobState.QUEUED)  # the list can be read
    return Health(status="ok", version=__version__)


@router.get(
    "/metrics",
    summary="Counters for Prometheus",
    tags=["about"],
    response_class=Response,
    responses={200: {"description": "Prometheus text.", "content": {"text/plain": {"schema": {"type": "string"}}}}},
)
async def get_metrics(service: Service) -> Response:
    """Return what the service counts."""
    return Response(generate_latest(service.metrics.registry), media_type=CONTENT_TYPE_LATEST)


@router.websocket("/v1/live")
async def live(socket: WebSocket) -> None:
    """Answer each binary message, a JPEG, with the faces in it; `?action_units=true` for action units too."""
    parts: Parts = socket.app.state.parts
    await parts.live.talk(socket, socket.query_params.get("action_units") in {"true", "1"})


def _record(job: Job, service: Parts) -> Analysis:
    position = None
    if job.state is JobState.QUEUED:
        position = [waiting.id for waiting in service.store.all(JobState.QUEUED)].index(job.id)
    return analysis_record(job, service.queue.progress(job), position)


EXTRA_SCHEMAS: Final = {"Problem": Problem, "TimelineRow": TimelineRow}
"""Models that no route returns by itself, and that OpenAPI refers to."""
