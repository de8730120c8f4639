"""What can be asked of an analysis. Library, command line and service read the same defaults from here."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from affectline.errors import InputError
from affectline.faces.registry import DEFAULT_DETECTOR
from affectline.postprocess.smoothing import Smoothing, SmoothingChoice
from affectline.runtime import Device, Precision, Runtime
from affectline.video import Sampling

CASCADE_SURE_FROM: Final = 0.7
"""With `mobilenet96_ferplus` and `mobilenet_ferplus`, on the validation split of FER+ (docs/less_work.md)."""


@dataclass(frozen=True, slots=True)
class AnalyzeOptions:
    """What to look for, with what, and in which frames.

    Attributes:
        backbone: a name of `affectline models list`, or a model file, or several of them. A task without
            a head is scored by the first that has outputs for it; expressions by the default, if none has. None takes
            what the heads need, else the default.
        heads: head files, at most one for each task; each replaces what stands in for its task.
        detector: `blazeface`, `libfacedetection` or `yunet`.
        max_faces: follow the N largest faces only; None follows all.
        detect_every: search every N-th sampled frame for faces and follow them by their pixels in between, as long as
            that is sure; None: a search in 0.15 s, sooner where faces move much. 1 searches every frame.
        action_units: run the landmark and blendshape networks.
        sampling: which frames become rows.
        stride_s: the networks look at one frame in so many seconds only; the rows of those between are interpolated.
            None looks at all. Needs a video, and a filter that looks ahead.
        cascade: a name or a model file as for `backbone`: a larger network that is asked about the expressions of
            faces of which the backbone is not sure.
        cascade_sure_from: the backbone is sure from this probability of its likeliest expression.
        smoothing: how far scores are smoothed; what a `SmoothingChoice` leaves open is the head's, else the default.
        sequence_fps: take a folder of images as one video with this rate.
        crops: the pictures are faces already; no face is searched.
        device: what runs the backbones: `cpu`, `openvino`, `cuda` or `tensorrt`.
        precision: what they compute with: `fp32`, or `bf16` or `int8` where the device can (docs/backbones.md).
        threads: how many cores a backbone may use; None for all.
        offline: never use the network; models must be in the cache.
        workers: processes that share the work on a video, each with its part of it and of the cores.
    """

    backbone: str | Path | tuple[str | Path, ...] | None = None
    heads: tuple[Path, ...] = ()
    detector: str = DEFAULT_DETECTOR
    max_faces: int | None = None
    detect_every: int | None = None
    action_units: bool = True
    sampling: Sampling = field(default_factory=Sampling)
    stride_s: float | None = None
    cascade: str | Path | None = None
    cascade_sure_from: float = CASCADE_SURE_FROM
    smoothing: Smoothing | SmoothingChoice = field(default_factory=SmoothingChoice)
    sequence_fps: float | None = None
    crops: bool = False
    device: str = Device.CPU.value
    precision: str = Precision.FP32.value
    threads: int | None = None
    offline: bool = False
    workers: int = 1

    @property
    def backbones(self) -> tuple[str | Path, ...]:
        """The backbones that were named, if any."""
        if self.backbone is None:
            return ()
        return self.backbone if isinstance(self.backbone, tuple) else (self.backbone,)

    @property
    def runtime(self) -> Runtime:
        """What runs the backbones, and how."""
        return Runtime.parse(self.device, self.precision, self.threads)

    def __post_init__(self) -> None:
        Runtime.parse(self.device, self.precision, self.threads)
        if self.max_faces is not None and self.max_faces < 1:
            raise InputError(f"max_faces must be at least 1, got {self.max_faces}")
        if self.workers < 1:
            raise InputError(f"workers must be at least 1, got {self.workers}")
        if self.detect_every is not None and self.detect_every < 1:
            raise InputError(f"detect_every must be at least 1, got {self.detect_every}")
        if self.stride_s is not None and not (math.isfinite(self.stride_s) and self.stride_s > 0):
            raise InputError(f"the stride must be a number of seconds above 0, got {self.stride_s}")
