"""Splitting a video at closed-GOP key frames: where it may be split, and that the parts are the whole."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from itertools import accumulate, pairwise
from pathlib import Path

import av
import pytest

import clips
from affectline.records import Frame
from affectline.video import Sampling, Segment, UnusableStartError, VideoFile, open_video
from affectline.video.key_frames import closed_key_frames
from clips import B_FRAMES, FRAGMENTED, OPEN_GOP, Clip, Coding, cfr

GRID_S = 0.5

Maker = Callable[[Path], Clip]


def with_gop(gop: int, codec: str = "libx264", **options: str) -> Coding:
    return Coding(codec, codec_options={"g": str(gop), **options})


VFR_S = tuple(k / 30 + (0.3 if k > 40 else 0) + (0.011 if k % 3 else 0) for k in range(90))

SPLITTABLE: dict[str, Maker] = {
    "mp4": lambda p: cfr(p / "a.mp4", 90, coding=with_gop(8, bf="0")),
    "mp4 with B-frames": lambda p: cfr(p / "b.mp4", 90, coding=with_gop(13, bf="3", b_strategy="0")),
    "fragmented mp4": lambda p: cfr(
        p / "f.mp4", 90, coding=Coding(codec_options=B_FRAMES, container_options=FRAGMENTED)
    ),
    "mp4 cut by its edit list": lambda p: clips.trimmed(p / "t.mp4", 3, 90, 90),
    "mp4 with sound": lambda p: cfr(p / "s.mp4", 90, coding=Coding(audio_s=3.0)),
    "mp4 of variable rate": lambda p: clips.vfr(p / "v.mp4", VFR_S, with_gop(9, bf="2")),
    "mkv": lambda p: cfr(p / "a.mkv", 90, coding=Coding(codec_options=B_FRAMES)),
    "ts": lambda p: cfr(p / "a.ts", 90, coding=Coding(codec_options=B_FRAMES)),
    "hevc": lambda p: cfr(
        p / "h.mp4", 90, coding=Coding("libx265", codec_options={"x265-params": "keyint=10:open-gop=0:log-level=none"})
    ),
    "vp9": lambda p: cfr(p / "a.webm", 90, coding=with_gop(8, "libvpx-vp9", deadline="realtime")),
    "mjpeg": lambda p: cfr(p / "m.mov", 90, coding=Coding("mjpeg", pix_fmt="yuvj420p", codec_options={})),
}

WHOLE: dict[str, tuple[Maker, str]] = {
    "open GOP": (lambda p: cfr(p / "o.mp4", 90, coding=Coding(codec_options=OPEN_GOP)), "no closed-GOP key frame"),
    "open GOP of hevc": (
        lambda p: cfr(
            p / "o.mp4",
            90,
            coding=Coding("libx265", codec_options={"x265-params": "keyint=10:open-gop=1:log-level=none"}),
        ),
        "no closed-GOP key frame",
    ),
    "refreshed bit by bit": (
        lambda p: cfr(p / "r.mp4", 90, coding=with_gop(10, **{"x264-params": "intra-refresh=1:scenecut=0"})),
        "no closed-GOP key frame",
    ),
    "one key frame": (lambda p: cfr(p / "one.mp4", 90, coding=with_gop(500, sc_threshold="0")), "no closed-GOP key"),
    "hidden frames": (
        lambda p: cfr(p / "v.webm", 90, coding=with_gop(8, "libvpx", deadline="realtime")),
        "packets of vp8 cannot be counted",
    ),
    "too short": (lambda p: cfr(p / "short.mp4", 14), "too short"),
}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], tuple[Clip, VideoFile]]:
    kept: dict[str, tuple[Clip, VideoFile]] = {}

    def get(name: str) -> tuple[Clip, VideoFile]:
        if name not in kept:
            maker = SPLITTABLE[name] if name in SPLITTABLE else WHOLE[name][0]
            clip = maker(tmp_path_factory.mktemp("media"))
            kept[name] = clip, open_video(clip.path)
        return kept[name]

    return get


def seen(frames: list[Frame]) -> list[tuple[int, int, float, bool]]:
    return [(frame.index, clips.number_in(frame.rgb), frame.time_s or 0.0, frame.is_corrupt) for frame in frames]


def read_apart(
    video: VideoFile, sampling: Sampling, count: int = 4, after: tuple[int, float] | None = None, *, lost: bool = False
) -> list[list[tuple[int, int, float, bool]]]:
    """Read the segments from the last to the first, and let the video have their reports."""
    plan = video.segments(sampling, count, GRID_S, after)
    assert plan.problem == ""
    found, reports = [], []
    for segment in reversed(plan.segments):
        reader = video.read_segment(segment, sampling)
        found.insert(0, seen(list(reader)))
        assert reader.report is not None
        reports.insert(0, reader.report)
    shifts = list(accumulate(a.next_index - (b.first_index or 0) for a, b in pairwise(reports)))
    assert lost or not any(shifts)
    for place, shift in enumerate(shifts, start=1):
        found[place] = [(index + shift, *rest) for index, *rest in found[place]]
        reports[place] = replace(reports[place], next_index=reports[place].next_index + shift)
    video.take_reports(reports)
    return found


@pytest.mark.parametrize("name", SPLITTABLE)
@pytest.mark.parametrize(
    "sampling",
    [Sampling(), Sampling(every=7), Sampling(fps=11), Sampling(start_s=0.7, end_s=2.2), Sampling(fps=5, start_s=1.0)],
    ids=str,
)
def test_the_parts_are_the_whole(name: str, sampling: Sampling, made: Callable) -> None:
    _, video = made(name)
    whole = seen(list(video.frames(sampling)))
    report = video.report
    parts = read_apart(video, sampling)
    assert [frame for part in parts for frame in part] == whole
    assert len(parts) > 1
    assert video.report == report


@pytest.mark.parametrize("name", ["mp4 with B-frames", "mp4 of variable rate", "ts"])
def test_parts_behind_any_frame(name: str, made: Callable) -> None:
    _, video = made(name)
    whole = seen(list(video.frames()))
    for last in (0, 13, 31, 47):
        parts = read_apart(video, Sampling(), 6, (whole[last][0], whole[last][2]))
        assert [frame for part in parts for frame in part] == whole[last + 1 :]


@pytest.mark.parametrize("name", ["mp4 with B-frames", "mp4 cut by its edit list", "ts", "hevc", "vp9"])
def test_key_frames_have_the_numbers_of_their_frames_and_nothing_refers_beyond_them(name: str, made: Callable) -> None:
    _, video = made(name)
    path = video.info.path
    keys = closed_key_frames(path)
    assert keys.problem == ""
    assert len(keys.starts) >= 5
    with av.open(str(path)) as container:
        stamps = [packet.pts for packet in container.demux(video=0) if packet.size]
        container.seek(0)
        shown = [frame.pts for frame in container.decode(video=0)]
    for key in keys.starts:
        assert shown[key.index] == stamps[key.packets] == key.pts
        assert max(stamps[: key.packets]) < key.pts <= min(stamps[key.packets :])


@pytest.mark.parametrize("name", WHOLE)
def test_what_cannot_be_split_is_one_part_and_says_why(name: str, made: Callable) -> None:
    clip, video = made(name)
    plan = video.segments(Sampling(), 4, GRID_S)
    assert WHOLE[name][1] in plan.problem
    (segment,) = plan.segments
    frames = seen(list(video.read_segment(segment, Sampling())))
    assert [number for _, number, _, _ in frames] == list(clip.numbers)


def test_parts_meet_where_the_key_frame_is_nearest_at_the_same_places_after_a_break(tmp_path: Path) -> None:
    # Key frames at 0, 1.1, 2.2 and 3.3 s.
    video = open_video(cfr(tmp_path / "a.mp4", 120, coding=with_gop(33, sc_threshold="0")).path)
    plan = video.segments(Sampling(), 4, GRID_S)
    borders = [segment.from_s for segment in plan.segments]
    assert borders == [None, 1.5, 2.5, 3.5]
    assert [(a.to_s == b.from_s) for a, b in pairwise(plan.segments)] == [True] * 3
    assert [segment.start.index for segment in plan.segments] == [0, 33, 66, 99]
    later = video.segments(Sampling(), 4, GRID_S, (50, 50 / 30))
    assert [segment.from_s for segment in later.segments] == [None, 2.5, 3.5]
    assert later.segments[0].resume_after == (50, 50 / 30)


def test_a_damaged_picture_is_counted_once(tmp_path: Path) -> None:
    clip = cfr(tmp_path / "a.mkv", 90, coding=Coding(codec_options=B_FRAMES, has_noise=True), size=(160, 120))
    data = bytearray(clip.path.read_bytes())
    for place in (0.37, 0.55, 0.56):
        start = int(len(data) * place)
        data[start : start + 150] = bytes(150)
    path = tmp_path / "damaged.mkv"
    path.write_bytes(data)
    video = open_video(path)
    whole = seen(list(video.frames()))
    report = video.report
    assert report.corrupt_frames > 0
    assert len(whole) < 90, "the numbers of those behind the lost ones are lower"
    parts = read_apart(video, Sampling(), 6, lost=True)
    assert [frame for part in parts for frame in part] == whole
    assert video.report == report


def test_a_key_frame_that_is_not_there_is_said(tmp_path: Path) -> None:
    clip = cfr(tmp_path / "a.mp4", 60)
    video = open_video(clip.path)
    segment = video.segments(Sampling(), 2, GRID_S).segments[1]
    start = segment.start.__class__(segment.start.packets + 1, segment.start.index + 1, (segment.start.pts or 0) + 1)
    with pytest.raises(UnusableStartError, match="is not there or damaged"):
        list(video.read_segment(Segment(start, segment.from_s, segment.to_s), Sampling()))


def test_a_cut_file_ends_in_its_last_part(tmp_path: Path) -> None:
    for suffix in (".mkv", ".ts"):
        clip = cfr(tmp_path / f"a{suffix}", 90, Fraction(30), coding=Coding(codec_options=B_FRAMES, has_noise=True))
        video = open_video(clips.truncated(clip, 0.8).path)
        whole = seen(list(video.frames()))
        report = video.report
        assert not report.is_complete
        parts = read_apart(video, Sampling())
        assert [frame for part in parts for frame in part] == whole
        assert video.report == report
