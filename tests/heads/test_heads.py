from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from affectline.errors import InputError, InputFileError, ModelFileError
from affectline.features import FeaturePart
from affectline.heads.blend import BlendHead, joint_backbones
from affectline.heads.cascade import CascadeHead, cascaded
from affectline.heads.gated import GATE_LABELS, GatedHead, PaperGatedHead, gate_card
from affectline.heads.head import BackboneRef, Decision, HeadCard, adjust, normalise, predict
from affectline.heads.head_file import load_card, load_head, save_head
from affectline.heads.mlp import DenseLayer, MlpHead
from affectline.heads.pretrained_head import PretrainedHead
from affectline.labels import ABAW_EXPRESSION_8, AFFECTNET_7, AFFECTNET_8, Task
from affectline.records import FaceFeatures
from labelled_examples import DIGEST, OTHER_DIGEST, make_info, make_table
from temporal_heads import temporal_head

REF = BackboneRef("net", DIGEST)
OTHER = BackboneRef("other", OTHER_DIGEST)
EMBEDDING = 6


def features(n: int = 5, seed: int = 0) -> FaceFeatures:
    rng = np.random.default_rng(seed)
    valence, arousal = rng.normal(0, 1, (2, n)).astype(np.float32)
    return FaceFeatures(
        rng.normal(0, 1, (n, EMBEDDING)).astype(np.float32),
        rng.normal(0, 2, (n, 8)).astype(np.float32),
        valence,
        arousal,
    )


def card(task: Task, labels: tuple[str, ...] | None = None, ref: BackboneRef = REF) -> HeadCard:
    return HeadCard(task, labels or task.official_labels, (ref,), training={"data": "planted"}, validation={"p": 0.5})


def mlp(
    one: HeadCard, parts: tuple[FeaturePart, ...] = (FeaturePart.EMBEDDING,), hidden: int = 4, seed: int = 0
) -> MlpHead:
    rng = np.random.default_rng(seed)
    width = {FeaturePart.EMBEDDING: EMBEDDING, FeaturePart.LOGITS: 8, FeaturePart.VALENCE_AROUSAL: 2}
    widths = [sum(width[part] for part in parts), *([hidden] if hidden else []), len(one.labels)]
    layers = tuple(
        DenseLayer(rng.normal(0, 1, (after, before)).astype(np.float32), rng.normal(0, 1, after).astype(np.float32))
        for before, after in pairwise(widths)
    )
    mean, scale = rng.normal(0, 1, widths[0]), rng.uniform(0.5, 2, widths[0])
    return MlpHead(one, parts, layers, mean.astype(np.float32), scale.astype(np.float32))


def all_heads() -> dict:
    bare = HeadCard(Task.EXPR, Task.EXPR.official_labels, (REF,))
    va, expr = mlp(card(Task.VA), (FeaturePart.LOGITS, FeaturePart.VALENCE_AROUSAL), 0), mlp(card(Task.EXPR))
    other = mlp(card(Task.EXPR, ref=OTHER), seed=3)
    other = other.with_card(replace(other.card, decision=Decision(logit_adjustment=tuple(np.linspace(-1, 1, 8)))))
    blend_card = HeadCard(Task.EXPR, expr.card.labels, (REF, OTHER))
    blend = BlendHead(blend_card, (expr, other), np.array([1.0, 3.0], np.float32))
    return {
        "va": va,
        "expr": expr,
        "au": mlp(card(Task.AU), (FeaturePart.EMBEDDING, FeaturePart.LOGITS)),
        "one unit": mlp(card(Task.AU, ("AU12",)), (FeaturePart.LOGITS,), 0),
        "pretrained": PretrainedHead(card(Task.VA)),
        "arousal alone": PretrainedHead(card(Task.VA, ("arousal",))),
        "expressions of the backbone": PretrainedHead(card(Task.EXPR), AFFECTNET_8, 1.5),
        "cascade": CascadeHead(card(Task.EXPR), PretrainedHead(bare, AFFECTNET_8, 1.5), mlp(bare), 0.4),
        "gated": GatedHead(card(Task.EXPR), mlp(gate_card((REF,))), AFFECTNET_8, 1.5),
        "gated 7": GatedHead(card(Task.EXPR), mlp(gate_card((REF,))), AFFECTNET_7),
        "blend": blend,
        "blend of blends": BlendHead(blend_card, (blend, expr), np.array([0.5, 0.5], np.float32)),
        "gru": temporal_head("gru", ref=REF),
        "causal tcn": temporal_head("tcn", True, Task.EXPR, ref=REF),
        "transformer": temporal_head("transformer", task=Task.AU, ref=REF),
        "blend over time": BlendHead(
            blend_card, (temporal_head("gru", task=Task.EXPR, ref=REF), other), np.array([0.5, 0.5], np.float32)
        ),
    }


