from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from affectline.datasets.labelled import LabelledTables
from affectline.features import FeaturePart
from affectline.heads.head import HeadCard
from affectline.heads.mlp import activated
from affectline.heads.temporal_encoder import MOST_PASSED
from affectline.labels import Task
from affectline.training.epochs import RunOptions
from affectline.training.examples import Examples
from affectline.training.out_of_fold import Readings, read_frames
from affectline.training.params import TrainParams
from affectline.training.perceptron import train_perceptron
from affectline.training.stages import Stages
from labelled_examples import DIGEST, noisy_data

LOGITS = (FeaturePart.LOGITS,)
SMALL = TrainParams(LOGITS, hidden=4, epochs=2)


def card_of(data: LabelledTables) -> HeadCard:
    return HeadCard(data.task, data.labels, data.backbones)


def read(
    data: LabelledTables, valid: LabelledTables | None = None, folds: int = 3, run: RunOptions | None = None
) -> Readings:
    return read_frames(card_of(data), data, valid, LOGITS, SMALL, folds, Stages(run or RunOptions(), 1))


def without(data: LabelledTables, groups: Sequence[str]) -> LabelledTables:
    return replace(data, sequences=tuple(one for one in data.sequences if one.group not in groups))


def test_every_video_is_read_by_a_perceptron_that_has_not_seen_it() -> None:
    """With as many folds as groups, the perceptron of a group is the one that learned from all others."""
    data = noisy_data(Task.AU, 1, videos=4)
    names = ["a_left", "b", "a_right", "c"]
    groups = ["a", "b", "a", "c"]
    named = [
        replace(one, video=video, group=group) for one, video, group in zip(data.sequences, names, groups, strict=True)
    ]
    data = replace(data, sequences=tuple(named))
    readings = read(data)
    for one, encoded in zip(data.sequences, readings.train, strict=True):
        others = Examples(without(data, [one.group]), LOGITS)
        reader, _ = train_perceptron(
            card_of(data), others, None, replace(SMALL, allow_empty_classes=True), RunOptions()
        )
        outputs = encoded[:, : len(data.labels)] * readings.standard.scale + readings.standard.mean
        expected = reader.score({DIGEST: one.tables[DIGEST].features(one.rows)})
        np.testing.assert_allclose(activated(outputs, Task.AU), expected, atol=1e-5)


def test_encodings_are_standardised_and_few_inputs_stand_beside_them() -> None:
    data = noisy_data(Task.VA, 1)
    readings = read(data, noisy_data(Task.VA, 2, videos=2))
    labelled = np.concatenate(
        [
            encoded[np.searchsorted(one.row_frame, one.labelled_frame[one.has_face])]
            for one, encoded in zip(data.sequences, readings.train, strict=True)
        ]
    )
    assert labelled.shape[1] == 2 + 8
    np.testing.assert_allclose(labelled[:, :2].mean(axis=0), 0, atol=1e-4)
    np.testing.assert_allclose(labelled[:, :2].std(axis=0), 1, atol=1e-4)
    assert [len(one) for one in readings.valid] == [270, 270]
    assert MOST_PASSED < 512  # the narrowest embedding of a backbone that is known


def test_a_single_group_reads_itself() -> None:
    data = noisy_data(Task.VA, 1, videos=1)
    readings = read(data)
    (one,) = data.sequences
    reader, _ = train_perceptron(card_of(data), Examples(data, LOGITS), None, SMALL, RunOptions())
    outputs = readings.train[0][:, :2] * readings.standard.scale + readings.standard.mean
    expected = reader.score({DIGEST: one.tables[DIGEST].features(one.rows)})
    np.testing.assert_allclose(np.tanh(outputs), expected, atol=1e-5)


def test_where_a_fold_shows_one_class_alone_there_are_no_folds() -> None:
    data = noisy_data(Task.EXPR, 1, videos=2)
    first, second = data.sequences
    constant = replace(first, target=np.full_like(first.target, 3))
    both = replace(data, sequences=(constant, second))
    params = replace(SMALL, allow_empty_classes=True)
    readings = read_frames(card_of(both), both, None, LOGITS, params, 2, Stages(RunOptions(), 1))
    assert all(np.isfinite(one).all() for one in readings.train)


def test_the_state_of_each_perceptron_has_a_file_of_its_own(tmp_path: Path) -> None:
    data = noisy_data(Task.AU, 1, videos=3)
    told: list[tuple[int, int | None]] = []
    run = RunOptions(tmp_path / "part", on_progress=lambda done, total: told.append((done, total)))
    stages = Stages(run, 1000)
    first = read_frames(card_of(data), data, None, LOGITS, SMALL, 3, stages)
    assert sorted(path.name for path in tmp_path.iterdir()) == [f"part.{number}" for number in range(1, 5)]
    assert [total for _, total in told] == [1000] * len(told)
    assert [done for done, _ in told] == sorted(done for done, _ in told)
    before = len(told)
    again = read_frames(card_of(data), data, None, LOGITS, SMALL, 3, Stages(replace(run, resume=True), 1000))
    assert len(told) == before  # all of them were finished
    for one, other in zip(first.train, again.train, strict=True):
        np.testing.assert_array_equal(one, other)
    stages.forget()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("killed_at", [1, 150, 10_000])
def test_a_killed_training_goes_on_where_it_was(killed_at: int, tmp_path: Path) -> None:
    data = noisy_data(Task.AU, 1, videos=3)

    class KilledError(Exception):
        pass

    def kill(done: int, _: int | None) -> None:
        if done >= killed_at:
            raise KilledError

    whole = read(data)
    run = RunOptions(tmp_path / "part", on_progress=kill)
    if killed_at < 10_000:
        with pytest.raises(KilledError):
            read(data, run=run)
    again = read(data, run=RunOptions(tmp_path / "part", resume=True))
    for name, array in whole.encoder.items():
        np.testing.assert_array_equal(array, again.encoder[name])
