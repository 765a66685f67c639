"""Hair: a volume over the scalp, a curtain for long styles, and many strands thinner than a pixel."""

import cv2
import numpy as np

from p3mlib.synthetic.canvas import fill, rgba, smoothstep, spline
from p3mlib.synthetic.face import light
from p3mlib.synthetic.head import directions

# Thickness of the volume over the scalp, length of the curtain below the head's middle, curl, flyaway strands.
STYLES = {
    "bald": (0, 0, 0, 0), "buzz": (0.022, 0, 0, 10), "short": (0.115, 0, 0.15, 70), "bob": (0.15, 0.95, 0.12, 90),
    "long": (0.13, 1.9, 0.10, 120), "wavy": (0.17, 1.8, 0.45, 150), "curly": (0.26, 1.0, 0.9, 190), "afro": (0.42, 0, 1.0, 230),
    "bun": (0.09, 0, 0.12, 70), "ponytail": (0.09, 0, 0.15, 80), "windblown": (0.19, 1.2, 0.4, 230),
}  # fmt: skip


def scalp(points, style):
    """How much of each head point (..., 3) grows hair, in [0, 1]: above a line from forehead over the ears to the nape."""
    x, y, z = np.moveaxis(np.asarray(points), -1, 0)
    azimuth = np.abs(np.degrees(np.arctan2(x, z)))
    low = np.interp(azimuth, (0, 25, 48, 62, 78, 92, 110, 180), (-0.50, -0.52, -0.40, -0.12, 0.16, 0.0, 0.42, 0.62))
    if style in ("long", "wavy", "curly", "afro", "bob", "windblown"):
        low = np.interp(azimuth, (0, 25, 48, 62, 78, 95, 180), (-0.47, -0.48, -0.34, 0.05, 0.45, 0.62, 0.70))
    return smoothstep(low - y, -0.02, 0.07)


