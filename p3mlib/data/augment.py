"""Paired augmentation: the same crop, flip and resizing for an image and everything that belongs to it."""

import cv2
import numpy as np

from p3mlib.matte import make_trimap

LAYERS = ("image", "alpha", "fg", "bg")


def random_view(sample, crop_sides, size, trimap_kernel, rng):
    """One training view: a random square crop, resized, half of the time mirrored, with a fresh trimap.

    Half of the crops begin at a transition pixel, the others anywhere. A crop side that exceeds the image is cut down to
    it (the official code stretches a clipped crop instead). The trimap is made on the resized crop, so that "unknown" is
    exact; the official code resizes it bilinearly and loses unknown pixels to interpolation.

    Args:
        sample:        dict with `image` (H, W, 3), `alpha` (H, W), optionally `fg`, `bg` (H, W, 3); float in [0, 1]; `facemask`
                       (H, W) bool.
        crop_sides:    sides in pixels, one is drawn.
        size:          side of the result in pixels.
        trimap_kernel: (low, high) side of the trimap's kernel at 512 px, inclusive; scales with `size`.
        rng:           numpy Generator.
    Returns:
        dict of float32 arrays: `image`, `fg`, `bg` (3, size, size), `alpha`, `trimap`, `facemask` (1, size, size); the last is
        0 outside faces and k inside the k-th.
    Source:
        Sec. 6.1 and the official MM 2021 training code.
    """
    height, width = sample["alpha"].shape
    side = min(int(rng.choice(crop_sides)), height, width)
    top, left = _corner(sample["alpha"], side, rng)
    mirror = rng.random() < 0.5
    kernel = drawn_kernel(trimap_kernel, size, rng)
    view = {}
    for key in LAYERS:
        if key in sample:
            crop = sample[key][top : top + side, left : left + side]
            crop = cv2.resize(crop, (size, size), interpolation=cv2.INTER_LINEAR)
            view[key] = crop[:, ::-1] if mirror else crop
    if "facemask" in sample:
        crop = sample["facemask"][top : top + side, left : left + side].astype(np.uint8)
        faces = cv2.connectedComponents(cv2.resize(crop, (size, size), interpolation=cv2.INTER_NEAREST))[1]
        view["facemask"] = faces[:, ::-1] if mirror else faces
    view["trimap"] = make_trimap(view["alpha"], kernel)
    return {key: channels_first(array) for key, array in view.items()}


def _corner(alpha, side, rng):
    """Top-left corner of a crop that fits, on a transition pixel half of the time."""
    height, width = alpha.shape
    rows, columns = height - side + 1, width - side + 1
    if rng.random() < 0.5:
        valid = alpha[:rows, :columns]
        places = np.flatnonzero((valid > 0) & (valid < 1))
        if len(places):
            top, left = divmod(places[rng.integers(len(places))], columns)
            return int(top), int(left)
    return int(rng.integers(rows)), int(rng.integers(columns))


def drawn_kernel(trimap_kernel, size, rng):
    """Side of a trimap's kernel in pixels, at least 3: drawn from (low, high) at 512 px, inclusive, and scaled to `size`."""
    return max(3, round(rng.integers(trimap_kernel[0], trimap_kernel[1] + 1) * size / 512))


def channels_first(array):
    """(H, W) or (H, W, C) -> float32 (1, H, W) or (C, H, W), contiguous."""
    array = array[None] if array.ndim == 2 else array.transpose(2, 0, 1)
    return np.ascontiguousarray(array, np.float32)
