"""478 landmarks and 52 blendshapes of each face, by MediaPipe's networks as its FaceLandmarker runs them.

Source: mediapipe/tasks/cc/vision/face_landmarker of google-ai-edge/mediapipe. `benchmarks/mediapipe_agreement.py`
holds the two against each other. Nothing is smoothed here, as in MediaPipe's IMAGE mode.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import astuple, dataclass, field
from pathlib import Path

import cv2
import numpy as np

from affectline.errors import ResumeError
from affectline.faces.blazeface_network import NATIVE_SIDE, BlazeFaceNetwork
from affectline.faces.mesh import BLENDSHAPE_POINTS, BLENDSHAPES, MESH_POINTS
from affectline.faces.regions import Region, region_of_box, region_of_detection, region_of_points
from affectline.faces.task_network import TaskNetwork
from affectline.records import Face, FloatArray, UInt8Array

_CROP_SIZE = 256
_MIN_SCORE = 0.5
_SUBSET = np.asarray(BLENDSHAPE_POINTS, dtype=np.intp)

# A region smaller than this part of the frame's longer side is not taken from the whole-frame pass, which draws such
# faces roughly. On the demo clip at 50 % (regions of 0.27) it serves as well as the box; at 35 % (0.19) blendshapes
# read there correlate by 0.73 with those of the full size, around the box by 0.92.
_MIN_SUGGESTED = 0.22

RegionsState = dict[str, list[float]]
"""For each track its last region: centre x and y, side in pixels, angle in radians."""


@dataclass(frozen=True, slots=True, eq=False)
class Landmarks:
    """What the networks see in one face.

    Attributes:
        points: shape (478, 3), float32: x and y in pixels of the frame, z (depth, towards the camera negative) in
            the same scale.
        presence: how surely there is a face, in [0, 1].
        blendshapes: shape (52,), float32, in [0, 1], in the order of `mesh.BLENDSHAPES`.
    """

    points: FloatArray = field(repr=False)
    presence: float
    blendshapes: FloatArray = field(repr=False)


class LandmarkNetwork:
    """MediaPipe's landmark and blendshape networks. Other Python threads go on while they run.

    An object must not be used by two threads at once.
    """

    def __init__(self, task_file: Path, num_threads: int = 1) -> None:
        """Load the networks.

        Args:
            task_file: MediaPipe's `face_landmarker.task`.
            num_threads: how many threads the landmark network may use; with 2 it takes a little over half the time.

        Raises:
            InputFileError: the file is missing or unreadable.
            ModelFileError: it is not a task file with these networks, of the shapes that are known.
        """
        mesh_shape = (1, _CROP_SIZE, _CROP_SIZE, 3)
        points = (MESH_POINTS * 3, 1)
        self._mesh = TaskNetwork(task_file, "face_landmarks_detector.tflite", mesh_shape, points, num_threads)
        subset_shape = (1, len(_SUBSET), 2)
        self._blendshapes = TaskNetwork(task_file, "face_blendshapes.tflite", subset_shape, (len(BLENDSHAPES),))
        self._detector = BlazeFaceNetwork(task_file)

    def suggest(self, rgb: UInt8Array) -> list[Region]:
        """Return the regions at which MediaPipe's FaceLandmarker would look, best score first; large faces only.

        Args:
            rgb: shape (height, width, 3), uint8, RGB.
        """
        height, width = rgb.shape[:2]
        frame = Region(width / 2, height / 2, float(max(height, width)), 0.0)
        faces = self._detector.find(frame.cut(rgb, NATIVE_SIDE, cv2.BORDER_CONSTANT), _MIN_SCORE)
        matrix = frame.matrix(NATIVE_SIDE)
        return [region_of_detection(points) for points in faces.points @ matrix[:, :2].T + matrix[:, 2]]

    def read(self, rgb: UInt8Array, region: Region) -> Landmarks | None:
        """Return what is seen in a region of the frame, or None where no face is.

        Args:
            rgb: shape (height, width, 3), uint8, RGB.
            region: where the face is; may reach beyond the border, which is then replicated.
        """
        crop = region.cut(rgb, _CROP_SIZE).astype(np.float32) / np.float32(255)
        raw_points, logit = self._mesh.run(crop[np.newaxis])
        # A logit of 0 is a presence of 0.5, MediaPipe's threshold.
        if logit[0] < 0:
            return None
        presence = 1 / (1 + math.exp(-float(logit[0])))
        points = _to_frame(raw_points.reshape(MESH_POINTS, 3), region)
        (blendshapes,) = self._blendshapes.run(points[np.newaxis, _SUBSET, :2])
        return Landmarks(points, presence, np.clip(blendshapes, 0, 1))


def _to_frame(raw_points: FloatArray, region: Region) -> FloatArray:
    """Return the points in pixels of the frame; shape (478, 3) both, raw ones in pixels of the crop."""
    matrix = region.matrix(_CROP_SIZE)
    planar = raw_points[:, :2] @ matrix[:, :2].T + matrix[:, 2]
    depth = raw_points[:, 2:] * (region.side / _CROP_SIZE)
    return np.concatenate([planar, depth], axis=1).astype(np.float32)


class LandmarkReader:
    """Reads the landmarks of tracked faces, frame after frame.

    At a large face it looks where MediaPipe's IMAGE mode would, provided that this agrees with the face's box. At a
    small one, or where MediaPipe's detector sees none, it looks around the box; where the box was propagated, around
    the track's last landmarks as long as they agree with it; and then around the other of these two.
    """

    def __init__(self, network: LandmarkNetwork) -> None:
        self._network = network
        self._regions: dict[int, Region] = {}

    def read(self, rgb: UInt8Array, faces: Sequence[Face]) -> list[Landmarks | None]:
        """Return the landmarks of each face, None for those in which the network sees no face.

        Args:
            rgb: shape (height, width, 3), uint8, RGB.
            faces: of this frame; those without a track are read on their own.
        """
        boxes = [region_of_box(face.box_xyxy, face.keypoints) for face in faces]
        smallest = _MIN_SUGGESTED * max(rgb.shape[:2])
        suggested = self._network.suggest(rgb) if any(box.side >= smallest for box in boxes) else []
        results = [
            self._read_first(rgb, self._candidates(face, box, suggested if box.side >= smallest else []))
            for face, box in zip(faces, boxes, strict=True)
        ]
        self._regions = {
            face.track_id: region_of_points(landmarks.points)
            for face, landmarks in zip(faces, results, strict=True)
            if face.track_id is not None and landmarks is not None
        }
        return results

    def state(self) -> RegionsState:
        """Return what is remembered, as JSON: the region of each track, by its number."""
        return {str(track): list(astuple(region)) for track, region in self._regions.items()}

    def restore(self, state: RegionsState) -> None:
        """Go on from what `state` gave.

        Raises:
            ResumeError: that is something else.
        """
        try:
            self._regions = {int(track): Region(*(float(value) for value in row)) for track, row in state.items()}
        except (AttributeError, TypeError, ValueError) as error:
            raise ResumeError(f"not the state of a landmark reader: {state!r}; analyse without --resume") from error

    def _candidates(self, face: Face, box: Region, suggested: Sequence[Region]) -> list[Region]:
        """Return where to look for a face, likeliest first."""
        nearest = sorted((region for region in suggested if region.agrees_with(box)), key=box.distance_to)[:1]
        last = None if face.track_id is None else self._regions.get(face.track_id)
        if last is None or not last.agrees_with(box):
            return [*nearest, box]
        return [*nearest, box, last] if face.is_detected else [*nearest, last, box]

    def _read_first(self, rgb: UInt8Array, candidates: Sequence[Region]) -> Landmarks | None:
        return next(filter(None, (self._network.read(rgb, region) for region in candidates)), None)
