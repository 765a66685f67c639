"""One synthetic portrait: a person put together from layers, in front of a background, through a camera."""

from dataclasses import dataclass

import cv2
import numpy as np

from p3mlib.anonymize import anonymize
from p3mlib.matte import composite
from p3mlib.synthetic import background, body, face, light, limbs
from p3mlib.synthetic.canvas import Stack, View, fill, reduce_layer, smoothstep
from p3mlib.synthetic.hair import Hair
from p3mlib.synthetic.head import Head
from p3mlib.synthetic.scene import DISTRIBUTIONS, sample_scene, scene_generator

__all__ = ["DISTRIBUTIONS", "Portrait", "photograph", "render_portrait"]

_HEAD, _HAIR, _BODY, _BACKGROUND, _SKIN, _CAMERA = range(1, 7)  # random streams
_SMALLEST = 32


@dataclass(frozen=True)
class Portrait:
    """A rendered portrait with everything that is known about it.

    Attributes:
        image, fg, bg: (H, W, 3) float32 in [0, 1]; image is the composite of the others, before camera noise.
        alpha:         (H, W) float32 in [0, 1].
        landmarks:     (68, 2) float32, x and y in pixels (jaw 0-16, brows 17-26, nose 27-35, eyes 36-47, mouth 48-67), or None
                       where no face is seen.
        parts:         dict of (H, W) bool with CelebAMask-HQ names; `skin` includes eyes, brows and lips.
        attributes:    JSON-able dict of what was drawn.
    """

    image: np.ndarray
    alpha: np.ndarray
    fg: np.ndarray
    bg: np.ndarray
    landmarks: np.ndarray | None
    parts: dict
    attributes: dict


def render_portrait(seed, size=(256, 256), distribution="P3M"):
    """Render the portrait of a seed; the same seed shows the same person and place at every size.

    Args:
        seed:         non-negative integer.
        size:         (height, width) in pixels, each at least 32.
        distribution: "P3M", "NP" (un-blurred test set), "RWP" (another camera) or "CelebA" (close-ups of faces).
    Returns:
        Portrait.
    Raises:
        ValueError: unknown distribution, a bad seed, or a side below 32 px.
    """
    scene = sample_scene(seed, distribution)
    height, width = size
    if min(height, width) < _SMALLEST:
        raise ValueError(f"size {height} x {width}: each side must be at least {_SMALLEST} pixels")
    rng = {stream: scene_generator(seed, distribution, stream) for stream in range(1, 7)}
    view = _view(scene, height, width)
    head = Head(scene, rng[_HEAD])
    stack = Stack(height, width)
    _paint_person(stack, view, head, scene, rng)
    place = background.render_background(scene, rng[_BACKGROUND], height, width, _photos(scene, min(size)))
    stack.colour = light.rim_light(stack.colour, stack.coverage, place, scene, view)
    alpha, fg = _finish(stack, scene)
    bg = light.lit_place(place, alpha, scene, view)
    visible = scene["pose"] != "back"
    points = face.landmarks(head, view) if visible else None
    attributes = {**scene, "face_width": round(float(np.ptp(points[:17, 0])), 2) if visible else None}
    parts = {name: mask for name, mask in stack.parts.items() if mask.any()}
    return Portrait(composite(fg, bg, alpha), alpha, fg, bg, points, parts, attributes)


def _photos(scene, side):
    """Pictures of other people for the posters of a scene, with blurred faces: no face but the subject's is in any image."""
    posters = scene["background"]["posters"]
    tall = [max(40, round(poster["height"] * side)) for poster in posters]
    people = [render_portrait(p["seed"], (t, round(0.8 * t)), "CelebA") for p, t in zip(posters, tall, strict=True)]
    return [anonymize(person.image, person.landmarks, None, region="hull").image for person in people]


def _view(scene, height, width):
    side = min(height, width)
    oversampling = int(np.clip(np.ceil(384 / side), 2, 4))
    x, y = scene["centre"]
    return View(height, width, (x * width, y * side + 0.25 * (height - side)), scene["scale"] * side, oversampling)


