"""A run on disk, and what it says of itself: what was trained, on what, when and by which versions."""

import datetime
import json
import logging
import platform
import subprocess
import time
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from pathlib import Path

import cv2
import pandas as pd
import torch

from p3mlib.experiments import corpus, processes
from p3mlib.experiments.config import precision
from p3mlib.io import read_matte, write_text
from p3mlib.models import bases, from_pretrained

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Run:
    """A run on disk."""

    folder: Path

    @property
    def id(self):
        """The run id: name of the folder."""
        return self.folder.name

    @property
    def record(self):
        """Contents of run.json: before the training has finished its seconds, if any; nothing, with a warning, if damaged."""
        path = self.folder / "run.json"
        try:
            return dict(json.loads(path.read_bytes())) if path.exists() else {}
        except (ValueError, TypeError) as error:
            log.warning("%s: damaged (%s), so its run is made anew", path, error)
            return {}

    def update(self, **fields):
        """Write fields into run.json, atomically."""
        write_text(self.folder / "run.json", json.dumps({**self.record, **fields}, indent=1, sort_keys=True))

    @contextmanager
    def timed(self, work):
        """Count the seconds inside, an interrupted work's too, to those that `work` ("training" or "scoring") took before."""
        begin = time.perf_counter()
        try:
            yield
        finally:
            spent = self.record.get("seconds", {})
            self.update(seconds={**spent, work: round(spent.get(work, 0) + time.perf_counter() - begin, 2)})

    def per_image(self, name, domain):
        """DataFrame of one test set: index the image names, columns the metrics. KeyError if it was not scored."""
        path = self.folder / "per_image" / f"{name}.{domain}.csv"
        if not path.exists():
            raise KeyError(f"{self.folder}: {name} ({domain}) was not scored; runs.get(..., sets=[...]) does it")
        return pd.read_csv(path, index_col="name")

    def gallery(self, name, domain):
        """The kept predictions of one test set: dict image name -> (H, W) alpha; empty if it was not scored."""
        folder = self.folder / "gallery" / f"{name}.{domain}"
        return {path.stem: read_matte(path, checked=False) for path in sorted(folder.glob("*.png"))}

    def training_log(self):
        """DataFrame of train.csv: every loss term per epoch; first the totals of the base, of all its laps."""
        own, losses = pd.read_csv(self.folder / "train.csv"), []
        if card := bases.cards().get(self.record.get("base")):
            losses = [loss for lap in bases.laps(card, self.record["training"]["start"]) for loss in lap.get("loss", [])]
        before = pd.DataFrame({"epoch": range(len(losses)), "stage": "base", "total": losses})
        return pd.concat([before, own.assign(epoch=own["epoch"] + len(before))], ignore_index=True) if len(before) else own

    def state(self):
        """One word for a person: "cached", "begun" or "not run"."""
        if self.record.get("finished"):
            return "cached"
        return "begun" if (self.folder / "checkpoint.pt").exists() else "not run"

    def load(self):
        """The trained network in eval mode on the CPU."""
        return from_pretrained(self.folder)


def provenance():
    """Commit, versions and device of this process, for run.json and for tables."""
    git = partial(subprocess.run, capture_output=True, text=True, cwd=Path(__file__).parent)
    commit, dirty = git(["git", "rev-parse", "HEAD"]), git(["git", "status", "--porcelain", "--", "."])
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else f"{platform.machine()} CPU"
    return {
        "commit": commit.stdout.strip() + ("+changes" if dirty.stdout.strip() else "") if commit.returncode == 0 else "unknown",
        "versions": {name: version(name) for name in ("p3mlib", "torch", "timm", "accelerate", "numpy")}
        | {"opencv": cv2.__version__},
        "python": platform.python_version(),
        "device": device,
    }


def record(experiment, images, read):
    """What run.json says of a training that has just ended: dict. Args: images: how many. read: folders that it read from."""
    return dict(
        row=experiment.name,
        method=experiment.row.method,
        training=experiment.training(corpus.training_identity(experiment)),
        base=experiment.start,
        images=images,
        read=sorted(read),
        finished=now(),
        evaluations={},
        processes=processes.state().num_processes,
        precision=precision(),
        **provenance(),
    )


def now():
    """The time in UTC, to the second, as ISO 8601."""
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
