"""The main job on real video: what rows say, and that a loop over frames says the same."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pyarrow as pa
import pytest

import affectline
import clips
from affectline import AnalyzeOptions, Analyzer, Sampling, Smoothing, Timeline, analyze, read_frames
from affectline.analysis import load_models
from affectline.errors import InputError
from affectline.models import Models
from faces_on_video import scenery, write_video


@pytest.fixture(scope="module")
def models() -> Models:
    return load_models()


@pytest.fixture(scope="module")
def demo(demo_clip: Path, models: Models) -> Timeline:
    return analyze(demo_clip, models=models)


def during(timeline: Timeline, name: str, start_s: float, end_s: float) -> np.ndarray:
    times_s = timeline.column("time_s")
    return timeline.column(name)[(times_s >= start_s) & (times_s < end_s)]


class TestDemoClip:
    def test_has_a_row_for_every_frame_at_its_time(self, demo: Timeline) -> None:
        assert demo.column("frame").tolist() == list(range(472))
        assert demo.column("time_s") == pytest.approx(np.arange(472) * 1001 / 24000, abs=1e-3)

    def test_is_one_face_that_is_observed_throughout(self, demo: Timeline) -> None:
        assert demo.track_ids == (1,)
        assert set(demo.column("status")) == {"observed"}
        assert demo.column("quality").min() > 0.5

    def test_goes_from_sad_to_happy(self, demo: Timeline) -> None:
        assert np.mean(during(demo, "expression", 1, 6) == "Sadness") > 0.5
        assert np.mean(during(demo, "expression", 11, 19) == "Happiness") > 0.5
        assert during(demo, "valence", 11, 19).mean() - during(demo, "valence", 1, 6).mean() >= 0.6

    def test_the_smile_is_a_smile(self, demo: Timeline) -> None:
        assert during(demo, "au12", 11, 19).mean() >= 0.5
        assert during(demo, "au12", 1, 6).mean() <= 0.15

    def test_probabilities_sum_to_one(self, demo: Timeline) -> None:
        names = [name for name in demo.table.schema.names if name.startswith("p_")]
        assert sum(demo.column(name) for name in names) == pytest.approx(np.ones(472), abs=1e-4)

    def test_says_what_it_rests_on(self, demo: Timeline) -> None:
        provenance = demo.provenance
        assert [(head.task, head.head) for head in provenance.heads] == [
            ("VA", "zero-shot"),
            ("EXPR", "pretrained"),
            ("AU", "zero-shot"),
        ]
        assert (provenance.container_frames, provenance.decoded_frames, provenance.is_complete) == (472, 472, True)
        assert {model.role for model in provenance.models} == {
            "backbone",
            "landmarks and blendshapes",
            "face detector",
        }
        assert all(model.licence and model.digest for model in provenance.models)

    def test_survives_csv_and_parquet(self, demo: Timeline, tmp_path: Path) -> None:
        demo.write(tmp_path)
        assert Timeline.from_csv(tmp_path / "timeline.csv") == demo
        assert Timeline.from_parquet(tmp_path / "timeline.parquet") == demo


@pytest.fixture(scope="module")
def frames(demo_clip: Path) -> list[affectline.Frame]:
    return list(read_frames(demo_clip, Sampling(start_s=8, end_s=13)))


class TestAnalyzer:
    def test_gives_what_analyze_gives(self, demo_clip: Path, models: Models, frames: list[affectline.Frame]) -> None:
        whole = analyze(demo_clip, AnalyzeOptions(sampling=Sampling(start_s=8, end_s=13)), models=models).table
        analyzer = Analyzer(models=models)
        tables = [analyzer.push(frame) for frame in frames]
        assert sum(len(table) for table in tables) > 0, "rows come before the end"
        pushed = pa.concat_tables([*tables, analyzer.flush()])
        for name in ("frame", "time_s", "track_id", "status", "expression", "au12_on"):
            assert pushed[name].to_pylist() == whole[name].to_pylist()
        for name in ("valence", "arousal", "p_happiness", "au12", "box_x1"):
            # One crop at a time and sixteen together go through different kernels of ONNX Runtime.
            assert pushed[name].to_numpy() == pytest.approx(whole[name].to_numpy(), abs=1e-4)

    def test_causal_rows_come_at_once(self, models: Models, frames: list[affectline.Frame]) -> None:
        analyzer = Analyzer(AnalyzeOptions(smoothing=Smoothing(mode="causal")), models)
        for frame in frames[:5]:
            assert analyzer.push(frame)["frame"].to_pylist() == [frame.index]
        assert len(analyzer.flush()) == 0


class TestOtherInputs:
    def test_a_video_without_a_face_has_a_row_for_every_frame(self, tmp_path: Path, models: Models) -> None:
        background = scenery((320, 240))
        path = write_video(tmp_path / "empty.mp4", [np.roll(background, 3 * k, axis=1) for k in range(30)])
        timeline = analyze(path, models=models)
        assert timeline.column("status").tolist() == ["no_face"] * 30
        assert timeline.track_ids == ()
        assert timeline.table["valence"].null_count == 30

    def test_a_face_that_is_gone_for_less_than_a_second_is_interpolated(
        self, demo_clip: Path, tmp_path: Path, models: Models
    ) -> None:
        shown = [frame.rgb for frame in read_frames(demo_clip, Sampling(end_s=2.5))]
        hidden = scenery((640, 360))
        pictures = [hidden if 24 <= number < 36 else rgb for number, rgb in enumerate(shown)]
        timeline = analyze(write_video(tmp_path / "gap.mp4", pictures), models=models)
        statuses = timeline.column("status")
        assert set(timeline.column("track_id")) == {1}
        assert statuses[24:36].tolist() == ["interpolated"] * 12
        assert "interpolated" not in statuses[:24]
        assert "interpolated" not in statuses[36:]
        assert timeline.table["face_score"].slice(24, 12).null_count == 12

    def test_two_faces_side_by_side_are_two_tracks(self, demo_clip: Path, tmp_path: Path, models: Models) -> None:
        pictures = [np.hstack([f.rgb, f.rgb[:, ::-1]]) for f in read_frames(demo_clip, Sampling(end_s=1))]
        path = write_video(tmp_path / "two.mp4", pictures)
        timeline = analyze(path, models=models)
        assert timeline.track_ids == (1, 2)
        assert len(timeline) == 2 * len(pictures)
        alone = analyze(path, AnalyzeOptions(max_faces=1), models=models)
        assert alone.track_ids == (1,)
        assert len(alone) == len(pictures)

    @pytest.mark.parametrize("size", [(2, 2), (64, 48)])
    def test_tiny_frames_are_analysed(self, size: tuple[int, int], tmp_path: Path, models: Models) -> None:
        clip = clips.cfr(tmp_path / "tiny.mp4", frames=4, size=size)
        assert analyze(clip.path, models=models).column("status").tolist() == ["no_face"] * 4

    def test_sampling_keeps_frame_numbers(self, demo_clip: Path, models: Models) -> None:
        options = AnalyzeOptions(sampling=Sampling(every=40), smoothing=Smoothing.off())
        assert analyze(demo_clip, options, models=models).column("frame").tolist() == list(range(0, 472, 40))

    def test_without_action_units_their_columns_are_empty(self, demo_clip: Path) -> None:
        options = AnalyzeOptions(action_units=False, sampling=Sampling(end_s=0.5))
        timeline = analyze(demo_clip, options)
        assert timeline.table["au12"].null_count == len(timeline) == 12
        assert timeline.table["au12_on"].null_count == 12
        assert [head.task for head in timeline.provenance.heads] == ["VA", "EXPR"]

    def test_a_folder_of_images_has_a_source_and_no_times(
        self, demo_clip: Path, tmp_path: Path, models: Models
    ) -> None:
        frames = list(read_frames(demo_clip, Sampling(every=200)))
        for number, frame in enumerate(frames, start=9):
            cv2.imwrite(str(tmp_path / f"{number}.png"), cv2.cvtColor(frame.rgb, cv2.COLOR_RGB2BGR))
        timeline = analyze(tmp_path, models=models)
        assert timeline.column("source").tolist() == ["9.png", "10.png", "11.png"]
        assert timeline.table["time_s"].null_count == timeline.table["track_id"].null_count == 3
        assert timeline.column("expression").tolist()[-1] == "Happiness"
        sequence = analyze(tmp_path, AnalyzeOptions(sequence_fps=2, smoothing=Smoothing.off()), models=models)
        assert sequence.column("time_s").tolist() == [0.0, 0.5, 1.0]

    def test_crops_are_taken_whole(self, demo_clip: Path, demo: Timeline, tmp_path: Path) -> None:
        frame = next(iter(read_frames(demo_clip, Sampling(start_s=15))))
        row = frame.index
        x1, y1, x2, y2 = (int(demo.column(name)[row]) for name in ("box_x1", "box_y1", "box_x2", "box_y2"))
        cv2.imwrite(str(tmp_path / "face.png"), cv2.cvtColor(frame.rgb[y1:y2, x1:x2], cv2.COLOR_RGB2BGR))
        timeline = analyze(tmp_path / "face.png", AnalyzeOptions(crops=True))
        assert timeline.column("expression").tolist() == ["Happiness"]
        assert timeline.column("box_x2").tolist() == [x2 - x1]
        assert timeline.provenance.detector is None


def test_a_folder_of_several_videos_is_too_much_for_one_call(tmp_path: Path) -> None:
    clips.cfr(tmp_path / "a.mp4", frames=2)
    clips.cfr(tmp_path / "b.mp4", frames=2)
    with pytest.raises(InputError, match="holds 2 inputs, analyze takes one"):
        analyze(tmp_path)


def test_max_faces_must_be_positive() -> None:
    with pytest.raises(InputError, match="max_faces must be at least 1, got 0"):
        AnalyzeOptions(max_faces=0)
