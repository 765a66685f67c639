"""Verification of a data folder: decode every file, and check that files belonging together do belong together."""

import os
import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from PIL import Image

from p3mlib import io
from p3mlib.bars import tqdm
from p3mlib.data import celeba, datasets, published
from p3mlib.data.reading import READERS, faults

KINDS = ("damaged", "missing", "mis-sized", "mismatched")


class Problem(NamedTuple):
    """One finding: the file (or the place where it should be), one of KINDS, and a sentence."""

    path: Path
    kind: str
    message: str


def verify(root, progress=None):
    """Check every file of a data folder.

    Files are read as training reads them (`reading`), so that what is refused there is found here. Kinds: "damaged" (cannot be
    decoded to its last byte; data after the end of a JPEG do no harm), "missing" (an image without its mask, or without another
    file that its neighbours have), "mis-sized" (not the size of its image), "mismatched" (a mask without an image; an image that
    is not RGB; a mask, matte or trimap in colours, with an alpha channel, or coded 0/1 instead of 0/255; a matte that is empty,
    full or inverted; a trimap with other values than 0, 128, 255, without unknown pixels, or contradicting the matte; a face mask
    on the background; files turned by EXIF differently; two files for one name). Of a real P3M-10k folder also what `published`
    knows: images that are missing from a set of which at least half is there, and images of another set.

    A trimap contradicts its matte where a known pixel is off by more than 0.5, i.e. the matte puts it on the other
    side, and such pixels fill a 3x3 square: a seam of one or two pixels is what resizing or registration leaves.

    Args:
        root:     a P3M-10k, RealWorldPortrait-636 or CelebAMask-HQ folder, or one with such folders in it (P3M-Synth).
        progress: True or False; None shows a bar only on a terminal.
    Returns:
        list of Problem, sorted by path; empty when all is well.
    Raises:
        datasets.MissingData: none of the three layouts; the message shows what was expected.
    """
    tasks, problems = [], []
    for kind, folder in _layouts(Path(root)):
        problems += _published(folder) if kind == "P3M-10k" else []
        for checks in _face_checks(folder) if kind == "CelebAMask-HQ" else _portrait_checks(folder, kind):
            (problems if isinstance(checks, Problem) else tasks).append(checks)
    with ThreadPoolExecutor() as pool:
        found = pool.map(lambda task: list(task[0](*task[1:])), tasks)
        bar = tqdm(found, total=len(tasks), desc="verify", unit="image", disable=None if progress is None else not progress)
        try:
            for more in bar:
                problems += more
        finally:
            pool.shutdown(cancel_futures=True)  # Ctrl-C does not wait for the rest
    return sorted(problems)


def remarks(root):
    """Sentences on what a real P3M-10k folder lacks without being at fault: never published, or it is a sample of the set.

    Args:
        root: as for `verify`.
    """
    return [text for kind, folder in _layouts(Path(root)) if kind == "P3M-10k" for text in published.lacking(folder)[1]]


def _published(folder):
    return [Problem(path, kind, message) for kind, path, message in published.lacking(folder)[0]]


def _layouts(root):
    """List of (data set, folder) recognised at root, or else one level below."""
    below = sorted(path for path in root.iterdir() if path.is_dir() and path.name[0] != ".") if root.is_dir() else []
    for folders in ([root], below):
        found = [(kind, folder) for folder in folders for kind in _kinds(folder)]
        if found:
            return found
    layouts = "train/mask or validation/*/mask (P3M-10k), image and alpha (RealWorldPortrait-636)"
    layouts += f", {celeba.FACE_IMAGES} and {celeba.FACE_PARTS} (CelebAMask-HQ)"
    why = "nothing here looks like a data set" if root.is_dir() else "a file" if root.exists() else "there is no such folder"
    sources = ". ".join(datasets.SOURCES.values())
    raise datasets.MissingData(f"{root}: {why}; looked for {layouts}. {sources}. Or render a synthetic one: {datasets.RENDER}")


