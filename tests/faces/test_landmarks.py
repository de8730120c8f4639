"""Landmarks and blendshapes of tracked faces."""

from __future__ import annotations

from dataclasses import astuple
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from affectline.faces.landmarks import LandmarkNetwork, LandmarkReader, Landmarks, Mesh
from affectline.faces.mesh import BLENDSHAPE_POINTS, BLENDSHAPES, MESH_POINTS
from affectline.faces.regions import Region, region_of_box, region_of_points
from affectline.records import Face, FloatArray, UInt8Array

RIGHT_IRIS, LEFT_IRIS, MOUTH = 468, 473, 13

# What mediapipe 1.2.2 says of the demo clip's first frame, in IMAGE mode; points in pixels.
MEDIAPIPE_POINTS = {
    1: (414.9, 236.4, -52.2),
    33: (352.1, 182.4, 27.0),
    263: (493.9, 173.4, 2.1),
    61: (386.9, 278.4, 14.6),
    291: (474.0, 273.2, -0.8),
    152: (434.9, 347.7, 9.1),
    468: (368.9, 179.9, 15.4),
}
MEDIAPIPE_BLENDSHAPES = {
    "browInnerUp": 0.426,
    "browOuterUpRight": 0.547,
    "eyeBlinkLeft": 0.700,
    "eyeBlinkRight": 0.370,
    "eyeSquintLeft": 0.404,
    "mouthSmileLeft": 0.519,
    "mouthSmileRight": 0.454,
}


@pytest.fixture(scope="module")
def network(task_file: Path) -> LandmarkNetwork:
    return LandmarkNetwork(task_file)


@pytest.fixture(scope="module")
def pictures(demo_clip: Path) -> list[UInt8Array]:
    """The first three frames of the demo clip."""
    with av.open(str(demo_clip)) as container:
        frames = container.decode(video=0)
        return [next(frames).to_ndarray(format="rgb24") for _ in range(3)]


def read_there(network: LandmarkNetwork, rgb: UInt8Array) -> Landmarks:
    landmarks = network.read(rgb, network.suggest(rgb)[0])
    assert landmarks is not None
    return landmarks


def face_of(points: FloatArray, track_id: int | None, *, is_detected: bool = True) -> Face:
    box = np.concatenate([points[:, :2].min(axis=0), points[:, :2].max(axis=0)])
    return Face(box, 0.9, points[[RIGHT_IRIS, LEFT_IRIS, 1, MOUTH], :2], track_id, is_detected)


def test_tables_have_the_networks_sizes() -> None:
    assert (len(BLENDSHAPES), len(set(BLENDSHAPES))) == (52, 52)
    assert (len(BLENDSHAPE_POINTS), len(set(BLENDSHAPE_POINTS))) == (146, 146)
    assert max(BLENDSHAPE_POINTS) == MESH_POINTS - 1


