"""What an audit looks at in a folder that is to be published: pictures, with their face masks and originals, and other files."""

import os
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image as Pillow

from p3mlib import io
from p3mlib.privacy import records

LAYERS = ("facemask", "mask", "trimap", "alpha")  # folders of masks and mattes
_SOLID = 0.7  # of a matte's pixels are all or nothing


class Image(NamedTuple):
    """A picture to audit, its face mask and original, or None; why it cannot be audited, and why it has no original, or ""."""

    path: Path
    facemask: Path | None = None
    original: Path | None = None
    refused: str = ""
    alone: str = ""


def find(folder, original=None):
    """All pictures of a folder but masks, trimaps and mattes that belong to one, and all other files.

    Args:
        folder: searched in depth, results of `predict` too. original: folder of the originals, or None.
    Returns:
        (list of Image in the order of their names, dict of a pattern, relative to the folder -> names of the files of that kind
        there that are no pictures, and of hidden folders).
    Raises:
        ValueError: no picture.
    """
    found, refused = io.list_photographs(folder, results=True)
    owners = _owners(found, folder)
    paths = [path for path in (*found, *refused) if not _is_layer(path, folder, owners)]
    if not paths:
        raise ValueError(f"{folder}: no images in it; masks and mattes in folders called {', '.join(LAYERS)} are not audited")
    originals = _originals(original) if original else None
    images = [
        Image(path, refused=f"{path}: {refused[path]}") if path in refused else _with_original(path, folder, originals, original)
        for path in sorted(paths)
    ]
    return images, _others(folder, {*found, *refused})


def _with_original(path, folder, originals, original):
    name, mask = path.relative_to(folder), _facemask(folder, path.relative_to(folder))
    if originals is None:
        return Image(path, mask)
    sources = originals.get(name.with_suffix("")) or originals.get(Path(*name.with_suffix("").parts[1:]), [])
    exact = [source for source in sources if source.suffix == name.suffix]
    if len(sources) > 1 and not exact:
        return Image(path, refused=f"{path}: made of {' or '.join(map(str, sources))}? Leave one of them there")
    source = next(iter(exact or sources), None)
    return Image(path, mask, source, alone="" if source else f"no original of that name in {original}")


def _originals(folder):
    """Relative name without suffix -> originals of that name."""
    originals = {}
    for path in io.list_photographs(folder)[0]:
        originals.setdefault(path.relative_to(folder).with_suffix(""), []).append(path)
    return originals


def _is_layer(path, folder, owners):
    """True for a mask, trimap or matte that belongs to one of `_owners`: in a folder of `LAYERS`, or as `predict` names it."""
    parts = path.relative_to(folder).with_suffix("").parts
    at = next((i for i, part in enumerate(parts[:-1]) if part in LAYERS), None)
    owner = (*parts[:-1], parts[-1].removesuffix("_alpha")) if at is None else parts[:at] + parts[at + 1 :]
    if owner == parts or owner not in owners:
        return False
    try:
        with Pillow.open(path) as picture:
            values = np.asarray(picture.convert("RGB"))
    except Exception:  # it is audited, and that says what is wrong
        return False
    grey = values[..., 0]
    solid = np.isin(grey, (grey.min(), grey.max())).mean() >= _SOLID or len(np.unique(grey)) < 5
    return bool(solid) and not np.ptp(values, axis=2).any()


def _owners(paths, folder):
    """Names to which a layer may belong, as parts without suffix: of all pictures, with and without one of their folders."""
    names = (path.relative_to(folder).with_suffix("").parts for path in paths)
    owners = {parts for parts in names if not set(parts[:-1]) & set(LAYERS)}
    return owners | {parts[:i] + parts[i + 1 :] for parts in owners for i in range(len(parts) - 1)}


def _others(folder, pictures):
    """What is none of `pictures`: dict pattern -> names; the anonymiser's report is its own matter."""
    groups = {}
    for place, folders, names in os.walk(folder):
        names = [name for name in names if Path(place, name) not in pictures and Path(place, name) != folder / records.NAME]
        for name in (*names, *(name + "/" for name in folders if name[0] == ".")):
            groups.setdefault(Path(place).relative_to(folder) / f"*{Path(name).suffix}", []).append(name)
        folders[:] = [name for name in folders if name[0] != "."]
    return dict(sorted(groups.items()))


def _facemask(folder, name):
    """The face mask of an image, looked for in each folder above it up to the one beside the audited folder."""
    path = folder.absolute() / name
    for above in path.parents[: len(name.parts) + 1]:
        inner = path.relative_to(above).with_suffix(".png")
        for place in (inner, Path(*inner.parts[1:])):
            if place.name and (above / "facemask" / place).is_file():
                return above / "facemask" / place
    return None
