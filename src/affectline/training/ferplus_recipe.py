"""From FER+ to a backbone file: train, fit the temperature, export, and say what was done."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Final

import torch

from affectline.backbones import BACKBONES, DEFAULT_BACKBONE, load_backbone
from affectline.backbones.spec import BackboneSpec, Interpolation, ResizeStep
from affectline.datasets.ferplus import SIZE, FerPlusSplit, load_ferplus
from affectline.errors import InputError
from affectline.evaluation.ferplus import FerPlusEvaluation, evaluate_ferplus, ferplus_logits, fit_to_plurality
from affectline.labels import FERPLUS_8
from affectline.records import FloatArray
from affectline.training.cnn import IMAGENET, FaceNetwork
from affectline.training.curve import write_log
from affectline.training.export import Exported
from affectline.training.finetune import (
    EpochRecord,
    FinetuneData,
    FinetuneRun,
    Scorer,
    finetune,
    run_network,
)
from affectline.training.finetune_params import FinetuneParams
from affectline.training.finish import calibration_inputs, make_folder, write_network
from affectline.training.losses import make_share_loss
from affectline.training.model_card import FERPLUS_LIMITS, Card, ferplus_figures, write_card
from affectline.training.pictures import FerPlusPictures
from affectline.training.start import Start, load_first_weights
from affectline.training.teachers import Teachers

DEFAULT_SIZE: Final = 96
"""Twice the photographs' side: more is slower and no better (docs/models)."""

SCORE: Final = "mean accuracy of both protocols"

PHOTOGRAPHS: Final = "FER+: FER2013 photographs, collected from the web for research, with votes of ten people (MIT)"


@dataclass(frozen=True, slots=True)
class FerPlusRecipe:
    """What to train, and how.

    Attributes:
        data: the NPZ file of FER+.
        name: of the backbone.
        start: with what the network begins; it has grey inputs, of 96 pixels if the start does not say.
        params: how.
        teachers: backbone files whose opinion of what the network is shown joins the votes (`training.teachers`).
        int8: write that form of the file too.
        version, licence, source: for the file's description.
    """

    data: Path
    name: str
    start: Start = field(default_factory=Start)
    params: FinetuneParams = field(default_factory=FinetuneParams)
    teachers: tuple[Path, ...] = ()
    int8: bool = False
    version: str = "1"
    licence: str = "Apache-2.0; the photographs were collected for research: mind their terms"
    source: str = "affectline finetune"

    def __post_init__(self) -> None:
        if self.size < SIZE:
            raise InputError(f"the photographs of FER+ have {SIZE} pixels: the input cannot be {self.size} wide")

    @property
    def size(self) -> int:
        """Side of the network's input, pixels."""
        if self.start.size is not None:
            return self.start.size
        about = self.start.about()
        return DEFAULT_SIZE if about is None else about.spec.size

    @property
    def spec(self) -> BackboneSpec:
        """How the network is fed: grey, by way of the photographs' 48 pixels."""
        return replace(
            BACKBONES[DEFAULT_BACKBONE],
            name=self.name,
            size=self.size,
            resize=(ResizeStep(Interpolation.AREA, SIZE), ResizeStep(Interpolation.LINEAR, self.size)),
            labels=FERPLUS_8,
            temperature=1.0,
            training_data=self.training_data,
            version=self.version,
            licence=self.licence,
            source=self.source,
        )

    @property
    def training_data(self) -> str:
        """From what the network learned: photographs, what it began with, and what those learned from who taught it."""
        about = self.start.about()
        start = str(self.start.init) if self.start.init == IMAGENET else Path(self.start.init).name
        words = [PHOTOGRAPHS, f"begun with {start if about is None else _with_data(about.spec)}"]
        words += [f"taught by {_with_data(load_backbone(path).spec)}" for path in self.teachers]
        return "; ".join(words)


