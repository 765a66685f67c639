"""Matting errors as the official P3M evaluation defines them: numpy arrays in, floats out, lower is better.

All but Grad are computed in the precision of the mattes, at least float32, because Conn depends on it: the grey value
153 / 255 reaches the threshold 0.6 in float32 and not in float64.
"""

import numpy as np
from numba import njit

from p3mlib.matte import regions

METRICS = ("SAD", "MSE", "MAD", "Grad", "Conn", "SAD-T", "MSE-T", "MAD-T", "SAD-FG", "SAD-BG")
UNITS = {name: "1" if name[:3] in ("MSE", "MAD") else "1e3" for name in METRICS}
_ROUNDING = 1e-4  # beyond [0, 1] it is what interpolation and single precision leave, and is cut off
_STEPS = np.arange(0, 1.1, 0.1)  # thresholds of Conn; 0.6 is 0.6000000000000001 in double precision, as in the original


def _pair(pred, alpha, dtype=None):
    """Both mattes checked, in `dtype` or in their common precision (float64, or else float32)."""
    pred, alpha = np.asarray(pred), np.asarray(alpha)
    if pred.shape != alpha.shape or pred.ndim != 2 or pred.size == 0:
        raise ValueError(f"pred and alpha must share one shape (H, W), got {pred.shape} and {alpha.shape}")
    spans = [(float(matte.min()), float(matte.max())) for matte in (pred, alpha)]
    for name, (low, high) in zip(("pred", "alpha"), spans, strict=True):
        if not (low >= -_ROUNDING and high <= 1 + _ROUNDING):  # NaN fails both
            hint = " (looks like 0-255)" if high > 1.5 else " (NaN in it)" if high != high else ""
            raise ValueError(f"{name} spans [{low:.6g}, {high:.6g}], expected [0, 1]{hint}")
    if dtype is None:
        dtype = np.float64 if np.float64 in (pred.dtype, alpha.dtype) else np.float32
    elif np.dtype(dtype) not in (np.float32, np.float64):
        raise ValueError(f"dtype must be float32 or float64, got {np.dtype(dtype)}")
    mattes = (np.ascontiguousarray(matte, dtype) for matte in (pred, alpha))
    return [matte if low >= 0 and high <= 1 else matte.clip(0, 1) for matte, (low, high) in zip(mattes, spans, strict=True)]


def _within(values, region):
    if region is None:
        return values
    region = np.asarray(region)
    if region.shape != values.shape or region.dtype != bool:
        raise ValueError(f"region must be bool {values.shape}, got {region.dtype} {region.shape}")
    return values[region]


_RADIUS = 6  # of Grad's filters: four standard deviations, as scipy cuts a Gaussian
_BELL = np.exp(-(np.arange(_RADIUS + 1) ** 2) / (2 * 1.4**2))  # from the centre outwards
_BELL = (_BELL / (2 * _BELL.sum() - 1)).astype(np.float32)
_SLOPE = (_BELL * np.arange(_RADIUS + 1) / 1.4**2).astype(np.float32)


def sad(pred, alpha, region=None):
    """Sum of absolute differences.

    Args:
        pred, alpha: (H, W) float in [0, 1]; up to 0.0001 beyond is rounding and cut off. region: (H, W) bool, the pixels that
            count; None means all.
    Returns:
        float, in thousands of pixels.
    Raises:
        ValueError: shapes differ (both are shown), or values leave [0, 1] or are NaN.
    Source:
        Sec. 6.1; official whole-image variant.
    Example:
        >>> sad(np.ones((10, 100)), np.zeros((10, 100)))
        1.0
    """
    pred, alpha = _pair(pred, alpha)
    return float(_within(np.abs(pred - alpha), region).sum() / 1000)


def mse(pred, alpha, region=None):
    """Mean squared difference over the region; 0 for an empty one. Arguments and errors as in `sad`."""
    pred, alpha = _pair(pred, alpha)
    squares = _within(np.square(pred - alpha), region)
    return float(squares.mean()) if squares.size else 0.0


