"""How fast a synthetic set of a million frames is made.

    python benchmarks/synthetic.py [--videos 1000] [--frames 1000] [--width 1280] [--folder DIR]

Feature tables of two backbones, annotations, latents and ceilings; the bound beside it is writing as many bytes of
noise to the same disk.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from pathlib import Path

import numpy as np

from affectline.datasets.synthetic.write import SynthOptions, write_synthetic
from parts import Figures, run_parts


def main() -> None:
    """Measure both, each in a process of its own."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--videos", type=int, default=1000)
    parser.add_argument("--frames", type=int, default=1000, help="of each video on average")
    parser.add_argument("--width", type=int, default=1280, help="of the embeddings")
    parser.add_argument("--folder", type=Path, help="where the set is made and removed")
    run_parts(parser, {"affectline synth": synth, "writing as many bytes": write_bytes})


def synth(arguments: argparse.Namespace) -> Figures:
    """Make the set."""
    with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
        begin = time.perf_counter()
        options = SynthOptions(arguments.videos, arguments.frames, width=arguments.width)
        result = write_synthetic(Path(folder) / "set", options)
        seconds = time.perf_counter() - begin
        size = sum(path.stat().st_size for path in Path(folder).rglob("*") if path.is_file())
    return {"frames": result.frames, "seconds": round(seconds, 1), "MB": round(size / 1e6)}


def write_bytes(arguments: argparse.Namespace) -> Figures:
    """Write noise of about the size of the embeddings, file by file."""
    n_files = 2 * arguments.videos
    noise = np.random.default_rng(0).bytes(arguments.frames * arguments.width * 2)
    with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
        begin = time.perf_counter()
        for number in range(n_files):
            (Path(folder) / str(number)).write_bytes(noise)
        os.sync()
        seconds = time.perf_counter() - begin
    return {"seconds": round(seconds, 1), "MB": round(n_files * len(noise) / 1e6)}


if __name__ == "__main__":
    main()
