"""Errors of a predicted matte, in the definitions of the official P3M code: numpy in, float out, lower is better.

Everything is computed in the precision of the inputs: float64 stays, anything else becomes float32, because Conn depends
on it (in float64 the grey value 153 / 255 lies below the threshold 0.6, in float32 it does not).
"""

import numpy as np
from numba import njit
from scipy.ndimage import gaussian_filter

from p3mlib.matte import regions

METRICS = ("SAD", "MSE", "MAD", "Grad", "Conn", "SAD-T", "MSE-T", "MAD-T", "SAD-FG", "SAD-BG")
# As in the tables: sums are in thousands, means are per pixel.
UNITS = {name: "1" if name[:3] in ("MSE", "MAD") else "1e3" for name in METRICS}
CONN_STEPS = np.arange(0, 1.1, 0.1)


def _matte(name, matte, dtype):
    """The matte as a 2-D float array, checked."""
    matte = np.asarray(matte)
    if matte.ndim != 2 or matte.size == 0:
        raise ValueError(f"{name} must be (H, W), got {matte.shape}")
    low, high = float(matte.min()), float(matte.max())
    if np.isnan(low) or np.isnan(high):
        raise ValueError(f"{name} contains NaN")
    if low < 0 or high > 1:
        hint = "; looks like 0-255, divide by 255" if low >= 0 and high > 1.5 else ""
        raise ValueError(f"{name} must lie in [0, 1], got {low:g} to {high:g}{hint}")
    return np.ascontiguousarray(matte, dtype)


def _pair(pred, alpha, dtype=None):
    """Both mattes, checked, in their common precision or in `dtype`."""
    pred, alpha = np.asarray(pred), np.asarray(alpha)
    if pred.shape != alpha.shape:
        raise ValueError(f"shapes differ: pred {pred.shape}, alpha {alpha.shape}")
    if dtype is None:
        dtype = np.float64 if np.float64 in (pred.dtype, alpha.dtype) else np.float32
    elif np.dtype(dtype) not in (np.float32, np.float64):
        raise ValueError(f"dtype must be float32 or float64, got {np.dtype(dtype)}")
    return _matte("pred", pred, dtype), _matte("alpha", alpha, dtype)


def _within(values, region):
    """The values of a region (all without one) as an array that may be empty."""
    if region is None:
        return values
    region = np.asarray(region)
    if region.shape != values.shape or region.dtype != bool:
        raise ValueError(f"region must be bool of {values.shape}, got {region.dtype} of {region.shape}")
    return values[region]


def _mean(values):
    return float(values.sum() / values.size) if values.size else 0.0


def sad(pred, alpha, region=None):
    """Sum of absolute differences between two mattes.

    Args:
        pred:   (H, W) float in [0, 1], predicted alpha.
        alpha:  (H, W) float in [0, 1], ground-truth alpha.
        region: (H, W) bool, the pixels that count; None means all.
    Returns:
        float in thousands of pixels.
    Raises:
        ValueError: the shapes differ (both are shown), an array is not 2-D, has NaN, or leaves [0, 1] ("looks like 0-255").
    Source:
        Ma et al. 2023, Sec. 6.1; official whole-image variant.
    Example:
        >>> sad(np.ones((10, 100)), np.zeros((10, 100)))
        1.0
    """
    pred, alpha = _pair(pred, alpha)
    return float(_within(np.abs(pred - alpha), region).sum() / 1000)


def mse(pred, alpha, region=None):
    """Mean squared difference; arguments and errors as in `sad`.

    Returns:
        float per pixel; 0.0 over an empty region.
    """
    pred, alpha = _pair(pred, alpha)
    return _mean(_within((pred - alpha) ** 2, region))


def mad(pred, alpha, region=None):
    """Mean absolute difference; arguments and errors as in `sad`.

    Returns:
        float per pixel; 0.0 over an empty region.
    """
    pred, alpha = _pair(pred, alpha)
    return _mean(_within(np.abs(pred - alpha), region))


def _edge_strength(matte):
    """Magnitude of the Gaussian derivatives of sigma 1.4, rounded to float32 after every pass."""
    along_y = gaussian_filter(matte, 1.4, order=[1, 0], output=np.float32)
    along_x = gaussian_filter(matte, 1.4, order=[0, 1], output=np.float32)
    return np.sqrt(along_y**2 + along_x**2)


