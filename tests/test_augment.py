"""Training views: everything that belongs together stays together."""

import numpy as np
import pytest

from p3mlib.data.augment import random_view
from p3mlib.matte import composite


@pytest.fixture
def sample():
    rng = np.random.default_rng(0)
    alpha = np.zeros((80, 60), np.float32)
    alpha[20:, 15:45] = 1
    alpha[20:, 12:15] = 0.5
    fg, bg = rng.random((2, 80, 60, 3), dtype=np.float32)
    return {"name": "x", "image": composite(fg, bg, alpha), "alpha": alpha, "fg": fg, "bg": bg}


def view(sample, seed, sides=(40,), size=64):
    return random_view(sample, sides, size, (15, 30), np.random.default_rng(seed))


def test_shapes_and_ranges(sample):
    result = view(sample, 0)
    assert set(result) == {"image", "alpha", "fg", "bg", "trimap"}
    assert result["image"].shape == (3, 64, 64) and result["alpha"].shape == result["trimap"].shape == (1, 64, 64)
    assert all(v.dtype == np.float32 and 0 <= v.min() and v.max() <= 1 for v in result.values())
    assert set(np.unique(result["trimap"])) <= {0, 0.5, 1}


def test_the_same_crop_for_all_layers(sample):
    result = view(sample, 1, sides=(64,), size=64)  # a crop cut down to 60 px, resized
    pure = (result["alpha"] == 1)[0]
    assert pure.any()
    inner = pure & np.roll(pure, 2, 0) & np.roll(pure, -2, 0) & np.roll(pure, 2, 1) & np.roll(pure, -2, 1)
    assert np.allclose(result["image"][:, inner], result["fg"][:, inner], atol=1e-5)


def test_trimap_is_the_trimap_of_the_cropped_matte(sample):
    result = view(sample, 2)
    partial = (result["alpha"] > 0.01) & (result["alpha"] < 0.99)
    assert (result["trimap"][partial] == 0.5).all()


def test_draws_depend_on_the_generator_alone(sample):
    first, again, other = view(sample, 3), view(sample, 3), view(sample, 4)
    assert all(np.array_equal(first[k], again[k]) for k in first)
    assert not np.array_equal(first["image"], other["image"])


def test_half_of_the_views_are_mirrored_and_crops_look_for_the_transition(sample):
    sample["image"] = np.repeat(np.linspace(0, 1, 60, dtype=np.float32)[None, :, None], 80, 0).repeat(3, 2)
    views = [view(sample, seed, sides=(12,), size=32) for seed in range(200)]
    mirrored = np.mean([v["image"][0, 0, 0] > v["image"][0, 0, -1] for v in views])
    assert 0.4 < mirrored < 0.6
    with_transition = np.mean([((v["alpha"] > 0.05) & (v["alpha"] < 0.95)).any() for v in views])
    assert with_transition > 0.5


def test_without_layers(sample):
    del sample["fg"], sample["bg"]
    assert set(view(sample, 0)) == {"image", "alpha", "trimap"}
