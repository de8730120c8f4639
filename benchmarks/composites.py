"""Frames with faces of known size, put together from photographs: truth for the recall of detectors."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from affectline.faces.landmarks import LandmarkNetwork
from affectline.records import Detections, FloatArray, UInt8Array
from face_truth import measure

WIDTH, HEIGHT = 1280, 720
FACES_PER_FRAME = {20: 12, 40: 10, 80: 6, 160: 3}
SPACING = 2.7  # face heights between the middles of neighbouring faces
SURROUNDINGS = 1.15  # face heights of the photograph that come along on each side
BLENDED = 0.12  # face heights over which the photograph fades into the background
MIN_SOURCE = 90  # pixels; smaller faces are no source
JPEG_QUALITY = 85


@dataclass(frozen=True)
class Source:
    """A photograph with one face and that face's reference box, shape (4,)."""

    rgb: UInt8Array
    box_xyxy: FloatArray


@dataclass(frozen=True)
class Composite:
    """A frame and its faces' reference boxes, shape (n, 4)."""

    rgb: UInt8Array
    boxes_xyxy: FloatArray


def make_source(network: LandmarkNetwork, rgb: UInt8Array, found: list[Detections]) -> Source | None:
    """Return the photograph as a source if all that the detectors found in it is one face, and that face is sure."""
    boxes = [measure(network, rgb, detections).boxes_xyxy for detections in found]
    if any(len(detections) != 1 for detections in found) or any(len(box) != 1 for box in boxes):
        return None
    box = boxes[0][0]
    return Source(rgb, box) if box[3] - box[1] >= MIN_SOURCE else None


def compose(background: UInt8Array, sources: list[Source], height: int, rng: np.random.Generator) -> Composite:
    """Return a frame with faces of about this height on the background, blurred edges, then JPEG."""
    frame = cv2.resize(background, (WIDTH, HEIGHT), interpolation=cv2.INTER_AREA)
    cell = SPACING * height
    columns, rows = int(WIDTH // cell), int(HEIGHT // cell)
    count = min(FACES_PER_FRAME[height], columns * rows)
    boxes = []
    for spot in rng.permutation(columns * rows)[:count]:
        middle = (np.array((spot % columns, spot // columns)) + 0.5) * cell + rng.uniform(-0.1, 0.1, 2) * height
        source = sources[rng.integers(len(sources))]
        boxes.append(_paste(frame, source, height * rng.uniform(0.95, 1.05), middle))
    encoded = cv2.imencode(".jpg", frame[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])[1]
    rgb = np.ascontiguousarray(cv2.imdecode(encoded, cv2.IMREAD_COLOR)[..., ::-1])
    return Composite(rgb, np.asarray(boxes, np.float32))


def _paste(frame: UInt8Array, source: Source, height: float, middle: FloatArray) -> FloatArray:
    """Draw the source's face at this height and place into the frame; return its reference box there."""
    box = source.box_xyxy
    scale = height / (box[3] - box[1])
    reach = SURROUNDINGS * (box[3] - box[1])
    centre = (box[:2] + box[2:]) / 2
    x1, y1 = np.maximum(centre - reach, 0).astype(int)
    x2, y2 = np.minimum(centre + reach, source.rgb.shape[1::-1]).astype(int)
    method = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    size = (max(1, round((x2 - x1) * scale)), max(1, round((y2 - y1) * scale)))
    patch = cv2.resize(source.rgb[y1:y2, x1:x2], size, interpolation=method)
    scale_xy = np.array(size) / (x2 - x1, y2 - y1)
    left, top = np.round(middle - (centre - (x1, y1)) * scale_xy).astype(int)
    _blend(frame, patch, int(left), int(top), max(1, round(BLENDED * height)))
    return (box - np.tile((x1, y1), 2)) * np.tile(scale_xy, 2) + np.tile((left, top), 2)


def _blend(frame: UInt8Array, patch: UInt8Array, left: int, top: int, edge: int) -> None:
    rows, columns = patch.shape[:2]
    weights = np.zeros((rows, columns), np.float32)
    weights[edge : rows - edge, edge : columns - edge] = 1
    weights = cv2.blur(weights, (2 * edge + 1, 2 * edge + 1))[..., None]
    y1, y2, x1, x2 = max(top, 0), min(top + rows, HEIGHT), max(left, 0), min(left + columns, WIDTH)
    inside = np.s_[y1 - top : y2 - top, x1 - left : x2 - left]
    place = frame[y1:y2, x1:x2]
    frame[y1:y2, x1:x2] = place * (1 - weights[inside]) + patch[inside] * weights[inside]
