"""`affectline serve`: its options, and what it says when it cannot start."""

from __future__ import annotations

import inspect
import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import pytest

from affectline.cli.serve import command
from affectline.service.settings import AnalysisChoice, Limits, ServiceSettings


def serve(*options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "affectline", "serve", *options]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)


def test_defaults_are_those_of_the_records() -> None:
    typed = {name: entry.default for name, entry in inspect.signature(command).parameters.items()}
    kept = [field for record in (ServiceSettings, Limits, AnalysisChoice) for field in fields(record)]
    shared = {field.name: field.default for field in kept if field.name in typed and field.name != "folder"}
    assert len(shared) >= 14
    assert {name: typed[name] or default for name, default in shared.items()} == shared


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--host", "0.0.0.0"), "0.0.0.0 can be reached from other machines, and there is no token"),  # noqa: S104
        (("--token", "short"), "a token needs at least 16 characters"),
        (("--token-file", "nothing.txt"), "nothing.txt: the token cannot be read"),
        (("--head", "nothing.safetensors"), "--head nothing.safetensors: no such file"),
        (("--precision", "bf16"), "device cpu computes in fp32, int8, not in bf16; for that take --device openvino"),
        (("--detector", "yolo"), "no detector is named 'yolo'; there are blazeface, libfacedetection, yunet"),
        (("--backbone", "mobilenet"), "mobilenet is neither a file nor one of the backbones"),
        (("--log-level", "loud"), "no log level 'loud'; choose debug, info, warning, error"),
    ],
)
def test_wrong_use_is_one_line_before_anybody_is_served(options: tuple[str, ...], message: str, tmp_path: Path) -> None:
    ended = serve("--port", "0", "--folder", str(tmp_path), *options)
    assert ended.stdout == ""
    assert ended.returncode == 2
    assert message in ended.stderr
    assert len(ended.stderr.splitlines()) == 1
