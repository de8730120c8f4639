from __future__ import annotations

import re
from pathlib import Path

import cv2
import numpy as np
import pytest

from affectline import Sampling, read_frames
from affectline.datasets.cut_crops import cut_crops
from affectline.datasets.labelled_crops import CropOptions, LabelledCrops, load_crops, usable
from affectline.datasets.layout import SPLIT_FOLDERS, TASK_FOLDERS, write_annotation
from affectline.datasets.loading import DataOptions, load_labelled
from affectline.errors import InputError, InputFileError
from affectline.extract import ExtractOptions, extract_all, find_sources, load_extractor
from affectline.faces.crops import crop_face
from affectline.features import CropKind
from affectline.features.store import FeatureStore
from affectline.images import is_damaged, read_image
from affectline.labels import Task
from affectline.records import CropPolicy
from faces_on_video import write_video

CODES = {"a_left": [0, 1, -1, 2, 7], "b": [3, 3, 3], "c": [5, -1, 6]}
SPLIT_OF = {"a_left": "train", "b": "train", "c": "val"}


def picture(path: Path, side: int = 24) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), np.random.default_rng(len(path.name)).integers(0, 255, (side, side, 3)).astype(np.uint8))
    return path


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for video, codes in CODES.items():
        folder = tmp_path / TASK_FOLDERS[Task.EXPR][0] / SPLIT_FOLDERS[SPLIT_OF[video]][0]
        folder.mkdir(parents=True, exist_ok=True)
        write_annotation(folder / f"{video}.txt", Task.EXPR, np.array(codes))
        for frame in range(len(codes)):
            if (video, frame) != ("a_left", 1):
                picture(tmp_path / "cropped" / video / f"{frame + 1:05d}.jpg")
    return tmp_path


def names(crops: LabelledCrops) -> list[str]:
    return [f"{path.parent.name}/{path.name}" for path in crops.files]


def test_every_labelled_frame_with_a_crop_is_there_with_its_label(root: Path) -> None:
    train, valid = load_crops(Task.EXPR, CropOptions(root))
    assert names(train) == [
        "a_left/00001.jpg",
        "a_left/00004.jpg",
        "a_left/00005.jpg",
        *(f"b/0000{n}.jpg" for n in (1, 2, 3)),
    ]
    assert train.target.tolist() == [0, 2, 7, 3, 3, 3]
    assert train.groups.tolist() == ["a"] * 3 + ["b"] * 3
    assert train.missing == 1
    assert names(valid) == ["c/00001.jpg", "c/00003.jpg"]
    assert valid.target.tolist() == [5, 6]
    assert valid.labels == Task.EXPR.official_labels


def test_every_second_labelled_frame(root: Path) -> None:
    train, _ = load_crops(Task.EXPR, CropOptions(root, every=2))
    assert names(train) == ["a_left/00001.jpg", "a_left/00004.jpg", "b/00001.jpg", "b/00003.jpg"]


def test_a_label_out_of_range_is_named_with_its_line(root: Path) -> None:
    path = root / TASK_FOLDERS[Task.EXPR][0] / SPLIT_FOLDERS["train"][0] / "b.txt"
    path.write_text(path.read_text().replace("3\n3\n", "3\n8\n", 1))
    with pytest.raises(InputFileError, match=re.escape(f"{path}, line 3: expected one class from 0 to 7")):
        load_crops(Task.EXPR, CropOptions(root))


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"kind": "aligned"}, "no crops 'aligned'; choose cropped or cropped_aligned"),
        ({"every": 0}, "every must be 1 or more"),
        ({"kind": "cropped_aligned"}, "has no crops: no folder cropped_aligned or cropped_aligned_new_50_vids"),
    ],
)
def test_what_is_not_there(root: Path, options: dict, match: str) -> None:
    with pytest.raises((InputError, InputFileError), match=match):
        load_crops(Task.EXPR, CropOptions(root, **options))


