"""The bound: one ONNX network alone on all cores, in batches of 16, fed with noise. Prints one line of JSON.

python run_network.py NETWORK [--device cpu|openvino] [--precision fp32|bf16|int8] [--seconds 10]

No code of affectline runs here. `--precision` says what OpenVINO computes the float32 layers in; a file in 8 bits is
in 8 bits with any.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

START = time.perf_counter()

import numpy as np  # noqa: E402
import onnx  # noqa: E402

from memory import MemorySampler  # noqa: E402

BATCH = 16

Run = Callable[[np.ndarray], object]


def onnx_runtime(network: Path, _precision: str) -> Run:
    """Return what runs a batch in ONNX Runtime."""
    import onnxruntime  # noqa: PLC0415 - start-up is measured of the one that is used

    session = onnxruntime.InferenceSession(str(network), providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    return lambda crops: session.run(None, {name: crops})


def openvino(network: Path, precision: str) -> Run:
    """Return what runs a batch in OpenVINO."""
    import openvino  # noqa: PLC0415 - an extra

    hint = {"INFERENCE_PRECISION_HINT": "bf16" if precision == "bf16" else "f32"}
    request = openvino.Core().compile_model(str(network), "CPU", hint).create_infer_request()
    return lambda crops: request.infer([crops], share_inputs=True)


DEVICES = {"cpu": ("onnxruntime", onnx_runtime), "openvino": ("openvino", openvino)}


def main() -> None:
    """Warm up, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("network", type=Path)
    parser.add_argument("--device", choices=list(DEVICES), default="cpu")
    parser.add_argument("--precision", choices=("fp32", "bf16", "int8"), default="fp32")
    parser.add_argument("--seconds", type=float, default=10)
    arguments = parser.parse_args()
    axes = onnx.load(arguments.network).graph.input[0].type.tensor_type.shape.dim
    crops = np.random.default_rng(0).normal(size=(BATCH, *(axis.dim_value for axis in axes[1:]))).astype(np.float32)
    runtime, load = DEVICES[arguments.device]
    run = load(arguments.network, arguments.precision)
    start_up_s = time.perf_counter() - START
    run(crops)
    batches = 0
    with MemorySampler() as memory:
        began, began_cpu = time.perf_counter(), time.process_time()
        while time.perf_counter() - began < arguments.seconds:
            run(crops)
            batches += 1
        seconds, cpu_s = time.perf_counter() - began, time.process_time() - began_cpu
    figures = {
        "start_up_s": start_up_s,
        "faces": BATCH * batches,
        "seconds": seconds,
        "faces_per_s": BATCH * batches / seconds,
        "cpu_s": cpu_s,
        "peak_anonymous_mb": memory.peak_mb,
        "versions": {runtime: version(runtime)},
    }
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
