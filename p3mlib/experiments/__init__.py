"""The grid of experiments and everything that runs it: training, scoring, the cache of runs, timing, executing notebooks.

Imports `synthetic`, `data`, `models` and below. Used from outside: `config`, `corpus`, `run`, `runs`, `tasks`, `untrained`,
`parallel`, `processes`, `forecast`, `evaluate`, `scoring`, `bench`, `predict`, `ship`, `shipped`, `notebooks`, `kernels`.
"""
