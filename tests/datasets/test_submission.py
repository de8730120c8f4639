from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from affectline.datasets.submission import (
    HEADERS,
    is_header,
    read_sample,
    sample_of,
    write_submission,
)
from affectline.datasets.submission_check import check_submission
from affectline.errors import InputError, InputFileError, OutputError, ShapeError
from affectline.labels import Task

EXPR_HEADER = "image_location,Neutral,Anger,Disgust,Fear,Happiness,Sadness,Surprise,Other"


def put(path: Path, *lines: str, end: str = "\n") -> Path:
    path.write_bytes("".join(line + end for line in lines).encode())
    return path


def test_headers_are_those_of_the_challenges() -> None:
    assert HEADERS == {
        Task.VA: "image_location,valence,arousal",
        Task.EXPR: EXPR_HEADER,
        Task.AU: "image_location,AU1,AU2,AU4,AU6,AU7,AU10,AU12,AU15,AU23,AU24,AU25,AU26",
    }
    assert is_header("image_location, Valence, Arousal", Task.VA)
    assert not is_header("valence,arousal", Task.VA)


@pytest.mark.parametrize("tail", [",", ",0", "", ",0.1,0.2"], ids=["abaw5", "abaw6", "bare", "filled"])
@pytest.mark.parametrize("end", ["\n", "\r\n"], ids=["lf", "crlf"])
def test_samples_of_all_years_are_read(tail: str, end: str, tmp_path: Path) -> None:
    rows = ["2-30-640x360/00001.jpg", "2-30-640x360/00003.jpg", "video10_left/00002.jpg", "2-30-640x360/100000.jpg"]
    path = put(tmp_path / "s.txt", HEADERS[Task.VA], *(row + tail for row in rows), "", end=end)
    sample = read_sample(path, Task.VA)
    assert sample.header == HEADERS[Task.VA]
    assert sample.paths.to_pylist() == rows
    assert sample.videos == ("2-30-640x360", "video10_left")
    assert sample.video.tolist() == [0, 0, 1, 0]
    assert sample.frame.tolist() == [0, 2, 1, 99999]


def test_a_byte_order_mark_is_no_part_of_the_header(tmp_path: Path) -> None:
    path = put(tmp_path / "s.txt", "\ufeff" + EXPR_HEADER, "v/00001.jpg,0")
    assert read_sample(path, Task.EXPR).header == EXPR_HEADER


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ([], "is empty"),
        (["", ""], "is empty"),
        ([HEADERS[Task.VA]], "has a header and no rows"),
        ([EXPR_HEADER, "v/00001.jpg,"], "line 1: expected the header 'image_location,valence,arousal'"),
        ([HEADERS[Task.VA], "v/00001.jpg,", "00002.jpg,"], "line 3: expected a picture .* got '00002.jpg,'"),
        ([HEADERS[Task.VA], "v/00001.jpg,", "", "v/00002.jpg,"], "line 3: expected a picture .* got ''"),
        ([HEADERS[Task.VA], "v/1.jpg,"], "line 2: expected a picture"),
        ([HEADERS[Task.VA], "v/00001.jpg,", "w/00001.jpg,", "v/00001.jpg,"], "line 4: v/00001.jpg stands there a sec"),
        ([HEADERS[Task.VA], "v/00001.jpg,", "v/00000.jpg,"], "line 3: pictures are numbered from 00001"),
    ],
)
def test_a_sample_that_is_none_is_refused_with_its_line(lines: list[str], message: str, tmp_path: Path) -> None:
    path = put(tmp_path / "s.txt", *lines)
    with pytest.raises(InputFileError, match=f"{re.escape(str(path))}.*{message}"):
        read_sample(path, Task.VA)


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(InputFileError, match=r"cannot read .*none\.txt: No such file"):
        read_sample(tmp_path / "none.txt", Task.VA)
    (tmp_path / "picture").write_bytes(b"\x89PNG\xff\xfe")
    with pytest.raises(InputFileError, match="is no text file"):
        read_sample(tmp_path / "picture", Task.VA)


