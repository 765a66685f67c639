"""Solutions of notebook 11. Runs by itself: `python notebooks/solutions/11.py`."""

from p3mlib.exercises import check, progress

# 11.1 The weights stay as many, and the shift becomes one bias a channel.
check("11.1", 64 * 64 * 9 + 64)


# 11.2 A batch norm in use is a factor for each channel, and a channel is made by one filter.
def fold(weight, gamma, var, eps):
    factor = gamma / (var + eps).sqrt()
    return weight * factor[:, None, None, None]


check("11.2", fold)

# 11.3 Both paths meet the same disturbance, and the ratio stays.
check("11.3", "c")

# 11.4 One image fills the cores of a CPU already.
check("11.4", "b")

print(progress("11"))
