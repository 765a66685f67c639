"""Backgrounds: places, and things in them that look like skin, hair or people."""

import cv2
import numpy as np

from p3mlib.synthetic.canvas import noise
from p3mlib.synthetic.palette import HAIR, SKIN

_PALETTES = {
    "studio": [(0.35, 0.37, 0.40), (0.72, 0.70, 0.68), (0.20, 0.22, 0.26), (0.62, 0.53, 0.47), (0.45, 0.55, 0.62)],
    "wall": [(0.75, 0.70, 0.62), (0.60, 0.44, 0.36), (0.52, 0.55, 0.56), (0.40, 0.47, 0.44), (0.82, 0.80, 0.77)],
    "indoor": [(0.80, 0.74, 0.66), (0.50, 0.40, 0.32), (0.30, 0.33, 0.38), (0.68, 0.62, 0.55)],
    "street": [(0.50, 0.50, 0.52), (0.62, 0.55, 0.48), (0.36, 0.38, 0.42), (0.72, 0.70, 0.66)],
}


def _colour(rng, kind):
    options = _PALETTES.get(kind, _PALETTES["studio"])
    return np.clip(np.array(options[rng.integers(len(options))]) + rng.normal(0, 0.05, 3), 0.03, 0.97)


def _ramp(rng, height, width, top, bottom):
    angle = rng.uniform(-0.6, 0.6)
    y, x = np.linspace(0, 1, height)[:, None], np.linspace(-0.5, 0.5, width)[None]
    t = np.clip(y + np.tan(angle) * x, 0, 1)[..., None]
    return (np.asarray(top) * (1 - t) + np.asarray(bottom) * t).astype(np.float32)


def _rectangles(rng, picture, kind, count):
    height, width = picture.shape[:2]
    for _ in range(count):
        w, h = rng.uniform(0.08, 0.45) * width, rng.uniform(0.12, 0.7) * height
        x, y = rng.uniform(-0.1, 1) * width, rng.uniform(-0.1, 0.9) * height
        box = [tuple(int(v) for v in (x, y)), tuple(int(v) for v in (x + w, y + h))]
        cv2.rectangle(picture, *box, tuple(_colour(rng, kind).tolist()), -1)
        if kind == "street":
            for row in np.arange(y + 0.04 * height, y + h, 0.09 * height):
                for column in np.arange(x + 0.03 * width, x + w - 0.03 * width, 0.08 * width):
                    light = (0.85, 0.80, 0.62) if rng.random() < 0.3 else (0.22, 0.26, 0.32)
                    cv2.rectangle(
                        picture, (int(column), int(row)), (int(column + 0.04 * width), int(row + 0.05 * height)), light, -1
                    )


def _discs(rng, picture, count, colours, low, high):
    height, width = picture.shape[:2]
    overlay = picture.copy()
    for _ in range(count):
        centre = (int(rng.uniform(0, width)), int(rng.uniform(0, height)))
        radius = max(1, int(rng.uniform(low, high) * min(height, width)))
        cv2.circle(overlay, centre, radius, tuple(float(v) for v in colours[rng.integers(len(colours))]), -1, cv2.LINE_AA)
        if rng.random() < 0.3:
            cv2.addWeighted(overlay, 0.6, picture, 0.4, 0, picture)
            overlay[:] = picture
    cv2.addWeighted(overlay, 0.6, picture, 0.4, 0, picture)


