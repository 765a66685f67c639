"""What anonymised images still give away: metadata, faces left open, a face mask that was never applied, a rim left open.

A detector's hit on an obfuscated face is a prompt to look, because detectors also see some well blurred heads, and no hit is no
proof.
"""

import contextlib
import os
from concurrent.futures import ProcessPoolExecutor
from itertools import repeat
from multiprocessing import get_context
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np

from p3mlib import io
from p3mlib.anonymize import private_area
from p3mlib.privacy import faces, published
from p3mlib.privacy.exposure import KEPT, SHARP, detail, judge, pieces, rim, sharpness
from p3mlib.privacy.metadata import Piece, leftovers
from p3mlib.privacy.photograph import window

_STRANGE = 0.1  # of what lies outside a mask may differ from the original, seen from afar
_CHANGED = 8 / 255  # above what JPEG does to an untouched pixel
_COVERED = 0.5  # of a face's private area: a mask that covers less is not this face's


class Report(NamedTuple):
    """The audit of one image; None is "could not be measured".

    name: path below the folder. metadata: tuple of metadata.Piece. hits: faces that detectors find. people: faces found in
    the original. identity: smallest distance over the original's faces, under 0.6 is recognised. detail: largest share of the
    original's fine detail left in a face or in a piece of the mask, about 0 to 1. sharpness: largest ratio of fine detail
    inside a mask, or a face without one, to that around it. rim_area: part of the private area outside the mask, in percent;
    rim_width, rim_widest: its width in pixels, mean and largest. changed_outside: percent of the pixels outside the mask that
    differ from the original by more than 8/255. leaks, notes: tuples of sentences. failure: why the image could not be
    audited, or "". files: how many files that are no pictures this stands for.
    """

    name: str
    metadata: tuple = ()
    hits: int | None = None
    people: int | None = None
    identity: float | None = None
    detail: float | None = None
    sharpness: float | None = None
    rim_area: float | None = None
    rim_width: float | None = None
    rim_widest: float | None = None
    changed_outside: float | None = None
    leaks: tuple = ()
    notes: tuple = ()
    failure: str = ""
    files: int = 0

    @property
    def verdict(self):
        """LEAK, FAILED, "ok" where a face or a mask was measured, else "unknown": a person has to look."""
        measured = any(value is not None for value in (self.identity, self.detail, self.sharpness))
        return "LEAK" if self.leaks else "FAILED" if self.failure else "ok" if measured else "unknown"


def audit_folder(folder, original=None, smallest=faces.SMALLEST, jobs=1):
    """Audit every image below a folder: the anonymiser's, or one of the released P3M layout.

    Left out are masks, trimaps and mattes in folders of these names (`published.LAYERS`) that belong to an image; a face mask is
    `facemask/<name>.png` in a folder above the image, sub-folders kept. Other files get Reports with notes.

    Args:
        folder:   to search, with its sub-folders. original: folder with the originals, same relative names, any image suffix.
        smallest: face to look for, see `faces.detect`. jobs: processes, None means one per CPU.
    Yields:
        Report, one per image in the order of their names; one with `failure` for a file that cannot be read, for kinds of
        pictures that are not read here, and, where `original` is given, for images without an original or with another picture
        in its place.
    Raises:
        FileNotFoundError: no such folder. ValueError: no image in it. ImportError: dlib is missing.
    """
    folder, original = Path(folder), original and Path(original)
    for needed in filter(None, (folder, original)):
        if not needed.is_dir():
            raise FileNotFoundError(f"{needed}: no such folder")
    faces.check_smallest(smallest)
    images, others = published.find(folder, original)
    jobs = min(jobs or os.cpu_count() or 1, len(images))
    with ProcessPoolExecutor(jobs, get_context("spawn")) if jobs > 1 else contextlib.nullcontext() as pool:
        audited = (pool.map if pool else map)(_audited, images, repeat(smallest))
        try:
            for image, report in zip(images, audited, strict=True):
                yield report._replace(name=io.printable(image.path.relative_to(folder).as_posix()))
        finally:
            if pool:
                pool.shutdown(cancel_futures=True)  # after Ctrl-C nothing more is begun
    for pattern, names in others.items():
        shown = pattern.parent / min(names) if len(names) == 1 else pattern
        note = f"{len(names)} that no picture is read from: they may say who, when and where, or hold pictures; look at them"
        yield Report(io.printable(shown.as_posix()), files=len(names), notes=(note,))


