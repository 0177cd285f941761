"""A pen for smooth, outlined shapes on a BGR image, in coordinates that can be moved, scaled and turned."""

import dataclasses
import math
from collections.abc import Sequence

import cv2
import numpy as np

from Utils.demo_booru.vocabulary import Color

Point = tuple[float, float]
Points = Sequence[Point] | np.ndarray  # (N, 2)

SHIFT = 4  # fractional bits of pixel coordinates: 1/16 pixel
ONE = 1 << SHIFT
_ROUND = np.linspace(0, 2 * math.pi, 37)[:-1]
_CIRCLE = np.stack([np.cos(_ROUND), np.sin(_ROUND)], axis=1)


class Extent:
    """The box around what a pen drew, in pixels; ``empty`` before that."""

    def __init__(self) -> None:
        self.left = self.top = math.inf
        self.right = self.bottom = -math.inf

    @property
    def empty(self) -> bool:
        """Whether nothing was drawn."""
        return self.right < self.left

    def add(self, points: np.ndarray, margin: float = 0.0) -> None:
        """Widen the box by ``points`` (N, 2) in pixels, each with ``margin`` pixels around it."""
        (left, top), (right, bottom) = points.min(axis=0), points.max(axis=0)
        self.left, self.top = min(self.left, left - margin), min(self.top, top - margin)
        self.right, self.bottom = max(self.right, right + margin), max(self.bottom, bottom + margin)


@dataclasses.dataclass(frozen=True)
class Look:
    """How lines and surfaces are drawn."""

    ink: Color = (58, 47, 59)
    stroke: float = 3.0  # width of a line, in pixels of a picture of 512
    outlines: bool = True
    sketch: bool = False  # surfaces stay as white as paper
    saturation: float = 1.0  # of surfaces


def smooth(points: Points, closed: bool = True, steps: int = 6) -> np.ndarray:
    """Return a Catmull-Rom curve through ``points`` (N, 2) as a polygon with ``steps`` points for each."""
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


def shade(color: Color, factor: float) -> Color:
    """Return a BGR color made darker (factor below 1) or lighter (above 1, towards white)."""
    if factor <= 1:
        blue, green, red = (int(round(part * factor)) for part in color)
    else:
        blue, green, red = (int(round(255 - (255 - part) * (2 - factor))) for part in color)
    return blue, green, red


