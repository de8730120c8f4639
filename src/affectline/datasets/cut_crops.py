"""Cutting labelled faces out of videos, for labels of a user's own."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import cv2
import numpy as np

from affectline.atomic_file import complete_file
from affectline.datasets.labelled import LabelledSequence, LabelledTables
from affectline.datasets.labelled_crops import LabelledCrops, place_of
from affectline.errors import InputError, InputFileError, OutputError
from affectline.extract.fingerprint import fingerprint
from affectline.extract.sources import ExtractSource, video_of
from affectline.faces.crops import crop_face
from affectline.features import CropKind, FeatureTable
from affectline.progress import ProgressHook, ignore_progress
from affectline.records import CropPolicy, FloatArray, UInt8Array
from affectline.video import EVERY_FRAME, open_video

MAX_SIDE: Final = 512
"""Pixels: larger crops are reduced; no network here sees more."""

JPEG_QUALITY: Final = 95
_DIGITS: Final = 8


def cut_crops(
    data: LabelledTables, videos: Path, policy: CropPolicy, out: Path, on_progress: ProgressHook = ignore_progress
) -> LabelledCrops:
    """Cut the labelled faces out of their videos; what was cut before is not cut again.

    Args:
        data: labelled faces with the boxes that `affectline extract` found.
        videos: folder of the videos, under the names that they have in the store.
        policy: how much around the box is cut.
        out: folder of the crops.
        on_progress: told how many videos are done.

    Raises:
        InputError: the features are of ready crops, which have no boxes.
        InputFileError: a video is not there, or is another one than that of the features.
        VideoError: a video cannot be read.
        OutputError: a crop cannot be written.
    """
    if not videos.is_dir():
        raise InputFileError(f"there is no folder {videos}; give the folder of the labelled videos")
    files: list[Path] = []
    for number, (video, sequences) in enumerate(_by_video(data.sequences).items(), start=1):
        wanted = {sequence: _places(sequence, policy, out) for sequence in sequences}
        if not all(place.is_file() for places in wanted.values() for place in places):
            _cut(_checked_video(video, sequences[0], videos), wanted, policy)
        files += [place for sequence in sequences for place in wanted[sequence]]
        on_progress(number, len(data.sequences))
    ordered = [sequence for sequences in _by_video(data.sequences).values() for sequence in sequences]
    return LabelledCrops(
        data.task,
        data.labels,
        tuple(files),
        np.concatenate([sequence.target[sequence.has_face] for sequence in ordered]),
        np.repeat([sequence.group for sequence in ordered], [int(one.has_face.sum()) for one in ordered]),
        data.source,
        int(sum((~sequence.has_face).sum() for sequence in ordered)),
    )


def _by_video(sequences: Sequence[LabelledSequence]) -> Mapping[str, list[LabelledSequence]]:
    found: dict[str, list[LabelledSequence]] = {}
    for sequence in sequences:
        found.setdefault(_table(sequence).info.video, []).append(sequence)
    return found


def _table(sequence: LabelledSequence) -> FeatureTable:
    return next(iter(sequence.tables.values()))


def _places(sequence: LabelledSequence, policy: CropPolicy, out: Path) -> list[Path]:
    """Return where the crops of a sequence lie; cut otherwise, or from another video or box, they lie elsewhere."""
    table, rows = _table(sequence), sequence.labelled_rows
    tracks, frames = table.track_id[rows].tolist(), table.frame[rows].tolist()
    kept = []
    for track, frame, box in zip(tracks, frames, table.box_xyxy[rows], strict=True):
        what = hashlib.sha256(repr((policy, table.info.source, box.tolist())).encode()).hexdigest()[:_DIGITS]
        place = place_of(out, table.info.video, track, frame)
        kept.append(place.with_name(f"{place.stem}-{what}{place.suffix}"))
    return kept


def _checked_video(video: str, sequence: LabelledSequence, videos: Path) -> Path:
    info = _table(sequence).info
    if info.crop_kind is not CropKind.DETECTED:
        raise InputError(
            f"the store's features of {video} are of ready crops ({info.crop_kind.value}), which have no boxes; "
            "extract them from the video"
        )
    path = video_of(ExtractSource(videos, video, info.crop_kind), videos)
    if info.source and fingerprint(path) != info.source:
        raise InputFileError(
            f"{path} is another video than the one that the store's features of {video} are of; extract it again"
        )
    return path


def _cut(path: Path, wanted: Mapping[LabelledSequence, list[Path]], policy: CropPolicy) -> None:
    of_frame: dict[int, list[tuple[FloatArray, Path]]] = {}
    for sequence, places in wanted.items():
        table, rows = _table(sequence), sequence.labelled_rows
        for frame, box, place in zip(table.frame[rows].tolist(), table.box_xyxy[rows], places, strict=True):
            place.parent.mkdir(parents=True, exist_ok=True)
            of_frame.setdefault(frame, []).append((box, place))
    for frame in open_video(path).frames(EVERY_FRAME):
        for box, place in of_frame.pop(frame.index, []):
            _write(crop_face(frame.rgb, box, policy), place)
        if not of_frame:
            return
    raise InputFileError(f"{path} ends before frame {min(of_frame)}, which has a label; extract it again")


def _write(crop: UInt8Array, place: Path) -> None:
    side = max(crop.shape[:2])
    if side > MAX_SIDE:
        size = tuple(max(1, round(length * MAX_SIDE / side)) for length in crop.shape[1::-1])
        crop = np.asarray(cv2.resize(crop, size, interpolation=cv2.INTER_AREA), np.uint8)
    done, content = cv2.imencode(".jpg", crop[:, :, ::-1], [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
    if not done:
        raise OutputError(f"cannot encode the crop {place}")
    with complete_file(place) as file:
        file.write(content.tobytes())
