"""Analysing with trained heads: what rows say is what features, head, filter and thresholds say, computed anew here."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from affectline import AnalyzeOptions, Sampling, Timeline, analyze, read_frames
from affectline.backbones import BACKBONES, load_backbone
from affectline.backbones.spec import Interpolation, ResizeStep, describe
from affectline.cli.main import app
from affectline.errors import InputError
from affectline.extract import ExtractOptions, extract_all, find_sources, load_extractor
from affectline.features import FeaturePart, FeatureTable
from affectline.features.store import FeatureStore
from affectline.heads.blend import BlendHead, joint_backbones
from affectline.heads.head import BackboneRef, Decision, HeadCard
from affectline.heads.head_file import save_head
from affectline.heads.mlp import DenseLayer, MlpHead
from affectline.labels import UNCERTAIN, VALENCE_AROUSAL, Task
from affectline.postprocess.decide import UNCERTAIN_MARGIN
from affectline.postprocess.smoothing import Smoothing, SmoothingChoice
from faces_on_video import write_video
from tiny_networks import SIZE, save, tiny_network

DEFAULT = "mobilenet96_ferplus"
INTERVAL_S = 1 / 25
"""Of `write_video`."""


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("heads")


@pytest.fixture(scope="module")
def clip(root: Path, demo_clip: Path) -> Path:
    """A second and a half of a face that is seen in every frame."""
    return write_video(root / "clip.mp4", [frame.rgb for frame in read_frames(demo_clip, Sampling(end_s=1.5))])


@pytest.fixture(scope="module")
def tiny(root: Path) -> Path:
    """A second backbone: eight AffectNet logits from the mean colours of a crop."""
    spec = replace(
        BACKBONES["enet_b0_8_best_vgaf"],
        name="tiny",
        size=SIZE,
        resize=(ResizeStep(Interpolation.LINEAR, SIZE),),
    )
    return save(root, tiny_network(8), describe(spec))


@pytest.fixture(scope="module")
def features(root: Path, clip: Path, tiny: Path) -> dict[str, FeatureTable]:
    """What both backbones say of the clip, as `affectline extract` stores it, by the backbone's name."""
    store = FeatureStore(root / "store", create=True)
    found = {}
    for name in (DEFAULT, str(tiny)):
        sources = find_sources([clip], None)
        extractor = load_extractor(ExtractOptions(name), sources)
        (result,) = extract_all(sources, store, extractor)
        assert (result.status, result.rows) == ("done", 36)
        info = extractor.info(sources[0])
        found[info.backbone] = store.open(info.digest, info.crop_kind, info.video)
    return found


def head(task: Task, table: FeatureTable, labels: tuple[str, ...] | None = None, seed: int = 0, **decision) -> MlpHead:
    """Return a head with random weights on the logits of a table's backbone."""
    rng = np.random.default_rng(seed)
    labels = labels or task.official_labels
    width = len(table.info.labels)
    weight = rng.normal(0, 1, (len(labels), width)).astype(np.float32)
    layer = DenseLayer(weight, np.zeros(len(labels), np.float32))
    logits = table.features().logits
    card = HeadCard(task, labels, (BackboneRef(table.info.backbone, table.info.digest),), decision=Decision(**decision))
    return MlpHead(card, (FeaturePart.LOGITS,), (layer,), logits.mean(axis=0), logits.std(axis=0) + 1e-3)


def raw_scores(one: MlpHead, table: FeatureTable) -> np.ndarray:
    """Compute the head's scores in float64 from its numbers."""
    (layer,) = one.layers
    outputs = ((table.features().logits - one.mean) / one.scale).astype(np.float64) @ layer.weight.T + layer.bias
    if one.card.task is Task.VA:
        return np.tanh(outputs)
    if one.card.task is Task.AU:
        return 1 / (1 + np.exp(-outputs))
    raised = np.exp(outputs - outputs.max(axis=1, keepdims=True))
    return raised / raised.sum(axis=1, keepdims=True)


def box(values: np.ndarray, radius: int, ahead: int) -> np.ndarray:
    return np.array([values[max(0, k - radius) : k + ahead + 1].mean(axis=0) for k in range(len(values))])


def run(clip: Path, folder: Path, *heads: MlpHead | BlendHead, **options) -> Timeline:
    paths = []
    for number, one in enumerate(heads):
        paths.append(folder / f"{one.card.task.value}{number}.safetensors")
        save_head(one, paths[-1])
    return analyze(clip, AnalyzeOptions(heads=tuple(paths), **options))


