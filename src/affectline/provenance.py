"""What a result rests on (`Provenance`) and what it says in short (`Summary`): the content of summary.json."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from affectline.json_records import JsonValue, parse_object, read_record, to_json_object
from affectline.labels import ABAW_ACTION_UNITS, ActionUnit, Expression, HeadKind, Status, Task
from affectline.postprocess.decide import Thresholds
from affectline.postprocess.smoothing import Smoothing
from affectline.runtime import Precision
from affectline.video import Sampling


@dataclass(frozen=True, slots=True)
class ModelRecord:
    """A model file that was used.

    Attributes:
        role: what it did, such as `backbone` or `face detector`.
        name: its name in the registry, or its file name.
        digest: of the file, such as `sha256:...`.
        licence: of the file.
        trained_on: the data that it was trained on, with their terms.
        version: of the model; empty where it has none.
    """

    role: str
    name: str
    digest: str
    licence: str
    trained_on: str
    version: str = ""


@dataclass(frozen=True, slots=True)
class HeadRecord:
    """Where the scores of one task come from.

    Attributes:
        task: which.
        head: what they rest on.
        source: what the scores are computed from, in words.
    """

    task: Task
    head: HeadKind
    source: str


@dataclass(frozen=True, slots=True)
class CascadeRecord:
    """The larger network that was asked about faces of which the backbone was not sure.

    Attributes:
        backbone: its name.
        sure_from: it was asked where the highest probability was lower.
        precision: what it computed with; None in a result of an earlier version, which did not say.
    """

    backbone: str
    sure_from: float
    precision: str | None = None


@dataclass(frozen=True, slots=True)
class Provenance:
    """Everything that a result rests on. The fields are the keys of summary.json.

    Attributes:
        created: when the analysis ended, UTC, ISO 8601.
        input: file or folder name, without its path.
        size_bytes: of the file; None for a folder.
        duration_s: seconds; None where it is unknown or the images are independent.
        container_frames: the number of frames that the container states; None where it states none.
        decoded_frames: the number of frames that were decoded.
        is_complete: False if part of the input could not be read.
        problem: one line that says what was wrong with the input; None if nothing was.
        affectline: version.
        python: version.
        dependencies: version of each package that takes part in the numbers, by its name.
        device: what ran the backbones: `cpu`, `openvino`, `cuda` or `tensorrt`.
        detector: name of the face detector; None where the input holds faces already.
        max_faces: only the N largest faces were followed; None for all.
        detect_every: of so many frames at least one was searched for faces; None: as often as tracking needs.
        backbone: name of the backbone.
        models: the model files.
        heads: one for each task.
        expressions: the classes of the expression head, in the order of the p_ columns.
        sampling: which frames were analysed.
        stride_s: the networks saw one frame in so many seconds, frames between are interpolated; None for every frame.
        smoothing: how far scores were smoothed.
        thresholds: where scores became decisions.
        action_units: the units, in the order of the au columns.
        precision: what the backbones computed with: `fp32`, `bf16` or `int8`; one for each where they differ.
        cascade: None where no larger network was asked.
        asked_faces: about how many observed faces it was asked; None likewise.
        sequence_fps: a folder of images was taken for a video with so many frames a second; None for other inputs.
    """

    created: str
    input: str
    size_bytes: int | None
    duration_s: float | None
    container_frames: int | None
    decoded_frames: int
    is_complete: bool
    problem: str | None
    affectline: str
    python: str
    dependencies: Mapping[str, str]
    device: str
    detector: str | None
    max_faces: int | None
    detect_every: int | None
    backbone: str
    models: tuple[ModelRecord, ...]
    heads: tuple[HeadRecord, ...]
    expressions: tuple[Expression, ...]
    sampling: Sampling
    stride_s: float | None
    smoothing: Smoothing
    thresholds: Thresholds
    action_units: tuple[ActionUnit, ...] = ABAW_ACTION_UNITS
    precision: str = Precision.FP32.value
    cascade: CascadeRecord | None = None
    asked_faces: int | None = None
    sequence_fps: float | None = None

    def to_json(self) -> str:
        """Return the record as JSON text; `from_json` gives an equal one back."""
        return _json_text(to_json_object(self))

    @classmethod
    def from_json(cls, text: str, where: str = "the provenance") -> Provenance:
        """Read the record from JSON text; the other keys of a summary are ignored.

        Args:
            text: from `to_json`, of a provenance or of a summary.
            where: what the text is, for error messages.

        Raises:
            InputError: the text is no JSON object, or a value is missing or of the wrong type.
        """
        return read_record(cls, parse_object(text, where), where)


@dataclass(frozen=True, slots=True)
class TrackSummary:
    """One track in short; means are over all its rows, interpolated ones too, and None where there is no value.

    Attributes:
        track_id: which track.
        rows: how many rows it has.
        first_time_s: time of its first row, seconds.
        last_time_s: time of its last row, seconds.
        valence: mean, in [-1, 1].
        arousal: mean, in [-1, 1].
        expressions: for each word that occurs in the expression column, its share of the rows that have one.
        action_units: mean activation of each unit, in [0, 1].
    """

    track_id: int
    rows: int
    first_time_s: float
    last_time_s: float
    valence: float | None
    arousal: float | None
    expressions: Mapping[str, float]
    action_units: Mapping[ActionUnit, float | None]


@dataclass(frozen=True, slots=True)
class _Counts:
    rows: Mapping[Status, int]
    tracks: tuple[TrackSummary, ...]


@dataclass(frozen=True, slots=True)
class Summary:
    """What summary.json holds.

    Attributes:
        provenance: what the result rests on.
        rows: how many rows have each status.
        tracks: one entry for each track, by its number; empty for independent images.
    """

    provenance: Provenance
    rows: Mapping[Status, int]
    tracks: tuple[TrackSummary, ...]

    def to_fields(self) -> dict[str, JsonValue]:
        """Return the keys and values of summary.json: those of the provenance, `rows` and `tracks`."""
        return {**to_json_object(self.provenance), **to_json_object(_Counts(self.rows, self.tracks))}

    def to_json(self) -> str:
        """Return the summary as JSON text; `from_json` gives an equal one back."""
        return _json_text(self.to_fields())

    @classmethod
    def from_json(cls, text: str, where: str = "the summary") -> Summary:
        """Read the summary from JSON text; arguments and errors as in `Provenance.from_json`."""
        fields = parse_object(text, where)
        counts = read_record(_Counts, fields, where)
        return cls(read_record(Provenance, fields, where), counts.rows, counts.tracks)


def _json_text(value: JsonValue) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


_MEAN_DECIMALS = 6


def summarise(table: pa.Table, provenance: Provenance) -> Summary:
    """Return the summary of a result table.

    Args:
        table: in `schema.timeline_schema`.
        provenance: what the table rests on.
    """
    statuses = pc.value_counts(table["status"]).to_pylist()
    counted = {entry["values"]: entry["counts"] for entry in statuses}
    rows = {status: counted.get(status.value, 0) for status in Status}
    return Summary(provenance, rows, _track_summaries(table.filter(pc.is_valid(table["track_id"]))))


def _track_summaries(table: pa.Table) -> tuple[TrackSummary, ...]:
    means = ["valence", "arousal", *(unit.column for unit in ABAW_ACTION_UNITS)]
    wanted = [("time_s", "min"), ("time_s", "max"), ("frame", "count"), *((name, "mean") for name in means)]
    tracks = table.group_by("track_id").aggregate(wanted).sort_by("track_id").to_pylist()
    shares = _expression_shares(table)
    return tuple(
        TrackSummary(
            track["track_id"],
            track["frame_count"],
            track["time_s_min"],
            track["time_s_max"],
            _rounded(track["valence_mean"]),
            _rounded(track["arousal_mean"]),
            shares.get(track["track_id"], {}),
            {unit: _rounded(track[f"{unit.column}_mean"]) for unit in ABAW_ACTION_UNITS},
        )
        for track in tracks
    )


def _rounded(mean: float | None) -> float | None:
    return None if mean is None else round(mean, _MEAN_DECIMALS)


def _expression_shares(table: pa.Table) -> dict[int, dict[str, float]]:
    """Return for each track the share of each word, by word."""
    labelled = table.filter(pc.is_valid(table["expression"]))
    counts = labelled.group_by(["track_id", "expression"]).aggregate([("frame", "count")])
    per_track: dict[int, dict[str, int]] = {}
    for entry in counts.sort_by([("track_id", "ascending"), ("expression", "ascending")]).to_pylist():
        per_track.setdefault(entry["track_id"], {})[entry["expression"]] = entry["frame_count"]
    return {
        track: {word: round(count / sum(words.values()), _MEAN_DECIMALS) for word, count in words.items()}
        for track, words in per_track.items()
    }
