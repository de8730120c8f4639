"""Training heads on as many frames as Aff-Wild2 has: affectline beside the way of the reference notebook.

    python benchmarks/train_heads.py --folder DIR [--expr-frames 585317] [--va-frames 1653757]

EXPR: a hidden layer of 128 on 1280-d embeddings, one epoch. VA: two tanh outputs on 8 logits, valence and arousal, 20
epochs. The data are a synthetic set with that many training frames, in the store that `affectline extract` would fill.
The notebook (`abaw5_expr_va_au_train.ipynb`, sb-ai-lab/EmotiEffLib) loads all features into one float32 array and calls
Keras' `fit` with batches of 256 (EXPR) and 1024 (VA) frames. Keras is not needed here: the same loop is written in
PyTorch, over an array in memory, with a new order each epoch.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import nn

from affectline.datasets.loading import DataOptions, load_labelled
from affectline.datasets.synthetic.write import SynthOptions, write_synthetic
from affectline.features import FeaturePart
from affectline.labels import Task
from affectline.training.epochs import RunOptions
from affectline.training.examples import Examples
from affectline.training.heads import MlpTrainer
from affectline.training.losses import make_loss
from affectline.training.params import DEFAULTS
from parts import Figures, run_parts

FRAMES_OF_A_VIDEO, TRAIN_SHARE, LABELLED_SHARE = 1000, 0.6, 0.96
NARROW = 32
EXPR_PARTS = (FeaturePart.EMBEDDING,)
VA_PARTS = (FeaturePart.LOGITS, FeaturePart.VALENCE_AROUSAL)
VA_EPOCHS = 20


def main() -> None:
    """Make the data, measure all four, each in a process of its own."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--expr-frames", type=int, default=585_317)
    parser.add_argument("--va-frames", type=int, default=1_653_757)
    parser.add_argument("--folder", type=Path, required=True, help="where the data are kept; made if not there")
    parts = {
        "data": make_data,
        "EXPR, 1 epoch, affectline": expr,
        "EXPR, 1 epoch, the notebook's way": notebook_expr,
        "VA, 20 epochs, affectline": va,
        "VA, 20 epochs, the notebook's way": notebook_va,
    }
    run_parts(parser, parts)


def make_data(arguments: argparse.Namespace) -> Figures:
    """Make both sets, where they are not there yet."""
    begin = time.perf_counter()
    arguments.folder.mkdir(parents=True, exist_ok=True)
    for name, frames, width in (("expr", arguments.expr_frames, 1280), ("va", arguments.va_frames, NARROW)):
        root = arguments.folder / name
        if not root.exists():
            videos = round(frames / LABELLED_SHARE / TRAIN_SHARE / FRAMES_OF_A_VIDEO) + 2
            write_synthetic(root, SynthOptions(videos, FRAMES_OF_A_VIDEO, width=width))
    return {"seconds": round(time.perf_counter() - begin, 1)}


def expr(arguments: argparse.Namespace) -> Figures:
    """Train one more epoch than the first; the first also finds means and deviations."""
    return _affectline(arguments, Task.EXPR, "expr", "synthetic_b0", EXPR_PARTS, 2)


def va(arguments: argparse.Namespace) -> Figures:
    """Train 20 epochs."""
    return _affectline(arguments, Task.VA, "va", "synthetic_mt", VA_PARTS, VA_EPOCHS)


def _affectline(
    arguments: argparse.Namespace, task: Task, name: str, backbone: str, parts: tuple[FeaturePart, ...], epochs: int
) -> Figures:
    begin = time.perf_counter()
    data = load_labelled(task, "train", _place(arguments, name, backbone))
    loaded = time.perf_counter()
    ends = []
    run = RunOptions(on_epoch=lambda *_: ends.append(time.perf_counter()))
    MlpTrainer(replace(DEFAULTS[task], parts=parts, epochs=epochs), run).fit(data, None)
    frames = int(sum(one.has_face.sum() for one in data.sequences))
    whole = ends[-1] - loaded
    seconds = whole if task is Task.VA else ends[-1] - ends[-2]
    return {"frames": frames, "seconds": round(seconds, 1), "loading, s": round(ends[0] - begin - whole / epochs, 1)}


def notebook_expr(arguments: argparse.Namespace) -> Figures:
    """Load everything, then go through it in batches of 256."""
    return _notebook(arguments, Task.EXPR, "expr", "synthetic_b0", EXPR_PARTS)


def notebook_va(arguments: argparse.Namespace) -> Figures:
    """Load everything, then go through it 20 times in batches of 1024."""
    return _notebook(arguments, Task.VA, "va", "synthetic_mt", VA_PARTS)


def _notebook(
    arguments: argparse.Namespace, task: Task, name: str, backbone: str, parts: tuple[FeaturePart, ...]
) -> Figures:
    begin = time.perf_counter()
    data = load_labelled(task, "train", _place(arguments, name, backbone))
    examples = Examples(data, parts)
    inputs = np.concatenate([block for block, _ in examples.batches(16_384, None)])
    loaded = time.perf_counter()
    n_labels = len(data.labels)
    if task is Task.EXPR:
        network = nn.Sequential(nn.Linear(inputs.shape[1], 128), nn.ReLU(), nn.Linear(128, n_labels))
    else:
        network = nn.Sequential(nn.Linear(inputs.shape[1], n_labels))
    _fit(network, inputs, examples.target, task)
    seconds = time.perf_counter() - loaded
    return {"frames": len(inputs), "seconds": round(seconds, 1), "loading, s": round(loaded - begin, 1)}


def _fit(network: nn.Module, inputs: np.ndarray, target: np.ndarray, task: Task) -> None:
    loss_of = make_loss(task, target, int(target.max()) + 1 if task is Task.EXPR else target.shape[1])
    batch, epochs = (256, 1) if task is Task.EXPR else (1024, VA_EPOCHS)
    optimiser = torch.optim.Adam(network.parameters())
    x, y = torch.from_numpy(inputs), torch.from_numpy(target)
    for _ in range(epochs):
        for picked in torch.randperm(len(x)).split(batch):
            optimiser.zero_grad(set_to_none=True)
            loss_of(network(x[picked]), y[picked]).backward()
            optimiser.step()


def _place(arguments: argparse.Namespace, name: str, backbone: str) -> DataOptions:
    root = arguments.folder / name
    return DataOptions(root / "store", root / "annotations", backbones=(backbone,))


if __name__ == "__main__":
    main()
