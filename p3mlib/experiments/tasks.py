"""What there is to do, as values that travel to other processes and machines: a run and the sets that it is scored on."""

from dataclasses import dataclass

from p3mlib.experiments import runs, untrained
from p3mlib.experiments.config import Experiment
from p3mlib.experiments.profiles import Profile


@dataclass(frozen=True)
class Training:
    """An experiment, trained and scored on `sets`: tuple of (set, domain), see `runs.get`."""

    experiment: Experiment
    sets: tuple = ()

    def __str__(self):
        return f"{self.experiment.name} seed {self.experiment.seed}"

    @property
    def profile(self):
        """config.Profile of the experiment."""
        return self.experiment.profile

    @property
    def resources(self):
        """What it takes of a Dask worker that declares such things: a GPU, bytes of memory."""
        return {"GPU": 1, "MEMORY": self.profile.memory * 1e9}

    def run(self):
        """The Run, whether it exists or not; datasets.MissingData where the training images are missing."""
        return runs.Run(runs.needed_folder(self.experiment))

    def is_done(self):
        """True where nothing is left to do."""
        return runs.is_done(self.run(), runs.tests_of(self.sets, self.profile))

    def do(self, progress=True):
        """Do what is left to do, with progress bars."""
        runs.get(self.experiment, self.sets, progress)


@dataclass(frozen=True)
class Untrained:
    """A traditional method, or what never looks at the image, scored on `sets`: see `untrained.get`."""

    method: str
    sets: tuple
    profile: Profile

    def __str__(self):
        return self.method

    @property
    def resources(self):
        """What it takes of a Dask worker that declares such things: bytes of memory."""
        return {"MEMORY": self.profile.memory * 1e9}

    def run(self):
        """The Run, whether it exists or not."""
        return runs.Run(untrained.folder(self.method, self.sets, self.profile))

    def is_done(self):
        """True where nothing is left to do."""
        return runs.is_done(self.run(), untrained.tests_of(self.method, self.sets, self.profile))

    def do(self, progress=True):
        """Do what is left to do, with progress bars."""
        untrained.get(self.method, self.sets, self.profile, progress)