def _perspective(rng, kind, height, width):
    """A room or a street in one-point perspective: picture (H, W, 3) and depth (H, W), 1 at the far end."""
    size = np.array([width, height])
    middle = size * rng.uniform((0.25, 0.28), (0.75, 0.50))
    half = size * rng.uniform(0.07, 0.20, 2)
    far = middle + half * np.array([(-1, -1), (1, -1), (1, 1), (-1, 1)])
    near = middle + (far - middle) * 14  # beyond the picture on all sides
    outdoors = kind == "street"
    sky = (0.62, 0.74, 0.88) if outdoors else _colour(rng, kind) * 0.7 + 0.3
    floor = _colour(rng, "street") * 0.75 if outdoors else _colour(rng, "indoor") * 0.8
    picture = np.empty((height, width, 3), np.float32)
    picture[:] = np.float32(_colour(rng, kind)) * 0.85  # the far wall

    def put(corners, colour):
        cv2.fillConvexPoly(picture, np.round(np.clip(corners, -8192, 8192) * 16).astype(np.int32), _tuple(colour), cv2.LINE_AA, 4)

    for (a, b), colour in (((0, 1), sky), ((2, 3), floor), ((3, 0), _colour(rng, kind)), ((1, 2), _colour(rng, kind) * 0.85)):
        put(np.array([near[a], near[b], far[b], far[a]]), colour)
    for top, bottom in ((0, 3), (1, 2)):  # doors, windows, shelves and pictures on the two sides
        steps = np.cumsum(rng.uniform(0.3, 1.0, 9)) + 0.6
        for a, b in zip(steps[::2], steps[1::2], strict=False):
            low, high = np.sort(rng.uniform(0.08, 0.98, 2)) if rng.random() < 0.6 else (0.3, 1.0)
            colour = (0.86, 0.84, 0.72) if rng.random() < 0.35 else _colour(rng, kind) * rng.uniform(0.5, 1.1)
            # a wall's point at distance z lies 1 / z of the way from the vanishing point outwards
            edge = [
                middle + (far[top] - middle) * 5 / z + (far[bottom] - far[top]) * 5 / z * t for z in (a, b) for t in (low, high)
            ]
            put(np.array([edge[0], edge[1], edge[3], edge[2]]), colour)
    for t in np.linspace(-1.5, 2.5, 13):  # joints of the floor
        end = near[3] + t * (near[2] - near[3])
        line = np.round(np.clip([far[3] + np.clip(t, 0, 1) * (far[2] - far[3]), end], -8192, 8192) * 16).astype(np.int32)
        cv2.polylines(picture, [line], False, _tuple(np.array(floor) * 0.72), 1, cv2.LINE_AA, 4)
    away = np.abs(np.stack(np.meshgrid(np.arange(width), np.arange(height)), -1) - middle) / half
    return picture, (1 / np.maximum(away.max(-1), 1)).astype(np.float32)


def _tuple(colour):
    return tuple(float(v) for v in np.clip(colour, 0, 1))


