"""Pieces that several sampling-based methods share: alpha on a colour line, expansion, smoothing, the Laplacian refinement."""

import numba
import numpy as np
import pymatting
from scipy import ndimage, sparse

compiled = numba.njit(cache=True, parallel=True, fastmath=False)
inlined = numba.njit(cache=True)


def disc(radius):
    """Offsets (N, 2) as (dy, dx) within `radius` pixels, without the centre, nearest first; int32."""
    reach = int(radius)
    dy, dx = np.mgrid[-reach : reach + 1, -reach : reach + 1]
    squared = (dy * dy + dx * dx).ravel()
    order = np.argsort(squared, kind="stable")
    order = order[(squared[order] > 0) & (squared[order] <= radius * radius)]
    return np.stack([dy.ravel()[order], dx.ravel()[order]], 1).astype(np.int32)


def unknown_list(trimap):
    """Positions (N, 2) of unknown pixels in scan order, int32, and their (H, W) index map with -1 elsewhere."""
    unknown = (trimap > 0) & (trimap < 1)
    index = np.full(trimap.shape, -1, np.int32)
    index[unknown] = np.arange(unknown.sum(), dtype=np.int32)
    return np.argwhere(unknown).astype(np.int32), index


def nearest(mask):
    """Position (2, H, W) of the nearest True pixel, int32, and the distance (H, W) to it in pixels."""
    distance, place = ndimage.distance_transform_edt(~mask, return_indices=True)
    return place.astype(np.int32), distance


@inlined
def line_alpha(c, f, b):
    """Alpha in [0, 1] of colour c between f and b; 0 where they coincide."""
    along, length = 0.0, 0.0
    for k in range(3):
        d = f[k] - b[k]
        along += (c[k] - b[k]) * d
        length += d * d
    return 0.0 if length < 1e-12 else min(max(along / length, 0.0), 1.0)


@inlined
def distortion(c, f, b, alpha):
    """Squared distance of colour c to the mixture of f and b."""
    total = 0.0
    for k in range(3):
        d = c[k] - alpha * f[k] - (1 - alpha) * b[k]
        total += d * d
    return total


def expand(image, trimap, thresholds):
    """Trimap with unknown pixels joined to the nearest known pixel of nearly their colour.

    Args:
        image: (H, W, 3) in [0, 1]. trimap: (H, W), 0, 1 or between for unknown.
        thresholds: largest colour distance at 1, 2, ... pixels from the known pixel.
    Returns:
        (H, W) float64.
    """
    thresholds = np.asarray(thresholds, np.float64)
    return _expand(image, trimap, disc(len(thresholds)), thresholds)


@compiled
def _expand(image, trimap, offsets, thresholds):
    height, width = trimap.shape
    out = trimap.copy()
    for y in numba.prange(height):
        for x in range(width):
            if trimap[y, x] <= 0 or trimap[y, x] >= 1:
                continue
            for n in range(len(offsets)):
                v, u = y + offsets[n, 0], x + offsets[n, 1]
                if v < 0 or u < 0 or v >= height or u >= width or 0 < trimap[v, u] < 1:
                    continue
                ring = int(np.ceil(np.sqrt(offsets[n, 0] ** 2 + offsets[n, 1] ** 2))) - 1
                squared = 0.0
                for k in range(3):
                    squared += (image[y, x, k] - image[v, u, k]) ** 2
                if squared <= thresholds[ring] ** 2:
                    out[y, x] = trimap[v, u]
                    break
    return out


EDGE_TRIMMING = tuple((9 - 8 * ring / 9) / 256 for ring in range(1, 10))  # Aksoy et al.'s toolbox, Comprehensive sampling


def smooth(image, trimap, positions, f, b, alpha, confidence, count=100):
    """Local smoothing of Shared matting: (N,) alpha and confidence of the unknown pixels, from their neighbours' samples.

    Args:
        image, trimap:     (H, W, 3) in [0, 1], (H, W).
        positions:         (N, 2) unknown pixels as of `unknown_list`.
        f, b:              (N, 3) chosen colours. alpha, confidence: (N,) in [0, 1].
        count:             neighbours that take part; the Gaussian's variance is count / 9 pi.
    Source:
        Gastal and Oliveira 2010, Sec. 3.3.
    """
    index = np.full(trimap.shape, -1, np.int32)
    index[positions[:, 0], positions[:, 1]] = np.arange(len(positions))
    offsets = np.concatenate([np.zeros((1, 2), np.int32), disc(np.sqrt(count / np.pi) + 1)])[:count]
    return _smooth(image, trimap, positions, index, f, b, alpha, confidence, offsets, count / (9 * np.pi))


