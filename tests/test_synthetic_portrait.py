"""P3M-Synth portraits: exact, deterministic, labelled where they are drawn, distributed as documented."""

import json

import cv2
import numpy as np
import pytest

from p3mlib.matte import composite, make_trimap
from p3mlib.synthetic.portrait import DISTRIBUTIONS, photograph, render_portrait
from p3mlib.synthetic.scene import sample_scene

SEEDS = range(12)


@pytest.fixture(scope="module")
def portraits():
    return [render_portrait(seed, (160, 128), DISTRIBUTIONS[seed % 4]) for seed in SEEDS]


def test_the_image_is_exactly_the_composite(portraits):
    for portrait in portraits:
        assert np.abs(portrait.image - composite(portrait.fg, portrait.bg, portrait.alpha)).max() <= 1e-6


def test_shapes_ranges_and_kinds(portraits):
    for portrait in portraits:
        assert portrait.alpha.shape == (160, 128) and portrait.image.shape == portrait.fg.shape == portrait.bg.shape == (
            160,
            128,
            3,
        )
        for array in (portrait.image, portrait.alpha, portrait.fg, portrait.bg, photograph(portrait, 1)):
            assert array.dtype == np.float32 and array.min() >= 0 and array.max() <= 1
        assert all(mask.dtype == bool and mask.any() for mask in portrait.parts.values())
        json.dumps(portrait.attributes)


def test_the_same_seed_is_the_same_portrait_and_another_is_not():
    one, again, other = (render_portrait(seed, (64, 64)) for seed in (5, 5, 6))
    assert np.array_equal(one.image, again.image) and np.array_equal(one.landmarks, again.landmarks)
    assert np.abs(one.image - other.image).mean() > 0.02
    assert np.array_equal(photograph(one, 3), photograph(again, 3)) and not np.array_equal(photograph(one, 3), photograph(one, 4))


@pytest.mark.parametrize("seed", [0, 3, 8])
def test_the_same_seed_is_the_same_scene_at_every_size(seed):
    small, large = render_portrait(seed, (80, 64)), render_portrait(seed, (160, 128))
    reduced = large.alpha.reshape(80, 2, 64, 2).mean((1, 3))
    assert np.corrcoef(small.alpha.ravel(), reduced.ravel())[0, 1] > 0.97
    assert np.abs(small.landmarks * 2 - large.landmarks).max() < 3
    assert small.attributes["hair"] == large.attributes["hair"]


def test_mattes_have_what_makes_matting_hard(portraits):
    for portrait in portraits:
        alpha = portrait.alpha
        assert 0.2 < alpha.mean() < 0.85
        assert (alpha == 0).any() and (alpha == 1).mean() > 0.15
        assert 0.003 < ((alpha > 0) & (alpha < 1)).mean() < 0.2
        assert 0.02 < (make_trimap(alpha, 5) == 0.5).mean() < 0.35


def test_strands_are_thinner_than_a_pixel():
    portrait = render_portrait(next(s for s in range(99) if sample_scene(s)["hair"]["style"] == "windblown"), (256, 256))
    hair = portrait.parts["hair"]
    around = (portrait.alpha > 0) & (portrait.alpha < 0.5) & ~hair
    assert around.mean() > 0.005


def test_the_face_has_no_holes(portraits):
    for portrait in portraits:
        if portrait.landmarks is not None:
            skin = portrait.parts["skin"]
            assert portrait.alpha[skin].min() > 0.45 and np.mean(portrait.alpha[skin] == 1) > 0.8


@pytest.mark.parametrize("side", [48, 64, 160])
def test_the_face_is_opaque_at_every_size(side):
    inside = []
    for seed in range(8):
        portrait = render_portrait(seed, (side, side), "P3M")
        if portrait.landmarks is not None:
            hull = np.zeros((side, side), np.uint8)
            cv2.fillConvexPoly(hull, cv2.convexHull(np.round(portrait.landmarks).astype(np.int32)), 1)
            inside.append(np.median(portrait.alpha[cv2.erode(hull, np.ones((5, 5))) > 0]))
    assert min(inside) == 1


def test_landmarks_lie_on_what_is_drawn():
    found = 0
    for seed in range(40):
        portrait = render_portrait(seed, (192, 160))
        if portrait.attributes["pose"] != "frontal" or portrait.attributes["subject_blur"] > 0.003:  # half a pixel: soft outlines
            continue
        points = np.rint(portrait.landmarks).astype(int)
        inside = (points >= 0).all(1) & (points[:, 0] < 160) & (points[:, 1] < 192)
        assert inside.all()
        assert portrait.alpha[points[:, 1], points[:, 0]].mean() > 0.97
        for part, indices in (("r_eye", range(36, 42)), ("l_eye", range(42, 48))):
            if part in portrait.parts:
                rows, columns = np.nonzero(portrait.parts[part])
                assert np.hypot(*(portrait.landmarks[list(indices)].mean(0) - (columns.mean(), rows.mean()))) < 4
                found += 1
        assert (
            portrait.landmarks[8, 1] > portrait.landmarks[30, 1] > portrait.landmarks[27, 1] > portrait.landmarks[19:24, 1].min()
        )
        if abs(portrait.attributes["yaw"]) < 25:
            assert portrait.landmarks[0, 0] < portrait.landmarks[30, 0] < portrait.landmarks[16, 0]
    assert found > 30


def test_no_landmarks_without_a_face():
    backs = [seed for seed in range(120) if sample_scene(seed, "NP")["pose"] == "back"]
    assert backs and all(render_portrait(seed, (48, 48), "NP").landmarks is None for seed in backs[:4])


def test_distributions_differ_as_documented():
    scenes = {name: [sample_scene(seed, name) for seed in range(400)] for name in DISTRIBUTIONS}
    frontal = {name: np.mean([s["pose"] == "frontal" for s in those]) for name, those in scenes.items()}
    assert frontal == pytest.approx({"P3M": 0.75, "NP": 0.60, "RWP": 0.72, "CelebA": 1.0}, abs=0.08)
    noise = {name: np.mean([s["camera"]["noise_sigma"] for s in those]) for name, those in scenes.items()}
    assert noise["RWP"] > 2 * noise["P3M"]
    assert len({s["hair"]["style"] for s in scenes["P3M"]}) >= 10 and len({s["skin"]["name"] for s in scenes["P3M"]}) >= 8
    assert len({s["background"]["kind"] for s in scenes["P3M"]}) >= 7


def test_faces_have_the_parts_of_celebamask_hq():
    parts = [set(render_portrait(seed, (96, 96), "CelebA").parts) for seed in range(10)]
    assert all({"skin", "l_brow", "r_brow"} <= found for found in parts)
    assert sum({"l_eye", "r_eye", "u_lip", "l_lip", "neck", "hair"} <= found for found in parts) >= 7


@pytest.mark.parametrize("size", [(32, 32), (33, 90), (120, 64)])
def test_any_size(size):
    assert render_portrait(1, size).alpha.shape == size


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((0, (64, 64), "P3M10k"), "unknown distribution 'P3M10k'; choose one of P3M, NP, RWP, CelebA"),
        ((-1, (64, 64)), "seed must be a non-negative integer, got -1"),
        ((1.5, (64, 64)), "seed must be a non-negative integer, got 1.5"),
        ((0, (16, 64)), "16 x 64: each side must be at least 32"),
    ],
)
def test_messages(arguments, message):
    with pytest.raises(ValueError, match=message):
        render_portrait(*arguments)
