"""What anonymised images still give away: metadata, identity, a face mask that was never applied, a rim left open.

Only metadata, identity and a mask that is not obfuscated count as leaks; a detector's hit is a prompt to look, because detectors
also see some well blurred heads, and no hit is no proof.
"""

from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np

from p3mlib import io
from p3mlib.anonymize import private_area
from p3mlib.privacy import faces
from p3mlib.privacy.metadata import leftovers

LAYERS = ("facemask", "mask", "trimap", "fg", "bg", "alpha")  # folders that hold no photographs
KEPT, SHARP = 0.5, 0.75  # a face is not obfuscated if it keeps this share of its detail, or of its surroundings' sharpness
_FLOOR, _SCALE = 1 / 255, 96  # detail of the surroundings below it is noise; pixels across a face at which it is measured
_CHANGED = 8 / 255  # above what JPEG does to an untouched pixel
_SMALLEST = 12  # pixels; smaller pieces of a mask cannot be judged


class Report(NamedTuple):
    """The audit of one image; None is "could not be measured".

    name: path below the folder. metadata: tuple of metadata.Piece. hits: faces that detectors find. identity: smallest distance
    over the original's faces, under 0.6 is recognised. detail: largest share of the original's fine detail left in a mask (or,
    without a mask, in a face), about 0 to 1. sharpness: largest ratio of fine detail inside a mask to that around it.
    rim_area: part of the private area outside the mask, in percent; rim_width, rim_widest: its width in pixels, mean and largest.
    changed_outside: percent of the pixels outside the mask that differ from the original by more than 8/255.
    leaks, notes: tuples of sentences. failure: why the image could not be audited, or "".
    """

    name: str
    metadata: tuple = ()
    hits: int | None = None
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


def audit_folder(folder, original=None):
    """Audit every image below a folder: the anonymiser's, or one of the released P3M layout.

    Folders called facemask, mask, trimap, fg, bg or alpha hold no images; a face mask is `facemask/<name>.png` in a folder above
    the image, sub-folders kept.

    Args:
        folder:   to search, with its sub-folders. original: folder with the originals, same relative names, any image suffix.
    Yields:
        Report, one per image in the order of their names; a file that cannot be read gives a report with `failure`.
    Raises:
        FileNotFoundError: no such folder. ValueError: no image in it. ImportError: dlib is missing.
    """
    folder, original = Path(folder), original and Path(original)
    for needed in filter(None, (folder, original)):
        if not needed.is_dir():
            raise FileNotFoundError(f"{needed}: no such folder")
    paths = [path for path in sorted(folder.rglob("*")) if _is_image(path.relative_to(folder)) and path.is_file()]
    if not paths:
        raise ValueError(f"{folder}: no images in it; folders called {', '.join(LAYERS)} are not searched")
    for path in paths:
        name = path.relative_to(folder)
        try:
            source = original and _find(original, name)
            report = audit_image(path, _facemask(folder, name), source)._replace(name=name.as_posix())
            yield report if source or not original else report._replace(notes=(*report.notes, f"no original in {original}"))
        except (ValueError, OSError) as error:
            yield Report(name.as_posix(), failure=str(error))


def _is_image(name):
    return name.suffix.lower() in io.IMAGE_SUFFIXES and not name.name.startswith(".") and not set(name.parts[:-1]) & set(LAYERS)


def _find(folder, name):
    """The file of this relative name with any image suffix, also without its first folder; None where there is none."""
    for stem in (name.with_suffix(""), Path(*name.with_suffix("").parts[1:])):
        for suffix in io.IMAGE_SUFFIXES if stem.name else ():
            if (path := folder / f"{stem}{suffix}").is_file():
                return path
    return None


def _facemask(folder, name):
    """The face mask of an image, looked for in each folder above it up to the one beside the audited folder."""
    path = folder.absolute() / name
    for above in path.parents[: len(name.parts) + 1]:
        if (above / "facemask").is_dir() and (found := _find(above / "facemask", path.relative_to(above))):
            return found
    return None


