"""A pen for smooth, outlined shapes on a BGR image, in coordinates that can be moved, scaled and turned."""

import dataclasses
import math

import cv2
import numpy as np

SHIFT = 4  # fractional bits of pixel coordinates: 1/16 pixel
ONE = 1 << SHIFT
_ROUND = np.linspace(0, 2 * math.pi, 37)[:-1]
_CIRCLE = np.stack([np.cos(_ROUND), np.sin(_ROUND)], axis=1)


@dataclasses.dataclass(frozen=True)
class Look:
    """How lines and surfaces are drawn: the ink's BGR, the line's width (pixels at 512), outlines or none,
    and whether surfaces keep their color (a sketch leaves them as paper)."""

    ink: tuple = (58, 47, 59)
    stroke: float = 3.0
    outlines: bool = True
    sketch: bool = False
    saturation: float = 1.0


def smooth(points, closed=True, steps=6):
    """Return a Catmull-Rom curve through ``points`` (n, 2) as a polygon of ``steps`` points each."""
    points = np.asarray(points, np.float64)
    if closed:
        a, b, c, d = (np.roll(points, shift, axis=0) for shift in (1, 0, -1, -2))
    else:
        padded = np.concatenate([points[:1], points, points[-1:]])
        a, b, c, d = padded[:-3], padded[1:-2], padded[2:-1], padded[3:]
    t = (np.arange(steps) / steps)[None, :, None]
    a, b, c, d = (side[:, None, :] for side in (a, b, c, d))
    curve = 0.5 * (2 * b + (c - a) * t + (2 * a - 5 * b + 4 * c - d) * t**2 + (3 * b - a - 3 * c + d) * t**3)
    curve = curve.reshape(-1, 2)
    return curve if closed else np.concatenate([curve, points[-1:]])


def shade(color, factor):
    """Return a BGR color made darker (factor below 1) or lighter (above 1, towards white)."""
    if factor <= 1:
        return tuple(int(round(part * factor)) for part in color)
    return tuple(int(round(255 - (255 - part) * (2 - factor))) for part in color)


class Pen:
    """Draws in its own coordinates on a shared image; ``at`` gives a pen in a moved frame."""

    def __init__(self, image, look, matrix=None):
        self.image = image
        self.look = look
        self.matrix = np.eye(3) if matrix is None else matrix

    def at(self, x=0.0, y=0.0, scale=1.0, turn=0.0, mirror=False, stretch=1.0):
        """Return a pen whose origin is (x, y), scaled, turned by ``turn`` degrees, mirrored in x."""
        cos, sin = math.cos(math.radians(turn)), math.sin(math.radians(turn))
        flip = -scale if mirror else scale
        tall = scale * stretch
        frame = np.array([[cos * flip, -sin * tall, x], [sin * flip, cos * tall, y], [0, 0, 1.0]])
        return Pen(self.image, self.look, self.matrix @ frame)

    @property
    def unit(self):
        """Length of one unit, in pixels."""
        return math.sqrt(abs(np.linalg.det(self.matrix[:2, :2])))

    def _pixels(self, points):
        placed = np.asarray(points, np.float64) @ self.matrix[:2, :2].T + self.matrix[:2, 2]
        return np.round(placed * ONE).astype(np.int32)

    def color(self, color):
        """Return the color that this look paints for ``color``."""
        if self.look.sketch:
            return tuple(int(round(222 + part * 0.12)) for part in color)
        if self.look.saturation == 1.0:
            return color
        gray = 0.114 * color[0] + 0.587 * color[1] + 0.299 * color[2]
        return tuple(min(255, max(0, round(gray + (c - gray) * self.look.saturation))) for c in color)

    def _stroke(self, width):
        return max(1, round(self.look.stroke * width * min(1.0, 0.45 + self.unit / 160)))

    def fill(self, points, color, edge=1.0):
        """Fill a polygon (n, 2) and draw its outline, ``edge`` times the look's width (0: none)."""
        pixels = self._pixels(points)
        cv2.fillPoly(self.image, [pixels], self.color(color), cv2.LINE_AA, SHIFT)
        if edge and self.look.outlines:
            cv2.polylines(self.image, [pixels], True, self.look.ink, self._stroke(edge), cv2.LINE_AA, SHIFT)

    def shape(self, points, color, edge=1.0):
        """Fill the smooth closed curve through ``points``."""
        self.fill(smooth(points), color, edge)

    def ellipse(self, x, y, rx, ry, color, edge=1.0, turn=0.0):
        """Fill an ellipse around (x, y), turned by ``turn`` degrees."""
        cos, sin = math.cos(math.radians(turn)), math.sin(math.radians(turn))
        around = _CIRCLE * (rx, ry) @ np.array([[cos, sin], [-sin, cos]])
        self.fill(around + (x, y), color, edge)

    def line(self, points, color=None, width=1.0, curved=True):
        """Draw a line of the look's ink (or ``color``), ``width`` times the look's width."""
        points = smooth(points, closed=False) if curved and len(points) > 2 else points
        color = self.look.ink if color is None else self.color(color)
        pixels = [self._pixels(points)]
        cv2.polylines(self.image, pixels, False, color, self._stroke(width), cv2.LINE_AA, SHIFT)

    def limb(self, points, color, width, edge=1.0, curved=True):
        """Draw a round-ended band, ``width`` units thick, with an outline."""
        points = smooth(points, closed=False) if curved and len(points) > 2 else points
        pixels = [self._pixels(points)]
        thick = max(1, round(width * self.unit))
        if edge and self.look.outlines:
            rim = thick + 2 * self._stroke(edge) - 1
            cv2.polylines(self.image, pixels, False, self.look.ink, rim, cv2.LINE_AA, SHIFT)
        cv2.polylines(self.image, pixels, False, self.color(color), thick, cv2.LINE_AA, SHIFT)

    def star(self, x, y, radius, color, points=5, inner=0.45, edge=0.0, turn=-90.0):
        """Fill a star with ``points`` tips."""
        angles = np.radians(turn) + np.arange(2 * points) * math.pi / points
        radii = np.where(np.arange(2 * points) % 2, radius * inner, radius)
        self.fill(np.stack([x + radii * np.cos(angles), y + radii * np.sin(angles)], 1), color, edge)

    def heart(self, x, y, size, color, edge=0.0):
        """Fill a heart, ``size`` half wide."""
        shape = [
            (0, -0.35),
            (0.5, -0.9),
            (1, -0.35),
            (0.65, 0.35),
            (0, 1),
            (-0.65, 0.35),
            (-1, -0.35),
            (-0.5, -0.9),
        ]
        self.fill(smooth(np.array(shape) * size + (x, y)), color, edge)
