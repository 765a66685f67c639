"""Explorers for the notebooks, in ipywidgets.

Imports `drawing`, `privacy` and below. Used from outside: what stands here.
"""

from p3mlib.widgets.explorers import anonymisation_explorer, copy_paste_explorer

__all__ = ["anonymisation_explorer", "copy_paste_explorer"]
