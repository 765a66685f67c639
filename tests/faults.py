"""Faults at random moments of a small piece of the grid: whatever happens, the same command again gives the same results.

`python tests/faults.py --seconds 600` goes round all kinds of faults until the time is over and prints a table: fault, tries,
lost, seconds from the first call until all was well. What a try does depends on the seed and its number (`--first`); `--kinds`
chooses kinds by name. Exits with 1 if anything was lost. A try: an empty folder of runs, the command, the fault, then the command
until it ends well, three times at most. Lost is: it never did, results differ in one byte from those without a fault, or half
a file is left. Disks that are full or read-only are a tmpfs, where this user may mount one; else full is a limit on the size of
files, and there is no try of read-only.
"""

import argparse
import contextlib
import json
import logging
import multiprocessing
import os
import random
import resource
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil

ROWS = ("basic", "modnet")  # two chains: an encoder, a base and a row; a base and a row
COMMAND = ("train", *ROWS, "--profile", "smoke")
AGAIN = 3  # calls after a fault in which all must be well
PATIENCE = 600  # seconds of one call
KEPT = {"train.csv", "model.safetensors", "config.json"}


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
        os.environ["P3M_HOME"] = os.fspath(home)
        if before:
            before()
        from p3mlib.__main__ import main

        status = main(list(command))
        sys.stdout.flush()
        os._exit(status)

    def kill(self):
        """kill -9 for the whole group; it may have ended."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.process.pid, signal.SIGKILL)

    def end(self, seconds=PATIENCE):
        """Exit status; it is killed after `seconds`, which gives None."""
        self.process.join(seconds)
        if self.process.exitcode is None:
            self.kill()
            self.process.join()
            return None
        return self.process.exitcode

    def told(self):
        """What it printed."""
        return self.log.read_text(errors="replace")


class Try:
    """One try in a folder of its own.

    Attributes:
        home: P3M_HOME. rng: random.Random. length: seconds that the command takes undisturbed. why: what went wrong, "" so far.
    """

    def __init__(self, home, rng, length):
        self.home, self.rng, self.length, self.why = home, rng, length, ""

    def call(self, *more, before=None, command=COMMAND):
        """Begin the command, in one process unless `more` says otherwise."""
        return Call(self.home, *command, *(more or ("--jobs", "1")), before=before)

    def wait(self, call, share=1.0):
        """Let a call run for a random part of its usual time, or until it ends."""
        call.process.join(self.rng.uniform(0, share * self.length))

    def expect(self, condition, why):
        """Note what is wrong."""
        if not condition:
            self.why = self.why or why

    def files(self, pattern):
        """Files of the runs, sorted."""
        return sorted(self.home.glob(f"runs/smoke/{pattern}"))


def results(home):
    """What trainings and scorings left: dict relative path -> content."""
    runs = home / "runs" / "smoke"
    found = [path for path in runs.rglob("*") if path.name in KEPT or path.parent.parent.name in ("per_image", "gallery")]
    found += list(runs.glob("*/per_image/*.csv"))
    return {path.relative_to(runs).as_posix(): path.read_bytes() for path in found}


def killed(one):
    """kill -9 of the command"""
    for _ in range(one.rng.choice((1, 1, 2, 4))):
        call = one.call()
        one.wait(call)
        call.kill()
        call.end()


def group_killed(one):
    """kill -9 of the command and its two workers"""
    call = one.call("--jobs", "2")
    call.process.join(one.rng.uniform(5, 30))
    call.kill()
    call.end()


def worker_killed(one):
    """kill -9 of one of two workers"""
    call = one.call("--jobs", "2")
    call.process.join(one.rng.uniform(5, 30))
    with contextlib.suppress(psutil.Error):
        children = psutil.Process(call.process.pid).children()
        workers = [child for child in children if "spawn_main" in " ".join(child.cmdline())]
        if workers:
            one.rng.choice(workers).kill()
    one.expect(call.end() == 0, f"the command did not outlive its worker: {call.told()[-800:]}")


def kernel_killed(one):
    """kill -9 of a notebook's kernel"""
    command = ("notebooks", "02_metrics", "--profile", "smoke")
    call = one.call(command=command)
    deadline = time.monotonic() + PATIENCE
    while call.process.exitcode is None and time.monotonic() < deadline:
        with contextlib.suppress(psutil.Error):
            children = psutil.Process(call.process.pid).children(recursive=True)
            kernels = [child for child in children if "ipykernel_launcher" in " ".join(child.cmdline())]
            if kernels:
                call.process.join(one.rng.uniform(0, 8))
                kernels[0].kill()
                break
        call.process.join(0.2)
    told = (call.end(), call.told())
    one.expect(told[0] == 0 or (told[0] == 1 and "02_metrics: its kernel died" in told[1]), f"not named: {told}")
    again = one.call(command=command)
    one.expect(again.end() == 0, f"the notebook does not run again: {again.told()[-800:]}")


