"""How often faces are found, and what anonymising leaves open, by size: on any folder of portraits of one person each.

A portrait is made so small that its face has the size asked for, made grey, turned, or put beside five others; then it goes
through the same detection and the same hiding as `anonymize`. Nothing of the portraits is kept but counts and distances.
"""

from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import cv2
import numpy as np
import pandas as pd

from p3mlib import io
from p3mlib.anonymize import face_width, private_area
from p3mlib.bars import tqdm
from p3mlib.privacy import faces
from p3mlib.privacy.exposure import KEPT, detail, judge
from p3mlib.privacy.photograph import LeftOpen, Settings, hide

SIZES = (24, 32, 48, 64, 100, 200)  # pixels from cheek to cheek
TURNS = {"on its side": cv2.ROTATE_90_CLOCKWISE, "upside down": cv2.ROTATE_180}
VIEWS = ("upright", "grey", *TURNS, "group of six")
_GROUP, _COLUMNS, _GREY = 6, 3, 0.5
_LARGE = 60  # pixels; no face in the portraits themselves is smaller
_NECK = 0.75  # of the width of the skin's bounding box: about the width of a face, where no detector finds it


def measure(folder, sizes=SIZES, limit=None, jobs=None, progress=True):
    """Look for the faces of portraits at several sizes, hide what is found, and see what stays open.

    Args:
        folder: with `image/*.jpg` and `skin/<name>.png`, hand-drawn masks that say where a face is if no detector does.
        sizes:  pixels from cheek to cheek. limit: only so many portraits. jobs: processes, None means one per CPU.
    Returns:
        DataFrame, a row for each portrait, size and view: name, size, view; found; extra, detections that are no known face;
        outcome of the picture, "done", "no face" or "refused" (neither of these is written); open, the face is in a picture that
        is done and keeps its detail, a part, or its identity; before and after, identity distances: of the face as found at this
        size to the portrait at full size, and of the hidden one to the face before; NaN where not measured.
    Raises:
        FileNotFoundError: no portraits there. ImportError: dlib is missing.
    """
    names = sorted(path.stem for path in (Path(folder) / "image").glob("*.jpg"))[:limit]
    if not names:
        raise FileNotFoundError(f"{folder}: no image/*.jpg in it; name a folder of portraits with masks of their skin in skin/")
    groups = [tuple(names[i : i + _GROUP]) for i in range(0, len(names) - _GROUP + 1, _GROUP)]
    tasks = [*groups, *((name,) for name in names)]
    work = partial(_task, Path(folder), sizes)
    with ProcessPoolExecutor(jobs, get_context("spawn")) as pool:
        done = tqdm(pool.map(work, tasks), total=len(tasks), desc="faces by size", unit="picture", disable=not progress)
        return pd.DataFrame([row for rows in done for row in rows])


def by_size(table):
    """The rows of `measure` as shares of faces, in percent: found by size and view, and what became of them.

    Columns: the views' share of faces found; left open, of all faces; not written, of all faces; recognised, of those that were
    hidden and are large enough to be judged (exposure.judge); distance, the median of dlib's between a face and its hidden self.
    """
    found = (
        100
        * table.pivot_table(index="size", columns="view", values="found", aggfunc="mean")[
            [view for view in VIEWS if view in set(table["view"])]
        ]
    )
    sizes = table.groupby("size")
    found["left open"] = 100 * sizes["open"].mean()
    found["not written"] = 100 * sizes["outcome"].agg(lambda outcome: (outcome != "done").mean())
    found["distance"] = sizes["after"].median()
    found["hits elsewhere"] = sizes["extra"].sum()
    return found


def _task(folder, sizes, names):
    """Rows of one portrait in all its views, or of one group, at all sizes."""
    cv2.setNumThreads(1)
    people, rows = [_portrait(folder, name) for name in names], []
    for size in sizes:
        small = [_scaled(*person, size) for person in people]
        if len(small) > 1:
            rows += _rows(names, size, "group of six", *_beside(small))
            continue
        (image, face) = small[0]
        grey = np.repeat(image.mean(2, keepdims=True), 3, 2)
        rows += _rows(names, size, "upright", image, [face]) + _rows(names, size, "grey", grey, [face])
        for view, turn in TURNS.items():
            rows += _rows(names, size, view, cv2.rotate(image, turn), [_turned(face, image.shape, turn)])
    return rows


