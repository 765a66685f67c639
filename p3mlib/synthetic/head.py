"""The head: a star-shaped surface with facial relief, its pose, and the rays that see it.

Head coordinates: x to the viewer's right in a frontal view, y down, z towards the viewer; the origin lies between the eyes
at mid-depth, crown at y = -1, chin at y = +1. The surface is radius(azimuth, elevation) around the origin.
"""

import copy
from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np

ROWS, COLS = 256, 288  # elevation and azimuth samples of the radius grid
STEPS = 13  # sphere-tracing iterations
PIVOT = np.array([0, 0.80, -0.22])  # top of the neck, about which the head turns

# Relief in frontal coordinates: name -> (x, y, width, height, amplitude); x != 0 is mirrored. Amplitudes vary by person.
RELIEF = {
    "brow": (0.22, -0.15, 0.20, 0.055, 0.028),
    "glabella": (0.0, -0.12, 0.10, 0.07, 0.020),
    "socket": (0.26, -0.01, 0.15, 0.085, -0.055),
    "eyeball": (0.28, 0.0, 0.10, 0.055, 0.032),
    "cheekbone": (0.40, 0.20, 0.15, 0.13, 0.035),
    "hollow": (0.43, 0.52, 0.12, 0.14, -0.030),
    "nostril": (0.095, 0.355, 0.045, 0.045, 0.055),
    "muzzle": (0.0, 0.56, 0.25, 0.15, 0.045),
    "upper lip": (0.0, 0.525, 0.15, 0.030, 0.030),
    "lower lip": (0.0, 0.635, 0.13, 0.038, 0.040),
    "mouth line": (0.0, 0.575, 0.17, 0.014, -0.022),
    "philtrum": (0.0, 0.46, 0.028, 0.05, -0.012),
    "under lip": (0.0, 0.74, 0.13, 0.04, -0.035),
    "chin": (0.0, 0.88, 0.15, 0.10, 0.060),
    "laugh line": (0.24, 0.42, 0.03, 0.10, -0.018),
    "temple": (0.60, -0.12, 0.10, 0.16, -0.020),
}


@lru_cache(maxsize=1)
def _grid_directions():
    elevation = np.linspace(-np.pi / 2, np.pi / 2, ROWS)[:, None]
    return directions(np.linspace(-np.pi, np.pi, COLS)[None], elevation).astype(np.float32)


def directions(azimuth, elevation):
    """Unit vectors (..., 3); azimuth 0 faces the viewer, elevation grows downwards, both in radians."""
    flat = np.cos(elevation)
    return np.stack([flat * np.sin(azimuth), np.sin(elevation) + 0 * azimuth, flat * np.cos(azimuth)], -1)


def _ellipsoid(d, centre, radii, tilt=0.0):
    """Distance from the origin to an ellipsoid around it along directions d; tilt turns its lower end forward."""
    c, s = np.cos(tilt), np.sin(tilt)
    turn = np.array([[1, 0, 0], [0, c, s], [0, -s, c]])
    d, centre = d @ turn.T / radii, turn @ np.asarray(centre) / radii
    a, b, k = (d * d).sum(-1), d @ centre, centre @ centre - 1
    return (b + np.sqrt(b * b - a * k)) / a


@lru_cache(maxsize=1)
def _relief_basis():
    """The mean radius grid and the grids that person-specific amplitudes multiply: (ROWS, COLS) and a dict of them."""
    el = np.linspace(-np.pi / 2, np.pi / 2, ROWS)[:, None]
    az = np.linspace(-np.pi, np.pi, COLS)[None]
    d = directions(az, el)
    skull = _ellipsoid(d, (0, -0.20, -0.12), (0.70, 0.80, 0.86))
    face = _ellipsoid(d, (0, 0.20, 0.13), (0.565, 0.83, 0.56), np.radians(17))
    base = (skull**18 + face**18) ** (1 / 18)
    x, y, z = np.moveaxis(base[..., None] * d, -1, 0)
    front = np.clip(z / 0.3, 0, 1)
    basis = {}
    for name, (cx, cy, width, height, amplitude) in RELIEF.items():
        bump = np.exp(-(((np.abs(x) - cx) / width) ** 2) - ((y - cy) / height) ** 2)
        basis[name] = amplitude * bump * front
    ridge = np.interp(y, (-0.16, -0.02, 0.18, 0.30, 0.345, 0.385, 0.43), (0, 0.035, 0.135, 0.215, 0.225, 0.14, 0))
    breadth = np.interp(y, (-0.1, 0.05, 0.30, 0.40), (0.075, 0.060, 0.082, 0.095))
    basis["nose"] = cv2.GaussianBlur(ridge * np.exp(-((x / breadth) ** 2)) * front, (0, 0), 1.2)
    side = np.exp(-(((np.abs(x) - 0.46) / 0.16) ** 2) - ((y - 0.55) / 0.22) ** 2 - ((z - 0.1) / 0.35) ** 2)
    basis["jaw"] = 0.085 * side
    grids = {name: grid.astype(np.float32) for name, grid in basis.items()}
    return base.astype(np.float32), grids