class TestNetwork:
    def test_face_of_the_demo_clip(self, network: LandmarkNetwork, pictures: list[UInt8Array]) -> None:
        landmarks = read_there(network, pictures[0])
        height, width = pictures[0].shape[:2]
        assert landmarks.points.shape == (MESH_POINTS, 3)
        assert landmarks.points.dtype == landmarks.blendshapes.dtype == np.float32
        assert (landmarks.points[:, :2] >= 0).all()
        assert (landmarks.points[:, :2] <= (width, height)).all()
        right_eye, left_eye, mouth = landmarks.points[[RIGHT_IRIS, LEFT_IRIS, MOUTH]]
        assert right_eye[0] < left_eye[0]
        assert max(right_eye[1], left_eye[1]) < mouth[1]
        assert landmarks.presence > 0.9
        assert landmarks.blendshapes.min() >= 0
        assert landmarks.blendshapes.max() <= 1

    def test_values_are_mediapipes(self, network: LandmarkNetwork, pictures: list[UInt8Array]) -> None:
        landmarks = read_there(network, pictures[0])
        points = landmarks.points[list(MEDIAPIPE_POINTS)]
        expected = np.array(list(MEDIAPIPE_POINTS.values()))
        assert points[:, :2] == pytest.approx(expected[:, :2], abs=0.15)
        # MediaPipe stretches the depth of a rolled head with the frame's proportions, here by 1.4 %.
        assert points[:, 2] == pytest.approx(expected[:, 2], abs=0.15, rel=0.02)
        seen = dict(zip(BLENDSHAPES, landmarks.blendshapes.tolist(), strict=True))
        assert {name: seen[name] for name in MEDIAPIPE_BLENDSHAPES} == pytest.approx(MEDIAPIPE_BLENDSHAPES, abs=0.01)

    def test_points_follow_a_picture_that_is_turned_and_halved(
        self, network: LandmarkNetwork, pictures: list[UInt8Array]
    ) -> None:
        points = read_there(network, pictures[0]).points
        region = region_of_points(points)
        matrix = cv2.getRotationMatrix2D((region.center_x, region.center_y), -15, 0.5)
        height, width = pictures[0].shape[:2]
        moved = network.read(
            cv2.warpAffine(pictures[0], matrix, (width, height), flags=cv2.INTER_AREA),
            Region(region.center_x, region.center_y, region.side / 2, region.angle + np.deg2rad(15)),
        )
        assert moved is not None
        expected = points[:, :2] @ matrix[:, :2].T + matrix[:, 2]
        distances = np.linalg.norm(moved.points[:, :2] - expected, axis=1)
        assert distances.mean() < 0.02 * region.side / 2
        assert np.ptp(moved.points[:, 2]) == pytest.approx(np.ptp(points[:, 2]) / 2, rel=0.15)

    @pytest.mark.parametrize("shape", [(1, 1, 3), (90, 160, 3)])
    def test_picture_without_a_face(self, network: LandmarkNetwork, shape: tuple[int, int, int]) -> None:
        grey = np.full(shape, 128, np.uint8)
        assert network.suggest(grey) == []
        assert network.read(grey, Region(shape[1] / 2, shape[0] / 2, 50, 0)) is None


class StubNetwork:
    """Sees a face only in the regions of a list, and suggests what it is told to."""

    def __init__(self, visible: list[Region], suggested: list[Region] | None = None) -> None:
        self.visible, self.suggested = visible, suggested or []
        self.asked: list[Region] = []

    def suggest(self, rgb: UInt8Array) -> list[Region]:
        return self.suggested

    def mesh(self, rgb: UInt8Array, region: Region) -> Mesh | None:
        self.asked.append(region)
        return Mesh(mesh_at(region.center_x, region.center_y), 0.9) if region in self.visible else None

    def express(self, mesh: Mesh) -> Landmarks:
        return Landmarks(mesh.points, mesh.presence, np.zeros(52, np.float32))


def mesh_at(x: float, y: float) -> FloatArray:
    """A mesh 80 wide and 100 high around this point, the irises 40 apart."""
    points = np.tile(np.float32([x, y, 0]), (MESH_POINTS, 1))
    points[0, :2] -= (40, 50)
    points[1, :2] += (40, 50)
    points[[33, 263], 0] += (-20, 20)
    points[[RIGHT_IRIS, LEFT_IRIS], 0] += (-20, 20)
    return points


RGB = np.zeros((400, 500, 3), np.uint8)


