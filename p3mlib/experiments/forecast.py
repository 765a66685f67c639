"""How long a training takes and how much memory, measured from its first steps, before it has cost much."""

import contextlib
import logging
import statistics
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import psutil
import torch

from p3mlib.bars import tqdm
from p3mlib.experiments import corpus
from p3mlib.experiments.train import fit
from p3mlib.models import bases


@dataclass(frozen=True)
class Needs:
    """What a training needs, from a few of its steps.

    Attributes:
        name: of row and seed. steps: of the whole training. batch: images a step. device: "cpu" or the GPU's name.
        seconds: median of a step, the first two left out where there are more. waiting: for data, in it. memory: GB at the peak,
            of the GPU or of this process.
    """

    name: str
    steps: int
    batch: int
    device: str
    seconds: float
    waiting: float
    memory: float

    @property
    def total(self):
        """Seconds of the whole training."""
        return self.steps * self.seconds

    def sentence(self):
        """All of it, in a line."""
        return (
            f"{self.name}: {self.steps} steps of {self.batch} images, {self.seconds:.3g} s each ({self.waiting:.2g} s of it "
            f"waiting for data): {duration(self.total)} in all; {self.memory:.1f} GB at the peak, {self.device}"
        )


class Enough(Exception):
    """A trial has made its steps."""


class Forecast:
    """Measures the first steps of a training and says once what all of it needs, where that is long.

    Args:
        limit: steps after which a trial ends by Enough; None: no trial.
    Attributes:
        needs: Needs after the last measured step, None before.
    """

    MEASURED, LONG = 8, 600  # steps; seconds above which a training is long

    def __init__(self, limit=None, progress=True):
        self.limit, self.progress, self.needs = limit, progress, None
        self._times, self._waits, self._begun, self._ended = [], [], 0.0, None

    def start(self, name, steps, batch, device):
        """A training of so many steps begins on a torch.device."""
        self._about = name, steps, batch, torch.cuda.get_device_name(device) if device.type == "cuda" else "CPU"
        self._device, self._ended = device, time.perf_counter()

    def begin(self):
        """A step has its batch."""
        self._begun = time.perf_counter()

    def end(self):
        """A step is done. Raises Enough at the end of a trial."""
        if len(self._times) >= (self.limit or self.MEASURED):
            return
        if self._device.type == "cuda":
            torch.cuda.synchronize(self._device)
        now = time.perf_counter()
        self._waits.append(self._begun - self._ended)
        self._times.append(now - self._ended)
        self._ended = now
        if len(self._times) < (self.limit or self.MEASURED):
            return
        first = 2 if len(self._times) > 3 else len(self._times) - 1
        seconds, waiting = (statistics.median(values[first:]) for values in (self._times, self._waits))
        self.needs = Needs(*self._about, seconds, waiting, _peak(self._device))
        if self.limit:
            raise Enough
        if self.needs.total > self.LONG:
            say = tqdm.write if self.progress else logging.getLogger(__name__).info
            say(self.needs.sentence())


def _peak(device):
    """GB that this process has taken at most: of a GPU, or resident (where the system keeps no peak, now)."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 1e9
    try:
        import resource  # not on Windows

        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024) / 1e9
    except ImportError:
        return psutil.Process().memory_info().rss / 1e9


def duration(seconds):
    """Text of a time, in the unit that fits: "45 s", "3.2 h"."""
    for name, size in (("days", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 1.5 * size:
            return f"{seconds / size:.1f} {name}"
    return f"{seconds:.0f} s"


def trial(experiment, steps, batch=None, progress=True):
    """Train an experiment for a few real steps, keep nothing, and say what the whole training would need.

    It begins where the training would, from a base of the package or from its seed.

    Args:
        experiment: config.Experiment. steps: how many. batch: images a step, where a machine is too small for the profile's;
            None: the profile's.
    Returns:
        Needs.
    Raises:
        datasets.MissingData, OSError, ValueError: what the training would raise in its first minute.
    """
    profile = experiment.profile
    if batch:
        change = experiment.row.published.model_copy(update={"batch_size": batch})
        row = experiment.row.model_copy(update={"published": change})
        train = profile.train.model_copy(update={"batch_size": batch})
        experiment = experiment.model_copy(update={"row": row, "profile": profile.model_copy(update={"train": train})})
    portraits = corpus.open_set("train", experiment.row.domain, profile, progress)
    faces = corpus.open_set("CelebA", "N", profile, progress) if experiment.row.copy_paste != "none" else None
    forecast, start = Forecast(steps, progress), bases.load(experiment.start) if experiment.start else None
    with tempfile.TemporaryDirectory() as folder, contextlib.suppress(Enough):
        fit(experiment, portraits, Path(folder), progress, faces, start, forecast)
    if forecast.needs is None:
        raise ValueError(f"{experiment.name}: its whole training has fewer than {steps} steps; take fewer, or train it")
    return forecast.needs