def grad(pred, alpha):
    """Gradient error: squared differences between the edge strengths of two mattes.

    Args:
        pred, alpha: (H, W) float in [0, 1].
    Returns:
        float: the sum over the whole image divided by 10, in float32 whatever the inputs are. The matting benchmarks
        normalise each matte first and divide by 1000; their values cannot be compared.
    Raises:
        ValueError: as in `sad`.
    Source:
        official P3M variant of the gradient error of Rhemann et al. 2009.
    """
    pred, alpha = _pair(pred, alpha)
    return float(((_edge_strength(pred) - _edge_strength(alpha)) ** 2).sum() / 10)


def conn(pred, alpha):
    """Connectivity error: what is not connected to the body of the matte counts more than its opacity.

    At each threshold 0.1, 0.2, ... 1 the body is the largest 4-connected set of pixels that reach it in both mattes (the
    first in reading order among equals). A pixel is connected up to the last threshold before it first leaves the body;
    opacity of 0.15 or more above that level counts as lost. A threshold that no pixel reaches is passed over, so mattes
    without common foreground have error 0. Thresholds are compared in double precision, as numpy 2 does: multiples of
    0.1 carry its rounding (0.30000000000000004).

    Args:
        pred, alpha: (H, W) float in [0, 1].
    Returns:
        float in thousands of pixels, over the whole image.
    Raises:
        ValueError: as in `sad`.
    Source:
        official P3M variant (step 0.1, threshold 0.15) of the connectivity error of Rhemann et al. 2009, without the
        distance transform that the official code computes and drops.
    """
    pred, alpha = _pair(pred, alpha)
    steps = CONN_STEPS[1:].astype(pred.dtype)
    steps = np.where(steps < CONN_STEPS[1:], np.nextafter(steps, pred.dtype.type(2)), steps)  # same answer, own precision
    common, level = np.minimum(pred, alpha), np.zeros(pred.shape, np.uint8)
    for step in steps:
        level += common >= step
    start, row = _segments(level)
    value = level.ravel()[start[:-1]]
    connected = _connected_steps(value, np.diff(start), *_touching(start, value, row))
    bound, constants = CONN_STEPS.astype(pred.dtype)[connected], np.array([0, 0.15, 1], pred.dtype)
    return float(_opacity_difference(pred.ravel(), alpha.ravel(), start, bound, constants).sum() / 1000)


@njit(cache=True)
def _segments(level):
    """Cut the rows of an (H, W) array into S segments of equal values, numbered in reading order.

    Returns:
        start (S + 1,): flat index of every first pixel, and the end; row (H + 1,): first segment of every row.
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
    return start[: count + 1], row


@njit(cache=True)
def _touching(start, value, row):
    """Pairs of segments that touch above level 0, and their strength: the lower of the two levels.

    Of a ring of touching segments one weakest pair is left out, as the others connect the same at every level.
    """
    pairs, strength = np.empty((3 * value.size, 2), np.int32), np.empty(3 * value.size, np.uint8)
    width, high, count = start[row[1]], np.uint8(255), 0
    for y in range(row.size - 1):
        for s in range(row[y] + 1, row[y + 1]):
            pairs[count, 0], pairs[count, 1] = s - 1, s
            strength[count] = min(value[s - 1], value[s])
            count += strength[count] > 0
        above, s, passed = row[max(y, 1) - 1], row[y], np.uint8(0)
        while y and s < row[y + 1]:
            v_above, v = value[above], value[s]
            pairs[count, 0], pairs[count, 1], strength[count] = above, s, min(v_above, v)
            count += strength[count] > passed
            ends_later = start[s + 1] - start[above + 1] - width
            passed = min(v if ends_later <= 0 else high, v_above if ends_later >= 0 else high)
            s += ends_later <= 0
            above += ends_later >= 0
    return pairs[:count], strength[:count]


@njit(cache=True)
def _strongest_first(pairs, strength, top):
    """Counting sort; pairs of strength v go from first[v] to first[v - 1]."""
    first = np.zeros(top + 2, np.int64)
    for v in strength:
        first[v - 1] += 1
    for v in range(top, -1, -1):
        first[v] += first[v + 1]
    place, ordered = first.copy(), np.empty_like(pairs)
    for e in range(strength.size):
        v = strength[e]
        ordered[place[v], 0], ordered[place[v], 1] = pairs[e]
        place[v] += 1
    return ordered, first


@njit(cache=True)
def _root(parent, s):
    while parent[s] != s:
        parent[s] = parent[parent[s]]
        s = parent[s]
    return s


@njit(cache=True)
def _larger(size, a, b):
    """The larger of two components; of equals the first in reading order; -1 stands for none."""
    if a < 0 or b < 0:
        return max(a, b)
    return a if size[a] > size[b] or (size[a] == size[b] and a < b) else b


@njit(cache=True)
def _connected_steps(value, size, pairs, strength, top=10):
    """How many steps, from the lowest, every segment belongs to the largest component.

    From the highest step down components only grow: union-find joins each pair once. The lower number stays the root,
    so a root is the first of its component, and parents come before children when the tree is read at the end.
    """
    pairs, first = _strongest_first(pairs, strength, top)
    parent = np.arange(value.size).astype(np.int32)
    link, joined, body_at = parent.copy(), np.zeros(value.size, np.uint8), np.zeros(value.size, np.uint8)
    longest = np.full(top + 1, -1)
    for s in range(value.size):
        longest[value[s]] = _larger(size, longest[value[s]], s)
    body = -1
    for step in range(top, 0, -1):
        above, body = body, _larger(size, body, longest[step])
        mark = top if above < 0 else step  # steps that no pixel reaches are passed over
        for e in range(first[step], first[step - 1]):
            a, b = _root(parent, pairs[e, 0]), _root(parent, pairs[e, 1])
            if a != b:
                a, b = min(a, b), max(a, b)
                parent[b], link[b], joined[b] = a, a, mark
                size[a] += size[b]
                body = _larger(size, body, a)
        if above >= 0 and _root(parent, above) != body:
            body_at[:] = 0  # the next body lies elsewhere, so nothing stays connected beyond this step
        if body >= 0 and body_at[body] == 0:
            body_at[body] = mark
    if body < 0:
        return np.full(value.size, top, np.uint8)
    connected = np.zeros(value.size, np.uint8)
    for s in range(value.size):
        connected[s] = body_at[s] if body_at[s] > joined[s] else min(joined[s], connected[link[s]])
    return connected


@njit(cache=True)
def _opacity_difference(pred, alpha, start, bound, constants):
    """|phi(pred) - phi(alpha)| of flat mattes: phi is 1 minus what lies above the segment's bound, where that is >= 0.15."""
    zero, limit, one = constants
    difference, s = np.empty_like(pred), -1
    for i in range(pred.size):
        s += i == start[s + 1]
        p, a = pred[i] - bound[s], alpha[i] - bound[s]
        difference[i] = abs((one - (p if p >= limit else zero)) - (one - (a if a >= limit else zero)))
    return difference


