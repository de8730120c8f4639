"""Imports go one way, the package imports nothing heavy, and files stay readable."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import affectline

ROOT = Path(affectline.__file__).parent
MODULES = sorted(ROOT.rglob("*.py"))

LAYERS = [
    {"errors", "labels", "records", "progress", "atomic_file", "json_records", "runtime", "process_memory"}
    | {"parent_pipe", "file_names", "file_lock"},
    {
        "assets",
        "pipeline",
        "video",
        "images",
        "picture_formats",
        "inputs",
        "remote",
        "faces",
        "backbones",
        "postprocess",
        "features",
        "metrics",
    }
    | {"heads", "schema", "cluster"},
    {"table_files", "provenance", "result_files", "part", "landmark_file"},
    {"report"},
    {"timeline"},
    {
        "options",
        "models",
        "face_scores",
        "track_scores",
        "describe",
        "block_rows",
        "observe",
        "stride",
        "cascade",
        "raw_blocks",
        "segment_spool",
        "segment_worker",
        "workers",
        "analysis",
        "doctor",
        "runtime_check",
        "bench",
        "extract",
        "datasets",
    },
    {"job_index", "earlier_result", "result_folders", "jobs", "jobs_on_ray", "mending", "evaluation"},
    {"training"},
    {"experiments"},
    {"service"},
    {"cli"},
]
"""Who may import whom: a module imports from its own layer and from those above it in this list."""


def layer_of(name: str) -> int:
    return next(number for number, names in enumerate(LAYERS) if name in names)


def imported_parts(path: Path) -> set[str]:
    """Return the second names of everything imported from affectline, such as `faces` for `affectline.faces.crops`."""
    parts = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        names = []
        if isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            names = [node.module]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        parts |= {name.split(".")[1] for name in names if name.startswith("affectline.")}
    return parts


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_imports_go_one_way(path: Path) -> None:
    own = path.relative_to(ROOT).parts[0].removesuffix(".py")
    if own in {"__init__", "__main__"}:
        return
    wrong = {part for part in imported_parts(path) if layer_of(part) > layer_of(own)}
    assert wrong == set()


def test_every_module_has_a_layer() -> None:
    own = {path.relative_to(ROOT).parts[0].removesuffix(".py") for path in MODULES} - {"__init__", "__main__"}
    assert own == set().union(*LAYERS)


def run_python(code: str) -> str:
    return subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout.strip()


def test_importing_the_package_loads_nothing_heavy() -> None:
    heavy = ["torch", "cv2", "matplotlib", "pandas", "numpy", "onnxruntime", "pyarrow", "av"]
    assert run_python(f"import sys, affectline; print([name for name in {heavy} if name in sys.modules])") == "[]"


def test_importing_the_package_changes_nothing_outside_it() -> None:
    code = (
        "import logging, os, warnings, threading, pathlib\n"
        "def look(): return (dict(os.environ), list(warnings.filters), threading.active_count(), "
        "list(logging.getLogger().handlers), logging.getLogger('affectline').handlers)\n"
        "before = look()\n"
        "import affectline, affectline.labels, affectline.errors\n"
        "print(before == look())"
    )
    assert run_python(code) == "True"


def test_public_names_resolve() -> None:
    assert len(affectline.__all__) <= 12
    for name in affectline.__all__:
        assert getattr(affectline, name) is not None
    with pytest.raises(AttributeError, match="has no attribute 'nonsense'"):
        affectline.nonsense  # noqa: B018 - the access is what is tested


def test_analyze_stays_a_function_after_its_module_was_loaded() -> None:
    assert run_python("import affectline.analysis, affectline; print(callable(affectline.analyze))") == "True"


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_files_and_functions_fit_on_a_screen(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 400
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef):
            assert (node.end_lineno or 0) - node.lineno < 60, node.name


def test_no_file_has_a_name_that_says_nothing() -> None:
    assert not {path.name for path in MODULES} & {"utils.py", "helpers.py", "common.py", "misc.py"}
