"""Draws a figure part by part, from the farthest to the nearest, and cuts pictures out of their paper."""

import numpy as np

from Utils.demo_booru import accessories, bodies, clothes, faces, hair, things
from Utils.demo_booru.canvas import Pen
from Utils.demo_booru.scenes import Figure


def draw_figure(head: Pen, figure: Figure, legs: bool, gaze: float, sway: float, chibi: bool = False) -> None:
    """Draw a figure; its parts are "face", "hair", "arms", "clothes", "legs", and what it wears and holds.

    Args:
        head: a pen whose origin is the middle of the head and whose unit is the head's radius.
        legs: whether to draw them; else they are below the picture.
        gaze: where the face looks, from -1 to 1.
        sway: how what hangs freely is bent, from -1 to 1.
        chibi: a small body below a large head.
    """
    body = head.at(y=0.34, scale=0.84, stretch=0.72) if chibi else head
    mane = head.at(stretch=0.78) if chibi else head
    from_behind = figure.view == "behind"
    if not from_behind:
        accessories.draw_behind(body, figure)
        hair.draw_back_hair(mane.part("hair"), figure, sway)
    bodies.draw_arms(body.part("arms"), figure, before=False)
    if legs:
        bodies.draw_legs(body.part("legs"), figure)
    bodies.draw_neck(body, figure)
    clothes.draw_clothes(body.part("clothes"), figure)
    accessories.draw_on_body(body, figure)
    if figure.holds:
        held = body.at(*bodies.hand(figure), scale=0.9)
        things.draw_held(held.part(figure.holds), figure.holds)
    bodies.draw_arms(body.part("arms"), figure, before=True)
    if from_behind:
        accessories.draw_behind(body, figure)
    faces.draw_head(head.part("face"), figure)
    faces.draw_face(head.part("face"), figure, gaze)
    accessories.draw_under_hair(head, figure)
    hair.draw_front_hair(head.part("hair"), figure, sway)
    accessories.draw_on_head(head, figure, gaze)


def cut_out(white: np.ndarray, black: np.ndarray) -> np.ndarray:
    """Return BGRA (H, W, 4) of its paintings (H, W, 3) on two papers: where they differ, the paper shows."""
    alpha = 255 - np.clip((white.astype(np.int16) - black).max(axis=2), 0, 255)
    color = np.clip(np.round(black * 255.0 / np.maximum(alpha, 1)[..., None]), 0, 255)
    return np.dstack([color, alpha]).astype(np.uint8)
