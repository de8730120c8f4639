"""Training networks on pictures. Needs the extra [finetune]: `make test-finetune`."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("timm", reason="needs the extra [finetune]")

import cv2
import torch
from safetensors.torch import load_file, save_file
from typer.testing import CliRunner

import affectline
from affectline.backbones import BACKBONES, load_backbone
from affectline.backbones.preprocess import Preprocessor
from affectline.backbones.spec import Colour, Interpolation, ResizeStep
from affectline.cli.main import app
from affectline.datasets.ferplus import FerPlusSplit
from affectline.errors import AffectlineError, InputError, InputFileError, ModelFileError, ResumeError
from affectline.evaluation.ferplus import evaluate_ferplus, ferplus_logits, fit_to_plurality
from affectline.heads.pretrained import expression_probabilities
from affectline.labels import ABAW_EXPRESSION_8, FERPLUS_8
from affectline.training.augment import NO_AUGMENTATION, AugmentParams
from affectline.training.cnn import FaceNetwork, load_start
from affectline.training.ferplus_recipe import PHOTOGRAPHS
from affectline.training.finetune import (
    EpochRecord,
    FinetuneData,
    FinetuneRun,
    finetune,
    run_network,
)
from affectline.training.finetune_params import FinetuneParams
from affectline.training.losses import make_share_loss, soft_cross_entropy
from affectline.training.optimisers import climb, climb_down
from affectline.training.pictures import as_input, shrink
from affectline.training.start import Start, plan
from affectline.training.teachers import Teachers

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
    train = bars(n, 1)

    def score(outputs: np.ndarray) -> float:
        return float((outputs.argmax(axis=1) == truth).mean())

    return FinetuneData(SPEC, train, valid, score, make_share_loss(train.targets, 0.0, False), "shares")


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
    resumed: list[tuple[EpochRecord, ...]] = []
    steps: list[int] = []
    run = FinetuneRun(checkpoint, True, on_epoch=resumed.append, on_progress=lambda done, _: steps.append(done))
    found, again = finetune(network(), data(), QUICK, run)
    assert [len(log) for log in resumed] == [2]
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
    "change", [{"sam": 0.05}, {"optimiser": "adam"}, {"mixup": 0.4}, {"precision": "bf16"}, {"batch_size": 79}], ids=str
)
def test_every_way_of_training_learns(change: dict) -> None:
    plain, _ = finetune(network(), data(), replace(QUICK, epochs=1))
    found, (record,) = finetune(network(), data(), replace(QUICK, epochs=1, **change))
    assert np.isfinite(record.loss)
    assert not torch.equal(plain.classifier.weight, found.classifier.weight)


def test_sharpness_aware_steps_use_the_gradient_of_the_worst_neighbour() -> None:
    weight = torch.nn.Parameter(torch.tensor([3.0, 4.0]))
    weight.grad = torch.tensor([3.0, 4.0])
    moved = climb([weight], 0.5)
    assert weight.tolist() == pytest.approx([3.3, 4.4])
    climb_down([weight], moved)
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


DEFAULT_FILE = Path(affectline.__file__).parent / "data" / "lite0_ferplus.onnx"


class TestTeachers:
    def test_a_pupil_is_told_what_the_teacher_says_of_what_it_sees(self) -> None:
        spec = BACKBONES["lite0_ferplus"]
        inputs = np.random.default_rng(0).uniform(-1, 1, (5, 3, spec.size, spec.size)).astype(np.float32)
        teacher = load_backbone(DEFAULT_FILE)
        views = [teacher.run(view).logits for view in (inputs, inputs[..., ::-1].copy())]
        expected = np.mean([expression_probabilities(logits) for logits in views], axis=0)
        np.testing.assert_allclose(Teachers([DEFAULT_FILE], spec, FERPLUS_8)(inputs), expected, atol=1e-5)

    def test_a_teacher_of_another_size_is_shown_the_picture_in_it(self) -> None:
        spec = BACKBONES["lite0_ferplus"]
        large = np.random.default_rng(0).uniform(-1, 1, (3, 3, 8, 8)).astype(np.float32)
        large = np.repeat(np.repeat(large, 12, axis=2), 12, axis=3)
        small = large[:, :, 2::4, 2::4] / 2 + large[:, :, 1::4, 1::4] / 2
        wanted = Teachers([DEFAULT_FILE], spec, FERPLUS_8)(large)
        given = Teachers([DEFAULT_FILE], replace(spec, size=24), FERPLUS_8)(small)
        assert np.corrcoef(wanted.ravel(), given.ravel())[0, 1] > 0.9

    def test_the_share_of_the_teacher(self) -> None:
        always = np.zeros(8, np.float32)
        always[5] = 1
        asked: list[tuple[int, ...]] = []

        def teacher(inputs: np.ndarray) -> np.ndarray:
            asked.append(inputs.shape)
            return np.tile(always, (len(inputs), 1))

        known = replace(data(), teacher=teacher)
        found, _ = finetune(network(), known, replace(QUICK, epochs=6, learning_rate=3e-3, teach=1.0))
        assert (run_network(found, known.valid, SPEC).argmax(axis=1) == 5).all()
        assert asked[0] == (16, 3, SIZE, SIZE)
        untaught, _ = finetune(network(), data(), replace(QUICK, epochs=1))
        ignored, _ = finetune(network(), known, replace(QUICK, epochs=1, teach=0.0))
        assert torch.equal(untaught.classifier.weight, ignored.classifier.weight)

    def test_other_inputs_and_classes_are_refused(self) -> None:
        spec = BACKBONES["lite0_ferplus"]
        with pytest.raises(InputError, match=r"has another colour \(Colour.GREY\) than its pupil \(Colour.RGB\)"):
            Teachers([DEFAULT_FILE], replace(spec, colour=Colour.RGB), FERPLUS_8)
        with pytest.raises(InputError, match="does not know the classes Neutral, Anger"):
            Teachers([DEFAULT_FILE], spec, ABAW_EXPRESSION_8)


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


class TestFerPlus:
    @pytest.fixture(scope="class")
    @staticmethod
    def photographs(tmp_path_factory: pytest.TempPathFactory) -> Path:
        """Bars instead of faces, with votes that mostly agree."""
        rng = np.random.default_rng(0)
        arrays = {}
        for number, (split, n) in enumerate((("train", 96), ("valid", 40), ("test", 8))):
            found = bars(n, number)
            arrays[f"{split}_x"] = np.repeat(np.repeat(found.images, 2, axis=1), 2, axis=2)
            agree = rng.binomial(10, 0.9, n)
            votes = np.zeros((n, 10), int)
            votes[:, 0] = np.where(found.targets[:, 0] > 0, agree, 10 - agree)
            votes[:, 1] = 10 - votes[:, 0]
            arrays[f"{split}_v"] = votes
        path = tmp_path_factory.mktemp("ferplus") / "f.npz"
        np.savez(path, **arrays)
        return path

    def words(self, photographs: Path, out: Path, *more: str) -> list[str]:
        sizes = ["--size", "48", "--epochs", "2", "--batch-size", "16", "--name", "bars"]
        return ["finetune", "--task", "ferplus", "--data", str(photographs), "-o", str(out), *sizes, *more]

    def test_the_command_makes_a_backbone_with_a_card(self, photographs: Path, tmp_path: Path) -> None:
        result = CliRunner().invoke(app, self.words(photographs, tmp_path / "out"))
        assert result.exit_code == 0, result.output
        out = tmp_path / "out"
        assert {path.name for path in out.iterdir()} == {
            "bars.onnx", "card.md", "curve.png", "metrics.csv", "state.safetensors", "weights.safetensors",
        }  # fmt: skip
        backbone = load_backbone(out / "bars.onnx")
        assert (backbone.spec.name, backbone.spec.size, backbone.spec.labels) == ("bars", 48, FERPLUS_8)
        with np.load(photographs) as arrays:
            split = FerPlusSplit(arrays["valid_x"], arrays["valid_v"].astype(np.uint8))
        assert plan(Start(out / "bars.onnx"), "tf_efficientnet_b0", "next")[0] == "tf_efficientnet_lite0"
        logits = ferplus_logits(backbone, split)
        assert backbone.spec.temperature == pytest.approx(fit_to_plurality(logits, split.votes), rel=0.02)
        figures = evaluate_ferplus(logits, split.votes, backbone.spec.temperature)
        card = (out / "card.md").read_text()
        assert f"accuracy {figures.official.report.accuracy:.2%}" in card
        assert backbone.digest in card
        rows = (out / "metrics.csv").read_text().splitlines()
        assert rows[0] == "epoch,loss,score,learning_rate,seconds"
        assert len(rows) == 3
        picture = cv2.imread(str(out / "curve.png"))
        assert picture.shape[0] > 200
        assert picture.std() > 5

    def test_a_second_run_may_begin_with_the_weights_of_the_first(self, photographs: Path, tmp_path: Path) -> None:
        begin = ("--init", str(tmp_path / "a" / "weights.safetensors"), "--frozen", "--epochs", "1")
        for name, more in (("a", ()), ("b", begin)):
            result = CliRunner().invoke(app, self.words(photographs, tmp_path / name, *more))
            assert result.exit_code == 0, result.output
        first, second = (load_file(tmp_path / name / "weights.safetensors") for name in ("a", "b"))
        assert torch.equal(first["trunk.conv_stem.weight"], second["trunk.conv_stem.weight"])
        assert not torch.equal(first["classifier.weight"], second["classifier.weight"])

    def test_the_file_says_what_it_began_with_and_who_taught_it(self, photographs: Path, tmp_path: Path) -> None:
        a, b = tmp_path / "a" / "bars.onnx", tmp_path / "b" / "bars.onnx"
        begin = ("--init", str(a), "--teacher", str(a), "--frozen", "--epochs", "1")
        for file, more in ((a, ("--epochs", "1")), (b, begin)):
            result = CliRunner().invoke(app, self.words(photographs, file.parent, *more))
            assert result.exit_code == 0, result.output
        alone, taught = (load_backbone(file).spec.training_data for file in (a, b))
        assert alone == f"{PHOTOGRAPHS}; begun with imagenet"
        first = "bars 1 (begun with imagenet)"
        assert taught == f"{PHOTOGRAPHS}; begun with {first}; taught by {first}"

    @pytest.mark.parametrize(
        ("more", "match"),
        [
            (("--size", "40"), "photographs of FER+ have 48 pixels: the input cannot be 40 wide"),
            (("--arch", "resnet_of_mine"), "has no architecture 'resnet_of_mine'"),
            (("--init", "none.safetensors"), "cannot read the weights none"),
            (("--precision", "fp8"), "fine-tuning cannot use precision=fp8"),
        ],
    )
    def test_wrong_words_are_refused(
        self, more: tuple[str, str], match: str, photographs: Path, tmp_path: Path
    ) -> None:
        result = CliRunner().invoke(app, self.words(photographs, tmp_path / "out", *more))
        assert isinstance(result.exception, AffectlineError)
        assert match in str(result.exception)


def test_an_export_that_computes_something_else_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from affectline.training import export

    probes = np.random.default_rng(0).normal(size=(3, 3, SIZE, SIZE)).astype(np.float32)
    written = export.export_backbone(network(), SPEC, tmp_path / "a.onnx", probes, half=False)
    assert max(written.difference.values()) < 1e-4
    assert max(written.half_difference.values()) == 0.0
    assert written.sha256 == load_backbone(tmp_path / "a.onnx").digest
    plain = export._run_torch
    monkeypatch.setattr(export, "_run_torch", lambda *given: {name: 1.001 * one for name, one in plain(*given).items()})
    with pytest.raises(ModelFileError, match="differs from PyTorch"):
        export.export_backbone(network(), SPEC, tmp_path / "b.onnx", probes)
    assert not (tmp_path / "b.onnx").exists()
