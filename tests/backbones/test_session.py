from __future__ import annotations

import hashlib
import re
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

from affectline.assets import ASSETS
from affectline.backbones import BACKBONES, DEFAULT_BACKBONE, Backbone, load_backbone
from affectline.backbones.files import absolute_name
from affectline.backbones.spec import Colour, Form, describe
from affectline.errors import AssetError, ModelFileError, ShapeError, UnknownNameError
from affectline.labels import ActionUnit
from affectline.runtime import Runtime
from tiny_networks import SPEC, named_network, save, tiny_network


@pytest.fixture(scope="module")
def default() -> Backbone:
    return load_backbone(DEFAULT_BACKBONE, offline=True)


class TestEmotiEffLibForm:
    def test_embedding_and_logits_by_hand(self, tmp_path: Path) -> None:
        path = save(tmp_path, tiny_network(), describe(SPEC))
        crop = np.full((20, 30, 3), (255, 51, 0), np.uint8)
        backbone = load_backbone(path)
        features = backbone.features([crop])
        np.testing.assert_allclose(features.embedding, [[1.0, 0.2, 0.0]], rtol=1e-6)
        np.testing.assert_allclose(features.logits, [[1.2, 2.2]], rtol=1e-6)
        assert features.valence is None
        assert features.arousal is None
        assert backbone.spec == SPEC
        assert backbone.digest == hashlib.sha256(path.read_bytes()).hexdigest()

    def test_valence_and_arousal_follow_the_logits(self, tmp_path: Path) -> None:
        path = save(tmp_path, tiny_network(4), describe(replace(SPEC, has_valence_arousal=True)))
        features = load_backbone(path).features([np.zeros((5, 5, 3), np.uint8)] * 2)
        assert features.logits.tolist() == [[0, 1]] * 2
        assert features.valence.tolist() == [2, 2]
        assert features.arousal.tolist() == [3, 3]

    @pytest.mark.parametrize("batch", ["n", 1])
    def test_any_number_of_crops(self, tmp_path: Path, batch: object) -> None:
        backbone = load_backbone(
            save(tmp_path, tiny_network(4, batch), describe(replace(SPEC, has_valence_arousal=True)))
        )
        crops = [np.full((3, 4, 3), value, np.uint8) for value in range(70)]
        for n in (0, 1, 2, 70):
            features = backbone.features(crops[:n])
            assert features.embedding.shape == (n, 3)
            assert features.logits.shape == (n, 2)
            assert features.valence.shape == features.arousal.shape == (n,)
            np.testing.assert_allclose(features.embedding[:, 0], np.arange(n) / 255, rtol=1e-6)

    @pytest.mark.parametrize(
        ("network", "spec", "message"),
        [
            (tiny_network(3), SPEC, r"gives \(3,\) values for each face, .* 2 labels without .* asks for \(2,\)"),
            (tiny_network(2), replace(SPEC, has_valence_arousal=True), r"2 labels and valence_arousal asks for \(4,\)"),
            (tiny_network(channels=1), SPEC, r"input of shape \(None, 1, 8, 8\), .* asks for \(n, 3, 8, 8\)"),
            (tiny_network(batch=4), SPEC, "takes exactly 4 faces at once"),
            (tiny_network(outputs=("output", "pooled")), SPEC, "one output made by a Gemm .* has 2 and ends in Gemm"),
            (tiny_network(outputs=("pooled",)), SPEC, "is not in the EmotiEffLib form"),
        ],
    )
    def test_network_that_does_not_fit_its_description(self, tmp_path, network, spec, message) -> None:
        with pytest.raises(ModelFileError, match=message):
            load_backbone(save(tmp_path, network, describe(spec)))

    def test_network_of_another_rank(self, tmp_path: Path) -> None:
        shape = [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 3])]
        node = helper.make_node("Gemm", ["x", "w"], ["y"])
        weight = numpy_helper.from_array(np.ones((3, 2), np.float32), "w")
        out = [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)]
        model = helper.make_model(
            helper.make_graph([node], "flat", shape, out, [weight]),
            opset_imports=[helper.make_opsetid("", 13)],
            ir_version=8,
        )
        with pytest.raises(ModelFileError, match=r"input of shape \(None, 3\)"):
            load_backbone(save(tmp_path, model.SerializeToString(), describe(SPEC)))

    def test_without_sidecar_the_message_shows_one(self, tmp_path: Path) -> None:
        path = save(tmp_path, tiny_network())
        with pytest.raises(ModelFileError, match=r"no tiny.json beside it; write that file, for example {") as raised:
            load_backbone(path)
        assert "\n" not in str(raised.value)

    def test_sidecar_that_is_no_text(self, tmp_path: Path) -> None:
        path = save(tmp_path, tiny_network())
        path.with_suffix(".json").write_bytes(b"\xff\xfe\xff")
        with pytest.raises(ModelFileError, match=re.escape(str(path.with_suffix(".json")))):
            load_backbone(path)


