"""Solutions of notebook 07. Runs by itself: `python notebooks/solutions/07.py`."""

from p3mlib.exercises import check, progress
from p3mlib.matte import regions
from p3mlib.metrics import sad

# 07.1 A pooling remembers one place a channel, and unpooling needs them all.
check("07.1", "a")

# 07.2 A constant has no slope.
check("07.2", "Grad")


# 07.3 Three regions without overlap, so the three add up to SAD.
def parts(pred, alpha, trimap):
    areas = regions(trimap)
    return [sad(pred, alpha, areas[name]) for name in ("unknown", "fg", "bg")]


check("07.3", parts)

# 07.4 Context from the smaller image, detail from the larger one.
check("07.4", "b")

print(progress("07"))
