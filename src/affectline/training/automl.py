"""Heads that LightAutoML finds: a search over tree and linear models on the few numbers behind a network's last layer.

The paper adds such a model to its perceptron (Tables 1 and 3). Its library (Vakhrushev et al. 2021, LightAutoML) saves
models as a Python pickle only, and a pickle can run any program when it is opened. So the bytes travel in the head
file, and `opaque_opener` opens those alone whose sha256 the caller has typed.
"""

from __future__ import annotations

import hashlib
import io
import os
import pickle
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from importlib import metadata
from typing import Any, ClassVar, Final

import numpy as np
from numpy.typing import NDArray

from affectline.datasets.labelled import LabelledTables
from affectline.errors import InputError, MissingExtraError, ModelFileError
from affectline.features import FeaturePart, stack_inputs
from affectline.features.view import FeatureView
from affectline.heads.head import HeadCard
from affectline.heads.head_file import OpaqueOpener
from affectline.json_records import JsonValue
from affectline.labels import Task
from affectline.progress import ProgressHook, ignore_progress
from affectline.records import FaceFeatures, FloatArray
from affectline.training.epochs import TrainingRecord

FOLDS: Final = 5
"""Folds of the library's own cross-validation, each with videos of its own."""

_PICKLE: Final = "pickle"


@dataclass(frozen=True, slots=True)
class AutomlParams:
    """What the search may use.

    Attributes:
        parts: the input; None takes the logits, and valence and arousal where the backbone has them (paper, section 2).
        timeout_s: of the whole search, seconds. What is found depends on how fast the machine is: compare scores of
            two machines with care. The paper gave it 600 s.
        seed: of the folds; the models inside have seeds of their own, which the library fixes.
        threads: processors that it may use; None takes all.
        max_rows: training takes every k-th labelled frame so that no more are left: neighbours are nearly equal, and
            forests on millions of rows fill the memory.
    """

    parts: tuple[FeaturePart, ...] | None = None
    timeout_s: float = 600.0
    seed: int = 0
    threads: int | None = None
    max_rows: int = 200_000

    def __post_init__(self) -> None:
        if not self.timeout_s > 0 or self.max_rows < 1 or (self.threads is not None and self.threads < 1):
            raise InputError(
                f"the search needs a time limit, rows and threads above 0, got {self.timeout_s} s, {self.max_rows} "
                f"rows, {self.threads} threads"
            )


class AutomlHead:
    """A head whose models LightAutoML chose.

    Args:
        card: what it says of itself.
        parts: the input.
        models: VA: one regression for each label. EXPR and AU: one model for all labels.
        pickled: the bytes that `models` came from or go to.
        found: which models were chosen, one text for each.
    """

    kind: ClassVar[str] = "automl"

    def __init__(
        self,
        card: HeadCard,
        parts: tuple[FeaturePart, ...],
        models: Sequence[Any],
        pickled: bytes,
        found: tuple[str, ...],
    ) -> None:
        self.card = card
        self.found = found
        self._parts = parts
        self._models = models
        self._pickled = pickled

    @property
    def pickle_digest(self) -> str:
        """The sha256 that opens the file again."""
        return hashlib.sha256(self._pickled).hexdigest()

    def with_card(self, card: HeadCard) -> AutomlHead:
        """Return the same models with another card."""
        return AutomlHead(card, self._parts, self._models, self._pickled, self.found)

    def score(self, features: Mapping[str, FaceFeatures]) -> FloatArray:
        """Return the scores of n faces, shape (n, number of labels), float32; see `heads.head.Head`."""
        inputs = stack_inputs(features[self.card.backbones[0].digest], self._parts)
        if not len(inputs):
            return np.empty((0, len(self.card.labels)), np.float32)
        found = [model.predict(_frame_of(inputs)).data for model in self._models]
        scores = np.concatenate(found, axis=1)
        if self.card.task is Task.VA:
            return np.asarray(np.clip(scores, -1.0, 1.0), np.float32)
        if self.card.task is Task.EXPR:
            return _in_label_order(scores, self._models[0].reader.class_mapping, len(self.card.labels))
        return np.asarray(scores, np.float32)

    def settings(self) -> dict[str, JsonValue]:
        """Return what the file says besides the card."""
        return {
            "parts": [part.value for part in self._parts],
            "sha256": self.pickle_digest,
            "lightautoml": metadata.version("lightautoml"),
            "found": list(self.found),
        }

    def arrays(self) -> dict[str, NDArray[np.generic]]:
        """Return the pickle as bytes, shape (size,), uint8."""
        return {_PICKLE: np.frombuffer(self._pickled, np.uint8)}


