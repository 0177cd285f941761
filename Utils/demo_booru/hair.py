"""Hair: the part behind the body, the part on the head, and the fringe over the face."""

import math
from collections.abc import Callable

import numpy as np

from Utils.demo_booru.canvas import Pen, shade, smooth
from Utils.demo_booru.scenes import Figure
from Utils.demo_booru.vocabulary import HAIR, SCARLET, Color

Drawer = Callable[[Pen, Color, float], None]

LONG = ("long", "very_long", "twintails", "ponytail", "side_ponytail", "braid")
SHORT = ("short", "bob", "spiky", "curly")


def draw_back_hair(pen: Pen, figure: Figure, sway: float) -> None:
    """Draw the hair behind head and body; ``sway`` in -1..1 bends what hangs freely."""
    color = shade(HAIR[figure.hair], 0.86)
    drawer = _BACK.get(figure.style)
    if drawer:
        drawer(pen, color, sway)
    if figure.style not in ("spiky", "curly"):
        pen.shape([(-1.04, 0.1), (-0.9, 0.72), (0, 0.8), (0.9, 0.72), (1.04, 0.1), (0.8, -0.85), (0, -1.12),
                   (-0.8, -0.85)], color)  # fmt: skip


def _short(pen: Pen, color: Color, sway: float) -> None:
    pen.shape([(-1.08, -0.2), (-1.1, 0.5), (-0.85, 0.95), (0, 0.9), (0.85, 0.95), (1.1, 0.5), (1.08, -0.2),
               (0, -1.1)], color)  # fmt: skip


def _bob(pen: Pen, color: Color, sway: float) -> None:
    pen.shape([(-1.05, -0.5), (-1.28, 0.3), (-1.3, 0.95), (-0.9, 1.12), (0, 1.1), (0.9, 1.12), (1.3, 0.95),
               (1.28, 0.3), (1.05, -0.5), (0, -1.15)], color)  # fmt: skip


def _curly(pen: Pen, color: Color, sway: float) -> None:
    for x, y in ((-0.95, 0.75), (0.95, 0.75), (-1.15, 0.3), (1.15, 0.3), (-1.18, -0.2), (1.18, -0.2),
                 (-0.95, -0.65),
                 (0.95, -0.65), (-0.5, -1.02), (0.5, -1.02), (0, -1.15)):  # fmt: skip
        pen.ellipse(x, y, 0.36, 0.36, color)
    pen.ellipse(0, -0.1, 1.08, 1.0, color, edge=0)


def _hanging(length: float, width: float) -> Drawer:
    def draw(pen: Pen, color: Color, sway: float) -> None:
        low = length + 0.12
        bend = sway * 0.25
        pen.shape([(-1.0, -0.5), (-1.16, 0.4), (-width, length * 0.6), (-width + bend, length),
                   (-0.5 + bend, low),
                   (0.1 + bend, length - 0.1), (0.6 + bend, low), (width + bend, length),
                   (width, length * 0.6),
                   (1.16, 0.4), (1.0, -0.5), (0, -1.12)], color)  # fmt: skip
        for x in (-0.75, -0.35, 0.35, 0.75):
            pen.line(
                [(x, 0.9), (x * 1.1 + bend * 0.5, length * 0.65), (x * 1.05 + bend, length - 0.1)], width=0.5
            )

    return draw


def _twintails(pen: Pen, color: Color, sway: float) -> None:
    for side in (-1, 1):
        tail = pen.at(0.9 * side, -0.45, mirror=side < 0)
        lean = sway * 0.25 * side
        tail.shape([(-0.05, -0.15), (0.4, -0.3), (0.85, 0.2), (1.1 + lean, 1.3), (0.9 + lean, 2.5),
                    (0.62 + lean, 2.95),
                    (0.45 + lean, 2.2), (0.3, 1.2), (0.1, 0.4)], color)  # fmt: skip
        tail.line([(0.35, 0.1), (0.65, 1.0), (0.7 + lean, 2.2)], width=0.5)
        tail.ellipse(0.12, -0.02, 0.17, 0.24, SCARLET)


