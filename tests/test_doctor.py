from __future__ import annotations

import importlib
from importlib import metadata
from pathlib import Path

import pytest

from affectline import doctor


def problems() -> dict[str, str]:
    return {finding.subject: finding.problem for finding in doctor.examine() if finding.problem}


def test_a_healthy_machine_has_no_problem() -> None:
    assert problems() == {}
    subjects = {finding.subject: finding.value for finding in doctor.examine()}
    assert subjects["numpy"] == metadata.version("numpy")
    assert "CPUExecutionProvider" in subjects["onnxruntime providers"]


def test_a_cache_that_cannot_be_used_is_a_problem(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("AFFECTLINE_HOME", str(tmp_path / "file" / "cache"))
    assert "name another with AFFECTLINE_HOME" in problems()["cache"]
    monkeypatch.setenv("AFFECTLINE_HOME", str(tmp_path / "new"))
    values = {finding.subject: finding.value for finding in doctor.examine()}
    assert "models pull face_landmarker" in values["model face_landmarker"]


def pretend(monkeypatch: pytest.MonkeyPatch, versions: dict[str, str | None]) -> None:
    real = metadata.version

    def version(name: str) -> str:
        if name not in versions:
            return real(name)
        found = versions[name]
        if found is None:
            raise metadata.PackageNotFoundError(name)
        return found

    monkeypatch.setattr(metadata, "version", version)


@pytest.mark.parametrize(("module", "second"), [("onnxruntime", "onnxruntime-gpu"), ("cv2", "opencv-contrib-python")])
def test_two_distributions_of_one_module_are_found(module: str, second: str, monkeypatch: pytest.MonkeyPatch) -> None:
    pretend(monkeypatch, {second: "1.0"})
    assert f"both import as {module} and hide each other" in problems()[module]
    assert second in problems()[module]


def test_a_missing_distribution_is_named_with_its_cure(monkeypatch: pytest.MonkeyPatch) -> None:
    pretend(monkeypatch, {"scipy": None})
    assert problems()["scipy"] == "run `pip install scipy`"


def test_the_gpu_build_may_stand_in_for_the_cpu_build(monkeypatch: pytest.MonkeyPatch) -> None:
    pretend(monkeypatch, {"onnxruntime": None, "onnxruntime-gpu": "1.20"})
    assert problems() == {}


def test_a_library_that_does_not_load_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    real = importlib.import_module

    def import_module(name: str) -> object:
        if name == "cv2":
            raise ImportError("libGL.so.1: cannot open shared object file")
        return real(name)

    monkeypatch.setattr(importlib, "import_module", import_module)
    assert "libGL.so.1" in problems()["import cv2"]


def test_a_damaged_model_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AFFECTLINE_HOME", str(tmp_path))
    (tmp_path / "face_landmarker.task").write_bytes(b"half a file")
    assert "affectline models pull face_landmarker" in problems()["model face_landmarker"]
