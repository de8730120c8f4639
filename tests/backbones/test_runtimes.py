"""One contract for everything that can run a backbone: the numbers are those of ONNX Runtime in fp32."""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnxruntime
import pytest

from affectline.backbones import DEFAULT_BACKBONE, load_backbone, onnx_runtime
from affectline.backbones.network import open_network
from affectline.backbones.spec import EXAMPLE_DESCRIPTION, Form, describe
from affectline.errors import InputError, MissingExtraError, ModelFileError
from affectline.runtime import PRECISIONS, Device, Precision, Runtime
from networks import pictures, random_network
from tiny_networks import SPEC, named_network, save, tiny_network

HAS_GPU = "CUDAExecutionProvider" in onnxruntime.get_available_providers() and Path("/dev/nvidia0").exists()
GPU = (pytest.mark.gpu, pytest.mark.skipif(not HAS_GPU, reason="no CUDA device"))


def _can_bf16() -> bool:
    try:
        from affectline.backbones.openvino_network import can_bf16
    except ImportError:
        return False
    return can_bf16()


BF16 = pytest.mark.skipif(not _can_bf16(), reason="no bfloat16 arithmetic in this processor")

RUNTIMES = [
    pytest.param(Runtime(Device.CPU), id="cpu-fp32"),
    pytest.param(Runtime(Device.OPENVINO), id="openvino-fp32"),
    pytest.param(Runtime(Device.OPENVINO, Precision.BF16), id="openvino-bf16", marks=BF16),
    pytest.param(Runtime(Device.CUDA), id="cuda-fp32", marks=GPU),
    pytest.param(Runtime(Device.TENSORRT), id="tensorrt-fp32", marks=GPU),
    pytest.param(Runtime(Device.TENSORRT, Precision.BF16), id="tensorrt-bf16", marks=GPU),
]

TOLERANCE = {
    Precision.FP32: {"default": 1e-4, "b0": 1e-4},
    Precision.BF16: {"default": 0.12, "b0": 0.35},
}
"""Norm of the differences in parts of the output's norm. bfloat16 numbers have 8 bits, so that a product is off by up
to 0.004 of itself. Trained weights keep such errors down (0.08 was seen on noise, 0.02 on faces), random ones of a deep
network let them grow (0.2); unrelated outputs would differ by 1.4."""


