from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from affectline.errors import InputError, InputFileError, OutputError, ShapeError
from affectline.features import CropKind, FeaturePart, FeatureTable, input_width, parse_parts, stack_inputs
from affectline.features import writer as writer_module
from affectline.features.store import FeatureStore
from affectline.features.view import BLOCK_ROWS, BUFFER_ROWS, FeatureView
from affectline.features.writer import FeatureWriter, write_features
from affectline.labels import AFFECTNET_8
from affectline.records import FaceFeatures
from labelled_examples import DIGEST, OTHER_DIGEST, make_info

WIDTH = 3


def info(video: str = "clip", digest: str = DIGEST, kind: CropKind = CropKind.CROPPED, va: bool = True):
    return replace(make_info(video, 100, digest), embedding_size=WIDTH, crop_kind=kind, has_valence_arousal=va)


def features(n: int, seed: int = 0, va: bool = True) -> FaceFeatures:
    rng = np.random.default_rng(seed)
    columns = rng.normal(size=(2, n)).astype(np.float32) if va else (None, None)
    # float16 holds these exactly.
    embedding = rng.integers(-50, 50, (n, WIDTH)).astype(np.float32) / 4
    return FaceFeatures(embedding, rng.normal(size=(n, 8)).astype(np.float32), *columns)


def put(store: FeatureStore, one, n: int = 4, seed: int = 0) -> FaceFeatures:
    found = features(n, seed, one.has_valence_arousal)
    write_features(store, one, (np.arange(n), np.arange(n) / 30, found, None, None, None))
    store.refresh()
    return found


@pytest.fixture
def store(tmp_path: Path) -> FeatureStore:
    return FeatureStore(tmp_path / "store", create=True)


def assert_equal(first: FaceFeatures, second: FaceFeatures) -> None:
    for name in ("embedding", "logits", "valence", "arousal"):
        np.testing.assert_array_equal(getattr(first, name), getattr(second, name))


