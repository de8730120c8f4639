"""How fast a whole analysis is, beside the programs that people use today and the networks alone, in one run.

    python benchmarks/speed.py --environments FOLDER --out FOLDER [--only NAME]... [--videos NAME]... [--docs]

Each peer is installed in an environment of its own under `--environments`, where it stays for the next run. Every
program runs in a process of its own, `--rounds` times in turn, on three videos made from the demo clip, each played
`--times` times; medians count. What was measured is kept in OUT/speed.json, and only what is missing there is measured
(`--again` measures anew); a program that fails is reported, left out of the rest, and tried again next time. OUT gets
speed.md, speed.csv and speed.png, and with `--docs` docs/benchmarks.md and its plot are brought up to date. The exit
code is 1 where one of affectline's own programs failed.

Times run from the first decoded frame to the last row, after a warm-up; start-up (imports, loading of models) is apart.
The B0 network has random weights in the file layout of EmotiEffLib: weights do not change speed.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from environments import environment
from machine import OtherWork, describe_machine
from speed_inputs import VIDEOS, make_clips, make_files
from speed_programs import ENVIRONMENTS, PROGRAMS, Kind, Program
from speed_report import write_docs, write_report
from speed_results import Results, Run

HERE = Path(__file__).parent
LONGEST_S = 3600
HOLDING_BACK = ("_NUM_THREADS", "OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE", "PYTHONDONTWRITEBYTECODE")


def main() -> int:
    """Measure what is missing, write the report, and return the exit code."""
    arguments = _arguments()
    arguments.out.mkdir(parents=True, exist_ok=True)
    results = Results.open(arguments.out / "speed.json", describe_machine(), arguments.times)
    missing = list(_missing(results, arguments))
    if missing:
        with tempfile.TemporaryDirectory() as folder:
            bench = Bench(Path(folder), arguments)
            failed: set[str] = set()
            for number, run in enumerate(missing, 1):
                if run.program in failed:
                    continue
                found = bench.measure(run)
                results.add(found)
                failed |= {run.program} if found.error else set()
                print(f"{number} of {len(missing)}:", found.summary, file=sys.stderr)
    write_report(results, arguments.out)
    if arguments.docs:
        write_docs(results, HERE.parent / "docs")
    print((arguments.out / "speed.md").read_text(encoding="utf-8"))
    return int(any(run.error and PROGRAMS[run.program].kind is not Kind.PEER for run in results.latest))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--environments", type=Path, default=Path(tempfile.gettempdir()) / "affectline-peers")
    parser.add_argument("--out", type=Path, default=Path("speed"))
    parser.add_argument("--only", action="append", choices=list(PROGRAMS), metavar="NAME", help=", ".join(PROGRAMS))
    parser.add_argument("--videos", action="append", choices=list(VIDEOS), metavar="NAME", help=", ".join(VIDEOS))
    parser.add_argument("--times", type=int, default=10, help="how often each clip is played")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--limit-s", type=float, help="stop a peer that decodes frame by frame after so many seconds")
    parser.add_argument("--again", action="store_true", help="measure anew what was measured already")
    parser.add_argument("--docs", action="store_true", help="bring docs/benchmarks.md up to date")
    return parser.parse_args()


def _missing(results: Results, arguments: argparse.Namespace) -> Iterator[Run]:
    """Give what is to be measured, round by round."""
    names = arguments.only or list(PROGRAMS)
    for round_number in range(1, arguments.rounds + 1):
        for name in PROGRAMS:
            # A network alone sees no video.
            videos = [""] if PROGRAMS[name].kind is Kind.BOUND else arguments.videos or list(VIDEOS)
            for video in videos if name in names else []:
                run = Run(name, video, round_number)
                if arguments.again or not results.has(run):
                    yield run


@dataclass
class Bench:
    """Runs programs, and makes what they need when it is first needed."""

    folder: Path
    arguments: argparse.Namespace

    def __post_init__(self) -> None:
        self._clips: dict[str, tuple[Path, Path]] = {}
        self._files = make_files(self.folder)

    def measure(self, run: Run) -> Run:
        """Return the run with what came of it."""
        program = PROGRAMS[run.program]
        try:
            command = self._command(program, run.video)
            other_work, began = OtherWork(), time.time()
            outcome = subprocess.run(
                command, check=True, capture_output=True, text=True, timeout=LONGEST_S, env=_free_environment()
            )
            figures = json.loads(outcome.stdout.splitlines()[-1])
        except subprocess.CalledProcessError as error:
            return run.failed(_reason(error.stderr) or f"exit code {error.returncode}")
        except subprocess.TimeoutExpired:
            return run.failed(f"not done after {LONGEST_S} seconds")
        return run.done(figures, other_work.cores(), began)

    def _command(self, program: Program, video: str) -> list[str]:
        files: Mapping[str, Path] = self._files
        clip: list[str] = []
        if video:
            if video not in self._clips:
                self._clips[video] = make_clips(self.folder, video, self.arguments.times)
            short, long = self._clips[video]
            files, clip = {**files, "short": short}, [str(long)]
        if program.kind is Kind.PEER:
            clip += ["--faces", str(VIDEOS[video].faces)]
            clip += ["--limit-s", str(self.arguments.limit_s)] if self.arguments.limit_s else []
        options = [option.format_map(files) for option in program.options]
        return [str(self._python(program)), str(HERE / program.script), *clip, *options]

    def _python(self, program: Program) -> Path:
        if program.environment is None:
            return Path(sys.executable)
        packages = ENVIRONMENTS[program.environment]
        folder = self.arguments.environments.resolve() / program.environment
        return environment(folder, packages.requirements, packages.bare)


def _free_environment() -> dict[str, str]:
    """Return the environment without what holds programs back: limits on cores and instructions, imports unkept."""
    return {name: value for name, value in os.environ.items() if not name.endswith(HOLDING_BACK)}


def _reason(stderr: str | None) -> str:
    """Return the line of a failure that says most: the last one."""
    lines = [line.strip() for line in (stderr or "").splitlines() if line.strip()]
    return lines[-1] if lines else ""


if __name__ == "__main__":
    sys.exit(main())
