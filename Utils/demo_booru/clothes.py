"""Clothes on the trunk and below it, drawn in a body's units (see ``bodies``)."""

from Utils.demo_booru.bodies import torso
from Utils.demo_booru.canvas import Pen, shade
from Utils.demo_booru.scenes import Figure
from Utils.demo_booru.vocabulary import CLOTH, GOLD, NAVY, SCARLET, SKIN, STEEL, WHITE, Color


def draw_clothes(pen: Pen, figure: Figure) -> None:
    """Draw what is worn below the waist, then what is worn above it."""
    if figure.bottom == "skirt":
        _skirt(pen, CLOTH[figure.second], 3.2)
    elif figure.bottom in ("pants", "shorts"):
        _shorts(pen, CLOTH[figure.second])
    _TOPS[figure.top](pen, figure, CLOTH[figure.color], CLOTH[figure.second])


def _skirt(pen: Pen, color: Color, hem: float, flare: float = 1.15, top: float = 2.25) -> None:
    pen.fill([(-0.58, top), (-flare, hem), (-flare * 0.66, hem + 0.07), (-flare * 0.33, hem), (0, hem + 0.08),
              (flare * 0.33, hem), (flare * 0.66, hem + 0.07), (flare, hem), (0.58, top)], color)  # fmt: skip
    for x in (-0.55, -0.2, 0.2, 0.55):
        pen.line([(x * 0.7, top + 0.15), (x * flare * 1.1, hem)], width=0.6)


def _shorts(pen: Pen, color: Color) -> None:
    pen.fill(
        [(-0.66, 2.3), (-0.72, 3.05), (-0.06, 3.05), (0, 2.8), (0.06, 3.05), (0.72, 3.05), (0.66, 2.3)], color
    )


def _collar(pen: Pen, color: Color = WHITE) -> None:
    for side in (-1, 1):
        pen.fill([(0, 1.42), (0.3 * side, 1.08), (0.5 * side, 1.3), (0.2 * side, 1.58)], color, 0.8)


def _neckline(pen: Pen, figure: Figure) -> None:
    if figure.view != "behind":
        pen.fill([(-0.24, 1.1), (0, 1.42), (0.24, 1.1)], shade(SKIN[figure.skin], 0.96), 0.7)


def _shirt(pen: Pen, figure: Figure, color: Color, second: Color) -> None:
    body = torso(figure)
    pen.fill(body, color)
    if figure.striped:
        stripe = NAVY if figure.color != "blue" else WHITE
        for y in (1.55, 1.85, 2.15, 2.45):
            wide = 0.6 if figure.boy else 0.54
            pen.limb([(-wide, y), (wide, y)], stripe, 0.12, edge=0, curved=False)
    if figure.view != "behind":
        _collar(pen, shade(color, 1.3))
        if not figure.striped:
            pen.line([(0, 1.55), (0, 2.6)], width=0.7)


def _sailor(pen: Pen, figure: Figure, color: Color, second: Color) -> None:
    pen.fill(torso(figure), color)
    if figure.view == "behind":
        pen.fill([(-0.75, 1.15), (0.75, 1.15), (0.7, 1.85), (-0.7, 1.85)], second)
        return
    _neckline(pen, figure)
    for side in (-1, 1):
        pen.fill([(0, 1.85), (0.2 * side, 1.1), (0.72 * side, 1.22), (0.62 * side, 1.6)], second)
        pen.line([(0.08 * side, 1.72), (0.56 * side, 1.52)], WHITE, 0.9)
    for side in (-1, 1):
        pen.shape([(0, 1.75), (0.34 * side, 2.0), (0.26 * side, 2.38), (0.08 * side, 2.1)], SCARLET)
    pen.ellipse(0, 1.78, 0.14, 0.12, SCARLET)


