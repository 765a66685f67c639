"""Solutions of notebook 00. Runs by itself: `python notebooks/solutions/00.py`; in the notebook use its own data."""

from p3mlib.exercises import check, progress
from p3mlib.matte import make_trimap
from p3mlib.synthetic.portrait import render_portrait

alpha = render_portrait(0, (96, 96), "P3M").alpha
trimap = make_trimap(alpha, 5)

# 00.1 The hair is black and adds nothing; of the white wall 1 - alpha comes through.
check("00.1", 0.25 * 0 + (1 - 0.25) * 1)

# 00.2 Both conditions at once; the mean of a mask is the share of True.
check("00.2", ((alpha > 0) & (alpha < 1)).mean(), alpha=alpha, trimap=trimap)


# 00.3 Alpha needs a third axis, so that it weighs all three colours of its own pixel.
def blend(fg, bg, alpha):
    a = alpha[..., None]
    return a * fg + (1 - a) * bg


check("00.3", blend)

# 00.4 Un-blurred test images in both, as in use; only the training differs.
check("00.4", "b")

print(progress("00"))
