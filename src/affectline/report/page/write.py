"""Writes `report.html` into the folder of a finished analysis."""

from __future__ import annotations

import importlib
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from affectline.atomic_file import complete_file
from affectline.errors import MissingExtraError, OutputError, VideoError
from affectline.inputs import expand_inputs, open_input
from affectline.labels import ActionUnit, Expression
from affectline.progress import ProgressHook, ignore_progress
from affectline.provenance import Provenance
from affectline.report.page import facts
from affectline.report.page.moments import Moment, moments_per_expression, top_moments
from affectline.report.page.payload import covered_span, has_boxes, packed_table, page_data, script_json
from affectline.report.page.pictures import image_pictures, thumbnails
from affectline.report.page.player import MEGABYTE, PREVIEW_NAME, Player, check_belongs, make_player, sequence_rate
from affectline.report.page.template import render
from affectline.report.series import Grid, Track, action_units_in, expressions_in, make_grid, split_tracks
from affectline.report.strides import with_strides_seen
from affectline.result_files import read_result
from affectline.video import FrameSource

logger = logging.getLogger(__name__)

REPORT_NAME = "report.html"

MOST_MEGABYTES = 25.0
MAX_TRACKS = 8
MAX_CELLS, CELLS_OF_ALL_TRACKS = 6000, 24_000
"""Points of each chart, and of those of all tracks together."""

_SLACK_BYTES = 500_000
"""For the page's own words, style and script, and the faces beside the names of the tracks."""


def require_extra() -> None:
    """Make sure that what the report needs is installed.

    Raises:
        MissingExtraError: plotly or jinja2 is missing.
    """
    for name in ("jinja2", "plotly"):
        try:
            importlib.import_module(name)
        except ImportError as error:
            raise MissingExtraError(
                f"the report needs {name}, which is not installed: run `pip install 'affectline[report]'`"
            ) from error


def write_report(
    result: Path,
    *,
    video: Path | None = None,
    embed_limit_mb: float = 15.0,
    on_progress: ProgressHook = ignore_progress,
) -> Path:
    """Write the report of a finished analysis as one page that needs no network, and return its path.

    A video that browsers play goes into the page as it is if it is small enough; else a preview is made. A preview
    that is still too large lies beside the page as `report_video.mp4`. Of a video of which no preview can be made, the
    page says so, and has the charts alone. The page is never over 25 MB.

    Args:
        result: the folder of one analysed input.
        video: what was analysed: a video, an image or a folder of images. None: charts alone.
        embed_limit_mb: a larger video is not put into the page, in units of 1,000,000 bytes.
        on_progress: told of the frames of a preview.

    Raises:
        MissingExtraError: plotly or jinja2 is not installed.
        InputFileError: the folder holds no result, or the video cannot be read.
        InputError: the video is shorter than the result.
        OutputError: the page cannot be written.
    """
    require_extra()
    result = Path(result)
    content = _read(result)
    source = None if video is None else check_video(Path(video), content.table, content.provenance.size_bytes)
    moments = _moments(content, source)
    data = page_data(content.drawn, content.grid, content.expressions, content.units) | _frames_data(content)
    table = packed_table(content.table)
    plotly = _plotly_script() if content.tracks else ""
    taken = sum(map(len, [script_json(data), table or "", plotly, *filter(None, moments.values())])) + _SLACK_BYTES
    room = max(0.0, MOST_MEGABYTES * MEGABYTE - taken)
    player = None
    if source is not None and source.info.kind in ("video", "sequence"):
        room *= 3 / 4  # base64 makes four bytes of three
        player = _player(source, result, int(min(embed_limit_mb * MEGABYTE, room)), on_progress)
        data["size"] = None if player is None else player.size_wh
    elif source is not None:
        data["pictures"] = _pictures(source, content.grid, int(room))
    page = render(
        provenance=content.provenance,
        data=script_json(data),
        table=table,
        plotly=plotly,
        player=player,
        lacks_video="size" in data and player is None,
        pictures=bool(data.get("pictures")),
        note=_note(content, player, data.get("pictures")),
        **_words(content, source, moments, player),
    )
    if player is None or player.name is None:
        (result / PREVIEW_NAME).unlink(missing_ok=True)  # of an earlier report
    path = result / REPORT_NAME
    with complete_file(path) as file:
        file.write(page.encode())
    return path


def _player(source: FrameSource, result: Path, limit_bytes: int, on_progress: ProgressHook) -> Player | None:
    """Return how the video is shown; None, with a line in the log, where no preview can be made of it."""
    try:
        return make_player(source, result, limit_bytes, on_progress)
    except (VideoError, OutputError) as error:
        logger.warning("the report of %s shows no video: %s", source.info.path.name, error)
        return None


def check_video(video: Path, table: pa.Table, size_bytes: int | None) -> FrameSource:
    """Open what was analysed, and make sure that it is what a result was made from.

    Args:
        video: a video, an image or a folder of images.
        table: the result.
        size_bytes: of the file that was analysed; None where that is unknown.

    Raises:
        InputFileError: it cannot be read.
        InputError: it is shorter than the result.
    """
    rate = sequence_rate(table) if video.is_dir() else None
    source = open_input(expand_inputs([video], rate)[0], rate)
    check_belongs(source, table, size_bytes)
    return source