def _paint_person(stack, view, head, scene, rng):
    """Back to front: curtain of hair, legs, neck, body, arms, head, features, hair, knot, strands, hands at the head."""
    hair = Hair(scene, head, rng[_HAIR])
    away = scene["pose"] == "back"
    if not away:
        _paint(stack, view, "hair", hair.draw_curtain, hair.draw_knot)
    outline, width = body.torso(scene, rng[_BODY])
    cloth = body.cloth_colour(view, scene, rng[_BODY])
    if scene["figure"]["framing"] in limbs.FIGURES:
        _paint_legs(stack, view, scene, width)
    _paint_neck(stack, view, head, scene)
    _paint_clothes(stack, view, scene, outline, cloth)
    gestures = list(zip((scene["figure"]["side"], -scene["figure"]["side"]), scene["figure"]["gestures"], strict=False))
    low = [(side, kind) for side, kind in gestures if kind in ("down", "hip", "crossed")]
    for side, kind in low:
        _paint_arm(stack, view, head, scene, width, cloth, side, kind)
    _paint_head(stack, view, head, scene, rng[_SKIN])
    if scene["hat"] == "none" or hair.length:
        _paint_cap(stack, view, hair)
    if scene["hat"] != "none":
        _paint_hat(stack, view, head, scene)
    _paint(stack, view, "hair", *((hair.draw_curtain, hair.draw_knot) if away else (hair.draw_locks,)))
    outside = cv2.dilate((stack.coverage < 0.5).astype(np.uint8), np.ones((3, 3), np.uint8)) > 0
    edge = stack.parts.get("hair", False) & outside
    _paint(stack, view, "hair", lambda layer, v: hair.draw_flyaways(layer, v, edge), hair.draw_beard)
    for side, kind in gestures:
        if (side, kind) not in low:
            _paint_arm(stack, view, head, scene, width, cloth, side, kind)


def _paint(stack, view, part, *draws):
    """One layer from drawing functions (layer, view)."""
    layer = view.layer()
    for draw in draws:
        draw(layer, view)
    if layer[..., 3].any():
        stack.over(*reduce_layer(layer, view.oversampling), part)


def _paint_neck(stack, view, head, scene):
    layer = view.layer()
    body.draw_neck(layer, view, head, scene)
    _, coverage = reduce_layer(layer, view.oversampling)
    x, y = view.grid()
    shade = (
        0.60
        + 0.30 * smoothstep(y, 0.80, 1.35)
        - 0.12 * np.abs(x + 0 * y) * np.sign(x * -np.sin(np.radians(scene["lighting"]["azimuth"])))
    )
    colour = np.float32(scene["skin"]["rgb"]) * np.clip(shade, 0, 1)[..., None]
    stack.over(colour * coverage[..., None], coverage, "neck")


def _shape(view, outlines):
    """Coverage (H, W) of filled outlines."""
    layer = view.layer()
    for outline in outlines:
        fill(layer, view, outline, (1, 1, 1))
    return reduce_layer(layer, view.oversampling)[1]


def _paint_solid(stack, view, colour, coverage, part):
    """A rounded shape of a colour (3,) or (H, W, 3)."""
    stack.over(light.rounded(colour * coverage[..., None], coverage, view), coverage, part)


def _paint_legs(stack, view, scene, width):
    cloth, bare, shoes = limbs.legs(scene, width)
    skin, lower = (np.float32(rgb) for rgb in (scene["skin"]["rgb"], scene["figure"]["lower_rgb"]))
    for outlines, colour, part in ((shoes, lower * 0.4, "cloth"), (bare, skin * 0.9, None), (cloth, lower, "cloth")):
        _paint_solid(stack, view, colour, _shape(view, outlines), part)


def _paint_arm(stack, view, head, scene, width, cloth, side, kind):
    sleeve, wrist = limbs.arm(scene, head, width, side, kind)
    layer = view.layer()
    limbs.draw_hand(layer, view, scene, wrist, side, kind)
    drawn, coverage = reduce_layer(layer, view.oversampling)
    stack.over(light.rounded(drawn, coverage, view, 0.05), coverage)
    _paint_solid(stack, view, cloth * 0.94, _shape(view, sleeve), "cloth")


