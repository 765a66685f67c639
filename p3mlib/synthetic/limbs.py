"""Arms, hands and legs: gestures near the face, half and full figures."""

import numpy as np

from p3mlib.synthetic.canvas import fill, spline, stroke

FIGURES = ("half", "full")  # framings that show a whole trunk
_PALM = np.array([(-0.05, -0.21), (0.30, -0.33), (0.72, -0.38), (0.86, 0.0), (0.72, 0.38), (0.30, 0.33), (-0.05, 0.21)])
_FINGERS = ((-0.28, 0.52), (-0.10, 0.64), (0.10, 0.68), (0.28, 0.58))  # place across the palm and length
# Gesture -> elbow and wrist (x outwards from the middle, y), where the hand points, how far fingers are apart and bent.
# x and y of the gestures at the head count from a point of it: `_ANCHORS`.
_ARMS = {
    "down": ((1.62, 4.6), (1.72, 6.6), (0.0, 1.0), 0.2, 0.35),
    "hip": ((2.55, 4.3), (1.42, 5.7), (-0.8, 0.6), 0.3, 0.2),
    "crossed": ((1.70, 4.25), (-0.55, 3.95), (-1.0, -0.1), 0.1, 0.5),
    "chin": ((0.85, 3.6), (0.18, 1.15), (-0.15, -1.0), 0.1, 0.8),
    "cheek": ((0.95, 3.4), (0.22, 1.05), (0.05, -1.0), 0.25, 0.15),
    "hair": ((1.55, 2.1), (0.42, 0.72), (-0.45, -1.0), 0.5, 0.3),
    "phone": ((1.25, 3.1), (0.30, 0.95), (-0.12, -1.0), 0.2, 0.45),
    "wave": ((2.05, 3.5), (1.85, 1.15), (0.15, -1.0), 0.9, 0.0),
    "cup": ((1.55, 4.2), (0.80, 2.45), (-0.75, -0.65), 0.2, 0.5),
}
_ANCHORS = {"chin": (0.10, 1.02, 0.30), "cheek": (0.60, 0.62, 0.15), "hair": (0.84, -0.35, -0.10), "phone": (0.62, 0.12, -0.05)}


def limb(points, widths):
    """Outline (N, 2) of a limb along a bent line: centre points (K, 2) and half widths (K,), rounded at both ends."""
    line, half = spline(np.asarray(points, float), 8), spline(np.asarray(widths, float)[:, None], 8)
    along = np.gradient(line, axis=0)
    along /= np.linalg.norm(along, axis=1, keepdims=True) + 1e-6
    across = np.stack([-along[:, 1], along[:, 0]], -1)
    turn = np.linspace(0, np.pi, 8)[1:-1, None]
    end = line[-1] + half[-1] * (np.cos(turn) * across[-1] + np.sin(turn) * along[-1])
    begin = line[0] - half[0] * (np.cos(turn) * across[0] + np.sin(turn) * along[0])
    return np.concatenate([line + half * across, end, (line - half * across)[::-1], begin])


def arm(scene, head, width, side, gesture):
    """Outlines of a sleeve's two halves, and the wrist (2,), of one arm.

    Args:
        width: of the shoulders. side: -1 at the image's left, 1 at its right. gesture: key of `_ARMS`.
    """
    elbow, wrist = (np.array(p) * (side, 1) for p in _ARMS[gesture][:2])
    if gesture in _ANCHORS:
        at = head.to_camera(np.array(_ANCHORS[gesture]) * (side, 1, 1))[:2]
        wrist = at + wrist
        elbow = elbow + (0.6 * at[0], 0.0)
    elif gesture in ("down", "hip"):
        elbow, wrist = elbow * (width / 1.5, 1), wrist * (width / 1.5, 1)
    shoulder = np.array([side * 0.86 * width, 1.98])
    thick = 1.12 if scene["masculine"] else 0.95
    halves = ((shoulder, elbow), (0.40, 0.33)), ((elbow, wrist), (0.33, 0.24))
    return [limb(ends, thick * np.array(widths)) for ends, widths in halves], wrist


