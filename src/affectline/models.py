"""The networks and heads of an analysis: which are needed, and where they come from."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from affectline.assets import fetch
from affectline.backbones import BACKBONES, DEFAULT_BACKBONE, Backbone, load_backbone
from affectline.backbones.files import absolute_name
from affectline.cascade import Cascade, check_cascade
from affectline.errors import InputError
from affectline.faces.detector import Detector
from affectline.faces.landmarks import LandmarkNetwork
from affectline.faces.registry import load_detector
from affectline.heads.head import BackboneRef, ContextHead, Head, context_head
from affectline.heads.head_file import OpaqueOpener, load_head
from affectline.labels import Expression, Task
from affectline.options import AnalyzeOptions
from affectline.postprocess.smoothing import Smoothing, SmoothingChoice


@dataclass(frozen=True, slots=True)
class NamedHead:
    """A trained head and the file that it came from.

    Attributes:
        head: predicts one task.
        name: of the file, without its folder.
        digest: sha256 of the file.
    """

    head: Head
    name: str
    digest: str


@dataclass(frozen=True, slots=True)
class Models:
    """The networks that one analysis runs.

    Attributes:
        detector: None where the input holds faces already.
        backbones: at least one; where no head gives a task, they do (`own_source`).
        landmarks: None where neither action units nor landmarks are wanted of it.
        heads: trained heads, by task.
        cascade: asked about expressions of which the backbone is not sure; None asks nobody.
        reads_blendshapes: where nothing else gives the action units, they are made of the landmarks.
    """

    detector: Detector | None
    backbones: tuple[Backbone, ...]
    landmarks: LandmarkNetwork | None
    heads: Mapping[Task, NamedHead] = field(default_factory=dict)
    cascade: Cascade | None = None
    reads_blendshapes: bool = True

    def own_source(self, task: Task) -> Backbone | None:
        """Return the backbone that a task's scores come from without a head; None if there is none.

        It is the first with outputs for the task; valence and arousal can be made from expressions.
        """
        found = first_for(task, self.backbones)
        return first_for(Task.EXPR, self.backbones) if found is None and task is Task.VA else found

    @property
    def context_heads(self) -> Mapping[Task, ContextHead]:
        """The heads that look at a face over time, by task."""
        found = {task: context_head(named.head) for task, named in self.heads.items()}
        return {task: head for task, head in found.items() if head is not None}

    @property
    def expressions(self) -> tuple[Expression, ...]:
        """The classes of the expression scores, in order: the head's, or those of a backbone's logits."""
        if Task.EXPR in self.heads:
            return tuple(Expression(label) for label in self.heads[Task.EXPR].head.card.labels)
        backbone = self.own_source(Task.EXPR)
        return () if backbone is None else backbone.spec.labels


def first_for(task: Task, backbones: Iterable[Backbone]) -> Backbone | None:
    """Return the first of some backbones that has outputs of its own for a task."""
    return next((backbone for backbone in backbones if backbone.spec.gives(task)), None)


def load_models(
    options: AnalyzeOptions = AnalyzeOptions(),  # noqa: B008 - frozen
    *,
    open_opaque: OpaqueOpener | None = None,
    keep_landmarks: bool = False,
) -> Models:
    """Load the networks and heads that an analysis with these options runs, fetching what is not here yet.

    Args:
        options: what to look for.
        open_opaque: opens heads that hold a pickle (`training.automl.opaque_opener`); None refuses them.
        keep_landmarks: landmarks are wanted even if a head gives the action units.

    Raises:
        UnknownNameError: there is no such backbone or detector.
        AssetError: a model could not be fetched or verified.
        InputFileError: a head file cannot be read.
        ModelFileError: a model file is damaged, of the wrong shape or without its description.
        MissingExtraError: the device or the detector needs something that is not installed.
        InputError: the processor cannot compute in the precision, two heads are for one task, a head's backbone is
            not there, or a cascade does not fit.
    """
    offline = options.offline
    heads = _with_radii(load_heads(options.heads, open_opaque), options.smoothing)
    backbones = _load_backbones(options, heads)
    has_action_units = Task.AU in heads or first_for(Task.AU, backbones) is not None
    needs_landmarks = keep_landmarks or (options.action_units and not has_action_units)
    task_file = fetch("face_landmarker", offline=offline) if needs_landmarks else None
    return Models(
        detector=None if options.crops else load_detector(options.detector, offline=offline),
        backbones=backbones,
        landmarks=None if task_file is None else LandmarkNetwork(task_file),
        heads=heads,
        cascade=_load_cascade(options, backbones, has_head=Task.EXPR in heads),
        reads_blendshapes=options.action_units,
    )


def with_absolute_names(options: AnalyzeOptions) -> AnalyzeOptions:
    """Return options that name the same models in a process that may be in another folder."""
    return replace(
        options,
        backbone=tuple(map(absolute_name, options.backbones)) or None,
        cascade=None if options.cascade is None else absolute_name(options.cascade),
        heads=tuple(path.absolute() for path in options.heads),
    )


def _load_cascade(options: AnalyzeOptions, backbones: Iterable[Backbone], *, has_head: bool) -> Cascade | None:
    if options.cascade is None:
        return None
    large = load_backbone(options.cascade, options.runtime, offline=options.offline)
    first = first_for(Task.EXPR, backbones)
    small = None if first is None else first.spec
    check_cascade(options.cascade_sure_from, large.spec, small, has_head=has_head)
    return Cascade(large, options.cascade_sure_from)


def load_heads(paths: Sequence[Path], open_opaque: OpaqueOpener | None = None) -> Mapping[Task, NamedHead]:
    """Return the heads of some files by task; errors as `load_models`."""
    heads: dict[Task, NamedHead] = {}
    for path in paths:
        head = load_head(path, open_opaque)
        task = head.card.task
        if task in heads:
            raise InputError(
                f"{heads[task].name} and {path.name} both predict {task.value}; give one, or make one of them with "
                f"`affectline blend {heads[task].name} {path.name}`"
            )
        heads[task] = NamedHead(head, path.name, hashlib.sha256(path.read_bytes()).hexdigest())
    return heads


def _with_radii(heads: Mapping[Task, NamedHead], smoothing: Smoothing | SmoothingChoice) -> Mapping[Task, NamedHead]:
    """Return the heads with the radii that were chosen; those that are not smoothed decide on single frames."""
    radii = {Task.VA: smoothing.va_s, Task.EXPR: smoothing.expr_s, Task.AU: smoothing.au_s}
    chosen = dict(heads)
    for task, named in heads.items():
        radius_s = radii[task]
        if radius_s is not None:
            chosen[task] = replace(named, head=named.head.with_card(named.head.card.with_radius(radius_s)))
    return chosen


def _load_backbones(options: AnalyzeOptions, heads: Mapping[Task, NamedHead]) -> tuple[Backbone, ...]:
    """Return the backbones that were named or, if none was, those that the heads need; the default for what is left.

    Without a head and an output of its own, valence and arousal are made from expressions: they need them too.
    """
    named = [load_backbone(name, options.runtime, offline=options.offline) for name in options.backbones]
    found = {backbone.digest: backbone for backbone in named}
    for task in (Task.VA, Task.EXPR, Task.AU):
        if task in heads:
            for ref in heads[task].head.card.backbones:
                if ref.digest not in found:
                    found[ref.digest] = _backbone_of(ref, heads[task].name, options, found.values())
    is_bare = not named and not ({Task.VA, Task.EXPR} & heads.keys())
    lacks_va = Task.VA not in heads and first_for(Task.VA, found.values()) is None
    lacks_expressions = first_for(Task.EXPR, found.values()) is None and (Task.EXPR not in heads or lacks_va)
    if is_bare or lacks_expressions:
        default = load_backbone(DEFAULT_BACKBONE, options.runtime, offline=options.offline)
        found = {default.digest: default} | found
    return tuple(found.values())


def _backbone_of(ref: BackboneRef, head_name: str, options: AnalyzeOptions, there: Iterable[Backbone]) -> Backbone:
    """Return the backbone that a head needs, from the registry."""
    needs = f"the head {head_name} was trained on features of {ref.name} (sha256 {ref.digest})"
    if options.backbones:
        given = ", ".join(f"{backbone.spec.name} (sha256 {backbone.digest})" for backbone in there)
        raise InputError(f"{needs}, but --backbone gives {given}; name the backbone that it was trained on")
    if ref.name not in BACKBONES:
        raise InputError(f"{needs}, which affectline does not know by name; give its file with --backbone FILE")
    backbone = load_backbone(ref.name, options.runtime, offline=options.offline)
    if backbone.digest != ref.digest:
        raise InputError(
            f"{needs}, but the {ref.name} that is here has sha256 {backbone.digest}; give the file that it was "
            "trained on with --backbone FILE, or train the head anew"
        )
    return backbone