def _ponytail(pen: Pen, color: Color, sway: float) -> None:
    tail = pen.at(0.35, -0.95)
    tail.shape([(-0.1, -0.05), (0.35, -0.5), (1.1, -0.3), (1.45, 0.6), (1.35, 1.8), (0.95 + sway * 0.2, 2.7),
                (0.85, 1.9), (0.75, 1.0), (0.4, 0.4)], color)  # fmt: skip
    tail.line([(0.6, -0.05), (1.05, 0.7), (1.05, 1.9)], width=0.5)
    tail.ellipse(0.12, -0.02, 0.2, 0.2, SCARLET)


def _side_ponytail(pen: Pen, color: Color, sway: float) -> None:
    tail = pen.at(0.95, -0.35)
    tail.shape([(-0.1, -0.1), (0.45, -0.25), (0.75, 0.5), (0.8, 1.6), (0.5 + sway * 0.2, 2.7), (0.25, 1.9),
                (0.05, 0.9)], color)  # fmt: skip
    tail.ellipse(0.12, -0.02, 0.2, 0.24, SCARLET)


def _double_bun(pen: Pen, color: Color, sway: float) -> None:
    for side in (-1, 1):
        pen.ellipse(0.78 * side, -0.98, 0.42, 0.42, color)
        pen.line([(0.6 * side, -1.1), (0.85 * side, -0.95), (0.75 * side, -0.8)], width=0.6)


def _bun(pen: Pen, color: Color, sway: float) -> None:
    pen.ellipse(0, -1.3, 0.48, 0.42, color)
    pen.line([(-0.2, -1.4), (0.1, -1.3), (-0.05, -1.15)], width=0.6)


_BACK = {
    "short": _short, "bob": _bob, "curly": _curly, "long": _hanging(2.5, 1.32),
    "very_long": _hanging(3.9, 1.62),
    "twintails": _twintails, "ponytail": _ponytail, "side_ponytail": _side_ponytail,
    "double_bun": _double_bun,
    "bun": _bun, "braid": _short,
}  # fmt: skip

# The lower edge of the hair over the forehead, from the right ear to the left.
_FRINGE = {
    "blunt": [(0.97, -0.02), (0.7, -0.14), (0, -0.18), (-0.7, -0.14), (-0.97, -0.02)],
    "swept": [(0.97, 0.0), (0.7, -0.1), (0.42, -0.55), (0.1, -0.22), (-0.12, -0.62), (-0.6, -0.15),
    (-0.72, -0.4),
              (-0.97, 0.0)],
    "parted": [(0.98, 0.1), (0.72, -0.2), (0.4, -0.48), (0, -0.86), (-0.4, -0.48), (-0.72, -0.2),
    (-0.98, 0.1)],
    "over_eye": [(0.97, 0.05), (0.9, 0.35), (0.6, 0.55), (0.2, 0.4), (0.05, -0.1), (-0.15, -0.5),
    (-0.5, -0.3),
                 (-0.97, 0.0)],
}  # fmt: skip
_SOFT = ("blunt", "parted", "over_eye")
_CROWN = [
    (-1.06 * math.cos(turn), -0.2 - 0.98 * math.sin(turn)) for turn in np.linspace(-0.1, math.pi + 0.1, 19)
]
_SPIKES = [(-1.05, -0.2), (-1.42, -0.55), (-1.02, -0.72), (-1.15, -1.25), (-0.6, -1.05), (-0.35, -1.6),
           (0, -1.14),
           (0.42, -1.6), (0.6, -1.05), (1.15, -1.25), (1.02, -0.72), (1.42, -0.55), (1.05, -0.2)]  # fmt: skip