class AutomlTrainer:
    """Searches for a head with LightAutoML; the validation data are left untouched.

    Args:
        params: what the search may use.
        on_progress: told after each model of VA, and at the end.
    """

    def __init__(self, params: AutomlParams | None = None, on_progress: ProgressHook = ignore_progress) -> None:
        self.params = params or AutomlParams()
        self.record: TrainingRecord | None = None
        self._on_progress = on_progress

    def get_params(self) -> Mapping[str, object]:
        """Return the parameters by name."""
        return asdict(self.params)

    def fit(self, train: LabelledTables, valid: LabelledTables | None = None) -> AutomlHead:
        """Return the head that the search found on the training data.

        Raises:
            MissingExtraError: LightAutoML is not installed.
            InputError: several backbones, fewer than two videos, or a class or unit without examples.
        """
        _check_installed()
        if len(train.backbones) != 1:
            names = ", ".join(ref.name for ref in train.backbones)
            raise InputError(f"a head is trained on one backbone, got {names}; train one for each and blend them")
        (info,) = train.infos.values()
        parts = self.params.parts or _default_parts(info.has_valence_arousal)
        params = replace(self.params, parts=parts)
        inputs, targets, groups = _sampled(train, parts, params.max_rows)
        models = self._search(train, inputs, targets, groups)
        buffer = io.BytesIO()
        pickle.dump(models, buffer)
        found = tuple(" ".join(model.create_model_str_desc().split()) for model in models)
        card = HeadCard(train.task, train.labels, train.backbones, info.crop_kind)
        return AutomlHead(card, parts, models, buffer.getvalue(), found)

    def _search(
        self, train: LabelledTables, inputs: FloatArray, targets: NDArray[np.generic], groups: NDArray[np.intp]
    ) -> list[Any]:
        frame = _frame_of(inputs).assign(group=groups)
        if train.task is Task.VA:
            models = []
            for number, column in enumerate(targets.T):
                models.append(
                    self._one("reg", frame.assign(target=column), "target", self.params.timeout_s / len(targets.T))
                )
                self._on_progress(number + 1, len(train.labels))
            return models
        if train.task is Task.EXPR:
            model = self._one("multiclass", frame.assign(target=targets), "target", self.params.timeout_s)
        elif len(train.labels) == 1:
            model = self._one("binary", frame.assign(target=targets[:, 0].astype(int)), "target", self.params.timeout_s)
        else:
            columns = {f"target{number}": column.astype(int) for number, column in enumerate(targets.T)}
            model = self._one("multilabel", frame.assign(**columns), list(columns), self.params.timeout_s)
        self._on_progress(1, 1)
        return [model]

    def _one(self, kind: str, frame: Any, target: str | list[str], timeout_s: float) -> Any:  # noqa: ANN401 - untyped library
        # The library takes seconds to import; nothing else here needs it.
        from lightautoml.automl.presets.tabular_presets import TabularAutoML  # noqa: PLC0415
        from lightautoml.tasks import Task as AutomlTask  # noqa: PLC0415

        threads = self.params.threads or os.cpu_count() or 1
        folds = min(FOLDS, frame["group"].nunique())
        automl = TabularAutoML(
            task=AutomlTask(kind),
            timeout=timeout_s,
            cpu_limit=threads,
            reader_params={"random_state": self.params.seed, "n_jobs": threads, "cv": folds},
            rf_params={"default_params": {"verbose": 0}},
        )
        automl.fit_predict(frame, roles={"target": target, "group": "group"}, verbose=0)
        return automl


