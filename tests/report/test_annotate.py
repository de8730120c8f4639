from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from result_tables import empty_row, face_row, table_of

import clips
from affectline.errors import OutputError, VideoError
from affectline.report import mp4
from affectline.report.annotate import annotate_video, output_size
from affectline.video import read_frames
from clips import Coding

NO_FACES = table_of([empty_row(0)])
TICK = Fraction(1, 1000)


@dataclass(frozen=True)
class Packets:
    """What a file's packets say, times in seconds from the container's start."""

    video_s: list[float]
    video_end_s: float
    audio_s: list[float]
    audio_bytes: list[bytes]
    audio_codec: str | None


def packets_of(path: Path) -> Packets:
    video, ends, audio, content = [], [], [], []
    with av.open(str(path)) as container:
        start_s = (container.start_time or 0) / av.time_base
        for packet in container.demux():
            if packet.pts is None or packet.dts is None:
                continue
            time_s = float(packet.pts * packet.time_base) - start_s
            if packet.stream.type == "video":
                video.append(time_s)
                ends.append(time_s + float((packet.duration or 0) * packet.time_base))
            else:
                audio.append(time_s)
                content.append(bytes(packet))
        codec = container.streams.audio[0].codec_context.name if container.streams.audio else None
    return Packets(sorted(video), max(ends), audio, content, codec)


def evenly(count: int, fps: Fraction = Fraction(25)) -> list[Fraction]:
    return [number / fps for number in range(count)]


def assert_same_times(source: Path, result: Path) -> None:
    before, after = packets_of(source), packets_of(result)
    assert after.video_s == pytest.approx(before.video_s, abs=2e-6)
    assert after.video_end_s == pytest.approx(before.video_end_s, abs=2e-6)
    assert after.audio_s == pytest.approx(before.audio_s, abs=1e-4)
    assert after.audio_bytes == before.audio_bytes


def numbers_in(path: Path) -> list[int]:
    return [clips.number_in(frame.rgb) for frame in read_frames(path)]


@dataclass(frozen=True)
class Noise:
    """A second of sound."""

    codec: str
    rate: int = 48_000
    layout: str = "mono"
    from_s: int = 0


def write_with_sound(path: Path, noise: Noise, frames: int = 10, video_from_s: Fraction = Fraction(0)) -> None:
    """Write frames at 25 fps, and noise."""
    random = np.random.default_rng(0)
    with av.open(str(path), "w") as output:
        video = output.add_stream("libx264", rate=25, options={"bf": "0"})
        video.width, video.height, video.pix_fmt = 64, 48, "yuv420p"
        video.time_base = video.codec_context.time_base = TICK
        audio = output.add_stream(noise.codec, rate=noise.rate, layout=noise.layout)
        for number in range(frames):
            frame = av.VideoFrame.from_ndarray(clips.picture(number), format="rgb24")
            frame.pts, frame.time_base = int((video_from_s + Fraction(number, 25)) / TICK), TICK
            output.mux(video.encode(frame))
        samples = (random.standard_normal((1, noise.rate)) * 3000).astype(np.int16)
        sound = av.AudioFrame.from_ndarray(samples, format="s16", layout="mono")
        sound.sample_rate, sound.time_base = noise.rate, Fraction(1, noise.rate)
        sound.pts = noise.from_s * noise.rate
        output.mux(audio.encode(sound))
        output.mux(audio.encode(None))
        output.mux(video.encode(None))


def test_every_frame_keeps_its_time(tmp_path: Path) -> None:
    fps = Fraction(24000, 1001)
    clip = clips.write(tmp_path / "clip.mp4", evenly(30, fps), tick=Fraction(1, 24000))
    annotate_video(clip.path, NO_FACES, tmp_path / "out.mp4")
    assert_same_times(clip.path, tmp_path / "out.mp4")
    assert numbers_in(tmp_path / "out.mp4") == list(range(30))


@pytest.mark.parametrize("name", ["clip.mp4", "clip.mkv"])
def test_a_variable_rate_stays_variable(tmp_path: Path, name: str) -> None:
    times_s = [Fraction(n, 1000) for n in (0, 40, 80, 480, 490, 1000, 3000)]
    clip = clips.write(tmp_path / name, times_s, tick=TICK)
    annotate_video(clip.path, NO_FACES, tmp_path / "out.mp4")
    assert packets_of(tmp_path / "out.mp4").video_s == pytest.approx([float(t) for t in times_s], abs=1e-6)
    assert numbers_in(tmp_path / "out.mp4") == list(range(7))


