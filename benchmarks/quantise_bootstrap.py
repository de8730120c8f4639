"""Write the int8 form of a backbone, scaled by training photographs of FER+.

    python benchmarks/quantise_bootstrap.py src/affectline/data/lite0_ferplus.onnx FERPLUS.npz bootstrap.int8.onnx

It teaches (`affectline finetune --teacher`) as the whole file does, and faster.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import onnx

from affectline.backbones import load_backbone
from affectline.datasets.ferplus import load_ferplus
from affectline.training.finish import calibration_inputs
from affectline.training.pictures import FerPlusPictures
from affectline.training.quantise import write_int8


def main() -> None:
    """Read, measure how large activations get, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("backbone", type=Path)
    parser.add_argument("ferplus", type=Path)
    parser.add_argument("out", type=Path)
    arguments = parser.parse_args()
    train = FerPlusPictures.of(load_ferplus(arguments.ferplus)["train"])
    inputs = calibration_inputs(train, load_backbone(arguments.backbone).spec)
    write_int8(onnx.load(arguments.backbone), inputs, arguments.out)


if __name__ == "__main__":
    main()
