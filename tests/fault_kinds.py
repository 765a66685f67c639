"""Kinds of faults that `faults.py` tries: each is a function of a `Try`, its docstring is its line in the table.

Disks that are full or read-only are a tmpfs, where this user may mount one; else full is a limit on the size of files, and there
is no try of read-only.
"""

import contextlib
import json
import logging
import multiprocessing
import os
import resource
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import psutil
import tqdm
import tqdm.auto

PATIENCE = 3600  # seconds of one call, on a busy machine too
TRAIN = ("train", "basic", "modnet", "--profile", "smoke", "--jobs", "1")  # two trainings
DASK = (*TRAIN[:-1], "2")
NOTEBOOK = ("notebooks", "02_metrics", "--profile", "smoke")
TABLES = ("notebooks", "00_start_here", "--profile", "smoke")  # a training, Table 1
PAPER = ("notebooks", "--profile", "smoke")  # what `make paper PROFILE=smoke` runs


def started(pid, words):
    """Processes that a process started, at any depth, whose command line holds these words."""
    found = []
    with contextlib.suppress(psutil.Error):
        for one in psutil.Process(pid).children(recursive=True):
            with contextlib.suppress(psutil.Error):  # it ends just now
                found += [one] if words in " ".join(one.cmdline()) else []
    return found


class Call:
    """One call of p3mlib in a process group of its own, forked from this process, so that PyTorch is imported once.

    Args:
        home: P3M_HOME. command: arguments. before: called in the new process first.
    """

    def __init__(self, home, *command, before=None):
        self.log = home.with_suffix(f".{time.monotonic_ns()}.log")
        self.process = multiprocessing.get_context("fork").Process(target=self._run, args=(home, command, before))
        self.process.start()
        self.begin = time.monotonic()

    def _run(self, home, command, before):
        os.setsid()
        descriptor = os.open(self.log, os.O_CREAT | os.O_WRONLY)
        for stream in (1, 2):
            os.dup2(descriptor, stream)
        sys.stdout, sys.stderr = sys.__stdout__, sys.__stderr__  # pytest has others
        logging.getLogger().handlers.clear()  # of pytest
        for bar in (tqdm.tqdm, tqdm.auto.tqdm):  # a call that is killed must not keep the lock that forked processes share
            bar.set_lock(threading.RLock())
        os.environ["P3M_HOME"] = os.fspath(home)
        if before:
            before()
        from p3mlib.__main__ import main

        status = main(list(command))
        sys.stdout.flush()
        os._exit(status)

    def alive(self):
        """True until it has ended."""
        return self.process.exitcode is None

    def kill(self):
        """kill -9 for the whole group; True unless it had ended before."""
        hit = self.alive()
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.join()
        return hit

    def end(self, seconds=PATIENCE):
        """Exit status; it is killed after `seconds`, which gives None."""
        self.process.join(seconds)
        return None if self.kill() else self.process.exitcode

    def told(self):
        """What it printed."""
        return self.log.read_text(errors="replace")


class Try:
    """One try in a folder of its own.

    Attributes:
        home: P3M_HOME. rng: random.Random. command: that is disturbed, and has to end well.
        reference: `faults.Reference` of that command. faults: how many there were, so far. why: what went wrong, "" so far.
    """

    def __init__(self, home, rng, command, reference):
        self.home, self.rng, self.command, self.reference = home, rng, command, reference
        self.faults, self.why, self.looked = 0, "", False

    def call(self, before=None):
        """Begin the command."""
        return Call(self.home, *self.command, before=before)

    def wait(self, call, share=1.0):
        """Let a call run for a random part of its usual time, short ones more often, or until it ends."""
        call.process.join(share * self.reference.seconds * self.rng.random() ** 2)

    def expect(self, condition, why):
        """Note what is wrong."""
        if not condition:
            self.why = self.why or why

    def files(self, pattern):
        """Files of the runs, sorted."""
        return sorted(self.home.glob(f"runs/smoke/{pattern}"))

    def finish(self):
        """Put what the undisturbed command left into the folder, in place of a call of it."""
        shutil.copytree(self.reference.home / "runs", self.home / "runs")