def test_valence_and_arousal_are_clipped_plain_decimals(tmp_path: Path) -> None:
    sample = sample_of(Task.VA, {"a": 2, "b_left": 2})
    values = np.array([[0.5, -0.25], [1e-9, -1e-9], [3.0, -7.0], [1 / 3, 2e-5]])
    write_submission(tmp_path / "out.txt", Task.VA, sample, values)
    assert (tmp_path / "out.txt").read_bytes().decode() == (
        "image_location,valence,arousal\n"
        "a/00001.jpg,0.500000,-0.250000\n"
        "a/00002.jpg,0.000000,0.000000\n"
        "b_left/00001.jpg,1.000000,-1.000000\n"
        "b_left/00002.jpg,0.333333,0.000020\n"
    )


def test_expressions_are_one_number_in_the_order_of_the_sample(tmp_path: Path) -> None:
    path = put(tmp_path / "s.txt", EXPR_HEADER, "b/00002.jpg,0", "a/00001.jpg,0", "b/00001.jpg,0")
    write_submission(tmp_path / "out.txt", Task.EXPR, read_sample(path, Task.EXPR), np.array([7, 0, 3]))
    assert (tmp_path / "out.txt").read_text() == f"{EXPR_HEADER}\nb/00002.jpg,7\na/00001.jpg,0\nb/00001.jpg,3\n"


def test_action_units_are_twelve_numbers(tmp_path: Path) -> None:
    values = np.zeros((2, 12), np.bool_)
    values[0, [0, 11]] = True
    write_submission(tmp_path / "out.txt", Task.AU, sample_of(Task.AU, {"a": 2}), values)
    assert (tmp_path / "out.txt").read_text().splitlines()[1:] == [
        "a/00001.jpg,1,0,0,0,0,0,0,0,0,0,0,1",
        "a/00002.jpg,0,0,0,0,0,0,0,0,0,0,0,0",
    ]


@pytest.mark.parametrize(
    ("task", "values", "message"),
    [
        (Task.VA, np.zeros((1, 2)), "2 rows needs VA values"),
        (Task.VA, np.array([[0.0, np.nan], [0, 0]]), "must be finite"),
        (Task.EXPR, np.zeros((2, 8)), "needs EXPR values"),
        (Task.EXPR, np.array([0, 8]), "whole numbers from 0 to 7"),
        (Task.EXPR, np.array([0, -1]), "whole numbers from 0 to 7"),
        (Task.AU, np.full((2, 12), 0.5), "whole numbers from 0 to 1"),
    ],
)
def test_values_that_do_not_belong_there_are_refused(
    task: Task, values: np.ndarray, message: str, tmp_path: Path
) -> None:
    with pytest.raises(ShapeError, match=message):
        write_submission(tmp_path / "out.txt", task, sample_of(task, {"a": 2}), values)
    assert list(tmp_path.iterdir()) == []


def test_a_place_that_cannot_be_written_to(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="cannot write"):
        write_submission(tmp_path / "no" / "out.txt", Task.EXPR, sample_of(Task.EXPR, {"a": 1}), np.zeros(1, np.int64))


def test_frames_that_no_video_has_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputFileError, match=r"line 3: expected a picture .* five to seven digits"):
        read_sample(put(tmp_path / "s.txt", HEADERS[Task.VA], "a/0000001.jpg,", "a/00000001.jpg,"), Task.VA)
    with pytest.raises(InputError, match="at least one video, each with at least one frame"):
        sample_of(Task.VA, {"a": 0})


