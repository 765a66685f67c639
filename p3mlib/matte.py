"""Alpha mattes: compositing, trimaps and the regions that metrics and losses look at."""

import cv2
import numpy as np


def composite(fg, bg, alpha):
    """The matting equation I = alpha F + (1 - alpha) B.

    Args:
        fg, bg: (H, W, 3) float in [0, 1].
        alpha:  (H, W) float in [0, 1].
    Returns:
        (H, W, 3) float in [0, 1].
    Raises:
        ValueError: the three do not share height and width.
    """
    if fg.shape != bg.shape or fg.shape[:2] != alpha.shape:
        raise ValueError(f"fg {fg.shape}, bg {bg.shape} and alpha {alpha.shape} must share height and width")
    a = alpha[..., None]
    return a * fg + (1 - a) * bg


def make_trimap(alpha, kernel=25):
    """Trimap of a matte: known foreground, known background, and the transition area between.

    Unknown is what an elliptic dilation of `alpha > 0` covers and an erosion of `alpha == 1` does not; the image border
    limits neither operation, and an even kernel keeps OpenCV's anchor.

    Args:
        alpha:  (H, W) float in [0, 1].
        kernel: side of the elliptic kernel in pixels, >= 1. The official training draws 15..30 at 512 px.
    Returns:
        (H, W) float32 with the values 0 (background), 0.5 (unknown), 1 (foreground).
    Raises:
        ValueError: kernel < 1.
    Source:
        the official P3M training code (behaviour only).
    """
    if kernel < 1:
        raise ValueError(f"kernel must be at least 1 pixel, got {kernel}")
    ellipse = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (int(kernel), int(kernel)))
    opaque = cv2.erode((alpha >= 1 - 0.5 / 255).astype(np.uint8), ellipse)
    touched = cv2.dilate((alpha > 0.5 / 255).astype(np.uint8), ellipse)
    trimap = np.where(touched > 0, np.float32(0.5), np.float32(0))
    trimap[opaque > 0] = 1
    return trimap


def regions(trimap):
    """Boolean masks of the three regions of a trimap.

    Args:
        trimap: (H, W), values {0, 0.5, 1} in memory or {0, 128, 255} as stored, where 127 is unknown as well, as some tools write
            it; or the numbers of the classes of a segmentation, {0, 1, 2} with a 2 among them.
    Returns:
        dict with `bg`, `unknown`, `fg`: (H, W) bool, disjoint and complete.
    Raises:
        ValueError: any other value, for instance whole numbers 0 and 1, which may mean two things; the message shows some.
    """
    trimap = np.asarray(trimap)
    highest = trimap.max(initial=0)
    top = 2 if highest == 2 else 255 if highest > 1 or (highest and trimap.dtype.kind in "iu") else 1
    fg, bg, unknown = trimap == top, trimap == 0, abs(trimap / top - 0.5) <= 1 / 255
    strange = ~(fg | bg | unknown)
    if strange.any():
        found = ", ".join(f"{value:g}" for value in np.unique(trimap[strange])[:5])
        raise ValueError(f"a trimap has the values 0, 0.5, 1, or 0, 128, 255, or 0, 1, 2; this one has {found} (to {highest:g})")
    return {"bg": bg, "unknown": unknown, "fg": fg}
