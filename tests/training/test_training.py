from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from affectline.cli.main import app
from affectline.datasets.labelled import LabelledTables
from affectline.datasets.loading import DataOptions, load_labelled
from affectline.datasets.synthetic.write import SynthOptions, write_synthetic
from affectline.errors import InputError, OutputError, ResumeError
from affectline.evaluation.scoring import evaluate
from affectline.evaluation.tuning import TuneOptions
from affectline.features import CropKind, FeaturePart
from affectline.features.store import FeatureStore
from affectline.features.writer import FeatureWriter
from affectline.heads.cascade import SURE_FROM, SURE_FROM_GRID, CascadeHead
from affectline.heads.gated import GatedHead, PaperGatedHead
from affectline.heads.head import predict
from affectline.heads.head_file import load_head
from affectline.labels import Task
from affectline.metrics.concordance import concordances
from affectline.training.epochs import RunOptions
from affectline.training.examples import Examples
from affectline.training.heads import CascadeTrainer, GatedTrainer, MlpTrainer, PaperGatedTrainer, PretrainedTrainer
from affectline.training.losses import class_weights, concordance_loss, make_loss
from affectline.training.params import DEFAULTS, TrainParams, batch_for
from affectline.training.recipe import Recipe, train_head
from affectline.training.temporal_params import default_temporal
from labelled_examples import noisy_data


class TestLosses:
    def test_concordance_is_1_minus_the_metric(self) -> None:
        rng = np.random.default_rng(0)
        outputs, target = rng.normal(size=(50, 2)), rng.uniform(-1, 1, (50, 2))
        loss = concordance_loss(torch.tensor(outputs), torch.tensor(target))
        assert float(loss) == pytest.approx(1 - concordances(target, np.tanh(outputs)).mean(), abs=1e-6)

    def test_class_weights_even_the_classes_out(self) -> None:
        weights = class_weights(np.array([10, 30, 0, 60]))
        np.testing.assert_allclose(weights, [100 / 30, 100 / 90, 0, 100 / 180], rtol=1e-6)
        assert weights @ [10, 30, 0, 60] == pytest.approx(100)

    def test_cross_entropy_is_weighted_by_class(self) -> None:
        target = np.array([0, 0, 0, 1])
        outputs = torch.tensor(np.random.default_rng(1).normal(size=(4, 2)).astype(np.float32))
        p = torch.softmax(outputs, 1).numpy()[np.arange(4), target]
        weights = np.array([4 / 2 / 3] * 3 + [4 / 2])
        loss = make_loss(Task.EXPR, target, 2)(outputs, torch.tensor(target))
        assert float(loss) == pytest.approx((-weights * np.log(p)).sum() / weights.sum(), rel=1e-5)

    def test_binary_cross_entropy_gives_on_and_off_the_same_weight(self) -> None:
        target = np.array([[0, 1], [0, 1], [0, 1], [1, 0]], np.float32)
        outputs = torch.tensor(np.random.default_rng(1).normal(size=(4, 2)).astype(np.float32))
        p = torch.sigmoid(outputs).numpy()
        entropy = -np.where(target == 1, np.log(p), np.log(1 - p))
        on, off = np.array([0.5 / 0.25, 0.5 / 0.75]), np.array([0.5 / 0.75, 0.5 / 0.25])
        expected = (np.where(target == 1, on, off) * entropy).mean()
        assert float(make_loss(Task.AU, target, 2)(outputs, torch.tensor(target))) == pytest.approx(expected, rel=1e-5)