def rotation(yaw, pitch, roll):
    """Head to camera rotation (3, 3) from degrees; positive yaw turns the face to the viewer's right."""
    (cy, cp, cr), (sy, sp, sr) = (f(np.radians([yaw, pitch, roll])) for f in (np.cos, np.sin))
    about_y = np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]])
    about_x = np.array([[1, 0, 0], [0, cp, sp], [0, -sp, cp]])
    about_z = np.array([[cr, -sr, 0], [sr, cr, 0], [0, 0, 1]])
    return about_z @ about_y @ about_x


@dataclass(frozen=True)
class HeadMaps:
    """What the rays met, on a regular grid in front of the head.

    Attributes:
        left, top, step: scene x, y of the first sample and the spacing.
        points:   (h, w, 3) head coordinates of the hit, or of the closest approach where the ray misses.
        normals:  (h, w, 3) unit normals in camera coordinates.
        depth:    (h, w) camera z of `points`.
        distance: (h, w) distance to the outline in units, negative inside, at most four steps either way.
    """

    left: float
    top: float
    step: float
    points: np.ndarray
    normals: np.ndarray
    depth: np.ndarray
    distance: np.ndarray


class Head:
    """One person's head in one pose.

    Args:
        scene: attributes from `sample_scene`.
        rng: random stream for the individual shape.
    """

    def __init__(self, scene, rng):
        base, basis = _relief_basis()
        amount = dict(zip(basis, np.clip(rng.normal(1, 0.28, len(basis)), 0.3, 1.8), strict=True))
        amount["nose"], amount["eyeball"] = np.clip(rng.normal(1, 0.16), 0.65, 1.4), 1.0
        amount["jaw"] = rng.normal(0.55, 0.45) if scene["masculine"] else rng.normal(-0.05, 0.35)
        amount["brow"] *= 1.25 if scene["masculine"] else 0.6
        self.radius = base + sum(np.float32(amount[name]) * grid for name, grid in basis.items())
        size = np.clip(rng.normal(1, 0.035, 3), 0.92, 1.08)
        self.size = size * (1.0, 1.0, 0.98)
        self.rotation = rotation(scene["yaw"], scene["pitch"], scene["roll"])
        self._measure()

    def _measure(self):
        step_az, step_el = 2 * np.pi / (COLS - 1), np.pi / (ROWS - 1)
        log = np.log(self.radius)
        self._slope = np.dstack(
            [cv2.Sobel(log, cv2.CV_32F, 1, 0, scale=1 / (8 * step_az)), cv2.Sobel(log, cv2.CV_32F, 0, 1, scale=1 / (8 * step_el))]
        )

    def with_radius(self, radius):
        """The same pose with another surface (ROWS, COLS), e.g. hair around the head."""
        other = copy.copy(self)
        other.radius = radius.astype(np.float32)
        other._measure()
        return other

    def grid_points(self):
        """Unit vectors (ROWS, COLS, 3) of the radius grid, in head coordinates."""
        return _grid_directions()

    def to_camera(self, points):
        """Head coordinates (..., 3) to scene coordinates in front of the camera."""
        return (np.asarray(points) * self.size - PIVOT) @ self.rotation.T + PIVOT

    def turn(self, vectors):
        """Head directions (..., 3) to camera directions."""
        return np.asarray(vectors) @ self.rotation.T

    def to_head(self, vectors):
        """Camera directions (..., 3) to head directions, not normalised."""
        return np.asarray(vectors) @ self.rotation / self.size

    def radius_at(self, points):
        """Surface radius below points (N, 3), in head coordinates."""
        azimuth, elevation = _angles(points)
        return _lookup(self.radius, azimuth.reshape(1, -1), elevation.reshape(1, -1))[0]

    def front(self, xy):
        """Points (N, 3) where rays from the front meet the surface at head coordinates x, y (N, 2)."""
        p = np.concatenate([np.asarray(xy, np.float32), np.full((len(xy), 1), 1.05, np.float32)], 1)
        for _ in range(24):
            p[:, 2] -= 0.7 * (np.linalg.norm(p, axis=1) - self.radius_at(p))
        return p

    def cast(self, view, samples=116):
        """Trace parallel rays through a window around the head.

        Args:
            view: the `View` of the picture.
            samples: rays across the window, more for a large picture and fewer on a canvas that shows less.
        """
        centre = self.to_camera(np.zeros(3))
        farthest = float(self.radius.max()) * float(self.size.max())
        half = np.full(2, max(1.14, 1.03 * farthest))
        samples = np.clip(1.6 * half[0] * view.unit, samples, 4 * samples)  # a large picture shows finer steps
        step = max(2 * half[0] / samples, 1 / (view.unit * view.oversampling))
        left, top = centre[:2] - half
        x, y = np.meshgrid(np.arange(left, centre[0] + half[0], step), np.arange(top, centre[1] + half[1], step))
        far = np.stack([x, y, np.zeros_like(x)], -1)
        start = ((far - PIVOT) @ self.rotation + PIVOT) / self.size
        ray = self.to_head(np.array([0.0, 0.0, -1.0]))
        length = np.linalg.norm(ray)
        points, gap, hit = _trace(self.radius, start.astype(np.float32), (ray / length).astype(np.float32))
        depth_inside = cv2.distanceTransform(hit.astype(np.uint8), cv2.DIST_L2, 3)  # 1 at the outermost rays that hit
        distance = np.where(hit, -step * depth_inside, gap).clip(-4 * step, 4 * step).astype(np.float32)
        normals = self._normals(points)
        depth = self.to_camera(points)[..., 2].astype(np.float32)
        return HeadMaps(left, top, step, points, normals, depth, distance)

    def _normals(self, points):
        azimuth, elevation = _angles(points)
        slope = _lookup(self._slope, azimuth, elevation)
        sa, ca, se, ce = np.sin(azimuth), np.cos(azimuth), np.sin(elevation), np.cos(elevation)
        along_az = slope[..., 0] / np.maximum(ce, 0.08)
        along_el = slope[..., 1]
        normal = np.stack(
            [ce * sa - along_az * ca + along_el * se * sa, se - along_el * ce, ce * ca + along_az * sa + along_el * se * ca], -1
        )
        normal = (normal / self.size) @ self.rotation.T
        return (normal / np.linalg.norm(normal, axis=-1, keepdims=True)).astype(np.float32)


