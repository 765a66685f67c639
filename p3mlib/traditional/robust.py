"""Robust matting (Wang and Cohen 2007)."""

import cv2
import numba
import numpy as np
from scipy import ndimage

from p3mlib.traditional._common import estimator
from p3mlib.traditional._sampling import compiled, distortion, laplacian_refine, nearest, unknown_list

SAMPLES = 20  # of each side
SPACING = 5  # pixels between samples along the border; the paper says "sparsely"
SIGMA = 0.1  # of the confidence
BEST = 3  # pairs averaged
GAMMA = 0.1  # weight of the data term
# The weights of a sample as printed, exp(-|F - C|^2 / D_F^2), make a pair near the pixel's colour less trusted than a far one.
# By default the fraction stands upside down, which does what the text around the formula says.
AS_PRINTED = False


@estimator
def estimate(image, trimap):
    """Alpha by Robust matting.

    Args:
        image:  (H, W, 3) float in [0, 1]. trimap: (H, W) float, 0 background, 1 foreground, other values unknown.
    Returns:
        (H, W) float32 in [0, 1].
    Raises:
        ValueError: see `estimator`.
    Source:
        Wang and Cohen 2007: 20 samples a side along the border from the nearest point on, confidence with sigma 0.1, the three
        most confident pairs, then the random walk with data weight 0.1.
    """
    positions, index = unknown_list(trimap)
    samples = [_along_border(trimap, mask, positions) for mask in (trimap >= 1, trimap <= 0)]
    estimated, confidence = _pairs(image, positions, *samples, AS_PRINTED)
    target = confidence * estimated + (1 - confidence) * (estimated > 0.5)
    rough = trimap.copy()
    rough[index >= 0] = target
    return laplacian_refine(image, trimap, rough, GAMMA, epsilon=1e-5)


def _along_border(trimap, mask, positions):
    """Places (N, SAMPLES, 2) of samples for every unknown pixel, to both sides of its nearest point on the border of `mask`."""
    unknown = (trimap > 0) & (trimap < 1)
    touching = mask & ndimage.binary_dilation(unknown, np.ones((3, 3)))
    touching = touching if touching.any() else mask
    contours, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE)
    pieces = [piece[touching[piece[:, 1], piece[:, 0]]] for piece in (contour[:, 0] for contour in contours)]
    pieces = [piece for piece in pieces if len(piece)] or [np.argwhere(touching)[:, ::-1]]
    border = np.concatenate(pieces)[:, ::-1]  # as (y, x)
    first = np.repeat(np.cumsum([0] + [len(piece) for piece in pieces[:-1]]), [len(piece) for piece in pieces])
    length = np.repeat([len(piece) for piece in pieces], [len(piece) for piece in pieces])
    number = np.zeros(trimap.shape, np.int64)
    number[border[:, 0], border[:, 1]] = np.arange(len(border))
    on_border = np.zeros(trimap.shape, bool)
    on_border[border[:, 0], border[:, 1]] = True
    place, _ = nearest(on_border)
    own = number[tuple(place[:, positions[:, 0], positions[:, 1]])]
    steps = (np.arange(SAMPLES) - SAMPLES // 2) * SPACING
    around = first[own][:, None] + (own - first[own])[:, None] + steps
    around = first[own][:, None] + (around - first[own][:, None]) % length[own][:, None]
    return border[around].astype(np.int32)


@compiled
def _pairs(image, positions, places_f, places_b, as_printed):
    """Alpha (N,) and confidence (N,): means over the most confident pairs."""
    total, count = len(positions), places_f.shape[1]
    alpha, confidence = np.empty(total), np.empty(total)
    for i in numba.prange(total):
        colour = image[positions[i, 0], positions[i, 1]]
        off_f, off_b = np.empty(count), np.empty(count)
        for j in range(count):
            f, b = image[places_f[i, j, 0], places_f[i, j, 1]], image[places_b[i, j, 0], places_b[i, j, 1]]
            off_f[j], off_b[j] = 0.0, 0.0
            for k in range(3):
                off_f[j] += (f[k] - colour[k]) ** 2
                off_b[j] += (b[k] - colour[k]) ** 2
        least_f, least_b = off_f.min() + 1e-6, off_b.min() + 1e-6
        trust, value = np.full(BEST, -1.0), np.zeros(BEST)
        for j in range(count):
            for m in range(count):
                f, b = image[places_f[i, j, 0], places_f[i, j, 1]], image[places_b[i, m, 0], places_b[i, m, 1]]
                along, length = 0.0, 1e-6
                for k in range(3):
                    along += (colour[k] - b[k]) * (f[k] - b[k])
                    length += (f[k] - b[k]) ** 2
                own = along / length
                ratio = distortion(colour, f, b, own) / length
                if as_printed:
                    doubt = np.exp(-off_f[j] / least_f - off_b[m] / least_b)
                else:
                    doubt = np.exp(-least_f / (off_f[j] + 1e-6) - least_b / (off_b[m] + 1e-6))
                sure = np.exp(-ratio * doubt / SIGMA**2) if -0.05 <= own <= 1.05 else 0.0
                for place in range(BEST):
                    if sure > trust[place]:
                        for later in range(BEST - 1, place, -1):
                            trust[later], value[later] = trust[later - 1], value[later - 1]
                        trust[place], value[place] = sure, min(max(own, 0.0), 1.0)
                        break
        alpha[i], confidence[i] = value.mean(), max(trust.mean(), 0.0)
    return alpha, confidence
