"""Every container through the same checks: which frames come out, when, and what is said of damaged files."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from functools import cache
from pathlib import Path

import av
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import clips
from affectline.errors import InputError, VideoError
from affectline.records import Frame
from affectline.video import Sampling, VideoFile, open_video, probe, read_frames
from affectline.video.boxes import is_cut, is_last_picture_cut
from affectline.video.decoding import Clock, Pictures
from affectline.video.opening import opened
from affectline.video.picture import square_size
from affectline.video.seeking import FILE_START, Start, find_start
from clips import B_FRAMES, DISPLAY_MATRICES, FRAGMENTED, OPEN_GOP, Clip, Coding, cfr, number_in

Maker = Callable[[Path], Clip]

VFR_TIMES_S = (0.0, 0.04, 0.1, 0.5, 0.52, 1.0, 1.033, 1.067, 2.0, 2.5, 2.52, 2.6)

HEALTHY: dict[str, Maker] = {
    "mp4": lambda p: cfr(p / "a.mp4"),
    "mp4 with B-frames": lambda p: cfr(p / "b.mp4", coding=Coding(codec_options=B_FRAMES)),
    "mp4 with open GOP": lambda p: cfr(p / "open.mp4", coding=Coding(codec_options=OPEN_GOP)),
    "mp4, index first": lambda p: cfr(p / "fast.mp4", coding=Coding(container_options={"movflags": "faststart"})),
    "fragmented mp4": lambda p: cfr(p / "fragmented.mp4", coding=Coding(container_options=FRAGMENTED)),
    "mp4 cut by its edit list": lambda p: clips.trimmed(p / "trimmed.mp4", 3, 24),
    "mp4 cut at both ends": lambda p: clips.trimmed(p / "trimmed2.mp4", 3, 19),
    "mp4 with longer sound": lambda p: cfr(p / "long.mp4", coding=Coding(audio_s=2.0)),
    "mp4, sound first": lambda p: clips.late_start(p / "late.mp4"),
    "mp4 of variable rate": lambda p: clips.vfr(p / "vfr.mp4", VFR_TIMES_S, Coding(codec_options=B_FRAMES)),
    "mov": lambda p: cfr(p / "a.mov"),
    "mkv": lambda p: cfr(p / "a.mkv", coding=Coding(codec_options=B_FRAMES)),
    "mkv of variable rate": lambda p: clips.vfr(p / "vfr.mkv", VFR_TIMES_S),
    "webm": lambda p: cfr(p / "a.webm", coding=Coding("libvpx-vp9", codec_options={"deadline": "realtime", "g": "8"})),
    "webm with hidden frames": lambda p: cfr(p / "vp8.webm", coding=Coding("libvpx", codec_options=VP8)),
    "webm of a browser": lambda p: cfr(
        p / "live.webm", coding=Coding("libvpx", codec_options=VP8, container_options={"live": "1"})
    ),
    "avi": lambda p: cfr(p / "a.avi", coding=Coding("mpeg4", codec_options={"g": "8"})),
    "ts": lambda p: cfr(p / "a.ts", coding=Coding(codec_options=B_FRAMES)),
    "ts, sound first": lambda p: clips.late_start(p / "late.ts"),
    "flv": lambda p: cfr(p / "a.flv"),
    "bare h264": lambda p: cfr(p / "a.h264"),
}
VP8 = {"deadline": "realtime", "cpu-used": "16", "auto-alt-ref": "1", "lag-in-frames": "8", "g": "8"}
SEEKABLE = ("mp4", "mp4 with B-frames", "mp4 with open GOP", "fragmented mp4", "mp4 cut by its edit list", "mkv", "ts")


@st.composite
def samplings(draw: st.DrawFn) -> Sampling:
    fps = draw(st.none() | st.floats(0.5, 60))
    every = 1 if fps else draw(st.integers(1, 5))
    start_s = draw(st.none() | st.floats(0, 1.5))
    length_s = draw(st.none() | st.floats(0.01, 2))
    end_s = None if length_s is None else (start_s or 0.0) + length_s
    return Sampling(every, fps, start_s, end_s)


def seen(frames: list[Frame]) -> list[tuple[int, int, float]]:
    """Return index, number shown and time of each frame."""
    return [(frame.index, number_in(frame.rgb), frame.time_s or 0.0) for frame in frames]


@pytest.fixture(scope="module")
def healthy(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], tuple[Clip, VideoFile]]:
    """Make each clip once."""

    @cache
    def get(name: str) -> tuple[Clip, VideoFile]:
        clip = HEALTHY[name](tmp_path_factory.mktemp("clips"))
        return clip, open_video(clip.path)

    return get


@pytest.mark.parametrize("name", HEALTHY)
class TestEveryContainer:
    def test_gives_every_frame_with_its_number_and_time(self, name: str, healthy: Callable) -> None:
        clip, video = healthy(name)
        frames = list(video.frames())
        assert [number_in(frame.rgb) for frame in frames] == list(clip.numbers)
        assert [frame.index for frame in frames] == list(range(len(clip.numbers)))
        # Matroska and AVI round: times to a millisecond, to a frame.
        assert [frame.time_s for frame in frames] == pytest.approx(clip.times_s, abs=6e-4)
        assert not any(frame.is_corrupt for frame in frames)

    def test_is_complete(self, name: str, healthy: Callable) -> None:
        clip, video = healthy(name)
        assert not video.report.is_complete or video.report.decoded_frames == len(clip.numbers)
        assert len(list(video.frames())) == len(clip.numbers)
        report = video.report
        assert (report.problem, report.is_complete, report.corrupt_frames) == (None, True, 0)
        assert report.decoded_frames == len(clip.numbers)
        assert report.container_frames == video.info.frame_count

    def test_resumes_after_any_frame(self, name: str, healthy: Callable) -> None:
        _, video = healthy(name)
        whole = seen(list(video.frames()))
        for last in (0, len(whole) // 2, len(whole) - 2, len(whole) - 1):
            index, _, time_s = whole[last]
            assert seen(list(video.frames(resume_after=(index, time_s)))) == whole[last + 1 :]
            assert (video.report.decoded_frames, video.report.problem) == (len(whole), None)

    def test_a_window_keeps_the_true_index(self, name: str, healthy: Callable) -> None:
        _, video = healthy(name)
        whole = seen(list(video.frames()))
        for first, end in ((1, 3), (len(whole) // 2, len(whole) - 1), (len(whole) - 1, len(whole) - 1)):
            window = Sampling(start_s=whole[first][2], end_s=whole[end][2] if end > first else None)
            expected = whole[first:end] if end > first else whole[first:]
            assert seen(list(video.frames(window))) == expected
            assert video.report.is_complete

    def test_the_rows_own_their_memory(self, name: str, healthy: Callable) -> None:
        clip, video = healthy(name)
        rgb = next(iter(video.frames())).rgb
        assert rgb.flags.c_contiguous
        assert rgb.flags.owndata
        assert (rgb.shape, rgb.dtype) == ((clip.size_wh[1], clip.size_wh[0], 3), np.uint8)


@pytest.mark.parametrize("after", [3, 17, 25, 39])
def test_two_recordings_that_were_joined_can_be_gone_on_with(after: int, tmp_path: Path) -> None:
    """The second one's time stamps begin anew."""
    one, two = (cfr(tmp_path / f"{name}.ts", frames=20) for name in ("one", "two"))
    joined = tmp_path / "joined.ts"
    joined.write_bytes(one.path.read_bytes() + two.path.read_bytes())
    whole = [(frame.index, number_in(frame.rgb)) for frame in read_frames(joined)]
    assert len(whole) == 40
    times = [frame.time_s for frame in read_frames(joined)]
    assert np.diff(times) == pytest.approx(np.full(39, 1 / float(clips.RATE)), abs=2e-6)  # time goes on
    rest = [
        (frame.index, number_in(frame.rgb)) for frame in open_video(joined).frames(resume_after=(after, times[after]))
    ]
    assert rest == whole[after + 1 :]
    begun = open_video(joined).frames(Sampling(start_s=times[after]))
    assert [(frame.index, number_in(frame.rgb)) for frame in begun] == whole[after:]
    video = open_video(joined)
    parts = [video.read_segment(one, Sampling()) for one in video.segments(Sampling(), 4, 0.2).segments]
    assert [(frame.index, frame.time_s) for part in parts for frame in part] == list(enumerate(times))


