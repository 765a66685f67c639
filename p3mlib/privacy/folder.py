"""Anonymise folders of photographs: find faces, obfuscate them, and write files that carry nothing but pixels."""

import errno
import hashlib
import io as streams
import json
import os
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass, replace
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import ImageCms
from tqdm.auto import tqdm

from p3mlib import io
from p3mlib.anonymize import METHODS, REGIONS, face_width, obfuscate, private_area, transition_area
from p3mlib.privacy import faces
from p3mlib.privacy.metadata import leftovers

WEAKEST = {"blur": 0.1, "mosaic": 1 / 8}  # of the face's size; at 0.05 and at 1/12 dlib still recognised the person
MEGAPIXELS = 100
REPORT, MASKS = "report.csv", "facemask"
_SAVE_EVERY = 20  # images between two versions of the report


@dataclass(frozen=True)
class Settings:
    """How to anonymise; see `anonymize.anonymize` for method, strength, region and margin.

    strength: None takes the method's own. alpha: folder of mattes, whose transition area stays as it is (Fig. 3); without, the
    whole area is obfuscated. landmarks: folder of `<name>.json` (faces of 68 [x, y] each; an empty list says that somebody looked
    and there is none) or `<name>.png` (a mask drawn by hand) for faces that the detectors miss. keep_faceless: write images
    without a face as well. force: allow strengths at which people are recognised.
    """

    method: str = "blur"
    strength: float | None = None
    region: str = "hull"
    margin: float = 0.0
    alpha: Path | None = None
    landmarks: Path | None = None
    keep_faceless: bool = False
    force: bool = False

    def checked(self):
        """These settings with their strength. Raises ValueError: unknown method or region, folder missing, strength too weak."""
        for value, known in ((self.method, METHODS), (self.region, REGIONS)):
            if value not in known:
                raise ValueError(f"'{value}' is none of {', '.join(known)}")
        for folder in (self.alpha, self.landmarks):
            if folder is not None and not Path(folder).is_dir():
                raise FileNotFoundError(f"{folder}: no such folder")
        strength = METHODS[self.method] if self.strength is None else self.strength
        weakest = WEAKEST.get(self.method, 0)
        if strength is not None and strength < weakest and not self.force:
            raise ValueError(
                f"strength {strength:g}: below {weakest:g} of the face's size a {self.method} leaves people recognisable; "
                "use more, or --force"
            )
        return replace(self, strength=strength)


def anonymize_folder(source, target, settings=None, jobs=None, progress=True):
    """Anonymise every image below `source` into the same place below `target`, its face mask below `target/facemask`.

    Images are written from bare pixels, JPEG as JPEG and all others as PNG, in sRGB, and read again to see that no metadata is
    in them. An image in which no face is found is not written (see `Settings.keep_faceless`): a person has to look. What is
    finished and unchanged is not done again; a failure stops one image, not the others.

    Args:
        source:   folder, searched in depth, or one image. target: folder, outside of source.
        settings: Settings. jobs: processes, None means one per CPU.
    Returns:
        DataFrame, also in `target/report.csv`: image, status (done, no face, not done, skipped), faces, detectors, identity
        (smallest distance to the original, dlib), area, message and the settings.
    Raises:
        ValueError: settings, folders within each other, or two images that would write the same face mask.
        FileNotFoundError: no source. OSError: the target cannot be written.
    Source:
        Sec. 3.2 and Fig. 3; strengths, areas and detectors are ours.
    """
    settings = (settings or Settings()).checked()
    source, target = Path(source), Path(target)
    images, rows = _gather(source, target)
    try:
        target.mkdir(parents=True, exist_ok=True)
        io.write_text(target / REPORT, _read_report(target).to_csv(index=False))
    except OSError as error:
        raise type(error)(error.errno, f"{target}: cannot be written ({error.strerror}); choose another folder") from None
    base = source if source.is_dir() else source.parent
    known = {row["image"]: row for row in _read_report(target).to_dict("records")}
    todo = []
    for path in images:
        name = path.relative_to(base).as_posix()
        key, row = _key(path, base, settings), known.get(name, {})
        if row.get("key") == key and row.get("status") == "done" and all(p.is_file() for p in _outputs(path, base, target)):
            rows.append(row)
        else:
            todo.append((path, base, target, settings, key))
    try:
        for done in tqdm(_results(todo, jobs), total=len(todo), desc="anonymize", unit="image", disable=not progress):
            rows.append(done)
            if len(rows) % _SAVE_EVERY == 0:
                _write_report(target, rows)
    finally:
        report = _write_report(target, rows)
    return report


