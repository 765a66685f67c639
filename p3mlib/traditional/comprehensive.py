"""Comprehensive sampling matting (Shahrian et al. 2013)."""

import cv2
import numba
import numpy as np
from scipy import ndimage

from p3mlib.traditional._common import estimator
from p3mlib.traditional._sampling import (
    EDGE_TRIMMING,
    compiled,
    distortion,
    expand,
    laplacian_refine,
    line_alpha,
    smooth,
    unknown_list,
)

BANDS = 4  # sampling regions, each of which holds the ones before
CLUSTERS = tuple(int(np.ceil(4 * band**0.33)) for band in range(1, BANDS + 1))  # of colour, and again of place
LARGEST = 50_000  # pixels that a clustering looks at
GAMMA = 0.1
SCALE = 255.0  # of colours in the objective: with [0, 1] the mixture error would hardly count


@estimator
def estimate(image, trimap):
    """Alpha by Comprehensive sampling, smoothed as in Shared matting and refined with the Laplacian.

    Args:
        image:  (H, W, 3) float in [0, 1]. trimap: (H, W) float, 0 background, 1 foreground, other values unknown.
    Returns:
        (H, W) float32 in [0, 1].
    Raises:
        ValueError: see `estimator`.
    Source:
        Shahrian et al. 2013: objective colour x space x overlap over all pairs of candidates. Candidates are means of k-means
        clusters of colour and then of place, with the number of clusters of a public implementation (the paper fits Gaussian
        mixtures to the peaks of a histogram).
    """
    known = expand(image, trimap, EDGE_TRIMMING)
    positions, index = unknown_list(known)
    if not len(positions):
        return known
    unknown = index >= 0
    outward = ndimage.distance_transform_edt(~unknown)
    inward = ndimage.distance_transform_edt(unknown)
    shares = (np.arange(1, BANDS + 1) / BANDS) ** 2
    band = np.minimum(np.searchsorted(shares * inward.max(), inward[unknown]), BANDS - 1)
    tables = [[_candidates(image, mask, outward, share, n) for mask in (known >= 1, known <= 0)] for share, n in _plan(shares)]
    f, b, objective = (np.empty((len(positions), 3)), np.empty((len(positions), 3)), np.empty(len(positions)))
    for number, (table_f, table_b) in enumerate(tables):
        chosen = np.flatnonzero(band == number)
        if len(chosen):
            f[chosen], b[chosen], objective[chosen] = _choose(
                image, positions[chosen], table_f, table_b, _overlap(table_f, table_b), SCALE
            )
    c = image[unknown]
    alpha = np.clip(((c - b) * (f - b)).sum(1) / np.maximum(((f - b) ** 2).sum(1), 1e-12), 0, 1)
    alpha, _ = smooth(image, known, positions, f, b, alpha, objective)
    rough, weight = known.copy(), np.zeros(known.shape)
    rough[unknown], weight[unknown] = alpha, GAMMA * objective
    return laplacian_refine(image, known, rough, weight)


def _plan(shares):
    return zip(shares, CLUSTERS, strict=True)


def _candidates(image, mask, outward, share, clusters):
    """Clusters of the known pixels near the unknown region: (N, 7) mean colour, mean place (y, x), variance of colour, size."""
    near = mask & (outward <= max(share * outward[mask].max(), 1.5))
    places = np.argwhere(near if near.any() else mask)
    places = places[:: -(-len(places) // LARGEST)]
    colours, rows = image[places[:, 0], places[:, 1]], []
    for group in _clusters(colours, clusters):
        for leaf in _clusters(places[group], clusters):
            members = group[leaf]
            own = colours[members]
            rows.append([*own.mean(0), *places[members].mean(0), own.var(0).mean(), len(members)])
    return np.array(rows)


def _clusters(features, count):
    """Index arrays of k-means clusters, none empty; always the same for the same features."""
    features = np.ascontiguousarray(features, np.float32)
    count = min(count, len(np.unique(features, axis=0)))
    if count < 2:
        return [np.arange(len(features))]
    cv2.setRNGSeed(0)
    stop = (cv2.TERM_CRITERIA_EPS + cv2.TERM_CRITERIA_MAX_ITER, 20, 1e-4)
    _, labels, _ = cv2.kmeans(features, count, None, stop, 1, cv2.KMEANS_PP_CENTERS)
    groups = [np.flatnonzero(labels[:, 0] == number) for number in range(count)]
    return [group for group in groups if len(group)]


def _overlap(f, b):
    """How well each pair of candidates is told apart (Cohen's d over the largest), (N, M) in [0, 1]."""
    size = f[:, None, 6] + b[None, :, 6]
    pooled = ((f[:, None, 6] - 1) * f[:, None, 5] + (b[None, :, 6] - 1) * b[None, :, 5]) / np.maximum(size - 2, 1)
    apart = np.sqrt(((f[:, None, :3] - b[None, :, :3]) ** 2).sum(-1) / np.maximum(pooled, 1e-6))
    return apart / max(apart.max(), 1e-12)


@compiled
def _choose(image, positions, table_f, table_b, overlap, scale):
    """Colours (N, 3) twice of the pair with the largest objective, and that objective (N,)."""
    total = len(positions)
    f, b, objective = np.empty((total, 3)), np.empty((total, 3)), np.empty(total)
    for i in numba.prange(total):
        y, x = positions[i]
        near_f = np.sqrt((table_f[:, 3] - y) ** 2 + (table_f[:, 4] - x) ** 2)
        near_b = np.sqrt((table_b[:, 3] - y) ** 2 + (table_b[:, 4] - x) ** 2)
        near_f, near_b = np.exp(-near_f / max(near_f.mean(), 1e-6)), np.exp(-near_b / max(near_b.mean(), 1e-6))
        best, chosen_f, chosen_b = -1.0, 0, 0
        for j in range(len(table_f)):
            for m in range(len(table_b)):
                alpha = line_alpha(image[y, x], table_f[j], table_b[m])
                colour = np.exp(-scale * np.sqrt(distortion(image[y, x], table_f[j], table_b[m], alpha)))
                value = colour * near_f[j] * near_b[m] * overlap[j, m]
                if value > best:
                    best, chosen_f, chosen_b = value, j, m
        f[i], b[i], objective[i] = table_f[chosen_f, :3], table_b[chosen_b, :3], best
    return f, b, objective
