"""Things that stand outside: plants, vehicles, street furniture, what lies at a beach or in the snow."""

from Utils.demo_booru.canvas import Pen, shade
from Utils.demo_booru.places.prop import (
    BRICK,
    CREAM,
    DARK,
    GLASS,
    LEAF,
    PAINTS,
    STONE,
    TIMBER,
    Prop,
    block,
    paint,
    post,
)
from Utils.demo_booru.vocabulary import GOLD, INK, NAVY, SCARLET, STEEL, WHITE

_AUTUMN = (LEAF, (85, 165, 105), (60, 130, 215), (55, 85, 200))


def _tree(pen: Pen, hue: float) -> None:
    block(pen, -0.16, -1.4, 0.16, 0, shade(TIMBER, 0.75))
    color = paint(hue, _AUTUMN)
    for x, y in ((-0.55, -1.7), (0.55, -1.7), (0, -2.3)):
        pen.ellipse(x, y, 0.75, 0.68, color, 0.6)
    pen.ellipse(0, -1.85, 0.7, 0.6, color, 0)


def _pine(pen: Pen, hue: float) -> None:
    block(pen, -0.12, -0.5, 0.12, 0, shade(TIMBER, 0.7))
    for low, wide in ((-0.35, 0.85), (-1.1, 0.7), (-1.8, 0.52)):
        pen.fill([(-wide, low), (0, low - 1.1), (wide, low)], shade((85, 110, 60), 0.85 + 0.3 * hue), 0.6)


def _palm(pen: Pen, hue: float) -> None:
    pen.limb([(0.1, 0), (0.0, -1.2), (0.25, -2.3)], TIMBER, 0.22)
    for x, y in ((-1.0, -2.1), (-0.75, -2.75), (0.3, -3.0), (1.2, -2.7), (1.35, -2.05)):
        pen.limb([(0.25, -2.35), (0.25 + (x - 0.25) * 0.6, y - 0.2), (x, y)], LEAF, 0.24, 0.5)
    pen.ellipse(0.12, -2.2, 0.14, 0.14, BRICK, 0.4)


def _bush(pen: Pen, hue: float) -> None:
    color = shade(LEAF, 0.8 + 0.5 * hue)
    for x, y, r in ((-0.7, -0.4, 0.45), (0.7, -0.4, 0.45), (0, -0.6, 0.6)):
        pen.ellipse(x, y, r * 1.2, r, color, 0.5)


def _flowers(pen: Pen, hue: float) -> None:
    color = paint(hue, ((90, 90, 240), (200, 120, 245), (80, 215, 250), (245, 240, 250)))
    for x, y in ((-0.7, -0.5), (0, -0.8), (0.7, -0.45)):
        pen.line([(x * 0.6, 0), (x, y)], LEAF, 1.4)
        pen.star(x, y, 0.36, color, points=6, inner=0.65, edge=0.4)
        pen.ellipse(x, y, 0.12, 0.12, GOLD, 0)


def _bench(pen: Pen, hue: float) -> None:
    for x in (-0.9, 0.9):
        post(pen, x, -1.0, 0, DARK)
    for y in (-1.05, -0.8, -0.48):
        pen.limb([(-1.15, y), (1.15, y)], TIMBER, 0.17, 0.6, curved=False)


def _lamppost(pen: Pen, hue: float) -> None:
    post(pen, 0, -3.2, 0, DARK)
    pen.ellipse(0, -3.45, 0.36, 0.36, (160, 240, 255), 0.8)
    block(pen, -0.3, -0.15, 0.3, 0, DARK)


def _car(pen: Pen, hue: float) -> None:
    color = paint(hue)
    pen.shape([(-1.7, -0.25), (-1.65, -0.8), (-0.95, -0.95), (-0.6, -1.4), (0.6, -1.4), (1.0, -0.95),
               (1.7, -0.8), (1.7, -0.25)], color)  # fmt: skip
    pen.fill([(-0.75, -0.92), (-0.5, -1.28), (-0.06, -1.28), (-0.06, -0.92)], GLASS, 0.5)
    pen.fill([(0.06, -0.92), (0.06, -1.28), (0.52, -1.28), (0.8, -0.92)], GLASS, 0.5)
    for x in (-1.0, 1.0):
        pen.ellipse(x, -0.25, 0.34, 0.34, DARK)
        pen.ellipse(x, -0.25, 0.14, 0.14, STEEL, 0)


