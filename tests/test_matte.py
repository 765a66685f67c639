"""Compositing, trimaps (bit for bit the official ones) and regions."""

import json
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest

from p3mlib.io import to_uint8
from p3mlib.matte import composite, make_trimap, refine, regions

FOLDER = Path(__file__).parent / "parity" / "trimap"


@pytest.mark.parametrize("kernel", [5, 15, 22, 30])
def test_trimap_equals_the_official_one(kernel):
    expected = json.loads((FOLDER / "expected.json").read_text())["kernels"][str(kernel)]
    alpha = cv2.imread(str(FOLDER / "alpha.png"), 0) / np.float32(255)
    trimap = to_uint8(make_trimap(alpha, kernel))
    assert {str(v): int((trimap == v).sum()) for v in (0, 128, 255)} == expected["counts"]
    assert zlib.crc32(trimap.tobytes()) == expected["crc32"]


def test_composite():
    fg, bg = np.full((2, 2, 3), 0.8), np.full((2, 2, 3), 0.2)
    assert composite(fg, bg, np.array([[0, 1], [0.5, 0.25]]))[..., 0] == pytest.approx(np.array([[0.2, 0.8], [0.5, 0.35]]))
    with pytest.raises(ValueError, match="must share height and width"):
        composite(fg, bg, np.zeros((3, 3)))


def test_regions_are_disjoint_and_complete_in_both_codings():
    trimap = np.array([[0, 0.5], [1, 0.498]])
    for scale in (1, 255):
        areas = regions(trimap * scale)
        assert sum(areas.values()).tolist() == [[1, 1], [1, 1]]
        assert areas["unknown"].tolist() == [[False, True], [False, True]]


def test_class_numbers_are_a_trimap_where_a_two_says_so():
    labels = np.array([[0, 1], [2, 1]])
    for trimap in (labels, labels.astype(np.uint8), labels.astype(np.float32)):
        areas = regions(trimap)
        assert areas["fg"].tolist() == [[False, False], [True, False]] and areas["unknown"].tolist() == [
            [False, True],
            [False, True],
        ]


@pytest.mark.parametrize(
    ("trimap", "found"),
    [
        (np.array([[0, 1]]), r"has 1 \(to 1\)"),
        (np.array([[0, 100, 200, 255]]), r"has 100, 200 \(to 255\)"),
        (np.array([[0, 0.3, 1]]), r"has 0.3 \(to 1\)"),
        (np.array([[-1.0, 0, 1]]), r"has -1 \(to 1\)"),
        (np.array([[0, np.nan, 1]]), "has nan"),
        (np.array([[0, 254, 3, 128]]), "has 3, 254"),
    ],
)
def test_other_codes_are_refused(trimap, found):
    with pytest.raises(ValueError, match=found):
        regions(trimap)


def test_kernel_must_be_positive():
    with pytest.raises(ValueError, match="at least 1 pixel, got 0"):
        make_trimap(np.zeros((4, 4)), 0)


@pytest.fixture
def halves():
    """An image of two colours, and the soft step that a network of a quarter of the side makes of it."""
    image = np.full((64, 256, 3), 0.3, np.float32)
    image[:, 128:] = 0.8, 0.3, 0.2
    return image, np.repeat(np.clip((np.arange(64, dtype=np.float32)[None] - 30) / 4, 0, 1), 16, axis=0)


def test_a_refined_matte_jumps_where_its_image_jumps(halves):
    image, coarse = halves
    refined, bilinear = refine(coarse, image), cv2.resize(coarse, (256, 64))
    assert refined.shape == (64, 256) and refined.dtype == np.float32 and 0 <= refined.min() and refined.max() <= 1
    jumps, slopes = (np.abs(np.diff(matte[32])) for matte in (refined, bilinear))
    assert jumps.argmax() == 127 and jumps[127] > 4 * slopes[127]
    assert np.delete(jumps, 127).max() < 1.1 * slopes.max()


def test_refining_leaves_a_flat_matte_and_smooths_in_front_of_a_flat_image(halves):
    image, coarse = halves
    assert refine(np.full((16, 64), 0.4, np.float32), image) == pytest.approx(0.4, abs=1e-4)
    smooth = cv2.blur(cv2.blur(cv2.resize(coarse, (256, 64)), (9, 9)), (9, 9))
    assert refine(coarse, np.full_like(image, 0.5)) == pytest.approx(smooth, abs=1e-3)
    assert refine(coarse, image[:1, :1]).shape == (1, 1)
