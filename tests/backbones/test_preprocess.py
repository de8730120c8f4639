from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from affectline.backbones import BACKBONES
from affectline.backbones.preprocess import Preprocessor
from affectline.errors import ShapeError

B0 = BACKBONES["enet_b0_8_best_vgaf"]
LITE0 = BACKBONES["lite0_ferplus"]

CROPS = st.tuples(st.integers(1, 70), st.integers(1, 70), st.just(3)).flatmap(lambda shape: arrays(np.uint8, shape))


def test_one_colour_by_hand() -> None:
    crop = np.full((10, 20, 3), (255, 0, 51), np.uint8)
    planes = Preprocessor(B0)(crop)
    assert planes.shape == (3, 224, 224)
    assert planes.dtype == np.float32
    expected = [(1 - 0.485) / 0.229, (0 - 0.456) / 0.224, (0.2 - 0.406) / 0.225]
    np.testing.assert_allclose(planes[:, ::50, ::50].reshape(3, -1).T, [expected] * 25, rtol=1e-6)


@given(CROPS)
def test_rgb_is_a_bilinear_resize_and_the_formula(crop) -> None:
    resized = cv2.resize(crop, (224, 224)).astype(np.float64)
    expected = (resized / 255 - B0.mean) / B0.std
    np.testing.assert_allclose(Preprocessor(B0)(crop), expected.transpose(2, 0, 1), rtol=1e-6, atol=1e-6)


@given(CROPS)
def test_grey_is_luminance_on_three_channels(crop) -> None:
    planes = Preprocessor(LITE0)(crop)
    assert planes.shape == (3, 96, 96)
    np.testing.assert_array_equal(planes[0], planes[1])
    np.testing.assert_array_equal(planes[0], planes[2])
    mean_luminance = (crop @ [0.299, 0.587, 0.114]).mean()
    low, high = crop.min() / 127.5 - 1, crop.max() / 127.5 - 1
    assert low - 0.01 <= planes.min()
    assert planes.max() <= high + 0.01
    if min(crop.shape[:2]) >= 48 and crop.shape[0] % 48 == crop.shape[1] % 48 == 0:
        assert planes.mean() == pytest.approx(mean_luminance / 127.5 - 1, abs=0.01)


def test_details_finer_than_the_training_photographs_are_gone() -> None:
    stripes = np.zeros((96, 96, 3), np.uint8)
    stripes[:, ::2] = 254
    np.testing.assert_allclose(Preprocessor(LITE0)(stripes), 127 / 127.5 - 1, atol=1e-6)


def test_each_channel_has_its_own_mean_and_spread() -> None:
    spec = replace(B0, mean=(0.0, 0.5, 1.0), std=(1.0, 0.5, 0.25))
    planes = Preprocessor(spec)(np.full((5, 5, 3), 255, np.uint8))
    assert planes[:, 0, 0].tolist() == [1.0, 1.0, 0.0]


@pytest.mark.parametrize("shape", [(10, 10), (10, 10, 1), (10, 10, 4), (0, 10, 3), (10, 0, 3)])
def test_other_shapes_are_refused(shape) -> None:
    with pytest.raises(ShapeError, match=r"a crop must have shape \(height, width, 3\)"):
        Preprocessor(B0)(np.zeros(shape, np.uint8))


def test_floats_are_refused() -> None:
    with pytest.raises(ShapeError, match="a crop must be uint8, got float32"):
        Preprocessor(B0)(np.zeros((4, 4, 3), np.float32))
