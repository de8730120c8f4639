from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from affectline.errors import OutputError, ResumeError
from affectline.part import PartWriter, part_batches, read_part, resume_part
from raw_tables import RAW, blank, face, raw_table

FULL = Path("/dev/full")
SETTINGS = {"input": "sha256:12", "backbone": "lite0 ü"}


def batch(*rows) -> pa.RecordBatch:
    table = raw_table(rows).combine_chunks()
    return table.to_batches()[0] if rows else pa.RecordBatch.from_pylist([], RAW)


BATCHES = [batch(face(0), face(0, track=2)), batch(), batch(blank(1)), batch(face(2), blank(3), face(4))]
STATES = ['{"number": 0}', "", '{"ü": [1]}', "{}"]


def write_part(path) -> None:
    with PartWriter(path, RAW, SETTINGS) as writer:
        for rows, state in zip(BATCHES, STATES, strict=True):
            writer.write(rows, state)


def rows_of(n_batches: int) -> pa.Table:
    return pa.Table.from_batches(BATCHES[:n_batches], RAW)


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> tuple[bytes, list[int]]:
    """The bytes of a part file, and its size before the first and after each batch."""
    path = tmp_path_factory.mktemp("whole") / "timeline.part.arrow"
    with PartWriter(path, RAW, SETTINGS) as writer:
        sizes = [path.stat().st_size]
        for rows, state in zip(BATCHES, STATES, strict=True):
            writer.write(rows, state)
            sizes.append(path.stat().st_size)
    return path.read_bytes(), sizes


def test_what_was_written_is_read(tmp_path):
    write_part(tmp_path / "part")
    contents = read_part(tmp_path / "part")
    assert contents.rows.equals(rows_of(4))
    assert contents.rows.schema.metadata is None
    assert (contents.state, contents.settings) == ("{}", SETTINGS)


def test_all_batches_are_read_again_at_the_end(tmp_path):
    with PartWriter(tmp_path / "part", RAW, SETTINGS) as writer:
        for rows in BATCHES:
            writer.write(rows, "")
    assert len(read_part(tmp_path / "part").rows) == 0
    found = list(part_batches(tmp_path / "part"))
    assert pa.Table.from_batches([rows for rows, _ in found]).equals(rows_of(4))
    (tmp_path / "part").unlink()
    with pytest.raises(OutputError, match="was it removed or changed meanwhile"):
        list(part_batches(tmp_path / "part"))


def test_a_part_that_is_damaged_behind_its_beginning_is_not_taken_for_a_shorter_one(tmp_path, whole):
    content, sizes = whole
    (tmp_path / "part").write_bytes(content[: sizes[3] + 40])
    found = part_batches(tmp_path / "part")
    with pytest.raises(OutputError, match="was it removed or changed meanwhile"):
        list(found)


def test_a_part_without_batches_has_no_rows_and_no_state(tmp_path):
    PartWriter(tmp_path / "part", RAW, SETTINGS).close()
    contents = read_part(tmp_path / "part")
    assert contents.rows.equals(RAW.empty_table())
    assert contents.state == ""


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_every_prefix_gives_its_whole_batches(data, whole, tmp_path_factory):
    content, sizes = whole
    path = tmp_path_factory.mktemp("cut") / "part"
    near_ends = st.sampled_from(sizes).flatmap(lambda size: st.integers(max(size - 9, 0), min(size + 9, len(content))))
    length = data.draw(st.integers(0, len(content)) | near_ends)
    path.write_bytes(content[:length])
    contents = read_part(path)
    n_whole = sum(size <= length for size in sizes) - 1
    if n_whole < 0:
        assert contents is None
        return
    n_kept = n_whole if n_whole != 2 else 1  # behind the second batch nothing can be gone on from
    assert contents.rows.equals(rows_of(n_kept))
    assert contents.state == (STATES[n_kept - 1] if n_kept else "")
    assert contents.size_bytes == sizes[n_kept]


