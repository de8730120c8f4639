"""Every way to run a backbone on this machine, beside ONNX Runtime in fp32: how fast, and how far off.

    python benchmarks/backends.py [--backbone NAME|FILE]... [--faces FOLDER] [--rounds 5] [--seconds 5]

Each runtime is measured alone, in turn, `--rounds` times; the median counts. Faces are cut out of every 10th frame of
the demo clip unless a folder of crops is given. Without `--backbone`, the embedded one and an EfficientNet-B0 of 224 px
with random weights, in EmotiEffLib's layout, are run: weights do not change speed, but random ones let errors grow, so
that its differences say little; give the real file for those. int8 is measured where the file NAME.int8.onnx is there
(`affectline models quantise`).
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from affectline.assets import fetch
from affectline.backbones import DEFAULT_BACKBONE, Backbone, load_backbone
from affectline.errors import AffectlineError
from affectline.faces.crops import crop_face
from affectline.faces.follower import FaceFollower
from affectline.faces.registry import DEFAULT_DETECTOR, load_detector
from affectline.heads.pretrained import expression_probabilities
from affectline.images import open_images
from affectline.records import Frame, UInt8Array
from affectline.runtime import DEFAULT_RUNTIME, PRECISIONS, Runtime
from affectline.video import Sampling, read_frames
from random_b0 import write_random_b0

EVERY = 10


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--backbone", action="append", default=[])
    parser.add_argument("--faces", type=Path)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=5, help="length of one measurement")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        names = arguments.backbone or [DEFAULT_BACKBONE, str(write_random_b0(Path(folder) / "random_b0.onnx"))]
        print("| backbone | runtime | faces/s | to the first | largest difference of p | labels that differ |")
        print("|---|---|---|---|---|---|")
        for name in names:
            _compare(name, arguments)


def _compare(name: str, arguments: argparse.Namespace) -> None:
    plain = load_backbone(name)
    faces = arguments.faces
    crops = demo_crops(plain) if faces is None else [frame.rgb for frame in open_images(faces).frames()]
    backbones = {"cpu, fp32": plain}
    for runtime in (Runtime(device, precision) for device, able in PRECISIONS.items() for precision in able):
        if runtime == DEFAULT_RUNTIME:
            continue
        words = f"{runtime.device.value}, {runtime.precision.value}"
        try:
            backbones[words] = load_backbone(name, runtime)
        except AffectlineError as error:
            print(f"{Path(name).name}: {words}: {error}", file=sys.stderr)
    inputs = np.stack([plain.prepare(crop) for crop in crops])
    rates: dict[str, list[float]] = {words: [] for words in backbones}
    for _ in range(arguments.rounds):
        for words, backbone in backbones.items():
            rates[words].append(_rate(backbone, inputs, arguments.seconds))
    medians = {words: statistics.median(found) for words, found in rates.items()}
    expected = _probabilities(plain, inputs)
    for words, backbone in backbones.items():
        found = _probabilities(backbone, inputs)
        differing = int((found.argmax(axis=1) != expected.argmax(axis=1)).sum())
        print(
            f"| {Path(name).stem} | {words} | {medians[words]:.0f} | {medians[words] / medians['cpu, fp32']:.2f} "
            f"| {np.abs(found - expected).max():.1g} | {differing} of {len(inputs)} |"
        )


def _rate(backbone: Backbone, inputs: np.ndarray, seconds: float) -> float:
    """Return faces a second; the first run is not counted."""
    backbone.run(inputs)
    done, began = 0, time.perf_counter()
    while time.perf_counter() - began < seconds:
        backbone.run(inputs)
        done += len(inputs)
    return done / (time.perf_counter() - began)


def _probabilities(backbone: Backbone, inputs: np.ndarray) -> np.ndarray:
    return expression_probabilities(backbone.run(inputs).logits, backbone.spec.temperature)


def demo_crops(backbone: Backbone) -> list[UInt8Array]:
    """Return the face in every 10th frame of the demo clip, as the backbone gets it."""
    follower = FaceFollower(load_detector(DEFAULT_DETECTOR))
    frames: list[Frame] = list(read_frames(fetch("demo_clip"), Sampling(every=EVERY)))
    found = [(frame.rgb, face.box_xyxy) for frame in frames for face in follower.find(frame)]
    return [crop_face(rgb, box, backbone.spec.crop) for rgb, box in found]


if __name__ == "__main__":
    main()
