"""Inside a Dask worker: one run of the grid, told to who asked for it, and sent back where folders are not shared."""

import hashlib
import io as text_io
import multiprocessing
import time
from contextlib import redirect_stderr
from dataclasses import dataclass
from importlib.metadata import version

import distributed

from p3mlib import paths
from p3mlib.experiments import processes
from p3mlib.io import DamagedFile, atomic_path

_RECORD = "run.json"  # says that a run has finished, so it is written after all else
_UNFINISHED = (".partial", "checkpoint.pt")  # files of a run that stay where they are
_PERIOD = 0.5  # seconds between two states of a progress bar


@dataclass(frozen=True)
class Order:
    """What a worker has to know besides its task.

    Attributes:
        id: of the run. topic: of Dask events, on which it tells how it goes.
        token: name of a file in the folder of runs of the one who asks, None: the worker is one of this machine.
        shared: whether workers see that file. versions: of `versions` there.
    """

    id: str
    topic: str
    token: str | None
    shared: bool
    versions: dict


def versions():
    """dict package -> version, of those that move numbers."""
    return {name: version(name).split("+")[0] for name in ("p3mlib", "torch", "timm", "accelerate", "numpy")}


def sees(token, profile):
    """True where the folder of runs of a profile (name) holds this file here too."""
    return (paths.runs(profile) / token).exists()


def do(task, order, own=None):
    """Make sure of one task in this worker.

    Args:
        task: of `tasks`. order: Order.
        own: files of the run (see `pack`), where who asks has some and folders are not shared.
    Returns:
        files of the run; None where folders are shared.
    Raises:
        ValueError: the worker is not fit for it; the message says how to start it. What the run raises.
    """
    _check(task, order)
    run = task.run()
    if own and not run.record.get("finished"):
        unpack(own, run.folder)
    with redirect_stderr(_Teller(order)):
        task.do()
    return None if order.shared else pack(run.folder)


def _check(task, order):
    worker = distributed.get_worker()
    if worker.state.nthreads != 1:
        raise ValueError(f"worker {worker.address} has {worker.state.nthreads} threads; start it with --nthreads 1")
    if multiprocessing.current_process().daemon:
        raise ValueError(f"worker {worker.address} may not start processes, which load data; start it with --no-nanny")
    if other := {name: number for name, number in versions().items() if order.versions[name] != number}:
        told = ", ".join(f"{name} {number} in place of {order.versions[name]}" for name, number in other.items())
        raise ValueError(f"worker {worker.address} has {told}; install the same requirements.lock there")
    if task.run().id != order.id:
        raise ValueError(f"worker {worker.address} has other training images; name the same in P3M_ROOT and CELEBA_ROOT there")
    if order.token and sees(order.token, task.profile.name) != order.shared:
        place = paths.runs(task.profile.name)
        raise ValueError(
            f"worker {worker.address}: {place} is shared with some workers only; name one folder for all in P3M_RUNS"
        )


def pack(folder):
    """Files of a run: dict relative path -> (SHA-256 in hexadecimal digits, content), run.json last."""
    files = sorted(p for p in folder.rglob("*") if p.is_file() and not any(end in p.name for end in _UNFINISHED))
    contents = {path.relative_to(folder).as_posix(): path.read_bytes() for path in sorted(files, key=_is_record)}
    return {name: (hashlib.sha256(content).hexdigest(), content) for name, content in contents.items()}


def _is_record(path):
    return path.name == _RECORD


def unpack(files, folder):
    """Write the files of `pack` into the folder of a run, each atomically, when no other command trains it.

    Raises:
        io.DamagedFile: the content of one is not that of its SHA-256; nothing is written then.
    """
    for name, (digest, content) in files.items():
        if hashlib.sha256(content).hexdigest() != digest:
            raise DamagedFile(
                f"{folder.name}/{name}: was damaged on its way, its SHA-256 is another; the same command tries again"
            )
    folder.parent.mkdir(parents=True, exist_ok=True)
    with processes.locked(folder.with_suffix(".lock")):
        for name, (_, content) in files.items():
            with atomic_path(folder / name) as partial:
                partial.write_bytes(content)


class _Teller(text_io.TextIOBase):
    """A stream whose lines Dask carries to who asked; after a carriage return comes a bar, told twice a second at most."""

    encoding = "utf-8"

    def __init__(self, order):
        self._worker, self._order, self._line, self._told = distributed.get_worker(), order, "", 0.0

    def writable(self):
        """A stream to write to."""
        return True

    def write(self, text):
        """Take some text; returns its length."""
        *lines, self._line = (self._line + text).split("\n")
        for line in lines:
            self._tell("line", line.rpartition("\r")[2])
        if "\r" in self._line and time.monotonic() - self._told > _PERIOD:
            self._line = self._line.rpartition("\r")[2]
            self._tell("bar", self._line)
            self._told = time.monotonic()
        return len(text)

    def _tell(self, kind, text):
        if text.strip():
            self._worker.log_event(self._order.topic, {"run": self._order.id, kind: text.rstrip()})