def full_disk(one):
    """disk full"""
    with tmpfs(one, f"{one.rng.randint(200, 3000)}k") as mounted:
        limit = one.rng.randint(1, 200) * 1024
        call = one.call(before=None if mounted else lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, -1)))
        status, told = call.end(), call.told()
        one.expect(status in (0, 1), f"ended with {status}")
        one.expect(
            status == 0 or "No space left" in told or "File too large" in told or "full" in told, f"not named: {told[-800:]}"
        )
        one.expect("Traceback" not in told, f"a traceback: {told[-800:]}")
        if mounted:
            subprocess.run(["mount", "-o", "remount,size=100m", one.home / "runs"], check=True)
        well(one)


def read_only(one):
    """folder read-only from some moment on"""
    with tmpfs(one, "100m") as mounted:
        if not mounted:
            return False
        call = one.call()
        one.wait(call)
        while subprocess.run(["mount", "-o", "remount,ro", one.home / "runs"], capture_output=True).returncode:
            time.sleep(0.01)  # a file is open for writing
        status, told = call.end(), call.told()
        one.expect(status == 0 or (status == 1 and "Read-only file system" in told), f"ended with {status}: {told[-800:]}")
        one.expect("Traceback" not in told, f"a traceback: {told[-800:]}")
        subprocess.run(["mount", "-o", "remount,rw", one.home / "runs"], check=True)
        well(one)


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
    """two commands on one folder"""
    calls = [one.call()]
    one.wait(calls[0], 0.5)
    calls.append(one.call())
    if one.rng.random() < 0.5:
        one.wait(calls[1])
        calls[one.rng.randrange(2)].kill()
    else:
        one.expect([call.end() for call in calls] == [0, 0], "one failed: " + "".join(call.told()[-400:] for call in calls))
    for call in calls:
        call.end()


def clock_jumps(one):
    """kill -9, and the clock and all dates jump by years"""
    call = one.call()
    one.wait(call)
    call.kill()
    call.end()
    shift, now = one.rng.choice((-1, 1)) * one.rng.uniform(1e3, 3e8), time.time()
    for path in one.home.glob("runs/**/*"):
        os.utime(path, (now + shift, now + shift))
    real = time.time
    call = one.call(before=lambda: setattr(time, "time", lambda: real() - shift))
    one.expect(call.end() == 0, f"not with another clock: {call.told()[-800:]}")


def _flip(one, path):
    content = bytearray(path.read_bytes())
    content[one.rng.randrange(len(content))] ^= 1 << one.rng.randrange(8)
    path.write_bytes(content)


def checkpoint_flipped(one):
    """flipped bit in a checkpoint"""
    call = one.call()
    deadline = time.monotonic() + PATIENCE
    while not (found := one.files("*/checkpoint.pt")) and call.process.exitcode is None and time.monotonic() < deadline:
        time.sleep(0.001)
    call.kill()
    call.end()
    for path in filter(Path.exists, found):
        _flip(one, path)


def weights_flipped(one):
    """flipped bit in the weights of a base"""
    one.expect(one.call().end() == 0, "the first call")
    base, row = one.rng.choice((("p3mnet_resnet34_base", "basic"), ("modnet_base", "modnet")))
    shutil.rmtree(one.files(f"{row}-*")[0])
    (path,) = one.files(f"{base}-*/model.safetensors")
    _flip(one, path)
    call = one.call()
    one.expect(call.end() == 0, f"not made anew: {call.told()[-800:]}")
    one.expect(f"{path}: damaged" in call.told().replace("\n", ""), f"used, or not named: {call.told()[-800:]}")


def older_cache(one):
    """cache of an older version"""
    one.expect(one.call().end() == 0, "the first call")
    path = one.rng.choice(one.files("*/run.json"))
    record = json.loads(path.read_bytes())
    for key in one.rng.sample(sorted(record), one.rng.randint(1, 4)):
        del record[key]
    for test in record.get("evaluations", {}).values():
        test.pop(one.rng.choice(sorted(test)))
    path.write_text(json.dumps(record))
    call = one.call()
    one.expect(call.end() == 0, f"not understood: {call.told()[-800:]}")