def test_b_frames_and_a_late_start_are_followed(tmp_path: Path) -> None:
    coding = Coding(codec_options=clips.B_FRAMES)
    clip = clips.write(tmp_path / "clip.mkv", [t + 2 for t in evenly(20)], coding, tick=TICK)
    annotate_video(clip.path, NO_FACES, tmp_path / "out.mp4")
    assert packets_of(tmp_path / "out.mp4").video_s == pytest.approx([float(t) for t in evenly(20)], abs=1e-6)
    assert numbers_in(tmp_path / "out.mp4") == list(range(20))


@pytest.mark.parametrize("codec", ["aac", "libmp3lame", "ac3", "libopus"])
def test_sound_is_copied_as_it_is(tmp_path: Path, codec: str) -> None:
    write_with_sound(tmp_path / "clip.mkv", Noise(codec))
    annotate_video(tmp_path / "clip.mkv", NO_FACES, tmp_path / "out.mp4")
    before, after = packets_of(tmp_path / "clip.mkv"), packets_of(tmp_path / "out.mp4")
    assert after.audio_codec == before.audio_codec
    assert after.audio_bytes == before.audio_bytes
    # Matroska rounds to milliseconds.
    assert after.audio_s == pytest.approx(before.audio_s, abs=2e-3)
    assert after.video_s == pytest.approx(before.video_s, abs=1e-3)


def test_sound_that_starts_first_stays_in_step(tmp_path: Path) -> None:
    write_with_sound(tmp_path / "clip.mp4", Noise("aac"), video_from_s=Fraction(1, 2))
    annotate_video(tmp_path / "clip.mp4", NO_FACES, tmp_path / "out.mp4")
    assert packets_of(tmp_path / "out.mp4").video_s[0] == pytest.approx(0.5, abs=1e-3)
    assert_same_times(tmp_path / "clip.mp4", tmp_path / "out.mp4")


def test_sound_of_a_transport_stream_is_copied(tmp_path: Path) -> None:
    write_with_sound(tmp_path / "clip.ts", Noise("aac"))
    annotate_video(tmp_path / "clip.ts", NO_FACES, tmp_path / "out.mp4")
    before, after = packets_of(tmp_path / "clip.ts"), packets_of(tmp_path / "out.mp4")
    assert len(after.audio_s) == len(before.audio_s)
    assert after.video_s[0] - after.audio_s[0] == pytest.approx(before.video_s[0] - before.audio_s[0], abs=2e-3)


@pytest.mark.parametrize(
    ("codec", "rate"),
    [
        ("pcm_s16le", 48_000),
        ("flac", 96_000),
        ("libmp3lame", 8_000),
        ("pcm_s16le", 22_254),  # of the first Macintosh: no rate of AAC
        ("pcm_s16le", 5_512),
    ],
)
def test_other_sound_becomes_aac(tmp_path: Path, codec: str, rate: int) -> None:
    write_with_sound(tmp_path / "clip.mkv", Noise(codec, rate))
    annotate_video(tmp_path / "clip.mkv", NO_FACES, tmp_path / "out.mp4")
    with av.open(str(tmp_path / "out.mp4")) as container:
        audio = container.streams.audio[0]
        assert audio.codec_context.name == "aac"
        sound = [frame.to_ndarray() for frame in container.decode(audio)]
        assert sum(part.shape[1] for part in sound) / audio.rate == pytest.approx(1, abs=0.15)
    assert np.concatenate(sound, axis=1).std() == pytest.approx(3000 / 32768, rel=0.5)


@pytest.mark.parametrize("codec", ["aac", "mp2"])
def test_sound_goes_on_where_recordings_were_joined(tmp_path: Path, codec: str) -> None:
    write_with_sound(tmp_path / "one.ts", Noise(codec), frames=25)
    (tmp_path / "three.ts").write_bytes((tmp_path / "one.ts").read_bytes() * 3)
    for name in ("one", "three"):
        annotate_video(tmp_path / f"{name}.ts", NO_FACES, tmp_path / f"{name}.mp4")
    one, three = packets_of(tmp_path / "one.mp4"), packets_of(tmp_path / "three.mp4")
    assert three.video_s == pytest.approx([time + part for part in range(3) for time in one.video_s], abs=2e-3)
    # Where a part's sound lasts longer than its pictures, what the next part's overlaps is left out.
    assert np.all(np.diff(three.audio_s) > 0)
    assert three.audio_s[-1] == pytest.approx(one.audio_s[-1] + 2, abs=0.03)


def test_sound_may_change_from_mono_to_stereo(tmp_path: Path) -> None:
    write_with_sound(tmp_path / "mono.ts", Noise("mp2"))
    write_with_sound(tmp_path / "stereo.ts", Noise("mp2", layout="stereo", from_s=1), video_from_s=Fraction(1))
    (tmp_path / "clip.ts").write_bytes((tmp_path / "mono.ts").read_bytes() + (tmp_path / "stereo.ts").read_bytes())
    annotate_video(tmp_path / "clip.ts", NO_FACES, tmp_path / "out.mp4")
    after = packets_of(tmp_path / "out.mp4")
    assert after.audio_codec == "aac"
    assert after.audio_s[-1] == pytest.approx(2, abs=0.1)
    assert len(after.video_s) == 20


