from __future__ import annotations

import re
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner, Result

from affectline.cli.main import app
from affectline.datasets.labelled import LabelledSequence, LabelledTables
from affectline.datasets.synthetic.write import SynthOptions, write_synthetic
from affectline.errors import InputError, ResumeError
from affectline.evaluation.blending import blend_heads
from affectline.evaluation.scoring import evaluate
from affectline.evaluation.sequence_scores import score_sequences
from affectline.features import FeaturePart
from affectline.heads.head import predict
from affectline.heads.head_file import load_head
from affectline.heads.temporal import CORE, TemporalHead
from affectline.heads.temporal_spec import TEMPORAL_MODELS, TemporalSpec
from affectline.labels import Task
from affectline.training.epochs import RunOptions
from affectline.training.temporal import TemporalTrainer
from affectline.training.temporal_network import FirstFilter, TemporalNetwork
from affectline.training.temporal_params import TemporalParams
from affectline.training.windows import Windows, usual_interval_s
from labelled_examples import DIGEST, LABELS, make_info, make_table, noisy_data, reading_head, sequence, tables
from temporal_heads import KINDS

LOGITS = (FeaturePart.LOGITS,)
SMALL = TemporalParams(LOGITS, hidden=8, window_s=1.0, epochs=2, batch_size=256, learning_rate=3e-3)

every_kind = pytest.mark.parametrize(("model", "is_causal"), KINDS)