class TestAffectlineForm:
    def test_named_outputs(self, tmp_path: Path) -> None:
        description = describe(replace(SPEC, has_valence_arousal=True))
        network = named_network({"arousal": 0, "expression_logits": 2, "valence": 1}, description)
        backbone = load_backbone(save(tmp_path, network))
        features = backbone.features([np.full((4, 4, 3), 51, np.uint8)] * 3)
        np.testing.assert_allclose(features.embedding, np.full((3, 3), 0.2), rtol=1e-6)
        np.testing.assert_allclose(features.logits, [[0.6, 1.6]] * 3, rtol=1e-6)
        np.testing.assert_allclose(features.valence, [0.6] * 3, rtol=1e-6)
        np.testing.assert_allclose(features.arousal, [0.6] * 3, rtol=1e-6)
        assert backbone.spec == replace(SPEC, has_valence_arousal=True, form=Form.AFFECTLINE)

    def test_outputs_of_a_task_alone(self, tmp_path: Path) -> None:
        spec = replace(SPEC, labels=(), has_valence_arousal=True, action_units=(ActionUnit.AU4, ActionUnit.AU1))
        network = named_network({"au_logits": 2, "valence": 0, "arousal": 1}, describe(spec))
        backbone = load_backbone(save(tmp_path, network))
        crops = [np.full((4, 4, 3), 51, np.uint8)] * 70
        features = backbone.features(crops)
        assert features.logits.shape == (70, 0)
        np.testing.assert_allclose(features.au_logits, [[0.6, 1.6]] * 70, rtol=1e-6)
        np.testing.assert_allclose(features.arousal, [0.6] * 70, rtol=1e-6)
        assert backbone.features([]).au_logits.shape == (0, 2)

    def test_missing_output_is_named(self, tmp_path: Path) -> None:
        network = named_network({"expression_logits": 2}, describe(replace(SPEC, has_valence_arousal=True)))
        with pytest.raises(ModelFileError, match=r"lacks the outputs valence, arousal .* it has embedding, expression"):
            load_backbone(save(tmp_path, network))

    def test_wrong_width_is_named(self, tmp_path: Path) -> None:
        network = named_network({"expression_logits": 3}, describe(SPEC))
        with pytest.raises(
            ModelFileError, match=r"gives .*expression_logits \(2, 3\); its description asks for .*_logits \(n, 2\)"
        ):
            load_backbone(save(tmp_path, network))

    def test_bad_description_is_located(self, tmp_path: Path) -> None:
        network = named_network({"expression_logits": 2}, "nothing")
        with pytest.raises(ModelFileError, match=r'metadata_props\["affectline"\] of /.*/tiny.onnx is not JSON'):
            load_backbone(save(tmp_path, network))


