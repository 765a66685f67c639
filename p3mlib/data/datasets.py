"""Readers of the released folder layouts: P3M-10k, RealWorldPortrait-636 and CelebAMask-HQ.

Real and synthetic data are both just such folders and go through the same readers. Files belong together by their stem.
"""

import functools
import hashlib
import os
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from p3mlib import anonymize, io
from p3mlib.data.reading import READERS, Window, faults

RENDER = "python -m p3mlib synth DIR"
SYNTH_MARKERS = ("synth.json", "synth.unfinished.json")  # P3M-Synth's specification: of what is there, of what is being drawn
SOURCES = {
    "P3M-10k": "P3M-10k is handed out under its release agreement, see https://github.com/JizhiziLi/P3M and "
    "https://github.com/ViTAE-Transformer/P3M-Net",
    "RealWorldPortrait-636": "RealWorldPortrait-636 comes from https://github.com/yucornetto/MGMatting",
    "CelebAMask-HQ": "CelebAMask-HQ comes from https://github.com/switchablenorms/CelebAMask-HQ",
}


UNPUBLISHED = "The un-blurred images of train and P3M-500-P were never published (B:N and N:N need them); P3M-Synth has them."


class Layout(NamedTuple):
    """Where a set lies below the root of its data set, and the folder of each part."""

    dataset: str
    folder: str
    images: dict  # domain -> folder of the images
    parts: dict  # part -> folder; alpha must be there, the others may be missing


_PORTRAIT = {"alpha": "mask", "trimap": "trimap", "facemask": "facemask"}
_BOTH = {"B": "blurred_image", "N": "original_image"}
OBFUSCATED = {"Mosaic": ("mosaic", "N"), "Mask": ("mask", "B")}  # domain -> method, domain of the images it is made from
LAYOUTS = {
    "train": Layout("P3M-10k", "train", _BOTH, {**_PORTRAIT, "fg": "fg", "bg": "bg"}),
    "P3M-500-P": Layout("P3M-10k", "validation/P3M-500-P", _BOTH, _PORTRAIT),
    "P3M-500-NP": Layout("P3M-10k", "validation/P3M-500-NP", {"N": "original_image"}, _PORTRAIT),
    "RWP": Layout("RealWorldPortrait-636", "", {"N": "image"}, {"alpha": "alpha", "trimap": "trimap"}),
}


class MissingData(FileNotFoundError):
    """Data that are not where they were looked for; the message says what was expected where, and how to get it."""


def stems(folder):
    """{stem: path} of the image files in a folder, sorted; hidden files are skipped, a missing folder gives {}."""
    folder = Path(folder)
    if not folder.is_dir():
        return {}
    with os.scandir(folder) as entries:
        names = [entry.name for entry in entries if entry.name[0] != "." and entry.is_file()]
    parts = sorted(os.path.splitext(name) for name in names)  # as text, which is six times as fast as paths
    return {stem: folder / f"{stem}{suffix}" for stem, suffix in parts if suffix.lower() in io.IMAGE_SUFFIXES}


def state(name, root):
    """When the folders of a set last changed, in ns: others once a file is added, removed or renamed there, for a few
    calls of the system however many files there are. A file that is overwritten in its place is not seen."""
    layout = _layout(name)
    folders = [*layout.images.values(), *layout.parts.values()]
    return tuple(_changed(Path(root) / layout.folder / folder) for folder in folders)


def _changed(folder):
    return os.stat(folder).st_mtime_ns if os.path.isdir(folder) else None


def missing(root, dataset, needed, note=""):
    """The MissingData error for a root without images in some of the `needed` sub-folders.

    It lists what is needed and which of it is missing, points to a folder near by that has more of it, and says how to
    get the data. `note` is added after the list.
    """
    root = Path(root).absolute()
    lines = [f"{root}: no {dataset} data" + ("" if root.is_dir() else " (there is no such folder)") + "; expected below it:"]
    lines += [f"  {folder + '/':44}{_state(root / folder)}" for folder in needed]
    found = {path: sum(os.path.isdir(path / folder) for folder in needed) for path in (root, *_near(root, dataset))}
    best = max(found, key=found.get)
    lines += [f"Did you mean {best}? It has {'all' if found[best] == len(needed) else 'some'} of them."] if best != root else []
    lines += [note] if note else []
    lines.append(f"{SOURCES[dataset]}. Or render a synthetic one: {RENDER}")
    return MissingData("\n".join(lines))


def _state(folder):
    return "missing" if not folder.is_dir() else "found" if any(folder.iterdir()) else "empty"


