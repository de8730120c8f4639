from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from affectline.datasets.ferplus import (
    NO_LABEL,
    FerPlusSplit,
    load_ferplus,
    official_labels,
    plurality_labels,
    vote_shares,
)
from affectline.errors import InputFileError

NEUTRAL, HAPPINESS, SURPRISE = 0, 1, 2


def votes(**counts: int) -> np.ndarray:
    names = ["neutral", "happiness", "surprise", "sadness", "anger", "disgust", "fear", "contempt", "unknown", "none"]
    row = np.zeros((1, 10), np.uint8)
    for name, count in counts.items():
        row[0, names.index(name)] = count
    return row


@pytest.mark.parametrize(
    ("row", "official", "plurality"),
    [
        (votes(neutral=10), NEUTRAL, NEUTRAL),
        # 4 of 9 remaining votes are the most, and no majority.
        (votes(neutral=4, happiness=3, surprise=2, anger=1), NO_LABEL, NEUTRAL),
        # Without the single votes 4 of 7 are one.
        (votes(happiness=4, neutral=3, fear=1, anger=1, disgust=1), HAPPINESS, HAPPINESS),
        (votes(happiness=5, neutral=5), NO_LABEL, NEUTRAL),
        (votes(unknown=8, neutral=2), NO_LABEL, NO_LABEL),
        (votes(none=10), NO_LABEL, NO_LABEL),
        # All votes are single: nothing is left.
        (votes(neutral=1, happiness=1, surprise=1, sadness=1, anger=1), NO_LABEL, NO_LABEL),
        # Votes for `unknown` count among those that remain.
        (votes(surprise=5, unknown=5), NO_LABEL, SURPRISE),
    ],
)
def test_labels_follow_the_reference_code(row: np.ndarray, official: int, plurality: int) -> None:
    assert official_labels(row).tolist() == [official]
    assert plurality_labels(row).tolist() == [plurality]


def test_shares_leave_single_votes_out_where_others_are_left() -> None:
    rows = np.concatenate([votes(neutral=6, happiness=3, fear=1), votes(neutral=1, anger=1), votes(none=10)])
    shares = vote_shares(rows)
    assert shares[0].tolist() == pytest.approx([2 / 3, 1 / 3, 0, 0, 0, 0, 0, 0])
    assert shares[1].tolist() == pytest.approx([0.5, 0, 0, 0, 0.5, 0, 0, 0])
    assert shares[2].tolist() == pytest.approx([1 / 8] * 8)
    assert shares.dtype == np.float32


def write(path: Path, **change: np.ndarray) -> Path:
    arrays = {}
    for split in ("train", "valid", "test"):
        arrays[f"{split}_x"] = np.zeros((2, 48, 48), np.uint8)
        arrays[f"{split}_v"] = np.repeat(votes(neutral=10), 2, axis=0)
    np.savez(path, **{**arrays, **change})
    return path


class TestFile:
    def test_gives_the_three_splits(self, tmp_path: Path) -> None:
        found = load_ferplus(write(tmp_path / "f.npz", test_x=np.ones((2, 48, 48), np.uint8)))
        assert {name: len(split) for name, split in found.items()} == {"train": 2, "valid": 2, "test": 2}
        assert isinstance(found["test"], FerPlusSplit)
        assert (found["test"].images == 1).all()

    @pytest.mark.parametrize(
        ("change", "match"),
        [
            ({"test_x": np.zeros((2, 64, 64), np.uint8)}, "test_x must hold uint8 images of 48 x 48"),
            ({"test_x": np.zeros((2, 48, 48), np.float32)}, "test_x must hold uint8 images"),
            ({"valid_v": np.ones((3, 10), int)}, "valid_v must hold 10 whole numbers for each of 2 images"),
            ({"valid_v": np.ones((2, 9), int)}, "valid_v must hold 10 whole numbers"),
            ({"train_v": np.full((2, 10), 11)}, "from 0 to 10"),
            ({"train_v": np.zeros((2, 10), int)}, "some for each image"),
            ({"train_v": np.array([None, None])}, "cannot be read as FER"),
        ],
    )
    def test_refuses_other_arrays(self, change: dict, match: str, tmp_path: Path) -> None:
        with pytest.raises(InputFileError, match=match):
            load_ferplus(write(tmp_path / "f.npz", **change))

    def test_refuses_other_files(self, tmp_path: Path) -> None:
        with pytest.raises(InputFileError, match=r"no\.npz cannot be read as FER"):
            load_ferplus(tmp_path / "no.npz")
        (tmp_path / "text.npz").write_text("no archive")
        with pytest.raises(InputFileError, match="it must be an NPZ file with the arrays train_x, train_v"):
            load_ferplus(tmp_path / "text.npz")
        np.savez(tmp_path / "part.npz", train_x=np.zeros((1, 48, 48), np.uint8))
        with pytest.raises(InputFileError, match="train_v"):
            load_ferplus(tmp_path / "part.npz")

    @pytest.mark.parametrize("kind", ["empty", "one array", "damaged"])
    def test_refuses_files_that_are_none(self, kind: str, tmp_path: Path) -> None:
        path = tmp_path / "f.npz"
        if kind == "empty":
            path.touch()
        elif kind == "one array":
            with path.open("wb") as file:
                np.save(file, np.zeros(3))
        else:
            np.savez_compressed(path, train_x=np.random.default_rng(0).integers(0, 255, 9999))
            content = bytearray(path.read_bytes())
            content[200:900] = bytes(700)
            path.write_bytes(content)
        with pytest.raises(InputFileError, match=r"f\.npz cannot be read as FER"):
            load_ferplus(path)