def _gather(source, target):
    """(images, rows of what is left out). Raises as `anonymize_folder`."""
    if not source.exists():
        raise FileNotFoundError(f"{source}: no such file or folder")
    inside, outside = source.resolve(), target.resolve()
    if source.is_file():
        if source.parent.resolve() == outside:
            raise ValueError(f"{target}: is the photograph's own folder, where it would be overwritten; choose another")
        return [source], []
    if inside == outside or inside in outside.parents or outside in inside.parents:
        raise ValueError(f"{source} and {target}: neither may lie within the other; choose a target elsewhere")
    images, rows, masks = [], [], {}
    for path in sorted(p for p in source.rglob("*") if p.is_symlink() or p.is_file()):
        name = path.relative_to(source).as_posix()
        if path.is_symlink():
            rows.append(_row(name, "not done", message=f"{path}: a symbolic link, which may lead anywhere; put the file here"))
        elif path.suffix.lower() not in io.IMAGE_SUFFIXES:
            rows.append(_row(name, "skipped", message=f"{path}: not an image ({', '.join(io.IMAGE_SUFFIXES)}); left out"))
        else:
            other = masks.setdefault(path.relative_to(source).with_suffix(""), path)
            if other is not path:
                raise ValueError(f"{other} and {path} would write the same face mask; rename one of them")
            images.append(path)
    if any(name.parts[0] == MASKS for name in masks):
        raise ValueError(f"{source / MASKS}: face masks are written into a folder of that name; rename it")
    return images, rows


def _row(name, status, **fields):
    return {"image": name, "status": status, "faces": "", "detectors": "", "identity": "", "area": "", "message": "", **fields}


def _read_report(target):
    path = target / REPORT
    return pd.read_csv(path, dtype=str, keep_default_na=False) if path.is_file() else pd.DataFrame(columns=list(_row("", "")))


def _write_report(target, rows):
    frame = pd.DataFrame(rows, columns=None if rows else list(_row("", "")), dtype=object).fillna("").astype(str)
    frame = frame.sort_values("image", ignore_index=True)
    io.write_text(target / REPORT, frame.to_csv(index=False))
    return frame


def _outputs(path, base, target):
    """Image and face mask that belong to a source."""
    inner = path.relative_to(base)
    suffix = path.suffix if path.suffix.lower() in (".jpg", ".jpeg") else ".png"
    return (target / inner).with_suffix(suffix), (target / MASKS / inner).with_suffix(".png")


def _beside(folder, path, base, suffixes):
    """The file in `folder` that belongs to a source, at the same place or flat, or None."""
    inner = path.relative_to(base)
    places = (folder / inner.parent, folder) if folder else ()
    return next((p / f"{path.stem}{s}" for p in map(Path, places) for s in suffixes if (p / f"{path.stem}{s}").is_file()), None)


def _inputs(path, base, settings):
    manual = _beside(settings.landmarks, path, base, (".json", ".png"))
    return manual, _beside(settings.alpha, path, base, (".png", *io.IMAGE_SUFFIXES))


def _key(path, base, settings):
    """Changes when the source, its manual files or the settings do."""
    files = [p for p in (path, *_inputs(path, base, settings)) if p]
    marks = [(str(p), p.stat().st_size, p.stat().st_mtime_ns) for p in files]
    return hashlib.sha256(repr((marks, sorted(asdict(settings).items()))).encode()).hexdigest()[:12]


def _results(todo, jobs):
    jobs = min(jobs or os.cpu_count() or 1, len(todo))
    if jobs <= 1:
        yield from map(_safely, todo)
        return
    with ProcessPoolExecutor(jobs, get_context("spawn")) as pool:
        tasks = [pool.submit(_safely, job) for job in todo]
        try:
            yield from (task.result() for task in as_completed(tasks))
        finally:
            pool.shutdown(cancel_futures=True)


def _safely(job):
    """Row of one image, whatever happens to it."""
    path, base, _, settings, key = job
    name = path.relative_to(base).as_posix()
    used = {"method": settings.method, "strength": settings.strength, "region": settings.region, "margin": settings.margin}
    try:
        return {**_row(name, "done"), **_one(*job[:4]), **used, "key": key}
    except OSError as error:
        full = " (free some space and run this again; what is finished is kept)" * (error.errno == errno.ENOSPC)
        text = f"{error.filename or path}: {error.strerror}{full}" if error.strerror else str(error)
        return {**_row(name, "not done", message=text), **used, "key": key}
    except ValueError as error:
        return {**_row(name, "not done", message=str(error)), **used, "key": key}


