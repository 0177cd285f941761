"""Things that figures hold, and animals."""

from collections.abc import Sequence

from Utils.demo_booru.canvas import Pen, shade
from Utils.demo_booru.vocabulary import GOLD, INK, NAVY, SCARLET, STEEL, WHITE, Color

_WOOD = (70, 105, 150)
_LEAF = (80, 160, 90)
_PINK = (200, 160, 250)
_ORANGE = (60, 150, 240)


def draw_held(pen: Pen, thing: str) -> None:
    """Draw a thing whose grip is at (0, 0), in a body's units."""
    _HELD[thing](pen)


def _book(pen: Pen) -> None:
    pen.fill([(-0.75, -0.5), (0.0, -0.38), (0.0, 0.5), (-0.75, 0.38)], (70, 90, 190))
    pen.fill([(0.75, -0.5), (0.0, -0.38), (0.0, 0.5), (0.75, 0.38)], (70, 90, 190))
    pen.fill([(-0.64, -0.5), (0, -0.36), (0, 0.38), (-0.64, 0.26)], WHITE, 0.6)
    pen.fill([(0.64, -0.5), (0, -0.36), (0, 0.38), (0.64, 0.26)], WHITE, 0.6)
    for y in (-0.25, -0.05, 0.15):
        pen.line([(-0.52, y - 0.1), (-0.12, y)], width=0.6)
        pen.line([(0.52, y - 0.1), (0.12, y)], width=0.6)


def _umbrella(pen: Pen) -> None:
    pen.limb([(0, 0.75), (0, -2.9)], INK, 0.1, edge=0, curved=False)
    pen.shape([(-1.9, -1.95), (-1.5, -2.75), (0, -3.35), (1.5, -2.75), (1.9, -1.95), (1.2, -2.15),
               (0.6, -1.95),
               (0, -2.15), (-0.6, -1.95), (-1.2, -2.15)], (190, 120, 70))  # fmt: skip
    for x in (-0.6, 0.6):
        pen.line([(0, -3.3), (x * 0.8, -2.75), (x, -2.0)], width=0.7)


def _balloon(pen: Pen) -> None:
    pen.line([(0, 0), (0.15, -0.6), (-0.05, -1.2)], width=0.8)
    pen.ellipse(0, -1.9, 0.62, 0.76, SCARLET)
    pen.ellipse(-0.22, -2.2, 0.13, 0.2, shade(SCARLET, 1.6), 0)


def _sword(pen: Pen) -> None:
    blade = pen.at(turn=12)
    blade.fill([(-0.14, -0.3), (-0.12, -2.5), (0, -2.9), (0.12, -2.5), (0.14, -0.3)], STEEL)
    blade.line([(0, -0.35), (0, -2.5)], WHITE, 1.0)
    blade.limb([(-0.45, -0.3), (0.45, -0.3)], GOLD, 0.16, edge=0.8, curved=False)
    blade.limb([(0, -0.2), (0, 0.35)], _WOOD, 0.15, edge=0.8, curved=False)


def _bouquet(pen: Pen) -> None:
    for x, y, color in ((-0.4, -0.7, SCARLET), (0.4, -0.7, _PINK), (0, -1.0, GOLD), (0, -0.5, WHITE)):
        pen.star(x, y, 0.42, color, points=6, inner=0.7, edge=0.8)
        pen.ellipse(x, y, 0.12, 0.12, _ORANGE, 0)
    pen.fill([(-0.5, -0.35), (0.5, -0.35), (0.12, 0.55), (-0.12, 0.55)], _LEAF)


def _cup(pen: Pen) -> None:
    pen.limb([(0.25, -0.25), (0.55, -0.1), (0.25, 0.12)], WHITE, 0.12)
    pen.fill([(-0.34, -0.42), (0.34, -0.42), (0.26, 0.28), (-0.26, 0.28)], WHITE)
    pen.ellipse(0, -0.42, 0.34, 0.1, (60, 90, 130))
    pen.line([(0, -0.6), (0.1, -0.8), (-0.05, -1.0)], width=0.8)


def _microphone(pen: Pen) -> None:
    pen.limb([(0.1, 0.5), (-0.15, -0.35)], (60, 56, 60), 0.2, curved=False)
    pen.ellipse(-0.22, -0.6, 0.27, 0.27, (150, 146, 150))


def _ice_cream(pen: Pen) -> None:
    pen.fill([(-0.24, -0.25), (0.24, -0.25), (0, 0.55)], (110, 170, 225))
    pen.ellipse(0, -0.48, 0.32, 0.3, _PINK)
    pen.ellipse(0, -0.85, 0.26, 0.24, WHITE)


