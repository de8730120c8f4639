"""The fine-tuned network as a row; needs the extra `finetune`, like `tests/training/test_finetune.py`."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from affectline.datasets.synthetic.write import SynthOptions, write_synthetic
from affectline.experiments.data import ExperimentData
from affectline.experiments.protocol import ProtocolOptions
from affectline.experiments.recipes import chosen_rows
from affectline.experiments.run import ExperimentOptions, Experiments
from affectline.experiments.settings import ExperimentSettings, NetworkSettings, parse_settings

pytest.importorskip("timm")
pytest.importorskip("torchvision")

SETTINGS = ExperimentSettings(
    NetworkSettings(crops=200, epochs=2, size=32),
    own=parse_settings(["expr_b0_mlp.epochs=2", "expr_b0_mlp.allow_empty_classes=true"]),
)
ROWS = ("expr_finetuned", "expr_mlp_finetuned_smooth")


def run(data: Path, out: Path):
    options = ExperimentOptions(out, protocol=ProtocolOptions(folds=3, radii=(0, 5)), settings=SETTINGS)
    experiments = Experiments(ExperimentData(data, data / "store"), options)
    kept = {}
    results = experiments.run(chosen_rows(ROWS), lambda row, _, was_kept: kept.__setitem__(row.name, was_kept))
    return experiments, results, kept


def test_the_network_is_a_row_and_a_part_of_blends(tmp_path: Path) -> None:
    data, out = tmp_path / "set", tmp_path / "out"
    write_synthetic(data, SynthOptions(videos=20, frames=60, seed=2, form="both", width=32))
    experiments, results, _ = run(data, out)
    assert [result.error for result in results.values()] == ["", ""]
    assert len(results["expr_mlp_finetuned_smooth"].choice.weights) == 2
    ((network,), _) = experiments.parts(chosen_rows(["expr_finetuned"])[0])
    for one in network:
        crops = len(list((data / "cropped" / one.video).iterdir()))
        assert len(one.frame) == crops
        np.testing.assert_allclose(one.values.sum(axis=1), 1, atol=1e-5)
    _, again, kept = run(data, out)
    assert all(kept.values())
    assert again == results
    # Another picture is another network.
    picture = sorted((data / "cropped").glob("*/*.jpg"))[0]
    picture.unlink()
    _, _, kept = run(data, out)
    assert not any(kept.values())


def test_a_video_without_pictures_is_named(tmp_path: Path) -> None:
    data = tmp_path / "set"
    write_synthetic(data, SynthOptions(videos=20, frames=60, seed=2, form="both", width=32))
    experiments, results, _ = run(data, tmp_path / "out")
    assert results["expr_finetuned"].error == ""
    ((network,), _) = experiments.parts(chosen_rows(["expr_finetuned"])[0])
    shutil.rmtree(data / "cropped" / network[0].video)
    _, results, _ = run(data, tmp_path / "out")
    assert network[0].video in results["expr_finetuned"].error