KINDS = {
    kind.__name__.replace("_", " "): kind
    for kind in (killed, checkpoint_flipped, weights_flipped, two_commands, full_disk, read_only, clock_jumps, older_cache,
                 group_killed, worker_killed, kernel_killed)
}  # fmt: skip


def well(one):
    """The command until it ends well; notes what is lost. Nothing is done where the kind of fault has looked already."""
    if one.why or getattr(one, "looked", False):
        return
    one.looked = True
    for _ in range(AGAIN):
        call = one.call()
        if (status := call.end()) == 0:
            break
    one.expect(status == 0, f"the command ends with {status}: {call.told()[-800:]}")
    found, expected = results(one.home), one.expected
    differ = sorted(name for name in found.keys() | expected.keys() if found.get(name) != expected.get(name))
    one.expect(not differ, f"other results: {differ[:5]}")
    half = [path.name for path in one.home.glob("runs/**/*") if "partial" in path.name or path.name == "checkpoint.pt"]
    one.expect(not half, f"half files: {half}")


def attempt(work, name, number, seed, expected, length):
    """Try a kind of fault: (seconds that it all took, what is lost or ""); None where this machine cannot make it."""
    home = work / f"try-{number}"
    home.mkdir()
    (home / "data").symlink_to(work / "data")
    one = Try(home, random.Random(f"{seed} {name} {number}"), length)
    one.expected = expected
    begin = time.monotonic()
    possible = KINDS[name](one)
    if possible is not False:
        well(one)
    shutil.rmtree(home)
    return None if possible is False else (time.monotonic() - begin, one.why)


def prepare(work):
    """Render images and run the command undisturbed: (results, seconds)."""
    import p3mlib.experiments.parallel  # noqa: F401  so that what is forked has it

    home = work / "reference"
    home.mkdir(parents=True)
    (work / "data").mkdir(exist_ok=True)
    (home / "data").symlink_to(work / "data")
    for _ in range(2):  # the first also renders and compiles
        shutil.rmtree(home / "runs", ignore_errors=True)
        call = Call(home, *COMMAND, "--jobs", "1")
        if call.end():
            raise RuntimeError(f"the command fails without any fault: {call.told()}")
        length = time.monotonic() - call.begin
    return results(home), length


def campaign(work, kinds, seconds, first, seed, show):
    """Tries in turn of all kinds until `seconds` are over; returns dict kind -> list of (seconds, what is lost)."""
    begin, number, done = time.monotonic(), first, {name: [] for name in kinds}
    expected, length = prepare(work)
    while kinds and (time.monotonic() - begin < seconds or number == first):
        name = list(kinds)[number % len(kinds)]
        if (result := attempt(work, name, number, seed, expected, length)) is not None:
            done[name].append(result)
            show(f"{number}: {name}: {result[0]:.1f} s {result[1] or 'well'}")
        number += 1
    return done


def table(done):
    """Markdown of the results of `campaign`."""
    lines = [
        "| fault | tries | lost | median seconds until well | longest |",
        "|---|---|---|---|---|",
    ]
    for name, tries in done.items():
        times = [spent for spent, _ in tries] or [float("nan")]
        lost = sum(bool(why) for _, why in tries)
        says = KINDS[name].__doc__.splitlines()[0]
        lines.append(f"| {says} | {len(tries)} | {lost} | {statistics.median(times):.0f} | {max(times):.0f} |")
    whole = [one for tries in done.values() for one in tries]
    return "\n".join([*lines, f"| all | {len(whole)} | {sum(bool(why) for _, why in whole)} | | |"])


def main():
    """Run the campaign that the command line asks for; prints tries and table, returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=600, help="no try begins later")
    parser.add_argument("--kinds", nargs="*", default=list(KINDS), choices=list(KINDS))
    parser.add_argument("--first", type=int, default=0, help="number of the first try, to go on from another campaign")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="faults-") as temporary:
        show = lambda text: print(text, flush=True)  # noqa: E731
        done = campaign(Path(temporary), arguments.kinds, arguments.seconds, arguments.first, arguments.seed, show)
    print(table(done))
    return int(any(why for tries in done.values() for _, why in tries))


if __name__ == "__main__":
    sys.exit(main())
