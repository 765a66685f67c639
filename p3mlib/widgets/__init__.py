"""Explorers for the notebooks, in ipywidgets: one idea a file, one question each.

`frame`: what all share. Every other file is one explorer. Imports `results`, `experiments`, `privacy` and below.
Used from outside: what stands here, and `stills` for the page.
"""

from p3mlib.widgets.anonymise import anonymisation_explorer
from p3mlib.widgets.claims import claims_explorer
from p3mlib.widgets.copy_paste import copy_paste_explorer
from p3mlib.widgets.features import features_explorer
from p3mlib.widgets.leaderboard import leaderboard_explorer
from p3mlib.widgets.matting_equation import matting_equation_explorer
from p3mlib.widgets.metrics import metrics_explorer
from p3mlib.widgets.ppt import ppt_explorer
from p3mlib.widgets.size import size_explorer
from p3mlib.widgets.trimap import trimap_explorer

__all__ = [
    "anonymisation_explorer", "claims_explorer", "copy_paste_explorer", "features_explorer", "leaderboard_explorer",
    "matting_equation_explorer", "metrics_explorer", "ppt_explorer", "size_explorer", "trimap_explorer",
]  # fmt: skip
