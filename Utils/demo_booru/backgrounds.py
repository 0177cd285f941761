"""Backgrounds, weather and speech bubbles. The short side of a picture is 512 units long."""

import math
import random
from collections.abc import Iterator

import numpy as np

from Utils.demo_booru.canvas import Pen, Point, shade
from Utils.demo_booru.scenes import Scene
from Utils.demo_booru.vocabulary import BACKGROUND, GOLD, WHITE, Color

_SKY = (250, 208, 150)
_NIGHT = (96, 48, 34)
_SAND = (170, 215, 245)
_SEA = (205, 150, 50)
_GRASS = (95, 185, 120)
_LEAVES = (70, 135, 70)
_WALL = (205, 226, 240)


def draw_background(pen: Pen, scene: Scene, rng: random.Random, width: float, height: float) -> None:
    """Draw the scene's background over the whole picture, ``width`` x ``height`` units."""
    _DRAWERS[scene.background](pen, scene, rng, width, height)


def _flat(pen: Pen, scene: Scene, rng: random.Random, width: float, height: float) -> None:
    pen.image[:] = pen.color(BACKGROUND[scene.backdrop])


def _white(pen: Pen, scene: Scene, rng: random.Random, width: float, height: float) -> None:
    pen.image[:] = 255


def _gradient(pen: Pen, scene: Scene, rng: random.Random, width: float, height: float) -> None:
    _blend(pen, shade(BACKGROUND[scene.backdrop], 0.85), shade(BACKGROUND[scene.backdrop], 1.75))


def _blend(pen: Pen, top: Color, bottom: Color, share: float = 1.0) -> None:
    """Fill the image from ``top`` to ``bottom`` color, down to a share of its height."""
    rows = pen.image.shape[0]
    down = np.linspace(0, 1, max(int(rows * share), 1))[:, None]
    colors = np.array(pen.color(top), np.float32) * (1 - down)
    colors = colors + np.array(pen.color(bottom), np.float32) * down
    pen.image[: len(down)] = np.round(colors)[:, None, :].astype(np.uint8)
    pen.image[len(down) :] = pen.color(bottom)


def _hearts(pen: Pen, scene: Scene, rng: random.Random, width: float, height: float) -> None:
    _flat(pen, scene, rng, width, height)
    tint = shade(BACKGROUND[scene.backdrop], 1.5)
    for x, y in _scattered(rng, width, height, 95):
        pen.at(x, y, turn=rng.uniform(-20, 20)).heart(0, 0, 24, tint)


def _dots(pen: Pen, scene: Scene, rng: random.Random, width: float, height: float) -> None:
    _flat(pen, scene, rng, width, height)
    tint = shade(BACKGROUND[scene.backdrop], 1.6)
    for row, y in enumerate(range(20, int(height) + 40, 56)):
        for x in range(20 + 28 * (row % 2), int(width) + 40, 56):
            pen.ellipse(x, y, 15, 15, tint, 0)


def _scattered(rng: random.Random, width: float, height: float, step: int) -> Iterator[Point]:
    for y in range(int(step / 2), int(height), step):
        for x in range(int(step / 2), int(width), step):
            yield x + rng.uniform(-0.3, 0.3) * step, y + rng.uniform(-0.3, 0.3) * step


def _sky(pen: Pen, scene: Scene, rng: random.Random, width: float, height: float, horizon: float) -> None:
    if scene.hour == "night":
        _blend(pen, shade(_NIGHT, 0.55), shade(_NIGHT, 1.25), horizon)
    elif scene.hour == "sunset":
        _blend(pen, (190, 110, 150), (120, 190, 255), horizon)
    else:
        _blend(pen, _SKY, shade(_SKY, 1.6), horizon)
    if scene.hour == "night":
        _stars(pen, rng, width, height * horizon)
        if scene.moon:
            x, y = rng.uniform(0.1, 0.9) * width, rng.uniform(0.1, 0.2) * height
            pen.ellipse(x, y, 44, 44, (190, 240, 252), 0)
            pen.ellipse(x + 12, y - 8, 9, 9, (165, 222, 238), 0)
            pen.ellipse(x - 14, y + 12, 12, 12, (165, 222, 238), 0)
    elif scene.hour == "sunset":
        pen.ellipse(rng.uniform(0.15, 0.85) * width, height * horizon - 15, 60, 60, (90, 150, 255), 0)
    if scene.clouds:
        _clouds(pen, scene, rng, width, height * horizon)


