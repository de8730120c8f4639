"""The loop that people write today: OpenCV, facenet-pytorch's MTCNN, EmotiEffLib's ONNX engine. Runs in its own Python.

python run_emotiefflib.py WARM_UP_CLIP CLIP NETWORK
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

START = time.perf_counter()

import cv2  # noqa: E402
import emotiefflib.facial_analysis as emotiefflib  # noqa: E402
from facenet_pytorch import MTCNN  # noqa: E402

from memory import MemorySampler  # noqa: E402


def run(clip: str, detector: MTCNN, recognizer: object) -> int:
    """Return how many frames gave a row."""
    rows = 0
    video = cv2.VideoCapture(clip)
    while True:
        there, frame = video.read()
        if not there:
            return rows
        rgb = cv2.cvtColor(frame, cv2.COLOR_BGR2RGB)
        boxes, _ = detector.detect(rgb)
        if boxes is None:
            continue
        x1, y1, x2, y2 = (max(0, int(value)) for value in boxes[0])
        recognizer.predict_emotions(rgb[y1:y2, x1:x2], logits=False)
        rows += 1


def main() -> None:
    """Warm up, measure, print one line of JSON."""
    warm_up, clip, network = sys.argv[1:]
    emotiefflib.get_model_path_onnx = lambda _: network
    recognizer = emotiefflib.EmotiEffLibRecognizer(engine="onnx", model_name=Path(network).stem)
    detector = MTCNN(keep_all=False, post_process=False, min_face_size=40, device="cpu")
    start_s = time.perf_counter() - START
    run(warm_up, detector, recognizer)
    with MemorySampler() as memory:
        begin = time.perf_counter()
        rows = run(clip, detector, recognizer)
        seconds = time.perf_counter() - begin
    print(json.dumps({"fps": rows / seconds, "rows": rows, "anon_mb": max(memory.samples_mb), "start_s": start_s}))


if __name__ == "__main__":
    main()