def killed(one):
    """kill -9 of `train` in one process"""
    for _ in range(one.rng.randint(1, 16)):
        call = one.call()
        one.wait(call, 0.8)
        one.faults += call.kill()


def group_killed(one):
    """kill -9 of `train` and its two Dask workers"""
    for _ in range(one.rng.randint(1, 4)):
        call = one.call()
        one.wait(call, 0.8)
        one.faults += call.kill()


def worker_killed(one):
    """kill -9 of one of two Dask workers"""
    call = one.call()
    for _ in range(one.rng.randint(1, 3)):  # after a fourth death in one run it is given up, as README says
        one.wait(call, 0.6)
        one.faults += _kill(one, started(call.process.pid, "spawn_main"))
    one.expect(call.end() == 0, f"the command did not outlive its worker: {call.told()[-800:]}")


def _kill(one, processes):
    """kill -9 of one of some processes; True unless there is none."""
    with contextlib.suppress(psutil.Error, IndexError):
        one.rng.choice(processes).kill()
        return True
    return False


def kernel_killed(one):
    """kill -9 of a notebook's kernel"""
    call = one.call()
    deadline = time.monotonic() + PATIENCE
    while call.alive() and not (kernels := started(call.process.pid, "ipykernel_launcher")) and time.monotonic() < deadline:
        call.process.join(0.2)
    call.process.join(one.rng.uniform(0, 8))
    hit = _kill(one, kernels)
    one.faults += hit
    status, told = call.end(), call.told()
    one.expect(status == 0 or (hit and status == 1 and "02_metrics: its kernel died" in told), f"not named: {status} {told}")


def parts_killed(one):
    """kill -9 of `notebooks`, its group, a worker or a kernel"""
    _kill_parts(one, one.rng.randint(1, 4))


def paper_killed(one):
    """the same of `make paper PROFILE=smoke`, many times before it may end"""
    _kill_parts(one, 50)


def _kill_parts(one, times):
    """So many faults in call after call of a command, each at a random moment of the first minute of its call."""
    while one.faults < times:
        call = one.call()
        call.process.join(one.rng.uniform(0, min(one.reference.seconds, 60)))
        if not call.alive():
            return  # that was its end
        part = one.rng.choice(("group", "command", "worker", "kernel"))
        others = {"worker": "spawn_main", "kernel": "ipykernel_launcher"}
        if part == "command":
            os.kill(call.process.pid, signal.SIGKILL)  # and the next call meets what it had started
            one.faults += 1
        elif part in others and _kill(one, started(call.process.pid, others[part])):
            one.faults += 1
            call.process.join(one.rng.uniform(0, 10))
            one.faults += call.kill()
        else:
            one.faults += call.kill()


def full_disk(one):
    """disk full"""
    with tmpfs(one, "100k") as mounted:
        for _ in range(one.rng.randint(1, 8)):
            if mounted:
                _remount(one, f"size={one.rng.randint(200, 3000)}k")
            limit = one.rng.randint(1, 200) * 1024
            call = one.call(
                before=None if mounted else lambda limit=limit: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, -1))
            )
            _named(one, call, ("No space left", "File too large", "full"))
        if mounted:
            _remount(one, "size=100m")
        one.well()


def _remount(one, option):
    """Change the tmpfs; False where it cannot be changed now."""
    return not subprocess.run(["mount", "-o", f"remount,{option}", one.home / "runs"], capture_output=True).returncode


def _named(one, call, words):
    """The call ends well, or with one of these words and no traceback."""
    status, told = call.end(), call.told()
    one.faults += status != 0
    one.expect(status in (0, 1), f"ended with {status}")
    one.expect(status == 0 or any(word in told for word in words), f"not named: {told[-800:]}")
    one.expect("Traceback" not in told, f"a traceback: {told[-800:]}")


def read_only(one):
    """folder read-only from some moment on"""
    with tmpfs(one, "100m") as mounted:
        if not mounted:
            return False
        for _ in range(one.rng.randint(1, 8)):
            call = one.call()
            one.wait(call, 0.8)
            while not _remount(one, "ro"):
                time.sleep(0.01)  # a file is open for writing
            _named(one, call, ("Read-only file system",))
            _remount(one, "rw")
        one.well()