@compiled
def _smooth(image, trimap, positions, index, f, b, alpha, confidence, offsets, variance):
    height, width = trimap.shape
    total = len(positions)
    out_alpha, out_confidence = np.empty(total), np.empty(total)
    for i in numba.prange(total):
        y, x = positions[i]
        mean_f, mean_b = np.zeros(3), np.zeros(3)
        sum_f, sum_b, length, sum_length, mean_alpha, sum_alpha = 0.0, 0.0, 0.0, 0.0, 0.0, 0.0
        for n in range(len(offsets)):
            v, u = y + offsets[n, 0], x + offsets[n, 1]
            if v < 0 or u < 0 or v >= height or u >= width:
                continue
            near = np.exp(-(offsets[n, 0] ** 2 + offsets[n, 1] ** 2) / (2 * variance))
            q = index[v, u]
            if q < 0:  # known: alpha is certain
                mean_alpha += near * trimap[v, u]
                sum_alpha += near
                continue
            weight = near * confidence[q]
            mean_alpha += weight * alpha[q]
            sum_alpha += weight
            apart = 0.0
            for k in range(3):
                apart += (f[q, k] - b[q, k]) ** 2
            mixed = weight * alpha[q] * (1 - alpha[q])
            length += mixed * np.sqrt(apart)
            sum_length += mixed
            if n > 0:
                weight *= abs(alpha[q] - alpha[i])
            for k in range(3):
                mean_f[k] += weight * alpha[q] * f[q, k]
                mean_b[k] += weight * (1 - alpha[q]) * b[q, k]
            sum_f += weight * alpha[q]
            sum_b += weight * (1 - alpha[q])
        for k in range(3):
            mean_f[k] = mean_f[k] / sum_f if sum_f > 1e-12 else f[i, k]
            mean_b[k] = mean_b[k] / sum_b if sum_b > 1e-12 else b[i, k]
        apart = 0.0
        for k in range(3):
            apart += (mean_f[k] - mean_b[k]) ** 2
        own = line_alpha(image[y, x], mean_f, mean_b)
        error = np.sqrt(distortion(image[y, x], mean_f, mean_b, own))
        reach = min(1.0, np.sqrt(apart) / (length / sum_length)) if sum_length > 1e-12 and length > 1e-12 else 1.0
        trust = reach * np.exp(-10 * error)
        around = mean_alpha / sum_alpha if sum_alpha > 1e-12 else alpha[i]
        out_confidence[i] = trust
        out_alpha[i] = min(max(trust * own + (1 - trust) * around, 0.0), 1.0)
    return out_alpha, out_confidence


def laplacian_refine(image, trimap, alpha, weight, epsilon=1e-7):
    """Alpha that is smooth in the sense of the matting Laplacian and near an estimate: minimises a'La + sum w (a - estimate)^2.

    Known pixels keep their value, which is the limit of a large weight on them.

    Args:
        image, trimap: (H, W, 3) in [0, 1], (H, W), 0, 1 or between for unknown.
        alpha:         (H, W) estimate. weight: (H, W) or a number, of the estimate, at least 0.
        epsilon:       regularisation of the Laplacian.
    Returns:
        (H, W) float64; known pixels as in the trimap.
    Source:
        Levin et al. 2008 (L), Gastal and Oliveira 2010 (the data term).
    """
    known = ((trimap <= 0) | (trimap >= 1)).ravel()
    laplacian = pymatting.cf_laplacian(image, epsilon=epsilon, is_known=known.reshape(trimap.shape))
    weight = np.broadcast_to(weight, trimap.shape).ravel()[~known]
    rows = laplacian[~known]
    right = weight * alpha.ravel()[~known] - rows[:, known] @ trimap.ravel()[known]
    system = (rows[:, ~known] + sparse.diags(weight + 1e-9)).tocsc()
    out = trimap.astype(np.float64).ravel()
    out[~known] = pymatting.cg(system, right, M=pymatting.ichol(system), x0=alpha.ravel()[~known].astype(np.float64), rtol=1e-6)
    return out.reshape(trimap.shape)