def audit_image(path, facemask=None, original=None):
    """Audit one image.

    Args:
        path:     the anonymised image. facemask: file of its face mask. original: file of the image before, for identity, detail,
                  rim and changes; without it only metadata, hits and sharpness are measured.
    Returns:
        Report; its name is the file's.
    Raises:
        FileNotFoundError: a file is not there. io.DamagedFile: one cannot be decoded. ValueError: their sizes differ.
        ImportError: dlib is missing.
    """
    pieces, image = tuple(leftovers(path)), io.read_image(path)
    mask = None if facemask is None else _sized(facemask, io.read_mask(facemask), path, image)
    before = None if original is None else _sized(original, io.read_image(original), path, image)
    found = {"metadata": pieces, "hits": len(faces.detect(image))}
    leaks = [f"{piece.name} ({piece.size:,} bytes)" for piece in pieces]
    notes = [f"detectors still find {found['hits']} face(s): look at them"] if found["hits"] else []
    if mask is not None and mask.any():
        found["sharpness"] = max((sharpness(image, piece) for piece in _pieces(mask)), default=None)
    if before is not None:
        found |= _compare(image, before, mask, leaks, notes)
    elif (found.get("sharpness") or 0) > SHARP:
        leaks.append(f"the face mask is not obfuscated: inside it is {found['sharpness']:.0%} as sharp as around it")
    if found["hits"] and mask is None and before is None:
        notes.append("neither face mask nor original: whether these faces are obfuscated is not known")
    return Report(Path(path).name, **found, leaks=tuple(leaks), notes=tuple(notes))


def _sized(path, array, other, image):
    if array.shape[:2] != image.shape[:2]:
        raise ValueError(f"{path} is {array.shape[:2]} but {other} is {image.shape[:2]} (height, width); make them one size")
    return array


def _compare(image, before, mask, leaks, notes):
    """What the original adds; appends to leaks and notes."""
    people, found = faces.detect(before), {}
    private = np.zeros(image.shape[:2], bool)
    distances = []
    for face in people:
        private |= private_area(face.landmarks, private.shape, "hull")
        distances.append(faces.identity_distance(*(faces.embedding(picture, face) for picture in (image, before))))
        if distances[-1] < faces.SAME_PERSON:
            x, y = np.rint(face.landmarks.mean(0)).astype(int)
            leaks.append(f"the face at ({x}, {y}) is recognised: identity distance {distances[-1]:.2f} < {faces.SAME_PERSON}")
    areas = _pieces(mask) if mask is not None else [private_area(f.landmarks, private.shape, "hull") for f in people]
    found |= {"identity": min(distances, default=None), "detail": max((detail(image, before, a) for a in areas), default=None)}
    if (found["detail"] or 0) > KEPT:
        what = "the face mask" if mask is not None else "a face"
        leaks.append(f"{what} is not obfuscated: {found['detail']:.0%} of the original's fine detail is left in it")
    if not people:
        notes.append("no face found in the original, so identity is not known: look at the image")
    if mask is not None:
        outside = (np.abs(image - before).max(2) > _CHANGED)[~mask]
        found["changed_outside"] = 100 * float(outside.mean()) if outside.size else None
        touched = [a for a in (private_area(f.landmarks, mask.shape, "hull") for f in people) if (a & mask).any()]
        if touched:
            area, width, widest = rim(np.any(touched, axis=0), mask)
            found |= {"rim_area": area, "rim_width": width, "rim_widest": widest}
    return found


def rim(private, facemask):
    """What a face mask leaves open of the private area, for instance the transition area along the outline.

    Args:
        private, facemask: (H, W) bool.
    Returns:
        (area, width, widest): percent of the private area; pixels, from the mean and the largest distance to its edge, right to
        about a pixel for bands.
    Raises:
        ValueError: an empty private area.
    """
    if not private.any():
        raise ValueError("the private area is empty; there is no rim to measure")
    left = np.pad(private & ~facemask, 1).astype(np.uint8)
    if not left.any():
        return 0.0, 0.0, 0.0
    depth = cv2.distanceTransform(left, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)[left > 0]
    return 100 * float(left.sum() / private.sum()), float(4 * depth.mean() - 2), float(2 * depth.max() - 1)