def _dress(pen: Pen, figure: Figure, color: Color, second: Color) -> None:
    pen.fill(torso(figure), color)
    _skirt(pen, color, 3.5, flare=1.35, top=2.2)
    pen.limb([(-0.52, 2.24), (0.52, 2.24)], shade(color, 0.7), 0.18, edge=0.6, curved=False)
    if figure.view != "behind":
        pen.shape(
            [(-0.62, 1.2), (0, 1.1), (0.62, 1.2), (0.45, 1.62), (0, 1.78), (-0.45, 1.62)],
            shade(color, 1.75),
            0.7,
        )
        _neckline(pen, figure)


def _maid(pen: Pen, figure: Figure, color: Color, second: Color) -> None:
    pen.fill(torso(figure), color)
    _skirt(pen, color, 3.35, flare=1.3, top=2.2)
    if figure.view == "behind":
        pen.limb([(-0.52, 2.24), (0.52, 2.24)], WHITE, 0.2, edge=0.6, curved=False)
        return
    pen.fill([(-0.34, 1.4), (0.34, 1.4), (0.4, 2.2), (-0.4, 2.2)], WHITE)
    pen.shape(
        [(-0.5, 2.22), (0.5, 2.22), (0.78, 2.95), (0.4, 3.15), (0, 3.2), (-0.4, 3.15), (-0.78, 2.95)], WHITE
    )
    for side in (-1, 1):
        pen.limb([(0.3 * side, 1.4), (0.45 * side, 1.2)], WHITE, 0.16, edge=0.6, curved=False)
    _collar(pen)


def _sweater(pen: Pen, figure: Figure, color: Color, second: Color) -> None:
    pen.shape(torso(figure, 0.08), color)
    pen.limb([(-0.28, 1.12), (0.28, 1.12)], shade(color, 0.9), 0.34, curved=False)
    pen.limb([(-0.6, 2.66), (0.6, 2.66)], shade(color, 0.86), 0.16, edge=0.6, curved=False)
    for x in (-0.35, 0, 0.35):
        pen.line([(x, 1.5), (x, 2.5)], shade(color, 0.8), 1.2)


def _hoodie(pen: Pen, figure: Figure, color: Color, second: Color) -> None:
    pen.shape(
        [(-0.95, 1.05), (-0.5, 0.9), (0.5, 0.9), (0.95, 1.05), (0.6, 1.5), (-0.6, 1.5)], shade(color, 0.85)
    )
    pen.fill(torso(figure, 0.12), color)
    if figure.view == "behind":
        pen.shape([(-0.7, 1.1), (0.7, 1.1), (0.4, 1.75), (0, 1.95), (-0.4, 1.75)], shade(color, 0.85))
        return
    pen.shape([(-0.52, 1.1), (0, 1.5), (0.52, 1.1), (0.3, 1.02), (-0.3, 1.02)], shade(color, 0.6))
    for side in (-1, 1):
        pen.line([(0.16 * side, 1.4), (0.18 * side, 1.85)], WHITE, 1.4)
    pen.fill([(-0.4, 2.15), (0.4, 2.15), (0.52, 2.55), (-0.52, 2.55)], shade(color, 0.86))


def _jacket(pen: Pen, figure: Figure, color: Color, second: Color) -> None:
    pen.fill(torso(figure), WHITE)
    if figure.view == "behind":
        pen.fill(torso(figure, 0.12), color)
        return
    _collar(pen)
    wide = 1.02 if figure.boy else 0.9
    for side in (-1, 1):
        pen.fill([(0.34 * side, 1.1), (wide * side, 1.3), (wide * 0.85 * side, 2.0),
                  (wide * 0.88 * side, 2.72),
                  (0.3 * side, 2.72), (0.26 * side, 1.8)], color)  # fmt: skip
        pen.fill([(0.3 * side, 1.12), (0.52 * side, 1.5), (0.27 * side, 1.85)], shade(color, 1.25), 0.8)


