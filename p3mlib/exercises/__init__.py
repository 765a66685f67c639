"""Exercises of the notebooks: what is asked, which answers are right, and why typical others are not.

`check("02.1", answer)` says right or wrong with a reason, `hint("02.1")` helps step by step, `progress("02")` shows what is
solved. One module a notebook, `notebook_NN`, holds its exercises; `judges` knows the kinds of answers, `session` what this kernel
has solved. What is right is computed by the library. State lives in the kernel alone: running a notebook again restores it.

Imports `results` and below. Used from outside: what stands here.
"""

from p3mlib.exercises.session import check, exercises, hint, progress

__all__ = ["check", "exercises", "hint", "progress"]
