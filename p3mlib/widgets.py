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

    def draw(method, strength, region):
        result = anonymize(image, landmarks, alpha, method=method, strength=strength, region=region)
        plots.picture_grid([[image, result.image, result.facemask]], titles=["original", "anonymised", "face mask"], width=5)
        plt.show()

    output = ipywidgets.interactive_output(draw, {"method": method, "strength": strength, "region": region})
    return ipywidgets.VBox([method, strength, region, output])
