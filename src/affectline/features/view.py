"""Rows of many tables as one array that is read as it is needed: what training runs through."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from affectline.errors import ShapeError
from affectline.features.parts import FeaturePart, input_width, stack_inputs
from affectline.features.table import FeatureTable
from affectline.records import FloatArray

BLOCK_ROWS: Final = 256
"""Neighbouring rows that are read together: 0.6 MB of 1280-d embeddings, long enough for a disk to read fast."""

BUFFER_ROWS: Final = 32_768
"""Rows that wait to be drawn from: 128 blocks of different videos, 84 MB as float16, 168 MB as float32."""


class FeatureView:
    """The chosen rows of the tables, one table after the other, as one array (n, width) that is never held whole.

    Args:
        sources: each a table and the rows of it that count, in increasing order; tables of one backbone.
        parts: which outputs make up a row.

    Raises:
        ShapeError: there are no sources, or their tables have outputs of different widths.
    """

    def __init__(
        self, sources: Sequence[tuple[FeatureTable, NDArray[np.intp]]], parts: tuple[FeaturePart, ...]
    ) -> None:
        widths = {(table.info.embedding_size, len(table.info.labels)) for table, _ in sources}
        if len(widths) != 1:
            raise ShapeError(f"a view needs tables of one backbone, got embeddings and logits of the sizes {widths}")
        self.parts = parts
        self.width = input_width(parts, *widths.pop())
        self._sources = tuple(sources)
        lengths = [len(rows) for _, rows in sources]
        self._starts = np.cumsum([0, *lengths])

    def __len__(self) -> int:
        return int(self._starts[-1])

    def batches(self, batch_size: int, *, seed: int | None) -> Iterator[tuple[NDArray[np.intp], FloatArray]]:
        """Give every row once: positions in the whole, shape (b,), and inputs, shape (b, width), float32.

        Args:
            batch_size: b, at least 1; the last batch may be shorter.
            seed: of the order. Blocks of neighbouring rows are drawn in random order into a buffer, and batches are
                drawn from the buffer: neighbours in a video are nearly equal, so a batch needs rows of many videos,
                while a disk wants to read neighbours. The order depends on the seed and the rows alone. None: in order.
        """
        if seed is None:
            yield from self._in_order(batch_size)
            return
        rng = np.random.default_rng(seed)
        blocks = self._blocks()
        rng.shuffle(blocks)
        rest_positions, rest = np.empty(0, np.intp), np.empty((0, self.width), np.float32)
        per_fill = max(1, BUFFER_ROWS // BLOCK_ROWS)
        for first in range(0, len(blocks), per_fill):
            read = [self._read(*block) for block in blocks[first : first + per_fill]]
            positions = np.concatenate([rest_positions, *(part for part, _ in read)])
            inputs = np.concatenate([rest, *(part for _, part in read)])
            order = rng.permutation(len(positions))
            is_last = first + per_fill >= len(blocks)
            whole = len(order) if is_last else len(order) - len(order) % batch_size
            for start in range(0, whole, batch_size):
                picked = order[start : min(start + batch_size, whole)]
                yield positions[picked], inputs[picked]
            rest_positions, rest = positions[order[whole:]], inputs[order[whole:]]

    def _in_order(self, batch_size: int) -> Iterator[tuple[NDArray[np.intp], FloatArray]]:
        for start in range(0, len(self), batch_size):
            stop = min(start + batch_size, len(self))
            first = int(np.searchsorted(self._starts, start, side="right")) - 1
            last = int(np.searchsorted(self._starts, stop, side="left")) - 1
            parts = [
                self._read(number, max(start, self._starts[number]), min(stop, self._starts[number + 1]))[1]
                for number in range(first, last + 1)
            ]
            yield np.arange(start, stop), parts[0] if len(parts) == 1 else np.concatenate(parts)

    def to_array(self) -> FloatArray:
        """Return all rows, shape (n, width), float32: for inputs that are small."""
        array = np.empty((len(self), self.width), np.float32)
        for positions, inputs in self._in_order(BUFFER_ROWS):
            array[positions[0] : positions[-1] + 1] = inputs
        return array

    def _blocks(self) -> list[tuple[int, int, int]]:
        """Return (source, first position, position behind the last) of every block."""
        return [
            (number, start, min(start + BLOCK_ROWS, int(self._starts[number + 1])))
            for number in range(len(self._sources))
            for start in range(int(self._starts[number]), int(self._starts[number + 1]), BLOCK_ROWS)
        ]

    def _read(self, number: int, start: int, stop: int) -> tuple[NDArray[np.intp], FloatArray]:
        table, rows = self._sources[number]
        offset = self._starts[number]
        wanted = rows[start - offset : stop - offset]
        inputs = stack_inputs(table.features(wanted, self.parts), self.parts)
        return np.arange(start, stop), inputs
