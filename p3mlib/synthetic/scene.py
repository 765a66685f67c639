"""What a portrait shows, drawn before any pixel: the same seed is the same person at every size."""

import numpy as np

from p3mlib.synthetic.light import NEAR_WALLS
from p3mlib.synthetic.palette import CLOTH, HAIR, IRIS, SKIN

DISTRIBUTIONS = ("P3M", "NP", "RWP", "CelebA")

POSES = {  # frontal (including three-quarter), profile, back
    "P3M": (0.75, 0.20, 0.05),
    "NP": (0.60, 0.25, 0.15),
    "RWP": (0.72, 0.20, 0.08),
    "CelebA": (1.0, 0.0, 0.0),
}
HAIRSTYLES = {
    "P3M": {
        "short": 5,
        "long": 3,
        "wavy": 3,
        "bob": 2,
        "curly": 2,
        "afro": 1.5,
        "bun": 1.2,
        "ponytail": 1.2,
        "windblown": 1.5,
        "buzz": 1,
        "bald": 0.5,
    },
    "NP": {
        "short": 3,
        "long": 5,
        "wavy": 4.5,
        "bob": 2,
        "curly": 2,
        "afro": 1,
        "bun": 1.5,
        "ponytail": 1,
        "windblown": 2,
        "buzz": 0.5,
        "bald": 0.4,
    },
    "RWP": {
        "short": 4,
        "long": 3,
        "wavy": 3,
        "bob": 1.5,
        "curly": 3,
        "afro": 2,
        "bun": 1.2,
        "ponytail": 1,
        "windblown": 4,
        "buzz": 0.8,
        "bald": 0.4,
    },
    "CelebA": {
        "short": 5,
        "long": 4,
        "wavy": 4,
        "bob": 2,
        "curly": 1.5,
        "afro": 0.7,
        "bun": 1.2,
        "ponytail": 0.8,
        "windblown": 0.6,
        "buzz": 0.7,
        "bald": 0.4,
    },
}
GARMENTS = {
    "P3M": {"t-shirt": 4, "shirt": 3, "hoodie": 2.5, "jacket": 2, "sweater": 2.5, "suit": 1, "v-neck": 1.5},
    "NP": {"t-shirt": 2, "shirt": 2.5, "hoodie": 0.7, "jacket": 2, "sweater": 1.5, "suit": 4, "v-neck": 2.5},
    "RWP": {"t-shirt": 3, "shirt": 2, "hoodie": 3, "jacket": 3.5, "sweater": 3, "suit": 1, "v-neck": 1},
    "CelebA": {"t-shirt": 2, "shirt": 2, "hoodie": 0.6, "jacket": 1.5, "sweater": 1, "suit": 3, "v-neck": 3},
}
PATTERNS = {"plain": 5, "stripes": 1.6, "pinstripes": 0.8, "checks": 1.5, "print": 1.2, "dots": 0.8}
BACKGROUNDS = {
    "P3M": {"studio": 1.5, "bokeh": 2.5, "wall": 2, "foliage": 2.5, "indoor": 2, "street": 2, "sky": 1.5, "wood": 1.2},
    "NP": {"studio": 3.5, "bokeh": 2.5, "wall": 1.2, "foliage": 1, "indoor": 2.5, "street": 2, "sky": 0.5, "wood": 1},
    "RWP": {"studio": 0.2, "bokeh": 1.5, "wall": 1.5, "foliage": 3.5, "indoor": 3, "street": 3.5, "sky": 1, "wood": 1.5},
    "CelebA": {"studio": 2.5, "bokeh": 3.5, "wall": 1.5, "foliage": 1, "indoor": 1.5, "street": 1, "sky": 0.8, "wood": 0.6},
}
# How hard the places are. P3M and NP are calibrated (CARD.md) so that a network's error lies mostly in the transition area, as in
# the paper; RWP keeps what is hard.
DISTRACTED = {"P3M": 0.2, "NP": 0.2, "RWP": 0.8, "CelebA": 0.4}
CAMOUFLAGED = {"P3M": 0.06, "NP": 0.06, "RWP": 0.2, "CelebA": 0.2}  # share of places in a colour of the person
CLUTTER = {"P3M": (10, 60), "NP": (10, 60), "RWP": (20, 160), "CelebA": (20, 160)}  # small things in a busy place
DEFOCUS = {"P3M": (0.008, 0.028), "NP": (0.008, 0.024), "RWP": (0.0, 0.010), "CelebA": (0.004, 0.03)}  # sigma over the side
FRAMINGS = {  # head and shoulders, to the hips, standing
    "P3M": {"head": 0.77, "half": 0.18, "full": 0.05},
    "NP": {"head": 0.69, "half": 0.23, "full": 0.08},
    "RWP": {"head": 0.64, "half": 0.26, "full": 0.10},
    "CelebA": {"head": 1.0},
}
HANDS = {"P3M": 0.18, "NP": 0.22, "RWP": 0.22, "CelebA": 0.0}  # share of head-and-shoulders portraits with a hand
TEXTURES = {"plain": 4, "knit": 1.5, "denim": 1.2, "leather": 0.8, "corduroy": 0.8}
MOVING = {"P3M": 0.12, "NP": 0.12, "RWP": 0.25, "CelebA": 0.03}  # share of people who move during the exposure
POSTERS = {"P3M": 0.1, "NP": 0.1, "RWP": 0.1, "CelebA": 0.0}  # share of places with portraits on the wall