def detail(image, original, area):
    """How much of the original's fine detail is left: 1 in an untouched area, 0 where it is gone.

    It is the projection of the image's luminance between 1% and 5% of the area's width onto that of the original.

    Args:
        image, original: (H, W, 3) float in [0, 1]. area: (H, W) bool, one face.
    Returns:
        float, about 0 to 1; 0 where the original has no detail either.
    """
    now, before = (_fine(picture, area)[area] for picture in (image, original))
    power = float(before @ before)
    return float(now @ before) / power if power > len(before) * 1e-8 else 0.0


def sharpness(image, area):
    """Finest detail inside an area over that in a ring around it of a quarter of its width. About 1 for a face left as it was.

    Detail is the 30% quantile of the absolute Laplacian, which the edges between mosaic cells do not raise, at a scale where the
    face is at most 96 pixels wide. Smooth faces before busy surroundings stay below the alarm at 0.75 (2 of 17 faces tried), and
    weak obfuscation does: with an original at hand, identity and `detail` decide.

    Args:
        image: (H, W, 3) float in [0, 1]. area: (H, W) bool, one face.
    Returns:
        float >= 0; the surroundings count as at least 1/255.
    """
    grey, scale = image.mean(2), min(1, _SCALE / _width(area))
    if scale < 1:
        size = tuple(max(1, round(scale * side)) for side in grey.shape[::-1])
        grey, area = (cv2.resize(np.float32(a), size, interpolation=cv2.INTER_AREA) for a in (grey, area))
        area = area > 0.5
    reach, fine = max(2, round(_width(area) / 4)), np.abs(cv2.Laplacian(grey.astype(np.float32), cv2.CV_32F))
    ring = cv2.dilate(area.astype(np.uint8), np.ones((2 * reach + 1,) * 2, np.uint8)).astype(bool) & ~area
    around = float(np.quantile(fine[ring], 0.3)) if ring.any() else 0.0
    return float(np.quantile(fine[area], 0.3)) / max(around, _FLOOR)


def _fine(image, area):
    """Luminance (H, W) between sigma of 1% and 5% of the area's width."""
    grey, width = image.mean(2), _width(area)
    narrow, wide = (cv2.GaussianBlur(grey, (0, 0), max(least, share * width)) for least, share in ((0.5, 0.01), (1.0, 0.05)))
    return narrow - wide


def _width(area):
    rows, columns = np.flatnonzero(area.any(1)), np.flatnonzero(area.any(0))
    return max(np.ptp(rows), np.ptp(columns)) + 1


def _pieces(mask):
    """The connected pieces of a mask that are large enough to be judged, (H, W) bool each."""
    count, labels, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8))
    sides = stats[:, [cv2.CC_STAT_WIDTH, cv2.CC_STAT_HEIGHT]].max(1)
    return [labels == k for k in range(1, count) if sides[k] >= _SMALLEST]


def as_dict(report):
    """A Report as JSON takes it."""
    return {**report._asdict(), "metadata": [piece._asdict() for piece in report.metadata]}


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
    return "  ".join([f"{r.name:{width}}", *shown, "FAILED" if r.failure else "LEAK" if r.leaks else "ok"])


def as_total(reports):
    """One sentence: how many images leak, could not be audited, or show nothing; identity and detectors over all."""
    leaking, failed = sum(bool(r.leaks) for r in reports), sum(bool(r.failure) for r in reports)
    known = [r.identity for r in reports if r.identity is not None]
    seen = f"smallest identity distance {min(known):.2f} over {len(known)}" if known else "identity measured for none"
    hits = sum(bool(r.hits) for r in reports)
    return f"total: {len(reports)} images, {leaking} leak, {failed} could not be audited; {seen}; detectors fire on {hits}"
