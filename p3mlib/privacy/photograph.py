"""Anonymise one photograph: find faces, hide them and what a person marked, and see that nothing of them is left open."""

import math
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np

from p3mlib.anonymize import METHODS, REGIONS, default_kernel, face_width, obfuscate, private_area, transition_area
from p3mlib.privacy import exposure, faces

WEAKEST = {"blur": 0.1, "mosaic": 1 / 8}  # of the face's size; at 0.05 and at 1/12 dlib still recognised the person
_GROWTH = (0.0, 0.1, 0.2)  # a face that is still recognised is hidden with more around it, in shares of its size
_SPECK = 6  # pixels; a mask whose largest piece is smaller hides nobody


@dataclass(frozen=True)
class Settings:
    """How to anonymise; see `anonymize.anonymize` for method, strength, region and margin.

    strength: None takes the method's own. alpha: folder of mattes, whose transition area stays as it is (Fig. 3); without, the
    whole area is obfuscated. landmarks: folder of `<name>.json` (faces of 68 [x, y] each; an empty list says that somebody looked
    and there is none) or `<name>.png` (a mask drawn by hand) for faces that the detectors miss; it adds to what they find.
    smallest: see `faces.detect`. keep_faceless: write images without a face as well. force: allow strengths at which people are
    recognised.
    """

    method: str = "blur"
    strength: float | None = None
    region: str = "hull"
    margin: float = 0.0
    alpha: Path | None = None
    landmarks: Path | None = None
    smallest: float = faces.SMALLEST
    keep_faceless: bool = False
    force: bool = False

    def checked(self):
        """These settings with their strength. Raises ValueError: unknown method or region, no folder, a number out of range."""
        for value, known in ((self.method, METHODS), (self.region, REGIONS)):
            if value not in known:
                raise ValueError(f"'{value}' is none of {', '.join(known)}")
        for folder in (self.alpha, self.landmarks):
            if folder is not None and not Path(folder).is_dir():
                raise FileNotFoundError(f"{folder}: no such folder")
        faces.check_smallest(self.smallest)
        strength = METHODS[self.method] if self.strength is None else self.strength
        if self.strength is not None and not (math.isfinite(strength) and strength > 0):
            raise ValueError(f"strength {strength}: a positive share of the face's size, for instance {METHODS['blur']}")
        if not 0 <= self.margin <= 10:
            raise ValueError(f"margin {self.margin}: a share of the face's size from 0 to 10")
        weakest = WEAKEST.get(self.method, 0)
        if strength is not None and strength < weakest and not self.force:
            raise ValueError(
                f"strength {strength:g}: below {weakest:g} of the face's size a {self.method} leaves people recognisable; "
                "use more, or --force"
            )
        return replace(self, strength=strength)


class LeftOpen(ValueError):
    """A face, or part of one, would be published as it is; the message says which, and what helps."""


class Hidden(NamedTuple):
    """image (H, W, 3) float; mask (H, W) bool, where it was obfuscated; identity, the smallest distance of a face of 40 px and
    more to the original, or None; grown, how many faces needed more around them."""

    image: np.ndarray
    mask: np.ndarray
    identity: float | None
    grown: int


def hide(image, people, settings, mask=None, alpha=None):
    """Obfuscate faces, and a mask drawn by hand, and check what is left of them.

    A face that dlib still recognises is hidden with 10%, then 20% of its size more around it.

    Args:
        image:    (H, W, 3) float in [0, 1]. people: list of faces.Face. settings: Settings, checked.
        mask:     (H, W) bool, hidden as a whole. alpha: (H, W) float in [0, 1], the matte whose transition area stays as it is.
    Returns:
        Hidden.
    Raises:
        LeftOpen: the matte takes pixels inside a person out; a face, a part of one or the mask keeps its detail; dlib recognises
            somebody. The last two are let pass with `settings.force`.
    """
    result, total, distances, grown = image.copy(), np.zeros(image.shape[:2], bool), [], 0
    if mask is not None:
        result, total = obfuscate(image, mask, settings.method, settings.strength), mask.copy()
        if not settings.force:
            _check_mask(mask, result, image)
    for face in people:
        for more in _GROWTH:
            seen = _hide(face, result, total, image, settings, settings.margin + more, alpha)
            recognised = seen.identity is not None and seen.identity < faces.SAME_PERSON
            if settings.force or not recognised:
                break
        grown += more > 0
        distances += [seen.identity] if seen.identity is not None else []
        if not settings.force:
            _check_face(face, seen, alpha is not None)
    return Hidden(result, total, min(distances, default=None), grown)