def _bus(pen: Pen, hue: float) -> None:
    block(pen, -2.0, -1.9, 2.0, -0.25, paint(hue, ((60, 60, 205), (95, 160, 85), (60, 170, 240))), 1.0)
    for x in (-1.75, -0.8, 0.15, 1.1):
        block(pen, x, -1.65, x + 0.7, -1.0, GLASS, 0.5)
    pen.limb([(-1.95, -0.7), (1.95, -0.7)], CREAM, 0.14, 0, curved=False)
    for x in (-1.25, 1.25):
        pen.ellipse(x, -0.28, 0.36, 0.36, DARK)


def _bicycle(pen: Pen, hue: float) -> None:
    around = ((1, 0), (0.7, 0.7), (0, 1), (-0.7, 0.7), (-1, 0), (-0.7, -0.7), (0, -1), (0.7, -0.7), (1, 0))
    for x in (-0.8, 0.8):
        pen.limb([(x + 0.5 * a, -0.5 + 0.5 * b) for a, b in around], DARK, 0.1, 0)
    color = paint(hue)
    for line in (
        [(-0.8, -0.5), (-0.3, -1.1), (0.55, -1.1), (0.8, -0.5)],
        [(-0.35, -1.3), (0, -0.5), (0.55, -1.1)],
        [(-0.8, -0.5), (0, -0.5)],
        [(0.55, -1.1), (0.5, -1.4), (0.75, -1.42)],
    ):
        pen.limb(line, color, 0.12, 0.3, curved=False)
    pen.limb([(-0.55, -1.32), (-0.15, -1.32)], DARK, 0.14, 0, curved=False)


def _stall(pen: Pen, hue: float) -> None:
    color = paint(hue, ((60, 60, 205), (190, 120, 60), (95, 160, 85)))
    for x in (-1.4, 1.4):
        post(pen, x, -2.1, 0, TIMBER)
    block(pen, -1.5, -0.95, 1.5, 0, shade(TIMBER, 1.15))
    for at, fruit in enumerate(
        ((50, 50, 225), (60, 150, 240), (90, 190, 110), (80, 220, 250), (50, 50, 225))
    ):
        pen.ellipse(-1.1 + 0.55 * at, -1.1, 0.27, 0.24, fruit, 0.4)
    for at in range(6):
        x = -1.8 + 0.6 * at
        pen.fill([(x * 0.85, -2.6), ((x + 0.6) * 0.85, -2.6), (x + 0.6, -1.95), (x, -1.95)],
                 color if at % 2 else WHITE, 0.5)  # fmt: skip


def _tent(pen: Pen, hue: float) -> None:
    color = paint(hue, ((60, 140, 235), (95, 160, 85), (190, 120, 60)))
    pen.fill([(-1.5, 0), (0, -1.8), (1.5, 0)], color, 1.0)
    pen.fill([(-0.42, 0), (0, -1.3), (0.42, 0)], shade(color, 0.45), 0.7)


def _fence(pen: Pen, hue: float) -> None:
    for y in (-0.75, -0.35):
        pen.limb([(-1.7, y), (1.7, y)], CREAM, 0.13, 0.5, curved=False)
    for at in range(6):
        x = -1.6 + 0.64 * at
        pen.fill([(x - 0.15, 0), (x - 0.15, -0.9), (x, -1.1), (x + 0.15, -0.9), (x + 0.15, 0)], CREAM, 0.6)


def _postbox(pen: Pen, hue: float) -> None:
    block(pen, -0.4, -1.5, 0.4, 0, SCARLET)
    pen.ellipse(0, -1.5, 0.46, 0.28, SCARLET)
    pen.limb([(-0.22, -1.1), (0.22, -1.1)], INK, 0.12, 0, curved=False)
    block(pen, -0.24, -0.85, 0.24, -0.5, WHITE, 0.4)


def _vending_machine(pen: Pen, hue: float) -> None:
    color = paint(hue, ((190, 110, 50), (60, 60, 205), (240, 240, 240)))
    block(pen, -0.7, -2.2, 0.7, 0, color, 1.0)
    block(pen, -0.55, -2.0, 0.55, -0.9, CREAM, 0.5)
    for row in range(2):
        for column in range(4):
            x, y = -0.42 + 0.26 * column, -1.85 + 0.5 * row
            block(pen, x, y, x + 0.16, y + 0.36, PAINTS[(row + column) % 4], 0)
    block(pen, -0.4, -0.5, 0.4, -0.2, DARK, 0.4)