def _pick(rng, weights):
    """One key of a weight table (or of an iterable, then all alike)."""
    names = list(weights)
    p = np.array([weights[n] for n in names] if isinstance(weights, dict) else [1.0] * len(names))
    return names[int(rng.choice(len(names), p=p / p.sum()))]


def _tint(rng, colour, spread):
    """A colour moved a little in lightness and hue."""
    moved = np.asarray(colour) * np.exp(rng.normal(0, spread)) + rng.normal(0, spread / 4, 3)
    return [round(float(v), 4) for v in np.clip(moved, 0.03, 0.97)]


def scene_generator(seed, distribution, stream=0):
    """The random stream of one portrait; streams 1, 2, ... are independent of the scene's own (0).

    Raises:
        ValueError: an unknown distribution or a seed that is not a non-negative integer.
    """
    if distribution not in DISTRIBUTIONS:
        raise ValueError(f"unknown distribution {distribution!r}; choose one of {', '.join(DISTRIBUTIONS)}")
    if isinstance(seed, bool) or not isinstance(seed, (int, np.integer)) or seed < 0:
        raise ValueError(f"seed must be a non-negative integer, got {seed!r}")
    return np.random.default_rng([int(seed), DISTRIBUTIONS.index(distribution), stream])


def _sample_pose(rng, distribution):
    pose = _pick(rng, dict(zip(("frontal", "profile", "back"), POSES[distribution], strict=True)))
    side = -1.0 if rng.random() < 0.5 else 1.0
    reach = 12 if distribution == "CelebA" else 42
    yaw = {"frontal": rng.normal(0, 1) * reach / 2, "profile": side * rng.uniform(58, 86), "back": 180 + rng.normal(0, 16)}[pose]
    if pose == "frontal":
        yaw = float(np.clip(yaw, -reach, reach))
    close = distribution == "CelebA"
    scale = rng.uniform(0.375, 0.41) if close else rng.beta(1.6, 2.2) * 0.14 + 0.19
    x = 0.5 + (rng.normal(0, 0.012) if close else rng.normal(0, 0.06))
    y = 0.45 + rng.normal(0, 0.01) if close else 0.06 + scale * rng.uniform(1.22, 1.62)
    roll = rng.normal(0, 2.5 if close else 6)
    return {
        "pose": pose,
        "yaw": round(float(yaw), 2),
        "pitch": round(float(rng.normal(0, 3 if close else 5)), 2),
        "roll": round(float(np.clip(roll, -16, 16)), 2),
        "scale": round(float(scale), 4),
        "centre": [round(float(np.clip(x, 0.34, 0.66)), 4), round(float(y), 4)],
    }


