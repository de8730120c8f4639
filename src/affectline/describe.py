"""What a result rests on, put together from what took part in it."""

from __future__ import annotations

import platform
from datetime import datetime, timezone
from importlib import metadata

from affectline import __version__
from affectline.assets import asset_spec
from affectline.cascade import Cascade
from affectline.errors import InputError
from affectline.faces.registry import DETECTORS
from affectline.file_names import as_utf8
from affectline.heads.action_units import AU_THRESHOLDS
from affectline.heads.head import context_head
from affectline.heads.pretrained import HeadOrigin, origin
from affectline.labels import ActionUnit, HeadKind, Task
from affectline.models import Models, NamedHead
from affectline.options import AnalyzeOptions
from affectline.postprocess.decide import Thresholds
from affectline.postprocess.finish import FinishSettings
from affectline.postprocess.smoothing import Smoothing, SmoothingChoice
from affectline.postprocess.thresholds import FIXED_THRESHOLD
from affectline.provenance import CascadeRecord, HeadRecord, ModelRecord, Provenance
from affectline.runtime import Device
from affectline.video import ReadReport, SourceInfo

DEPENDENCIES = ("numpy", "opencv-python-headless", "av", "onnxruntime", "ai-edge-litert")
"""Distributions whose version can change a number."""

OPENVINO = "openvino"
"""The distribution, which counts only where it ran the backbones."""

BLENDSHAPE_HEAD = "MediaPipe blendshapes through the FACS table of affectline (docs/action_units.md)"


def finish_settings(options: AnalyzeOptions, models: Models) -> FinishSettings:
    """Return how the raw rows of an analysis with these options and heads are finished.

    Raises:
        InputError: the heads were tuned for different filters, and none was chosen; or the filter is causal, which
            leaves nothing to interpolate with a stride.
    """
    cards = {task: named.head.card for task, named in models.heads.items()}
    thresholds = dict(AU_THRESHOLDS)
    if Task.AU in cards:
        card = cards[Task.AU]
        chosen = card.decision.thresholds or [FIXED_THRESHOLD] * len(card.labels)
        thresholds |= {ActionUnit(label): value for label, value in zip(card.labels, chosen, strict=True)}
    is_adjusted = Task.EXPR in cards and bool(cards[Task.EXPR].decision.logit_adjustment)
    smoothing = _smoothing(options, models)
    if options.stride_s is not None and not smoothing.looks_ahead:
        raise InputError(
            "a stride leaves frames that are filled in from the ones before and behind, and the causal filter knows "
            "only those before; take another --filter, or --fps instead of --stride"
        )
    return FinishSettings(Thresholds(thresholds), smoothing, options.stride_s, normalises=is_adjusted)


def _smoothing(options: AnalyzeOptions, models: Models) -> Smoothing:
    if isinstance(options.smoothing, Smoothing):
        return options.smoothing
    decisions = {task: named.head.card.decision for task, named in models.heads.items()}
    modes = {decision.mode for decision in decisions.values()}
    if len(modes) > 1 and options.smoothing.mode is None:
        named = ", ".join(f"{models.heads[task].name}: {decision.mode}" for task, decision in decisions.items())
        raise InputError(f"the heads were tuned for different filters ({named}); choose one with --filter")
    radii = {f"{task.value.lower()}_s": decision.radius_s for task, decision in decisions.items()}
    return options.smoothing.over(SmoothingChoice(**radii, mode=next(iter(modes), None)).over(Smoothing()))


def provenance_of(
    info: SourceInfo, report: ReadReport, models: Models, options: AnalyzeOptions, asked_faces: int | None = None
) -> Provenance:
    """Return the provenance of a timeline whose input has been read to the end.

    Args:
        info: of the input.
        report: of reading it.
        models: that ran.
        options: with which.
        asked_faces: about how many faces the larger network of a cascade was asked.
    """
    path = info.path
    settings = finish_settings(options, models)
    cascade = models.cascade
    return Provenance(
        created=datetime.now(timezone.utc).isoformat(timespec="seconds"),
        input=as_utf8(path.name),
        size_bytes=path.stat().st_size if path.is_file() else None,
        duration_s=info.duration_s,
        container_frames=report.container_frames,
        decoded_frames=report.decoded_frames,
        is_complete=report.is_complete,
        problem=None if report.problem is None else as_utf8(report.problem),
        affectline=__version__,
        python=platform.python_version(),
        dependencies=_versions(options),
        device=options.device,
        detector=None if models.detector is None else models.detector.name,
        max_faces=options.max_faces,
        detect_every=options.detect_every,
        backbone=", ".join(backbone.spec.name for backbone in models.backbones),
        models=_models(models),
        heads=_heads(models),
        expressions=models.expressions,
        sampling=options.sampling,
        sequence_fps=options.sequence_fps if info.kind == "sequence" else None,
        stride_s=settings.stride_s,
        smoothing=settings.smoothing,
        thresholds=settings.thresholds,
        precision=_precision(models),
        cascade=None if cascade is None else _cascade_record(cascade),
        asked_faces=asked_faces,
    )


