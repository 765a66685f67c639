"""Solutions of notebook 02. Runs by itself: `python notebooks/solutions/02.py`; in the notebook use its own data."""

import numpy as np

from p3mlib.exercises import check, progress
from p3mlib.matte import make_trimap
from p3mlib.metrics import matting_errors
from p3mlib.synthetic.portrait import render_portrait

alpha = render_portrait(0, (96, 96), "P3M").alpha
trimap = make_trimap(alpha, 5)
soft = np.clip(0.9 * alpha + 0.05, 0, 1)
errors = matting_errors(soft, alpha, trimap)

# 02.1 Pixels times error, in thousands.
check("02.1", 40 * 50 * 0.2 / 1000)


# 02.2 Absolute first, then the region, then the sum.
def sad_in(pred, alpha, region):
    return np.abs(pred - alpha)[region].sum() / 1000


check("02.2", sad_in)

# 02.3 Only the largest connected piece gets the tolerance.
check("02.3", "c")

# 02.4 Sums have shares, means have not.
check("02.4", errors["SAD-T"] / errors["SAD"], pred=soft, alpha=alpha, trimap=trimap)

print(progress("02"))