def seen_by(name: str, n: int = 5) -> dict[str, FaceFeatures]:
    one = features(n)
    one = replace(one, logits=one.logits[:, :7]) if name == "gated 7" else one
    return {DIGEST: one, OTHER_DIGEST: features(n, 9)}


@pytest.mark.parametrize("name", list(all_heads()))
class TestEveryHead:
    def test_scores_have_the_form_of_the_task(self, name: str) -> None:
        head = all_heads()[name]
        scores = head.score(seen_by(name))
        assert scores.shape == (5, len(head.card.labels))
        assert scores.dtype == np.float32
        if head.card.task is Task.EXPR:
            np.testing.assert_allclose(scores.sum(axis=1), 1, atol=1e-5)
        low = -1 if head.card.task is Task.VA else 0
        assert (low <= scores.min(), scores.max() <= 1) == (True, True)

    def test_takes_no_face_and_one(self, name: str) -> None:
        head = all_heads()[name]
        assert head.score(seen_by(name, 0)).shape == (0, len(head.card.labels))
        assert head.score(seen_by(name, 1)).shape == (1, len(head.card.labels))

    def test_comes_back_from_its_file_bit_for_bit(self, name: str, tmp_path: Path) -> None:
        head = all_heads()[name]
        save_head(head, tmp_path / "head.safetensors")
        again = load_head(tmp_path / "head.safetensors")
        assert again.card == head.card
        np.testing.assert_array_equal(again.score(seen_by(name)), head.score(seen_by(name)))

    def test_takes_another_card(self, name: str) -> None:
        head = all_heads()[name]
        decided = head.with_card(replace(head.card, decision=Decision(radius_s=0.5)))
        assert decided.card.decision.radius_s == 0.5
        np.testing.assert_array_equal(decided.score(seen_by(name)), head.score(seen_by(name)))

    def test_asks_for_its_backbone_by_digest(self, name: str) -> None:
        with pytest.raises(InputError, match=r"(?s)abababab.*efefef"):
            all_heads()[name].score({"ef" * 32: features()})


class TestCascade:
    def test_takes_the_backbone_where_it_is_sure_and_the_perceptron_elsewhere(self) -> None:
        head = all_heads()["cascade"]
        seen = seen_by("cascade", 40)
        own, trained, found = (part.score(seen) for part in (head.own, head.trained, head))
        is_sure = own.max(axis=1) >= 0.4
        assert 0 < is_sure.sum() < 40
        np.testing.assert_array_equal(found[is_sure], own[is_sure])
        np.testing.assert_array_equal(found[~is_sure], trained[~is_sure])
        np.testing.assert_array_equal(cascaded(own, trained, 1.05), trained)

    def test_the_backbone_never_says_other(self) -> None:
        scores = all_heads()["expressions of the backbone"].score(seen_by("x"))
        logits = features(5).logits.astype(np.float64)
        columns = [AFFECTNET_8.index(label) for label in ABAW_EXPRESSION_8[:7]]
        raised = np.exp(logits[:, columns] / 1.5)
        np.testing.assert_allclose(scores[:, :7], raised / raised.sum(axis=1, keepdims=True), rtol=1e-5)
        assert not scores[:, 7].any()

    @pytest.mark.parametrize(
        ("make", "message"),
        [
            (lambda own, mlp, bare: CascadeHead(bare, own, mlp, 0.0), "above 0"),
            (lambda own, mlp, bare: CascadeHead(card(Task.VA), own, mlp), "same eight expressions"),
            (lambda own, mlp, bare: CascadeHead(replace(bare, backbones=(OTHER,)), own, mlp), "same backbone"),
            (lambda own, mlp, bare: PretrainedHead(bare, AFFECTNET_8[1:]), "missing: Anger"),
            (lambda own, mlp, bare: PretrainedHead(bare, AFFECTNET_8, 0.0), "above 0"),
            (lambda own, mlp, bare: PretrainedHead(card(Task.AU)), "not AU"),
        ],
    )
    def test_parts_that_do_not_fit_are_refused(self, make, message: str) -> None:
        whole = all_heads()["cascade"]
        with pytest.raises(InputError, match=message):
            make(whole.own, whole.trained, whole.own.card)


