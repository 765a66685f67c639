"""Fills the run cache, several trainings and scorings side by side in processes of their own."""

import multiprocessing
import os
from concurrent.futures import ProcessPoolExecutor
from functools import partial

from tqdm.auto import tqdm

from p3mlib import paths
from p3mlib.experiments import corpus, processes, runs


def run_all(experiments, sets, jobs=None, force=False, progress=True):
    """Make sure that all experiments are trained and scored, several side by side.

    Args:
        sets: name of a row -> its test sets.
        jobs: processes; by default as many as fit the cores when the profile fixes its threads, else one; one under a launcher.
    Returns:
        list of Run, in the order of `experiments`.
    Raises:
        datasets.MissingData: one of them lacks images, face masks or colours; before anything is trained.
    """
    runs.check(experiments)
    bases = {base.run_id(""): base for e in experiments if (base := e.pretraining)}
    encoders = {encoder.run_id(""): encoder for base in bases.values() if (encoder := base.pretraining)}
    # Who waits for nobody goes first, so that nobody waits.
    first = [*encoders.values(), *sorted(bases.values(), key=lambda base: base.pretraining is not None)]
    tasks = [partial(runs.get, experiment, (), False, progress) for experiment in first]
    tasks += [partial(runs.get, experiment, sets[experiment.name], force, progress) for experiment in experiments]
    return _side_by_side(tasks, experiments[0].profile, jobs, progress)[len(first) :] if tasks else []


def run_all_untrained(methods, sets, profile, jobs=None, progress=True):
    """Make sure that traditional methods are scored on all sets, several side by side; `jobs` as in `run_all`."""
    tasks = [partial(runs.untrained, method, sets, profile, progress) for method in methods]
    return _side_by_side(tasks, profile, jobs, progress)


def _side_by_side(tasks, profile, jobs, progress):
    """Results of all tasks (callables that take `position`, the line of their progress bar), in order."""
    threads = profile.train.threads
    jobs = jobs or (max(1, (os.cpu_count() or 1) // threads) if threads else 1)
    if any(paths.real_root(name) is None for name in paths.REAL_ROOTS):
        with processes.state().main_process_first():
            corpus.render(profile, progress)  # before the workers would all begin to
    progress = progress and processes.state().is_main_process
    context = multiprocessing.get_context("spawn")
    tqdm.set_lock(context.RLock())
    bar = tqdm(total=len(tasks), desc="runs", unit="run", disable=not progress, position=0)
    if jobs == 1 or processes.state().num_processes > 1:  # a launcher's processes work on one training together
        results = []
        for task in tasks:
            results.append(task(position=1))
            bar.update()
        return results
    slots = context.Queue()
    for slot in range(jobs):
        slots.put(slot + 1)
    with bar, ProcessPoolExecutor(jobs, context, _start_worker, (slots, tqdm.get_lock())) as pool:
        futures = [pool.submit(_work, task) for task in tasks]
        for future in futures:
            future.add_done_callback(lambda _: bar.update())
        try:
            return [future.result() for future in futures]
        finally:
            pool.shutdown(cancel_futures=True)


_slot = 0


def _start_worker(slots, lock):
    global _slot
    _slot = slots.get()
    tqdm.set_lock(lock)


def _work(task):
    return task(position=_slot)
