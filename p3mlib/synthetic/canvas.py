"""Drawing surfaces: a view from scene units to pixels, premultiplied layers, and smooth noise."""

from dataclasses import dataclass

import cv2
import numpy as np

SHIFT = 4  # fractional bits of OpenCV's fixed-point drawing coordinates


@dataclass(frozen=True)
class View:
    """Where scene units land in the image: pixel = centre + unit * (x, y), y pointing down.

    One unit is half the height of a head, and the origin is the middle of the head.

    Attributes:
        height, width: output size in pixels.
        centre: (x, y) of the origin in output pixels.
        unit: output pixels per scene unit.
        oversampling: canvas pixels per output pixel.
    """

    height: int
    width: int
    centre: tuple
    unit: float
    oversampling: int

    def pixels(self, points):
        """Scene points (..., 2 or 3) to output pixel coordinates (..., 2)."""
        return np.asarray(points)[..., :2] * self.unit + np.asarray(self.centre)

    def canvas(self, points):
        """Scene points (..., 2 or 3) to fixed-point canvas coordinates (..., 2) int32."""
        xy = (self.pixels(points) + 0.5) * self.oversampling - 0.5
        return np.round(np.clip(xy, -8192, 8192) * (1 << SHIFT)).astype(np.int32)

    def grid(self):
        """Scene x (1, W) and y (H, 1) of the output pixel centres, float32."""
        x = (np.arange(self.width, dtype=np.float32) - self.centre[0]) / self.unit
        y = (np.arange(self.height, dtype=np.float32) - self.centre[1]) / self.unit
        return x[None], y[:, None]

    def layer(self):
        """An empty premultiplied RGBA canvas, uint8."""
        s = self.oversampling
        return np.zeros((self.height * s, self.width * s, 4), np.uint8)


def rgba(colour, coverage=1.0):
    """RGB in [0, 1] as the premultiplied 8-bit RGBA tuple OpenCV draws with."""
    values = np.clip(np.append(np.asarray(colour, float) * coverage, coverage), 0, 1) * 255
    return tuple(float(round(v)) for v in values)


def fill(layer, view, points, colour):
    """Fill a polygon of scene points (N, 2) with an RGB colour, anti-aliased."""
    cv2.fillPoly(layer, [view.canvas(points)], rgba(colour), cv2.LINE_AA, SHIFT)


def stroke(layer, view, points, colour, width, closed=False):
    """Draw a polyline of scene points (N, 2); width in scene units, at least one canvas pixel."""
    thickness = max(1, round(width * view.unit * view.oversampling))
    cv2.polylines(layer, [view.canvas(points)], closed, rgba(colour), thickness, cv2.LINE_AA, SHIFT)


def reduce_layer(layer, oversampling):
    """Canvas to output resolution: premultiplied colour (H, W, 3) and coverage (H, W), float32 in [0, 1]."""
    small = layer
    if oversampling > 1:
        size = (layer.shape[1] // oversampling, layer.shape[0] // oversampling)
        small = cv2.resize(layer, size, interpolation=cv2.INTER_AREA)
    small = small.astype(np.float32) / 255
    return small[..., :3], small[..., 3]


class Stack:
    """Layers painted over one another, front last: premultiplied colour, coverage and part labels.

    Attributes:
        colour:   (H, W, 3) float32, premultiplied.
        coverage: (H, W) float32 in [0, 1].
        parts:    dict of (H, W) bool, each later layer having removed what it hides.
    """

    def __init__(self, height, width):
        self.colour = np.zeros((height, width, 3), np.float32)
        self.coverage = np.zeros((height, width), np.float32)
        self.parts = {}

    def over(self, colour, coverage, part=None):
        """Paint a premultiplied layer over the stack; where it covers more than half it becomes `part`."""
        rest = 1 - coverage
        self.colour *= rest[..., None]
        self.colour += colour
        self.coverage *= rest
        self.coverage += coverage
        self.label(coverage > 0.5, part)

    def label(self, mask, part):
        """Give the pixels of `mask` to `part` (None: to no part)."""
        for other in self.parts.values():
            other &= ~mask
        if part is not None:
            self.parts[part] = self.parts.get(part, False) | mask


def noise(rng, height, width, cells, octaves=1, stretch=(1, 1)):
    """Smooth noise of zero mean, the same field at any resolution.

    Args:
        cells: grid cells along the shorter side of the coarsest octave (each next one has twice as many).
        stretch: factors on the cells along y and x, to draw out grain or folds.
    Returns:
        (H, W) float32, about unit variance.
    """
    short, total, weight = min(height, width), np.zeros((height, width), np.float32), 0.0
    for octave in range(octaves):
        n = cells * 2**octave
        rows, cols = (max(2, round(n * f * side / short)) for f, side in zip(stretch, (height, width), strict=True))
        field = rng.standard_normal((max(rows, 4), max(cols, 4)), dtype=np.float32)
        total += cv2.resize(field, (width, height), interpolation=cv2.INTER_CUBIC) / 2**octave
        weight += 4.0**-octave
    return total * np.float32(1.4 / np.sqrt(weight))


def smoothstep(x, low, high):
    """Cubic ramp from 0 at `low` to 1 at `high`."""
    t = np.clip((np.asarray(x, np.float32) - low) / (high - low), 0, 1)
    return t * t * (3 - 2 * t)


def spline(points, count=8, closed=False):
    """Catmull-Rom curve through (N, D) points, `count` samples for each span."""
    p = np.asarray(points, np.float32)
    ends = (p[-1:], p[:2]) if closed else (p[:1], np.repeat(p[-1:], 2, 0))
    q = np.concatenate([ends[0], p, ends[1]])
    spans = len(p) if closed else len(p) - 1
    t = np.linspace(0, 1, count, endpoint=False, dtype=np.float32)[:, None]
    pieces = []
    for a, b, c, d in (q[i : i + 4] for i in range(spans)):
        pieces.append(b + t * (c - a) / 2 + t**2 * (a - 2.5 * b + 2 * c - d / 2) + t**3 * (1.5 * (b - c) + (d - a) / 2))
    return np.concatenate(pieces if closed else [*pieces, p[-1:]])
