"""Pictures: the style of all plots, and diagrams drawn from what the built networks really do.

Imports `models`, `copy_paste`, `paths`, `io`. Used from outside: every module.
"""
