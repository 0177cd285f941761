"""Things in the sky, and those that hang in the air."""

from Utils.demo_booru.canvas import Pen, shade
from Utils.demo_booru.places.prop import CREAM, DARK, Prop, paint
from Utils.demo_booru.vocabulary import GOLD, SCARLET, STEEL, WHITE

_BRIGHT = ((70, 70, 235), (230, 150, 70), (70, 205, 250), (110, 190, 90), (215, 130, 225))


def _cloud(pen: Pen, hue: float) -> None:
    for x, y, r in ((-1.0, -0.5, 0.5), (0, -0.8, 0.75), (1.0, -0.55, 0.55), (0.1, -0.4, 0.6)):
        pen.ellipse(x, y, r * 1.1, r * 0.8, shade(WHITE, 0.9 + 0.1 * hue), 0)


def _sun(pen: Pen, hue: float) -> None:
    pen.star(0, -1.0, 1.0, (110, 215, 255), points=12, inner=0.72)
    pen.ellipse(0, -1.0, 0.62, 0.62, (80, 190, 255), 0)


def _moon(pen: Pen, hue: float) -> None:
    pen.ellipse(0, -1.0, 0.95, 0.95, (190, 240, 252), 0)
    pen.ellipse(0.25, -1.2, 0.2, 0.2, (165, 222, 238), 0)
    pen.ellipse(-0.3, -0.75, 0.26, 0.26, (165, 222, 238), 0)


def _airplane(pen: Pen, hue: float) -> None:
    pen.fill([(0.1, -0.75), (0.9, -1.6), (1.15, -1.5), (0.6, -0.7)], STEEL, 0.6)
    pen.shape(
        [(-1.6, -0.65), (-1.2, -0.9), (1.3, -0.85), (1.7, -1.35), (1.8, -0.6), (1.2, -0.5), (-1.2, -0.45)],
        WHITE,
    )
    pen.fill([(0.0, -0.6), (0.7, 0), (1.0, 0), (0.6, -0.6)], STEEL, 0.6)
    pen.limb([(-1.0, -0.7), (1.1, -0.68)], paint(hue, _BRIGHT), 0.12, 0, curved=False)


def _hot_air_balloon(pen: Pen, hue: float) -> None:
    color = paint(hue, _BRIGHT)
    pen.shape(
        [(-0.3, -0.8), (-1.0, -1.8), (-0.75, -2.7), (0, -3.0), (0.75, -2.7), (1.0, -1.8), (0.3, -0.8)], color
    )
    pen.shape([(-0.1, -0.85), (-0.38, -1.9), (0, -2.98), (0.38, -1.9), (0.1, -0.85)], CREAM, 0.4)
    for x in (-0.25, 0.25):
        pen.line([(x, -0.85), (x * 0.9, -0.4)], width=0.6)
    pen.fill([(-0.28, -0.42), (0.28, -0.42), (0.22, 0), (-0.22, 0)], (70, 110, 160), 0.7)


def _balloons(pen: Pen, hue: float) -> None:
    for at, (x, y) in enumerate(((-0.55, -1.9), (0.5, -1.75), (0, -2.4))):
        pen.line([(0, 0), (x * 0.4, -0.8), (x, y + 0.4)], width=0.5)
        pen.ellipse(x, y, 0.45, 0.52, _BRIGHT[(at + int(hue * 5)) % 5])


def _gull(pen: Pen, hue: float) -> None:
    color = paint(hue, (WHITE, DARK))
    pen.shape([(-1.2, -0.9), (-0.6, -1.05), (0, -0.5), (0.6, -1.05), (1.2, -0.9), (0.5, -0.65), (0, -0.1),
               (-0.5, -0.65)], color, 0.6)  # fmt: skip


def _kite(pen: Pen, hue: float) -> None:
    color = paint(hue, _BRIGHT)
    pen.limb([(0, -0.9), (0.3, -0.5), (0.0, -0.2), (0.35, 0)], SCARLET, 0.1, 0)
    pen.fill([(0, -2.4), (0.75, -1.6), (0, -0.7), (-0.75, -1.6)], color)
    pen.fill([(0, -2.4), (0.75, -1.6), (0, -1.6)], shade(color, 1.5), 0.4)
    pen.fill([(0, -0.7), (-0.75, -1.6), (0, -1.6)], shade(color, 1.5), 0.4)


def _rainbow(pen: Pen, hue: float) -> None:
    arch = ((-1, 0), (-0.87, -0.5), (-0.5, -0.87), (0, -1), (0.5, -0.87), (0.87, -0.5), (1, 0))
    for at, color in enumerate(
        ((70, 70, 240), (70, 160, 250), (90, 225, 250), (110, 200, 110), (230, 150, 80))
    ):
        r = 2.0 - 0.16 * at
        pen.limb([(r * x, 0.9 * r * y) for x, y in arch], color, 0.18, 0)


def _fireworks(pen: Pen, hue: float) -> None:
    color = paint(hue, _BRIGHT)
    for turn in range(12):
        ray = pen.at(0, -1.2, turn=30 * turn)
        ray.limb([(0, -0.3), (0, -0.85)], color, 0.1, 0, curved=False)
        ray.ellipse(0, -1.1, 0.1, 0.1, shade(color, 1.6), 0)


def _ufo(pen: Pen, hue: float) -> None:
    pen.ellipse(0, -0.9, 0.55, 0.5, (230, 225, 170))
    pen.ellipse(0, -0.55, 1.3, 0.38, STEEL)
    for x in (-0.8, -0.27, 0.27, 0.8):
        pen.ellipse(x, -0.5, 0.12, 0.1, GOLD, 0.3)


def _lantern(pen: Pen, hue: float) -> None:
    pen.ellipse(0, -0.75, 0.55, 0.62, paint(hue, ((60, 70, 235), (90, 190, 250))))
    for y in (-1.4, -0.1):
        pen.limb([(-0.26, y), (0.26, y)], DARK, 0.14, 0, curved=False)
    for y in (-1.0, -0.5):
        pen.line([(-0.5, y), (0.5, y)], width=0.5)


SKY = {
    "cloud": Prop(_cloud, 1.6, 1.4, 32, ("cloud",), "sky"),
    "sun": Prop(_sun, 1.0, 2.0, 34, ("sun",), "sky"),
    "moon": Prop(_moon, 0.95, 1.95, 30, ("moon",), "sky"),
    "airplane": Prop(_airplane, 1.8, 1.6, 26, ("airplane", "aircraft"), "sky"),
    "hot_air_balloon": Prop(_hot_air_balloon, 1.0, 3.0, 28, ("hot_air_balloon", "aircraft"), "sky"),
    "balloons": Prop(_balloons, 1.0, 2.9, 26, ("balloon",), "sky"),
    "gull": Prop(_gull, 1.2, 1.1, 22, ("bird", "flying"), "sky"),
    "kite": Prop(_kite, 0.75, 2.4, 26, ("kite",), "sky"),
    "rainbow": Prop(_rainbow, 2.1, 2.0, 70, ("rainbow",), "sky"),
    "fireworks": Prop(_fireworks, 1.2, 2.4, 36, ("fireworks",), "sky"),
    "ufo": Prop(_ufo, 1.3, 1.4, 26, ("ufo",), "sky"),
    "lantern": Prop(_lantern, 0.55, 1.5, 28, ("paper_lantern", "lantern"), "sky"),
}
