"""Trimap: how much it tells, and what closed-form matting makes of it."""

import time

import numpy as np

from p3mlib.matte import make_trimap, regions
from p3mlib.metrics import mad
from p3mlib.traditional import METHODS
from p3mlib.widgets.frame import Explorer, heat, pictures, slider


def trimap_explorer(image, alpha):
    """Choose the width of the unknown band, paint a patch of it by hand, and see closed-form matting and its error.

    Args:
        image: (H, W, 3) in [0, 1]. alpha: (H, W) in [0, 1], the truth.
    Returns:
        Explorer.
    """
    side = min(alpha.shape)
    width = slider("kernel", max(3, side // 10), 1, max(8, side // 2), unit="px")
    patch = slider("patch's side", 0, 0, side // 2, unit="px")
    across, along = slider("patch across", 0.5, 0.0, 1.0, 0.05), slider("patch down", 0.4, 0.0, 1.0, 0.05)

    def draw():
        trimap = make_trimap(alpha, width.value)
        if patch.value:
            top, left = (round(s.value * n - patch.value / 2) for s, n in zip((along, across), alpha.shape, strict=True))
            trimap[max(0, top) : max(0, top + patch.value), max(0, left) : max(0, left + patch.value)] = 0.5
        unknown = regions(trimap)["unknown"]
        begin = time.perf_counter()
        pred = METHODS["Closed"](image, trimap)
        seconds, error = time.perf_counter() - begin, pred - alpha
        wrong = f"MAD {mad(pred, alpha):.4f}" + (
            f", in the unknown area {mad(pred, alpha, unknown):.4f}" if unknown.any() else ""
        )
        panels = [
            (image, "the portrait"),
            (trimap, f"its trimap: {unknown.mean():.0%} unknown"),
            (pred, f"closed-form matting, {seconds:.1f} s"),
            (heat(np.clip(2 * error, -1, 1)), f"error, doubled: red too little, blue too much\n{wrong}"),
        ]
        return pictures(panels)

    advice = (
        "Make the kernel wider: the error grows where the colours of hair and background are alike. Then put a patch onto "
        "the face: inside the person closed-form matting fills it from its border. The more is unknown, the longer it "
        "takes, up to seconds."
    )
    controls = {"kernel": width, "patch": patch, "across": across, "along": along}
    return Explorer("How much must a trimap tell?", advice, controls, draw)
