"""The paper's anonymisation (Fig. 3): landmarks -> private area -> minus the transition area -> blur, mosaic or mask.

Strength is a fraction of the face's width: a fixed kernel that hides a small face leaves a large one recognisable.
Images are written by `io.write_image`, which carries no metadata (an EXIF thumbnail would still show the face).
"""

from typing import NamedTuple

import cv2
import numpy as np

from p3mlib.matte import make_trimap, regions

METHODS = {"blur": 0.2, "mosaic": 0.25, "mask": None}  # with the default strength
REGIONS = ("paper", "hull")
_OUTLINE = [*range(17), *range(26, 16, -1)]  # jaw from ear to ear, then back along the brows
_KERNEL = 25 / 1.72e6**0.5  # the evaluation trimap: 25 px on images of 1.72 Mpx on average
_PLAIN_SIGMA = 16  # pixels; beyond it the blur works on a reduced image


class Anonymized(NamedTuple):
    """What the six steps of Fig. 3 show besides the inputs (original image, landmarks).

    image (H, W, 3) float: the obfuscated image; facemask, private, transition (H, W) bool.
    facemask = private & ~transition.
    """

    image: np.ndarray
    facemask: np.ndarray
    private: np.ndarray
    transition: np.ndarray


def default_kernel(shape):
    """Side in pixels (odd, >= 3) of the trimap kernel for an image of `shape` (H, W).

    It is 1.9% of the geometric mean side: the 25 px of the official evaluation trimap at the paper's mean 1.72 Mpx.
    """
    return max(3, 2 * round((_KERNEL * (shape[0] * shape[1]) ** 0.5 - 1) / 2) + 1)


def _checked(landmarks):
    points = np.asarray(landmarks, np.float64)
    if points.shape != (68, 2):
        raise ValueError(f"landmarks must be (68, 2), x and y of the 68-point layout, got {points.shape}")
    if not np.isfinite(points).all():
        raise ValueError("landmarks hold NaN or infinity; a face without landmarks needs a mask drawn by hand")
    return points