class TestExamples:
    def test_statistics_are_those_of_the_labelled_faces(self) -> None:
        data = noisy_data(Task.AU, 0)
        examples = Examples(data, (FeaturePart.LOGITS,))
        rows = np.concatenate(
            [next(iter(one.tables.values())).features(one.labelled_rows).logits for one in data.sequences]
        )
        mean, scale = examples.statistics()
        np.testing.assert_allclose(mean, rows.mean(axis=0), atol=1e-5)
        # Logits 3 to 7 are constant in this data: they are not scaled.
        np.testing.assert_allclose(scale[:3], rows.std(axis=0)[:3], rtol=1e-4)
        assert scale[3:].tolist() == [1.0] * 5

    @pytest.mark.parametrize("held", [True, False])
    def test_batches_carry_their_labels(self, held: bool, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("affectline.training.examples.MAX_HELD_BYTES", 2**20 if held else 0)
        examples = Examples(noisy_data(Task.VA, 0, noise=(0.0,)), (FeaturePart.LOGITS,))
        seen = 0
        for inputs, target in examples.batches(100, 3):
            np.testing.assert_allclose(np.tanh(inputs[:, :2]), target, atol=1e-6)
            seen += len(inputs)
        assert seen == len(examples) == 6 * 270

    def test_small_sets_are_cut_into_small_batches(self) -> None:
        assert [batch_for(TrainParams(), n) for n in (10, 5000, 10**6)] == [64, 100, 512]


class TestMlp:
    @pytest.mark.parametrize(("task", "least"), [(Task.VA, 0.85), (Task.EXPR, 0.65), (Task.AU, 0.8)])
    def test_learns_what_can_be_learned(self, task: Task, least: float) -> None:
        hidden = DEFAULTS[task].hidden
        trainer = MlpTrainer(TrainParams((FeaturePart.LOGITS,), hidden, epochs=15, learning_rate=5e-3, seed=1))
        head = trainer.fit(noisy_data(task, 1, noise=(0.3,)), noisy_data(task, 2, noise=(0.3,)))
        assert max(trainer.record.scores) > least
        assert trainer.record.scores[trainer.record.best_epoch - 1] == max(trainer.record.scores)
        assert head.card.labels == noisy_data(task, 1).labels

    def test_the_same_seed_gives_the_same_head(self) -> None:
        def weights(seed: int) -> np.ndarray:
            params = TrainParams((FeaturePart.LOGITS,), epochs=2, seed=seed)
            return MlpTrainer(params).fit(noisy_data(Task.EXPR, 1), None).layers[0].weight

        np.testing.assert_array_equal(weights(3), weights(3))
        assert not np.array_equal(weights(3), weights(4))

    def test_the_number_of_threads_changes_nothing(self) -> None:
        train = noisy_data(Task.VA, 1)
        before = torch.get_num_threads()
        weights = []
        try:
            for threads in (1, 2):
                torch.set_num_threads(threads)
                params = TrainParams((FeaturePart.LOGITS,), epochs=2)
                weights.append(MlpTrainer(params).fit(train).layers[0].weight)
                assert torch.get_num_threads() == threads
        finally:
            torch.set_num_threads(before)
        np.testing.assert_array_equal(*weights)

    def test_stops_when_nothing_gets_better(self) -> None:
        params = TrainParams((FeaturePart.LOGITS,), epochs=40, patience=2, learning_rate=0.05)
        trainer = MlpTrainer(params)
        trainer.fit(noisy_data(Task.EXPR, 1), noisy_data(Task.EXPR, 2))
        assert trainer.record.epochs == trainer.record.best_epoch + 2 < 40

    def test_without_validation_every_epoch_runs_and_the_last_counts(self) -> None:
        trainer = MlpTrainer(TrainParams((FeaturePart.LOGITS,), epochs=3))
        trainer.fit(noisy_data(Task.EXPR, 1), None)
        assert (trainer.record.epochs, trainer.record.best_epoch, trainer.record.scores) == (3, 3, ())

    def test_a_resumed_run_equals_an_unbroken_one(self, tmp_path: Path) -> None:
        train, valid = noisy_data(Task.AU, 1), noisy_data(Task.AU, 2)
        params = TrainParams((FeaturePart.LOGITS,), epochs=4, patience=4)
        whole = MlpTrainer(params).fit(train, valid)

        class KilledError(Exception):
            pass

        def kill_after_two(done: int, *_: object) -> None:
            if done == 2:
                raise KilledError

        path = tmp_path / "part"
        with pytest.raises(KilledError):
            MlpTrainer(params, RunOptions(path, on_epoch=kill_after_two)).fit(train, valid)
        epochs = []
        run = RunOptions(path, resume=True, on_epoch=lambda done, *_: epochs.append(done))
        again = MlpTrainer(params, run).fit(train, valid)
        assert epochs == [3, 4]
        for name, array in whole.arrays().items():
            np.testing.assert_array_equal(array, again.arrays()[name])
        with pytest.raises(ResumeError, match="other data or parameters"):
            MlpTrainer(replace(params, hidden=5), RunOptions(path, resume=True)).fit(train, valid)
        path.write_bytes(path.read_bytes()[:100])
        with pytest.raises(ResumeError, match="cannot be continued"):
            MlpTrainer(params, RunOptions(path, resume=True)).fit(train, valid)

    def test_refuses_a_class_without_examples(self) -> None:
        data = noisy_data(Task.EXPR, 1)
        without = replace(
            data,
            sequences=tuple(replace(one, target=np.where(one.target == 3, 4, one.target)) for one in data.sequences),
        )
        with pytest.raises(InputError, match=r"no examples to tell Fear by .*Fear 0.*--allow-empty-classes"):
            MlpTrainer(TrainParams((FeaturePart.LOGITS,))).fit(without, None)
        params = TrainParams((FeaturePart.LOGITS,), epochs=1, allow_empty_classes=True)
        head = MlpTrainer(params).fit(without, None)
        assert np.isfinite(
            head.score({head.card.backbones[0].digest: next(iter(data.sequences[0].tables.values())).features()})
        ).all()

    def test_refuses_what_holds_nothing_to_learn(self) -> None:
        data = noisy_data(Task.VA, 1)
        (first, *_) = data.sequences
        few = replace(first, labelled_frame=first.labelled_frame[:9], target=first.target[:9])
        with pytest.raises(InputError, match="labelled frames with a face; training needs at least 10"):
            MlpTrainer(DEFAULTS[Task.VA]).fit(replace(data, sequences=(few,)), None)
        flat = replace(first, target=first.target * [1.0, 0.0])
        with pytest.raises(InputError, match=r"arousal of .* is the same in every frame"):
            MlpTrainer(DEFAULTS[Task.VA]).fit(replace(data, sequences=(flat,)), None)
        data = noisy_data(Task.EXPR, 1)
        alike = [replace(one, target=np.zeros_like(one.target)) for one in data.sequences]
        with pytest.raises(InputError, match=r"all labelled frames of .* are Neutral"):
            MlpTrainer(replace(DEFAULTS[Task.EXPR], allow_empty_classes=True)).fit(
                replace(data, sequences=tuple(alike)), None
            )

    def test_refuses_a_unit_that_is_always_on(self) -> None:
        data = noisy_data(Task.AU, 1)
        always = replace(data, sequences=tuple(replace(one, target=np.ones_like(one.target)) for one in data.sequences))
        with pytest.raises(InputError, match="tell AU1, AU2, AU4 by"):
            MlpTrainer(TrainParams((FeaturePart.LOGITS,))).fit(always, None)

    @pytest.mark.parametrize("wrong", [{"epochs": 0}, {"hidden": -1}, {"learning_rate": 0.0}, {"batch_size": 0}])
    def test_refuses_parameters(self, wrong: dict) -> None:
        with pytest.raises(InputError, match=next(iter(wrong))):
            TrainParams(**wrong)


def test_a_gate_learns_other(tmp_path: Path) -> None:
    data = noisy_data(Task.EXPR, 1, noise=(0.3,))
    params = TrainParams((FeaturePart.LOGITS,), epochs=5)
    head = GatedTrainer(params).fit(data, None)
    assert isinstance(head, GatedHead)
    one = data.sequences[0]
    scores = predict(head, one.tables, one.labelled_rows).values
    is_other = one.target[one.has_face] == 7
    assert scores[is_other, 7].mean() > scores[~is_other, 7].mean() + 0.3
    assert isinstance(PaperGatedTrainer(params).fit(data, None), PaperGatedHead)
    with pytest.raises(InputError, match="gated models predict the eight ABAW expressions"):
        GatedTrainer(params).fit(noisy_data(Task.VA, 1), None)
    with pytest.raises(InputError, match="net-ab gives none"):
        PretrainedTrainer().fit(noisy_data(Task.VA, 1), None)


def test_a_cascade_is_sure_from_where_the_validation_videos_say() -> None:
    data, valid = noisy_data(Task.EXPR, 1, noise=(0.3,)), noisy_data(Task.EXPR, 2, noise=(0.3,))
    params = TrainParams((FeaturePart.LOGITS,), epochs=1)
    head = CascadeTrainer(params).fit(data, valid)
    assert isinstance(head, CascadeHead)
    assert CascadeTrainer(params).fit(data, None).sure_from == SURE_FROM
    found = {
        sure: evaluate(CascadeHead(head.card, head.own, head.trained, sure), valid, resamples=1).with_face.p
        for sure in SURE_FROM_GRID
    }
    assert found[head.sure_from] == max(found.values())
    with pytest.raises(InputError, match="gated models predict"):
        CascadeTrainer(params).fit(noisy_data(Task.AU, 1), None)


@pytest.fixture(scope="module")
def synthetic(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("synthetic") / "set"
    write_synthetic(out, SynthOptions(videos=40, frames=800, seed=21, width=128))
    return out


def recipe(synthetic: Path, task: Task, backbone: str, parts: tuple[FeaturePart, ...] | None = None, **other) -> Recipe:
    data = DataOptions(synthetic / "store", synthetic / "annotations", backbones=(backbone,))
    return Recipe(task, data, params=replace(DEFAULTS[task], parts=parts), **other)


class TestRecipe:
    def test_the_card_says_what_was_done(self, synthetic: Path, tmp_path: Path) -> None:
        trained = train_head(recipe(synthetic, Task.VA, "synthetic_mt"), tmp_path / "va.safetensors")
        card = load_head(tmp_path / "va.safetensors").card
        assert card == trained.head.card
        assert (card.training["model"], card.training["parts"], card.training["seed"]) == ("mlp", "default", "0")
        assert card.decision.radius_s > 0.2
        assert card.validation["p"] > card.validation["p_frame_wise"] + 0.03
        assert list(tmp_path.iterdir()) == [tmp_path / "va.safetensors"]

    def test_better_inputs_beat_worse_ones_and_smoothing_helps(self, synthetic: Path, tmp_path: Path) -> None:
        scores, radii = {}, {}
        for task, backbone, parts in (
            (Task.VA, "synthetic_b0", FeaturePart.LOGITS),
            (Task.VA, "synthetic_mt", FeaturePart.LOGITS),
            (Task.EXPR, "synthetic_b0", FeaturePart.LOGITS),
            (Task.EXPR, "synthetic_b0", FeaturePart.EMBEDDING),
            (Task.AU, "synthetic_b0", FeaturePart.LOGITS),
            (Task.AU, "synthetic_b0", FeaturePart.EMBEDDING),
        ):
            head = train_head(recipe(synthetic, task, backbone, (parts,)), tmp_path / "h").head
            scores[task, backbone, parts] = head.card.validation["p_frame_wise"]
            radii[task, parts] = head.card.decision.radius_s
            assert head.card.validation["p"] > head.card.validation["p_frame_wise"]
        first = [scores[task, "synthetic_b0", FeaturePart.EMBEDDING] for task in (Task.EXPR, Task.AU)]
        second = [scores[task, "synthetic_b0", FeaturePart.LOGITS] for task in (Task.EXPR, Task.AU)]
        assert (first[0] > second[0] + 0.03, first[1] > second[1] + 0.1) == (True, True)
        assert scores[Task.VA, "synthetic_b0", FeaturePart.LOGITS] > scores[Task.VA, "synthetic_mt", FeaturePart.LOGITS]
        assert radii[Task.AU, FeaturePart.EMBEDDING] < 0.2 < radii[Task.VA, FeaturePart.LOGITS]
        assert radii[Task.AU, FeaturePart.EMBEDDING] < radii[Task.EXPR, FeaturePart.EMBEDDING]

    def test_a_final_model_takes_its_decision_from_a_validated_one(self, synthetic: Path, tmp_path: Path) -> None:
        first = train_head(recipe(synthetic, Task.AU, "synthetic_b0"), tmp_path / "a").head.card
        final = recipe(synthetic, Task.AU, "synthetic_b0", on="train+val", decision_from=tmp_path / "a")
        card = train_head(final, tmp_path / "b").head.card
        assert (card.decision, dict(card.validation)) == (first.decision, {})
        assert card.training["decision"] == "taken over from a"
        assert int(card.training["frames"]) > int(first.training["frames"])
        with pytest.raises(InputError, match=r"decides on AU .* this head is for VA"):
            train_head(replace(final, task=Task.VA, params=DEFAULTS[Task.VA]), tmp_path / "c")

    def test_videos_on_both_sides_are_refused_and_their_subjects_named(self, synthetic: Path, tmp_path: Path) -> None:
        pair = "synthetic-0007-30-112x112_left", "synthetic-0007-30-112x112_right"
        both = recipe(synthetic, Task.VA, "synthetic_b0")
        train, val = tmp_path / "train.txt", tmp_path / "val.txt"
        train.write_text(f"{pair[0]}\nsynthetic-0001-30-112x112\n")
        val.write_text(f"{pair[1]}\n")
        lists = replace(both.data, train_list=train, val_list=val)
        trained = train_head(replace(both, data=lists), tmp_path / "h")
        assert any("subjects of one video are on both sides" in note for note in trained.notes)
        val.write_text(f"{pair[0]}\n")
        with pytest.raises(
            InputError, match=f"1 video is in the training and in the validation list, such as {pair[0]}"
        ):
            train_head(replace(both, data=lists), tmp_path / "h")

    def test_evaluation_knows_what_was_trained_on(self, synthetic: Path, tmp_path: Path) -> None:
        one = recipe(synthetic, Task.VA, "synthetic_b0")
        head = train_head(one, tmp_path / "h").head
        trained_on = load_labelled(Task.VA, "train", one.data)
        held_out = load_labelled(Task.VA, "val", one.data)
        groups = len({sequence.group for sequence in trained_on.sequences})
        assert evaluate(head, trained_on, resamples=1).trained_on_here == groups
        assert evaluate(head, held_out, resamples=1).trained_on_here == 0

    @pytest.mark.parametrize("place", ["", "no/such/h"])
    def test_a_place_that_cannot_be_written_to_is_found_first(
        self, place: str, synthetic: Path, tmp_path: Path
    ) -> None:
        with pytest.raises(OutputError, match=r"it is a folder; name a file|does not exist; make it"):
            train_head(recipe(synthetic, Task.VA, "synthetic_b0"), tmp_path / place)

    def test_it_says_what_becomes_of_an_unfinished_run(self, synthetic: Path, tmp_path: Path) -> None:
        one = recipe(synthetic, Task.VA, "synthetic_b0")
        assert any("no unfinished run to resume" in note for note in train_head(one, tmp_path / "h", resume=True).notes)
        (tmp_path / ".h.part").touch()
        assert any("was thrown away" in note for note in train_head(one, tmp_path / "h").notes)
        (tmp_path / ".h.part.1").touch()  # of the first stage of a head that sees a face over time
        assert any("was thrown away" in note for note in train_head(one, tmp_path / "h").notes)

    def test_a_decision_that_was_taken_over_is_known_to_come_from_these_data(
        self, synthetic: Path, tmp_path: Path
    ) -> None:
        one = recipe(synthetic, Task.VA, "synthetic_b0")
        train_head(one, tmp_path / "h")
        head = train_head(replace(one, decision_from=tmp_path / "h"), tmp_path / "d").head
        assert evaluate(head, load_labelled(Task.VA, "val", one.data), resamples=1).is_tuned_here

    @pytest.mark.parametrize("model", ["mlp", "tcn", "cascade"])
    def test_videos_without_a_face_are_no_hindrance(self, model: str, synthetic: Path, tmp_path: Path) -> None:
        folder = Path(shutil.copytree(synthetic, tmp_path / "set"))
        store = FeatureStore(folder / "store")
        digest = store.find_backbone("synthetic_b0")[1]
        one = recipe(folder, Task.EXPR, "synthetic_b0", model=model)
        for split in ("train", "val"):
            names = sorted({sequence.video for sequence in load_labelled(Task.EXPR, split, one.data).sequences})
            info = store.open(digest, CropKind.CROPPED, names[1]).info
            with FeatureWriter(store, info) as writer:
                writer.finish(info.frame_count)
        quick = {"epochs": 1, "allow_empty_classes": True}
        quickly = replace(
            one, params=replace(DEFAULTS[Task.EXPR], **quick), temporal=replace(default_temporal(Task.EXPR), **quick)
        )
        assert train_head(quickly, tmp_path / "h").head.card.validation["frames"] > 0

    def test_folds_that_are_not_there_are_missed_before_training(self, synthetic: Path, tmp_path: Path) -> None:
        one = recipe(synthetic, Task.AU, "synthetic_b0", tune=TuneOptions(thresholds="cv"))
        held_out = load_labelled(Task.AU, "val", one.data).sequences[0].video
        (tmp_path / "val.txt").write_text(f"{held_out}\n")
        epochs: list[int] = []
        with pytest.raises(InputError, match="--thresholds cv needs 2 validation videos or more"):
            train_head(
                replace(one, data=replace(one.data, val_list=tmp_path / "val.txt")), tmp_path / "h",
                on_epoch=lambda done, *_: epochs.append(done),
            )  # fmt: skip
        assert not epochs

    def test_a_final_model_without_one_says_that_nothing_is_known(self, synthetic: Path, tmp_path: Path) -> None:
        trained = train_head(recipe(synthetic, Task.VA, "synthetic_b0", on="train+val"), tmp_path / "a")
        assert trained.head.card.decision.radius_s == 0
        assert any("nothing was held out" in note for note in trained.notes)

    @pytest.mark.parametrize("wrong", [{"model": "forest"}, {"on": "test"}])
    def test_refuses_other_words(self, synthetic: Path, wrong: dict) -> None:
        with pytest.raises(InputError, match=next(iter(wrong.values()))):
            recipe(synthetic, Task.VA, "synthetic_b0", **wrong)


class TestCommand:
    def arguments(self, synthetic: Path, output: Path, *more: str) -> list[str]:
        return [
            "train", "expr", "--store", str(synthetic / "store"), "--data", str(synthetic / "annotations"),
            "--backbone", "synthetic_b0", "-o", str(output), *more,
        ]  # fmt: skip

    def test_trains_and_prints_the_metrics(self, synthetic: Path, tmp_path: Path) -> None:
        result = CliRunner().invoke(app, self.arguments(synthetic, tmp_path / "h", "--model", "gated", "--epochs", "2"))
        assert result.exit_code == 0, result.output
        card = load_head(tmp_path / "h").card
        lines = [line.rsplit(maxsplit=1) for line in result.stdout.splitlines()]
        assert ["P, unsmoothed", f"{card.validation['p_frame_wise']:.4f}"] in lines
        assert [f"P, radius {card.decision.radius_s:.3g} s", f"{card.validation['p']:.4f}"] in lines
        assert isinstance(load_head(tmp_path / "h"), GatedHead)

    @pytest.mark.parametrize("task", ["va", "expr"])
    def test_what_a_backbone_gives_by_itself(self, task: str, synthetic: Path, tmp_path: Path) -> None:
        words = self.arguments(synthetic, tmp_path / "p", "--model", "pretrained")
        words[1] = task
        words[words.index("synthetic_b0")] = "synthetic_mt"
        result = CliRunner().invoke(app, words)
        assert result.exit_code == 0, result.output
        refused = CliRunner().invoke(app, [*words, "--epochs", "3", "--input", "logits"])
        assert isinstance(refused.exception, InputError)
        assert "--epochs, --input mean nothing to pretrained" in str(refused.exception)

    def test_names_a_folder_that_is_not_there(self, synthetic: Path, tmp_path: Path) -> None:
        result = CliRunner().invoke(app, self.arguments(synthetic, tmp_path / "no" / "h"))
        assert "does not exist; make it, or choose another --output" in str(result.exception)

    @pytest.mark.skipif(os.name == "nt", reason="no SIGKILL there")
    def test_a_killed_run_goes_on_with_resume(self, synthetic: Path, tmp_path: Path) -> None:
        more = ("--epochs", "400", "--input", "embedding+logits", "--on", "train+val")
        command = [sys.executable, "-m", "affectline", *self.arguments(synthetic, tmp_path / "h", *more)]
        running = subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)
        for line in running.stderr:
            if line.startswith("epoch 3 "):
                break
        time.sleep(0.05)
        running.send_signal(signal.SIGKILL)
        running.communicate()
        assert not (tmp_path / "h").exists()
        again = subprocess.Popen([*command, "--resume"], stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)
        first = next(line for line in again.stderr if line.startswith("epoch"))
        again.kill()
        again.communicate()
        assert int(first.split()[1]) >= 4


def test_heads_come_close_to_the_ceiling(tmp_path: Path) -> None:
    result = write_synthetic(tmp_path / "set", SynthOptions(videos=60, frames=800, seed=77))
    ceilings = {one.source: one.p for one in result.ceilings}
    for task, parts, source in (
        (Task.VA, FeaturePart.LOGITS, "synthetic_b0 logits, one frame"),
        (Task.EXPR, FeaturePart.EMBEDDING, "synthetic_b0 embedding, one frame"),
        (Task.AU, FeaturePart.EMBEDDING, "synthetic_b0 embedding, one frame"),
    ):
        card = train_head(recipe(tmp_path / "set", task, "synthetic_b0", (parts,)), tmp_path / "h").head.card
        assert card.validation["p_frame_wise"] > 0.9 * ceilings[source][task], (task, ceilings[source][task])


def test_loaded_data_are_what_the_trainers_see(synthetic: Path) -> None:
    data = load_labelled(
        Task.EXPR, "train", DataOptions(synthetic / "store", synthetic / "annotations", backbones=("synthetic_b0",))
    )
    assert isinstance(data, LabelledTables)
    assert len(Examples(data, (FeaturePart.LOGITS,))) == sum(int(one.has_face.sum()) for one in data.sequences)
