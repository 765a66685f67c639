"""Verification of a data folder: decode every file, and check that files belonging together do belong together."""

import os
import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from PIL import Image
from tqdm.auto import tqdm

from p3mlib import io
from p3mlib.data import datasets

KINDS = ("damaged", "missing", "mis-sized", "mismatched")


class Problem(NamedTuple):
    """One finding: the file (or the place where it should be), one of KINDS, and a sentence."""

    path: Path
    kind: str
    message: str


def verify(root, progress=None):
    """Check every file of a data folder.

    Kinds: "damaged" (cannot be decoded to its last byte), "missing" (an image without its mask, or without another
    file that its neighbours have), "mis-sized" (not the size of its image), "mismatched" (a mask without an image; an
    image that is not RGB; a matte that is empty; a trimap with other values than 0, 128, 255, without unknown pixels,
    or contradicting the matte; a face mask on the background; two files for one name).

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
        for checks in _face_checks(folder) if kind == "CelebAMask-HQ" else _portrait_checks(folder, kind):
            (problems if isinstance(checks, Problem) else tasks).append(checks)
    with ThreadPoolExecutor() as pool:
        found = pool.map(lambda task: task[0](*task[1:]), tasks)
        bar = tqdm(found, total=len(tasks), desc="verify", unit="image", disable=None if progress is None else not progress)
        try:
            for more in bar:
                problems += more
        finally:
            pool.shutdown(cancel_futures=True)  # Ctrl-C does not wait for the rest
    return sorted(problems)


def _layouts(root):
    """List of (data set, folder) recognised at root, or else one level below."""
    below = sorted(path for path in root.iterdir() if path.is_dir()) if root.is_dir() else []
    for folders in ([root], below):
        found = [(kind, folder) for folder in folders for kind in _kinds(folder)]
        if found:
            return found
    layouts = "train/mask or validation/*/mask (P3M-10k), image and alpha (RealWorldPortrait-636)"
    layouts += f", {datasets.FACE_IMAGES} and {datasets.FACE_PARTS} (CelebAMask-HQ)"
    why = "nothing here looks like a data set" if root.is_dir() else "there is no such folder"
    sources = ". ".join(datasets.SOURCES.values())
    raise datasets.MissingData(f"{root}: {why}; looked for {layouts}. {sources}. Or render a synthetic one: {datasets.RENDER}")


def _kinds(folder):
    has = {part: os.path.isdir(folder / part) for part in ("image", "alpha", datasets.FACE_IMAGES, datasets.FACE_PARTS)}
    sets = [layout.folder for layout in datasets.LAYOUTS.values() if layout.folder]
    if any(os.path.isdir(folder / path / part) for path in sets for part in ("mask", "blurred_image", "original_image")):
        yield "P3M-10k"
    if has["image"] and has["alpha"]:
        yield "RealWorldPortrait-636"
    if has[datasets.FACE_IMAGES] or has[datasets.FACE_PARTS]:
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
        if path.suffix.lower() in io.IMAGE_SUFFIXES and not path.name.startswith("."):
            suffixes.setdefault(path.stem, []).append(path)
    for paths in suffixes.values():
        if len(paths) > 1:
            yield Problem(paths[0], "mismatched", f"one name, several files: {', '.join(path.name for path in paths)}")


def _decode(path):
    """(array uint8 as stored, mode) of a file that decodes completely, else a Problem."""
    try:
        data = path.read_bytes()
        if data[:2] == b"\xff\xd8" and b"\xff\xd9" not in data[-4096:]:
            return Problem(path, "damaged", "the JPEG ends before its end marker; fetch it again")
        picture = io.open_picture(path)
        if data[:8] == b"\x89PNG\r\n\x1a\n":
            with Image.open(path) as again:
                again.verify()  # check sums of all chunks
    except (OSError, SyntaxError, ValueError) as error:
        return Problem(path, "damaged", str(error))
    return np.asarray(picture), picture.mode


def _portrait(files):
    decoded = {part: _decode(path) for part, path in files.items()}
    problems = [result for result in decoded.values() if isinstance(result, Problem)]
    decoded = {part: result for part, result in decoded.items() if not isinstance(result, Problem)}
    images = [part for part in decoded if part.startswith("image")]
    for part in (*images, "fg", "bg"):
        if part in decoded and decoded[part][1] != "RGB":
            problems.append(Problem(files[part], "mismatched", f"expected an RGB image, this one is {decoded[part][1]}"))
    shapes = {part: array.shape[:2] for part, (array, _) in decoded.items()}
    wrong = [part for part in shapes if images and shapes[part] != shapes[images[0]]]
    for part in wrong:
        size, other = ("{1}x{0}".format(*shapes[which]) for which in (part, images[0]))
        problems.append(Problem(files[part], "mis-sized", f"{size} px, its image {files[images[0]].name} is {other}"))
    if images and "alpha" in decoded and "alpha" not in wrong:
        alpha = io.read_matte(files["alpha"])
        if alpha.max() == 0:
            problems.append(Problem(files["alpha"], "mismatched", "the matte is empty (zero everywhere)"))
        if "trimap" in decoded and "trimap" not in wrong:
            problems += _trimap(files["trimap"], alpha)
        if "facemask" in decoded and "facemask" not in wrong:
            face = io.read_mask(files["facemask"], released=True)
            if face.any() and alpha[face].mean() < 0.5:
                problems.append(Problem(files["facemask"], "mismatched", "the face mask lies on the background of the matte"))
    return problems


def _trimap(path, alpha):
    trimap = np.rint(io.read_matte(path) * 255).astype(np.uint8)
    values = np.unique(trimap)
    if not np.isin(values, (0, 128, 255)).all():
        strange = ", ".join(str(v) for v in values[~np.isin(values, (0, 128, 255))][:5])
        yield Problem(path, "mismatched", f"a trimap has 0, 128 and 255 only, this one also {strange}")
        return
    if not (trimap == 128).any():
        yield Problem(path, "mismatched", "the trimap has no unknown pixel (128)")
    for value, name, off in ((255, "foreground", 1 - alpha), (0, "background", alpha)):
        wrong = (trimap == value) & (off > 0.5)
        if cv2.erode(wrong.astype(np.uint8), np.ones((3, 3), np.uint8), borderValue=0).any():
            message = f"the trimap contradicts the matte: {wrong.sum()} pixels are known {name} but the matte says otherwise"
            yield Problem(path, "mismatched", message)


def _face_checks(root):
    images, folder = datasets.stems(root / datasets.FACE_IMAGES), root / datasets.FACE_PARTS
    if not images:
        yield Problem(root / datasets.FACE_IMAGES, "missing", "no images")
    parts = {}
    for path in sorted(folder.glob("*/*.png")):
        number, _, part = path.stem.partition("_")
        name = str(int(number)) if re.fullmatch(r"\d{5,}", number) else None
        if name is None or part not in datasets.PARTS or path != datasets.part_path(root, name, part):
            yield Problem(path, "mismatched", "not named <number // 2000>/<number, 5 digits>_<part>.png with a known part")
        elif name not in images:
            yield Problem(path, "mismatched", f"there is no image {name}")
        else:
            parts.setdefault(name, []).append(path)
    for name, path in images.items():
        if name not in parts:
            yield Problem(
                datasets.part_path(root, name, "skin") if name.isdigit() else path,
                "missing",
                f"image {path.name} has no part masks",
            )
        yield _face, path, parts.get(name, [])


def _face(image, masks):
    results = {path: _decode(path) for path in (image, *masks)}
    problems = [result for result in results.values() if isinstance(result, Problem)]
    good = {path: result for path, result in results.items() if not isinstance(result, Problem)}
    if image not in good:
        return problems
    array, mode = good.pop(image)
    height, width = array.shape[:2]
    if mode != "RGB":
        problems.append(Problem(image, "mismatched", f"expected an RGB image, this one is {mode}"))
    for path, (array, _) in good.items():
        rows, columns = array.shape[:2]
        if abs(rows * width - columns * height) > max(width, height):  # one pixel of rounding
            problems.append(
                Problem(path, "mis-sized", f"{columns}x{rows} px has other proportions than its image, {width}x{height}")
            )
    return problems
