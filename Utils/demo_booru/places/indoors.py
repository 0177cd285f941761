"""Things of rooms: furniture, what stands on the floor and what hangs on the wall."""

from Utils.demo_booru.canvas import Pen, shade
from Utils.demo_booru.places.prop import (
    BRICK,
    CREAM,
    DARK,
    LEAF,
    PAINTS,
    TIMBER,
    Prop,
    block,
    paint,
    post,
)
from Utils.demo_booru.vocabulary import GOLD, INK, SCARLET, STEEL, WHITE


def _table(pen: Pen, hue: float) -> None:
    for x in (-1.2, 1.2):
        post(pen, x, -0.95, 0, shade(TIMBER, 0.8))
    block(pen, -1.5, -1.15, 1.5, -0.9, TIMBER)
    pen.ellipse(-0.6, -1.3, 0.22, 0.18, WHITE, 0.5)
    pen.ellipse(0.5, -1.3, 0.3, 0.16, (60, 60, 215), 0.5)


def _chair(pen: Pen, hue: float) -> None:
    color = paint(hue, (TIMBER, (60, 90, 180), (150, 110, 60)))
    for x in (-0.5, 0.5):
        post(pen, x, -0.9, 0, color, 0.12)
        post(pen, x, -2.0, -0.9, color, 0.12)
    block(pen, -0.62, -1.0, 0.62, -0.8, color)
    for y in (-1.85, -1.45):
        pen.limb([(-0.5, y), (0.5, y)], color, 0.2, 0.5, curved=False)


def _bookshelf(pen: Pen, hue: float) -> None:
    block(pen, -1.1, -3.0, 1.1, 0, shade(TIMBER, 0.8), 1.0)
    for row in range(4):
        x, low = -1.0, -0.1 - 0.74 * row
        for at in range(7):
            wide = 0.18 + 0.05 * ((at * 3 + row + int(hue * 9)) % 3)
            tall = 0.45 + 0.05 * ((at * 5 + row) % 4)
            block(pen, x, low - tall, x + wide, low, PAINTS[(at * 2 + row + int(hue * 6)) % 6], 0.3)
            x += wide + 0.03


def _clock(pen: Pen, hue: float) -> None:
    pen.ellipse(0, -0.7, 0.7, 0.7, paint(hue, (DARK, TIMBER, SCARLET)))
    pen.ellipse(0, -0.7, 0.55, 0.55, WHITE, 0)
    hands = pen.at(0, -0.7, turn=360 * hue)
    hands.line([(0, 0), (0, -0.45)], INK, 1.6)
    hands.line([(0, 0), (0.3, 0.1)], INK, 1.8)


def _potted_plant(pen: Pen, hue: float) -> None:
    for x, y in ((-0.7, -1.5), (-0.35, -1.9), (0.1, -2.1), (0.5, -1.8), (0.75, -1.4)):
        pen.limb([(0, -0.8), (x * 0.5, y * 0.8), (x, y)], shade(LEAF, 0.85 + 0.4 * hue), 0.24, 0.5)
    pen.fill([(-0.5, -0.85), (0.5, -0.85), (0.36, 0), (-0.36, 0)], (70, 110, 195))


def _painting(pen: Pen, hue: float) -> None:
    block(pen, -1.0, -1.5, 1.0, 0, (70, 150, 200), 1.0)
    block(
        pen, -0.82, -1.32, 0.82, -0.18, paint(hue, ((235, 200, 150), (150, 190, 235), (190, 220, 180))), 0.5
    )
    pen.fill(
        [(-0.8, -0.2), (-0.2, -0.95), (0.15, -0.5), (0.45, -0.8), (0.8, -0.2)],
        shade(LEAF, 0.7 + hue * 0.6),
        0,
    )
    pen.ellipse(0.5, -1.08, 0.14, 0.14, GOLD, 0)


def _lamp(pen: Pen, hue: float) -> None:
    post(pen, 0, -1.9, 0, DARK, 0.1)
    pen.ellipse(0, -0.06, 0.4, 0.1, DARK, 0.5)
    pen.fill([(-0.35, -2.7), (0.35, -2.7), (0.7, -1.85), (-0.7, -1.85)], paint(hue, (CREAM, (90, 150, 240))))