def mad(pred, alpha, region=None):
    """Mean absolute difference over the region; 0 for an empty one. Arguments and errors as in `sad`."""
    pred, alpha = _pair(pred, alpha)
    difference = _within(np.abs(pred - alpha), region)
    return float(difference.mean()) if difference.size else 0.0


def grad(pred, alpha):
    """Gradient error: squared difference of Gaussian gradient magnitudes (sigma 1.4), summed, divided by 10.

    The official P3M variant: derivatives of the raw mattes in float32, whole image, filters of 13 taps, borders mirrored.
    Benchmarks that normalise the derivative filters and divide by 1000 give other numbers. Arguments and errors as in `sad`.
    """
    first, second = (matte.astype(np.float32, copy=False) for matte in _pair(pred, alpha))
    mirrored = np.pad(np.arange(len(first)), _RADIUS, "symmetric")
    return float(_squared_gradient_difference(first, second, mirrored) / 10)


@njit(cache=True, fastmath={"reassoc", "contract"})
def _squared_gradient_difference(first, second, mirrored):
    """Sum over pixels, in double precision; `mirrored` (H + 12,) is the row to take for every row of a padded matte."""
    height, width = first.shape
    one, other = np.empty(width, np.float32), np.empty(width, np.float32)
    bell, slope = np.empty(width + 2 * _RADIUS, np.float32), np.empty(width + 2 * _RADIUS, np.float32)
    total = 0.0
    for y in range(height):
        rows = mirrored[y : y + 2 * _RADIUS + 1]
        _gradient_row(first, rows, bell, slope, one)
        _gradient_row(second, rows, bell, slope, other)
        for x in range(width):
            total += np.float64((one[x] - other[x]) ** 2)
    return total


@njit(cache=True, fastmath={"reassoc", "contract"})
def _gradient_row(matte, rows, bell, slope, magnitude):
    """Write the gradient's magnitude in one row; `bell` and `slope` (W + 12,) hold that row filtered downwards, mirrored."""
    width, inner = matte.shape[1], slice(_RADIUS, _RADIUS + matte.shape[1])
    smooth, steep = bell[inner], slope[inner]
    smooth[:] = matte[rows[_RADIUS]] * _BELL[0]
    steep[:] = 0
    for k in range(1, _RADIUS + 1):
        above, below, b, s = matte[rows[_RADIUS - k]], matte[rows[_RADIUS + k]], _BELL[k], _SLOPE[k]
        for x in range(width):
            smooth[x] += b * (below[x] + above[x])
            steep[x] += s * (below[x] - above[x])
    for row in (bell, slope):
        for k in range(_RADIUS):
            turn = k % (2 * width)
            row[_RADIUS - 1 - k] = row[_RADIUS + min(turn, 2 * width - 1 - turn)]
            row[_RADIUS + width + k] = row[_RADIUS + width - 1 - min(turn, 2 * width - 1 - turn)]
    for x in range(width):
        along, across = np.float32(0), _BELL[0] * slope[x + _RADIUS]
        for k in range(1, _RADIUS + 1):
            along += _SLOPE[k] * (bell[x + _RADIUS + k] - bell[x + _RADIUS - k])
            across += _BELL[k] * (slope[x + _RADIUS + k] + slope[x + _RADIUS - k])
        magnitude[x] = np.sqrt(along * along + across * across)


def conn(pred, alpha):
    """Connectivity error, in thousands of pixels.

    At each threshold 0.1, 0.2, ... 1 the pixels that reach it in both mattes form 4-connected components; the largest (of
    equals the first in reading order) is the body. A pixel is connected up to the last threshold before it first leaves
    the body; a matte's excess over that level counts from 0.15 on. A threshold that no pixel reaches is passed over, so
    all-zeros against all-ones gives 0.

    The official variant (whole image) without its distance transform, whose result it never uses. Thresholds are rounded
    to the precision of the mattes. Arguments and errors as in `sad`.
    """
    pred, alpha = _pair(pred, alpha)
    steps = _STEPS.astype(pred.dtype)
    common, level = np.minimum(pred, alpha), np.zeros(pred.shape, np.uint8)
    for step in steps[1:]:
        level += common >= step
    start, value, row = _segments(level)
    bound = steps[_connected_steps(start, value, *_touching(start, value, row))]
    difference = common.ravel()  # its memory is free to be used again
    _opacity_difference(pred.ravel(), alpha.ravel(), start, bound, *np.array([0, 0.15, 1], pred.dtype), difference)
    return float(difference.reshape(pred.shape).sum() / 1000)