class TestReader:
    def reader(self, network: StubNetwork) -> LandmarkReader:
        return LandmarkReader(network)  # type: ignore[arg-type]  # a stub with the same methods

    def test_no_faces(self) -> None:
        network = StubNetwork([])
        assert self.reader(network).read(RGB, []) == []
        assert network.asked == []

    def test_looks_where_mediapipe_would_if_that_is_the_face(self) -> None:
        face = face_of(mesh_at(200, 200), 1)
        box = region_of_box(face.box_xyxy, face.keypoints)
        near, nearer = Region(210, 206, 140, 0.1), Region(203, 206, 140, 0.1)
        elsewhere = Region(420, 200, 133, 0)
        network = StubNetwork([near, nearer, elsewhere, box], [elsewhere, near, nearer])
        assert self.reader(network).read(RGB, [face])[0] is not None
        assert network.asked == [nearer]

    def test_looks_around_the_box_of_a_face_that_is_small_in_its_frame(self) -> None:
        face = face_of(mesh_at(200, 200), 1)
        box = region_of_box(face.box_xyxy, face.keypoints)
        network = StubNetwork([box], [Region(box.center_x, box.center_y, box.side, 0.1)])
        frame = np.zeros((400, 700, 3), np.uint8)  # 137 pixels are less than 0.22 of its width
        assert self.reader(network).read(frame, [face])[0] is not None
        assert network.asked == [box]

    def test_looks_around_the_box_where_nothing_is_suggested(self) -> None:
        face = face_of(mesh_at(200, 200), None)
        box = region_of_box(face.box_xyxy, face.keypoints)
        network = StubNetwork([box], [Region(420, 200, 133, 0)])
        assert self.reader(network).read(RGB, [face])[0] is not None
        assert network.asked == [box]

    @pytest.mark.parametrize("is_detected", [True, False])
    def test_propagated_box_gives_way_to_the_last_landmarks(self, *, is_detected: bool) -> None:
        first = face_of(mesh_at(200, 200), 1)
        network = StubNetwork([region_of_box(first.box_xyxy, first.keypoints)])
        reader = self.reader(network)
        (before,) = reader.read(RGB, [first])
        assert before is not None
        second = face_of(mesh_at(204, 200), 1, is_detected=is_detected)
        box, last = region_of_box(second.box_xyxy, second.keypoints), region_of_points(before.points)
        network.asked.clear()
        assert reader.read(RGB, [second]) == [None]
        if not is_detected:
            # Where it was read before, moved as the box has moved: that is the box's region here.
            assert astuple(network.asked.pop(0)) == pytest.approx(astuple(box))
        assert network.asked == ([box, last] if is_detected else [last, box])

    def test_last_landmarks_far_from_the_box_are_not_looked_at(self) -> None:
        first, second = face_of(mesh_at(200, 200), 1), face_of(mesh_at(300, 200), 1, is_detected=False)
        network = StubNetwork([region_of_box(first.box_xyxy, first.keypoints)])
        reader = self.reader(network)
        reader.read(RGB, [first])
        network.asked.clear()
        reader.read(RGB, [second])
        moved, box = network.asked
        assert box == region_of_box(second.box_xyxy, second.keypoints)
        assert astuple(moved) == pytest.approx(astuple(box))

    def test_a_propagated_face_is_read_where_it_was_detected_and_nothing_is_suggested(self) -> None:
        """The region that was suggested moves with the box and turns with the landmarks."""
        first, second = face_of(mesh_at(200, 200), 1), face_of(mesh_at(220, 212), 1, is_detected=False)
        suggested = Region(206, 209, 130, 0.1)
        network = StubNetwork([suggested], [suggested])
        reader = self.reader(network)
        reader.read(RGB, [first])
        network.asked.clear()
        network.suggested.clear()
        reader.read(RGB, [second])
        assert astuple(network.asked[0]) == pytest.approx((226, 221, 130, 0.1))

    def test_tracks_keep_their_own_regions_and_vanished_ones_are_forgotten(self) -> None:
        faces = [face_of(mesh_at(x, 200), track) for x, track in ((150, 1), (350, 7), (500, None))]
        network = StubNetwork([region_of_box(face.box_xyxy, face.keypoints) for face in faces])
        reader = self.reader(network)
        assert all(reader.read(RGB, faces))
        reader.read(RGB, faces[1:])
        network.asked.clear()
        moved = [face_of(mesh_at(x + 4, 200), track, is_detected=False) for x, track in ((150, 1), (350, 7))]
        assert reader.read(RGB, moved) == [None, None]
        # The first was gone and is looked for around its box alone, the second also where it was.
        assert len(network.asked) == 1 + 3
        assert network.asked[0] == region_of_box(moved[0].box_xyxy, moved[0].keypoints)
