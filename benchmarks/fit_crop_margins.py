"""Measure how the crops that backbones learned from lie to the reference box (`affectline.faces.reference`).

    python benchmarks/fit_crop_margins.py ferplus FACE_LANDMARKER.task FERPLUS.npz
    python benchmarks/fit_crop_margins.py sensitivity FACE_LANDMARKER.task FERPLUS.npz
    python benchmarks/fit_crop_margins.py mtcnn FACE_LANDMARKER.task VIDEO_OR_PICTURE...

The first holds the photographs of FER+ against the box of MediaPipe's mesh; the second cuts them anew around that box,
with several margins, and prints the default backbone's accuracy. The third measures the boxes of facenet-pytorch's
MTCNN, called as in EmotiEffLib's tutorials; that needs `pip install --no-deps facenet-pytorch==2.6.0` and torch.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from affectline import Sampling, read_frames
from affectline.backbones import DEFAULT_BACKBONE, load_backbone
from affectline.faces.crops import crop_face
from affectline.faces.landmarks import LandmarkNetwork
from affectline.faces.regions import Region, region_of_points
from affectline.records import CropPolicy, FloatArray, UInt8Array

MESH_POINTS = 468
"""The first points of the 478: the mesh without the irises."""

MAX_ROLL_DEG = 10
EVERY = 10
PHOTOGRAPHS = 1500


def main() -> None:
    """Measure one kind of crop."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kind", choices=["ferplus", "sensitivity", "mtcnn"])
    parser.add_argument("task_file", type=Path)
    parser.add_argument("inputs", type=Path, nargs="+")
    args = parser.parse_args()
    network = LandmarkNetwork(args.task_file)
    if args.kind == "ferplus":
        report(np.array(list(ferplus_pairs(network, args.inputs[0]))))
    elif args.kind == "sensitivity":
        report_sensitivity(network, args.inputs[0])
    else:
        report(np.array([pair for path in args.inputs for pair in mtcnn_pairs(network, path)]))


def report(pairs: NDArray[np.float64]) -> None:
    """Print how the crops lie to the mesh boxes: shape (n, 2, 4), crop and mesh box, x1, y1, x2, y2."""
    crops, boxes = pairs[:, 0], pairs[:, 1]
    crop_wh, box_wh = crops[:, 2:] - crops[:, :2], boxes[:, 2:] - boxes[:, :2]
    offset = ((crops[:, :2] + crops[:, 2:]) - (boxes[:, :2] + boxes[:, 2:])) / 2 / box_wh
    print(f"{len(pairs)} faces; quartiles (25 %, 50 %, 75 %):")
    show("crop width / box width", crop_wh[:, 0] / box_wh[:, 0])
    show("crop height / box height", crop_wh[:, 1] / box_wh[:, 1])
    show("crop's longer side / box's longer side", crop_wh.max(axis=1) / box_wh.max(axis=1))
    show("box height / box width", box_wh[:, 1] / box_wh[:, 0])
    show("crop centre right of box centre, in box widths", offset[:, 0])
    show("crop centre below box centre, in box heights", offset[:, 1])


def show(name: str, values: NDArray[np.float64]) -> None:
    """Print the quartiles of one quantity."""
    low, middle, high = np.percentile(values, [25, 50, 75])
    print(f"  {name}: {low:.3f}  {middle:.3f}  {high:.3f}")


def mesh_box(network: LandmarkNetwork, rgb: UInt8Array, region: Region) -> FloatArray | None:
    """Return the box of the mesh, looked at twice, None where no upright face is seen."""
    for _ in range(2):
        landmarks = network.read(rgb, region)
        if landmarks is None:
            return None
        region = region_of_points(landmarks.points)
    if abs(np.degrees(region.angle)) > MAX_ROLL_DEG:
        return None
    mesh = landmarks.points[:MESH_POINTS, :2]
    return np.concatenate([mesh.min(axis=0), mesh.max(axis=0)])


