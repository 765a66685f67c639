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


GUIDED = {"side": 512, "radius": 4, "eps": 1e-4}  # chosen on 16 rendered portraits of 1080 x 810 px


def refine(alpha, image, side=GUIDED["side"], radius=GUIDED["radius"], eps=GUIDED["eps"]):
    """A coarse matte brought to the size of its image by the fast guided filter: its edges follow those of the image.

    Args:
        alpha:  (h, w) float in [0, 1]. image: (H, W, 3) float in [0, 1].
        side:   longer side, in pixels, at which the filter's linear model is fitted. radius: of its windows there, in pixels.
        eps:    regularisation, in squared intensities: details of a lower variance are smoothed.
    Returns:
        (H, W) float32 in [0, 1].
    Source:
        He et al. 2013, Eqs. 19-20 (colour guide); He and Sun 2015 (fitted on a small image).
    """
    height, width = image.shape[:2]
    scale = min(1.0, side / max(height, width))
    size = max(1, round(width * scale)), max(1, round(height * scale))
    guide = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    matte = cv2.resize(np.float32(alpha), size, interpolation=cv2.INTER_LINEAR)

    def mean(values):
        return cv2.blur(values, (2 * radius + 1, 2 * radius + 1))

    centre, level = mean(guide), mean(matte)
    covariance = mean(guide * matte[..., None]) - centre * level[..., None]
    rr, rg, rb, gg, gb, bb = (
        mean(guide[..., i] * guide[..., j]) - centre[..., i] * centre[..., j] + eps * (i == j)
        for i, j in ((0, 0), (0, 1), (0, 2), (1, 1), (1, 2), (2, 2))
    )
    adjugate = (
        (gg * bb - gb * gb, gb * rb - rg * bb, rg * gb - gg * rb),
        (gb * rb - rg * bb, rr * bb - rb * rb, rb * rg - rr * gb),
        (rg * gb - gg * rb, rb * rg - rr * gb, rr * gg - rg * rg),
    )
    determinant = sum(x * y for x, y in zip((rr, rg, rb), adjugate[0], strict=True))
    slope = np.dstack([(np.dstack(row) * covariance).sum(-1) for row in adjugate]) / determinant[..., None]
    offset = level - (slope * centre).sum(-1)
    slope, offset = (cv2.resize(mean(part), (width, height)) for part in (slope, offset))
    slope *= image
    return np.clip(cv2.transform(slope, np.ones((1, 3), np.float32)) + offset, 0, 1)


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
