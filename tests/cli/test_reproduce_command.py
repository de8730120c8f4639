"""`affectline reproduce` as it is typed."""

from __future__ import annotations

from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner, Result

from affectline.cli import reproduce
from affectline.datasets.synthetic.write import SynthOptions, write_synthetic
from affectline.errors import InputError, InputFileError, UnknownNameError

app = typer.Typer()
app.command()(reproduce.command)


def run(*words: object) -> Result:
    return CliRunner().invoke(app, [str(word) for word in words], catch_exceptions=False)


@pytest.fixture(scope="module")
def synthetic(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("reproduce") / "set"
    write_synthetic(out, SynthOptions(videos=30, frames=80, seed=4, width=32))
    return out


def test_rows_are_listed_without_data() -> None:
    found = run("--list")
    assert found.exit_code == 0
    assert "va_both_mlp_smooth" in found.stdout
    assert "published" not in found.stdout


def test_rows_are_run_written_and_kept(synthetic: Path, tmp_path: Path) -> None:
    words = ("--data", synthetic, "--store", synthetic / "store", "-o", tmp_path / "out")
    words = (*words, "--only", "va_mt_pretrained", "--only", "va_mt_mlp_smooth", "--set", "va_mt_mlp.epochs=2")
    found = run(*words)
    assert found.exit_code == 0
    assert "2 rows, 0 failed" in found.stdout
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        "figures", "heads", "predictions", "results.csv", "results.html", "results.md", "rows",
    }  # fmt: skip
    assert run(*words).stderr.count(", kept") == 2


def test_a_failed_row_gives_its_reason_and_an_exit_code(synthetic: Path, tmp_path: Path) -> None:
    words = ("--data", synthetic, "--store", synthetic / "store", "-o", tmp_path / "out")
    found = run(*words, "--only", "va_mt_pretrained", "--only", "expr_finetuned")
    assert found.exit_code == 1
    assert "expr_finetuned: failed: " in found.stderr
    assert "1 rows, 1 failed" in found.stdout
    assert "Rows that could not be run" in (tmp_path / "out" / "results.md").read_text()


@pytest.mark.parametrize(
    ("words", "error", "message"),
    [
        (("--only", "va_b9"), UnknownNameError, "no row va_b9"),
        ((), InputError, "give --data, --store and --output"),
        (("--data", ".", "--store", ".", "-o", "x", "--set", "x"), InputError, "write HEAD.PARAMETER=VALUE"),
        (("--data", "nowhere", "--store", ".", "-o", "x"), InputFileError, "no folder nowhere"),
        (("--data", ".", "--store", ".", "-o", "x"), InputFileError, "no annotations in the Aff-Wild2 layout"),
        (("--data", "SET", "--store", "nowhere", "-o", "x"), InputFileError, "no feature store nowhere"),
    ],
)
def test_what_cannot_be_run_is_said_at_once(
    words: tuple[str, ...],
    error: type[Exception],
    message: str,
    synthetic: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(error, match=message):
        run(*(str(synthetic) if word == "SET" else word for word in words))
