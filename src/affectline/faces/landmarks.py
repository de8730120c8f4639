"""478 landmarks and 52 blendshapes of each face, by MediaPipe's networks as its FaceLandmarker runs them.

Source: mediapipe/tasks/cc/vision/face_landmarker of google-ai-edge/mediapipe. `benchmarks/mediapipe_agreement.py`
holds the two against each other. Nothing is smoothed here, as in MediaPipe's IMAGE mode.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import cv2
import numpy as np

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


@dataclass(frozen=True, slots=True, eq=False)
class Mesh:
    """The landmarks of one face.

    Attributes:
        points: shape (478, 3), float32: x and y in pixels of the frame, z (depth, towards the camera negative) in
            the same scale.
        presence: how surely there is a face, in [0, 1].
    """

    points: FloatArray = field(repr=False)
    presence: float


@dataclass(frozen=True, slots=True, eq=False)
class Landmarks(Mesh):
    """What the networks see in one face.

    Attributes:
        points: as in `Mesh`.
        presence: likewise.
        blendshapes: shape (52,), float32, in [0, 1], in the order of `mesh.BLENDSHAPES`.
    """

    blendshapes: FloatArray = field(repr=False)


class LandmarkNetwork:
    """MediaPipe's landmark and blendshape networks. Other Python threads go on while they run.

    Three threads may use an object at once: one for `suggest`, one for `mesh` and one for `express`.
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

    def mesh(self, rgb: UInt8Array, region: Region) -> Mesh | None:
        """Return the landmarks in a region of the frame, or None where no face is.

        Args:
            rgb: shape (height, width, 3), uint8, RGB.
            region: where the face is; may reach beyond the border, which is then replicated.
        """
        raw_points, logit = self._mesh.run_picture(region.cut(rgb, _CROP_SIZE))
        # A logit of 0 is a presence of 0.5, MediaPipe's threshold.
        if logit[0] < 0:
            return None
        presence = 1 / (1 + math.exp(-float(logit[0])))
        return Mesh(_to_frame(raw_points.reshape(MESH_POINTS, 3), region), presence)

    def express(self, mesh: Mesh) -> Landmarks:
        """Return landmarks with the blendshapes that they mean."""
        (blendshapes,) = self._blendshapes.run(mesh.points[np.newaxis, _SUBSET, :2])
        return Landmarks(mesh.points, mesh.presence, np.clip(blendshapes, 0, 1))

    def read(self, rgb: UInt8Array, region: Region) -> Landmarks | None:
        """Return what is seen in a region of the frame, or None where no face is; see `mesh`."""
        mesh = self.mesh(rgb, region)
        return None if mesh is None else self.express(mesh)


def _to_frame(raw_points: FloatArray, region: Region) -> FloatArray:
    """Return the points in pixels of the frame; shape (478, 3) both, raw ones in pixels of the crop."""
    matrix = region.matrix(_CROP_SIZE)
    planar = raw_points[:, :2] @ matrix[:, :2].T + matrix[:, 2]
    depth = raw_points[:, 2:] * (region.side / _CROP_SIZE)
    return np.concatenate([planar, depth], axis=1).astype(np.float32)


@dataclass(frozen=True, slots=True)
class _Anchor:
    """Where a track's landmarks were read in a frame that was searched, and its box there, turned as the face."""

    region: Region
    box: Region


