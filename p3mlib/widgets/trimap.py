"""Trimap: how much it tells, and what closed-form matting makes of it."""

import time

import numpy as np

from p3mlib.matte import make_trimap, regions
from p3mlib.metrics import mad
from p3mlib.traditional import METHODS
from p3mlib.widgets.brush import brush, painted
from p3mlib.widgets.frame import Explorer, heat, pictures, slider

TONES = {"unknown": 0.5, "person": 1.0, "background": 0.0}


def trimap_explorer(image, alpha):
    """Choose the width of the unknown band, paint into the trimap by hand, and see closed-form matting and its error.

    Args:
        image: (H, W, 3) in [0, 1]. alpha: (H, W) in [0, 1], the truth.
    Returns:
        Explorer.
    """
    side = min(alpha.shape)
    width = slider("kernel", max(3, side // 10), 1, max(8, side // 2), unit="px")
    hand = brush("paint the trimap onto the portrait", image, TONES)
    earlier = []

    def draw():
        trimap = painted(make_trimap(alpha, width.value), hand.value)
        unknown = regions(trimap)["unknown"]
        told = f"the trimap: {unknown.mean():.0%} unknown"
        if earlier:
            yield pictures([(trimap, f"{told}, being solved ..."), *earlier])
        begin = time.perf_counter()
        pred = METHODS["Closed"](image, trimap)
        seconds, error = time.perf_counter() - begin, pred - alpha
        wrong = f"MAD {mad(pred, alpha):.4f}" + (
            f", in the unknown area {mad(pred, alpha, unknown):.4f}" if unknown.any() else ""
        )
        earlier[:] = [
            (pred, f"closed-form matting, {seconds:.1f} s"),
            (alpha, "the truth"),
            (heat(np.clip(2 * error, -1, 1)), f"error, doubled: red too little, blue too much\n{wrong}"),
        ]
        yield pictures([(trimap, told), *earlier])

    advice = (
        "Make the kernel wider: the error grows where the colours of hair and background are alike. Then paint 'unknown' over "
        "the face: inside the person closed-form matting fills it from its border. Last, paint 'person' onto a piece of the "
        "background: it believes you, and spreads your mistake. The more is unknown, the longer it takes."
    )
    return Explorer("How much must a trimap tell?", advice, {"kernel": width, "brush": hand}, draw)
