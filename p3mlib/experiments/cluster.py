"""Dask on this machine, or by the address of a scheduler: where all that runs side by side does so.

Nothing here needs PyTorch, so a worker that executes notebooks imports none. Dask is imported where it is used: most commands
need none of it.
"""

import logging
import signal
from contextlib import ExitStack, contextmanager
from multiprocessing import resource_tracker

from p3mlib.io import reason

log = logging.getLogger(__name__)
_PATIENCE = 30  # seconds in which a scheduler answers
_STARTS = 3  # of a cluster of this machine
# A worker of this machine has the settings of the command that starts it, and may start processes that load data.
_LOCAL = {"distributed.worker.daemon": False, "distributed.nanny.pre-spawn-environ": {}}


@contextmanager
def client(jobs, scheduler=None):
    """A Dask client of a cluster on this machine for as long as the block lasts, or of the scheduler at an address.

    Args:
        jobs: workers of this machine. Where one dies, whatever kills it, Dask begins its task on another, three times.
        scheduler: e.g. "tcp://host:8786".
    Raises:
        ValueError: nobody answers there.
    """
    import dask
    from distributed import Client, LocalCluster

    if scheduler:
        try:
            there = Client(scheduler, timeout=_PATIENCE, set_as_default=False)
        except Exception as error:  # whatever an address can be wrong in
            why = "start one with `dask scheduler`, and workers as README says"
            raise ValueError(f"--scheduler {scheduler}: no Dask scheduler answers there ({reason(error)}); {why}") from error
        with there:
            yield there
        return
    quiet = {"silence_logs": logging.CRITICAL, "dashboard_address": "127.0.0.1:0"}  # what fails is told by its run
    settings = {"n_workers": jobs, "threads_per_worker": 1, "memory_limit": None, **quiet}
    with dask.config.set(_LOCAL), ExitStack() as stack:
        with _uninterrupted():
            here = stack.enter_context(Client(stack.enter_context(_started(LocalCluster, settings)), set_as_default=False))
        yield here


def _started(cluster, settings):
    """A cluster, tried again where one of its processes dies while it starts."""
    for _ in range(_STARTS - 1):
        try:
            return cluster(**settings)
        except RuntimeError as error:
            log.warning("a worker did not start (%s); once more", error)
    return cluster(**settings)


@contextmanager
def _uninterrupted():
    """A block in which Ctrl-C waits; processes that are started in it never get it: who starts them ends them."""
    if not hasattr(signal, "pthread_sigmask"):  # Windows
        yield
        return
    resource_tracker.ensure_running()  # its first start lets Ctrl-C through again, to all that is started after it
    before = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def side_by_side(function, items, jobs, given=None):
    """Call a function on items in processes of this machine.

    Args:
        function: (item, given) -> result, of a module that a new process can import. items: hashable or not, all sent.
        jobs: processes. given: sent to each of them once.
    Yields:
        (item, result, None) as they end, or (item, None, exception) where the function raised it or its process died four times.
    """
    if not items:
        return
    with client(min(jobs, len(items))) as here:
        from distributed import as_completed

        (shared,) = here.scatter([given], hash=False, broadcast=True)
        futures = {here.submit(function, item, shared, pure=False): item for item in items}
        for future in as_completed(futures, loop=here.loop):
            error = future.exception()
            yield futures[future], None if error else future.result(), error
