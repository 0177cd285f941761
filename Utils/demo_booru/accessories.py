"""Accessories on head and body, in the order in which they are drawn: behind the figure first."""

from collections.abc import Callable, Mapping

from Utils.demo_booru.canvas import Pen, shade
from Utils.demo_booru.scenes import Figure
from Utils.demo_booru.vocabulary import CLOTH, GOLD, HAIR, INK, NAVY, SCARLET, STEEL, WHITE, Color

Drawer = Callable[[Pen, Figure], None]

_INNER_EAR = (190, 180, 250)
_BEIGE = (160, 205, 238)
_BAT = (74, 56, 66)


def draw_behind(pen: Pen, figure: Figure) -> None:
    """Draw wings, capes, backpacks and tails, which the body hides in part."""
    for slot in ("back", "tail"):
        _draw(_BEHIND, pen, figure, slot)


def draw_on_body(pen: Pen, figure: Figure) -> None:
    """Draw what is around the neck."""
    if figure.view != "behind":
        _draw(_NECK, pen, figure, "neck")


def draw_under_hair(pen: Pen, figure: Figure) -> None:
    """Draw animal ears and horns, whose roots the hair hides."""
    _draw(_EARS, pen, figure, "top")


def draw_on_head(pen: Pen, figure: Figure, gaze: float) -> None:
    """Draw glasses, hats, ribbons, headphones and a halo."""
    if figure.view != "behind":
        _draw(_FACE, pen.at(gaze * 0.12), figure, "face")
    _draw(_SIDES, pen, figure, "ear")
    _draw(_TOP, pen, figure, "top")
    _draw(_TOP, pen, figure, "hair")
    _draw(_TOP, pen, figure, "over")


def _draw(table: Mapping[str, Drawer], pen: Pen, figure: Figure, slot: str) -> None:
    thing = figure.worn(slot)
    if thing in table:
        table[thing](pen.part(thing), figure)


def _angel_wings(pen: Pen, figure: Figure) -> None:
    for side in (-1, 1):
        wing = pen.at(0.3 * side, 1.6, mirror=side < 0)
        wing.shape([(0, 0), (0.7, -0.75), (1.5, -1.25), (2.15, -1.2), (2.05, -0.6), (1.85, -0.15), (1.5, 0.3),
                    (1.05, 0.65), (0.5, 0.7)], WHITE)  # fmt: skip
        for x, y in ((1.9, -0.6), (1.65, -0.15), (1.25, 0.25)):
            wing.line([(0.6, -0.2), (x * 0.75, y * 0.75 - 0.1), (x, y)], (205, 190, 180), 1.2)


def _bat_wings(pen: Pen, figure: Figure) -> None:
    for side in (-1, 1):
        wing = pen.at(0.3 * side, 1.6, mirror=side < 0)
        wing.fill([(0, 0), (0.9, -1.0), (2.0, -1.25), (1.9, -0.5), (1.65, -0.6), (1.5, 0.1), (1.2, -0.1),
                   (0.9, 0.6),
                   (0.5, 0.3)], _BAT)  # fmt: skip
        wing.line([(0.2, 0), (0.9, -0.8), (1.6, -0.5)], (120, 90, 130), 1.0)


def _cape(pen: Pen, figure: Figure) -> None:
    color = CLOTH["red" if figure.color not in ("red", "purple") else "blue"]
    pen.shape([(-0.85, 1.2), (0.85, 1.2), (1.35, 2.6), (1.55, 3.9), (0.8, 4.05), (0, 3.9), (-0.8, 4.05),
               (-1.55, 3.9), (-1.35, 2.6)], color)  # fmt: skip


def _backpack(pen: Pen, figure: Figure) -> None:
    pen.shape([(-1.1, 1.3), (1.1, 1.3), (1.2, 2.5), (-1.2, 2.5)], (70, 110, 170))


def _cat_tail(pen: Pen, figure: Figure) -> None:
    pen.limb([(0.3, 2.6), (1.3, 3.1), (1.65, 2.4), (1.4, 1.8)], HAIR[figure.hair], 0.24)


def _fox_tail(pen: Pen, figure: Figure) -> None:
    pen.shape([(0.2, 2.7), (1.2, 3.2), (1.9, 2.7), (2.1, 1.6), (1.5, 1.9), (1.0, 2.3)], HAIR[figure.hair])
    pen.shape([(2.1, 1.6), (1.72, 1.75), (1.75, 2.1), (2.05, 2.1)], WHITE, 0.6)


_BEHIND = {"angel_wings": _angel_wings, "bat_wings": _bat_wings, "cape": _cape, "backpack": _backpack,
           "cat_tail": _cat_tail, "fox_tail": _fox_tail}  # fmt: skip


