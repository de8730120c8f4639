from __future__ import annotations

import csv
import json
import os
import sys

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from affectline.errors import InputError, InputFileError, MissingExtraError, OutputError, ShapeError, UnknownNameError
from affectline.labels import AFFECTNET_8
from affectline.postprocess.finish import finish
from affectline.provenance import Summary
from affectline.timeline import Timeline
from raw_tables import UNSMOOTHED, blank, face, provenance, random_raw_table, raw_table


def timeline(rows, with_source=False, **changes) -> Timeline:
    return Timeline(finish(raw_table(rows, with_source), UNSMOOTHED), provenance(**changes))


def image(frame, source, **cells):
    return face(frame, **{"track": None, "time_s": None, "source": source, **cells})


VIDEO = [face(0), face(1, valence=1 / 3), blank(2), face(3, au12=0.7), blank(4, status="error"), face(5, track=12)]
VIDEO += [face(6, track=12, au04=None), face(7, track=12, status="low_quality"), blank(8), face(3, track=2)]


@pytest.fixture
def video() -> Timeline:
    return timeline(VIDEO)


class TestTable:
    def test_length_tracks_and_equality(self, video):
        assert len(video) == 9
        assert video.track_ids == (1, 12)
        assert video == timeline(VIDEO)
        assert video != timeline(VIDEO, input="other.mp4")
        assert video != timeline(VIDEO[:3])
        assert video != "video"
        assert repr(video) == "Timeline('clip ä.mp4', 9 rows, 2 tracks)"

    def test_columns_keep_their_type_where_cells_are_empty(self, video):
        assert video.column("frame").dtype == np.int64
        assert video.column("track_id").tolist() == [1, 1, 1, 1, 0, 12, 12, 12, 0]
        assert video.column("track_id").dtype == np.int32
        assert video.column("valence").dtype == np.float32
        assert np.flatnonzero(np.isnan(video.column("valence"))).tolist() == [4, 8]
        assert video.column("au12_on").dtype == np.bool_
        assert np.flatnonzero(video.column("au12_on")).tolist() == [3]
        assert video.column("expression")[[0, 4]].tolist() == ["Neutral", None]

    def test_an_unknown_column_is_named(self, video):
        with pytest.raises(UnknownNameError, match="no column 'au99'; columns: frame, time_s, track_id"):
            video.column("au99")

    def test_rows_are_brought_into_order(self, video):
        assert Timeline(video.table.take([3, 8, 0, 2, 1, 7, 4, 6, 5]), video.provenance) == video

    def test_other_columns_are_refused(self, video):
        with pytest.raises(ShapeError, match=r"missing columns \['valence'\], unknown columns \[\]"):
            Timeline(video.table.drop_columns("valence"), video.provenance)
        with pytest.raises(ShapeError, match=r"missing columns \[\], unknown columns \['mood'\]"):
            Timeline(video.table.append_column("mood", pa.nulls(9)), video.provenance)
        with pytest.raises(ShapeError, match="not in the order of a result table: frame, time_s"):
            Timeline(video.table.select(video.table.schema.names[::-1]), video.provenance)
        with pytest.raises(ShapeError, match="not in the order of a result table"):
            Timeline(video.table, provenance(expressions=AFFECTNET_8))
        wrong = video.table.set_column(0, "frame", pa.array(range(9), pa.int32()))
        with pytest.raises(ShapeError, match="column frame must be int64, got int32"):
            Timeline(wrong, video.provenance)

    def test_nan_and_double_rows_are_refused(self, video):
        number = video.table.schema.names.index("valence")
        with_nan = video.table.set_column(number, "valence", pa.array([np.nan] * 9, pa.float32()))
        with pytest.raises(ShapeError, match="column valence holds NaN; empty cells must be null"):
            Timeline(with_nan, video.provenance)
        with pytest.raises(ShapeError, match="track 12 has two rows in frame 5"):
            Timeline(pa.concat_tables([video.table, video.table.slice(5, 1)]), video.provenance)

    def test_several_faces_in_an_independent_image_are_no_double_rows(self):
        images = timeline([image(0, "a.jpg"), image(0, "a.jpg", valence=0.5)], with_source=True)
        assert images.column("valence").tolist() == [0, 0.5]
        assert images.track_ids == ()

    def test_pandas_table(self, video):
        frame = video.to_frame()
        assert frame["track_id"].dtype == pd.Int32Dtype()
        assert frame["au12_on"].dtype == pd.BooleanDtype()
        assert frame["track_id"].isna().tolist() == [i in {4, 8} for i in range(9)]
        assert frame["valence"].dtype == np.float32
        assert frame.groupby("track_id")["au12"].mean().to_dict() == pytest.approx({1: 0.2625, 12: 0}, abs=1e-6)

    def test_without_pandas_the_error_says_how_to_get_it(self, video, monkeypatch):
        monkeypatch.setitem(sys.modules, "pandas", None)
        with pytest.raises(MissingExtraError, match=r"run `pip install pandas`, or use \.table"):
            video.to_frame()