def matting_errors(pred, alpha, trimap=None, dtype=None):
    """All errors of one image.

    `-FG` and `-BG` sum over the trimap's known foreground and background, `-T` takes the known pixels of the prediction
    as 1 and 0 and sums over the whole image, officially. Where alpha agrees with its trimap (1 in the known foreground,
    0 in the known background) this is the sum over the unknown pixels, and SAD = SAD-T + SAD-FG + SAD-BG; where it does
    not, -T also holds alpha's own distance from the trimap.

    Args:
        pred, alpha: (H, W) float in [0, 1].
        trimap:      (H, W) of {0, 0.5, 1} or {0, 128, 255}; other values (127) are unknown. None: no regions.
        dtype:       np.float32 or np.float64 to compute in; None: that of the inputs.
    Returns:
        dict of floats in the order of `METRICS`, the last five only with a trimap. Without unknown pixels MSE-T and
        MAD-T are 0.0, where the official 0/0 would spoil the mean of a data set; SAD-T is 0.0 if alpha and trimap agree.
    Raises:
        ValueError: as in `sad`, or a trimap of another shape.
    Source:
        Ma et al. 2023, Sec. 6.1; official definitions.
    """
    pred, alpha = _pair(pred, alpha, dtype)
    errors = {"SAD": sad(pred, alpha), "MSE": mse(pred, alpha), "MAD": mad(pred, alpha)}
    errors |= {"Grad": grad(pred, alpha), "Conn": conn(pred, alpha)}
    if trimap is None:
        return errors
    trimap = np.asarray(trimap)
    if trimap.shape != alpha.shape:
        raise ValueError(f"trimap {trimap.shape} does not fit alpha {alpha.shape}")
    area = regions(trimap)
    difference = np.where(area["fg"], 1, np.where(area["bg"], 0, pred)) - alpha
    unknown, total = np.count_nonzero(area["unknown"]), np.abs(difference).sum()
    errors["SAD-T"] = float(total / 1000)
    errors["MSE-T"] = float((difference**2).sum() / unknown) if unknown else 0.0
    errors["MAD-T"] = float(total / unknown) if unknown else 0.0
    return errors | {"SAD-FG": sad(pred, alpha, area["fg"]), "SAD-BG": sad(pred, alpha, area["bg"])}
