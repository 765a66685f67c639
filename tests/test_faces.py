"""Detection on real pixels: several sizes in one picture, heads that lie, strips that would crash dlib, and what is no face."""

import cv2
import numpy as np
import pytest
from skimage.data import astronaut

from p3mlib.anonymize import face_width
from p3mlib.privacy import faces

pytest.importorskip("dlib")


@pytest.fixture(scope="module")
def head():
    """The public-domain astronaut's head, 230 px; her face is about 95 px wide."""
    return (astronaut()[:230, 110:340] / 255).astype(np.float32)


@pytest.fixture
def no_cnn(monkeypatch):
    """Without the CNN, which takes seconds."""
    monkeypatch.setattr(faces, "_cnn", lambda *_: iter(()))


def small(head, width):
    side = round(230 * width / 95)
    return cv2.resize(head, (side, side), interpolation=cv2.INTER_AREA)


def scene(head, places, shape=(700, 900)):
    """Heads of (width, top, left, quarter turns) on grey."""
    canvas = np.random.default_rng(0).normal(0.5, 0.02, (*shape, 3)).clip(0, 1).astype(np.float32)
    for width, top, left, turns in places:
        picture = np.rot90(small(head, width), turns)
        canvas[top : top + len(picture), left : left + len(picture)] = picture
    return canvas


def at(face):
    return tuple(face.landmarks.mean(0))


def test_large_and_small_faces_of_one_picture_are_all_found(head, no_cnn):
    places = [(200, 20, 10, 0), (95, 20, 600, 0), (40, 400, 600, 0), (28, 550, 700, 0), (95, 460, 20, 1), (95, 460, 300, 2)]
    found = faces.detect(scene(head, places))
    assert len(found) == len(places)
    for width, top, left, _ in places:
        near = [f for f in found if np.hypot(*np.subtract(at(f), np.array((left, top)) + 230 * width / 190)) < width]
        assert len(near) == 1 and 0.75 < face_width(near[0].landmarks) / width < 1.25, (width, near)


def test_pieces_of_a_large_picture_find_the_same(head, no_cnn, monkeypatch):
    picture = scene(head, [(200, 20, 10, 0), (40, 400, 600, 0), (40, 300, 480, 0)])
    whole = faces.detect(picture)
    monkeypatch.setattr(faces, "_TILE", 700)
    pieces = faces.detect(picture)
    assert len(whole) == len(pieces) == 3
    for face in whole:
        (same,) = (other for other in pieces if faces.same_place(face, [other]))
        assert np.abs(same.landmarks - face.landmarks).max() < 0.1 * face_width(face.landmarks)


def test_landmarks_turn_with_the_head(head, no_cnn):
    (upright,) = faces.detect(head)
    for turns in (1, 2, 3):
        (turned,) = faces.detect(np.ascontiguousarray(np.rot90(head, turns)))
        x, y = upright.landmarks.T
        expected = {1: (y, 229 - x), 2: (229 - x, 229 - y), 3: (229 - y, x)}[turns]
        assert np.abs(turned.landmarks - np.stack(expected, 1)).max() < 8
        own, other = faces.embedding(head, upright), faces.embedding(np.ascontiguousarray(np.rot90(head, turns)), turned)
        assert faces.identity_distance(own, other) < 0.3, "dlib knows her lying down too"


def test_the_smallest_face_decides_and_an_audit_sees_smaller_ones(head, no_cnn):
    picture = scene(head, [(30, 20, 20, 0)], (160, 200))
    assert len(faces.detect(picture, 24)) == 1 and not faces.detect(picture, 60)
    tiny = scene(head, [(24, 20, 20, 0)], (160, 200))
    assert not faces.detect(tiny, 32) and len(faces.detect(tiny, 32, hard=True)) == 1
    assert faces.turned_from(24) == 60
    for wrong in (0, 9, 1001, float("nan")):
        with pytest.raises(ValueError, match="smallest face .*: a number of pixels from 10 to 1000"):
            faces.detect(picture, wrong)


@pytest.mark.parametrize("shape", [(1, 1), (1, 2000), (2000, 1), (4, 4), (8, 900), (900, 5), (13, 1600), (60, 60)])
def test_sizes_that_crash_dlib_never_reach_it(shape):
    image = np.random.default_rng(0).random((*shape, 3), np.float32)
    assert faces.detect(image, hard=min(shape) < 10) == []


def test_a_face_turned_by_an_eighth_is_found_where_nothing_else_is(head, no_cnn):
    turn = cv2.getRotationMatrix2D((115, 115), 45, 1.6)
    turn[:, 2] += 185
    picture = cv2.warpAffine(head, turn, (600, 600), borderMode=cv2.BORDER_REPLICATE)
    assert len(faces.detect(picture)) == 1


def test_textures_and_animals_have_no_face(no_cnn):
    from skimage import data

    for name in ("brick", "grass", "gravel", "chelsea", "coffee", "text"):
        image = getattr(data, name)()
        image = image if image.ndim == 3 else np.repeat(image[..., None], 3, 2)
        image = cv2.resize((image / 255).astype(np.float32), (256, 256), interpolation=cv2.INTER_AREA)
        assert faces.detect(image, smallest=40) == [], name


def test_the_cnn_adds_what_hog_misses(head, monkeypatch):
    monkeypatch.setattr(faces, "_hog", lambda *_: iter(()))
    (found,) = faces.detect(head)
    assert found.detector == "cnn" and face_width(found.landmarks) == pytest.approx(95, abs=20)