@contextlib.contextmanager
def tmpfs(one, size):
    """A folder of runs of this size; yields False, and it is an ordinary one, where nothing can be mounted."""
    folder = one.home / "runs"
    folder.mkdir(parents=True, exist_ok=True)
    mounted = not subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", folder], capture_output=True).returncode
    try:
        yield mounted
    finally:
        if mounted:
            subprocess.run(["umount", "--lazy", folder], check=True)


def two_commands(one):
    """two commands on one folder, and kill -9 of one of them"""
    for _ in range(one.rng.randint(1, 4)):
        calls = [one.call()]
        one.wait(calls[0], 0.5)
        calls.append(one.call())
        one.faults += calls[0].alive()
        if one.rng.random() < 0.5:
            one.wait(calls[1])
            one.faults += calls[one.rng.randrange(2)].kill()
        else:
            one.expect([call.end() for call in calls] == [0, 0], "one failed: " + "".join(c.told()[-400:] for c in calls))
        for call in calls:
            call.kill()


def clock_jumps(one):
    """kill -9, and the clock and all dates jump by years"""
    real = time.time
    for _ in range(one.rng.randint(1, 6)):
        call = one.call()
        one.wait(call, 0.8)
        shift, now = one.rng.choice((-1, 1)) * one.rng.uniform(1e3, 3e8), time.time()
        one.faults += 1 + call.kill()
        for path in one.home.glob("runs/**/*"):
            os.utime(path, (now + shift, now + shift))
    call = one.call(before=lambda: setattr(time, "time", lambda: real() - shift))
    one.expect(call.end() == 0, f"not with another clock: {call.told()[-800:]}")


def _flip(one, path):
    content = bytearray(path.read_bytes())
    content[one.rng.randrange(len(content))] ^= 1 << one.rng.randrange(8)
    path.write_bytes(content)
    one.faults += 1


def checkpoint_flipped(one):
    """flipped bit in a checkpoint"""
    for _ in range(one.rng.randint(1, 8)):
        call = one.call()
        deadline = time.monotonic() + PATIENCE
        while not (found := one.files("*/checkpoint.pt")) and call.alive() and time.monotonic() < deadline:
            time.sleep(0.001)
        call.kill()
        for path in filter(Path.exists, found):
            _flip(one, path)


def weights_flipped(one):
    """flipped bit in weights that are to be scored again"""
    one.finish()
    damaged = []
    for row in one.rng.sample(("basic", "modnet"), one.rng.randint(1, 2)):
        damaged += one.files(f"{row}-*/model.safetensors")
        shutil.rmtree(damaged[-1].with_name("per_image"))
        _flip(one, damaged[-1])
    call = one.call()
    one.expect(call.end() == 0, f"not made anew: {call.told()[-800:]}")
    told = call.told().replace("\n", "")
    one.expect(all(f"{path}: damaged" in told for path in damaged), f"used, or not named: {told[-800:]}")


def older_cache(one):
    """cache of an older version"""
    one.finish()
    records = one.files("*/run.json")
    for path in one.rng.sample(records, one.rng.randint(1, 4)):
        record = json.loads(path.read_bytes())
        for key in one.rng.sample(sorted(record), one.rng.randint(1, 4)):
            del record[key]
        for test in record.get("evaluations", {}).values():
            test.pop(one.rng.choice(sorted(test)))
        path.write_text(json.dumps(record))
        one.faults += 1
    call = one.call()
    one.expect(call.end() == 0, f"not understood: {call.told()[-800:]}")


KINDS = {
    kind.__name__.replace("_", " "): (kind, command)
    for command, kinds in (
        (TRAIN, (killed, checkpoint_flipped, weights_flipped, two_commands, full_disk, read_only, clock_jumps, older_cache)),
        (DASK, (group_killed, worker_killed)),
        (NOTEBOOK, (kernel_killed,)),
        (TABLES, (parts_killed,)),
        (PAPER, (paper_killed,)),
    )
    for kind in kinds
}  # name -> (function, command)
