"""Backbones side by side on photographs that none of them learned from, found and cut out by affectline.

    python benchmarks/photographs.py FOLDER --backbone mobilenet96_ferplus --backbone lite0_ferplus

FOLDER is a copy of github.com/muxspace/facial_expressions: `images/` (grey and colour, web photographs of people who
are known to the public) and `data/legend.csv` (one person's word for each). Of a class with more than 400 pictures, 300
are drawn. The largest face counts; pictures in which none is found (many are cut off at the chin) are left out.
Printed is the recall of each class, and their mean. The labels are one opinion each: the difference between two
backbones tells more than the level.
"""

from __future__ import annotations

import argparse
import csv
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np

from affectline.assets import fetch
from affectline.backbones import BACKBONES, Backbone, load_backbone
from affectline.faces.blazeface import BlazeFace
from affectline.faces.crops import crop_face
from affectline.faces.detector import Detector
from affectline.records import UInt8Array

MANY, DRAWN = 400, 300


def main() -> None:
    """Find the faces, ask every backbone, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--backbone", action="append", required=True, metavar="NAME_OR_FILE", help="may be repeated")
    arguments = parser.parse_args()
    names: list[str] = arguments.backbone
    backbones = [load_backbone(name if name in BACKBONES else Path(name)) for name in names]
    detector = BlazeFace(fetch("face_landmarker"))
    wanted, said = [], []
    for path, label in chosen(arguments.folder):
        rgb = read(path)
        box = None if rgb is None else largest_face(detector, rgb)
        if rgb is None or box is None:
            continue
        wanted.append(label)
        said.append([answer(backbone, crop_face(rgb, box, backbone.spec.crop)) for backbone in backbones])
    labels, answers = np.array(wanted), np.array(said)
    classes = sorted(set(wanted))
    print(f"| {len(labels)} photographs | {' | '.join(f'{one} ({(labels == one).sum()})' for one in classes)} | mean |")
    print("|---" * (len(classes) + 2) + "|")
    for number, name in enumerate(names):
        recalls = [float((answers[labels == one, number] == one).mean()) for one in classes]
        print(f"| {Path(name).name} | {' | '.join(f'{one:.3f}' for one in recalls)} | {np.mean(recalls):.3f} |")


def chosen(folder: Path) -> Iterator[tuple[Path, str]]:
    """Give the pictures with their labels, class by class."""
    found: dict[str, set[Path]] = {}
    with (folder / "data" / "legend.csv").open(encoding="utf-8") as file:
        for row in csv.DictReader(file):
            found.setdefault(row["emotion"].strip().capitalize(), set()).add(folder / "images" / row["image"])
    rng = np.random.default_rng(0)
    for label, paths in sorted(found.items()):
        if label == "Emotion":  # a second header in the middle of the file
            continue
        ordered = sorted(paths)
        drawn = rng.permutation(len(ordered))[:DRAWN] if len(ordered) > MANY else np.arange(len(ordered))
        yield from ((ordered[number], label) for number in drawn)


def read(path: Path) -> UInt8Array | None:
    """Return a picture, RGB; None if it cannot be read."""
    picture = cv2.imread(str(path))
    return None if picture is None else np.ascontiguousarray(picture[..., ::-1])


def largest_face(detector: Detector, rgb: UInt8Array) -> np.ndarray | None:
    """Return the box of the largest face, shape (4,), pixels; None if there is no face."""
    boxes = detector.scan(rgb).boxes_xyxy
    return max(boxes, key=lambda box: (box[2] - box[0]) * (box[3] - box[1])) if len(boxes) else None


def answer(backbone: Backbone, crop: UInt8Array) -> str:
    """Return the expression that a backbone sees."""
    (logits,) = backbone.run(backbone.prepare(crop)[None]).logits
    return backbone.spec.labels[int(logits.argmax())].value


if __name__ == "__main__":
    main()
