"""The tables of `speed.py`: in Markdown for the documentation, as CSV for everyone else."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from pathlib import Path

from docs_tables import fill, table
from speed_inputs import VIDEOS
from speed_plot import draw
from speed_programs import EMOTIEFFLIB, MEDIAPIPE_ALONE, PROGRAMS, Kind
from speed_results import Results

QUIET_CORES = 0.1
"""Other work below this is that of the system itself."""

COLUMNS = [
    "program",
    "frames/s",
    "faces/s",
    "to EmotiEffLib + MTCNN",
    "to MediaPipe",
    "share of its network alone",
    "latency p50, ms",
    "p95",
    "CPU s per 1,000 frames",
    "peak RssAnon, MB",
    "start-up, s",
]


def write_report(results: Results, out: Path) -> None:
    """Write speed.md, speed.csv and speed.png."""
    (out / "speed.md").write_text(_markdown(results), encoding="utf-8")
    _write_csv(results, out / "speed.csv")
    draw(results, out / "speed.png")


def write_docs(results: Results, docs: Path) -> None:
    """Bring the page and its plot up to date."""
    fill(docs / "benchmarks.md", "speed", _markdown(results))
    draw(results, docs / "benchmarks.png")


def _markdown(results: Results) -> str:
    parts = [_where(results), _in_short(results)]
    for name, video in VIDEOS.items():
        rows = _video_rows(results, name)
        if rows:
            with_growth = [*COLUMNS, "faces/s to one face"] if video.faces > 1 else COLUMNS
            parts.append(f"### {video.title}\n\n{table(with_growth, rows)}")
    parts += [_bounds(results), _failures(results)]
    return "\n\n".join(part for part in parts if part) + "\n"


def _where(results: Results) -> str:
    machine = results.machine
    versions = ", ".join(f"{name} {version}" for name, version in sorted(results.versions().items()))
    rounds = [results.rounds(run.program, run.video) for run in results.latest if run.figures]
    least, most = min(rounds, default=0), max(rounds, default=0)
    number = "one round" if most == 1 else f"medians of {most if least == most else f'{least} to {most}'} rounds"
    played = "once" if results.times == 1 else f"{results.times} times"
    text = (
        f"Measured on {machine['cores']} cores of {machine['processor']}, {machine['instructions']}, "
        f"{machine['memory']}, {machine['system']}, Python {machine['python']}; {versions}. "
        f"Each clip was played {played}{_stopped(results)}; {number}."
    )
    other = max((run.other_cores for run in results.latest), default=0.0)
    busy = f" **The machine was not idle: other work took up to {other:.1f} cores. Do not quote these figures.**"
    return text + (busy if other > QUIET_CORES else "")


def _stopped(results: Results) -> str:
    """Say who was not let to the end."""
    limits_s = {
        run.program: run.figures["stopped_after_s"] for run in results.latest if run.figures.get("stopped_after_s")
    }
    titles = [PROGRAMS[name].title for name in PROGRAMS if name in limits_s]
    longest_s = max(limits_s.values(), default=0)
    return f" ({', '.join(titles)}: {longest_s:.0f} seconds of it)" if titles else ""


def _in_short(results: Results) -> str:
    def rate(program: str, video: str = "demo", figure: str = "frames_per_s") -> float | None:
        return results.median(program, video).get(figure)

    def ratio(one: float | None, other: float | None) -> float | None:
        return one / other if one and other else None

    def percent(value: float | None) -> str:
        return "" if value is None else f"{value:.0%} of that network alone"

    peer = rate(EMOTIEFFLIB)
    rows = [
        (
            "EmotiEffLib's B0, without AUs: to EmotiEffLib with MTCNN",
            ratio(rate("b0"), peer),
            percent(_share(results, "b0", "demo")),
        ),
        (
            "the same with OpenVINO in bf16",
            ratio(rate("b0-bf16"), peer),
            percent(_share(results, "b0-bf16", "demo")),
        ),
        ("default, without AUs: to EmotiEffLib with MTCNN", ratio(rate("no-au"), peer), _fps(rate("no-au"))),
        (
            "default with AUs and landmarks: to MediaPipe's landmarks alone",
            ratio(rate("default"), rate(MEDIAPIPE_ALONE)),
            _fps(rate("default")),
        ),
        (
            "default with AUs, four faces: faces/s to those with one face",
            ratio(rate("default", "four", "faces_per_s"), rate("default", "demo", "faces_per_s")),
            "",
        ),
    ]
    known = [[what, f"{value:.2f}", remark] for what, value, remark in rows if value is not None]
    return table(["in short", "ratio", ""], known) if known else ""


def _fps(value: float | None) -> str:
    return "" if value is None else f"{value:.0f} frames/s"


def _video_rows(results: Results, video: str) -> list[list[str]]:
    """Return the cells of each program that was measured on a video, the fastest first."""
    found = {name: results.median(name, video) for name in PROGRAMS}
    measured = {name: row for name, row in found.items() if "frames_per_s" in row}
    fastest_first = sorted(measured, key=lambda name: -measured[name]["frames_per_s"])
    return [_cells(results, name, video, measured) for name in fastest_first]


def _cells(results: Results, name: str, video: str, measured: Mapping[str, Mapping[str, float]]) -> list[str]:
    row, program = measured[name], PROGRAMS[name]

    def to(peer: str) -> str:
        return f"{row['frames_per_s'] / measured[peer]['frames_per_s']:.1f}" if peer in measured else ""

    share = _share(results, name, video)
    memory = row.get("peak_anonymous_mb")
    cells = [
        f"**{program.title}**" if program.kind is Kind.OURS else program.title,
        f"{row['frames_per_s']:.1f}",
        f"{row['faces_per_s']:.1f}",
        to(EMOTIEFFLIB),
        to(MEDIAPIPE_ALONE),
        "" if share is None else f"{share:.0%}",
        f"{row['latency_p50_ms']:.1f}",
        f"{row['latency_p95_ms']:.1f}",
        f"{1000 * row['cpu_s'] / row['frames']:.1f}",
        "" if memory is None else f"{memory:.0f}",
        f"{row['start_up_s']:.1f}",
    ]
    if VIDEOS[video].faces > 1:
        one = results.median(name, "demo")
        cells.append(f"{row['faces_per_s'] / one['faces_per_s']:.0%}" if one.get("faces_per_s") else "")
    return cells


def _share(results: Results, name: str, video: str) -> float | None:
    """Return a program's faces a second over those of its network alone."""
    bound = PROGRAMS[name].bound
    alone = results.median(bound, "").get("faces_per_s") if bound else None
    faces_per_s = results.median(name, video).get("faces_per_s")
    return faces_per_s / alone if faces_per_s and alone else None