def _audited(image, smallest):
    """Report of a published.Image, whatever happens to it."""
    if image.refused:
        return Report("", failure=io.printable(image.refused))
    try:
        report = audit_image(image.path, image.facemask, image.original, smallest)
    except ImportError:
        raise
    except Exception as error:  # the boundary of one image: the others are audited
        return Report("", failure=io.reason(error, image.path))
    return report._replace(failure=io.printable(image.alone))


def audit_image(path, facemask=None, original=None, smallest=faces.SMALLEST):
    """Audit one image.

    Args:
        path:     the anonymised image. facemask: file of its face mask. original: file of the image before, for identity, detail,
                  rim and changes; without it only metadata, hits and sharpness are measured. smallest: see `faces.detect`.
    Returns:
        Report; its name is the file's.
    Raises:
        FileNotFoundError: a file is not there. io.DamagedFile: one cannot be decoded. ValueError: their sizes differ, or the
        original is another picture. ImportError: dlib is missing.
    """
    metadata, image = (*leftovers(path), *_under_transparency(path)), io.read_photograph(path)
    mask = None if facemask is None else _sized(facemask, io.read_mask(facemask, released=True), path, image)
    before = None if original is None else _sized(original, io.read_photograph(original), path, image)
    hits = faces.detect(image, smallest, hard=before is None)
    leaks = [f"{piece.name} ({piece.size:,} bytes)" for piece in metadata]
    notes = [f"detectors still find {len(hits)} face(s): look at them"] if hits else []
    found = {"metadata": metadata, "hits": len(hits)}
    masks = pieces(mask) if mask is not None else []
    if masks:
        found["sharpness"] = max(sharpness(image, piece) for piece in masks)
    if before is not None:
        people = faces.detect(before, smallest, hard=True)
        people += [face for face in hits if not faces.same_place(face, people)]
        found |= _compare(image, before, mask, masks, people, leaks, notes)
    else:
        _look(image, mask, hits, found, leaks, notes)
    return Report(Path(path).name, **found, leaks=tuple(leaks), notes=tuple(notes))


def _apart(image, before, hidden):
    """Share of two pictures that differs outside `hidden`, seen from afar so that compression does not count."""
    shape = tuple(min(32, side) for side in image.shape[1::-1])
    ours, theirs, hidden = (cv2.resize(np.float32(x), shape, interpolation=cv2.INTER_AREA) for x in (image, before, hidden))
    differ = (np.abs(ours - theirs).max(2) > 0.1)[hidden == 0]
    return float(differ.mean()) if differ.size else 0.0


def _under_transparency(path):
    """A Piece for colours that transparent places hide: whoever drops the alpha channel sees them."""
    picture = io.open_picture(path)
    if not picture.has_transparency_data or picture.mode[0] in "IF":
        return []
    pixels = np.asarray(picture.convert("RGBA"))
    under = pixels[..., :3][pixels[..., 3] == 0]
    return [Piece("colours under transparent places", under.nbytes)] if under.size and np.ptp(under, axis=0).any() else []


def _sized(path, array, other, image):
    if array.shape[:2] != image.shape[:2]:
        raise ValueError(f"{path} is {array.shape[:2]} but {other} is {image.shape[:2]} (height, width); make them one size")
    return array


def _at(face):
    return "({}, {})".format(*np.rint(face.landmarks.mean(0)).astype(int))


def _look(image, mask, hits, found, leaks, notes):
    """What can be said without the original; appends to found, leaks and notes."""
    if (found.get("sharpness") or 0) > SHARP:
        leaks.append(f"the face mask is not obfuscated: inside it is {found['sharpness']:.0%} as sharp as around it")
    for face in hits:
        place, near = window(face, image.shape)
        area = private_area(near.landmarks, image[place].shape, "hull")
        if mask is not None and (mask[place] & area).sum() >= _COVERED * area.sum():
            continue
        sharp = sharpness(image[place], area) if area.any() else 0.0
        found["sharpness"] = max(sharp, found.get("sharpness") or 0)
        if sharp > SHARP:
            leaks.append(f"the face at {_at(face)} is open: it is {sharp:.0%} as sharp as what is around it")
        else:
            notes.append(
                f"the face at {_at(face)} is in no face mask; without the original it is not known whether it is obfuscated"
            )


