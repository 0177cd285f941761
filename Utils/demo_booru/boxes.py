"""Where the things of a drawn picture lie: boxes of tags, in pixels."""

import dataclasses
from collections.abc import Iterable, Mapping

from Utils.demo_booru.canvas import Extent


@dataclasses.dataclass(frozen=True)
class Box:
    """The box of a tag, in pixels: left and top inclusive, right and bottom exclusive."""

    tag: str
    left: float
    top: float
    right: float
    bottom: float

    @classmethod
    def of(cls, tag: str, extent: Extent, shape: tuple[int, ...]) -> "Box":
        """Return the part of an extent that is inside a picture of ``shape`` (height, width, ...)."""
        height, width = shape[:2]
        return cls(tag, max(0.0, extent.left), max(0.0, extent.top), min(float(width), extent.right),
                   min(float(height), extent.bottom))  # fmt: skip

    @property
    def empty(self) -> bool:
        """Whether nothing of the box is inside the picture."""
        return self.right - self.left < 1 or self.bottom - self.top < 1

    def moved(self, left: float, top: float, scales: tuple[float, float], side: int) -> "Box":
        """Return the box moved by (left, top), then scaled in x and y, inside ``side`` pixels."""
        x0, x1 = ((x + left) * scales[0] for x in (self.left, self.right))
        y0, y1 = ((y + top) * scales[1] for y in (self.top, self.bottom))
        return Box(self.tag, max(0.0, x0), max(0.0, y0), min(float(side), x1), min(float(side), y1))


def of_parts(
    tags: Mapping[str, Iterable[str]], parts: Mapping[str, Extent], shape: tuple[int, ...]
) -> list[Box]:
    """Return a box for every tag of every part that was drawn; of ``whole``, around all of them."""
    places = {**parts, "whole": around(parts.values())}
    return [
        Box.of(name, places[part], shape) for part in tags if part in places for name in sorted(tags[part])
    ]


def around(extents: Iterable[Extent]) -> Extent:
    """Return the extent around all of ``extents``."""
    whole = Extent()
    for extent in extents:
        if not extent.empty:
            whole.left, whole.top = min(whole.left, extent.left), min(whole.top, extent.top)
            whole.right, whole.bottom = max(whole.right, extent.right), max(whole.bottom, extent.bottom)
    return whole
