"""What versions 5 and 6 of P3M-Synth added: hands, framings, cloth, depth, shared light, shadows, movement, busier places."""

from dataclasses import replace

import cv2
import numpy as np
import pytest

from p3mlib.synthetic import light, limbs
from p3mlib.synthetic.background import _clutter, _perspective, render_background
from p3mlib.synthetic.body import _texture
from p3mlib.synthetic.canvas import View
from p3mlib.synthetic.portrait import photograph, render_portrait
from p3mlib.synthetic.scene import FRAMINGS, HANDS, TEXTURES, sample_scene


def first(distribution, wanted):
    return next(seed for seed in range(2000) if wanted(sample_scene(seed, distribution)))


def test_framings_and_hands_come_in_the_documented_shares():
    for distribution, shares in FRAMINGS.items():
        figures = [sample_scene(seed, distribution)["figure"] for seed in range(600)]
        for framing, share in shares.items():
            assert np.mean([f["framing"] == framing for f in figures]) == pytest.approx(share, abs=0.06)
        near = [bool(f["gestures"]) for f in figures if f["framing"] == "head"]
        assert np.mean(near) == pytest.approx(HANDS[distribution], abs=0.07)
        assert all(len(f["gestures"]) == 2 for f in figures if f["framing"] != "head")


@pytest.mark.parametrize("gesture", ["chin", "cheek", "hair", "phone", "wave", "cup", "down", "hip", "crossed"])
def test_a_hand_has_a_thumb_a_palm_and_four_fingers_that_hang_together(gesture):
    view = View(240, 240, (120, 120), 60, 2)
    shapes = limbs.hand_shapes(np.zeros(2), 1, gesture)
    assert len(shapes) == 6
    canvas = np.zeros((240, 240), np.uint8)
    for shape in shapes:
        cv2.fillPoly(canvas, [np.rint(view.pixels(shape)).astype(np.int32)], 1)
    assert cv2.connectedComponents(canvas)[0] == 2, "one piece, and the background"
    rows, columns = np.nonzero(canvas)
    assert 0.5 < max(np.ptp(rows), np.ptp(columns)) / 60 < 2.0, "about the height of a face, which is 1.2 to 1.6"


def test_a_hand_near_the_face_is_opaque_and_outlines_the_subject():
    seed = first("P3M", lambda s: s["figure"]["gestures"] == ["wave"] and not s["movement"][0] and s["subject_blur"] < 1e-3)
    portrait = render_portrait(seed, (256, 256))
    scene = portrait.attributes
    x, y = scene["centre"]
    view = View(256, 256, (x * 256, y * 256), scene["scale"] * 256, 2)
    palm = view.pixels(limbs.hand_shapes(np.array([1.85 * scene["figure"]["side"], 1.15]), scene["figure"]["side"], "wave")[1])
    inside = np.zeros((256, 256), np.uint8)
    cv2.fillPoly(inside, [np.rint(palm).astype(np.int32)], 1)
    inside = cv2.erode(inside, np.ones((5, 5))) > 0
    assert inside.any() and (portrait.alpha[inside] == 1).all()


@pytest.mark.parametrize("framing", ["half", "full"])
def test_wide_framings_show_the_figure_and_landmarks_stay_on_the_head(framing):
    for seed in range(400):
        scene = sample_scene(seed, "NP")
        if scene["figure"]["framing"] != framing or scene["pose"] != "frontal":
            continue
        portrait = render_portrait(seed, (256, 224), "NP")
        rows = np.nonzero((portrait.alpha > 0.5).any(1))[0]
        points = np.rint(portrait.landmarks).astype(int)
        assert (points >= 0).all() and (points[:, 0] < 224).all()
        assert points[:, 1].max() < rows[0] + 0.45 * np.ptp(rows)
        assert portrait.alpha[points[:, 1], points[:, 0]].mean() > 0.9
        if framing == "full":
            assert rows[-1] < 255, "the feet are in the picture"
            assert np.ptp(rows) > 5 * np.ptp(points[:, 1])
        return
    pytest.fail("no such portrait among the seeds")


def test_cloths_differ_and_texture_fades_where_a_thread_is_finer_than_a_pixel():
    near, far = View(64, 64, (32, 10), 80, 2), View(64, 64, (32, 10), 5, 2)
    for kind in TEXTURES:
        field = _texture(near, kind, np.random.default_rng(0))
        assert field.shape == (64, 64) and 0.5 < field.mean() < 1.4
        assert (field.std() > 0.01) == (kind != "plain")
    for kind in ("knit", "corduroy"):
        assert _texture(far, kind, np.random.default_rng(0)).std() < 0.5 * _texture(near, kind, np.random.default_rng(0)).std()


def test_a_room_has_depth_that_grows_towards_the_vanishing_point():
    picture, depth = _perspective(np.random.default_rng(1), "indoor", 90, 120)
    assert picture.shape == (90, 120, 3) and depth.shape == (90, 120)
    assert depth.max() == 1 and depth[0, 0] < 0.5 and 0 < depth.min()