def _kimono(pen: Pen, figure: Figure, color: Color, second: Color) -> None:
    pen.fill([*torso(figure)[:5], (-0.85, 4.1), (0.85, 4.1), *torso(figure)[7:]], color)
    if figure.view != "behind":
        pen.fill([(-0.4, 1.1), (0.1, 1.95), (0.26, 1.85), (-0.1, 1.15)], WHITE, 0.8)
        pen.fill([(0.4, 1.1), (-0.3, 2.1), (-0.45, 1.95), (0.15, 1.1)], shade(color, 0.75), 0.8)
    pen.fill([(-0.66, 2.0), (0.66, 2.0), (0.66, 2.55), (-0.66, 2.55)], second)
    pen.limb([(-0.62, 2.28), (0.62, 2.28)], GOLD, 0.1, edge=0.5, curved=False)
    for x, y in ((-0.45, 3.2), (0.4, 3.5), (-0.1, 3.75), (0.15, 2.95)):
        pen.star(x, y, 0.17, WHITE, inner=0.6)


def _robe(pen: Pen, figure: Figure, color: Color, second: Color) -> None:
    pen.fill([*torso(figure)[:5], (-0.95, 4.2), (0.95, 4.2), *torso(figure)[7:]], color)
    pen.limb([(0, 1.3), (0, 4.15)], shade(color, 0.75), 0.14, edge=0, curved=False)
    pen.limb([(-0.66, 2.35), (0.66, 2.35)], GOLD, 0.16, edge=0.6, curved=False)
    pen.star(-0.5, 3.4, 0.18, GOLD)
    pen.star(0.5, 3.0, 0.18, GOLD)


def _armor(pen: Pen, figure: Figure, color: Color, second: Color) -> None:
    pen.fill(torso(figure), STEEL)
    pen.shape(
        [(-0.62, 1.35), (0, 1.2), (0.62, 1.35), (0.55, 2.05), (0, 2.3), (-0.55, 2.05)], shade(STEEL, 1.4)
    )
    pen.line([(0, 1.25), (0, 2.25)], width=0.8)
    pen.fill([(-0.2, 1.6), (0, 1.45), (0.2, 1.6), (0, 1.95)], CLOTH[figure.color], 0.8)
    for side in (-1, 1):
        pen.ellipse(0.82 * side, 1.4, 0.34, 0.28, STEEL)
    pen.limb([(-0.55, 2.4), (0.55, 2.4)], GOLD, 0.16, edge=0.7, curved=False)


def _vest(pen: Pen, figure: Figure, color: Color, second: Color) -> None:
    pen.fill(torso(figure), WHITE)
    if figure.view == "behind":
        pen.fill(torso(figure, -0.08), color)
        return
    for side in (-1, 1):
        pen.fill(
            [(0.32 * side, 1.15), (0.6 * side, 1.22), (0.66 * side, 2.68), (0.0, 2.68), (0.0, 2.0)], color
        )
    _collar(pen)
    for y in (2.15, 2.4):
        pen.ellipse(0.1, y, 0.05, 0.05, GOLD, 0.4)


def _overalls(pen: Pen, figure: Figure, color: Color, second: Color) -> None:
    pen.fill(torso(figure), WHITE)
    pen.fill([(-0.62, 2.2), (0.62, 2.2), (0.7, 2.9), (-0.7, 2.9)], color)
    pen.fill([(-0.42, 1.62), (0.42, 1.62), (0.46, 2.3), (-0.46, 2.3)], color)
    for side in (-1, 1):
        pen.limb([(0.34 * side, 1.7), (0.48 * side, 1.2)], color, 0.16, edge=0.7, curved=False)
        pen.ellipse(0.34 * side, 1.72, 0.08, 0.08, GOLD, 0.6)
    pen.fill([(-0.22, 1.85), (0.22, 1.85), (0.22, 2.15), (-0.22, 2.15)], shade(color, 0.85), 0.7)


_TOPS = {
    "shirt": _shirt, "serafuku": _sailor, "dress": _dress, "maid": _maid, "sweater": _sweater,
    "hoodie": _hoodie,
    "jacket": _jacket, "kimono": _kimono, "robe": _robe, "armor": _armor, "vest": _vest,
    "overalls": _overalls,
}  # fmt: skip
