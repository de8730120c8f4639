from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from affectline.errors import InputError, ModelFileError, ShapeError
from affectline.heads.blend import BlendHead, joint_backbones
from affectline.heads.head import BackboneRef, Context, Decision, HeadCard, context_head, predict, score_tracks
from affectline.heads.head_file import load_head, save_head
from affectline.heads.temporal import METADATA_KEY, TemporalHead
from affectline.heads.temporal_spec import TemporalSpec
from affectline.labels import Task
from affectline.records import FaceFeatures
from labelled_examples import DIGEST, OTHER_DIGEST, make_info, make_table, reading_head
from temporal_heads import KINDS, encodings, temporal_head

every_kind = pytest.mark.parametrize(("model", "is_causal"), KINDS)
every_causal = pytest.mark.parametrize("model", [model for model, is_causal in KINDS if is_causal])

RATE = 30.0


def times(frames: np.ndarray | list[int]) -> np.ndarray:
    return np.asarray(frames) / RATE


def frames_of(steps: list[int]) -> np.ndarray:
    return np.cumsum([0, *steps])


gappy = st.lists(st.sampled_from([1, 1, 1, 1, 2, 3, 8, 40]), max_size=60).map(frames_of)


@every_kind
class TestEveryNetwork:
    @given(frames=gappy)
    @settings(max_examples=12, deadline=None)
    def test_scores_any_frames(self, model: str, is_causal: bool, frames: np.ndarray) -> None:
        head = temporal_head(model, is_causal, Task.EXPR)
        scores = head.score_encoded(encodings(len(frames)), times(frames))
        assert scores.shape == (len(frames), 8)
        assert scores.dtype == np.float32
        np.testing.assert_allclose(scores.sum(axis=1), 1, atol=1e-5)

    def test_scores_no_frame(self, model: str, is_causal: bool) -> None:
        assert temporal_head(model, is_causal).score_encoded(encodings(0), times([])).shape == (0, 2)

    def test_a_face_alone_is_a_sequence_of_one(self, model: str, is_causal: bool) -> None:
        head = temporal_head(model, is_causal)
        features = {DIGEST: FaceFeatures(encodings(4, 6), np.empty((4, 0), np.float32))}
        encoded = head.encode(features)
        alone = [head.score_encoded(encoded[row : row + 1], times([7])) for row in range(4)]
        np.testing.assert_allclose(head.score(features), np.concatenate(alone), atol=1e-6)

    def test_neighbours_matter(self, model: str, is_causal: bool) -> None:
        head, encoded = temporal_head(model, is_causal), encodings(50)
        scores = head.score_encoded(encoded, times(range(50)))
        changed = encoded.copy()
        changed[20] += 1
        moved = np.abs(head.score_encoded(changed, times(range(50))) - scores).max(axis=1)
        assert (moved[21:24] > 1e-4).any()
        assert (moved[17:20] > 1e-4).any() is not np.bool_(is_causal)

    def test_what_a_gap_would_have_shown_plays_no_part(self, model: str, is_causal: bool) -> None:
        head = temporal_head(model, is_causal)
        frames = np.delete(np.arange(40), [11, 12, 13])
        scores = head.score_encoded(encodings(37), times(frames))
        assert np.abs(scores - head.score_encoded(encodings(37), times(np.arange(37)))).max() > 1e-3

    def test_faces_do_not_meet(self, model: str, is_causal: bool) -> None:
        head = temporal_head(model, is_causal)
        track = np.tile([1, 2, 3], 15)[:40]
        encoded, time_s = encodings(40), times(np.arange(40) // 3)
        together = score_tracks(head, encoded, track, time_s)
        for number in (1, 2, 3):
            own = track == number
            np.testing.assert_array_equal(together[own], head.score_encoded(encoded[own], time_s[own]))

    def test_begins_anew_behind_a_long_absence(self, model: str, is_causal: bool) -> None:
        head, encoded = temporal_head(model, is_causal), encodings(60)
        frames = np.concatenate([np.arange(30), np.arange(30) + 47])
        scores = head.score_encoded(encoded, times(frames))
        np.testing.assert_array_equal(scores[30:], head.score_encoded(encoded[30:], times(frames[30:])))
        # Behind a short one it is still the same face.
        near = np.concatenate([np.arange(30), np.arange(30) + 32])
        assert np.abs(head.score_encoded(encoded, times(near))[30:] - scores[30:]).max() > 1e-4

    def test_comes_back_from_its_file(self, model: str, is_causal: bool, tmp_path: Path) -> None:
        head = temporal_head(model, is_causal, Task.AU, projected=3)
        save_head(head, tmp_path / "h")
        again = load_head(tmp_path / "h")
        assert isinstance(again, TemporalHead)
        assert (again.card, again.spec, again.parts) == (head.card, head.spec, head.parts)
        arguments = encodings(70, 15), times(range(70))
        np.testing.assert_array_equal(again.score_encoded(*arguments), head.score_encoded(*arguments))
        assert again.context is (Context.CAUSAL if is_causal else Context.WINDOW)

    @pytest.mark.parametrize(("length", "projected"), [(1, 0), (5, 3), (16, 0), (33, 5)])
    def test_its_onnx_file_is_the_head(self, model: str, is_causal: bool, length: int, projected: int) -> None:
        head = temporal_head(model, is_causal, Task.EXPR, projected=projected)
        content = head.to_onnx()
        onnx.checker.check_model(onnx.load_model_from_string(content))
        session = onnxruntime.InferenceSession(content)
        features = np.random.default_rng(1).normal(0, 2, (3, length, 6)).astype(np.float32)
        mask = np.random.default_rng(2).random((3, length)) > 0.3
        mask[2] = False
        features[~mask] = np.nan
        (scores,) = session.run(["scores"], {"features": features, "mask": mask.astype(np.float32)})
        assert np.isfinite(scores).all()
        encoded = np.zeros((3, length, 8 + projected), np.float32)
        rows = FaceFeatures(features[mask], np.empty((mask.sum(), 0), np.float32))
        encoded[mask] = head.encode({DIGEST: rows})
        np.testing.assert_allclose(scores, head.run(encoded, mask), atol=1e-5)
        alone = head.run(encoded[:1], mask[:1])
        np.testing.assert_allclose(scores[:1], alone, atol=1e-5)
        told = json.loads(session.get_modelmeta().custom_metadata_map[METADATA_KEY])
        assert told["card"]["labels"] == list(head.card.labels)
        assert told["settings"] == head.settings()


class TestWindows:
    def test_overlapping_windows_are_averaged_with_triangular_weights(self) -> None:
        head, encoded = temporal_head("gru"), encodings(44)
        mask = np.ones((1, 16), np.bool_)
        total, weights = np.zeros((44, 2)), np.zeros(44)
        for start in (0, 8, 16, 24, 28):
            weight = np.minimum(np.arange(1, 17), np.arange(16, 0, -1))
            total[start : start + 16] += weight[:, None] * head.run(encoded[None, start : start + 16], mask)[0]
            weights[start : start + 16] += weight
        np.testing.assert_allclose(head.score_encoded(encoded, times(range(44))), total / weights[:, None], atol=1e-6)

    def test_a_causal_step_is_scored_by_the_window_that_has_it_behind_its_middle(self) -> None:
        head, encoded = temporal_head("gru", True), encodings(44)
        scores = head.score_encoded(encoded, times(range(44)))
        for step in range(44):
            start = max(0, step // 8 - 1) * 8
            window = encoded[None, start : step + 1]
            expected = head.run(window, np.ones(window.shape[:2], np.bool_))[0, -1]
            np.testing.assert_allclose(scores[step], expected, atol=1e-6)

    @pytest.mark.parametrize("model", ["tcn", "transformer"])
    def test_masked_steps_behind_the_end_change_nothing(self, model: str) -> None:
        head, encoded = temporal_head(model), encodings(10)[None]
        mask = np.ones((1, 10), np.bool_)
        longer = np.concatenate([encoded, np.zeros((1, 6, 8), np.float32)], axis=1)
        padded = head.run(longer, np.concatenate([mask, np.zeros((1, 6), np.bool_)], axis=1))
        np.testing.assert_allclose(padded[:, :10], head.run(encoded, mask), atol=1e-6)


class TestRates:
    @every_kind
    def test_a_video_of_another_rate_is_brought_to_the_heads(self, model: str, is_causal: bool) -> None:
        """A slow signal seen at 24 frames a second gets nearly the scores that it gets at 30."""
        head = temporal_head(model, is_causal)
        phases = np.linspace(0, 2, 8)

        def scored(rate: float) -> tuple[np.ndarray, np.ndarray]:
            time_s = np.arange(int(4 * rate)) / rate
            return time_s, head.score_encoded(np.sin(time_s[:, None] + phases).astype(np.float32), time_s)

        (at, own), (at_24, other) = scored(30.0), scored(24.0)
        expected = np.stack([np.interp(at_24, at, column) for column in own.T], axis=1)
        steepest = np.abs(np.diff(own, axis=0)).max()
        # The last window lies elsewhere; a causal head's scores are up to a step old.
        assert np.abs(other - expected)[5:-5].max() < 0.02 + 0.7 * steepest
        assert np.ptp(own, axis=0).max() > 0.2

    def test_frames_at_one_time_share_a_score(self) -> None:
        head, encoded = temporal_head(), encodings(5)
        scores = head.score_encoded(encoded, times([0, 1, 1, 2, 3]))
        np.testing.assert_array_equal(scores[1], scores[2])
        np.testing.assert_array_equal(scores[[0, 1, 3, 4]], head.score_encoded(encoded[[0, 1, 3, 4]], times(range(4))))

    def test_refuses_times_and_encodings_that_do_not_fit(self) -> None:
        head = temporal_head()
        with pytest.raises(ShapeError, match="never decrease"):
            head.score_encoded(encodings(2), times([1, 0]))
        with pytest.raises(ShapeError, match=r"must be of shape \(2, 8\), got \(3, 8\)"):
            head.score_encoded(encodings(3), times([0, 1]))


@every_causal
class TestCausal:
    @given(frames=gappy, place=st.floats(0, 1))
    @settings(max_examples=15, deadline=None)
    def test_the_future_changes_nothing(self, model: str, frames: np.ndarray, place: float) -> None:
        head, encoded = temporal_head(model, True), encodings(len(frames))
        scores = head.score_encoded(encoded, times(frames))
        n = int(place * len(frames))
        changed = np.concatenate([encoded[:n], 9 - encoded[n:]])
        np.testing.assert_allclose(head.score_encoded(changed, times(frames))[:n], scores[:n], atol=1e-6)
        np.testing.assert_allclose(head.score_encoded(encoded[:n], times(frames[:n])), scores[:n], atol=1e-6)

    @given(frames=gappy, rate=st.sampled_from([30.0, 25.0, 47.0, 5.0]))
    @settings(max_examples=15, deadline=None)
    def test_frame_by_frame_gives_the_same(self, model: str, frames: np.ndarray, rate: float) -> None:
        head, encoded = temporal_head(model, True), encodings(len(frames))
        follower = head.follow()
        pushed = [follower.push(row, float(time)) for row, time in zip(encoded, frames / rate, strict=True)]
        np.testing.assert_allclose(np.stack(pushed), head.score_encoded(encoded, frames / rate), atol=1e-6)

    def test_a_follower_keeps_the_window_alone(self, model: str) -> None:
        follower = temporal_head(model, True).follow()
        kept = []
        for number, row in enumerate(encodings(300)):
            follower.push(row, number / RATE)
            kept.append(len(follower._values))
        assert max(kept) == 16
        with pytest.raises(ShapeError, match="frames must come in order"):
            follower.push(encodings(1)[0], 1.0)


def test_a_head_that_looks_ahead_cannot_follow() -> None:
    with pytest.raises(InputError, match=r"looks ahead.*--causal"):
        temporal_head().follow()


class TestPredict:
    def test_scores_the_chosen_rows_of_each_track_over_time(self) -> None:
        head = temporal_head(width=8, parts=reading_head(Task.VA).parts)
        logits = np.random.default_rng(0).normal(size=(40, 8))
        table = make_table(make_info("v", 60), list(range(20)) + list(range(23, 43)), logits)
        rows = np.arange(5, 35)
        found = predict(head, {DIGEST: table}, rows)
        encoded = head.encode({DIGEST: table.features(rows)})
        np.testing.assert_array_equal(found.values, head.score_encoded(encoded, table.time_s[rows]))
        np.testing.assert_array_equal(found.frame, table.frame[rows])

    def test_encodes_in_chunks(self, monkeypatch: pytest.MonkeyPatch) -> None:
        head = temporal_head(width=8, parts=reading_head(Task.VA).parts)
        table = make_table(make_info("v", 60), range(40), np.random.default_rng(0).normal(size=(40, 8)))
        whole = predict(head, {DIGEST: table}).values
        monkeypatch.setattr("affectline.heads.head.ROWS_AT_ONCE", 7)
        np.testing.assert_allclose(predict(head, {DIGEST: table}).values, whole, atol=1e-6)


def blend(*parts, weights: tuple[float, ...] = (1.0, 3.0)) -> BlendHead:
    card = HeadCard(parts[0].card.task, parts[0].card.labels, joint_backbones(parts))
    return BlendHead(card, parts, np.array(weights, np.float32))


class TestBlend:
    def parts(self) -> tuple:
        parts = reading_head(Task.EXPR).parts
        adjusted = Decision(logit_adjustment=tuple(np.linspace(-1, 1, 8)))
        own = {"width": 8, "parts": parts}
        return (
            temporal_head("tcn", True, Task.EXPR, seed=1, **own),
            temporal_head("gru", True, Task.EXPR, seed=2, window=8, decision=adjusted, **own),
            reading_head(Task.EXPR, adjusted, OTHER_DIGEST),
        )

    def seen(self, n: int) -> dict[str, FaceFeatures]:
        none = np.empty((n, 0), np.float32)
        return {DIGEST: FaceFeatures(none, encodings(n, 8, 1)), OTHER_DIGEST: FaceFeatures(none, encodings(n, 8, 2))}

    def test_is_the_mean_of_its_parts_over_time(self) -> None:
        parts, seen = self.parts(), self.seen(50)
        head, time_s = blend(*parts, weights=(1, 2, 1)), times(range(50))
        encoded = head.encode(seen)
        assert encoded.shape == (50, head.encoding_size) == (50, 8 + 8 + 8)
        odds = [
            parts[0].score_encoded(parts[0].encode(seen), time_s),
            *(
                scores * np.exp(np.linspace(-1, 1, 8))
                for scores in (parts[1].score_encoded(parts[1].encode(seen), time_s), parts[2].score(seen))
            ),
        ]
        first, second, third = (one / one.sum(axis=1, keepdims=True) for one in odds)
        expected = 0.25 * first + 0.5 * second + 0.25 * third
        np.testing.assert_allclose(head.score_encoded(encoded, time_s), expected, atol=1e-5)

    def test_follows_like_its_parts(self) -> None:
        head, time_s = blend(*self.parts(), weights=(1, 2, 1)), times(np.delete(np.arange(60), [5, 6, 30]))
        encoded = head.encode(self.seen(57))
        follower = head.follow()
        pushed = [follower.push(row, float(time)) for row, time in zip(encoded, time_s, strict=True)]
        np.testing.assert_allclose(np.stack(pushed), head.score_encoded(encoded, time_s), atol=1e-6)

    def test_its_context_is_its_parts(self) -> None:
        causal, plain = temporal_head("gru", True), reading_head(Task.VA)
        ahead = temporal_head("gru")
        for parts, expected in (
            ((causal, plain), Context.CAUSAL),
            ((plain, ahead, causal), Context.WINDOW),
            ((plain, plain), Context.NONE),
        ):
            head = blend(*parts, weights=(1.0,) * len(parts))
            assert head.context is expected
            assert (context_head(head) is None) == (expected is Context.NONE)
        with pytest.raises(InputError, match="--causal"):
            blend(plain, ahead).follow()
        assert blend(temporal_head(window=16), temporal_head(window=32)).memory_s == pytest.approx(32 / 30)
        with pytest.raises(ShapeError, match="encodings of the blend have 10 numbers"):
            blend(causal, plain).score_encoded(encodings(3, 4), times(range(3)))

    def test_comes_back_from_its_file(self, tmp_path: Path) -> None:
        head = blend(*self.parts(), weights=(1, 2, 1))
        save_head(head, tmp_path / "h")
        again, seen = load_head(tmp_path / "h"), self.seen(30)
        arguments = again.encode(seen), times(range(30))
        np.testing.assert_array_equal(again.score_encoded(*arguments), head.score_encoded(*arguments))


class TestDamage:
    @pytest.mark.parametrize(
        ("change", "match"),
        [
            (lambda numbers: numbers.pop("core.out.bias"), r"lacks the arrays core\.out\.bias"),
            (lambda numbers: numbers.pop("mean"), "lacks the arrays mean"),
            (lambda numbers: numbers.update(more=np.zeros(1, np.float32)), "more too many"),
            (lambda numbers: numbers.update({"core.out.weight": np.zeros((2, 9), np.float32)}), r"of shape \(2, 8\)"),
            (lambda numbers: numbers.update({"encoder.1.bias": np.zeros(2)}), "float64"),
            (lambda numbers: numbers.pop("encoder.0.bias"), r"lacks the arrays encoder\.0\.bias"),
            (lambda numbers: numbers.pop("encoder.0.weight"), "lacks the arrays encoder.0.weight"),
            (lambda numbers: numbers.update({"encoder.1.weight": np.zeros((2, 4), np.float32)}), r"of shape \(2, 5\)"),
            (lambda numbers: numbers["core.out.bias"].fill(np.nan), "not finite"),
            (lambda numbers: numbers["scale"].fill(0), "not above 0"),
        ],
    )
    def test_numbers_that_do_not_fit_are_refused(self, change: Callable, match: str) -> None:
        head = temporal_head()
        numbers = {name: array.copy() for name, array in head.arrays().items()}
        change(numbers)
        with pytest.raises(ModelFileError, match=match):
            TemporalHead.restore(head.card, head.settings(), numbers)

    @pytest.mark.parametrize(
        ("change", "match"),
        [
            ({"model": "lstm"}, "no temporal model 'lstm'"),
            ({"model": None}, "model of a temporal head must be str"),
            ({"causal": 1}, "causal of a temporal head must be bool"),
            ({"layers": 3}, "lacks the arrays core.blocks.2"),
            ({"layers": 99}, "the layers of a temporal head is 1 to 16"),
            ({"window": 7}, "even number of 8 to 4096"),
            ({"interval_s": float("nan")}, "0 to 3600 seconds"),
            ({"size": 12}, "must be float32 of shape"),
            ({"inputs": 9}, "must be float32 of shape"),
            ({"inputs": 0}, "the inputs of a temporal head is 1 to"),
            ({"reach": 5}, r"core\.filter\.weight of a tcn head must be float32 of shape \(2, 1, 11\)"),
            ({"reach": 16}, "reaches 0 to 15 steps"),
            ({"input": "embedding+smell"}, "is not understood"),
        ],
    )
    def test_settings_that_do_not_fit_are_refused(self, change: dict, match: str) -> None:
        head = temporal_head()
        with pytest.raises(ModelFileError, match=match):
            TemporalHead.restore(head.card, head.settings() | change, head.arrays())

    def test_needs_one_backbone(self) -> None:
        head = temporal_head()
        card = replace(head.card, backbones=(*head.card.backbones, BackboneRef("other", OTHER_DIGEST)))
        with pytest.raises(ModelFileError, match="one backbone, got 2"):
            TemporalHead(card, head.parts, head.spec, head.arrays())

    def test_a_transformer_needs_a_size_that_its_heads_divide(self) -> None:
        with pytest.raises(InputError, match="4 divides, got 10"):
            TemporalSpec("transformer", False, 4, 10, 1, 16, 4, 1 / 30)