def _angles(points):
    """Azimuth and elevation of points (..., 3), float32 radians."""
    x, y, z = (np.ascontiguousarray(points[..., i], np.float32) for i in range(3))
    return np.arctan2(x, z), np.arctan2(y, np.sqrt(x * x + z * z))


def _lookup(grid, azimuth, elevation):
    """Bilinear samples of a (ROWS, COLS[, 2]) grid at float32 angles (h, w)."""
    u = (azimuth + np.float32(np.pi)) * np.float32((COLS - 1) / (2 * np.pi))
    v = (elevation + np.float32(np.pi / 2)) * np.float32((ROWS - 1) / np.pi)
    return cv2.remap(grid, u, v, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)


def _trace(radius, start, ray):
    """March every ray to the surface; returns points (h, w, 3), the smallest gap and whether it hits (h, w)."""
    nearest = -(start @ ray)  # parameter of the point closest to the origin
    offset2 = (start * start).sum(-1) - nearest**2
    reach = np.sqrt(np.maximum((1.01 * radius.max()) ** 2 - offset2, 0))
    t = nearest - reach
    best, best_t = np.full(t.shape, 9, np.float32), t.copy()
    for step in range(STEPS):
        points = start + t[..., None] * ray
        x, y, z = cv2.split(points)
        flat = cv2.magnitude(x, z)
        azimuth = np.arctan2(x, z)
        gap = cv2.magnitude(flat, y) - _lookup(radius, azimuth, np.arctan2(y, flat))
        closer = gap < best
        best = np.where(closer, gap, best)
        best_t = np.where(closer, t, best_t)
        t = t + np.where(best <= 0, np.minimum(gap, 0), gap) * np.float32(0.8 if step < 9 else 0.7)
    hit = best <= 0.012
    final = np.where(hit, np.minimum(t, nearest + reach), best_t)
    points = start + final[..., None] * ray
    return points, best, hit