def draw_front_hair(pen: Pen, figure: Figure, sway: float) -> None:
    """Draw the hair on the head and before the face."""
    color = HAIR[figure.hair]
    if figure.view != "front":
        (_from_behind if figure.view == "behind" else _from_side)(pen, figure, color)
        return
    top = _SPIKES if figure.style == "spiky" else _CROWN
    if figure.style not in ("spiky", "bun") and not (figure.boy and figure.style == "short"):
        _locks(pen, figure, color)
    fringe = _FRINGE[figure.bangs]
    pen.fill([*top, *(smooth(fringe, closed=False) if figure.bangs in _SOFT else fringe)], color)
    pen.line([(-0.62, -0.72), (-0.2, -0.9), (0.3, -0.9)], shade(color, 1.5), width=1.8)
    if figure.style == "curly":
        for x in (-0.75, -0.38, 0, 0.38, 0.75):
            pen.ellipse(x, -0.62 - 0.12 * (1 - x * x), 0.27, 0.25, color)
    if figure.style == "braid":
        _braid(pen, color, sway)
    if figure.ahoge:
        pen.shape([(-0.1, -1.1), (0.02, -1.55), (0.45, -1.75), (0.3, -1.5), (0.12, -1.1)], color)


def _locks(pen: Pen, figure: Figure, color: Color) -> None:
    """Draw the strands in front of the ears."""
    low = 1.35 if figure.style in LONG else 0.85
    for side in (-1, 1):
        lock = pen.at(0.93 * side, 0, mirror=side < 0)
        lock.shape([(-0.22, -0.4), (0.1, -0.4), (0.17, 0.3), (0.1, low * 0.8), (-0.07, low),
                    (-0.14, low * 0.6),
                    (-0.1, 0.2)], color, 0.8)  # fmt: skip


def _braid(pen: Pen, color: Color, sway: float) -> None:
    for step in range(7):
        x = 0.98 + 0.06 * step * (1 if sway >= 0 else 0.6)
        pen.ellipse(x - (0.05 if step % 2 else 0), 0.55 + 0.3 * step, 0.24 - 0.012 * step, 0.2, color)
    pen.ellipse(x, 0.55 + 0.3 * 6.7, 0.12, 0.12, SCARLET)
    pen.shape([(x - 0.12, 2.6), (x + 0.12, 2.6), (x + 0.15, 2.95), (x, 3.05), (x - 0.12, 2.95)], color)


def _from_behind(pen: Pen, figure: Figure, color: Color) -> None:
    low = {"short": 0.8, "spiky": 0.75, "bob": 1.05, "curly": 0.8}.get(figure.style, 0.85)
    if figure.style in ("long", "very_long"):
        _BACK[figure.style](pen, color, 0.0)
    elif figure.style in ("twintails", "ponytail"):
        pen.shape([(-1.0, 0.2), (-0.6, 0.8), (0, 0.7), (0.6, 0.8), (1.0, 0.2), *_CROWN[::-1]], color)
        if figure.style == "ponytail":
            pen.limb([(0, -0.6), (0.25, 0.6), (0.1, 2.2)], color, 0.75)
            pen.ellipse(0, -0.5, 0.3, 0.14, SCARLET)
        return
    top = _SPIKES if figure.style == "spiky" else _CROWN
    pen.fill([*top, (1.1, 0.2), (0.95, low), (0.5, low - 0.12), (0.15, low + 0.05), (-0.3, low - 0.1),
              (-0.7, low + 0.05), (-1.0, low - 0.1), (-1.1, 0.2)], color)  # fmt: skip
    pen.line([(-0.6, -0.7), (-0.2, -0.88), (0.3, -0.88)], shade(color, 1.5), width=1.8)


def _from_side(pen: Pen, figure: Figure, color: Color) -> None:
    """Draw the hair of a head that looks left: over the back of the skull, with a fringe over the brow."""
    low = 0.75 if figure.style in ("spiky", "short", "double_bun", "bun") else 1.05
    top = _SPIKES[2:] if figure.style == "spiky" else _CROWN
    pen.fill([(-1.0, -0.1), *top, (1.12, 0.1), (0.98, low), (0.5, low - 0.05), (0.42, 0.3), (0.3, -0.1),
              (0.05, 0.12),
              (-0.15, -0.22), (-0.45, 0.0), (-0.62, -0.3), (-0.88, -0.02)], color)  # fmt: skip
    pen.line([(-0.62, -0.72), (-0.2, -0.9), (0.3, -0.9)], shade(color, 1.5), width=1.8)
    if figure.ahoge:
        pen.shape([(-0.1, -1.1), (0.02, -1.55), (0.45, -1.75), (0.3, -1.5), (0.12, -1.1)], color)
