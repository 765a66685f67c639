"""Traditional matting: known pixels, trivial cases, an error pinned per method, messages."""

import numpy as np
import pytest

from p3mlib.matte import composite, make_trimap
from p3mlib.metrics import mad
from p3mlib.traditional import METHODS

# Mean absolute difference in the unknown area of `picture()`; a method that gets worse fails here.
PINNED = {"Closed": 0.0145, "IFM": 0.0174, "KNN": 0.0347, "Compre": 0.0201, "Robust": 0.0151, "Learning": 0.0145}
PINNED |= {"Global": 0.0185, "Shared": 0.0212}


def picture(noise=0.02):
    """A soft disc over a gradient, colours well apart."""
    y, x = np.mgrid[:64, :64] / 63
    alpha = np.clip((0.32 - np.hypot(x - 0.5, y - 0.5)) / 0.12 + 0.5, 0, 1).astype(np.float32)
    fg = np.stack([0.8 + 0.1 * x, 0.3 * y, 0.2 + 0 * x], -1)
    bg = np.stack([0.1 + 0.1 * y, 0.5 + 0.3 * x, 0.7 - 0.2 * y], -1)
    rng = np.random.default_rng(0)
    return np.clip(composite(fg, bg, alpha) + noise * rng.standard_normal((64, 64, 3)), 0, 1), alpha, make_trimap(alpha, 5)


@pytest.mark.parametrize("name", METHODS)
def test_error_is_pinned_and_known_pixels_are_kept(name):
    image, alpha, trimap = picture()
    result = METHODS[name](image, trimap)
    assert result.dtype == np.float32 and 0 <= result.min() and result.max() <= 1
    assert (result[trimap == 1] == 1).all() and (result[trimap == 0] == 0).all()
    assert mad(result, alpha, trimap == 0.5) == pytest.approx(PINNED[name], rel=0.02)


@pytest.mark.parametrize("name", METHODS)
def test_two_constant_colours_are_solved(name):
    _, alpha, trimap = picture()
    fg, bg = np.ones((64, 64, 3)) * [0.9, 0.2, 0.1], np.ones((64, 64, 3)) * [0.1, 0.4, 0.8]
    hard = (alpha > 0.5).astype(np.float64)
    assert mad(METHODS[name](composite(fg, bg, hard), trimap), hard, trimap == 0.5) < 0.01
    if name != "KNN":  # its affinities are binary: soft mattes of flat colours are beyond it
        assert mad(METHODS[name](composite(fg, bg, alpha), trimap), alpha, trimap == 0.5) < 0.005


@pytest.mark.parametrize("name", METHODS)
def test_odd_pictures_give_a_matte(name):
    _, _, trimap = picture()
    flat = METHODS[name](np.full((64, 64, 3), 0.5), trimap)
    assert np.isfinite(flat).all() and (flat[trimap == 1] == 1).all()
    scarce = np.full((64, 64), 0.5, np.float32)
    scarce[0, 0], scarce[32, 32] = 0, 1
    image = picture()[0]
    first = METHODS[name](image, scarce)
    assert np.isfinite(first).all() and np.array_equal(first, METHODS[name](image, scarce))
    with pytest.raises(ValueError, match="no known foreground"):
        METHODS[name](image, np.full((64, 64), 0.5))


@pytest.mark.parametrize("name", METHODS)
def test_trivial_and_wrong_trimaps(name):
    image, alpha, trimap = picture()
    known = (alpha > 0.5).astype(np.float32)
    assert np.array_equal(METHODS[name](image, known), known)
    with pytest.raises(ValueError, match="no known background"):
        METHODS[name](image, np.where(trimap == 0, 0.5, trimap))
    with pytest.raises(ValueError, match="no known foreground"):
        METHODS[name](image, np.where(trimap == 1, 0.5, trimap))
    with pytest.raises(ValueError, match=r"got \(64, 64, 3\) and \(32, 64\)"):
        METHODS[name](image, trimap[::2])
    with pytest.raises(ValueError, match="image spans .*looks like 0-255"):
        METHODS[name](image * 255, trimap)
    grey = np.where(trimap == 0.5, 127 / 255, trimap)
    assert np.array_equal(METHODS[name](image, grey), METHODS[name](image, trimap))


def test_a_picture_that_would_take_hours_is_refused():
    trimap = np.full((4000, 5000), 0.5, np.float32)
    trimap[:, :2500], trimap[:, 2600:] = 0, 1
    image = np.broadcast_to(np.float32(0.5), (4000, 5000, 3))
    for estimate in METHODS.values():
        with pytest.raises(ValueError, match=r"5000 x 4000 px \(20 megapixels\) is beyond 4: shrink it"):
            estimate(image, trimap)
