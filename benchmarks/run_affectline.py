"""One analysis by affectline, measured as `affectline bench` does it, after a warm-up on a short clip.

python run_affectline.py CLIP --warm-up SHORT_CLIP [--backbone FILE] [--no-au] [--device NAME] [--precision NAME]
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path

START = time.perf_counter()

from affectline.bench import measure  # noqa: E402
from affectline.models import load_models  # noqa: E402
from affectline.options import AnalyzeOptions  # noqa: E402


def main() -> None:
    """Warm up, measure, print one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("clip", type=Path)
    parser.add_argument("--warm-up", type=Path, required=True)
    parser.add_argument("--backbone")
    parser.add_argument("--no-au", action="store_true")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--precision", default="fp32")
    arguments = parser.parse_args()
    options = AnalyzeOptions(
        backbone=arguments.backbone,
        action_units=not arguments.no_au,
        device=arguments.device,
        precision=arguments.precision,
    )
    models = load_models(options)
    start_up_s = time.perf_counter() - START
    measure(arguments.warm_up, models, options)
    result = asdict(measure(arguments.clip, models, options, start_up_s=start_up_s))
    runtime = "openvino" if arguments.device == "openvino" else "onnxruntime"
    versions = {"affectline": result.pop("affectline"), runtime: version(runtime)}
    print(json.dumps({**result, "versions": versions}))


if __name__ == "__main__":
    main()
