"""What the report holds, read as text: no browser is needed."""

from __future__ import annotations

import base64
import gzip
import hashlib
import io
import json
import re
import sys
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from av.container import InputContainer
from finished_results import HOSTILE_NAME, nobody, one_face, two_faces_with_gaps, write_result
from result_tables import long_table
from test_annotate import Noise, write_with_sound

import clips
from affectline.errors import InputError, InputFileError, MissingExtraError
from affectline.report.page import write_report
from affectline.report.page.player import sequence_rate
from clips import Coding

LEAN = Coding(codec_options={"g": "8", "bf": "0", "crf": "40"})


def clip(path: Path, frames: int = 100, coding: Coding = LEAN, size: tuple[int, int] = (320, 240)) -> Path:
    times = [Fraction(n, 25) for n in range(frames)]
    return clips.write(path, times, coding, tick=Fraction(1, 25), size=size).path


def element(page: Path, name: str) -> str:
    found = re.search(rf'<script type="[^"]+" id="{name}">(.*?)</script>', page.read_text(), re.DOTALL)
    assert found is not None
    return found[1]


def embedded_video(page: Path) -> InputContainer:
    return av.open(io.BytesIO(base64.b64decode(element(page, "video-data"))))


def data_of(page: Path) -> dict:
    return json.loads(element(page, "data"))


def unpacked(packed: dict[str, str]) -> np.ndarray:
    return np.frombuffer(base64.b64decode(packed["bdata"]), "<" + packed["dtype"])