def _near(root, dataset):
    """Folders that may have been meant: the data set's own name below, the children, the parents."""
    children = sorted(path for path in root.iterdir() if path.is_dir()) if root.is_dir() else []
    parents = list(root.parents)[:3]
    return [root / dataset, *children, *parents, *(path / dataset for path in parents)]


def is_synthetic(root):
    """True for a folder that P3M-Synth writes: its specification stands there or one level up."""
    root = Path(root).absolute()
    return any((folder / marker).is_file() for folder in (root, root.parent) for marker in SYNTH_MARKERS)


def is_unfinished(root):
    """True for a folder of P3M-Synth whose drawing was begun and not finished."""
    root = Path(root).absolute()
    finished, started = SYNTH_MARKERS
    return any((folder / started).is_file() and not (folder / finished).is_file() for folder in (root, root.parent))


def fingerprint(root, files):
    """Short hex over the relative paths and the sizes in bytes, whatever the order."""
    start, files = os.path.join(root, ""), map(os.fspath, files)
    lines = sorted(f"{path.removeprefix(start).replace(os.sep, '/')} {os.stat(path).st_size}" for path in files)
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:12]


def _layout(name):
    if name not in LAYOUTS:
        raise ValueError(f"no set '{name}'; there are {', '.join(LAYOUTS)} (and CelebAMask-HQ through open_faces)")
    return LAYOUTS[name]


def _needed(layout, domain):
    return [(Path(layout.folder) / part).as_posix() for part in (layout.images[domain], layout.parts["alpha"])]


class Portraits(Sequence):
    """Portraits with their mattes; made by `open_dataset`.

    An item is a dict: `name` str, `image` (H, W, 3) float32 in [0, 1], `alpha` (H, W) float32 in [0, 1], and where
    files exist `trimap` (H, W) float32 {0, 0.5, 1}, `facemask` (H, W) bool, `fg`, `bg` (H, W, 3) float32. Nothing is
    made up: without a trimap file there is no trimap (see `matte.make_trimap`).

    Inside the face mask a foreground file is as private as the blurred image; of un-blurred portraits `fg` shows the image there.

    Attributes:
        readers: part -> function that reads its file.
        name, domain, root: as opened. synthetic: written by P3M-Synth. names: the stems, sorted.
    """

    readers = READERS

    def __init__(self, name, domain, root, files):
        self.name, self.domain, self.root, self.synthetic = name, domain, Path(root), is_synthetic(root)
        self._files = files  # {stem: {part: path}}
        self.names = list(files)

    def __len__(self):
        return len(self.names)

    def __repr__(self):
        kind = "synthetic" if self.synthetic else "real"
        return f"Portraits({self.name}, {self.domain}, {len(self)} {kind} images, {self.root})"

    def __getitem__(self, index):
        """One portrait, or another Portraits for a slice.

        Raises:
            IndexError: out of range. io.DamagedFile: a file cannot be decoded.
            io.WrongCoding: the values of a matte, trimap or mask do not mean what they should. ValueError: see `faults`.
        """
        if isinstance(index, slice):
            return self._select(self.names[index])
        files = self.paths(index)
        sample = self._read(files, self.readers)
        if self.domain == "N" and "fg" in sample and "facemask" in sample:
            sample["fg"] = np.where(sample["facemask"][..., None], sample["image"], sample["fg"])
        if self.domain in OBFUSCATED:
            sample["image"] = anonymize.obfuscate(sample["image"], sample["facemask"], OBFUSCATED[self.domain][0])
        return {"name": self.names[index], **sample}

    def windows(self, index, parts):
        """One portrait for crops: its name and those of `parts` that it has, colours as `reading.Window` where none is made."""
        files = {part: path for part, path in self.paths(index).items() if part in parts}
        made = self.domain in OBFUSCATED or (self.domain == "N" and "fg" in parts and "facemask" in self.paths(index))
        if made:
            return {key: value for key, value in self[index].items() if key in ("name", *parts)}
        return {"name": self.names[index], **self._read(files, self.readers | dict.fromkeys(("image", "fg", "bg"), Window))}

    @staticmethod
    def _read(files, readers):
        sample = {part: readers[part](path) for part, path in files.items()}
        for part, _, why in faults(sample, files):
            raise ValueError(f"{files[part]} {why}; fetch both again, `python -m p3mlib verify` finds all")
        return sample

    def paths(self, index):
        """{part: Path} of one portrait's files; `image` and `alpha` are always among the parts."""
        return dict(self._files[self.names[index]])

    def has(self, part):
        """True when every portrait has a file for `part` (image, alpha, trimap, facemask, fg, bg)."""
        return part in self._everywhere

    @functools.cached_property
    def _everywhere(self):
        return set.intersection(*map(set, self._files.values())) if self._files else set()

    def subset(self, count):
        """The first `count` portraits."""
        return self._select(self.names[:count])

    def _select(self, names):
        return type(self)(self.name, self.domain, self.root, {name: self._files[name] for name in names})

    def folders(self):
        """Folders below the root that reading these portraits opens, sorted."""
        return sorted(
            {path.parent.relative_to(self.root).as_posix() for files in self._files.values() for path in files.values()}
        )

    def fingerprint(self):
        """Short hex over the relative paths and sizes in bytes of all files of these portraits."""
        return fingerprint(self.root, [path for files in self._files.values() for path in files.values()])


