"""The grid of experiments and everything that runs it: training, scoring, the cache of runs, timing, executing notebooks.

Imports `synthetic`, `data`, `models` and below. Used from outside: `config`, `corpus`, `runs`, `tasks`, `parallel`, `evaluate`,
`scoring`, `bench`, `predict`, `notebooks`, `kernels`.
"""
