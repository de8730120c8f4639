"""Analysing with heads that look at a face over time: the same scores at once, after a break and frame by frame."""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
import pyarrow as pa
import pytest

from affectline import AnalyzeOptions, Analyzer, Frame, Sampling, Smoothing, Timeline, analyze, read_frames
from affectline.analysis import load_models, observe_source
from affectline.errors import InputError
from affectline.extract import ExtractOptions, extract_all, find_sources, load_extractor
from affectline.faces.stretches import STRETCH_S
from affectline.features import FeaturePart, FeatureTable
from affectline.features.store import FeatureStore
from affectline.heads.blend import BlendHead, joint_backbones
from affectline.heads.head import BackboneRef, ContextHead, Decision, HeadCard
from affectline.heads.head_file import save_head
from affectline.heads.temporal import TemporalHead
from affectline.inputs import expand_inputs, open_input
from affectline.job_index import JobResult
from affectline.jobs import PART_NAME, OutputOptions, run_jobs
from affectline.labels import Task
from affectline.models import Models
from affectline.observe import raw_rows_schema
from affectline.part import read_part
from affectline.track_scores import score_tracks
from faces_on_video import scenery, write_video
from temporal_heads import temporal_head

DEFAULT = "mobilenet96_ferplus"
INTERVAL_S = 1 / 24
HIDDEN = range(14, 18)
"""Frames of the clip without a face."""


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory, demo_clip: Path) -> Path:
    """Two seconds and a half of a face, which is away for four frames."""
    shown = [frame.rgb for frame in read_frames(demo_clip, Sampling(end_s=2.5))]
    pictures = [scenery((640, 360)) if number in HIDDEN else rgb for number, rgb in enumerate(shown)]
    return write_video(tmp_path_factory.mktemp("temporal") / "clip.mp4", pictures)


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory, clip: Path) -> FeatureTable:
    """What the default backbone says of the clip, as `affectline extract` stores it."""
    store = FeatureStore(tmp_path_factory.mktemp("store"), create=True)
    sources = find_sources([clip], None)
    extractor = load_extractor(ExtractOptions(DEFAULT), sources)
    assert [one.status for one in extract_all(sources, store, extractor)] == ["done"]
    info = extractor.info(sources[0])
    return store.open(info.digest, info.crop_kind, info.video)


def head_on(table: FeatureTable, model: str, is_causal: bool, task: Task = Task.VA, **more) -> TemporalHead:
    return temporal_head(
        model,
        is_causal,
        task,
        ref=BackboneRef(table.info.backbone, table.info.digest),
        parts=(FeaturePart.LOGITS,),
        width=len(table.info.labels),
        inputs=table.features().logits,
        interval_s=INTERVAL_S,
        **more,
    )


def options(folder: Path, *heads: TemporalHead | BlendHead, **more) -> AnalyzeOptions:
    paths = []
    for one in heads:
        paths.append(folder / f"{one.card.task.value}.safetensors")
        save_head(one, paths[-1])
    return AnalyzeOptions(heads=tuple(paths), action_units=False, **more)


def scores_of(head: ContextHead, table: FeatureTable) -> np.ndarray:
    """Return the scores of the rows of the table, as from the features alone."""
    assert set(table.track_id) == {1}
    return head.score_encoded(head.encode({table.info.digest: table.features()}), table.time_s)


def observed(rows: pa.Table, *names: str) -> np.ndarray:
    seen = rows.filter(pa.compute.equal(rows["status"], "observed"))
    return np.stack([seen[name].to_numpy() for name in names], axis=1)