def test_two_kinds_of_crops_need_a_choice(root: Path) -> None:
    picture(root / "cropped_aligned" / "b" / "00002.jpg")
    with pytest.raises(InputError, match="has the crops cropped and cropped_aligned; choose one with --crops"):
        load_crops(Task.EXPR, CropOptions(root))


def test_videos_in_both_splits_are_refused(root: Path) -> None:
    (root / "list.txt").write_text("b\n")
    with pytest.raises(InputError, match=r"1 video is in the training and in the validation list, such as b"):
        load_crops(Task.EXPR, CropOptions(root, val_list=root / "list.txt"))


def test_bad_pictures_are_left_out_counted_and_named(root: Path) -> None:
    train, _ = load_crops(Task.EXPR, CropOptions(root))
    whole = train.files[0].read_bytes()
    train.files[0].write_bytes(whole[: len(whole) // 2])
    train.files[2].write_bytes(b"")
    picture(train.files[4], side=7)
    # Grey, 16 bit and transparent pictures are as good as others.
    cv2.imwrite(str(train.files[1]), np.zeros((30, 40), np.uint8))
    wide = train.files[3].with_suffix(".png")
    cv2.imwrite(str(wide), np.full((20, 20, 4), 60000, np.uint16))
    wide.replace(train.files[3])
    steps: list[tuple[int, int | None]] = []
    kept, bad = usable(train, lambda done, total: steps.append((done, total)))
    assert names(kept) == ["a_left/00004.jpg", "b/00001.jpg", "b/00003.jpg"]
    assert kept.target.tolist() == [2, 3, 3]
    assert [str(train.files[row]) in words for row, words in zip((0, 2, 4), bad, strict=True)] == [True] * 3
    assert "is cut off" in bad[0]
    assert "7 x 7 pixels; a face needs at least 16 a side" in bad[2]
    assert steps[-1] == (6, 6)


def damaged(jpeg: bytes) -> dict[str, bytes]:
    """Files that begin and end as they should."""
    scan = jpeg.rindex(b"\xff\xda")
    third = (len(jpeg) - scan) // 3
    start, stop = scan + third, scan + 2 * third
    noise = np.random.default_rng(0).integers(0, 255, third).astype(np.uint8).tobytes()
    return {
        "zeroed": jpeg[:start] + bytes(third) + jpeg[stop:],
        "random": jpeg[:start] + noise + jpeg[stop:],
        "half": jpeg[:start] + b"\xff\xd9",
    }


def test_jpegs_with_faults_inside_are_left_out(root: Path) -> None:
    train, _ = load_crops(Task.EXPR, CropOptions(root))
    rng = np.random.default_rng(1)
    for path in train.files:
        smooth = cv2.resize(rng.integers(0, 255, (12, 12, 3)).astype(np.uint8), (112, 112))
        cv2.imwrite(str(path), smooth)
    assert usable(train)[1] == ()
    for path, content in zip(train.files, damaged(train.files[0].read_bytes()).values(), strict=False):
        path.write_bytes(content)
    good, bad = usable(train)
    assert len(good) == len(train) - 3
    assert all("the JPEG is damaged; copy it again" in words for words in bad)
    assert [words.split(": ")[0] for words in bad] == [str(path) for path in train.files[:3]]


@pytest.mark.parametrize(
    "options",
    [[cv2.IMWRITE_JPEG_PROGRESSIVE, 1], [cv2.IMWRITE_JPEG_RST_INTERVAL, 2], [cv2.IMWRITE_JPEG_OPTIMIZE, 1]],
    ids=["progressive", "restarts", "optimised"],
)
@pytest.mark.parametrize("shape", [(50, 37, 3), (50, 37)], ids=["colour", "grey"])
def test_whole_jpegs_of_all_kinds_are_whole(options: list[int], shape: tuple[int, ...], tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 255, shape).astype(np.uint8)
    cv2.imwrite(str(tmp_path / "a.jpg"), noise, options)
    assert not is_damaged(tmp_path / "a.jpg")


def test_nothing_usable_is_an_error(root: Path) -> None:
    _, valid = load_crops(Task.EXPR, CropOptions(root))
    for path in valid.files:
        path.write_bytes(b"nothing")
    with pytest.raises(
        InputFileError, match="none of the 2 pictures of Aff-Wild2 layout, EXPR val can be used, such as"
    ):
        usable(valid)


class TestOwnLabels:
    @pytest.fixture(scope="class")
    @staticmethod
    def made(tmp_path_factory: pytest.TempPathFactory, demo_clip: Path) -> Path:
        root = tmp_path_factory.mktemp("own")
        frames = [frame.rgb for frame in read_frames(demo_clip, Sampling(end_s=1.0))]
        (root / "videos").mkdir()
        clips = [write_video(root / "videos" / f"{name}.mp4", frames) for name in ("one", "two")]
        sources = find_sources(clips)
        extractor = load_extractor(ExtractOptions(), sources)
        list(extract_all(sources, FeatureStore(root / "store", create=True), extractor))
        (root / "labels.csv").write_text(
            "video,frame,valence,arousal,split\none,3,0.5,0.1,train\none,10,0.25,-0.5,train\ntwo,7,-1,1,val\n"
        )
        return root

    def data(self, root: Path, split: str = "train"):
        return load_labelled(Task.VA, split, DataOptions(root / "store", labels=root / "labels.csv"))

    def test_crops_are_what_analyze_would_cut(self, made: Path, tmp_path: Path) -> None:
        policy = CropPolicy(margin=0.2, square=True)
        found = cut_crops(self.data(made), made / "videos", policy, tmp_path)
        names = [path.relative_to(tmp_path).as_posix() for path in found.files]
        assert [re.sub("-[0-9a-f]{8}", "", name) for name in names] == ["one_track1/00004.jpg", "one_track1/00011.jpg"]
        np.testing.assert_array_equal(found.target, np.float32([[0.5, 0.1], [0.25, -0.5]]))
        (entry,) = [entry for entry in FeatureStore(made / "store").entries if entry.video == "one"]
        table = FeatureStore(made / "store").open(entry.digest, CropKind.DETECTED, "one")
        frames = {frame.index: frame.rgb for frame in read_frames(made / "videos" / "one.mp4")}
        for path, index in zip(found.files, (3, 10), strict=True):
            box = table.box_xyxy[table.frame == index][0]
            expected = crop_face(frames[index], box, policy)
            ours = read_image(path)
            assert ours.shape == expected.shape
            assert np.abs(ours.astype(int) - expected).mean() < 3  # JPEG
        written = found.files[0].stat().st_mtime_ns
        again = cut_crops(self.data(made), made / "videos", policy, tmp_path)
        assert again.files == found.files
        assert again.files[0].stat().st_mtime_ns == written
        otherwise = cut_crops(self.data(made), made / "videos", CropPolicy(), tmp_path)
        assert not set(otherwise.files) & set(found.files)
        assert read_image(otherwise.files[0]).shape != read_image(found.files[0]).shape

    def test_another_video_of_the_name_is_refused(self, made: Path, tmp_path: Path, demo_clip: Path) -> None:
        write_video(tmp_path / "one.mp4", [frame.rgb for frame in read_frames(demo_clip, Sampling(end_s=0.5))])
        with pytest.raises(
            InputFileError, match="is another video than the one that the store's features of one are of"
        ):
            cut_crops(self.data(made), tmp_path, CropPolicy(), tmp_path / "out")
        with pytest.raises(InputFileError, match="has no video two for the crops"):
            cut_crops(self.data(made, "val"), tmp_path, CropPolicy(), tmp_path / "out")
        with pytest.raises(InputFileError, match=r"there is no folder .*nowhere"):
            cut_crops(self.data(made), tmp_path / "nowhere", CropPolicy(), tmp_path / "out")
