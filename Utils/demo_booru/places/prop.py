"""What a small thing is: how it is drawn, how much room it takes, and which tags it gives."""

import dataclasses
from collections.abc import Callable, Sequence

from Utils.demo_booru.canvas import Pen
from Utils.demo_booru.vocabulary import Color

BRICK, TIMBER, LEAF, STONE = (70, 80, 165), (70, 110, 160), (75, 140, 75), (165, 160, 155)
DARK, CREAM, GLASS = (62, 56, 60), (215, 238, 245), (235, 215, 185)
PAINTS = ((60, 60, 205), (190, 120, 60), (70, 190, 235), (95, 160, 85), (235, 235, 238), (150, 90, 140))


@dataclasses.dataclass(frozen=True)
class Prop:
    """A kind of thing, drawn in its own units: x from -wide to wide, y from -tall to 0, its foot at (0, 0).

    ``draw(pen, hue)`` draws one; ``hue`` in 0..1 chooses its color. A unit is ``size`` units of the picture
    for a thing in front. ``room`` says where it may be: "ground", "sea", "wall" or "sky".
    """

    draw: Callable[[Pen, float], None]
    wide: float
    tall: float
    size: float
    tags: tuple[str, ...]
    room: str = "ground"


def paint(hue: float, colors: Sequence[Color] = PAINTS) -> Color:
    """Return the color that ``hue`` in 0..1 chooses."""
    return colors[min(int(hue * len(colors)), len(colors) - 1)]


def block(
    pen: Pen, left: float, top: float, right: float, bottom: float, color: Color, edge: float = 0.7
) -> None:
    """Fill an upright rectangle."""
    pen.fill([(left, top), (right, top), (right, bottom), (left, bottom)], color, edge)


def post(pen: Pen, x: float, top: float, bottom: float, color: Color, width: float = 0.14) -> None:
    """Draw an upright round bar."""
    pen.limb([(x, top), (x, bottom)], color, width, 0.6, curved=False)
