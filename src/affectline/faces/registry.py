"""The detectors by name."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from affectline.errors import UnknownNameError
from affectline.faces.detector import Detector

DEFAULT_DETECTOR: Final = "blazeface"
"""Chosen by the measurements in docs/detectors.md; it runs wherever affectline's own dependencies do."""


@dataclass(frozen=True, slots=True)
class DetectorSpec:
    """How a detector comes to be.

    Attributes:
        name: what `--detector` takes.
        build: makes it; imports what it needs only when it is called. It takes the asset's path, where there is one.
        asset: the model file that it needs, a name in `affectline.assets`; None where its wheel has all.
    """

    name: str
    build: Callable[..., Detector]
    asset: str | None = None


def load_detector(name: str = DEFAULT_DETECTOR, *, offline: bool = False) -> Detector:
    """Return the detector of this name, its model file fetched where it is not in the cache yet.

    Args:
        name: a key of `DETECTORS`.
        offline: use no network.

    Raises:
        UnknownNameError: there is no such detector.
        MissingExtraError: it needs a wheel that is not installed.
        AssetError: its model file is not here and cannot be fetched.
        ModelFileError: its model file is damaged.
    """
    spec = DETECTORS.get(name)
    if spec is None:
        raise UnknownNameError(f"no detector is named {name!r}; there are {', '.join(DETECTORS)}")
    if spec.asset is None:
        return spec.build()
    from affectline.assets import fetch  # noqa: PLC0415 - see `DetectorSpec.build`

    return spec.build(fetch(spec.asset, offline=offline))


def _blazeface(task_file: Path) -> Detector:
    from affectline.faces.blazeface import BlazeFace  # noqa: PLC0415 - loads LiteRT

    return BlazeFace(task_file)


def _libfacedetection() -> Detector:
    from affectline.faces.libfacedetection import LibFaceDetection  # noqa: PLC0415 - loads its wheel

    return LibFaceDetection()


def _yunet(weights: Path) -> Detector:
    from affectline.faces.yunet import YuNet  # noqa: PLC0415 - loads OpenCV

    return YuNet(weights)


DETECTORS: Final = {
    spec.name: spec
    for spec in (
        DetectorSpec("blazeface", _blazeface, asset="face_landmarker"),
        DetectorSpec("libfacedetection", _libfacedetection),
        DetectorSpec("yunet", _yunet, asset="yunet"),
    )
}
"""Every detector, by name."""
