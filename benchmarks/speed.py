"""How fast a whole analysis is, beside the loop that people write today, in one run on one machine.

    python benchmarks/speed.py [--environments FOLDER] [--times 10] [--rounds 3]

The demo clip is played ten times. Measured is the time from the first decoded frame to the last row, after a warm-up
on the clip itself; start-up (imports, loading of models) is apart. Each program runs in a process of its own, one after
the other, `--rounds` times in turn; the median counts. The B0 network has random weights, in the file layout of
EmotiEffLib: weights do not change speed. The peer is facenet-pytorch's MTCNN and EmotiEffLib's ONNX engine.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from affectline.assets import fetch
from affectline.backbones.spec import EXAMPLE_DESCRIPTION
from environments import environment
from media import repeat

HERE = Path(__file__).parent
TORCH = ("torch==2.14.1", "torchvision==0.29.1")
PEER_NEEDS = (*TORCH, "numpy", "pillow", "requests", "tqdm", "onnx", "onnxruntime", "opencv-python-headless")
PEER_BARE = ("facenet-pytorch==2.6.0", "emotiefflib==1.1.1")


def main() -> None:
    """Run every program in turn and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--environments", type=Path, default=Path(tempfile.gettempdir()) / "affectline-peers")
    parser.add_argument("--times", type=int, default=10, help="how often the demo clip is played")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--no-peer", action="store_true", help="measure affectline alone")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        programs = _programs(Path(folder), arguments)
        results: dict[str, list[dict[str, float]]] = {name: [] for name in programs}
        for _ in range(arguments.rounds):
            for name, command in programs.items():
                outcome = subprocess.run(command, check=True, capture_output=True, text=True)
                results[name].append(json.loads(outcome.stdout.splitlines()[-1]))
                print(name, results[name][-1], file=sys.stderr)
    _print_table(results)


def _programs(folder: Path, arguments: argparse.Namespace) -> dict[str, list[str]]:
    demo = fetch("demo_clip")
    clip = repeat(demo, arguments.times, folder / "repeated.mp4")
    network = folder / "enet_b0_8_best_vgaf.onnx"
    sys.path.insert(0, str(HERE.parent / "tests"))
    from networks import random_network  # noqa: PLC0415 - the tests' builder, found only now

    network.write_bytes(random_network("b0", 8))
    network.with_suffix(".json").write_text(EXAMPLE_DESCRIPTION)
    ours = [sys.executable, str(HERE / "run_affectline.py"), str(demo), str(clip)]
    programs = {}
    if not arguments.no_peer:
        python = environment(arguments.environments / "emotiefflib", PEER_NEEDS, PEER_BARE)
        peer = HERE / "run_emotiefflib.py"
        programs["MTCNN + EmotiEffLib, B0 224 px"] = [str(python), str(peer), str(demo), str(clip), str(network)]
    programs["affectline, B0 224 px, no AU"] = [*ours, "--backbone", str(network), "--no-au"]
    programs["affectline, default, no AU"] = [*ours, "--no-au"]
    programs["affectline, default"] = ours
    programs["B0 224 px alone, ONNX Runtime, batch 16"] = [sys.executable, str(HERE / "run_network.py"), str(network)]
    return programs


def _print_table(results: dict[str, list[dict[str, float]]]) -> None:
    medians = {
        name: {key: statistics.median(run[key] for run in runs) for key in runs[0]} for name, runs in results.items()
    }
    first = next(iter(medians.values()))["fps"]
    print("| program | frames/s | ratio to the first | peak RssAnon, MB | start-up, s |")
    print("|---|---|---|---|---|")
    for name, row in medians.items():
        print(f"| {name} | {row['fps']:.1f} | {row['fps'] / first:.1f} | {row['anon_mb']:.0f} | {row['start_s']:.1f} |")


if __name__ == "__main__":
    main()