def opaque_opener(trusted: Sequence[str]) -> OpaqueOpener:
    """Return what `heads.head_file.load_head` needs to open heads that hold a pickle.

    Args:
        trusted: sha256 of each pickle that may be opened, hexadecimal. A pickle can run any program: trust those only
            that you made yourself.
    """

    def open_head(card: HeadCard, settings: Mapping[str, JsonValue], arrays: Mapping[str, NDArray[Any]]) -> AutomlHead:
        words, found = settings.get("parts"), settings.get("found")
        if _PICKLE not in arrays or not isinstance(words, list) or not isinstance(found, list):
            raise ModelFileError("an automl head must hold `pickle`, `parts` and `found`; train it again")
        pickled = arrays[_PICKLE].tobytes()
        digest = hashlib.sha256(pickled).hexdigest()
        if digest not in {text.lower() for text in trusted}:
            raise ModelFileError(
                f"this head holds a Python pickle with sha256 {digest}, which can run any program and is not "
                f"among those that you trust; if you made it yourself, pass --trust-pickle {digest}"
            )
        _check_installed()
        try:
            models = pickle.loads(pickled)  # noqa: S301 - the caller has typed this digest
        except (pickle.UnpicklingError, AttributeError, ImportError, EOFError, IndexError, TypeError) as error:
            raise ModelFileError(
                f"the models cannot be opened ({type(error).__name__}: {error}); they were saved with LightAutoML "
                f"{settings.get('lightautoml')}, here is {metadata.version('lightautoml')}"
            ) from error
        parts = tuple(FeaturePart(word) for word in words)
        return AutomlHead(card, parts, models, pickled, tuple(map(str, found)))

    return open_head


def _check_installed() -> None:
    try:
        metadata.version("lightautoml")
    except metadata.PackageNotFoundError as error:
        raise MissingExtraError(
            "LightAutoML is not installed; it needs Python 3.12 or older: pip install 'affectline[automl]'"
        ) from error


def _default_parts(has_valence_arousal: bool) -> tuple[FeaturePart, ...]:
    extra = (FeaturePart.VALENCE_AROUSAL,) if has_valence_arousal else ()
    return (FeaturePart.LOGITS, *extra)


def _frame_of(inputs: FloatArray) -> Any:  # noqa: ANN401 - a pandas frame; pandas comes with the library
    import pandas as pd  # noqa: PLC0415 - only where LightAutoML is

    return pd.DataFrame(inputs, columns=[f"x{number}" for number in range(inputs.shape[1])])


def _sampled(
    train: LabelledTables, parts: tuple[FeaturePart, ...], max_rows: int
) -> tuple[FloatArray, NDArray[np.generic], NDArray[np.intp]]:
    """Return inputs (n, width), targets and group numbers (n,) of every k-th labelled frame with a face."""
    digest = train.backbones[0].digest
    total = sum(int(sequence.has_face.sum()) for sequence in train.sequences)
    step = max(1, -(-total // max_rows))
    sources = [(sequence.tables[digest], sequence.labelled_rows[::step]) for sequence in train.sequences]
    targets = np.concatenate([sequence.target[sequence.has_face][::step] for sequence in train.sequences])
    names = sorted({sequence.group for sequence in train.sequences})
    if len(names) < 2:  # noqa: PLR2004 - one to learn from, one to be tested on
        raise InputError(f"LightAutoML compares models on videos that they did not see; {train.source} has only one")
    numbers = [names.index(sequence.group) for sequence in train.sequences]
    groups = np.repeat(numbers, [len(rows) for _, rows in sources]).astype(np.intp)
    _check_examples(train, targets)
    return FeatureView(sources, parts).to_array(), targets, groups


def _check_examples(train: LabelledTables, targets: NDArray[np.generic]) -> None:
    if train.task is Task.EXPR:
        counts = np.bincount(targets, minlength=len(train.labels))
    elif train.task is Task.AU:
        counts = np.minimum(targets.sum(axis=0), len(targets) - targets.sum(axis=0))
    else:
        return
    missing = [label for label, count in zip(train.labels, counts, strict=True) if not count]
    if missing:
        raise InputError(f"{train.source} has no examples to tell {', '.join(missing)} by; add some or leave it out")


def _in_label_order(scores: NDArray[np.floating], class_mapping: Mapping[int, int] | None, n_labels: int) -> FloatArray:
    """Return class scores in the order of the labels; the library may number classes by how often they occur."""
    order = class_mapping or {number: number for number in range(n_labels)}
    probabilities = np.zeros((len(scores), n_labels))
    for label, column in order.items():
        probabilities[:, label] = scores[:, column]
    return np.asarray(probabilities / probabilities.sum(axis=1, keepdims=True), np.float32)
