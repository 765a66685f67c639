"""Files that a person made for photographs, landmarks, masks and mattes: which belongs to which, and what they say."""

import json
from typing import NamedTuple

import cv2
import numpy as np

from p3mlib import io
from p3mlib.anonymize import face_width, private_area
from p3mlib.privacy.faces import LEAST, Face

_TURNS = {  # EXIF orientation -> function from the picture as it is stored to the one that is shown
    2: np.fliplr,
    3: lambda stored: np.rot90(stored, 2),
    4: np.flipud,
    5: np.transpose,
    6: lambda stored: np.rot90(stored, -1),
    7: lambda stored: np.rot90(stored, 2).T,
    8: np.rot90,
}


class Assigned(NamedTuple):
    """files: photograph -> tuple of its files; wrong: photograph -> why its files cannot be told; unused: file -> why."""

    files: dict
    wrong: dict
    unused: dict


class Hand(NamedTuple):
    """What a person marked in one photograph: faces, list of Face; mask (H, W) bool or None; note, in words."""

    faces: list
    mask: np.ndarray | None
    note: str = ""


def assign(photographs, base, folder, landmarks):
    """Say for every file of a folder which photograph it belongs to, before anything is done.

    A file belongs to the photograph of its name at the same place below `base`, or, from the top of the folder, to the one of its
    name anywhere: `a.png`, `a.jpg.png` and `A.PNG` to `a.jpg`. Photographs are nobody's file, though their folder be given.

    Args:
        photographs: all that there are, not only those to be done. base: the folder that they lie in.
        folder:      of the files, or None. landmarks: True for `--landmarks` (.json, and pictures for masks), where one
                     photograph may have several; False for `--alpha` (pictures).
    Returns:
        Assigned; every file that does not begin with a dot is in `files`, in `unused`, or named by a reason in `wrong`.
    """
    files, wrong, unused, fits = {}, {}, {}, {}
    names, own = {path: path.relative_to(base) for path in photographs}, {path.resolve() for path in photographs}
    suffixes = (*io.IMAGE_SUFFIXES, ".json") if landmarks else io.IMAGE_SUFFIXES
    for file in sorted(folder.rglob("*")) if folder else ():
        inner = file.relative_to(folder)
        if not file.is_file() or file.resolve() in own or any(part.startswith(".") for part in inner.parts):
            continue
        if file.suffix.lower() in suffixes:
            fits[file] = inner, _fitting(inner, names)
        elif folder.resolve() != base.resolve():  # beside photographs, other files are not meant for us
            unused[file] = f"not a kind of file that is read here ({', '.join(suffixes)})"
    placed = {photo for inner, photos in fits.values() for photo in photos if len(inner.parts) > 1}
    for file, (inner, photos) in fits.items():
        photos = [photo for photo in photos if len(inner.parts) > 1 or photo not in placed]
        if not photos:
            unused[file] = "belongs to no photograph; it needs a photograph's name, at the same place or at the top of the folder"
        elif len(photos) > 1:
            text = f"{file}: may belong to {' or '.join(map(str, photos))}; put it at the same place as its photograph"
            wrong |= dict.fromkeys(photos, text)
        else:
            files[photos[0]] = (*files.get(photos[0], ()), file)
    for photo, several in files.items():
        if len(several) > 1 and not landmarks:
            wrong[photo] = f"{' and '.join(map(str, several))}: two mattes of {photo}; keep one"
    return Assigned(files, wrong, unused)


def _fitting(inner, names):
    """Photographs that a file may belong to: those of the very same name where there are any, else without regard to capitals."""
    top = len(inner.parts) == 1
    places = [(photo, name) for photo, name in names.items() if top or inner.parent == name.parent]
    exact = [photo for photo, name in places if inner.stem in (name.stem, name.name)]
    folded = inner.stem.casefold()
    return exact or [photo for photo, name in places if folded in (name.stem.casefold(), name.name.casefold())]


