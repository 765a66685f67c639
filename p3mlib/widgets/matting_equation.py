"""The matting equation: one pixel, and a whole portrait before another background."""

import ipywidgets
import numpy as np

from p3mlib.matte import composite
from p3mlib.widgets.frame import LABEL, WIDE, Explorer, choice, pictures, slider

BACKGROUNDS = {"white wall": (1, 1, 1), "night": (0.02, 0.02, 0.08), "studio green": (0.1, 0.7, 0.2), "sunset": (0.95, 0.45, 0.2)}


def matting_equation_explorer(fg, bg, alpha):
    """Choose alpha, F and B of a pixel and a background for the portrait.

    Args:
        fg, bg: (H, W, 3) in [0, 1], colours of person and place. alpha: (H, W) in [0, 1].
    Returns:
        Explorer.
    Raises:
        ValueError: the three do not share height and width.
    """
    composite(fg, bg, alpha)
    share = slider("α of the pixel", 0.25, 0.0, 1.0, 0.05)
    colours = [
        ipywidgets.ColorPicker(value=value, description=name, style=LABEL, layout=WIDE)
        for name, value in (("F of the pixel", "#20140c"), ("B of the pixel", "#e8e4da"))
    ]
    place = choice("background", ["its own", *BACKGROUNDS])
    hard = slider("cut α at", 0.0, 0.0, 0.95, 0.05)

    def draw():
        front, back = (np.array([int(c.value[i : i + 2], 16) for i in (1, 3, 5)], np.float32) / 255 for c in colours)
        swatch = np.ones((24, 14, 3), np.float32)
        pixel = composite(front * swatch, back * swatch, np.full((24, 14), share.value, np.float32))
        used = alpha if hard.value == 0 else (alpha >= hard.value).astype(np.float32)
        behind = bg if place.value == "its own" else np.broadcast_to(np.float32(BACKGROUNDS[place.value]), bg.shape)
        told = "its own alpha" if hard.value == 0 else f"alpha is 1 from {hard.value:.2f} on, else 0"
        numbers = ", ".join(f"{c:.2f}" for c in pixel[0, 0])
        panels = [
            (front * swatch, "F, the hair"),
            (back * swatch, "B, the wall"),
            (pixel, f"I = {share.value:.2f} F + {1 - share.value:.2f} B\n= {numbers}"),
            (used, f"alpha: {told}"),
            (composite(fg, behind, used), f"the portrait before: {place.value}"),
        ]
        return pictures(panels)

    controls = {"alpha": share, "fg": colours[0], "bg": colours[1], "background": place, "threshold": hard}
    advice = (
        "Try α = 0 and 1, then the night behind the portrait; then cut α at 0.5: the person gets a hard edge, and strands "
        "of hair vanish or grow thick. That is why a mask is no matte."
    )
    return Explorer("What does a half-transparent pixel show, and why is a mask not enough?", advice, controls, draw)
