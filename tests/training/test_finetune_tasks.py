"""Fine-tuning on the tasks of Aff-Wild2 and on labels of one's own. Needs [finetune]: `make test-finetune`."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("timm", reason="needs the extra [finetune]")

import torch
from safetensors.torch import load_file
from scipy.special import expit
from typer.testing import CliRunner

from affectline import AnalyzeOptions, Sampling, analyze, read_frames
from affectline.backbones import load_backbone
from affectline.backbones.spec import Colour
from affectline.cli.main import app
from affectline.datasets.labelled_crops import CropOptions, load_crops
from affectline.datasets.synthetic.write import SynthOptions, write_synthetic
from affectline.errors import InputError, ModelFileError
from affectline.evaluation.crop_scores import evaluate_crops, official_score
from affectline.extract import ExtractOptions, extract_all, find_sources, load_extractor
from affectline.features import FeaturePart
from affectline.features.store import FeatureStore
from affectline.heads.head import BackboneRef, HeadCard
from affectline.heads.head_file import load_head, save_head
from affectline.heads.mlp import DenseLayer, MlpHead
from affectline.heads.pretrained import own_scores
from affectline.images import read_image
from affectline.labels import HeadKind, Task
from affectline.postprocess.thresholds import best_threshold
from affectline.training.augment import AugmentParams
from affectline.training.cnn import FaceNetwork, load_start
from affectline.training.finetune import FinetuneRun, run_network
from affectline.training.finetune_params import FinetuneParams
from affectline.training.pictures import CropPictures
from affectline.training.start import Start, begin, plan
from affectline.training.task_recipe import HEAD_NAME, TaskRecipe, calibrate, train_on_task
from affectline.training.weights import read_weights
from faces_on_video import write_video

FILES = {"card.md", "curve.png", "head.safetensors", "metrics.csv", "state.safetensors", "weights.safetensors"}


def no_pictures() -> np.ndarray:
    raise AssertionError("pictures are needed for a start with a backbone file only")


QUICK = FinetuneParams(epochs=2, batch_size=32, learning_rate=2e-3, average=0.9, patience=5)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Drawn faces, 24 videos of about 60 frames."""
    folder = tmp_path_factory.mktemp("synthetic") / "set"
    write_synthetic(folder, SynthOptions(24, 60, 7, "crops", 32))
    return folder


def words(task: str, data: Path, out: Path, *more: str) -> list[str]:
    fixed = ["--crops", "cropped", "--every", "6", "--size", "32", "--epochs", "1", "--batch-size", "32"]
    given = ["finetune", "--task", task, "--data", str(data), "-o", str(out), *fixed, "--allow-empty-classes", *more]
    return [*given, "--name", f"my_{task}"]


