"""Backbones in 8 bits: made from faces, found beside the file, run on every device that can."""

from __future__ import annotations

import hashlib
from pathlib import Path

import cv2
import numpy as np
import onnx
import pytest
from onnx import numpy_helper
from typer.testing import CliRunner

from affectline.assets import fetch
from affectline.backbones import DEFAULT_BACKBONE, load_backbone
from affectline.backbones.network import open_network
from affectline.backbones.spec import describe
from affectline.cli.main import app
from affectline.errors import InputError, ModelFileError
from affectline.runtime import Precision, Runtime
from affectline.training.pooling import with_plain_pooling
from affectline.training.quantise import quantise_backbone
from networks import pictures, random_network
from tiny_networks import SPEC, save, tiny_network

DEVICES = ["cpu", "openvino"]


@pytest.fixture(scope="module")
def default_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The embedded backbone as a user's file, with its int8 form beside it, made by the command."""
    folder = tmp_path_factory.mktemp("int8")
    faces = folder / "faces"
    faces.mkdir()
    for number, rgb in enumerate(pictures(20)):
        cv2.imwrite(str(faces / f"{number}.png"), cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR))
    path = folder / "mine.onnx"
    path.write_bytes(fetch(DEFAULT_BACKBONE).read_bytes())
    result = CliRunner().invoke(app, ["models", "quantise", str(path), str(faces)])
    assert result.exit_code == 0, result.output
    assert result.output.strip() == str(folder / "mine.int8.onnx")
    return path


@pytest.mark.parametrize("device", DEVICES)
def test_it_says_nearly_what_the_network_says(device: str, default_file: Path) -> None:
    crops = pictures(7, seed=5)
    plain, small = load_backbone(default_file), load_backbone(default_file, Runtime.parse(device, "int8"))
    expected, found = plain.features(crops), small.features(crops)
    difference = np.linalg.norm(found.logits - expected.logits) / np.linalg.norm(expected.logits)
    assert 1e-3 < difference < 0.15
    assert small.spec == plain.spec
    assert small.digest == hashlib.sha256(default_file.with_name("mine.int8.onnx").read_bytes()).hexdigest()
    assert small.runtime == Runtime.parse(device, "int8")


@pytest.mark.parametrize("device", DEVICES)
def test_any_number_of_crops(device: str, default_file: Path) -> None:
    backbone = load_backbone(default_file, Runtime.parse(device, "int8"))
    crops = pictures(23, seed=6)
    together = backbone.features(crops).logits
    alone = np.concatenate([backbone.features([crop]).logits for crop in crops])
    np.testing.assert_allclose(together, alone, rtol=0, atol=1e-3 * np.abs(alone).max())
    assert backbone.features([]).embedding.shape == (0, 1024)


def test_a_quantised_file_that_is_named_says_so(default_file: Path) -> None:
    small = default_file.with_name("mine.int8.onnx")
    assert load_backbone(small).runtime.precision is Precision.INT8
    assert load_backbone(small, Runtime(precision=Precision.INT8)).digest == load_backbone(small).digest
    with pytest.raises(InputError, match=r"mine.int8.onnx holds 8-bit weights and cannot be run in bf16"):
        load_backbone(small, Runtime.parse("openvino", "bf16"))
    with pytest.raises(InputError, match="cuda computes in fp32, not in int8"):
        load_backbone(small, Runtime.parse("cuda", "fp32"))
    with pytest.raises(InputError, match="holds 8-bit weights already"):
        quantise_backbone(small, [])


def test_a_network_in_the_emotiefflib_form(tmp_path: Path) -> None:
    path = save(tmp_path, random_network("mobilefacenet", 10), describe_mbf())
    quantise_backbone(path, pictures(16))
    crops = pictures(3, seed=4)
    expected, found = (
        load_backbone(path).features(crops),
        load_backbone(path, Runtime.parse("cpu", "int8")).features(crops),
    )
    # Random weights let errors grow; 0.83 was seen.
    assert np.corrcoef(found.embedding.ravel(), expected.embedding.ravel())[0, 1] > 0.7
    assert found.arousal.shape == (3,)
    assert not np.array_equal(found.arousal, expected.arousal)


