"""Heads that see a face over time: a perceptron reads each frame, a filter and a network read windows of readings."""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping
from typing import ClassVar, Final

import numpy as np
from numpy.typing import NDArray

from affectline.backbones.network import open_network
from affectline.errors import InputError, ModelFileError, ShapeError
from affectline.features.parts import FeaturePart, parse_parts
from affectline.heads.head import Context, HeadCard
from affectline.heads.mlp import head_inputs
from affectline.heads.temporal_encoder import Encoder, encoder_shapes
from affectline.heads.temporal_graph import SCORES, core_graph, head_graph
from affectline.heads.temporal_spec import TemporalSpec
from affectline.heads.time_grid import USUAL_OF, PlacedRows, distinct, links, pieces, places
from affectline.json_records import JsonValue, to_json_object
from affectline.records import FaceFeatures, FloatArray

CORE: Final = "core."
"""Before the names of the arrays of `TemporalSpec.shapes`."""

WINDOWS_AT_ONCE: Final = 16
"""Bounds memory at some 30 MB for windows of 256 steps."""

METADATA_KEY: Final = "affectline"


class TemporalHead:
    """A recurrent, convolutional or attention network over the frames of a face.

    A perceptron on the standardised outputs of the backbone reads each frame: its K outputs, standardised in their
    turn, are the encoding, followed by the backbone's outputs themselves where these are few, or by a linear layer on
    them. The encodings of a track
    go onto a grid in time with the interval of the training data (`time_grid`); what lies in gaps is masked. A learned
    filter over the perceptron's outputs, and a network whose outputs are added to it, see windows of W steps, W / 2
    apart. Where the head looks ahead, the scores of overlapping windows are averaged, with weights that fall from the
    middle of a window to its ends. A causal head's score of a step comes from the window that has the step in its
    second half (the first window: in all of it), and a frame between two steps has the score of the step before it:
    nothing later ever changes a score. A face that stays away for longer than a window is begun anew.

    Args:
        card: what it says of itself; one backbone.
        parts: which outputs of the backbone it sees, in this order.
        spec: of filter and network.
        numbers: float32: `mean` and `scale` (D,); the perceptron's layers, `encoder.0.weight` (., D),
            `encoder.0.bias`, ..., the last one of K outputs; and the arrays of `TemporalSpec.shapes` with `core.`
            before their names. An encoding has K numbers, or K + D; or K + P with `encoder.projection.weight` (P, D)
            and `encoder.projection.bias`.

    Raises:
        ModelFileError: an array is missing, has another shape or type, or a number is not finite.
    """

    kind: ClassVar[str] = "temporal"

    def __init__(
        self, card: HeadCard, parts: tuple[FeaturePart, ...], spec: TemporalSpec, numbers: Mapping[str, FloatArray]
    ) -> None:
        _check(card, spec, numbers)
        self.card = card
        self.parts = parts
        self.spec = spec
        self._numbers = dict(numbers)
        self._encoder = Encoder.of(numbers, spec, len(card.labels))
        content = core_graph(spec, self._core_numbers(), len(card.labels), card.task)
        self._network = open_network(content, f"the {spec.model} of a head")

    def with_card(self, card: HeadCard) -> TemporalHead:
        """Return the same network with another card of the same task and labels."""
        other = copy.copy(self)
        other.card = card
        return other

    @property
    def context(self) -> Context:
        """What the score of a frame rests on."""
        return Context.CAUSAL if self.spec.is_causal else Context.WINDOW

    @property
    def encoding_size(self) -> int:
        """How many numbers an encoding has."""
        return self.spec.inputs

    @property
    def memory_s(self) -> float:
        """A face that stays away for longer, in seconds, is begun anew."""
        return self.spec.window_s

    def encode(self, features: Mapping[str, FaceFeatures]) -> FloatArray:
        """Return the encodings of n faces, shape (n, d), float32; see `heads.head.ContextHead`.

        Raises:
            InputError: the features of the head's backbone are missing, of another width, or not finite.
        """
        return self._encoder.run(head_inputs(features, self.card, self.parts, self._encoder.width))

    def score(self, features: Mapping[str, FaceFeatures]) -> FloatArray:
        """Return the scores of n faces that have nothing to do with each other, shape (n, number of labels)."""
        encoded = self.encode(features)
        mask = np.ones((len(encoded), 1), np.bool_)
        return self.run(encoded[:, None], mask)[:, 0]

    def score_encoded(self, encoded: FloatArray, time_s: NDArray[np.float64]) -> FloatArray:
        """Return the scores of one face over time, shape (n, number of labels); see `heads.head.ContextHead`.

        Raises:
            ShapeError: encodings and times do not fit, or the times decrease.
        """
        self.check_rows(encoded, time_s)
        scores = np.empty((len(encoded), len(self.card.labels)), np.float32)
        for rows in pieces(time_s, self.memory_s):
            scores[rows] = self._score_piece(encoded[rows], time_s[rows])
        return scores

    def _score_piece(self, encoded: FloatArray, time_s: NDArray[np.float64]) -> FloatArray:
        place = places(time_s, float(time_s[0]), self.spec.interval_s)
        is_new = distinct(place)
        placed = PlacedRows(place[is_new], links(place[is_new]), encoded[is_new])
        grid, mask = self._score_grid(placed, int(place[-1]) + 1)
        at = place.astype(np.intp)
        if self.spec.is_causal:
            return grid[at]
        after = np.minimum(at + 1, len(grid) - 1)
        share = (np.where(mask[after], place - at, 0.0)).astype(np.float32)[:, None]
        return np.asarray(grid[at] * (1 - share) + grid[after] * share, np.float32)

    def _score_grid(self, placed: PlacedRows, n_steps: int) -> tuple[FloatArray, NDArray[np.bool_]]:
        """Return the scores of all steps, shape (n_steps, K), and which of them have a value, shape (n_steps,)."""
        length = min(self.spec.window, n_steps)
        total = np.zeros((n_steps, len(self.card.labels)), np.float32)
        weights = np.zeros(n_steps, np.float32)
        is_seen = np.zeros(n_steps, np.bool_)
        starts = self._starts(n_steps)
        for first in range(0, len(starts), WINDOWS_AT_ONCE):
            batch = starts[first : first + WINDOWS_AT_ONCE]
            grids = [placed.on_grid(start, start + length) for start in batch]
            masks = np.stack([mask for _, mask in grids])
            scores = self.run(np.stack([values for values, _ in grids]), masks)
            for start, mask, score in zip(batch, masks, scores, strict=True):
                stop = min(start + length, n_steps)
                weight = self._weights(start, length)[: stop - start]
                total[start:stop] += weight[:, None] * score[: stop - start]
                weights[start:stop] += weight
                is_seen[start:stop] |= mask[: stop - start]
        return total / weights[:, None], is_seen

    def _starts(self, n_steps: int) -> list[int]:
        """Return where windows begin; the last one ends with the last step where the head looks ahead."""
        window, hop = self.spec.window, self.spec.window // 2
        if n_steps <= window:
            return [0]
        if self.spec.is_causal:
            return list(range(0, n_steps - hop, hop))
        return [*range(0, n_steps - window, hop), n_steps - window]

    def _weights(self, start: int, length: int) -> FloatArray:
        """Return how much the steps of a window count, shape (length,), float32."""
        if self.spec.is_causal:
            return np.asarray((np.arange(length) >= self.spec.window // 2) | (start == 0), np.float32)
        number = np.arange(length)
        return np.asarray(np.minimum(number + 1, length - number), np.float32)

    def run(self, encoded: FloatArray, mask: NDArray[np.bool_]) -> FloatArray:
        """Return the network's scores, shape (B, T, K), float32, of encodings (B, T, d) and their mask (B, T)."""
        steps = np.concatenate([encoded, mask[..., None].astype(np.float32)], axis=2)
        if not len(steps):
            return np.empty((*steps.shape[:2], len(self.card.labels)), np.float32)
        return self._network.run(steps, [SCORES])[0]

    def follow(self) -> TemporalFollower:
        """Return what scores one face frame by frame, with the numbers that `score_encoded` gives.

        Raises:
            InputError: the head looks ahead.
        """
        if not self.spec.is_causal:
            raise InputError(
                f"a {self.spec.model} head that looks ahead cannot score frames while they come; train one with "
                "--causal"
            )
        return TemporalFollower(self)

    def check_rows(self, encoded: FloatArray, time_s: NDArray[np.float64]) -> None:
        """Raise ShapeError unless there is an encoding for each time, and times never decrease."""
        if encoded.shape != (len(time_s), self.spec.inputs):
            raise ShapeError(f"encodings must be of shape ({len(time_s)}, {self.spec.inputs}), got {encoded.shape}")
        if not np.isfinite(time_s).all() or (np.diff(time_s) < 0).any():
            raise ShapeError("the times of a face must be finite numbers that never decrease; put its rows in order")

    def settings(self) -> dict[str, JsonValue]:
        """Return what the file says besides the card."""
        return {"input": "+".join(part.value for part in self.parts), **self.spec.to_settings()}

    def arrays(self) -> dict[str, NDArray[np.generic]]:
        """Return the numbers of the file."""
        return dict(self._numbers)

    def _core_numbers(self) -> dict[str, FloatArray]:
        return {name.removeprefix(CORE): array for name, array in self._numbers.items() if name.startswith(CORE)}

    def to_onnx(self) -> bytes:
        """Return the head with its card and settings as the bytes of an ONNX file; see `temporal_graph.head_graph`."""
        text = json.dumps({"card": to_json_object(self.card), "settings": self.settings()})
        return head_graph(
            self.spec,
            self._encoder,
            self._core_numbers(),
            len(self.card.labels),
            self.card.task,
            {METADATA_KEY: text},
        )

    @classmethod
    def restore(
        cls, card: HeadCard, settings: Mapping[str, JsonValue], arrays: Mapping[str, NDArray[np.generic]]
    ) -> TemporalHead:
        """Return the head that `settings` and `arrays` describe.

        Raises:
            ModelFileError: something is missing or does not fit.
        """
        try:
            parts = parse_parts(str(settings.get("input")))
            spec = TemporalSpec.from_settings(settings)
        except InputError as error:
            raise ModelFileError(str(error)) from error
        return cls(card, parts, spec, arrays)  # type: ignore[arg-type]  # it checks the types


class TemporalFollower:
    """Scores one face frame by frame, keeping the rows of the present window alone.

    Args:
        head: causal.
    """

    def __init__(self, head: TemporalHead) -> None:
        self._head = head
        self._begin(0.0)
        self._last_s = -np.inf

    def _begin(self, time_s: float) -> None:
        self._start_s = time_s
        self._latest = np.empty(0, np.float64)
        self._place = np.empty(0, np.float64)
        self._is_linked = np.empty(0, np.bool_)
        self._values = np.empty((0, self._head.encoding_size), np.float32)

    def push(self, encoded: FloatArray, time_s: float) -> FloatArray:
        """Return the scores of the face's next frame, shape (number of labels,); see `heads.head`.

        Raises:
            ShapeError: the time is not finite, or before the last one.
        """
        self._head.check_rows(encoded[None], np.array([time_s]))
        if time_s < self._last_s:
            raise ShapeError(f"a face was seen at {time_s} s after {self._last_s} s; frames must come in order")
        if not len(self._place) or time_s - self._last_s > self._head.memory_s:
            self._begin(time_s)
        self._last_s = time_s
        place = places(np.array([time_s]), self._start_s, self._head.spec.interval_s)
        if not len(self._latest) or place[0] > self._latest[-1]:
            self._latest = np.concatenate([self._latest[-USUAL_OF:], place])
            self._place = np.concatenate([self._place, place])
            self._is_linked = np.concatenate([self._is_linked, links(self._latest)[-1:]])
            self._values = np.concatenate([self._values, encoded[None]])
        hop, step = self._head.spec.window // 2, int(place[0])
        start = max(0, step // hop - 1) * hop
        # The last row at or before the window is needed for the steps between it and the next one.
        kept = slice(max(0, int(np.searchsorted(self._place, start, side="right")) - 1), None)
        self._place, self._is_linked, self._values = self._place[kept], self._is_linked[kept], self._values[kept]
        values, mask = PlacedRows(self._place, self._is_linked, self._values).on_grid(start, step + 1)
        scores: FloatArray = self._head.run(values[None], mask[None])[0, -1]
        return scores


def _check(card: HeadCard, spec: TemporalSpec, numbers: Mapping[str, FloatArray]) -> None:
    if len(card.backbones) != 1:
        raise ModelFileError(f"a temporal head has one backbone, got {len(card.backbones)}; blend heads of several")
    wanted = encoder_shapes(numbers, spec, len(card.labels))
    wanted |= {CORE + name: shape for name, shape in spec.shapes(len(card.labels)).items()}
    missing, extra = (sorted(one) for one in (wanted.keys() - numbers.keys(), numbers.keys() - wanted.keys()))
    if missing or extra:
        raise ModelFileError(
            f"a {spec.model} head with {spec.layers} layers lacks the arrays {', '.join(missing) or 'none'} and has "
            f"{', '.join(extra) or 'none'} too many; train it again"
        )
    for name, shape in wanted.items():
        if numbers[name].shape != shape or numbers[name].dtype != np.float32:
            raise ModelFileError(
                f"{name} of a {spec.model} head must be float32 of shape {shape}, got {numbers[name].dtype} of "
                f"{numbers[name].shape}; train it again"
            )
    if not all(np.isfinite(array).all() for array in numbers.values()) or not (numbers["scale"] > 0).all():
        raise ModelFileError("a number of the head is not finite, or a scale is not above 0; train the head again")
