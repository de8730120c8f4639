"""Whole runs on a small synthetic set: what is kept, what is run again, what is written."""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Callable, Mapping
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pyarrow.ipc
import pytest

from affectline.datasets.synthetic.write import SynthOptions, write_synthetic
from affectline.errors import InputError
from affectline.experiments.curves import write_curves
from affectline.experiments.data import ExperimentData, _digest, share_of, stopping_split
from affectline.experiments.fitted import HEAD_NAME, SCORES_NAME
from affectline.experiments.protocol import ProtocolOptions
from affectline.experiments.recipes import chosen_rows, heads
from affectline.experiments.results import RowResult
from affectline.experiments.run import ExperimentOptions, Experiments
from affectline.experiments.settings import ExperimentSettings, NetworkSettings, parse_settings
from affectline.experiments.tables import Heading, write_tables
from affectline.features import FeaturePart
from affectline.heads.head_file import load_head
from affectline.heads.mlp import MlpHead
from affectline.labels import Task
from affectline.progress import ignore_progress
from affectline.training.heads import MlpTrainer
from affectline.training.params import default_params

ROWS = ("va_mt_mlp_smooth", "va_both_mlp", "expr_b0_aligned", "expr_b0_logits", "au_b0_mlp_smooth", "expr_b0_cascade")
QUICK = ProtocolOptions(folds=3, radii=(0, 2, 5, 9))
SETTINGS = ExperimentSettings(own=parse_settings([f"{name}.epochs=2" for name in heads() if "mlp" in name]))