class TestCheck:
    def written(self, folder: Path, task: Task, values: np.ndarray) -> tuple[Path, Path]:
        """Return a submission of two videos with 2 and 3 frames, and its sample."""
        rows = [f"{video}/{frame:05d}.jpg" for video, count in (("a", 2), ("b", 3)) for frame in range(1, count + 1)]
        sample = put(folder / "sample.txt", HEADERS[task], *(row + "," for row in rows))
        write_submission(folder / "out.txt", task, read_sample(sample, task), values)
        return folder / "out.txt", sample

    @pytest.mark.parametrize(
        ("task", "values"),
        [
            (Task.VA, np.linspace(-1, 1, 10).reshape(5, 2)),
            (Task.EXPR, np.arange(5)),
            (Task.AU, np.eye(5, 12, dtype=np.bool_)),
        ],
        ids=lambda value: value.value if isinstance(value, Task) else "",
    )
    def test_what_we_write_is_right(self, task: Task, values: np.ndarray, tmp_path: Path) -> None:
        found = check_submission(task, *self.written(tmp_path, task, values))
        assert (found.rows, found.n_problems, found.problems) == (5, 0, ())

    def broken(self, folder: Path, task: Task, old: str, new: str) -> list[str]:
        """Return the problems of a submission in which a text was replaced."""
        values = {Task.VA: np.full((5, 2), 0.25), Task.EXPR: np.arange(5), Task.AU: np.ones((5, 12))}[task]
        path, sample = self.written(folder, task, values)
        text = path.read_text()
        assert old in text
        path.write_text(text.replace(old, new, 1))
        found = check_submission(task, path, sample)
        assert found.n_problems == len(found.problems)
        return list(found.problems)

    @pytest.mark.parametrize(
        ("task", "old", "new", "problems"),
        [
            (Task.EXPR, "Other\n", "Others\n", ["line 1: expected the header"]),
            (Task.EXPR, "a/00002.jpg,1\n", "", ["a/00002.jpg is missing (line 3 of the sample)"]),
            (Task.EXPR, "b/00003.jpg,4\n", "", ["b/00003.jpg is missing (line 6 of the sample)"]),
            (Task.EXPR, "b/00001.jpg,2\n", "b/00001.jpg,2\nc/00001.jpg,2\n", ["line 5: c/00001.jpg is no row"]),
            (
                Task.EXPR,
                "b/00001.jpg,2\n",
                "b/00001.jpg,2\na/00001.jpg,2\n",
                ["line 5: a/00001.jpg stands there"],
            ),
            (
                Task.EXPR,
                "a/00001.jpg,0\na/00002.jpg,1\n",
                "a/00002.jpg,1\na/00001.jpg,0\n",
                ["line 3: a/00001.jpg is out of order"],
            ),
            (Task.EXPR, ",2\n", ",8\n", ["line 4: expected a class from 0 to 7, got 'b/00001.jpg,8'"]),
            (Task.EXPR, ",2\n", ",-1\n", ["line 4: expected a class"]),
            (Task.EXPR, ",2\n", ",2.0\n", ["line 4: expected a class"]),
            (Task.EXPR, ",2\n", ",\n", ["line 4: expected a class"]),
            (Task.EXPR, ",2\n", "\n", ["line 4: the name must be followed by one value, not 0"]),
            (Task.EXPR, ",2\n", ",0,0,1,0,0,0,0,0\n", ["line 4: the name must be followed by one value, not 8"]),
            (Task.VA, "a/00002.jpg,0.250000", "a/00002.jpg,1.000001", ["line 3: values must lie in -1 to 1"]),
            (Task.VA, "a/00002.jpg,0.250000", "a/00002.jpg,-5", ["line 3: values must lie in -1 to 1"]),
            (Task.VA, "a/00002.jpg,0.250000", "a/00002.jpg,nan", ["line 3: expected two plain decimal numbers"]),
            (Task.VA, "a/00002.jpg,0.250000", "a/00002.jpg,1e-05", ["line 3: expected two plain decimal numbers"]),
            (Task.VA, "a/00002.jpg,0.250000", "a/00002.jpg,-.5", []),
            (
                Task.VA,
                "a/00002.jpg,0.250000",
                "a/00002.jpg,0.1,0.2",
                ["line 3: the name must be followed by two"],
            ),
            (Task.AU, "a/00002.jpg,1,", "a/00002.jpg,2,", ["line 3: expected twelve values that are 0 or 1"]),
            (Task.AU, "a/00002.jpg,1,", "a/00002.jpg,", ["line 3: the name must be followed by twelve values, not 11"]),
            (Task.AU, "a/00002.jpg,1,", "A/2.jpg,1,", ["a/00002.jpg is missing", "line 3: A/2.jpg is no row"]),
        ],
    )
    def test_every_fault_is_named_with_its_line(
        self, task: Task, old: str, new: str, problems: list[str], tmp_path: Path
    ) -> None:
        found = self.broken(tmp_path, task, old, new)
        assert [text.startswith(start) for text, start in zip(found, problems, strict=True)] == [True] * len(problems)

    def test_the_first_twenty_are_listed_and_all_are_counted(self, tmp_path: Path) -> None:
        sample = put(tmp_path / "s.txt", HEADERS[Task.VA], *(f"a/{row:05d}.jpg," for row in range(1, 101)))
        found = check_submission(Task.VA, sample, sample)
        assert found.n_problems == 100
        assert len(found.problems) == 20
        assert found.problems[0] == "line 2: the name must be followed by two values, not 1: 'a/00001.jpg,'"

    @pytest.mark.parametrize(
        ("content", "problem"),
        [
            (b"", "the file is empty; expected"),
            (b" \r\n", "the file is empty; expected"),
            (b"\xff\xfe\x00", "no text in UTF-8"),
            ("\ufeffHEADER\na/00001.jpg,3\n".encode(), "line 1: starts with a byte order mark"),
            (b"HEADER\ra/00001.jpg,3\r", "line 1: ends with CR alone"),
            (b"HEADER\na/00001.jpg,3\n\n", "line 3: a blank line at the end; remove it"),
            (b"HEADER\na/00001.jpg,3\n\n \n", "line 3: 2 blank lines at the end; remove them"),
        ],
    )
    def test_what_a_simple_reader_stumbles_over_is_wrong(self, content: bytes, problem: str, tmp_path: Path) -> None:
        header = HEADERS[Task.EXPR].encode()
        sample = put(tmp_path / "s.txt", HEADERS[Task.EXPR], "a/00001.jpg,")
        (tmp_path / "out.txt").write_bytes(content.replace(b"HEADER", header))
        (found,) = check_submission(Task.EXPR, tmp_path / "out.txt", sample).problems
        assert found.startswith(problem)

    @pytest.mark.parametrize("end", [b"\n", b"\r\n", b""])
    def test_line_ends_of_both_systems_are_right(self, end: bytes, tmp_path: Path) -> None:
        sample = put(tmp_path / "s.txt", HEADERS[Task.EXPR], "a/00001.jpg,")
        (tmp_path / "out.txt").write_bytes(HEADERS[Task.EXPR].encode() + (end or b"\n") + b"a/00001.jpg,3" + end)
        assert check_submission(Task.EXPR, tmp_path / "out.txt", sample).problems == ()

    def test_a_file_without_rows(self, tmp_path: Path) -> None:
        sample = put(tmp_path / "s.txt", HEADERS[Task.VA], "a/00001.jpg,")
        found = check_submission(Task.VA, put(tmp_path / "out.txt", HEADERS[Task.VA]), sample)
        assert (found.rows, found.problems) == (0, ("a/00001.jpg is missing (line 2 of the sample)",))

    @settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=25)
    @given(values=arrays(np.float64, (5, 2), elements=st.floats(-1e6, 1e6)))
    def test_any_finite_numbers_give_a_file_that_passes(self, values: np.ndarray, tmp_path: Path) -> None:
        path, sample = self.written(tmp_path, Task.VA, values)
        assert check_submission(Task.VA, path, sample).problems == ()
        rows = [list(map(float, line.split(",")[1:])) for line in path.read_text().splitlines()[1:]]
        assert np.array(rows) == pytest.approx(np.clip(values, -1, 1), abs=5.1e-7)