class TestWholeVideo:
    @pytest.mark.parametrize("is_causal", [False, True])
    @pytest.mark.parametrize("model", ["gru", "tcn", "transformer"])
    def test_rows_have_the_scores_of_the_track(
        self, model: str, is_causal: bool, clip: Path, table: FeatureTable, tmp_path: Path
    ) -> None:
        head = head_on(table, model, is_causal)
        found = analyze(clip, options(tmp_path, head, smoothing=Smoothing.off()))
        assert found.column("status")[HIDDEN].tolist() == ["interpolated"] * 4
        expected = scores_of(head, table)
        assert observed(found.table, "valence", "arousal") == pytest.approx(expected, abs=2e-5)
        assert np.ptp(expected, axis=0).min() > 0.05
        # No head scores what nobody saw: between its neighbours lies a straight line.
        valence = found.column("valence")
        line = np.interp(HIDDEN, [13, 18], valence[[13, 18]])
        assert valence[HIDDEN] == pytest.approx(line, abs=2e-5)

    def test_three_tasks_at_once(self, clip: Path, table: FeatureTable, tmp_path: Path) -> None:
        shifts = (0.5, 0.0, -0.5, 0.0, 1.0, 0.0, 0.0, -1.0)
        va = head_on(table, "tcn", False, labels=("arousal",))
        expr = head_on(table, "gru", False, Task.EXPR, seed=2, decision=Decision(logit_adjustment=shifts))
        au = head_on(table, "transformer", False, Task.AU, seed=3)
        found = analyze(clip, options(tmp_path, va, expr, au, smoothing=Smoothing.off())).table
        assert found["valence"].null_count == len(found)
        assert observed(found, "arousal") == pytest.approx(scores_of(va, table), abs=2e-5)
        odds = scores_of(expr, table) * np.exp(shifts)
        names = [f"p_{label.lower()}" for label in expr.card.labels]
        assert observed(found, *names) == pytest.approx(odds / odds.sum(axis=1, keepdims=True), abs=2e-5)
        units = [f"au{int(label[2:]):02d}" for label in au.card.labels]
        assert observed(found, *units) == pytest.approx(scores_of(au, table), abs=2e-5)

    def test_two_faces_do_not_meet(self, clip: Path, table: FeatureTable, tmp_path: Path) -> None:
        pictures = [np.hstack([f.rgb, f.rgb[:, ::-1]]) for f in read_frames(clip, Sampling(end_s=0.5))]
        rows, models = observe(
            write_video(tmp_path / "two.mp4", pictures), options(tmp_path, head_on(table, "gru", False))
        )
        together = score_tracks(rows, models)
        assert set(rows["track_id"].to_pylist()) == {1, 2}
        for track in (1, 2):
            own = pa.compute.equal(rows["track_id"], track)
            alone = score_tracks(rows.filter(own), models)
            assert together.filter(own)["valence"].to_pylist() == alone["valence"].to_pylist()

    def test_a_blend_with_a_plain_head(self, clip: Path, table: FeatureTable, tmp_path: Path) -> None:
        parts = (head_on(table, "tcn", False), head_on(table, "gru", True, seed=5))
        card = HeadCard(Task.VA, parts[0].card.labels, joint_backbones(parts))
        blend = BlendHead(card, parts, np.array([0.25, 0.75], np.float32))
        found = analyze(clip, options(tmp_path, blend, smoothing=Smoothing.off())).table
        expected = 0.25 * scores_of(parts[0], table) + 0.75 * scores_of(parts[1], table)
        assert observed(found, "valence", "arousal") == pytest.approx(expected, abs=2e-5)

    def test_sampled_frames_are_another_rate(self, clip: Path, table: FeatureTable, tmp_path: Path) -> None:
        head = head_on(table, "tcn", False)
        rows, models = observe(clip, options(tmp_path, head), every=3)
        seen = rows.filter(pa.compute.is_valid(rows["track_id"]))
        encoded = np.stack(seen["encoded_va"].to_pylist()).astype(np.float32)
        expected = head.score_encoded(encoded, seen["frame"].to_numpy() * INTERVAL_S)
        assert observed(score_tracks(rows, models), "valence", "arousal") == pytest.approx(expected, abs=1e-3)
        others = head.score_encoded(encoded, np.arange(len(seen)) * INTERVAL_S)
        assert np.abs(others - expected).max() > 0.05

    def test_the_summary_says_what_it_looks_at(self, clip: Path, table: FeatureTable, tmp_path: Path) -> None:
        sources = {}
        for is_causal in (False, True):
            found = analyze(clip, options(tmp_path, head_on(table, "gru", is_causal), sampling=Sampling(end_s=0.2)))
            sources[is_causal] = next(one.source for one in found.provenance.heads if one.task is Task.VA)
        assert sources[False].startswith("VA.safetensors, context window (gru), trained on")
        assert sources[True].startswith("VA.safetensors, context causal (gru), trained on")


def observe(path: Path, chosen: AnalyzeOptions, every: int = 1) -> tuple[pa.Table, Models]:
    """Return the raw rows of a video, and the models that made them."""
    models = load_models(chosen)
    (item,) = expand_inputs([path], None)
    blocks = observe_source(open_input(item, None), models, AnalyzeOptions(sampling=Sampling(every)))
    return pa.Table.from_batches([block.rows for block in blocks], raw_rows_schema(models, None)), models


def test_images_are_scored_alone(clip: Path, table: FeatureTable, tmp_path: Path) -> None:
    frames = list(read_frames(clip, Sampling(end_s=0.1)))
    chosen = options(tmp_path, head_on(table, "gru", True))
    alone = []
    for name, kept in (("all", frames), *((f"only{frame.index}", [frame]) for frame in frames)):
        (tmp_path / name).mkdir()
        for frame in kept:
            cv2.imwrite(str(tmp_path / name / f"{frame.index}.png"), frame.rgb[:, :, ::-1])
        alone.append(observed(analyze(tmp_path / name, chosen).table, "valence", "arousal"))
    together = alone.pop(0)
    assert len(together) == len(frames) == 3
    assert together == pytest.approx(np.concatenate(alone), abs=2e-5)
    rows = Analyzer(chosen).push(Frame(0, None, frames[1].rgb))
    assert observed(rows, "valence", "arousal") == pytest.approx(together[1:2], abs=2e-5)