class TestMlp:
    def test_is_the_formula(self) -> None:
        head = mlp(card(Task.AU))
        x = (features().embedding.astype(np.float64) - head.mean) / head.scale
        first, last = head.layers
        hidden = np.maximum(x @ first.weight.T + first.bias, 0)
        expected = 1 / (1 + np.exp(-(hidden @ last.weight.T + last.bias)))
        np.testing.assert_allclose(head.score({DIGEST: features()}), expected, rtol=1e-5)

    def test_va_is_a_tanh_of_the_parts_side_by_side(self) -> None:
        head = all_heads()["va"]
        f = features()
        x = np.column_stack([f.logits, f.valence, f.arousal]).astype(np.float64)
        (layer,) = head.layers
        expected = np.tanh((x - head.mean) / head.scale @ layer.weight.T + layer.bias)
        np.testing.assert_allclose(head.score({DIGEST: f}), expected, rtol=1e-4, atol=1e-6)

    def test_refuses_features_that_are_not_finite(self) -> None:
        broken = features()
        broken.embedding[[1, 3], 2] = np.nan
        with pytest.raises(InputError, match="not finite for 2 of 5 faces"):
            mlp(card(Task.EXPR)).score({DIGEST: broken})

    def test_refuses_another_width(self) -> None:
        wide = replace(features(), embedding=np.zeros((5, 7), np.float32))
        with pytest.raises(InputError, match="7 numbers for each face, the head was trained on 6"):
            mlp(card(Task.EXPR)).score({DIGEST: wide})

    def test_refuses_layers_that_do_not_fit(self) -> None:
        head = mlp(card(Task.EXPR))
        for changed in (
            {"mean": head.mean[:2]},
            {"scale": 0 * head.scale},
            {"layers": head.layers[:1]},
            {"layers": ()},
            {"mean": np.full(EMBEDDING, np.nan, np.float32)},
        ):
            arguments = {"layers": head.layers, "mean": head.mean, "scale": head.scale} | changed
            with pytest.raises(ModelFileError):
                MlpHead(head.card, head.parts, **arguments)


class TestGates:
    def test_shares_what_other_leaves_by_the_seven_logits(self) -> None:
        head = all_heads()["gated"]
        f = features()
        scores = head.score({DIGEST: f})
        other = head.gate.score({DIGEST: f})[:, 1]
        np.testing.assert_allclose(scores[:, 7], other, rtol=1e-6)
        index = {label.value: number for number, label in enumerate(AFFECTNET_8)}
        logits = np.stack([f.logits[:, index[label]] for label in head.card.labels[:7]], axis=1) / 1.5
        shares = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
        np.testing.assert_allclose(scores[:, :7], shares * (1 - other[:, None]), rtol=1e-4)

    def test_the_papers_gate_worked_by_hand(self) -> None:
        expr = card(Task.EXPR)
        # Probabilities that do not depend on the input, Other first or last of all.
        for other_wins in (True, False):
            bias = np.zeros(8, np.float32)
            bias[7] = 5 if other_wins else -5
            zeros = np.zeros((8, EMBEDDING), np.float32)
            ones = np.ones(EMBEDDING, np.float32)
            inner = MlpHead(expr, (FeaturePart.EMBEDDING,), (DenseLayer(zeros, bias),), 0 * ones, ones)
            head = PaperGatedHead(expr, inner, AFFECTNET_8)
            f = replace(features(1), logits=np.arange(8, dtype=np.float32)[None])
            p = np.exp(bias) / np.exp(bias).sum()
            # ABAW order from AffectNet's: Neutral 5, Anger 0, Disgust 2, Fear 3, Happiness 4, Sadness 6, Surprise 7,
            # and Contempt 1 in the place of Other.
            mixed = 0.9 * p + 0.1 * np.array([5, 0, 2, 3, 4, 6, 7, 1])
            np.testing.assert_allclose(head.score({DIGEST: f})[0], p if other_wins else mixed, rtol=1e-5)

    def test_survives_its_file(self, tmp_path: Path) -> None:
        head = PaperGatedHead(card(Task.EXPR), mlp(card(Task.EXPR)), AFFECTNET_8)
        save_head(head, tmp_path / "h")
        np.testing.assert_array_equal(
            load_head(tmp_path / "h").score({DIGEST: features()}), head.score({DIGEST: features()})
        )

    def test_need_the_right_backbone_and_card(self) -> None:
        with pytest.raises(InputError, match="missing: Surprise"):
            GatedHead(card(Task.EXPR), mlp(gate_card((REF,))), AFFECTNET_8[:7])
        with pytest.raises(InputError, match="Contempt in the place of Other"):
            PaperGatedHead(card(Task.EXPR), mlp(card(Task.EXPR)), AFFECTNET_7)
        with pytest.raises(InputError, match=r"needs? the same backbone"):
            GatedHead(card(Task.EXPR), mlp(gate_card((OTHER,))), AFFECTNET_8)
        with pytest.raises(InputError, match="a gated head predicts"):
            GatedHead(card(Task.VA), mlp(gate_card((REF,))), AFFECTNET_8)
        assert GATE_LABELS == ("not Other", "Other")


