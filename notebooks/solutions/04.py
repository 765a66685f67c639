"""Solutions of notebook 04. Runs by itself: `python notebooks/solutions/04.py`."""

import numpy as np

from p3mlib.exercises import check, progress

# 04.1 One more kernel of 3 x 3 for each of the filters.
check("04.1", 64 * 3 * 3)


# 04.2 Where the trimap is 0.5 the network answers, elsewhere the trimap.
def paste_known(pred, trimap):
    return np.where(trimap == 0.5, pred, trimap)


check("04.2", paste_known)

# 04.3 Table 3 counts unknown pixels alone; whole images are counted where DIM is a reference.
check("04.3", "b")

print(progress("04"))
