"""Matting errors as the official P3M evaluation defines them: numpy arrays in, floats out, lower is better."""

import numba
import numpy as np
from scipy.ndimage import gaussian_filter

from p3mlib.matte import regions

METRICS = ("SAD", "MSE", "MAD", "Grad", "Conn", "SAD-T", "MSE-T", "MAD-T", "SAD-FG", "SAD-BG")
_STEPS = np.arange(0, 1.1, 0.1)  # thresholds of Conn; 0.6 is 0.6000000000000001 in double precision, as in the original
_TOLERANCE = 0.15


def _pair(pred, alpha):
    """Both mattes checked, in their common precision (at least float32)."""
    pred, alpha = np.asarray(pred), np.asarray(alpha)
    if pred.shape != alpha.shape or pred.ndim != 2:
        raise ValueError(f"pred and alpha must share one shape (H, W), got {pred.shape} and {alpha.shape}")
    for name, matte in (("pred", pred), ("alpha", alpha)):
        if not (matte.min(initial=0) >= 0 and matte.max(initial=0) <= 1):
            hint = " (looks like 0-255)" if matte.max() > 1.5 else ""
            raise ValueError(f"{name} spans [{matte.min():.4g}, {matte.max():.4g}], expected [0, 1]{hint}")
    kind = np.result_type(pred, alpha, np.float32)
    return pred.astype(kind, copy=False), alpha.astype(kind, copy=False)


def _difference(pred, alpha, region):
    pred, alpha = _pair(pred, alpha)
    difference = np.abs(pred - alpha)
    if region is None:
        return difference
    if region.shape != alpha.shape or region.dtype != bool:
        raise ValueError(f"region must be bool {alpha.shape}, got {region.dtype} {region.shape}")
    return difference[region]


def sad(pred, alpha, region=None):
    """Sum of absolute differences.

    Args:
        pred, alpha: (H, W) float in [0, 1]. region: (H, W) bool, the pixels that count; None means all.
    Returns:
        float, in thousands of pixels.
    Raises:
        ValueError: shapes differ (both are shown), or values leave [0, 1].
    Source:
        Sec. 6.1; official whole-image variant.
    Example:
        >>> sad(np.ones((10, 100)), np.zeros((10, 100)))
        1.0
    """
    return float(_difference(pred, alpha, region).sum() / 1000)


def mse(pred, alpha, region=None):
    """Mean squared difference over the region; 0 for an empty one. Arguments and errors as in `sad`."""
    difference = _difference(pred, alpha, region)
    return float(np.square(difference).mean()) if difference.size else 0.0


def mad(pred, alpha, region=None):
    """Mean absolute difference over the region; 0 for an empty one. Arguments and errors as in `sad`."""
    difference = _difference(pred, alpha, region)
    return float(difference.mean()) if difference.size else 0.0


def grad(pred, alpha):
    """Gradient error: squared difference of Gaussian gradient magnitudes (sigma 1.4), summed, divided by 10.

    The official P3M variant: derivatives of the raw mattes, whole image. Benchmarks that normalise the derivative filters
    and divide by 1000 give other numbers. Arguments and errors as in `sad`.
    """
    first, second = (_gradient(matte) for matte in _pair(pred, alpha))
    return float(np.square(first - second).sum() / 10)


def _gradient(matte):
    y = gaussian_filter(matte, 1.4, order=(1, 0), output=np.float32)
    x = gaussian_filter(matte, 1.4, order=(0, 1), output=np.float32)
    return np.sqrt(x * x + y * y)


def conn(pred, alpha):
    """Connectivity error, in thousands of pixels.

    At each threshold 0.1, 0.2, ... 1 the pixels where both mattes reach it form 4-connected components. A pixel's level is
    the last threshold before it falls out of the largest one (the first in raster order on ties); a matte's excess over that
    level counts from 0.15 on. A threshold that no pixel reaches is skipped, so all-zeros against all-ones gives 0.

    The official variant (whole image) without its distance transform, whose result it never uses. Thresholds are compared in the
    precision of the mattes, as there: the 8-bit value 153 reaches 0.6 in float32 and not in float64.
    Arguments and errors as in `sad`.
    """
    pred, alpha = _pair(pred, alpha)
    steps = _STEPS.astype(pred.dtype)
    return float(_connectivity(pred, alpha, steps, pred.dtype.type(_TOLERANCE)) / 1000)


@numba.njit(cache=True)
def _find(parent, node):
    while parent[node] != node:
        parent[node] = parent[parent[node]]
        node = parent[node]
    return node


@numba.njit(cache=True)
def _runs(pred, alpha, steps):
    """Horizontal runs of equal level (number of thresholds reached by both mattes): level, first pixel, start of each row."""
    height, width = pred.shape
    count = 0
    level, begin = np.empty(height * width, np.int8), np.empty(height * width + 1, np.int32)
    rows = np.empty(height + 1, np.int64)
    for y in range(height):
        rows[y] = count
        low, high, reached = steps[0], steps[0], 0  # nothing lies in [low, high): the first pixel begins a run
        for x in range(width):
            value = min(pred[y, x], alpha[y, x])
            if low <= value < high:
                continue
            reached = 0
            while reached < 10 and value >= steps[reached + 1]:
                reached += 1
            low = steps[reached]
            high = steps[reached + 1] if reached < 10 else steps[10] + steps[10]
            level[count], begin[count] = reached, y * width + x
            count += 1
    rows[height], begin[count] = count, height * width
    return level[:count], begin[: count + 1], rows