def _hide(face, result, total, image, settings, margin, alpha):
    """Obfuscate one face in `result`, add its area to `total`; returns what is left of it (exposure.Judgement)."""
    place, face = window(face, image.shape, settings.strength or 0, margin)
    width, shape = face_width(face.landmarks), image[place].shape
    private = area = private_area(face.landmarks, shape, settings.region, margin)
    if alpha is not None:
        area = private & ~transition_area(alpha[place], default_kernel(alpha.shape), exposure.OPAQUE)
        left = exposure.left_by_matte(face.landmarks, private, area, alpha[place], default_kernel(alpha.shape))
        if left:
            x, y = _where(face, place)
            raise LeftOpen(f"leaves {left} at ({x}, {y}) open, inside the person; make it opaque there, or go without it")
    if area.any():
        result[place] = obfuscate(result[place], area, settings.method, settings.strength, width)
        total[place] |= area
    return exposure.judge(result[place], image[place], face, private_area(face.landmarks, shape, settings.region))


def window(face, shape, strength=0.0, margin=0.0):
    """Where a face and what its obfuscation reaches lie in a picture: two slices, and the face with points from there."""
    low, high = np.floor(face.landmarks.min(0)), np.ceil(face.landmarks.max(0))
    reach = math.ceil((1 + margin + 4.5 * strength) * face_width(face.landmarks)) + default_kernel(shape) + 2
    left, top = (int(np.clip(low[i] - reach, 0, shape[1 - i] - 1)) for i in (0, 1))
    right, bottom = (int(np.clip(high[i] + reach, 1, shape[1 - i])) for i in (0, 1))
    box = tuple(value - offset for value, offset in zip(face.box, (left, top) * 2, strict=True))
    return (slice(top, bottom), slice(left, right)), face._replace(landmarks=face.landmarks - (left, top), box=box)


def _where(face, place):
    x, y = np.rint(face.landmarks.mean(0)).astype(int) + (place[1].start, place[0].start)
    return int(x), int(y)


def _check_face(face, seen, matte):
    """Raise LeftOpen where too much of a face is left."""
    x, y = np.rint(face.landmarks.mean(0)).astype(int)
    what = ", ".join(seen.open) or ("face" if seen.detail > exposure.KEPT else "")
    if what:
        cure = "the matte's transition area covers it; go without the matte" if matte else "use region hull, or more strength"
        raise LeftOpen(f"the {what} at ({x}, {y}) is left open ({seen.detail:.0%} of the face's detail is there); {cure}")
    if seen.identity is not None and seen.identity < faces.SAME_PERSON:
        raise LeftOpen(
            f"dlib still recognises the face at ({x}, {y}) (distance {seen.identity:.2f}, the same person below "
            f"{faces.SAME_PERSON}) with {_GROWTH[-1]:.0%} more around it; use more strength or a margin, or --force"
        )


def _check_mask(mask, result, image):
    """Raise LeftOpen where a mask drawn by hand hides nothing."""
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    if max(np.ptp(rows), np.ptp(columns)) + 1 < _SPECK:
        raise LeftOpen(f"the mask by hand is a speck at ({columns[0]}, {rows[0]}) and hides nobody; draw the face's area")
    for piece in exposure.pieces(mask):
        kept = exposure.detail(result, image, piece)
        if kept > exposure.KEPT:
            y, x = (int(round(span.mean())) for span in np.nonzero(piece))
            raise LeftOpen(
                f"the mask by hand hides too little at ({x}, {y}): {kept:.0%} of the detail in it is left; draw it larger"
            )