def _cascade_record(cascade: Cascade) -> CascadeRecord:
    backbone = cascade.backbone
    return CascadeRecord(backbone.spec.name, cascade.sure_from, backbone.runtime.precision.value)


def _precision(models: Models) -> str:
    """Return what the backbones compute with, once where it is the same."""
    precisions = [backbone.runtime.precision.value for backbone in models.backbones]
    return ", ".join(precisions if len(set(precisions)) > 1 else precisions[:1])


def _versions(options: AnalyzeOptions) -> dict[str, str]:
    found = {}
    for name in (*DEPENDENCIES, *([OPENVINO] if options.runtime.device is Device.OPENVINO else [])):
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            # Another distribution of the same library, such as onnxruntime-gpu.
            found[name] = "unknown"
    return found


def _heads(models: Models) -> tuple[HeadRecord, ...]:
    plain = {}
    if models.landmarks is not None and models.reads_blendshapes:
        plain[Task.AU] = HeadOrigin(HeadKind.ZERO_SHOT, BLENDSHAPE_HEAD)
    for task in Task:
        backbone = models.own_source(task)
        if backbone is not None:
            plain[task] = origin(task, backbone.spec)
    if models.cascade is not None:
        second = origin(Task.EXPR, models.cascade.backbone.spec)
        first = plain[Task.EXPR].source
        source = f"{first}; below a probability of {models.cascade.sure_from:g}, {second.source}"
        plain[Task.EXPR] = HeadOrigin(HeadKind.PRETRAINED, source)
    trained = {task: HeadOrigin(HeadKind.TRAINED, _source(named)) for task, named in models.heads.items()}
    origins = plain | trained
    return tuple(HeadRecord(task, origins[task].kind, origins[task].source) for task in Task if task in origins)


def _source(named: NamedHead) -> str:
    """Return what a trained head is, in words: labels, context, data, and how good it was on the validation data."""
    card = named.head.card
    scores = ", ".join(f"{name} {value:.3f}" for name, value in card.validation.items() if name.startswith("p"))
    labels = "" if card.labels == card.task.official_labels else f"for {', '.join(card.labels)} only, "
    context = context_head(named.head)
    sees = (
        "" if context is None else f"context {context.context.value} ({card.training.get('model', 'unknown model')}), "
    )
    data = card.training.get("data", "unknown data")
    return f"{named.name}, {labels}{sees}trained on {data}; validation: {scores or 'none'}"


def _models(models: Models) -> tuple[ModelRecord, ...]:
    networks = [("backbone", backbone) for backbone in models.backbones]
    networks += [] if models.cascade is None else [("backbone that is asked", models.cascade.backbone)]
    records = [
        ModelRecord(role, spec.name, f"sha256 {backbone.digest}", spec.licence, spec.training_data, spec.version)
        for role, backbone in networks
        for spec in [backbone.spec]
    ]
    records += [
        ModelRecord(
            f"{task.value} head",
            named.name,
            f"sha256 {named.digest}",
            "as its training data and backbone allow",
            named.head.card.training.get("data", "unknown"),
        )
        for task, named in models.heads.items()
    ]
    if models.landmarks is not None:
        records.append(_asset_record("landmarks and blendshapes", "face_landmarker"))
    asset = None if models.detector is None else DETECTORS[models.detector.name].asset
    if asset is not None:
        records.append(_asset_record("face detector", asset))
    return tuple(records)


def _asset_record(role: str, name: str) -> ModelRecord:
    spec = asset_spec(name)
    return ModelRecord(role, spec.name, str(spec.digest), spec.licence, spec.training_data)