def _one(path, base, target, settings):
    """Anonymise one image; returns fields of its row."""
    height, width = io.image_size(path)
    if height * width > MEGAPIXELS * 1e6:
        raise ValueError(f"{path}: {height * width / 1e6:.0f} megapixels, at most {MEGAPIXELS} are read; reduce it first")
    image = read_photo(path)
    manual, matte = _inputs(path, base, settings)
    found, mask = _manual(manual, image.shape[:2]) if manual else (faces.detect(image), None)
    fields = {"faces": len(found) if mask is None else "", "detectors": " ".join(f.detector for f in found) or "-"}
    if mask is not None:
        fields["detectors"] = "mask by hand"
    elif not found and manual is None and not settings.keep_faceless:
        return {
            **fields,
            "status": "no face",
            "message": f"{path}: no face found; look at it, and give --landmarks if there is one",
        }
    private = [private_area(face.landmarks, image.shape, settings.region, settings.margin) for face in found]
    transition, fields["area"] = np.zeros(image.shape[:2], bool), "whole (no matte)"
    if matte is not None:
        alpha = io.read_matte(matte)
        if alpha.shape != image.shape[:2]:
            raise ValueError(f"{matte}: {alpha.shape[1]}x{alpha.shape[0]} px, but its image has {width}x{height}")
        transition, fields["area"] = transition_area(alpha), "without the transition area"
    result, facemask = image, np.zeros(image.shape[:2], bool) if mask is None else mask
    for face, area in zip(found, private, strict=True):
        facemask = facemask | (area & ~transition)
        if (area & ~transition).any():
            result = obfuscate(result, area & ~transition, settings.method, settings.strength, face_width(face.landmarks))
    if mask is not None and mask.any():
        result = obfuscate(image, mask, settings.method, settings.strength)
    fields |= _identity(image, result, found, path, settings)
    picture, masked = _outputs(path, base, target)
    io.write_image(masked, facemask)
    io.write_image(picture, result)
    if left := [piece.name for file in (picture, masked) for piece in leftovers(file)]:
        picture.unlink()
        raise ValueError(f"{picture}: was written with {', '.join(left)} and taken away again; please report this")
    if not found and mask is None and manual is None:
        return {**fields, "status": "no face", "message": f"{path}: no face found, written as it is without metadata; look at it"}
    return fields


def _identity(image, result, found, path, settings):
    """Smallest distance of a face to its original. Raises ValueError where it is still recognised."""
    away = [faces.identity_distance(*(faces.embedding(picture, face) for picture in (image, result))) for face in found]
    if not away:
        return {}
    if min(away) < faces.SAME_PERSON and not settings.force:
        raise ValueError(
            f"{path}: dlib still recognises a face (distance {min(away):.2f}, the same person below {faces.SAME_PERSON}); "
            "use more strength or a margin, or --force"
        )
    return {"identity": f"{min(away):.2f}"}


def read_photo(path):
    """Read a photograph in sRGB, whatever its colour profile; otherwise as `io.read_image`."""
    picture = io.open_picture(path)
    profile = picture.info.get("icc_profile")
    if not profile or picture.mode not in ("RGB", "CMYK", "L"):
        return io.read_image(path)
    try:
        own, srgb = ImageCms.ImageCmsProfile(streams.BytesIO(profile)), ImageCms.createProfile("sRGB")
        picture = ImageCms.profileToProfile(picture, own, srgb, outputMode="RGB")
    except ImageCms.PyCMSError:  # a damaged profile, or one for other colours: what viewers do is ignore it
        picture = picture.convert("RGB")
    return np.asarray(picture, np.float32) / 255


def _manual(path, shape):
    """(faces, None) from JSON, ([], mask) from PNG. Raises ValueError, naming file and face."""
    if path.suffix == ".png":
        mask = io.read_mask(path)
        if mask.shape != shape:
            raise ValueError(f"{path}: {mask.shape[1]}x{mask.shape[0]} px, but its image has {shape[1]}x{shape[0]}")
        return [], mask
    try:
        listed = json.loads(path.read_text())
        listed = listed["faces"] if isinstance(listed, dict) else listed
        points = [np.asarray(face, np.float64) for face in listed]
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{path}: expected a list of faces with 68 [x, y] each ({error})") from error
    for i, face in enumerate(points):
        if face.shape != (68, 2) or not np.isfinite(face).all():
            raise ValueError(f"{path}: face {i} has shape {face.shape}, expected 68 finite [x, y]")
    boxes = [(*face[17:].min(0), *face[17:].max(0)) for face in points]
    return [faces.Face(face, box, 1.0, "manual") for face, box in zip(points, boxes, strict=True)], None
