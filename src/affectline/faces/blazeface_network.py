"""The BlazeFace network: a picture in, faces with their points out.

Source: Bazarevsky et al. (2019), "BlazeFace: Sub-millisecond Neural Face Detection on Mobile GPUs"; decoding and
weighted suppression as MediaPipe's `face_detection_short_range` graph and `NonMaxSuppressionCalculator` do it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from ai_edge_litert.interpreter import Interpreter
from numpy.typing import NDArray

from affectline.errors import ModelFileError
from affectline.faces.reference import overlaps
from affectline.faces.task_network import member_bytes
from affectline.records import FloatArray, UInt8Array

MEMBER = "face_detector.tflite"
"""The network's name inside MediaPipe's `face_landmarker.task`, which is a zip."""

CELL = 16
"""Pixels that one cell of the network's coarsest grid covers: sides of its input must be multiples."""

NATIVE_SIDE = 128
"""The side of the square input that the network was trained on; face sizes it can see are relative to this."""

# Two grids of anchors: stride in pixels and anchors in each cell. All anchors are points (`fixed_anchor_size`).
_GRIDS = ((8, 2), (16, 6))
_COORDINATES = 16  # x and y of centre and size, then of six points
_SUPPRESS_ABOVE = 0.3  # intersection over union, `min_suppression_threshold`
_INPUT_SHAPES_KEPT = 12  # a frame size needs four; more only matter to folders of differing pictures


@dataclass(frozen=True, slots=True, eq=False)
class RawFaces:
    """Faces as the network draws them.

    Attributes:
        points: shape (n, 8, 2), float32, x and y in pixels: top left and bottom right of the box, right eye, left
            eye, nose tip, mouth centre, right and left ear (right and left are the subject's).
        scores: shape (n,), float32, in [0, 1].
    """

    points: FloatArray
    scores: FloatArray

    @property
    def boxes_xyxy(self) -> FloatArray:
        """The boxes, shape (n, 4), float32, pixels."""
        return self.points[:, :2].reshape(-1, 4)

    def take(self, rows: NDArray[np.intp] | NDArray[np.bool_] | slice) -> RawFaces:
        """Return the faces that row numbers, a mask or a slice pick."""
        return RawFaces(self.points[rows], self.scores[rows])

    @staticmethod
    def join(parts: Sequence[RawFaces]) -> RawFaces:
        """Return all faces of several lists, in order."""
        empty = RawFaces(np.empty((0, 8, 2), np.float32), np.empty(0, np.float32))
        parts = [empty, *parts]
        return RawFaces(np.concatenate([p.points for p in parts]), np.concatenate([p.scores for p in parts]))


class BlazeFaceNetwork:
    """Runs the network on pictures of any size whose sides are multiples of `CELL`. Not for use by two threads.

    The network is fully convolutional: a larger input is searched for faces of the same 20 to 115 pixels, at the
    same cost a pixel, and without the overlap that tiles of 128 pixels would need.
    """

    def __init__(self, task_file: Path) -> None:
        self._weights = member_bytes(task_file, MEMBER)
        self._interpreter = lru_cache(maxsize=_INPUT_SHAPES_KEPT)(self._build)
        self._anchors = lru_cache(maxsize=_INPUT_SHAPES_KEPT)(anchors)
        try:
            self._interpreter(NATIVE_SIDE, NATIVE_SIDE)
        except (ValueError, RuntimeError, KeyError) as error:
            raise ModelFileError(f"{MEMBER} in {task_file} is not the BlazeFace network: {error}") from error

    def find(self, rgb: UInt8Array, min_score: float) -> RawFaces:
        """Return the faces with at least this score, best first, duplicates averaged away.

        Args:
            rgb: shape (height, width, 3), uint8, RGB, height and width multiples of `CELL`.
            min_score: in (0, 1).
        """
        height, width = rgb.shape[:2]
        interpreter, input_index, regressors_index, logits_index = self._interpreter(height, width)
        # Straight into the network's memory, of which nothing may be held when it runs.
        pixels = interpreter.tensor(input_index)()[0]
        np.multiply(rgb, np.float32(1 / 127.5), out=pixels)
        pixels -= 1
        del pixels
        interpreter.invoke()
        logits = interpreter.get_tensor(logits_index)[0, :, 0]
        rows = np.flatnonzero(logits >= np.log(min_score / (1 - min_score)))
        if not len(rows):
            return RawFaces.join([])
        regressors = interpreter.get_tensor(regressors_index)[0, rows]
        return average_duplicates(decode(regressors, logits[rows], self._anchors(height, width)[rows]))

    def _build(self, height: int, width: int) -> tuple[Interpreter, int, int, int]:
        """Return an interpreter for this input size and the indices of its input, regressors and logits."""
        # One thread: the network is too small to gain from more, and frames are analysed in parallel elsewhere.
        interpreter = Interpreter(model_content=self._weights, num_threads=1)
        input_index = interpreter.get_input_details()[0]["index"]
        if (height, width) != (NATIVE_SIDE, NATIVE_SIDE):
            interpreter.resize_tensor_input(input_index, [1, height, width, 3])
        interpreter.allocate_tensors()
        outputs = {output["name"]: output["index"] for output in interpreter.get_output_details()}
        return interpreter, input_index, outputs["regressors"], outputs["classificators"]


def anchors(height: int, width: int) -> FloatArray:
    """Return the anchor points for an input of this size, shape (n, 2), float32, x and y in pixels."""
    grids = []
    for stride, repeats in _GRIDS:
        y, x = np.mgrid[: height // stride, : width // stride]
        centres = (np.stack([x, y], axis=-1).reshape(-1, 2) + 0.5) * stride
        grids.append(np.repeat(centres, repeats, axis=0))
    return np.concatenate(grids).astype(np.float32)


def decode(regressors: FloatArray, logits: FloatArray, anchor_points: FloatArray) -> RawFaces:
    """Return the faces that these outputs of the network mean.

    Args:
        regressors: shape (n, 16): offset of the box's centre from the anchor, its size, and the offsets of six
            points, all x before y, in pixels.
        logits: shape (n,).
        anchor_points: shape (n, 2), pixels.
    """
    values = regressors.reshape(-1, _COORDINATES // 2, 2)
    centres, halves = values[:, 0] + anchor_points, values[:, 1] / 2
    corners = np.stack([centres - halves, centres + halves], axis=1)
    points = np.concatenate([corners, values[:, 2:] + anchor_points[:, None]], axis=1)
    # MediaPipe clips at 100, where exp would overflow in float32 at 88 and the score is 1 anyway.
    scores = 1 / (1 + np.exp(-np.clip(logits, -80, 80)))
    return RawFaces(points.astype(np.float32), scores.astype(np.float32))


def average_duplicates(faces: RawFaces) -> RawFaces:
    """Return one face for each group of overlapping ones: their mean weighted by score, with the best score."""
    order = np.argsort(-faces.scores, kind="stable")
    points, scores, boxes = faces.points[order], faces.scores[order], faces.boxes_xyxy[order]
    same = overlaps(boxes, boxes) > _SUPPRESS_ABOVE
    is_left = np.ones(len(order), np.bool_)
    best = []
    means = []
    for row in range(len(order)):
        if not is_left[row]:
            continue
        group = same[row] & is_left
        group[row] = True  # an empty box does not overlap even itself
        weights = scores[group]
        means.append(np.tensordot(weights, points[group], axes=1) / weights.sum())
        best.append(row)
        is_left &= ~group
    return RawFaces(np.asarray(means, np.float32).reshape(-1, 8, 2), scores[best])
