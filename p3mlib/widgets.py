"""ipywidgets explorers for the notebooks."""

import ipywidgets
import matplotlib.pyplot as plt

from p3mlib import plots
from p3mlib.anonymize import anonymize


def anonymisation_explorer(image, landmarks, alpha):
    """Choose the obfuscation and its strength, and see the result beside the original.

    Args:
        image: (H, W, 3) float in [0, 1]. landmarks: (68, 2) x, y in pixels. alpha: (H, W) float in [0, 1].
    Returns:
        an ipywidgets box.
    """
    method = ipywidgets.ToggleButtons(options=["blur", "mosaic", "mask"], description="method")
    strength = ipywidgets.FloatSlider(value=0.2, min=0.02, max=0.5, step=0.02, description="strength")
    region = ipywidgets.ToggleButtons(options=["paper", "hull"], description="region")

    picture = ipywidgets.Image(format="png")  # no Output widget: headless execution sometimes hangs on one (nbclient issue 312)

    def draw(change=None):
        result = anonymize(image, landmarks, alpha, method=method.value, strength=strength.value, region=region.value)
        figure = plots.picture_grid(
            [[image, result.image, result.facemask]], titles=["original", "anonymised", "face mask"], width=5
        )
        picture.value = plots.png_bytes(figure)
        plt.close(figure)

    for control in (method, strength, region):
        control.observe(draw, "value")
    draw()
    return ipywidgets.VBox([method, strength, region, picture])