def _traffic_light(pen: Pen, hue: float) -> None:
    post(pen, 0, -1.6, 0, DARK)
    block(pen, -0.38, -3.1, 0.38, -1.55, DARK)
    for at, color in enumerate(((60, 60, 235), (70, 200, 250), (110, 220, 90))):
        pen.ellipse(0, -2.8 + 0.47 * at, 0.19, 0.19, color if int(hue * 3) == at else shade(color, 0.4), 0)


def _stop_sign(pen: Pen, hue: float) -> None:
    post(pen, 0, -1.6, 0, STEEL)
    pen.ellipse(0, -2.0, 0.7, 0.7, WHITE, 0.8)
    pen.ellipse(0, -2.0, 0.6, 0.6, SCARLET, 0)
    block(pen, -0.4, -2.12, 0.4, -1.88, WHITE, 0)


def _signboard(pen: Pen, hue: float) -> None:
    words = ("OPEN", "SALE", "CAFE", "TEA", "ART", "ZOO", "EXIT", "BOOK", "SHOP", "PARK")
    for x in (-0.8, 0.8):
        post(pen, x, -1.0, 0, TIMBER)
    color = paint((hue * 7) % 1, (CREAM, (120, 90, 50), (60, 60, 190)))
    block(pen, -1.2, -2.1, 1.2, -0.9, color, 1.0)
    pen.text(words[min(int(hue * 10), 9)], 0, -1.5, 1.9, INK if color == CREAM else WHITE)


def _fountain(pen: Pen, hue: float) -> None:
    for x in (-0.7, -0.3, 0.3, 0.7):
        pen.limb([(0, -1.9), (x * 0.7, -2.0), (x, -0.9)], (250, 225, 180), 0.1, 0)
    post(pen, 0, -1.8, -0.5, STONE, 0.3)
    pen.ellipse(0, -1.25, 0.6, 0.16, STONE)
    block(pen, -1.4, -0.55, 1.4, 0, STONE)
    pen.ellipse(0, -0.55, 1.4, 0.25, (235, 190, 130), 0.8)


def _snowman(pen: Pen, hue: float) -> None:
    pen.ellipse(0, -0.65, 0.75, 0.66, WHITE)
    pen.ellipse(0, -1.6, 0.55, 0.5, WHITE)
    pen.limb([(-0.5, -1.2), (0, -1.1), (0.5, -1.2)], paint(hue), 0.22, 0.5)
    for x in (-0.18, 0.18):
        pen.ellipse(x, -1.7, 0.07, 0.08, INK, 0)
    pen.fill([(0, -1.62), (0.5, -1.5), (0, -1.48)], (50, 130, 245), 0.4)
    block(pen, -0.4, -2.5, 0.4, -2.0, DARK)


def _campfire(pen: Pen, hue: float) -> None:
    pen.shape(
        [(-0.55, -0.2), (-0.45, -0.9), (-0.1, -0.7), (0.05, -1.5), (0.4, -0.85), (0.55, -0.2)], (50, 120, 250)
    )
    pen.shape([(-0.25, -0.2), (-0.1, -0.6), (0.1, -0.9), (0.28, -0.2)], (110, 225, 255), 0)
    for a, b in (((-0.7, 0), (0.6, -0.25)), ((0.7, 0), (-0.6, -0.25))):
        pen.limb([a, b], shade(TIMBER, 0.7), 0.22, 0.6, curved=False)


def _ball(pen: Pen, hue: float) -> None:
    color = paint(hue, (SCARLET, (200, 130, 50), (80, 200, 245)))
    pen.ellipse(0, -0.6, 0.6, 0.6, WHITE)
    for turn in (0, 120, 240):
        part = pen.at(0, -0.6, turn=turn)
        part.shape([(0, 0), (0.5, -0.25), (0.42, 0.32)], color, 0.3)


def _basket(pen: Pen, hue: float) -> None:
    pen.limb([(-0.7, -0.8), (-0.4, -1.4), (0.4, -1.4), (0.7, -0.8)], TIMBER, 0.13, 0.5)
    for x, color in ((-0.45, (50, 50, 225)), (0, (80, 215, 250)), (0.42, (60, 150, 240))):
        pen.ellipse(x, -0.85, 0.28, 0.27, color, 0.4)
    pen.fill([(-0.85, -0.8), (0.85, -0.8), (0.6, 0), (-0.6, 0)], shade(TIMBER, 1.25))


def _barrel(pen: Pen, hue: float) -> None:
    pen.shape([(-0.5, 0), (-0.68, -0.75), (-0.5, -1.5), (0.5, -1.5), (0.68, -0.75), (0.5, 0)], TIMBER)
    for y in (-0.35, -1.15):
        pen.limb([(-0.6, y), (0.6, y)], DARK, 0.12, 0, curved=False)


