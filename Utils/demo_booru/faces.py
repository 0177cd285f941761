"""Heads without hair: the skull, ears, eyes, brows, mouth and blush. A head is 1 unit in radius."""

from collections.abc import Sequence

from Utils.demo_booru.canvas import Pen, shade
from Utils.demo_booru.scenes import Figure
from Utils.demo_booru.vocabulary import EYES, SKIN, WHITE

_MOUTH = (60, 40, 140)
_TONGUE = (150, 140, 235)
_BLUSH = (125, 105, 250)
_TEAR = (250, 214, 150)
_FRONT = [(-0.93, -0.1), (-0.88, 0.35), (-0.55, 0.78), (0, 1.0), (0.55, 0.78), (0.88, 0.35), (0.93, -0.1),
          (0.72, -0.72), (0, -0.98), (-0.72, -0.72)]  # fmt: skip
_SIDE = [(-0.9, -0.1), (-0.97, 0.2), (-1.06, 0.36), (-0.92, 0.45), (-0.9, 0.7), (-0.66, 0.93), (-0.2, 0.85),
         (0.3, 0.6), (0.85, 0.25), (0.93, -0.2), (0.6, -0.8), (0, -0.98), (-0.65, -0.75)]  # fmt: skip


def draw_head(pen: Pen, figure: Figure) -> None:
    """Draw skull and ears of a head that is seen from the front, from the side or from behind."""
    skin = SKIN[figure.skin]
    if figure.view == "side":
        pen.shape(_SIDE, skin)
        pen.ellipse(0.28, 0.2, 0.14, 0.2, shade(skin, 0.93))
        return
    for side in (-1, 1):
        pen.ellipse(0.94 * side, 0.12, 0.15, 0.22, skin)
    pen.shape(_FRONT, skin)


def draw_face(pen: Pen, figure: Figure, gaze: float) -> None:
    """Draw eyes, brows, mouth and blush; ``gaze`` in -1..1 moves them sideways, as a turned head does."""
    if figure.view == "behind":
        return
    if figure.view == "side":
        _cheek(pen, figure, (-0.48,))
        _eye(pen, figure, -0.58, 0.7, figure.eyes == "open")
        _mouth(pen.at(-0.6, 0.56, 0.75), figure)
        return
    shift = gaze * 0.12
    _cheek(pen, figure, (-0.6 + shift, 0.6 + shift))
    for side in (-1, 1):
        opened = figure.eyes == "open" or (figure.eyes == "wink" and side < 0)
        _eye(pen, figure, 0.42 * side + shift, 1.0, opened, side)
    pen.line([(shift - 0.02, 0.42), (shift + 0.03, 0.46)], width=0.7)
    _mouth(pen.at(shift, 0.64), figure)


def _eye(pen: Pen, figure: Figure, x: float, narrow: float, opened: bool, side: int = -1) -> None:
    rx, ry = 0.255 * narrow, 0.34
    brow = -0.32 if figure.mouth != "frown" else -0.26
    tilt = {"frown": 0.1, "cry": -0.1}.get(figure.mouth, 0.0)
    weight = 2.6 if figure.boy else 0.9
    inner, outer = x - side * 0.2, x + side * 0.2
    pen.line([(inner, brow + tilt), (x, brow - 0.06), (outer, brow - tilt * 0.4)], width=weight)
    if not opened:
        bend = 0.14 if figure.mouth in ("smile", "open") else -0.04
        pen.line([(x - rx, 0.2), (x, 0.2 + bend), (x + rx, 0.2)], width=2.0)
        return
    pen.ellipse(x, 0.16, rx, ry, WHITE, edge=0.5)
    iris = EYES[figure.eye_color if side < 0 or not figure.other_eye else figure.other_eye]
    pen.ellipse(x, 0.17, rx * 0.92, ry * 0.93, iris, edge=0.4)
    pen.ellipse(x, -0.01, rx * 0.6, ry * 0.27, shade(iris, 0.7), edge=0)
    pen.ellipse(x, 0.16, rx * 0.3, ry * 0.38, shade(iris, 0.25), edge=0)
    pen.ellipse(x - rx * 0.3, 0.03, rx * 0.3, ry * 0.26, WHITE, edge=0)
    pen.ellipse(x + rx * 0.28, 0.32, rx * 0.17, ry * 0.14, WHITE, edge=0)
    lid = 1.6 if figure.boy else 2.3
    pen.line(
        [(x - rx * 1.08, 0.04), (x - rx * 0.6, -0.12), (x + rx * 0.6, -0.12), (x + rx * 1.08, 0.04)],
        width=lid,
    )
    if not figure.boy:
        pen.line([(x + side * rx, -0.0), (x + side * rx * 1.45, -0.1)], width=2.0)


def _mouth(pen: Pen, figure: Figure) -> None:
    kind = figure.mouth
    if kind == "open":
        pen.shape([(-0.38, -0.1), (0, -0.05), (0.38, -0.1), (0.28, 0.2), (0, 0.3), (-0.28, 0.2)], _MOUTH, 0.8)
        pen.ellipse(0, 0.18, 0.17, 0.08, _TONGUE, edge=0)
    elif kind == "smile":
        pen.line([(-0.24, -0.03), (-0.12, 0.07), (0.12, 0.07), (0.24, -0.03)], width=1.5)
    elif kind == "frown":
        pen.line([(-0.17, 0.09), (0, 0.0), (0.17, 0.09)], width=1.5)
    elif kind == "cry":
        pen.line([(-0.2, 0.08), (-0.1, 0.0), (0, 0.06), (0.1, 0.0), (0.2, 0.08)], width=1.4)
    elif kind == "surprised":
        pen.ellipse(0, 0.07, 0.1, 0.13, _MOUTH, edge=0.8)
    else:
        pen.line([(-0.09, 0.04), (0.09, 0.04)], width=1.2)


def _cheek(pen: Pen, figure: Figure, places: Sequence[float]) -> None:
    for x in places:
        if figure.blush:
            pen.ellipse(x, 0.54, 0.28, 0.17, _BLUSH, edge=0)
        if figure.mouth == "cry":
            pen.limb([(x * 0.85, 0.42), (x * 0.95, 0.82)], _TEAR, 0.13, edge=0.4)
            pen.ellipse(x * 0.98, 0.9, 0.1, 0.12, _TEAR, edge=0.4)
