from __future__ import annotations

from dataclasses import fields, replace

import cv2
import numpy as np
import pytest

from affectline.training.augment import NO_AUGMENTATION, AugmentParams, augment

ALL = AugmentParams()


def face(size: int = 48, channels: int = 0) -> np.ndarray:
    rng = np.random.default_rng(0)
    shape = (8, 8, channels) if channels else (8, 8)
    coarse = rng.integers(60, 200, shape).astype(np.uint8)
    return cv2.resize(coarse, (size, size), interpolation=cv2.INTER_CUBIC)


@pytest.mark.parametrize("channels", [0, 3])
@pytest.mark.parametrize("size", [32, 48, 96])
def test_without_changes_it_is_a_resize(size: int, channels: int) -> None:
    picture = face(channels=channels)
    changed = augment(picture, size, NO_AUGMENTATION, np.random.default_rng(1))
    expected = cv2.resize(picture, (size, size), interpolation=cv2.INTER_LINEAR)
    assert changed.shape == expected.shape
    assert np.abs(changed.astype(int) - expected).max() <= 3


def test_the_same_generator_gives_the_same_picture() -> None:
    first, again, other = (augment(face(), 64, ALL, np.random.default_rng(seed)) for seed in (5, 5, 6))
    assert (first == again).all()
    assert (first != other).any()
    assert (first.dtype, first.shape) == (np.uint8, (64, 64))


def test_a_flip_is_a_mirror_image() -> None:
    params = replace(NO_AUGMENTATION, flip=1.0)
    changed = augment(face(), 48, params, np.random.default_rng(0))
    assert np.abs(changed.astype(int) - face()[:, ::-1]).max() <= 3


@pytest.mark.parametrize(
    "name", [field.name for field in fields(AugmentParams) if field.name not in {"colour", "grey"}]
)
def test_each_change_alone_changes_pictures(name: str) -> None:
    params = replace(NO_AUGMENTATION, **{name: getattr(ALL, name)})
    plain = augment(face(), 48, NO_AUGMENTATION, np.random.default_rng(0)).astype(int)
    changed = [augment(face(), 48, params, np.random.default_rng(seed)) for seed in range(20)]
    differences = [np.abs(one - plain).mean() for one in changed]
    assert max(differences) > 1
    assert all(one.std() > 0 for one in changed)


def test_colours_shift_in_colour_pictures_only() -> None:
    params = replace(NO_AUGMENTATION, colour=0.3)
    grey = np.full((8, 8), 120, np.uint8)
    assert (augment(grey, 8, params, np.random.default_rng(0)) == 120).all()
    changed = augment(np.dstack([grey] * 3), 8, params, np.random.default_rng(0))
    assert len({int(changed[0, 0, channel]) for channel in range(3)}) == 3


def test_some_colour_pictures_lose_their_colours() -> None:
    params = replace(NO_AUGMENTATION, grey=0.5)
    picture = face(channels=3)
    changed = [augment(picture, 48, params, np.random.default_rng(seed)) for seed in range(40)]
    are_grey = [bool((one[..., 0] == one[..., 1]).all() and (one[..., 1] == one[..., 2]).all()) for one in changed]
    assert 8 < sum(are_grey) < 32
    expected = cv2.cvtColor(augment(picture, 48, NO_AUGMENTATION, np.random.default_rng(0)), cv2.COLOR_RGB2GRAY)
    assert (changed[are_grey.index(True)][..., 0] == expected).all()
    # Grey pictures do not spend a random number on it: what was trained on them can be made again.
    alone = face()
    with_grey, without = (augment(alone, 48, replace(ALL, grey=g), np.random.default_rng(3)) for g in (1.0, 0.0))
    assert (with_grey == without).all()
