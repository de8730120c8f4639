"""What the experiments run on: labels and features of a data set, each with a digest of its content."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Final

import numpy as np

from affectline.datasets.affwild2 import find_annotations, refuse_overlap
from affectline.datasets.labelled import TRAIN, VALIDATION, LabelledTables
from affectline.datasets.loading import DataOptions, load_labelled
from affectline.errors import InputError, InputFileError
from affectline.evaluation.scoring import data_digest
from affectline.experiments.recipes import HeadRecipe, Role
from affectline.features import CropKind, FeaturePart
from affectline.features.store import FeatureStore
from affectline.labels import Task

USUAL_BACKBONES: Final[Mapping[Role, tuple[str, ...]]] = {
    "b0": ("enet_b0_8_best_vgaf", "synthetic_b0"),
    "mt": ("enet_b0_8_va_mtl", "synthetic_mt"),
}
"""By role: the paper's backbone, then that of synthetic sets."""

STOPPING_PART: Final = 8
MIN_STOPPING_VIDEOS: Final = 4

SYNTHETIC_NAME: Final = "synthetic.json"
_ROWS_AT_ONCE: Final = 65_536
_COMPARED: Final = (FeaturePart.LOGITS, FeaturePart.VALENCE_AROUSAL)


@dataclass(frozen=True, slots=True, eq=False)
class SplitData:
    """What one head is trained on and judged by.

    Attributes:
        train, valid: labelled faces with the features of one backbone.
        digest: of labels and features of both.
    """

    train: LabelledTables
    valid: LabelledTables
    digest: str


@dataclass(eq=False)
class ExperimentData:
    """Labels in the Aff-Wild2 layout and the features of the paper's two backbones.

    Attributes:
        folder: the data set.
        store: the features.
        backbones: names or digests that stand for the paper's EmotiEffNet (`b0`) and MT-EmotiEffNet (`mt`); a role
            that is not there gets the first of `USUAL_BACKBONES` that the store has.
    """

    folder: Path
    store: Path
    backbones: Mapping[Role, str] = field(default_factory=dict)
    _splits: dict[tuple[Task, Role, CropKind], SplitData] = field(default_factory=dict, repr=False)

    def check(self) -> None:
        """Refuse folders that no row could be run on.

        Raises:
            InputFileError: there is no such data set, or no such store.
        """
        if not any(find_annotations(self.folder, task) for task in Task):
            raise InputFileError(
                f"{self.folder} holds no annotations in the Aff-Wild2 layout; `affectline audit` looks for them"
            )
        FeatureStore(self.store)

    @cached_property
    def is_synthetic(self) -> bool:
        """Whether the data set says that it is a synthetic one, or a backbone does."""
        path = self.folder / SYNTHETIC_NAME
        try:
            says_so = bool(json.loads(path.read_text(encoding="utf-8")).get("is_synthetic"))
        except (OSError, ValueError, AttributeError):
            says_so = False
        return says_so or any(entry.backbone.startswith("synthetic_") for entry in FeatureStore(self.store).entries)

    def backbone(self, role: Role) -> str:
        """Return the name of the backbone that plays a role.

        Raises:
            InputError: the store has none.
        """
        if role in self.backbones:
            return self.backbones[role]
        there = {entry.backbone for entry in FeatureStore(self.store).entries}
        for name in USUAL_BACKBONES[role]:
            if name in there:
                return name
        option = {"b0": "--emotieffnet", "mt": "--mt-emotieffnet"}[role]
        raise InputError(
            f"{self.store} has no features of {' or '.join(USUAL_BACKBONES[role])}, only of "
            f"{', '.join(sorted(there)) or 'nothing'}; extract them, or name another backbone with {option}"
        )

    def split(self, recipe: HeadRecipe) -> SplitData:
        """Return what a head is trained on and judged by; all videos, whatever its share.

        Raises:
            InputError: labels or features are missing, or a video is in both splits.
            InputFileError: likewise.
        """
        key = (recipe.task, recipe.backbone, recipe.crops)
        if key not in self._splits:
            options = DataOptions(
                self.store, self.folder, backbones=(self.backbone(recipe.backbone),), crop_kind=recipe.crops
            )
            train, valid = (load_labelled(recipe.task, split, options) for split in (TRAIN, VALIDATION))
            refuse_overlap({one.video for one in train.sequences}, {one.video for one in valid.sequences})
            self._splits[key] = SplitData(train, valid, _digest([train, valid]))
        return self._splits[key]


def share_of(train: LabelledTables, share: float, seed: int) -> LabelledTables:
    """Return the faces of a share of the videos; a larger share holds those of a smaller one.

    Args:
        train: any.
        share: above 0 and up to 1; at least two videos are kept.
        seed: of the order in which videos are taken.
    """
    groups = _shuffled_groups(train, seed)
    return _of_groups(train, groups[: max(2, round(share * len(groups)))])


def stopping_split(train: LabelledTables, seed: int) -> tuple[LabelledTables, LabelledTables | None]:
    """Return what a head learns from at first, and an eighth of the training videos that say when to stop.

    So no validation video has a say in a head: what is chosen on those is chosen behind it. With fewer than
    `MIN_STOPPING_VIDEOS` source videos there is nothing to spare, and training runs to its end.

    Args:
        train: any.
        seed: of the choice of videos.
    """
    groups = _shuffled_groups(train, seed)
    if len(groups) < MIN_STOPPING_VIDEOS:
        return train, None
    # The first ones are those of a share (`share_of`): the last ones stop.
    spared = max(1, len(groups) // STOPPING_PART)
    return _of_groups(train, groups[:-spared]), _of_groups(train, groups[-spared:])


def _shuffled_groups(train: LabelledTables, seed: int) -> list[str]:
    groups = sorted({sequence.group for sequence in train.sequences})
    return [groups[number] for number in np.random.default_rng(seed).permutation(len(groups)).tolist()]


def _of_groups(train: LabelledTables, groups: Sequence[str]) -> LabelledTables:
    kept = set(groups)
    return replace(train, sequences=tuple(one for one in train.sequences if one.group in kept))


def _digest(parts: Sequence[LabelledTables]) -> str:
    """Return 16 digits of a sha256 over labels, frames, times, logits, valence and arousal.

    Two extractions of one video rarely agree in these.

    Embeddings are left out, since they are a hundred times as large; the backbone's own digest stands for them.
    """
    digest = hashlib.sha256()
    for data in parts:
        digest.update(data_digest(data).encode())
        for sequence in data.sequences:
            digest.update(sequence.video.encode())
            for name, table in sequence.tables.items():
                digest.update(f"{name}{table.info.crop_kind.value}".encode())
                digest.update(np.ascontiguousarray(table.frame).tobytes())
                digest.update(np.ascontiguousarray(table.time_s).tobytes())
                for start in range(0, len(table), _ROWS_AT_ONCE):
                    wanted = _COMPARED if table.info.has_valence_arousal else _COMPARED[:1]
                    part = table.features(slice(start, start + _ROWS_AT_ONCE), wanted)
                    for column in (part.logits, part.valence, part.arousal):
                        digest.update(b"" if column is None else np.ascontiguousarray(column).tobytes())
    return digest.hexdigest()[:16]