@pytest.fixture(scope="module")
def synthetic(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("experiments") / "set"
    write_synthetic(out, SynthOptions(videos=40, frames=150, seed=3, width=32))
    return out


def run(
    synthetic: Path, out: Path, rows: tuple[str, ...] = ROWS, on_progress=ignore_progress, **other
) -> tuple[Mapping[str, RowResult], dict[str, bool]]:
    kept: dict[str, bool] = {}
    options = ExperimentOptions(out, **{"protocol": QUICK, "settings": SETTINGS, **other})
    experiments = Experiments(ExperimentData(synthetic, synthetic / "store"), options, on_progress=on_progress)
    found = experiments.run(chosen_rows(rows), lambda row, _, was_kept: kept.__setitem__(row.name, was_kept))
    return found, kept


@pytest.fixture(scope="module")
def first(synthetic: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Mapping[str, RowResult]]:
    out = tmp_path_factory.mktemp("first") / "results"
    results, kept = run(synthetic, out, paper_exact=True)
    assert not any(kept.values())
    return out, results


def copied(first: tuple[Path, Mapping[str, RowResult]], tmp_path: Path) -> Path:
    return Path(shutil.copytree(first[0], tmp_path / "results"))


def test_every_row_has_figures(first: tuple[Path, Mapping[str, RowResult]]) -> None:
    for result in first[1].values():
        assert result.error == ""
        assert result.chosen is not None
        assert result.cross_validated is not None
        assert result.chosen.interval is not None
        low, high = result.chosen.interval
        assert low <= high
        assert result.seconds > 0
    assert first[1]["va_both_mlp"].choice.weights != ()
    assert first[1]["va_both_mlp"].paper_exact is not None


def test_figures_follow_from_the_predictions(first: tuple[Path, Mapping[str, RowResult]]) -> None:
    for name, result in first[1].items():
        with pyarrow.ipc.open_file(str(first[0] / "predictions" / f"{name}.arrow")) as file:
            table = file.read_all()
        facts = json.loads(table.schema.metadata[b"affectline"])
        for way, figures in (("chosen", result.chosen), ("cross_validated", result.cross_validated)):
            assert figures is not None
            assert official(facts["task"], facts["labels"], table, way) == pytest.approx(
                figures.values[f"p_{facts['task'].lower()}"], abs=1e-6
            )


def official(task: str, labels: list[str], table, way: str) -> float:
    """Return the official score, from its definition and nothing of affectline."""
    if task == "VA":
        return float(np.mean([concordance(table[f"true_{label}"], table[f"{way}_{label}"]) for label in labels]))
    if task == "AU":
        return float(np.mean([f1(table[f"true_{label}"], table[f"{way}_{label}"]) for label in labels]))
    truth, decided = np.asarray(table["true_code"]), np.asarray(table[f"{way}_code"])
    return float(np.mean([f1(truth == code, decided == code) for code in range(len(labels))]))


def concordance(truth, decided) -> float:
    x, y = np.asarray(truth, np.float64), np.asarray(decided, np.float64)
    return float(2 * np.cov(x, y, ddof=0)[0, 1] / (x.var() + y.var() + (x.mean() - y.mean()) ** 2))


def f1(truth, decided) -> float:
    x, y = np.asarray(truth, bool), np.asarray(decided, bool)
    total = x.sum() + y.sum()
    return float(2 * (x & y).sum() / total) if total else 0.0


def test_a_second_run_does_nothing(
    synthetic: Path, first: tuple[Path, Mapping[str, RowResult]], tmp_path: Path
) -> None:
    out = copied(first, tmp_path)
    before = stamps(out)
    results, kept = run(synthetic, out, paper_exact=True)
    assert all(kept.values())
    assert results == first[1]
    assert stamps(out) == before


def stamps(folder: Path) -> dict[str, int]:
    return {str(path): path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}


def test_other_settings_of_a_head_run_its_rows_again(
    synthetic: Path, first: tuple[Path, Mapping[str, RowResult]], tmp_path: Path
) -> None:
    out = copied(first, tmp_path)
    own = {**SETTINGS.own, "va_b0_mlp": {"epochs": "3"}}
    _, kept = run(synthetic, out, paper_exact=True, settings=replace(SETTINGS, own=own))
    assert [name for name, was_kept in kept.items() if not was_kept] == ["va_both_mlp"]


def test_other_labels_run_the_rows_of_their_task_again(
    synthetic: Path, first: tuple[Path, Mapping[str, RowResult]], tmp_path: Path
) -> None:
    out = copied(first, tmp_path)
    data = Path(shutil.copytree(synthetic, tmp_path / "set"))
    path = sorted((data / "annotations" / "AU_Detection_Challenge" / "Validation_Set").iterdir())[0]
    lines = path.read_text().splitlines()
    number = next(number for number, line in enumerate(lines) if line[0] == "0")
    lines[number] = "1" + lines[number][1:]
    path.write_text("\n".join(lines) + "\n")
    _, kept = run(data, out, paper_exact=True)
    assert [name for name, was_kept in kept.items() if not was_kept] == ["au_b0_mlp_smooth"]


@pytest.mark.parametrize(("row", "runs"), [("au_b0_mlp_smooth", 1), ("au_b0_mlp_smooth", 2), ("va_b0_gru_smooth", 2)])
def test_a_killed_run_goes_on_to_the_same_figures(synthetic: Path, tmp_path: Path, row: str, runs: int) -> None:
    """In the run that finds the number of epochs, or in the one on all training videos."""
    head = row.removesuffix("_smooth")
    settings = ExperimentSettings(own=parse_settings([f"{head}.epochs=4", f"{head}.patience=9"]))
    unbroken, _ = run(synthetic, tmp_path / "unbroken", (row,), settings=settings)
    seen: list[float] = []

    def note(done: int, total: int | None) -> None:
        seen.append(done / (total or 1))

    def kill(done: int, total: int | None) -> None:
        note(done, total)
        begun = 1 + sum(after < before for before, after in pairwise(seen))
        if begun == runs and seen[-1] > 0.6:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(synthetic, tmp_path / "killed", (row,), settings=settings, on_progress=kill)
    folder = tmp_path / "killed" / "heads" / f"{head}-seed0"
    left = {path.name.split(".", 1)[1] for path in folder.iterdir() if ".part" in path.name}
    assert left
    assert ("epochs.part" in left) == (runs == 2)
    seen.clear()
    again, _ = run(synthetic, tmp_path / "killed", (row,), settings=settings, on_progress=note)
    assert seen[0] > 0.5  # it did not start anew
    assert sum(after < before for before, after in pairwise(seen)) == 2 - runs
    assert not [path for path in folder.iterdir() if ".part" in path.name]
    assert replace(again[row], seconds=0) == replace(unbroken[row], seconds=0)


def test_heads_learn_from_all_training_videos_for_as_long_as_some_of_them_say(synthetic: Path, tmp_path: Path) -> None:
    settings = ExperimentSettings(own=parse_settings(["va_b0_mlp.epochs=6"]))
    run(synthetic, tmp_path / "out", ("va_b0_mlp",), settings=settings)
    data = ExperimentData(synthetic, synthetic / "store").split(heads()["va_b0_mlp"])
    params = replace(default_params(Task.VA, (FeaturePart.LOGITS,)), epochs=6, allow_empty_classes=True)
    first = MlpTrainer(params)
    first.fit(*stopping_split(data.train, 0))
    assert first.record is not None
    expected = MlpTrainer(replace(params, epochs=first.record.best_epoch)).fit(data.train)
    found = load_head(tmp_path / "out" / "heads" / "va_b0_mlp-seed0" / HEAD_NAME)
    assert isinstance(found, MlpHead)
    np.testing.assert_array_equal(found.layers[0].weight, expected.layers[0].weight)


def test_rows_that_fail_say_why_and_the_rest_goes_on(synthetic: Path, tmp_path: Path) -> None:
    data = Path(shutil.copytree(synthetic, tmp_path / "set"))
    shutil.rmtree(next((data / "store").glob("synthetic_b0*/cropped_aligned")))
    results, _ = run(data, tmp_path / "out", ("expr_b0_aligned", "va_mt_pretrained", "expr_finetuned"))
    assert "cropped_aligned is not among them" in results["expr_b0_aligned"].error
    assert results["expr_finetuned"].error != ""  # there are no pictures, and torchvision is not here
    assert results["va_mt_pretrained"].error == ""


def test_a_damaged_prediction_names_its_folder(
    synthetic: Path, first: tuple[Path, Mapping[str, RowResult]], tmp_path: Path
) -> None:
    out = copied(first, tmp_path)
    (out / "heads" / "va_mt_mlp-seed0" / SCORES_NAME).write_bytes(b"no")
    results, kept = run(synthetic, out, paper_exact=True)
    assert "va_mt_mlp-seed0" in results["va_mt_mlp_smooth"].error
    assert kept["au_b0_mlp_smooth"]


def test_seeds_give_a_spread(synthetic: Path, tmp_path: Path) -> None:
    results, _ = run(synthetic, tmp_path / "out", ("va_mt_mlp", "va_mt_pretrained"), seeds=2)
    one, other = results["va_mt_mlp"].seeds
    assert (one.seed, other.seed) == (0, 1)
    assert one.chosen != other.chosen
    assert len(results["va_mt_pretrained"].seeds) == 1


def test_a_share_of_the_videos_holds_smaller_shares(synthetic: Path) -> None:
    train = ExperimentData(synthetic, synthetic / "store").split(heads()["va_b0_mlp"]).train
    quarter, half = ({one.video for one in share_of(train, share, 0).sequences} for share in (0.25, 0.5))
    assert quarter < half < {one.video for one in train.sequences}
    groups = {one.group for one in train.sequences}
    assert len({video.removesuffix("_left").removesuffix("_right") for video in half}) == round(len(groups) / 2)


def test_tables_say_that_the_data_are_synthetic(
    synthetic: Path, first: tuple[Path, Mapping[str, RowResult]], tmp_path: Path
) -> None:
    data = ExperimentData(synthetic, synthetic / "store")
    assert data.is_synthetic
    experiments = Experiments(data, ExperimentOptions(first[0], paper_exact=True, protocol=QUICK, settings=SETTINGS))
    drawn = write_curves(experiments, first[1], tmp_path, "a synthetic set")
    assert [path.stem for path in drawn] == ["figure_2_valence", "figure_3_arousal", "figure_5_action_units"]
    assert all(path.with_suffix(ending).stat().st_size > 100 for path in drawn for ending in (".png", ".csv"))
    results = {**first[1], "au_both": RowResult("au_both", error="no <b>features</b>")}
    write_tables(tmp_path, results, Heading(True, "a synthetic set"), drawn)
    page, text = (tmp_path / "results.html").read_text(), (tmp_path / "results.md").read_text()
    for shown in (page, text):
        assert "no results on Aff-Wild2" in shown
        assert "ours (synthetic)" in shown
    assert "no &lt;b&gt;features" in page
    assert page.count("<svg") == 3
    lines = read_csv(tmp_path / "results.csv")
    ours = {line["row"]: line for line in lines if line["metric"].startswith("p_") and line["is_synthetic"]}
    assert set(ours) == set(results)
    assert {line["is_synthetic"] for line in ours.values()} == {"true"}
    assert float(ours["va_mt_mlp_smooth"]["paper"]) == 0.547
    assert ours["au_both"]["error"] == "no <b>features</b>"
    figures = first[1]["va_mt_mlp_smooth"].chosen
    assert figures is not None
    assert float(ours["va_mt_mlp_smooth"]["ours"]) == pytest.approx(figures.values["p_va"], abs=1e-5)


def read_csv(path: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(path.read_text().splitlines()))


def test_the_curve_passes_through_the_row(
    synthetic: Path, first: tuple[Path, Mapping[str, RowResult]], tmp_path: Path
) -> None:
    experiments = Experiments(
        ExperimentData(synthetic, synthetic / "store"),
        ExperimentOptions(first[0], paper_exact=True, protocol=QUICK, settings=SETTINGS),
    )
    write_curves(experiments, first[1], tmp_path, "a synthetic set")
    result = first[1]["au_b0_mlp_smooth"]
    assert result.chosen is not None
    lines = read_csv(tmp_path / "figures" / "figure_5_action_units.csv")
    at = {float(line["radius_s"]): float(line["p_au"]) for line in lines if line["row"] == result.row}
    radius_s = min(at, key=lambda value: abs(value - result.choice.decision.radius_s))
    assert at[radius_s] == pytest.approx(result.chosen.values["p_au"], abs=1e-6)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: ExperimentOptions(Path("x"), seeds=0), "one seed or more"),
        (lambda: ExperimentData(Path("x"), Path("x"), {}).backbone("b0"), "feature store"),
    ],
)
def test_what_cannot_be_run_is_said(make: Callable[[], object], message: str) -> None:
    with pytest.raises((InputError, OSError), match=message):
        make()