class Hair:
    """The hair of one scene.

    Args:
        scene: from `sample_scene`. head: its Head. rng: stream of the strands.
    """

    def __init__(self, scene, head, rng):
        self.scene, self.head, self.rng = scene, head, rng
        self.style = scene["hair"]["style"]
        self.thickness, self.length, self.curl, self.flyaways = STYLES[self.style]
        self.rgb = np.float32(scene["hair"]["rgb"])
        self.wind = rng.choice((-1, 1)) * rng.uniform(0.2, 0.6) if self.style == "windblown" else rng.normal(0, 0.03)
        self.facing_away = scene["pose"] == "back"

    def cap(self, view):
        """HeadMaps of the hair volume and the hair share (h, w) of what is seen there; None for a bald head."""
        if not self.thickness:
            return None
        head, base = self.head, self.head.radius
        directions = head.grid_points()
        share = scalp(directions * base[..., None], self.style)
        rough = self.rng.standard_normal((20, 26), dtype=np.float32)
        rough = cv2.resize(rough, base.shape[::-1], interpolation=cv2.INTER_CUBIC)
        lift = np.interp(directions[..., 1], (-1, 0.3, 0.8), (1.15, 0.85, 0.4))
        puffed = base + share * self.thickness * lift * (1 + (0.10 + 0.22 * self.curl) * rough)
        maps = head.with_radius(puffed).cast(view)
        return maps, scalp(maps.points * 0.98, self.style)

    def colour(self, maps, view):
        """RGB (h, w, 3) of the volume: strands of lighter and darker colour along the combing direction, and a sheen."""
        x, y, z = np.moveaxis(maps.points, -1, 0)
        along = np.degrees(np.arctan2(x, z)) / 360 * 300 + 6 * self.curl * np.sin(9 * y + 4 * x)
        table = self.rng.standard_normal(1024, dtype=np.float32)
        texture = (
            table[(along * 3).astype(np.int32) % 1024] * 0.6
            + table[(along * 1.1 + y * (2 + 20 * self.curl)).astype(np.int32) % 1024]
        )
        if self.curl > 0.6:
            texture = texture + self.rng.standard_normal(x.shape, dtype=np.float32)
        shade = light(maps.normals, self.scene)
        sheen = np.exp(-(((maps.normals[..., 1] + 0.45) / 0.22) ** 2)) * (0.35 - 0.25 * self.curl)
        value = self.rgb * (shade * (1 + 0.16 * texture))[..., None]
        return np.clip(value + sheen[..., None] * (0.25 * self.rgb + 0.04), 0, 1).astype(np.float32)

    def _anchors(self, count):
        """Scene points (count, 2) on the outline of the hair as seen, from left ear over the crown to the right ear."""
        angle = np.linspace(-2.0, 2.0, count)
        radius = 1 + self.thickness * 1.05
        ring = np.stack([0.72 * radius * np.sin(angle), -0.20 - 0.80 * radius * np.cos(angle), np.full(count, -0.10)], -1)
        turned = abs(np.sin(np.radians(self.scene["yaw"])))
        ring[:, 0] *= 1 + 0.20 * turned
        back = np.array([-0.12 * np.sin(np.radians(self.scene["yaw"])), 0])
        roll = np.radians(self.scene["roll"])
        c, s = np.cos(roll), np.sin(roll)
        return ring[:, :2] @ np.array([[c, s], [-s, c]]) * self.head.size[:2] + back

    def curtain(self):
        """Outline (N, 2) of long hair around head and neck, or None for short styles."""
        if not self.length:
            return None
        top = self._anchors(13)[1:-1]
        flare = 0.08 + 0.25 * self.curl
        ends, rng = self.length, self.rng
        left = [(top[0, 0] - flare * t + self.wind * t, top[0, 1] + ends * t) for t in (0.35, 0.7, 1.0)]
        right = [(top[-1, 0] + flare * t + self.wind * t, top[-1, 1] + ends * t) for t in (1.0, 0.7, 0.35)]
        tips = np.linspace(left[-1], right[0], 7)[1:-1] + rng.normal(0, 0.05, (5, 2))
        outline = np.concatenate([top[::-1], left, tips, right])
        return spline(outline + rng.normal(0, 0.02 + 0.03 * self.curl, outline.shape), 5, closed=True)

    def draw_curtain(self, layer, view):
        """Draw the curtain with its strands into a premultiplied canvas."""
        outline = self.curtain()
        if outline is None:
            return
        fill(layer, view, outline, self.rgb * 0.62)
        top = self._anchors(60)
        for _ in range(150):
            root = top[self.rng.integers(len(top))] * self.rng.uniform(0.5, 1.0)
            down = self.length * self.rng.uniform(0.6, 1.08)
            end = root + (self.wind * 0.8 + np.sign(root[0]) * 0.12 + self.rng.normal(0, 0.06), down)
            self._strand(layer, view, root, end, self.rng.uniform(0.55, 1.15), 1.0)

    def draw_locks(self, layer, view):
        """Draw the locks that fall in front of the shoulders (or the whole back of the head), premultiplied."""
        if not self.length:
            return
        top = self._anchors(40)
        for side in (0, 1):
            roots = top[:9] if side == 0 else top[-9:]
            turned = np.sin(np.radians(self.scene["yaw"])) * (-1 if side == 0 else 1)
            if turned > 0.35:  # the face is turned to this side
                continue
            for _ in range(60 if self.length > 1 else 34):
                root = roots[self.rng.integers(len(roots))] * (self.rng.uniform(0.84, 1.0), 1)
                end = root + (self.wind + self.rng.normal(0, 0.07), self.length * self.rng.uniform(0.75, 1.05))
                self._strand(layer, view, root, end, self.rng.uniform(0.6, 1.2), 1.0, 0.035)

    def draw_flyaways(self, layer, view, outline):
        """Draw single strands that leave the hair at `outline` (H, W) bool and cross the background, premultiplied."""
        rows, columns = np.nonzero(outline)
        if not len(rows):
            return
        points = (np.stack([columns, rows], -1) - view.centre) / view.unit
        thin = max(0.25, min(1.0, 0.0055 * view.unit * view.oversampling))
        top = float(points[:, 1].min())
        for share in self.rng.random(self.flyaways * (2 if self.length else 1)):
            root = points[int(share * len(points))]
            out = (root - (0, 0.15)) * (1, 0.8)
            out = out / (np.linalg.norm(out) + 1e-6)
            reach = self.rng.gamma(2.0, 0.045 + 0.08 * (self.style == "windblown")) * (1 + 0.5 * self.curl)
            low = np.clip((root[1] - top) / 1.6, 0, 1)  # hair hangs further down, and stands at the crown
            fall = np.array([self.wind * 1.2 + self.rng.normal(0, 0.16), self.rng.uniform(-0.06, 0.25) + 0.45 * low])
            end = root + out * 0.7 * reach + fall * (0.3 + reach)
            self._strand(layer, view, root - 0.06 * out, end, self.rng.uniform(0.7, 1.35), thin)

    def _strand(self, layer, view, start, end, brightness, coverage, width=0.0):
        """One curved strand between scene points."""
        t = np.linspace(0, 1, 9)[:, None]
        across = np.array([-(end - start)[1], (end - start)[0]])
        bend = self.rng.normal(0, 0.16)
        wave = 0.05 * self.curl * np.sin(t * self.rng.uniform(8, 16) + self.rng.uniform(0, 6))
        points = start + t * (end - start) + (bend * t * (1 - t) + wave) * across
        thickness = max(1, round(width * view.unit * view.oversampling))
        colour = rgba(np.clip(self.rgb * brightness, 0, 1), coverage)
        cv2.polylines(layer, [view.canvas(points)], False, colour, thickness, cv2.LINE_AA, 4)

    def draw_knot(self, layer, view):
        """Draw a bun or a ponytail, premultiplied."""
        yaw = np.radians(self.scene["yaw"])
        if self.style == "bun":
            spot = self.head.to_camera(np.array([0, -0.98, -0.42]))[:2]
            angle = np.linspace(0, 2 * np.pi, 24)[:-1]
            fill(layer, view, spot + 0.30 * np.stack([np.cos(angle), 0.85 * np.sin(angle)], -1), self.rgb * 0.8)
            for _ in range(40):
                a, r = self.rng.uniform(0, 2 * np.pi), self.rng.uniform(0.1, 0.30)
                ring = spot + r * np.stack([np.cos(a + np.linspace(0, 1.6, 5)), 0.85 * np.sin(a + np.linspace(0, 1.6, 5))], -1)
                cv2.polylines(
                    layer,
                    [view.canvas(ring)],
                    False,
                    rgba(np.clip(self.rgb * self.rng.uniform(0.6, 1.3), 0, 1)),
                    1,
                    cv2.LINE_AA,
                    4,
                )
        if self.style == "ponytail":
            root = self.head.to_camera(np.array([0, -0.45, -0.98]))[:2]
            for _ in range(110):
                end = root + (-np.sin(yaw) * 0.45 + self.rng.normal(0, 0.13), self.rng.uniform(1.0, 1.6))
                self._strand(layer, view, root + self.rng.normal(0, 0.05, 2), end, self.rng.uniform(0.55, 1.2), 1.0, 0.03)

    def draw_beard(self, layer, view):
        """Draw the strands of a short or full beard that leave chin and jaw, premultiplied."""
        longest = {"short": 0.07, "full": 0.20}.get(self.scene["beard"], 0)
        if not longest or self.facing_away:
            return
        azimuth = np.radians(np.linspace(-62, 62, 61))
        elevation = np.radians(60) * np.cos(np.pi / 2 * azimuth / np.radians(83)) ** 0.55
        d = directions(azimuth, elevation)
        jaw = self.head.to_camera(d * self.head.radius_at(d)[:, None] * 0.97)[:, :2]
        for _ in range(int(900 * longest)):
            root = jaw[self.rng.integers(len(jaw))] + self.rng.normal(0, 0.02, 2)
            end = root + longest * self.rng.uniform(0.4, 1.2) * np.array([0.35 * np.sign(root[0]), 1.0])
            self._strand(layer, view, root - (0, 0.06), end, self.rng.uniform(0.7, 1.3), 0.8)