def _fill(points, shape):
    """Filled polygon of integer corners, its border included; what a self-crossing outline encloses is filled too."""
    canvas = np.zeros(shape, np.uint8)
    cv2.fillPoly(canvas, [points], 1, lineType=cv2.LINE_8)
    outer, _ = cv2.findContours(canvas, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    cv2.drawContours(canvas, outer, -1, 1, cv2.FILLED)
    return canvas > 0


def face_width(landmarks):
    """The larger extent of the jaw and brow points in pixels, at least 1: what strengths and margins are fractions of."""
    return max(float(np.ptp(_checked(landmarks)[_OUTLINE], axis=0).max()), 1.0)


def private_area(landmarks, shape, region="paper", margin=0.0):
    """The identifying part of a face.

    Args:
        landmarks: (68, 2) float, x and y in pixels, the usual 68-point layout; points may lie outside the image.
        shape:     (H, W) of the image.
        region:    "paper": the polygon along cheeks (points 0..16) and brows (26..17), as in Fig. 3. On near-profiles
                   it leaves nose, lips and an eye open (25% of these points covered in one measured case).
                   "hull": the convex hull of all landmarks, which contains that polygon; use it for real photographs.
        margin:    the area grows by this fraction of the face's width on all sides, >= 0.
    Returns:
        (H, W) bool.
    Raises:
        ValueError: landmarks of another shape or not finite, another region, a negative margin.
    Source:
        Sec. 3.2 and Fig. 3.
    """
    if region not in REGIONS:
        raise ValueError(f"no region '{region}'; there are {', '.join(REGIONS)}")
    if not 0 <= margin < np.inf:
        raise ValueError(f"margin must be a number from 0, got {margin}")
    points = np.rint(np.clip(_checked(landmarks), -(2**15), 2**15)).astype(np.int32)
    outline = points[_OUTLINE] if region == "paper" else cv2.convexHull(points)[:, 0]
    area = _fill(outline, tuple(shape[:2]))
    if margin and area.any():
        area = cv2.distanceTransform((~area).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE) <= margin * face_width(points)
    return area


def transition_area(alpha, kernel=None, opaque=1.0):
    """The unknown area of the matte's trimap, where anonymising would spoil the matting problem itself.

    Args:
        alpha:  (H, W) float in [0, 1].
        kernel: side of the trimap kernel in pixels; None means `default_kernel`.
        opaque: alphas from here on count as 1; the paper's rule is 1, which takes a matte of 250 for unknown everywhere.
    Returns:
        (H, W) bool.
    """
    kernel = default_kernel(alpha.shape) if kernel is None else kernel
    return regions(make_trimap(np.where(alpha >= opaque, 1, alpha), kernel))["unknown"]


def face_mask(landmarks, alpha, kernel=None, region="paper"):
    """The pixels to obfuscate: the private area without the transition area. (H, W) bool.

    The rule keeps hair and outline intact for matting, and leaves a rim of skin untouched where the face meets the
    background. Arguments and errors as in `private_area` and `transition_area`.
    """
    return private_area(landmarks, alpha.shape, region) & ~transition_area(alpha, kernel)


def obfuscate(image, facemask, method="blur", strength=None, face_width=None):
    """Make the pixels inside a face mask unrecognisable; every pixel outside stays bit for bit.

    "blur" is a Gaussian of sigma = strength * face width (default 0.2), "mosaic" has square cells of strength * face
    width (default 1/4, rounded up), "mask" sets zero. Blur and mosaic are taken of the whole image and pasted inside
    the mask, so colours from around the face flow in; the image is continued by reflection beyond its border.
    The defaults are those at which neither face detectors nor identity embeddings recognised the faces tried.

    Args:
        image:      (H, W, 3) float in [0, 1].
        facemask:   (H, W) bool; several faces may lie apart, each is treated at its own size.
        method:     "blur", "mosaic" or "mask".
        strength:   fraction of the face width, > 0; None means the default; "mask" has none.
        face_width: in pixels, for all faces; None measures each: the larger side of its bounding box, since a turned
                    face is narrower than its features are large. Fragments beside a face count as part of it.
    Returns:
        (H, W, 3), a new array of the image's dtype.
    Raises:
        ValueError: unknown method, strength or face_width not positive, image not float or not (H, W, 3), mask of
            another shape or not bool.
    Source:
        Sec. 3.2 (blur), Sec. 6.2.3 and Table 8 (the three); the paper gives no strengths.
    """
    _check(image, facemask, method, strength, face_width)
    result = image.copy()
    if method == "mask":
        result[facemask] = 0
        return result
    strength = METHODS[method] if strength is None else strength
    for face, width in _faces(facemask):
        extent = strength * (face_width or width)
        effect = _blurred if method == "blur" else _mosaic
        effect(image, face, extent, result)
    return result


def _check(image, facemask, method, strength, face_width):
    if method not in METHODS:
        raise ValueError(f"no method '{method}'; there are {', '.join(METHODS)}")
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype.kind != "f":
        raise ValueError(f"image must be (H, W, 3) float, got {image.shape} {image.dtype}; io.read_image returns that")
    if facemask.shape != image.shape[:2] or facemask.dtype != bool:
        raise ValueError(f"facemask must be bool {image.shape[:2]} like the image, got {facemask.dtype} {facemask.shape}")
    for name, value in (("strength", strength), ("face_width", face_width)):
        if value is not None and not (np.isfinite(value) and value > 0):
            raise ValueError(f"{name} must be a positive number, got {value}")


def _faces(facemask):
    """List of (mask, width) per face. Pieces nearer than a quarter of the larger one's side are one face."""
    count, labels, stats, _ = cv2.connectedComponentsWithStats(facemask.astype(np.uint8), connectivity=8)
    groups = []  # [labels, left, top, right, bottom]
    for label in sorted(range(1, count), key=lambda k: -stats[k, cv2.CC_STAT_AREA]):
        x, y, w, h = (int(v) for v in stats[label, :4])
        for group in groups:
            _, left, top, right, bottom = group
            gap = max(x - right, left - x - w, y - bottom, top - y - h)
            if gap < 0.25 * max(right - left, bottom - top, w, h):
                group[0].append(label)
                group[1:] = [min(left, x), min(top, y), max(right, x + w), max(bottom, y + h)]
                break
        else:
            groups.append([[label], x, y, x + w, y + h])
    return [(np.isin(labels, group[0]), max(group[3] - group[1], group[4] - group[2])) for group in groups]


def _box(face, margin):
    """Slices of the face's bounding box, widened by `margin` pixels, inside the image."""
    rows, columns = np.flatnonzero(face.any(1)), np.flatnonzero(face.any(0))
    top, left = max(0, rows[0] - margin), max(0, columns[0] - margin)
    return slice(top, rows[-1] + 1 + margin), slice(left, columns[-1] + 1 + margin)


def _blurred(image, face, sigma, result):
    """Paste a Gaussian blur inside `face`; only the box that the kernel reaches is computed."""
    box = _box(face, int(np.ceil(4 * sigma)))
    blurred = gaussian(image[box], sigma)
    result[box][face[box]] = blurred[face[box]]


def gaussian(image, sigma):
    """Gaussian blur with reflected borders, fast for any sigma.

    Above 16 px the image is first reduced by an integer factor (sigma stays >= 8 px there), with the variance of that
    reduction subtracted; the result differs from the plain filter by less than 1/255.

    Args:
        image: (H, W, 3) float. sigma: pixels, > 0.
    Returns:
        (H, W, 3) of the same dtype.
    """
    if sigma <= _PLAIN_SIGMA:
        return cv2.GaussianBlur(image, (0, 0), sigma, borderType=cv2.BORDER_REFLECT)
    factor, (height, width) = int(sigma // 8), image.shape[:2]
    reach = factor * int(np.ceil(4 * sigma / factor))
    edges = ((reach, reach + (-height) % factor), (reach, reach + (-width) % factor), (0, 0))
    padded = np.pad(image, edges, "symmetric")
    small = cv2.resize(padded, None, fx=1 / factor, fy=1 / factor, interpolation=cv2.INTER_AREA)
    spread = (factor**2 - 1) / 12 + factor**2 / 6  # variance of the box average and of linear interpolation
    small = cv2.GaussianBlur(small, (0, 0), (sigma**2 - spread) ** 0.5 / factor, borderType=cv2.BORDER_REFLECT)
    large = cv2.resize(small, padded.shape[1::-1], interpolation=cv2.INTER_LINEAR)
    return large[reach : reach + height, reach : reach + width]


def _mosaic(image, face, cell, result):
    """Paste cell averages inside `face`; cells start at the face's top left corner and end at the image's border."""
    cell = max(2, int(np.ceil(cell - 1e-6)))
    rows, columns = _box(face, 0)
    for top in range(rows.start, rows.stop, cell):
        for left in range(columns.start, columns.stop, cell):
            tile = slice(top, top + cell), slice(left, left + cell)
            inside = face[tile]
            if inside.any():
                result[tile][inside] = image[tile].mean((0, 1), dtype=np.float64)


def anonymize(image, landmarks, alpha, method="blur", strength=None, region="paper", kernel=None, margin=0.0):
    """Anonymise one face as the paper does.

    Strength is a fraction of `face_width`, which does not shrink with the transition area.

    Args:
        image:     (H, W, 3) float in [0, 1].
        landmarks: (68, 2) float, x and y in pixels.
        alpha:     (H, W) float in [0, 1], the matte; its transition area stays untouched. None: there is no transition area.
        method, strength: see `obfuscate`. region, margin: see `private_area`. kernel: see `transition_area`.
    Returns:
        Anonymized.
    Raises:
        ValueError: as the functions named; alpha and image of different size.
    Source:
        Sec. 3.2 and Fig. 3.
    """
    if alpha is not None and alpha.shape != image.shape[:2]:
        raise ValueError(f"alpha {alpha.shape} and image {image.shape} must share height and width")
    private = private_area(landmarks, image.shape, region, margin)
    transition = np.zeros(private.shape, bool) if alpha is None else transition_area(alpha, kernel)
    facemask = private & ~transition
    return Anonymized(obfuscate(image, facemask, method, strength, face_width(landmarks)), facemask, private, transition)
