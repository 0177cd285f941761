"""Renders a scene: background, figures from back to front, animals, weather, then the overall style."""

import random

import cv2
import numpy as np

from Utils.demo_booru import accessories, backgrounds, bodies, clothes, faces, hair, things
from Utils.demo_booru.canvas import Look, Pen
from Utils.demo_booru.scenes import Figure, Scene
from Utils.demo_booru.vocabulary import ARTISTS, INK

# By frame: the range of pixels of one unit (a head's radius) in a picture of 512, and where its lower edge
# cuts the body, in units from the middle of the head.
_ZOOM = {"full_body": (67, 76), "cowboy_shot": (90, 102), "upper_body": (116, 134), "portrait": (165, 192)}
_CUT = {"full_body": 4.85, "cowboy_shot": 3.62, "upper_body": 2.62, "portrait": 1.42}
_TALL_THINGS = ("witch_hat", "rabbit_ears", "halo", "cat_ears", "fox_ears", "horns", "crown")


def render(scene: Scene, key: str, scale: float = 1.0) -> np.ndarray:
    """Return the picture of a scene as BGR uint8, or BGRA where the scene is transparent.

    Args:
        key: seeds what the scene does not say: places, sizes, sway.
        scale: pixels of one unit.

    Transparency is found by painting on white and on black paper: where the two differ, the paper shows.
    """
    if not scene.transparent:
        return _paint(scene, key, scale, 255)
    white, black = (_paint(scene, key, scale, paper).astype(np.int16) for paper in (255, 0))
    alpha = 255 - np.clip((white - black).max(axis=2), 0, 255)
    color = np.clip(np.round(black * 255.0 / np.maximum(alpha, 1)[..., None]), 0, 255)
    return np.dstack([color, alpha]).astype(np.uint8)


def _paint(scene: Scene, key: str, scale: float, paper: int) -> np.ndarray:
    rng = random.Random(key)
    width, height = scene.size
    image = np.full((round(height * scale), round(width * scale), 3), paper, np.uint8)
    pen = Pen(image, _look(scene, rng, scale)).at(scale=scale)
    if not scene.transparent:
        backgrounds.draw_background(pen, scene, rng, width, height)
    _figures(pen, scene, rng, width, height)
    _animals(pen, scene, rng, width, height)
    backgrounds.draw_weather(pen, scene, rng, width, height)
    if scene.sign:
        backgrounds.draw_bubble(
            pen, scene.sign, rng.choice((0.16, 0.84)) * width, rng.uniform(0.12, 0.2) * height
        )
    return _styled(image, scene, rng, scale)


def _look(scene: Scene, rng: random.Random, scale: float) -> Look:
    weight, ink, saturation, _ = ARTISTS.get(scene.artist, (rng.uniform(0.85, 1.15), INK, 1.0, 1.0))
    if scene.thick:
        weight, ink = 2.6, (20, 16, 20)
    if scene.style == "sketch":
        weight, ink = 0.8, (90, 80, 80)
    return Look(ink=ink, stroke=3.0 * weight * scale, outlines=scene.style != "flat",
                sketch=scene.style == "sketch", saturation=saturation)  # fmt: skip


def _figures(pen: Pen, scene: Scene, rng: random.Random, width: float, height: float) -> None:
    count = len(scene.figures)
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
        frame = pen.at(x, y, unit, turn=rng.uniform(-3, 3), mirror=rng.random() < 0.5)
        _figure(frame, figure, scene, gaze=rng.uniform(-1, 1), sway=rng.uniform(-1, 1))


def _figure(head: Pen, figure: Figure, scene: Scene, gaze: float, sway: float) -> None:
    body = head.at(y=0.34, scale=0.84, stretch=0.72) if scene.chibi else head
    mane = head.at(stretch=0.78) if scene.chibi else head
    from_behind = figure.view == "behind"
    if not from_behind:
        accessories.draw_behind(body, figure)
        hair.draw_back_hair(mane, figure, sway)
    bodies.draw_arms(body, figure, before=False)
    if scene.frame in ("full_body", "cowboy_shot"):
        bodies.draw_legs(body, figure)
    bodies.draw_neck(body, figure)
    clothes.draw_clothes(body, figure)
    accessories.draw_on_body(body, figure)
    if figure.holds:
        things.draw_held(body.at(*bodies.hand(figure), scale=0.9), figure.holds)
    bodies.draw_arms(body, figure, before=True)
    if from_behind:
        accessories.draw_behind(body, figure)
    faces.draw_head(head, figure)
    faces.draw_face(head, figure, gaze)
    accessories.draw_under_hair(head, figure)
    hair.draw_front_hair(head, figure, sway)
    accessories.draw_on_head(head, figure, gaze)


def _animals(pen: Pen, scene: Scene, rng: random.Random, width: float, height: float) -> None:
    count = len(scene.animals)
    for at, (kind, coat) in enumerate(scene.animals):
        size = rng.uniform(125, 165) if count == 1 else rng.uniform(95, 115)
        x = width / 2 + (at - (count - 1) / 2) * 0.45 * width + rng.uniform(-0.06, 0.06) * width
        y = height * rng.uniform(0.84, 0.92)
        if scene.figures:
            size, y = rng.uniform(52, 66), height * rng.uniform(0.94, 0.97)
            x = width * (rng.uniform(0.12, 0.18) if rng.random() < 0.5 else rng.uniform(0.82, 0.88))
        things.draw_animal(pen.at(x, y, size, mirror=rng.random() < 0.5), kind, coat)


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
