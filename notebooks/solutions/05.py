"""Solutions of notebook 05. Runs by itself: `python notebooks/solutions/05.py`; in the notebook use its own data."""

import numpy as np

from p3mlib.exercises import check, progress

rng = np.random.default_rng(0)
normal = rng.gamma(2, 6, 64)
blurred = normal + rng.normal(1, 2, 64)


# 05.1 Foreground counts with 1, unknown with M-Net's alpha, background with 0.
def fuse(probabilities, raw):
    return probabilities[:, 2:] + probabilities[:, 1:2] * raw


check("05.1", fuse)

# 05.2 Two networks, one after the other: what the first gets wrong the second never sees.
check("05.2", "SHM")

# 05.3 Differences image by image: hard images are hard for both, and that falls away.
difference = blurred - normal
check("05.3", difference.std(ddof=1) / len(difference) ** 0.5, blurred=blurred, normal=normal)

# 05.4 The interval holds costs, gains and zero.
check("05.4", "c")

print(progress("05"))
