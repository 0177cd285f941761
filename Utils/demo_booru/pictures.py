"""Renders a scene: background, figures from back to front, animals, weather, then the overall style."""

import random

import cv2
import numpy as np

from Utils.demo_booru import backgrounds, boxes, figures, tagging, things
from Utils.demo_booru.boxes import Box
from Utils.demo_booru.canvas import Extent, Look, Pen
from Utils.demo_booru.scenes import Scene
from Utils.demo_booru.vocabulary import ARTISTS, INK

# By frame: the range of pixels of one unit (a head's radius) in a picture of 512, and where its lower edge
# cuts the body, in units from the middle of the head.
_ZOOM = {"full_body": (67, 76), "cowboy_shot": (90, 102), "upper_body": (116, 134), "portrait": (165, 192)}
_CUT = {"full_body": 4.85, "cowboy_shot": 3.62, "upper_body": 2.62, "portrait": 1.42}
Drawn = tuple[dict[str, set[str]], dict[str, Extent]]  # tags by part, and where the parts are
_TALL_THINGS = ("witch_hat", "rabbit_ears", "halo", "cat_ears", "fox_ears", "horns", "crown")


def render(scene: Scene, key: str, scale: float = 1.0, places: list[Box] | None = None) -> np.ndarray:
    """Return the picture of a scene as BGR uint8, or BGRA where the scene is transparent.

    Args:
        key: seeds what the scene does not say: places, sizes, sway.
        scale: pixels of one unit.
        places: gets the box of every tag that lies somewhere, in pixels of the picture.
    """
    white = _paint(scene, key, scale, 255, places)
    return figures.cut_out(white, _paint(scene, key, scale, 0, None)) if scene.transparent else white


def _paint(scene: Scene, key: str, scale: float, paper: int, places: list[Box] | None) -> np.ndarray:
    rng = random.Random(key)
    width, height = scene.size
    image = np.full((round(height * scale), round(width * scale), 3), paper, np.uint8)
    pen = Pen(image, _look(scene, rng, scale)).at(scale=scale)
    if not scene.transparent:
        backgrounds.draw_background(pen, scene, rng, width, height)
    drawn = [*_figures(pen, scene, rng, width, height), *_animals(pen, scene, rng, width, height)]
    backgrounds.draw_weather(pen, scene, rng, width, height)
    if scene.sign:
        parts: dict[str, Extent] = {}
        bubble = pen.collecting(parts).part("whole")
        backgrounds.draw_bubble(
            bubble, scene.sign, rng.choice((0.16, 0.84)) * width, rng.uniform(0.12, 0.2) * height
        )
        drawn.append(({"whole": tagging.bubble_tags(scene)}, parts))
    if places is not None:
        for tags, parts in drawn:
            places += boxes.of_parts(tags, parts, image.shape)
    return _styled(image, scene, rng, scale)


def _look(scene: Scene, rng: random.Random, scale: float) -> Look:
    weight, ink, saturation, _ = ARTISTS.get(scene.artist, (rng.uniform(0.85, 1.15), INK, 1.0, 1.0))
    if scene.thick:
        weight, ink = 2.6, (20, 16, 20)
    if scene.style == "sketch":
        weight, ink = 0.8, (90, 80, 80)
    return Look(ink=ink, stroke=3.0 * weight * scale, outlines=scene.style != "flat",
                sketch=scene.style == "sketch", saturation=saturation)  # fmt: skip


def _figures(pen: Pen, scene: Scene, rng: random.Random, width: float, height: float) -> list[Drawn]:
    count, drawn = len(scene.figures), []
    low, high = _ZOOM[scene.frame]
    if scene.chibi:
        low, high = 96, 108
    crowd = {0: 1, 1: 1, 2: 0.8, 3: 0.62}[count]
    for at, figure in enumerate(scene.figures):
        unit = rng.uniform(low, high) * crowd
        if any(figure.worn(slot) in _TALL_THINGS for slot in ("top", "over")) or figure.holds == "umbrella":
            unit *= 0.88
        gap = {2: 0.235, 3: 0.31}.get(count, 0.0) * width
        x = (
            width / 2
            + (at - (count - 1) / 2) * 2 * gap / max(count - 1, 1)
            + rng.uniform(-0.045, 0.045) * width
        )
        cut = 3.35 if scene.chibi else _CUT[scene.frame]
        y = height - cut * unit + rng.uniform(-0.01, 0.02) * height
        parts: dict[str, Extent] = {}
        head = pen.at(x, y, unit, turn=rng.uniform(-3, 3), mirror=rng.random() < 0.5).collecting(parts)
        legs = scene.frame in ("full_body", "cowboy_shot")
        figures.draw_figure(head, figure, legs, rng.uniform(-1, 1), rng.uniform(-1, 1), scene.chibi)
        tags = tagging.by_part(figure, scene)
        drawn.append(({**tags, "whole": tags["whole"] | tagging.counting_tags(figure)}, parts))
    return drawn


def _animals(pen: Pen, scene: Scene, rng: random.Random, width: float, height: float) -> list[Drawn]:
    count, drawn = len(scene.animals), []
    for at, (kind, coat) in enumerate(scene.animals):
        size = rng.uniform(125, 165) if count == 1 else rng.uniform(95, 115)
        x = width / 2 + (at - (count - 1) / 2) * 0.45 * width + rng.uniform(-0.06, 0.06) * width
        y = height * rng.uniform(0.84, 0.92)
        if scene.figures:
            size, y = rng.uniform(52, 66), height * rng.uniform(0.94, 0.97)
            x = width * (rng.uniform(0.12, 0.18) if rng.random() < 0.5 else rng.uniform(0.82, 0.88))
        parts: dict[str, Extent] = {}
        animal = pen.at(x, y, size, mirror=rng.random() < 0.5).collecting(parts)
        things.draw_animal(animal.part("whole"), kind, coat)
        drawn.append(({"whole": tagging.animal_tags(kind)}, parts))
    return drawn


def _styled(image: np.ndarray, scene: Scene, rng: random.Random, scale: float) -> np.ndarray:
    if scene.border:
        edge = round(22 * scale)
        color = ((255, 255, 255), (40, 36, 40))[scene.background == "white"]
        image = cv2.copyMakeBorder(
            image[edge:-edge, edge:-edge], edge, edge, edge, edge, cv2.BORDER_CONSTANT, value=color
        )
    if scene.style in ("monochrome", "sketch"):
        image = cv2.cvtColor(cv2.cvtColor(image, cv2.COLOR_BGR2GRAY), cv2.COLOR_GRAY2BGR)
    if scene.style == "pixel":
        small = cv2.resize(image, None, fx=1 / (8 * scale), fy=1 / (8 * scale), interpolation=cv2.INTER_AREA)
        image = cv2.resize(small, image.shape[1::-1], interpolation=cv2.INTER_NEAREST)
    return image
