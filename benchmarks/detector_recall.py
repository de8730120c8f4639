"""Recall, false alarms and cost of the face detectors, and how often the expression depends on the detector.

    OMP_NUM_THREADS=1 python benchmarks/detector_recall.py PHOTOGRAPH... --backgrounds PICTURE... [--frames 24]

Frames of 1280x720 are put together (`composites.py`) from the photographs that hold exactly one face, and from frames
of the demo clip, on backgrounds without faces. This is no public benchmark: pasted faces are well lit, mostly frontal,
sharp; the truth is MediaPipe's landmark network on the full-size original. Detectors whose wheel or weights are
not here are left out. The tables are printed as Markdown.
"""

from __future__ import annotations

import argparse
import itertools
import statistics
import time
from collections.abc import Callable, Iterable
from pathlib import Path

import cv2
import numpy as np

from affectline.assets import fetch
from affectline.backbones import DEFAULT_BACKBONE, load_backbone
from affectline.errors import AssetError, MissingExtraError
from affectline.faces.crops import crop_face
from affectline.faces.detector import Detector
from affectline.faces.landmarks import LandmarkNetwork
from affectline.faces.reference import overlaps
from affectline.faces.registry import DETECTORS, load_detector
from affectline.records import Detections, FloatArray, UInt8Array
from composites import FACES_PER_FRAME, Composite, Source, compose, make_source
from face_truth import read_clip, read_photograph

Search = Callable[[Composite], Detections]
CYCLE = 7  # calls of `follow` in which every phase comes up
NO_BOXES = np.empty((0, 4), np.float32)


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photographs", nargs="+", type=Path)
    parser.add_argument("--backgrounds", nargs="+", type=Path, required=True, help="pictures without faces")
    parser.add_argument("--frames", type=int, default=24, help="frames for each face height")
    arguments = parser.parse_args()
    cv2.setNumThreads(1)
    detectors = list(_available())
    pictures = [read_photograph(path) for path in arguments.photographs] + list(read_clip(fetch("demo_clip"), 40))
    network = LandmarkNetwork(fetch("face_landmarker"))
    found = [make_source(network, rgb, [detector.scan(rgb) for detector in detectors]) for rgb in pictures]
    sources = [source for source in found if source is not None]
    backgrounds = [read_photograph(path) for path in arguments.backgrounds]
    frames = _frames(sources, backgrounds, arguments.frames)
    print(f"{len(sources)} sources, {len(backgrounds)} backgrounds, {arguments.frames} frames a height\n")
    _print_recall(detectors, frames, backgrounds)
    _print_flips(detectors)


def _available() -> Iterable[Detector]:
    for name in DETECTORS:
        try:
            yield load_detector(name)
        except (MissingExtraError, AssetError) as error:
            print(f"{name}: left out, {error}\n")


def _frames(sources: list[Source], backgrounds: list[UInt8Array], count: int) -> dict[int, list[Composite]]:
    """Return this many frames for each height, the same ones in every run."""
    rng = np.random.default_rng(0)
    return {
        height: [compose(backgrounds[k % len(backgrounds)], sources, height, rng) for k in range(count)]
        for height in FACES_PER_FRAME
    }


def _print_recall(detectors: list[Detector], frames: dict[int, list[Composite]], backgrounds: list[UInt8Array]) -> None:
    heights = " | ".join(f"{height} px" for height in frames)
    print(f"| detector | {heights} | precision | false faces a background | ms a frame |")
    print("|---|" + "---|" * (len(frames) + 3))
    for detector in detectors:
        for label, search in _searches(detector):
            counts = {height: _count(search, composites) for height, composites in frames.items()}
            recalls = " | ".join(f"{hits / faces:.2f}" for hits, faces, _ in counts.values())
            hits, alarms = (sum(count[k] for count in counts.values()) for k in (0, 2))
            false_faces = statistics.mean(len(search(Composite(rgb, NO_BOXES))) for rgb in backgrounds)
            cost = _milliseconds(search, frames[160])
            precision = hits / max(1, hits + alarms)
            print(f"| {label} | {recalls} | {precision:.3f} | {false_faces:.2f} | {cost:.1f} |")
    print()


def _searches(detector: Detector) -> list[tuple[str, Search]]:
    """Return the ways to use a detector: scan, and follow where that is something else."""
    scan = (f"{detector.name}, scan", lambda frame: detector.scan(frame.rgb))
    if detector.name != "blazeface":
        return [scan]
    phases = itertools.count()

    def follow(frame: Composite) -> Detections:
        # As if every face had moved by a fifth of its size since the frame before.
        sizes = frame.boxes_xyxy[:, 2:] - frame.boxes_xyxy[:, :2]
        return detector.follow(frame.rgb, frame.boxes_xyxy + np.tile(0.2 * sizes, 2), next(phases))

    def discover(frame: Composite) -> Detections:
        known = NO_BOXES
        for phase in range(CYCLE):
            detections = detector.follow(frame.rgb, known, phase)
            known = detections.boxes_xyxy
        return detections

    return [
        scan,
        (f"{detector.name}, follow, faces expected", follow),
        (f"{detector.name}, follow, {CYCLE} calls from nothing", discover),
    ]


def _count(search: Search, composites: list[Composite]) -> tuple[int, int, int]:
    """Return faces found at IoU 0.5, faces there, and detections that are none of them."""
    hits = faces = alarms = 0
    for composite in composites:
        found = search(composite).boxes_xyxy
        matched = _matches(found, composite.boxes_xyxy)
        hits, faces, alarms = hits + matched, faces + len(composite.boxes_xyxy), alarms + len(found) - matched
    return hits, faces, alarms


def _matches(found: FloatArray, truth: FloatArray) -> int:
    """Return how many faces are found: pasted faces do not overlap, so no detection serves for two."""
    if not len(found):
        return 0
    return int((overlaps(truth, found).max(axis=1) >= 0.5).sum())


def _milliseconds(search: Search, composites: list[Composite]) -> float:
    """Return the median processor time of a call on frames in which only one face is expected.

    One thread works, so on an idle machine this is the time that passes.
    """
    times = []
    for composite in composites:
        alone = Composite(composite.rgb, composite.boxes_xyxy[:1])
        search(alone)
        start = time.process_time()
        search(alone)
        times.append(time.process_time() - start)
    return 1000 * statistics.median(times)


def _print_flips(detectors: list[Detector]) -> None:
    """Print on how many frames of the demo clip the likeliest expression differs between two detectors."""
    backbone = load_backbone(DEFAULT_BACKBONE)
    crops: dict[str, list[UInt8Array]] = {detector.name: [] for detector in detectors}
    for rgb in read_clip(fetch("demo_clip"), 1):
        boxes = [detector.scan(rgb).boxes_xyxy for detector in detectors]
        if all(len(found) for found in boxes):
            for detector, found in zip(detectors, boxes, strict=True):
                crops[detector.name].append(crop_face(rgb, found[0], backbone.spec.crop))
    labels = {name: backbone.features(list_).logits.argmax(axis=1) for name, list_ in crops.items()}
    print("| detectors | frames of the demo clip with a face by both | another label |\n|---|---|---|")
    for one, other in itertools.combinations(labels, 2):
        differ = (labels[one] != labels[other]).mean()
        print(f"| {one}, {other} | {len(labels[one])} | {100 * differ:.1f} % |")
    for name, of_frames in labels.items():
        print(f"| {name}, a frame and the next | {len(of_frames)} | {100 * np.mean(np.diff(of_frames) != 0):.1f} % |")


if __name__ == "__main__":
    main()
