"""Faces in real photographs, with dlib: boxes, the 68 landmarks that the paper uses, and identity.

Nothing is fetched: the models come with the package `face_recognition_models`. The 68-point model was trained on iBUG 300-W,
whose licence excludes commercial use. Detectors miss heads seen from the side or behind: a person has to look.
"""

import importlib.util
from functools import cache
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np

from p3mlib.io import to_uint8

SAME_PERSON = 0.6  # identity distances below it are of the same person, as dlib's embedding was trained
SMALLEST = 24  # pixels from cheek to cheek
LEAST, MOST = 10, 1000  # what may be asked for as the smallest face: below, HOG sees nothing; above, a photograph shows none
_MODELS = {
    "cnn": "mmod_human_face_detector.dat",
    "landmarks": "shape_predictor_68_face_landmarks.dat",
    "identity": "dlib_face_recognition_resnet_model_v1.dat",
}
_HOG_SURE = 0.0  # 23 photographs without an open face, at two and a half times their size and turned: no hit above it
_WINDOW = 60  # pixels from cheek to cheek of the smallest face that HOG finds in the picture it is given (its window has 80)
_TILE = 4000  # pixels; larger pictures go through the detector in pieces, since all their scales are in memory at once
_PAD = 120  # pixels; dlib's detectors crash on pictures of a few pixels' width
_QUARTERS, _DIAGONALS = (90, 180, 270), (45, 135, 225, 315)  # degrees; HOG sees heads tilted by up to 30
_TURNED = 2.5  # times the smallest face: from there on heads that lie or stand on their head are looked for
_HARD = 1.5  # an audit looks for faces smaller by this factor
_CNN, _CNN_TURNED = 800, 480  # pixels of the longer side; its cost grows with their square
_SAME = 0.3  # intersection over union from which on two boxes are one face
_JITTER = (-0.06, 0.0, 0.06)  # shifts of the box over its side; landmarks are the median over the boxes


class Face(NamedTuple):
    """A face: landmarks (68, 2) float64, x and y in pixels; box (left, top, right, bottom) in pixels, it may reach beyond the
    image; score of the detector; detector "hog", "cnn" or "manual"."""

    landmarks: np.ndarray
    box: tuple
    score: float
    detector: str


@cache
def _dlib():
    try:
        import dlib
    except ImportError as error:
        raise ImportError("faces in photographs need dlib: pip install dlib-bin face_recognition_models") from error
    return dlib


@cache
def _model(name):
    dlib, package = _dlib(), importlib.util.find_spec("face_recognition_models")
    path = Path(package.origin).parent / "models" / _MODELS[name] if package else None
    if path is None or not path.is_file():
        raise ImportError(f"dlib's model {_MODELS[name]} is missing: pip install face_recognition_models")
    kinds = {"cnn": "cnn_face_detection_model_v1", "landmarks": "shape_predictor", "identity": "face_recognition_model_v1"}
    return getattr(dlib, kinds[name])(str(path))


@cache
def _hog_model():
    return _dlib().get_frontal_face_detector()


def detect(image, smallest=SMALLEST, hard=False):
    """Find faces of any size and position: dlib's HOG detector at all scales, its CNN detector for turned heads.

    HOG sees the picture enlarged until the smallest face fills its window, in pieces where that is large, then turned by quarters
    for heads from two and a half times that size on; where nothing is found turned by eighths too, from five times that size on.
    The CNN sees the picture at 800 px, turned where nothing is found. On one core 12 megapixels take about 20 seconds, at
    `smallest` 48 a third of that.

    Args:
        image:    (H, W, 3) float in [0, 1], RGB, of any size; a strip narrower than half of `smallest` has no face.
        smallest: pixels from cheek to cheek of the smallest face to look for, `LEAST` to `MOST`.
        hard:     spare no time, as an audit: faces smaller by a third, and all turns whatever is found.
    Returns:
        list of Face, one for each, those of HOG first and the surest first; empty where none is found, which does not mean that
        there is none.
    Raises:
        ImportError: dlib or its models are missing; the message says what to install. ValueError: smallest out of range.
    """
    check_smallest(smallest)
    pixels = np.ascontiguousarray(to_uint8(image))
    if min(pixels.shape[:2]) < smallest / 2:
        return []
    found = []
    for scale in (_WINDOW / smallest, *([_HARD * _WINDOW / smallest] if hard else [])):
        found = _merged(found, _hog(pixels, scale))
        found = _merged(found, (face for angle in _QUARTERS for face in _hog(pixels, scale / _TURNED, angle)))
    found = _merged(found, _cnn(pixels, _CNN))
    if hard or not found:
        found = _merged(found, (face for angle in _DIAGONALS for face in _hog(pixels, scale / _TURNED / 2, angle)))
        found = _merged(found, (face for angle in _QUARTERS for face in _cnn(pixels, _CNN_TURNED, angle)))
    return found


def check_smallest(smallest):
    """Raise ValueError unless the smallest face is a number of pixels that can be looked for."""
    if not LEAST <= smallest <= MOST:
        raise ValueError(f"smallest face {smallest}: a number of pixels from {LEAST} to {MOST}, from cheek to cheek")


def turned_from(smallest):
    """Pixels from cheek to cheek from which `detect` finds heads that lie on their side or stand on their head."""
    return round(smallest * _TURNED)


