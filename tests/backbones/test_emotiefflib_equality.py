"""The same numbers as EmotiEffLib's ONNX engine, on the same file and crops."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import networks
from affectline.backbones import BACKBONES, Backbone, BackboneSpec, load_backbone
from affectline.backbones.spec import describe

pytest.importorskip("emotiefflib", reason="needs `pip install --no-deps emotiefflib==1.1.1`")

TOLERANCE = 1e-4
"""Of the largest magnitude: both run the same float32 network, but in batches of other sizes."""

CASES = {
    # An official name for each architecture, number of classes, with and without valence and arousal: EmotiEffLib reads
    # all of that from the name.
    "enet_b0_8_best_vgaf": "b0",
    "enet_b0_8_va_mtl": "b0",
    "enet_b2_7": "b2",
    "mobilevit_va_mtl": "mobilevit",
    "mbf_va_mtl": "mobilefacenet",
}


@pytest.fixture(scope="module", params=CASES)
def pair(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Backbone, object]:
    """A random network in the layout of an official file, opened by affectline and by EmotiEffLib."""
    from emotiefflib import facial_analysis

    spec = BACKBONES[request.param]
    path = save_network(tmp_path_factory.mktemp(spec.name) / f"{spec.name}.onnx", CASES[spec.name], spec)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(facial_analysis, "get_model_path_onnx", lambda _: str(path))
        theirs = facial_analysis.EmotiEffLibRecognizerOnnx(spec.name)
    return load_backbone(path), theirs


def save_network(path: Path, architecture: str, spec: BackboneSpec) -> Path:
    path.write_bytes(networks.random_network(architecture, len(spec.labels) + 2 * spec.has_valence_arousal))
    path.with_suffix(".json").write_text(describe(spec))
    return path


def assert_close(ours: np.ndarray, theirs: np.ndarray) -> None:
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=TOLERANCE * np.abs(theirs).max())


def test_embedding_logits_valence_and_arousal_are_equal(pair: tuple[Backbone, object]) -> None:
    backbone, theirs = pair
    crops = networks.pictures(3, seed=7)
    embedding = theirs.extract_features(crops)
    _, scores = theirs.classify_emotions(embedding, logits=True)

    ours = backbone.features(crops)

    labels = len(backbone.spec.labels)
    assert [label.value for label in backbone.spec.labels] == list(theirs.idx_to_emotion_class.values())
    assert_close(ours.embedding, embedding)
    assert_close(ours.logits, scores[:, :labels])
    if backbone.spec.has_valence_arousal:
        assert_close(ours.valence, scores[:, -2])
        assert_close(ours.arousal, scores[:, -1])
    else:
        assert ours.valence is None
        assert ours.arousal is None
        assert scores.shape[1] == labels


def test_input_is_equal_to_the_last_bit(pair: tuple[Backbone, object]) -> None:
    backbone, theirs = pair
    for crop in networks.pictures(3, seed=8):
        np.testing.assert_array_equal(backbone.prepare(crop), theirs._preprocess(crop)[0])


def test_the_comparison_means_something(pair: tuple[Backbone, object]) -> None:
    backbone, _ = pair
    features = backbone.features(networks.pictures(4, seed=9))
    # Faces move every logit, and the embedding, by far more than the tolerance.
    assert (features.logits.std(axis=0) > 100 * TOLERANCE * np.abs(features.logits).max()).all()
    assert np.ptp(features.embedding, axis=0).mean() > 0.1 * np.abs(features.embedding).mean()
    assert len({tuple(row) for row in features.logits}) == 4
