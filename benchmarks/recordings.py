"""A video analysed in full, and what it takes to tell what an analysis that asks the networks less would say."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from affectline.analysis import observe_source
from affectline.backbones import Backbone
from affectline.block_rows import BLOCK_FRAMES
from affectline.faces.crops import crop_face
from affectline.heads.pretrained import expression_probabilities, zero_shot_valence_arousal
from affectline.inputs import expand_inputs, open_input
from affectline.labels import VALENCE_AROUSAL, Task
from affectline.models import Models
from affectline.observe import raw_rows_schema
from affectline.options import AnalyzeOptions
from affectline.records import FloatArray, UInt8Array
from affectline.schema import BOX_COLUMNS, expressions_in, score_columns
from affectline.video import FrameSource, Sampling

BATCH = 16


@dataclass(frozen=True, eq=False)
class Recording:
    """One video's raw rows, and more of the n rows with a face.

    Attributes:
        name: of the file.
        raw: all raw rows.
        block: of each row with a face, the number of its block of `BLOCK_FRAMES` frames, shape (n,).
        place: the place of its frame in the block, from 0, shape (n,).
        grey: what the backbone was shown, in grey levels from 0 to 255, shape (n, S, S), uint8.
        large: the same rows with the expressions, valence and arousal of a larger network; None where none was given.
    """

    name: str
    raw: pa.Table
    block: NDArray[np.int64]
    place: NDArray[np.int64]
    grey: UInt8Array
    large: pa.Table | None

    @property
    def faces(self) -> pa.Table:
        """The n rows with a face."""
        return self.raw.filter(pc.is_valid(self.raw["track_id"]))

    @property
    def tracks(self) -> NDArray[np.int64]:
        """The track of each row with a face, shape (n,)."""
        return np.asarray(self.faces["track_id"], np.int64)

    @property
    def interval_s(self) -> float:
        """The median frame interval, seconds."""
        return float(np.median(np.diff(np.unique(self.raw["time_s"]))))


def record(path: Path, models: Models, large: Backbone | None, seconds: float | None = None) -> Recording:
    """Analyse a video, or its first seconds, in full."""
    source, options = open_video(path), AnalyzeOptions(sampling=Sampling(end_s=seconds))
    begun = time.process_time()
    raw = raw_rows(source, models, options)
    print(f"{path.name}, in full: {time.process_time() - begun:.1f} s of a processor", flush=True)
    faces = raw.filter(pc.is_valid(raw["track_id"]))
    frames, number = np.unique(raw["frame"], return_inverse=True)
    number = number[np.asarray(pc.is_valid(raw["track_id"]))]
    backbone = models.backbones[0]
    grey, asked = [], []
    for crops in _crops(source, options.sampling, faces, [backbone, *([] if large is None else [large])]):
        grey.append(_grey(crops[0], backbone))
        if large is not None:
            asked.append(large.run(np.stack([one[1] for one in zip(*crops, strict=True)])).logits)
    scored = None if large is None else _scored_by(raw, faces, large, np.concatenate(asked))
    print(f"{path.name}: {len(frames)} frames, {len(faces)} faces", flush=True)
    return Recording(path.name, raw, number // BLOCK_FRAMES, number % BLOCK_FRAMES, np.concatenate(grey), scored)


def raw_rows(source: FrameSource, models: Models, options: AnalyzeOptions) -> pa.Table:
    """Return what the networks say of a video."""
    blocks = observe_source(source, models, options)
    return pa.Table.from_batches([block.rows for block in blocks], raw_rows_schema(models, source.names))


def open_video(path: Path) -> FrameSource:
    """Return a video as a source of frames."""
    (given,) = expand_inputs([path], None)
    return open_input(given, None)


def _crops(
    source: FrameSource, sampling: Sampling, faces: pa.Table, backbones: list[Backbone]
) -> Iterator[list[list[FloatArray]]]:
    """Give the prepared crops of the faces in batches: for each backbone a list."""
    boxes = np.column_stack([faces[name] for name in BOX_COLUMNS]).astype(np.float32)
    of_frame: dict[int, list[int]] = {}
    for row, frame in enumerate(faces["frame"].to_pylist()):
        of_frame.setdefault(frame, []).append(row)
    batch: list[list[FloatArray]] = [[] for _ in backbones]
    for frame in source.frames(sampling):
        for row in of_frame.get(frame.index, []):
            for crops, backbone in zip(batch, backbones, strict=True):
                crops.append(backbone.prepare(crop_face(frame.rgb, boxes[row], backbone.spec.crop)))
        if len(batch[0]) >= BATCH:
            yield batch
            batch = [[] for _ in backbones]
    if batch[0]:
        yield batch


def _grey(prepared: list[FloatArray], backbone: Backbone) -> UInt8Array:
    """Return the green channel of prepared crops in grey levels."""
    spec = backbone.spec
    levels = (np.stack(prepared)[:, 1] * spec.std[1] + spec.mean[1]) * 255
    return np.clip(np.round(levels), 0, 255).astype(np.uint8)


def _scored_by(raw: pa.Table, faces: pa.Table, large: Backbone, logits: FloatArray) -> pa.Table:
    """Return the rows with a face with the scores of the large network, its labels by their names."""
    expressions = expressions_in(raw.schema)
    probabilities = by_name(expression_probabilities(logits, large.spec.temperature), large, expressions)
    values = np.concatenate([zero_shot_valence_arousal(probabilities, expressions), probabilities], axis=1)
    names = (*VALENCE_AROUSAL, *score_columns(Task.EXPR, expressions))
    for name, column in zip(names, values.T, strict=True):
        faces = faces.set_column(faces.schema.get_field_index(name), name, pa.array(column, pa.float32()))
    return faces


def by_name(probabilities: FloatArray, backbone: Backbone, expressions: tuple[object, ...]) -> FloatArray:
    """Return a backbone's probabilities in another order of the labels."""
    return probabilities[:, [backbone.spec.labels.index(label) for label in expressions]]
