"""What perceptrons say of faces of videos that they have not seen: what a network over time learns from.

Of the videos that it learned from a perceptron says more than it knows. A network that learned from that would trust it
too much in use.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from affectline.datasets.labelled import LabelledSequence, LabelledTables
from affectline.datasets.sequences import check_finite
from affectline.errors import InputError
from affectline.features import FeaturePart, stack_inputs
from affectline.heads.head import ROWS_AT_ONCE, HeadCard
from affectline.heads.mlp import DenseLayer, MlpHead, run_layers
from affectline.heads.temporal_encoder import MOST_PASSED, encoder_arrays
from affectline.postprocess.thresholds import deal_folds
from affectline.records import FloatArray
from affectline.training.examples import Examples, check_targets
from affectline.training.params import TrainParams
from affectline.training.perceptron import train_perceptron
from affectline.training.stages import Stages


class Standard(NamedTuple):
    """Mean and standard deviation of perceptrons' outputs, shape (K,) each, float32."""

    mean: FloatArray
    scale: FloatArray


class Readings(NamedTuple):
    """What the frames of labelled sequences say one by one.

    Attributes:
        encoder: the arrays of the head's encoder, by name.
        standard: what the perceptron's outputs are standardised by.
        train: of each training sequence the encodings of its rows, shape (r, d), float32.
        valid: of each validation sequence; empty where there are none.
    """

    encoder: dict[str, FloatArray]
    standard: Standard
    train: list[FloatArray]
    valid: list[FloatArray]


def read_frames(  # noqa: PLR0913, PLR0917 - what is learned from, how, and where the state is kept
    card: HeadCard,
    train: LabelledTables,
    valid: LabelledTables | None,
    parts: tuple[FeaturePart, ...],
    params: TrainParams,
    folds: int,
    stages: Stages,
) -> Readings:
    """Return encodings of all faces by perceptrons that have not seen them, and the encoder for new faces.

    The training videos are dealt into folds, groups kept together. A perceptron for each fold learns from the others;
    one that learned from all of them reads new faces, with the same mean and spread as the others.

    Args:
        card: task, labels and backbone of the head.
        train: what to learn from; read by the perceptrons of the folds.
        valid: decides when to stop; read by the perceptron of all.
        parts: which outputs of the backbone are read.
        params: of the perceptrons.
        folds: at most so many; with a single group of videos, or where those of a fold cannot be learned without, there
            are none and the perceptron of all reads its own videos.
        stages: checkpoints and progress.

    Raises:
        InputError: the data cannot be learned from, or a feature is not finite: its video and frame are named.
        ResumeError: a checkpoint is of another run.
    """
    held_out = None if valid is None else Examples(valid, parts)

    def learned(data: LabelledTables, how: TrainParams) -> MlpHead:
        examples = Examples(data, parts)
        run = stages.begin(how.epochs * len(examples))
        return train_perceptron(card, examples, held_out, how, run)[0]

    fold = _folds_of(train, folds, params)
    raw: list[FloatArray] = [np.empty((0, len(card.labels)), np.float32)] * len(train.sequences)
    for number in np.unique(fold[fold >= 0]):
        others = replace(train, sequences=tuple(np.array(train.sequences, object)[fold != number]))
        reader = learned(others, replace(params, allow_empty_classes=True))
        for place in np.flatnonzero(fold == number):
            raw[place] = _outputs(reader, train, train.sequences[place])
    whole = learned(train, params)
    for place in np.flatnonzero(fold < 0):
        raw[place] = _outputs(whole, train, train.sequences[place])
    standard = _statistics(train.sequences, raw)
    *hidden, last = whole.layers
    last = DenseLayer(last.weight / standard.scale[:, None], (last.bias - standard.mean) / standard.scale)
    return Readings(
        encoder_arrays((*hidden, last), whole.mean, whole.scale),
        standard,
        [_encoding(whole, train, *pair, standard) for pair in zip(train.sequences, raw, strict=True)],
        [] if valid is None else [_encoding(whole, valid, *pair, standard) for pair in _read(whole, valid)],
    )


def _folds_of(train: LabelledTables, folds: int, params: TrainParams) -> NDArray[np.intp]:
    """Return the fold of each sequence, -1 for all of them where there can be none."""
    none = np.full(len(train.sequences), -1, np.intp)
    counts = [max(1, len(one.labelled_frame)) for one in train.sequences]
    groups = np.repeat([one.group for one in train.sequences], counts)
    if len(set(groups.tolist())) < 2:  # noqa: PLR2004 - one to learn from, one to read
        return none
    fold = deal_folds(groups, folds, params.seed)[np.cumsum(counts) - 1]
    rest = [
        [one for one, its in zip(train.sequences, fold, strict=True) if its != number] for number in np.unique(fold)
    ]
    return fold if all(_can_be_learned(train, sequences) for sequences in rest) else none


def _can_be_learned(train: LabelledTables, sequences: Sequence[LabelledSequence]) -> bool:
    target = np.concatenate([one.target[one.has_face] for one in sequences])
    try:
        check_targets(train.task, train.labels, target, train.source, allow_empty=True)
    except InputError:
        return False
    return True


def _values(data: LabelledTables, one: LabelledSequence, parts: tuple[FeaturePart, ...]) -> list[FloatArray]:
    """Return the backbone's outputs for the rows of a sequence, some thousand at once."""
    (table,) = one.tables.values()
    starts = range(0, len(one.rows), ROWS_AT_ONCE)
    found = [stack_inputs(table.features(one.rows[at : at + ROWS_AT_ONCE], parts), parts) for at in starts]
    if not all(np.isfinite(values).all() for values in found):
        check_finite(replace(data, sequences=(one,)), parts, every_row=True)
    return found


def _outputs(reader: MlpHead, data: LabelledTables, one: LabelledSequence) -> FloatArray:
    """Return what a perceptron says of the rows of a sequence, shape (r, K), float32, not activated."""
    outputs = [run_layers(values, reader.folded) for values in _values(data, one, reader.parts)]
    return np.concatenate([np.empty((0, len(reader.card.labels)), np.float32), *outputs])


def _read(reader: MlpHead, data: LabelledTables) -> Iterator[tuple[LabelledSequence, FloatArray]]:
    """Give each sequence with what a perceptron says of it."""
    for one in data.sequences:
        yield one, _outputs(reader, data, one)


def _encoding(
    reader: MlpHead, data: LabelledTables, one: LabelledSequence, outputs: FloatArray, standard: Standard
) -> FloatArray:
    """Return outputs as encodings: standardised, with the inputs beside them where these are few."""
    values = (outputs - standard.mean) / standard.scale
    if len(reader.mean) > MOST_PASSED:
        return values
    inputs = np.concatenate([np.empty((0, len(reader.mean)), np.float32), *_values(data, one, reader.parts)])
    return np.concatenate([values, (inputs - reader.mean) / reader.scale], axis=1)


def _statistics(sequences: Sequence[LabelledSequence], raw: Sequence[FloatArray]) -> Standard:
    """Return mean and deviation of the outputs over the labelled frames; a deviation of 1 for a constant."""
    labelled = [outputs[one.labelled_positions] for one, outputs in zip(sequences, raw, strict=True)]
    values = np.concatenate(labelled).astype(np.float64)
    deviation = values.std(axis=0)
    scale = np.where(deviation > 1e-6, deviation, 1.0)  # noqa: PLR2004 - below float32's rounding of outputs near 1
    return Standard(values.mean(axis=0).astype(np.float32), scale.astype(np.float32))
