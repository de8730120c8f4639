"""What every run of fine-tuning ends with: the backbone file, its int8 form, and weights to go on with."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from affectline.backbones.spec import BackboneSpec
from affectline.errors import OutputError
from affectline.records import FloatArray
from affectline.training.cnn import FaceNetwork
from affectline.training.export import Exported, export_backbone
from affectline.training.pictures import PictureSet, as_inputs
from affectline.training.quantise import CALIBRATION_PICTURES, write_int8
from affectline.training.weights import AboutWeights, save_weights

WEIGHTS_NAME = "weights.safetensors"
_PROBES = 16


def make_folder(out: Path) -> None:
    """Make a folder unless it is there.

    Raises:
        OutputError: it cannot be made.
    """
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"cannot make {out}: {error.strerror}; choose another folder") from error


def write_network(
    network: FaceNetwork, spec: BackboneSpec, pictures: PictureSet, out: Path, int8: bool
) -> tuple[Exported, Path | None]:
    """Write `NAME.onnx`, `NAME.int8.onnx` if that is wanted, and `weights.safetensors`.

    Args:
        network: trained.
        spec: what the backbone file says of itself.
        pictures: of the training data: the export is compared on some, int8 is scaled by some.
        out: folder.
        int8: write that form too.

    Returns:
        The backbone file and the int8 file.

    Raises:
        ModelFileError: ONNX and PyTorch do not compute the same.
        OutputError: a file cannot be written.
    """
    network = network.cpu()
    probes = as_inputs(pictures, _spread(len(pictures), _PROBES), spec)
    exported = export_backbone(network, spec, out / f"{spec.name}.onnx", probes)
    save_weights(out / WEIGHTS_NAME, network.state_dict(), AboutWeights(network.arch, exported.sha256, spec))
    if not int8:
        return exported, None
    small = out / f"{spec.name}.int8.onnx"
    write_int8(exported.plain, calibration_inputs(pictures, spec), small)
    return exported, small


def calibration_inputs(pictures: PictureSet, spec: BackboneSpec) -> FloatArray:
    """Return training pictures from which a network's statistics are taken: shape (n, 3, S, S), float32."""
    return as_inputs(pictures, _spread(len(pictures), CALIBRATION_PICTURES), spec)


def _spread(n: int, wanted: int) -> list[int]:
    """Return positions evenly spread over n things, at least two."""
    return [round(place) for place in np.linspace(0, n - 1, max(2, min(n, wanted)))]
