"""py-feat's Detectorv2: RetinaFace, its multitask network, ArcFace; frame by frame. Runs in its own Python.

python run_pyfeat.py CLIP

Its weights come from the Hugging Face hub at the first run. py-feat sets OMP_NUM_THREADS to 1 unless it is set; here it
may use all cores.
"""

from __future__ import annotations

import os
import time

START = time.perf_counter()
os.environ.setdefault("OMP_NUM_THREADS", str(os.cpu_count()))

import cv2  # noqa: E402
import numpy as np  # noqa: E402
import torch  # noqa: E402
from feat import Detectorv2  # noqa: E402

from serial_loop import loop_arguments, measure_loop  # noqa: E402


def main() -> None:
    """Load, measure, print."""
    arguments = loop_arguments(__doc__).parse_args()
    detector = Detectorv2(device="cpu")

    def analyse(picture: np.ndarray) -> int:
        rgb = cv2.cvtColor(picture, cv2.COLOR_BGR2RGB)
        pictures = torch.from_numpy(rgb).permute(2, 0, 1)[None]
        found = detector.detect(pictures, data_type="tensor", progress_bar=False)
        return int(found["FaceScore"].gt(0).sum())

    measure_loop(analyse, arguments, time.perf_counter() - START, ["py-feat", "torch"])


if __name__ == "__main__":
    main()