@dataclass(frozen=True, slots=True)
class FerPlusTrained:
    """What came of a recipe.

    Attributes:
        exported: the backbone file.
        valid: how good it is on the validation split.
        temperature: fitted on the validation split.
        records: the log.
    """

    exported: Exported
    valid: FerPlusEvaluation
    temperature: float
    records: tuple[EpochRecord, ...]


def train_on_ferplus(recipe: FerPlusRecipe, out: Path, run: FinetuneRun) -> FerPlusTrained:
    """Train a backbone and write `NAME.onnx`, `weights.safetensors`, `metrics.csv`, `curve.png`, `card.md`.

    Everything is chosen on the validation split; the test split is not looked at.

    Args:
        recipe: what and how.
        out: folder, made if it is not there.
        run: checkpoints and hooks.

    Raises:
        AffectlineError: the data cannot be read, there is no such start, or a file cannot be written.
    """
    make_folder(out)
    splits = load_ferplus(recipe.data)
    params, spec = recipe.params if recipe.teachers else replace(recipe.params, teach=0.0), recipe.spec
    torch.manual_seed(params.seed)
    network = FaceNetwork(params.arch, len(FERPLUS_8), params.drop, params.drop_path)
    train, valid = (FerPlusPictures.of(splits[name]) for name in ("train", "valid"))
    labels = tuple(label.value for label in FERPLUS_8)
    load_first_weights(network, recipe.start, labels, partial(calibration_inputs, train, spec))
    teachers = Teachers(recipe.teachers, spec, FERPLUS_8) if recipe.teachers else None
    aim = "shares of votes" if teachers is None else f"shares of votes, taught by {', '.join(teachers.digests)}"
    loss = make_share_loss(train.targets, params.label_smoothing, params.class_weights)
    data = FinetuneData(spec, train, valid, scorer(valid), loss, aim, teachers)

    def keep(records: tuple[EpochRecord, ...]) -> None:
        write_log(out, records, SCORE)
        run.on_epoch(records)

    best, log = finetune(network, data, params, replace(run, on_epoch=keep))
    logits = run_network(best, valid, spec)
    described = replace(spec, temperature=round(fit_to_plurality(logits, valid.votes), 4))
    exported, small = write_network(best, described, train, out, recipe.int8)
    found = _evaluated(exported.path, splits["valid"])
    words = None if small is None else (small, _beside(_evaluated(small, splits["valid"]), found))
    then = (
        f"For figures on the test split run `affectline evaluate ferplus {exported.path.name} --data FERPLUS.npz --on "
        "test`."
    )
    figures = ferplus_figures(found)
    card = Card(described, params, exported, "the validation split", figures, then, FERPLUS_LIMITS, words)
    write_card(out / "card.md", card)
    return FerPlusTrained(exported, found, described.temperature, log)


def _with_data(spec: BackboneSpec) -> str:
    data = spec.training_data.removeprefix(PHOTOGRAPHS).removeprefix("; ")
    return f"{spec.name} {spec.version}" + (f" ({data})" if data else "")


def _evaluated(path: Path, valid: FerPlusSplit) -> FerPlusEvaluation:
    """Return how good a file is, as it will be used."""
    backbone = load_backbone(path)
    return evaluate_ferplus(ferplus_logits(backbone, valid), valid.votes, backbone.spec.temperature)


def _beside(small: FerPlusEvaluation, whole: FerPlusEvaluation) -> str:
    pairs = (
        ("official accuracy", small.official.report.accuracy, whole.official.report.accuracy),
        ("plurality accuracy", small.plurality.report.accuracy, whole.plurality.report.accuracy),
    )
    return ", ".join(f"{name} {ours or 0.0:.2%} instead of {other or 0.0:.2%}" for name, ours, other in pairs)


def scorer(valid: FerPlusPictures) -> Scorer:
    """Return what gives the mean of the official and the plurality accuracy on the validation photographs."""

    def score(outputs: FloatArray) -> float:
        found = evaluate_ferplus(outputs, valid.votes)
        accuracies = (found.official.report.accuracy or 0.0, found.plurality.report.accuracy or 0.0)
        return sum(accuracies) / 2

    return score
