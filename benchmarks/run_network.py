"""The bound: one ONNX network alone on all cores, in batches of 16, fed with noise. Prints one line of JSON.

python run_network.py NETWORK
"""

from __future__ import annotations

import json
import sys
import time

START = time.perf_counter()

import numpy as np  # noqa: E402
import onnxruntime  # noqa: E402

from memory import anonymous_mb  # noqa: E402

BATCH, ROUNDS = 16, 20


def main() -> None:
    """Warm up, measure, print."""
    session = onnxruntime.InferenceSession(sys.argv[1], providers=["CPUExecutionProvider"])
    entry = session.get_inputs()[0]
    crops = np.random.default_rng(0).normal(size=(BATCH, *entry.shape[1:])).astype(np.float32)
    start_s = time.perf_counter() - START
    session.run(None, {entry.name: crops})
    begin = time.perf_counter()
    for _ in range(ROUNDS):
        session.run(None, {entry.name: crops})
    fps = BATCH * ROUNDS / (time.perf_counter() - begin)
    print(json.dumps({"fps": fps, "rows": BATCH * ROUNDS, "anon_mb": anonymous_mb(), "start_s": start_s}))


if __name__ == "__main__":
    main()