class LandmarkReader:
    """Reads the landmarks of tracked faces, frame after frame of one stretch.

    At a large face it looks where MediaPipe's IMAGE mode would, provided that this agrees with the face's box. At a
    small one, or where MediaPipe's detector sees none, it looks around the box. Where the box was propagated, it looks
    where it looked when the face was detected last, moved as the box has moved and turned as the landmarks have. What
    shows no face there is tried around the track's last landmarks, as long as they agree with the box, or around it.
    """

    def __init__(self, network: LandmarkNetwork) -> None:
        self._network = network
        self._regions: dict[int, Region] = {}
        self._anchors: dict[int, _Anchor] = {}

    def read(self, rgb: UInt8Array, faces: Sequence[Face]) -> list[Landmarks | None]:
        """Return the landmarks of each face, None for those in which the network sees no face.

        This is `suggest`, `find` and `express`, which are there so that three threads can work on successive frames.

        Args:
            rgb: shape (height, width, 3), uint8, RGB.
            faces: of this frame; those without a track are read on their own.
        """
        return self.express(self.find(rgb, faces, self.suggest(rgb, faces)))

    def suggest(self, rgb: UInt8Array, faces: Sequence[Face]) -> list[Region]:
        """Return the regions of the frame at which MediaPipe would look; none where no face was detected or is large.

        It depends on no other frame. Arguments as `read`.
        """
        return self._network.suggest(rgb) if any(_is_large(rgb, face, _box(face)) for face in faces) else []

    def find(self, rgb: UInt8Array, faces: Sequence[Face], suggested: Sequence[Region]) -> list[Mesh | None]:
        """Return the landmarks of each face and remember them for the next frame. Arguments as `read`.

        Args:
            rgb: the frame.
            faces: in it.
            suggested: what `suggest` gave.
        """
        boxes = [_box(face) for face in faces]
        found = [
            self._find_first(rgb, self._candidates(face, box, suggested if _is_large(rgb, face, box) else []))
            for face, box in zip(faces, boxes, strict=True)
        ]
        self._remember(faces, boxes, found)
        return [None if one is None else one[0] for one in found]

    def express(self, meshes: Sequence[Mesh | None]) -> list[Landmarks | None]:
        """Return landmarks with the blendshapes that they mean; it depends on no other frame."""
        return [None if mesh is None else self._network.express(mesh) for mesh in meshes]

    def _remember(
        self, faces: Sequence[Face], boxes: Sequence[Region], found: Sequence[tuple[Mesh, Region] | None]
    ) -> None:
        """Keep of each track where its landmarks are, and where they were read in the last frame that was searched."""
        regions, anchors = {}, {}
        for face, box, one in zip(faces, boxes, found, strict=True):
            if face.track_id is None or one is None:
                continue
            found_mesh, region = one
            mesh = regions[face.track_id] = region_of_points(found_mesh.points)
            before = self._anchors.get(face.track_id)
            if face.is_detected or before is None:
                anchors[face.track_id] = _Anchor(region, replace(box, angle=mesh.angle))
            else:
                anchors[face.track_id] = before
        self._regions, self._anchors = regions, anchors

    def _candidates(self, face: Face, box: Region, suggested: Sequence[Region]) -> list[Region]:
        """Return where to look for a face, likeliest first."""
        nearest = sorted((region for region in suggested if region.agrees_with(box)), key=box.distance_to)[:1]
        last = None if face.track_id is None else self._regions.get(face.track_id)
        if face.is_detected or last is None:
            return [*nearest, box] if last is None or not last.agrees_with(box) else [*nearest, box, last]
        anchor = None if face.track_id is None else self._anchors.get(face.track_id)
        carried = [] if anchor is None else [anchor.region.carried(anchor.box, replace(box, angle=last.angle))]
        return [*carried, last, box] if last.agrees_with(box) else [*carried, box]

    def _find_first(self, rgb: UInt8Array, candidates: Sequence[Region]) -> tuple[Mesh, Region] | None:
        for region in candidates:
            mesh = self._network.mesh(rgb, region)
            if mesh is not None:
                return mesh, region
        return None


def _box(face: Face) -> Region:
    return region_of_box(face.box_xyxy, face.keypoints)


def _is_large(rgb: UInt8Array, face: Face, box: Region) -> bool:
    """Return whether the whole-frame pass serves for a face: it was detected, and is large in its frame."""
    return face.is_detected and box.side >= _MIN_SUGGESTED * max(rgb.shape[:2])
