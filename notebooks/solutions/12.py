"""Solutions of notebook 12. Runs by itself: `python notebooks/solutions/12.py`; in the notebook use its own data."""

import pandas as pd

from p3mlib.exercises import check, progress

board = pd.DataFrame({"chance": [0.6, 0.1, 0.5, 0.35], "chance_within": [0.5, 0.4, 0.2, 0.8]})  # made up


# 12.1 Every method, up or down, relative to its error on normal images.
def holds(blurred, normal):
    return bool((abs(blurred / normal - 1) <= 0.05).all())


check("12.1", holds)

# 12.2 Two are sure, one yes and one no; the third is not sure enough.
check("12.2", ["PASS", "FAIL", "undecided"])

# 12.3 The smaller of both chances must be above the bound.
check("12.3", (board[["chance", "chance_within"]].min(axis=1) > 0.3).sum(), board=board)

# 12.4 What passes without knowing the methods says little about them.
check("12.4", "d")

print(progress("12"))
