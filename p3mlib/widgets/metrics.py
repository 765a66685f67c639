"""Metrics: spoil a matte, and see which of the ten errors notices."""

import cv2
import numpy as np

from p3mlib.metrics import METRICS, matting_errors
from p3mlib.widgets.frame import Explorer, Still, choice, heat, pictures, slider, table

GOALS = {
    "SAD falls, Grad rises": lambda now, start: now["SAD"] < start["SAD"] and now["Grad"] > start["Grad"],
    "MAD falls, MSE rises": lambda now, start: now["MAD"] < start["MAD"] and now["MSE"] > start["MSE"],
    "SAD falls, Conn rises": lambda now, start: now["SAD"] < start["SAD"] and now["Conn"] > start["Conn"],
    "no error in -T, some in -FG": lambda now, start: now["SAD-T"] < 1e-6 < now["SAD-FG"],
}
_START = 0.1  # by which the matte to compare with is too bright


def spoiled(alpha, right=0, down=0, blur=0.0, grow=0, offset=0.0, hole=0, across=0.5, along=0.5):
    """A matte with errors made to order.

    Args:
        alpha: (H, W) in [0, 1]. right, down: shift in pixels. blur: sigma in pixels. grow: dilation in pixels, erosion below 0.
        offset: added everywhere, then cut to [0, 1]. hole: side in pixels of a square of 1 - alpha. across, along: where its
            centre lies, as shares of width and height.
    Returns:
        (H, W) float32 in [0, 1].
    """
    height, width = alpha.shape
    move = np.float32([[1, 0, right], [0, 1, down]])
    pred = cv2.warpAffine(np.float32(alpha), move, (width, height), borderMode=cv2.BORDER_REPLICATE)
    if grow:
        ellipse = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * abs(grow) + 1,) * 2)
        pred = (cv2.dilate if grow > 0 else cv2.erode)(pred, ellipse)
    if blur:
        pred = cv2.GaussianBlur(pred, (0, 0), blur)
    pred = np.clip(pred + np.float32(offset), 0, 1)
    if hole:
        top, left = (max(0, round(share * side - hole / 2)) for share, side in ((along, height), (across, width)))
        square = slice(top, top + hole), slice(left, left + hole)
        pred[square] = 1 - pred[square]
    return pred


def metrics_explorer(alpha, trimap):
    """Shift, grow, blur, brighten a matte or paint a square into it, towards a goal; all ten metrics follow.

    Args:
        alpha: (H, W) in [0, 1]. trimap: (H, W) in {0, 0.5, 1}.
    Returns:
        Explorer.
    Raises:
        ValueError: shapes differ, or values leave [0, 1].
    """
    start = matting_errors(spoiled(alpha, offset=_START), alpha, trimap)
    goal = choice("goal", GOALS)
    errors = {
        "right": slider("shift right", 0, -20, 20, unit="px"),
        "down": slider("shift down", 0, -20, 20, unit="px"),
        "grow": slider("grow or shrink", 0, -12, 12, unit="px"),
        "blur": slider("blur", 0.0, 0.0, 10.0, 0.5, unit="px"),
        "offset": slider("brighten", _START, -0.5, 0.5, 0.05),
        "hole": slider("square's side", 0, 0, min(alpha.shape) // 2, unit="px"),
        "across": slider("square across", 0.5, 0.0, 1.0, 0.02),
        "along": slider("square down", 0.5, 0.0, 1.0, 0.02),
    }

    def draw():
        pred = spoiled(alpha, **{name: control.value for name, control in errors.items()})
        now = matting_errors(pred, alpha, trimap)
        reached = GOALS[goal.value](now, start)
        panels = [(alpha, "the true matte"), (pred, "your matte"), (heat(pred - alpha), "error: red too little, blue too much")]
        rows = [["start", *(f"{start[name]:.4g}" for name in METRICS)], ["now", *(f"{now[name]:.4g}" for name in METRICS)]]
        rows.append(["", *("-" if now[m] == start[m] else "lower" if now[m] < start[m] else "higher" for m in METRICS)])
        said = f"Goal: {goal.value}: {'reached' if reached else 'not yet'}."
        return Still(pictures(panels, said).html + table(["", *METRICS], rows).html)

    advice = (
        f"The start is a matte that is {_START} too bright everywhere. Choose a goal and move the sliders until it says "
        "'reached'. A soft haze, a shift and a small hard square do different things to a sum, a square, a gradient and to "
        "what hangs together."
    )
    return Explorer("Which error does which metric notice?", advice, {"goal": goal, **errors}, draw)
