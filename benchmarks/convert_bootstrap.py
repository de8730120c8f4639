"""Make the embedded default backbone out of the network that training gave.

    python benchmarks/convert_bootstrap.py BOOTSTRAP.onnx FERPLUS.npz src/affectline/data/lite0_ferplus.onnx

BOOTSTRAP.onnx takes (n, 3, 96, 96) and gives `embedding` and `expression_logits`; FERPLUS.npz holds `<split>_x`
(n, 48, 48) uint8 and `<split>_v` (n, 10) votes for the splits `valid` and `test`. The description that is written into
the file is the registry's; the temperature is fitted here, and a registry that says otherwise is an error.
"""

from __future__ import annotations

import argparse
import hashlib
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray
from onnx import numpy_helper
from scipy.optimize import minimize_scalar

from affectline.backbones import BACKBONES
from affectline.backbones.files import METADATA_KEY
from affectline.backbones.network import open_network
from affectline.backbones.preprocess import Preprocessor
from affectline.backbones.spec import describe
from affectline.evaluation.calibration import calibration_error
from affectline.heads.pretrained import expression_probabilities
from affectline.records import FaceFeatures, FloatArray

SPEC = BACKBONES["lite0_ferplus"]
OUTPUTS = ["embedding", "expression_logits"]
TOLERANCE = 1e-2
LARGE = 200_000


