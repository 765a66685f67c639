"""Shared matting (Gastal and Oliveira 2010)."""

import numba
import numpy as np

from p3mlib.traditional._common import estimator
from p3mlib.traditional._sampling import (
    compiled,
    disc,
    distortion,
    expand,
    inlined,
    laplacian_refine,
    line_alpha,
    nearest,
    smooth,
    unknown_list,
)

EXPANSION, EXPANSION_COLOUR = 10, 5 / 256  # Sec. 3.1: pixels, and colour distance for [0, 1]
RAYS = 4  # k_g
GATHERED, BEST = 200, 3  # k_r, and tuples averaged
GAMMA = 0.1  # weight of the estimate in the final refinement


@estimator
def estimate(image, trimap):
    """Alpha by Shared matting with the final Laplacian refinement of the benchmarked version.

    Args:
        image:  (H, W, 3) float in [0, 1]. trimap: (H, W) float, 0 background, 1 foreground, other values unknown.
    Returns:
        (H, W) float32 in [0, 1].
    Raises:
        ValueError: see `estimator`.
    Source:
        Gastal and Oliveira 2010: 4 rays, expansion over 10 px, 200 and 100 neighbours. A pixel whose rays meet no foreground
        (background) takes the nearest one; the paper leaves that open.
    """
    known = expand(image, trimap, [EXPANSION_COLOUR] * EXPANSION)
    positions, index = unknown_list(known)
    if not len(positions):
        return known
    (near_f, _), (near_b, _) = nearest(known >= 1), nearest(known <= 0)
    f, b, spread_f, spread_b = _gather(image, known, positions, near_f, near_b)
    f, b, alpha, confidence = _share(image, positions, index, f, b, spread_f, spread_b, disc(25))
    alpha, confidence = smooth(image, known, positions, f, b, alpha, confidence)
    rough, weight = known.copy(), np.zeros(known.shape)
    rough[positions[:, 0], positions[:, 1]], weight[positions[:, 0], positions[:, 1]] = alpha, GAMMA * confidence
    return laplacian_refine(image, known, rough, weight)


@inlined
def _cast(image, known, y, x, angle):
    """Walk a ray: places of the first foreground and background pixels (-1 where none), and the energies of the ways there."""
    height, width = known.shape
    dy, dx = np.sin(angle), np.cos(angle)
    energy, energy_f, energy_b = 0.0, np.inf, np.inf
    fy, fx, by, bx = -1, -1, -1, -1
    v, u, step = y, x, 0
    while fy < 0 or by < 0:
        step += 1
        nv, nu = int(np.round(y + step * dy)), int(np.round(x + step * dx))
        if nv < 0 or nu < 0 or nv >= height or nu >= width:
            break
        for k in range(3):
            energy += (image[nv, nu, k] - image[v, u, k]) ** 2
        v, u = nv, nu
        if known[v, u] >= 1 and fy < 0:
            fy, fx, energy_f = v, u, energy
        elif known[v, u] <= 0 and by < 0:
            by, bx, energy_b = v, u, energy
    return fy, fx, energy_f, by, bx, energy_b


@inlined
def _window_distortion(image, y, x, f, b):
    """Summed squared distortion over the 3 x 3 pixels around one, each with its own alpha."""
    height, width = image.shape[:2]
    total = 0.0
    for v in range(max(y - 1, 0), min(y + 2, height)):
        for u in range(max(x - 1, 0), min(x + 2, width)):
            total += distortion(image[v, u], f, b, line_alpha(image[v, u], f, b))
    return total


@inlined
def _spread(image, y, x):
    """Mean squared colour distance of the 5 x 5 pixels around one to it."""
    height, width = image.shape[:2]
    total, count = 0.0, 0
    for v in range(max(y - 2, 0), min(y + 3, height)):
        for u in range(max(x - 2, 0), min(x + 3, width)):
            for k in range(3):
                total += (image[v, u, k] - image[y, x, k]) ** 2
            count += 1
    return total / count