def test_network_settings_are_the_defaults_that_the_manual_names() -> None:
    assert NetworkSettings() == NetworkSettings("mobilenet96_ferplus", "", 5000, 8, 5e-4, 96)


def test_videos_without_features_are_told(synthetic: Path, tmp_path: Path) -> None:
    data = Path(shutil.copytree(synthetic, tmp_path / "set"))
    valid = ExperimentData(data, data / "store").split(heads()["va_mt_pretrained"]).valid
    names = sorted({one.video for one in valid.sequences})
    for path in (data / "store").rglob(f"{names[0]}*"):
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    results, _ = run(data, tmp_path / "out", ("va_mt_pretrained",))
    (note,) = results["va_mt_pretrained"].notes
    assert note == f"1 validation videos have no cropped features of the backbone mt and are left out ({names[0]})"
    write_tables(tmp_path, results, Heading(True, "here"))
    for name in ("results.md", "results.html", "results.csv"):
        assert note in (tmp_path / name).read_text()


def test_no_validation_video_has_a_say_in_a_head(synthetic: Path, tmp_path: Path) -> None:
    """With other validation labels the head is the same, to the last bit; the row is another."""
    rows = ("va_b0_mlp", "expr_b0_aligned")
    run(synthetic, tmp_path / "one", rows)
    data = Path(shutil.copytree(synthetic, tmp_path / "set"))
    for task in ("VA", "EXPR"):
        for path in sorted((data / "annotations").glob(f"{task}_*/Validation_Set/*.txt")):
            head, *lines = path.read_text().splitlines()
            path.write_text("\n".join([head, *reversed(lines)]) + "\n")
    run(data, tmp_path / "other", rows)
    for name in ("va_b0_mlp-seed0", "expr_b0_aligned-seed0"):
        one, other = (load_head(tmp_path / place / "heads" / name / HEAD_NAME) for place in ("one", "other"))
        for mine, theirs in zip(one.layers, other.layers, strict=True):
            np.testing.assert_array_equal(mine.weight, theirs.weight)