def _scarf(pen: Pen, figure: Figure) -> None:
    color = CLOTH["red" if figure.color not in ("red", "pink") else "green"]
    pen.fill([(0.2, 1.25), (0.62, 1.3), (0.72, 2.3), (0.34, 2.3)], color)
    pen.limb([(-0.52, 1.12), (0, 1.3), (0.52, 1.12)], color, 0.4)


def _necktie(pen: Pen, figure: Figure) -> None:
    color = CLOTH["red" if figure.color not in ("red", "pink") else "blue"]
    pen.fill([(-0.12, 1.35), (0.12, 1.35), (0.2, 2.2), (0, 2.42), (-0.2, 2.2)], color)
    pen.ellipse(0, 1.38, 0.14, 0.1, color)


def _bowtie(pen: Pen, figure: Figure) -> None:
    for side in (-1, 1):
        pen.shape([(0, 1.36), (0.42 * side, 1.12), (0.46 * side, 1.6)], SCARLET)
    pen.ellipse(0, 1.36, 0.1, 0.11, SCARLET)


def _choker(pen: Pen, figure: Figure) -> None:
    pen.limb([(-0.2, 1.02), (0, 1.07), (0.2, 1.02)], INK, 0.13, edge=0)
    pen.ellipse(0, 1.16, 0.07, 0.08, GOLD, 0.5)


_NECK = {"scarf": _scarf, "necktie": _necktie, "bowtie": _bowtie, "choker": _choker}


def _glasses(pen: Pen, figure: Figure, lens: Color | None = None, color: Color = INK) -> None:
    places = (-0.56,) if figure.view == "side" else (-0.43, 0.43)
    for x in places:
        if lens is not None:
            pen.ellipse(x, 0.18, 0.37, 0.34, lens, 1.6)
        circle = [(x - 0.37, 0.18), (x - 0.26, -0.08), (x, -0.17), (x + 0.26, -0.08), (x + 0.37, 0.18),
                  (x + 0.26, 0.43),
                  (x, 0.52), (x - 0.26, 0.43), (x - 0.37, 0.18)]  # fmt: skip
        pen.line(circle, color, 2.4)
    pen.line(
        [(places[0] + 0.37, 0.14), (places[-1] - 0.37, 0.14) if len(places) > 1 else (0.3, 0.1)], color, 2.0
    )


def _sunglasses(pen: Pen, figure: Figure) -> None:
    _glasses(pen, figure, lens=(45, 40, 40))


def _eyepatch(pen: Pen, figure: Figure) -> None:
    pen.shape([(0.12, -0.15), (0.72, -0.15), (0.68, 0.4), (0.42, 0.55), (0.16, 0.4)], (50, 44, 52))
    pen.line([(0.12, -0.12), (-0.9, -0.6)], width=1.6)


_FACE = {"glasses": _glasses, "sunglasses": _sunglasses, "eyepatch": _eyepatch}


def _headphones(pen: Pen, figure: Figure) -> None:
    pen.limb([(-1.12, 0.1), (-1.0, -0.75), (0, -1.28), (1.0, -0.75), (1.12, 0.1)], (60, 56, 64), 0.16)
    for side in (-1, 1):
        pen.ellipse(1.1 * side, 0.15, 0.24, 0.36, (200, 190, 40))


def _earrings(pen: Pen, figure: Figure) -> None:
    for side in (-1, 1):
        pen.star(0.98 * side, 0.58, 0.2, GOLD, points=4, inner=0.55, edge=0.7)


_SIDES = {"headphones": _headphones, "earrings": _earrings}


def _pointed_ears(pen: Pen, figure: Figure) -> None:
    for side in (-1, 1):
        pen.fill([(0.25 * side, -0.95), (0.82 * side, -1.72), (1.02 * side, -0.5)], HAIR[figure.hair])
        pen.fill([(0.45 * side, -0.98), (0.77 * side, -1.45), (0.88 * side, -0.72)], _INNER_EAR, 0.5)


def _rabbit_ears(pen: Pen, figure: Figure) -> None:
    for side in (-1, 1):
        pen.ellipse(0.45 * side, -1.7, 0.26, 0.85, WHITE, turn=10 * side)
        pen.ellipse(0.45 * side, -1.65, 0.12, 0.6, _INNER_EAR, 0, turn=10 * side)


def _horns(pen: Pen, figure: Figure) -> None:
    for side in (-1, 1):
        pen.shape([(0.38 * side, -0.85), (0.55 * side, -1.3), (0.95 * side, -1.75), (0.95 * side, -1.2),
                   (0.78 * side, -0.7)], (60, 40, 130))  # fmt: skip


