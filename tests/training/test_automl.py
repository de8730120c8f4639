from __future__ import annotations

import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from affectline.datasets.labelled import LabelledSequence, LabelledTables
from affectline.errors import InputError, ModelFileError
from affectline.features import CropKind, FeatureInfo, FeaturePart, FeatureTable, TimeSource, feature_schema
from affectline.heads.head import predict
from affectline.heads.head_file import load_head, save_head
from affectline.labels import AFFECTNET_8, Task
from affectline.records import FaceFeatures

pa = pytest.importorskip("pyarrow")
pytest.importorskip("lightautoml", reason="needs the extra [automl]")

from affectline.training.automl import AutomlHead, AutomlParams, AutomlTrainer, opaque_opener  # noqa: E402

FRAMES = 240
QUICK = AutomlParams(timeout_s=20.0, threads=2)


@pytest.fixture(autouse=True)
def _the_library_warns() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def table(video: str, seed: int) -> FeatureTable:
    rng = np.random.default_rng(seed)
    info = FeatureInfo(
        video, "tiny", "ab" * 32, AFFECTNET_8, 1.0, 4, True, CropKind.CROPPED, None, None, TimeSource.NOMINAL, 30.0,
        FRAMES, "0",
    )  # fmt: skip
    columns = {
        "frame": np.arange(FRAMES),
        "time_s": np.arange(FRAMES) / 30,
        "track_id": pa.nulls(FRAMES, pa.int32()),
        "box_xyxy": pa.nulls(FRAMES, pa.list_(pa.float32(), 4)),
        "face_score": pa.nulls(FRAMES, pa.float32()),
        "embedding": pa.FixedSizeListArray.from_arrays(np.zeros(4 * FRAMES, np.float16), 4),
        "logits": pa.FixedSizeListArray.from_arrays(rng.normal(size=8 * FRAMES).astype(np.float32), 8),
        "valence": rng.uniform(-1, 1, FRAMES).astype(np.float32),
        "arousal": rng.uniform(-1, 1, FRAMES).astype(np.float32),
    }
    schema = feature_schema(info)
    return FeatureTable(
        pa.table([pa.array(columns[name], schema.field(name).type) for name in schema.names], schema), info
    )


def labels_of(task: Task, features: FaceFeatures) -> np.ndarray:
    """Return labels that a linear model can find."""
    if task is Task.VA:
        return np.tanh(np.stack([features.valence, features.logits[:, 0]], axis=1)).astype(np.float32)
    if task is Task.EXPR:
        return np.argmax(features.logits[:, :3] + [0.0, 0.7, 1.4], axis=1)
    return (features.logits[:, :2] > [0.0, 1.0]).astype(np.float32)


LABELS = {Task.VA: ("valence", "arousal"), Task.EXPR: ("Neutral", "Anger", "Disgust"), Task.AU: ("AU1", "AU2")}


def data(task: Task, videos: int = 4) -> LabelledTables:
    sequences = []
    for number in range(videos):
        one = table(f"video{number}", number)
        sequences.append(
            LabelledSequence(
                one.info.video,
                one.info.video,
                {one.info.digest: one},
                np.arange(FRAMES),
                FRAMES,
                np.arange(FRAMES),
                labels_of(task, one.features()),
            )
        )
    return LabelledTables(task, LABELS[task], tuple(sequences), "four videos")


@pytest.fixture(scope="module", params=list(Task), ids=lambda task: task.value)
def head(request: pytest.FixtureRequest) -> AutomlHead:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return AutomlTrainer(QUICK).fit(data(request.param))


def test_finds_what_can_be_found(head: AutomlHead) -> None:
    task = head.card.task
    unseen = table("unseen", 99)
    truth = labels_of(task, unseen.features())
    scores = predict(head, {unseen.info.digest: unseen}).values
    assert scores.dtype == np.float32
    assert scores.shape == (FRAMES, len(LABELS[task]))
    if task is Task.VA:
        assert np.corrcoef(scores[:, 0], truth[:, 0])[0, 1] > 0.9
        assert np.abs(scores).max() <= 1.0
    elif task is Task.EXPR:
        np.testing.assert_allclose(scores.sum(axis=1), 1.0, atol=1e-5)
        assert np.mean(np.argmax(scores, axis=1) == truth) > 0.85
    else:
        assert np.mean((scores >= 0.5) == (truth == 1)) > 0.9


def test_says_what_was_chosen_and_takes_no_faces_too(head: AutomlHead) -> None:
    assert all("Lvl_0" in text for text in head.found)
    none = table("none", 1).features(slice(0, 0))
    assert head.score({head.card.backbones[0].digest: none}).shape == (0, len(head.card.labels))


def test_a_file_opens_only_for_who_types_the_digest(head: AutomlHead, tmp_path: Path) -> None:
    path = tmp_path / "head.safetensors"
    save_head(head, path)
    with pytest.raises(ModelFileError, match="--trust-pickle"):
        load_head(path)
    with pytest.raises(ModelFileError, match=f"pass --trust-pickle {head.pickle_digest}"):
        load_head(path, opaque_opener(["00" * 32]))
    again = load_head(path, opaque_opener([head.pickle_digest.upper()]))
    features = {head.card.backbones[0].digest: table("unseen", 99).features()}
    np.testing.assert_array_equal(again.score(features), head.score(features))
    assert again.card == head.card


class TestRefuses:
    def test_one_video(self) -> None:
        with pytest.raises(InputError, match="has only one"):
            AutomlTrainer(QUICK).fit(data(Task.VA, videos=1))

    def test_a_class_without_examples(self) -> None:
        tables = data(Task.EXPR)
        wider = LabelledTables(Task.EXPR, (*tables.labels, "Fear"), tables.sequences, "four videos")
        with pytest.raises(InputError, match="four videos has no examples to tell Fear by"):
            AutomlTrainer(QUICK).fit(wider)

    def test_a_time_limit_of_nothing(self) -> None:
        with pytest.raises(InputError, match="above 0, got 0 s"):
            AutomlParams(timeout_s=0)


def test_takes_every_kth_frame_when_there_are_too_many() -> None:
    params = AutomlParams(timeout_s=20.0, threads=2, max_rows=100, parts=(FeaturePart.LOGITS,))
    assert AutomlTrainer(params).fit(data(Task.VA)).settings()["parts"] == ["logits"]
