"""Neck, shoulders and clothes."""

import numpy as np

from p3mlib.synthetic.canvas import fill, noise, smoothstep, spline, stroke
from p3mlib.synthetic.limbs import FIGURES, trunk


def _narrowing(scene):
    """Width of the shoulders in this view over the frontal width."""
    return 0.62 + 0.38 * abs(np.cos(np.radians(scene["yaw"] * 0.75)))


def draw_neck(layer, view, head, scene):
    """Draw the shape of the neck, premultiplied."""
    half = (0.40 if scene["masculine"] else 0.33) * head.size[0]
    root = head.to_camera(np.array([0, 0.45, -0.30]))[:2]
    shift = -0.12 * np.sin(np.radians(scene["yaw"]))
    left = [(root[0] - half, root[1]), (-half + shift, 1.05), (-half * 1.3 + shift, 1.35), (-half * 1.6 + shift, 2.0)]
    right = [(half * 1.6 + shift, 2.0), (half * 1.3 + shift, 1.35), (half + shift, 1.05), (root[0] + half, root[1])]
    fill(layer, view, spline(np.array(left + right), 4, closed=True), scene["skin"]["rgb"])


def torso(scene, rng):
    """Outline (N, 2) in scene units and width of the shoulders: with arms, leaving the picture at the bottom, or to the hips."""
    width = (1.72 if scene["masculine"] else 1.48) * _narrowing(scene) * rng.normal(1, 0.05)
    drop, lean = rng.normal(1.62, 0.06), rng.normal(0, 0.04)
    if scene["figure"]["framing"] in FIGURES:
        return trunk(scene, width, lean), width
    neck = 0.42 if scene["masculine"] else 0.36
    shoulder = [(width * 0.72, drop - 0.12), (width * 0.95, drop + 0.12), (width * 1.04, drop + 0.75)]
    right = np.array([(neck, 1.22), (neck + 0.22, 1.34), *shoulder, (width * 1.10, drop + 1.9), (width * 1.16, 9.0)])
    left = right[::-1] * (-1, 1)
    middle = np.array([(-0.2, 1.32), (0.2, 1.32)])
    return spline(np.concatenate([right, left, middle]) + (lean, 0), 5, closed=True), width


def _texture(view, kind, rng):
    """Brightness (H, W) around 1 of a cloth's surface; what is finer than three pixels fades out."""
    x, y = view.grid()

    def fine(period):
        return np.clip(view.unit * period / 3, 0, 1)

    if kind == "knit":
        return 1 + 0.13 * fine(0.10) * np.sin(2 * np.pi * (y / 0.10 + 0.5 * np.abs(np.sin(np.pi * x / 0.10))))
    if kind == "corduroy":
        return 1 + 0.14 * fine(0.09) * np.sin(2 * np.pi * x / 0.09) + 0 * y
    if kind == "denim":
        worn = 0.10 * noise(rng, view.height, view.width, 24, 2)
        return 1 + worn + 0.08 * fine(0.06) * np.sin(2 * np.pi * (x + y) / 0.06)
    if kind == "leather":
        return 0.85 + 0.45 * np.clip(noise(rng, view.height, view.width, 5, 3, (0.7, 1.4)) - 0.7, 0, 1.2)
    return 1 + 0 * (x + y)


def cloth_colour(view, scene, rng):
    """RGB (H, W, 3) of the clothes everywhere in the picture: pattern, folds and light."""
    outfit, (x, y) = scene["clothes"], view.grid()
    first, second = np.float32(outfit["rgb"]), np.float32(outfit["second"])
    pitch = rng.uniform(0.10, 0.24)
    bent = x + 0.05 * np.sin(1.6 * y + 1.0)
    row = y + 0.06 * np.cos(1.3 * x)
    wave = {
        "plain": 0 * (x + y),
        "stripes": smoothstep(np.sin(2 * np.pi * row / pitch), -0.2, 0.2) + 0 * x,
        "pinstripes": smoothstep(np.cos(2 * np.pi * bent / (pitch * 0.6)), 0.88, 0.97) + 0 * y,
        "checks": 0.5 * smoothstep(np.sin(2 * np.pi * bent / pitch), -0.1, 0.1)
        + 0.5 * smoothstep(np.sin(2 * np.pi * row / pitch), -0.1, 0.1),
        "dots": smoothstep(np.cos(2 * np.pi * bent / pitch) + np.cos(2 * np.pi * row / pitch), 1.2, 1.45),
        "print": smoothstep(noise(rng, view.height, view.width, 9, 2), 0.35, 0.75),
    }[outfit["pattern"]]
    colour = first + wave[..., None].astype(np.float32) * (second - first)
    folds = noise(rng, view.height, view.width, 3, 3, (0.7, 1.3))
    side = np.sin(np.radians(scene["lighting"]["azimuth"])) * x / 1.6
    lit = (
        1
        + 0.10 * folds
        + scene["lighting"]["contrast"] * 0.35 * np.clip(side, -1, 1)
        - 0.10 * smoothstep(np.abs(x), 0.9, 1.9)
        + 0 * y
    )
    lit = lit * _texture(view, outfit["texture"], rng)
    return np.clip(colour * lit[..., None], 0, 1).astype(np.float32)


