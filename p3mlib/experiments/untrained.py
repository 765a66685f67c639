"""Runs of what is not trained: traditional methods, and two predictions that never look at the image."""

import hashlib
import json

import numpy as np

from p3mlib import paths
from p3mlib.experiments import corpus, processes, runs
from p3mlib.experiments.evaluate import mean_matte, transition_only, whole_image
from p3mlib.experiments.run import Run, now, provenance
from p3mlib.models.inference import resize
from p3mlib.traditional import METHODS

REFERENCES = ("All background", "Mean matte")  # what never looks at the image
REFERENCE_SETS = (("P3M-500-P", "B"), ("P3M-500-P", "N"), ("P3M-500-NP", "N"), ("RWP", "N"))  # and what it is scored on


def tests_of(method, sets, profile):
    """As `runs.tests_of`, for a traditional method or one of REFERENCES."""
    how = {"mattes": corpus.identity("train", "B", profile)} if method == "Mean matte" else {}
    how |= {} if method in REFERENCES else {"side": profile.test.traditional_side}
    return {pair: {**how, "data": corpus.identity(*pair, profile)} for pair in sets}


def folder(method, sets, profile):
    """Folder of an untrained method's run on `sets`, whether it exists or not; arguments as in `get`."""
    data = hashlib.sha256(json.dumps([corpus.identity(*pair, profile) for pair in sets]).encode()).hexdigest()
    side = 0 if method in REFERENCES else profile.test.traditional_side
    return paths.runs(profile.name) / f"{method.lower().replace(' ', '-')}-{side or 'full'}-{data[:8]}"


def get(method, sets, profile, progress=True):
    """The run of a traditional method, scored in the transition area of `sets`, or of one of REFERENCES, scored everywhere;
    cached like a trained one.

    Args:
        method: key of traditional.METHODS, or one of REFERENCES. sets: iterable of (set, domain). profile: config.Profile.
    Returns:
        Run.
    Raises:
        datasets.MissingData: images that are needed are not there.
    """
    run, tests = Run(folder(method, sets, profile)), tests_of(method, sets, profile)
    found = runs.finished(run, tests)
    if processes.agreed(found):
        return found
    how = {"score": whole_image} if method in REFERENCES else {"score": transition_only, "side": profile.test.traditional_side}
    with runs.writing(run):
        if processes.state().is_main_process and not run.record.get("finished"):
            run.update(method=method, finished=now(), evaluations={}, **provenance())
        for (name, domain), test in tests.items():
            make = _Constant if method in REFERENCES else _Traditional
            runs.score(run, name, domain, profile, test, make, (method, profile, progress), progress, **how)
    return run


def reference(method, profile, progress=True):
    """The run of one of REFERENCES, on those of REFERENCE_SETS that are there; errors as in `get`."""
    return get(method, corpus.available(REFERENCE_SETS, profile)[0], profile, progress)


class _Traditional:
    """Predictor of a traditional method by name."""

    def __init__(self, method, *_):
        self.estimate = METHODS[method]

    def __call__(self, sample):
        return self.estimate(sample["image"], sample["trimap"])


class _Constant:
    """Predictor of one matte, whatever the image: of one of REFERENCES."""

    def __init__(self, method, profile, progress):
        shape = profile.data.size
        mean = method == "Mean matte"
        self.matte = mean_matte(corpus.open_set("train", "B", profile, progress), shape) if mean else np.zeros(shape, np.float32)

    def __call__(self, sample):
        return resize(self.matte, sample["alpha"].shape)
