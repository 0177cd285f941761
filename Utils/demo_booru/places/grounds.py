"""The places: sky and ground outside, wall and floor inside, with what always belongs to a place."""

import math
import random

import numpy as np

from Utils.demo_booru.canvas import Pen, shade
from Utils.demo_booru.places.composition import View
from Utils.demo_booru.places.contents import INSIDE, SEA
from Utils.demo_booru.places.prop import BRICK, CREAM, LEAF, STONE, TIMBER, block
from Utils.demo_booru.vocabulary import SCARLET, WHITE, Color

_SKIES = {"day": ((245, 190, 120), (255, 235, 205)), "sunset": ((150, 110, 190), (130, 190, 255)),
          "night": ((78, 40, 26), (140, 84, 62))}  # fmt: skip
_GROUND = {
    "park": (110, 195, 135), "street": (150, 146, 142), "market": (165, 185, 200), "beach": (165, 212, 240),
    "harbor": (140, 160, 175), "mountain": (105, 180, 125), "farm": (120, 185, 190), "snow": (252, 246, 240),
    "shrine": (170, 180, 182), "classroom": (135, 180, 210), "library": (80, 110, 150),
    "kitchen": (215, 225, 228), "living_room": (110, 155, 195), "stage": (70, 80, 110),
}  # fmt: skip
_WALL = {"classroom": (205, 232, 238), "library": (120, 160, 175), "kitchen": (225, 235, 225),
         "living_room": (190, 215, 235), "stage": (52, 36, 44)}  # fmt: skip


def draw_ground(pen: Pen, view: View, rng: random.Random) -> None:
    """Draw the place over the whole picture."""
    width, height = view.size
    top = shade(_GROUND[view.place], rng.uniform(0.92, 1.06))
    if view.place in INSIDE:
        _blend(pen, 0, view.horizon, shade(_WALL[view.place], rng.uniform(0.95, 1.05)), _WALL[view.place])
    else:
        _blend(pen, 0, view.horizon, *_SKIES[view.hour])
    _DRAWERS[view.place](pen, view, rng, width, height)
    _blend(pen, view.horizon, height, top, shade(top, 0.84))
    if view.place in _FLOORS:
        _FLOORS[view.place](pen, view, rng, width, height)


def _blend(pen: Pen, top: float, bottom: float, first: Color, last: Color) -> None:
    """Fill the rows from ``top`` to ``bottom`` units, from the color ``first`` to the color ``last``."""
    rows = slice(round(top * pen.unit), round(bottom * pen.unit))
    part = pen.image[rows]
    down = np.linspace(0, 1, max(len(part), 1))[: len(part), None]
    colors = (
        np.array(pen.color(first), np.float32) * (1 - down) + np.array(pen.color(last), np.float32) * down
    )
    part[:] = np.round(colors)[:, None, :].astype(np.uint8)


def _hills(pen: Pen, view: View, rng: random.Random, width: float, height: float) -> None:
    line = [(width * k / 6, view.horizon - 14 - 12 * math.sin(1.3 * k + view.horizon)) for k in range(7)]
    pen.fill([*line, (width, view.horizon + 2), (0, view.horizon + 2)], shade(LEAF, 1.15), 0)