def test_sound_that_was_announced_and_never_came_is_none(tmp_path: Path) -> None:
    write_with_sound(tmp_path / "whole.ts", Noise("aac"))
    data = (tmp_path / "whole.ts").read_bytes()
    packets = [data[at : at + 188] for at in range(0, len(data), 188)]
    sound_pid = 0x101
    left = b"".join(packet for packet in packets if (packet[1] & 0x1F) << 8 | packet[2] != sound_pid)
    (tmp_path / "clip.ts").write_bytes(left)
    annotate_video(tmp_path / "clip.ts", NO_FACES, tmp_path / "out.mp4")
    after = packets_of(tmp_path / "out.mp4")
    assert (len(after.video_s), after.audio_codec) == (10, None)


def test_sound_that_cannot_be_written_costs_the_sound_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    write_with_sound(tmp_path / "clip.mkv", Noise("flac"))
    monkeypatch.setattr(mp4, "AAC_RATES", (12_345,))
    annotate_video(tmp_path / "clip.mkv", NO_FACES, tmp_path / "out.mp4")
    after = packets_of(tmp_path / "out.mp4")
    assert (len(after.video_s), after.audio_codec) == (10, None)
    assert "out.mp4 is written without sound, which cannot be taken over" in caplog.text


def test_a_silent_source_stays_silent(tmp_path: Path) -> None:
    clip = clips.write(tmp_path / "clip.mp4", evenly(3), tick=TICK)
    annotate_video(clip.path, NO_FACES, tmp_path / "out.mp4")
    assert packets_of(tmp_path / "out.mp4").audio_codec is None


def test_browsers_can_play_it(tmp_path: Path) -> None:
    clip = clips.write(tmp_path / "clip.mp4", evenly(5), tick=TICK)
    annotate_video(clip.path, NO_FACES, tmp_path / "out.mp4")
    with av.open(str(tmp_path / "out.mp4")) as container:
        context = container.streams.video[0].codec_context
        assert (context.name, context.pix_fmt, context.colorspace) == ("h264", "yuv420p", 1)
    content = (tmp_path / "out.mp4").read_bytes()
    assert content.index(b"moov") < content.index(b"mdat")  # faststart


def test_the_picture_survives_and_the_box_has_its_colour(tmp_path: Path) -> None:
    clip = clips.write(tmp_path / "clip.mp4", evenly(1), tick=TICK, size=(320, 240))
    table = table_of([face_row(0, box_x1=100.0, box_y1=60.0, box_x2=180.0, box_y2=150.0)])
    annotate_video(clip.path, table, tmp_path / "out.mp4")
    [frame] = read_frames(tmp_path / "out.mp4")
    [source] = read_frames(clip.path)
    change = np.abs(frame.rgb.astype(int) - source.rgb.astype(int))
    assert change[170:].max() < 30
    assert change[:, :90].max() < 30
    red, green, blue = frame.rgb[100:110, 179:182].reshape(-1, 3).mean(axis=0)  # Happiness is yellow
    assert red > green > blue + 25


def test_marks_lie_on_their_frames_only(tmp_path: Path) -> None:
    clip = clips.write(tmp_path / "clip.mp4", evenly(6), tick=TICK, size=(320, 240))
    box = {"box_x1": 100.0, "box_y1": 80.0, "box_x2": 200.0, "box_y2": 180.0}
    rows = [empty_row(n) if n in (2, 3) else face_row(n, **box) for n in range(6)]
    annotate_video(clip.path, table_of(rows), tmp_path / "out.mp4")
    pairs = zip(read_frames(clip.path), read_frames(tmp_path / "out.mp4"), strict=True)
    changes = [np.abs(a.rgb.astype(int) - b.rgb.astype(int))[78:184, 98:204].max() for a, b in pairs]
    assert [change > 60 for change in changes] == [True, True, False, False, True, True]


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        ((640, 360), (640, 360)),
        ((1920, 1080), (1920, 1080)),
        ((7680, 4320), (1920, 1080)),
        ((1080, 1920), (1080, 1920)),
        ((2160, 3840), (1080, 1920)),
        ((641, 361), (640, 360)),
        ((1, 1), (64, 64)),
        ((32, 16), (128, 64)),
        ((4000, 2), (1920, 64)),
        ((1, 1921), (64, 1920)),
    ],
)
def test_sizes_are_even_and_bounded(size: tuple[int, int], expected: tuple[int, int]) -> None:
    assert output_size(*size) == expected


