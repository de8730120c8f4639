"""Where faces really are in a picture, as far as MediaPipe's landmark network can tell: truth for the detectors."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from affectline import Sampling, read_frames
from affectline.faces.landmarks import LandmarkNetwork, Landmarks
from affectline.faces.mesh import LEFT_EYE_OUTER_CORNER, RIGHT_EYE_OUTER_CORNER
from affectline.faces.reference import keep_distinct
from affectline.faces.regions import region_of_box, region_of_points, roll
from affectline.records import Detections, FloatArray, UInt8Array

MESH_POINTS = 468  # the iris points that follow lie inside
MIN_PRESENCE = 0.9999  # at the 0.5 of MediaPipe, ears and logos count as faces too
MAX_SIDE = 1600  # larger photographs are scaled down: no face is to be larger than the networks' input by far
ROUNDS = 3  # the region settles in two


@dataclass(frozen=True)
class Truth:
    """The faces of one picture: boxes (n, 4) and rolls (n,), float32, and the row of each in the detections."""

    boxes_xyxy: FloatArray
    rolls: FloatArray
    rows: list[int]


def measure(network: LandmarkNetwork, rgb: UInt8Array, detections: Detections) -> Truth:
    """Return the reference boxes of those detections in which the landmark network is sure to see a face."""
    boxes, rolls, rows = [], [], []
    for row in range(len(detections)):
        landmarks = _settle(network, rgb, detections, row)
        if landmarks is None or landmarks.presence < MIN_PRESENCE:
            continue
        points = landmarks.points[:MESH_POINTS, :2]
        boxes.append(np.concatenate([points.min(axis=0), points.max(axis=0)]))
        rolls.append(roll(points[RIGHT_EYE_OUTER_CORNER], points[LEFT_EYE_OUTER_CORNER]))
        rows.append(row)
    all_boxes = np.asarray(boxes, np.float32).reshape(-1, 4)
    kept = keep_distinct(all_boxes, detections.scores[rows], max_overlap=0.4)
    return Truth(all_boxes[kept], np.asarray(rolls, np.float32)[kept], [rows[k] for k in kept])


def _settle(network: LandmarkNetwork, rgb: UInt8Array, detections: Detections, row: int) -> Landmarks | None:
    """Return the landmarks of a face from a region that its own landmarks gave, so that no detector's box shows."""
    landmarks = network.read(rgb, region_of_box(detections.boxes_xyxy[row], detections.keypoints[row]))
    for _ in range(ROUNDS - 1):
        if landmarks is not None:
            landmarks = network.read(rgb, region_of_points(landmarks.points))
    return landmarks


def read_photograph(path: Path) -> UInt8Array:
    """Return the RGB pixels of a picture file, scaled down to `MAX_SIDE`."""
    bgr = cv2.imread(str(path), cv2.IMREAD_COLOR)
    if bgr is None:
        raise SystemExit(f"{path} is no picture that OpenCV can read")
    scale = min(1.0, MAX_SIDE / max(bgr.shape[:2]))
    bgr = cv2.resize(bgr, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA) if scale < 1 else bgr
    return np.ascontiguousarray(bgr[..., ::-1])


def read_clip(path: Path, every: int) -> Iterator[UInt8Array]:
    """Yield every so many-th frame of a clip."""
    for frame in read_frames(path, Sampling(every=every)):
        yield frame.rgb