@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_a_resumed_part_is_the_one_that_was_never_cut(data, whole, tmp_path_factory):
    content, _ = whole
    path = tmp_path_factory.mktemp("resumed") / "part"
    path.write_bytes(content[: data.draw(st.integers(0, len(content)))])
    writer, contents = resume_part(path, RAW, SETTINGS)
    rows_done = 0 if contents is None else len(contents.rows)
    done = 0 if contents is None else next(i for i in (4, 3, 2, 1, 0) if path.stat().st_size == whole[1][i])
    assert rows_done == len(rows_of(done))
    with writer:
        for rows, state in zip(BATCHES[done:], STATES[done:], strict=True):
            writer.write(rows, state)
    assert path.read_bytes() == content


def test_an_arrow_stream_of_another_program_is_no_part(tmp_path):
    with pa.OSFile(str(tmp_path / "part"), "wb") as file, pa.ipc.new_stream(file, RAW) as stream:
        stream.write_batch(BATCHES[0])
    assert read_part(tmp_path / "part") is None


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such signal")
def test_nothing_is_lost_when_the_process_is_killed(tmp_path):
    code = (
        "import os, signal, sys\n"
        "from pathlib import Path\n"
        "sys.path.insert(0, sys.argv[2])\n"
        "from test_part import *\n"
        "writer = PartWriter(Path(sys.argv[1]), RAW, SETTINGS)\n"
        "writer.write(BATCHES[0], STATES[0])\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    here = str(Path(__file__).parent)
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path / "part"), here], check=False)
    assert done.returncode == -9
    contents = read_part(tmp_path / "part")
    assert contents.rows.equals(rows_of(1))
    assert contents.state == STATES[0]


@pytest.mark.parametrize("content", [b"", b"some text that is no part at all", b"\xff" * 100, b"\x00" * 100])
def test_what_is_no_part_is_started_anew(tmp_path, content):
    path = tmp_path / "part"
    path.write_bytes(content)
    assert read_part(path) is None
    writer, contents = resume_part(path, RAW, SETTINGS)
    writer.close()
    assert contents is None
    assert read_part(path).settings == SETTINGS


def test_a_missing_part_is_none_and_is_started(tmp_path):
    assert read_part(tmp_path / "part") is None
    writer, contents = resume_part(tmp_path / "part", RAW, SETTINGS)
    writer.close()
    assert contents is None
    assert len(read_part(tmp_path / "part").rows) == 0


@pytest.mark.parametrize(
    ("changed", "text"),
    [
        ({"backbone": "enet_b0"}, r"\(backbone: lite0 ü there, enet_b0 now\)"),
        ({"input": "sha256:34"}, r"\(input: sha256:12 there, sha256:34 now\)"),
        ({"fps": "5"}, r"\(fps: none there, 5 now\)"),
    ],
)
def test_a_part_of_other_settings_is_refused_and_kept(tmp_path, changed, text):
    write_part(tmp_path / "part")
    before = (tmp_path / "part").read_bytes()
    with pytest.raises(ResumeError, match=text):
        resume_part(tmp_path / "part", RAW, {**SETTINGS, **changed})
    assert (tmp_path / "part").read_bytes() == before


def test_a_part_of_other_columns_is_refused(tmp_path):
    write_part(tmp_path / "part")
    with pytest.raises(ResumeError, match="other columns"):
        resume_part(tmp_path / "part", RAW.remove(0), SETTINGS)


def test_places_that_cannot_be_written(tmp_path):
    with pytest.raises(OutputError, match=r"cannot write .*none.part: No such file or directory; choose a folder"):
        PartWriter(tmp_path / "none" / "part", RAW, SETTINGS)


@pytest.mark.skipif(not FULL.exists(), reason="no device that is always full")
def test_a_full_disk_is_an_output_error(tmp_path):
    (tmp_path / "part").symlink_to(FULL)
    with pytest.raises(OutputError, match="No space left on device"):
        PartWriter(tmp_path / "part", RAW, SETTINGS)
