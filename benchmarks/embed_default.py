"""Put a trained network into the package as the default backbone, described as the registry says.

    python benchmarks/embed_default.py OUT/mobilenet96_ferplus.onnx src/affectline/data/mobilenet96_ferplus.onnx

OUT is what `affectline finetune` wrote (docs/models). What the file says of its origin becomes the registry's words;
the network stays as it is. A registry whose temperature is another than the trained file's is an error. Printed are the
size and the digest that the registry of assets needs.
"""

from __future__ import annotations

import argparse
import hashlib
from dataclasses import replace
from pathlib import Path

import onnx

from affectline.backbones import BACKBONES, DEFAULT_BACKBONE, load_backbone
from affectline.backbones.files import METADATA_KEY
from affectline.backbones.spec import describe
from affectline.training.onnx_start import ARCHITECTURE_KEY, architecture_of

SPEC = BACKBONES[DEFAULT_BACKBONE]


def main() -> None:
    """Check, describe, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("trained", type=Path)
    parser.add_argument("out", type=Path)
    arguments = parser.parse_args()
    trained = load_backbone(arguments.trained).spec
    words = {name: getattr(SPEC, name) for name in ("training_data", "licence", "version", "source")}
    if replace(trained, **words) != SPEC:
        raise SystemExit(f"the registry says {SPEC}, the file {trained}: correct the registry")
    content = arguments.trained.read_bytes()
    network = onnx.load_model_from_string(content)
    onnx.helper.set_model_props(network, {METADATA_KEY: describe(SPEC), ARCHITECTURE_KEY: architecture_of(content)})
    described = network.SerializeToString()
    arguments.out.write_bytes(described)
    print(f"{arguments.out}: {len(described)} bytes, sha256 {hashlib.sha256(described).hexdigest()}")


if __name__ == "__main__":
    main()
