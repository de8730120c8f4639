"""How far faces that are followed by their pixels lie from detected ones, and what that saves.

    python benchmarks/detect_every.py CLIP

For the clip, and for a fast and panned one made from it (every second frame, seen through a window that swings from
side to side within a second): mean and lowest overlap (IoU) with the boxes of a search in every frame, faces that are
missed or there in addition, the share of frames that were searched, and the processor time of the finder per frame.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np

from affectline.assets import fetch
from affectline.faces.blazeface import BlazeFace
from affectline.faces.follower import FaceFollower
from affectline.faces.reference import overlaps
from affectline.inputs import expand_inputs, open_input
from affectline.records import Face, Frame
from affectline.video import Sampling

EVERY = (1, 2, 3, 4, 6, 8, None)
WINDOW = 0.7
"""Width and height of the swinging window, in parts of the picture."""


def main() -> None:
    """Measure both clips and print the rows of a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("clip", type=Path)
    clip = parser.parse_args().clip
    (given,) = expand_inputs([clip], None)
    frames = list(open_input(given, None).frames(Sampling(), None))
    print("| clip | search every | IoU, mean | lowest | faces | missed | more | frames searched | ms a frame |")
    print("|---|---|---|---|---|---|---|---|---|")
    for name, film in (("as it is", frames), ("fast, panned", panned(frames))):
        full, _ = find(film, 1)
        for every in EVERY:
            print(row(name, every, full, *find(film, every)))


def panned(frames: list[Frame]) -> list[Frame]:
    """Return every second frame, at the times of successive ones, through a window that swings once a second."""
    height, width = frames[0].rgb.shape[:2]
    window_h, window_w = round(WINDOW * height), round(WINDOW * width)
    found = []
    for number, (frame, shown) in enumerate(zip(frames[: len(frames) // 2], frames[::2], strict=False)):
        phase = 0.5 - 0.5 * np.cos(2 * np.pi * float(frame.time_s or 0))
        left, top = round(phase * (width - window_w)), round(phase * (height - window_h))
        picture = np.ascontiguousarray(shown.rgb[top : top + window_h, left : left + window_w])
        found.append(Frame(number, frame.time_s, picture))
    return found


def find(frames: list[Frame], every: int | None) -> tuple[list[list[Face]], float]:
    """Return the faces of each frame and the processor milliseconds per frame."""
    follower = FaceFollower(BlazeFace(fetch("face_landmarker")), None, every)
    begun_s = time.thread_time()
    faces = [follower.find(frame) for frame in frames]
    return faces, 1000 * (time.thread_time() - begun_s) / len(frames)


def row(name: str, every: int | None, full: list[list[Face]], found: list[list[Face]], milliseconds: float) -> str:
    """Return one row of the table."""
    overlap: list[float] = []
    missed = more = 0
    for wanted, there in zip(full, found, strict=True):
        first, second = ({face.track_id: face.box_xyxy for face in faces} for faces in (wanted, there))
        missed += len(first.keys() - second.keys())
        more += len(second.keys() - first.keys())
        overlap += [float(overlaps(first[n][None], second[n][None])[0, 0]) for n in first.keys() & second.keys()]
    searched = np.mean([all(face.is_detected for face in faces) for faces in found])
    return (
        f"| {name} | {'auto' if every is None else every} | {np.mean(overlap):.3f} | {min(overlap):.3f} "
        f"| {sum(map(len, full))} | {missed} | {more} | {searched:.0%} | {milliseconds:.1f} |"
    )


if __name__ == "__main__":
    main()