def test_a_cast_shadow_only_darkens_and_leaves_alpha_alone():
    seed = first("P3M", lambda s: s["shadow"]["strength"] > 0.3 and s["figure"]["framing"] == "head")
    scene = sample_scene(seed)
    alpha = np.zeros((96, 96), np.float32)
    alpha[30:, 30:66] = 1
    before, place = alpha.copy(), np.full((96, 96, 3), 0.5, np.float32)
    view = View(96, 96, (48, 48), 20, 2)
    without = light.lit_place(place, alpha, {**scene, "shadow": {"strength": 0.0, "distance": 0.5}}, view)
    shaded = light.lit_place(place, alpha, scene, view)
    assert (shaded <= without + 1e-6).all() and (shaded < without - 0.05).any() and np.array_equal(alpha, before)


def test_person_and_place_share_the_colour_of_the_light():
    scene = sample_scene(0)
    warm, cold = ({**scene, "lighting": {**scene["lighting"], "warmth": w}} for w in (0.1, -0.1))
    grey, cover, view = np.full((48, 48, 3), 0.4, np.float32), np.ones((48, 48), np.float32), View(48, 48, (24, 24), 10, 2)
    for lit in (
        [light.lit_place(grey, cover * 0, s, view) for s in (warm, cold)],
        [light.rim_light(grey, cover, grey, s, view) for s in (warm, cold)],
    ):
        assert lit[0][..., 0].mean() > lit[1][..., 0].mean() and lit[0][..., 2].mean() < lit[1][..., 2].mean()


@pytest.mark.parametrize("angle", [0, 45, 90, 133])
def test_a_movement_blurs_along_its_direction_alone(angle):
    kernel = light.motion_kernel(9.0, angle)
    assert kernel.sum() == pytest.approx(1) and kernel.shape[0] % 2
    y, x = np.mgrid[: kernel.shape[0], : kernel.shape[0]] - kernel.shape[0] // 2
    along = x * np.cos(np.radians(angle)) + y * np.sin(np.radians(angle))
    across = -x * np.sin(np.radians(angle)) + y * np.cos(np.radians(angle))
    assert (kernel * along**2).sum() > 8 * (kernel * across**2).sum()


def test_a_moving_person_has_a_wider_transition_and_stays_an_exact_composite():
    seed = first("P3M", lambda s: s["movement"][0] > 0.015 and s["figure"]["framing"] == "head")
    moving = render_portrait(seed, (192, 192))
    assert ((moving.alpha > 0.02) & (moving.alpha < 0.98)).mean() > 0.02
    blend = moving.alpha[..., None] * moving.fg + (1 - moving.alpha[..., None]) * moving.bg
    assert np.abs(blend - moving.image).max() < 1e-6


def test_compression_is_deterministic_and_stronger_at_a_lower_quality():
    portrait = render_portrait(2, (512, 512))
    error = {}
    for quality in (30, 95):
        camera = {**portrait.attributes["camera"], "jpeg": quality, "noise_sigma": 0.0, "shot": 0.0}
        other = replace(portrait, attributes={**portrait.attributes, "camera": camera})
        once, again = photograph(other, 1), photograph(other, 1)
        assert np.array_equal(once, again)
        error[quality] = np.abs(
            once - photograph(replace(other, attributes={**other.attributes, "camera": {**camera, "jpeg": 100}}), 1)
        ).mean()
    assert error[30] > 2 * error[95] > 0


def test_a_full_beard_has_strands_beyond_the_chin():
    def full(scene):
        plain = scene["figure"]["framing"] == "head" and not scene["figure"]["gestures"] and not scene["clothes"]["scarf"]
        short = scene["hair"]["style"] in ("short", "buzz", "bald")
        return plain and short and scene["beard"] == "full" and scene["pose"] == "frontal"

    seed = first("P3M", full)
    portrait = render_portrait(seed, (256, 256))
    below = portrait.landmarks[8].round().astype(int) + (0, 4)
    patch = portrait.parts["hair"][below[1] - 3 : below[1] + 4, below[0] - 12 : below[0] + 13]
    assert patch.mean() > 0.1


def test_clutter_and_grain_make_a_place_busier_and_none_of_them_leaves_it():
    def edges(**changes):
        scene = sample_scene(3, "P3M")
        scene |= {
            "defocus": 0.0,
            "background": {**scene["background"], "kind": "wall", "posters": [], "distractors": [], **changes},
        }
        grey = render_background(scene, np.random.default_rng(0), 96, 96).mean(-1)
        return np.hypot(*np.gradient(grey)).mean()

    plain = edges(grain=0.0, clutter=0)
    assert edges(grain=0.12, clutter=0) > 1.2 * plain and edges(grain=0.0, clutter=120) > 1.2 * plain
    picture = np.full((40, 30, 3), 0.4, np.float32)
    _clutter(np.random.default_rng(0), picture, 0)
    assert (picture == np.float32(0.4)).all()


def test_places_differ_in_how_busy_they_are_as_documented():
    places = [sample_scene(seed, "P3M")["background"] for seed in range(600)]
    cluttered = {kind: np.mean([p["clutter"] > 0 for p in places if p["kind"] == kind]) for kind in ("studio", "wall", "street")}
    assert cluttered["studio"] == 0 and cluttered["wall"] == pytest.approx(0.3, abs=0.12)
    assert cluttered["street"] == pytest.approx(0.8, abs=0.12)
    assert np.mean([p["match"] != "none" for p in places]) == pytest.approx(0.06, abs=0.03)
    hard = [sample_scene(seed, "RWP") for seed in range(600)]
    assert np.mean([scene["background"]["match"] != "none" for scene in hard]) == pytest.approx(0.2, abs=0.06)
    assert all(scene["defocus"] <= 0.01 for scene in hard)