class TestMerge:
    def test_tracks_become_one(self, video):
        merged = video.merge_tracks(1, 12)
        assert merged.track_ids == (1,)
        assert merged.provenance == video.provenance
        assert merged.column("status")[4] == "interpolated"
        assert len(merged.summary.tracks) == 1

    def test_images_have_no_tracks(self):
        with pytest.raises(UnknownNameError, match=r"clip ä\.mp4 has no tracks"):
            timeline([image(0, "a.jpg")], with_source=True).merge_tracks(1, 2)


class TestCsv:
    def test_the_file_is_plain(self, video, tmp_path):
        video.to_csv(tmp_path / "timeline.csv")
        lines = (tmp_path / "timeline.csv").read_text(encoding="utf-8").splitlines()
        assert lines[0].startswith("frame,time_s,track_id,status,face_score,quality,box_x1")
        assert lines[2].startswith("1,0.04,1,observed,0.9,0.8,10,20,30,40,0.33333,0,Neutral,1,0,")
        assert lines[5] == "4,0.16,,error" + "," * 41
        assert lines[4].endswith("false,false,false,false,false,false,true,false,false,false,false,false")
        assert len(lines) == 10

    def test_round_trip(self, video, tmp_path):
        video.to_csv(tmp_path / "timeline.csv")
        assert Timeline.from_csv(tmp_path / "timeline.csv") == video
        video.to_csv(str(tmp_path / "again.csv"))
        assert (tmp_path / "again.csv").read_bytes() == (tmp_path / "timeline.csv").read_bytes()
        assert sorted(path.name for path in tmp_path.iterdir()) == [
            "again.csv",
            "again.summary.json",
            "summary.json",
            "timeline.csv",
        ]

    @settings(max_examples=40, deadline=None)
    @given(
        sources=st.lists(
            st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), min_size=1), max_size=4
        )
    )
    def test_any_file_name_comes_back(self, sources, tmp_path_factory):
        path = tmp_path_factory.mktemp("any") / "timeline.csv"
        images = timeline([image(i, source) for i, source in enumerate(sources)], with_source=True)
        images.to_csv(path)
        assert Timeline.from_csv(path) == images
        with path.open(encoding="utf-8", newline="") as file:
            assert [row["source"] for row in csv.DictReader(file)] == sources

    @settings(max_examples=20, deadline=None)
    @given(seed=st.integers(0, 2**32 - 1), n=st.integers(0, 30))
    def test_any_numbers_come_back(self, seed, n, tmp_path_factory):
        folder = tmp_path_factory.mktemp("any")
        rng = np.random.default_rng(seed)
        raw = random_raw_table(rng, rng.uniform(0, 1e5, n).cumsum().tolist(), {1: [True] * n, 3: rng.random(n) < 0.5})
        result = Timeline(finish(raw, UNSMOOTHED), provenance())
        result.write(folder, ["csv", "parquet"])
        assert Timeline.from_csv(folder / "timeline.csv") == result
        assert Timeline.from_parquet(folder / "timeline.parquet") == result

    def test_quotes_stand_only_where_they_are_needed(self, tmp_path):
        sources = ["plain name.jpg", 'a,"b".jpg', "ü.jpg"]
        images = timeline([image(i, source) for i, source in enumerate(sources)], with_source=True)
        images.to_csv(tmp_path / "timeline.csv")
        lines = (tmp_path / "timeline.csv").read_text(encoding="utf-8").splitlines()[1:]
        starts = ["plain name.jpg,0,,,observed", '"a,""b"".jpg",1,,,observed', "ü.jpg,2,,,observed"]
        assert [line.startswith(start) for line, start in zip(lines, starts, strict=True)] == [True] * 3

    def test_a_table_that_pandas_wrote_is_read(self, video, tmp_path):
        video.write(tmp_path, ["csv"])
        video.to_frame().to_csv(tmp_path / "timeline.csv", index=False)
        assert Timeline.from_csv(tmp_path / "timeline.csv") == video

    def test_a_renamed_table_finds_the_summary(self, video, tmp_path):
        video.to_csv(tmp_path / "timeline.csv")
        (tmp_path / "timeline.csv").rename(tmp_path / "first run.csv")
        assert Timeline.from_csv(tmp_path / "first run.csv") == video

    def test_without_its_summary_the_table_is_refused(self, video, tmp_path):
        video.to_csv(tmp_path / "timeline.csv")
        (tmp_path / "summary.json").unlink()
        with pytest.raises(InputFileError, match=r"timeline\.csv has no summary\.json beside it"):
            Timeline.from_csv(tmp_path / "timeline.csv")

    def test_damage_is_named(self, video, tmp_path):
        path = tmp_path / "timeline.csv"
        with pytest.raises(InputFileError, match=r"cannot read .*timeline\.csv as a result table"):
            Timeline.from_csv(path)
        video.to_csv(path)
        text = path.read_text(encoding="utf-8")
        path.write_text(text.replace("0.33333", "a third"), encoding="utf-8")
        with pytest.raises(InputFileError, match="a third"):
            Timeline.from_csv(path)
        path.write_text(text.replace("valence", "valenz", 1), encoding="utf-8")
        with pytest.raises(ShapeError, match=r"missing columns \['valence'\], unknown columns \['valenz'\]"):
            Timeline.from_csv(path)
        path.write_text(text, encoding="utf-8")
        (tmp_path / "summary.json").write_text("{", encoding="utf-8")
        with pytest.raises(InputError, match=r"summary\.json is not valid JSON"):
            Timeline.from_csv(path)
        path.write_bytes(b"\xff\xfe\x00")
        with pytest.raises(InputFileError, match="as a result table"):
            Timeline.from_csv(path)


