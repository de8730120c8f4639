"""Fit each detector's box to the reference box, and print how well that works.

    python benchmarks/fit_reference_box.py PHOTOGRAPH... [--roll 15]

The reference box comes from MediaPipe's landmark network (`face_truth.py`), on the photographs and on every 40th frame
of the demo clip. Heads that lean by more than `--roll` degrees do not count. Detectors whose wheel or weights are not
here are left out.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np

from affectline.assets import fetch
from affectline.errors import AssetError, MissingExtraError
from affectline.faces.blazeface import BlazeFace
from affectline.faces.detector import Detector
from affectline.faces.landmarks import LandmarkNetwork
from affectline.faces.libfacedetection import LibFaceDetection
from affectline.faces.reference import BoxFit, overlaps
from affectline.faces.yunet import YuNet
from affectline.records import FloatArray, UInt8Array
from face_truth import measure, read_clip, read_photograph

AS_DRAWN = BoxFit(shift_x=0, shift_y=0, scale_x=1, scale_y=1)
BUILDERS = {
    "blazeface": lambda: BlazeFace(fetch("face_landmarker"), AS_DRAWN),
    "libfacedetection": lambda: LibFaceDetection(AS_DRAWN),
    "yunet": lambda: YuNet(fetch("yunet"), AS_DRAWN),
}


def main() -> None:
    """Fit every detector that can run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photographs", nargs="+", type=Path)
    parser.add_argument("--roll", type=float, default=15.0, help="degrees")
    arguments = parser.parse_args()
    pictures = [read_photograph(path) for path in arguments.photographs] + list(read_clip(fetch("demo_clip"), 40))
    network = LandmarkNetwork(fetch("face_landmarker"))
    for name, build in BUILDERS.items():
        try:
            detector = build()
        except (MissingExtraError, AssetError) as error:
            print(f"{name}: left out, {error}")
            continue
        report(name, collect(detector, network, pictures), np.radians(arguments.roll))


@dataclass(frozen=True)
class Pairs:
    """What a detector drew (boxes (n, 4), keypoints (n, 4, 2)) and what is there (truths (n, 4), rolls (n,))."""

    boxes: FloatArray
    keypoints: FloatArray
    truths: FloatArray
    rolls: FloatArray

    def take(self, rows: FloatArray) -> Pairs:
        """Return the faces that a mask picks."""
        return Pairs(self.boxes[rows], self.keypoints[rows], self.truths[rows], self.rolls[rows])


def collect(detector: Detector, network: LandmarkNetwork, pictures: list[UInt8Array]) -> Pairs:
    """Return all faces of the pictures that the detector and the landmark network agree on."""
    rows = []
    for rgb in pictures:
        found = detector.scan(rgb)
        truth = measure(network, rgb, found)
        rows.append((found.boxes_xyxy[truth.rows], found.keypoints[truth.rows], truth.boxes_xyxy, truth.rolls))
    return Pairs(*(np.concatenate(column) for column in zip(*rows, strict=True)))


def fit(boxes: FloatArray, truths: FloatArray) -> BoxFit:
    """Return the least-squares fit, errors in parts of the detector's box: each number is then a mean of its own."""
    sizes, true_sizes = boxes[:, 2:] - boxes[:, :2], truths[:, 2:] - truths[:, :2]
    shifts = (truths[:, :2] + truths[:, 2:] - boxes[:, :2] - boxes[:, 2:]) / 2 / sizes
    values = np.concatenate([shifts.mean(axis=0), (true_sizes / sizes).mean(axis=0)])
    return BoxFit(*(round(float(value), 3) for value in values))


def report(name: str, pairs: Pairs, max_roll: float) -> None:
    """Print the fit, how well boxes overlap the reference boxes before and after it, and where the keypoints lie."""
    upright = pairs.take(np.abs(pairs.rolls) <= max_roll)
    fitted = fit(upright.boxes, upright.truths)
    print(name, ", ".join(f"{field.name}={getattr(fitted, field.name)}" for field in fields(fitted)))
    for label, boxes in (("as drawn", upright.boxes), ("fitted", fitted.apply(upright.boxes))):
        shared = np.diag(overlaps(boxes, upright.truths))
        fifth = np.percentile(shared, 5)
        print(f"  {label}: IoU mean {shared.mean():.3f}, 5th percentile {fifth:.3f}, {len(shared)} faces")
    sizes = (upright.truths[:, 2:] - upright.truths[:, :2])[:, None]
    places = (upright.keypoints - upright.truths[:, None, :2]) / sizes
    print("  keypoints in the reference box:", [[round(float(v), 2) for v in point] for point in places.mean(axis=0)])


if __name__ == "__main__":
    main()
