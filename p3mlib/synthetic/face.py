"""Skin and features of a head: colours of the traced surface, drawn features, landmarks and part masks."""

import cv2
import numpy as np

from p3mlib.synthetic.canvas import fill, smoothstep, spline, stroke
from p3mlib.synthetic.head import directions

_BROW = np.array([(0.11, -0.145), (0.20, -0.20), (0.31, -0.215), (0.40, -0.185), (0.46, -0.13)])
_EYE = np.array(
    [
        (0.160, 0.012),
        (0.215, -0.040),
        (0.285, -0.055),
        (0.350, -0.035),
        (0.400, 0.005),
        (0.345, 0.036),
        (0.280, 0.046),
        (0.215, 0.035),
    ]
)
_NOSE = [(0, -0.05), (0, 0.07), (0, 0.19), (0, 0.31), (-0.115, 0.375), (-0.06, 0.40), (0, 0.41), (0.06, 0.40), (0.115, 0.375)]


def light(normals, scene):
    """Brightness (..., ) of surfaces with camera-frame unit normals (..., 3) under the scene's key, fill and rim light."""
    lamp = scene["lighting"]
    azimuth, elevation = np.radians([lamp["azimuth"], lamp["elevation"]])
    key = np.array([np.sin(azimuth) * np.cos(elevation), -np.sin(elevation), np.cos(azimuth) * np.cos(elevation)], np.float32)
    diffuse = np.clip((normals @ key + 0.25) / 1.25, 0, None)
    return 1.08 - lamp["contrast"] * (1 - diffuse) * 0.95 - 0.12 * (1 - np.clip(normals[..., 2], 0, 1))


def skin_colour(maps, scene, rng):
    """RGB (h, w, 3) of the traced head: blush, lips, beard, freckles, scalp, under the scene's light."""
    x, y, z = np.moveaxis(maps.points, -1, 0)
    colour = np.ones((*x.shape, 3), np.float32) * np.float32(scene["skin"]["rgb"])
    front = smoothstep(z, 0.0, 0.3)

    def tint(mask, factor):
        colour[:] = colour * (1 + mask[..., None] * (np.float32(factor) - 1))

    def bump(cx, cy, width, height):
        return front * np.exp(-(((np.abs(x) - cx) / width) ** 2) - ((y - cy) / height) ** 2)

    tint(bump(0.40, 0.26, 0.15, 0.13) * (0.5 + scene["makeup"]), (1.0, 0.86, 0.86))
    tint(bump(0.0, 0.36, 0.10, 0.08), (1.0, 0.90, 0.88))
    tint(bump(0.28, 0.0, 0.16, 0.09), (0.90, 0.84, 0.83))
    if scene["beard"] != "none":
        strength = {"stubble": 0.35, "short": 0.75, "full": 0.95}[scene["beard"]]
        grain = 0.75 + 0.25 * rng.random(x.shape, dtype=np.float32)
        low = smoothstep(y, 0.44 + 0.2 * np.clip(0.16 - np.abs(x), 0, 1), 0.62) + bump(0.0, 0.475, 0.20, 0.045)
        cheek = np.clip(low, 0, 1) * smoothstep(z, -0.25, 0.05) * (1 - bump(0.0, 0.585, 0.13, 0.045))
        mask = (np.clip(cheek, 0, 1) * strength * grain)[..., None]
        colour[:] = colour * (1 - mask) + mask * np.float32(scene["hair"]["rgb"]) * 0.9
    if scene["freckles"]:
        spots = (rng.random(x.shape) < 0.10).astype(np.float32) * (bump(0.30, 0.18, 0.22, 0.12) + bump(0, 0.15, 0.1, 0.12))
        tint(np.clip(spots, 0, 1) * 0.35, (0.75, 0.6, 0.5))
    shade = light(maps.normals, scene)
    shine = np.clip(maps.normals @ np.float32([0.2, -0.45, 0.87]), 0, 1) ** 24 * 0.10
    return np.clip(colour * shade[..., None] + shine[..., None], 0, 1)