@njit(cache=True)
def _segments(level):
    """Cut the rows of an (H, W) array into S segments of equal values, numbered in reading order.

    Returns start (S + 1,), the flat index of every first pixel, and the end; value (S,); row (H + 1,), the first segment
    of every row.
    """
    height, width = level.shape
    start, row = np.empty(level.size + 1, np.int32), np.empty(height + 1, np.int32)
    count = 0
    for y in range(height):
        row[y] = count
        for x in range(width):
            start[count] = y * width + x
            count += x == 0 or level[y, x] != level[y, x - 1]
    row[height], start[count] = count, level.size
    value, flat = np.empty(count, np.uint8), level.ravel()
    for s in range(count):
        value[s] = flat[start[s]]
    return start[: count + 1], value, row


@njit(cache=True)
def _touching(start, value, row):
    """Pairs of segments that touch above level 0, with their strength: the lower of the two levels.

    Of a ring of touching segments one weakest pair is left out: the others connect the same at every level.
    """
    pairs, strength = np.empty((3 * value.size, 2), np.int32), np.empty(3 * value.size, np.uint8)
    width, high, count = start[row[1]], np.uint8(255), 0
    for y in range(row.size - 1):
        for s in range(row[y] + 1, row[y + 1]):
            pairs[count, 0], pairs[count, 1], strength[count] = s - 1, s, min(value[s - 1], value[s])
            count += strength[count] > 0
        above, s, passed = row[max(y, 1) - 1], row[y], np.uint8(0)
        while y and s < row[y + 1]:
            v_above, v = value[above], value[s]
            pairs[count, 0], pairs[count, 1], strength[count] = above, s, min(v_above, v)
            count += strength[count] > passed
            ahead = start[s + 1] - start[above + 1] - width  # the segment that ends first gives way to its neighbour
            passed = min(v if ahead <= 0 else high, v_above if ahead >= 0 else high)
            s += ahead <= 0
            above += ahead >= 0
    return pairs[:count], strength[:count]


@njit(cache=True)
def _strongest_first(pairs, strength, top):
    """Counting sort; pairs of strength v then go from first[v] to first[v - 1]."""
    first, ordered = np.zeros(top + 1, np.int64), np.empty_like(pairs)
    for v in strength:
        first[v - 1] += 1
    for v in range(top - 1, -1, -1):
        first[v] += first[v + 1]
    place = first.copy()
    for e in range(strength.size):
        at = place[strength[e]]
        ordered[at, 0], ordered[at, 1] = pairs[e, 0], pairs[e, 1]
        place[strength[e]] += 1
    return ordered, first


@njit(cache=True)
def _root(parent, s):
    while parent[s] != s:
        parent[s] = parent[parent[s]]
        s = parent[s]
    return s


