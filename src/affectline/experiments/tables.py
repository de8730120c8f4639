"""The results as tables: CSV for machines, Markdown for texts, one HTML page for readers."""

from __future__ import annotations

import csv
import html
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from affectline import __version__
from affectline.atomic_file import complete_file
from affectline.experiments.recipes import GROUPS, PAPER_TABLES, Row, rows
from affectline.experiments.results import P_NAMES, Figures, RowResult

NAMES: Final[Mapping[str, str]] = {
    "p_va": "P_VA",
    "p_expr": "P_EXPR",
    "p_au": "P_AU",
    "ccc_valence": "CCC valence",
    "ccc_arousal": "CCC arousal",
    "accuracy": "accuracy",
}

SYNTHETIC: Final = (
    "These are results on a synthetic data set. They tell whether the method does what it should; they say nothing "
    "about people, and are no results on Aff-Wild2. Beside the paper's figures they stand for their order alone."
)
REAL: Final = (
    "Results on data in the Aff-Wild2 layout. They can be compared with the paper's if the data are those of ABAW-5."
)
EXPLAINED: Final = (
    "`ours` is chosen and scored on the same validation videos, as in the paper: weights, radius and thresholds "
    "included. `cross-validated` chooses them on other folds of source videos: the difference is the optimism of the "
    "first. Heads are trained on the training videos alone, which also say for how many epochs. Both judge every "
    "labelled frame of the videos that have features; frames without a face are interpolated. Intervals are 95 % "
    "bootstrap intervals over source videos. `seeds` is the mean and the standard deviation over heads trained with "
    "other seeds."
)


FAILED: Final = "failed"


@dataclass(frozen=True, slots=True)
class Heading:
    """What stands above the tables.

    Attributes:
        is_synthetic: of the data set.
        source: the data set, in words.
    """

    is_synthetic: bool
    source: str

    @property
    def warning(self) -> str:
        """What readers must know first."""
        return SYNTHETIC if self.is_synthetic else REAL


def write_tables(out: Path, results: Mapping[str, RowResult], heading: Heading, figures: Sequence[Path] = ()) -> None:
    """Write `results.csv`, `results.md` and `results.html`.

    Args:
        out: folder.
        results: of the rows that were run, by name.
        heading: what stands above.
        figures: SVG files that the page shows.

    Raises:
        OutputError: a file cannot be written.
    """
    for name, text in (
        ("results.csv", _csv(results, heading)),
        ("results.md", _markdown(results, heading)),
        ("results.html", _html(results, heading, figures)),
    ):
        with complete_file(out / name) as file:
            file.write(text.encode())


