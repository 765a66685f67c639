"""Solutions of notebook 03. Runs by itself: `python notebooks/solutions/03.py`; in the notebook use its own data."""

from p3mlib.exercises import check, progress
from p3mlib.matte import make_trimap, regions
from p3mlib.metrics import mad
from p3mlib.synthetic.portrait import render_portrait
from p3mlib.traditional import METHODS

portrait = render_portrait(0, (64, 64), "P3M")
sample = {"image": portrait.image, "alpha": portrait.alpha, "trimap": make_trimap(portrait.alpha, 3)}
mattes = {"Closed": METHODS["Closed"](sample["image"], sample["trimap"])}

# 03.1 A larger kernel widens the unknown area and says nothing false.
harder = make_trimap(sample["alpha"], 7)
check("03.1", harder, alpha=sample["alpha"], trimap=sample["trimap"])

# 03.2 The known pixels were given; an error counts only where there was something to find.
unknown = regions(sample["trimap"])["unknown"]
error = mad(mattes["Closed"], sample["alpha"], unknown)
check("03.2", error, pred=mattes["Closed"], alpha=sample["alpha"], trimap=sample["trimap"])

# 03.3 What has to be found is never blurred, and what is blurred is mostly known.
check("03.3", "a")

# 03.4 The same pixels in both columns, so that a difference is one of the methods.
check("03.4", "b")

print(progress("03"))