def same_place(face, others):
    """True where one of the other faces is the same by its box."""
    return any(_overlap(face.box, other.box) >= _SAME for other in others)


def _merged(found, more):
    """Faces of both lists; of several at the same place the first list's, then the surest."""
    for face in sorted(more, key=lambda face: -face.score):
        found = found if same_place(face, found) else [*found, face]
    return found


def _hog(pixels, scale, angle=0):
    """Yield what HOG finds: in the whole picture, at most `_TILE` px long, and in pieces of it at `scale` where that is more."""
    height, width = pixels.shape[:2]
    whole = min(scale, _TILE / max(height, width))
    places = [(0, 0, height, width, whole)]
    if whole < scale:
        side, reach = round(_TILE / scale), round(1.5 * _WINDOW / whole)  # pieces share the largest face that needs them
        step = max(side - reach, side // 4)
        places += [(y, x, side, side, scale) for y in range(0, height, step) for x in range(0, width, step)]
    for top, left, high, wide, factor in places:
        piece, back = _view(pixels[top : top + high, left : left + wide], factor, angle)
        boxes, scores, _ = _hog_model().run(piece, 0, _HOG_SURE)
        for box, score in zip(map(_corners, boxes), scores, strict=True):
            yield _face(piece, box, float(score), "hog", back, (left, top))


def _cnn(pixels, side, angle=0):
    """Yield what the CNN finds in the whole picture, `side` px long, at most doubled."""
    piece, back = _view(pixels, min(2.0, side / max(pixels.shape[:2])), angle)
    for hit in _model("cnn")(piece, 0):
        yield _face(piece, _corners(hit.rect), float(hit.confidence), "cnn", back, (0, 0))


def _view(pixels, scale, angle):
    """A picture scaled, turned by `angle` degrees and padded, and the (2, 3) matrix that leads its points back."""
    how = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    size = [max(1, round(side * scale)) for side in pixels.shape[1::-1]]
    small = cv2.resize(pixels, size, interpolation=how) if tuple(size) != pixels.shape[1::-1] else pixels
    back = np.diag([pixels.shape[1] / size[0], pixels.shape[0] / size[1], 1.0])
    if angle:
        turn = np.vstack([cv2.getRotationMatrix2D((0, 0), angle, 1), (0, 0, 1)])
        corners = turn[:2, :2] @ np.array([[0, size[0], 0, size[0]], [0, 0, size[1], size[1]]], float)
        turn[:2, 2] = -corners.min(1)
        wide, high = np.ceil(np.ptp(corners, axis=1)).astype(int)
        small = cv2.warpAffine(small, turn[:2], (int(wide), int(high)), borderMode=cv2.BORDER_REPLICATE)
        back = back @ np.linalg.inv(turn)
    below, right = (max(0, _PAD - side) for side in small.shape[:2])
    if below or right:
        small = cv2.copyMakeBorder(small, 0, below, 0, right, cv2.BORDER_REPLICATE)
    return np.ascontiguousarray(small), back[:2]


def _face(piece, box, score, detector, back, corner):
    """Face in the whole picture of a box in a piece of it."""
    left, top, right, bottom = box
    frame = [(left, top), (right, top), (left, bottom), (right, bottom)]
    points, frame = (np.asarray(p, np.float64) @ back[:, :2].T + back[:, 2] + corner for p in (_landmarks(piece, box), frame))
    return Face(points, (*frame.min(0).tolist(), *frame.max(0).tolist()), score, detector)


def _corners(box):
    return box.left(), box.top(), box.right(), box.bottom()


def _overlap(one, other):
    """Intersection over union of two boxes."""
    sides = [min(one[i + 2], other[i + 2]) - max(one[i], other[i]) for i in (0, 1)]
    common = max(0, sides[0]) * max(0, sides[1])
    return common / (sum((b[2] - b[0]) * (b[3] - b[1]) for b in (one, other)) - common + 1e-9)


def _landmarks(pixels, box):
    """Median of the 68 points over slightly shifted boxes: the model expects HOG boxes and is loose from others."""
    left, top, right, bottom = box
    width, height = right - left, bottom - top
    shapes = []
    for dx in _JITTER:
        for dy in _JITTER:
            moved = (left + dx * width, top + dy * height, right + dx * width, bottom + dy * height)
            shape = _model("landmarks")(pixels, _dlib().rectangle(*(round(v) for v in moved)))
            shapes.append([(point.x, point.y) for point in shape.parts()])
    return np.median(np.asarray(shapes, np.float64), axis=0)


def embedding(image, face):
    """Identity of a face as dlib sees it.

    Args:
        image: (H, W, 3) float in [0, 1]. face: Face whose landmarks say where to look, perhaps found in another picture.
    Returns:
        (128,) float64.
    """
    dlib = _dlib()
    points = dlib.points([dlib.point(int(round(x)), int(round(y))) for x, y in face.landmarks])
    left, top, right, bottom = (round(v) for v in face.box)
    shape = dlib.full_object_detection(dlib.rectangle(left, top, right, bottom), points)
    return np.array(_model("identity").compute_face_descriptor(np.ascontiguousarray(to_uint8(image)), shape))


def identity_distance(one, other):
    """Euclidean distance of two embeddings; below `SAME_PERSON` they are taken for one person."""
    return float(np.linalg.norm(np.asarray(one) - np.asarray(other)))