def main() -> None:
    """Convert, measure, fit and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bootstrap", type=Path)
    parser.add_argument("ferplus", type=Path)
    parser.add_argument("out", type=Path)
    args = parser.parse_args()
    original = args.bootstrap.read_bytes()
    network = halve_weights(simplify(args.bootstrap))
    onnx.helper.set_model_props(network, {METADATA_KEY: describe(SPEC)})
    onnx.checker.check_model(network)
    converted = network.SerializeToString()
    report_difference(original, converted, args.ferplus)
    temperature = report_calibration(converted, args.ferplus)
    report_speed(original, converted)
    if abs(temperature - SPEC.temperature) > 5e-3:
        raise SystemExit(f"the registry says temperature {SPEC.temperature}, the fit {temperature:.3f}: correct it")
    args.out.write_bytes(converted)
    print(f"{args.out}: {len(converted)} bytes, sha256 {hashlib.sha256(converted).hexdigest()}")


def simplify(path: Path) -> onnx.ModelProto:
    """Return the network with constants folded and padding merged into the convolutions, in standard operators."""
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder) / "simple.onnx"
        options = onnxruntime.SessionOptions()
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
        options.optimized_model_filepath = str(place)
        onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        network = onnx.load(place)
    standard = [entry for entry in network.opset_import if not entry.domain]
    del network.opset_import[:]
    network.opset_import.extend(standard)
    return network


def halve_weights(network: onnx.ModelProto) -> onnx.ModelProto:
    """Return the network with its large weights kept as float16; a Cast, run once on loading, makes them float32.

    They hold seven tenths of the file. The small weights of the first layers, in float16 too, would save another fifth
    and move single logits by 0.026.
    """
    graph = network.graph
    casts = []
    for tensor in graph.initializer:
        values = numpy_helper.to_array(tensor)
        if values.dtype != np.float32 or values.size < LARGE:
            continue
        wide, narrow = tensor.name, f"{tensor.name}.half"
        tensor.CopyFrom(numpy_helper.from_array(values.astype(np.float16), narrow))
        casts.append(onnx.helper.make_node("Cast", [narrow], [wide], to=onnx.TensorProto.FLOAT))
    nodes = [*casts, *graph.node]
    del graph.node[:]
    graph.node.extend(nodes)
    return network


@dataclass(frozen=True)
class Split:
    """Photographs of FER+ whose likeliest label is one of the eight.

    Attributes:
        inputs: (n, 3, 96, 96) float32.
        labels: (n,) positions in FERPLUS_8.
        official: (n,) bool, counted by the official protocol.
    """

    inputs: FloatArray
    labels: NDArray[np.intp]
    official: NDArray[np.bool_]


def read_split(path: Path, name: str) -> Split:
    """Return one split, labelled as the FER+ reference code does."""
    with np.load(path) as arrays:
        pictures, votes = arrays[f"{name}_x"], arrays[f"{name}_v"].astype(float)
    votes[votes <= 1] = 0
    labels = votes.argmax(axis=1)
    plurality = labels < len(SPEC.labels)
    official = plurality & (votes.max(axis=1) > 0.5 * votes.sum(axis=1))
    prepare = Preprocessor(SPEC)
    inputs = np.stack([prepare(np.repeat(picture[..., None], 3, axis=2)) for picture in pictures[plurality]])
    return Split(inputs, labels[plurality], official[plurality])


def run(content: bytes, inputs: FloatArray) -> FaceFeatures:
    """Return embeddings and logits of all inputs."""
    network = open_network(content, "network")
    parts = [network.run(inputs[start : start + 64], OUTPUTS) for start in range(0, len(inputs), 64)]
    return FaceFeatures(*(np.concatenate(column) for column in zip(*parts, strict=True)))


def report_difference(original: bytes, converted: bytes, ferplus: Path) -> None:
    """Print how far the outputs moved on test photographs, and stop if it is too far."""
    inputs = read_split(ferplus, "test").inputs
    before, after = run(original, inputs), run(converted, inputs)
    for name in ("embedding", "logits"):
        old, new = getattr(before, name), getattr(after, name)
        largest = np.abs(old - new).max()
        print(f"{name}: largest difference {largest:.2g}, largest value {np.abs(old).max():.2f}, {len(inputs)} faces")
        if largest > TOLERANCE:
            raise SystemExit(f"{name} moved by more than {TOLERANCE}")
    changed = (before.logits.argmax(axis=1) != after.logits.argmax(axis=1)).sum()
    print(f"labels that changed: {changed} of {len(inputs)}")


def report_calibration(converted: bytes, ferplus: Path) -> float:
    """Fit the temperature on the validation split, print what it does to the test split, and return it."""
    valid = read_split(ferplus, "valid")
    logits = run(converted, valid.inputs).logits

    def negative_log_likelihood(temperature: float) -> float:
        probabilities = expression_probabilities(logits, temperature)
        return float(-np.log(probabilities[np.arange(len(logits)), valid.labels]).mean())

    temperature = float(minimize_scalar(negative_log_likelihood, bounds=(0.2, 5.0), method="bounded").x)
    test = read_split(ferplus, "test")
    logits = run(converted, test.inputs).logits
    print(f"temperature {temperature:.3f}, fitted on {len(valid.labels)} validation photographs by plurality")
    for name, rows in (("official", test.official), ("plurality", np.ones_like(test.official))):
        accuracy = (logits.argmax(axis=1) == test.labels)[rows].mean()
        errors = [
            calibration_error(expression_probabilities(logits[rows], value), test.labels[rows])
            for value in (1.0, temperature)
        ]
        print(
            f"test, {name} ({rows.sum()}): accuracy {accuracy:.2%}, expected calibration error "
            f"{errors[0]:.2%} before, {errors[1]:.2%} after"
        )
    return temperature


def report_speed(original: bytes, converted: bytes) -> None:
    """Print processor time and rate, before and after: the best of five."""
    random = np.random.default_rng(0)
    for n in (1, 16):
        batch = random.normal(size=(n, 3, SPEC.size, SPEC.size)).astype(np.float32)
        for name, content in (("original", original), ("converted", converted)):
            network = open_network(content, name)
            timings = []
            for _ in range(6):
                wall, processor = time.perf_counter(), time.process_time()
                for _ in range(64 // n):
                    network.run(batch, OUTPUTS)
                timings.append((time.perf_counter() - wall, time.process_time() - processor))
            wall, processor = np.min(timings[1:], axis=0)
            print(f"{name}, batches of {n}: {64 / wall:.0f} crops/s, {processor / 64 * 1e3:.2f} ms processor time each")


if __name__ == "__main__":
    main()