def _paint_clothes(stack, view, scene, outline, cloth):
    coverage = _shape(view, [outline])
    stack.over(cloth * coverage[..., None], coverage, "cloth")
    layer = view.layer()
    body.draw_collar(layer, view, scene)
    drawn, coverage = reduce_layer(layer, view.oversampling)
    if scene["clothes"]["garment"] != "hoodie" and not scene["clothes"]["scarf"]:
        inside = stack.coverage.copy()  # a neckline does not reach beyond neck and shoulders
        drawn, coverage = drawn * inside[..., None], coverage * inside
    stack.over(drawn, coverage, "cloth")


def _resample(maps, view, *fields):
    """Fields on the grid of a HeadMaps, resampled to the output pixels; a scalar field is 1 outside the grid."""
    scale = 1 / (view.unit * maps.step)
    matrix = np.float32(
        [
            [scale, 0, -(view.centre[0] / view.unit + maps.left) / maps.step],
            [0, scale, -(view.centre[1] / view.unit + maps.top) / maps.step],
        ]
    )
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    modes = [
        {"borderMode": cv2.BORDER_REPLICATE} if f.ndim == 3 else {"borderMode": cv2.BORDER_CONSTANT, "borderValue": 1.0}
        for f in fields
    ]
    return [cv2.warpAffine(f, matrix, (view.width, view.height), flags=flags, **m) for f, m in zip(fields, modes, strict=True)]


def _coverage(distance, view):
    """Anti-aliased coverage of a surface from the signed distance (H, W) in scene units."""
    return np.clip(0.5 - distance * view.unit, 0, 1)


def _closed(distance):
    """The distance field without the pin holes that tracing leaves at the nostrils."""
    return cv2.morphologyEx(distance, cv2.MORPH_OPEN, np.ones((5, 5), np.uint8), borderType=cv2.BORDER_REPLICATE)


def _paint_head(stack, view, head, scene, rng):
    maps = head.cast(view)
    colour, distance = _resample(maps, view, face.skin_colour(maps, scene, rng), _closed(maps.distance))
    coverage = _coverage(distance, view)
    _paint_ears(stack, view, head, scene)
    stack.over(colour * coverage[..., None], coverage, "skin")
    if scene["pose"] == "back":
        return
    layer, outlines = view.layer(), {}
    outlines = face.draw_features(layer, view, head, scene)
    drawn, cover = reduce_layer(layer, view.oversampling)
    inside = coverage if abs(scene["yaw"]) > 35 else np.ones_like(coverage)
    stack.over(drawn * inside[..., None], cover * inside)
    skin = coverage > 0.5
    stack.label(skin, "skin")
    stack.parts.update({part: face.mask_of(outline, view) & skin for part, outline in outlines.items()})


def _paint_ears(stack, view, head, scene):
    skin = np.array(scene["skin"]["rgb"])
    for side, part in ((-1, "r_ear"), (1, "l_ear")):
        angle = np.linspace(0, 2 * np.pi, 20)[:-1]
        shape = np.stack([0.62 + 0.07 * np.cos(angle), 0.10 + 0.17 * np.sin(angle), -0.12 + 0.10 * np.cos(angle)], -1)
        outline = head.to_camera(shape * (side, 1, 1))[:, :2]

        def draw(layer, v, outline=outline):
            fill(layer, v, outline, skin * 0.80)
            fill(layer, v, outline.mean(0) + 0.6 * (outline - outline.mean(0)), skin * 0.62)

        _paint(stack, view, part, draw)


def _paint_cap(stack, view, hair):
    seen = hair.cap(view)
    if seen is None:
        return
    maps, share = seen
    colour, distance, share = _resample(maps, view, hair.colour(maps, view), _closed(maps.distance), share)
    coverage = _coverage(distance, view) * smoothstep(share, 0.25, 0.75)
    if hair.style == "buzz":
        coverage = coverage * 0.85
    stack.over(colour * coverage[..., None], coverage, "hair")


