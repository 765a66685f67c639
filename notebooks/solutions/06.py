"""Solutions of notebook 06. Runs by itself: `python notebooks/solutions/06.py`; in the notebook use its own data."""

from p3mlib.exercises import check, progress
from p3mlib.models import build_model
from p3mlib.synthetic.portrait import render_portrait

alpha = render_portrait(0, (96, 96), "P3M").alpha

# 06.1 Two more projections of 64 to 32 channels, without bias.
check("06.1", 2 * 64 * 32)

# 06.2 The deepest map sees most of the image, and dBFI brings it to the semantic decoder.
check("06.2", "c")

# 06.3 Modules are options; pass-throughs take the place of those that are off.
check("06.3", build_model("p3mnet_resnet34", width=0.0625, tfi=False, sbfi=False, dbfi=True))

# 06.4 The prediction is 0, so the error of a pixel is its alpha.
check("06.4", alpha.sum() / 1000, alpha=alpha)

print(progress("06"))
