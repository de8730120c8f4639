"""How closely the landmarks and blendshapes follow MediaPipe's own FaceLandmarker (IMAGE mode, one face).

    python benchmarks/mediapipe_agreement.py VIDEO... [--sway] [--env FOLDER] [--task-file FILE]

MediaPipe runs in an environment of its own, on the same decoded frames. Ours finds and tracks the largest face and
reads it, as `affectline analyze` does. Asked for is, of each blendshape that the action unit table uses and whose
standard deviation exceeds 0.03, a correlation of at least 0.95, and of all of them a mean absolute difference of at
most 0.05; the exit code is 1 where one of these fails. `--sway` adds each video once more, swaying: turned by up to
20 degrees, panned and zoomed.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from affectline.assets import fetch
from affectline.faces.blazeface import BlazeFace
from affectline.faces.follower import FaceFollower
from affectline.faces.landmarks import LandmarkNetwork, LandmarkReader
from affectline.faces.mesh import BLENDSHAPES, MESH_POINTS
from affectline.heads.action_units import RULES
from affectline.records import Frame
from affectline.video import read_frames
from environments import MEDIAPIPE, environment

MIN_CORRELATION, MIN_DEVIATION, MAX_DIFFERENCE = 0.95, 0.03, 0.05

REFERENCE = """
import sys
import mediapipe as mp
import numpy as np
from mediapipe.tasks.python import BaseOptions, vision

task_file, frames_file, out_file = sys.argv[1:]
frames = np.load(frames_file, mmap_mode="r")
height, width = frames.shape[1:3]
points = np.full((len(frames), 478, 3), np.nan, np.float32)
blendshapes = np.full((len(frames), 52), np.nan, np.float32)
options = vision.FaceLandmarkerOptions(
    base_options=BaseOptions(model_asset_path=task_file),
    running_mode=vision.RunningMode.IMAGE,
    num_faces=1,
    output_face_blendshapes=True,
)
with vision.FaceLandmarker.create_from_options(options) as landmarker:
    for number, rgb in enumerate(frames):
        image = mp.Image(image_format=mp.ImageFormat.SRGB, data=np.ascontiguousarray(rgb))
        result = landmarker.detect(image)
        if result.face_landmarks:
            points[number] = [(p.x * width, p.y * height, p.z * width) for p in result.face_landmarks[0]]
            blendshapes[number] = [category.score for category in result.face_blendshapes[0]]
            names = [category.category_name for category in result.face_blendshapes[0]]
np.savez(out_file, points=points, blendshapes=blendshapes, names=names)
"""

Float32Array = NDArray[np.float32]


@dataclass(frozen=True)
class Readings:
    """Points (n, 478, 3) in pixels and blendshapes (n, 52) of each frame; NaN where no face was seen."""

    points: Float32Array
    blendshapes: Float32Array


def main() -> int:
    """Print one table a clip and return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("videos", nargs="+", type=Path, metavar="VIDEO")
    parser.add_argument("--sway", action="store_true", help="add each video once more, swaying")
    parser.add_argument("--env", type=Path, default=Path(tempfile.gettempdir()) / "affectline-mediapipe")
    parser.add_argument("--task-file", type=Path, help="face_landmarker.task; fetched where not given")
    arguments = parser.parse_args()
    task_file = arguments.task_file or fetch("face_landmarker")
    python = environment(arguments.env, [MEDIAPIPE])
    print(f"`python benchmarks/mediapipe_agreement.py`, reference {MEDIAPIPE}, IMAGE mode, one face\n")
    passed = True
    for name, frames in clips(arguments.videos, sway=arguments.sway):
        passed &= compare(name, reference(python, task_file, frames), ours(task_file, frames))
    print("All requirements hold." if passed else "A requirement does not hold.")
    return 0 if passed else 1


def clips(videos: list[Path], *, sway: bool) -> Iterator[tuple[str, list[Frame]]]:
    """Give each clip's name and frames."""
    for video in videos:
        frames = list(read_frames(video))
        yield video.name, frames
        if sway:
            yield f"{video.name}, swaying", [swayed(frame) for frame in frames]


