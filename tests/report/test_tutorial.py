"""The tutorial runs from its first cell to its last, and keeps no output in the repository."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

TUTORIAL = Path(__file__).parents[2] / "docs/tutorial.ipynb"


def test_it_runs(demo_clip: Path, task_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    nbclient = pytest.importorskip("nbclient", reason="needs nbclient (pip install nbclient ipykernel)")
    pytest.importorskip("ipykernel", reason="needs ipykernel (pip install nbclient ipykernel)")
    import nbformat

    # Both assets are in the cache by now: nothing is fetched. Only temporary folders are written to.
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    notebook = nbformat.read(TUTORIAL, as_version=4)
    client = nbclient.NotebookClient(notebook, timeout=600, resources={"metadata": {"path": str(tmp_path)}})
    client.execute(env=dict(os.environ))
    shown = [json.dumps(cell.get("outputs", [])) for cell in notebook.cells if cell.cell_type == "code"]
    assert "WolfgangLanger_Pexels.mp4" in shown[1]
    assert "text/html" in shown[1]
    assert "image/png" in shown[2]
    assert "plotly" in shown[3]
    assert "Happiness" in shown[5]
    assert "True" in shown[-2]
    assert "report.html" in shown[-1]


def test_it_holds_no_output() -> None:
    cells = json.loads(TUTORIAL.read_text(encoding="utf-8"))["cells"]
    code = [cell for cell in cells if cell["cell_type"] == "code"]
    assert all(cell["outputs"] == [] and cell["execution_count"] is None for cell in code)
