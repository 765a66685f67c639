"""Solutions of notebook 01. Runs by itself: `python notebooks/solutions/01.py`; in the notebook use its own data."""

from p3mlib.exercises import check, progress
from p3mlib.privacy.faces import SAME_PERSON

strengths, away = (0.02, 0.05, 0.1, 0.2, 0.3), [0.21, 0.44, 0.57, 0.68, 0.83]  # made up; the notebook measures them

# 01.1 A label belongs to every pixel of hair, and a blurred colour no longer fits it.
check("01.1", "b")


# 01.2 Zero inside the mask; a copy, because the caller still needs the image.
def zero_mask(image, facemask):
    result = image.copy()
    result[facemask] = 0
    return result


check("01.2", zero_mask)

# 01.3 Kernel against face is what counts: on a larger face the same kernel leaves more.
check("01.3", "a")

# 01.4 The first strength whose distance is no longer that of one person.
weakest = min(s for s, distance in zip(strengths, away, strict=True) if distance >= SAME_PERSON)
check("01.4", weakest, strengths=strengths, distances=away)

print(progress("01"))