@pytest.fixture
def raw(clip: Path, table: FeatureTable, tmp_path: Path) -> tuple[pa.Table, Models]:
    return observe(clip, options(tmp_path, head_on(table, "tcn", False)))


class TestRawRows:
    def test_carry_encodings_until_the_track_is_known(self, raw: tuple[pa.Table, Models]) -> None:
        rows, models = raw
        assert rows.schema.field("encoded_va").type == pa.list_(pa.float32(), 2 + 8)
        assert rows["encoded_va"].null_count == len(HIDDEN)
        assert rows["valence"].null_count == len(rows)
        scored = score_tracks(rows, models)
        assert "encoded_va" not in scored.schema.names
        assert scored["valence"].null_count == len(HIDDEN)

    def test_their_order_plays_no_part(self, raw: tuple[pa.Table, Models]) -> None:
        rows, models = raw
        turned = rows.take(pa.array(np.random.default_rng(0).permutation(len(rows))))
        scored = score_tracks(turned, models).sort_by("frame")
        assert scored["valence"].to_pylist() == score_tracks(rows, models)["valence"].to_pylist()

    def test_none_are_no_rows(self, raw: tuple[pa.Table, Models]) -> None:
        rows, models = raw
        assert len(score_tracks(rows.slice(0, 0), models)) == 0


@dataclass
class Killed:
    """Stops a job once so many frames are done."""

    after: int | None
    results: list[JobResult] = field(default_factory=list)

    def begin(self, name: str) -> None:
        pass

    def advance(self, stage: str, done: int, total: int | None) -> None:
        if stage == "frames" and self.after is not None and done >= self.after:
            raise KeyboardInterrupt

    def finish(self, result: JobResult) -> None:
        self.results.append(result)


def test_a_resumed_run_equals_an_unbroken_one(clip: Path, table: FeatureTable, tmp_path: Path) -> None:
    chosen = options(tmp_path, head_on(table, "gru", False))
    slow = write_video(tmp_path / "clip.mp4", (frame.rgb for frame in read_frames(clip)), Fraction(5))
    inputs = expand_inputs([slow], None)

    def run(folder: str, killed: Killed, *, resume: bool = False) -> None:
        saving = OutputOptions(tmp_path / folder, ("parquet",), annotate=False, resume=resume)
        run_jobs(inputs, chosen, saving, killed)

    run("whole", Killed(None))
    with pytest.raises(KeyboardInterrupt):
        run("broken", Killed(51))
    part = read_part(tmp_path / "broken" / "clip" / PART_NAME)
    assert part is not None
    assert len(part.rows["encoded_va"]) == 5 * STRETCH_S
    run("broken", Killed(None), resume=True)
    whole, broken = (
        Timeline.from_parquet(tmp_path / name / "clip" / "timeline.parquet") for name in ("whole", "broken")
    )
    assert broken.table.equals(whole.table)


class TestAnalyzer:
    @pytest.mark.parametrize("mode", ["causal", "centred"])
    def test_a_causal_head_gives_what_analyze_gives(
        self, mode: str, clip: Path, table: FeatureTable, tmp_path: Path
    ) -> None:
        chosen = options(
            tmp_path,
            head_on(table, "gru", True),
            head_on(table, "transformer", True, Task.EXPR),
            smoothing=Smoothing(va_s=0.1, expr_s=0.1, mode=mode),
        )
        whole = analyze(clip, chosen).table
        analyzer = Analyzer(chosen)
        tables = [analyzer.push(frame) for frame in read_frames(clip)]
        if mode == "causal":
            assert [len(table) for table in tables] == [1] * len(tables)
        pushed = pa.concat_tables([*tables, analyzer.flush()])
        assert pushed["status"].to_pylist() == whole["status"].to_pylist()
        for name in ("valence", "arousal", "p_happiness"):
            # One crop at a time and sixteen together go through different kernels of ONNX Runtime.
            assert pushed[name].to_numpy() == pytest.approx(whole[name].to_numpy(), abs=1e-4, nan_ok=True)
        assert np.nanstd(whole["valence"].to_numpy()) > 0.01

    def test_tracks_that_have_ended_are_forgotten(self, clip: Path, table: FeatureTable, tmp_path: Path) -> None:
        analyzer = Analyzer(options(tmp_path, head_on(table, "gru", True)))
        frames = list(read_frames(clip, Sampling(end_s=0.2)))
        for frame in frames:
            analyzer.push(frame)
        assert len(analyzer._scorer._followed) == 1
        blank = np.zeros_like(frames[0].rgb)
        for number in range(40):
            analyzer.push(Frame(len(frames) + number, frames[-1].time_s + (number + 1) * INTERVAL_S, blank))
        assert not analyzer._scorer._followed

    def test_a_head_that_looks_ahead_is_refused(self, table: FeatureTable, tmp_path: Path) -> None:
        with pytest.raises(InputError, match=r"VA\.safetensors looks ahead.*--causal"):
            Analyzer(options(tmp_path, head_on(table, "tcn", False)))