@pytest.fixture(scope="module")
def made(data: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[Task, tuple[Path, str]]:
    """A backbone of each task, and what the command said."""
    found = {}
    for task in Task:
        word = task.value.lower()
        out = tmp_path_factory.mktemp(word) / "out"
        result = CliRunner().invoke(app, words(word, data, out, "--int8"))
        assert result.exit_code == 0, result.output
        found[task] = out, result.output
    return found


@pytest.mark.parametrize("task", list(Task))
def test_the_command_makes_a_backbone_of_the_task(task: Task, made: dict, data: Path) -> None:
    out, said = made[task]
    name = f"my_{task.value.lower()}"
    assert {path.name for path in out.iterdir()} == FILES | {f"{name}.onnx", f"{name}.int8.onnx"}
    backbone = load_backbone(out / f"{name}.onnx")
    assert [backbone.spec.gives(one) for one in Task] == [one is task for one in Task]
    assert backbone.spec.colour is Colour.RGB
    _, valid = load_crops(task, CropOptions(data, "cropped", every=6))
    found = evaluate_crops(backbone, valid)
    assert f"{found.report.p:.4f}" in said
    card = (out / "card.md").read_text()
    assert f"P {found.report.p:.4f}, 95 % interval over videos" not in card or found.interval is not None
    assert f"P {found.report.p:.4f}" in card
    assert backbone.digest in card
    small = evaluate_crops(load_backbone(out / f"{name}.int8.onnx"), valid)
    assert f"P {small.report.p:.4f} instead of {found.report.p:.4f}" in card
    assert (out / f"{name}.int8.onnx").stat().st_size < 0.5 * (out / f"{name}.onnx").stat().st_size


@pytest.mark.parametrize("task", list(Task))
def test_the_head_beside_it_says_the_same_of_its_embedding(task: Task, made: dict, data: Path) -> None:
    out, _ = made[task]
    backbone = load_backbone(out / f"my_{task.value.lower()}.onnx")
    head = load_head(out / HEAD_NAME)
    _, valid = load_crops(task, CropOptions(data, "cropped", every=6))
    features = backbone.features([read_image(path) for path in valid.files[:20]])
    ours = own_scores(task, features, replace(backbone.spec, temperature=1.0))
    np.testing.assert_allclose(head.score({backbone.digest: features}), ours, atol=2e-3)
    assert head.card.backbones[0].digest == backbone.digest


def test_units_are_decided_best_at_a_half(made: dict, data: Path) -> None:
    out, _ = made[Task.AU]
    backbone = load_backbone(out / "my_au.onnx")
    _, valid = load_crops(Task.AU, CropOptions(data, "cropped", every=6))
    network = FaceNetwork("tf_efficientnet_lite0", 12)
    load_start(network, "tf_efficientnet_lite0", out / "weights.safetensors")
    pictures = CropPictures.of(valid)
    with torch.no_grad():
        network.layers[-1].weight.mul_(30)  # One epoch leaves scores closer to each other than rounding.
        network.layers[-1].bias.add_(torch.linspace(-3, 3, 12))
    before = expit(run_network(network, pictures, backbone.spec))
    calibrate(network, backbone.spec, valid, run_network(network, pictures, backbone.spec))
    after = expit(run_network(network, pictures, backbone.spec))
    for unit in range(12):
        truth = valid.target[:, unit]
        assert f1_of(after[:, unit], truth) == pytest.approx(best_threshold(before[:, unit], truth)[1], abs=1e-6)
    # Stored, with large weights as float16, it gives the scores that the network gave, so its decisions too, but for
    # those of a network that was trained for one epoch, whose scores lie closer to each other than float16 is exact.
    load_start(network, "tf_efficientnet_lite0", out / "weights.safetensors")
    inputs = np.stack([backbone.prepare(read_image(path)) for path in valid.files])
    with torch.inference_mode():
        _, outputs = network.eval()(torch.from_numpy(inputs))
    np.testing.assert_allclose(expit(backbone.run(inputs).au_logits), expit(outputs.numpy()), atol=5e-3)


def f1_of(scores: np.ndarray, truth: np.ndarray) -> float:
    is_on = scores >= 0.5
    return float(2 * (is_on & (truth > 0)).sum() / max(is_on.sum() + truth.sum(), 1))


def test_analyze_takes_its_scores(made: dict, demo_clip: Path, tmp_path: Path) -> None:
    out, _ = made[Task.AU]
    clip = write_video(tmp_path / "clip.mp4", [frame.rgb for frame in read_frames(demo_clip, Sampling(end_s=0.5))])
    timeline = analyze(clip, AnalyzeOptions(backbone=str(out / "my_au.onnx")))
    assert np.isfinite(timeline.column("au12")).all()
    records = {record.task: record for record in timeline.provenance.heads}
    assert records[Task.AU].head is HeadKind.PRETRAINED
    assert "outputs of my_au (ImageNet, then Aff-Wild2 layout, AU train" in records[Task.AU].source


def weights_of(out: Path) -> dict[str, torch.Tensor]:
    return load_file(out / "weights.safetensors")


def test_a_killed_run_goes_on_as_if_unbroken(data: Path, tmp_path: Path) -> None:
    recipe = TaskRecipe(
        Task.VA, CropOptions(data, "cropped", every=6), start=Start(size=32), params=QUICK, allow_empty=True
    )
    train_on_task(recipe, tmp_path / "whole", FinetuneRun(tmp_path / "whole" / "state"))

    def kill(done: int, _: int | None) -> None:
        if done == 9:
            raise KeyboardInterrupt

    broken = FinetuneRun(tmp_path / "broken" / "state", minutes=0.0, on_progress=kill)
    with pytest.raises(KeyboardInterrupt):
        train_on_task(recipe, tmp_path / "broken", broken)
    train_on_task(recipe, tmp_path / "broken", FinetuneRun(tmp_path / "broken" / "state", resume=True))
    whole, mended = weights_of(tmp_path / "whole"), weights_of(tmp_path / "broken")
    assert all(torch.equal(tensor, mended[name]) for name, tensor in whole.items())


def test_damaged_pictures_are_counted_and_named(data: Path, tmp_path: Path) -> None:
    train, _ = load_crops(Task.AU, CropOptions(data, "cropped", every=6))
    kept = [(path, path.read_bytes()) for path in train.files[:4]]
    try:
        for path, content in kept:
            path.write_bytes(content[:100])
        result = CliRunner().invoke(app, words("au", data, tmp_path / "out"))
    finally:
        for path, content in kept:
            path.write_bytes(content)
    assert result.exit_code == 0, result.output
    note = next(line for line in result.output.splitlines() if "are left out" in line)
    assert f"4 of {len(train)} pictures of Aff-Wild2 layout, AU train are left out: {kept[0][0]}" in note


@pytest.mark.skipif(sys.platform == "win32", reason="needs ulimit")
def test_no_space_for_a_checkpoint(data: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "affectline", *words("va", data, tmp_path / "out")]
    limited = ["bash", "-c", 'ulimit -f 2000 && exec "$@"', "bash", *command]
    result = subprocess.run(limited, capture_output=True, text=True, check=False)
    assert result.returncode == 1
    assert "state.safetensors: File too large; choose a folder that exists" in result.stderr
    assert "Traceback" not in result.stderr
    assert not [path.name for path in (tmp_path / "out").iterdir() if path.suffix == ".tmp"]


class TestWarmStart:
    def head(self, digest: str, hidden: int = 8, task: Task = Task.EXPR, parts=(FeaturePart.EMBEDDING,)) -> MlpHead:
        rng = np.random.default_rng(0)
        widths = [1280, *([hidden] if hidden else []), len(task.official_labels)]
        layers = tuple(
            DenseLayer(*(rng.normal(0, 0.1, shape).astype(np.float32) for shape in ((after, before), (after,))))
            for before, after in pairwise(widths)
        )
        mean, scale = rng.normal(0, 1, 1280).astype(np.float32), rng.uniform(0.5, 2, 1280).astype(np.float32)
        return MlpHead(HeadCard(task, task.official_labels, (BackboneRef("mine", digest),)), parts, layers, mean, scale)

    @pytest.mark.parametrize("hidden", [0, 8])
    def test_the_network_begins_with_what_the_head_says(
        self, hidden: int, made: dict, data: Path, tmp_path: Path
    ) -> None:
        out, _ = made[Task.AU]
        backbone = load_backbone(out / "my_au.onnx")
        head = self.head(backbone.digest, hidden)
        save_head(head, tmp_path / "head.safetensors")
        start = Start(out / "weights.safetensors", head=tmp_path / "head.safetensors")
        arch, spec = plan(start, "none", "mine")
        assert (arch, spec.size, spec.name) == ("tf_efficientnet_lite0", 32, "mine")
        network = begin(start, replace(QUICK, arch=arch), Task.EXPR, Task.EXPR.official_labels, no_pictures).eval()
        crop = read_image(load_crops(Task.AU, CropOptions(data, "cropped"))[0].files[0])
        with torch.inference_mode():
            _, outputs = network(torch.from_numpy(backbone.prepare(crop)[None]))
        expected = head.score({backbone.digest: backbone.features([crop])})
        np.testing.assert_allclose(torch.softmax(outputs, dim=1).numpy(), expected, atol=2e-3)

    def test_the_command_goes_on_from_it(self, made: dict, data: Path, tmp_path: Path) -> None:
        out, _ = made[Task.AU]
        save_head(self.head(load_backbone(out / "my_au.onnx").digest), tmp_path / "head.safetensors")
        more = ("--init", str(out / "weights.safetensors"), "--head", str(tmp_path / "head.safetensors"))
        result = CliRunner().invoke(app, words("expr", data, tmp_path / "out", *more))
        assert result.exit_code == 0, result.output
        assert len(load_head(tmp_path / "out" / HEAD_NAME).layers) == 2
        trained, about = read_weights(tmp_path / "out" / "weights.safetensors")
        assert trained["classifier.0.weight"].shape == (8, 1280)
        assert about is not None
        assert about.backbone == load_backbone(tmp_path / "out" / "my_expr.onnx").digest

    @pytest.mark.parametrize(
        ("change", "error", "match"),
        [
            ({"digest": "0" * 64}, ModelFileError, r"trained on features of mine .* but --init gives weights of the"),
            ({"task": Task.VA}, InputError, r"gives VA \(valence, arousal\); the labels are EXPR \(Neutral, "),
            ({"parts": (FeaturePart.LOGITS,)}, ModelFileError, "on logits; behind this network fit"),
        ],
    )
    def test_another_head_is_refused(self, change: dict, error: type, match: str, made: dict, tmp_path: Path) -> None:
        out, _ = made[Task.AU]
        facts = {"digest": load_backbone(out / "my_au.onnx").digest} | change
        save_head(self.head(**facts), tmp_path / "head.safetensors")
        start = Start(out / "weights.safetensors", head=tmp_path / "head.safetensors")
        params = replace(QUICK, arch="tf_efficientnet_lite0")
        with pytest.raises(error, match=match):
            begin(start, params, Task.EXPR, Task.EXPR.official_labels, no_pictures)

    def test_a_start_of_another_architecture_names_the_tensors(self, made: dict, data: Path, tmp_path: Path) -> None:
        more = ("--init", str(made[Task.AU][0] / "weights.safetensors"), "--arch", "tf_efficientnet_b0")
        result = CliRunner().invoke(app, words("au", data, tmp_path / "out", *more))
        assert isinstance(result.exception, ModelFileError)
        assert "is no start for tf_efficientnet_b0: trunk." in str(result.exception)


class TestBackboneAsStart:
    def test_it_computes_what_the_file_does_and_can_be_trained(self, made: dict, data: Path, tmp_path: Path) -> None:
        path = made[Task.AU][0] / "my_au.onnx"
        backbone = load_backbone(path)
        crops = [read_image(file) for file in load_crops(Task.AU, CropOptions(data, "cropped", every=3))[0].files[:120]]
        inputs = np.stack([backbone.prepare(crop) for crop in crops])
        start = Start(path)
        arch, spec = plan(start, "tf_efficientnet_lite0", "mine")
        assert spec.size == 32
        network = begin(start, replace(QUICK, arch=arch), Task.AU, Task.AU.official_labels, lambda: inputs)
        with torch.inference_mode():
            embedding, outputs = network(torch.from_numpy(inputs))
        expected = backbone.run(inputs)
        largest = float(np.abs(expected.embedding).max())
        np.testing.assert_allclose(embedding.numpy(), expected.embedding, atol=1e-4 * largest)
        np.testing.assert_allclose(outputs.numpy(), expected.au_logits, atol=1e-3)
        # With the statistics of these pictures, training sees nearly the same features as inference.
        network.train()
        network.drop.p = 0.0
        for module in network.modules():
            if type(module).__name__ == "DropPath":
                module.drop_prob = 0.0
        trained, _ = network(torch.from_numpy(inputs))
        assert np.corrcoef(trained.detach().numpy().ravel(), expected.embedding.ravel())[0, 1] > 0.98

    def test_another_architecture_is_refused_with_names(self, made: dict) -> None:
        start = Start(made[Task.AU][0] / "my_au.onnx")
        params = replace(QUICK, arch="mobilenetv1_100")
        with pytest.raises(ModelFileError, match=r"my_au.onnx is no start .*: trunk\..* instead of .* and \d+ more"):
            begin(start, params, Task.AU, Task.AU.official_labels, no_pictures)


class TestOwnLabels:
    @pytest.fixture(scope="class")
    @staticmethod
    def own(tmp_path_factory: pytest.TempPathFactory, demo_clip: Path) -> Path:
        root = tmp_path_factory.mktemp("own")
        (root / "videos").mkdir()
        rows = ["video,frame,au12,au25,valence,split"]
        spans = {"sad": (0, 1), "glad": (17, 18), "sad2": (1, 2), "glad2": (18, 19)}
        for name, (start_s, end_s) in spans.items():
            frames = [frame.rgb for frame in read_frames(demo_clip, Sampling(start_s=start_s, end_s=end_s))]
            write_video(root / "videos" / f"{name}.mp4", frames)
            smiles, split = int("glad" in name), "val" if "2" in name else "train"
            rows += [f"{name},{frame},{smiles},{frame % 2},0.5,{split}" for frame in range(20)]
        (root / "labels.csv").write_text("\n".join(rows) + "\n")
        sources = find_sources([root / "videos"])
        list(extract_all(sources, FeatureStore(root / "store", create=True), load_extractor(ExtractOptions(), sources)))
        return root

    def words(self, own: Path, out: Path, *more: str) -> list[str]:
        places = ["--labels", str(own / "labels.csv"), "--store", str(own / "store"), "--videos", str(own / "videos")]
        return ["finetune", "--task", "au", *places, "-o", str(out), "--size", "48", "--batch-size", "8", *more]

    def test_units_of_ones_own(self, own: Path, tmp_path: Path) -> None:
        result = CliRunner().invoke(app, self.words(own, tmp_path / "out", "--epochs", "3"))
        assert result.exit_code == 0, result.output
        backbone = load_backbone(tmp_path / "out" / "my_backbone.onnx")
        assert [unit.value for unit in backbone.spec.action_units] == ["AU12", "AU25"]
        assert len(list((tmp_path / "out" / "crops").rglob("*.jpg"))) == 80
        assert (
            "labels.csv, au train" in backbone.spec.training_data.lower() or "labels.csv" in backbone.spec.training_data
        )

    @pytest.mark.parametrize(
        ("change", "match"),
        [
            (("--store", None), "give --store"),
            (("--videos", None), "give --videos, the folder of the videos"),
            (("--data", "x"), "--data does not go with --labels; leave it out"),
            (("--task", "va"), "has valence only; a backbone gives valence and arousal"),
            (("--task", "joy"), "no task 'joy'; choose expr, va, au, ferplus"),
            (("--colour", "cmyk"), "no colour 'cmyk'; choose rgb or grey"),
            (("--size", "8"), "32 to 512 pixels wide, got 8"),
            (("--teacher", "x.onnx"), "--teacher does not go with au; leave it out"),
            (("--device", "toaster"), "PyTorch cannot use the device 'toaster'"),
        ],
    )
    def test_wrong_words_are_refused(
        self, change: tuple[str, str | None], match: str, own: Path, tmp_path: Path
    ) -> None:
        option, value = change
        typed = self.words(own, tmp_path / "out")
        if option in typed:
            place = typed.index(option)
            typed[place : place + 2] = [] if value is None else [option, value]
        else:
            typed += [option, str(value)]
        result = CliRunner().invoke(app, typed)
        assert isinstance(result.exception, InputError), result.output
        assert match in str(result.exception)

    def test_nothing_held_out_is_refused(self, own: Path, tmp_path: Path) -> None:
        text = (own / "labels.csv").read_text().replace(",val\n", ",train\n")
        (tmp_path / "labels.csv").write_text(text)
        typed = self.words(own, tmp_path / "out")
        typed[typed.index("--labels") + 1] = str(tmp_path / "labels.csv")
        result = CliRunner().invoke(app, typed)
        assert "holds nothing out: mark the rows of some videos, of other people, with `val`" in str(result.exception)


class TestLearning:
    """Faces of people who were not trained on: the whole network against a linear probe of its start."""

    def scores(self, data: Path, out: Path, *, frozen: bool) -> np.ndarray:
        slight = AugmentParams(
            angle=3, scale=0.05, aspect=0.03, shear=0.03, shift=0.03, corner=0.02, coarse=0, noise=0, erase=0
        )
        rate = 1e-2 if frozen else 2e-3
        params = FinetuneParams(
            epochs=5, batch_size=32, learning_rate=rate, frozen=frozen, average=0.95, augment=slight, seed=1
        )
        crops = CropOptions(data, "cropped", every=3)
        recipe = TaskRecipe(Task.AU, crops, start=Start(size=80, colour=Colour.GREY), params=params)
        backbone = load_backbone(train_on_task(recipe, out, FinetuneRun()).exported.path)
        _, valid = load_crops(Task.AU, crops)
        return own_scores(Task.AU, backbone.features([read_image(path) for path in valid.files]), backbone.spec)

    def test_fine_tuning_beats_a_linear_probe_by_two_standard_errors(self, tmp_path: Path) -> None:
        data = tmp_path / "set"
        write_synthetic(data, SynthOptions(240, 60, 5, "crops", 32))
        probe, whole = (self.scores(data, tmp_path / str(frozen), frozen=frozen) for frozen in (True, False))
        _, valid = load_crops(Task.AU, CropOptions(data, "cropped", every=3))
        gain = official_score(valid, whole).p - official_score(valid, probe).p
        rng = np.random.default_rng(0)
        videos = [np.flatnonzero(valid.groups == group) for group in np.unique(valid.groups)]
        gains = []
        for _ in range(200):
            rows = np.concatenate([videos[number] for number in rng.integers(0, len(videos), len(videos))])
            drawn = valid.take(rows)
            gains.append(official_score(drawn, whole[rows]).p - official_score(drawn, probe[rows]).p)
        assert gain > 2 * np.std(gains), f"{gain:.3f} +- {np.std(gains):.3f}"