class TestBlend:
    def test_is_the_weighted_mean_with_each_parts_adjustment(self) -> None:
        head = all_heads()["blend"]
        first, second = head.parts
        seen = seen_by("blend")
        odds = second.score(seen) * np.exp(second.card.decision.logit_adjustment)
        expected = 0.25 * first.score(seen) + 0.75 * odds / odds.sum(axis=1, keepdims=True)
        np.testing.assert_allclose(head.score(seen), expected, rtol=1e-5)
        assert joint_backbones(head.parts) == (REF, OTHER)

    @pytest.mark.parametrize(
        ("weights", "match"), [([1.0], "a weight for each part"), ([-1, 2], "0 or above"), ([0, 0], "not all 0")]
    )
    def test_refuses_weights(self, weights: list, match: str) -> None:
        head = all_heads()["blend"]
        with pytest.raises(InputError, match=match):
            BlendHead(head.card, head.parts, np.array(weights, np.float32))

    def test_refuses_parts_of_another_task_and_a_card_without_a_backbone(self) -> None:
        expr, va = mlp(card(Task.EXPR)), mlp(card(Task.VA))
        with pytest.raises(InputError, match="part 2 of the blend predicts VA"):
            BlendHead(expr.card, (expr, va), np.ones(2, np.float32))
        other = mlp(card(Task.EXPR, ref=OTHER))
        with pytest.raises(InputError, match="must name the backbones of its parts"):
            BlendHead(expr.card, (expr, other), np.ones(2, np.float32))


def test_adjust_adds_to_the_logarithms() -> None:
    p = np.array([[0.5, 0.25, 0.25]], np.float32)
    raised = adjust(p, (0.0, np.log(2.0), 0.0))
    np.testing.assert_allclose(raised, [[0.5, 0.5, 0.25]], rtol=1e-6)
    np.testing.assert_allclose(normalise(raised), [[0.4, 0.4, 0.2]], rtol=1e-6)
    assert np.isnan(normalise(np.full((1, 3), np.nan))).all()
    assert adjust(p, ()) is p


class TestPredict:
    def head(self) -> MlpHead:
        one = mlp(card(Task.VA), (FeaturePart.LOGITS,), 0)
        return one.with_card(replace(one.card, backbones=(REF,)))

    def test_scores_chosen_rows(self) -> None:
        table = make_table(make_info("v", 9), [1, 4, 6], np.random.default_rng(0).normal(size=(3, 8)))
        scores = predict(self.head(), {DIGEST: table}, np.array([2, 0]))
        assert scores.frame.tolist() == [6, 1]
        np.testing.assert_array_equal(scores.values, self.head().score({DIGEST: table.features()})[[2, 0]])

    def test_names_both_digests_where_the_backbone_differs(self) -> None:
        table = make_table(make_info("v", 9, OTHER_DIGEST), [1], np.zeros((1, 8)))
        with pytest.raises(InputError, match=f"(?s){DIGEST}.*{OTHER_DIGEST}"):
            predict(self.head(), {OTHER_DIGEST: table})

    def test_refuses_tables_of_other_faces(self) -> None:
        head = BlendHead(
            HeadCard(Task.VA, ("valence", "arousal"), (REF, OTHER)),
            (self.head(), mlp(card(Task.VA, ref=OTHER), (FeaturePart.LOGITS,), 0)),
            np.ones(2, np.float32),
        )
        tables = {
            DIGEST: make_table(make_info("v", 9), [1, 2], np.zeros((2, 8))),
            OTHER_DIGEST: make_table(make_info("v", 9, OTHER_DIGEST), [1, 3], np.zeros((2, 8))),
        }
        with pytest.raises(InputError, match="not of the same faces"):
            predict(head, tables)