def _stars(pen: Pen, rng: random.Random, width: float, height: float) -> None:
    for x, y in _scattered(rng, width, max(height, 150), 62):
        pen.star(x, y, rng.uniform(3, 8), (200, 245, 255), points=4, inner=0.35)


def _clouds(pen: Pen, scene: Scene, rng: random.Random, width: float, height: float) -> None:
    color = {"day": WHITE, "sunset": (205, 205, 255), "night": (130, 90, 80)}[scene.hour]
    for _ in range(3):
        x, y, size = rng.uniform(0, 1) * width, rng.uniform(0.08, 0.5) * height, rng.uniform(24, 40)
        for dx, dy, r in ((-1.2, 0.2, 0.8), (0, -0.2, 1.1), (1.2, 0.15, 0.85), (0, 0.35, 1.0)):
            pen.ellipse(x + dx * size, y + dy * size, r * size * 1.1, r * size * 0.75, color, 0)


def _open_sky(pen: Pen, scene: Scene, rng: random.Random, width: float, height: float) -> None:
    _sky(pen, scene, rng, width, height, 1.0)


def _beach(pen: Pen, scene: Scene, rng: random.Random, width: float, height: float) -> None:
    horizon = rng.uniform(0.42, 0.52)
    _sky(pen, scene, rng, width, height, horizon)
    dim = 0.45 if scene.hour == "night" else 1.0
    top, shore = height * horizon, height * (horizon + 0.22)
    pen.fill([(0, top), (width, top), (width, height), (0, height)], shade(_SEA, dim), 0)
    for y in (0.25, 0.55, 0.8):
        at = top + (shore - top) * y
        for x in range(int(rng.uniform(0, 60)), int(width), 110):
            pen.limb([(x, at), (x + 15, at - 5), (x + 32, at)], shade(_SEA, 1.55 * dim), 4, edge=0)
    wave = [(width * k / 8, shore + 8 * math.sin(k * 1.9 + top)) for k in range(9)]
    pen.fill([*wave, (width, height), (0, height)], shade(_SAND, dim), 0)
    pen.limb(wave, shade(WHITE, dim), 7, edge=0)


def _forest(pen: Pen, scene: Scene, rng: random.Random, width: float, height: float) -> None:
    horizon = rng.uniform(0.6, 0.7)
    _sky(pen, scene, rng, width, height, horizon)
    dim = 0.5 if scene.hour == "night" else 1.0
    pen.fill(
        [(0, height * horizon), (width, height * horizon), (width, height), (0, height)],
        shade(_GRASS, dim),
        0,
    )
    for at in range(int(width / 85) + 1):
        x, y = at * 90 + rng.uniform(-25, 25), height * (horizon + rng.uniform(-0.02, 0.06))
        tree = pen.at(x, y, rng.uniform(0.85, 1.25))
        tree.fill([(-11, 0), (-9, -90), (9, -90), (11, 0)], shade((60, 90, 130), dim), 0.6)
        green = shade(_LEAVES, dim * rng.uniform(0.8, 1.15))
        if scene.pines:
            for low in (-60, -115, -165):
                tree.fill([(-62, low), (0, low - 85), (62, low)], green, 0.6)
        else:
            for dx, dy in ((-34, -110), (34, -110), (0, -150)):
                tree.ellipse(dx, dy, 48, 46, green, 0.6)
            tree.ellipse(0, -118, 42, 40, green, 0)


