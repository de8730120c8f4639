"""Networks inside a MediaPipe task file."""

from __future__ import annotations

import sys
import threading
import zipfile
from pathlib import Path

import numpy as np
import pytest

from affectline.errors import InputFileError, ModelFileError
from affectline.faces.task_network import TaskNetwork

MEMBER = "face_blendshapes.tflite"
SHAPE = (1, 146, 2)


def test_runs_and_gives_flat_outputs(task_file: Path) -> None:
    network = TaskNetwork(task_file, MEMBER, SHAPE, (52,))
    (output,) = network.run(np.random.default_rng(0).random(SHAPE, np.float32) * 200)
    assert (output.shape, output.dtype) == ((52,), np.float32)


def test_result_does_not_change_with_the_next_run(task_file: Path) -> None:
    network = TaskNetwork(task_file, MEMBER, SHAPE, (52,))
    first, second = np.random.default_rng(0).random((2, *SHAPE), np.float32) * 200
    (output,) = network.run(first)
    before = output.copy()
    network.run(second)
    assert np.array_equal(output, before)
    assert np.array_equal(network.run(first)[0], before)


def test_other_threads_go_on_while_it_runs(task_file: Path) -> None:
    shape = (1, 256, 256, 3)
    network = TaskNetwork(task_file, "face_landmarks_detector.tflite", shape, (1434, 1))
    picture = np.zeros(shape, np.float32)
    stop, ticks = threading.Event(), []

    def tick() -> None:
        while not stop.wait(0.0005):
            ticks.append(1)

    ticker = threading.Thread(target=tick)
    interval = sys.getswitchinterval()
    # Now a thread only gets its turn when the one that runs gives up the lock by itself.
    sys.setswitchinterval(60)
    try:
        ticker.start()
        before = len(ticks)
        for _ in range(30):
            network.run(picture)
        ticked = len(ticks) - before
    finally:
        sys.setswitchinterval(interval)
        stop.set()
        ticker.join()
    assert ticked >= 5


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(InputFileError, match=r"cannot read the task file .*gone\.task: No such file"):
        TaskNetwork(tmp_path / "gone.task", MEMBER, SHAPE, (52,))


def test_file_that_is_no_zip(tmp_path: Path) -> None:
    file = tmp_path / "text.task"
    file.write_text("not a zip", encoding="utf-8")
    with pytest.raises(ModelFileError, match=r"text\.task is not a MediaPipe task file with face_blendshapes"):
        TaskNetwork(file, MEMBER, SHAPE, (52,))


def task_with(folder: Path, member: str, content: bytes) -> Path:
    file = folder / "made.task"
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr(member, content)
    return file


def test_zip_without_the_network(tmp_path: Path) -> None:
    with pytest.raises(ModelFileError, match=r"made\.task is not a MediaPipe task file with face_blendshapes"):
        TaskNetwork(task_with(tmp_path, "other.tflite", b""), MEMBER, SHAPE, (52,))


def test_member_that_is_no_network(tmp_path: Path) -> None:
    with pytest.raises(ModelFileError, match=r"made\.task is no network that LiteRT can run"):
        TaskNetwork(task_with(tmp_path, MEMBER, b"0" * 64), MEMBER, SHAPE, (52,))


@pytest.mark.parametrize(("shape", "sizes"), [((1, 146, 3), (52,)), (SHAPE, (51,)), (SHAPE, (52, 1))])
def test_network_of_another_shape(task_file: Path, shape: tuple[int, ...], sizes: tuple[int, ...]) -> None:
    with pytest.raises(ModelFileError, match=r"has input \(1, 146, 2\) and outputs of \(52,\) numbers, expected"):
        TaskNetwork(task_file, MEMBER, shape, sizes)