def _staff(pen: Pen) -> None:
    pen.limb([(0, 2.2), (0, -1.5)], _WOOD, 0.14, curved=False)
    pen.star(0, -1.9, 0.5, GOLD, edge=1.0)


def _apple(pen: Pen) -> None:
    pen.shape([(0, -0.3), (0.35, -0.42), (0.45, 0), (0.2, 0.38), (0, 0.32), (-0.2, 0.38), (-0.45, 0),
               (-0.35, -0.42)],
              (50, 50, 225))  # fmt: skip
    pen.shape([(0, -0.4), (0.15, -0.7), (0.38, -0.65), (0.2, -0.45)], _LEAF, 0.7)


def _phone(pen: Pen) -> None:
    pen.fill([(-0.25, -0.6), (0.25, -0.6), (0.25, 0.3), (-0.25, 0.3)], (60, 56, 60))
    pen.fill([(-0.18, -0.5), (0.18, -0.5), (0.18, 0.15), (-0.18, 0.15)], (250, 220, 170), 0)


def _guitar(pen: Pen) -> None:
    body = pen.at(-0.2, 0.4, turn=-55)
    body.limb([(0, 0), (0, -2.2)], _WOOD, 0.18, curved=False)
    body.shape([(-0.7, 0.9), (-0.45, 0.2), (-0.6, -0.3), (0, -0.5), (0.6, -0.3), (0.45, 0.2), (0.7, 0.9),
                (0, 1.25)],
               _ORANGE)  # fmt: skip
    body.ellipse(0, 0.25, 0.22, 0.22, INK)


_HELD = {"book": _book, "umbrella": _umbrella, "balloon": _balloon, "sword": _sword, "bouquet": _bouquet,
         "cup": _cup,
         "microphone": _microphone, "ice_cream": _ice_cream, "staff": _staff, "apple": _apple,
         "phone": _phone,
         "guitar": _guitar}  # fmt: skip
# These reach down too far to be seen in a picture from the chest up.
LOW = ("staff", "guitar")


def draw_animal(pen: Pen, kind: str, coat: float) -> None:
    """Draw an animal that sits on (0, 0), about two units high; ``coat`` picks its color, 0..1."""
    _ANIMALS[kind](pen, coat)


def _pick(coat: float, colors: Sequence[Color]) -> Color:
    return colors[min(int(coat * len(colors)), len(colors) - 1)]


def _eyes(pen: Pen, y: float, wide: float = 0.24, size: float = 0.1) -> None:
    for side in (-1, 1):
        pen.ellipse(wide * side, y, size, size * 1.3, INK, 0)
        pen.ellipse(wide * side - 0.03, y - 0.05, size * 0.35, size * 0.4, WHITE, 0)


def _cat(pen: Pen, coat: float) -> None:
    color = _pick(coat, [(70, 64, 72), (90, 160, 235), (225, 225, 228)])
    pen.limb([(0.45, -0.25), (1.05, -0.35), (1.15, -1.05)], color, 0.2)
    pen.ellipse(0, -0.6, 0.58, 0.62, color)
    for side in (-1, 1):
        pen.fill([(0.12 * side, -1.85), (0.52 * side, -2.25), (0.62 * side, -1.5)], color)
        pen.ellipse(0.25 * side, -0.05, 0.2, 0.12, color)
    pen.ellipse(0, -1.45, 0.68, 0.54, color)
    eyes = (90, 220, 240) if coat < 0.34 else INK
    for side in (-1, 1):
        pen.ellipse(0.27 * side, -1.5, 0.12, 0.15, eyes, 0.4)
        pen.ellipse(0.27 * side, -1.5, 0.05, 0.12, INK, 0)
        for y in (-1.32, -1.22):
            pen.line([(0.35 * side, y), (0.85 * side, y + (y + 1.27) * 1.2)], width=0.6)
    pen.ellipse(0, -1.3, 0.07, 0.05, (150, 140, 240), 0.4)


def _dog(pen: Pen, coat: float) -> None:
    color = _pick(coat, [(90, 140, 190), (215, 225, 235), (60, 90, 130)])
    pen.limb([(0.45, -0.4), (0.85, -0.75), (0.8, -1.1)], color, 0.24)
    pen.ellipse(0, -0.6, 0.62, 0.64, color)
    pen.ellipse(0, -1.5, 0.64, 0.58, color)
    for side in (-1, 1):
        pen.ellipse(0.64 * side, -1.4, 0.2, 0.46, shade(color, 0.65), turn=-14 * side)
        pen.ellipse(0.26 * side, -0.05, 0.22, 0.13, color)
    pen.ellipse(0, -1.28, 0.34, 0.27, shade(color, 1.55), 0.6)
    pen.ellipse(0, -1.4, 0.14, 0.1, INK, 0)
    pen.ellipse(0, -1.08, 0.11, 0.15, (140, 130, 240), 0.5)
    _eyes(pen, -1.66)