def describe_mbf() -> str:
    from affectline.backbones import BACKBONES

    return describe(BACKBONES["mbf_va_mtl"])


def test_what_to_do_without_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AFFECTLINE_HOME", str(tmp_path))
    with pytest.raises(
        ModelFileError, match=r"int8 needs .*/mobilenet96_ferplus.int8.onnx, .* quantise mobilenet96_ferplus FACES"
    ):
        load_backbone(DEFAULT_BACKBONE, Runtime(precision=Precision.INT8))
    path = save(tmp_path, tiny_network(), describe(SPEC))
    with pytest.raises(ModelFileError, match=r"needs .*/tiny.int8.onnx, which is not there; .* quantise .*/tiny.onnx"):
        load_backbone(path, Runtime(precision=Precision.INT8))
    (tmp_path / "tiny.int8.onnx").write_bytes(path.read_bytes())
    with pytest.raises(ModelFileError, match=r"tiny.int8.onnx holds no 8-bit weights; remove it"):
        load_backbone(path, Runtime(precision=Precision.INT8))


def test_too_few_faces(default_file: Path) -> None:
    with pytest.raises(InputError, match="3 faces are too few to scale a network by: give at least 16"):
        quantise_backbone(default_file, pictures(3))


def pooled_by_view() -> onnx.ModelProto:
    """A network whose mean over the picture is written as PyTorch's exporter writes a view of it."""
    rng = np.random.default_rng(0)
    arrays = {
        "weight": rng.normal(0, 0.3, (8, 3, 3, 3)).astype(np.float32),
        "low": np.float32(0), "high": np.float32(6), "axes": np.array([2, 3]), "flat": np.array([-1]),
        "every": np.arange(8)[None] + 0, "zero": np.array([0]), "shape": np.array([-1, 8]),
        "last": rng.normal(0, 1, (2, 8)).astype(np.float32), "bias": np.zeros(2, np.float32),
    }  # fmt: skip
    node = onnx.helper.make_node
    nodes = [
        node("Conv", ["input", "weight"], ["features"], pads=[1, 1, 1, 1]),
        node("Clip", ["features", "low", "high"], ["clipped"]),
        node("ReduceMean", ["clipped", "axes"], ["mean"], keepdims=1),
        node("Reshape", ["mean", "flat"], ["all"]),
        node("Shape", ["clipped"], ["sides"]),
        node("Mul", ["sides", "sides"], ["squares"]),
        node("Squeeze", ["every"], ["one"]),
        node("Unsqueeze", ["one", "zero"], ["picked"]),
        node("Gather", ["all", "picked"], ["view"]),
        node("Reshape", ["view", "shape"], ["embedding"]),
        node("Gemm", ["embedding", "last", "bias"], ["expression_logits"], transB=1),
    ]
    value = onnx.helper.make_tensor_value_info
    graph = onnx.helper.make_graph(
        nodes, "g",
        [value("input", 1, [1, 3, 12, 12])], [value("embedding", 1, [1, 8]), value("expression_logits", 1, [1, 2])],
        [numpy_helper.from_array(np.asarray(array), name) for name, array in arrays.items()],
    )  # fmt: skip
    return onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 18)], ir_version=9)


def test_a_view_of_the_mean_becomes_one_operator() -> None:
    network = pooled_by_view()
    plain = with_plain_pooling(network)
    assert [one.op_type for one in plain.graph.node] == ["Conv", "Clip", "GlobalAveragePool", "Flatten", "Gemm"]
    picture = np.random.default_rng(1).normal(size=(1, 3, 12, 12)).astype(np.float32)
    outputs = ("embedding", "expression_logits")
    before, after = (open_network(one.SerializeToString(), "x").run(picture, outputs) for one in (network, plain))
    for theirs, mine in zip(before, after, strict=True):
        np.testing.assert_allclose(mine, theirs, atol=1e-6)
    assert with_plain_pooling(plain) is plain
