"""The raw rows of a job that is still running, on disk, so that a killed job can go on (`--resume`).

The file is an Arrow IPC stream. Its schema metadata holds the settings of the job, and each batch carries the state
that its producer had reached behind it, if the job can go on from there.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

import pyarrow as pa

from affectline.atomic_file import cannot_write
from affectline.errors import OutputError, ResumeError

_SETTINGS_KEY = b"affectline"
_STATE_KEY = b"state"


@dataclass(frozen=True, slots=True, eq=False)
class PartContents:
    """What a job can go on from: the whole batches of a part file, up to the last one with a state.

    Attributes:
        rows: all their rows, in order.
        state: the state behind them; empty if there is none.
        settings: what the job was started with.
        size_bytes: where they end in the file.
    """

    rows: pa.Table
    state: str
    settings: Mapping[str, str]
    size_bytes: int


class PartWriter:
    """Appends raw rows to a part file. A killed process loses at most the batch that it was writing.

    Args:
        path: the part file.
        schema: of the rows, from `schema.raw_schema`.
        settings: everything that the rows depend on (input, models, sampling), as text by name; a digest will do.
        append_at: the size in bytes up to which the file that is there is kept (`resume_part`); None starts anew.

    Raises:
        OutputError: the file cannot be written; `write` raises it too.
    """

    def __init__(
        self, path: Path, schema: pa.Schema, settings: Mapping[str, str], append_at: int | None = None
    ) -> None:
        self._path = path
        self._schema = schema.with_metadata({_SETTINGS_KEY: json.dumps(dict(settings))})
        head = self._schema.serialize()
        self._head_size = head.size
        with self._reporting_errors():
            # Without a buffer, what was written survives the death of the process.
            self._file = path.open("wb" if append_at is None else "r+b", buffering=0)
        try:
            if append_at is None:
                self._append(head)
            else:
                self._truncate(append_at)
        except OutputError:
            self._file.close()
            raise

    def write(self, rows: pa.RecordBatch, state: str) -> None:
        """Append whole frames.

        Args:
            rows: in the schema of the file; may be empty.
            state: text from which the producer of the rows can go on behind them; empty where it could not.
        """
        # A stream writer starts with the schema, which the file has already. So each batch is written to memory, and
        # its bytes behind the schema go to the file; that also lets a resumed job append to the file of the first one.
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, self._schema) as stream:
            stream.write_batch(rows, custom_metadata={_STATE_KEY: state})
            end = sink.tell()
        self._append(sink.getvalue().slice(self._head_size, end - self._head_size))

    def _append(self, message: pa.Buffer) -> None:
        rest = memoryview(message)
        with self._reporting_errors():
            while rest:
                rest = rest[self._file.write(rest) :]

    def _truncate(self, size_bytes: int) -> None:
        with self._reporting_errors():
            self._file.truncate(size_bytes)
            self._file.seek(size_bytes)

    def close(self) -> None:
        """Close the file; it stays where it is."""
        with self._reporting_errors():
            self._file.close()

    def __enter__(self) -> PartWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @contextmanager
    def _reporting_errors(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise cannot_write(self._path, error) from error


def read_part(path: Path) -> PartContents | None:
    """Return what a job can go on from; None if there is no file with a whole head."""
    try:
        file = pa.OSFile(str(path), "rb")
    except OSError:
        return None
    with file:
        try:
            stream = pa.ipc.open_stream(file)
        except (pa.ArrowException, OSError):
            return None
        metadata = stream.schema.metadata or {}
        if _SETTINGS_KEY not in metadata:
            return None
        batches, kept, state, size = [], 0, "", file.tell()
        for batch, batch_state in _whole_batches(stream):
            batches.append(batch)
            if batch_state:
                kept, state, size = len(batches), batch_state, file.tell()
    settings: dict[str, str] = json.loads(metadata[_SETTINGS_KEY])
    table = pa.Table.from_batches(batches[:kept], stream.schema).replace_schema_metadata(None)
    return PartContents(table, state, settings, size)


def part_batches(path: Path) -> Iterator[tuple[pa.RecordBatch, str]]:
    """Give all whole batches of a part file that was written to its end, each with its state.

    Raises:
        OutputError: the file is gone or damaged.
    """
    with opened_again(path) as stream:
        for batch, state in _batches(stream):
            yield batch.replace_schema_metadata(None), state


@contextmanager
def opened_again(path: Path) -> Iterator[pa.RecordBatchStreamReader]:
    """Open a stream of batches that this run, or one before it, has written; raises OutputError if that is no more."""
    try:
        with pa.OSFile(str(path), "rb") as file:
            yield pa.ipc.open_stream(file)
    except (pa.ArrowException, OSError) as error:
        raise OutputError(f"cannot read {path} again: {error}; was it removed or changed meanwhile?") from error


def _whole_batches(stream: pa.RecordBatchStreamReader) -> Iterator[tuple[pa.RecordBatch, str]]:
    """Give each batch with its state, up to the end or the place where the file was cut."""
    with suppress(pa.ArrowException, OSError):
        yield from _batches(stream)


def _batches(stream: pa.RecordBatchStreamReader) -> Iterator[tuple[pa.RecordBatch, str]]:
    while True:
        try:
            batch, metadata = stream.read_next_batch_with_custom_metadata()
        except StopIteration:
            return
        yield batch, metadata[_STATE_KEY].decode()


def resume_part(path: Path, schema: pa.Schema, settings: Mapping[str, str]) -> tuple[PartWriter, PartContents | None]:
    """Return a writer that goes on behind the whole batches of a part file, and what they hold.

    Where there is nothing to go on from, the writer starts a new file and the contents are None.

    Args:
        path: the part file.
        schema: of the rows that will be written.
        settings: those of the new job.

    Raises:
        ResumeError: the part was made with other settings or has other columns.
        OutputError: the file cannot be written.
    """
    contents = read_part(path)
    if contents is None:
        return PartWriter(path, schema, settings), None
    _check_settings(path, contents, schema, settings)
    return PartWriter(path, schema, settings, append_at=contents.size_bytes), contents


def _check_settings(path: Path, contents: PartContents, schema: pa.Schema, settings: Mapping[str, str]) -> None:
    there, now = contents.settings, settings
    differing = [name for name in sorted({*there, *now}) if there.get(name) != now.get(name)]
    if differing:
        pairs = "; ".join(f"{name}: {there.get(name, 'none')} there, {now.get(name, 'none')} now" for name in differing)
        raise ResumeError(
            f"{path} cannot be continued, it was made with other settings ({pairs}); use the same settings, or leave "
            "out --resume to start anew"
        )
    if not contents.rows.schema.equals(schema):
        raise ResumeError(f"{path} cannot be continued, it has other columns; leave out --resume to start anew")