def _bird(pen: Pen, coat: float) -> None:
    color = _pick(coat, [(235, 170, 70), (90, 215, 250), (240, 240, 240)])
    pen.fill([(0.4, -0.6), (1.15, -0.75), (1.05, -0.35), (0.5, -0.3)], color)
    pen.ellipse(0, -0.72, 0.68, 0.66, color)
    pen.shape([(0.05, -0.75), (0.55, -0.95), (0.75, -0.55), (0.35, -0.4)], shade(color, 0.78), 0.8)
    pen.fill([(-0.6, -1.0), (-1.05, -0.85), (-0.62, -0.7)], _ORANGE)
    pen.ellipse(-0.35, -0.98, 0.1, 0.13, INK, 0)
    pen.ellipse(-0.38, -1.03, 0.04, 0.04, WHITE, 0)
    for x in (-0.15, 0.15):
        pen.line([(x, -0.08), (x, 0.05), (x - 0.12, 0.08)], _ORANGE, 1.2)


def _rabbit(pen: Pen, coat: float) -> None:
    color = _pick(coat, [(245, 245, 248), (150, 180, 215)])
    for side in (-1, 1):
        pen.ellipse(0.25 * side, -2.25, 0.2, 0.62, color, turn=8 * side)
        pen.ellipse(0.25 * side, -2.2, 0.09, 0.42, (190, 180, 250), 0, turn=8 * side)
    pen.ellipse(0.55, -0.3, 0.22, 0.22, WHITE)
    pen.ellipse(0, -0.6, 0.58, 0.6, color)
    pen.ellipse(0, -1.4, 0.56, 0.5, color)
    _eyes(pen, -1.48, 0.25)
    pen.ellipse(0, -1.3, 0.06, 0.05, (150, 140, 240), 0.4)


def _fish(pen: Pen, coat: float) -> None:
    color = _pick(coat, [_ORANGE, (220, 150, 80)])
    pen.fill([(0.6, -0.9), (1.25, -1.4), (1.25, -0.4)], color)
    pen.ellipse(0, -0.9, 0.8, 0.5, color)
    pen.ellipse(-0.42, -1.0, 0.15, 0.15, WHITE, 0.6)
    pen.ellipse(-0.45, -1.0, 0.07, 0.07, INK, 0)


def _ghost(pen: Pen, coat: float) -> None:
    pen.shape([(-0.7, 0), (-0.75, -1.2), (-0.45, -1.95), (0, -2.15), (0.45, -1.95), (0.75, -1.2), (0.7, 0),
               (0.4, -0.28),
               (0.1, 0), (-0.2, -0.28), (-0.45, 0)], (250, 244, 240))  # fmt: skip
    _eyes(pen, -1.4, 0.26, 0.14)
    pen.ellipse(0, -0.95, 0.17, 0.24, INK, 0)


def _pumpkin(pen: Pen, coat: float) -> None:
    for x in (-0.45, 0.45, 0):
        pen.ellipse(x, -0.75, 0.5, 0.72, (40, 130, 240))
    pen.limb([(0, -1.4), (0.1, -1.7)], (60, 110, 60), 0.18, curved=False)
    for side in (-1, 1):
        pen.fill([(0.15 * side, -0.75), (0.5 * side, -0.75), (0.36 * side, -1.1)], INK, 0)
    pen.fill(
        [(-0.6, -0.55), (-0.3, -0.45), (0, -0.55), (0.3, -0.45), (0.6, -0.55), (0.3, -0.22), (-0.3, -0.22)],
        INK,
        0,
    )


def _penguin(pen: Pen, coat: float) -> None:
    pen.ellipse(0, -0.95, 0.66, 0.95, NAVY)
    pen.ellipse(0, -0.75, 0.46, 0.7, WHITE, 0.5)
    _eyes(pen, -1.45, 0.22)
    pen.fill([(-0.16, -1.3), (0.16, -1.3), (0, -1.08)], _ORANGE, 0.7)
    for side in (-1, 1):
        pen.ellipse(0.25 * side, -0.02, 0.24, 0.1, _ORANGE)


_ANIMALS = {"cat": _cat, "dog": _dog, "bird": _bird, "rabbit": _rabbit, "fish": _fish, "penguin": _penguin,
            "ghost": _ghost, "jack-o'-lantern": _pumpkin}  # fmt: skip
