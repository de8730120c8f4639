"""The backbones that affectline knows by name. Data only; each name is also the name of its asset."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from affectline.assets import ASSETS
from affectline.backbones.spec import BackboneSpec, Colour, Form, Interpolation, ResizeStep
from affectline.labels import AFFECTNET_7, AFFECTNET_8, FERPLUS_8, Expression
from affectline.records import CropPolicy

IMAGENET_MEAN: Final = (0.485, 0.456, 0.406)
IMAGENET_STD: Final = (0.229, 0.224, 0.225)
_HALF: Final = (0.5, 0.5, 0.5)

MTCNN_CROP: Final = CropPolicy(square=False, top=0.13)
"""EmotiEffNets were trained on boxes of MTCNN, stretched to a square: as wide as the reference box and 13 % higher, on
the forehead's side (docs/backbones.md)."""


def _emotieffnet(
    name: str,
    size: int,
    *,
    labels: tuple[Expression, ...] = AFFECTNET_8,
    has_valence_arousal: bool = False,
    mean: tuple[float, float, float] = IMAGENET_MEAN,
    std: tuple[float, float, float] = IMAGENET_STD,
) -> BackboneSpec:
    asset = ASSETS[name]
    return BackboneSpec(
        name=name,
        form=Form.EMOTIEFFLIB,
        labels=labels,
        has_valence_arousal=has_valence_arousal,
        size=size,
        mean=mean,
        std=std,
        colour=Colour.RGB,
        resize=(ResizeStep(Interpolation.LINEAR, size),),
        crop=MTCNN_CROP,
        temperature=1.0,
        training_data=asset.training_data,
        licence=asset.licence,
        version="EmotiEffLib f1df0e8",
        source=asset.source_page,
    )


def _ferplus(name: str, version: str, temperature: float) -> BackboneSpec:
    asset = ASSETS[name]
    return BackboneSpec(
        name=name,
        form=Form.AFFECTLINE,
        labels=FERPLUS_8,
        has_valence_arousal=False,
        size=96,
        mean=_HALF,
        std=_HALF,
        colour=Colour.GREY,
        # The photographs they learned from are 48 px wide: a sharper picture is something they have never seen.
        resize=(ResizeStep(Interpolation.AREA, 48), ResizeStep(Interpolation.LINEAR, 96)),
        # The photographs' side is 1.07 times the longer side of the reference box (docs/backbones.md).
        crop=CropPolicy(margin=0.07, square=True),
        temperature=temperature,  # fitted on the validation split (docs/models)
        training_data=asset.training_data,
        licence=asset.licence,
        version=version,
        source=asset.source_page,
    )


BACKBONES: Final[Mapping[str, BackboneSpec]] = MappingProxyType(
    {
        spec.name: spec
        for spec in (
            _ferplus("mobilenet96_ferplus", "1", 0.6512),
            _ferplus("lite0_ferplus", "bootstrap-2", 0.755),
            _emotieffnet("enet_b0_8_best_vgaf", 224),
            _emotieffnet("enet_b0_8_best_afew", 224),
            _emotieffnet("enet_b0_8_va_mtl", 224, has_valence_arousal=True),
            _emotieffnet("enet_b2_8", 260),
            _emotieffnet("enet_b2_7", 260, labels=AFFECTNET_7),
            _emotieffnet("mbf_va_mtl", 112, has_valence_arousal=True, mean=_HALF, std=_HALF),
            _emotieffnet("mobilevit_va_mtl", 224, has_valence_arousal=True),
        )
    }
)
"""Every backbone by its name. Sizes, labels and normalisation: EmotiEffLib 1.1.1, facial_analysis.py."""

DEFAULT_BACKBONE: Final = "mobilenet96_ferplus"
"""The one that is taken if nobody names another; it comes with affectline."""
