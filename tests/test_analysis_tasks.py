"""Analysing with backbones that were fine-tuned on one task: they are that task's head, the default gives the rest."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from affectline import AnalyzeOptions, Sampling, Timeline, analyze, read_frames
from affectline.backbones.spec import describe
from affectline.extract import ExtractOptions, extract_all, find_sources, load_extractor
from affectline.features.store import FeatureStore
from affectline.labels import ABAW_ACTION_UNITS, ActionUnit, HeadKind, Task
from affectline.postprocess.smoothing import Smoothing
from faces_on_video import write_video
from tiny_networks import SPEC, named_network, save

UNITS = (ActionUnit.AU12, ActionUnit.AU1, ActionUnit.AU25)
UNSMOOTHED = Smoothing(0, 0, 0)
EXPRESSIONS = ("p_neutral", "p_happiness", "p_fear")


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory, demo_clip: Path) -> Path:
    folder = tmp_path_factory.mktemp("tasks")
    return write_video(folder / "clip.mp4", [frame.rgb for frame in read_frames(demo_clip, Sampling(end_s=0.8))])


@pytest.fixture(scope="module")
def plain(clip: Path) -> Timeline:
    return analyze(clip, AnalyzeOptions(smoothing=UNSMOOTHED))


def columns(timeline: Timeline, *names: str) -> np.ndarray:
    return np.stack([timeline.column(name) for name in names], axis=1).astype(np.float64)


def origins(timeline: Timeline) -> dict[Task, HeadKind]:
    return {record.task: record.head for record in timeline.provenance.heads}


def test_action_units_of_a_backbone_replace_the_blendshapes(clip: Path, plain: Timeline, tmp_path: Path) -> None:
    spec = replace(SPEC, labels=(), action_units=UNITS)
    path = save(tmp_path, named_network({"au_logits": 3}, describe(spec)))
    timeline = analyze(clip, AnalyzeOptions(backbone=str(path), smoothing=UNSMOOTHED))
    scores = columns(timeline, *(unit.column for unit in UNITS))
    logits = np.log(scores / (1 - scores))
    # The tiny network's logits are the sum of the mean colours, and that plus 1 and 2.
    np.testing.assert_allclose(logits - logits[:, :1], [[0, 1, 2]] * len(logits), atol=0.02)
    others = [unit.column for unit in ABAW_ACTION_UNITS if unit not in UNITS]
    assert np.isnan(columns(timeline, *others)).all()
    assert np.array_equal(timeline.column("au12_on"), scores[:, 0] >= 0.5)
    # Expressions, valence and arousal are the default's.
    names = ("valence", "arousal", *EXPRESSIONS)
    np.testing.assert_array_equal(columns(timeline, *names), columns(plain, *names))
    assert timeline.provenance.backbone == "mobilenet96_ferplus, tiny"
    assert origins(timeline) == {
        Task.VA: HeadKind.ZERO_SHOT,
        Task.EXPR: HeadKind.PRETRAINED,
        Task.AU: HeadKind.PRETRAINED,
    }


def test_valence_and_arousal_of_a_backbone_replace_the_norms(clip: Path, plain: Timeline, tmp_path: Path) -> None:
    spec = replace(SPEC, labels=(), has_valence_arousal=True)
    path = save(tmp_path, named_network({"valence": 0, "arousal": 1}, describe(spec)))
    timeline = analyze(clip, AnalyzeOptions(backbone=str(path), smoothing=UNSMOOTHED, action_units=False))
    values = columns(timeline, "valence", "arousal")
    assert np.array_equal(values[:, 0], values[:, 1])
    assert 0.05 < values.min() <= values.max() <= 1
    np.testing.assert_array_equal(columns(timeline, *EXPRESSIONS), columns(plain, *EXPRESSIONS))
    assert origins(timeline) == {Task.VA: HeadKind.PRETRAINED, Task.EXPR: HeadKind.PRETRAINED}


def test_features_of_a_backbone_without_expressions_can_be_stored(clip: Path, tmp_path: Path) -> None:
    spec = replace(SPEC, labels=(), action_units=UNITS)
    path = save(tmp_path, named_network({"au_logits": 3}, describe(spec)))
    sources = find_sources([clip], None)
    extractor = load_extractor(ExtractOptions(str(path)), sources)
    store = FeatureStore(tmp_path / "store", create=True)
    (result,) = extract_all(sources, store, extractor)
    info = extractor.info(sources[0])
    features = store.open(info.digest, info.crop_kind, info.video).features()
    assert (result.status, info.labels) == ("done", ())
    assert features.embedding.shape == (result.rows, 3)
    assert features.logits.shape == (result.rows, 0)