@pytest.mark.parametrize("name", ["clip.mp4", "clip.ts"])
def test_a_picture_that_comes_too_late_joins_nothing(name: str, tmp_path: Path) -> None:
    """Behind damage a decoder may give one out of order; the others keep their times."""
    path = cfr(tmp_path / name, frames=60).path
    with opened(path) as (container, stream):
        pictures = Pictures(container, stream)
        clock = Clock(container, stream, pictures)
        decoded = [picture for picture, _ in pictures]
        decoded.insert(40, decoded.pop(15))
        times = [clock.time_s(picture) for picture in decoded]
    assert times[40] == pytest.approx(times[39] + 1e-6, abs=1e-7)
    step = 1 / float(clips.RATE)
    assert times[41:] == pytest.approx([times[0] + step * number for number in range(41, 60)], abs=1e-4)


def test_a_call_that_began_with_small_pictures_has_the_size_of_its_track(tmp_path: Path) -> None:
    packets = []
    for name, size_wh in (("small", (320, 180)), ("large", (1280, 720))):
        clip = cfr(tmp_path / f"{name}.webm", 5, size=size_wh, coding=Coding("libvpx"))
        with av.open(str(clip.path)) as container:
            packets += [(bytes(one), one.is_keyframe) for one in container.demux(video=0) if one.size]
    with av.open(str(tmp_path / "call.webm"), "w") as output:
        stream = output.add_stream("libvpx", rate=10)
        stream.width, stream.height, stream.pix_fmt = 1280, 720, "yuv420p"
        for number, (content, is_key) in enumerate(packets):
            packet = av.Packet(content)
            packet.pts = packet.dts = number
            packet.time_base, packet.stream, packet.is_keyframe = Fraction(1, 10), stream, is_key
            output.mux(packet)
    video = open_video(tmp_path / "call.webm")
    assert (video.info.width, video.info.height) == (1280, 720)
    assert [(frame.rgb.shape, number_in(frame.rgb)) for frame in video.frames()] == [
        ((720, 1280, 3), number % 5) for number in range(10)
    ]