def _laptop(pen: Pen, hue: float) -> None:
    pen.fill([(-0.8, -1.25), (0.8, -1.25), (0.8, -0.25), (-0.8, -0.25)], DARK)
    block(pen, -0.68, -1.14, 0.68, -0.36, paint(hue, ((230, 190, 110), (140, 210, 150))), 0)
    pen.fill([(-0.8, -0.25), (0.8, -0.25), (1.05, 0), (-1.05, 0)], STEEL)


def _teapot(pen: Pen, hue: float) -> None:
    color = paint(hue, (WHITE, (190, 130, 70), (110, 150, 90)))
    pen.limb([(0.6, -0.75), (1.05, -0.65), (0.65, -0.25)], color, 0.14)
    pen.limb([(-0.55, -0.35), (-0.9, -0.55), (-1.05, -0.95)], color, 0.2)
    pen.ellipse(0, -0.52, 0.7, 0.52, color)
    pen.ellipse(0, -1.1, 0.14, 0.12, color)


def _cake(pen: Pen, hue: float) -> None:
    color = paint(hue, ((205, 170, 250), CREAM, (70, 95, 140)))
    block(pen, -0.95, -0.75, 0.95, 0, shade(color, 0.9))
    pen.ellipse(0, -0.75, 0.95, 0.24, shade(color, 1.4), 0.7)
    for x in (-0.5, 0, 0.5):
        post(pen, x, -1.25, -0.8, paint(abs(x)), 0.1)
        pen.ellipse(x, -1.4, 0.08, 0.13, (60, 190, 255), 0)


def _window(pen: Pen, hue: float) -> None:
    block(pen, -1.0, -2.2, 1.0, 0, (245, 215, 165), 1.2)
    pen.ellipse(-0.3, -1.5, 0.45, 0.2, WHITE, 0)
    for a, b in (((0, -2.2), (0, 0)), ((-1.0, -1.1), (1.0, -1.1))):
        pen.limb([a, b], WHITE, 0.12, 0.4, curved=False)


def _curtains(pen: Pen, hue: float) -> None:
    _window(pen, hue)
    color = paint(hue, ((160, 150, 240), (190, 150, 90), (120, 190, 150)))
    for side in (-1, 1):
        pen.fill(
            [(1.35 * side, -2.4), (0.45 * side, -2.4), (0.8 * side, 0.1), (1.35 * side, 0.1)], color, 0.8
        )
        pen.line([(1.0 * side, -2.3), (1.1 * side, 0)], width=0.6)


def _globe(pen: Pen, hue: float) -> None:
    post(pen, 0, -0.5, 0, TIMBER, 0.16)
    block(pen, -0.45, -0.12, 0.45, 0, TIMBER)
    pen.ellipse(0, -1.15, 0.68, 0.68, (210, 150, 70))
    pen.shape([(-0.4, -1.5), (0.1, -1.6), (0.2, -1.2), (-0.2, -1.0)], (95, 170, 100), 0)
    pen.shape([(0.2, -0.95), (0.5, -1.05), (0.4, -0.7)], (95, 170, 100), 0)


def _couch(pen: Pen, hue: float) -> None:
    color = paint(hue, ((60, 60, 175), (160, 110, 60), (95, 140, 85), (110, 110, 125)))
    pen.shape([(-1.6, -0.6), (-1.5, -1.45), (0, -1.55), (1.5, -1.45), (1.6, -0.6)], shade(color, 0.9))
    block(pen, -1.5, -0.8, 1.5, -0.15, color)
    for side in (-1, 1):
        pen.ellipse(1.55 * side, -0.6, 0.36, 0.45, shade(color, 1.15))


def _television(pen: Pen, hue: float) -> None:
    block(pen, -1.3, -1.9, 1.3, -0.3, DARK, 1.0)
    block(pen, -1.15, -1.76, 1.15, -0.45, paint(hue, ((200, 140, 90), (120, 200, 140), (160, 120, 220))), 0)
    pen.ellipse(0.2, -1.1, 0.3, 0.3, CREAM, 0)
    block(pen, -0.5, -0.3, 0.5, 0, DARK)


