"""The commands of `python -m p3mlib`: each function parses, calls what does the work, prints, and returns an exit status.

Imports every wing, inside the functions, so that `--help` is quick. Used from outside: `images`,
`networks` and `results`, by `__main__` alone.
"""