class TestOtherFiles:
    def test_write_makes_the_folder_and_all_files(self, video, tmp_path):
        folder = tmp_path / "out put" / "clip ä"
        paths = video.write(folder, ("csv", "parquet", "jsonl"))
        names = ["timeline.csv", "timeline.parquet", "timeline.jsonl", "summary.json"]
        assert paths == tuple(folder / name for name in names)
        assert sorted(path.name for path in folder.iterdir()) == sorted(names)
        assert Summary.from_json((folder / "summary.json").read_text(encoding="utf-8")) == video.summary
        assert Timeline.from_parquet(folder / "timeline.parquet") == Timeline.from_csv(folder / "timeline.csv") == video

    def test_jsonl_comes_back_equal(self, video, tmp_path):
        images = timeline([image(0, 'a "b"\\ü\n.jpg', au12=0.7), {**blank(1), "time_s": None, "source": "c"}], True)
        for number, written in enumerate((video, images)):
            written.write(tmp_path / str(number), ["jsonl"])
            assert Timeline.from_jsonl(tmp_path / str(number) / "timeline.jsonl") == written
        (tmp_path / "0" / "timeline.jsonl").write_text("rubbish")
        with pytest.raises(InputFileError, match="as a result table"):
            Timeline.from_jsonl(tmp_path / "0" / "timeline.jsonl")

    def test_parquet_metadata_have_the_keys_of_the_summary(self, video, tmp_path):
        video.to_parquet(tmp_path / "a.parquet")
        metadata = pyarrow.parquet.read_schema(tmp_path / "a.parquet").metadata
        summary = json.loads(video.summary.to_json())
        assert {key.decode(): json.loads(text) for key, text in metadata.items()} == summary

    def test_jsonl_has_an_object_for_each_row(self, tmp_path):
        images = timeline([image(0, 'a "b"\\ü\n.jpg', au12=0.7), {**blank(1), "time_s": None, "source": "c"}], True)
        images.to_jsonl(tmp_path / "a.jsonl")
        rows = [json.loads(line) for line in (tmp_path / "a.jsonl").read_text(encoding="utf-8").splitlines()]
        assert [list(row) for row in rows] == [images.table.schema.names] * 2
        assert (rows[0]["source"], rows[0]["au12"], rows[0]["au12_on"], rows[0]["track_id"]) == (
            'a "b"\\ü\n.jpg',
            0.7,
            True,
            None,
        )
        assert set(rows[1].values()) == {"c", 1, "no_face", None}

    def test_an_unknown_format_is_refused_before_anything_is_written(self, video, tmp_path):
        with pytest.raises(InputError, match="no table format 'xlsx'; known formats: csv, parquet, jsonl"):
            video.write(tmp_path / "out", ["csv", "xlsx"])
        assert not (tmp_path / "out").exists()

    @pytest.mark.parametrize("name", ["timeline.csv", "timeline.parquet"])
    def test_what_is_no_parquet_is_refused(self, video, tmp_path, name):
        video.write(tmp_path, ["csv"])
        with pytest.raises(InputFileError, match="as a result table"):
            Timeline.from_parquet(tmp_path / name)

    def test_parquet_of_another_program_lacks_what_the_numbers_rest_on(self, video, tmp_path):
        pyarrow.parquet.write_table(video.table, tmp_path / "a.parquet")
        with pytest.raises(InputError, match=r"metadata of .*a\.parquet lacks created, input"):
            Timeline.from_parquet(tmp_path / "a.parquet")


