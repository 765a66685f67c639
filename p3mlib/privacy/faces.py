"""Faces in real photographs, with dlib: boxes, the 68 landmarks that the paper uses, and identity.

Nothing is fetched: the models come with the package `face_recognition_models`. The 68-point model was trained on iBUG 300-W,
whose licence excludes commercial use. Detectors miss profiles and small faces: a person has to look.
"""

import importlib.util
from functools import cache
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np

from p3mlib.io import to_uint8

SAME_PERSON = 0.6  # identity distances below it are of the same person, as dlib's embedding was trained
_MODELS = {
    "cnn": "mmod_human_face_detector.dat",
    "landmarks": "shape_predictor_68_face_landmarks.dat",
    "identity": "dlib_face_recognition_resnet_model_v1.dat",
}
_HOG_SURE = 0.2  # below it the HOG detector finds faces in cloth
_JITTER = (-0.06, 0.0, 0.06)  # shifts of the box over its side; landmarks are the median over the boxes


class Face(NamedTuple):
    """A face: landmarks (68, 2) float64, x and y in pixels; box (left, top, right, bottom) in pixels, it may reach beyond the
    image; score of the detector; detector "cnn", "hog" or "manual"."""

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


def detect(image, side=800, hog=True):
    """Find faces: dlib's CNN detector first, its HOG detector for what that misses.

    Args:
        image: (H, W, 3) float in [0, 1], RGB. side: the longer side is brought to this many pixels (at most doubled).
        hog:   ask the HOG detector as well.
    Returns:
        list of Face, the surest first within a detector; empty where none is found, which does not mean that there is none.
    Raises:
        ImportError: dlib or its models are missing; the message says what to install.
    """
    pixels = to_uint8(image)
    scale = min(2.0, side / max(pixels.shape[:2]))
    small = np.ascontiguousarray(_resized(pixels, scale))
    found = [(_corners(hit.rect), float(hit.confidence), "cnn") for hit in _model("cnn")(small, 0)]
    if hog:
        boxes, scores, _ = _dlib().get_frontal_face_detector().run(small, 1, 0.0)
        for box, score in zip(map(_corners, boxes), scores, strict=True):
            if score >= _HOG_SURE and all(_overlap(box, other) < 0.3 for other, *_ in found):
                found.append((box, float(score), "hog"))
    return [Face(_landmarks(small, box) / scale, tuple(v / scale for v in box), score, who) for box, score, who in found]


def _resized(pixels, scale):
    how = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    return cv2.resize(pixels, None, fx=scale, fy=scale, interpolation=how) if scale != 1 else pixels


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
