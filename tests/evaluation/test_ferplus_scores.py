from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy.special import log_softmax, softmax
from scipy.stats import binomtest
from sklearn.metrics import accuracy_score, f1_score, log_loss
from typer.testing import CliRunner

from affectline.backbones import BACKBONES, load_backbone
from affectline.backbones.spec import describe
from affectline.cli.main import app
from affectline.datasets.ferplus import FerPlusSplit, official_labels, plurality_labels, vote_shares
from affectline.errors import InputError, ShapeError
from affectline.evaluation.calibration import calibration_error
from affectline.evaluation.ferplus import (
    evaluate_ferplus,
    ferplus_logits,
    fit_to_plurality,
    wilson,
)
from affectline.labels import FERPLUS_8, Expression
from tiny_networks import SPEC, save, tiny_network


def drawn_votes(n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return votes of ten people and the logits of the shares that they were drawn from."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, 1.5, (n, 8)).astype(np.float32)
    votes = np.array([rng.multinomial(10, row) for row in softmax(logits.astype(float), axis=1)])
    return np.concatenate([votes, np.zeros((n, 2), int)], axis=1), logits


def test_figures_equal_scikit_learn() -> None:
    votes, logits = drawn_votes(2000, 0)
    noisy = logits + np.random.default_rng(1).normal(0, 1, logits.shape).astype(np.float32)
    found = evaluate_ferplus(noisy, votes)
    for one, labels in ((found.official, official_labels(votes)), (found.plurality, plurality_labels(votes))):
        truth, predicted = labels[labels >= 0], noisy.argmax(axis=1)[labels >= 0]
        assert one.report.frames == len(truth)
        assert one.report.accuracy == pytest.approx(accuracy_score(truth, predicted), abs=1e-12)
        f1 = f1_score(truth, predicted, average=None, labels=range(8), zero_division=0)
        assert one.report.p == pytest.approx(f1.mean(), abs=1e-12)
        many = np.bincount(truth, minlength=8) > 50
        assert one.f1_of_many == pytest.approx(f1[many].mean(), abs=1e-12)
    logs = log_softmax(noisy.astype(float), axis=1)
    assert found.likelihood == pytest.approx((vote_shares(votes) * logs).sum(axis=1).mean())


@pytest.mark.parametrize(("hits", "n"), [(0, 15), (1, 1), (10, 16), (1070, 1083)])
def test_intervals_equal_scipys(hits: int, n: int) -> None:
    theirs = binomtest(hits, n).proportion_ci(method="wilson")
    assert wilson(hits, n) == pytest.approx((theirs.low, theirs.high), abs=1e-6)


def test_calibration_error_by_hand() -> None:
    probabilities = np.array([[0.9, 0.1], [0.9, 0.1], [0.6, 0.4], [0.0, 1.0]])
    # Bin 13: two at 0.9, one right: 0.4 off. Bin 9: 0.6, right: 0.4 off. Bin 14: sure and right.
    assert calibration_error(probabilities, np.array([0, 1, 0, 1])) == pytest.approx((0.8 + 0.4 + 0.0) / 4)
    with pytest.raises(ShapeError, match="at least one image"):
        calibration_error(np.empty((0, 2)), np.empty(0, int))


@pytest.mark.parametrize("factor", [0.5, 1.0, 3.0])
def test_the_temperature_undoes_a_factor(factor: float) -> None:
    votes, logits = drawn_votes(4000, 2)
    plain = fit_to_plurality(logits, votes)
    scaled = fit_to_plurality(factor * logits, votes)
    assert scaled == pytest.approx(factor * plain, rel=1e-3)
    truth = plurality_labels(votes)
    counts = truth >= 0

    def loss(temperature: float) -> float:
        probabilities = softmax(factor * logits[counts].astype(float) / temperature, axis=1)
        return log_loss(truth[counts], probabilities, labels=range(8))

    assert loss(scaled) <= min(loss(scaled * step) for step in (0.98, 1.02))
    assert evaluate_ferplus(factor * logits, votes, scaled).calibration_error < 0.02


def test_logits_come_in_the_order_of_ferplus(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    split = FerPlusSplit(rng.integers(0, 255, (70, 48, 48)).astype(np.uint8), np.ones((70, 10), np.uint8))
    backbone = load_backbone(save(tmp_path, tiny_network(2), describe(SPEC)))
    done: list[int] = []
    logits = ferplus_logits(backbone, split, lambda n, _: done.append(n))
    own = backbone.features([np.dstack([image] * 3) for image in split.images]).logits
    columns = {FERPLUS_8.index(Expression.ANGER): own[:, 0], FERPLUS_8.index(Expression.FEAR): own[:, 1]}
    for column in range(8):
        assert np.array_equal(logits[:, column], columns.get(column, np.full(70, -np.inf)))
    assert done == [64, 70]
    found = evaluate_ferplus(logits, np.tile([0, 0, 0, 0, 10, 0, 0, 0, 0, 0], (70, 1)))
    assert found.official.report.frames == 70
    assert np.isfinite(found.likelihood)


def test_a_backbone_without_such_classes_is_refused(tmp_path: Path) -> None:
    spec = replace(SPEC, labels=(Expression.OTHER, Expression.ANGER))
    backbone = load_backbone(save(tmp_path, tiny_network(2), describe(spec)))
    split = FerPlusSplit(np.zeros((1, 48, 48), np.uint8), np.ones((1, 10), np.uint8))
    assert np.isfinite(ferplus_logits(backbone, split)).sum() == 1
    with pytest.raises(ShapeError, match=r"2 images need logits of shape \(n, 8\)"):
        evaluate_ferplus(np.zeros((3, 8), np.float32), np.ones((2, 10), int))


class TestCommand:
    @pytest.fixture
    def photographs(self, tmp_path: Path) -> Path:
        rng = np.random.default_rng(0)
        arrays = {}
        for split, n in (("train", 2), ("valid", 30), ("test", 40)):
            arrays[f"{split}_x"] = rng.integers(0, 255, (n, 48, 48)).astype(np.uint8)
            arrays[f"{split}_v"] = drawn_votes(n, n)[0]
        np.savez(tmp_path / "f.npz", **arrays)
        return tmp_path / "f.npz"

    def test_prints_what_the_library_says(self, photographs: Path, tmp_path: Path) -> None:
        words = ["evaluate", "ferplus", "lite0_ferplus", "--data", str(photographs), "--on", "test"]
        result = CliRunner().invoke(app, [*words, "--json", str(tmp_path / "out.json")])
        assert result.exit_code == 0, result.output
        with np.load(photographs) as arrays:
            split = FerPlusSplit(arrays["test_x"], arrays["test_v"].astype(np.uint8))
        backbone = load_backbone("lite0_ferplus")
        temperature = BACKBONES["lite0_ferplus"].temperature
        found = evaluate_ferplus(ferplus_logits(backbone, split), split.votes, temperature)
        row = next(line for line in result.stdout.splitlines() if line.startswith("lite0_ferplus  "))
        assert row.split()[1:3] == [f"{found.official.report.accuracy:.2%}", str(found.official.report.frames)]
        record = json.loads((tmp_path / "out.json").read_text())
        assert record["split"] == "test"
        assert record["backbones"][0]["calibration_error"] == found.calibration_error

    @pytest.mark.parametrize("more", [[], ["--data", "f.npz", "--on", "train+val"]])
    def test_needs_data_and_a_split(self, more: list[str]) -> None:
        result = CliRunner().invoke(app, ["evaluate", "ferplus", "lite0_ferplus", *more])
        assert isinstance(result.exception, InputError)
        assert "ferplus needs --data, the NPZ file of FER+, and --on test, val or train" in str(result.exception)

    def test_heads_need_a_store(self, tmp_path: Path) -> None:
        result = CliRunner().invoke(app, ["evaluate", "va", "h", "--data", str(tmp_path)])
        assert "give --store" in str(result.exception)