class InMemory(Sequence):
    """Portraits of which each is decoded once; pixels of 8 bits are kept as such, a quarter of what floats would take.

    Args:
        portraits: Portraits; all that they can say is passed on.
    """

    def __init__(self, portraits):
        self._portraits, self._samples = portraits, {}

    def __len__(self):
        return len(self._portraits)

    def __getitem__(self, index):
        """One portrait; IndexError out of range."""
        if index not in self._samples:
            self._samples[index] = {part: _packed(value) for part, value in self._portraits[index].items()}
        return {part: _unpacked(value) for part, value in self._samples[index].items()}

    def windows(self, index, parts):
        """One portrait: its name and those of `parts` that it has."""
        return {key: value for key, value in self[index].items() if key in ("name", *parts)}

    def __getattr__(self, name):
        return getattr(self._portraits, name)


def _packed(value):
    """A float32 array whose values are all k / 255 as uint8; anything else as it is."""
    if not (isinstance(value, np.ndarray) and value.dtype == np.float32):
        return value
    levels = np.uint8(np.round(np.clip(value, 0, 1) * 255))
    return levels if np.array_equal(_unpacked(levels), value) else value


def _unpacked(value):
    packed = isinstance(value, np.ndarray) and value.dtype == np.uint8
    return np.true_divide(value, np.float32(255), dtype=np.float32) if packed else value


def open_dataset(name, root, domain="B", limit=None):
    """Open one set of portraits.

    Args:
        name:   "train", "P3M-500-P", "P3M-500-NP" or "RWP".
        root:   folder of the data set (P3M-10k has train/ and validation/, RealWorldPortrait-636 image/ and alpha/).
        domain: "B" face-blurred or "N" normal images, "Mosaic" or "Mask" for the other two obfuscations of Table 8, made while
            reading (the first of normal images, the second of any); P3M-500-NP and RWP have N only.
        limit:  only the first so many.
    Returns:
        Portraits, sorted by name.
    Raises:
        ValueError: unknown name or domain, or a domain that the set does not have.
        MissingData: files that should be there are not, e.g. the un-blurred images, which were never published.
    Source:
        Sec. 3.2 (P3M-10k), Sec. 6.1 (RWP).
    """
    layout, root = _layout(name), Path(root)
    source = OBFUSCATED.get(domain, ("", domain))[1]
    if source not in ("B", "N"):
        raise ValueError(f"no domain '{domain}'; there are B (face-blurred), N (normal), {' and '.join(OBFUSCATED)}")
    if layout.images is not _BOTH and domain != "N":
        raise ValueError(f"{name} exists only un-blurred: open it with domain='N', not '{domain}'")
    images = stems(root / layout.folder / layout.images[source])
    mattes = stems(root / layout.folder / layout.parts["alpha"])
    if not images or not mattes:
        note = UNPUBLISHED if layout.images is _BOTH and source == "N" else ""
        raise missing(root, layout.dataset, _needed(layout, source), note)
    lacking = [stem for stem in images if stem not in mattes]
    if lacking:
        raise MissingData(
            f"{root / layout.folder / layout.parts['alpha']}: no matte for {len(lacking)} of {len(images)} images "
            f"({', '.join(lacking[:3])}{', ...' if len(lacking) > 3 else ''}); fetch them again. "
            f"{SOURCES[layout.dataset]}"
        )
    parts = {"image": images, "alpha": mattes}
    parts |= {part: stems(root / layout.folder / folder) for part, folder in layout.parts.items() if part != "alpha"}
    if domain in OBFUSCATED and (lacking := [stem for stem in images if stem not in parts["facemask"]]):
        raise MissingData(f"{root / layout.folder / 'facemask'}: no face mask for {', '.join(lacking[:3])}; '{domain}' needs all")
    chosen = list(images)[:limit]
    return Portraits(name, domain, root, {s: {part: found[s] for part, found in parts.items() if s in found} for s in chosen})
