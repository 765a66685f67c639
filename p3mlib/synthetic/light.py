"""Light that person and place share: its colour, its side, a rim around the person, and the shadow that is cast."""

import cv2
import numpy as np

from p3mlib.synthetic.canvas import smoothstep

NEAR_WALLS = ("studio", "wall", "wood")  # places close enough behind the person to catch a shadow


def tint(scene):
    """RGB factors (3,) float32 of the light's colour."""
    warmth = scene["lighting"]["warmth"]
    return np.float32([1 + warmth, 1, 1 - warmth])


def rounded(colour, coverage, view, depth=0.10):
    """A layer's straight colour (H, W, 3), darker towards the outline of `coverage` (H, W), as on a limb or a finger."""
    inside = cv2.GaussianBlur(coverage, (0, 0), max(0.5, depth * view.unit))
    return colour * (0.68 + 0.32 * smoothstep(inside, 0.45, 1.0))[..., None]


def lit_place(bg, alpha, scene, view):
    """Background (H, W, 3) under the scene's light, with the shadow of the person where a wall or the ground is near.

    The shadow only darkens, falls away from the light, and is softer the further it falls.
    """
    lamp, (height, width) = scene["lighting"], alpha.shape
    azimuth, elevation = np.radians([lamp["azimuth"], lamp["elevation"]])
    across = np.linspace(-1, 1, width, dtype=np.float32)[None, :, None]
    lit = bg * (1 + 0.25 * lamp["contrast"] * np.float32(np.sin(azimuth)) * across) * tint(scene)
    shadow = scene["shadow"]
    if shadow["strength"]:
        reach = shadow["distance"] * view.unit
        shift = np.float32([[1, 0, -reach * np.sin(azimuth)], [0, 1, 0.6 * reach * np.sin(elevation)]])
        moved = cv2.warpAffine(alpha, shift, (width, height), borderMode=cv2.BORDER_REPLICATE)
        soft = cv2.GaussianBlur(moved, (0, 0), max(0.6, 0.25 * reach))
        lit = lit * (1 - shadow["strength"] * soft)[..., None]
    if scene["figure"]["framing"] == "full":
        x, y = view.grid()
        spot = np.exp(-((x / 2.4) ** 2) - ((y - 13.8) / 0.55) ** 2)
        lit = lit * (1 - 0.5 * spot)[..., None]
    return np.clip(lit, 0, 1).astype(np.float32)


def rim_light(colour, coverage, bg, scene, view):
    """Premultiplied foreground colour (H, W, 3) in the light's colour, with some of the place's light on its outline."""
    inside = cv2.GaussianBlur(coverage, (0, 0), max(0.6, 0.07 * view.unit))
    edge = np.clip(1.6 * (1 - inside), 0, 1) * coverage * np.float32(0.30 * scene["lighting"]["rim"])
    place = bg.reshape(-1, 3).mean(0)
    lit = colour * tint(scene) + edge[..., None] * place
    return np.minimum(lit, coverage[..., None])


def motion_kernel(length, angle):
    """Kernel (K, K) float32, sum 1, of a straight movement over `length` pixels in the direction `angle` (degrees)."""
    side = 2 * int(np.ceil(length / 2)) + 1
    kernel, middle = np.zeros((side, side), np.float32), (side - 1) / 2
    reach = length / 2 * np.array([np.cos(np.radians(angle)), np.sin(np.radians(angle))])
    ends = [tuple(int(round(v * 16)) for v in (middle + sign * reach)) for sign in (-1, 1)]
    cv2.line(kernel, *ends, 1.0, 1, cv2.LINE_AA, 4)
    return kernel / kernel.sum()