def draw_collar(layer, view, scene):
    """Draw what the garment shows at the neck, premultiplied: neckline, collar, lapels, hood or scarf."""
    outfit, skin = scene["clothes"], np.array(scene["skin"]["rgb"])
    rgb, inner = np.array(outfit["rgb"]), np.array(outfit["inner"])
    narrow, turn = _narrowing(scene), 0.25 * np.sin(np.radians(scene["yaw"]))
    back = scene["pose"] == "back"

    def put(points, colour):
        fill(layer, view, np.array(points) * (narrow, 1) + (turn, 0), colour)

    for side in (-1, 1) if scene["figure"]["framing"] == "head" else ():  # the arms
        crease = np.array([(1.02, 2.25), (0.98, 2.9), (1.0, 4.0)]) * (side * (1.1 if scene["masculine"] else 0.98) * narrow, 1)
        stroke(layer, view, spline(crease, 4), rgb * 0.62, 0.03)
    neck = 0.46 if scene["masculine"] else 0.40
    garment = outfit["garment"]
    if not back:
        depth = {"v-neck": 2.15, "suit": 2.35, "jacket": 2.1, "shirt": 1.75}.get(garment)
        filling = inner if garment in ("suit", "jacket") else skin * 0.86
        if depth:
            put([(-neck, 1.24), (neck, 1.24), (0, depth)], filling)
            if garment in ("suit", "jacket"):
                put([(-0.26, 1.2), (0.26, 1.2), (0, 1.75)], skin * 0.84)
                put([(-0.3, 1.25), (-0.02, 1.62), (-0.24, 1.72)], inner * 1.0)
                put([(0.3, 1.25), (0.02, 1.62), (0.24, 1.72)], inner * 1.0)
                put([(-neck, 1.2), (-0.06, depth), (-0.52, 1.72)], rgb * 0.72)
                put([(neck, 1.2), (0.06, depth), (0.52, 1.72)], rgb * 0.72)
        else:
            put([(-neck, 1.24), (-0.22, 1.44), (0, 1.50), (0.22, 1.44), (neck, 1.24), (0, 1.1)], skin * 0.84)
        if garment == "shirt":
            put([(-neck, 1.16), (-0.02, 1.64), (-0.30, 1.74)], rgb * 0.90)
            put([(neck, 1.16), (0.02, 1.64), (0.30, 1.74)], rgb * 0.90)
    if garment == "hoodie":
        put(
            [(-0.72, 1.46), (-0.40, 1.04), (-0.26, 1.42), (0, 1.56), (0.26, 1.42), (0.40, 1.04), (0.72, 1.46), (0, 1.80)],
            rgb * 0.80,
        )
    if garment == "sweater":
        ring = spline(np.array([(-neck, 1.20), (-0.2, 1.46), (0.2, 1.46), (neck, 1.20)]) * (narrow, 1) + (turn, 0), 5)
        stroke(layer, view, ring, rgb * 0.75, 0.12)
    if outfit["scarf"]:
        put([(-0.62, 1.20), (-0.3, 0.98), (0.3, 0.98), (0.62, 1.20), (0.52, 1.56), (0, 1.70), (-0.52, 1.56)], outfit["second"])
        put([(0.05, 1.5), (0.35, 1.5), (0.42, 2.6), (0.10, 2.6)], np.array(outfit["second"]) * 0.85)