def read(files, shape, turn=1, found=()):
    """Read what a person marked in one photograph.

    A program that does not turn photographs as EXIF says draws on the stored pixels. Where such a mask would fit too and covers
    none of the detectors' faces, what it covers in either reading is marked.

    Args:
        files: paths, .json of faces with 68 [x, y] each, or masks as `io.read_mask` takes them; what outlines enclose is inside.
        shape: (H, W) of the photograph as shown. turn: its EXIF orientation, 1 to 8. found: the detectors' faces.
    Returns:
        Hand.
    Raises:
        ValueError: naming file and face; a mask of another size, landmarks outside the picture, too close together, or not 68.
    """
    marked, mask = [], None
    for file in files:
        if file.suffix.lower() == ".json":
            marked += _landmarks(file, shape)
        else:
            drawn = _filled(_sized(file, io.read_mask(file), shape, turn))
            mask = drawn if mask is None else mask | drawn
    areas = [mask] * (mask is not None) + [private_area(face.landmarks, shape, "hull") for face in marked]
    covered = any(area[_middle(face, shape)] for area in areas for face in found)
    if turn not in _TURNS or not areas or covered:
        return Hand(marked, mask)
    stored = shape if turn < 5 else shape[::-1]
    others = [mask] * (mask is not None and stored == shape)
    others += [private_area(face.landmarks, stored, "hull") for face in marked]
    if not others:
        return Hand(marked, mask)
    mask = np.any([*([] if mask is None else [mask]), *(_TURNS[turn](area) for area in others)], axis=0)
    return Hand(
        marked,
        mask,
        f"{files[0]}: drawn on the picture as shown, or on the stored pixels before EXIF turns them? Both are hidden",
    )


def _sized(file, array, shape, turn=1):
    """The array. Raises ValueError where it is not of the photograph's size."""
    if array.shape != tuple(shape):
        hint = "; it fits the stored pixels before EXIF turns them: turn it too" * (
            turn >= 5 and array.shape == tuple(shape[::-1])
        )
        raise ValueError(f"{file}: {array.shape[1]}x{array.shape[0]} px, but its image has {shape[1]}x{shape[0]}{hint}")
    return array


def read_matte(file, shape, turn=1):
    """Matte of one photograph, (H, W) float32 in [0, 1]. Raises ValueError: another size, or as `io.read_matte`."""
    return _sized(file, io.read_matte(file), shape, turn)


def _filled(mask):
    """The mask with what its outlines enclose."""
    filled = mask.astype(np.uint8)
    outlines, _ = cv2.findContours(filled, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    return cv2.drawContours(filled, outlines, -1, 1, cv2.FILLED) > 0


def _middle(face, shape):
    """Index of the pixel in the middle of a face."""
    x, y = np.rint(face.landmarks.mean(0)).astype(int)
    return min(max(y, 0), shape[0] - 1), min(max(x, 0), shape[1] - 1)


def _landmarks(file, shape):
    """Faces of a JSON file. Raises ValueError, naming file and face."""
    try:
        listed = json.loads(file.read_text(encoding="utf-8-sig"))
        listed = listed["faces"] if isinstance(listed, dict) else listed
        points = [np.asarray(face, np.float64) for face in listed]
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{file}: expected a list of faces with 68 [x, y] each ({error})") from error
    for i, face in enumerate(points):
        if face.shape != (68, 2) or not np.isfinite(face).all():
            raise ValueError(f"{file}: face {i} has shape {face.shape}, expected 68 finite [x, y]")
        if face_width(face) < LEAST:
            raise ValueError(f"{file}: face {i} is {face_width(face):.1f} px wide; expected pixels, not shares of the picture")
        if abs(face).max() > 2**15 or not private_area(face, shape, "hull").any():
            raise ValueError(f"{file}: face {i} lies outside the picture of {shape[1]}x{shape[0]} px")
    boxes = [(*face[17:].min(0), *face[17:].max(0)) for face in points]
    return [Face(face, box, 1.0, "manual") for face, box in zip(points, boxes, strict=True)]
