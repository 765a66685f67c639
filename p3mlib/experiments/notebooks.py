"""Executes the notebooks with papermill, after their long work is in the cache.

Each notebook runs in a process of its own, which imports this module: what imports PyTorch is imported where it is used.
"""

import logging
import os

import papermill
from jupyter_client import AsyncKernelManager
from jupyter_client.kernelspec import KernelSpecManager
from nbclient.exceptions import DeadKernelError
from tqdm import tqdm

from p3mlib import paths
from p3mlib.experiments import config, corpus
from p3mlib.experiments.cluster import side_by_side
from p3mlib.io import sweep

EXECUTED = "P3M_EXECUTED"  # in the environment of a kernel that `execute` has started
_DEAD = "its kernel died; something killed it, or the memory was not enough"
SIDE_BY_SIDE = 2  # notebooks; more would only wait for one another, their work is in the cache


class Kernels(AsyncKernelManager):
    """Kernels of this very Python whatever kernelspecs are installed, encrypted, and stopped without an interrupt.

    ipykernel warns of TCP that is not encrypted. An interrupt before the request to stop, which jupyter_client sends, can meet a
    kernel that still answers its last message, and it then reports a KeyboardInterrupt; the request ends children as well.
    """

    def __init__(self, **options):
        # Without folders to search there is one kernelspec left, ipykernel's own, which names sys.executable.
        super().__init__(kernel_spec_manager=KernelSpecManager(kernel_dirs=[]), transport_encryption="auto", **options)

    async def _async_interrupt_kernel(self):
        if not self.shutting_down:
            await super()._async_interrupt_kernel()


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
    tasks = [Training(one, tuple(pair for pair in sets[one.name] if pair in there)) for one in possible]
    tasks += _untrained(names, profile)
    fill(tasks, jobs, progress, scheduler)


def execute(names, profile, progress=True):
    """Execute notebooks into `folder(profile)`, two side by side, those alone that measure time. A failure stops no other.

    Args:
        names: see `find`. profile: name.
    Returns:
        dict name -> what went wrong in one line, in order; empty when all is well.
    """
    tasks = {name: (path, folder(profile) / path.name, profile) for name, path in find(names).items()}
    folder(profile).mkdir(parents=True, exist_ok=True)
    for place in (paths.tables(profile), paths.figures(profile), paths.build()):
        sweep(place)
    alone = [name for name in tasks if name in config.load().alone]
    together = [name for name in tasks if name not in alone]
    failures = {}
    with tqdm(total=len(tasks), desc="notebooks", unit="notebook", disable=not progress) as bar:
        for group in (together, *([name] for name in alone)):  # each after the one before, whose tables it may read
            jobs = min(SIDE_BY_SIDE, os.cpu_count() or 1)
            for task, why, error in side_by_side(_execute, [tasks[name] for name in group], jobs):
                failures[task[0].stem] = _told(error) if error else why
                bar.update()
    return {name: failures[name] for name in tasks if failures[name]}


def _execute(task, _=None):
    """Run one notebook; returns what went wrong in one line, or an empty string."""
    source, target, profile = task
    for name in ("papermill", "asyncio"):
        logging.getLogger(name).setLevel(logging.CRITICAL)  # what they log is raised as well
    os.environ[EXECUTED] = "1"  # of this process, which has no other task
    options = {"kernel_name": "python3", "language": "python", "kernel_manager_class": Kernels, "progress_bar": False}
    try:
        papermill.execute_notebook(source, target, {"PROFILE": profile}, cwd=source.parent, **options)
    except papermill.PapermillExecutionError as error:
        return f"cell {error.exec_count} failed: {error.ename}: {' '.join(error.evalue.split())}"
    except DeadKernelError:
        return _DEAD
    except Exception as error:
        return _DEAD if "Kernel died" in str(error) else _told(error)  # jupyter_client's RuntimeError while it starts
    return ""


def _told(error):
    return " ".join(f"{type(error).__name__}: {error}".split())
