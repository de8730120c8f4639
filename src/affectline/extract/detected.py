"""Features of the faces in a video: found and followed as `analyze` does it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from typing import Final

import numpy as np
from numpy.typing import NDArray

from affectline.backbones import Backbone
from affectline.faces.crops import crop_face
from affectline.faces.detector import Detector
from affectline.faces.follower import FaceFollower
from affectline.pipeline import ONE_OPENCV_THREAD, Permit, applied, drawn, held, in_background, permit_for, queue_length
from affectline.records import Face, FaceFeatures, FloatArray, Frame
from affectline.video import EVERY_FRAME, FrameSource

BATCH_FACES: Final = 16
"""Crops that the network gets at once, and rows of a batch."""


@dataclass(frozen=True, slots=True, eq=False)
class FaceBatch:
    """Some faces of a video, in the order of frame and track.

    Attributes:
        frame: shape (n,), int64.
        time_s: shape (n,), seconds.
        track_id: shape (n,), int64.
        box_xyxy: shape (n, 4), float32, pixels.
        score: shape (n,), float32.
        features: of n faces.
        last_frame: index of the last frame that was looked at.
    """

    frame: NDArray[np.int64]
    time_s: NDArray[np.float64]
    track_id: NDArray[np.int64]
    box_xyxy: FloatArray
    score: FloatArray
    features: FaceFeatures
    last_frame: int


@dataclass(frozen=True, slots=True, eq=False)
class _Seen:
    frame: int
    time_s: float
    face: Face
    prepared: FloatArray


def video_features(
    video: FrameSource, backbone: Backbone, detector: Detector, max_faces: int | None
) -> Iterator[FaceBatch]:
    """Give the faces of a video, batch by batch; decoding, faces and backbone run side by side.

    Frames that could not be decoded whole have none.
    """
    depth = queue_length(3 * video.info.width * video.info.height)
    follower = FaceFollower(detector, max_faces, detect_every=None)
    find = partial(_find, follower=follower, backbone=backbone)
    runtime, frames = backbone.runtime, video.frames(EVERY_FRAME)
    if runtime.cores == 1:
        with ONE_OPENCV_THREAD:
            yield from _batches(map(find, frames), backbone, nullcontext())
        return
    permit = permit_for(runtime.cores)
    with (
        ONE_OPENCV_THREAD,
        in_background(drawn(frames, permit), depth) as decoded,
        in_background(applied(find, decoded, permit), depth) as found,
    ):
        yield from _batches(found, backbone, permit)


def _batches(found: Iterable[list[_Seen]], backbone: Backbone, permit: Permit) -> Iterator[FaceBatch]:
    waiting: list[_Seen] = []
    for faces in found:
        waiting += faces
        while len(waiting) >= BATCH_FACES:
            yield _permitted(waiting[:BATCH_FACES], backbone, permit)
            waiting = waiting[BATCH_FACES:]
    if waiting:
        yield _permitted(waiting, backbone, permit)


def _permitted(seen: list[_Seen], backbone: Backbone, permit: Permit) -> FaceBatch:
    with held(permit, backbone.runtime.lane_threads):
        return _run(seen, backbone)


def _find(frame: Frame, follower: FaceFollower, backbone: Backbone) -> list[_Seen]:
    return [
        _Seen(
            frame.index,
            frame.time_s or 0.0,
            face,
            backbone.prepare(crop_face(frame.rgb, face.box_xyxy, backbone.spec.crop)),
        )
        for face in follower.find(frame)
    ]


def _run(seen: list[_Seen], backbone: Backbone) -> FaceBatch:
    return FaceBatch(
        np.array([one.frame for one in seen], np.int64),
        np.array([one.time_s for one in seen]),
        np.array([one.face.track_id or 0 for one in seen], np.int64),
        np.stack([one.face.box_xyxy for one in seen]),
        np.array([one.face.score for one in seen], np.float32),
        backbone.run(np.stack([one.prepared for one in seen])),
        seen[-1].frame,
    )