class TestVideo:
    def test_a_small_video_that_browsers_play_stands_in_the_page_as_it_is(self, tmp_path: Path) -> None:
        video = clip(tmp_path / "clip.mp4")
        page = write_report(write_result(tmp_path / "out", one_face()), video=video)
        assert base64.b64decode(element(page, "video-data")) == video.read_bytes()
        assert not (page.parent / "report_video.mp4").exists()

    @pytest.mark.parametrize(
        ("name", "coding"),
        [
            ("clip.mkv", LEAN),
            ("clip.mp4", Coding(codec="mpeg4", codec_options={})),
            ("clip.mp4", Coding(pix_fmt="yuv444p")),
            ("clip.mp4", Coding(container_options={"movflags": "use_metadata_tags"})),
        ],
        ids=["container", "codec", "pixels", "location"],
    )
    def test_others_become_a_preview_with_their_times(self, tmp_path: Path, name: str, coding: Coding) -> None:
        video = clip(tmp_path / name, coding=coding)
        if coding.container_options:
            video = with_location(video)
        page = write_report(write_result(tmp_path / "out", one_face()), video=video)
        with embedded_video(page) as container:
            stream = container.streams.video[0]
            assert (stream.codec_context.name, stream.codec_context.pix_fmt) == ("h264", "yuv420p")
            times = [float(frame.pts * frame.time_base) for frame in container.decode(stream)]
            assert not [key for key in container.metadata if "location" in key]
        assert times == pytest.approx([n / 25 for n in range(100)], abs=1e-3)

    @pytest.mark.parametrize(
        "options", [{"movflags": "frag_keyframe+empty_moov"}, {"use_editlist": "0"}], ids=["fragments", "no edit list"]
    )
    def test_one_that_does_not_begin_at_0_becomes_a_preview_that_does(
        self, tmp_path: Path, options: dict[str, str]
    ) -> None:
        # Browsers count from the container's 0 and would show another picture than the cursor says.
        coding = replace(LEAN, codec_options=clips.B_FRAMES, container_options=options)
        video = clip(tmp_path / "clip.mp4", coding=coding)
        with av.open(str(video)) as container:
            assert container.streams.video[0].start_time > 0
        page = write_report(write_result(tmp_path / "out", one_face()), video=video)
        with embedded_video(page) as container:
            times = [float(frame.pts * frame.time_base) for frame in container.decode(video=0)]
        assert times == pytest.approx([n / 25 for n in range(100)], abs=1e-3)

    def test_sound_that_browsers_do_not_play_is_encoded_anew(self, tmp_path: Path) -> None:
        write_with_sound(tmp_path / "clip.mkv", Noise("ac3"))
        page = write_report(write_result(tmp_path / "out", one_face(10)), video=tmp_path / "clip.mkv")
        with embedded_video(page) as container:
            assert container.streams.audio[0].codec_context.name == "aac"

    def test_what_lies_in_other_streams_does_not_go_into_the_page(self, tmp_path: Path) -> None:
        video = with_data(clip(tmp_path / "clip.mp4"), "52.5163 N 13.3777 E")
        assert b"52.5163 N" in video.read_bytes()
        page = write_report(write_result(tmp_path / "out", one_face()), video=video)
        assert b"52.5163 N" not in base64.b64decode(element(page, "video-data"))

    def test_a_page_without_a_video_takes_an_older_preview_away(self, tmp_path: Path) -> None:
        result = write_result(tmp_path / "out", one_face())
        (result / "report_video.mp4").write_text("older")
        write_report(result)
        assert not (result / "report_video.mp4").exists()

    def test_what_is_too_large_lies_beside(self, tmp_path: Path) -> None:
        video = clip(tmp_path / "clip.mp4", coding=Coding(has_noise=True))
        page = write_report(write_result(tmp_path / "out", one_face()), video=video, embed_limit_mb=0.001)
        assert 'src="report_video.mp4"' in page.read_text()
        assert "keep <code>report_video.mp4</code> beside this page" in page.read_text()
        with av.open(str(page.parent / "report_video.mp4")) as container:
            assert container.streams.video[0].frames == 100

    def test_a_page_with_its_video_inside_takes_an_older_preview_away(self, tmp_path: Path) -> None:
        result = write_result(tmp_path / "out", one_face())
        (result / "report_video.mp4").write_text("older")
        write_report(result, video=clip(tmp_path / "clip.mp4"))
        assert not (result / "report_video.mp4").exists()

    def test_large_pictures_are_reduced(self, tmp_path: Path) -> None:
        video = clip(tmp_path / "clip.mkv", frames=5, size=(1280, 720))
        page = write_report(write_result(tmp_path / "out", one_face(5)), video=video)
        with embedded_video(page) as container:
            assert (container.streams.video[0].width, container.streams.video[0].height) == (640, 360)
        assert data_of(page)["size"] == [1280, 720]  # boxes refer to the source

    def test_sound_of_a_codec_that_nobody_knows_is_left_out(self, tmp_path: Path) -> None:
        # Phones write such tracks; PyAV has no codec context for them.
        path = clip(tmp_path / "clip.mp4", coding=replace(LEAN, audio_s=4.0))
        path.write_bytes(path.read_bytes().replace(b"mp4a", b"apac").replace(b"esds", b"none"))
        page = write_report(write_result(tmp_path / "out", one_face()), video=path)
        with embedded_video(page) as container:
            assert container.streams.video[0].frames == 100
            assert not container.streams.audio

    def test_words_in_another_alphabet_than_said_do_no_harm(self, tmp_path: Path) -> None:
        path = clip(tmp_path / "clip.mkv", coding=replace(LEAN, audio_s=4.0))
        data = path.read_bytes()
        assert b"Lavf" in data
        path.write_bytes(data.replace(b"Lavf", b"L\x82vf"))
        page = write_report(write_result(tmp_path / "out", one_face()), video=path)
        assert len(element(page, "video-data")) > 1000

    def test_a_video_of_which_no_preview_can_be_made_costs_the_video_alone(
        self, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        path = tmp_path / "clip.y4m"  # with a rate that no encoder takes
        path.write_bytes(b"YUV4MPEG2 W16 H16 F1000000:1\n" + (b"FRAME\n" + bytes(384)) * 100)
        size_bytes = path.stat().st_size
        page = write_report(write_result(tmp_path / "out", one_face(), size_bytes=size_bytes), video=path)
        text = page.read_text()
        assert "No video." in text
        assert 'id="affect"' in text
        assert "<video" not in text
        assert "the report of clip.y4m shows no video" in caplog.text

    def test_another_video_is_refused(self, tmp_path: Path) -> None:
        result = write_result(tmp_path / "out", one_face(200))
        with pytest.raises(InputError, match=r"lasts 2\.0 s, but the result goes on to 8\.0 s"):
            write_report(result, video=clip(tmp_path / "clip.mp4", frames=50))

    def test_the_analysed_file_is_taken_whatever_its_container_says(self, tmp_path: Path) -> None:
        video = clip(tmp_path / "clip.mp4", frames=50)
        result = write_result(tmp_path / "out", one_face(200), size_bytes=video.stat().st_size)
        assert "video-data" in write_report(result, video=video).read_text()

    def test_the_rate_of_a_sequence_is_that_of_its_rows(self) -> None:
        assert sequence_rate(one_face(10)) == pytest.approx(25)
        assert sequence_rate(one_face(1)) is None


def with_location(path: Path) -> Path:
    """Return a copy of a video that says where it was recorded, as phones do."""
    placed = path.with_name("placed.mp4")
    with av.open(str(path)) as source, av.open(str(placed), "w", options={"movflags": "use_metadata_tags"}) as output:
        output.metadata["com.apple.quicktime.location.ISO6709"] = "+52.5163+013.3777/"
        stream = output.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(source.streams.video[0]):
            if packet.dts is not None:
                packet.stream = stream
                output.mux(packet)
    return placed


def with_data(path: Path, text: str) -> Path:
    """Return a copy of a video with a stream of data, in which cameras keep the way that they went."""
    told = path.with_name("told.mp4")
    with av.open(str(path)) as source, av.open(str(told), "w") as output:
        stream = output.add_stream_from_template(source.streams.video[0])
        data = output.add_data_stream("bin_data")
        output.start_encoding()
        packet = av.Packet(text.encode())
        packet.stream, packet.pts, packet.dts, packet.time_base = data, 0, 0, Fraction(1, 1000)
        output.mux(packet)
        for packet in source.demux(source.streams.video[0]):
            if packet.dts is not None:
                packet.stream = stream
                output.mux(packet)
    return told


class TestSafety:
    def test_untrusted_words_are_escaped_everywhere(self, tmp_path: Path) -> None:
        result = write_result(tmp_path / "out", two_faces_with_gaps(), input=HOSTILE_NAME, problem=HOSTILE_NAME)
        text = write_report(result).read_text()
        assert "<script>alert" not in text
        assert text.count("&lt;script&gt;alert(1)&lt;/script&gt;") == 3  # title, heading, problem

    def test_the_policy_names_exactly_the_scripts_that_are_there(self, tmp_path: Path) -> None:
        text = write_report(write_result(tmp_path / "out", one_face())).read_text()
        scripts = re.findall(r"<script>(.*?)</script>", text, re.DOTALL)
        digests = [base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() for script in scripts]
        policy = re.search(r'Content-Security-Policy" content="([^"]+)"', text)
        assert policy is not None
        directives = dict(part.strip().split(" ", 1) for part in policy[1].replace("&#39;", "'").split(";"))
        assert directives["default-src"] == "'none'"
        assert directives["script-src"] == " ".join(f"'sha256-{digest}'" for digest in digests)
        assert len(scripts) == 2

    def test_nothing_is_loaded_from_elsewhere(self, tmp_path: Path) -> None:
        text = write_report(write_result(tmp_path / "out", one_face())).read_text()
        outside = re.sub(r"<script.*?</script>", "", text, flags=re.DOTALL)
        assert not re.findall(r"""(?:src|href)=["']?(?!#|data:|report_video)[^"'>]+""", outside)

    def test_a_download_has_a_plain_name(self, tmp_path: Path) -> None:
        page = write_report(write_result(tmp_path / "out", one_face(), input="../a b;$(x).mp4"))
        assert data_of(page)["fileName"] == "a_b___x-timeline.csv"


class TestContent:
    def test_the_table_in_the_page_is_the_csv_file(self, tmp_path: Path) -> None:
        page = write_report(write_result(tmp_path / "out", two_faces_with_gaps()))
        table = gzip.decompress(base64.b64decode(element(page, "table-data")))
        assert table == (page.parent / "timeline.csv").read_bytes()

    def test_a_csv_alone_is_enough(self, tmp_path: Path) -> None:
        result = write_result(tmp_path / "out", one_face())
        (result / "timeline.parquet").unlink()
        assert data_of(write_report(result))["tracks"][0]["name"] == "Track 1"

    def test_zero_shot_and_limits_are_said(self, tmp_path: Path) -> None:
        text = write_report(write_result(tmp_path / "out", one_face())).read_text()
        assert "<b>zero-shot</b>: derived from other scores by a published table; no network saw such labels" in text
        assert "Article 5(1)(f)" in text
        assert "sha256:12" in text

    def test_nobody(self, tmp_path: Path) -> None:
        page = write_report(write_result(tmp_path / "out", nobody()))
        assert "No face was found" in page.read_text()
        assert data_of(page)["tracks"] == []
        assert page.stat().st_size < 100_000  # Plotly is left out

    def test_two_hours_are_reduced_with_their_extremes_and_it_is_said(self, tmp_path: Path) -> None:
        table = long_table(20_000)
        page = write_report(write_result(tmp_path / "out", table))
        [track] = data_of(page)["tracks"]
        values = table["valence"].to_numpy()
        columns = {name: unpacked(packed) for name, packed in track["columns"].items()}
        assert len(columns["valence"]) <= 6000
        assert np.nanmax(columns["valence_high"]) == values.max()
        assert np.nanmin(columns["valence_low"]) == values.min()
        assert "The charts are reduced: each of their" in page.read_text()
        assert page.stat().st_size < 25_000_000

    def test_the_busiest_tracks_share_the_points(self, tmp_path: Path) -> None:
        page = write_report(write_result(tmp_path / "out", two_faces_with_gaps()))
        data = data_of(page)
        assert [track["name"] for track in data["tracks"]] == ["Track 1", "Track 4"]
        state = unpacked(data["tracks"][0]["columns"]["state"])
        words = [data["statuses"][int(code)] for code in state]
        assert [words[n] for n in (10, 50, 85, 110, 150, 190)] == [
            "observed",
            "low_quality",
            "interpolated",
            "no_face",
            "observed",
            "no_face",
        ]

    def test_an_interrupted_write_keeps_the_older_page(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        result = write_result(tmp_path / "out", one_face())
        (result / "report.html").write_text("older")
        monkeypatch.setattr("affectline.report.page.write.render", lambda **_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            write_report(result)
        assert (result / "report.html").read_text() == "older"


class TestErrors:
    @pytest.mark.parametrize("name", ["plotly", "jinja2"])
    def test_a_missing_extra_is_one_helpful_line(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
    ) -> None:
        monkeypatch.setitem(sys.modules, name, None)
        with pytest.raises(MissingExtraError, match=rf"needs {name}.*pip install 'affectline\[report\]'"):
            write_report(tmp_path)

    def test_a_folder_without_a_result_is_named(self, tmp_path: Path) -> None:
        with pytest.raises(InputFileError, match="has no timeline"):
            write_report(tmp_path)
