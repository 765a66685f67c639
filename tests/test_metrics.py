"""Metrics: the official values, closed forms, an independent Conn, identities, messages."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from skimage.measure import label

from p3mlib.matte import make_trimap, regions
from p3mlib.metrics import METRICS, conn, grad, mad, matting_errors, mse, sad

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
    return np.abs(phi[0] - phi[1]).sum() / 1000


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
    assert conn(pred, alpha) == pytest.approx(plain_conn(pred, alpha), rel=1e-5, abs=1e-7)


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


def test_half_precision_is_scored_in_single():
    alpha = np.linspace(0, 1, 400, dtype=np.float16).reshape(20, 20)
    assert matting_errors(alpha, alpha.astype(np.float32))["SAD"] == 0


@pytest.mark.parametrize(
    ("pred", "message"),
    [
        (np.zeros((3, 4)), r"got \(3, 4\) and \(4, 4\)"),
        (np.full((4, 4), 200.0), r"pred spans \[200, 200\].*looks like 0-255"),
        (np.full((4, 4), -0.5), r"pred spans \[-0.5, -0.5\], expected \[0, 1\]$"),
        (np.full((4, 4), np.nan), "pred spans"),
        (np.zeros((4, 4, 1)), r"one shape \(H, W\)"),
    ],
)
def test_messages(pred, message):
    with pytest.raises(ValueError, match=message):
        matting_errors(pred, np.zeros((4, 4)))


def test_region_and_trimap_messages():
    square = np.zeros((4, 4))
    with pytest.raises(ValueError, match=r"region must be bool \(4, 4\), got float64 \(4, 4\)"):
        sad(square, square, square)
    with pytest.raises(ValueError, match=r"trimap \(2, 4\) and alpha \(4, 4\)"):
        matting_errors(square, square, square[:2])