@dataclass(frozen=True, slots=True)
class _Content:
    """A result, cut into what the page shows.

    Attributes:
        table: all rows.
        provenance: how they came about.
        grid: the cells of the charts.
        tracks: as the table has them: cards and moments say what was seen.
        drawn: the same tracks for the charts, in which the rows of a stride are no gaps.
        left_out: how many tracks with fewer rows there are.
        expressions: the classes of the expression head.
        units: the action units.
    """

    table: pa.Table
    provenance: Provenance
    grid: Grid
    tracks: list[Track]
    drawn: list[Track]
    left_out: int
    expressions: list[Expression]
    units: list[ActionUnit]


def _read(folder: Path) -> _Content:
    table, provenance = read_result(folder)
    shown = len(split_tracks(table, make_grid(table, 1), MAX_TRACKS)[0])
    grid = make_grid(table, min(MAX_CELLS, CELLS_OF_ALL_TRACKS // max(1, shown)))
    tracks, left_out = split_tracks(table, grid, MAX_TRACKS)
    tracks.sort(key=lambda track: -len(track.rows))
    drawn = tracks
    if provenance.stride_s is not None:
        drawn = split_tracks(with_strides_seen(table, provenance.stride_s), grid, MAX_TRACKS)[0]
        drawn.sort(key=lambda track: -len(track.rows))
    return _Content(table, provenance, grid, tracks, drawn, left_out, expressions_in(table), action_units_in(table))


def _moments(content: _Content, source: FrameSource | None) -> dict[tuple[int, Moment], str | None]:
    """Return the moments of each track, by its place among the tracks, with their pictures."""
    each = moments_per_expression(len(content.tracks), len(content.expressions))
    found = [
        (place, moment)
        for place, track in enumerate(content.tracks)
        for moment in top_moments(track, content.expressions, each)
    ]
    pictures = {} if source is None else thumbnails(source, [moment for _, moment in found])
    return {key: pictures.get(key[1]) for key in found}


def _frames_data(content: _Content) -> dict[str, Any]:
    """Return what the script knows beside the charts: which part was analysed, and the names of single images."""
    data: dict[str, Any] = {"fileName": f"{_file_stem(content.provenance.input)}-timeline.csv"}
    data["covers"] = covered_span(content.grid, content.provenance)
    if "source" in content.table.column_names:
        pairs = zip(content.table["frame"].to_pylist(), content.table["source"].to_pylist(), strict=True)
        data["sources"] = dict(pairs)
    return data


def _pictures(source: FrameSource, grid: Grid, room_bytes: int) -> dict[int, dict[str, Any]]:
    pictures = image_pictures(source, grid.frames.tolist(), room_bytes)
    return {frame: {"src": src, "size": size} for frame, (src, size) in pictures.items()}


def _note(content: _Content, player: Player | None, pictures: Mapping[int, Any] | None) -> str:
    """Return what the page leaves out, in words."""
    notes = [facts.reduction_note(content.grid, content.left_out)] if content.tracks else []
    if content.tracks and player is not None:
        notes.append(facts.boxes_note(content.grid))
    if pictures is not None:
        notes.append(facts.pictures_note(len(pictures), len(content.grid.frames)))
    return " ".join(filter(None, notes))


def _file_stem(name: str) -> str:
    """Return a name that every system takes for a file."""
    kept = "".join(letter if letter.isalnum() or letter in "-_." else "_" for letter in Path(name).stem)
    return kept.strip("._") or "affectline"


def _words(
    content: _Content,
    source: FrameSource | None,
    moments: dict[tuple[int, Moment], str | None],
    player: Player | None,
) -> dict[str, Any]:
    provenance, grid = content.provenance, content.grid
    size_wh = player.size_wh if player else (source.info.width, source.info.height) if source else None
    tracks = [
        facts.track_fact(
            track,
            content.expressions,
            content.units,
            {moment: picture for (owner, moment), picture in moments.items() if owner == place},
        )
        for place, track in enumerate(content.tracks)
    ]
    return {
        "facts": facts.headline(provenance, size_wh, len(tracks) + content.left_out, grid),
        "heads": facts.head_facts(provenance),
        "settings": facts.settings(provenance),
        "smoothing": facts.smoothing_limit(provenance.smoothing, grid.has_time),
        "made": facts.day(provenance),
        "tracks": tracks,
        "left_out": content.left_out,
        "has_time": grid.has_time,
        "is_binned": grid.is_binned,
        "has_boxes": has_boxes(grid),
        "labels": content.expressions,
        "units": content.units,
        "rows": len(content.table),
        "frames": len(grid.frames),
    }


def _plotly_script() -> str:
    from plotly.offline import get_plotlyjs  # noqa: PLC0415 - an extra

    return str(get_plotlyjs())
