"""The loop that people write today: OpenCV, a face detector, EmotiEffLib's ONNX engine. Runs in its own Python.

python run_emotiefflib.py CLIP --network FILE [--detector mtcnn|affectline]

Detection is as in EmotiEffLib's own example: MTCNN of facenet-pytorch, faces of 40 px and more that it is sure of by
0.9. All faces of a frame go through the network together.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

START = time.perf_counter()

import cv2  # noqa: E402
import emotiefflib.facial_analysis as emotiefflib  # noqa: E402
import numpy as np  # noqa: E402

from serial_loop import loop_arguments, measure_loop  # noqa: E402

Detect = Callable[[np.ndarray], np.ndarray]
"""Takes a picture, uint8, RGB, and returns the corners of its faces, shape (n, 4)."""


def mtcnn() -> Detect:
    """Return the detector of facenet-pytorch."""
    from facenet_pytorch import MTCNN  # noqa: PLC0415 - the other detector's environment has none

    detector = MTCNN(keep_all=False, post_process=False, min_face_size=40, device="cpu")

    def detect(rgb: np.ndarray) -> np.ndarray:
        boxes, scores = detector.detect(rgb)
        return np.empty((0, 4)) if boxes is None else boxes[scores > 0.9].astype(float)

    return detect


def affectline() -> Detect:
    """Return affectline's finder, which searches every frame and tracks, and nothing else of affectline."""
    from affectline.faces.follower import FaceFollower  # noqa: PLC0415 - the other detector's environment has none
    from affectline.faces.registry import load_detector  # noqa: PLC0415
    from affectline.records import Frame  # noqa: PLC0415

    follower = FaceFollower(load_detector())
    seen = 0

    def detect(rgb: np.ndarray) -> np.ndarray:
        nonlocal seen
        faces = follower.find(Frame(seen, seen / 24, rgb))
        seen += 1
        return np.array([face.box_xyxy for face in faces]).reshape(-1, 4)

    return detect


DETECTORS = {"mtcnn": mtcnn, "affectline": affectline}


def main() -> None:
    """Load, measure, print."""
    parser = loop_arguments(__doc__)
    parser.add_argument("--network", type=Path, required=True)
    parser.add_argument("--detector", choices=list(DETECTORS), default="mtcnn")
    arguments = parser.parse_args()
    emotiefflib.get_model_path_onnx = lambda _: str(arguments.network)
    recognizer = emotiefflib.EmotiEffLibRecognizer(engine="onnx", model_name=arguments.network.stem)
    detect = DETECTORS[arguments.detector]()

    def analyse(picture: np.ndarray) -> int:
        rgb = cv2.cvtColor(picture, cv2.COLOR_BGR2RGB)
        corners = detect(rgb).clip(0).astype(int)
        crops = [rgb[y1:y2, x1:x2] for x1, y1, x2, y2 in corners if x1 < x2 and y1 < y2]
        if crops:
            recognizer.predict_emotions(crops, logits=False)
        return len(crops)

    uses = ["emotiefflib", "onnxruntime", *(["facenet-pytorch", "torch"] if arguments.detector == "mtcnn" else [])]
    measure_loop(analyse, arguments, time.perf_counter() - START, uses)


if __name__ == "__main__":
    main()