@pytest.mark.parametrize("name", SEEKABLE)
def test_late_frames_are_reached_without_decoding_the_early_ones(name: str, healthy: Callable) -> None:
    clip, _ = healthy(name)
    with av.open(str(clip.path)) as container:
        stream = container.streams.video[0]
        target = (container.start_time or 0) / av.time_base / stream.time_base + clip.times_s[-1] / stream.time_base
    start = find_start(clip.path, int(target) - 1)
    assert start.pts is not None
    assert 8 <= start.packets <= 16
    assert start.index in range(8 - clip.numbers[0], 17)


@pytest.mark.parametrize("name", ["webm with hidden frames", "bare h264", "avi"])
def test_packets_that_cannot_be_counted_are_decoded_from_the_start(name: str, healthy: Callable) -> None:
    clip, _ = healthy(name)
    assert find_start(clip.path, 10**9) is FILE_START
    assert Start() == FILE_START


class TestTimes:
    def test_ntsc_rate_does_not_drift(self, tmp_path: Path) -> None:
        clip = cfr(tmp_path / "ntsc.mp4", frames=60, rate=Fraction(24000, 1001))
        frames = list(read_frames(clip.path))
        assert frames[59].time_s == pytest.approx(59 * 1001 / 24000, abs=1e-6)
        assert probe(clip.path).frame_rate == Fraction(24000, 1001)

    def test_demo_clip(self, demo_clip: Path) -> None:
        video = open_video(demo_clip)
        frames = [(frame.index, frame.time_s, frame.rgb.shape) for frame in video.frames()]
        assert len(frames) == 472
        assert all(shape == (360, 640, 3) for _, _, shape in frames)
        assert [t for _, t, _ in frames] == pytest.approx([k * 1001 / 24000 for k in range(472)], abs=1e-6)
        assert (video.report.is_complete, video.report.container_frames) == (True, 472)
        info = video.info
        assert (info.kind, info.width, info.height, info.codec, info.has_audio) == ("video", 640, 360, "h264", True)
        assert (info.frame_rate, info.rotation_deg) == (Fraction(24000, 1001), 0)
        assert info.duration_s == pytest.approx(19.69, abs=0.01)