def _place(rng, kind, height, width):
    if kind == "sky":
        picture = _ramp(rng, height, width, (0.35, 0.55, 0.82), (0.80, 0.86, 0.92))
        clouds = np.clip(noise(rng, height, width, 3, 4, (1.6, 1)) * 0.5, 0, 1)[..., None]
        return picture * (1 - clouds) + clouds * np.float32((0.96, 0.96, 0.97))
    if kind == "wood":
        grain = noise(rng, height, width, 5, 3, (0.25, 4) if rng.random() < 0.5 else (4, 0.25))[..., None]
        return np.float32((0.58, 0.40, 0.26)) * (1 + 0.22 * grain) * rng.uniform(0.6, 1.3)
    if kind == "foliage":
        field = noise(rng, height, width, 6, 4)[..., None]
        tone = np.float32((0.22, 0.34, 0.14)) * rng.uniform(0.6, 1.5)
        picture = tone * (1 + 0.55 * field) + np.clip(field - 0.9, 0, 1) * np.float32((0.35, 0.40, 0.15))
        picture = np.ascontiguousarray(picture, np.float32)
        _discs(rng, picture, 14, [np.clip(tone * f, 0, 1) for f in (0.5, 1.4, 2.2)], 0.01, 0.05)
        return picture
    picture = _ramp(rng, height, width, _colour(rng, kind), _colour(rng, kind))
    if kind == "wall":
        picture *= 1 + 0.12 * noise(rng, height, width, 8, 4)[..., None]
        if rng.random() < 0.5:
            step = max(3, int(0.09 * height))
            for row, y in enumerate(range(0, height, step)):
                picture[y : y + max(1, step // 9)] *= 0.72
                for x in range((row % 2) * step, width, 2 * step):
                    picture[y : y + step, x : x + max(1, step // 9)] *= 0.72
    elif kind in ("indoor", "street"):
        _rectangles(rng, picture, kind, rng.integers(5, 11))
    elif kind == "bokeh":
        warm = [(0.95, 0.75, 0.42), (0.90, 0.55, 0.30), (0.55, 0.70, 0.90), (0.95, 0.90, 0.75), (0.40, 0.60, 0.40)]
        picture *= 0.6
        _discs(rng, picture, rng.integers(18, 45), warm, 0.02, 0.09)
    return picture


def _distract(rng, picture, kind):
    height, width = picture.shape[:2]
    side, skins = min(height, width), list(SKIN.values())
    if kind == "skin blobs":
        _discs(rng, picture, 5, skins, 0.06, 0.20)
    elif kind == "skin spheres":
        for _ in range(rng.integers(1, 4)):
            x, y, r = rng.uniform(0, width), rng.uniform(0, 0.7 * height), rng.uniform(0.08, 0.2) * side
            colour = np.array(skins[rng.integers(len(skins))])
            for t in np.linspace(1, 0.1, 8):
                shade = colour * (0.55 + 0.5 * (1 - t))
                cv2.circle(
                    picture,
                    (int(x - 0.25 * r * (1 - t)), int(y - 0.3 * r * (1 - t))),
                    max(1, int(r * t)),
                    tuple(shade.tolist()),
                    -1,
                    cv2.LINE_AA,
                )
    elif kind == "strands":
        hair = np.array(list(HAIR.values())[rng.integers(len(HAIR))])
        x, y = rng.uniform(0, width), rng.uniform(0, height)
        for _ in range(90):
            start = np.array([x, y]) + rng.normal(0, 0.05 * side, 2)
            end = start + rng.normal((0.1, 0.3), 0.12, 2) * side
            line = np.round(np.stack([start, (start + end) / 2 + rng.normal(0, 0.03 * side, 2), end]) * 16).astype(np.int32)
            cv2.polylines(picture, [line], False, tuple(np.clip(hair * rng.uniform(0.6, 1.4), 0, 1).tolist()), 1, cv2.LINE_AA, 4)
    elif kind == "people":
        for _ in range(rng.integers(1, 3)):
            x, y, r = rng.uniform(0, width), rng.uniform(0.15, 0.5) * height, rng.uniform(0.05, 0.11) * side
            cloth = tuple(rng.uniform(0.1, 0.8, 3).tolist())
            cv2.ellipse(picture, (int(x), int(y + 3.6 * r)), (int(2.1 * r), int(2.6 * r)), 0, 0, 360, cloth, -1, cv2.LINE_AA)
            skin, hair = (tuple(float(v) for v in table[rng.integers(len(table))]) for table in (skins, list(HAIR.values())))
            cv2.ellipse(picture, (int(x), int(y - 0.2 * r)), (int(0.95 * r), int(1.15 * r)), 0, 0, 360, hair, -1, cv2.LINE_AA)
            cv2.ellipse(picture, (int(x), int(y + 0.12 * r)), (int(0.72 * r), int(0.95 * r)), 0, 0, 360, skin, -1, cv2.LINE_AA)
    else:
        x, w = int(rng.uniform(0, 0.8) * width), max(4, int(rng.uniform(0.2, 0.5) * width))
        panel = picture[:, x : x + w]
        if panel.size:
            grain = noise(rng, height, panel.shape[1], 4, 3, (0.25, 4))[..., None]
            panel[:] = np.float32((0.62, 0.44, 0.30)) * (1 + 0.2 * grain)


def _clutter(rng, picture, count):
    """Many small things: leaves, books, pebbles, wires; each darker or lighter than what is behind it."""
    height, width = picture.shape[:2]
    side = min(height, width)
    for _ in range(count):
        x, y = (int(v) for v in rng.uniform(0, (width, height)))
        axes = tuple(max(1, int(v)) for v in np.exp(rng.normal(np.log(0.025), 0.6, 2)) * side)
        colour = np.clip(picture[y, x] * np.exp(rng.normal(0, 0.45)) + rng.normal(0, 0.06, 3), 0.02, 0.98)
        turn = rng.uniform(0, 180)
        if rng.random() < 0.5:
            cv2.ellipse(picture, (x, y), axes, turn, 0, 360, _tuple(colour), -1, cv2.LINE_AA)
        else:
            corners = cv2.boxPoints(((x, y), tuple(2.0 * a for a in axes), turn))
            cv2.fillConvexPoly(picture, np.round(corners * 16).astype(np.int32), _tuple(colour), cv2.LINE_AA, 4)


def _hang(picture, poster, photo):
    """Paste a photo (h, w, 3) with a light frame where the poster hangs."""
    height, width = picture.shape[:2]
    x, y = (round(share * side) for share, side in zip(poster["corner"], (width, height), strict=True))
    tall = max(4, round(poster["height"] * min(height, width)))
    size = (max(3, round(tall * photo.shape[1] / photo.shape[0])), tall)
    photo = cv2.resize(photo, size, interpolation=cv2.INTER_AREA)
    rim = max(1, tall // 24)
    photo = cv2.copyMakeBorder(photo, *[rim] * 4, cv2.BORDER_CONSTANT, value=(0.92, 0.90, 0.86))
    x0, y0, x1, y1 = max(x, 0), max(y, 0), min(x + photo.shape[1], width), min(y + photo.shape[0], height)
    if x0 < x1 and y0 < y1:
        picture[y0:y1, x0:x1] = photo[y0 - y : y1 - y, x0 - x : x1 - x]


def render_background(scene, rng, height, width, photos=()):
    """Background of a scene as RGB (height, width, 3) float32 in [0, 1], out of focus as the scene says.

    Args:
        photos: one (h, w, 3) picture for each poster of the scene.
    """
    place = scene["background"]
    depth = None
    if place["kind"] in ("indoor", "street") and rng.random() < 0.6:
        picture, depth = _perspective(rng, place["kind"], height, width)
    else:
        picture = _place(rng, place["kind"], height, width)
    picture = np.ascontiguousarray(np.clip(picture, 0, 1), np.float32)
    _clutter(rng, picture, place["clutter"])
    picture *= np.float32(place["brightness"]) * (1 + place["grain"] * noise(rng, height, width, 10, 5)[..., None])
    for kind in place["distractors"]:
        _distract(rng, picture, kind)
    wanted = {"clothes": scene["clothes"]["rgb"], "hair": scene["hair"]["rgb"], "skin": scene["skin"]["rgb"]}.get(place["match"])
    if wanted is not None:
        mean = picture.mean((0, 1))
        picture += 0.75 * (np.float32(wanted) * 0.9 - mean)
    for poster, photo in zip(place["posters"], photos, strict=True):
        _hang(picture, poster, photo)
    sigma = scene["defocus"] * min(height, width)
    if sigma > 0.3:
        sharp = picture
        picture = cv2.GaussianBlur(picture, (0, 0), sigma, borderType=cv2.BORDER_REFLECT)
        if depth is not None:  # what is nearer is less out of focus
            nearer = cv2.GaussianBlur(sharp, (0, 0), max(0.3, 0.4 * sigma), borderType=cv2.BORDER_REFLECT)
            picture = nearer + depth[..., None] * (picture - nearer)
    return np.clip(picture, 0, 1)