def spec(model: str = "tcn", is_causal: bool = False, window: int = 30) -> TemporalSpec:
    return TemporalSpec(model, is_causal, 8, 8, 2, window, window // 3, 1 / 30)


@pytest.mark.parametrize("is_causal", [False, True])
@pytest.mark.parametrize("model", TEMPORAL_MODELS)
def test_begins_as_a_mean_over_time(model: str, is_causal: bool) -> None:
    one = spec(model, is_causal)
    mean, scale = np.array([0.5, -1.0], np.float32), np.array([2.0, 0.3], np.float32)
    network = TemporalNetwork(one, FirstFilter(mean, scale, 3), 0.5)
    outputs = np.random.default_rng(0).normal(size=(40, 2))
    encoded = np.concatenate([(outputs - mean) / scale, np.ones((40, 6))], axis=1).astype(np.float32)
    mask = np.ones(40, np.float32)
    mask[[0, 17, 18]] = 0
    encoded[mask == 0] = 0
    found = network(torch.from_numpy(encoded[None]), torch.from_numpy(mask[None]))[0].detach().numpy()
    for step in (1, 5, 16, 20, 39):
        near = np.arange(max(0, step - (6 if is_causal else 3)), min(40, step + (1 if is_causal else 4)))
        expected = outputs[near[mask[near] > 0]].mean(axis=0)
        np.testing.assert_allclose(found[step], expected, atol=1e-5)


@every_kind
@pytest.mark.parametrize("layers", [1, 3])
def test_the_onnx_file_computes_what_pytorch_does(model: str, is_causal: bool, layers: int) -> None:
    one = replace(spec(model, is_causal), layers=layers)
    torch.manual_seed(0)
    first = FirstFilter(np.zeros(8, np.float32), np.ones(8, np.float32), 3)
    network = TemporalNetwork(one, first, 0.5).eval()
    with torch.no_grad():
        for array in network.parameters():
            array.add_(0.1 * torch.randn(array.shape))
    numbers = {name: array.detach().numpy() for name, array in network.named_parameters()}
    assert {name.removeprefix(CORE): array.shape for name, array in numbers.items()} == dict(one.shapes(8))
    rng = np.random.default_rng(1)
    mean, scale = rng.normal(size=8).astype(np.float32), rng.uniform(0.5, 2, 8).astype(np.float32)
    encoder = {"mean": mean, "scale": scale, "encoder.0.weight": np.eye(8, dtype=np.float32)}
    encoder["encoder.0.bias"] = np.zeros(8, np.float32)
    head = TemporalHead(reading_head(Task.EXPR).card, LOGITS, one, encoder | numbers)
    session = onnxruntime.InferenceSession(head.to_onnx())
    for length in (1, 2, 30, 300):
        inputs = rng.normal(0, 2, (3, length, 8)).astype(np.float32)
        mask = (rng.random((3, length)) > 0.3).astype(np.float32)
        mask[2] = 0
        with torch.inference_mode():
            encoded = torch.from_numpy((inputs - mean) / scale * mask[..., None])
            expected = torch.softmax(network(encoded, torch.from_numpy(mask)), dim=2).numpy()
        (scores,) = session.run(["scores"], {"features": inputs, "mask": mask})
        np.testing.assert_allclose(scores, expected, atol=1e-4)
        assert np.isfinite(scores).all()


class TestWindows:
    def numbered(self, frames: list[int], rate_fps: float = 30.0, labels: list[int] | None = None) -> LabelledTables:
        """Return a face whose first logit is 1000 times its time, and whose label of each frame is its number."""
        time_s = np.array(frames) / rate_fps
        table = make_table(make_info("v", frames[-1] + 1, rate_fps=rate_fps), frames, 1000 * time_s[:, None])
        labelled = np.array(frames if labels is None else labels)
        target = np.stack([labelled, labelled], axis=1).astype(np.float32)
        rows = np.arange(len(frames))
        return tables(Task.VA, LabelledSequence("v", "v", {DIGEST: table}, rows, frames[-1] + 1, labelled, target))

    def windows(self, data: LabelledTables, one: TemporalSpec | None = None) -> Windows:
        encoded = [next(iter(part.tables.values())).features(part.rows).logits for part in data.sequences]
        return Windows(data, encoded, one or spec())

    @given(
        steps=st.lists(st.sampled_from([1, 1, 1, 1, 2, 5, 29, 45]), min_size=1, max_size=120),
        seed=st.integers(0, 99),
    )
    @settings(max_examples=40, deadline=None)
    def test_every_label_is_there_beside_its_own_input(self, steps: list[int], seed: int) -> None:
        frames = np.cumsum([0, *steps]).tolist()
        seen: set[int] = set()
        for batch in self.windows(self.numbered(frames)).batches(64, seed):
            assert batch.inputs.shape[1:] == (30, 8)
            assert len(batch.inputs) <= 2
            assert batch.mask[batch.window, batch.before].all()
            inputs = batch.inputs[batch.window, batch.before, 0]
            np.testing.assert_allclose(inputs, batch.target[:, 0] * 1000 / 30, rtol=1e-4, atol=1e-2)
            assert (batch.share == 0).all()
            assert (batch.inputs[batch.mask == 0] == 0).all()
            seen |= set(batch.target[:, 0].astype(int).tolist())
        assert seen == set(frames)

    @pytest.mark.parametrize("is_causal", [False, True])
    def test_frames_between_steps_lie_between_them(self, is_causal: bool) -> None:
        data = self.numbered(list(range(70)), rate_fps=24.0)
        (whole,) = self.windows(data, spec(is_causal=is_causal, window=100)).batches(100, 0)
        before, after = (whole.inputs[whole.window, at, 0] for at in (whole.before, whole.after))
        place = before * (1 - whole.share) + after * whole.share
        expected = whole.target[:, 0] * 1000 / 24
        if is_causal:
            assert (before <= expected + 1e-2).all()
            assert np.abs(expected - place).max() < 1000 / 30
        else:
            np.testing.assert_allclose(place[:-1], expected[:-1], atol=0.05)

    def test_starts_depend_on_the_seed_alone(self) -> None:
        windows = self.windows(self.numbered(list(range(200))))

        def first(seed: int) -> list[float]:
            return [float(value) for batch in windows.batches(30, seed) for value in batch.inputs[:, 0, 0]]

        assert first(1) == first(1)
        assert first(1) != first(2)
        starts = sorted(first(1))
        assert all(0 < (after - before) * 0.03 <= 30.01 for before, after in pairwise(starts))

    def test_broken_features_are_named(self) -> None:
        data = noisy_data(Task.VA, 1, videos=1)
        one = data.sequences[0]
        logits = one.tables[DIGEST].features().logits.copy()
        # A row without a label, which no check of the labelled faces sees.
        logits[40, 0] = np.inf
        table = make_table(one.tables[DIGEST].info, one.tables[DIGEST].frame, logits)
        kept = one.labelled_frame < 30
        broken = replace(one, tables={DIGEST: table}, labelled_frame=one.labelled_frame[kept], target=one.target[kept])
        other = noisy_data(Task.VA, 2, videos=1).sequences[0]
        both = replace(data, sequences=(replace(other, video="w", group="w"), broken))
        with pytest.raises(InputError, match="v0, frame 44: the features by net-ab hold NaN or infinite"):
            TemporalTrainer("tcn", SMALL).fit(both, None)

    def test_the_interval_is_that_of_the_rows(self) -> None:
        assert usual_interval_s(self.numbered(list(range(0, 60, 3)))) == pytest.approx(0.1)
        assert usual_interval_s(self.numbered([5])) == pytest.approx(1 / 30)


class TestTrainer:
    @pytest.mark.parametrize(
        ("task", "model", "least"), [(Task.VA, "tcn", 0.85), (Task.EXPR, "gru", 0.55), (Task.AU, "transformer", 0.8)]
    )
    def test_learns_to_look_at_neighbours(self, task: Task, model: str, least: float) -> None:
        """Truth holds for twenty frames behind noise of its own size: a single frame tells little."""
        params = replace(SMALL, hidden=16, epochs=14, patience=14, frame_dropout=0.1, dropout=0.1, weight_decay=0.01)
        trainer = TemporalTrainer(model, params)
        head = trainer.fit(noisy_data(task, 1, videos=12), noisy_data(task, 2))
        assert trainer.record is not None
        assert max(trainer.record.scores) > least
        assert trainer.record.scores[trainer.record.best_epoch - 1] == max(trainer.record.scores)
        alone = evaluate(reading_head(task), noisy_data(task, 2), resamples=1).frame_wise.p
        assert evaluate(head, noisy_data(task, 2), resamples=1).frame_wise.p > alone + 0.1

    @every_kind
    def test_the_same_seed_gives_the_same_head(self, model: str, is_causal: bool) -> None:
        data = noisy_data(Task.AU, 1, videos=2)

        def arrays(seed: int) -> dict:
            return TemporalTrainer(model, replace(SMALL, seed=seed, causal=is_causal)).fit(data, None).arrays()

        first, again, other = arrays(3), arrays(3), arrays(4)
        for name, array in first.items():
            np.testing.assert_array_equal(array, again[name])
        assert not np.array_equal(first["core.out.weight"], other["core.out.weight"])

    def test_a_projection_is_learned_with_the_network(self, monkeypatch: pytest.MonkeyPatch) -> None:
        data, valid = noisy_data(Task.VA, 1, videos=3), noisy_data(Task.VA, 2, videos=2)
        valid = replace(
            valid,
            sequences=tuple(
                replace(one, labelled_frame=one.labelled_frame[one.has_face], target=one.target[one.has_face])
                for one in valid.sequences
            ),
        )
        monkeypatch.setattr("affectline.training.out_of_fold.MOST_PASSED", 7)  # the eight logits are too many
        trainer = TemporalTrainer("tcn", replace(SMALL, projected=5))
        head = trainer.fit(data, valid)
        assert head.encoding_size == 2 + 5
        assert head.arrays()["encoder.projection.weight"].shape == (5, 8)
        assert trainer.record is not None
        found = evaluate(head, valid, resamples=1).frame_wise.p
        assert max(trainer.record.scores) == pytest.approx(found, abs=1e-6)
        again = TemporalTrainer("tcn", replace(SMALL, projected=5)).fit(data, valid)
        np.testing.assert_array_equal(
            head.arrays()["encoder.projection.weight"], again.arrays()["encoder.projection.weight"]
        )

    def test_random_numbers_outside_stay_as_they_were(self) -> None:
        torch.manual_seed(5)
        expected = torch.rand(3)
        torch.manual_seed(5)
        TemporalTrainer("tcn", replace(SMALL, epochs=1)).fit(noisy_data(Task.VA, 1, videos=2), None)
        assert torch.equal(torch.rand(3), expected)

    def test_a_resumed_run_equals_an_unbroken_one(self, tmp_path: Path) -> None:
        train, valid = noisy_data(Task.AU, 1, videos=3), noisy_data(Task.AU, 2, videos=3)
        params = replace(SMALL, epochs=4, patience=4)
        whole = TemporalTrainer("gru", params).fit(train, valid)

        class KilledError(Exception):
            pass

        def kill_after_two(done: int, *_: object) -> None:
            if done == 2:
                raise KilledError

        path = tmp_path / "part"
        with pytest.raises(KilledError):
            TemporalTrainer("gru", params, RunOptions(path, on_epoch=kill_after_two)).fit(train, valid)
        epochs: list[int] = []
        run = RunOptions(path, resume=True, on_epoch=lambda done, *_: epochs.append(done))
        again = TemporalTrainer("gru", params, run).fit(train, valid)
        assert epochs == [3, 4]
        for name, array in whole.arrays().items():
            np.testing.assert_array_equal(array, again.arrays()[name])
        for model, other in (("gru", replace(params, causal=True)), ("tcn", params)):
            with pytest.raises(ResumeError, match="other data or parameters"):
                TemporalTrainer(model, other, RunOptions(path, resume=True)).fit(train, valid)

    def test_validation_is_scored_as_the_head_is_used(self) -> None:
        trainer = TemporalTrainer("tcn", replace(SMALL, epochs=1))
        valid = noisy_data(Task.VA, 2, videos=3)
        head = trainer.fit(noisy_data(Task.VA, 1, videos=3), valid)
        assert trainer.record is not None
        # With a face in every labelled frame nothing is filled in between.
        seen = tuple(
            replace(one, labelled_frame=one.labelled_frame[one.has_face], target=one.target[one.has_face])
            for one in valid.sequences
        )
        found = evaluate(head, replace(valid, sequences=seen), resamples=1).frame_wise.p
        assert trainer.record.scores == pytest.approx((found,), abs=1e-6)

    def test_without_validation_every_epoch_runs(self) -> None:
        trainer = TemporalTrainer("tcn", SMALL)
        trainer.fit(noisy_data(Task.AU, 1, videos=2), None)
        assert trainer.record is not None
        assert (trainer.record.epochs, trainer.record.best_epoch, trainer.record.scores) == (2, 2, ())

    def test_refuses_a_class_without_examples(self) -> None:
        data = noisy_data(Task.EXPR, 1)
        without = replace(
            data,
            sequences=tuple(replace(one, target=np.where(one.target == 3, 4, one.target)) for one in data.sequences),
        )
        with pytest.raises(InputError, match=r"no examples to tell Fear by .*--allow-empty-classes"):
            TemporalTrainer("tcn", SMALL).fit(without, None)
        TemporalTrainer("tcn", replace(SMALL, epochs=1, allow_empty_classes=True)).fit(without, None)

    def test_takes_videos_of_other_rates_and_single_frames(self) -> None:
        rng = np.random.default_rng(0)
        parts = [noisy_data(Task.VA, 1, videos=3).sequences]
        for number, rate_fps in enumerate((24.0, 60.0)):
            shown = {frame: tuple(rng.uniform(-0.5, 0.5, 2)) for frame in range(90)}
            truth = {frame: tuple(rng.uniform(-0.5, 0.5, 2)) for frame in range(0, 90, 2)}
            parts.append((sequence(Task.VA, f"w{number}", shown, truth, frame_count=90, rate_fps=rate_fps),))
        parts.append((sequence(Task.VA, "one", {3: (0.1, 0.2)}, {3: (0.1, 0.2)}, frame_count=9),))
        data = tables(Task.VA, *(one for part in parts for one in part))
        head = TemporalTrainer("gru", SMALL).fit(data, data)
        assert head.spec.interval_s == pytest.approx(1 / 30)
        assert all(np.isfinite(one.values).all() for one in score_sequences(head, data))

    @pytest.mark.parametrize(
        "wrong", [{"epochs": 0}, {"hidden": 0}, {"learning_rate": 0.0}, {"dropout": 1.0}, {"window_s": float("nan")}]
    )
    def test_refuses_parameters(self, wrong: dict) -> None:
        with pytest.raises(InputError, match=next(iter(wrong))):
            TemporalParams(**wrong)

    def test_refuses_a_window_that_the_rate_does_not_fill(self) -> None:
        with pytest.raises(InputError, match=r"a window of 0\.1 s holds 4 frames .*choose another --window"):
            TemporalTrainer("tcn", replace(SMALL, window_s=0.1)).fit(noisy_data(Task.VA, 1), None)


def test_blends_with_a_plain_head() -> None:
    data = noisy_data(Task.VA, 2)
    head = TemporalTrainer("tcn", replace(SMALL, epochs=6)).fit(noisy_data(Task.VA, 1), None)
    parts = (head, reading_head(Task.VA))
    blended = blend_heads(parts, data)
    one = data.sequences[0]
    found = predict(blended.head, one.tables, one.rows).values
    each = [predict(part, one.tables, one.rows).values for part in parts]
    mixed = sum(weight * scores for weight, scores in zip(blended.weights, each, strict=True))
    np.testing.assert_allclose(found, mixed, atol=1e-6)
    assert LABELS[Task.VA] == blended.head.card.labels


@pytest.fixture(scope="module")
def synthetic(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("synthetic") / "set"
    write_synthetic(out, SynthOptions(videos=16, frames=400, seed=21, width=32))
    return out


class TestCommand:
    def run(self, synthetic: Path, output: Path, *more: str) -> Result:
        words = [
            "train", "va", "--store", str(synthetic / "store"), "--data", str(synthetic / "annotations"),
            "--backbone", "synthetic_b0", "-o", str(output), *more,
        ]  # fmt: skip
        return CliRunner().invoke(app, words)

    def test_trains_evaluates_and_writes_onnx(self, synthetic: Path, tmp_path: Path) -> None:
        chosen = ("--model", "gru", "--causal", "--epochs", "2", "--hidden", "8", "--window", "2", "--dropout", "0.1")
        result = self.run(synthetic, tmp_path / "va", *chosen, "--onnx", str(tmp_path / "va.onnx"))
        assert result.exit_code == 0, result.output
        assert f"the network as ONNX -> {tmp_path / 'va.onnx'}" in result.stdout
        head = load_head(tmp_path / "va")
        assert isinstance(head, TemporalHead)
        assert (head.spec.model, head.spec.is_causal, head.spec.window, head.spec.size) == ("gru", True, 60, 8)
        told = head.card.training
        assert (told["model"], told["causal"], told["window_s"], told["window"]) == ("gru", "True", "2.0", "60 frames")
        assert (told["rate"], told["dropout"], told["weight_decay"]) == ("30", "0.1", told["weight_decay"])
        assert head.card.decision.mode == "causal"
        assert onnxruntime.InferenceSession(tmp_path / "va.onnx").get_inputs()[0].name == "features"
        words = ["evaluate", "va", str(tmp_path / "va"), "--store", str(synthetic / "store")]
        scored = CliRunner().invoke(app, [*words, "--data", str(synthetic / "annotations")])
        assert f"{head.card.validation['p']:.4f}" in scored.stdout
        assert list(tmp_path.glob(".*")) == []

    @pytest.mark.parametrize(
        ("words", "match"),
        [
            (("--model", "gru", "--l2", "0.1"), "gru heads have no --l2; .*--weight-decay"),
            (("--causal", "--window", "3"), "--window, --causal mean nothing to mlp"),
            (("--model", "automl", "--dropout", "0.1"), "--dropout mean nothing to automl"),
            (("--onnx", "h.onnx"), "--onnx mean nothing to mlp"),
            (("--model", "tcn", "--hidden", "0"), "training cannot use hidden=0"),
            (("--model", "tcn", "--window", "0.1"), "choose another --window"),
            (("--model", "transformer", "--hidden", "10"), "4 divides, got 10; choose another --hidden"),
        ],
    )
    def test_refuses_what_means_nothing(self, words: tuple, match: str, synthetic: Path, tmp_path: Path) -> None:
        result = self.run(synthetic, tmp_path / "va", *words)
        assert result.exit_code != 0
        assert isinstance(result.exception, InputError)
        assert re.search(match, str(result.exception))
