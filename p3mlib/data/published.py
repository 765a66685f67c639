"""Which images P3M-10k was published with, by name: what a copy of it lacks, and what nobody outside can have."""

import lzma
from functools import cache
from importlib import resources
from pathlib import Path

from p3mlib.data import datasets

WHOLE = 0.5  # of a set's names: a folder with fewer is a sample of it
_NAMED = 20  # missing images that are named one by one
_PUBLIC = {"train": "B", "P3M-500-P": "B", "P3M-500-NP": "N"}  # set -> domain of the images that were published


@cache
def names():
    """Set (train, P3M-500-P, P3M-500-NP) -> frozenset of the stems that were published: 9,421, 500 and 500.

    Source:
        a public list of the split; `p3m_names.txt.xz` has a line "# SET" and then the digits behind "p_", one a line.
    """
    found, digits = {}, set()
    text = lzma.decompress(resources.files("p3mlib.data").joinpath("p3m_names.txt.xz").read_bytes()).decode("ascii")
    for line in text.split():
        if line in _PUBLIC:
            digits = found[line] = set()
        elif line != "#":
            digits.add(f"p_{line}")
    return {name: frozenset(stems) for name, stems in found.items()}


def lacking(root):
    """What a real P3M-10k folder lacks of the images that were published.

    A folder is that of the real data set where most of a set's images have published names and P3M-Synth did not write it; of all
    others nothing is said.

    Args:
        root: P3M-10k folder.
    Returns:
        (list of (kind of `verify`, path, sentence), list of sentences). The first are faults: images that a set of which at least
        half is there lacks, each where it should be, or one entry for more than 20; images that belong to another set, in such a
        set and in the training set. The second are none: a set that is a sample or absent, images of another set in a sample,
        images that were never published.
    """
    root, faults, remarks = Path(root), [], []
    everything = frozenset().union(*names().values())
    files = {name: _images(root, name) for name in names()}
    present = {name: set().union(*found.values()) for name, found in files.items()}
    real = {name for name, stems in present.items() if len(stems & everything) > len(stems) / 2}
    if datasets.is_synthetic(root) or not real:
        return faults, remarks
    for name in (name for name in names() if name in real or not present[name]):
        folder, there = root / datasets.LAYOUTS[name].folder, present[name] & names()[name]
        whole, strange = len(there) >= WHOLE * len(names()[name]), list(_strangers(name, files[name]))
        faults += strange if whole or name == "train" else []
        faults += _missing(folder, name, there) if whole else []
        remarks += [] if whole else [_sample(name, there), *(f"{name}: {text}" for *_, text in strange if name != "train")]
        remarks += _unpublished(name, files[name])
    return faults, remarks


def _images(root, name):
    """Domain -> {stem: path} of a set's images."""
    layout = datasets.LAYOUTS[name]
    return {domain: datasets.stems(root / layout.folder / part) for domain, part in layout.images.items()}


def _strangers(name, files):
    """Images that the release has in another set: whoever trains on them tests on what was trained on."""
    for other in sorted(names().keys() - {name}):
        for found in files.values():
            for stem in sorted(found.keys() & names()[other]):
                yield "mismatched", found[stem], f"{stem} belongs to {other}, not to {name}"


def _missing(folder, name, there):
    """Faults: the published images that a set lacks."""
    wanted, images = names()[name], datasets.LAYOUTS[name].images[_PUBLIC[name]]
    gone = sorted(wanted - there)
    if len(gone) > _NAMED:
        text = (
            f"{len(gone):,} of the {len(wanted):,} published images are not here ({', '.join(gone[:6])}, ...); fetch them again"
        )
        return [("missing", folder / images, text)]
    text = f"was published in {name} and is not here; fetch it again"
    return [("missing", folder / images / f"{stem}.jpg", f"{stem} {text}") for stem in gone]


def _sample(name, there):
    count = len(names()[name])
    if not there:
        return f"{name}: none of the {count:,} published images is here"
    return f"{name}: {len(there):,} of the {count:,} published images are here, {count - len(there):,} lack"


def _unpublished(name, files):
    """The sentence on images of a set that nobody outside has."""
    lacks = [domain for domain, found in files.items() if domain != _PUBLIC[name] and not found and any(files.values())]
    return [f"{name}: {datasets.LAYOUTS[name].images[domain]}/ is not here because it was never published" for domain in lacks]
