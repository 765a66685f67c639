"""Images that a profile trains and tests on: real where the environment names them, else P3M-Synth, rendered when missing."""

from functools import lru_cache

import numpy as np

from p3mlib import paths
from p3mlib.data import celeba, datasets, places
from p3mlib.experiments import needs
from p3mlib.synthetic import dataset as synthetic

_FOLDERS = {"P3M-10k": "P3M-10k", "RWP": "RealWorldPortrait-636", "CelebAMask-HQ": "CelebAMask-HQ"}
_HOME_OF = {"RWP": "RWP", "CelebA": "CelebAMask-HQ"}  # every other set belongs to P3M-10k


def root(name, profile, progress=True, count=None):
    """Folder that holds a set: the real one if the environment names it, else P3M-Synth, rendered when missing.

    Args:
        name: train, P3M-500-P, P3M-500-NP, RWP or CelebA. profile: config.Profile. count: only so many images are needed.
    """
    dataset = _HOME_OF.get(name, "P3M-10k")
    real = paths.real_root(dataset)
    if real is not None:
        return real
    whole = profile.data.counts[name]
    return render(profile, progress, {name: whole if count is None else min(count, whole)}) / _FOLDERS[dataset]


def real_root(name):
    """Folder of the real data set that has a set, as the environment names it, or None."""
    return paths.real_root(_HOME_OF.get(name, "P3M-10k"))


_complete = {}  # what this process has seen complete: looking at every file takes a while


def render(profile, progress, counts=None):
    """Render the first `counts` = {set: number} of P3M-Synth where they are missing, by default all; returns its folder."""
    spec, folder = profile.data, paths.data(profile.name)
    counts, key = counts or spec.counts, (folder, repr(spec))
    seen = _complete.get(key, {}) if datasets.is_synthetic(folder) else {}
    if any(count > seen.get(name, -1) for name, count in counts.items()):
        synthetic.write_all(folder, spec.counts, spec.size, spec.seed, progress=progress, now=counts)
        _complete[key] = seen | {name: max(count, seen.get(name, 0)) for name, count in counts.items()}
    return folder


def check_real_roots():
    """Raise datasets.MissingData if a folder named in the environment holds no set of its data set, or P3M-Synth in part."""
    for dataset in paths.REAL_ROOTS:
        root, failures = paths.real_root(dataset), []
        if root and datasets.is_unfinished(root):
            raise datasets.MissingData(
                f"{root}: P3M-Synth of which not all is drawn; python -m p3mlib synth draws what is missing"
            )
        sets = [(n, d) for n, layout in datasets.LAYOUTS.items() if _HOME_OF.get(n, "P3M-10k") == dataset for d in layout.images]
        for name, domain in sets if root else ():
            try:
                datasets.open_dataset(name, root, domain, limit=1)
                break
            except datasets.MissingData as error:
                failures.append(error)
        else:
            if failures:
                raise failures[0]
        if root and dataset == "CelebAMask-HQ":
            celeba.open_faces(root, limit=1)


def open_set(name, domain, profile, progress=True, count=None):
    """Portraits of one set, or the Faces of CelebA, real or synthetic, with at least the first `count` images, by default
    all; see `root` and `datasets.open_dataset`."""
    return _open(name, root(name, profile, progress, count), domain)


def _open(name, root, domain):
    """A set, listed once a process until one of its folders changes: every run asks for it, several times."""
    return _listed(name, root, domain, celeba.faces_state(root) if name == "CelebA" else datasets.state(name, root))


@lru_cache(maxsize=16)
def _listed(name, root, domain, state):
    return celeba.open_faces(root) if name == "CelebA" else datasets.open_dataset(name, root, domain)


@lru_cache(maxsize=16)
def _fingerprint(portraits):
    return portraits.fingerprint()


def kept(name, domain, profile, progress):
    """`open_set` for training and scoring: P3M-Synth is decoded once a process where the profile trains from memory.

    Real photographs are larger and many more: they stay on disk.
    """
    if not profile.train.in_memory or real_root(name) is not None:
        return open_set(name, domain, profile, progress)
    return _in_memory(name, domain, root(name, profile, progress), identity(name, domain, profile))


@lru_cache(maxsize=8)  # both domains of the training set and the test sets of a row
def _in_memory(name, domain, root, identity):
    return datasets.InMemory(_open(name, root, domain))


def available(sets, profile):
    """Which of `sets` can be opened: (list of (set, domain), dict (set, domain) -> reason for the others).

    P3M-Synth always can, so it is not rendered here.
    """
    there, reasons = [], {}
    for pair in sets:
        try:
            if real_root(pair[0]) is not None:
                open_set(*pair, profile)
            there.append(pair)
        except datasets.MissingData as error:
            reasons[pair] = str(error).splitlines()[0]
    return there, reasons


def samples(name, domain, profile, count):
    """The first `count` samples of a set for looking at; an empty list where the data is missing."""
    try:
        portraits = open_set(name, domain, profile, count=count)
    except datasets.MissingData:
        return []
    return [portraits[i] for i in range(min(count, len(portraits)))]


def size(name, domain, profile):
    """Number of images of a set; none is rendered to count them. Raises datasets.MissingData where real ones are missing."""
    real = real_root(name)
    return profile.data.counts[name] if real is None else len(_open(name, real, domain))


def example(name, domain, profile, among=24):
    """Of the first `among` samples of a set the one with the largest share of partly transparent pixels: hair, so that mattes
    differ; None where the data is missing."""
    soft = [
        (np.mean((s["alpha"] > 0.05) & (s["alpha"] < 0.95)), -i, s) for i, s in enumerate(samples(name, domain, profile, among))
    ]
    return max(soft)[2] if soft else None


def identity(name, domain, profile):
    """Short text that changes when the images of a set change; needs no synthetic image on disk."""
    effect = f"-{domain}" if domain in datasets.OBFUSCATED else ""
    real = real_root(name)
    if real is not None:
        return f"real-{_fingerprint(_open(name, real, domain))}{effect}"
    spec = profile.data
    height, width = spec.size
    return f"synth{synthetic.SYNTH_VERSION}-{height}x{width}-n{spec.counts[name]}-s{spec.seed}{effect}"


def check_batch(experiment):
    """ValueError where an experiment's training set has fewer images than one batch."""
    count, batch = size("train", experiment.row.domain, experiment.profile), experiment.train.batch_size
    if count < batch:
        raise ValueError(f"{experiment.name}: {count} training images are fewer than one batch of {batch}")


def training_identity(experiment):
    """Identity of all images that a training reads. Raises datasets.MissingData where real ones lack something that it needs."""
    row, profile = experiment.row, experiment.profile
    if (real := paths.real_root("P3M-10k")) is not None:
        needs.check(experiment, _open("train", real, row.domain))
    faces = [identity("CelebA", "N", profile)] if row.copy_paste != "none" else []
    behind = [places.identity(paths.places())] if experiment.train.ingredients else []
    return "+".join([identity("train", row.domain, profile), *faces, *behind])
