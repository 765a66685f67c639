"""ipywidgets explorers for the notebooks."""

import math

import ipywidgets
import matplotlib.pyplot as plt
import torch

from p3mlib.anonymize import anonymize
from p3mlib.copy_paste import Draw, copy_paste
from p3mlib.drawing import plots
from p3mlib.privacy.exposure import detail, rim
from p3mlib.privacy.faces import SAME_PERSON, embedding, identity_distance


def anonymisation_explorer(image, face, alpha):
    """Choose the obfuscation, its strength and area; see the result beside the original, with what the audit says of it.

    Args:
        image: (H, W, 3) float in [0, 1]. face: faces.Face in it. alpha: (H, W) float in [0, 1].
    Returns:
        an ipywidgets box.
    """
    method = ipywidgets.ToggleButtons(options=["blur", "mosaic", "mask"], description="method")
    strength = ipywidgets.FloatSlider(value=0.2, min=0.02, max=0.5, step=0.02, description="strength")
    margin = ipywidgets.FloatSlider(value=0, min=0, max=0.3, step=0.02, description="margin")
    region = ipywidgets.ToggleButtons(options=["paper", "hull"], description="region")
    own = embedding(image, face)

    def draw():
        how = {"method": method.value, "strength": strength.value, "region": region.value, "margin": margin.value}
        steps = anonymize(image, face.landmarks, alpha, **how)
        away = identity_distance(own, embedding(steps.image, face))
        verdict = "recognised" if away < SAME_PERSON else "not recognised"
        left = detail(steps.image, image, steps.facemask) if steps.facemask.any() else 1.0
        titles = [
            "original",
            f"identity {away:.2f}: {verdict}",
            f"detail left {left:.0%}, rim {rim(steps.private, steps.facemask)[0]:.0f}%",
        ]
        return [image, steps.image, steps.facemask], titles

    return _explorer([method, strength, margin, region], draw)


def copy_paste_explorer(target, target_mask, source, source_mask):
    """Move, scale and turn a source face, and see what is pasted.

    Args:
        target, source: (1, 3, H, W) in [0, 1]. target_mask, source_mask: (1, 1, H, W), see `copy_paste.copy_paste`.
    Returns:
        an ipywidgets box.
    """
    reach = source.shape[-1] // 4
    scale = ipywidgets.FloatLogSlider(value=1, base=2, min=-2, max=2, step=0.1, description="scale")
    angle = ipywidgets.IntSlider(value=0, min=-90, max=90, step=5, description="angle")
    right, down = (ipywidgets.IntSlider(value=0, min=-reach, max=reach, description=name) for name in ("right", "down"))

    def draw():
        turn = Draw(torch.tensor([scale.value]), torch.tensor([math.radians(angle.value)]), torch.tensor([True]))
        moved = source.roll((down.value, right.value), (2, 3))  # below the mask, which stays where it is
        merged = copy_paste(target, target_mask, moved, source_mask, turn)
        shown = [t[0].permute(1, 2, 0).numpy() for t in (source, target, merged)]
        return shown, ["source", "blurred target", "merged"]

    return _explorer([scale, angle, right, down], draw)


def _explorer(controls, draw):
    """Box of controls over the pictures that `draw` returns with their titles.

    Headless execution sometimes hangs on an Output widget (nbclient issue 312), hence the image.
    """
    shown = ipywidgets.Image(format="png")

    def update(change=None):
        pictures, titles = draw()
        figure = plots.picture_grid([pictures], titles=titles, width=5)
        shown.value = plots.png_bytes(figure)
        plt.close(figure)

    for control in controls:
        control.observe(update, "value")
    update()
    return ipywidgets.VBox([*controls, shown])