def _csv(results: Mapping[str, RowResult], heading: Heading) -> str:
    """Return one line for each row and metric."""
    lines = [
        _csv_line(row, results.get(row.name, RowResult(row.name)), metric, heading)
        for row in rows().values()
        if not row.is_ours or row.name in results
        for metric in row.metrics
    ]
    text = io.StringIO()
    writer = csv.DictWriter(text, list(lines[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(lines)
    return text.getvalue()


def _csv_line(row: Row, result: RowResult, metric: str, heading: Heading) -> dict[str, str]:
    is_p = metric == P_NAMES[row.task]
    paper, ours = row.published.get(metric), _value(result.chosen, metric)
    low, high = _interval(result.chosen, is_p)
    cv_low, cv_high = _interval(result.cross_validated, is_p)
    mean, deviation, cv_mean, cv_deviation = _spread(result) if is_p else (None,) * 4
    numbers = {
        "paper": paper,
        "ours": ours,
        "difference": None if paper is None or ours is None else ours - paper,
        "low": low,
        "high": high,
        "cross_validated": _value(result.cross_validated, metric),
        "cv_low": cv_low,
        "cv_high": cv_high,
        "with_face": result.with_face if is_p else None,
        "paper_exact": _value(result.paper_exact, metric),
        "seeds_mean": mean,
        "seeds_sd": deviation,
        "cv_seeds_mean": cv_mean,
        "cv_seeds_sd": cv_deviation,
        "radius_s": result.choice.decision.radius_s if result.chosen else None,
        "seconds": result.seconds if result.chosen else None,
    }
    words = {"row": row.name, "group": row.group, "task": row.task.value, "features": row.features}
    words |= {"method": row.method, "metric": metric}
    words |= {name: "" if value is None else f"{value:.6g}" for name, value in numbers.items()}
    words |= {
        "seeds": str(len(result.seeds) or ""),
        "frames": str(result.chosen.frames) if result.chosen else "",
        "weights": " ".join(f"{weight:.3g}" for weight in result.choice.weights),
        "is_synthetic": str(heading.is_synthetic).lower() if row.is_ours else "",
        "notes": "; ".join(result.notes),
        "error": result.error,
    }
    return words


def _markdown(results: Mapping[str, RowResult], heading: Heading) -> str:
    parts = ["# Experiments", f"**{heading.warning}**", f"Data: {heading.source}. affectline {__version__}.", EXPLAINED]
    for group, title in GROUPS.items():
        table = _table(group, results, heading)
        if table is not None:
            lines = [_line(table[0]), _line(["---"] * len(table[0])), *map(_line, table[1:])]
            parts += [f"## {title}{' (synthetic data)' if heading.is_synthetic else ''}", "\n".join(lines)]
    notes = [f"- {note} (rows {', '.join(names)})" for note, names in _notes(results).items()]
    if notes:
        parts += ["## Notes", "\n".join(notes)]
    failed = [f"- `{name}`: {result.error}" for name, result in results.items() if result.error]
    if failed:
        parts += ["## Rows that could not be run", "\n".join(failed)]
    return "\n\n".join(parts) + "\n"


def _notes(results: Mapping[str, RowResult]) -> Mapping[str, list[str]]:
    """Return every note with the rows that it is about."""
    found: dict[str, list[str]] = {}
    for name, result in results.items():
        for note in result.notes:
            found.setdefault(note, []).append(name)
    return found


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"


def _table(group: str, results: Mapping[str, RowResult], heading: Heading) -> list[list[str]] | None:
    """Return a group's table as texts, its head first; None if no row of it was run."""
    members = [row for row in rows().values() if row.group == group]
    shown = [row for row in members if row.name in results or not row.is_ours]
    if not any(row.is_ours for row in shown):
        return None
    metric = P_NAMES[members[0].task]
    has_exact = any(results[row.name].paper_exact for row in shown if row.name in results)
    is_paper = group in PAPER_TABLES
    second = [name for name in members[0].metrics if name != metric] if is_paper else []
    ours = f"ours{' (synthetic)' if heading.is_synthetic else ''}"
    head = ["features", "method"]
    head += [f"paper {NAMES[metric]}", ours, "difference"] if is_paper else ["metric", ours]
    head += ["95 % interval", "cross-validated", "95 % interval", "seeds"]
    head += ["notebook's way"] if has_exact else []
    head += [*(NAMES[name] for name in second), "seconds"]
    lines = [_cells(row, results.get(row.name), is_paper, has_exact, second) for row in shown]
    # A column that nothing stands in, such as the spread over seeds with one seed, is left out.
    kept = [number for number in range(len(head)) if any(cells[number] for cells in lines)]
    return [[cells[number] for number in kept] for cells in (head, *lines)]


def _cells(row: Row, result: RowResult | None, is_paper: bool, has_exact: bool, second: Sequence[str]) -> list[str]:
    metric = P_NAMES[row.task]
    paper = row.published.get(metric)
    found = result or RowResult(row.name)
    ours = _value(found.chosen, metric)
    cells = [row.features, row.method, _figure(paper) if is_paper else NAMES[metric]]
    cells.append(FAILED if found.error else _figure(ours))
    if is_paper:
        cells.append("" if paper is None or ours is None else f"{ours - paper:+.3f}")
    cells += [_range(found.chosen), _figure(_value(found.cross_validated, metric)), _range(found.cross_validated)]
    mean, deviation, *_ = _spread(found)
    cells.append("" if mean is None or deviation is None else f"{mean:.3f} ± {deviation:.3f} ({len(found.seeds)})")
    cells += [_figure(_value(found.paper_exact, metric))] if has_exact else []
    cells += [_figure(_value(found.chosen, name)) for name in second]
    return [*cells, f"{found.seconds:.0f}" if found.chosen else ""]


_STYLE: Final = """
body { font: 15px/1.5 system-ui, sans-serif; color: #222; max-width: 78rem; margin: 2rem auto; padding: 0 1rem; }
h1, h2 { line-height: 1.2; } h2 { margin-top: 2.5rem; }
.warning { background: #fff4d6; border-left: 4px solid #d99a00; padding: .7rem 1rem; font-weight: 600; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; font-size: 13px; }
th, td { padding: .3rem .6rem; border-bottom: 1px solid #ddd; text-align: right; white-space: nowrap; }
th:nth-child(-n+2), td:nth-child(-n+2) { text-align: left; white-space: normal; min-width: 9rem; }
tr.other td { color: #777; } tr.failed td { color: #a11; }
figure { margin: 1.5rem 0; } svg { max-width: 100%; height: auto; }
"""


def _html(results: Mapping[str, RowResult], heading: Heading, figures: Sequence[Path]) -> str:
    body = [
        "<h1>Experiments</h1>",
        f'<p class="warning">{html.escape(heading.warning)}</p>',
        f"<p>Data: {html.escape(heading.source)}. affectline {__version__}.</p>",
        f"<p>{html.escape(EXPLAINED).replace('`', '')}</p>",
    ]
    for group, title in GROUPS.items():
        table = _table(group, results, heading)
        if table is not None:
            body.append(f"<h2>{html.escape(title)}{' (synthetic data)' if heading.is_synthetic else ''}</h2>")
            body.append(_html_table(table))
    notes = _notes(results)
    if notes:
        items = "".join(
            f"<li>{html.escape(note)} (rows {', '.join(f'<code>{name}</code>' for name in names)})</li>"
            for note, names in notes.items()
        )
        body.append(f"<h2>Notes</h2><ul>{items}</ul>")
    for path in figures:
        drawing = path.read_text(encoding="utf-8")
        body.append(f"<figure>{drawing[drawing.index('<svg') :]}</figure>")
    failed = [(name, result.error) for name, result in results.items() if result.error]
    if failed:
        items = "".join(f"<li><code>{name}</code>: {html.escape(error)}</li>" for name, error in failed)
        body.append(f"<h2>Rows that could not be run</h2><ul>{items}</ul>")
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>affectline: experiments</title>'
        f"<style>{_STYLE}</style></head>\n<body>\n" + "\n".join(body) + "\n</body></html>\n"
    )


def _html_table(table: Sequence[Sequence[str]]) -> str:
    head = "".join(f"<th>{html.escape(cell)}</th>" for cell in table[0])
    lines = []
    for cells in table[1:]:
        kind = "failed" if FAILED in cells else "" if cells[-1] else "other"
        lines.append(f'<tr class="{kind}">' + "".join(f"<td>{html.escape(cell)}</td>" for cell in cells) + "</tr>")
    return f'<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>{"".join(lines)}</tbody></table></div>'


def _value(found: Figures | None, metric: str) -> float | None:
    return None if found is None else found.values.get(metric)


def _interval(found: Figures | None, is_p: bool) -> tuple[float | None, float | None]:
    return (None, None) if found is None or found.interval is None or not is_p else found.interval


def _spread(result: RowResult) -> tuple[float | None, float | None, float | None, float | None]:
    """Return mean and standard deviation over seeds, chosen and cross-validated; None with fewer than two."""
    chosen = [one.chosen for one in result.seeds]
    held_out = [one.cross_validated for one in result.seeds if one.cross_validated is not None]
    return (*_mean_and_deviation(chosen), *_mean_and_deviation(held_out))


def _mean_and_deviation(values: Sequence[float]) -> tuple[float | None, float | None]:
    if len(values) < 2:  # noqa: PLR2004 - one value has no spread
        return None, None
    mean = sum(values) / len(values)
    return mean, (sum((value - mean) ** 2 for value in values) / (len(values) - 1)) ** 0.5


def _figure(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"


def _range(found: Figures | None) -> str:
    low, high = _interval(found, True)
    return "" if low is None or high is None else f"{low:.3f} to {high:.3f}"
