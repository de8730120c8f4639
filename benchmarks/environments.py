"""Environments of their own for the programs that affectline is compared with."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

MEDIAPIPE = "mediapipe==1.2.2"


def environment(folder: Path, requirements: Sequence[str], bare: Sequence[str] = ()) -> Path:
    """Make a virtual environment unless it is there with the same packages, and return its Python.

    Args:
        folder: where it is made; an environment with other packages is made anew.
        requirements: what pip installs.
        bare: what pip installs without its dependencies, for packages that pin versions which no longer exist.

    Raises:
        subprocess.CalledProcessError: pip cannot install them; its words are in `stderr`.
        SystemExit: the folder is not empty and no environment.
    """
    python = folder / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")
    complete = folder / "complete"
    wanted = "\n".join([*requirements, *(f"--no-deps {package}" for package in bare)])
    if complete.exists() and complete.read_text(encoding="utf-8") == wanted:
        return python
    if folder.exists() and any(folder.iterdir()) and not (folder / "pyvenv.cfg").exists():
        raise SystemExit(f"{folder} holds other things than an environment; give another folder")
    _run([sys.executable, "-m", "venv", "--clear", folder])
    pip = [python, "-m", "pip", "install", "--quiet"]
    _run([*pip, *requirements])
    if bare:
        _run([*pip, "--no-deps", *bare])
    complete.write_text(wanted, encoding="utf-8")
    return python


def _run(command: Sequence[str | Path]) -> None:
    subprocess.run(command, check=True, stderr=subprocess.PIPE, text=True)