def _kinds(folder):
    has = {part: os.path.isdir(folder / part) for part in ("image", "alpha", celeba.FACE_IMAGES, celeba.FACE_PARTS)}
    sets = [layout.folder for layout in datasets.LAYOUTS.values() if layout.folder]
    if any(os.path.isdir(folder / path / part) for path in sets for part in ("mask", "blurred_image", "original_image")):
        yield "P3M-10k"
    if has["image"] and has["alpha"]:
        yield "RealWorldPortrait-636"
    if has[celeba.FACE_IMAGES] or has[celeba.FACE_PARTS]:
        yield "CelebAMask-HQ"


def _portrait_checks(root, dataset):
    """Problems of whole folders, and one task (function, arguments) per portrait."""
    for layout in datasets.LAYOUTS.values():
        base = root / layout.folder
        if layout.dataset != dataset or not base.is_dir():
            continue
        folders = {f"image {domain}": folder for domain, folder in layout.images.items()} | layout.parts
        files = {part: datasets.stems(base / folder) for part, folder in folders.items()}
        images = {stem for part in files if part.startswith("image") for stem in files[part]}
        for part, folder in folders.items():
            yield from _duplicates(base / folder)
            if part == "alpha" or files[part]:
                suffix = ".jpg" if part.startswith("image") else ".png"
                for stem in sorted(images - set(files[part])):
                    yield Problem(base / folder / f"{stem}{suffix}", "missing", f"{stem} has no file in {folder}/")
            for stem in sorted(set(files[part]) - images):
                yield Problem(files[part][stem], "mismatched", f"there is no image {stem}")
        if not images:
            yield Problem(base, "missing", f"no images in {' or '.join(layout.images.values())}")
        for stem in sorted(images):
            yield _portrait, {part: found[stem] for part, found in files.items() if stem in found}


def _duplicates(folder):
    """A stem with two suffixes: which of them is read would be an accident."""
    suffixes = {}
    for path in sorted(folder.iterdir()) if folder.is_dir() else []:
        if path.suffix.lower() in io.IMAGE_SUFFIXES and path.name[0] != "." and path.is_file():
            suffixes.setdefault(path.stem, []).append(path)
    for paths in suffixes.values():
        if len(paths) > 1:
            yield Problem(paths[0], "mismatched", f"one name, several files: {', '.join(path.name for path in paths)}")


def _decode(part, path):
    """What is read of a file: an array, of an image the PIL picture, else a Problem."""
    try:
        data = path.read_bytes()
        if data[:2] == b"\xff\xd8" and not _jpeg_ends(data):
            return Problem(path, "damaged", "the JPEG ends before its end marker; fetch it again")
        if data[:8] == b"\x89PNG\r\n\x1a\n":
            with Image.open(path) as picture:
                picture.verify()  # check sums of all chunks
        return io.open_picture(path) if READERS[part] is io.read_image else READERS[part](path)
    except io.WrongCoding as error:
        return Problem(path, "mismatched", str(error).removeprefix(f"{path}: "))
    except Exception as error:  # of this one file, whatever it is
        return Problem(path, "damaged", io.reason(error).removeprefix(f"{path}: "))


def _jpeg_ends(data):
    """True where a JPEG has its end marker, whatever follows: phones append a film, a second picture, a depth map."""
    at = 2
    while 0 <= at < len(data) - 1:
        marker = data[at + 1]
        if data[at] != 0xFF or marker == 0xD9:
            return marker == 0xD9 and data[at] == 0xFF
        if marker == 0xFF:  # a fill byte
            at += 1
        elif marker == 0x00 or 0xD0 <= marker <= 0xD7 or marker == 0x01:  # inside compressed data
            at = data.find(b"\xff", at + 2)
        else:
            at += 2 + int.from_bytes(data[at + 2 : at + 4], "big")
            at = data.find(b"\xff", at) if marker == 0xDA else at
    return False


