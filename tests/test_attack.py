"""The reconstruction attack: it recovers what a weak obfuscation leaves, and nothing where nothing is left."""

import numpy as np
import pytest

from p3mlib.anonymize import METHODS
from p3mlib.privacy import attack


@pytest.fixture(scope="module")
def people():
    return attack.synthetic_faces(24, 0, side=48), attack.synthetic_faces(12, 5000, side=48)


@pytest.fixture(scope="module")
def recovered(people):
    settings = (("blur", 0.03), ("blur", 0.3), ("mask", None))
    return {method_strength: attack.reconstruction_attack(*method_strength, people, 50)[0] for method_strength in settings}


def test_weak_blur_is_undone_and_strong_blur_is_not(recovered):
    weak, strong, mask = recovered.values()
    assert weak.psnr_attack > weak.psnr_obfuscated > strong.psnr_obfuscated
    assert weak.psnr_attack > strong.psnr_attack + 3
    assert weak.rank1_attack >= 0.9 and weak.rank1_attack > strong.rank1_attack
    assert not weak.default and mask.default and mask.strength is None


def test_without_information_the_attack_is_a_guess(recovered):
    mask = recovered["mask", None]
    assert mask.psnr_obfuscated < mask.psnr_attack < mask.psnr_mean + 8  # it sees skin colour and light around the face
    assert mask.rank1_obfuscated == 0 and mask.rank1_attack <= 0.5 and mask.chance == pytest.approx(1 / 12)


def test_equal_seeds_give_equal_attacks(people):
    once, again, other = (attack.reconstruction_attack("mosaic", 0.125, people, 3, seed)[0] for seed in (1, 1, 2))
    assert once == again and once.psnr_attack != other.psnr_attack


def test_hidden_faces_are_8_bit_and_untouched_outside(people):
    hidden = attack.hide(people[1], "blur", None)
    assert np.allclose(hidden * 255, np.rint(hidden * 255), atol=1e-4)
    assert np.abs(hidden - people[1].images)[~people[1].masks].max() <= 0.5 / 255 + 1e-6


def test_a_crop_keeps_its_landmarks_and_reflects_beyond_the_border():
    y, x = np.mgrid[:80, :100].astype(np.float32) / 100
    image = np.dstack([x, y, 0 * x])
    points = np.random.default_rng(0).uniform(20, 60, (68, 2))
    crop, mask, moved = attack.crop_face(image, points, side=32)
    seen = np.array([crop[round(v), round(u), :2] for u, v in moved])
    assert crop.shape == (32, 32, 3) and np.abs(100 * seen - points).max() < 2 and mask[tuple(np.rint(moved.mean(0)).astype(int))]
    crop, _, _ = attack.crop_face(image, points - (25, 0), side=32)
    assert np.isfinite(crop).all() and crop[:, :2].max() <= 1


def test_measures_on_closed_forms(people):
    faces = people[1]
    mean = faces.images.mean(0)
    assert attack.psnr(faces.images + 0.1, faces) == pytest.approx(20, abs=1e-3)
    assert attack.rank1(faces.images, faces, mean) == 1
    assert attack.rank1(0.5 * faces.images + 0.2, faces, mean) == 1
    assert attack.rank1(np.zeros_like(faces.images), faces, mean) == 0


def test_table_and_text():
    rows = attack.attack_table((6, 3, 1), settings=[("blur", 0.2), ("mosaic", 1 / 8), ("mask", None)])
    assert [row["default"] for row in rows] == [True, False, True]
    text = attack.as_table(rows)
    assert text.count("*") == 3 and "0.125" in text and "identity" not in text
    assert {method for method, _ in attack.SETTINGS} == set(METHODS)


def test_a_real_face_is_attacked_too(people):
    pytest.importorskip("dlib")
    from skimage.data import astronaut

    from p3mlib.privacy import faces

    image = (astronaut()[:230, 110:340] / 255).astype(np.float32)
    (face,) = faces.detect(image)
    crop, _, points = attack.crop_face(image, face.landmarks)
    untouched = faces.identity_distance(faces.embedding(image, face), attack.crop_embedding(crop, points))
    network = attack.train_inverter("mask", None, people[0], 1, 0)
    found = attack.attack_photo(network, "mask", None, image, face)
    assert untouched < 0.4 and min(found.values()) > faces.SAME_PERSON


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda p: attack.attack_table("huge"), "no size 'huge'; there are smoke, laptop"),
        (lambda p: attack.train_inverter("blur", 0.2, p[0], 0, 0), "0 steps"),
        (lambda p: attack.train_inverter("swirl", 0.2, p[0], 1, 0), "no method 'swirl'"),
        (lambda p: attack.reconstruction_attack("blur", -1, p, 1), "strength must be"),
        (lambda p: attack.reconstruction_attack("blur", 0.2, (p[0], attack.Faces(*(a[:1] for a in p[1]))), 1), "at least two"),
    ],
)
def test_bad_arguments(people, call, message):
    with pytest.raises(ValueError, match=message):
        call(people)