def swayed(frame: Frame) -> Frame:
    """Return the frame turned, zoomed and panned as its time says; the border is mirrored."""
    height, width = frame.rgb.shape[:2]
    turn = 2 * np.pi * float(frame.time_s or 0)
    matrix = cv2.getRotationMatrix2D((width / 2, height / 2), 20 * np.sin(turn / 4), 1 + 0.3 * np.sin(turn / 5))
    matrix[:, 2] += 0.06 * width * np.sin(turn / 3), 0.06 * height * np.sin(turn / 2.5)
    rgb = cv2.warpAffine(frame.rgb, matrix, (width, height), borderMode=cv2.BORDER_REFLECT_101)
    return Frame(frame.index, frame.time_s, rgb)


def reference(python: Path, task_file: Path, frames: list[Frame]) -> Readings:
    """Return what MediaPipe reads."""
    with tempfile.TemporaryDirectory() as folder:
        frames_file, out_file = Path(folder) / "frames.npy", Path(folder) / "readings.npz"
        np.save(frames_file, np.stack([frame.rgb for frame in frames]))
        command = [python, "-c", REFERENCE, task_file, frames_file, out_file]
        outcome = subprocess.run(command, capture_output=True, text=True, check=False)
        if outcome.returncode:
            sys.exit(outcome.stderr)
        with np.load(out_file) as readings:
            if tuple(readings["names"]) != BLENDSHAPES:
                sys.exit(f"MediaPipe names its blendshapes otherwise: {readings['names']}")
            return Readings(readings["points"], readings["blendshapes"])


def ours(task_file: Path, frames: list[Frame]) -> Readings:
    """Return what affectline reads."""
    follower = FaceFollower(BlazeFace(task_file), max_faces=1)
    reader = LandmarkReader(LandmarkNetwork(task_file))
    points = np.full((len(frames), MESH_POINTS, 3), np.nan, np.float32)
    blendshapes = np.full((len(frames), len(BLENDSHAPES)), np.nan, np.float32)
    for number, frame in enumerate(frames):
        for landmarks in reader.read(frame.rgb, follower.find(frame)):
            if landmarks is not None:
                points[number], blendshapes[number] = landmarks.points, landmarks.blendshapes
    return Readings(points, blendshapes)


def compare(name: str, theirs: Readings, mine: Readings) -> bool:
    """Print a clip's table and say whether it meets what is asked for."""
    seen_there, seen_here = ~np.isnan(theirs.points[:, 0, 0]), ~np.isnan(mine.points[:, 0, 0])
    both = seen_there & seen_here
    print(f"## {name}\n")
    print(
        f"{len(both)} frames; a face in {seen_there.sum()} by MediaPipe, in {seen_here.sum()} here, {both.sum()} both."
    )
    if not both.any():
        print("Nothing to compare.\n")
        return False
    print_distances(theirs.points[both], mine.points[both])
    used = {shape for rule in RULES for ramp in rule.ramps for shape in ramp.blendshapes}
    print("\n| blendshape | in the AU table | std | correlation | mean abs. difference |\n|---|---|---|---|---|")
    passed = True
    for column, shape in enumerate(BLENDSHAPES):
        there, here = theirs.blendshapes[both, column], mine.blendshapes[both, column]
        deviation, difference = float(there.std()), float(np.abs(there - here).mean())
        moves = deviation > MIN_DEVIATION
        correlation = float(np.corrcoef(there, here)[0, 1]) if moves else np.nan
        if moves or shape in used:
            shown = f"{correlation:.4f}" if moves else ""
            print(f"| {shape} | {'yes' if shape in used else ''} | {deviation:.3f} | {shown} | {difference:.4f} |")
        if shape in used:
            passed &= difference <= MAX_DIFFERENCE and not correlation < MIN_CORRELATION
    print()
    return passed


def print_distances(there: Float32Array, here: Float32Array) -> None:
    """Print how far the landmarks lie apart."""
    widths = np.ptp(there[:, :, 0], axis=1)
    percent = 100 * np.linalg.norm(there[:, :, :2] - here[:, :, :2], axis=2).mean(axis=1) / widths
    print(f"Landmarks lie {percent.mean():.3f} % of the face's width apart, {percent.max():.3f} % in the worst frame.")


if __name__ == "__main__":
    sys.exit(main())
