"""Any two folders of images and mattes, or of images and binary masks, as portraits."""

import os
from pathlib import Path

import numpy as np

from p3mlib import io
from p3mlib.data import datasets
from p3mlib.data.reading import READERS


def _binary(path):
    return io.read_mask(path).astype(np.float32)


class Pictures(datasets.Portraits):
    """Photographs with their mattes; made by `open_pictures`. Items and attributes are those of Portraits; the name of a file may
    hold anything that `io.printable` shows in one line."""

    readers = {**READERS, "image": io.read_photograph}


class Silhouettes(Pictures):
    """Photographs with binary masks, which stand in place of `alpha` as 0 and 1."""

    readers = {**Pictures.readers, "alpha": _binary}


def open_pictures(images, mattes, binary=False, limit=None):
    """Open a folder of images with a folder of mattes; files belong together by their stem.

    Args:
        images, mattes: folders; sub-folders are not searched. Mattes without an image are left out.
        binary: the mattes are masks, drawn as in `io.read_mask`. limit: only the first so many.
    Returns:
        Pictures, sorted by name; masks of Silhouettes are 0 or 1.
    Raises:
        datasets.MissingData: no images, or images without a matte; names the folder and the first of them.
    """
    found, drawn = datasets.stems(images), datasets.stems(mattes)
    what = "mask" if binary else "matte"
    for folder, files, kind in ((images, found, "image"), (mattes, drawn, what)):
        if not files:
            why = f"no {kind} in it ({', '.join(io.IMAGE_SUFFIXES)})" if Path(folder).is_dir() else "there is no such folder"
            raise datasets.MissingData(f"{folder}: {why}; name the folder that holds the {kind}s themselves")
    if lacking := [stem for stem in found if stem not in drawn]:
        some = ", ".join(lacking[:3]) + ", ..." * (len(lacking) > 3)
        raise datasets.MissingData(
            f"{mattes}: no {what} for {len(lacking)} of {len(found)} images ({some}); a {what} has the name of its image"
        )
    root = os.path.commonpath([Path(images).absolute(), Path(mattes).absolute()])
    files = {stem: {"image": path.absolute(), "alpha": drawn[stem].absolute()} for stem, path in list(found.items())[:limit]}
    return (Silhouettes if binary else Pictures)(Path(images).absolute().name, "N", root, files)
