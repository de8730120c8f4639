"""Analyses that ask the networks less: a stride in time, and a cascade of two networks."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pyarrow as pa
import pytest
from scipy.special import softmax

from affectline import AnalyzeOptions, Analyzer, Sampling, Smoothing, Timeline, analyze, read_frames
from affectline.backbones.spec import describe
from affectline.cascade import check_cascade
from affectline.describe import finish_settings
from affectline.errors import InputError
from affectline.faces.stretches import STRETCH_S
from affectline.heads.norms import NORMS
from affectline.inputs import expand_inputs
from affectline.job_index import JobResult
from affectline.jobs import OutputOptions, run_jobs
from affectline.labels import AFFECTNET_7, AFFECTNET_8, FERPLUS_8, Task
from affectline.models import Models, load_models, with_absolute_names
from affectline.observe import Observer
from affectline.options import CASCADE_SURE_FROM
from affectline.postprocess.smoothing import SmoothingChoice
from affectline.provenance import CascadeRecord
from affectline.records import Frame
from affectline.schema import score_columns
from tiny_networks import SPEC, save, tiny_network

UNSMOOTHED = AnalyzeOptions(smoothing=Smoothing.off(), sampling=Sampling(end_s=2.6))
STRIDE_S = 0.25
LENGTH = 63
"""Frames of the demo clip before 2.6 s."""

SEEN = [*range(0, 61, 6), 62]


@pytest.fixture(scope="module")
def models() -> Models:
    return load_models()


@pytest.fixture(scope="module")
def full(demo_clip: Path, models: Models) -> Timeline:
    return analyze(demo_clip, UNSMOOTHED, models=models)


@pytest.fixture(scope="module")
def strided(demo_clip: Path, models: Models) -> Timeline:
    return analyze(demo_clip, replace(UNSMOOTHED, stride_s=STRIDE_S), models=models)


@pytest.fixture(scope="module")
def frames(demo_clip: Path) -> list[Frame]:
    return list(read_frames(demo_clip, UNSMOOTHED.sampling))


class TestStride:
    def test_every_frame_has_a_row_and_one_in_a_quarter_second_is_observed(self, strided: Timeline) -> None:
        statuses = strided.column("status")
        assert strided.column("frame").tolist() == list(range(LENGTH))
        assert np.flatnonzero(statuses == "observed").tolist() == SEEN
        assert set(statuses) == {"observed", "interpolated"}
        assert strided.track_ids == (1,)

    def test_what_was_seen_is_what_the_full_run_says(self, strided: Timeline, full: Timeline) -> None:
        # Boxes are searched for in each frame here and followed by their pixels there: crops differ by a few pixels.
        for name, limit in (("valence", 0.05), ("au12", 0.01), ("box_x1", 4.0)):
            assert np.abs(strided.column(name)[SEEN] - full.column(name)[SEEN]).mean() < limit

    @pytest.mark.parametrize("name", ["valence", "arousal", "p_neutral", "au04", "box_y2"])
    def test_between_lies_a_straight_line(self, strided: Timeline, name: str) -> None:
        times_s, values = strided.column("time_s"), strided.column(name)
        straight = np.interp(times_s, times_s[SEEN], values[SEEN])
        # Boxes are rounded to 0.01 px, scores to five decimals.
        assert values == pytest.approx(straight, abs=0.011 if name.startswith("box") else 1.1e-5)

    def test_is_written_down(self, strided: Timeline, tmp_path: Path) -> None:
        assert strided.provenance.stride_s == STRIDE_S
        strided.write(tmp_path)
        assert Timeline.from_csv(tmp_path / "timeline.csv") == strided

    def test_two_that_begin_with_stretches_give_what_one_gives(self, demo_clip: Path, models: Models) -> None:
        frames = list(read_frames(demo_clip, Sampling(start_s=STRETCH_S - 0.5, end_s=STRETCH_S + 0.6)))
        border = next(place for place, frame in enumerate(frames) if (frame.time_s or 0.0) >= STRETCH_S)

        def rows(some: list[Frame], *, goes_on: bool = False) -> list[pa.RecordBatch]:
            observer = Observer(models, stride_s=STRIDE_S)
            return [block.rows for block in observer.observe(some, 1, goes_on=goes_on)]

        first, second = rows(frames[:border], goes_on=True), rows(frames[border:])
        assert pa.Table.from_batches([*first, *second]) == pa.Table.from_batches(rows(frames))
        assert first[-1]["track_id"].to_pylist()[-1] is None
        ended = rows(frames[:border])
        assert ended[-1]["track_id"].to_pylist()[-1] == 1, "the last frame of an input is seen"

    def test_longer_than_the_longest_gap(self, demo_clip: Path, models: Models) -> None:
        options = replace(UNSMOOTHED, stride_s=1.5, action_units=False)
        statuses = analyze(demo_clip, options, models=replace(models, landmarks=None)).column("status")
        assert np.flatnonzero(statuses == "observed").tolist() == [0, 36, 62]
        assert set(statuses) == {"observed", "interpolated"}

    def test_a_loop_over_frames_fills_in_too(self, models: Models, frames: list[Frame], strided: Timeline) -> None:
        analyzer = Analyzer(replace(UNSMOOTHED, stride_s=STRIDE_S), models)
        rows = pa.concat_tables([*(analyzer.push(frame) for frame in frames), analyzer.flush()])
        assert rows["status"].to_pylist()[:61] == strided.column("status")[:61].tolist()
        assert rows["status"].to_pylist()[61:] == ["no_face"] * 2
        assert rows["valence"].to_numpy()[:61] == pytest.approx(strided.column("valence")[:61], abs=1e-4)

    def test_a_causal_filter_leaves_nothing_to_fill_in(self, models: Models) -> None:
        options = AnalyzeOptions(stride_s=0.2, smoothing=SmoothingChoice(mode="causal"))
        with pytest.raises(InputError, match="causal filter knows only those before"):
            finish_settings(options, models)

    @pytest.mark.parametrize("stride_s", [0.0, -1.0, float("nan"), float("inf")])
    def test_is_a_time(self, stride_s: float) -> None:
        with pytest.raises(InputError, match="the stride must be a number of seconds above 0"):
            AnalyzeOptions(stride_s=stride_s)


EXPRESSIONS = score_columns(Task.EXPR, FERPLUS_8)
ANSWER = dict(zip(AFFECTNET_8, softmax(np.arange(8)).tolist(), strict=True))
"""What the second network says of whatever it is shown: the tiny one's scores are 0 to 7 and a number, in its order."""