class TestSampling:
    def test_every_third(self, tmp_path: Path) -> None:
        clip = cfr(tmp_path / "a.mp4", frames=10)
        assert [frame.index for frame in read_frames(clip.path, Sampling(every=3))] == [0, 3, 6, 9]

    def test_fps_takes_the_first_frame_at_or_after_each_grid_point(self, tmp_path: Path) -> None:
        clip = clips.vfr(tmp_path / "vfr.mkv", VFR_TIMES_S)
        # The grid of 0.25 s: 0 -> 0.0, 0.25 -> 0.5, 0.5 -> 0.5, 0.75 and 1.0 -> 1.0, 1.25 to 2.0 -> 2.0, 2.5 -> 2.5.
        taken = [frame.time_s for frame in read_frames(clip.path, Sampling(fps=4))]
        assert taken == pytest.approx([0.0, 0.5, 1.0, 2.0, 2.5])

    def test_the_video_s_own_rate_takes_every_frame(self, tmp_path: Path) -> None:
        clip = cfr(tmp_path / "a.ts", frames=30)
        assert len(list(read_frames(clip.path, Sampling(fps=30)))) == 30
        assert len(list(read_frames(clip.path, Sampling(fps=500)))) == 30
        assert [f.index for f in read_frames(clip.path, Sampling(fps=10))] == list(range(0, 30, 3))

    def test_a_window_and_a_rate_together(self, tmp_path: Path) -> None:
        clip = cfr(tmp_path / "a.mp4", frames=30)
        window = Sampling(fps=10, start_s=0.35, end_s=0.8)
        assert [frame.index for frame in read_frames(clip.path, window)] == [12, 15, 18, 21]

    def test_a_window_after_the_end_is_empty(self, tmp_path: Path) -> None:
        video = open_video(cfr(tmp_path / "a.mp4", frames=10).path)
        assert list(video.frames(Sampling(start_s=60))) == []
        assert video.report.is_complete

    @pytest.mark.parametrize(
        ("values", "message"),
        [
            ({"every": 0}, "every must be a whole number from 1 up, got 0"),
            ({"fps": 0.0}, "fps must be a number above 0, got 0.0"),
            ({"fps": float("nan")}, "fps must be a number above 0, got nan"),
            ({"fps": 5.0, "every": 2}, r"either every \(2\) or fps \(5.0\)"),
            ({"start_s": -1.0}, "start must be a number of seconds from 0 up, got -1.0"),
            ({"end_s": float("inf")}, "end must be a number of seconds from 0 up, got inf"),
            ({"start_s": 2.0, "end_s": 2.0}, r"end \(2.0 s\) must lie after start \(2.0 s\)"),
            ({"end_s": 0.0}, r"end \(0.0 s\) must lie after start \(0.0 s\)"),
        ],
    )
    def test_impossible_values_are_refused(self, values: dict, message: str) -> None:
        with pytest.raises(InputError, match=message):
            Sampling(**values)

    @settings(max_examples=25, deadline=None)
    @given(
        name=st.sampled_from(["mp4 with B-frames", "mkv of variable rate", "ts", "avi", "mp4 cut by its edit list"]),
        sampling=samplings(),
        last=st.integers(0, 30),
    )
    def test_resuming_anywhere_continues_an_unbroken_run(
        self, healthy: Callable, name: str, sampling: Sampling, last: int
    ) -> None:
        _, video = healthy(name)
        every_frame = seen(list(video.frames()))
        expected = _sampled_by_definition(every_frame, sampling)
        assert seen(list(video.frames(sampling))) == expected
        if expected:
            index, _, time_s = expected[min(last, len(expected) - 1)]
            resumed = video.frames(sampling, resume_after=(index, time_s))
            assert seen(list(resumed)) == [row for row in expected if row[0] > index]


