"""Writing a synthetic set: annotations, feature tables or crops, latents, sample files of the test list."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final, Literal, get_args

import cv2
import numpy as np
import pyarrow as pa
import pyarrow.ipc

from affectline import __version__
from affectline.atomic_file import complete_file, complete_path
from affectline.datasets.labelled import TRAIN, VALIDATION
from affectline.datasets.layout import HEADERS, SPLIT_FOLDERS, TASK_FOLDERS, crop_name, write_annotation
from affectline.datasets.synthetic import design as numbers
from affectline.datasets.synthetic.backbone import SyntheticBackbone, make_backbones
from affectline.datasets.synthetic.ceilings import Ceilings, find_ceilings
from affectline.datasets.synthetic.design import FPS, Design, make_design
from affectline.datasets.synthetic.faces import degrade, draw_face, make_subject
from affectline.datasets.synthetic.video import SyntheticVideo, make_video
from affectline.errors import AffectlineError, InputError, OutputError
from affectline.features import CropKind
from affectline.features.store import FeatureStore
from affectline.features.writer import write_features
from affectline.labels import Task
from affectline.progress import ProgressHook, ignore_progress

Form = Literal["features", "crops", "both"]

MIN_VIDEOS: Final = 5
MIN_FRAMES: Final = 60
TEST: Final = "test"
SHARES: Final = ((VALIDATION, 0.2, 2), (TEST, 0.2, 1))
"""Share of the videos in a split, and the least number; the rest is for training."""

MAX_CEILING_VIDEOS: Final = 200
"""Validation videos from which the ceilings are found."""

ANNOTATIONS, STORE, LATENTS = "annotations", "store", "latents"


@dataclass(frozen=True, slots=True)
class SynthOptions:
    """What to make.

    Attributes:
        videos: how many; about 60 % for training, 20 % each for validation and tests.
        frames: of each video on average; lengths vary from half to one and a half times as many.
        seed: of everything; the same seed gives the same set.
        form: feature tables of two make-believe backbones, pictures of faces, or both.
        width: D of the embeddings.
    """

    videos: int = 60
    frames: int = 1500
    seed: int = 0
    form: Form = "features"
    width: int = 1280

    def __post_init__(self) -> None:
        if self.videos < MIN_VIDEOS or self.frames < MIN_FRAMES or self.seed < 0 or not 32 <= self.width <= 8192:  # noqa: PLR2004
            raise InputError(
                f"a synthetic set needs at least {MIN_VIDEOS} videos of {MIN_FRAMES} frames, a seed from 0 and a width "
                f"of 32 to 8192, got videos {self.videos}, frames {self.frames}, seed {self.seed}, width {self.width}"
            )
        if self.form not in get_args(Form):
            raise InputError(f"a synthetic set comes as {', '.join(get_args(Form))}, not as {self.form!r}")


@dataclass(frozen=True, slots=True)
class SynthResult:
    """What was made.

    Attributes:
        videos: number of videos by split.
        frames: number of frames of all videos.
        ceilings: on the validation videos.
        notes: what a user should know of this set.
    """

    videos: dict[str, int]
    frames: int
    ceilings: tuple[Ceilings, ...]
    notes: tuple[str, ...]


def write_synthetic(out: Path, options: SynthOptions, on_progress: ProgressHook = ignore_progress) -> SynthResult:
    """Make a synthetic set in a new or empty folder, whole or not at all; see docs/synthetic.md for its files.

    Args:
        out: the folder.
        options: what to make.
        on_progress: told how many videos are done.

    Raises:
        OutputError: the folder is not empty, or cannot be written.
    """
    unfinished = _prepare(out)
    try:
        result = _write(unfinished, options, on_progress)
        _put(unfinished, out)
    except AffectlineError:
        raise
    except OSError as error:
        raise OutputError(f"cannot write {out}: {error.strerror or error}; choose a place with space") from error
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
    return result


def _write(out: Path, options: SynthOptions, on_progress: ProgressHook) -> SynthResult:
    design = make_design()
    writer = _Writer(out, options, design)
    plan = _plan(options)
    kept: list[SyntheticVideo] = []
    seen = {TRAIN: _Seen(), VALIDATION: _Seen()}
    with ThreadPoolExecutor(2) as pool:
        for done, video in enumerate(pool.map(writer.write, range(len(plan)), plan), start=1):
            if video.split == VALIDATION and len(kept) < MAX_CEILING_VIDEOS:
                kept.append(video)
            if video.split in seen:
                seen[video.split].add(video)
            on_progress(done, len(plan))
    writer.finish(plan)
    ceilings = find_ceilings(kept, design)
    counts = {split: sum(part == split for _, part, _ in plan) for split in (TRAIN, VALIDATION, TEST)}
    result = SynthResult(counts, sum(n for _, _, n in plan), ceilings, tuple(_notes(seen)))
    _write_description(out, options, design, result, writer.backbones)
    return result


def _prepare(out: Path) -> Path:
    """Return a new hidden folder beside `out`, in which the set grows; what a killed run left there is removed."""
    out = out.absolute()
    unfinished = out.with_name(f".{out.name}.part")
    try:
        is_free = not out.exists() or not any(out.iterdir())
        if is_free:
            shutil.rmtree(unfinished, ignore_errors=True)
            unfinished.mkdir(parents=True)
    except OSError as error:
        raise OutputError(f"cannot write to {out}: {error.strerror}; choose another folder") from error
    if not is_free:
        raise OutputError(f"{out} is not empty; choose a new folder for the synthetic set")
    return unfinished


def _put(made: Path, out: Path) -> None:
    """Move the finished set to its place; into a folder that is there, which may be the current one, file by file."""
    if not out.exists():
        made.replace(out)
        return
    for path in sorted(made.iterdir()):
        path.replace(out / path.name)


def _plan(options: SynthOptions) -> list[tuple[str, str, int]]:
    """Return name, split and number of frames of each video."""
    rng = np.random.default_rng([options.seed, 1])
    n_valid, n_test = (max(least, round(share * options.videos)) for _, share, least in SHARES)
    limits = [options.videos - n_valid - n_test, n_valid]
    plan = []
    for number in range(options.videos):
        split = TRAIN if number < limits[0] else VALIDATION if number < sum(limits) else TEST
        # As in Aff-Wild2, some videos have two subjects.
        pair = number % 9
        suffix = {7: "_left", 8: "_right"}.get(pair, "") if _has_partner(number, pair, limits, options.videos) else ""
        name = f"synthetic-{number - (pair == 8 and bool(suffix)):04d}-{int(FPS)}-112x112{suffix}"  # noqa: PLR2004
        plan.append((name, split, int(options.frames * rng.uniform(0.5, 1.5))))
    return plan


def _has_partner(number: int, pair: int, limits: list[int], total: int) -> bool:
    """Return whether both videos of a pair exist and lie in one split."""
    if pair not in {7, 8}:
        return False
    first = number - (pair - 7)
    edges = {limits[0], sum(limits)}
    return first + 1 < total and first + 1 not in edges


class _Writer:
    """Makes and writes one video after the other; each depends on the seed and its number alone."""

    def __init__(self, out: Path, options: SynthOptions, design: Design) -> None:
        self._out = out
        self._options = options
        self._design = design
        self._has_features = options.form in {"features", "both"}
        self.backbones = make_backbones(options.width, options.seed) if self._has_features else ()
        self._store = FeatureStore(out / STORE, create=True) if self._has_features else None
        for task in Task:
            for split in (TRAIN, VALIDATION):
                self._folder(task, split).mkdir(parents=True, exist_ok=True)
        (out / LATENTS).mkdir()

    def _folder(self, task: Task, split: str) -> Path:
        return self._out / ANNOTATIONS / TASK_FOLDERS[task][0] / SPLIT_FOLDERS[split][0]

    def write(self, number: int, plan: tuple[str, str, int]) -> SyntheticVideo:
        name, split, n_frames = plan
        rng = np.random.default_rng([self._options.seed, 2, number])
        video = make_video(name, split, n_frames, self._design, rng)
        if split != TEST:
            for task in Task:
                write_annotation(self._folder(task, split) / f"{name}.txt", task, video.annotated[task])
        _write_latents(self._out / LATENTS / f"{name}.arrow", video)
        for backbone in self.backbones:
            self._write_features(video, backbone, rng)
            own = np.random.default_rng([self._options.seed, 3, number, backbone.number])
            self._write_features(video, backbone, own, CropKind.CROPPED_ALIGNED)
        if self._options.form != "features":
            self._write_crops(video, rng)
        return video

    def _write_features(
        self,
        video: SyntheticVideo,
        backbone: SyntheticBackbone,
        rng: np.random.Generator,
        kind: CropKind = CropKind.CROPPED,
    ) -> None:
        if self._store is None:
            return
        frames = np.flatnonzero(video.has_face)
        evidence = video.evidence[backbone.number][frames]
        if kind is CropKind.CROPPED_ALIGNED:
            evidence = evidence + numbers.ALIGNED_NOISE * rng.standard_normal(evidence.shape, np.float32)
        features = backbone.features(evidence, self._design, rng)
        info = backbone.info(video.name, len(video.latents), kind)
        write_features(self._store, info, (frames, frames / FPS, features, None, None, None))

    def _write_crops(self, video: SyntheticVideo, rng: np.random.Generator) -> None:
        subject = make_subject(rng)
        folders = [self._out / kind / video.name for kind in ("cropped", "cropped_aligned")]
        for folder in folders:
            folder.mkdir(parents=True)
        for frame in np.flatnonzero(video.has_face):
            picture = draw_face(video.evidence[0][frame], subject, rng)
            for folder, one in zip(folders, (picture, degrade(picture, rng)), strict=True):
                cv2.imwrite(str(folder / crop_name(int(frame))), one[:, :, ::-1], [cv2.IMWRITE_JPEG_QUALITY, 92])

    def finish(self, plan: Sequence[tuple[str, str, int]]) -> None:
        if self._store is not None:
            self._store.refresh()
        rows = [f"{name}/{crop_name(frame)}" for name, split, n in plan if split == TEST for frame in range(n)]
        for name, task, ending in (
            ("CVPR_5th_ABAW_VA_test_set_sample.txt", Task.VA, ","),
            ("CVPR_5th_ABAW_EXPR_test_set_sample.txt", Task.EXPR, ","),
            ("CVPR_5th_ABAW_AU_test_set_sample.txt", Task.AU, ","),
            ("CVPR_6th_ABAW_Expr_test_set_example.txt", Task.EXPR, ",0"),
        ):
            text = "".join([f"image_location,{HEADERS[task]}\n", *(f"{row}{ending}\n" for row in rows)])
            with complete_file(self._out / name) as file:
                file.write(text.encode())


def _write_latents(path: Path, video: SyntheticVideo) -> None:
    columns = {"latents": video.latents, "evidence_0": video.evidence[0], "evidence_1": video.evidence[1]}
    arrays = {
        name: pa.FixedSizeListArray.from_arrays(pa.array(values.reshape(-1)), values.shape[1])
        for name, values in columns.items()
    }
    arrays |= {
        "valence": pa.array(video.labels[Task.VA][:, 0]),
        "arousal": pa.array(video.labels[Task.VA][:, 1]),
        "expression": pa.array(video.labels[Task.EXPR].astype(np.int8)),
        "has_face": pa.array(video.has_face),
    }
    for number, label in enumerate(Task.AU.official_labels):
        arrays[label] = pa.array(video.labels[Task.AU][:, number].astype(np.int8))
    table = pa.table(arrays, metadata={b"split": video.split.encode()})
    with (
        complete_path(path, pa.ArrowInvalid) as unfinished,
        pyarrow.ipc.new_file(str(unfinished), table.schema) as sink,
    ):
        sink.write_table(table)


class _Seen:
    """Which classes and units occur in a split."""

    def __init__(self) -> None:
        self._expressions = np.zeros(len(Task.EXPR.official_labels), np.bool_)
        self._units = np.zeros(len(Task.AU.official_labels), np.bool_)

    def add(self, video: SyntheticVideo) -> None:
        codes, units = video.annotated[Task.EXPR], video.annotated[Task.AU]
        self._expressions |= np.isin(np.arange(len(self._expressions)), codes)
        self._units |= (units == 1).any(axis=0)

    def missing(self) -> list[str]:
        """Return the labels that never occur."""
        labels = (*Task.EXPR.official_labels, *Task.AU.official_labels)
        return [
            label for label, is_there in zip(labels, (*self._expressions, *self._units), strict=True) if not is_there
        ]


def _notes(seen: Mapping[str, _Seen]) -> list[str]:
    """Return what is odd about a small set: classes or units that a split does not have."""
    return [
        f"{split} has no example of {', '.join(missing)}: make more videos or longer ones"
        for split, part in seen.items()
        if (missing := part.missing())
    ]


FORMULAS: Final = {
    "latents h": "0 to 7 from the process `expressive`, 0 valence and 1 arousal; 8 to 19 from `muscular`, one a unit",
    "process": "slow: pairs (variance, s in frames) with the covariance variance * exp(-(lag / s)^2 / 2), the lag "
    "counted around the circle; plus white noise, plus a constant of the video",
    "evidence u": "h + shared and own noise of the backbone: `expressive_noise` on 0 to 7, `muscular_noise` on 8 to 19",
    "valence, arousal": "clip(va_label[k][0] + va_label[k][1] * (h[k] + noise of `va_annotator`), -1, 1), 3 decimals",
    "expression": "argmax over the classes of class_weights @ h + class_bias + noise of `choice_annotator`",
    "unit on": "unit_weights @ h + noise of `choice_annotator` >= unit_threshold",
    "logits": "logit_weights @ u[:8] + logit_noise * standard normal",
    "va of a backbone": "va_output: bias + slope * u[:2] + deviation * standard normal",
    "aligned": "features of cropped_aligned: u + aligned_noise * standard normal",
    "embedding": "max(u @ projection + offset, 0) + small noise, as float16: a function of u that can be inverted",
}
"""How the numbers in `synthetic.json` make a set: enough to find the ceilings anew without this code."""


def _write_description(
    out: Path, options: SynthOptions, design: Design, result: SynthResult, backbones: Sequence[SyntheticBackbone]
) -> None:
    spectra = ("EXPRESSIVE", "MUSCULAR", "EXPRESSIVE_NOISE", "MUSCULAR_NOISE", "VA_ANNOTATOR", "CHOICE_ANNOTATOR")
    record = {
        "affectline": __version__,
        "is_synthetic": True,
        "options": asdict(options),
        "fps": FPS,
        "formulas": FORMULAS,
        "videos": result.videos,
        "frames": result.frames,
        "ceilings": [{"source": one.source, **{task.value: one.p[task] for task in Task}} for one in result.ceilings],
        "processes": {name.lower(): asdict(getattr(numbers, name)) for name in spectra},
        "va_label": numbers.VA_LABEL.tolist(),
        "va_output": numbers.VA_OUTPUT,
        "aligned_noise": numbers.ALIGNED_NOISE,
        "backbones": [
            {**asdict(numbers.BACKBONES[one.number]), "digest": one.digest, "evidence": f"evidence_{one.number}"}
            for one in backbones
        ],
        **{name: getattr(design, name).tolist() for name in ("class_weights", "class_bias", "unit_weights")},
        **{name: getattr(design, name).tolist() for name in ("unit_threshold", "logit_weights")},
    }
    with complete_file(out / "synthetic.json") as file:
        file.write((json.dumps(record, indent=1) + "\n").encode())