def _cardboard(pen: Pen, hue: float) -> None:
    block(pen, -0.8, -1.1, 0.8, 0, (120, 175, 215))
    pen.fill([(-0.8, -1.1), (-1.1, -1.4), (-0.2, -1.4), (0, -1.1)], (100, 150, 195))
    pen.fill([(0.8, -1.1), (1.1, -1.4), (0.2, -1.4), (0, -1.1)], (100, 150, 195))


def _bucket(pen: Pen, hue: float) -> None:
    color = paint(hue)
    pen.limb([(-0.6, -1.0), (0, -1.6), (0.6, -1.0)], STEEL, 0.08, 0)
    pen.fill([(-0.65, -1.0), (0.65, -1.0), (0.45, 0), (-0.45, 0)], color)
    pen.ellipse(0, -1.0, 0.65, 0.16, shade(color, 0.6), 0.6)


def _surfboard(pen: Pen, hue: float) -> None:
    pen.ellipse(0, -1.5, 0.45, 1.5, CREAM)
    pen.limb([(0, -0.4), (0, -2.6)], paint(hue), 0.22, 0, curved=False)


def _parasol(pen: Pen, hue: float) -> None:
    post(pen, 0, -2.2, 0, CREAM, 0.1)
    color = paint(hue, ((60, 60, 225), (200, 130, 50), (70, 200, 245)))
    for at in range(4):
        x = -1.4 + 0.7 * at
        pen.fill([(0, -2.8), (x, -1.85), (x + 0.7, -1.85)], color if at % 2 else WHITE, 0.5)


def _sand_castle(pen: Pen, hue: float) -> None:
    sand = (120, 180, 220)
    for x, top in ((-0.8, -1.0), (0.8, -1.0), (0, -1.4)):
        block(pen, x - 0.4, top, x + 0.4, 0, sand)
        for step in (-0.3, 0.05):
            block(pen, x + step, top - 0.25, x + step + 0.22, top, sand, 0.5)
    pen.line([(0, -1.6), (0, -2.1)], width=1.0)
    pen.fill([(0, -2.1), (0.5, -1.95), (0, -1.8)], SCARLET, 0.4)


def _boat(pen: Pen, hue: float) -> None:
    post(pen, 0, -2.6, -0.4, TIMBER, 0.1)
    pen.fill([(0.1, -2.6), (1.2, -0.75), (0.1, -0.75)], WHITE, 0.8)
    pen.fill([(-0.1, -2.3), (-0.9, -0.75), (-0.1, -0.75)], CREAM, 0.8)
    pen.fill([(-1.5, -0.6), (1.5, -0.6), (1.0, 0), (-1.0, 0)], paint(hue))


def _lighthouse(pen: Pen, hue: float) -> None:
    for at in range(4):
        low, wide = -0.75 * at, 0.62 - 0.09 * at
        pen.fill([(-wide, low), (wide, low), (wide - 0.09, low - 0.75), (0.09 - wide, low - 0.75)],
                 WHITE if at % 2 else SCARLET, 0.5)  # fmt: skip
    block(pen, -0.3, -3.5, 0.3, -3.0, (120, 235, 255), 0.7)
    pen.fill([(-0.42, -3.5), (0, -3.95), (0.42, -3.5)], NAVY, 0.7)


def _windmill(pen: Pen, hue: float) -> None:
    pen.fill([(-0.65, 0), (-0.4, -2.1), (0.4, -2.1), (0.65, 0)], CREAM)
    pen.fill([(-0.5, -2.1), (0, -2.7), (0.5, -2.1)], BRICK)
    for turn in range(4):
        sail = pen.at(0, -2.1, turn=90 * turn + 80 * hue)
        sail.fill([(0.08, 0), (0.08, -1.4), (0.42, -1.4), (0.3, -0.25)], WHITE, 0.5)


def _torii(pen: Pen, hue: float) -> None:
    for x in (-1.0, 1.0):
        post(pen, x, -2.4, 0, SCARLET, 0.26)
    pen.limb([(-1.3, -1.8), (1.3, -1.8)], SCARLET, 0.22, 0.7, curved=False)
    pen.limb([(-1.75, -2.65), (0, -2.45), (1.75, -2.65)], DARK, 0.3, 0.7)