def _aquarium(pen: Pen, hue: float) -> None:
    block(pen, -1.2, -1.5, 1.2, 0, (235, 200, 130), 1.0)
    block(pen, -1.2, -1.5, 1.2, -1.32, DARK, 0.5)
    for x, y in ((-0.6, -0.9), (0.4, -0.6)):
        pen.ellipse(x, y, 0.26, 0.16, (60, 150, 240), 0.4)
        pen.fill([(x + 0.22, y), (x + 0.45, y - 0.18), (x + 0.45, y + 0.18)], (60, 150, 240), 0.3)
    for x in (-0.9, 0.9):
        pen.limb([(x, 0), (x + 0.1, -0.4), (x - 0.05, -0.8)], LEAF, 0.1, 0)


def _teddy_bear(pen: Pen, hue: float) -> None:
    color = paint(hue, ((80, 125, 175), (130, 175, 215), (175, 160, 235)))
    for side in (-1, 1):
        pen.ellipse(0.42 * side, -1.72, 0.22, 0.22, color)
        pen.ellipse(0.6 * side, -0.75, 0.2, 0.34, color, turn=25 * side)
        pen.ellipse(0.35 * side, -0.16, 0.27, 0.2, color)
    pen.ellipse(0, -0.6, 0.5, 0.52, color)
    pen.ellipse(0, -1.32, 0.52, 0.46, color)
    pen.ellipse(0, -1.2, 0.22, 0.17, shade(color, 1.6), 0.4)
    for x in (-0.2, 0.2):
        pen.ellipse(x, -1.45, 0.06, 0.07, INK, 0)


def _bottle(pen: Pen, hue: float) -> None:
    color = paint(hue, ((110, 160, 90), (90, 120, 170), (220, 190, 150)))
    block(pen, -0.14, -2.0, 0.14, -1.3, color)
    pen.shape([(-0.36, 0), (-0.38, -1.1), (-0.16, -1.5), (0.16, -1.5), (0.38, -1.1), (0.36, 0)], color)
    block(pen, -0.34, -0.9, 0.34, -0.35, CREAM, 0.4)


def _mug(pen: Pen, hue: float) -> None:
    color = paint(hue)
    pen.limb([(0.4, -0.8), (0.8, -0.6), (0.4, -0.25)], color, 0.14)
    block(pen, -0.5, -1.0, 0.5, 0, color)
    pen.ellipse(0, -1.0, 0.5, 0.13, (60, 80, 120), 0.6)


def _stove(pen: Pen, hue: float) -> None:
    block(pen, -1.0, -1.5, 1.0, 0, (225, 222, 220), 1.0)
    block(pen, -0.75, -0.95, 0.75, -0.2, DARK, 0.6)
    pen.fill([(-0.6, -2.0), (0.3, -2.0), (0.25, -1.5), (-0.55, -1.5)], paint(hue, (STEEL, SCARLET)))
    pen.limb([(0.3, -1.85), (0.8, -1.9)], DARK, 0.12, 0, curved=False)


def _refrigerator(pen: Pen, hue: float) -> None:
    color = paint(hue, ((240, 238, 235), (190, 210, 150), (150, 150, 235)))
    block(pen, -0.75, -2.7, 0.75, 0, color, 1.0)
    pen.line([(-0.75, -1.75), (0.75, -1.75)], width=1.2)
    for y in (-2.2, -1.3):
        post(pen, -0.55, y - 0.22, y + 0.22, STEEL, 0.1)


def _stool_drum(pen: Pen, hue: float) -> None:
    color = paint(hue, ((60, 60, 205), (190, 120, 60), (70, 190, 235)))
    block(pen, -0.8, -1.1, 0.8, 0, color)
    pen.ellipse(0, -1.1, 0.8, 0.22, CREAM)
    for x in (-0.5, 0.0, 0.5):
        pen.line([(x - 0.25, -0.95), (x, -0.1), (x + 0.25, -0.95)], WHITE, 0.8, curved=False)