class Slower:
    """A feature table of a video that was played at half the speed."""

    def __init__(self, table) -> None:
        self._table = table
        self.time_s = table.time_s * 2

    def __len__(self) -> int:
        return len(self._table)

    def __getattr__(self, name: str):
        return getattr(self._table, name)


def test_another_time_of_the_frames_is_other_data(synthetic: Path) -> None:
    split = ExperimentData(synthetic, synthetic / "store").split(heads()["va_b0_mlp"])
    first, *others = split.valid.sequences
    slower = {name: Slower(table) for name, table in first.tables.items()}
    changed = replace(split.valid, sequences=(replace(first, tables=slower), *others))
    assert _digest([split.train, changed]) != _digest([split.train, split.valid])


def test_a_head_that_failed_is_not_tried_again(
    synthetic: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried: list[str] = []

    def broken(recipe, *_: object) -> None:
        tried.append(recipe.name)
        raise AssertionError("0 models found")

    monkeypatch.setattr("affectline.experiments.run.fit", broken)
    results, _ = run(synthetic, tmp_path / "out", ("va_b0_mlp", "va_b0_mlp_smooth"))
    assert tried == ["va_b0_mlp"]
    assert {result.error for result in results.values()} == {"AssertionError: 0 models found"}


def test_a_row_that_was_broken_off_is_not_taken_for_an_older_one(
    synthetic: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, rows = tmp_path / "out", ("va_b0_mlp_smooth",)
    first, _ = run(synthetic, out, rows)
    with monkeypatch.context() as patched:
        patched.setattr("affectline.experiments.run.figures", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            run(synthetic, out, rows, protocol=replace(QUICK, radii=(0, 1)))
    again, kept = run(synthetic, out, rows)
    assert not kept["va_b0_mlp_smooth"]
    assert replace(again["va_b0_mlp_smooth"], seconds=0) == replace(first["va_b0_mlp_smooth"], seconds=0)


def test_a_head_without_parameters_takes_no_settings(synthetic: Path, tmp_path: Path) -> None:
    settings = ExperimentSettings(own=parse_settings(["va_mt_pretrained.epochs=5"]))
    results, _ = run(synthetic, tmp_path / "out", ("va_mt_pretrained",), settings=settings)
    assert "va_mt_pretrained (pretrained) is not trained: it has no parameters" in results["va_mt_pretrained"].error


@pytest.mark.parametrize("count", [1, 3, 4, 20])
def test_an_eighth_of_the_training_videos_stops(synthetic: Path, count: int) -> None:
    train = ExperimentData(synthetic, synthetic / "store").split(heads()["va_b0_mlp"]).train
    groups = sorted({one.group for one in train.sequences})[:count]
    some = replace(train, sequences=tuple(one for one in train.sequences if one.group in groups))
    learned, stopping = stopping_split(some, 0)
    if count < 4:
        assert (learned, stopping) == (some, None)
        return
    assert stopping is not None
    mine, theirs = ({one.group for one in part.sequences} for part in (learned, stopping))
    assert not mine & theirs
    assert mine | theirs == set(groups)
    assert len(theirs) == max(1, count // 8)
