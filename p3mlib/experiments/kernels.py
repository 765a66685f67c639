"""Executes notebooks with papermill, each in a process of its own and by a kernel of this very Python.

Only the command that executes imports this: papermill takes seconds to import.
"""

import logging
import os

import papermill
from jupyter_client import AsyncKernelManager
from jupyter_client.kernelspec import KernelSpecManager
from nbclient.exceptions import DeadKernelError
from tqdm import tqdm

from p3mlib import paths
from p3mlib.experiments import config, notebooks
from p3mlib.experiments.cluster import side_by_side
from p3mlib.io import sweep

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


def execute(names, profile, progress=True):
    """Execute notebooks into `notebooks.folder(profile)`, two side by side; those alone that measure time. A failure stops none.

    Args:
        names: see `notebooks.find`. profile: name.
    Returns:
        dict name -> what went wrong in one line, in order; empty when all is well.
    """
    tasks = {name: (path, notebooks.folder(profile) / path.name, profile) for name, path in notebooks.find(names).items()}
    notebooks.folder(profile).mkdir(parents=True, exist_ok=True)
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
    os.environ[notebooks.EXECUTED] = "1"  # of this process, which has no other task
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
