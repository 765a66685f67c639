"""Fills the run cache: what can be done side by side are tasks of Dask, on this machine or on a cluster."""

import os
import sys
from contextlib import contextmanager
from uuid import uuid4

from p3mlib import paths
from p3mlib.bars import tqdm
from p3mlib.experiments import cluster, corpus, processes, runs
from p3mlib.experiments.tasks import Training
from p3mlib.io import reason


class RunsFailed(ValueError):
    """Some runs could not be made; the message names each with its reason, in a line."""


def run_all(experiments, sets, jobs=None, force=False, progress=True, scheduler=None):
    """Make sure that all experiments are trained and scored.

    Args:
        sets: name of a row -> its test sets. force: forget what is cached of these experiments.
        jobs, progress, scheduler: as in `fill`.
    Returns:
        list of Run, in the order of `experiments`.
    Raises:
        datasets.MissingData: one of them lacks images, face masks or colours; before anything is trained. As `fill`.
    """
    runs.check(experiments)
    for experiment in experiments if force else ():
        runs.forget(experiment)
    return fill([Training(e, tuple(sets[e.name])) for e in experiments], jobs, progress, scheduler)


def fill(tasks, jobs=None, progress=True, scheduler=None):
    """Make sure of tasks. One that fails stops no other; what is cached takes no time.

    Args:
        tasks:     list of `tasks.Training` and `tasks.Untrained`, of one profile.
        jobs:      how many side by side here: Dask workers, or this very process for one. By default as many as fit the cores
            where the profile fixes its threads, else one; one under a launcher.
        scheduler: address of a Dask scheduler, e.g. "tcp://host:8786", whose workers do it all in place of this machine.
    Returns:
        list of Run, in the order of `tasks`.
    Raises:
        RunsFailed: some failed; all others are done. ValueError: no scheduler answers, or a launcher started this process too.
    """
    if not tasks:
        return []
    if scheduler and processes.state().num_processes > 1:
        raise ValueError("a launcher shares one training among its processes; leave out either the launcher or --scheduler")
    profile = tasks[0].profile
    everything = {task.run().id: task for task in tasks}
    todo = {name: everything[name] for name in processes.agreed([n for n, task in everything.items() if not task.is_done()])}
    if todo and any(paths.real_root(name) is None for name in paths.REAL_ROOTS):
        with processes.state().main_process_first():
            corpus.render(profile, progress)  # before the workers would all begin to
    jobs = min(jobs or _fitting(profile.train.threads), len(todo))
    bar = {"total": len(everything), "initial": len(everything) - len(todo), "desc": "runs", "unit": "run"}
    with tqdm(**bar, disable=not (progress and processes.state().is_main_process)) as bar:
        if (todo and scheduler) or (jobs > 1 and processes.state().num_processes == 1):
            with cluster.client(jobs, scheduler) as client:
                failed = _on_workers(client, todo, scheduler is None, bar)
        else:
            failed = _here(todo, bar, progress)
    if failed:
        raise _told(failed, todo)
    return [task.run() for task in tasks]


def _fitting(threads):
    return max(1, (os.cpu_count() or 1) // threads) if threads else 1


def _told(failed, todo):
    """RunsFailed of a dict run id -> exception."""
    told = RunsFailed("\n".join(f"{todo[name]}: {reason(error)}" for name, error in failed.items()))
    told.__cause__ = next(iter(failed.values()))
    return told


def _here(todo, bar, progress):
    """Do tasks one after the other in this process; returns dict run id -> exception of those that failed."""
    failed = {}
    for name, task in todo.items():
        try:
            task.do(progress)
        except Exception as error:
            if processes.state().num_processes > 1:
                raise  # the launcher ends the others, which wait for this one
            failed[name] = error
        bar.update()
    return failed


def _on_workers(client, todo, local, bar):
    """Have tasks done by Dask's workers; returns as `_here`."""
    from distributed import as_completed

    from p3mlib.experiments import workers

    lines, topic, futures, errors = _Lines(bar.disable), f"p3mlib-{uuid4().hex}", {}, {}
    client.subscribe_topic(topic, lines.show)
    profile = next(iter(todo.values())).profile.name
    with _token(profile, local) as token:
        shared = local or client.submit(workers.sees, token, profile, pure=False).result()
        offered = _offered(client)
        try:
            for name, task in todo.items():
                order = workers.Order(name, topic, token, shared, workers.versions())
                given = None if shared or not task.run().record else client.scatter(workers.pack(task.run().folder), hash=False)
                options = {"key": f"{name}-{topic}", "priority": -len(futures), "resources": _taken(task, offered)}
                futures[name] = client.submit(workers.do, task, order, given, **options)
            names = {future.key: name for name, future in futures.items()}
            for future in as_completed(futures.values(), loop=client.loop):
                name = names[future.key]
                lines.end(name)
                if future.status != "finished":
                    errors[name] = future.exception()
                elif not shared:
                    try:
                        workers.unpack(future.result(), todo[name].run().folder)
                    except Exception as error:  # of this one run, a full disk or a file damaged on its way: the others go on
                        errors[name] = error
                bar.update()
        finally:
            client.cancel(list(futures.values()))
            lines.close()
    return errors


def _taken(task, offered):
    """The resources of workers that a task takes, of those that any declares; ValueError where none has enough."""
    taken = {what: amount for what, amount in task.resources.items() if what in offered}
    for what, amount in taken.items():
        if amount > offered[what]:
            raise ValueError(f"{task} takes {what}={amount:g}, and no worker declares more than {offered[what]:g}")
    return taken


def _offered(client):
    """dict resource -> the most that a worker declares."""
    declared = [worker["resources"] for worker in client.scheduler_info(n_workers=-1)["workers"].values()]
    return {what: max(own.get(what, 0) for own in declared) for what in {name for own in declared for name in own}}


@contextmanager
def _token(profile, local):
    """Name of a file in the folder of runs for as long as the block lasts, by which workers know that folder; None for local."""
    if local:
        yield None
        return
    path = paths.runs(profile) / f".asked-{uuid4().hex}"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    try:
        yield path.name
    finally:
        path.unlink(missing_ok=True)


class _Lines:
    """Lines below the bar of all runs: one for each that a worker is at, with the worker's own bar; its messages above."""

    def __init__(self, disable):
        self._disable, self._bars = disable, {}

    def show(self, event):
        """Show what a worker tells: (time, {"run": id, "bar": text}) or (time, {"run": id, "line": text})."""
        _, message = event
        if "line" in message:
            tqdm.write(message["line"], file=sys.stderr)
        elif not self._disable:
            if message["run"] not in self._bars:
                self._bars[message["run"]] = tqdm(bar_format="{desc}", leave=False)
            self._bars[message["run"]].set_description_str(message["bar"])

    def end(self, name):
        """The run of this id is at its end."""
        if name in self._bars:
            self._bars.pop(name).close()

    def close(self):
        """All are."""
        for name in list(self._bars):
            self.end(name)