class TestFiles:
    @pytest.mark.parametrize("content", [b"", b"text", b"\0" * 100, tiny_network()[:120]])
    def test_other_bytes_are_one_clear_line(self, tmp_path: Path, content: bytes) -> None:
        with pytest.raises(
            ModelFileError, match=r"^/.*/tiny.onnx is damaged or no ONNX network; get the file again"
        ) as raised:
            load_backbone(save(tmp_path, content, describe(SPEC)))
        assert "\n" not in str(raised.value)

    def test_unknown_name_lists_the_known_ones(self) -> None:
        with pytest.raises(
            UnknownNameError, match="enet_b9 is neither a file nor one of the backbones mobilenet96_ferplus, "
        ):
            load_backbone("enet_b9")

    def test_registered_file_that_is_damaged(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("AFFECTLINE_HOME", str(tmp_path))
        (tmp_path / "mbf_va_mtl.onnx").write_bytes(b"half a file")
        with pytest.raises(AssetError, match=r"mbf_va_mtl.onnx is damaged or another version: its digest is git-blob"):
            load_backbone("mbf_va_mtl", offline=True)

    def test_a_name_that_is_right_in_every_folder(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        path = save(tmp_path, tiny_network())
        monkeypatch.chdir(tmp_path)
        assert [absolute_name(name) for name in ("tiny.onnx", DEFAULT_BACKBONE, "gone")] == [
            path,
            DEFAULT_BACKBONE,
            "gone",
        ]

    def test_registered_file_needs_no_description(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        path = save(tmp_path, tiny_network())
        monkeypatch.setattr("affectline.backbones.files.fetch", lambda name, *, offline: path)
        monkeypatch.setattr("affectline.backbones.files.BACKBONES", {"tiny": SPEC})
        assert load_backbone("tiny").spec == SPEC


class TestThreads:
    def test_number_of_threads_changes_no_number(self, default: Backbone) -> None:
        batch = np.random.default_rng(0).normal(size=(2, 3, 96, 96)).astype(np.float32)
        one = load_backbone(DEFAULT_BACKBONE, Runtime(threads=1)).run(batch)
        np.testing.assert_allclose(one.logits, default.run(batch).logits, rtol=1e-4, atol=1e-4)


class TestDefaultBackbone:
    def test_file_says_what_the_registry_says(self, default: Backbone) -> None:
        assert default.spec == BACKBONES[DEFAULT_BACKBONE]
        assert default.digest == ASSETS[DEFAULT_BACKBONE].digest.value
        assert default.spec.colour is Colour.GREY

    def test_the_first_default_is_still_there(self) -> None:
        assert load_backbone("lite0_ferplus", offline=True).spec == BACKBONES["lite0_ferplus"]

    def test_outputs(self, default: Backbone) -> None:
        random = np.random.default_rng(1)
        features = default.features([random.integers(0, 256, (60, 50, 3), dtype=np.uint8) for _ in range(3)])
        assert features.embedding.shape == (3, 1024)
        assert features.logits.shape == (3, 8)
        assert features.valence is None
        assert np.ptp(features.logits, axis=0).max() > 0.1

    def test_batches_and_single_faces_agree(self, default: Backbone) -> None:
        batch = np.random.default_rng(2).normal(size=(50, 3, 96, 96)).astype(np.float32)
        together = default.run(batch)
        alone = np.concatenate([default.run(batch[[row]]).logits for row in range(50)])
        np.testing.assert_allclose(together.logits, alone, rtol=0, atol=1e-4 * np.abs(alone).max())

    def test_threads_may_share_it(self, default: Backbone) -> None:
        batch = np.random.default_rng(3).normal(size=(8, 3, 96, 96)).astype(np.float32)
        expected = default.run(batch).logits
        with ThreadPoolExecutor(4) as pool:
            results = list(pool.map(lambda _: default.run(batch).logits, range(8)))
        for logits in results:
            np.testing.assert_allclose(logits, expected, rtol=0, atol=1e-4)

    @pytest.mark.parametrize(
        "batch", [np.zeros((2, 3, 96, 95), np.float32), np.zeros((3, 96, 96), np.float32), np.zeros((1, 3, 96, 96))]
    )
    def test_other_batches_are_refused(self, default: Backbone, batch: np.ndarray) -> None:
        with pytest.raises(ShapeError, match=r"a batch must be float32 of shape \(n, 3, 96, 96\), got float"):
            default.run(batch)