def _seen(head, points):
    """True where surface points (N, 3) face the camera."""
    outward = head.turn(points * (1, 0.6, 1))
    return outward[:, 2] > 0.06


def _on_face(head, xy):
    """Points in front of the camera (N, 3) of head coordinates x, y (N, 2) on the face, and which of them are seen."""
    points = head.front(np.clip(xy, -0.62, 0.95))
    return head.to_camera(points), _seen(head, points)


def landmarks(head, view):
    """The 68 points in output pixels, (68, 2) float32."""
    azimuth = np.radians(np.linspace(-80, 80, 17))
    elevation = np.radians(62) * np.cos(np.pi / 2 * azimuth / np.radians(83)) ** 0.55
    d = directions(azimuth, elevation)
    jaw = head.to_camera(d * head.radius_at(d)[:, None])
    brow, eye = _BROW, _EYE
    mouth = mouth_points(0.0)
    face = [*(brow[::-1] * (-1, 1)), *brow, *_NOSE]
    order = [4, 3, 1, 0, 7, 5]
    face += [tuple(eye[i] * (-1, 1)) for i in order] + [tuple(eye[i]) for i in (0, 1, 3, 4, 5, 7)]
    face += [tuple(p) for p in mouth]
    inner = head.to_camera(head.front(np.asarray(face, np.float32)))
    return view.pixels(np.concatenate([jaw, inner])).astype(np.float32)


def mouth_points(smile):
    """Outer (12) and inner (8) lip points in head coordinates, from the image's left corner clockwise."""
    lift = 0.035 * smile
    w = 0.19 + 0.03 * smile
    upper = [(-w, 0.575 - lift), (-0.12, 0.535), (-0.045, 0.515), (0, 0.525), (0.045, 0.515), (0.12, 0.535), (w, 0.575 - lift)]
    lower = [(0.12, 0.635), (0.05, 0.660), (0, 0.665), (-0.05, 0.660), (-0.12, 0.635)]
    inner = [
        (-w + 0.03, 0.577 - lift),
        (-0.07, 0.570),
        (0, 0.572),
        (0.07, 0.570),
        (w - 0.03, 0.577 - lift),
        (0.07, 0.585),
        (0, 0.590),
        (-0.07, 0.585),
    ]
    return upper + lower + inner


def draw_features(layer, view, head, scene):
    """Draw eyes, brows, nostrils, mouth and glasses into a premultiplied canvas; returns {part: scene polygon}."""
    skin, hair = np.array(scene["skin"]["rgb"]), np.array(scene["hair"]["rgb"])
    parts = {}
    for side, eye_part, brow_part in ((-1, "r_eye", "r_brow"), (1, "l_eye", "l_brow")):
        points, seen = _on_face(head, _EYE * (side, 1))
        if seen.mean() > 0.6:
            parts[eye_part] = _draw_eye(layer, view, head, scene, points, side)
        upper, seen = _on_face(head, _BROW * (side, 1))
        if seen.mean() > 0.6:
            thick = 0.030 + 0.022 * scene["masculine"]
            outline = spline(
                np.concatenate([upper[:, :2], upper[::-1, :2] + (0, thick) * np.linspace(0.25, 1, 5)[:, None]]), 4, closed=True
            )
            fill(layer, view, outline, 0.55 * hair + 0.25 * skin * (hair.mean() > 0.5) + 0.05)
            parts[brow_part] = outline
    _draw_mouth(layer, view, head, scene, parts)
    for x in (-0.065, 0.065):
        points, seen = _on_face(head, np.array([(x - 0.028, 0.392), (x, 0.378), (x + 0.028, 0.392), (x, 0.404)]))
        if seen.all():
            fill(layer, view, spline(points[:, :2], 3, closed=True), skin * 0.42)
    if scene["glasses"] != "none":
        _draw_glasses(layer, view, head, scene)
    return parts