class TestFile:
    def test_a_missing_or_foreign_file_is_named(self, tmp_path: Path) -> None:
        with pytest.raises(InputFileError, match=r"nothing\.safetensors"):
            load_head(tmp_path / "nothing.safetensors")
        for content in (b"", b"not a head", b"\x08\0\0\0\0\0\0\0{}      "):
            (tmp_path / "bad").write_bytes(content)
            with pytest.raises(ModelFileError, match="bad is no head that can be used"):
                load_head(tmp_path / "bad")

    @given(st.data())
    @settings(max_examples=60, deadline=None)
    def test_a_damaged_file_is_refused_or_still_a_head(self, tmp_path_factory: pytest.TempPathFactory, data) -> None:
        path = tmp_path_factory.mktemp("heads") / "head"
        save_head(all_heads()["blend"], path)
        content = bytearray(path.read_bytes())
        place = data.draw(st.integers(0, len(content) - 1))
        content[place] ^= data.draw(st.integers(1, 255))
        path.write_bytes(bytes(content[: data.draw(st.integers(0, len(content)))]))
        with suppress(ModelFileError):
            load_head(path)

    def test_a_pickle_is_not_opened(self, tmp_path: Path) -> None:
        class Opaque:
            kind = "automl"
            card = mlp(card(Task.VA)).card

            def with_card(self, other):
                raise NotImplementedError

            def score(self, seen):
                raise NotImplementedError

            def settings(self):
                return {"sha256": "12" * 32}

            def arrays(self):
                return {"pickle": np.arange(3, dtype=np.uint8)}

        save_head(Opaque(), tmp_path / "h")
        with pytest.raises(ModelFileError, match="--trust-pickle 1212"):
            load_head(tmp_path / "h")
        assert load_card(tmp_path / "h").task is Task.VA  # for its decision the pickle stays closed
        seen = []
        load_head(tmp_path / "h", lambda *given: seen.append(given) or all_heads()["va"])
        assert seen[0][2]["pickle"].tolist() == [0, 1, 2]


class TestCard:
    @pytest.mark.parametrize(
        "wrong",
        [
            {"radius_s": float("nan")},
            {"radius_s": -1.0},
            {"radius_s": 1e300},
            {"thresholds": (float("nan"),)},
            {"logit_adjustment": (float("inf"), 0.0)},
        ],
    )
    def test_decisions_are_finite(self, wrong: dict) -> None:
        with pytest.raises(InputError, match=r"a radius is 0 to|must be finite"):
            Decision(**wrong)

    def test_decisions_have_a_number_for_each_label(self) -> None:
        with pytest.raises(InputError, match="12 labels cannot have 11 thresholds"):
            replace(card(Task.AU), decision=Decision(thresholds=(0.5,) * 11))
        with pytest.raises(InputError, match="8 labels cannot have 5 offsets"):
            replace(card(Task.EXPR), frame_wise=Decision(logit_adjustment=(0.0,) * 5))
        with pytest.raises(InputError, match="labels, each once"):
            HeadCard(Task.AU, ("AU1", "AU1"), (REF,))

    @pytest.mark.parametrize(("found", "put"), [(b'"Fear"', b'"Foot"'), (b'"radius_s": 0.0', b'"radius_s": NaN')])
    def test_a_file_that_says_otherwise_is_refused(self, found: bytes, put: bytes, tmp_path: Path) -> None:
        save_head(mlp(card(Task.EXPR)), tmp_path / "h")
        content = (tmp_path / "h").read_bytes()
        escaped = [part.replace(b'"', b'\\"') for part in (found, put)]
        assert escaped[0] in content
        (tmp_path / "h").write_bytes(content.replace(*escaped))
        with pytest.raises(ModelFileError, match=r"labels that EXPR heads do not know: Foot|a radius is 0 to"):
            load_head(tmp_path / "h")
