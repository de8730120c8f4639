"""Runs the parts of a benchmark one after the other, each in a process of its own, and prints them as one table."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Callable, Mapping

from memory import MemorySampler

Figures = dict[str, float | str]
Part = Callable[[argparse.Namespace], Figures]

PART_OPTION = "--part"


def run_parts(parser: argparse.ArgumentParser, parts: Mapping[str, Part]) -> None:
    """Run the part that `--part` names in this process, or all of them in children and print what they measured.

    Args:
        parser: with the options of the benchmark.
        parts: by their name in the table; each returns figures by the name of their column.
    """
    parser.add_argument(PART_OPTION, choices=list(parts), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.part:
        with MemorySampler() as memory:
            figures = parts[arguments.part](arguments)
        print(json.dumps({**figures, "peak RssAnon, MB": round(max(memory.samples_mb))}))
        return
    rows: dict[str, Figures] = {}
    for name in parts:
        command = [sys.executable, *sys.argv, PART_OPTION, name]
        outcome = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
        rows[name] = json.loads(outcome.stdout.splitlines()[-1])
        print(name, rows[name], file=sys.stderr)
    columns = list(dict.fromkeys(column for row in rows.values() for column in row))
    print("| |", " | ".join(columns), "|")
    print("|---|" + "---|" * len(columns))
    for name, row in rows.items():
        print(f"| {name} |", " | ".join(str(row.get(column, "")) for column in columns), "|")