def _field(pen: Pen, scene: Scene, rng: random.Random, width: float, height: float) -> None:
    horizon = rng.uniform(0.48, 0.58)
    _sky(pen, scene, rng, width, height, horizon)
    dim = 0.5 if scene.hour == "night" else 1.0
    hill = [(width * k / 6, height * horizon + 16 * math.sin(k + horizon * 40)) for k in range(7)]
    pen.fill([*hill, (width, height), (0, height)], shade(_GRASS, dim), 0)
    petals = [(90, 90, 240), (120, 220, 255), (240, 240, 250), (220, 140, 240)]
    for x, y in _scattered(rng, width, height * (1 - horizon), 44):
        flower = pen.at(x, y + height * horizon + 14, 1.0)
        flower.star(0, 0, 15, shade(petals[rng.randrange(4)], dim), points=6, inner=0.65)
        flower.ellipse(0, 0, 5, 5, GOLD, 0)


def _city(pen: Pen, scene: Scene, rng: random.Random, width: float, height: float) -> None:
    _sky(pen, scene, rng, width, height, 0.85)
    dim = 0.4 if scene.hour == "night" else 1.0
    x = -20.0
    while x < width:
        wide, tall = rng.uniform(62, 105), rng.uniform(0.3, 0.62) * height
        color = ((190, 170, 160), (150, 160, 190), (180, 190, 200), (160, 140, 140))[rng.randrange(4)]
        base = height * 0.86
        pen.fill(
            [(x, base), (x, base - tall), (x + wide, base - tall), (x + wide, base)], shade(color, dim), 0.7
        )
        lit = (120, 220, 255) if scene.hour == "night" else (245, 230, 215)
        for row in range(int(tall // 40)):
            for column in range(int(wide // 26)):
                if scene.hour == "night" and rng.random() < 0.35:
                    continue
                a, b = x + 9 + 26 * column, base - tall + 14 + 38 * row
                pen.fill([(a, b), (a + 13, b), (a + 13, b + 19), (a, b + 19)], lit, 0)
        x += wide + rng.uniform(0, 8)
    base = height * 0.86
    pen.fill([(0, base), (width, base), (width, height), (0, height)], shade((150, 145, 140), dim), 0)


def _snow_land(pen: Pen, scene: Scene, rng: random.Random, width: float, height: float) -> None:
    horizon = rng.uniform(0.55, 0.65)
    _sky(pen, scene, rng, width, height, horizon)
    dim = 0.75 if scene.hour == "night" else 1.0
    for at in range(int(width / 120) + 1):
        tree = pen.at(at * 125 + rng.uniform(-30, 30), height * horizon + 20, rng.uniform(0.8, 1.1))
        for low in (-10, -60, -105):
            tree.fill([(-55, low), (0, low - 75), (55, low)], shade((120, 130, 70), dim), 0.5)
            tree.fill([(-24, low - 45), (0, low - 77), (24, low - 45)], shade(WHITE, dim), 0)
    hill = [(width * k / 6, height * horizon + 14 * math.sin(1.7 * k + horizon * 50)) for k in range(7)]
    pen.fill([*hill, (width, height), (0, height)], shade((255, 250, 244), dim), 0.4)


def _room(pen: Pen, scene: Scene, rng: random.Random, width: float, height: float) -> None:
    _blend(pen, _WALL, shade(_WALL, 0.95))
    floor = height * 0.8
    pen.fill([(0, floor), (width, floor), (width, height), (0, height)], (120, 165, 205), 0.6)
    left = rng.uniform(0.02, 0.08) * width
    night = scene.hour == "night"
    pane = shade(_NIGHT, 0.9) if night else shade(_SKY, 1.1)
    pen.fill([(left, 50), (left + 140, 50), (left + 140, 240), (left, 240)], pane, 1.2)
    if night:
        pen.star(left + 100, 90, 14, (190, 240, 252))
    for a, b in (((left + 70, 50), (left + 70, 240)), ((left, 145), (left + 140, 145))):
        pen.limb([a, b], WHITE, 8, edge=0.4, curved=False)
    for x in (left - 12, left + 112):
        pen.fill(
            [(x, 38), (x + 40, 38), (x + 34, 265), (x + 4, 265)], shade(BACKGROUND[scene.backdrop], 0.95), 0.8
        )
    shelf = width - rng.uniform(0.3, 0.34) * width
    pen.fill([(shelf, 60), (width + 20, 60), (width + 20, floor), (shelf, floor)], (90, 130, 170), 1.0)
    for y in range(80, int(floor) - 40, 84):
        x = shelf + 10
        while x < width:
            wide, tall = rng.uniform(11, 20), rng.uniform(46, 66)
            color = ((80, 80, 200), (190, 120, 70), (90, 160, 90), (90, 190, 230))[rng.randrange(4)]
            pen.fill(
                [(x, y + 70), (x, y + 70 - tall), (x + wide, y + 70 - tall), (x + wide, y + 70)], color, 0.4
            )
            x += wide + 2


def _classroom(pen: Pen, scene: Scene, rng: random.Random, width: float, height: float) -> None:
    _blend(pen, (190, 225, 238), (180, 214, 230))
    floor = height * 0.8
    pen.fill([(0, floor), (width, floor), (width, height), (0, height)], (130, 170, 200), 0.6)
    pen.fill([(30, 50), (width - 30, 50), (width - 30, 270), (30, 270)], (90, 110, 50), 1.2)
    pen.limb([(30, 274), (width - 30, 274)], (80, 120, 170), 14, edge=0.6, curved=False)
    for at in range(4):
        x, y = rng.uniform(0.1, 0.75) * width, 85 + 42 * at
        pen.line([(x, y), (x + 25, y - 8), (x + 50, y + 5), (x + 85, y)], (235, 240, 235), 1.1)
    for x in (0.12, 0.88):
        a = x * width
        pen.fill([(a - 70, 380), (a + 70, 380), (a + 60, 400), (a - 60, 400)], (110, 160, 205), 0.8)
        for side in (-55, 55):
            pen.limb([(a + side, 400), (a + side, 490)], (120, 120, 120), 8, edge=0.4, curved=False)


_DRAWERS = {"white": _white, "flat": _flat, "gradient": _gradient, "hearts": _hearts, "dots": _dots,
            "sky": _open_sky,
            "beach": _beach, "forest": _forest, "field": _field, "city": _city, "snow": _snow_land,
            "room": _room,
            "classroom": _classroom}  # fmt: skip


def draw_weather(pen: Pen, scene: Scene, rng: random.Random, width: float, height: float) -> None:
    """Draw rain, snow, petals or sparkles over everything."""
    if scene.weather == "rain":
        for x, y in _scattered(rng, width, height, 58):
            pen.line([(x, y), (x - 9, y + 34)], (235, 190, 150), 0.9)
    elif scene.weather == "snowing":
        for x, y in _scattered(rng, width, height, 62):
            pen.ellipse(x, y, 6.5, 6.5, WHITE, 0)
    elif scene.weather == "petals":
        for x, y in _scattered(rng, width, height, 80):
            pen.ellipse(x, y, 10, 6, (210, 170, 252), 0.3, turn=rng.uniform(0, 180))
    elif scene.weather == "sparkle":
        for x, y in _scattered(rng, width, height, 118):
            pen.star(x, y, rng.uniform(13, 24), (140, 240, 255), points=4, inner=0.25, edge=0.4)


def draw_bubble(pen: Pen, sign: str, x: float, y: float) -> None:
    """Draw a speech bubble with a heart, an exclamation mark or unreadable writing."""
    pen.fill([(x - 10, y + 30), (x - 34, y + 66), (x + 18, y + 38)], WHITE)
    pen.ellipse(x, y, 70, 44, WHITE)
    pen.fill([(x - 8, y + 24), (x - 26, y + 52), (x + 14, y + 32)], WHITE, 0)
    if sign == "heart":
        pen.heart(x, y, 22, (110, 90, 240))
    elif sign == "exclamation":
        pen.limb([(x, y - 22), (x, y + 4)], (60, 50, 220), 9, edge=0, curved=False)
        pen.ellipse(x, y + 20, 6, 6, (60, 50, 220), 0)
    else:
        for row in (-14, 2, 16):
            pen.line([(x - 44 + 11 * k, y + row + (-3 if k % 2 else 3)) for k in range(9)], width=0.9)
