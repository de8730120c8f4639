"""`affectline finetune` where its extra is not installed; the rest is in tests/training."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import pytest
from typer.testing import CliRunner

from affectline.cli.main import app
from affectline.errors import InputError, MissingExtraError


@pytest.mark.skipif(find_spec("timm") is not None, reason="the extra is installed")
def test_what_is_missing_is_named_with_the_command_that_brings_it(tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["finetune", "--task", "ferplus", "--data", "f.npz", "-o", str(tmp_path)])
    assert isinstance(result.exception, MissingExtraError)
    assert "timm" in str(result.exception)
    assert "pip install 'affectline[finetune]'" in str(result.exception)


def test_an_unknown_task_is_named(tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["finetune", "--task", "moods", "--data", "f.npz", "-o", str(tmp_path)])
    assert isinstance(result.exception, InputError)
    assert "no task 'moods'; choose expr, va, au, ferplus" in str(result.exception)
