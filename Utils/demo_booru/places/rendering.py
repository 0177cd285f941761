"""Renders a view: its place, then every item from the farthest to the nearest, weather, writing and style."""

import random

import cv2
import numpy as np

from Utils.demo_booru import figures, things
from Utils.demo_booru.boxes import Box
from Utils.demo_booru.canvas import Extent, Look, Pen, shade
from Utils.demo_booru.places import tagging
from Utils.demo_booru.places.composition import Item, View
from Utils.demo_booru.places.contents import PROPS
from Utils.demo_booru.places.grounds import draw_ground
from Utils.demo_booru.vocabulary import ARTISTS, INK, WHITE

_CLOTHES = ((150, 130, 115), (120, 135, 150), (165, 150, 145), (130, 150, 135), (150, 140, 165))
_LIGHT = {"day": (1.0, 1.0, 1.0), "sunset": (0.82, 0.92, 1.0), "night": (0.86, 0.68, 0.62)}
_TITLES = ("WINTER TALE", "SKYLINE", "SUMMER DAYS", "LOST CITY", "GOOD MORNING", "HOLIDAY")
_SPEECH = ("HELLO", "WOW!", "LOOK!", "THANKS", "HEY!", "OH NO")
_FALLING = {"petals": ((210, 170, 252),), "autumn_leaves": ((60, 130, 215), (55, 85, 200), (70, 170, 225)),
            "confetti": ((70, 70, 235), (230, 150, 70), (70, 205, 250), (110, 190, 90))}  # fmt: skip


def render(view: View, key: str, scale: float = 1.0, boxes: list[Box] | None = None) -> np.ndarray:
    """Return the picture of a view as BGR uint8, or BGRA where the view is transparent.

    Args:
        key: seeds what the view does not say.
        scale: pixels of one unit.
        boxes: gets the box of every tag that lies somewhere, in pixels of the picture.
    """
    if not view.transparent:
        return _paint(view, key, scale, 255, boxes)
    white = _paint(view, key, scale, 255, boxes)
    return figures.cut_out(white, _paint(view, key, scale, 0, None))


def _paint(view: View, key: str, scale: float, paper: int, boxes: list[Box] | None) -> np.ndarray:
    rng = random.Random(key)
    width, height = view.size
    image = np.full((round(height * scale), round(width * scale), 3), paper, np.uint8)
    pen = Pen(image, _look(view, rng, scale)).at(scale=scale)
    if not view.transparent:
        draw_ground(pen, view, rng)
    blurred = view.style != "blurry"
    for item in view.items:
        if item.kind == "lead" and not blurred:
            image[:] = cv2.GaussianBlur(image, (0, 0), 5 * scale)
            blurred = True
        _draw(pen, item, rng, boxes)
    _lit(image, view)
    _fall(pen, view, rng)
    _write(pen, view, rng, boxes)
    _styled(image, view, rng, scale)
    return image


def _look(view: View, rng: random.Random, scale: float) -> Look:
    weight, ink, saturation, _ = ARTISTS.get(view.artist, (rng.uniform(0.85, 1.15), INK, 1.0, 1.0))
    return Look(ink=ink, stroke=2.2 * weight * scale, saturation=saturation)


def _draw(pen: Pen, item: Item, rng: random.Random, boxes: list[Box] | None) -> None:
    parts: dict[str, Extent] = {}
    thing = pen.collecting(parts).at(item.x, item.y, item.size, mirror=item.mirror)
    if item.kind == "lead":
        assert item.figure is not None
        head = thing.at(turn=rng.uniform(-3, 3))
        figures.draw_figure(head, item.figure, legs=True, gaze=rng.uniform(-1, 1), sway=rng.uniform(-1, 1))
    elif item.kind == "passer":
        _passer(thing.part("whole"), item.hue)
    elif item.kind == "animal":
        things.draw_animal(thing.part("whole"), item.name, item.hue)
    else:
        PROPS[item.name].draw(thing.part("whole"), item.hue)
    if boxes is not None:
        boxes.extend(tagging.boxes(item, parts, pen.image.shape))