def probabilities(timeline: Timeline) -> np.ndarray:
    return np.column_stack([timeline.column(name) for name in EXPRESSIONS])


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    description = describe(replace(SPEC, labels=AFFECTNET_8))
    return save(tmp_path_factory.mktemp("large"), tiny_network(width=8), description)


TURN = replace(UNSMOOTHED, action_units=False, sampling=Sampling(start_s=7.5, end_s=10.0))
"""Where the face turns from sad to happy, and the backbone is not always sure."""


@pytest.fixture(scope="module")
def alone(demo_clip: Path) -> Timeline:
    return analyze(demo_clip, TURN)


@pytest.fixture(scope="module")
def asking(demo_clip: Path, large: Path) -> Timeline:
    return analyze(demo_clip, replace(TURN, cascade=large))


@pytest.fixture(scope="module")
def is_unsure(alone: Timeline) -> np.ndarray:
    is_unsure = probabilities(alone).max(axis=1) < CASCADE_SURE_FROM
    assert 0.1 < is_unsure.mean() < 0.9
    return is_unsure


class TestCascade:
    def test_the_first_network_answers_where_it_is_sure(
        self, alone: Timeline, asking: Timeline, is_unsure: np.ndarray
    ) -> None:
        for name in ("valence", "arousal", "expression", *EXPRESSIONS):
            assert asking.column(name)[~is_unsure].tolist() == alone.column(name)[~is_unsure].tolist()

    def test_elsewhere_the_second_one_does_with_labels_by_their_names(
        self, asking: Timeline, is_unsure: np.ndarray
    ) -> None:
        answer = np.array([ANSWER[label] for label in FERPLUS_8])
        assert probabilities(asking)[is_unsure] == pytest.approx(np.tile(answer, (is_unsure.sum(), 1)), abs=1e-5)
        assert set(asking.column("expression")[is_unsure]) == {"Surprise"}
        valence = sum(share * NORMS[label].valence for label, share in ANSWER.items())
        assert asking.column("valence")[is_unsure] == pytest.approx(valence, abs=1e-4)

    def test_is_written_down(self, asking: Timeline, alone: Timeline, is_unsure: np.ndarray, tmp_path: Path) -> None:
        provenance = asking.provenance
        assert provenance.cascade == CascadeRecord("tiny", CASCADE_SURE_FROM, "fp32")
        assert provenance.asked_faces == is_unsure.sum()
        assert [model.name for model in provenance.models if model.role == "backbone that is asked"] == ["tiny"]
        source = next(head.source for head in provenance.heads if head.task is Task.EXPR)
        assert "below a probability of 0.7, logits of tiny" in source
        asking.write(tmp_path)
        assert Timeline.from_parquet(tmp_path / "timeline.parquet") == asking
        assert (alone.provenance.cascade, alone.provenance.asked_faces) == (None, None)

    def test_a_finished_job_is_known_by_its_cascade(self, large: Path, tmp_path: Path) -> None:
        pictures = tmp_path / "faces"
        pictures.mkdir()
        for number, grey in enumerate((40, 160)):
            cv2.imwrite(str(pictures / f"{number}.png"), np.full((60, 50, 3), grey, np.uint8))
        options = AnalyzeOptions(crops=True, action_units=False, cascade=large, cascade_sure_from=1.0)
        output = OutputOptions(tmp_path / "out", resume=True)

        def status(asked: AnalyzeOptions) -> str:
            (result,) = run_jobs(expand_inputs([pictures], None), asked, output, Silent())
            return result.status

        assert status(options) == "done"
        assert Timeline.from_csv(tmp_path / "out" / "faces" / "timeline.csv").provenance.asked_faces == 2
        assert status(options) == "skipped"
        assert status(replace(options, cascade_sure_from=0.3)) == "done"

    def test_is_named_by_its_path_to_other_processes(
        self, large: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(large.parent)
        options = AnalyzeOptions(backbone=large.name, cascade=large.name, heads=(Path("va.safetensors"),))
        named = with_absolute_names(options)
        assert (named.backbones, named.cascade, named.heads) == ((large,), large, (large.parent / "va.safetensors",))
        plain = AnalyzeOptions(backbone="lite0_ferplus", cascade="enet_b2_8")
        monkeypatch.chdir(tmp_path)
        assert (with_absolute_names(plain).backbones, with_absolute_names(plain).cascade) == (
            ("lite0_ferplus",),
            "enet_b2_8",
        )


class Silent:
    def begin(self, name: str) -> None: ...

    def advance(self, stage: str, done: int, total: int | None) -> None: ...

    def finish(self, result: JobResult) -> None: ...


class TestWhatNoCascadeCanBe:
    SMALL = replace(SPEC, name="small", labels=AFFECTNET_8)

    @pytest.mark.parametrize("sure_from", [0.0, 1.01, float("nan")])
    def test_a_threshold_that_is_no_probability(self, sure_from: float) -> None:
        with pytest.raises(InputError, match="asks below a probability above 0 and up to 1"):
            check_cascade(sure_from, self.SMALL, self.SMALL, has_head=False)

    def test_classes_that_the_first_network_does_not_know(self) -> None:
        with pytest.raises(InputError, match="tiny knows Contempt, which small does not"):
            check_cascade(
                0.5, replace(SPEC, labels=AFFECTNET_8), replace(self.SMALL, labels=AFFECTNET_7), has_head=False
            )

    def test_fewer_classes_are_no_harm(self) -> None:
        check_cascade(0.5, replace(SPEC, labels=AFFECTNET_7), self.SMALL, has_head=False)

    def test_a_head_that_gives_the_expressions(self) -> None:
        with pytest.raises(InputError, match="here a head gives them: leave out the cascade or the head"):
            check_cascade(0.5, self.SMALL, self.SMALL, has_head=True)

    def test_a_network_without_expressions(self) -> None:
        mute = replace(SPEC, labels=(), has_valence_arousal=True)
        with pytest.raises(InputError, match="tiny gives no expressions"):
            check_cascade(0.5, mute, self.SMALL, has_head=False)