def _scarecrow(pen: Pen, hue: float) -> None:
    post(pen, 0, -1.7, 0, TIMBER)
    pen.limb([(-1.1, -1.5), (1.1, -1.5)], TIMBER, 0.12, 0.5, curved=False)
    pen.fill(
        [(-0.9, -1.65), (0.9, -1.65), (0.5, -1.25), (0.55, -0.6), (-0.55, -0.6), (-0.5, -1.25)], paint(hue)
    )
    pen.ellipse(0, -2.05, 0.38, 0.38, (130, 195, 225))
    pen.fill([(-0.65, -2.25), (0, -3.0), (0.65, -2.25)], (60, 150, 190))


def _statue(pen: Pen, hue: float) -> None:
    block(pen, -0.7, -0.7, 0.7, 0, shade(STONE, 0.85))
    pen.shape([(-0.45, -0.7), (-0.5, -1.8), (-0.2, -2.1), (0.2, -2.1), (0.5, -1.8), (0.45, -0.7)], STONE)
    pen.limb([(0.35, -1.9), (0.85, -2.6)], STONE, 0.22, 0.6, curved=False)
    pen.ellipse(0, -2.4, 0.34, 0.36, STONE)


OUTDOORS = {
    "tree": Prop(_tree, 1.3, 3.0, 42, ("tree",)),
    "pine": Prop(_pine, 0.85, 2.9, 42, ("tree", "pine_tree")),
    "palm": Prop(_palm, 1.5, 3.25, 44, ("tree", "palm_tree")),
    "bush": Prop(_bush, 1.3, 1.2, 26, ("bush",)),
    "flowers": Prop(_flowers, 1.05, 1.2, 22, ("flower",)),
    "bench": Prop(_bench, 1.2, 1.1, 34, ("bench",)),
    "lamppost": Prop(_lamppost, 0.4, 3.8, 40, ("lamppost",)),
    "car": Prop(_car, 1.9, 1.45, 40, ("car", "motor_vehicle")),
    "bus": Prop(_bus, 2.0, 1.9, 42, ("bus", "motor_vehicle")),
    "bicycle": Prop(_bicycle, 1.3, 1.5, 34, ("bicycle",)),
    "stall": Prop(_stall, 1.8, 2.6, 38, ("market_stall", "fruit")),
    "tent": Prop(_tent, 1.5, 1.8, 40, ("tent",)),
    "fence": Prop(_fence, 1.7, 1.1, 32, ("fence",)),
    "postbox": Prop(_postbox, 0.5, 1.8, 34, ("postbox",)),
    "vending_machine": Prop(_vending_machine, 0.7, 2.2, 42, ("vending_machine",)),
    "traffic_light": Prop(_traffic_light, 0.4, 3.1, 38, ("traffic_light",)),
    "stop_sign": Prop(_stop_sign, 0.7, 2.7, 34, ("road_sign", "sign")),
    "signboard": Prop(_signboard, 1.2, 2.1, 36, ("sign", "english_text")),
    "fountain": Prop(_fountain, 1.4, 2.1, 42, ("fountain", "water")),
    "snowman": Prop(_snowman, 0.8, 2.5, 34, ("snowman",)),
    "campfire": Prop(_campfire, 0.8, 1.5, 34, ("campfire", "fire")),
    "ball": Prop(_ball, 0.6, 1.2, 22, ("ball",)),
    "basket": Prop(_basket, 0.9, 1.5, 24, ("basket", "fruit")),
    "barrel": Prop(_barrel, 0.7, 1.5, 30, ("barrel",)),
    "cardboard": Prop(_cardboard, 1.1, 1.4, 26, ("cardboard_box", "box")),
    "bucket": Prop(_bucket, 0.7, 1.6, 24, ("bucket",)),
    "surfboard": Prop(_surfboard, 0.45, 3.0, 36, ("surfboard",)),
    "parasol": Prop(_parasol, 1.4, 2.8, 44, ("beach_umbrella",)),
    "sand_castle": Prop(_sand_castle, 1.2, 2.1, 28, ("sand_castle",)),
    "boat": Prop(_boat, 1.5, 2.6, 38, ("boat", "watercraft"), "sea"),
    "lighthouse": Prop(_lighthouse, 0.65, 3.95, 42, ("lighthouse",)),
    "windmill": Prop(_windmill, 1.45, 3.55, 42, ("windmill",)),
    "torii": Prop(_torii, 1.85, 2.8, 46, ("torii",)),
    "scarecrow": Prop(_scarecrow, 1.1, 3.0, 36, ("scarecrow",)),
    "statue": Prop(_statue, 0.9, 2.8, 40, ("statue",)),
}
