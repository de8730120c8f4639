"""One analysis by affectline: warm up on one clip, measure on another, print one line of JSON.

python run_affectline.py WARM_UP_CLIP CLIP [--backbone FILE] [--no-au]
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

START = time.perf_counter()

from affectline.analysis import AnalyzeOptions, analyze, load_models  # noqa: E402
from affectline.backbones import DEFAULT_BACKBONE  # noqa: E402
from memory import MemorySampler  # noqa: E402


def main() -> None:
    """Warm up, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("warm_up", type=Path)
    parser.add_argument("clip", type=Path)
    parser.add_argument("--backbone", default=DEFAULT_BACKBONE)
    parser.add_argument("--no-au", action="store_true")
    arguments = parser.parse_args()
    options = AnalyzeOptions(backbone=arguments.backbone, action_units=not arguments.no_au)
    models = load_models(options)
    start_s = time.perf_counter() - START
    analyze(arguments.warm_up, options, models=models)
    with MemorySampler() as memory:
        begin = time.perf_counter()
        rows = len(analyze(arguments.clip, options, models=models))
        seconds = time.perf_counter() - begin
    print(json.dumps({"fps": rows / seconds, "rows": rows, "anon_mb": max(memory.samples_mb), "start_s": start_s}))


if __name__ == "__main__":
    main()
