"""KNN matting (Chen et al. 2013), through pymatting."""

import pymatting

from p3mlib.traditional._common import estimator


@estimator
def estimate(image, trimap):
    """Alpha by KNN matting.

    Args:
        image:  (H, W, 3) float in [0, 1]. trimap: (H, W) float, 0 background, 1 foreground, other values unknown.
    Returns:
        (H, W) float32 in [0, 1].
    Raises:
        ValueError: see `estimator`.
    Source:
        Chen et al. 2013, pymatting's defaults: 20 and 10 neighbours, distance weights 2 and 0.1.
    """
    return pymatting.estimate_alpha_knn(image, trimap)