class Pen:
    """Draws in its own coordinates on a shared image; `at` returns a pen with others.

    ``parts`` collects where named parts lie: what the pen that `part` returns draws widens ``parts[name]``.
    """

    def __init__(
        self,
        image: np.ndarray,
        look: Look,
        matrix: np.ndarray | None = None,
        parts: "dict[str, Extent] | None" = None,
        extent: Extent | None = None,
    ) -> None:
        self.image = image
        self.look = look
        self.matrix = np.eye(3) if matrix is None else matrix
        self.parts = parts
        self.extent = extent

    def part(self, name: str) -> "Pen":
        """Return the same pen; where boxes are collected, its strokes widen that of the part ``name``."""
        if self.parts is None:
            return self
        extent = self.parts.setdefault(name, Extent())
        return Pen(self.image, self.look, self.matrix, self.parts, extent)

    def collecting(self, parts: dict[str, Extent]) -> "Pen":
        """Return the same pen, whose parts go to ``parts``."""
        return Pen(self.image, self.look, self.matrix, parts)

    def at(
        self,
        x: float = 0.0,
        y: float = 0.0,
        scale: float = 1.0,
        turn: float = 0.0,
        mirror: bool = False,
        stretch: float = 1.0,
    ) -> "Pen":
        """Return a pen whose origin is (x, y), scaled, turned by ``turn`` degrees, mirrored in x."""
        cos, sin = math.cos(math.radians(turn)), math.sin(math.radians(turn))
        flip = -scale if mirror else scale
        tall = scale * stretch
        frame = np.array([[cos * flip, -sin * tall, x], [sin * flip, cos * tall, y], [0, 0, 1.0]])
        return Pen(self.image, self.look, self.matrix @ frame, self.parts, self.extent)

    @property
    def unit(self) -> float:
        """Length of one unit, in pixels."""
        return math.sqrt(abs(np.linalg.det(self.matrix[:2, :2])))

    def _pixels(self, points: Points, margin: float = 0.0) -> np.ndarray:
        placed = np.asarray(points, np.float64) @ self.matrix[:2, :2].T + self.matrix[:2, 2]
        if self.extent is not None:
            self.extent.add(placed, margin)
        return np.round(placed * ONE).astype(np.int32)

    def color(self, color: Color) -> Color:
        """Return the color that this look paints for ``color``."""
        if self.look.sketch:
            blue, green, red = (int(round(222 + part * 0.12)) for part in color)
            return blue, green, red
        if self.look.saturation == 1.0:
            return color
        gray = 0.114 * color[0] + 0.587 * color[1] + 0.299 * color[2]
        saturated = (round(gray + (part - gray) * self.look.saturation) for part in color)
        blue, green, red = (min(255, max(0, part)) for part in saturated)
        return blue, green, red

    def _stroke(self, width: float) -> int:
        return max(1, round(self.look.stroke * width * min(1.0, 0.45 + self.unit / 160)))

    def fill(self, points: Points, color: Color, edge: float = 1.0) -> None:
        """Fill a polygon (n, 2) and draw its outline, ``edge`` times the look's width (0: none)."""
        pixels = self._pixels(points)
        cv2.fillPoly(self.image, [pixels], self.color(color), cv2.LINE_AA, SHIFT)
        if edge and self.look.outlines:
            cv2.polylines(self.image, [pixels], True, self.look.ink, self._stroke(edge), cv2.LINE_AA, SHIFT)

    def shape(self, points: Points, color: Color, edge: float = 1.0) -> None:
        """Fill the smooth closed curve through ``points``."""
        self.fill(smooth(points), color, edge)

    def ellipse(
        self, x: float, y: float, rx: float, ry: float, color: Color, edge: float = 1.0, turn: float = 0.0
    ) -> None:
        """Fill an ellipse around (x, y), turned by ``turn`` degrees."""
        cos, sin = math.cos(math.radians(turn)), math.sin(math.radians(turn))
        around = _CIRCLE * (rx, ry) @ np.array([[cos, sin], [-sin, cos]])
        self.fill(around + (x, y), color, edge)

    def line(
        self, points: Points, color: Color | None = None, width: float = 1.0, curved: bool = True
    ) -> None:
        """Draw a line of the look's ink (or ``color``), ``width`` times the look's width."""
        points = smooth(points, closed=False) if curved and len(points) > 2 else points
        color = self.look.ink if color is None else self.color(color)
        pixels = [self._pixels(points)]
        cv2.polylines(self.image, pixels, False, color, self._stroke(width), cv2.LINE_AA, SHIFT)

    def limb(
        self, points: Points, color: Color, width: float, edge: float = 1.0, curved: bool = True
    ) -> None:
        """Draw a round-ended band, ``width`` units thick, with an outline."""
        points = smooth(points, closed=False) if curved and len(points) > 2 else points
        thick = max(1, round(width * self.unit))
        pixels = [self._pixels(points, thick / 2)]
        if edge and self.look.outlines:
            rim = thick + 2 * self._stroke(edge) - 1
            cv2.polylines(self.image, pixels, False, self.look.ink, rim, cv2.LINE_AA, SHIFT)
        cv2.polylines(self.image, pixels, False, self.color(color), thick, cv2.LINE_AA, SHIFT)

    def text(self, words: str, x: float, y: float, width: float, color: Color) -> None:
        """Write ``words`` upright and centered at (x, y), ``width`` units wide."""
        (wide, tall), _ = cv2.getTextSize(words, cv2.FONT_HERSHEY_DUPLEX, 1.0, 1)
        scale = width * self.unit / wide
        center = np.array([x, y]) @ self.matrix[:2, :2].T + self.matrix[:2, 2]
        corner = center + (-wide * scale / 2, tall * scale / 2)
        if self.extent is not None:
            self.extent.add(np.array([corner, corner + (wide * scale, -tall * scale)]))
        at = (round(corner[0]), round(corner[1]))
        thick = max(1, round(1.6 * scale))
        cv2.putText(
            self.image, words, at, cv2.FONT_HERSHEY_DUPLEX, scale, self.color(color), thick, cv2.LINE_AA
        )

    def star(
        self,
        x: float,
        y: float,
        radius: float,
        color: Color,
        points: int = 5,
        inner: float = 0.45,
        edge: float = 0.0,
        turn: float = -90.0,
    ) -> None:
        """Fill a star with ``points`` tips."""
        angles = np.radians(turn) + np.arange(2 * points) * math.pi / points
        radii = np.where(np.arange(2 * points) % 2, radius * inner, radius)
        self.fill(np.stack([x + radii * np.cos(angles), y + radii * np.sin(angles)], 1), color, edge)

    def heart(self, x: float, y: float, size: float, color: Color, edge: float = 0.0) -> None:
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
