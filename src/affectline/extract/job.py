"""Extracting features of many inputs into a store: what is done already is skipped, one failure stops nothing else."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import numpy as np

from affectline import __version__
from affectline.backbones import DEFAULT_BACKBONE, Backbone, load_backbone
from affectline.errors import AffectlineError, InputError, OutputError
from affectline.extract.crops import FrameTimes, crop_features, crop_files, read_times
from affectline.extract.detected import video_features
from affectline.extract.fingerprint import fingerprint, url_fingerprint
from affectline.extract.sources import ExtractSource, video_of
from affectline.faces.detector import Detector
from affectline.faces.registry import DEFAULT_DETECTOR, load_detector
from affectline.features import CropKind, FeatureInfo, TimeSource
from affectline.features.store import FeatureStore, read_info
from affectline.features.writer import FeatureWriter
from affectline.file_names import as_utf8
from affectline.inputs import local_copy
from affectline.progress import ProgressHook, ignore_progress
from affectline.records import FaceFeatures
from affectline.runtime import Device, Precision, Runtime
from affectline.video import open_video

_log = logging.getLogger(__name__)

MAX_NAMED: Final = 3
"""Damaged files that a message names."""

UNREADABLE: Final = "crops cannot be read and are left out"
IGNORED: Final = "entries are no crops such as 00001.jpg and are ignored"

USUAL_RATE_FPS: Final = 30.0
"""Of crops whose video is not there and whose rate nobody said."""


@dataclass(frozen=True, slots=True)
class ExtractOptions:
    """How features are made.

    Attributes:
        backbone: a name of `affectline models list`, or a model file.
        detector: finds faces in videos.
        max_faces: in videos, the N largest faces only; None follows all.
        crop_fps: frames a second of crops without their video: the times are nominal; None assumes `USUAL_RATE_FPS`.
        videos: folder of the videos that crops were cut from: the times are theirs.
        device: what runs the backbone: `cpu`, `openvino`, `cuda` or `tensorrt`.
        precision: what it computes with: `fp32`, or `bf16` or `int8` where the device can.
        threads: how many cores it may use; None for all.
        offline: never use the network.
        again: make features anew that are there already.
    """

    backbone: str | Path = DEFAULT_BACKBONE
    detector: str = DEFAULT_DETECTOR
    max_faces: int | None = None
    crop_fps: float | None = None
    videos: Path | None = None
    device: str = Device.CPU.value
    precision: str = Precision.FP32.value
    threads: int | None = None
    offline: bool = False
    again: bool = False

    @property
    def rate_fps(self) -> float:
        """Of crops without their video."""
        return USUAL_RATE_FPS if self.crop_fps is None else self.crop_fps

    @property
    def untimed(self) -> TimeSource:
        """What the times of crops without their video rest on."""
        return TimeSource.ASSUMED if self.crop_fps is None else TimeSource.NOMINAL

    @property
    def runtime(self) -> Runtime:
        """What runs the backbone, and how."""
        return Runtime.parse(self.device, self.precision, self.threads)

    def __post_init__(self) -> None:
        Runtime.parse(self.device, self.precision, self.threads)
        if not 0 < self.rate_fps < 1000:  # noqa: PLR2004 - faster than any camera of faces
            raise InputError(f"the rate of crops must be above 0 and below 1000 frames a second, got {self.rate_fps}")
        if self.videos is not None and not self.videos.is_dir():
            raise InputError(f"--videos must be a folder of videos, there is none at {self.videos}")


@dataclass(frozen=True, slots=True)
class Extracted:
    """What came of one input.

    Attributes:
        source: the input.
        status: `done`, `skipped` (was there), `incomplete` (some of it could not be read) or `failed`.
        rows: number of faces.
        frame_count: number of frames of the video.
        message: what went wrong, or is odd; empty if nothing is.
    """

    source: ExtractSource
    status: str
    rows: int = 0
    frame_count: int = 0
    message: str = ""


@dataclass(frozen=True, slots=True)
class Extractor:
    """The networks, and how to use them.

    Attributes:
        backbone: gives the features.
        detector: None where no video is among the inputs.
        options: how.
    """

    backbone: Backbone
    detector: Detector | None
    options: ExtractOptions

    def info(self, source: ExtractSource) -> FeatureInfo:
        """Return what the table of an input is of; its number of frames is not known yet."""
        spec = self.backbone.spec
        is_video = source.kind is CropKind.DETECTED
        is_timed = is_video or self.options.videos is not None
        return FeatureInfo(
            video=source.name,
            backbone=spec.name,
            digest=self.backbone.digest,
            labels=spec.labels,
            temperature=spec.temperature,
            embedding_size=self.backbone.embedding_size,
            has_valence_arousal=spec.has_valence_arousal,
            crop_kind=source.kind,
            crop=spec.crop if is_video else None,
            detector=self.detector.name if is_video and self.detector is not None else None,
            time_source=TimeSource.PTS if is_timed else self.options.untimed,
            rate_fps=None if is_timed else self.options.rate_fps,
            frame_count=0,
            affectline=__version__,
            source=url_fingerprint(source.url) if source.url else fingerprint(source.path, *self.times_from(source)),
            max_faces=self.options.max_faces if is_video else None,
            precision=self.backbone.runtime.precision,
        )

    def times_from(self, source: ExtractSource) -> tuple[Path, ...]:
        """Return the video that crops take their times from; nothing where they have nominal times."""
        if self.options.videos is None or source.kind is CropKind.DETECTED:
            return ()
        return (video_of(source, self.options.videos),)


def load_extractor(options: ExtractOptions, sources: Sequence[ExtractSource]) -> Extractor:
    """Load the networks that these inputs need; errors as `analysis.load_models`."""
    needs_detector = any(source.kind is CropKind.DETECTED for source in sources)
    return Extractor(
        load_backbone(options.backbone, options.runtime, offline=options.offline),
        load_detector(options.detector, offline=options.offline) if needs_detector else None,
        options,
    )


def extract_all(
    sources: Sequence[ExtractSource],
    store: FeatureStore,
    extractor: Extractor,
    on_progress: ProgressHook = ignore_progress,
) -> Iterator[Extracted]:
    """Extract the features of each input and give what came of it; one that fails does not stop the others.

    Raises:
        OutputError: the store cannot be written to; what is finished stays.

    Args:
        sources: from `find_sources`.
        store: where the tables go; each appears when it is whole.
        extractor: from `load_extractor`.
        on_progress: told how many frames of the present input are done.
    """
    times: dict[Path, FrameTimes] = {}
    try:
        for source in sources:
            yield extract_one(source, store, extractor, times, on_progress)
    finally:
        store.refresh()


def extract_one(
    source: ExtractSource,
    store: FeatureStore,
    extractor: Extractor,
    times: dict[Path, FrameTimes],
    on_progress: ProgressHook = ignore_progress,
) -> Extracted:
    """Extract the features of one input and return what came of it; the store's index is left as it is.

    Args:
        source: from `find_sources`.
        store: where the table goes.
        extractor: from `load_extractor`.
        times: of the video that was read last, kept for the next crops; may be empty.
        on_progress: told how many frames are done.

    Raises:
        OutputError: the store cannot be written to.
    """
    try:
        return _extract(source, store, extractor, times, on_progress)
    except OutputError:
        raise
    except (AffectlineError, OSError) as error:
        return Extracted(source, "failed", message=str(error))
    except Exception as error:  # noqa: BLE001 - a fault of ours or of a library must not cost the other inputs
        _log.exception("%s failed", as_utf8(source.name))
        return Extracted(source, "failed", message=f"{type(error).__name__}: {error}")


def _extract(
    source: ExtractSource,
    store: FeatureStore,
    extractor: Extractor,
    times: dict[Path, FrameTimes],
    on_progress: ProgressHook,
) -> Extracted:
    _check_name(source)
    info = extractor.info(source)
    path = store.path_of(info)
    if path.is_file() and not extractor.options.again:
        there, rows = read_info(path)
        if there.source != info.source:
            is_timed_otherwise = there.time_source is not info.time_source
            options = f", or was asked for otherwise (its times are {there.time_source.value})"
            raise InputError(
                f"{store.folder} has features of another {source.name}: its file or folder had other content"
                f"{options if is_timed_otherwise else ''}; rename one of the two, or replace the old features with "
                "--again"
            )
        if replace(there, frame_count=0, affectline=__version__, problem="") == info:
            status = "incomplete" if there.problem else "skipped"
            return Extracted(source, status, rows, there.frame_count, there.problem)
    if source.kind is CropKind.DETECTED:
        return _from_video(source, store, extractor, info, on_progress)
    return _from_crops(source, store, extractor, info, times, on_progress)


def _from_crops(
    source: ExtractSource,
    store: FeatureStore,
    extractor: Extractor,
    info: FeatureInfo,
    times: dict[Path, FrameTimes],
    on_progress: ProgressHook,
) -> Extracted:
    files, ignored = crop_files(source.path)
    known = _times_of(source, extractor, times)
    frame_count = max(files[-1][0] + 1, 0 if known is None else len(known.time_s))
    bad: list[str] = []
    with FeatureWriter(store, info) as writer:
        for batch in crop_features(files, extractor.backbone):
            time_s = batch.frames / extractor.options.rate_fps if known is None else known.at(batch.frames)
            writer.write(batch.frames, time_s, _checked(batch.features, source))
            bad += batch.bad
            on_progress(writer.rows + len(bad), len(files))
        if not writer.rows:
            raise InputError(f"{source.path}: not one of its {len(files)} crops can be read; are they pictures?")
        lost, odd = (_listed(source, *one) for one in ((bad, UNREADABLE), (ignored, IGNORED)))
        writer.finish(frame_count, lost)
    message = "; ".join(filter(None, (lost, odd)))
    return Extracted(source, "incomplete" if bad else "done", writer.rows, frame_count, message)


def _check_name(source: ExtractSource) -> None:
    try:
        source.name.encode()
    except UnicodeEncodeError:
        raise InputError(
            f"{as_utf8(source.name)}: the name is not UTF-8, tables cannot hold it; rename the file"
        ) from None


def _listed(source: ExtractSource, names: Sequence[str], what: str) -> str:
    """Return some names in words; nothing if there are none."""
    if not names:
        return ""
    more = ", ..." if len(names) > MAX_NAMED else ""
    return f"{source.name}: {len(names)} {what}: {', '.join(names[:MAX_NAMED])}{more}"


def _times_of(source: ExtractSource, extractor: Extractor, times: dict[Path, FrameTimes]) -> FrameTimes | None:
    videos = extractor.times_from(source)
    if not videos:
        return None
    (video,) = videos
    if video not in times:
        # Two subjects of one video follow each other; older ones are not needed again.
        times.clear()
        times[video] = read_times(video)
    return times[video]


def _from_video(
    source: ExtractSource, store: FeatureStore, extractor: Extractor, info: FeatureInfo, on_progress: ProgressHook
) -> Extracted:
    if extractor.detector is None:
        raise InputError(f"{source.path} is a video; no detector was loaded")
    with local_copy(source.path, source.url) as path, FeatureWriter(store, info) as writer:
        video = open_video(path)
        found = video_features(video, extractor.backbone, extractor.detector, extractor.options.max_faces)
        for batch in found:
            writer.write(
                batch.frame, batch.time_s, _checked(batch.features, source), batch.track_id, batch.box_xyxy, batch.score
            )
            on_progress(batch.last_frame + 1, video.info.frame_count)
        report = video.report
        writer.finish(report.decoded_frames, report.problem or "")
    status = "incomplete" if report.problem else "done"
    return Extracted(source, status, writer.rows, report.decoded_frames, report.problem or "")


def _checked(features: FaceFeatures, source: ExtractSource) -> FaceFeatures:
    """Return the features if they are finite, also as float16."""
    largest = float(np.abs(features.embedding).max(initial=0.0))
    if not np.isfinite(largest) or largest > np.finfo(np.float16).max or not np.isfinite(features.logits).all():
        raise InputError(f"{source.name}: the backbone gives numbers that are not finite or beyond float16 ({largest})")
    return features