def _passer(pen: Pen, hue: float) -> None:
    color = _CLOTHES[int(hue * 4.99)]
    dark = shade(color, 0.62)
    for x in (-0.18, 0.18):
        pen.limb([(x, -1.0), (x * 1.2, -0.1)], dark, 0.26, 0.4, curved=False)
    pen.shape(
        [(-0.42, -0.9), (-0.4, -1.9), (-0.2, -2.15), (0.2, -2.15), (0.4, -1.9), (0.42, -0.9)], color, 0.5
    )
    pen.ellipse(0, -2.5, 0.34, 0.36, (190, 205, 220), 0.5)
    pen.shape([(-0.35, -2.45), (-0.3, -2.85), (0, -2.95), (0.3, -2.85), (0.35, -2.45), (0, -2.68)],
              shade(dark, 0.5 + 0.9 * ((hue * 13) % 1)), 0.4)  # fmt: skip


def _lit(image: np.ndarray, view: View) -> None:
    if view.hour != "day":
        image[:] = np.round(image * np.array(_LIGHT[view.hour], np.float32)).astype(np.uint8)


def _fall(pen: Pen, view: View, rng: random.Random) -> None:
    width, height = view.size
    if not view.falling:
        return
    for _ in range(90 if view.falling in ("rain", "confetti", "snowing") else 55):
        x, y, turn = rng.uniform(0, width), rng.uniform(0, height), rng.uniform(0, 180)
        if view.falling == "rain":
            pen.line([(x, y), (x - 8, y + 30)], (240, 205, 175), 1.1)
        elif view.falling == "snowing":
            pen.ellipse(x, y, 5, 5, WHITE, 0.2)
        else:
            colors = _FALLING[view.falling]
            flat = pen.at(x, y, turn=turn)
            size = 6 if view.falling == "confetti" else 9
            flat.ellipse(0, 0, size, size * 0.55, colors[rng.randrange(len(colors))], 0.3)


def _write(pen: Pen, view: View, rng: random.Random, boxes: list[Box] | None) -> None:
    kind, x, y = view.writing.kind, view.writing.x, view.writing.y
    parts: dict[str, Extent] = {}
    pen = pen.collecting(parts).part("whole")
    if kind == "speech_bubble":
        for edge in (1.2, 0.0):
            pen.fill([(x - 8, y + 18), (x - 26, y + 58), (x + 14, y + 24)], WHITE, edge)
            pen.ellipse(x, y, 76, 38, WHITE, edge)
        pen.text(_SPEECH[rng.randrange(6)], x, y, 108, INK)
    elif kind == "title":
        words, wide = _TITLES[rng.randrange(6)], rng.uniform(0.6, 0.78) * view.size[0]
        pen.text(words, x, y + 3, wide, INK)
        pen.text(words, x, y, wide, ((90, 225, 255), WHITE, (225, 190, 250))[rng.randrange(3)])
    elif kind == "signature":
        words = ("otter", "pebble", "comet", "heron")[rng.randrange(4)]
        pen.text(words, x, y, 92, INK)
        pen.line([(x - 44, y + 12), (x + 46, y + 9)], width=1.2)
    if boxes is not None and kind:
        boxes += [Box.of(name, parts["whole"], pen.image.shape) for name in tagging.WRITING[kind]]


def _styled(image: np.ndarray, view: View, rng: random.Random, scale: float) -> None:
    if view.style in ("monochrome", "sepia", "halftone"):
        gray = cv2.cvtColor(image, cv2.COLOR_BGR2GRAY)
        tint = {"sepia": (0.72, 0.88, 1.0)}.get(view.style, (1.0, 1.0, 1.0))
        if view.style == "halftone":
            gray = _dotted(gray, scale)
        image[:] = np.round(gray[..., None] * np.array(tint, np.float32)).astype(np.uint8)
    elif view.style == "film_grain":
        grain = np.random.Generator(np.random.PCG64(rng.getrandbits(32))).integers(-30, 31, image.shape[:2])
        image[:] = np.clip(image.astype(np.int16) + grain[..., None], 0, 255).astype(np.uint8)
    elif view.style == "border":
        edge = round(20 * scale)
        inside = image[edge:-edge, edge:-edge].copy()
        image[:] = (255, 255, 255) if rng.random() < 0.5 else (40, 36, 40)
        image[edge:-edge, edge:-edge] = inside


def _dotted(gray: np.ndarray, scale: float) -> np.ndarray:
    """Return black dots on white whose size follows the darkness of the picture."""
    rows, columns = (np.arange(side) * (np.pi / (4 * scale)) for side in gray.shape)
    wave = (np.sin(rows)[:, None] + np.sin(columns)[None, :]) * 56 + 128
    return np.where(gray > wave, 128 + gray // 2, gray // 2).astype(np.uint8)
