"""Results that come with the project: of the runs behind its tables what a notebook shows, so that a class need not train.

`tables/<profile>/runs.tar.xz` holds of every run its record, losses and errors per image, of first seeds the kept predictions,
and of `WEIGHTED` the weights in half precision. Where the run cache lacks a run, a notebook that is opened by hand takes it from
there (`use`), and claims on written tables read its errors per image (`place`). `make paper` trains and scores, whatever comes
with the project.
"""

import hashlib
import io
import logging
import os
import shutil
import tarfile
import tempfile
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pandas as pd

from p3mlib import paths
from p3mlib.experiments import config, notebooks, runs
from p3mlib.io import atomic_path
from p3mlib.models import bases
from p3mlib.models.pretrained import WEIGHTS, save_pretrained

log = logging.getLogger(__name__)
WEIGHTED = ("p3mnet_r34", "p3mnet_r34_icp", "p3mnet_r34_fcp", "p3mnet_r34_n")  # of seed 0: explorer PPT compares them


class Brought(runs.Run):
    """A run that came with the project; where its weights did not, those of the base that its last epochs began from stand in."""

    def load(self):
        """The trained network in eval mode on the CPU."""
        if (self.folder / WEIGHTS).exists():
            return super().load()
        log.warning(
            "%s: its weights do not come with the project; shown is the base it began from, %s", self.id, self.record["base"]
        )
        return bases.load(self.record["base"])


def pack(profile):
    """Write the archive of a profile from its run cache.

    Returns:
        path of the archive.
    Raises:
        ValueError: a run is not finished; the message names it. datasets.MissingData as `notebooks.trainings`.
    """
    grid = config.load()
    wanted = {runs.needed_folder(e).name: e for e in notebooks.trainings(list(grid.notebooks), profile)[0]}
    wanted |= dict.fromkeys(run.id for run in notebooks.untrained(list(grid.notebooks), profile))
    path, added = paths.shipped(profile), io.BytesIO()
    with tarfile.open(fileobj=added, mode="w:xz") as archive, tempfile.TemporaryDirectory() as made:
        for name, experiment in sorted(wanted.items()):
            folder = paths.runs(profile) / name
            if not runs.Run(folder).record.get("finished"):
                raise ValueError(f"{folder}: not finished; python -m p3mlib notebooks --profile {profile} does it")
            files = [folder / "run.json", folder / "train.csv", *sorted(folder.glob("per_image/*.csv"))]
            if experiment and experiment.seed == 0:
                files += sorted(folder.glob("gallery/*/*.png"))
            for file in filter(Path.exists, files):
                _add(archive, _content(file), f"{name}/{file.relative_to(folder)}")
            if experiment and experiment.seed == 0 and experiment.name in WEIGHTED:
                save_pretrained(bases.halved(runs.Run(folder).load()), made)  # zeros, which pack well
                for file in sorted(Path(made).iterdir()):
                    _add(archive, file.read_bytes(), f"{name}/{file.name}")
    with atomic_path(path) as partial:
        Path(partial).write_bytes(added.getvalue())
    return path


def _content(file):
    """What is packed of a file: errors per image in six digits, more than tables print; these are most of the archive."""
    if file.parent.name != "per_image":
        return file.read_bytes()
    return pd.read_csv(file).to_csv(index=False, float_format="%.6g").encode()


def _add(archive, content, name):
    entry = tarfile.TarInfo(name)  # no owner and no time: the same runs give the same archive
    entry.size = len(content)
    archive.addfile(entry, io.BytesIO(content))


@cache
def folder(profile):
    """Folder of the unpacked archive of a profile, or None where none comes with the project."""
    path = paths.shipped(profile)
    if not path.is_file():
        return None
    with path.open("rb") as file:
        target = paths.build() / "shipped" / f"{profile}-{hashlib.file_digest(file, 'sha256').hexdigest()[:12]}"
    if not target.is_dir():
        target.parent.mkdir(parents=True, exist_ok=True)
        partial = Path(tempfile.mkdtemp(prefix=f".{target.name}.partial", dir=target.parent))
        with tarfile.open(path) as archive:
            archive.extractall(partial, filter="data")
        try:
            partial.rename(target)
        except OSError:  # another kernel was quicker
            shutil.rmtree(partial)
    return target


def place(profile, name):
    """Folder of the run of this id: that of the run cache, or that in the archive where only it has the run."""
    own = paths.runs(profile) / name
    brought = folder(profile) if not own.is_dir() else None
    return brought / name if brought and (brought / name).is_dir() else own


@dataclass(frozen=True)
class Announcement:
    """What a notebook will do, in a sentence or two."""

    text: str

    def __repr__(self):
        return self.text

    def _repr_markdown_(self):
        return self.text


def use(notebook, profile):
    """Let this kernel read what comes with the project where the run cache lacks a run, and say what the notebook will do.

    Args:
        notebook: its two digits, as "06". profile: name.
    Returns:
        Announcement. In a notebook that `python -m p3mlib notebooks` executes nothing that came with the project is read.
    Raises:
        ValueError: no such notebook or profile.
    """
    names = [name for name in notebooks.find() if name[:2] == notebook]
    if not names:
        raise ValueError(f"no notebook '{notebook}'; name it by two digits, as \"02\"")
    wanted = [runs.needed_folder(e) for e in notebooks.trainings(names, profile)[0]]
    wanted += [run.folder for run in notebooks.untrained(names, profile, references=False)]
    missing = [path for path in wanted if not runs.Run(path).record.get("finished")]
    brought = None if os.environ.get(notebooks.EXECUTED) else folder(profile)
    runs.also_in(brought and (lambda name: Brought(brought / name) if (brought / name).is_dir() else None))
    there = [Brought(brought / path.name) for path in missing if brought and (brought / path.name).is_dir()]
    return Announcement(_told(len(wanted), len(missing), there, profile))


def _told(wanted, missing, there, profile):
    if not wanted:
        return "This notebook trains nothing."
    if not missing:
        return f"All {wanted} runs that this notebook shows are in the run cache: nothing is trained."
    said = [f"This notebook shows {wanted} runs; {wanted - missing} are in the run cache."]
    if there:
        minutes = sum(sum(run.record.get("seconds", {}).values()) for run in there) / 60
        said.append(
            f"{len(there)} come with the project and are read: nothing of them is trained. To train them here instead, which "
            f"took {minutes:.0f} minutes on one core, run `make paper PROFILE={profile}` first."
        )
    if missing > len(there):
        said.append(f"**{missing - len(there)} are trained here now**, with a bar each: seconds in profile smoke, else minutes.")
    return " ".join(said)