def _sample_person(rng, distribution):
    skin, masculine = _pick(rng, tuple(SKIN)), rng.random() < 0.5
    style = _pick(rng, HAIRSTYLES[distribution])
    if masculine and style in ("bob", "bun", "ponytail") and rng.random() < 0.75:
        style = "short"
    dark = skin in ("brown", "dark", "deep")
    natural = {
        "black": 4,
        "dark brown": 4,
        "brown": 3,
        "auburn": 1.2,
        "chestnut": 2,
        "dark blond": 2,
        "blond": 2,
        "platinum": 0.8,
        "red": 1.2,
        "grey": 1,
        "white": 0.6,
        "pink": 0.4,
        "blue": 0.3,
        "teal": 0.3,
    }
    if dark:
        natural = {"black": 8, "dark brown": 4, "brown": 1, "grey": 1, "auburn": 0.7, "blond": 0.4, "pink": 0.3}
    hair = _pick(rng, natural)
    beard = _pick(rng, {"none": 4, "stubble": 3, "short": 2, "full": 1.6}) if masculine else "none"
    eyes = _pick(rng, {"brown": 3, "hazel": 1} if dark else tuple(IRIS))
    hat = rng.random() < (0.02 if distribution == "CelebA" else 0.11)
    return {
        "skin": {"name": skin, "rgb": _tint(rng, SKIN[skin], 0.05)},
        "masculine": bool(masculine),
        "hair": {"style": style, "colour": hair, "rgb": _tint(rng, HAIR[hair], 0.08)},
        "beard": beard,
        "iris": IRIS[eyes],
        "freckles": bool(not dark and rng.random() < 0.18),
        "glasses": _pick(rng, {"none": 8, "round": 1, "square": 1, "sun": 0.5}),
        "earrings": bool(not masculine and rng.random() < 0.35),
        "hat": _pick(rng, ("beanie", "cap")) if hat else "none",
        "smile": round(float(rng.beta(1.3, 1.5)), 3),
        "makeup": round(float(0 if masculine else rng.beta(1.4, 1.4)), 3),
    }


def _sample_outfit(rng, distribution):
    garment = _pick(rng, GARMENTS[distribution])
    pattern = _pick(rng, PATTERNS) if garment not in ("hoodie", "suit") else _pick(rng, {"plain": 4, "pinstripes": 1})
    first, second, inner = (_pick(rng, tuple(CLOTH)) for _ in range(3))
    return {
        "garment": garment,
        "pattern": pattern,
        "texture": _pick(rng, TEXTURES),
        "colour": first,
        "rgb": _tint(rng, CLOTH[first], 0.08),
        "second": _tint(rng, CLOTH[second], 0.08),
        "inner": _tint(rng, CLOTH[inner], 0.08),
        "scarf": bool(distribution != "CelebA" and rng.random() < 0.08),
    }


def _sample_figure(rng, distribution, pose):
    """How much of the person is seen and what the hands do; wide framings come with their own scale and centre."""
    framing = _pick(rng, FRAMINGS[distribution])
    near = ("hair", "phone", "wave") if pose == "back" else ("chin", "cheek", "hair", "phone", "wave", "cup")
    if framing == "head":
        gestures = [_pick(rng, near)] if rng.random() < HANDS[distribution] else []
    else:
        first = _pick(rng, {"down": 3, "hip": 1.2, "crossed": 1.2, **dict.fromkeys(near, 0.4)})
        gestures = [first, "crossed" if first == "crossed" else _pick(rng, {"down": 3, "hip": 1})]
    figure = {
        "framing": framing,
        "gestures": gestures,
        "side": int(rng.choice((-1, 1))),
        "lower": _pick(rng, {"trousers": 3, "skirt": 1}),
        "lower_rgb": _tint(rng, CLOTH[_pick(rng, ("navy", "black", "denim", "charcoal", "beige", "camel", "white"))], 0.08),
        "stance": round(float(rng.uniform(0, 0.5)), 3),
    }
    scale = rng.uniform(0.100, 0.145) if framing == "half" else rng.uniform(0.052, 0.060)
    top = 0.05 + scale * rng.uniform(1.25, 1.55)
    wide = {} if framing == "head" else {"scale": round(float(scale), 4), "top": round(float(top), 4)}
    return figure, wide


def _sample_poster(rng):
    """A picture of another person: its seed, its top left corner over the sides and its height over the shorter side."""
    corner = [round(float(rng.uniform(-0.15, 0.95)), 4), round(float(rng.uniform(-0.1, 0.55)), 4)]
    return {"seed": int(rng.integers(2**31)), "corner": corner, "height": round(float(rng.uniform(0.3, 0.65)), 4)}