def _bounds(results: Results) -> str:
    rows = []
    for name, program in PROGRAMS.items():
        row = results.median(name, "") if program.kind is Kind.BOUND else {}
        if row:
            rows.append([program.title, f"{row['faces_per_s']:.0f}", f"{1000 * row['cpu_s'] / row['faces']:.2f}"])
    return "### The networks alone\n\n" + table(["network", "faces/s", "CPU ms a face"], rows) if rows else ""


def _failures(results: Results) -> str:
    failed = [run for run in results.latest if run.error]
    titles = {run.key: ", ".join(filter(None, [PROGRAMS[run.program].title, _title(run.video)])) for run in failed}
    lines = dict.fromkeys(f"- {titles[run.key]}: {run.error}" for run in failed)
    return "### Not measured\n\n" + "\n".join(lines) if lines else ""


def _title(video: str) -> str:
    return VIDEOS[video].title if video else ""


def _write_csv(results: Results, path: Path) -> None:
    """Write one row for each program and video, with every figure that was measured."""
    rows = []
    for program, video in dict.fromkeys((run.program, run.video) for run in results.latest):
        medians = results.median(program, video)
        about = {"program": program, "title": PROGRAMS[program].title, "video": video}
        rows.append({**about, "rounds": results.rounds(program, video), **medians})
    columns = list(dict.fromkeys(name for row in rows for name in row))
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, columns)
        writer.writeheader()
        writer.writerows(rows)
