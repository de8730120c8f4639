"""What `affectline bench` says is what was done; how long it took is nobody's promise."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from affectline import AnalyzeOptions
from affectline.bench import measure
from affectline.cli.main import app
from affectline.errors import InputError
from affectline.models import load_models
from faces_on_video import scenery, write_video


@pytest.fixture(scope="module")
def short_clip(tmp_path_factory: pytest.TempPathFactory, demo_clip: Path) -> Path:
    """The first second of the demo clip."""
    import av

    path = tmp_path_factory.mktemp("bench") / "short.mp4"
    with av.open(str(demo_clip)) as source:
        frames = [frame.to_ndarray(format="rgb24") for _, frame in zip(range(24), source.decode(video=0), strict=False)]
    return write_video(path, frames)


def test_the_command_counts_what_it_did(short_clip: Path) -> None:
    words = ["bench", str(short_clip), "--times", "2", "--no-au", "--threads", "1", "--json"]
    result = CliRunner().invoke(app, words)
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    assert (found["frames"], found["faces"]) == (48, 48)
    assert (found["width"], found["height"], found["video"]) == (640, 360, "short.mp4")
    assert (found["backbone"], found["device"], found["precision"]) == ("mobilenet96_ferplus", "cpu", "fp32")
    assert found["action_units"] is False
    assert found["frames_per_s"] == pytest.approx(48 / found["seconds"])
    assert found["faces_per_s"] == pytest.approx(48 / found["seconds"])
    assert 0 < found["latency_p50_ms"] <= found["latency_p95_ms"]
    assert found["cores"] == 1
    assert all(found[name] > 0 for name in ("start_up_s", "cpu_s"))
    assert (found["peak_anonymous_mb"] is not None) == sys.platform.startswith("linux")


def test_the_text_has_a_line_for_each_figure(short_clip: Path) -> None:
    result = CliRunner().invoke(app, ["bench", str(short_clip), "--no-au"])
    assert result.exit_code == 0, result.output
    head, *rows = result.stdout.splitlines()
    assert "mobilenet96_ferplus on cpu in fp32, without action units; short.mp4, 640x360" in head
    assert [row.split()[0] for row in rows if row[0] != " "] == ["start-up", "speed", "latency", "memory", "processor"]
    assert "24 frames in" in rows[1]


def test_only_videos_are_measured(tmp_path: Path) -> None:
    options = AnalyzeOptions(action_units=False, crops=True)
    picture = tmp_path / "one.ppm"
    picture.write_bytes(b"P6 1 1 255 abc")
    with pytest.raises(InputError, match=r"one.ppm is not one video"):
        measure(picture, load_models(options), options)


def test_every_pass_is_told(tmp_path: Path) -> None:
    clip = write_video(tmp_path / "clip.mp4", [scenery((96, 96))] * 3)
    options, told = AnalyzeOptions(action_units=False), []
    result = measure(clip, load_models(options), options, 3, on_progress=lambda done, total: told.append((done, total)))
    assert told == [(1, 3), (2, 3), (3, 3)]
    assert (result.frames, result.faces, result.start_up_s) == (9, 0, None)


TOUCH = """
from affectline.process_memory import MemorySampler, anonymous_mb
before = anonymous_mb()
with MemorySampler() as memory:
    block = bytearray(b"x" * 50_000_000)
    while memory.peak_mb is None or memory.peak_mb < before + 40:
        block[0] ^= 1
print(before, memory.peak_mb)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_memory_that_was_touched_is_seen() -> None:
    # In a process of its own: in this one, memory of earlier tests may be given back meanwhile.
    outcome = subprocess.run([sys.executable, "-c", TOUCH], capture_output=True, text=True, check=True, timeout=60)
    before, peak = map(float, outcome.stdout.split())
    assert before + 40 <= peak <= before + 120