class TestTable:
    def test_gives_back_what_was_written(self, store: FeatureStore) -> None:
        written = put(store, info())
        table = store.open(DIGEST, CropKind.CROPPED, "clip")
        assert table.info == info()
        assert table.frame.tolist() == [0, 1, 2, 3]
        assert table.track_id.tolist() == [0, 0, 0, 0]
        assert np.isnan(table.box_xyxy).all()
        assert_equal(table.features(), written)
        assert_equal(table.features(np.array([2, 0])), FaceFeatures(*(a[[2, 0]] for a in (
            written.embedding, written.logits, written.valence, written.arousal))))  # fmt: skip

    def test_lies_where_the_contract_says(self, store: FeatureStore) -> None:
        put(store, info("two words_left"))
        assert (store.folder / "net-ab-abababab" / "cropped" / "two words_left.arrow").is_file()

    def test_rows_gather_over_chunks(self, store: FeatureStore, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(writer_module, "ROWS_PER_BATCH", 5)
        parts = [features(3, seed) for seed in range(7)]
        boxes = np.arange(12, dtype=np.float32).reshape(3, 4)
        with FeatureWriter(store, info()) as writer:
            for number, part in enumerate(parts):
                frame = np.arange(3) + 3 * number
                writer.write(frame, frame / 30, part, np.ones(3, int), boxes, np.ones(3, np.float32))
            writer.finish(40)
        table = FeatureTable.open(writer.path)
        assert table.table["frame"].num_chunks > 1
        assert table.info.frame_count == 40
        embedding = np.concatenate([part.embedding for part in parts])
        for rows in (np.array([20, 0, 7, 7]), slice(4, 11), slice(0, 0)):
            np.testing.assert_array_equal(table.features(rows).embedding, embedding[rows])
        np.testing.assert_array_equal(table.box_xyxy[3:6], boxes)

    def test_leaves_out_an_embedding_that_nobody_needs(self, store: FeatureStore) -> None:
        put(store, info())
        table = store.open(DIGEST, CropKind.CROPPED, "clip")
        assert table.features(parts=(FeaturePart.LOGITS,)).embedding.shape == (4, 0)

    @pytest.mark.parametrize("frames", [[1, 0], [0, 0]])
    def test_refuses_rows_out_of_order(self, store: FeatureStore, frames: list[int]) -> None:
        path = write_features(store, info(), (np.array(frames), np.zeros(2), features(2), None, None, None))
        with pytest.raises(InputFileError, match="not in the order of frame and track"):
            FeatureTable.open(path)

    def test_refuses_foreign_and_damaged_files(self, tmp_path: Path, store: FeatureStore) -> None:
        (tmp_path / "x.arrow").write_bytes(b"ARROW1 not really")
        with pytest.raises(InputFileError, match=r"x\.arrow"):
            FeatureTable.open(tmp_path / "x.arrow")
        for frames, times in (
            (np.arange(4) - 1, np.zeros(4)),
            (np.arange(4) * 10**6, np.zeros(4)),
            (np.arange(4), np.array([0, 1, np.nan, 3])),
            (np.arange(4), np.array([0.0, 2.0, 1.0, 3.0])),
        ):
            path = write_features(store, info(), (frames, times, features(4), None, None, None))
            with pytest.raises(InputFileError, match=r"frames count from 0|not finite, or decrease"):
                FeatureTable.open(path)
        path = write_features(store, info(), (np.arange(4), np.zeros(4), features(4), None, None, None))
        path.write_bytes(path.read_bytes()[:-40])
        with pytest.raises(InputFileError, match="extract it again"):
            FeatureTable.open(path)


class TestWriter:
    def test_leaves_nothing_without_finish(self, store: FeatureStore) -> None:
        def killed() -> None:
            with FeatureWriter(store, info()) as writer:
                writer.write(np.arange(4), np.zeros(4), features(4))
                raise RuntimeError

        with pytest.raises(RuntimeError):
            killed()
        assert list(store.folder.rglob("*.arrow*")) == []

    def test_two_writers_of_one_table_do_not_meet(self, store: FeatureStore) -> None:
        with FeatureWriter(store, info()) as first, FeatureWriter(store, info()) as second:
            for writer, value in ((first, 1.0), (second, 2.0)):
                logits = np.full((4, 8), value, np.float32)
                writer.write(np.arange(4), np.zeros(4), replace(features(4), logits=logits))
            path = first.finish(4)
            assert (FeatureTable.open(path).features().logits == 1.0).all()
            second.finish(4)
        assert (FeatureTable.open(path).features().logits == 2.0).all()
        assert [one.name for one in path.parent.iterdir()] == [path.name]

    def test_a_full_disk_is_said_to_be_one(self, store: FeatureStore, monkeypatch: pytest.MonkeyPatch) -> None:
        def refuse(*_: object, **__: object) -> None:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr("affectline.features.writer.TemporaryFile", refuse)
        with pytest.raises(OutputError, match=r"features of .* No space left on device; is the disk full"):
            FeatureWriter(store, info()).__enter__()

    @pytest.mark.parametrize(
        "change", [{"logits": np.zeros((4, 7), np.float32)}, {"embedding": np.zeros((3, WIDTH), np.float32)}]
    )
    def test_refuses_columns_of_another_shape(self, store: FeatureStore, change: dict) -> None:
        found = replace(features(4), **change)
        with pytest.raises(ShapeError, match="rows of"):
            write_features(store, info(), (np.arange(4), np.zeros(4), found, None, None, None))


class TestStore:
    def test_the_index_says_what_is_there(self, store: FeatureStore) -> None:
        put(store, info("a"))
        put(store, info("b", kind=CropKind.CROPPED_ALIGNED), n=2)
        rows = list(csv.DictReader((store.folder / "index.csv").read_text().splitlines()))
        assert [(row["video"], row["crop_kind"], row["rows"], row["frame_count"]) for row in rows] == [
            ("a", "cropped", "4", "100"),
            ("b", "cropped_aligned", "2", "100"),
        ]
        assert rows[0]["digest"] == DIGEST

    def test_a_file_copied_by_hand_counts(self, store: FeatureStore, tmp_path: Path) -> None:
        other = FeatureStore(tmp_path / "other", create=True)
        put(other, info("copied"))
        path = other.path_of(info("copied"))
        (store.folder / path.relative_to(other.folder)).parent.mkdir(parents=True)
        (store.folder / path.relative_to(other.folder)).write_bytes(path.read_bytes())
        assert FeatureStore(store.folder).videos(DIGEST, CropKind.CROPPED) == {"copied"}

    def test_a_half_written_file_of_a_killed_run_does_not(self, store: FeatureStore) -> None:
        put(store, info("a"))
        (store.path_of(info("b")).parent / ".b.arrow.part").write_bytes(b"half")
        assert [entry.video for entry in FeatureStore(store.folder).entries] == ["a"]

    def test_finds_backbones_by_name_and_digest(self, store: FeatureStore) -> None:
        put(store, info("a"))
        assert store.find_backbone(None) == ("net-ab", DIGEST)
        put(store, info("a", OTHER_DIGEST))
        assert store.find_backbone("net-cd") == ("net-cd", OTHER_DIGEST)
        assert store.find_backbone("CDCDCD")[1] == OTHER_DIGEST
        for wanted in (None, "cdcd", "unknown"):
            with pytest.raises(InputError, match=r"(?s)net-ab \(abababababab\), net-cd .*--backbone"):
                store.find_backbone(wanted)

    def test_finds_crop_kinds(self, store: FeatureStore) -> None:
        put(store, info("a"))
        assert store.find_crop_kind(DIGEST, None) is CropKind.CROPPED
        put(store, info("a", kind=CropKind.DETECTED))
        assert store.find_crop_kind(DIGEST, CropKind.DETECTED) is CropKind.DETECTED
        with pytest.raises(InputError, match="cropped, detected; name one with --crops"):
            store.find_crop_kind(DIGEST, None)
        with pytest.raises(InputError, match="cropped_aligned is not among them"):
            store.find_crop_kind(DIGEST, CropKind.CROPPED_ALIGNED)

    def test_names_what_is_missing(self, store: FeatureStore, tmp_path: Path) -> None:
        put(store, info("clip_one"))
        with pytest.raises(InputFileError, match=r"no features of the video clip_two .*alike: clip_one"):
            store.open(DIGEST, CropKind.CROPPED, "clip_two")
        with pytest.raises(InputFileError, match="affectline extract"):
            FeatureStore(tmp_path / "nowhere")


class TestParts:
    def test_stand_side_by_side_in_their_order(self) -> None:
        one = features(2)
        parts = parse_parts("logits + va+embedding")
        expected = np.column_stack([one.logits, one.valence, one.arousal, one.embedding])
        np.testing.assert_array_equal(stack_inputs(one, parts), expected)
        assert input_width(parts, WIDTH, len(AFFECTNET_8)) == 13

    @pytest.mark.parametrize("text", ["", "logit", "logits+logits", "logits,va"])
    def test_refuse_other_words(self, text: str) -> None:
        with pytest.raises(InputError, match="embedding, logits, va"):
            parse_parts(text)

    def test_refuse_valence_where_there_is_none(self) -> None:
        with pytest.raises(InputError, match="neither valence nor arousal"):
            stack_inputs(features(2, va=False), (FeaturePart.VALENCE_AROUSAL,))


class TestView:
    def sources(self, store: FeatureStore, lengths: list[int]):
        found = []
        for number, n in enumerate(lengths):
            put(store, info(f"v{number}"), 2 * n + 1, seed=number)
            found.append((store.open(DIGEST, CropKind.CROPPED, f"v{number}"), np.arange(1, 2 * n + 1, 2)))
        return found

    def test_in_order_is_the_concatenation(self, store: FeatureStore) -> None:
        sources = self.sources(store, [3, 0, 5, 1])
        view = FeatureView(sources, (FeaturePart.EMBEDDING, FeaturePart.LOGITS))
        whole = np.concatenate([stack_inputs(table.features(rows), view.parts) for table, rows in sources])
        assert (len(view), view.width) == whole.shape == (9, 11)
        np.testing.assert_array_equal(view.to_array(), whole)
        for size in (1, 2, 4, 100):
            batches = list(view.batches(size, seed=None))
            assert [len(inputs) for _, inputs in batches[:-1]] == [size] * (len(batches) - 1)
            np.testing.assert_array_equal(np.concatenate([inputs for _, inputs in batches]), whole)
            np.testing.assert_array_equal(np.concatenate([positions for positions, _ in batches]), np.arange(9))

    @given(seed=st.integers(0, 1000), size=st.integers(1, 700))
    @settings(max_examples=15, deadline=None)
    def test_shuffled_has_every_row_once(self, tmp_path_factory: pytest.TempPathFactory, seed: int, size: int) -> None:
        store = FeatureStore(tmp_path_factory.mktemp("store"), create=True)
        view = FeatureView(self.sources(store, [BLOCK_ROWS + 7, 40, 2 * BLOCK_ROWS]), (FeaturePart.LOGITS,))
        whole = view.to_array()
        first, again = list(view.batches(size, seed=seed)), list(view.batches(size, seed=seed))
        positions = np.concatenate([part for part, _ in first])
        assert sorted(positions) == list(range(len(view)))
        np.testing.assert_array_equal(np.concatenate([inputs for _, inputs in first]), whole[positions])
        np.testing.assert_array_equal(positions, np.concatenate([part for part, _ in again]))
        assert {len(part) for part, _ in first[:-1]} <= {size}

    def test_mixes_videos_and_goes_beyond_one_buffer(
        self, store: FeatureStore, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("affectline.features.view.BUFFER_ROWS", 2 * BLOCK_ROWS)
        view = FeatureView(self.sources(store, [BLOCK_ROWS] * 6), (FeaturePart.LOGITS,))
        batches = [positions for positions, _ in view.batches(64, seed=1)]
        assert sorted(np.concatenate(batches)) == list(range(6 * BLOCK_ROWS))
        assert all(len(set(positions // BLOCK_ROWS)) >= 2 for positions in batches[:3])
        assert not np.array_equal(batches[0], next(view.batches(64, seed=2))[0])
        assert BUFFER_ROWS > 2 * BLOCK_ROWS

    def test_refuses_to_be_of_nothing(self, store: FeatureStore) -> None:
        (table, rows), *_ = self.sources(store, [2])
        with pytest.raises(ShapeError, match="one backbone"):
            FeatureView([], (FeaturePart.LOGITS,))
        assert len(FeatureView([(table, rows)], (FeaturePart.LOGITS,))) == 2