def columns(timeline: Timeline, *names: str) -> np.ndarray:
    assert set(timeline.column("status")) == {"observed"}
    return np.stack([timeline.column(name) for name in names], axis=1)


class TestValues:
    def test_each_task_is_scored_smoothed_and_decided(self, clip: Path, features: dict, tmp_path: Path) -> None:
        table = features[DEFAULT]
        thresholds = tuple(np.linspace(0.3, 0.7, 12).tolist())
        va = head(Task.VA, table, radius_s=4 * INTERVAL_S)
        expr = head(
            Task.EXPR, table, radius_s=2 * INTERVAL_S, logit_adjustment=(0.5, 0.0, -0.5, 0.0, 1.0, 0.0, 0.0, -1.0)
        )
        au = head(Task.AU, table, radius_s=INTERVAL_S, thresholds=thresholds)
        timeline = run(clip, tmp_path, va, expr, au)
        assert columns(timeline, "valence", "arousal") == pytest.approx(box(raw_scores(va, table), 4, 4), abs=2e-5)
        odds = box(raw_scores(expr, table), 2, 2) * np.exp(expr.card.decision.logit_adjustment)
        expected = odds / odds.sum(axis=1, keepdims=True)
        names = [f"p_{label.lower()}" for label in expr.card.labels]
        assert columns(timeline, *names) == pytest.approx(expected, abs=2e-5)
        second, first = np.sort(expected, axis=1)[:, -2:].T
        best = np.array(expr.card.labels)[expected.argmax(axis=1)]
        words = np.where(first - second < UNCERTAIN_MARGIN, UNCERTAIN, best)
        is_clear = np.abs(first - second - UNCERTAIN_MARGIN) > 1e-4
        assert (timeline.column("expression") == words)[is_clear].all()
        assert is_clear.mean() > 0.9
        assert len(set(words)) > 2
        units = box(raw_scores(au, table), 1, 1)
        numbers = [f"au{int(label[2:]):02d}" for label in au.card.labels]
        assert columns(timeline, *numbers) == pytest.approx(units, abs=2e-5)
        clear = np.abs(units - thresholds) > 1e-4
        is_on = columns(timeline, *(f"{name}_on" for name in numbers))
        assert (is_on == (units >= thresholds))[clear].all()
        assert clear.mean() > 0.9

    def test_the_filter_is_the_heads_unless_one_is_chosen(self, clip: Path, features: dict, tmp_path: Path) -> None:
        table = features[DEFAULT]
        one = head(Task.VA, table, radius_s=4 * INTERVAL_S, mode="causal")
        scores = raw_scores(one, table)
        for smoothing, expected in (
            (SmoothingChoice(), box(scores, 4, 0)),
            (SmoothingChoice(mode="centred"), box(scores, 4, 4)),
            (SmoothingChoice(va_s=INTERVAL_S), box(scores, 1, 0)),
            (Smoothing.off(), scores),
        ):
            timeline = run(clip, tmp_path, one, smoothing=smoothing, action_units=False)
            assert columns(timeline, "valence", "arousal") == pytest.approx(expected, abs=2e-5)

    def test_without_smoothing_the_frame_wise_decision_counts(self, clip: Path, features: dict, tmp_path: Path) -> None:
        one = head(Task.AU, features[DEFAULT], ("AU12",), radius_s=INTERVAL_S, thresholds=(0.5,))
        one = one.with_card(replace(one.card, frame_wise=Decision(thresholds=(0.0,))))
        assert not run(clip, tmp_path, one).column("au12_on").all()
        assert run(clip, tmp_path, one, smoothing=Smoothing.off()).column("au12_on").all()

    def test_a_blend_runs_all_its_backbones(self, clip: Path, tiny: Path, features: dict, tmp_path: Path) -> None:
        parts = (head(Task.VA, features[DEFAULT], seed=1), head(Task.VA, features["tiny"], seed=2))
        card = HeadCard(Task.VA, VALENCE_AROUSAL, joint_backbones(parts), decision=Decision(2 * INTERVAL_S))
        blend = BlendHead(card, parts, np.array([0.25, 0.75], np.float32))
        timeline = run(clip, tmp_path, blend, backbone=(DEFAULT, tiny), action_units=False)
        first, second = raw_scores(parts[0], features[DEFAULT]), raw_scores(parts[1], features["tiny"])
        assert np.abs(first - second).max() > 0.1
        expected = box(0.25 * first + 0.75 * second, 2, 2)
        assert columns(timeline, "valence", "arousal") == pytest.approx(expected, abs=2e-5)
        assert {model.name for model in timeline.provenance.models if model.role == "backbone"} == {DEFAULT, "tiny"}


