"""Features from a Ray cluster are those of one process, also where a worker dies."""

from __future__ import annotations

import os
import signal
import threading
import time
from pathlib import Path

import av
import pytest

from affectline.cluster import ClusterOptions
from affectline.extract import ExtractOptions, extract_all, find_sources, load_extractor
from affectline.extract.on_ray import extract_all_on_ray
from affectline.features import FeatureTable
from affectline.features.store import FeatureStore
from faces_on_video import write_video

pytestmark = pytest.mark.usefixtures("ray_cluster")


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory, demo_clip: Path) -> Path:
    folder = tmp_path_factory.mktemp("videos")
    with av.open(str(demo_clip)) as source:
        frames = [
            frame.to_ndarray(format="rgb24") for _, frame in zip(range(200), source.decode(video=0), strict=False)
        ]
    write_video(folder / "a.mp4", frames[:30])
    write_video(folder / "long.mp4", frames)
    (folder / "broken.mp4").write_bytes(b"no video")
    return folder


def kill_a_worker_in(folder: Path, killed: list[int]) -> None:
    """Kill the first process that keeps a nameless file of features of `long` open; the driver has none there."""
    deadline = time.monotonic() + 300
    while time.monotonic() < deadline and not killed:
        for entry in Path("/proc").glob("[0-9]*/fd/*"):
            try:
                target, pid = str(entry.readlink()), int(entry.parts[2])
            except OSError:
                continue
            if target.startswith(str(folder)) and target.endswith("(deleted)") and pid != os.getpid():
                os.kill(pid, signal.SIGKILL)
                killed.append(pid)
                break
        time.sleep(0.02)


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="finds the worker by /proc")
def test_features_equal_those_of_one_process_also_where_a_worker_is_killed(videos: Path, tmp_path: Path) -> None:
    sources, options = find_sources([videos]), ExtractOptions(threads=1)
    local, far = FeatureStore(tmp_path / "local", create=True), FeatureStore(tmp_path / "far", create=True)
    expected = list(extract_all(sources, local, load_extractor(options, sources)))
    killed: list[int] = []
    killer = threading.Thread(target=kill_a_worker_in, args=(far.folder, killed))
    killer.start()
    found = sorted(
        extract_all_on_ray(sources, far, options, ClusterOptions()), key=lambda one: sources.index(one.source)
    )
    killer.join()
    assert len(killed) == 1
    assert [(one.source, one.status, one.rows) for one in found] == [
        (one.source, one.status, one.rows) for one in expected
    ]
    assert (far.folder / "index.csv").read_bytes() == (local.folder / "index.csv").read_bytes()
    for entry in local.entries:
        here, there = (FeatureTable.open(store.folder / entry.path) for store in (far, local))
        assert here.info == there.info
        assert here.table.equals(there.table)
    again = list(extract_all_on_ray(sources, far, options, ClusterOptions()))
    assert sorted(one.status for one in again) == ["failed", "skipped", "skipped"]