@pytest.fixture(scope="module")
def b0(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An EfficientNet-B0 with random weights in the EmotiEffLib form, 224 px."""
    path = tmp_path_factory.mktemp("b0") / "my_b0.onnx"
    path.write_bytes(random_network("b0", 8))
    path.with_suffix(".json").write_text(EXAMPLE_DESCRIPTION, encoding="utf-8")
    return path


@pytest.fixture(scope="module", params=RUNTIMES)
def runtime(request: pytest.FixtureRequest) -> Runtime:
    return request.param


def assert_alike(found: np.ndarray, expected: np.ndarray, tolerance: float) -> None:
    assert found.dtype == np.float32
    assert np.linalg.norm(found - expected) <= tolerance * np.linalg.norm(expected)


class TestEveryRuntime:
    @pytest.mark.parametrize("name", ["default", "b0"])
    def test_numbers_are_those_of_onnx_runtime(self, name: str, b0: Path, runtime: Runtime) -> None:
        file = b0 if name == "b0" else DEFAULT_BACKBONE
        plain, here = load_backbone(file), load_backbone(file, runtime)
        crops = pictures(5)
        expected, found = plain.features(crops), here.features(crops)
        assert np.ptp(expected.logits, axis=0).max() > 0.1  # else the comparison proves nothing
        assert_alike(found.embedding, expected.embedding, TOLERANCE[runtime.precision][name])
        assert_alike(found.logits, expected.logits, TOLERANCE[runtime.precision][name])
        assert (here.digest, here.spec, here.runtime) == (plain.digest, plain.spec, runtime)

    def test_bf16_is_not_fp32_in_disguise(self, b0: Path, runtime: Runtime) -> None:
        crops = pictures(2)
        expected, found = load_backbone(b0).features(crops), load_backbone(b0, runtime).features(crops)
        difference = np.abs(found.embedding - expected.embedding).max() / np.abs(expected.embedding).max()
        assert (difference > 5e-4) == (runtime.precision is Precision.BF16)

    @pytest.mark.parametrize("n", [0, 1, 2, 7, 23, 65])
    def test_any_number_of_crops(self, n: int, runtime: Runtime, tmp_path: Path) -> None:
        spec = replace(SPEC, has_valence_arousal=True)
        features = load_backbone(save(tmp_path, tiny_network(4), describe(spec)), runtime).features(
            [np.full((3, 4, 3), value, np.uint8) for value in range(n)]
        )
        assert features.embedding.shape == (n, 3)
        assert features.logits.shape == (n, 2)
        assert features.valence.shape == features.arousal.shape == (n,)
        np.testing.assert_allclose(features.embedding[:, 0], np.arange(n) / 255, atol=0.004)
        np.testing.assert_allclose(features.arousal, 3 + 3 * np.arange(n) / 255, atol=0.02)

    def test_file_with_a_batch_of_one(self, runtime: Runtime, tmp_path: Path) -> None:
        path = save(tmp_path, tiny_network(batch=1), describe(SPEC))
        features = load_backbone(path, runtime).features(
            [np.full((3, 4, 3), value, np.uint8) for value in (0, 255, 51)]
        )
        np.testing.assert_allclose(features.embedding[:, 1], [0, 1, 0.2], atol=0.004)

    def test_named_outputs_and_metadata(self, runtime: Runtime, tmp_path: Path) -> None:
        spec = replace(SPEC, has_valence_arousal=True)
        path = save(tmp_path, named_network({"arousal": 0, "expression_logits": 2, "valence": 1}, describe(spec)))
        backbone = load_backbone(path, runtime)
        assert backbone.spec == replace(spec, form=Form.AFFECTLINE)
        assert backbone.digest == hashlib.sha256(path.read_bytes()).hexdigest()
        features = backbone.features([np.full((4, 4, 3), 51, np.uint8)] * 3)
        np.testing.assert_allclose(features.logits, [[0.6, 1.6]] * 3, atol=0.01)
        np.testing.assert_allclose(features.valence, [0.6] * 3, atol=0.01)

    def test_shape_and_names_of_the_network(self, runtime: Runtime) -> None:
        network = open_network(tiny_network(), "tiny.onnx", runtime)
        assert network.input_shape == (None, 3, 8, 8)
        assert network.output_names == ("output",)
        assert network.runtime == runtime

    def test_outputs_are_the_callers_own(self, runtime: Runtime) -> None:
        network = open_network(tiny_network(), "tiny.onnx", runtime)
        (first,) = network.run(np.zeros((2, 3, 8, 8), np.float32), ["output"])
        network.run(np.ones((2, 3, 8, 8), np.float32), ["output"])
        assert first.tolist() == [[0, 1]] * 2

    def test_threads_may_share_it(self, runtime: Runtime) -> None:
        backbone = load_backbone(DEFAULT_BACKBONE, runtime)
        batches = np.random.default_rng(3).normal(size=(8, 4, 3, 96, 96)).astype(np.float32)
        expected = [backbone.run(batch).logits for batch in batches]
        with ThreadPoolExecutor(4) as pool:
            results = list(pool.map(lambda batch: backbone.run(batch).logits, batches))
        for found, logits in zip(results, expected, strict=True):
            np.testing.assert_allclose(found, logits, rtol=0, atol=1e-4 * np.abs(logits).max())

    @pytest.mark.parametrize("content", [b"", b"text", b"\0" * 100, tiny_network()[:120]])
    def test_other_bytes_are_one_clear_line(self, content: bytes, runtime: Runtime, tmp_path: Path) -> None:
        with pytest.raises(ModelFileError, match=r"^/.*/tiny.onnx is damaged or no ONNX network; get the") as raised:
            load_backbone(save(tmp_path, content, describe(SPEC)), runtime)
        assert "\n" not in str(raised.value)

    def test_batch_that_the_network_cannot_take(self, runtime: Runtime) -> None:
        network = open_network(tiny_network(), "tiny.onnx", runtime)
        with pytest.raises(ModelFileError, match=r"tiny.onnx cannot be run on \(2, 4, 8, 8\): ") as raised:
            network.run(np.zeros((2, 4, 8, 8), np.float32), ["output"])
        assert "\n" not in str(raised.value)


COUNT_THREADS = """
import os, sys
import numpy as np
from affectline.backbones import DEFAULT_BACKBONE, load_backbone
from affectline.runtime import Runtime
def load(threads):
    before = len(os.listdir("/proc/self/task"))
    backbone = load_backbone(DEFAULT_BACKBONE, Runtime.parse(sys.argv[1], "fp32", threads))
    backbone.run(np.zeros((8, 3, 96, 96), np.float32))
    return len(os.listdir("/proc/self/task")) - before
load(1)  # what a library starts once
print(load(1), load(3))
"""


@pytest.mark.skipif(not Path("/proc/self/task").is_dir() or (os.cpu_count() or 1) < 2, reason="counts Linux threads")
@pytest.mark.parametrize("device", ["cpu", "openvino"])
def test_threads_are_limited(device: str) -> None:
    outcome = subprocess.run(
        [sys.executable, "-c", COUNT_THREADS, device], check=True, capture_output=True, text=True
    ).stdout.split()
    assert int(outcome[0]) == 0
    assert int(outcome[1]) >= 1


@pytest.mark.parametrize("threads", [1, 2, 3, 4, 5, 6, 7, 8, 11, 16, 64])
def test_lanes_use_the_cores_that_there_are_and_no_more(threads: int) -> None:
    runtime = Runtime(threads=threads)
    assert threads - runtime.lanes < runtime.lane_threads <= threads
    # Each lane computes in the thread that it calls from; the others are those of the session, for all lanes.
    assert onnx_runtime._options(runtime).intra_op_num_threads - 1 + runtime.lanes == runtime.lane_threads


def test_what_waits_for_a_gpu_takes_one_core_and_gives_way_to_nobody() -> None:
    runtime = Runtime(Device.CUDA, threads=8)
    assert (runtime.lanes, runtime.lane_threads, runtime.gives_way) == (1, 1, False)
    assert [Runtime(threads=threads).gives_way for threads in (1, 4, 8)] == [True, True, False]


class TestWords:
    @pytest.mark.parametrize(
        ("words", "message"),
        [
            (("tpu", "fp32"), "device must be one of cpu, openvino, cuda, tensorrt, got 'tpu'"),
            (("cpu", "fp8"), "precision must be one of fp32, bf16, int8, got 'fp8'"),
            (("cpu", "bf16"), "cpu computes in fp32, int8, not in bf16; for that take --device openvino or tensorrt"),
            (("cuda", "int8"), "cuda computes in fp32, not in int8; for that take --device cpu or openvino"),
            (("cpu", "fp32", 0), "at least 1 thread, got 0"),
        ],
    )
    def test_what_cannot_be_is_said(self, words: tuple, message: str) -> None:
        with pytest.raises(InputError, match=message):
            Runtime.parse(*words)

    def test_every_device_has_fp32(self) -> None:
        assert set(PRECISIONS) == set(Device)
        assert all(precisions[0] is Precision.FP32 for precisions in PRECISIONS.values())


class TestMissingDevices:
    @pytest.mark.parametrize("device", [Device.CUDA, Device.TENSORRT])
    def test_without_the_gpu_package(self, device: Device, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: ["CPUExecutionProvider"])
        with pytest.raises(MissingExtraError, match="`pip install onnxruntime-gpu`"):
            load_backbone(DEFAULT_BACKBONE, Runtime(device))

    @pytest.mark.parametrize(
        ("runtime", "first", "options"),
        [
            (Runtime(Device.CUDA), "CUDAExecutionProvider", {"use_tf32": "0"}),
            (Runtime(Device.TENSORRT), "TensorrtExecutionProvider", {"trt_engine_cache_enable": "1"}),
            (Runtime(Device.TENSORRT, Precision.BF16), "TensorrtExecutionProvider", {"trt_bf16_enable": "1"}),
        ],
    )
    def test_provider_that_does_not_start(
        self, runtime: Runtime, first: str, options: dict, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        start = onnxruntime.InferenceSession
        asked = []

        def fall_back(content: bytes, settings: object, providers: list) -> onnxruntime.InferenceSession:
            asked.extend(providers)
            return start(content, settings, providers=["CPUExecutionProvider"])

        monkeypatch.setenv("AFFECTLINE_HOME", str(tmp_path))
        monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: [first])
        monkeypatch.setattr(onnxruntime, "InferenceSession", fall_back)
        with pytest.raises(MissingExtraError, match=f"could not start {first}"):
            open_network(tiny_network(), "tiny.onnx", runtime)
        assert asked[0][0] == first
        assert options.items() <= asked[0][1].items()
        assert asked[-1][0] == "CUDAExecutionProvider"

    def test_without_openvino(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(sys.modules, "openvino", None)
        with pytest.raises(MissingExtraError, match=re.escape("pip install 'affectline[openvino]'")):
            load_backbone(DEFAULT_BACKBONE, Runtime(Device.OPENVINO))

    def test_processor_without_bfloat16(self, monkeypatch: pytest.MonkeyPatch) -> None:
        class Core:
            def get_property(self, device: str, name: str) -> list[str]:
                assert (device, name) == ("CPU", "OPTIMIZATION_CAPABILITIES")
                return ["FP32", "INT8", "BIN"]

        pytest.importorskip("openvino")
        monkeypatch.setattr("affectline.backbones.openvino_network.core", Core)
        with pytest.raises(InputError, match=r"bf16 needs a processor with bfloat16 .*; this one has FP32, INT8, BIN"):
            load_backbone(DEFAULT_BACKBONE, Runtime(Device.OPENVINO, Precision.BF16))