class TestPartOfTheLabels:
    def test_units_without_a_head_stay_empty(self, clip: Path, features: dict, tmp_path: Path) -> None:
        timeline = run(clip, tmp_path, head(Task.AU, features[DEFAULT], ("AU4", "AU12")))
        empty = {name for name in timeline.table.schema.names if timeline.table[name].null_count == 36}
        assert {"au04", "au12", "au04_on", "au12_on"}.isdisjoint(empty)
        assert {"au01", "au25", "au26_on", "au06_on"} <= empty

    def test_classes_are_the_heads(self, clip: Path, features: dict, tmp_path: Path) -> None:
        timeline = run(clip, tmp_path, head(Task.EXPR, features[DEFAULT], ("Happiness", "Sadness")), action_units=False)
        names = [name for name in timeline.table.schema.names if name.startswith("p_")]
        assert names == ["p_happiness", "p_sadness"]
        assert columns(timeline, *names).sum(axis=1) == pytest.approx(np.ones(36), abs=1e-5)

    def test_valence_alone_leaves_arousal_empty(self, clip: Path, features: dict, tmp_path: Path) -> None:
        timeline = run(clip, tmp_path, head(Task.VA, features[DEFAULT], ("valence",)), action_units=False)
        assert (timeline.table["valence"].null_count, timeline.table["arousal"].null_count) == (0, 36)


class TestWhatItRestsOn:
    def test_heads_are_named_with_their_digests(self, clip: Path, features: dict, tmp_path: Path) -> None:
        provenance = run(clip, tmp_path, head(Task.VA, features[DEFAULT]), action_units=False).provenance
        named = {one.task: (one.head, one.source) for one in provenance.heads}
        assert named["VA"][0] == "trained"
        assert named["VA"][1].startswith("VA0.safetensors")
        assert named["EXPR"][0] == "pretrained"
        (model,) = (model for model in provenance.models if model.name == "VA0.safetensors")
        content = (tmp_path / "VA0.safetensors").read_bytes()
        assert model.digest == f"sha256 {hashlib.sha256(content).hexdigest()}"


class TestRefusals:
    def test_another_backbone_names_both_digests(self, clip: Path, features: dict, tmp_path: Path) -> None:
        one = head(Task.VA, features["tiny"])
        ours, theirs = load_backbone(DEFAULT, offline=True).digest, features["tiny"].info.digest
        with pytest.raises(InputError, match=rf"tiny \(sha256 {theirs}\).*{DEFAULT} \(sha256 {ours}\)"):
            run(clip, tmp_path, one, backbone=DEFAULT)
        with pytest.raises(InputError, match=rf"sha256 {theirs}\), which affectline does not know"):
            run(clip, tmp_path, one)

    def test_two_heads_of_one_task(self, clip: Path, features: dict, tmp_path: Path) -> None:
        one = head(Task.VA, features[DEFAULT])
        with pytest.raises(InputError, match=r"VA0\.safetensors and VA1\.safetensors both predict VA"):
            run(clip, tmp_path, one, one)

    def test_heads_with_different_filters(self, clip: Path, features: dict, tmp_path: Path) -> None:
        first, second = (
            head(task, features[DEFAULT], mode=mode) for task, mode in ((Task.VA, "causal"), (Task.AU, "centred"))
        )
        with pytest.raises(InputError, match=r"tuned for different filters .*choose one with --filter"):
            run(clip, tmp_path, first, second)


def test_the_command_line_resumes_and_redoes_what_another_head_asks(clip: Path, features: dict, tmp_path: Path) -> None:
    for name, seed in (("a", 1), ("b", 2)):
        save_head(head(Task.VA, features[DEFAULT], seed=seed), tmp_path / name)

    def call(name: str, *more: str) -> str:
        words = [
            "analyze",
            str(clip),
            "-o",
            str(tmp_path / "out"),
            "--no-video",
            "--no-au",
            "--head",
            str(tmp_path / name),
        ]
        result = CliRunner().invoke(app, [*words, *more])
        assert result.exit_code == 0, result.output
        return result.stdout

    assert "36 rows" in call("a")
    first = Timeline.from_csv(tmp_path / "out" / "clip" / "timeline.csv")
    assert "skipped" in call("a", "--resume")
    assert "36 rows" in call("b", "--resume")
    second = Timeline.from_csv(tmp_path / "out" / "clip" / "timeline.csv")
    assert np.abs(first.column("valence") - second.column("valence")).max() > 0.05