def hand_shapes(wrist, side, gesture):
    """Outlines of one hand, back to front: thumb, palm, four fingers."""
    _, _, points_to, apart, bent = _ARMS[gesture]
    along = np.array(points_to) * (side, 1)
    along /= np.linalg.norm(along)
    across = np.array([-along[1], along[0]])

    def place(local):
        local = np.atleast_2d(local)
        return wrist + local[:, :1] * along + local[:, 1:] * across

    inner = -side if along[1] < 0.5 else side  # the thumb's side
    thumb = place(np.array([(0.20, 0.24 * inner), (0.45, 0.50 * inner), (0.78 - 0.2 * bent, 0.56 * inner)]))
    shapes = [limb(thumb, [0.13, 0.12, 0.09]), spline(place(_PALM), 4, closed=True)]
    for v, length in _FINGERS:
        angle, reach = apart * v * 1.6, length * (1 - 0.6 * bent)
        tip = (0.74 + reach * np.cos(angle), v + reach * np.sin(angle))
        middle = (0.74 + 0.5 * reach * np.cos(angle), v + 0.55 * reach * np.sin(angle) + 0.03 * np.sign(v))
        shapes.append(limb(place(np.array([(0.68, v), middle, tip])), [0.105, 0.100, 0.080]))
    return shapes


def draw_hand(layer, view, scene, wrist, side, gesture):
    """Draw a hand with what it holds, premultiplied."""
    skin = np.array(scene["skin"]["rgb"])
    thumb, palm, *fingers = hand_shapes(wrist, side, gesture)
    for outline in (thumb, palm):
        fill(layer, view, outline, skin * 0.86)
    if gesture in ("phone", "cup"):
        _draw_held(layer, view, scene, palm.mean(0), side, gesture)
    for outline in fingers:
        fill(layer, view, outline, skin * 0.92)
        stroke(layer, view, outline, skin * 0.66, 0.022, closed=True)


def _draw_held(layer, view, scene, at, side, gesture):
    second = np.array(scene["clothes"]["second"])
    if gesture == "phone":
        corners = np.array([(-0.20, -0.72), (0.20, -0.72), (0.20, 0.62), (-0.20, 0.62)])
        fill(layer, view, at + (-0.10 * side, -0.25) + corners, (0.10, 0.10, 0.12))
    else:
        top, bottom = 0.36, 0.27
        fill(
            layer, view, at + (-0.2 * side, 0) + np.array([(-top, -0.65), (top, -0.65), (bottom, 0.45), (-bottom, 0.45)]), second
        )
        fill(
            layer,
            view,
            at + (-0.2 * side, 0) + np.array([(-top, -0.65), (top, -0.65), (top, -0.52), (-top, -0.52)]),
            second * 0.7,
        )


def trunk(scene, width, lean):
    """Outline (N, 2) of shoulders, waist and hips, for framings that show them."""
    waist, neck = (0.80, 0.42) if scene["masculine"] else (0.66, 0.36)
    right = [(neck, 1.22), (neck + 0.22, 1.34), (0.78 * width, 1.60), (0.98 * width, 1.86), (0.90 * width, 2.9)]
    right = np.array([*right, (waist * width, 4.6), (0.82 * width, 6.0), (0.84 * width, 6.6)])
    middle = np.array([(-0.2, 1.32), (0.2, 1.32)])
    return spline(np.concatenate([right, right[::-1] * (-1, 1), middle]) + (lean, 0), 5, closed=True)


def legs(scene, width):
    """Outlines of the lower garment, of bare legs and of shoes: three lists of (N, 2)."""
    stance, wide = scene["figure"]["stance"], width / 1.5
    cloth, bare, shoes = [], [], []
    for side in (-1, 1):
        line = np.array([(0.50 * wide, 6.3), ((0.52 + 0.5 * stance) * wide, 9.9), ((0.48 + stance) * wide, 13.3)]) * (side, 1)
        if scene["figure"]["lower"] == "trousers":
            cloth.append(limb(line, [0.66 * wide, 0.48 * wide, 0.36 * wide]))
        else:
            bare.append(limb(line, [0.5 * wide, 0.34 * wide, 0.22 * wide]))
        x, y = line[-1]
        shoes.append(limb([(x - 0.06 * side, y + 0.28), (x + 0.28 * side, y + 0.52)], [0.27 * wide, 0.22 * wide]))
    if scene["figure"]["lower"] == "skirt":
        cloth.append(np.array([(-0.80, 5.7), (0.80, 5.7), (1.25, 9.6), (-1.25, 9.6)]) * (wide, 1))
    return cloth, bare, shoes