class TestPlacesThatCannotBeWritten:
    def test_a_file_stands_where_the_folder_should_be(self, video, tmp_path):
        (tmp_path / "out").write_text("mine")
        with pytest.raises(OutputError, match=r"cannot make the folder .*out"):
            video.write(tmp_path / "out")
        with pytest.raises(OutputError, match=r"cannot write .*timeline\.csv"):
            video.to_csv(tmp_path / "out" / "timeline.csv")
        assert (tmp_path / "out").read_text() == "mine"

    def test_the_folder_does_not_exist(self, video, tmp_path):
        with pytest.raises(OutputError, match=r"cannot write .*a\.parquet: No such file or directory; choose a folder"):
            video.to_parquet(tmp_path / "none" / "a.parquet")

    @pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write everywhere")
    def test_no_permission(self, video, tmp_path):
        tmp_path.chmod(0o500)
        with pytest.raises(OutputError, match="Permission denied"):
            video.to_csv(tmp_path / "timeline.csv")
        tmp_path.chmod(0o700)

    @pytest.mark.parametrize("writer", ["to_csv", "to_jsonl", "to_parquet"])
    def test_a_folder_is_in_the_way_and_no_half_file_is_left(self, video, tmp_path, writer):
        (tmp_path / "timeline").mkdir()
        with pytest.raises(OutputError, match="cannot write"):
            getattr(video, writer)(tmp_path / "timeline")
        assert [path.name for path in tmp_path.iterdir()] == ["timeline"]

    @pytest.mark.parametrize("writer", ["to_csv", "to_jsonl", "to_parquet"])
    def test_what_was_there_stays_when_the_disk_is_full(self, video, tmp_path, writer, monkeypatch):
        path = tmp_path / "timeline.csv"
        path.write_text("before")

        class FullDisk:
            closed = False

            def __init__(self, *_):
                pass

            def __enter__(self):
                return self

            def __exit__(self, *_):
                return None

            def write(self, _):
                raise OSError(28, "No space left on device")

            def close(self):
                pass

            flush = close

        monkeypatch.setattr("pathlib.Path.open", FullDisk)
        with pytest.raises(OutputError, match=r"timeline\.csv: .*No space left on device"):
            getattr(video, writer)(path)
        monkeypatch.undo()
        assert path.read_text() == "before"