def _sampled_by_definition(frames: list[tuple[int, int, float]], sampling: Sampling) -> list[tuple[int, int, float]]:
    """Return what the docstring of Sampling promises, point by point of the grid."""
    chosen = [row for row in frames if row[0] % sampling.every == 0]
    if sampling.fps is not None:
        points = [k / sampling.fps for k in range(int(frames[-1][2] * sampling.fps) + 2)]
        firsts = (next((row for row in frames if row[2] + 2e-6 >= point), None) for point in points)
        chosen = sorted({row for row in firsts if row is not None})
    start_s, end_s = sampling.start_s or 0.0, sampling.end_s or float("inf")
    return [row for row in chosen if start_s <= row[2] < end_s]


class TestPictures:
    @pytest.mark.parametrize("display", DISPLAY_MATRICES)
    def test_comes_out_upright(self, display: str, tmp_path: Path) -> None:
        clip = clips.rotated(tmp_path / "phone.mp4", display)
        frames = list(read_frames(clip.path))
        assert [number_in(frame.rgb) for frame in frames] == [0, 1, 2]
        assert frames[0].rgb.shape == (48, 64, 3)
        info = probe(clip.path)
        assert (info.width, info.height) == (64, 48)

    @pytest.mark.parametrize(
        ("display", "rotation_deg"),
        [("as is", 0), ("turned right", 90), ("turned round", 180), ("turned left", 270), ("mirrored", 0)],
    )
    def test_says_how_it_was_turned(self, display: str, rotation_deg: int, tmp_path: Path) -> None:
        assert probe(clips.rotated(tmp_path / "phone.mp4", display).path).rotation_deg == rotation_deg

    @pytest.mark.parametrize("aspect", [Fraction(4, 3), Fraction(1, 2)])
    def test_pixels_become_square(self, aspect: Fraction, tmp_path: Path) -> None:
        clip = cfr(tmp_path / "wide.mp4", frames=2, coding=Coding(pixel_aspect=aspect))
        frames = list(read_frames(clip.path))
        assert frames[1].rgb.shape == (48, round(64 * aspect), 3)
        assert number_in(frames[1].rgb) == 1

    @pytest.mark.parametrize(
        ("aspect", "size"),
        [
            (None, (720, 576)),
            (Fraction(0), (720, 576)),
            (Fraction(16, 11), (1047, 576)),
            (Fraction(1, 900), (720, 576)),
        ],
    )
    def test_square_size(self, aspect: Fraction | None, size: tuple[int, int]) -> None:
        assert square_size(720, 576, aspect) == size

    @pytest.mark.parametrize("matrix", [("bt709", 1, 0.2126, 0.0722), ("smpte170m", 6, 0.299, 0.114)])
    @pytest.mark.parametrize("is_full_range", [False, True])
    def test_colour_follows_matrix_and_range(
        self, matrix: tuple[str, int, float, float], is_full_range: bool, tmp_path: Path
    ) -> None:
        path = tmp_path / "colour.mp4"
        _write_one_colour(path, (200, 60, 30), matrix, is_full_range=is_full_range)
        rgb = next(read_frames(path)).rgb
        assert np.abs(rgb.astype(int) - (200, 60, 30)).max() <= 3

    @pytest.mark.parametrize(
        ("codec", "pix_fmt", "suffix", "size"),
        [
            ("libx264", "yuv444p", ".mkv", (65, 47)),
            ("ffv1", "gray", ".mkv", (64, 48)),
            ("prores_ks", "yuv422p10le", ".mov", (64, 48)),
            ("ffv1", "yuv420p10le", ".mkv", (64, 48)),
            ("png", "rgba", ".mov", (9, 9)),
            ("mjpeg", "yuvj420p", ".avi", (7680, 4320)),
        ],
    )
    def test_pixel_formats_and_sizes(
        self, codec: str, pix_fmt: str, suffix: str, size: tuple[int, int], tmp_path: Path
    ) -> None:
        clip = cfr(tmp_path / f"a{suffix}", frames=1, size=size, coding=Coding(codec, pix_fmt, codec_options={}))
        (frame,) = read_frames(clip.path)
        assert frame.rgb.shape == (size[1], size[0], 3)
        assert number_in(frame.rgb) == 0
        assert pix_fmt == "gray" or abs(int(frame.rgb[0, 0, 0]) - 225) < 4

    def test_one_pixel(self, tmp_path: Path) -> None:
        clip = cfr(tmp_path / "a.mkv", frames=2, size=(1, 1), coding=Coding("ffv1", "bgr0", codec_options={}))
        assert [frame.rgb.tolist() for frame in read_frames(clip.path)] == [[[[225, 225, 225]]]] * 2


