"""Running a backbone: faces in, embedding and whatever else the network gives out."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Final

import numpy as np

from affectline.backbones.files import METADATA_KEY, find_backbone, is_quantised
from affectline.backbones.network import Network, expose_embedding, open_network
from affectline.backbones.preprocess import Preprocessor
from affectline.backbones.spec import (
    ACTION_UNIT_OUTPUT,
    EMBEDDING_OUTPUT,
    EXPRESSION_OUTPUT,
    BackboneSpec,
    Form,
    parse_description,
)
from affectline.errors import InputError, ModelFileError, ShapeError
from affectline.labels import VALENCE_AROUSAL
from affectline.records import FaceFeatures, FloatArray, UInt8Array
from affectline.runtime import DEFAULT_RUNTIME, Precision, Runtime

MAX_BATCH_PIXELS: Final = 4 * 224 * 224
"""Pixels that a network gets at once on a CPU, 4 crops of 224 px or 21 of 96 px: more are no faster, and an
EfficientNet-B0 holds on to 25 MB for each crop."""

MAX_BATCH: Final = 64
"""Crops that are prepared at once, and that a network gets at once on a GPU."""


def load_backbone(name_or_path: str | Path, runtime: Runtime = DEFAULT_RUNTIME, *, offline: bool = False) -> Backbone:
    """Return a backbone that is ready to run.

    A file that holds 8-bit weights is run with them; its runtime says so whatever was asked for.

    Args:
        name_or_path: a name in `BACKBONES` or an ONNX file in one of the two forms of docs/backbones.md.
        runtime: what runs it, and how. For int8, `NAME.int8.onnx` is taken (`BackboneFile.int8_path`).
        offline: fetch nothing.

    Raises:
        UnknownNameError: it is neither a known name nor a file.
        InputFileError: the file cannot be read.
        AssetError: a known backbone's file is not here and cannot be fetched, or is damaged.
        ModelFileError: the file is damaged, has the wrong shape or lacks its description; or int8 is wanted and there
            is no such file.
        MissingExtraError: the device needs another installation.
        InputError: the device or the processor cannot compute in the precision.
    """
    file = find_backbone(name_or_path, offline=offline)
    path, content = file.read_int8() if runtime.precision is Precision.INT8 else (file.path, file.read())
    if is_quantised(content):
        runtime = _as_int8(runtime, path)
    place, digest = str(path), hashlib.sha256(content).hexdigest()
    if file.known is None or file.known.form is Form.AFFECTLINE:
        network = open_network(content, place, runtime)
        text = network.metadata.get(METADATA_KEY)
        if text is not None:
            where = f'metadata_props["{METADATA_KEY}"] of {place}'
            return Backbone(network, parse_description(text, Form.AFFECTLINE, where), digest)
    spec = file.sidecar()
    return Backbone(open_network(expose_embedding(content, place), place, runtime), spec, digest)


def _as_int8(runtime: Runtime, path: Path) -> Runtime:
    if runtime.precision is Precision.BF16:
        raise InputError(f"{path} holds 8-bit weights and cannot be run in bf16; name the file that it was made of")
    return replace(runtime, precision=Precision.INT8)


class Backbone:
    """A network that says of a face's crop what it shows. Calls from several threads are safe.

    Attributes:
        spec: how crops are made and outputs are read.
        digest: sha256 of the file, hexadecimal.
        runtime: what runs it, and how.

    Raises:
        ModelFileError: inputs or outputs of the network do not fit the spec.
    """

    def __init__(self, network: Network, spec: BackboneSpec, digest: str) -> None:
        self.spec = spec
        self.digest = digest
        self.runtime = network.runtime
        self._network = network
        self._preprocess = Preprocessor(spec)
        self._output_names = _output_names(network, spec)
        self._batch_size = _batch_size(network, spec)
        self._lanes = network.runtime.lanes
        self._executor = ThreadPoolExecutor(self._lanes, "affectline-lane") if self._lanes > 1 else None
        probe = self.run(np.zeros((min(self._batch_size, 2), 3, spec.size, spec.size), np.float32), in_lanes=False)
        self._none = FaceFeatures(*(None if column is None else column[:0] for column in _columns(probe)))  # type: ignore[arg-type]  # the same columns

    @property
    def embedding_size(self) -> int:
        """How many numbers the embedding has."""
        return int(self._none.embedding.shape[1])

    def prepare(self, crop_rgb: UInt8Array) -> FloatArray:
        """Return the network's input for one crop: shape (3, S, S), float32.

        Args:
            crop_rgb: shape (height, width, 3), uint8, RGB, of any size; cut out as `spec.crop` says.

        Raises:
            ShapeError: the crop is no such array.
        """
        return self._preprocess(crop_rgb)

    def features(self, crops_rgb: Sequence[UInt8Array]) -> FaceFeatures:
        """Return what the network says of each crop; see `prepare` and `run`."""
        batches = (crops_rgb[start : start + MAX_BATCH] for start in range(0, len(crops_rgb), MAX_BATCH))
        return self._join([self.run(np.stack([self.prepare(crop) for crop in batch])) for batch in batches])

    def run(self, batch: FloatArray, *, in_lanes: bool = True) -> FaceFeatures:
        """Return what the network says of n prepared crops.

        Args:
            batch: shape (n, 3, S, S), float32, n >= 0.
            in_lanes: share the crops out among the lanes of the runtime; else one computes them all, and others are
                free for calls from other threads.

        Raises:
            ShapeError: the batch is no such array.
        """
        size = self.spec.size
        if batch.shape[1:] != (3, size, size) or batch.dtype != np.float32:
            raise ShapeError(
                f"a batch must be float32 of shape (n, 3, {size}, {size}), got {batch.dtype} of {batch.shape}"
            )
        executor = self._executor if in_lanes else None
        share = -(-len(batch) // self._lanes) if executor else len(batch)
        step = max(1, min(self._batch_size, share))
        parts = [batch[start : start + step] for start in range(0, len(batch), step)]
        return self._join(list((executor.map if executor else map)(self._run_part, parts)))

    def _run_part(self, part: FloatArray) -> FaceFeatures:
        outputs = self._network.run(part, self._output_names)
        if self.spec.form is Form.EMOTIEFFLIB:
            scores, embedding = outputs
            outputs = [embedding, *_split_scores(scores, self.spec, self._network.place)]
        named = dict(zip(self.spec.outputs, outputs, strict=True))
        self._check_shapes(named, len(part))
        logits = named.get(EXPRESSION_OUTPUT, np.empty((len(part), 0), np.float32))
        valence, arousal = (named[name].reshape(len(part)) if name in named else None for name in VALENCE_AROUSAL)
        return FaceFeatures(named[EMBEDDING_OUTPUT], logits, valence, arousal, named.get(ACTION_UNIT_OUTPUT))

    def _check_shapes(self, named: Mapping[str, FloatArray], n: int) -> None:
        widths = {EXPRESSION_OUTPUT: len(self.spec.labels), ACTION_UNIT_OUTPUT: len(self.spec.action_units)}
        fits = named[EMBEDDING_OUTPUT].ndim == 2  # noqa: PLR2004 - face, D
        fits = fits and all(named[name].shape == (n, width) for name, width in widths.items() if name in named)
        if fits and all(named[name].size == n for name in VALENCE_AROUSAL if name in named):
            return
        shapes = ", ".join(f"{name} {array.shape}" for name, array in named.items())
        forms = {EMBEDDING_OUTPUT: "(n, D)"} | {name: f"(n, {width})" for name, width in widths.items()}
        wanted = ", ".join(f"{name} {forms.get(name, '(n,)')}" for name in named)
        raise ModelFileError(
            f"{self._network.place}: for {n} faces it gives {shapes}; its description asks for {wanted}"
        )

    def _join(self, parts: list[FaceFeatures]) -> FaceFeatures:
        if len(parts) == 1:
            return parts[0]
        return FaceFeatures(*map(_concatenate, zip(*map(_columns, parts or [self._none]), strict=True)))  # type: ignore[arg-type]  # the same columns


def _columns(features: FaceFeatures) -> tuple[FloatArray | None, ...]:
    return features.embedding, features.logits, features.valence, features.arousal, features.au_logits


def _concatenate(columns: Sequence[FloatArray | None]) -> FloatArray | None:
    present = [column for column in columns if column is not None]
    return np.concatenate(present) if present else None


def _split_scores(scores: FloatArray, spec: BackboneSpec, place: str) -> list[FloatArray]:
    """Return logits and, where there are any, valence and arousal from the one output of the EmotiEffLib form."""
    labels = len(spec.labels)
    width = labels + 2 * spec.has_valence_arousal
    if scores.shape[1:] != (width,):
        also = " and valence_arousal" if spec.has_valence_arousal else " without valence_arousal"
        raise ModelFileError(
            f"{place} gives {scores.shape[1:]} values for each face, but its description of {labels} labels{also} "
            f"asks for ({width},); correct the description or take another file"
        )
    return [scores[:, :labels], *(scores[:, column] for column in range(labels, width))]


def _output_names(network: Network, spec: BackboneSpec) -> tuple[str, ...]:
    if spec.form is Form.EMOTIEFFLIB:
        return network.output_names
    names = spec.outputs
    missing = [name for name in names if name not in network.output_names]
    if missing:
        raise ModelFileError(
            f"{network.place} lacks the outputs {', '.join(missing)} that its description asks for; it has "
            f"{', '.join(network.output_names)}"
        )
    return names


def _batch_size(network: Network, spec: BackboneSpec) -> int:
    """Return how many faces the network should get at once."""
    expected = (3, spec.size, spec.size)
    batch, *rest = network.input_shape or (None,)
    if len(rest) != len(expected) or any(size not in (None, want) for size, want in zip(rest, expected, strict=True)):
        raise ModelFileError(
            f"{network.place} has an input of shape {network.input_shape}, but its description asks for "
            f"(n, 3, {spec.size}, {spec.size}); correct the size there or take another file"
        )
    if batch not in (None, 1):
        raise ModelFileError(
            f"{network.place} takes exactly {batch} faces at once; export it with an open batch size (or 1)"
        )
    if batch == 1:
        return 1
    return MAX_BATCH if network.runtime.device.is_gpu else max(2, MAX_BATCH_PIXELS // spec.size**2)
