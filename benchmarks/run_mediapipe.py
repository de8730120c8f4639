"""MediaPipe's FaceLandmarker alone: 478 landmarks and 52 blendshapes, video mode. Runs in its own Python.

python run_mediapipe.py CLIP --model face_landmarker.task [--faces N]
"""

from __future__ import annotations

import time
from pathlib import Path

START = time.perf_counter()

import cv2  # noqa: E402
import mediapipe  # noqa: E402
import numpy as np  # noqa: E402
from mediapipe.tasks.python import BaseOptions, vision  # noqa: E402

from serial_loop import loop_arguments, measure_loop  # noqa: E402

FRAME_MS = 42
"""Of a film of 24 frames a second."""


def main() -> None:
    """Load, measure, print."""
    parser = loop_arguments(__doc__)
    parser.add_argument("--model", type=Path, required=True)
    arguments = parser.parse_args()
    options = vision.FaceLandmarkerOptions(
        base_options=BaseOptions(model_asset_path=str(arguments.model)),
        running_mode=vision.RunningMode.VIDEO,
        num_faces=arguments.faces,
        output_face_blendshapes=True,
    )
    with vision.FaceLandmarker.create_from_options(options) as landmarker:
        seen = 0

        def analyse(picture: np.ndarray) -> int:
            nonlocal seen
            rgb = cv2.cvtColor(picture, cv2.COLOR_BGR2RGB)
            image = mediapipe.Image(image_format=mediapipe.ImageFormat.SRGB, data=rgb)
            # Video mode wants times that grow, also from the warm-up to the measurement.
            seen += 1
            return len(landmarker.detect_for_video(image, seen * FRAME_MS).face_blendshapes)

        measure_loop(analyse, arguments, time.perf_counter() - START, ["mediapipe"])


if __name__ == "__main__":
    main()