def _sample_surroundings(rng, distribution):
    hard = {"P3M": 0.35, "NP": 0.5, "RWP": 0.8, "CelebA": 0.4}[distribution]
    kinds = ("skin blobs", "skin spheres", "strands", "people", "wood panel")
    wanted = rng.random() < DISTRACTED[distribution]
    distractors = [k for k in kinds if wanted and rng.random() < 0.4]
    alike = CAMOUFLAGED[distribution]
    match = _pick(rng, {"none": 1 - alike, "clothes": 0.35 * alike, "hair": 0.4 * alike, "skin": 0.25 * alike})
    posters = [_sample_poster(rng)] if rng.random() < POSTERS[distribution] else []
    return {
        "background": {
            "kind": _pick(rng, BACKGROUNDS[distribution]),
            "distractors": distractors,
            "posters": posters,
            "match": match,
            "brightness": round(float(rng.uniform(0.55, 1.15)), 3),
        },
        "defocus": round(float(rng.uniform(*DEFOCUS[distribution])) * (0.3 if posters else 1.0), 4),  # a wall is near
        "subject_blur": round(float(max(0, rng.normal(0.0005, 0.0015 if distribution != "RWP" else 0.003))), 5),
        "movement": [round(float(rng.uniform(0.006, 0.02)), 4), round(float(rng.uniform(0, 180)), 1)]
        if rng.random() < MOVING[distribution]
        else [0.0, 0.0],
        "motion": round(float(rng.uniform(0.004, 0.012)), 4) if distribution == "RWP" and rng.random() < 0.2 else 0.0,
        "lighting": {
            "azimuth": round(float(rng.normal(0, 28 + 25 * hard)), 1),
            "elevation": round(float(rng.uniform(15, 60)), 1),
            "contrast": round(float(np.clip(rng.normal(0.45 + 0.35 * hard, 0.1), 0.3, 0.95)), 3),
            "warmth": round(float(rng.normal(0.0, 0.03 + 0.03 * hard)), 4),
            "rim": round(float(rng.uniform(0, 0.5)), 3),
        },
    }


def _sample_camera(rng, distribution):
    noise = {"P3M": (0.002, 0.010), "NP": (0.002, 0.008), "RWP": (0.010, 0.030), "CelebA": (0.003, 0.012)}[distribution]
    rwp = distribution == "RWP"
    return {
        "noise_sigma": round(float(rng.uniform(*noise)), 4),
        "shot": round(float(rng.uniform(0.5, 1.5)) * noise[1], 4),
        "vignette": round(float(rng.uniform(0, 0.3 if rwp else 0.12)), 3),
        "contrast": round(float(rng.uniform(0.72, 0.95) if rwp else rng.uniform(0.95, 1.08)), 3),
        "gamma": round(float(np.exp(rng.normal(0, 0.14 if rwp else 0.06))), 3),
        "temperature": round(float(rng.normal(0.0, 0.06 if rwp else 0.015)), 4),
        "jpeg": int(rng.integers(*((60, 90) if rwp else (78, 98)))),
    }


def sample_scene(seed, distribution="P3M"):
    """Everything a portrait shows as a JSON-able dict, without rendering it.

    Args:
        seed: non-negative integer.
        distribution: one of `DISTRIBUTIONS`.
    Returns:
        dict with pose ("frontal" includes three-quarter views), yaw / pitch / roll in degrees, scale (half a head's height
        over the image side), centre (x, y over the sides), skin, hair, clothes, figure (framing and what the hands do),
        background, defocus (blur sigma over the side), movement (length over the side and direction in degrees of the
        subject's motion blur), lighting, shadow, camera and further attributes.
    Raises:
        ValueError: an unknown distribution or a bad seed.
    """
    rng = scene_generator(seed, distribution)
    scene = {"seed": int(seed), "distribution": distribution}
    scene |= _sample_pose(rng, distribution) | _sample_person(rng, distribution)
    scene["clothes"] = _sample_outfit(rng, distribution)
    scene |= _sample_surroundings(rng, distribution)
    scene["camera"] = _sample_camera(rng, distribution)
    scene["figure"], wide = _sample_figure(rng, distribution, scene["pose"])
    if wide:
        scene |= {"scale": wide["scale"], "centre": [scene["centre"][0], wide["top"]]}
    cast = scene["background"]["kind"] in NEAR_WALLS and rng.random() < 0.6
    depth = [round(float(rng.uniform(*span)), 3) for span in ((0.2, 0.5), (0.3, 1.2))]
    busy = {"studio": 0.0, "sky": 0.1, "bokeh": 0.2, "wall": 0.3, "wood": 0.3}.get(scene["background"]["kind"], 0.8)
    scene["background"] |= {
        "grain": round(float(abs(rng.normal(0, 0.03 + 0.09 * busy))), 4),
        "clutter": int(rng.integers(*CLUTTER[distribution])) if rng.random() < busy else 0,
    }
    scene["shadow"] = {"strength": depth[0] if cast else 0.0, "distance": depth[1]}
    return scene
