"""Solutions of notebook 08. Runs by itself: `python notebooks/solutions/08.py`; in the notebook use its own data."""

import numpy as np

from p3mlib.anonymize import face_mask
from p3mlib.exercises import check, progress
from p3mlib.synthetic.portrait import render_portrait

portraits = [p for p in (render_portrait(seed, (96, 96), "P3M") for seed in range(8)) if p.landmarks is not None]
facemasks = [face_mask(p.landmarks, p.alpha) for p in portraits]

# 08.1 The mean of a mask is its share of the image; then the mean over images.
check("08.1", np.mean([mask.mean() for mask in facemasks]), facemasks=facemasks)


# 08.2 One mean colour for each cell.
def mosaic(image, cell):
    result = image.copy()
    for y in range(0, image.shape[0], cell):
        for x in range(0, image.shape[1], cell):
            result[y : y + cell, x : x + cell] = image[y : y + cell, x : x + cell].mean((0, 1))
    return result


check("08.2", mosaic)

# 08.3 No training image was black inside a face; smooth skin they all had.
check("08.3", "mask")

# 08.4 The receptive field of an output reaches from outside of the mask into it.
check("08.4", "d")

print(progress("08"))