def test_wide_pixels_become_square(tmp_path: Path) -> None:
    coding = Coding(pixel_aspect=Fraction(2))
    clip = clips.write(tmp_path / "clip.mp4", evenly(3), coding, tick=TICK, size=(80, 64))
    annotate_video(clip.path, NO_FACES, tmp_path / "out.mp4")
    assert [frame.rgb.shape for frame in read_frames(tmp_path / "out.mp4")] == [(64, 160, 3)] * 3
    assert numbers_in(tmp_path / "out.mp4") == [0, 1, 2]


def test_boxes_grow_with_a_tiny_picture(tmp_path: Path) -> None:
    clip = clips.write(tmp_path / "clip.mp4", evenly(2), tick=TICK, size=(32, 16))
    row = face_row(0, box_x1=8.0, box_y1=4.0, box_x2=24.0, box_y2=14.0)
    annotate_video(clip.path, table_of([row]), tmp_path / "out.mp4")
    frame = next(iter(read_frames(tmp_path / "out.mp4")))
    plain = tmp_path / "plain.mp4"
    annotate_video(clip.path, NO_FACES, plain)
    change = np.abs(frame.rgb.astype(int) - next(iter(read_frames(plain))).rgb.astype(int)).max(axis=2)
    assert frame.rgb.shape == (64, 128, 3)
    # The left side of the box, four times as far to the right as in the source.
    assert change[40, 30:35].max() > 60
    assert change[40, 45:80].max() < 40


def test_a_truncated_source_gives_what_is_whole(tmp_path: Path) -> None:
    clip = clips.write(tmp_path / "clip.mkv", evenly(60), tick=TICK, size=(320, 240))
    content = clip.path.read_bytes()
    clip.path.write_bytes(content[: len(content) * 6 // 10])
    annotate_video(clip.path, NO_FACES, tmp_path / "out.mp4")
    numbers = numbers_in(tmp_path / "out.mp4")
    assert 10 < len(numbers) < 60
    assert numbers == list(range(len(numbers)))


def test_progress_counts_frames(tmp_path: Path) -> None:
    clip = clips.write(tmp_path / "clip.mp4", evenly(4), tick=TICK)
    calls: list[tuple[int, int | None]] = []
    annotate_video(clip.path, NO_FACES, tmp_path / "out.mp4", lambda done, total: calls.append((done, total)))
    assert calls == [(1, 4), (2, 4), (3, 4), (4, 4)]


def test_an_interrupted_run_leaves_nothing(tmp_path: Path) -> None:
    clip = clips.write(tmp_path / "clip.mp4", evenly(10), Coding(audio_s=0.4), tick=TICK)
    (tmp_path / "out.mp4").write_text("the result of an earlier run")

    def interrupt(done: int, total: int | None) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        annotate_video(clip.path, NO_FACES, tmp_path / "out.mp4", interrupt)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["clip.mp4", "out.mp4"]
    assert (tmp_path / "out.mp4").read_text() == "the result of an earlier run"


def test_an_unwritable_place_is_an_error_that_names_it(tmp_path: Path) -> None:
    clip = clips.write(tmp_path / "clip.mp4", evenly(2), tick=TICK)
    place = tmp_path / "missing" / "out.mp4"
    with pytest.raises(OutputError, match=re.escape(f"cannot write {place}")):
        annotate_video(clip.path, NO_FACES, place)
    (tmp_path / "folder").mkdir()
    with pytest.raises(OutputError, match=r"cannot write .*folder"):
        annotate_video(clip.path, NO_FACES, tmp_path / "folder")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["clip.mp4", "folder"]


def test_a_full_disk_is_an_error_that_names_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clip = clips.write(tmp_path / "clip.mp4", evenly(2), tick=TICK)

    def no_space(self: Path, target: Path) -> Path:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", no_space)
    with pytest.raises(OutputError, match=r"out\.mp4: No space left on device"):
        annotate_video(clip.path, NO_FACES, tmp_path / "out.mp4")
    assert [path.name for path in tmp_path.iterdir()] == ["clip.mp4"]


def test_a_missing_encoder_is_explained(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clip = clips.write(tmp_path / "clip.mp4", evenly(2), tick=TICK)

    def unknown(name: str, mode: str) -> None:
        raise av.codec.codec.UnknownCodecError(name)

    monkeypatch.setattr(av.codec, "Codec", unknown)
    with pytest.raises(OutputError, match=r"no H\.264 encoder \(libx264\).*--no-video"):
        annotate_video(clip.path, NO_FACES, tmp_path / "out.mp4")


def test_a_missing_source_is_an_error_that_names_it(tmp_path: Path) -> None:
    with pytest.raises(VideoError, match=r"nowhere\.mp4"):
        annotate_video(tmp_path / "nowhere.mp4", NO_FACES, tmp_path / "out.mp4")
    assert list(tmp_path.iterdir()) == []
