"""Which notebooks there are, what their tables need, and the long work done before they are executed.

`kernels` imports this module for each notebook: what imports PyTorch is imported where it is used.
"""

from p3mlib import paths
from p3mlib.experiments import config, corpus

EXECUTED = "P3M_EXECUTED"  # in the environment of a kernel that `kernels.execute` has started


def find(names=()):
    """The notebooks of these names, all if none is given.

    Returns:
        dict name -> path, in the order of `names`.
    Raises:
        ValueError: there is no notebook of a name. FileNotFoundError: there is none at all, as beside an installed package.
    """
    available = {path.stem: path for path in sorted(paths.notebooks().glob("[0-9]*.ipynb"))}
    if not available:
        raise FileNotFoundError(f"{paths.notebooks()}: no notebooks; an installed package has none, name a checkout in P3M_HOME")
    strangers = set(names) - available.keys()
    if strangers:
        raise ValueError(f"no notebook {sorted(strangers)}; there are {', '.join(available)}")
    return {name: available[name] for name in names or available}


def folder(profile):
    """Folder of a profile's executed notebooks."""
    return paths.build() / "notebooks" / paths.tables(profile).name


def trainings(names, profile):
    """The trainings whose results these notebooks show: (list of experiments, names of rows that lack training images).

    Raises:
        ValueError: unknown profile. datasets.MissingData: a folder named in the environment holds nothing of its data set.
        FileNotFoundError, ValueError: as `weights.of_p3m`, of P3M_WEIGHTS.
    """
    from p3mlib.experiments import runs
    from p3mlib.models import weights

    grid = config.load()
    grid.profile(profile)
    rows = dict.fromkeys(need for name in names for need in grid.notebooks.get(name, ()) if need in grid.rows)
    wanted = grid.experiments(list(rows), profile)
    corpus.check_real_roots()
    if paths.released():
        weights.of_p3m(paths.released())
    possible = [experiment for experiment in wanted if runs.folder(experiment) is not None]
    return possible, sorted({experiment.name for experiment in wanted} - {experiment.name for experiment in possible})


def _untrained(names, profile, references=True):
    """Tasks of what is scored without training for these notebooks: traditional methods and, with `references`, what never looks
    at the image."""
    from p3mlib.experiments import untrained
    from p3mlib.experiments.tasks import Untrained

    grid, scale, tasks = config.load(), config.load().profile(profile), []
    for number in dict.fromkeys(need for name in names for need in grid.notebooks.get(name, ()) if need in grid.tables):
        methods = [method for method, function in grid.tables[number].methods.items() if function]
        there, _ = corpus.available(grid.tables[number].sets, scale) if methods else ([], {})
        tasks += [Untrained(method, tuple(there), scale) for method in methods if there]
    references = references and trainings(names, profile)[0]  # without training images there is no mean matte
    there = tuple(corpus.available(untrained.REFERENCE_SETS, scale)[0]) if references else ()
    return tasks + [Untrained(method, there, scale) for method in untrained.REFERENCES if there]


def untrained(names, profile, references=True):
    """The runs of `_untrained`, whether they are there or not: list of runs.Run."""
    return [task.run() for task in _untrained(names, profile, references)]


def prepare(names, profile, jobs=None, progress=True, scheduler=None):
    """Do the long work of notebooks, side by side and with progress bars; they then find it in the cache.

    Args:
        names: of notebooks. profile: name. jobs, scheduler: as in `parallel.fill`.
    Raises:
        as `trainings` and `parallel.fill`.
    """
    from p3mlib.experiments import runs
    from p3mlib.experiments.parallel import fill
    from p3mlib.experiments.tasks import Training

    (possible, _), grid, scale = trainings(names, profile), config.load(), config.load().profile(profile)
    runs.check(possible)
    sets = {e.name: grid.scored(e.name, profile) for e in possible}
    there, _ = corpus.available(dict.fromkeys(pair for pairs in sets.values() for pair in pairs), scale)
    tasks = _untrained(names, profile)  # first what takes longest, or at the end one core does it alone
    tasks += [Training(one, tuple(pair for pair in sets[one.name] if pair in there)) for one in possible]
    fill(tasks, jobs, progress, scheduler)