def _piano(pen: Pen, hue: float) -> None:
    block(pen, -1.5, -1.9, 1.5, 0, (40, 36, 42), 1.0)
    block(pen, -1.4, -1.05, 1.4, -0.8, WHITE, 0.4)
    for at in range(9):
        block(pen, -1.25 + 0.29 * at, -1.05, -1.13 + 0.29 * at, -0.9, INK, 0)


def _speaker(pen: Pen, hue: float) -> None:
    block(pen, -0.7, -2.2, 0.7, 0, DARK, 1.0)
    for y, r in ((-0.75, 0.5), (-1.7, 0.3)):
        pen.ellipse(0, y, r, r, (110, 106, 110))
        pen.ellipse(0, y, r * 0.4, r * 0.4, INK, 0)


def _poster(pen: Pen, hue: float) -> None:
    block(pen, -0.7, -1.7, 0.7, 0, paint(hue, ((120, 220, 250), (200, 170, 240), (220, 200, 140))), 0.7)
    pen.star(0, -0.65, 0.42, paint(1 - hue))
    pen.text(("LIVE", "GO", "FILM", "TOUR")[int(hue * 3.99)], 0, -1.38, 1.05, INK)


def _fireplace(pen: Pen, hue: float) -> None:
    block(pen, -1.3, -1.9, 1.3, 0, BRICK, 1.0)
    block(pen, -1.5, -2.15, 1.5, -1.85, TIMBER)
    block(pen, -0.8, -1.3, 0.8, 0, (40, 36, 42), 0.7)
    pen.shape([(-0.5, 0), (-0.3, -0.6), (0, -0.95), (0.35, -0.55), (0.5, 0)], (50, 130, 250), 0)


INDOORS = {
    "table": Prop(_table, 1.5, 1.5, 40, ("table",)),
    "chair": Prop(_chair, 0.65, 2.0, 32, ("chair",)),
    "bookshelf": Prop(_bookshelf, 1.1, 3.0, 50, ("bookshelf", "book")),
    "clock": Prop(_clock, 0.7, 1.4, 32, ("clock",), "wall"),
    "potted_plant": Prop(_potted_plant, 0.8, 2.1, 34, ("potted_plant", "plant")),
    "painting": Prop(_painting, 1.0, 1.5, 40, ("painting_(object)",), "wall"),
    "lamp": Prop(_lamp, 0.7, 2.7, 36, ("lamp",)),
    "laptop": Prop(_laptop, 1.05, 1.25, 30, ("laptop", "computer")),
    "teapot": Prop(_teapot, 1.1, 1.2, 24, ("teapot",)),
    "cake": Prop(_cake, 0.95, 1.5, 28, ("cake", "food")),
    "window": Prop(_window, 1.0, 2.2, 44, ("window",), "wall"),
    "curtains": Prop(_curtains, 1.35, 2.5, 44, ("window", "curtains"), "wall"),
    "globe": Prop(_globe, 0.7, 1.85, 28, ("globe",)),
    "couch": Prop(_couch, 1.9, 1.55, 42, ("couch",)),
    "television": Prop(_television, 1.3, 1.9, 36, ("television",)),
    "aquarium": Prop(_aquarium, 1.2, 1.5, 36, ("aquarium", "fish")),
    "teddy_bear": Prop(_teddy_bear, 0.8, 1.95, 28, ("teddy_bear", "stuffed_toy")),
    "bottle": Prop(_bottle, 0.4, 2.0, 24, ("bottle",)),
    "mug": Prop(_mug, 0.8, 1.15, 22, ("mug",)),
    "stove": Prop(_stove, 1.0, 2.0, 42, ("stove",)),
    "refrigerator": Prop(_refrigerator, 0.75, 2.7, 46, ("refrigerator",)),
    "drum": Prop(_stool_drum, 0.8, 1.35, 32, ("drum", "instrument")),
    "piano": Prop(_piano, 1.5, 1.9, 42, ("piano", "instrument")),
    "speaker": Prop(_speaker, 0.7, 2.2, 36, ("speaker",)),
    "poster": Prop(_poster, 0.7, 1.7, 38, ("poster_(object)",), "wall"),
    "fireplace": Prop(_fireplace, 1.5, 2.2, 44, ("fireplace", "fire")),
}
