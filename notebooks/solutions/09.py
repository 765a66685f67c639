"""Solutions of notebook 09. Runs by itself: `python notebooks/solutions/09.py`."""

from scipy.stats import spearmanr

from p3mlib.exercises import check, progress
from p3mlib.results import report

# 09.1 Thousands of pixels of error over thousands of pixels.
check("09.1", 26 / report.PAPER_KILOPIXELS["RWP"], kilopixels=report.PAPER_KILOPIXELS)

# 09.2 The inside of a person is known foreground.
check("09.2", "b")

# 09.3 Squares: 100 pixels times 1 over 1000 pixels times 0.01.
check("09.3", (100 * 1**2) / (1000 * 0.1**2))

# 09.4 Ranks 1, 2, 3 and 1, 3, 2: 1 - 6 * 2 / (3 * 8).
check("09.4", spearmanr([5, 6, 7], [12, 40, 15]).statistic)

print(progress("09"))
