"""With what training begins, and where it must stop. Needs the extra [finetune]: `make test-finetune`."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("timm", reason="needs the extra [finetune]")

import timm
import torch
from safetensors.torch import save_file
from torch import nn

from affectline.backbones import BACKBONES, load_backbone
from affectline.backbones.spec import BackboneSpec, Interpolation, ResizeStep
from affectline.errors import InputError, ModelFileError, UnknownNameError
from affectline.labels import ABAW_EXPRESSION_8, FERPLUS_8, Task
from affectline.training.cnn import FaceNetwork, load_start
from affectline.training.export import export_backbone
from affectline.training.ferplus_recipe import FerPlusRecipe
from affectline.training.finetune import FinetuneData, finetune
from affectline.training.finetune_params import FinetuneParams
from affectline.training.losses import make_loss
from affectline.training.start import Start, begin, plan

SIZE = 64
SPEC = replace(
    BACKBONES["mobilenet96_ferplus"], name="mine", size=SIZE, resize=(ResizeStep(Interpolation.LINEAR, SIZE),)
)
FERPLUS, ABAW = (tuple(label.value for label in labels) for labels in (FERPLUS_8, ABAW_EXPRESSION_8))


def pictures(n: int = 4) -> np.ndarray:
    return np.random.default_rng(0).uniform(-1, 1, (n, 3, SIZE, SIZE)).astype(np.float32)


def outputs(network: FaceNetwork) -> tuple[np.ndarray, np.ndarray]:
    network.eval()
    with torch.inference_mode():
        embedding, logits = network(torch.from_numpy(pictures()))
    return embedding.numpy(), logits.numpy()


def exported(arch: str, folder: Path, spec: BackboneSpec = SPEC) -> tuple[FaceNetwork, Path]:
    """A network in which everything matters, also what gates and shifts, and its file."""
    torch.manual_seed(5)
    network = FaceNetwork(arch, 8).eval()
    with torch.no_grad():
        for name, tensor in network.named_parameters():
            if ".se." in name:
                tensor.mul_(20)
            elif name.endswith("bias"):
                nn.init.normal_(tensor, std=0.1)
    path = folder / f"{arch}.onnx"
    export_backbone(network, spec, path, pictures(), half=False)
    return network, path


@pytest.mark.parametrize("arch", ["tf_efficientnet_b0", "mobilenetv3_small_050"])
def test_gates_come_back_from_a_backbone_file(arch: str, tmp_path: Path) -> None:
    network, path = exported(arch, tmp_path)
    found = begin(Start(path), FinetuneParams(arch=arch, seed=1), Task.EXPR, FERPLUS, pictures)
    for mine, theirs in zip(outputs(found), outputs(network), strict=True):
        np.testing.assert_allclose(mine, theirs, atol=1e-3 * np.abs(theirs).max())


def test_a_file_whose_layers_cannot_be_read_back_is_refused(tmp_path: Path) -> None:
    import onnx
    from onnx import numpy_helper

    network, path = exported("tf_efficientnet_b0", tmp_path)
    model = onnx.load(path)
    (gate, *_) = [one for one in model.graph.initializer if one.name.endswith("se.conv_reduce.weight")]
    renamed = "hidden"
    for node in model.graph.node:
        node.input[:] = [renamed if name == gate.name else name for name in node.input]
    gate.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(gate), renamed))
    onnx.save(model, path)
    with pytest.raises(ModelFileError, match=r"not all layers of tf_efficientnet_b0 .* begin with the weights.saf"):
        begin(Start(path), FinetuneParams(arch=network.arch), Task.EXPR, FERPLUS, pictures)


@pytest.mark.parametrize(
    ("name", "arch"), [("mobilenet96_ferplus", "mobilenetv1_100"), ("lite0_ferplus", "tf_efficientnet_lite0")]
)
def test_the_last_layer_comes_along_for_the_same_labels_alone(name: str, arch: str) -> None:
    start, params = Start(name), FinetuneParams(arch=arch)
    known = load_backbone(name).run(np.repeat(pictures(), 2, axis=2).repeat(2, axis=3)[..., :96, :96])
    inputs = torch.from_numpy(np.repeat(pictures(), 2, axis=2).repeat(2, axis=3)[..., :96, :96].copy())
    for labels, is_same in ((FERPLUS, True), (ABAW, False)):
        network = begin(start, params, Task.EXPR, labels, pictures).eval()
        with torch.inference_mode():
            logits = network(inputs)[1].numpy()
        assert np.allclose(logits, known.logits, atol=1e-2) == is_same


def test_weights_of_timm_itself(tmp_path: Path) -> None:
    torch.manual_seed(3)
    theirs = timm.create_model("tf_efficientnet_b0", pretrained=False).eval()
    save_file(theirs.state_dict(), tmp_path / "model.safetensors")
    network = FaceNetwork("tf_efficientnet_b0", 8)
    load_start(network, network.arch, tmp_path / "model.safetensors")
    with torch.inference_mode():
        expected = theirs.forward_head(theirs.forward_features(torch.from_numpy(pictures())), pre_logits=True)
    np.testing.assert_allclose(outputs(network)[0], expected.numpy(), atol=1e-6)
    _, spec = plan(Start(tmp_path / "model.safetensors", "tf_efficientnet_b0"), "", "mine")
    assert spec.training_data == "model.safetensors, which does not say of what it was made"


@pytest.mark.parametrize("arch", ["mobilenetv3_large_100", "lcnet_050", "resnet18"])
def test_architectures_whose_embedding_is_wider_than_their_features(arch: str) -> None:
    embedding, logits = outputs(FaceNetwork(arch, 8))
    assert embedding.ndim == 2
    assert logits.shape == (4, 8)


@pytest.mark.parametrize("arch", ["vit_tiny_patch16_224", "vgg11_bn"])
def test_architectures_that_do_not_fit_are_refused(arch: str) -> None:
    with pytest.raises(InputError, match=rf"{arch} cannot be trained here: it must be a convolutional network"):
        FaceNetwork(arch, 8)


@pytest.mark.parametrize(
    ("init", "error", "match"),
    [
        ("mobilenet96_ferpluss", UnknownNameError, "neither a file nor one of imagenet, mobilenet96_ferplus, lite0"),
        ("mine.int8.onnx", ModelFileError, "is an 8-bit file, which cannot be trained; give the file it was made of"),
    ],
)
def test_other_starts_are_refused(init: str, error: type[Exception], match: str) -> None:
    with pytest.raises(error, match=match):
        Start(Path(init)).about()


def test_ferplus_takes_the_size_of_the_start(tmp_path: Path) -> None:
    _, path = exported("mobilenetv3_small_050", tmp_path)
    assert FerPlusRecipe(tmp_path, "mine", Start(path)).spec.size == SIZE
    assert FerPlusRecipe(tmp_path, "mine", Start(path, size=128)).spec.size == 128
    assert FerPlusRecipe(tmp_path, "mine").spec.size == 96


class Noise:
    """Pictures of nothing."""

    targets = np.tile(np.eye(8, dtype=np.float32), (2, 1))

    def __len__(self) -> int:
        return 16

    def picture(self, index: int) -> np.ndarray:
        return np.random.default_rng(index).integers(0, 255, (48, 48)).astype(np.uint8)


def test_a_run_that_diverges_stops_and_says_so() -> None:
    def loss(found: torch.Tensor, _: torch.Tensor) -> torch.Tensor:
        return found.sum() * float("nan")

    data = FinetuneData(SPEC, Noise(), Noise(), lambda _: 0.0, loss, "none")
    params = FinetuneParams(arch="mobilenetv3_small_050", epochs=2, batch_size=8)
    with pytest.raises(InputError, match=r"loss became nan in step 1 of 4: training diverged; use a --learning-rate"):
        finetune(FaceNetwork(params.arch, 8), data, params)


def test_a_network_of_no_numbers_is_not_exported(tmp_path: Path) -> None:
    network = FaceNetwork("mobilenetv3_small_050", 8).eval()
    nn.init.constant_(network.layers[-1].bias, float("nan"))
    with pytest.raises(ModelFileError, match="differs from PyTorch"):
        export_backbone(network, SPEC, tmp_path / "x.onnx", pictures())
    assert not list(tmp_path.iterdir())


def test_units_weigh_the_same_when_pictures_are_mixed() -> None:
    rng = np.random.default_rng(0)
    flags = (rng.random((4000, 1)) < 0.02).astype(np.float32)
    loss = make_loss(Task.AU, flags, 1)
    share = rng.uniform(0, 0.4, flags.shape).astype(np.float32)
    mixed = flags + share * (rng.permutation(flags) - flags)
    levels = np.linspace(-2, 2, 81).astype(np.float32)
    for target in (flags, mixed):
        losses = [float(loss(torch.full((4000, 1), float(level)), torch.from_numpy(target))) for level in levels]
        # What is best to say of all alike: a half, since both sides weigh the same.
        assert abs(levels[int(np.argmin(losses))]) < 0.2