@numba.njit(cache=True)
def _edges(level, begin, rows, width):
    """Pairs of touching runs (beside or above each other), both with a level above 0."""
    height, count = len(rows) - 1, 0
    edges = np.empty((3 * len(level), 2), np.int64)
    for y in range(height):
        for run in range(rows[y] + 1, rows[y + 1]):
            if level[run] and level[run - 1]:
                edges[count], count = (run - 1, run), count + 1
        upper = rows[y - 1] if y else 0
        for run in range(rows[y] if y else rows[1], rows[y + 1]):
            while begin[upper + 1] <= begin[run] - width:
                upper += 1
            other = upper
            while other < rows[y] and begin[other] < begin[run + 1] - width:
                if level[run] and level[other]:
                    edges[count], count = (other, run), count + 1
                other += 1
    return edges[:count]


@numba.njit(cache=True)
def _exits(level, size, edges):
    """First threshold (1..10) whose largest component lacks the run; 11 where there is none."""
    count, top = len(level), level.max()
    exits = np.minimum(level + 1, top + 1).astype(np.int64)
    starts = np.zeros(13, np.int64)  # edges by the threshold at which they appear: a counting sort
    for e in range(len(edges)):
        starts[min(level[edges[e, 0]], level[edges[e, 1]]) + 1] += 1
    starts = np.cumsum(starts)
    order, place = np.empty(len(edges), np.int64), starts.copy()
    for e in range(len(edges)):
        weight = min(level[edges[e, 0]], level[edges[e, 1]])
        order[place[weight]] = e
        place[weight] += 1
    parent, total = np.arange(count), size.astype(np.int64)
    for threshold in range(top, 0, -1):
        for e in order[starts[threshold] : starts[threshold + 1]]:
            first, second = _find(parent, edges[e, 0]), _find(parent, edges[e, 1])
            if first != second:
                first, second = min(first, second), max(first, second)  # a component is known by its first run
                parent[second] = first
                total[first] += total[second]
        largest, best = -1, 0
        for run in range(count):  # a root precedes its members, so one step leads to it
            if level[run] >= threshold:
                parent[run] = parent[parent[run]]
                if parent[run] == run and total[run] > best:
                    largest, best = run, total[run]
        for run in range(count):
            if level[run] >= threshold and parent[run] != largest:
                exits[run] = threshold
    for run in range(count):
        if exits[run] > top:
            exits[run] = 11
    return exits


@numba.njit(cache=True)
def _connectivity(pred, alpha, steps, tolerance):
    height, width = pred.shape
    level, begin, rows = _runs(pred, alpha, steps)
    exits = _exits(level, np.diff(begin), _edges(level, begin, rows, width))
    first, second = pred.ravel(), alpha.ravel()
    error = 0.0
    for run in range(len(level)):
        if exits[run] == 11:
            continue  # level 1: neither matte can exceed it
        value, zero = steps[exits[run] - 1], steps[0]
        for i in range(begin[run], begin[run + 1]):
            over, above = first[i] - value, second[i] - value
            error += abs((over if over >= tolerance else zero) - (above if above >= tolerance else zero))
    return error


def matting_errors(pred, alpha, trimap=None):
    """All errors of one prediction.

    -T sets the prediction to 1 and 0 where the trimap is known, sums over the image, and divides MSE-T, MAD-T by the number of
    unknown pixels, as the official code. With a trimap that agrees with alpha, SAD = SAD-T + SAD-FG + SAD-BG. A trimap without
    unknown pixels has MSE-T = MAD-T = 0 here (0/0 in the official code, which spoils every mean).

    Args:
        pred, alpha: (H, W) float in [0, 1]; computed in their precision, at least float32.
        trimap:      (H, W), {0, 0.5, 1} or {0, 128, 255}; None leaves the last five metrics out.
    Returns:
        dict with the keys of METRICS in order; SAD, Conn in 1e3 pixels, Grad as in `grad`.
    Raises:
        ValueError: shapes differ, or values leave [0, 1].
    Source:
        Sec. 6.1 and the official IJCV evaluation.
    """
    pred, alpha = _pair(pred, alpha)
    difference = np.abs(pred - alpha)
    errors = {"SAD": float(difference.sum() / 1000), "MSE": float(np.square(difference).mean()), "MAD": float(difference.mean())}
    errors |= {"Grad": grad(pred, alpha), "Conn": conn(pred, alpha)}
    if trimap is None:
        return errors
    if trimap.shape != alpha.shape:
        raise ValueError(f"trimap {trimap.shape} and alpha {alpha.shape} must share one shape (H, W)")
    areas = regions(trimap)
    unknown = np.abs(np.where(areas["fg"], 1, np.where(areas["bg"], 0, pred)).astype(alpha.dtype) - alpha)
    middle = 128 if trimap.max(initial=0) > 1 else 0.5
    pixels = np.count_nonzero(trimap == middle) or np.count_nonzero(areas["unknown"])
    errors["SAD-T"] = float(unknown.sum() / 1000)
    errors["MSE-T"] = float(np.square(unknown).sum() / pixels) if pixels else 0.0
    errors["MAD-T"] = float(unknown.sum() / pixels) if pixels else 0.0
    errors["SAD-FG"], errors["SAD-BG"] = (float(difference[areas[name]].sum() / 1000) for name in ("fg", "bg"))
    return errors
