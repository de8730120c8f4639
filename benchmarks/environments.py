"""Environments of their own for the programs that affectline is compared with."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path


def environment(folder: Path, requirements: Sequence[str], bare: Sequence[str] = ()) -> Path:
    """Make a virtual environment unless it is there, and return its Python.

    Args:
        folder: where it is made.
        requirements: what pip installs.
        bare: what pip installs without its dependencies, for packages that pin versions which no longer exist.
    """
    python = folder / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")
    done = folder / "complete"
    if done.exists():
        return python
    subprocess.run([sys.executable, "-m", "venv", folder], check=True)
    pip = [python, "-m", "pip", "install", "--quiet"]
    subprocess.run([*pip, *requirements], check=True)
    if bare:
        subprocess.run([*pip, "--no-deps", *bare], check=True)
    done.touch()
    return python