_EARS = {"cat_ears": _pointed_ears, "fox_ears": _pointed_ears, "rabbit_ears": _rabbit_ears, "horns": _horns}


def _witch_hat(pen: Pen, figure: Figure) -> None:
    color = (88, 50, 66)
    pen.shape([(-0.8, -0.72), (-0.5, -1.5), (0.1, -2.3), (0.75, -2.5), (0.45, -1.9), (0.8, -0.72)], color)
    pen.limb([(-0.72, -0.85), (0, -0.74), (0.72, -0.85)], SCARLET, 0.24, edge=0.6)
    pen.ellipse(0, -0.62, 1.65, 0.26, color)
    pen.star(0.0, -0.85, 0.2, GOLD)


def _straw_hat(pen: Pen, figure: Figure) -> None:
    pen.shape([(-0.85, -0.65), (-0.75, -1.3), (0, -1.5), (0.75, -1.3), (0.85, -0.65)], _BEIGE)
    pen.limb([(-0.8, -0.8), (0, -0.7), (0.8, -0.8)], SCARLET, 0.22, edge=0.6)
    pen.ellipse(0, -0.58, 1.6, 0.24, _BEIGE)


def _beret(pen: Pen, figure: Figure) -> None:
    color = SCARLET if figure.hair != "red" else NAVY
    pen.shape(
        [(-1.05, -0.6), (-1.2, -1.05), (-0.5, -1.45), (0.5, -1.4), (1.15, -1.0), (0.9, -0.62), (0, -0.75)],
        color,
    )
    pen.line([(-0.1, -1.42), (-0.05, -1.62)], width=2.4)


def _cap(pen: Pen, figure: Figure) -> None:
    color = NAVY if figure.hair != "blue" else SCARLET
    pen.shape([(-1.02, -0.5), (-0.9, -1.1), (0, -1.38), (0.9, -1.1), (1.02, -0.5), (0, -0.62)], color)
    pen.shape([(-1.0, -0.55), (0, -0.68), (0.9, -0.55), (0.1, -0.32), (-0.9, -0.3)], shade(color, 0.7))
    pen.star(0, -0.98, 0.22, WHITE)


def _santa_hat(pen: Pen, figure: Figure) -> None:
    pen.shape([(-0.9, -0.7), (-0.6, -1.35), (0.3, -1.75), (1.25, -1.2), (0.9, -0.7)], SCARLET)
    pen.limb([(-0.95, -0.68), (0, -0.8), (0.95, -0.68)], WHITE, 0.34)
    pen.ellipse(1.3, -1.1, 0.24, 0.24, WHITE)


def _crown(pen: Pen, figure: Figure) -> None:
    pen.fill(
        [(-0.62, -0.85), (-0.7, -1.5), (-0.35, -1.2), (0, -1.65), (0.35, -1.2), (0.7, -1.5), (0.62, -0.85)],
        GOLD,
    )
    pen.ellipse(0, -1.08, 0.11, 0.11, SCARLET, 0.6)


def _hair_bow(pen: Pen, figure: Figure) -> None:
    bow = pen.at(0.5, -0.95, scale=1.3, turn=20)
    for side in (-1, 1):
        bow.shape([(0, 0), (0.55 * side, -0.4), (0.62 * side, 0.38)], SCARLET)
    bow.ellipse(0, 0, 0.14, 0.15, shade(SCARLET, 0.8))


def _hair_flower(pen: Pen, figure: Figure) -> None:
    for at in range(5):
        petal = pen.at(-0.75, -0.62, turn=72 * at)
        petal.ellipse(0, -0.22, 0.16, 0.2, (250, 250, 255), 0.7)
    pen.ellipse(-0.75, -0.62, 0.13, 0.13, GOLD, 0.7)


def _hairband(pen: Pen, figure: Figure) -> None:
    pen.limb([(-1.0, -0.45), (-0.6, -0.95), (0, -1.1), (0.6, -0.95), (1.0, -0.45)], STEEL, 0.17, edge=0.7)


def _halo(pen: Pen, figure: Figure) -> None:
    ring = [(0.85 * x, -1.55 + 0.22 * y) for x, y in ((1, 0), (0.7, 0.7), (0, 1), (-0.7, 0.7), (-1, 0),
                                                      (-0.7, -0.7),
                                                      (0, -1), (0.7, -0.7), (1, 0))]  # fmt: skip
    pen.limb(ring, GOLD, 0.15, edge=0.8)


_TOP = {"witch_hat": _witch_hat, "straw_hat": _straw_hat, "beret": _beret, "baseball_cap": _cap,
        "crown": _crown,
        "santa_hat": _santa_hat, "hair_bow": _hair_bow, "hair_flower": _hair_flower, "hairband": _hairband,
        "halo": _halo}  # fmt: skip