@njit(cache=True)
def _connected_steps(start, value, pairs, strength, top=10):
    """How many steps, from the lowest, every segment stays in the body: the largest component, the first among equals.

    From the highest step down components only grow: union-find joins each pair once. The lower number stays the root,
    so a root is the first of its component and comes before its children when the tree is read in the end.
    """
    pairs, first = _strongest_first(pairs, strength, top)
    parent, size = np.arange(value.size, dtype=np.int32), np.diff(start)
    link, joined, body_until = parent.copy(), np.zeros_like(value), np.zeros_like(value)
    longest = np.full(top + 1, -1)
    for s in range(value.size):
        if longest[value[s]] < 0 or size[s] > size[longest[value[s]]]:
            longest[value[s]] = s
    body, body_size = -1, 0
    for step in range(top, 0, -1):
        above, s = body, longest[step]
        if s >= 0 and (size[s] > body_size or (size[s] == body_size and s < body)):
            body, body_size = s, size[s]
        mark = step if above >= 0 else top  # steps that no pixel reaches are passed over
        for e in range(first[step], first[step - 1]):
            a, b = _root(parent, pairs[e, 0]), _root(parent, pairs[e, 1])
            if a != b:
                a, b = min(a, b), max(a, b)
                parent[b], link[b], joined[b] = a, a, mark
                size[a] += size[b]
                if size[a] > body_size or (size[a] == body_size and a < body):
                    body, body_size = a, size[a]
        if above >= 0 and _root(parent, above) != body:
            body_until[:] = 0  # the next body lies elsewhere: nothing stays connected beyond this step
        if body >= 0 and body_until[body] == 0:
            body_until[body] = mark
    if body < 0:
        return np.full_like(value, top)
    connected = np.zeros_like(value)
    for s in range(value.size):
        with_parent = min(joined[s], connected[link[s]])
        connected[s] = body_until[s] if body_until[s] > joined[s] else with_parent
    return connected


@njit(cache=True)
def _opacity_difference(pred, alpha, start, bound, zero, limit, one, difference):
    """Write |phi(pred) - phi(alpha)| of flat mattes; phi is 1 minus the excess over the segment's bound from `limit` on."""
    for s in range(bound.size):
        for i in range(start[s], start[s + 1]):
            difference[i] = bound[s]
    for i in range(pred.size):
        p, a = pred[i] - difference[i], alpha[i] - difference[i]
        difference[i] = abs((one - (p if p >= limit else zero)) - (one - (a if a >= limit else zero)))


def matting_errors(pred, alpha, trimap=None, dtype=None):
    """All errors of one prediction.

    -T sets the prediction to 1 and 0 where the trimap is known, sums over the image, and divides MSE-T, MAD-T by the
    number of unknown pixels, as the official code. Where alpha is 1 and 0 in the known areas, SAD = SAD-T + SAD-FG +
    SAD-BG; where it is not, -T holds alpha's own distance from the trimap as well. A trimap without unknown pixels has
    MSE-T = MAD-T = 0 here (0/0 in the official code, which spoils every mean).

    Args:
        pred, alpha: (H, W) float in [0, 1].
        trimap:      (H, W), see `matte.regions`; None leaves the last five metrics out.
        dtype:       np.float32 or np.float64 to compute in; None means the precision of the mattes, at least float32.
    Returns:
        dict of floats with the keys of METRICS in order.
    Raises:
        ValueError: shapes differ, values leave [0, 1], or the trimap has another code.
    Source:
        Sec. 6.1 and the official IJCV evaluation.
    """
    pred, alpha = _pair(pred, alpha, dtype)
    errors = {"SAD": sad(pred, alpha), "MSE": mse(pred, alpha), "MAD": mad(pred, alpha)}
    errors |= {"Grad": grad(pred, alpha), "Conn": conn(pred, alpha)}
    if trimap is None:
        return errors
    trimap = np.asarray(trimap)
    if trimap.shape != alpha.shape:
        raise ValueError(f"trimap {trimap.shape} and alpha {alpha.shape} must share one shape (H, W)")
    areas = regions(trimap)
    difference = np.abs(np.where(areas["fg"], 1, np.where(areas["bg"], 0, pred)) - alpha)
    pixels = np.count_nonzero(areas["unknown"])
    errors["SAD-T"] = float(difference.sum() / 1000)
    errors["MSE-T"] = float(np.square(difference).sum() / pixels) if pixels else 0.0
    errors["MAD-T"] = float(difference.sum() / pixels) if pixels else 0.0
    return errors | {"SAD-FG": sad(pred, alpha, areas["fg"]), "SAD-BG": sad(pred, alpha, areas["bg"])}