def _portrait(files):
    """Problems of one portrait; `files` has "image B", "image N", or one of them, in place of "image"."""
    decoded = {part: _decode(part.split()[0], path) for part, path in files.items()}
    yield from (result for result in decoded.values() if isinstance(result, Problem))
    decoded = {part: result for part, result in decoded.items() if not isinstance(result, Problem)}
    for part, result in decoded.items():
        if isinstance(result, Image.Image):
            yield from _colours(files[part], result)
            decoded[part] = np.asarray(result)
    images = [part for part in decoded if part.startswith("image")]
    if not images:
        return
    sample = {"image": decoded.pop(images[0]), **decoded}
    found = list(faults(sample, {**files, "image": files[images[0]]}))
    yield from (Problem(files[part], kind, why) for part, kind, why in found)
    wrong, alpha = {part for part, kind, _ in found if kind == "mis-sized"}, sample.get("alpha")
    if alpha is None or "alpha" in wrong:
        return
    if _upside_down(alpha):
        yield Problem(
            files["alpha"], "mismatched", "the matte looks inverted: what is above the person is opaque, the middle is not"
        )
    if "trimap" in sample and "trimap" not in wrong:
        yield from _trimap(files["trimap"], sample["trimap"], alpha)
    if "facemask" in sample and "facemask" not in wrong:
        face = sample["facemask"]
        if face.any() and alpha[face].mean() < 0.5:
            yield Problem(files["facemask"], "mismatched", "the face mask lies on the background of the matte")


def _colours(path, picture):
    if picture.mode != "RGB":
        yield Problem(path, "mismatched", f"expected an RGB image, this one is {picture.mode}")


def _upside_down(alpha):
    """True for a matte that is opaque all along its upper edge and transparent in its middle third: no portrait is."""
    height, width = alpha.shape
    middle = alpha[height // 3 : -(-2 * height // 3), width // 3 : -(-2 * width // 3)]
    return bool(alpha[: max(1, height // 50)].mean() > 0.9 and middle.size and middle.mean() < 0.1)


def _trimap(path, trimap, alpha):
    if not (trimap == 0.5).any():
        yield Problem(path, "mismatched", "the trimap has no unknown pixel (128)")
    for value, name, off in ((1, "foreground", 1 - alpha), (0, "background", alpha)):
        wrong = (trimap == value) & (off > 0.5)
        if cv2.erode(wrong.astype(np.uint8), np.ones((3, 3), np.uint8), borderValue=0).any():
            message = f"the trimap contradicts the matte: {wrong.sum()} pixels are known {name} but the matte says otherwise"
            yield Problem(path, "mismatched", message)


def _face_checks(root):
    images, folder = datasets.stems(root / celeba.FACE_IMAGES), root / celeba.FACE_PARTS
    if not images:
        yield Problem(root / celeba.FACE_IMAGES, "missing", "no images")
    parts = {}
    for path in sorted(path for path in folder.glob("*/*.png") if path.name[0] != "."):
        number, _, part = path.stem.partition("_")
        name = str(int(number)) if re.fullmatch(r"\d{5,}", number) else None
        if name is None or part not in celeba.PARTS or path != celeba.part_path(root, name, part):
            yield Problem(path, "mismatched", "not named <number // 2000>/<number, 5 digits>_<part>.png with a known part")
        elif name not in images:
            yield Problem(path, "mismatched", f"there is no image {name}")
        else:
            parts.setdefault(name, []).append(path)
    for name, path in images.items():
        if name not in parts:
            yield Problem(
                celeba.part_path(root, name, "skin") if name.isdigit() else path,
                "missing",
                f"image {path.name} has no part masks",
            )
        yield _face, path, parts.get(name, [])


def _face(image, masks):
    """Problems of one face; its masks may be smaller than the image, in the same proportions."""
    results = {path: _decode("image" if path == image else "facemask", path) for path in (image, *masks)}
    yield from (result for result in results.values() if isinstance(result, Problem))
    if isinstance(results[image], Problem):
        return
    picture = results.pop(image)
    yield from _colours(image, picture)
    width, height = picture.size
    for path, mask in results.items():
        if isinstance(mask, Problem):
            continue
        rows, columns = mask.shape
        if abs(rows * width - columns * height) > max(width, height):  # one pixel of rounding
            yield Problem(path, "mis-sized", f"{columns}x{rows} px has other proportions than its image, {width}x{height}")
