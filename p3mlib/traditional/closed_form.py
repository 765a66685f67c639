"""Closed-form matting (Levin et al. 2008), through pymatting."""

import pymatting

from p3mlib.traditional._common import estimator


@estimator
def estimate(image, trimap):
    """Alpha by Closed-form matting.

    Args:
        image:  (H, W, 3) float in [0, 1]. trimap: (H, W) float, 0 background, 1 foreground, other values unknown.
    Returns:
        (H, W) float32 in [0, 1].
    Raises:
        ValueError: see `estimator`.
    Source:
        Levin et al. 2008, pymatting's defaults: epsilon 1e-7 and radius 1.
    """
    return pymatting.estimate_alpha_cf(image, trimap)