def _write_one_colour(
    path: Path, rgb: tuple[int, int, int], matrix: tuple[str, int, float, float], *, is_full_range: bool
) -> None:
    """Write a frame whose YCbCr values were computed here, by the formulas of ITU-R BT.601 and BT.709."""
    name, code, k_r, k_b = matrix
    r, g, b = (value / 255 for value in rgb)
    y = k_r * r + (1 - k_r - k_b) * g + k_b * b
    cb, cr = (b - y) / (2 * (1 - k_b)), (r - y) / (2 * (1 - k_r))
    scale = (255, 0, 255) if is_full_range else (219, 16, 224)
    values = (scale[1] + scale[0] * y, 128 + scale[2] * cb, 128 + scale[2] * cr)
    frame = av.VideoFrame(64, 48, "yuv420p")
    for plane, value in zip(frame.planes, values, strict=True):
        plane.update(bytes([round(value)]) * plane.buffer_size)
    frame.pts, frame.time_base = 0, Fraction(1, 30)
    frame.colorspace, frame.color_range = code, 2 if is_full_range else 1
    parameters = f"colormatrix={name}:fullrange={'on' if is_full_range else 'off'}"
    with av.open(str(path), "w") as output:
        stream = output.add_stream("libx264", rate=30, options={"x264-params": parameters, "crf": "1"})
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        output.mux(stream.encode(frame))
        output.mux(stream.encode(None))


CUT = {
    "mkv": Coding(codec_options=B_FRAMES, has_noise=True),
    "ts": Coding(codec_options=B_FRAMES, has_noise=True),
    "fragmented.mp4": Coding(container_options=FRAGMENTED, codec_options={"g": "4", "bf": "0"}, has_noise=True),
    "fast.mp4": Coding(container_options={"movflags": "faststart"}, codec_options=B_FRAMES, has_noise=True),
    "avi": Coding("mpeg4", codec_options={"g": "8"}, has_noise=True),
    "live.webm": Coding("libvpx", codec_options=VP8, container_options={"live": "1"}, has_noise=True),
    "flv": Coding(has_noise=True),
}


@pytest.fixture(scope="module")
def to_cut(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Clip]:
    folder = tmp_path_factory.mktemp("whole")

    @cache
    def get(suffix: str) -> Clip:
        return cfr(folder / f"a.{suffix}", frames=40, size=(96, 96), coding=CUT[suffix])

    return get