def _draw_eye(layer, view, head, scene, points, side):
    outline = spline(points[:, :2], 4, closed=True)
    fill(layer, view, outline, (0.90, 0.88, 0.86))
    centre, _ = _on_face(head, np.array([(side * 0.28 + 0.012, -0.004)]))
    wide, _ = _on_face(head, np.array([(side * 0.28 - 0.05, 0), (side * 0.28 + 0.05, 0)]))
    squeeze = np.clip(np.abs(wide[1, 0] - wide[0, 0]) / 0.1, 0.25, 1)
    angle = np.linspace(0, 2 * np.pi, 17)[:-1]
    ring = np.stack([np.cos(angle) * squeeze, np.sin(angle)], -1)
    clip = np.zeros(layer.shape[:2], np.uint8)
    cv2.fillPoly(clip, [view.canvas(outline)], 255, cv2.LINE_AA, 4)
    iris = layer.copy()
    fill(iris, view, centre[0, :2] + 0.052 * ring, scene["iris"])
    fill(iris, view, centre[0, :2] + 0.024 * ring, (0.03, 0.03, 0.03))
    fill(iris, view, centre[0, :2] + (0.018, -0.02) + 0.009 * ring, (1, 1, 1))
    inside = clip > 127
    layer[inside] = iris[inside]
    lid = np.array(scene["skin"]["rgb"]) * 0.30 * (1 - 0.5 * scene["makeup"])
    stroke(layer, view, spline(points[:5, :2], 4), lid, 0.020 + 0.014 * scene["makeup"])
    return outline


def _draw_mouth(layer, view, head, scene, parts):
    points, seen = _on_face(head, np.array(mouth_points(scene["smile"])))
    if seen[:12].mean() < 0.55:
        return
    p, skin = points[:, :2], np.array(scene["skin"]["rgb"])
    rose = (
        skin * (0.86, 0.62, 0.60) * (1 - scene["makeup"])
        + np.array((0.66, 0.20, 0.24)) * scene["makeup"] * 0.8
        + skin * 0.15 * scene["makeup"]
    )
    upper = np.concatenate([p[:7], p[16:11:-1]])
    lower = np.concatenate([p[6:12], p[:1], p[12:13], p[19:15:-1]])
    fill(layer, view, upper, rose * 0.88)
    fill(layer, view, lower, rose)
    parts["u_lip"], parts["l_lip"] = upper, lower
    if scene["smile"] > 0.55:
        fill(layer, view, p[12:], (0.90, 0.88, 0.85))
        parts["mouth"] = p[12:]
    stroke(layer, view, spline(p[12:17], 4), rose * 0.45, 0.012)


def _draw_glasses(layer, view, head, scene):
    frame = np.array((0.08, 0.07, 0.07))
    angle = np.linspace(0, 2 * np.pi, 25)[:-1]
    power = 0.45 if scene["glasses"] == "square" else 1.0
    shape = np.stack(
        [np.sign(np.cos(angle)) * np.abs(np.cos(angle)) ** power, np.sign(np.sin(angle)) * np.abs(np.sin(angle)) ** power], -1
    )
    for side in (-1, 1):
        points, seen = _on_face(head, shape * (0.155, 0.125) + (side * 0.275, 0.01))
        if seen.mean() < 0.5:
            continue
        lens = points[:, :2] * 1.0
        if scene["glasses"] == "sun":
            fill(layer, view, lens, (0.06, 0.06, 0.07))
        stroke(layer, view, lens, frame, 0.026, closed=True)
    bridge, seen = _on_face(head, np.array([(-0.12, -0.01), (0, -0.03), (0.12, -0.01)]))
    if seen.any():
        stroke(layer, view, bridge[:, :2], frame, 0.026)


def mask_of(polygon, view):
    """Boolean output mask (H, W) of a scene polygon."""
    canvas = np.zeros((view.height, view.width), np.uint8)
    xy = np.round(view.pixels(polygon) * 16).astype(np.int32)
    cv2.fillPoly(canvas, [xy], 1, cv2.LINE_8, 4)
    return canvas > 0
