"""What a result rests on, put together from what took part in it."""

from __future__ import annotations

import platform
from datetime import datetime, timezone
from importlib import metadata

from affectline import __version__
from affectline.assets import asset_spec
from affectline.faces.registry import DETECTORS
from affectline.heads.action_units import AU_THRESHOLDS
from affectline.heads.pretrained import HeadOrigin, expression_origin, valence_arousal_origin
from affectline.labels import HeadKind, Task
from affectline.observe import Models
from affectline.options import AnalyzeOptions
from affectline.postprocess.decide import Thresholds
from affectline.postprocess.finish import FinishSettings
from affectline.provenance import HeadRecord, ModelRecord, Provenance
from affectline.video import ReadReport, SourceInfo

DEPENDENCIES = ("numpy", "opencv-python-headless", "av", "onnxruntime", "ai-edge-litert")
"""Distributions whose version can change a number."""

BLENDSHAPE_HEAD = "MediaPipe blendshapes through the FACS table of affectline (docs/action_units.md)"


def finish_settings(options: AnalyzeOptions) -> FinishSettings:
    """Return how the raw rows of an analysis with these options are finished."""
    return FinishSettings(Thresholds(AU_THRESHOLDS), options.smoothing)


def provenance_of(info: SourceInfo, report: ReadReport, models: Models, options: AnalyzeOptions) -> Provenance:
    """Return the provenance of a timeline whose input has been read to the end."""
    path = info.path
    spec = models.backbone.spec
    settings = finish_settings(options)
    return Provenance(
        created=datetime.now(timezone.utc).isoformat(timespec="seconds"),
        input=path.name,
        size_bytes=path.stat().st_size if path.is_file() else None,
        duration_s=info.duration_s,
        container_frames=report.container_frames,
        decoded_frames=report.decoded_frames,
        is_complete=report.is_complete,
        problem=report.problem,
        affectline=__version__,
        python=platform.python_version(),
        dependencies=_versions(),
        device=options.device,
        detector=None if models.detector is None else models.detector.name,
        max_faces=options.max_faces,
        backbone=spec.name,
        models=_models(models),
        heads=_heads(models),
        expressions=spec.labels,
        sampling=options.sampling,
        stride_s=settings.stride_s,
        smoothing=settings.smoothing,
        thresholds=settings.thresholds,
    )


def _versions() -> dict[str, str]:
    found = {}
    for name in DEPENDENCIES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            # Another distribution of the same library, such as onnxruntime-gpu.
            found[name] = "unknown"
    return found


def _heads(models: Models) -> tuple[HeadRecord, ...]:
    spec = models.backbone.spec
    heads = [_head(Task.VA, valence_arousal_origin(spec)), _head(Task.EXPR, expression_origin(spec))]
    if models.landmarks is not None:
        heads.append(HeadRecord(Task.AU, HeadKind.ZERO_SHOT, BLENDSHAPE_HEAD))
    return tuple(heads)


def _head(task: Task, origin: HeadOrigin) -> HeadRecord:
    return HeadRecord(task, origin.kind, origin.source)


def _models(models: Models) -> tuple[ModelRecord, ...]:
    spec = models.backbone.spec
    records = [
        ModelRecord(
            "backbone", spec.name, f"sha256 {models.backbone.digest}", spec.licence, spec.training_data, spec.version
        )
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
