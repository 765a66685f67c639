"""Faults at random moments of a small piece of the grid: whatever happens, the same command again gives the same results.

`python tests/faults.py --seconds 600` goes round all kinds of faults (`fault_kinds.py`) until the time is over and prints a
table: fault, tries, faults, lost, seconds from the first call until all was well. What a try does depends on the seed and its
number (`--first`); `--kinds` chooses kinds by name, among them `paper killed`, 50 kills of `make paper PROFILE=smoke`, which is
not in the round. Exits with 1 if anything was lost. A try: an empty folder of runs, the command, the fault, then the command
until it ends well, three times at most. Lost is: it never did, results or tables differ in one byte from those without a fault,
half a file is left, or a process.
"""

import argparse
import os
import random
import re
import shutil
import statistics
import sys
import tempfile
import time
from dataclasses import dataclass
from functools import cache, partial
from itertools import zip_longest
from pathlib import Path

import fault_kinds
import psutil
from fault_kinds import KINDS, Call

AGAIN = 3  # calls after a fault in which all must be well
GRACE = 20  # seconds in which what a killed command had started ends by itself
KEPT = {"train.csv", "model.safetensors", "config.json"}
TIMED = {"table_11.csv", "table_11.md", "table_11.tex"}  # of each run its own
ROUND = [name for name in KINDS if name != "paper killed"]


@dataclass(frozen=True)
class Reference:
    """A command without faults: the P3M_HOME that it filled, what it left there, and how long it took."""

    home: Path
    results: dict
    seconds: float


@dataclass(frozen=True)
class Tried:
    """A try: seconds until all was well, number of faults, what was lost or ""."""

    seconds: float
    faults: int
    lost: str


def results(home):
    """What trainings, scorings and notebooks left: dict relative path -> content, of claims without what hangs on speed."""
    runs = home / "runs" / "smoke"
    found = [path for path in runs.rglob("*") if path.name in KEPT or path.parent.parent.name in ("per_image", "gallery")]
    found += [*runs.glob("*/per_image/*.csv"), *(path for path in home.glob("tables/smoke/*") if path.name not in TIMED)]
    contents = {path.relative_to(home).as_posix(): path.read_bytes() for path in found}
    return {name: _without_speed(content) if "/claims." in name else content for name, content in contents.items()}


def _without_speed(claims):
    """Without the verdicts on Table 11, whose seconds are of each run its own, and the sentence that counts all verdicts."""
    lines = claims.splitlines(keepends=True)
    return b"".join(line for line in lines if not re.search(b"C39[ABD]|The paper's claims on the tables", line))


def prepare(work):
    """Render images into a folder; returns a function command -> Reference, which runs a command when it is first asked for."""
    import p3mlib.experiments.parallel  # noqa: F401  so that what is forked has it

    work.mkdir(parents=True, exist_ok=True)
    (work / "data").mkdir(exist_ok=True)
    _undisturbed(work / "first", fault_kinds.TRAIN)  # renders and compiles
    return cache(lambda command: _undisturbed(work / f"reference-{len(list(work.iterdir()))}", command))


def _undisturbed(home, command):
    home.mkdir()
    (home / "data").symlink_to(home.parent / "data")
    call = Call(home, *command)
    if call.end():
        raise RuntimeError(f"{' '.join(command)} fails without any fault: {call.told()}")
    return Reference(home, results(home), time.monotonic() - call.begin)


class Try(fault_kinds.Try):
    """A try that judges what is lost."""

    def well(self):
        """The command until it ends well; notes what is lost. Nothing is done where the kind of fault has looked already."""
        if self.why or self.looked:
            return
        self.looked = True
        for _ in range(AGAIN):
            call = self.call()
            if (status := call.end()) == 0:
                break
        self.expect(status == 0, f"the command ends with {status}: {call.told()[-800:]}")
        found, expected = results(self.home), self.reference.results
        differ = sorted(name for name in found.keys() | expected.keys() if found.get(name) != expected.get(name))
        first = [_difference(expected.get(name, b""), found.get(name, b"")) for name in differ[:1]]
        self.expect(not differ, f"other results: {differ[:5]}, {first}")
        half = [path.name for path in self.home.rglob("*") if "partial" in path.name or path.name == "checkpoint.pt"]
        self.expect(not half, f"half files: {half}")

    def left(self):
        """Processes that still run on this folder after some time, each killed then."""
        deadline = time.monotonic() + GRACE
        while (found := _processes_of(self.home)) and time.monotonic() < deadline:
            time.sleep(0.2)
        for one in found:
            one.kill()
        return found


def _difference(one, other):
    """The first two lines of two contents that are not the same, "" where one has none."""
    lines = (content.decode(errors="replace").splitlines() for content in (one, other))
    return next((pair for pair in zip_longest(*lines, fillvalue="") if pair[0] != pair[1]), "")


def _processes_of(home):
    """Processes of this user with this P3M_HOME; they and what they start have it in their environment."""
    found = []
    for one in psutil.process_iter():
        try:
            if one.environ().get("P3M_HOME") == os.fspath(home):
                found.append(one)
        except psutil.Error:  # of another user, or gone
            continue
    return found


def attempt(work, name, number, seed, references):
    """Try a kind of fault: Tried; None where this machine cannot make it."""
    home, (kind, command) = work / f"try-{number}", KINDS[name]
    one = Try(home, random.Random(f"{seed} {name} {number}"), command, references(command))
    home.mkdir()
    (home / "data").symlink_to(work / "data")
    begin, possible = time.monotonic(), kind(one)
    if possible is not False:
        one.well()
    seconds, left = time.monotonic() - begin, one.left()
    one.expect(not left, f"processes are left: {left}")
    shutil.rmtree(home)
    return None if possible is False else Tried(seconds, one.faults, one.why)


def campaign(work, kinds, seconds, first, seed, show):
    """Tries in turn of all kinds until `seconds` are over; returns dict kind -> list of Tried."""
    references, begin, number, done = prepare(work), time.monotonic(), first, {name: [] for name in kinds}
    while kinds and (time.monotonic() - begin < seconds or number == first):
        name = list(kinds)[number % len(kinds)]
        if (result := attempt(work, name, number, seed, references)) is not None:
            done[name].append(result)
            show(f"{number}: {name}: {result.faults} in {result.seconds:.1f} s {result.lost or 'well'}")
        number += 1
    return done


def table(done):
    """Markdown of the results of `campaign`."""
    lines = [
        "| fault | tries | faults | lost | median seconds until well | longest |",
        "|---|---|---|---|---|---|",
    ]
    for name, tries in done.items():
        times, says = [one.seconds for one in tries] or [float("nan")], KINDS[name][0].__doc__
        lines.append(f"| {says} | {_counts(tries)} | {statistics.median(times):.0f} | {max(times):.0f} |")
    return "\n".join([*lines, f"| all | {_counts([one for tries in done.values() for one in tries])} | | |"])


def _counts(tries):
    return f"{len(tries)} | {sum(one.faults for one in tries)} | {sum(bool(one.lost) for one in tries)}"


def main():
    """Run the campaign that the command line asks for; prints tries and table, returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=600, help="no try begins later")
    parser.add_argument("--kinds", nargs="*", default=ROUND, choices=list(KINDS))
    parser.add_argument("--first", type=int, default=0, help="number of the first try, to go on from another campaign")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="faults-") as temporary:
        show = partial(print, flush=True)
        done = campaign(Path(temporary), arguments.kinds, arguments.seconds, arguments.first, arguments.seed, show)
    print(table(done))
    return int(any(one.lost for tries in done.values() for one in tries))


if __name__ == "__main__":
    sys.exit(main())