def _compare(image, before, mask, masks, people, leaks, notes):
    """What the original adds; appends to leaks and notes. Raises ValueError where it is another picture."""
    private, left, away = np.zeros(image.shape[:2], bool), [], []
    for face in people:
        place, near = window(face, image.shape)
        area = private_area(near.landmarks, image[place].shape, "hull")
        private[place] |= area
        seen = judge(image[place], before[place], near, area)
        left.append(seen.detail)
        away += [seen.identity] if seen.identity is not None else []
        if seen.identity is not None and seen.identity < faces.SAME_PERSON:
            leaks.append(f"the face at {_at(face)} is recognised: identity distance {seen.identity:.2f} < {faces.SAME_PERSON}")
        if seen.detail > KEPT:
            leaks.append(
                f"a face is not obfuscated: at {_at(face)} {seen.detail:.0%} of the original's fine detail is left in it"
            )
        elif seen.open:
            leaks.append(f"the {', '.join(seen.open)} of the face at {_at(face)} is left open")
    if (apart := _apart(image, before, private if mask is None else private | mask)) > _STRANGE:
        raise ValueError(f"the original of that name is another picture: {apart:.0%} of what lies outside faces and masks differ")
    kept = [detail(image, before, piece) for piece in masks]
    if kept and max(kept) > KEPT:
        leaks.append(f"the face mask is not obfuscated: {max(kept):.0%} of the original's fine detail is left in it")
    if not people:
        notes.append("no face found in the original, so identity is not known: look at the image")
    found = {"people": len(people), "identity": min(away, default=None), "detail": max((*left, *kept), default=None)}
    if mask is not None:
        outside = (np.abs(image - before).max(2) > _CHANGED)[~mask]
        found["changed_outside"] = 100 * float(outside.mean()) if outside.size else None
        if (private & mask).any():
            found |= dict(zip(("rim_area", "rim_width", "rim_widest"), rim(private, mask), strict=True))
    return found


def as_dict(report):
    """A Report as JSON takes it."""
    return {**report._asdict(), "metadata": [piece._asdict() for piece in report.metadata], "verdict": report.verdict}


def as_text(reports):
    """A table with a line per image and a total, then a sentence for everything that leaked, failed or needs a look.

    Args:
        reports: list of Report.
    Returns:
        str, several lines.
    """
    width = max(len(report.name) for report in reports)
    header = f"{'image':{width}}  metadata  hits  identity  detail  sharp  rim %  rim px  outside %  verdict"
    lines = [header, *(_line(report, width) for report in reports), as_total(reports)]
    for report in reports:
        lines += [f"{report.name}: FAILED: {report.failure}"] * bool(report.failure)
        lines += [f"{report.name}: LEAK: {leak}" for leak in report.leaks] + [f"{report.name}: note: {n}" for n in report.notes]
    return "\n".join(lines)


def _line(r, width):
    cells = [("{:8}", None if r.failure else len(r.metadata)), ("{:4}", r.hits), ("{:8.2f}", r.identity), ("{:6.0%}", r.detail)]
    cells += [("{:5.2f}", r.sharpness), ("{:5.1f}", r.rim_area), ("{:6.1f}", r.rim_width), ("{:9.2f}", r.changed_outside)]
    blank = (8, 4, 8, 6, 5, 5, 6, 9)
    shown = ["-".rjust(n) if value is None else form.format(value) for (form, value), n in zip(cells, blank, strict=True)]
    return "  ".join([f"{r.name:{width}}", *shown, r.verdict])


def as_total(reports):
    """One sentence: how many images leak, could not be audited, or show no face to measure; identity and detectors over all."""
    leaking, failed = sum(bool(r.leaks) for r in reports), sum(bool(r.failure) for r in reports)
    known = [r.identity for r in reports if r.identity is not None]
    seen = f"smallest identity distance {min(known):.2f} over {len(known)}" if known else "identity measured for none"
    hits, others = sum(bool(r.hits) for r in reports), sum(r.files for r in reports)
    unknown = sum(r.verdict == "unknown" and not r.files for r in reports)
    counts = f"{sum(not r.files for r in reports)} images, {leaking} leak, {failed} could not be audited, {unknown} unknown"
    counts += f", {others} other files" * bool(others)
    return f"total: {counts}; {seen}; detectors fire on {hits}"
