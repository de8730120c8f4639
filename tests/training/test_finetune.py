"""Training networks on pictures. Needs the extra [finetune]: `make test-finetune`."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("timm", reason="needs the extra [finetune]")

import torch
from safetensors.torch import save_file

from affectline.backbones import BACKBONES
from affectline.backbones.preprocess import Preprocessor
from affectline.backbones.spec import Interpolation, ResizeStep
from affectline.errors import InputError, InputFileError, ModelFileError, ResumeError
from affectline.training.augment import NO_AUGMENTATION, AugmentParams
from affectline.training.cnn import FaceNetwork, load_start
from affectline.training.finetune import (
    EpochRecord,
    FinetuneData,
    FinetuneRun,
    finetune,
    run_network,
    soft_cross_entropy,
)
from affectline.training.finetune_params import FinetuneParams
from affectline.training.pictures import as_input, shrink

SIZE = 32
SPEC = replace(
    BACKBONES["lite0_ferplus"],
    size=SIZE,
    resize=(ResizeStep(Interpolation.AREA, 24), ResizeStep(Interpolation.LINEAR, SIZE)),
)
QUICK = FinetuneParams(
    arch="tf_efficientnet_lite0", epochs=2, batch_size=16, learning_rate=2e-3, average=0.9, warmup=0.1,
    augment=AugmentParams(erase=0, coarse=0),
)  # fmt: skip


@dataclass(frozen=True)
class Bars:
    """Grey pictures with a bright bar: upright or lying, in noise. A network can tell them apart."""

    images: np.ndarray
    targets: np.ndarray

    def __len__(self) -> int:
        return len(self.images)

    def picture(self, index: int) -> np.ndarray:
        return self.images[index]


def bars(n: int, seed: int) -> Bars:
    rng = np.random.default_rng(seed)
    images = rng.integers(0, 60, (n, 24, 24)).astype(np.uint8)
    lying = rng.random(n) < 0.5
    for number in range(n):
        place = rng.integers(4, 18)
        if lying[number]:
            images[number, place : place + 4] += 150
        else:
            images[number, :, place : place + 4] += 150
    targets = np.zeros((n, 8), np.float32)
    targets[np.arange(n), lying.astype(int)] = 1
    return Bars(images, targets)


def data(n: int = 80) -> FinetuneData:
    valid = bars(40, 99)
    truth = valid.targets.argmax(axis=1)
    return FinetuneData(SPEC, bars(n, 1), valid, lambda outputs: float((outputs.argmax(axis=1) == truth).mean()))


def network(seed: int = 0, params: FinetuneParams = QUICK) -> FaceNetwork:
    torch.manual_seed(seed)
    return FaceNetwork(params.arch, 8, params.drop, params.drop_path)


def weights(found: FaceNetwork) -> dict[str, torch.Tensor]:
    return {name: tensor.clone() for name, tensor in found.state_dict().items()}


def test_learns_what_can_be_seen() -> None:
    params = replace(QUICK, epochs=8, learning_rate=3e-3)
    found, records = finetune(network(), data(320), params)
    assert records[-1].score > 0.85
    assert records[-1].loss < records[0].loss
    assert [record.epoch for record in records] == list(range(1, 9))
    assert records[-1].learning_rate < 1e-4
    valid = data().valid
    assert (run_network(found, valid, SPEC).argmax(axis=1) == valid.targets.argmax(axis=1)).mean() == records[-1].score


@pytest.mark.parametrize("minutes", [8.0, 0.0], ids=["between epochs", "within an epoch"])
def test_a_resumed_run_equals_an_unbroken_one(minutes: float, tmp_path: Path) -> None:
    unbroken, records = finetune(network(), data(), QUICK)

    def kill(done: int, _: int | None) -> None:
        if done == (6 if minutes else 7):
            raise KeyboardInterrupt

    checkpoint = tmp_path / "state"
    with pytest.raises(KeyboardInterrupt):
        finetune(network(), data(), QUICK, FinetuneRun(checkpoint, minutes=minutes, on_progress=kill))
    resumed: list[EpochRecord] = []
    steps: list[int] = []
    run = FinetuneRun(checkpoint, True, on_epoch=resumed.append, on_progress=lambda done, _: steps.append(done))
    found, again = finetune(network(), data(), QUICK, run)
    assert len(resumed) == 1
    assert steps[0] == (6 if minutes else 7)
    assert [(one.loss, one.score) for one in again] == [(one.loss, one.score) for one in records]
    for name, tensor in weights(unbroken).items():
        assert torch.equal(tensor, found.state_dict()[name]), name


def test_another_runs_checkpoint_is_refused(tmp_path: Path) -> None:
    finetune(network(), data(), replace(QUICK, epochs=1), FinetuneRun(tmp_path / "state"))
    for other in (replace(QUICK, epochs=1, seed=3), replace(QUICK, epochs=1, learning_rate=1e-4)):
        with pytest.raises(ResumeError, match="other data or parameters"):
            finetune(network(), data(), other, FinetuneRun(tmp_path / "state", resume=True))
    (tmp_path / "state").write_bytes(b"nothing")
    with pytest.raises(ResumeError, match="cannot be continued"):
        finetune(network(), data(), QUICK, FinetuneRun(tmp_path / "state", resume=True))


def test_a_frozen_trunk_stays_as_it_is() -> None:
    begun = network()
    before = weights(begun)
    found, _ = finetune(begun, data(), replace(QUICK, frozen=True, epochs=1))
    after = found.state_dict()
    assert all(torch.equal(tensor, after[name]) for name, tensor in before.items() if name.startswith("trunk."))
    assert not torch.equal(before["classifier.weight"], after["classifier.weight"])


@pytest.mark.parametrize(
    "change", [{"sam": 0.05}, {"optimiser": "adam"}, {"class_weights": True}, {"precision": "bf16"}], ids=str
)
def test_every_way_of_training_learns(change: dict) -> None:
    plain, _ = finetune(network(), data(), replace(QUICK, epochs=1))
    found, (record,) = finetune(network(), data(), replace(QUICK, epochs=1, **change))
    assert np.isfinite(record.loss)
    assert not torch.equal(plain.classifier.weight, found.classifier.weight)


def test_sharpness_aware_steps_use_the_gradient_of_the_worst_neighbour() -> None:
    from affectline.training.finetune import _climb, _return

    weight = torch.nn.Parameter(torch.tensor([3.0, 4.0]))
    weight.grad = torch.tensor([3.0, 4.0])
    moved = _climb([weight], 0.5)
    assert weight.tolist() == pytest.approx([3.3, 4.4])
    _return([weight], moved)
    assert weight.tolist() == pytest.approx([3.0, 4.0])


def test_training_ends_when_nothing_gets_better() -> None:
    scores = iter([0.5, 0.9, 0.7, 0.6, 0.8])
    several = replace(data(), score=lambda _: next(scores))
    found, records = finetune(network(), several, replace(QUICK, epochs=5, patience=2))
    assert [record.score for record in records] == [0.5, 0.9, 0.7, 0.6]
    second, _ = finetune(network(), replace(data(), score=lambda _: 0.0), replace(QUICK, epochs=5, patience=1))
    assert not torch.equal(found.classifier.weight, second.classifier.weight)


def test_soft_cross_entropy_by_hand() -> None:
    outputs = torch.log(torch.tensor([[0.5, 0.25, 0.25]]))
    targets = torch.tensor([[0.5, 0.5, 0.0]])
    expected = -(0.5 * np.log(0.5) + 0.5 * np.log(0.25))
    assert float(soft_cross_entropy(outputs, targets)) == pytest.approx(expected)
    smoothed = -(0.45 + 0.1 / 3) * np.log(0.5) - (0.45 + 0.1 / 3 + 0.1 / 3) * np.log(0.25)
    assert float(soft_cross_entropy(outputs, targets, 0.1)) == pytest.approx(smoothed, rel=1e-5)
    weighted = soft_cross_entropy(outputs, targets, 0.0, torch.tensor([2.0, 0.0, 1.0]))
    assert float(weighted) == pytest.approx(-2 * 0.5 * np.log(0.5))


@pytest.mark.parametrize("shape", [(100, 80, 3), (24, 24, 3), (24, 24)])
def test_pictures_become_what_the_backbones_preprocessing_makes_of_them(shape: tuple[int, ...]) -> None:
    from affectline.training.augment import augment

    picture = np.random.default_rng(0).integers(0, 255, shape).astype(np.uint8)
    ours = as_input(augment(shrink(picture, SPEC), SIZE, NO_AUGMENTATION, np.random.default_rng(0)), SPEC)
    theirs = Preprocessor(SPEC)(picture if picture.ndim == 3 else np.dstack([picture] * 3))
    # Both are rounded to 256 levels, by other arithmetic: at most three of them apart.
    assert np.abs(ours - theirs).max() <= 3 * 2 / 255 + 1e-6


class TestStart:
    def test_a_file_of_the_same_network(self, tmp_path: Path) -> None:
        save_file(network(1).state_dict(), tmp_path / "w.safetensors")
        begun = network(2)
        load_start(begun, QUICK.arch, tmp_path / "w.safetensors")
        assert all(torch.equal(tensor, begun.state_dict()[name]) for name, tensor in network(1).state_dict().items())

    def test_another_last_layer_is_left_out(self, tmp_path: Path) -> None:
        save_file(FaceNetwork(QUICK.arch, 3).state_dict(), tmp_path / "w.safetensors")
        begun = network()
        before = begun.classifier.weight.clone()
        load_start(begun, QUICK.arch, tmp_path / "w.safetensors")
        assert torch.equal(begun.classifier.weight, before)

    def test_another_architecture_is_refused_with_names(self, tmp_path: Path) -> None:
        save_file(FaceNetwork("tf_efficientnet_b0", 8).state_dict(), tmp_path / "w.safetensors")
        with pytest.raises(ModelFileError, match=r"no start for tf_efficientnet_lite0: trunk\..* and \d+ more"):
            load_start(network(), QUICK.arch, tmp_path / "w.safetensors")

    def test_what_is_not_there(self, tmp_path: Path) -> None:
        with pytest.raises(InputFileError, match="cannot read the weights"):
            load_start(network(), QUICK.arch, tmp_path / "none.safetensors")
        with pytest.raises(InputError, match="ImageNet weights are known for tf_efficientnet_lite0 only"):
            load_start(FaceNetwork("tf_efficientnet_b0", 8), "tf_efficientnet_b0", "imagenet")
        with pytest.raises(InputError, match="has no architecture 'efficientnet_lite9'"):
            FaceNetwork("efficientnet_lite9", 8)

    def test_imagenet_features_are_those_of_the_file(self) -> None:
        begun = network()
        load_start(begun, QUICK.arch, "imagenet")
        stem = begun.trunk.conv_stem.weight
        # Filters of a trained network have structure: neighbouring weights go together.
        flat = stem.detach().numpy().reshape(-1, 9)
        assert np.corrcoef(flat[:, 0], flat[:, 1])[0, 1] > 0.2
        assert float(begun.trunk.bn1.running_var.std()) > 0.01


@pytest.mark.parametrize(
    "wrong",
    [{"epochs": 0}, {"learning_rate": 0.0}, {"average": 1.0}, {"optimiser": "sgd"}, {"precision": "fp8"}, {"teach": 2}],
)
def test_refuses_parameters(wrong: dict) -> None:
    with pytest.raises(InputError, match=f"fine-tuning cannot use {next(iter(wrong))}"):
        FinetuneParams(**wrong)
