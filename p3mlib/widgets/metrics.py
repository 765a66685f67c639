"""Metrics: spoil a matte, and see which of the ten errors notices."""

import cv2
import numpy as np

from p3mlib.metrics import METRICS, matting_errors
from p3mlib.widgets.brush import brush, painted
from p3mlib.widgets.frame import Explorer, Still, choice, heat, pictures, slider, table

GOALS = {
    "SAD falls, Grad rises": lambda now, start: now["SAD"] < start["SAD"] and now["Grad"] > start["Grad"],
    "MAD falls, MSE rises": lambda now, start: now["MAD"] < start["MAD"] and now["MSE"] > start["MSE"],
    "SAD falls, Conn rises": lambda now, start: now["SAD"] < start["SAD"] and now["Conn"] > start["Conn"],
    "no error in -T, some in -FG": lambda now, start: now["SAD-T"] < 1e-6 < now["SAD-FG"],
}
TONES = {"background": 0.0, "person": 1.0, "half transparent": 0.5}
_START = 0.1  # by which the matte to compare with is too bright


def spoiled(alpha, right=0, down=0, blur=0.0, grow=0, offset=0.0, strokes=()):
    """A matte with errors made to order.

    Args:
        alpha: (H, W) in [0, 1]. right, down: shift in pixels. blur: sigma in pixels. grow: dilation in pixels, erosion below 0.
        offset: added everywhere, then cut to [0, 1]. strokes: of a brush over all of it, see `Brush.value`.
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
    return painted(np.clip(pred + np.float32(offset), 0, 1), strokes)


def metrics_explorer(alpha, trimap):
    """Shift, grow, blur, brighten a matte or paint into it, towards a goal; all ten metrics follow.

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
        "strokes": brush("paint errors onto the true matte", alpha, TONES),
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
        f"The start is a matte that is {_START} too bright everywhere. Choose a goal, move the sliders and paint until it "
        "says 'reached'. A soft haze, a shift and a small hard blot do different things to a sum, a square, a gradient and to "
        "what hangs together."
    )
    return Explorer("Which error does which metric notice?", advice, {"goal": goal, **errors}, draw)
