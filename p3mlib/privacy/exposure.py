"""How much of a face is left open: by its mask, by the matte that kept pixels out of it, and by the pixels themselves."""

from typing import NamedTuple

import cv2
import numpy as np

from p3mlib.anonymize import face_width
from p3mlib.privacy import faces

KEPT, PART_KEPT, SHARP = (
    0.5,
    0.7,
    0.75,
)  # open if it keeps this share of its detail (a face, a part of it), or of the sharpness around
OPAQUE = 0.95  # a matte of at least this much says that the pixel is the person's
_INSIDE, _PART_INSIDE = 0.05, 0.25  # of a private area, of a part: more may not stay open inside the person
_EMPTY = 0.05  # alphas up to it count as background
_PARTS = {"right eye": slice(36, 42), "left eye": slice(42, 48), "nose": slice(27, 36), "mouth": slice(48, 68)}
_FLOOR, _SCALE = 1 / 255, 96  # detail of the surroundings below it is noise; pixels across a face at which it is measured
_EDGE = 0.1  # of an area's width: what its border does to its detail
_SMALLEST = 12  # pixels; smaller areas cannot be judged
_IDENTITY_FROM = 40  # pixels from cheek to cheek; on smaller faces dlib's distance says little


class Judgement(NamedTuple):
    """What a picture still shows of a face: identity, the distance to the original, None for faces under 40 px; detail, the share
    of the original's left in the private area; open, the names of parts (eyes, nose, mouth) that are left as they were."""

    identity: float | None
    detail: float
    open: tuple


def judge(image, original, face, private):
    """Compare a face before and after.

    Args:
        image, original: (H, W, 3) float in [0, 1]. face: faces.Face in the original. private: (H, W) bool, its private area.
    Returns:
        Judgement.
    """
    width, away, open_parts = face_width(face.landmarks), None, ()
    if width >= _IDENTITY_FROM:
        away = faces.identity_distance(*(faces.embedding(picture, face) for picture in (image, original)))
    for name, area in part_areas(face.landmarks, private.shape).items():
        if area.any() and _width(area) >= _SMALLEST and _kept(image, original, area, width) > PART_KEPT:
            open_parts += (name,)
    return Judgement(away, detail(image, original, private) if private.any() else 0.0, open_parts)


def part_areas(landmarks, shape):
    """Name -> (H, W) bool, the convex hull of the landmarks of each eye, the nose and the mouth."""
    return {name: _hull(landmarks[points], shape) for name, points in _PARTS.items()}


def _hull(points, shape):
    area = np.zeros(shape[:2], np.uint8)
    corners = np.rint(np.clip(points, -(2**15), 2**15)).astype(np.int32)
    cv2.fillConvexPoly(area, cv2.convexHull(corners), 1)
    return area > 0


def left_by_matte(landmarks, private, facemask, alpha, kernel):
    """What a matte's transition area leaves open of a private area inside the person, where a sound matte has none.

    Inside is what lies farther than the trimap's kernel from the background (alpha of at most 0.05).

    Args:
        landmarks: (68, 2) float. private, facemask: (H, W) bool. alpha: (H, W) float in [0, 1]. kernel: the trimap's, pixels.
    Returns:
        what is open, in words ("12% of the face, 80% of the mouth"), or "" where it is at most 5% of the private area and 25% of
        every part of the face.
    """
    person = np.pad((alpha > _EMPTY).astype(np.uint8), 1, mode="edge")
    inside = cv2.distanceTransform(person, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)[1:-1, 1:-1] > kernel
    left = private & ~facemask & inside
    shares = {"face": (float(left.sum() / max(1, private.sum())), _INSIDE)}
    for name, area in part_areas(landmarks, private.shape).items():
        shares[name] = float((left & area).sum() / max(1, area.sum())), _PART_INSIDE
    return ", ".join(f"{share:.0%} of the {name}" for name, (share, most) in shares.items() if share > most)


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

    It is the projection of the image's luminance between 1% and 5% of the area's width onto that of the original, away from the
    area's border, where a step from inside to outside would count as detail.

    Args:
        image, original: (H, W, 3) float in [0, 1]. area: (H, W) bool, one face.
    Returns:
        float, about 0 to 1; 0 where the original has no detail either.
    """
    width = _width(area)
    reach = max(1, round(_EDGE * width))
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * reach + 1,) * 2)
    inner = cv2.erode(area.astype(np.uint8), disc, borderType=cv2.BORDER_REPLICATE) > 0
    return _kept(image, original, inner if inner.sum() > 0.1 * area.sum() else area, width)


def _kept(image, original, area, width):
    """Share of the original's detail left in `area`, at the scales of a face of this width."""
    place = _around(area, round(0.2 * width) + 4)
    now, before = (_fine(picture[place], width)[area[place]] for picture in (image, original))
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
    place = _around(area, _width(area))
    grey, area = image[place].mean(2), area[place]
    scale = min(1, _SCALE / _width(area))
    if scale < 1:
        size = tuple(max(1, round(scale * side)) for side in grey.shape[::-1])
        grey, area = (cv2.resize(np.float32(a), size, interpolation=cv2.INTER_AREA) for a in (grey, area))
        area = area > 0.5
    reach, fine = max(2, round(_width(area) / 4)), np.abs(cv2.Laplacian(grey.astype(np.float32), cv2.CV_32F))
    ring = cv2.dilate(area.astype(np.uint8), np.ones((2 * reach + 1,) * 2, np.uint8)).astype(bool) & ~area
    around = float(np.quantile(fine[ring], 0.3)) if ring.any() else 0.0
    return float(np.quantile(fine[area], 0.3)) / max(around, _FLOOR)


def pieces(mask):
    """The connected pieces of a mask that are large enough to be judged, (H, W) bool each."""
    count, labels, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8))
    sides = stats[:, [cv2.CC_STAT_WIDTH, cv2.CC_STAT_HEIGHT]].max(1)
    return [labels == k for k in range(1, count) if sides[k] >= _SMALLEST]


def _fine(image, width):
    """Luminance (H, W) between sigma of 1% and 5% of a width."""
    grey = image.mean(2)
    narrow, wide = (cv2.GaussianBlur(grey, (0, 0), max(least, share * width)) for least, share in ((0.5, 0.01), (1.0, 0.05)))
    return narrow - wide


def _around(area, margin):
    """Slices of an area's bounding box, widened by `margin` pixels, inside the picture."""
    spans = (np.flatnonzero(area.any(axis)) for axis in (1, 0))
    return tuple(slice(max(0, span[0] - margin), span[-1] + 1 + margin) for span in spans)


def _width(area):
    rows, columns = np.flatnonzero(area.any(1)), np.flatnonzero(area.any(0))
    return max(np.ptp(rows), np.ptp(columns)) + 1
