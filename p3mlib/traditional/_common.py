"""What every trimap-based estimator needs around its core."""

import functools

import numpy as np

MAX_PIXELS = 4_000_000


def estimator(core):
    """Wrap `core(image, trimap)` (float64) with the checks and the trivial cases that all methods share.

    A trimap without unknown pixels is its own matte. Known pixels keep their value.

    Raises:
        ValueError: shapes differ, values leave [0, 1], known foreground or background is missing altogether, or the image has
            more than MAX_PIXELS pixels: time and memory grow faster than their number, up to hours.
    """

    @functools.wraps(core)
    def estimate(image, trimap):
        check(image, trimap)
        fg, bg = trimap >= 1, trimap <= 0
        if (fg | bg).all():
            return fg.astype(np.float32)
        for known, name, value in ((fg, "foreground", 1), (bg, "background", 0)):
            if not known.any():
                raise ValueError(f"trimap has no known {name} (value {value}); matting needs some of both")
        if trimap.size > MAX_PIXELS:
            size = f"{trimap.shape[1]} x {trimap.shape[0]} px ({trimap.size / 1e6:.0f} megapixels)"
            raise ValueError(
                f"image of {size} is beyond {MAX_PIXELS / 1e6:.0f}: shrink it first, p3mlib.experiments.evaluate.shrink does"
            )
        alpha = np.clip(core(np.float64(image), np.where(fg, 1.0, np.where(bg, 0.0, 0.5))), 0, 1)
        alpha[fg], alpha[bg] = 1, 0
        return alpha.astype(np.float32)

    return estimate


def check(image, trimap):
    """Raise ValueError unless image is (H, W, 3), trimap (H, W), both in [0, 1]."""
    if image.ndim != 3 or image.shape[2] != 3 or image.shape[:2] != trimap.shape:
        raise ValueError(f"expected image (H, W, 3) and trimap (H, W), got {image.shape} and {trimap.shape}")
    for name, array in (("image", image), ("trimap", trimap)):
        if not (array.min() >= 0 and array.max() <= 1):
            hint = "; looks like 0-255" if array.max() > 1.5 else ""
            raise ValueError(f"{name} spans [{array.min():.3g}, {array.max():.3g}], expected floats in [0, 1]{hint}")
