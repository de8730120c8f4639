"""The PyPI package fer as it comes: its Haar cascade, its network in TFLite, frame by frame. Runs in its own Python.

python run_fer_video.py CLIP
"""

from __future__ import annotations

import time

START = time.perf_counter()

import numpy as np  # noqa: E402
from fer.fer import FER  # noqa: E402

from serial_loop import loop_arguments, measure_loop  # noqa: E402


def main() -> None:
    """Load, measure, print."""
    arguments = loop_arguments(__doc__).parse_args()
    recognizer = FER()

    def analyse(picture: np.ndarray) -> int:
        return len(recognizer.detect_emotions(picture))

    measure_loop(analyse, arguments, time.perf_counter() - START, ["fer", "tensorflow-cpu"])


if __name__ == "__main__":
    main()
