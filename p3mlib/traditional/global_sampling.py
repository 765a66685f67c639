"""Global sampling matting (He et al. 2011)."""

import numpy as np
from scipy import ndimage

from p3mlib.traditional._common import estimator
from p3mlib.traditional._sampling import (
    EDGE_TRIMMING,
    distortion,
    expand,
    inlined,
    laplacian_refine,
    line_alpha,
    nearest,
    unknown_list,
)

ITERATIONS = 10  # of SampleMatch
GAMMA = 0.1


@estimator
def estimate(image, trimap):
    """Alpha by Global sampling matting, with the Laplacian refinement of the benchmarked version.

    Args:
        image:  (H, W, 3) float in [0, 1]. trimap: (H, W) float, 0 background, 1 foreground, other values unknown.
    Returns:
        (H, W) float32 in [0, 1].
    Raises:
        ValueError: see `estimator`.
    Source:
        He et al. 2011: all known pixels on the border of the unknown region, sorted by intensity; cost of colour and distance
        with weight 1 on 0-255 colours; 10 iterations of SampleMatch. Confidence exp(-cost / 6) as in a public implementation.
    """
    known = expand(image, trimap, EDGE_TRIMMING)
    positions, index = unknown_list(known)
    if not len(positions):
        return known
    sides = [_samples(image, known, mask) for mask in (known >= 1, known <= 0)]
    reach = [np.maximum(nearest(_mask(places, known.shape))[1][index >= 0], 1.0) for places, _ in sides]
    (places_f, colours_f), (places_b, colours_b) = sides
    cost, alpha = _match(image * 255, positions, index, places_f, colours_f * 255, places_b, colours_b * 255, *reach, 0)
    rough, weight = known.copy(), np.zeros(known.shape)
    rough[index >= 0], weight[index >= 0] = alpha, GAMMA * np.exp(-cost / 6)
    return laplacian_refine(image, known, rough, weight)


def _samples(image, known, mask):
    """Places (N, 2) and colours (N, 3) of the known pixels that touch unknown ones, by intensity; all of `mask` if none does."""
    unknown = (known > 0) & (known < 1)
    border = mask & ndimage.binary_dilation(unknown, np.ones((3, 3)))
    places = np.argwhere(border if border.any() else mask)
    colours = image[places[:, 0], places[:, 1]]
    order = np.argsort(colours.sum(1), kind="stable")
    return places[order].astype(np.int32), colours[order]


def _mask(places, shape):
    mask = np.zeros(shape, bool)
    mask[places[:, 0], places[:, 1]] = True
    return mask


@inlined
def _cost(colour, y, x, place_f, f, place_b, b, reach_f, reach_b):
    misfit = np.sqrt(distortion(colour, f, b, line_alpha(colour, f, b)))
    far_f = np.sqrt((place_f[0] - y) ** 2 + (place_f[1] - x) ** 2)
    far_b = np.sqrt((place_b[0] - y) ** 2 + (place_b[1] - x) ** 2)
    return misfit + far_f / reach_f + far_b / reach_b


@inlined
def _match(image, positions, index, places_f, colours_f, places_b, colours_b, reach_f, reach_b, seed):
    """SampleMatch: cost (N,) and alpha (N,) of the best pair found; in scan order, forwards and backwards in turn."""
    np.random.seed(seed)
    height, width = index.shape
    total, count_f, count_b = len(positions), len(places_f), len(places_b)
    best_f, best_b, cost = np.empty(total, np.int64), np.empty(total, np.int64), np.empty(total)
    for i in range(total):
        y, x = positions[i]
        j, m = np.random.randint(count_f), np.random.randint(count_b)
        best_f[i], best_b[i] = j, m
        cost[i] = _cost(image[y, x], y, x, places_f[j], colours_f[j], places_b[m], colours_b[m], reach_f[i], reach_b[i])
    for iteration in range(ITERATIONS):
        for n in range(total):
            i = n if iteration % 2 == 0 else total - 1 - n
            y, x = positions[i]
            for v in range(max(y - 1, 0), min(y + 2, height)):  # propagation
                for u in range(max(x - 1, 0), min(x + 2, width)):
                    q = index[v, u]
                    if q < 0 or (best_f[q] == best_f[i] and best_b[q] == best_b[i]):
                        continue
                    j, m = best_f[q], best_b[q]
                    new = _cost(image[y, x], y, x, places_f[j], colours_f[j], places_b[m], colours_b[m], reach_f[i], reach_b[i])
                    if new < cost[i]:
                        cost[i], best_f[i], best_b[i] = new, j, m
            radius = float(max(count_f, count_b))
            while radius >= 1:  # random search around the best so far
                j = best_f[i] + int(min(radius, count_f) * np.random.uniform(-1, 1))
                m = best_b[i] + int(min(radius, count_b) * np.random.uniform(-1, 1))
                radius *= 0.5
                if j < 0 or m < 0 or j >= count_f or m >= count_b:
                    continue
                new = _cost(image[y, x], y, x, places_f[j], colours_f[j], places_b[m], colours_b[m], reach_f[i], reach_b[i])
                if new < cost[i]:
                    cost[i], best_f[i], best_b[i] = new, j, m
    alpha = np.empty(total)
    for i in range(total):
        y, x = positions[i]
        alpha[i] = line_alpha(image[y, x], colours_f[best_f[i]], colours_b[best_b[i]])
    return cost, alpha