def _houses(pen: Pen, view: View, rng: random.Random, width: float, height: float) -> None:
    x = -30.0
    while x < width:
        wide, tall = rng.uniform(50, 95), rng.uniform(0.3, 0.85) * view.horizon
        wall = ((170, 185, 205), (150, 170, 215), (195, 190, 180), (165, 200, 190))[rng.randrange(4)]
        block(pen, x, view.horizon - tall, x + wide, view.horizon, wall)
        lit = (130, 225, 255) if view.hour == "night" else (220, 190, 150)
        for row in range(int(tall // 34)):
            for column in range(int(wide // 24)):
                a, b = x + 8 + 24 * column, view.horizon - tall + 12 + 34 * row
                block(pen, a, b, a + 12, b + 17, lit, 0.4)
        x += wide + rng.uniform(-4, 14)


def _awnings(pen: Pen, view: View, rng: random.Random, width: float, height: float) -> None:
    block(pen, 0, view.horizon * 0.35, width, view.horizon, shade(BRICK, 1.25), 0)
    for y in range(int(view.horizon * 0.35), int(view.horizon), 14):
        pen.line([(0, y), (width, y)], shade(BRICK, 1.1), 0.6)
    for at in range(int(width // 170) + 1):
        x = 170 * at + rng.uniform(-20, 10)
        color = ((60, 60, 205), (190, 120, 60), (95, 160, 85), (70, 190, 235))[rng.randrange(4)]
        for stripe in range(6):
            a = x + 24 * stripe
            pen.fill([(a, view.horizon - 96), (a + 24, view.horizon - 96), (a + 28, view.horizon - 62),
                      (a - 4, view.horizon - 62)], color if stripe % 2 else WHITE, 0.4)  # fmt: skip
        block(pen, x + 16, view.horizon - 56, x + 70, view.horizon, (90, 110, 130))


def _sea(pen: Pen, view: View, rng: random.Random, width: float, height: float) -> None:
    dim = 0.55 if view.hour == "night" else 1.0
    top = view.horizon - SEA * height
    block(pen, 0, top, width, view.horizon + 2, shade((200, 150, 55), dim), 0)
    for _ in range(14):
        x, y = rng.uniform(0, width), rng.uniform(top + 8, view.horizon - 6)
        pen.limb([(x, y), (x + 12, y - 4), (x + 26, y)], shade((215, 185, 120), dim), 3, edge=0)


def _peaks(pen: Pen, view: View, rng: random.Random, width: float, height: float) -> None:
    for at in range(4):
        x, tall = width * (at + rng.uniform(0.1, 0.7)) / 4, rng.uniform(0.5, 0.85) * view.horizon
        top = view.horizon - tall
        pen.fill([(x - 110, view.horizon), (x, top), (x + 120, view.horizon)], (165, 140, 125), 0.6)
        edge = top + 0.26 * tall
        pen.fill([(x - 30, edge), (x, top), (x + 32, edge), (x + 8, top + 0.2 * tall)], WHITE, 0)


def _rows(pen: Pen, view: View, rng: random.Random, width: float, height: float) -> None:
    _hills(pen, view, rng, width, height)
    x = rng.uniform(0.1, 0.7) * width
    block(pen, x, view.horizon - 70, x + 95, view.horizon, (70, 70, 170))
    pen.fill([(x - 12, view.horizon - 66), (x + 47, view.horizon - 118), (x + 107, view.horizon - 66)], CREAM)


def _firs(pen: Pen, view: View, rng: random.Random, width: float, height: float) -> None:
    for at in range(int(width // 26)):
        x, tall = at * 28 + rng.uniform(-8, 8), rng.uniform(40, 85)
        pen.fill([(x - 18, view.horizon + 2), (x, view.horizon - tall), (x + 18, view.horizon + 2)],
                 (120, 130, 85) if view.place == "snow" else (70, 110, 70), 0.4)  # fmt: skip


def _chalkboard(pen: Pen, view: View, rng: random.Random, width: float, height: float) -> None:
    left = rng.uniform(0.08, 0.3) * width
    block(pen, left, 70, left + 0.55 * width, 70 + 0.6 * (view.horizon - 90), (90, 115, 55), 1.4)
    for at in range(3):
        x, y = left + rng.uniform(0.05, 0.3) * width, 95 + 32 * at
        pen.line([(x, y), (x + 25, y - 7), (x + 50, y + 5), (x + 80, y)], (235, 240, 235), 1.0)


def _shelves(pen: Pen, view: View, rng: random.Random, width: float, height: float) -> None:
    for y in range(30, int(view.horizon) - 40, 62):
        x = rng.uniform(-10, 0)
        while x < width:
            wide, tall = rng.uniform(9, 17), rng.uniform(34, 50)
            color = ((80, 80, 170), (150, 110, 70), (90, 130, 90), (80, 150, 180))[rng.randrange(4)]
            block(pen, x, y + 54 - tall, x + wide, y + 54, color, 0.3)
            x += wide + (2 if rng.random() < 0.93 else 40)
        pen.limb([(0, y + 57), (width, y + 57)], shade(TIMBER, 0.7), 7, 0.5, curved=False)


def _tiles(pen: Pen, view: View, rng: random.Random, width: float, height: float) -> None:
    low = view.horizon
    for x in range(0, int(width) + 1, 32):
        pen.line([(x, low - 130), (x, low)], (205, 205, 195), 0.5)
    for y in range(int(low) - 130, int(low), 32):
        pen.line([(0, y), (width, y)], (205, 205, 195), 0.5)
    x = rng.uniform(0, 0.5) * width
    block(pen, x, low - 82, x + 0.45 * width, low + 6, shade(TIMBER, 1.2))
    block(pen, x - 6, low - 94, x + 0.45 * width + 6, low - 80, STONE)


def _stripes(pen: Pen, view: View, rng: random.Random, width: float, height: float) -> None:
    color = shade(_WALL[view.place], 0.93)
    for x in range(int(rng.uniform(0, 40)), int(width), 44):
        block(pen, x, 0, x + 18, view.horizon, color, 0)
    block(pen, 0, view.horizon - 16, width, view.horizon, CREAM, 0.5)


def _curtain(pen: Pen, view: View, rng: random.Random, width: float, height: float) -> None:
    for x in range(0, int(width), 34):
        block(pen, x, 0, x + 17, 56, SCARLET, 0.4)
        block(pen, x + 17, 0, x + 34, 56, shade(SCARLET, 0.75), 0.4)
    for side, color in ((0.25, (120, 235, 255)), (0.75, (235, 150, 235))):
        x = (side + rng.uniform(-0.1, 0.1)) * width
        pen.fill(
            [(x - 12, 56), (x + 12, 56), (x + 90, view.horizon), (x - 90, view.horizon)], shade(color, 0.5), 0
        )


def _lanes(pen: Pen, view: View, rng: random.Random, width: float, height: float) -> None:
    middle, far = width / 2 + rng.uniform(-60, 60), view.horizon
    pen.fill(
        [(middle - 40, far), (middle + 40, far), (width * 1.1, height), (-0.1 * width, height)],
        (110, 106, 104),
        0,
    )
    for at in range(4):
        y, half = far + (height - far) * (0.08 + 0.24 * at), 2.5 + 3 * at
        pen.fill([(middle - half, y), (middle + half, y), (middle + half * 1.4, y + 14 + 8 * at),
                  (middle - half * 1.4, y + 14 + 8 * at)], (225, 240, 245), 0)  # fmt: skip


def _path(pen: Pen, view: View, rng: random.Random, width: float, height: float) -> None:
    middle = rng.uniform(0.25, 0.75) * width
    pen.shape([(middle - 14, view.horizon), (middle + 14, view.horizon), (middle + 60, height * 0.75),
               (middle + 130, height + 30), (middle - 110, height + 30), (middle + 10, height * 0.75)],
              shade(_GROUND["market"], 1.1), 0)  # fmt: skip


def _planks(pen: Pen, view: View, rng: random.Random, width: float, height: float) -> None:
    color = shade(_GROUND[view.place], 0.72)
    middle = width / 2
    for at in range(-9, 10):
        pen.line([(middle + 30 * at, view.horizon), (middle + 75 * at, height)], color, 0.6)


def _checks(pen: Pen, view: View, rng: random.Random, width: float, height: float) -> None:
    middle, span = width / 2, height - view.horizon
    edges = [view.horizon + span * (k / 6) ** 1.5 for k in range(7)]
    for row in range(6):
        for at in range(-10, 10):
            if (at + row) % 2:
                a, b = (30 + 45 * ((y - view.horizon) / span) for y in edges[row : row + 2])
                pen.fill([(middle + a * at, edges[row]), (middle + a * (at + 1), edges[row]),
                          (middle + b * (at + 1), edges[row + 1]), (middle + b * at, edges[row + 1])],
                         shade(_GROUND[view.place], 0.82), 0)  # fmt: skip


_DRAWERS = {
    "park": _hills, "street": _houses, "market": _awnings, "beach": _sea, "harbor": _sea, "mountain": _peaks,
    "farm": _rows, "snow": _firs, "shrine": _firs, "classroom": _chalkboard, "library": _shelves,
    "kitchen": _tiles, "living_room": _stripes, "stage": _curtain,
}  # fmt: skip
_FLOORS = {"park": _path, "street": _lanes, "shrine": _path, "harbor": _planks, "classroom": _planks,
           "living_room": _planks, "stage": _planks, "kitchen": _checks}  # fmt: skip
