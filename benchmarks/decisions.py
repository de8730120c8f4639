"""Choosing radius and thresholds: affectline beside the loop of the reference notebook.

    python benchmarks/decisions.py [--frames 445836] [--videos 105] [--radii 30]

The validation set of the action unit task: 445,836 labelled frames of 105 videos, 12 units. A sweep fills the gaps of
every video, smooths with each radius and scores each with fixed thresholds. The notebook's loop takes the mean of a
Python slice of the frames for each frame and radius (`abaw5_expr_va_au_train.ipynb`, sb-ai-lab/EmotiEffLib), and
scores with scikit-learn; it is run for the middle radius and multiplied by their number. Both must give the same score.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import f1_score

from affectline.labels import Task
from affectline.postprocess.dense import fill_frames
from affectline.postprocess.sweep import DenseSequence, sweep_radii
from affectline.postprocess.thresholds import best_thresholds
from parts import Figures, run_parts

UNITS, THRESHOLD = 12, 0.5


@dataclass(frozen=True)
class Video:
    """Scores of the frames with a face, and labels of all frames."""

    frame: NDArray[np.int64]
    scores: NDArray[np.float32]
    truth: NDArray[np.int64]


def main() -> None:
    """Measure all four, each in a process of its own."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--frames", type=int, default=445_836)
    parser.add_argument("--videos", type=int, default=105)
    parser.add_argument("--radii", type=int, default=30)
    parts = {
        "radius sweep, affectline": sweep,
        "radius sweep, the notebook's loop": notebook_sweep,
        "exact thresholds, affectline": thresholds,
        "thresholds from a grid of 0.1, scikit-learn": grid,
    }
    run_parts(parser, parts)


def videos_of(arguments: argparse.Namespace) -> list[Video]:
    """Return videos of equal length with slow truth, noisy scores and 3 % of the frames without a face."""
    rng = np.random.default_rng(0)
    videos = []
    for part in np.array_split(np.arange(arguments.frames), arguments.videos):
        slow = np.repeat(rng.normal(size=(len(part) // 20 + 1, UNITS)), 20, axis=0)[: len(part)]
        scores = 1 / (1 + np.exp(-slow - rng.normal(size=slow.shape)))
        frame = np.flatnonzero(rng.random(len(part)) > 0.03)
        videos.append(Video(frame, scores[frame].astype(np.float32), (slow > 1).astype(np.int64)))
    return videos


def sweep(arguments: argparse.Namespace) -> Figures:
    """Fill, smooth with every radius at once, score."""
    videos = videos_of(arguments)
    begin = time.perf_counter()
    dense = [
        DenseSequence(fill_frames(one.frame, one.scores, len(one.truth)), np.arange(len(one.truth)), one.truth)
        for one in videos
    ]
    found = sweep_radii(Task.AU, dense, range(arguments.radii), np.full(UNITS, THRESHOLD))
    seconds = time.perf_counter() - begin
    return {"seconds": round(seconds, 2), "score": round(float(found[arguments.radii // 2]), 9)}


def notebook_sweep(arguments: argparse.Namespace) -> Figures:
    """Fill and smooth as the notebook does, one radius, frame by frame."""
    videos = videos_of(arguments)
    radius = arguments.radii // 2
    begin = time.perf_counter()
    smoothed, truth = [], []
    for one in videos:
        dense = filled_by_loop(one)
        for i in range(len(dense)):
            smoothed.append(np.mean(dense[max(0, i - radius) : i + radius + 1], axis=0))
        truth.append(one.truth)
    decided, true = np.array(smoothed) >= THRESHOLD, np.concatenate(truth)
    score = np.mean([f1_score(true[:, unit], decided[:, unit]) for unit in range(UNITS)])
    seconds = (time.perf_counter() - begin) * arguments.radii
    return {"seconds": round(seconds, 1), "score": round(float(score), 9), "how": "one radius times their number"}


def filled_by_loop(video: Video) -> NDArray[np.float64]:
    """Fill the gaps frame by frame, with the right weights."""
    dense = []
    after = 0
    for frame in range(len(video.truth)):
        while after < len(video.frame) - 1 and video.frame[after] < frame:
            after += 1
        before = max(after - 1, 0)
        low, high = video.frame[before], video.frame[after]
        share = 0.0 if high <= low else np.clip((frame - low) / (high - low), 0.0, 1.0)
        dense.append((1 - share) * video.scores[before].astype(np.float64) + share * video.scores[after])
    return np.array(dense)


def thresholds(arguments: argparse.Namespace) -> Figures:
    """Try every cut point of every unit."""
    scores, truth = _labelled(arguments)
    begin = time.perf_counter()
    found = best_thresholds(scores, truth)
    seconds = time.perf_counter() - begin
    return {"seconds": round(seconds, 2), "score": round(_mean_f1(scores, truth, found), 9)}


def grid(arguments: argparse.Namespace) -> Figures:
    """Try 0.1, 0.2, ... 0.9."""
    scores, truth = _labelled(arguments)
    begin = time.perf_counter()
    steps = np.arange(0.1, 1.0, 0.1)
    found = [
        steps[np.argmax([f1_score(truth[:, unit], scores[:, unit] >= step) for step in steps])] for unit in range(UNITS)
    ]
    seconds = time.perf_counter() - begin
    return {"seconds": round(seconds, 2), "score": round(_mean_f1(scores, truth, np.array(found)), 9)}


def _labelled(arguments: argparse.Namespace) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    videos = videos_of(arguments)
    return np.concatenate([one.scores for one in videos]), np.concatenate([one.truth[one.frame] for one in videos])


def _mean_f1(scores: NDArray[np.float32], truth: NDArray[np.int64], cuts: NDArray[np.float64]) -> float:
    return float(np.mean([f1_score(truth[:, unit], scores[:, unit] >= cuts[unit]) for unit in range(UNITS)]))


if __name__ == "__main__":
    main()