class TestCutFiles:
    @pytest.mark.parametrize("fraction", [0.75, 0.87])
    @pytest.mark.parametrize("suffix", CUT)
    def test_whole_frames_come_out_and_the_rest_is_reported(
        self, suffix: str, fraction: float, to_cut: Callable[[str], Clip]
    ) -> None:
        whole = to_cut(suffix)
        cut = clips.truncated(whole, fraction)
        video = open_video(cut.path)
        frames = list(video.frames())
        good = [number_in(frame.rgb) for frame in frames if not frame.is_corrupt]
        assert 3 <= len(good) < 40
        assert set(good) <= set(whole.numbers)
        assert good == sorted(set(good))
        assert not video.report.is_complete
        assert re.search(rf"{re.escape(str(cut.path))}: .*(ends early|damaged|missing)", video.report.problem or "")
        assert "\n" not in (video.report.problem or "")

    def test_the_last_picture_of_a_cut_transport_stream_is_not_passed_off_as_whole(self, tmp_path: Path) -> None:
        whole = cfr(
            tmp_path / "a.ts", frames=12, size=(320, 240), coding=Coding(codec_options={"g": "4"}, has_noise=True)
        )
        data = whole.path.read_bytes()
        reference = {frame.time_s: frame.rgb for frame in read_frames(whole.path)}
        damaged = 0
        for packets in range(len(data) // 188 - 60, len(data) // 188, 4):
            cut = tmp_path / "cut.ts"
            cut.write_bytes(data[: packets * 188])
            for frame in read_frames(cut):
                is_whole = np.array_equal(frame.rgb, reference[frame.time_s])
                assert is_whole or frame.is_corrupt
                damaged += frame.is_corrupt
        assert damaged > 0

    def test_a_window_before_the_cut_is_complete(self, tmp_path: Path) -> None:
        cut = clips.truncated(cfr(tmp_path / "a.mkv", frames=40), 0.8)
        video = open_video(cut.path)
        assert len(list(video.frames(Sampling(end_s=0.2)))) == 6
        assert video.report.is_complete
        assert video.report.decoded_frames == 6

    def test_a_run_given_up_is_not_complete(self, tmp_path: Path) -> None:
        video = open_video(cfr(tmp_path / "a.mp4", frames=10).path)
        frames = video.frames()
        next(frames)
        frames.close()
        assert not video.report.is_complete

    def test_damage_in_the_middle_is_marked(self, tmp_path: Path) -> None:
        clip = cfr(
            tmp_path / "a.mp4", frames=32, size=(320, 240), coding=Coding(codec_options={"g": "8"}, has_noise=True)
        )
        data = bytearray(clip.path.read_bytes())
        middle = len(data) // 2
        data[middle : middle + 3000] = bytes(range(100)) * 30
        clip.path.write_bytes(data)
        video = open_video(clip.path)
        frames = list(video.frames())
        assert (number_in(frames[0].rgb), number_in(frames[-1].rgb)) == (0, 31)
        assert video.report.corrupt_frames >= 1
        assert re.search(r": \d+ frames? (is|are) damaged$", video.report.problem or "")
        assert not video.report.is_complete

    def test_a_trailer_of_the_camera_is_no_cut(self, tmp_path: Path) -> None:
        clip = cfr(tmp_path / "a.mp4", frames=3)
        with clip.path.open("ab") as file:
            file.write(b"\xff\xff\xff\xffSEFTcamera notes")
        assert not is_cut(clip.path, "mov,mp4")

    @pytest.mark.parametrize("suffix", ["mp4", "mkv"])
    def test_padding_is_no_cut(self, suffix: str, tmp_path: Path) -> None:
        clip = cfr(tmp_path / f"a.{suffix}", frames=3)
        with clip.path.open("ab") as file:
            file.write(bytes(100))
        video = open_video(clip.path)
        assert len(list(video.frames())) == 3
        assert video.report.problem is None

    def test_a_whole_transport_stream_ends_with_a_whole_picture(self, tmp_path: Path) -> None:
        clip = cfr(tmp_path / "a.ts", frames=5)
        assert not is_last_picture_cut(clip.path, pid=256)
        assert not is_last_picture_cut(clip.path, pid=99)


class TestBadInput:
    def refused(self, path: Path, message: str) -> None:
        with pytest.raises(VideoError, match=message) as caught:
            open_video(path)
        assert str(caught.value).startswith(f"{path}: ")
        assert "\n" not in str(caught.value)

    def test_missing(self, tmp_path: Path) -> None:
        self.refused(tmp_path / "no.mp4", "no such file; check the spelling")

    def test_folder(self, tmp_path: Path) -> None:
        self.refused(tmp_path, "this is a folder")

    def test_empty(self, tmp_path: Path) -> None:
        (tmp_path / "a.mp4").touch()
        self.refused(tmp_path / "a.mp4", "the file is empty")

    def test_no_permission(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        clip = cfr(tmp_path / "a.mp4", frames=1)

        def refuse(*_: object) -> None:
            raise PermissionError(13, "Permission denied")

        monkeypatch.setattr(Path, "open", refuse)  # root may read everything, so chmod would not do
        self.refused(clip.path, "no permission to read this file")

    @pytest.mark.parametrize("name", ["a.mp4", "a.txt"])
    def test_text(self, name: str, tmp_path: Path) -> None:
        (tmp_path / name).write_text("This is no video.\n" * 99)
        self.refused(tmp_path / name, "not a video that can be read")

    def test_playlist_is_not_followed(self, tmp_path: Path) -> None:
        clip = cfr(tmp_path / "a.ts", frames=3)
        (tmp_path / "a.m3u8").write_text(
            f"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n{clip.path.name}\n#EXT-X-ENDLIST\n"
        )
        self.refused(tmp_path / "a.m3u8", "not a video that can be read")

    def test_mp4_without_its_index(self, tmp_path: Path) -> None:
        cut = clips.without_index(cfr(tmp_path / "a.mp4"))
        self.refused(cut.path, r"cut before it was finished, and the index of this MP4 \(moov\) is gone; .*untrunc")

    def test_sound_only(self, tmp_path: Path) -> None:
        self.refused(clips.audio_only(tmp_path / "a.m4a"), "no video stream, the file holds sound only")

    def test_cover_art_is_no_video(self, tmp_path: Path) -> None:
        self.refused(clips.with_cover_art(tmp_path / "a.mp4"), "no video stream, the file holds sound only")

    @pytest.mark.parametrize(
        ("suffix", "known", "unknown"),
        [("mp4", b"avc1", b"xyz9"), ("mkv", b"V_MPEG4/ISO/AVC", b"V_MPEG4/ISO/XYZ")],
    )
    def test_unknown_codec_is_named(self, suffix: str, known: bytes, unknown: bytes, tmp_path: Path) -> None:
        clip = cfr(tmp_path / f"a.{suffix}", frames=2)
        data = clip.path.read_bytes().replace(b"avcC", b"xyzC") if suffix == "mp4" else clip.path.read_bytes()
        clip.path.write_bytes(data.replace(known, unknown))
        self.refused(clip.path, f"no decoder for the video codec '{unknown.decode()}'")

    def test_nothing_that_can_be_decoded(self, tmp_path: Path) -> None:
        clip = cfr(tmp_path / "a.mp4", frames=4, coding=Coding(container_options={"movflags": "faststart"}))
        data = clip.path.read_bytes()
        clip.path.write_bytes(data[: data.index(b"mdat") + 12])
        self.refused(clip.path, "no picture could be decoded")

    def test_spaces_letters_and_colons_in_the_path(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(tmp_path)
        (tmp_path / "Ünï çödé 视频").mkdir()
        clip = cfr(tmp_path / "a.mp4", frames=2)
        for name in ("Ünï çödé 视频/my clip.mp4", "file%20.mp4"):
            path = Path(name)
            path.write_bytes(clip.path.read_bytes())
            assert len(list(read_frames(path))) == 2


def test_libav_prints_nothing(tmp_path: Path) -> None:
    whole = cfr(tmp_path / "a.ts", frames=12)
    cut = clips.truncated(whole, 0.7)
    code = "import sys; from affectline.video import read_frames; print(len(list(read_frames(sys.argv[1]))))"
    done = subprocess.run([sys.executable, "-c", code, str(cut.path)], capture_output=True, text=True, check=True)
    assert int(done.stdout) >= 1
    assert done.stderr == ""


def test_clips_differ(tmp_path: Path) -> None:
    """The pattern proves something only if a wrong or turned picture reads otherwise."""
    picture = clips.picture(1234)
    assert number_in(picture) == 1234
    assert number_in(np.rot90(picture, 2)) == -1
    assert number_in(picture[:, ::-1]) != 1234
    clip = cfr(tmp_path / "a.mp4", frames=2)
    assert replace(clip, numbers=()) != clip
