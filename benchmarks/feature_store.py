"""Filling the feature store, and running through it.

    python benchmarks/feature_store.py --folder DIR [--crops 3000] [--rows 2900000]

Extraction: a folder `cropped` of JPEGs (112 px, like Aff-Wild2's aligned crops) through a random network in the layout
of EfficientNet-B0 and through the default backbone, as `affectline extract` does it. The bound beside each is the
network alone, on all cores, in the same batches, fed with crops that are prepared already.

Reading: 2.9 million rows of 1280-d float16 embeddings, once in random order in batches of 512, in a process that may
use 4 GB with all files that it has in memory. The bound beside it is reading the same files from first to last byte.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import cv2
import numpy as np

from affectline.backbones import DEFAULT_BACKBONE, load_backbone
from affectline.datasets.layout import crop_name
from affectline.datasets.synthetic.backbone import make_backbones
from affectline.extract import ExtractOptions, extract_all, find_sources, load_extractor
from affectline.extract.crops import BATCH
from affectline.features import CropKind, FeaturePart
from affectline.features.store import FeatureStore
from affectline.features.view import FeatureView
from affectline.features.writer import write_features
from affectline.records import FaceFeatures
from memory import limit_memory
from parts import Figures, run_parts
from random_b0 import LOGITS, write_random_b0

ROWS_OF_A_VIDEO, WIDTH, READ_BATCH = 5000, 1280, 512
LIMIT = 4 * 2**30


def main() -> None:
    """Make the data, measure, each part in a process of its own."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--crops", type=int, default=3000)
    parser.add_argument("--size", type=int, default=112, help="of the crops, pixels")
    parser.add_argument("--rows", type=int, default=2_900_000)
    parser.add_argument("--folder", type=Path, required=True, help="where the data are kept; made if not there")
    parts = {
        "data": make_data,
        "B0 224 px, network alone": lambda arguments: network_alone(arguments, _b0(arguments)),
        "B0 224 px, extract": lambda arguments: extract(arguments, _b0(arguments)),
        "default, network alone": lambda arguments: network_alone(arguments, DEFAULT_BACKBONE),
        "default, extract": lambda arguments: extract(arguments, DEFAULT_BACKBONE),
        "all rows in random order": read_at_random,
        "all bytes in order": read_bytes,
    }
    run_parts(parser, parts)


def _b0(arguments: argparse.Namespace) -> str:
    return str(arguments.folder / "enet_b0_8_best_vgaf.onnx")


def make_data(arguments: argparse.Namespace) -> Figures:
    """Make crops, a network and a store, where they are not there yet."""
    begin = time.perf_counter()
    arguments.folder.mkdir(parents=True, exist_ok=True)
    network = Path(_b0(arguments))
    if not network.exists():
        write_random_b0(network)
    crops = arguments.folder / "cropped"
    if not crops.exists():
        _make_crops(crops / "clip", arguments.crops, arguments.size)
    if not (arguments.folder / "store").exists():
        _make_store(FeatureStore(arguments.folder / "store", create=True), arguments.rows)
    return {"seconds": round(time.perf_counter() - begin, 1)}


def _make_crops(folder: Path, n: int, size: int) -> None:
    folder.mkdir(parents=True)
    rng = np.random.default_rng(0)
    for frame in range(n):
        coarse = rng.integers(0, 256, (14, 14, 3), np.uint8)
        picture = cv2.resize(coarse, (size, size), interpolation=cv2.INTER_CUBIC)
        cv2.imwrite(str(folder / crop_name(frame)), picture)


def _make_store(store: FeatureStore, n_rows: int) -> None:
    backbone = make_backbones(WIDTH, 0)[0]
    rng = np.random.default_rng(0)
    embedding = rng.standard_normal((ROWS_OF_A_VIDEO, WIDTH), np.float32).astype(np.float16)
    logits = rng.standard_normal((ROWS_OF_A_VIDEO, LOGITS), np.float32)
    for number in range(-(-n_rows // ROWS_OF_A_VIDEO)):
        n = min(ROWS_OF_A_VIDEO, n_rows - number * ROWS_OF_A_VIDEO)
        frames = np.arange(n)
        features = FaceFeatures(embedding[:n], logits[:n])
        info = backbone.info(f"video{number:05d}", n)
        write_features(store, info, (frames, frames / 30.0, features, None, None, None))
    store.refresh()


def network_alone(arguments: argparse.Namespace, name: str) -> Figures:
    """Run the network on prepared crops."""
    backbone = load_backbone(name)
    size = backbone.spec.size
    inputs = np.random.default_rng(0).normal(size=(BATCH, 3, size, size)).astype(np.float32)
    backbone.run(inputs)
    begin = time.perf_counter()
    rounds = -(-arguments.crops // BATCH)
    for _ in range(rounds):
        backbone.run(inputs)
    seconds = time.perf_counter() - begin
    return {"rows": rounds * BATCH, "seconds": round(seconds, 1), "rows/s": round(rounds * BATCH / seconds)}


def extract(arguments: argparse.Namespace, name: str) -> Figures:
    """Extract all crops into a new store."""
    options = ExtractOptions(name)
    sources = find_sources([arguments.folder / "cropped"], None)
    extractor = load_extractor(options, sources)
    size = extractor.backbone.spec.size
    extractor.backbone.run(np.zeros((BATCH, 3, size, size), np.float32))
    with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
        store = FeatureStore(Path(folder), create=True)
        begin = time.perf_counter()
        rows = sum(one.rows for one in extract_all(sources, store, extractor))
        seconds = time.perf_counter() - begin
    return {"rows": rows, "seconds": round(seconds, 1), "rows/s": round(rows / seconds)}


def read_at_random(arguments: argparse.Namespace) -> Figures:
    """Go through all rows once."""
    limit = limit_memory(LIMIT)
    store = FeatureStore(arguments.folder / "store")
    _, digest = store.find_backbone(None)
    videos = sorted(store.videos(digest, CropKind.CROPPED))
    tables = [store.open(digest, CropKind.CROPPED, video) for video in videos]
    view = FeatureView([(table, np.arange(len(table))) for table in tables], (FeaturePart.EMBEDDING,))
    begin = time.perf_counter()
    rows = sum(len(inputs) for _, inputs in view.batches(READ_BATCH, seed=0))
    seconds = time.perf_counter() - begin
    return {"rows": rows, "seconds": round(seconds, 1), "rows/s": round(rows / seconds), "memory limit": limit}


def read_bytes(arguments: argparse.Namespace) -> Figures:
    """Read all files of the store."""
    limit = limit_memory(LIMIT)
    begin = time.perf_counter()
    for path in (arguments.folder / "store").rglob("*.arrow"):
        with path.open("rb", buffering=0) as file:
            while file.read(2**24):
                pass
    seconds = time.perf_counter() - begin
    return {"rows": arguments.rows, "seconds": round(seconds, 1), "memory limit": limit}


if __name__ == "__main__":
    main()
