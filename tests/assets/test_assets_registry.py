from __future__ import annotations

import re
import zipfile

import pytest

from affectline.assets import ASSETS, AssetKind, fetch, verify_assets


@pytest.mark.parametrize("spec", ASSETS.values(), ids=ASSETS)
def test_every_asset_can_be_had_and_checked(spec) -> None:
    assert re.fullmatch("[0-9a-f]+", spec.digest.value)
    assert len(spec.digest.value) == {"sha256": 64, "git-blob": 40}[spec.digest.algorithm]
    assert bool(spec.sources) != bool(spec.embedded)
    assert spec.source_page.startswith("https://")
    assert spec.licence
    assert spec.training_data
    assert "/" not in spec.file_name


def test_names_and_files_are_unique() -> None:
    assert all(spec.name == name for name, spec in ASSETS.items())
    assert len({spec.file_name for spec in ASSETS.values()}) == len(ASSETS) == 13


def test_only_a_clip_has_no_training_data() -> None:
    assert [spec.name for spec in ASSETS.values() if spec.training_data == "none"] == ["demo_clip"]
    assert ASSETS["demo_clip"].kind is AssetKind.CLIP


@pytest.mark.parametrize("name", [name for name, spec in ASSETS.items() if spec.embedded])
def test_embedded_file_is_whole(name: str) -> None:
    (state,) = verify_assets([name])
    assert state.verified
    assert state.size_bytes == ASSETS[name].size_bytes
    assert fetch(name, offline=True) == state.path


def test_fetched_files(task_file, demo_clip) -> None:
    with zipfile.ZipFile(task_file) as archive:
        assert "face_detector.tflite" in archive.namelist()
    assert demo_clip.read_bytes()[4:8] == b"ftyp"
    assert demo_clip.stat().st_size == ASSETS["demo_clip"].size_bytes
