"""`evaluate`, `blend` and `submission` on a small set in the Aff-Wild2 layout."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import typer
from typer.testing import CliRunner, Result

from affectline.cli import blend, evaluate, submission
from affectline.datasets.layout import SPLIT_FOLDERS, TASK_FOLDERS, write_annotation
from affectline.datasets.submission import HEADERS
from affectline.errors import InputError, InputFileError
from affectline.evaluation.scoring import TRAINED_ON, training_fingerprints, video_fingerprint
from affectline.evaluation.tuning import TuneOptions, tune_decision, tuned_head
from affectline.heads.blend import BlendHead
from affectline.heads.head import Decision
from affectline.heads.head_file import load_head, save_head
from affectline.heads.mlp import DenseLayer, MlpHead
from affectline.labels import Task
from feature_stores import put_video
from labelled_examples import DIGEST, OTHER_DIGEST, reading_head

app = typer.Typer()
app.command("evaluate")(evaluate.command)
app.command("blend")(blend.command)
app.add_typer(submission.app, name="submission")

FRAMES = 120
NOISY_DIGEST = "0f" * 32


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four videos with slow valence and arousal, seen by two backbones with noise of their own; heads for both."""
    folder = tmp_path_factory.mktemp("root")
    rng = np.random.default_rng(0)
    annotations = folder / "data" / TASK_FOLDERS[Task.VA][0] / SPLIT_FOLDERS["val"][0]
    annotations.mkdir(parents=True)
    for number in range(6):
        truth = np.repeat(rng.uniform(-0.7, 0.7, (FRAMES // 20, 2)), 20, axis=0)
        write_annotation(annotations / f"v{number}.txt", Task.VA, np.round(truth, 3))
        for digest, noise in ((DIGEST, 0.3), (OTHER_DIGEST, 0.4), (NOISY_DIGEST, 30.0)):
            seen = np.clip(truth + noise * rng.normal(size=truth.shape), -0.99, 0.99)
            rows = {frame: tuple(seen[frame]) for frame in range(FRAMES) if frame % 10 != 3}
            put_video(folder / "store", Task.VA, f"v{number}", rows, FRAMES, digest=digest)
    write_annotation(annotations / "lost.txt", Task.VA, np.zeros((5, 2)))
    save_head(reading_head(Task.VA), folder / "first.head")
    save_head(reading_head(Task.VA, digest=OTHER_DIGEST), folder / "second.head")
    save_head(reading_head(Task.VA, digest=NOISY_DIGEST), folder / "noisy.head")
    save_head(reading_head(Task.AU), folder / "units.head")
    return folder


def run(*words: object) -> Result:
    return CliRunner().invoke(app, [str(word) for word in words], catch_exceptions=False)


def places(root: Path) -> list[object]:
    return ["--store", root / "store", "--data", root / "data"]


def lines_of(result: Result) -> list[str]:
    assert result.exit_code == 0, result.output
    return result.output.splitlines()


class TestEvaluate:
    def test_one_row_for_each_head_then_labels_and_notes(self, root: Path) -> None:
        lines = lines_of(run("evaluate", "VA", root / "first.head", root / "second.head", *places(root)))
        assert lines[0] == "Aff-Wild2 layout, VA val: 6 videos, 720 labelled frames, 648 of them with a face"
        assert lines[2].split() == [
            "head",
            "P",
            "all",
            "frames",
            "95",
            "%",
            "interval",
            "P",
            "with",
            "face",
            "unsmoothed",
            "radius",
        ]
        assert [line.split()[0] for line in lines[3:6]] == ["first", "second", "constant:"]
        first, second, constant = (float(line[line.index(".") - 1 :].split()[0]) for line in lines[3:6])
        assert first > second > constant == 0.0
        assert lines[7:11] == ["first", "label       ccc", lines[9], lines[10]]
        assert lines[9].split()[0] == "valence"
        assert lines[-1] == "left out, the store has no features: lost"

    def test_smoothing_can_be_given(self, root: Path) -> None:
        def figures(smooth: str) -> tuple[float, float, str]:
            row = lines_of(run("evaluate", "va", root / "first.head", *places(root), "--smooth", smooth))[3].split()
            return float(row[1]), float(row[-3]), " ".join(row[-2:])

        off, frame_wise, radius = figures("off")
        assert off == frame_wise
        assert radius == "0 s"
        smoothed, same, radius = figures("0.2")
        assert smoothed > off == same
        assert radius == "0.2 s"
        for wrong in ("much", "-1", "nan", "inf", "1e300", "10000.1"):
            with pytest.raises(InputError, match=rf"^--smooth.*'{wrong}'"):
                run("evaluate", "va", root / "first.head", *places(root), "--smooth", wrong)

    def test_all_figures_as_json(self, root: Path, tmp_path: Path) -> None:
        options = [*places(root), "--json", tmp_path / "out.json", "--resamples", 20]
        lines_of(run("evaluate", "va", root / "first.head", *options))
        found = json.loads((tmp_path / "out.json").read_text())
        assert (found["task"], found["frames"], found["missing"]) == ("VA", 720, ["lost"])
        (head,) = found["heads"]
        assert head["name"] == "first"
        assert head["interval"][0] < head["all_frames"]["p"] < head["interval"][1]
        assert [score["label"] for score in head["with_face"]["per_label"]] == ["valence", "arousal"]
        assert found["constant"]["all_frames"]["p"] == 0.0

    def test_paper_exact_leaves_frames_without_a_face_out(self, root: Path) -> None:
        lines = lines_of(run("evaluate", "va", root / "first.head", *places(root), "--paper-exact"))
        assert lines[3].split()[1] == "-"
        assert float(lines[3].split()[5]) > 0
        assert "the interval is that of P with face" in lines

    def test_few_videos_have_no_interval(self, root: Path, tmp_path: Path) -> None:
        (tmp_path / "val.txt").write_text("v0\nv1.mp4\n")
        lists = ["--val-list", tmp_path / "val.txt", "--json", tmp_path / "out.json"]
        lines = lines_of(run("evaluate", "va", root / "first.head", *places(root), *lists))
        assert lines[3].split()[2] == "-"
        assert "too few videos for an interval (2; at least 5)" in lines
        assert json.loads((tmp_path / "out.json").read_text())["heads"][0]["interval"] is None

    def test_paper_exact_without_an_interval_says_nothing_of_one(self, root: Path, tmp_path: Path) -> None:
        (tmp_path / "val.txt").write_text("v0\n")
        options = [*places(root), "--val-list", tmp_path / "val.txt", "--paper-exact"]
        lines = lines_of(run("evaluate", "va", root / "first.head", *options))
        assert lines[0] == "Aff-Wild2 layout, VA val: 1 video, 120 labelled frames, 108 of them with a face"
        assert "too few videos for an interval (1; at least 5)" in lines
        assert not any(line.startswith("the interval") for line in lines)

    @pytest.mark.parametrize(
        ("value", "text"), [(-0.00004, "0.0000"), (-0.0, "0.0000"), (-0.00006, "-0.0001"), (0.12345678, "0.1235")]
    )
    def test_a_zero_has_no_sign(self, value: float, text: str) -> None:
        assert evaluate._figure(value) == text

    def test_thresholds_of_units_are_shown(self, tmp_path: Path) -> None:
        folder = tmp_path / "data" / TASK_FOLDERS[Task.AU][0] / SPLIT_FOLDERS["val"][0]
        folder.mkdir(parents=True)
        units = np.zeros((4, 12), int)
        units[1] = 1
        write_annotation(folder / "v.txt", Task.AU, units)
        labels = tuple(Task.AU.official_labels)
        scores = {frame: [0.1 + 0.2 * frame] * 8 for frame in range(4)}
        put_video(tmp_path / "store", Task.AU, "v", scores, 4)
        narrow = reading_head(Task.AU)
        layer = DenseLayer(np.tile(np.eye(1, 8, dtype=np.float32), (12, 1)), np.zeros(12, np.float32))
        for name, thresholds in (("plain", ()), ("tuned", tuple(np.linspace(0.25, 0.8, 12).tolist()))):
            card = replace(narrow.card, labels=labels, decision=Decision(thresholds=thresholds))
            head = MlpHead(card, narrow.parts, (layer,), np.zeros(8, np.float32), np.ones(8, np.float32))
            save_head(head, tmp_path / name)
        output = lines_of(run("evaluate", "au", tmp_path / "plain", tmp_path / "tuned", *places(tmp_path)))
        rows = [line.split() for line in output if line.startswith(("label", "AU1 "))]
        assert [row[-1] for row in rows] == ["threshold", "0.5", "threshold", "0.25"]

    def test_it_says_what_a_head_was_trained_on(self, root: Path, tmp_path: Path) -> None:
        head = reading_head(Task.VA)
        prints = " ".join(video_fingerprint(video) for video in ("v0", "v3_left", "other"))
        known = head.with_card(replace(head.card, training={TRAINED_ON: prints}))
        save_head(known, tmp_path / "known.head")
        output = run("evaluate", "va", tmp_path / "known.head", root / "first.head", *places(root)).output
        assert "trained on 2 of the 6 videos that are scored here: the figures of known say nothing" in output
        assert "of first say" not in output
        (tmp_path / "val.txt").write_text("v0\n")
        alone = run("evaluate", "va", tmp_path / "known.head", *places(root), "--val-list", tmp_path / "val.txt")
        assert "trained on 1 of the 1 video that is scored here: the figures of known say" in alone.output
        card = replace(head.card, training={})
        blend_of_both = BlendHead(card, (known, head), np.ones(2, np.float32))
        assert training_fingerprints(blend_of_both) == set(prints.split())

    def test_it_says_where_a_head_was_tuned_on_the_same_data(self, root: Path, tmp_path: Path) -> None:
        from affectline.datasets.loading import DataOptions, load_labelled

        data = load_labelled(Task.VA, "val", DataOptions(root / "store", root / "data", backbones=(DIGEST,)))
        head = reading_head(Task.VA)
        tuned = tuned_head(head, data, tune_decision(head, data, TuneOptions(radii=(0, 5))))
        save_head(tuned, tmp_path / "tuned.head")
        output = run("evaluate", "va", tmp_path / "tuned.head", *places(root)).output
        assert "logit adjustment of tuned were chosen on these very data" in output
        assert "chosen" not in run("evaluate", "va", root / "first.head", *places(root)).output

    def test_what_does_not_fit_is_refused(self, root: Path, tmp_path: Path) -> None:
        with pytest.raises(InputError, match=r"units\.head predicts AU, not VA"):
            run("evaluate", "va", root / "units.head", *places(root))
        with pytest.raises(InputError, match="either --data"):
            run("evaluate", "va", root / "first.head", "--store", root / "store")
        with pytest.raises(InputError, match=r"no split 'test'; choose val, train or train\+val"):
            run("evaluate", "va", root / "first.head", *places(root), "--on", "test")
        save_head(reading_head(Task.VA, digest="ef" * 32), tmp_path / "third.head")
        with pytest.raises(InputError, match=rf"third\.head .*{'ef' * 32}.*{DIGEST}"):
            run("evaluate", "va", tmp_path / "third.head", *places(root))


class TestBlend:
    @pytest.mark.parametrize("method", ["grid", "optimise"])
    def test_the_blend_is_saved_and_better(self, method: str, root: Path, tmp_path: Path) -> None:
        out = tmp_path / "blend.head"
        heads = [root / "first.head", root / "second.head"]
        lines = lines_of(run("blend", *heads, "-o", out, *places(root), "--method", method, "--folds", 2))
        rows = {line.split()[0]: line.split()[1:] for line in lines[3:6]}
        assert float(rows["first"][0]) + float(rows["second"][0]) == pytest.approx(1.0, abs=0.01)
        assert float(rows["blend"][0]) >= float(rows["first"][1]) > float(rows["second"][1])
        assert lines[-1].endswith(f"-> {out}")
        blended = load_head(out)
        assert [ref.digest for ref in blended.card.backbones] == [DIGEST, OTHER_DIGEST]
        evaluated = lines_of(run("evaluate", "va", out, *places(root)))
        assert evaluated[3].split()[1] == f"{blended.card.validation['p']:.4f}"

    def test_it_says_where_a_head_alone_is_best(self, root: Path, tmp_path: Path) -> None:
        options = ["-o", tmp_path / "b.head", *places(root), "--filter", "causal", "--thresholds", "fixed"]
        both = run("blend", root / "first.head", root / "noisy.head", *options)
        assert "that head has all the weight" in both.output
        assert load_head(tmp_path / "b.head").card.decision.mode == "causal"
        assert [ref.digest for ref in load_head(tmp_path / "b.head").card.backbones] == [DIGEST]
        assert "all the weight" not in run("blend", root / "first.head", *options).output

    def test_wrong_words_are_refused(self, root: Path, tmp_path: Path) -> None:
        start = ["blend", root / "first.head", root / "second.head", "-o", tmp_path / "b.head", *places(root)]
        with pytest.raises(InputError, match="no method 'guess'"):
            run(*start, "--method", "guess")
        with pytest.raises(InputError, match="no thresholds 'none'; choose best, fixed, cv"):
            run(*start, "--thresholds", "none")
        with pytest.raises(InputError, match=r"units\.head predicts AU, not VA"):
            run("blend", root / "first.head", root / "units.head", "-o", tmp_path / "b.head", *places(root))
        assert not (tmp_path / "b.head").exists()


class TestSubmission:
    @pytest.mark.parametrize("tail", [",", ",0"], ids=["abaw5", "abaw6"])
    def test_every_row_of_the_sample_is_written_and_passes_the_check(
        self, tail: str, root: Path, tmp_path: Path
    ) -> None:
        rows = [f"v{number}/{frame:05d}.jpg" for number in (2, 0) for frame in range(1, FRAMES + 2)]
        sample = tmp_path / "sample.txt"
        sample.write_text("\n".join([HEADERS[Task.VA], *(row + tail for row in rows)]) + "\n")
        out = tmp_path / "out.txt"
        options = ["--head", root / "first.head", "--store", root / "store", "--sample", sample, "-o", out]
        assert lines_of(run("submission", "write", "va", *options)) == [f"242 rows of 2 videos -> {out}"]
        written = out.read_text().splitlines()
        assert written[0] == HEADERS[Task.VA]
        assert [line.split(",")[0] for line in written[1:]] == rows
        # The store has 120 frames of each video: the last one is copied.
        assert written[120].split(",")[1:] == written[121].split(",")[1:]
        lines = lines_of(run("submission", "check", "VA", out, "--sample", sample))
        assert lines == [f"{out}: 242 rows, all as the sample asks"]

    def test_a_list_of_names_serves_where_there_is_no_sample(self, root: Path, tmp_path: Path) -> None:
        (tmp_path / "names.txt").write_text("v1.mp4\n\n")
        out = tmp_path / "out.txt"
        options = ["--head", root / "first.head", "--store", root / "store", "-o", out]
        lines_of(run("submission", "write", "va", *options, "--list", tmp_path / "names.txt"))
        assert len(out.read_text().splitlines()) == 1 + FRAMES
        for both in ([], ["--list", tmp_path / "names.txt", "--sample", out]):
            with pytest.raises(InputError, match="either --sample, the sample file of the challenge, or --list"):
                run("submission", "write", "va", *options, *both)

    def test_rows_behind_the_last_known_frame_are_counted(self, root: Path, tmp_path: Path) -> None:
        sample, out = tmp_path / "sample.txt", tmp_path / "out.txt"
        sample.write_text("\n".join([HEADERS[Task.VA], "v1/00001.jpg,", f"v1/{FRAMES + 1:05d}.jpg,", "v1/00900.jpg,"]))
        options = ["--head", root / "first.head", "--store", root / "store", "--sample", sample, "-o", out]
        output = run("submission", "write", "va", *options).output
        assert "2 rows of v1 lie behind the last frame that its features know of and repeat it" in output
        written = [line.split(",")[1:] for line in out.read_text().splitlines()[1:]]
        assert written[1] == written[2] != written[0]

    @pytest.mark.parametrize(
        ("rows", "note"),
        [
            (["v1/00900.jpg"], "1 row of v1 lies behind the last frame that its features know of and repeats it"),
            (
                [f"v{number}/00{end}.jpg" for number in range(5) for end in (900, 901)],
                "10 rows of v0, v1, v2 and 2 more lie behind the last frame that their features know of and repeat it",
            ),
        ],
    )
    def test_one_line_tells_of_all_rows_behind_the_end(
        self, rows: list[str], note: str, root: Path, tmp_path: Path
    ) -> None:
        sample, out = tmp_path / "sample.txt", tmp_path / "out.txt"
        sample.write_text("\n".join([HEADERS[Task.VA], *(f"{row}," for row in rows)]))
        options = ["--head", root / "first.head", "--store", root / "store", "--sample", sample, "-o", out]
        result = run("submission", "write", "va", *options)
        n_videos = len({row[:2] for row in rows})
        counts = "1 row of 1 video" if len(rows) == 1 else f"{len(rows)} rows of {n_videos} videos"
        assert result.output.splitlines() == [f"{counts} -> {out}", note]

    def test_a_list_without_names_is_refused(self, root: Path, tmp_path: Path) -> None:
        (tmp_path / "names.txt").write_text(" \n\n")
        options = ["--head", root / "first.head", "--store", root / "store", "-o", tmp_path / "out.txt"]
        with pytest.raises(InputFileError, match=r"names\.txt is empty; it needs one video name a line"):
            run("submission", "write", "va", *options, "--list", tmp_path / "names.txt")

    def test_a_video_without_features(self, root: Path, tmp_path: Path) -> None:
        sample, out = tmp_path / "sample.txt", tmp_path / "out.txt"
        sample.write_text(f"{HEADERS[Task.VA]}\nlost/00001.jpg,\n")
        options = ["--head", root / "first.head", "--store", root / "store", "--sample", sample, "-o", out]
        with pytest.raises(InputError, match="no face features of lost"):
            run("submission", "write", "va", *options)
        assert not out.exists()
        result = run("submission", "write", "va", *options, "--allow-missing")
        assert "no face is known of lost: their rows hold the neutral constant" in result.output
        assert out.read_text().splitlines()[1] == "lost/00001.jpg,0.000000,0.000000"

    def test_problems_are_listed_counted_and_fail(self, tmp_path: Path) -> None:
        sample, out = tmp_path / "sample.txt", tmp_path / "out.txt"
        rows = [f"v/{frame:05d}.jpg" for frame in range(1, 31)]
        sample.write_text("\n".join([HEADERS[Task.EXPR], *(row + ",0" for row in rows)]))
        out.write_text("\n".join([HEADERS[Task.EXPR], *(row + ",9" for row in rows[1:])]))
        result = run("submission", "check", "expr", out, "--sample", sample)
        assert result.exit_code == 1
        lines = result.output.splitlines()
        assert lines[0] == "v/00001.jpg is missing (line 2 of the sample)"
        assert lines[1] == "line 2: expected a class from 0 to 7, got 'v/00002.jpg,9'"
        assert len(lines) == 21
        assert lines[-1] == f"{out}: 30 problems in 29 rows, 10 of them not shown"

    def test_an_empty_submission_is_a_finding_and_a_missing_one_wrong_use(self, tmp_path: Path) -> None:
        sample, out = tmp_path / "sample.txt", tmp_path / "out.txt"
        sample.write_text(f"{HEADERS[Task.EXPR]}\nv/00001.jpg,0\n")
        with pytest.raises(InputFileError, match=r"cannot read .*out\.txt: No such file"):
            run("submission", "check", "expr", out, "--sample", sample)
        for content, problem in ((b"", "the file is empty"), (b"\xff\xfe", "no text in UTF-8")):
            out.write_bytes(content)
            result = run("submission", "check", "expr", out, "--sample", sample)
            assert result.exit_code == 1
            first, last = result.output.splitlines()
            assert first.startswith(problem)
            assert last == f"{out}: 1 problem in 0 rows"
        out.write_text(sample.read_text())
        assert lines_of(run("submission", "check", "expr", out, "--sample", sample)) == [
            f"{out}: 1 row, all as the sample asks"
        ]
        # The sample is the challenge's: one that is empty was the wrong file to name.
        sample.write_bytes(b"")
        with pytest.raises(InputFileError, match="is empty; expected a header and rows"):
            run("submission", "check", "expr", out, "--sample", sample)
