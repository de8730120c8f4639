"""The bound: one ONNX network alone on all cores, in batches of 16, fed with noise. Prints one line of JSON.

python run_network.py NETWORK [--device cpu|openvino] [--precision fp32|bf16|int8] [--seconds 8]

All cores compute one batch, then each core one of its own; the faster of the two counts. No code of affectline runs
here. `--precision` says what OpenVINO computes the float32 layers in; a file in 8 bits is in 8 bits with any.
"""

from __future__ import annotations

import argparse
import json
import os
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import version
from pathlib import Path

START = time.perf_counter()
CORES = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1

import numpy as np  # noqa: E402
import onnx  # noqa: E402

from memory import MemorySampler  # noqa: E402

BATCH = 16

Run = Callable[[np.ndarray], object]


def onnx_runtime(network: Path, _precision: str, lanes: int) -> Run:
    """Return what runs a batch in ONNX Runtime, from so many threads at once."""
    import onnxruntime  # noqa: PLC0415 - start-up is measured of the one that is used

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = CORES - lanes + 1
    session = onnxruntime.InferenceSession(str(network), options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    return lambda crops: session.run(None, {name: crops})


def openvino(network: Path, precision: str, lanes: int) -> Run:
    """Return what runs a batch in OpenVINO, from so many threads at once."""
    import openvino  # noqa: PLC0415 - an extra

    hints = {"INFERENCE_PRECISION_HINT": "bf16" if precision == "bf16" else "f32", "NUM_STREAMS": lanes}
    compiled = openvino.Core().compile_model(str(network), "CPU", hints | {"INFERENCE_NUM_THREADS": CORES})
    requests = threading.local()

    def run(crops: np.ndarray) -> object:
        if not hasattr(requests, "own"):
            requests.own = compiled.create_infer_request()
        return requests.own.infer([crops], share_inputs=True)

    return run


DEVICES = {"cpu": ("onnxruntime", onnx_runtime), "openvino": ("openvino", openvino)}


def main() -> None:
    """Warm up, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("network", type=Path)
    parser.add_argument("--device", choices=list(DEVICES), default="cpu")
    parser.add_argument("--precision", choices=("fp32", "bf16", "int8"), default="fp32")
    parser.add_argument("--seconds", type=float, default=8, help="for each of the two ways")
    arguments = parser.parse_args()
    axes = onnx.load(arguments.network).graph.input[0].type.tensor_type.shape.dim
    crops = np.random.default_rng(0).normal(size=(BATCH, *(axis.dim_value for axis in axes[1:]))).astype(np.float32)
    runtime, load = DEVICES[arguments.device]
    ways, start_up_s = [], 0.0
    for lanes in {1, CORES}:
        run = load(arguments.network, arguments.precision, lanes)
        start_up_s = start_up_s or time.perf_counter() - START
        ways.append(measure(lambda run=run: run(crops), lanes, arguments.seconds))
    best = max(ways, key=lambda figures: figures["faces_per_s"])
    print(json.dumps({"start_up_s": start_up_s, **best, "versions": {runtime: version(runtime)}}))


def measure(run: Callable[[], object], lanes: int, seconds: float) -> dict[str, float | None]:
    """Run batches from so many threads for so long."""

    def lane(_: int) -> int:
        batches = 0
        while time.perf_counter() - began < seconds:
            run()
            batches += 1
        return batches

    run()
    with MemorySampler() as memory, ThreadPoolExecutor(lanes) as executor:
        began, began_cpu = time.perf_counter(), time.process_time()
        faces = BATCH * sum(executor.map(lane, range(lanes)))
        took_s, cpu_s = time.perf_counter() - began, time.process_time() - began_cpu
    return {
        "lanes": lanes,
        "faces": faces,
        "seconds": took_s,
        "faces_per_s": faces / took_s,
        "cpu_s": cpu_s,
        "peak_anonymous_mb": memory.peak_mb,
    }


if __name__ == "__main__":
    main()