def _portrait(folder, name):
    """(picture, Face, its width in pixels) as it is on disk; without landmarks where no detector sees the face."""
    image, skin = io.read_photograph(folder / "image" / f"{name}.jpg"), io.read_mask(folder / "skin" / f"{name}.png")
    y, x = np.nonzero(skin)
    middle, width = (np.median(x), np.median(y)), _NECK * np.ptp(x)
    near = [face for face in faces.detect(image, _LARGE) if _holds(face.box, middle)]
    box = (middle[0] - width / 2, middle[1] - width / 2, middle[0] + width / 2, middle[1] + width / 2)
    face = near[0] if near else faces.Face(None, box, 0.0, "skin")
    return image, face, face_width(face.landmarks) if near else width


def _scaled(image, face, width, size):
    """Picture whose face is `size` px wide, and the Face in it."""
    scale = size / width
    how = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    shape = [max(1, round(scale * side)) for side in image.shape[1::-1]]
    return np.clip(cv2.resize(image, shape, interpolation=how), 0, 1), _moved(face, scale, (0, 0))


def _holds(box, point):
    return box[0] <= point[0] <= box[2] and box[1] <= point[1] <= box[3]


def _moved(face, scale, offset):
    landmarks = None if face.landmarks is None else scale * face.landmarks + offset
    return face._replace(landmarks=landmarks, box=tuple(scale * v + o for v, o in zip(face.box, (*offset, *offset), strict=True)))


def _turned(face, shape, turn):
    """A Face where `cv2.rotate` puts it."""
    height, width = shape[:2]

    def place(points):
        x, y = np.asarray(points, np.float64).reshape(-1, 2).T
        return np.stack([width - 1 - x, height - 1 - y] if turn == cv2.ROTATE_180 else [height - 1 - y, x], axis=1)

    box = place(face.box)
    landmarks = None if face.landmarks is None else place(face.landmarks)
    return face._replace(landmarks=landmarks, box=(*box.min(0), *box.max(0)))


def _beside(people):
    """One picture of several portraits in rows of three, and their Faces in it."""
    height, width = (max(image.shape[axis] for image, _ in people) for axis in (0, 1))
    whole = np.full((-(-len(people) // _COLUMNS) * height, _COLUMNS * width, 3), _GREY, np.float32)
    there = []
    for i, (image, face) in enumerate(people):
        top, left = i // _COLUMNS * height, i % _COLUMNS * width
        whole[top : top + image.shape[0], left : left + image.shape[1]] = image
        there.append(_moved(face, 1, (left, top)))
    return whole, there


def _rows(names, size, view, image, known):
    """Detect, hide, and judge every known face of one picture."""
    found, hidden = faces.detect(image), None
    outcome = "done" if found else "no face"
    if found:
        try:
            hidden = hide(image, found, Settings().checked()).image
        except LeftOpen:
            outcome = "refused"
    rows = []
    for name, face in zip(names, known, strict=True):
        row = {"name": name, "size": size, "view": view, "found": faces.same_place(face, found), "outcome": outcome}
        row |= {"extra": sum(not faces.same_place(hit, known) for hit in found) / len(known)}
        rows.append(row | _left(image, hidden, face))
    return rows


def _left(image, hidden, face):
    """What is left of a face in a picture that is written: `open`, and `after`, the identity distance."""
    if hidden is None:
        return {"open": False, "after": np.nan}
    if face.landmarks is None:
        area = np.zeros(image.shape[:2], np.uint8)
        left, top, right, bottom = (int(round(v)) for v in face.box)
        middle, axes = ((left + right) // 2, (top + bottom) // 2), (max(1, (right - left) // 2), max(1, (bottom - top) // 2))
        cv2.ellipse(area, middle, axes, 0, 0, 360, 1, -1)
        return {"open": detail(hidden, image, area > 0) > KEPT, "after": np.nan}
    seen = judge(hidden, image, face, private_area(face.landmarks, image.shape, "hull"))
    recognised = seen.identity is not None and seen.identity < faces.SAME_PERSON
    after = np.nan if seen.identity is None else seen.identity
    return {"open": bool(seen.open) or seen.detail > KEPT or recognised, "after": after}