def _paint_hat(stack, view, head, scene):
    """A beanie or cap: a smooth volume over the upper head, in the second colour of the clothes."""
    points = head.grid_points() * head.radius[..., None]
    covered = smoothstep(-0.40 - points[..., 1], -0.05, 0.02)
    maps = head.with_radius(head.radius + 0.13 * covered).cast(view)
    colour = np.float32(scene["clothes"]["second"]) * face.light(maps.normals, scene)[..., None]
    colour = np.clip(colour * (1 + 0.06 * np.sin(60 * np.arctan2(maps.points[..., 0], maps.points[..., 2])))[..., None], 0, 1)
    share = smoothstep(-0.40 - maps.points[..., 1], -0.05, 0.02)
    colour, distance, share = _resample(maps, view, colour.astype(np.float32), _closed(maps.distance), share)
    coverage = _coverage(distance, view) * share
    stack.over(colour * coverage[..., None], coverage, "hat")


def _finish(stack, scene):
    """Alpha and straight foreground colour of the stack; colour is continued smoothly where there is no subject."""
    alpha, colour = stack.coverage, stack.colour
    side = min(alpha.shape)
    known, sigma = np.dstack([colour, alpha]), scene["subject_blur"] * side
    if sigma > 0.25:
        known = cv2.GaussianBlur(known, (0, 0), sigma, borderType=cv2.BORDER_REPLICATE)
    length, angle = scene["movement"]
    if length * side > 0.7:
        known = cv2.filter2D(known, -1, light.motion_kernel(length * side, angle), borderType=cv2.BORDER_REPLICATE)
    alpha = known[..., 3]
    alpha = np.where(alpha < 1 / 255, 0, np.where(alpha > 1 - 1 / 510, 1, alpha)).astype(np.float32)
    spread = known.copy()
    for radius in (0.02, 0.08, 0.3):
        wide = cv2.blur(known, (2 * int(radius * side) + 1,) * 2, borderType=cv2.BORDER_REPLICATE)
        missing = np.clip(1 - spread[..., 3:] * 50, 0, 1)
        spread = spread + missing * wide
    mean = known[..., :3].sum((0, 1)) / max(known[..., 3].sum(), 1e-6)
    straight = (spread[..., :3] + 1e-4 * mean) / (spread[..., 3:] + 1e-4)
    return alpha, np.clip(straight, 0, 1).astype(np.float32)


def photograph(portrait, seed):
    """The portrait as its camera sees it: tone, white balance, vignetting, motion, shot and read noise, JPEG.

    Noise and compression are those of a 512 px picture; a smaller one has less, as a photograph has once it is shrunk.

    Args:
        portrait: Portrait. seed: of the noise.
    Returns:
        (H, W, 3) float32 in [0, 1].
    """
    camera, picture = portrait.attributes["camera"], portrait.image
    height, width = picture.shape[:2]
    rng = np.random.default_rng([int(seed), _CAMERA])
    reach = int(portrait.attributes["motion"] * min(height, width))
    if reach > 1:
        kernel = np.full((1, reach), 1 / reach, np.float32)
        picture = cv2.filter2D(picture, -1, kernel if rng.random() < 0.5 else kernel.T, borderType=cv2.BORDER_REPLICATE)
    y, x = np.linspace(-1, 1, height, dtype=np.float32)[:, None], np.linspace(-1, 1, width, dtype=np.float32)[None]
    picture = picture * (1 - camera["vignette"] * 0.5 * (x * x + y * y))[..., None]
    picture = np.clip(0.5 + camera["contrast"] * (picture - 0.5), 0, 1) ** np.float32(camera["gamma"])
    picture = picture * np.float32([1 + camera["temperature"], 1, 1 - camera["temperature"]])
    noise = rng.standard_normal(picture.shape, dtype=np.float32)
    sigma = min(1, min(height, width) / 512) * np.sqrt(camera["noise_sigma"] ** 2 + camera["shot"] ** 2 * np.clip(picture, 0, 1))
    seen = np.clip(picture + sigma * noise, 0, 1)
    quality = round(100 - (100 - camera["jpeg"]) * min(1, min(height, width) / 512))
    pixels = np.rint(seen[..., ::-1] * 255).astype(np.uint8)
    _, packed = cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, quality])
    return cv2.imdecode(packed, cv2.IMREAD_COLOR)[..., ::-1].astype(np.float32) / 255
