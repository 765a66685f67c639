"""Solutions of notebook 10. Runs by itself: `python notebooks/solutions/10.py`; in the notebook use its own data."""

import torch

from p3mlib.copy_paste import Draw
from p3mlib.exercises import check, progress

same = Draw(torch.ones(4), torch.zeros(4), torch.ones(4, dtype=torch.bool))
sad_fg = {"B:N": 40.0, "B:N + FCP": 34.0, "N:N": 30.0}

# 10.1 The areas are made equal, and a side is the root of an area.
check("10.1", (400 / 100) ** 0.5)

# 10.2 One value for each target; sizes and angles stay.
check("10.2", same._replace(apply=torch.tensor([True, True, False, False])))

# 10.3 One source joins the batch; no loss is about it, because its matte is not known.
check("10.3", "b")

# 10.4 What was won back over what was lost.
share = (sad_fg["B:N"] - sad_fg["B:N + FCP"]) / (sad_fg["B:N"] - sad_fg["N:N"])
check("10.4", share, sad_fg=sad_fg)

print(progress("10"))