@compiled
def _gather(image, known, positions, near_f, near_b):
    """The best pair of colours on the rays of every unknown pixel: (N, 3) twice, and their local variances (N,) twice."""
    total = len(positions)
    f, b = np.empty((total, 3)), np.empty((total, 3))
    spread_f, spread_b = np.empty(total), np.empty(total)
    for i in numba.prange(total):
        y, x = positions[i]
        fs, bs = np.empty((RAYS, 2), np.int64), np.empty((RAYS, 2), np.int64)
        count_f, count_b, energy_f, energy_b = 0, 0, np.inf, np.inf
        start = 2 * np.pi / RAYS * ((y % 3) * 3 + x % 3) / 9
        for ray in range(RAYS):
            fy, fx, ef, by, bx, eb = _cast(image, known, y, x, start + 2 * np.pi / RAYS * ray)
            if fy >= 0:
                fs[count_f, 0], fs[count_f, 1] = fy, fx
                count_f, energy_f = count_f + 1, min(energy_f, ef)
            if by >= 0:
                bs[count_b, 0], bs[count_b, 1] = by, bx
                count_b, energy_b = count_b + 1, min(energy_b, eb)
        if count_f == 0:
            fs[0, 0], fs[0, 1], count_f = near_f[0, y, x], near_f[1, y, x], 1
        if count_b == 0:
            bs[0, 0], bs[0, 1], count_b = near_b[0, y, x], near_b[1, y, x], 1
        likely = 0.5  # that the pixel is foreground, by the energies of the ways
        if energy_f < np.inf and energy_b < np.inf and energy_f + energy_b > 1e-12:
            likely = energy_b / (energy_f + energy_b)
        elif energy_f < np.inf and energy_b == np.inf:
            likely = 1.0
        elif energy_b < np.inf and energy_f == np.inf:
            likely = 0.0
        best, chosen_f, chosen_b = np.inf, 0, 0
        for j in range(count_f):
            for m in range(count_b):
                colour_f, colour_b = image[fs[j, 0], fs[j, 1]], image[bs[m, 0], bs[m, 1]]
                alpha = line_alpha(image[y, x], colour_f, colour_b)
                misfit = _window_distortion(image, y, x, colour_f, colour_b) + 1e-9
                doubt = likely + (1 - 2 * likely) * alpha + 1e-6
                far_f = np.sqrt((fs[j, 0] - y) ** 2 + (fs[j, 1] - x) ** 2)
                far_b = np.sqrt((bs[m, 0] - y) ** 2 + (bs[m, 1] - x) ** 2)
                cost = misfit**3 * doubt**2 * far_f * far_b**4
                if cost < best:
                    best, chosen_f, chosen_b = cost, j, m
        f[i] = image[fs[chosen_f, 0], fs[chosen_f, 1]]
        b[i] = image[bs[chosen_b, 0], bs[chosen_b, 1]]
        spread_f[i] = _spread(image, fs[chosen_f, 0], fs[chosen_f, 1])
        spread_b[i] = _spread(image, bs[chosen_b, 0], bs[chosen_b, 1])
    return f, b, spread_f, spread_b


@compiled
def _share(image, positions, index, f, b, spread_f, spread_b, offsets):
    """Every pixel tries the pairs of its neighbours: colours (N, 3) twice, alpha (N,), confidence (N,)."""
    height, width = index.shape
    total = len(positions)
    out_f, out_b = np.empty((total, 3)), np.empty((total, 3))
    alpha, confidence = np.empty(total), np.empty(total)
    for i in numba.prange(total):
        y, x = positions[i]
        colour = image[y, x]
        costs, winners = np.full(BEST, np.inf), np.zeros(BEST, np.int64)
        tried = 0
        for n in range(-1, len(offsets)):
            v, u = (y, x) if n < 0 else (y + offsets[n, 0], x + offsets[n, 1])
            if v < 0 or u < 0 or v >= height or u >= width or index[v, u] < 0:
                continue
            q = index[v, u]
            cost = distortion(colour, f[q], b[q], line_alpha(colour, f[q], b[q]))
            for place in range(BEST):
                if cost < costs[place]:
                    for later in range(BEST - 1, place, -1):
                        costs[later], winners[later] = costs[later - 1], winners[later - 1]
                    costs[place], winners[place] = cost, q
                    break
            tried += 1
            if tried == GATHERED:
                break
        used = min(tried, BEST)
        mean_f, mean_b, wide_f, wide_b = np.zeros(3), np.zeros(3), 0.0, 0.0
        for place in range(used):
            q = winners[place]
            for k in range(3):
                mean_f[k] += f[q, k] / used
                mean_b[k] += b[q, k] / used
            wide_f += spread_f[q] / used
            wide_b += spread_b[q] / used
        off_f, off_b, apart = 0.0, 0.0, 0.0
        for k in range(3):
            off_f += (colour[k] - mean_f[k]) ** 2
            off_b += (colour[k] - mean_b[k]) ** 2
            apart += (mean_f[k] - mean_b[k]) ** 2
        error = np.sqrt(distortion(colour, mean_f, mean_b, line_alpha(colour, mean_f, mean_b)))
        confidence[i] = np.exp(-10 * error) if apart > 1e-12 else 1e-8
        for k in range(3):
            out_f[i, k] = colour[k] if off_f <= wide_f else mean_f[k]
            out_b[i, k] = colour[k] if off_b <= wide_b else mean_b[k]
        alpha[i] = line_alpha(colour, out_f[i], out_b[i])
    return out_f, out_b, alpha, confidence
