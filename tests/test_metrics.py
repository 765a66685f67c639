"""Metrics: the official values, closed forms, an independent Conn, identities, messages."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from scipy.ndimage import gaussian_filter
from skimage.measure import label

from p3mlib.matte import make_trimap, regions
from p3mlib.metrics import METRICS, UNITS, conn, grad, mad, matting_errors, mse, sad

FOLDER = Path(__file__).parent / "parity" / "metrics"
CASES = [name for name in json.loads((FOLDER / "expected.json").read_text())["cases"] if (FOLDER / f"{name}_pred.png").exists()]
PRECISIONS = {"ijcv_float32": np.float32, "mm_float64": np.float64}


@pytest.mark.parametrize("convention", PRECISIONS)
@pytest.mark.parametrize("name", CASES)
def test_official_values(name, convention):
    expected = json.loads((FOLDER / "expected.json").read_text())["cases"][name][convention]
    pred, alpha, trimap = (cv2.imread(str(FOLDER / f"{name}_{part}.png"), 0) for part in ("pred", "alpha", "trimap"))
    kind = PRECISIONS[convention]
    errors = matting_errors(pred.astype(kind) / kind(255), alpha.astype(kind) / kind(255), trimap)
    for key, value in expected.items():
        ours = errors[{"GRAD": "Grad", "CONN": "Conn"}.get(key, key.replace("_", "-"))]
        assert ours == pytest.approx(float(value), rel=2e-5, abs=1e-9), key


def plain_conn(pred, alpha):
    """The definition, step by step, through scikit-image."""
    steps = np.arange(0, 1.1, 0.1).astype(alpha.dtype)
    level = -np.ones_like(alpha)
    for i in range(1, 11):
        labels, count = label((pred >= steps[i]) & (alpha >= steps[i]), connectivity=1, return_num=True)
        if count:
            largest = np.bincount(labels.ravel())[1:].argmax() + 1
            level[(level == -1) & (labels != largest)] = steps[i - 1]
    level[level == -1] = 1
    phi = [1 - (m - level) * (m - level >= alpha.dtype.type(0.15)) for m in (pred, alpha)]
    return float(np.abs(phi[0] - phi[1]).sum() / 1000)


def plain_grad(pred, alpha):
    """The definition through scipy, as the official code."""
    filtered = ([gaussian_filter(m, 1.4, order=o, output=np.float32) for o in ((1, 0), (0, 1))] for m in (pred, alpha))
    first, second = (np.sqrt(x**2 + y**2) for y, x in filtered)
    return float(((first - second) ** 2).sum(dtype=np.float64) / 10)


@pytest.mark.parametrize("shape", [(1, 1), (1, 9), (5, 1), (7, 12), (13, 40), (90, 61)])
@pytest.mark.parametrize("kind", [np.float32, np.float64])
def test_grad_equals_the_definition_at_every_size(shape, kind):
    pred, alpha = np.random.default_rng(0).random((2, *shape)).astype(kind)
    assert grad(pred, alpha) == pytest.approx(plain_grad(pred, alpha), rel=2e-6, abs=1e-12)


@pytest.mark.parametrize("seed", range(60))
def test_conn_equals_the_definition(seed):
    """Ties, noise, values on the thresholds, single rows and columns."""
    rng = np.random.default_rng(seed)
    shape, steps = rng.integers(1, 40, 2), rng.choice([2, 3, 10, 20, 255])
    kind = rng.choice([np.float32, np.float64])
    pred, alpha = ((rng.integers(0, steps + 1, shape) / steps).astype(kind) for _ in range(2))
    if seed % 2:
        alpha = cv2.blur(alpha, (5, 5)).reshape(shape).clip(0, 1)
        pred = (alpha + rng.uniform(-0.1, 0.1, shape)).clip(0, 1).astype(kind)
    assert conn(pred, alpha) == plain_conn(pred, alpha)


@pytest.mark.parametrize("kind", [np.float32, np.float64])
def test_conn_on_its_thresholds(kind):
    """Every threshold as numpy writes it, its neighbours in this precision, and the same in decimal digits."""
    steps = np.arange(0, 1.1, 0.1).astype(kind)
    values = np.concatenate(
        [steps, np.nextafter(steps, kind(0)), np.nextafter(steps[:-1], kind(1)), (np.arange(11) / 10).astype(kind)]
    )
    rng = np.random.default_rng(1)
    for _ in range(20):
        pred, alpha = rng.choice(values, (2, 12, 15))
        assert conn(pred, alpha) == plain_conn(pred, alpha)


def test_conn_when_the_largest_piece_moves():
    """The wide piece is the body up to 0.4, the opaque one above; of two equal pieces the first in reading order."""
    pieces = np.zeros((20, 30))
    pieces[2:12, 2:12], pieces[14:19, 20:28] = 0.5, 1
    lower = pieces * 0.8
    assert conn(lower, pieces) == plain_conn(lower, pieces)
    assert conn(lower, pieces) == pytest.approx(0.04 * 0.2)  # the opaque one is out from the start and differs by 0.2
    twins = np.zeros((9, 9), np.float32)
    twins[1:3, 6:8] = twins[5:7, 1:3] = 1
    first = twins * (np.arange(9) < 4)[:, None]
    assert conn(first, twins) == plain_conn(first, twins) == pytest.approx(0.004)
    assert conn(twins, twins * 0.5) == plain_conn(twins, twins * np.float32(0.5))


def test_closed_forms():
    ones, zeros = np.ones((10, 100)), np.zeros((10, 100))
    assert (sad(ones, zeros), mse(ones, zeros), mad(ones, zeros)) == (1, 1, 1)
    assert (sad(0.5 * ones, zeros), mse(0.5 * ones, zeros), mad(0.5 * ones, zeros)) == (0.5, 0.25, 0.5)
    region = np.zeros((10, 100), bool)
    region[:, :10] = True
    assert sad(ones, zeros, region) == 0.1 and mad(ones, zeros, region) == 1
    assert mad(ones, zeros, ~(region | ~region)) == 0
    assert grad(0.2 * ones, 0.7 * ones) == pytest.approx(0, abs=1e-9)
    assert conn(zeros, ones) == 0, "no threshold is reached by both"
    assert set(matting_errors(ones, ones, zeros + 0.5).values()) == {0}
    assert tuple(UNITS) == METRICS and UNITS["SAD-T"] == "1e3" and UNITS["MAD"] == "1"


def test_a_ramp_shifted_by_one_pixel():
    """A soft edge has the gradient of a Gaussian: two of them, a pixel apart, against the integral."""
    x = np.arange(-40, 40)
    near, far = (np.tile(1 / (1 + np.exp(-(x - shift) / 3)), (50, 1)) for shift in (0, 1))
    fine = np.convolve(
        np.diff(near[0], prepend=near[0, 0]), np.exp(-(np.arange(-6, 7) ** 2) / 3.92) / np.sqrt(np.pi * 3.92), "same"
    )
    expected = 50 * np.square(fine[1:] - fine[:-1]).sum() / 10
    assert grad(far, near) == pytest.approx(expected, rel=0.02)


def test_an_island_costs_conn():
    alpha = np.zeros((40, 60))
    alpha[5:35, 5:30] = 1
    island = alpha.copy()
    island[10:20, 40:50] = 1
    assert conn(island, alpha) == pytest.approx(0.1)


def test_sad_splits_over_a_trimap_that_agrees_with_alpha():
    rng = np.random.default_rng(0)
    alpha = cv2.GaussianBlur((rng.random((80, 90)) > 0.6).astype(np.float32), (0, 0), 4)
    alpha = np.clip((alpha - 0.4) * 20 + 0.5, 0, 1)
    pred = np.clip(alpha + rng.normal(0, 0.2, alpha.shape), 0, 1).astype(np.float32)
    for trimap in (make_trimap(alpha, 5), (make_trimap(alpha, 5) * 255).round()):
        errors = matting_errors(pred, alpha, trimap)
        assert tuple(errors) == METRICS
        assert errors["SAD"] == pytest.approx(errors["SAD-T"] + errors["SAD-FG"] + errors["SAD-BG"], rel=1e-5)
        unknown = regions(trimap)["unknown"]
        assert errors["MAD-T"] == pytest.approx(mad(pred, alpha, unknown), rel=1e-5)
        assert errors["MSE-T"] == pytest.approx(mse(pred, alpha, unknown), rel=1e-5)


def test_a_trimap_without_unknown_is_defined():
    alpha = np.zeros((20, 20), np.float32)
    alpha[5:15, 5:15] = 1
    errors = matting_errors(0.8 * alpha, alpha, alpha)
    assert (errors["SAD-T"], errors["MSE-T"], errors["MAD-T"]) == (0, 0, 0)
    assert errors["SAD-FG"] == pytest.approx(0.02) and errors["SAD-BG"] == 0


def test_a_trimap_that_contradicts_alpha_adds_alphas_own_distance():
    alpha, trimap = np.full((10, 10), 0.75), np.ones((10, 10))
    trimap[:, :4] = 0
    trimap[:, 4] = 0.5
    errors = matting_errors(alpha, alpha, trimap)
    assert errors["SAD"] == errors["SAD-FG"] == 0 and errors["SAD-T"] == pytest.approx((40 * 0.75 + 50 * 0.25) / 1000)


def test_unknown_may_be_coded_127():
    rng = np.random.default_rng(3)
    pred, alpha = rng.random((2, 12, 12))
    trimap = rng.choice([0, 128, 255], (12, 12))
    assert matting_errors(pred, alpha, np.where(trimap == 128, 127, trimap)) == matting_errors(pred, alpha, trimap)


def test_precision_follows_the_mattes_or_the_argument():
    rng = np.random.default_rng(5)
    pred, alpha = rng.integers(0, 6, (2, 40, 40)) * 51 / 255  # 153 / 255 is 0.6
    single, double = conn(pred.astype(np.float32), alpha.astype(np.float32)), conn(pred, alpha)
    assert single != double
    assert matting_errors(pred, alpha, dtype=np.float32)["Conn"] == single
    assert matting_errors(pred.astype(np.float32), alpha)["Conn"] == conn(pred.astype(np.float32), alpha)
    with pytest.raises(ValueError, match="dtype must be float32 or float64, got float16"):
        matting_errors(pred, alpha, dtype=np.float16)


def test_half_precision_is_scored_in_single():
    alpha = np.linspace(0, 1, 400, dtype=np.float16).reshape(20, 20)
    assert matting_errors(alpha, alpha.astype(np.float32))["SAD"] == 0


@pytest.mark.parametrize(
    ("pred", "message"),
    [
        (np.zeros((3, 4)), r"got \(3, 4\) and \(4, 4\)"),
        (np.full((4, 4), 200.0), r"pred spans \[200, 200\].*looks like 0-255"),
        (np.full((4, 4), -0.5), r"pred spans \[-0.5, -0.5\], expected \[0, 1\]$"),
        (np.full((4, 4), np.nan), r"pred spans \[nan, nan\].*NaN in it"),
        (np.zeros((4, 4, 1)), r"one shape \(H, W\)"),
    ],
)
def test_messages(pred, message):
    with pytest.raises(ValueError, match=message):
        matting_errors(pred, np.zeros((4, 4)))


@pytest.mark.parametrize("kind", [np.float32, np.float64])
def test_rounding_beyond_the_ends_is_cut_off(kind):
    rng = np.random.default_rng(0)
    alpha = (np.arange(400).reshape(20, 20) % 5 / 4).astype(kind)
    pred = rng.random((20, 20)).astype(kind)
    pred[alpha == 1], pred[alpha == 0] = 1, 0
    off = np.where(pred == 1, kind(1 + 9e-5), np.where(pred == 0, kind(-9e-5), pred)).astype(kind)
    assert matting_errors(off, alpha, make_trimap(alpha, 1)) == matting_errors(pred, alpha, make_trimap(alpha, 1))
    assert pred.max() == 1 < off.max(), "what was given stays as it was"
    for wrong in (1.001, -0.001):
        with pytest.raises(ValueError, match=r"pred spans .*, expected \[0, 1\]$"):
            matting_errors(np.where(pred == 1, kind(wrong), pred), alpha)


def test_trimaps_of_another_code_are_not_scored():
    rng = np.random.default_rng(0)
    alpha = np.clip(np.linspace(-1, 2, 40)[None].repeat(30, 0), 0, 1)
    pred = np.clip(alpha + rng.normal(0, 0.1, alpha.shape), 0, 1)
    labels = np.where(alpha <= 0, 0, np.where(alpha >= 1, 2, 1))
    assert matting_errors(pred, alpha, labels) == matting_errors(pred, alpha, np.array([0, 128, 255])[labels])
    for wrong in (np.minimum(labels, 1), labels * 100):
        with pytest.raises(ValueError, match="a trimap has the values 0, 0.5, 1"):
            matting_errors(pred, alpha, wrong)


def test_region_and_trimap_messages():
    square = np.zeros((4, 4))
    with pytest.raises(ValueError, match=r"region must be bool \(4, 4\), got float64 \(4, 4\)"):
        sad(square, square, square)
    with pytest.raises(ValueError, match=r"trimap \(2, 4\) and alpha \(4, 4\)"):
        matting_errors(square, square, square[:2])