def ferplus_pairs(network: LandmarkNetwork, path: Path) -> Iterator[tuple[FloatArray, FloatArray]]:
    """Give the whole picture and the mesh box of each photograph in which a face is seen."""
    with np.load(path) as arrays:
        pictures = arrays["valid_x"][:PHOTOGRAPHS]
    side = pictures.shape[1]
    whole = np.array([0, 0, side, side], np.float32)
    for picture in pictures:
        box = photograph_box(network, in_colour(picture))
        if box is not None:
            yield whole, box


def in_colour(picture: UInt8Array) -> UInt8Array:
    """Return a grey picture as an RGB one."""
    return np.repeat(picture[..., None], 3, axis=2)


def photograph_box(network: LandmarkNetwork, rgb: UInt8Array) -> FloatArray | None:
    """Return the box of the mesh in a photograph that a face fills."""
    side = rgb.shape[0]
    # The network wants the face to fill two thirds of what it sees.
    return mesh_box(network, rgb, Region(side / 2, side / 2, 1.5 * side, 0.0))


def report_sensitivity(network: LandmarkNetwork, path: Path) -> None:
    """Print the default backbone's accuracy on FER+ photographs that are cut anew; every third of two splits."""
    with np.load(path) as arrays:
        pictures = np.concatenate([arrays["valid_x"], arrays["test_x"]])[::3]
        votes = np.concatenate([arrays["valid_v"], arrays["test_v"]])[::3].astype(float)
    votes[votes <= 1] = 0
    labels = votes.argmax(axis=1)
    backbone = load_backbone(DEFAULT_BACKBONE)
    found = [
        (rgb, box, label)
        for rgb, label in zip(map(in_colour, pictures), labels, strict=True)
        if label < len(backbone.spec.labels) and (box := photograph_box(network, rgb)) is not None
    ]
    truth = np.array([label for _, _, label in found])

    def accuracy(crops: list[UInt8Array]) -> float:
        return float((backbone.features(crops).logits.argmax(axis=1) == truth).mean())

    print(f"{len(found)} photographs, uncut: {accuracy([rgb for rgb, _, _ in found]):.2%}")
    for shift in (0.0, 0.05):
        for margin in (-0.1, 0.0, 0.07, 0.15, 0.25):
            policy = CropPolicy(margin, square=True)
            crops = [crop_face(rgb, moved_up(box, shift), policy) for rgb, box, _ in found]
            print(f"margin {margin}, centre {shift} box heights higher: {accuracy(crops):.2%}")


def moved_up(box_xyxy: FloatArray, shift: float) -> FloatArray:
    """Return the box moved up by a part of its height."""
    x1, y1, x2, y2 = box_xyxy
    return np.array([x1, y1 - shift * (y2 - y1), x2, y2 - shift * (y2 - y1)], np.float32)


def mtcnn_pairs(network: LandmarkNetwork, path: Path) -> Iterator[tuple[FloatArray, FloatArray]]:
    """Give MTCNN's box and the mesh box of each face of a picture or of every tenth frame of a video."""
    from facenet_pytorch import MTCNN  # noqa: PLC0415 - torch is needed for this part alone

    detector = MTCNN(keep_all=True, post_process=False, min_face_size=40, device="cpu")
    for rgb in pictures_of(path):
        found, probabilities = detector.detect(rgb)
        for box, probability in zip([] if found is None else found, probabilities, strict=False):
            x1, y1, x2, y2 = box.astype(int)
            if probability is None or probability < 0.9:
                continue
            region = Region((x1 + x2) / 2, (y1 + y2) / 2, 1.5 * max(x2 - x1, y2 - y1), 0.0)
            mesh = mesh_box(network, rgb, region)
            if mesh is not None:
                yield np.array([x1, y1, x2, y2], np.float32), mesh


def pictures_of(path: Path) -> Iterator[UInt8Array]:
    """Give the RGB pixels of a picture, or of every tenth frame of a video."""
    picture = cv2.imread(str(path))
    if picture is not None:
        yield cv2.cvtColor(picture, cv2.COLOR_BGR2RGB)
        return
    for frame in read_frames(path, Sampling(every=EVERY)):
        yield frame.rgb


if __name__ == "__main__":
    main()
