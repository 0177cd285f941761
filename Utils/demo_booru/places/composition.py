"""What stands where in a picture of the scenes style, and how much of it can be seen.

Everything in a `View` is visible: what nearer things would hide is left out, so that it gives the tags.
"""

import dataclasses
import random

import numpy as np

from Utils.demo_booru import scenes, vocabulary
from Utils.demo_booru.places import contents
from Utils.demo_booru.scenes import Figure, chance, pick

SIDE = 512.0  # units of a picture's side
GRID = 128  # cells of the picture's side in which visibility is counted
Corners = tuple[float, float, float, float]  # left, top, right, bottom
_PAPER = {"speech_bubble": (76, 40), "title": (200, 30), "signature": (48, 16)}  # half width and height
_HEAD, _TORSO, _LEGS = (-1.15, -1.25, 1.15, 1.0), (-0.85, 1.0, 0.85, 2.7), (-0.75, 2.7, 0.75, 4.6)


@dataclasses.dataclass(frozen=True)
class Item:
    """One thing: a "prop", "animal", "passer" (a person of a crowd) or "lead" (a person with attributes)."""

    kind: str
    name: str
    x: float  # of its foot, or a lead's head, in units of the picture
    y: float
    size: float  # units of the picture per unit of the thing
    hue: float
    mirror: bool
    figure: Figure | None = None
    shown: tuple[str, ...] = ()  # of a lead: "torso", "legs"


@dataclasses.dataclass(frozen=True)
class Writing:
    """Words in front of everything, around (x, y) in units of the picture."""

    kind: str  # a key of WRITING
    x: float
    y: float


@dataclasses.dataclass(frozen=True)
class View:
    """One picture: its place and the things in it, from the farthest to the nearest."""

    place: str
    horizon: float  # in units from the top
    hour: str
    falling: str
    writing: Writing
    style: str  # a key of FILTERS
    artist: str
    items: tuple[Item, ...]
    size: tuple[int, int] = (512, 512)
    transparent: bool = False


def compose(rng: random.Random) -> View:
    """Return a random View. The order of the draws is part of the booru's bytes."""
    place = pick(rng, contents.PLACES)
    horizon = (contents.HORIZON[place] + rng.uniform(-0.07, 0.05)) * SIDE
    hour = "day" if place in contents.INSIDE else pick(rng, contents.HOURS)
    leads = _leads(rng)
    others = [_animal(rng, horizon)] if chance(rng, 0.32) else []
    others += [_prop(rng, pick(rng, contents.STANDING[place]), horizon) for _ in range(rng.randrange(6, 18))]
    if place not in contents.INSIDE:
        shore = horizon - contents.SEA * SIDE * (place in contents.AT_SEA)
        others += [_prop(rng, name, shore) for name in _in_the_sky(rng, hour)]
    crowd = pick(rng, contents.CROWDS)
    others += [_passer(rng, horizon) for _ in range(rng.randrange(crowd // 2, 2 * crowd) if crowd else 0)]
    weather = contents.FALLING_ON_SNOW if place == "snow" else contents.FALLING
    falling = "" if place in contents.INSIDE else pick(rng, weather)
    style = pick(rng, contents.FILTERS)
    writing = _writing(rng)
    artists = {"": 64, **dict(zip(vocabulary.ARTISTS, (15, 10, 7, 4), strict=True))}
    return View(
        place=place,
        horizon=horizon,
        hour=hour,
        falling=falling,
        writing=writing,
        style=style,
        artist=pick(rng, artists) if style in ("", "border", "film_grain") else "",
        items=visible(leads, others, writing),
    )


def _writing(rng: random.Random) -> Writing:
    kind = pick(rng, contents.WRITING)
    x = {"title": 0.5, "speech_bubble": rng.uniform(0.2, 0.8)}.get(kind, rng.choice((0.12, 0.88)))
    y = {"title": rng.choice((0.08, 0.92)), "speech_bubble": rng.uniform(0.1, 0.2)}.get(kind, 0.96)
    return Writing(kind, x * SIDE, y * SIDE)


def _in_the_sky(rng: random.Random, hour: str) -> list[str]:
    names = [pick(rng, contents.SKIES[hour]) for _ in range(rng.randrange(0, 5))]
    return [name for at, name in enumerate(names) if name not in contents.ALONE or name not in names[:at]]


def _leads(rng: random.Random) -> list[Item]:
    """Return people side by side, far enough from each other that every head is seen."""
    count = pick(rng, contents.LEADS)
    near = rng.uniform(36, 58) * {0: 1, 1: 1, 2: 0.95, 3: 0.85}[count]
    leads, taken = [], set()
    for at in range(count):
        boy = chance(rng, 0.34)
        person = (
            scenes.compose_character(rng, boy, taken) if chance(rng, contents.SHARE_OF_CHARACTERS) else None
        )
        taken |= {person.name} if person else set()
        figure = scenes.compose_figure(rng, boy, person, "full_body", alone=False)
        size = near * rng.uniform(0.9, 1.1)
        foot = SIDE * rng.uniform(0.82, 1.0) + 1.4 * max(0.0, size - 34) * rng.random()
        x = SIDE * ((at + 0.5 + rng.uniform(-0.2, 0.2)) / count)
        x = SIDE * rng.uniform(0.2, 0.8) if count == 1 else x
        leads.append(Item("lead", "", x, foot - 4.6 * size, size, rng.random(), chance(rng, 0.5), figure))
    return leads


def _prop(rng: random.Random, name: str, horizon: float) -> Item:
    prop = contents.PROPS[name]
    x = rng.uniform(0.02, 0.98) * SIDE
    if prop.room == "sea":
        y = horizon - contents.SEA * SIDE * rng.uniform(0.05, 0.9)
        size = 0.62 * prop.size
    elif prop.room == "ground":
        y = horizon + (SIDE * 0.99 - horizon) * rng.random() ** 0.8
        size = prop.size * _nearness(y, horizon)
    else:
        size = prop.size * rng.uniform(0.75, 1.25)
        top, low = prop.tall * size + 6, horizon - (30 if prop.room == "wall" else 0)
        y = rng.uniform(min(top, low), max(top, low))
    return Item("prop", name, x, y, size * rng.uniform(0.88, 1.12), rng.random(), chance(rng, 0.5))


def _nearness(y: float, horizon: float) -> float:
    """Return how large a thing looks whose foot is at ``y``: 1 at the lower edge, 0.5 at the horizon."""
    return 0.5 + 0.5 * (y - horizon) / (SIDE - horizon)


def _animal(rng: random.Random, horizon: float) -> Item:
    y = horizon + (SIDE - horizon) * rng.uniform(0.35, 0.98)
    size = 34 * _nearness(y, horizon) * rng.uniform(0.85, 1.2)
    name = pick(rng, contents.ANIMALS)
    return Item("animal", name, rng.uniform(0.06, 0.94) * SIDE, y, size, rng.random(), chance(rng, 0.5))


def _passer(rng: random.Random, horizon: float) -> Item:
    y = horizon + (SIDE - horizon) * rng.uniform(0.02, 0.5)
    size = 24 * _nearness(y, horizon) * rng.uniform(0.9, 1.1)
    return Item("passer", "", rng.random() * SIDE, y, size, rng.random(), chance(rng, 0.5))


def visible(leads: list[Item], others: list[Item], writing: Writing) -> tuple[Item, ...]:
    """Return the items that can be seen, farthest first, each lead with the parts that can be seen.

    From the nearest to the farthest, an item is kept where at least 0.6 of its box is inside the picture and
    not behind items kept before; one that hides more than a quarter of a lead's head is left out.
    """
    covered, kept = np.zeros((GRID, GRID), bool), []
    if writing.kind:
        wide, tall = _PAPER[writing.kind]
        covered[_cells(writing.x, writing.y, 1.0, (-wide, -tall, wide, tall))] = True
    heads = [(foot_of(lead), _cells_of(lead, _HEAD)) for lead in leads]
    for item in sorted([*leads, *others], key=foot_of, reverse=True):
        if item.kind == "lead":
            shown = [
                name for name, box in (("torso", _TORSO), ("legs", _LEGS)) if _free(covered, item, box) >= 0.6
            ]
            kept.append(dataclasses.replace(item, shown=tuple(shown)))
            for box in (_HEAD, _TORSO, _LEGS):
                covered[_cells_of(item, box)] = True
            continue
        box = outline(item)
        hides = any(
            foot_of(item) > foot and _shared(_cells_of(item, box), head) > 0.25 for foot, head in heads
        )
        if not hides and _free(covered, item, box) >= 0.6:
            kept.append(item)
            if item.name != "rainbow":
                covered[_cells_of(item, box)] = True
    return tuple(reversed(kept))


def foot_of(item: Item) -> float:
    """Return how near an item is: its lowest y; what is on a wall or in the sky is behind all else."""
    if item.kind == "lead":
        return item.y + 4.6 * item.size
    if item.kind == "prop" and contents.PROPS[item.name].room in ("wall", "sky"):
        return item.y - 10 * SIDE
    return item.y


def outline(item: Item) -> Corners:
    """Return (left, top, right, bottom) of an item other than a lead, in its own units."""
    if item.kind == "prop":
        prop = contents.PROPS[item.name]
        return -prop.wide, -prop.tall, prop.wide, 0.0
    return (-0.75, -2.1, 0.75, 0.0) if item.kind == "animal" else (-0.45, -2.9, 0.45, 0.0)


def _cells_of(item: Item, box: Corners) -> tuple[slice, slice]:
    return _cells(item.x, item.y, item.size, box)


def _cells(x: float, y: float, size: float, box: Corners) -> tuple[slice, slice]:
    """Return the rows and columns of the grid that a box covers, given in units of ``size`` around (x, y)."""
    left, top, right, bottom = (
        max(0, round((at + edge * size) * GRID / SIDE)) for at, edge in zip((x, y, x, y), box, strict=True)
    )
    return slice(top, bottom), slice(left, right)


def _free(covered: np.ndarray, item: Item, box: Corners) -> float:
    """Return the share of a box that is inside the picture and not covered."""
    left, top, right, bottom = box
    area = (right - left) * (bottom - top) * (item.size * GRID / SIDE) ** 2
    cells = covered[_cells_of(item, box)]
    return (cells.size - int(cells.sum())) / max(area, 1e-9)


def _shared(first: tuple[slice, slice], second: tuple[slice, slice]) -> float:
    """Return the share of ``second``'s cells that ``first`` covers."""
    both = [max(0, min(a.stop, b.stop) - max(a.start, b.start)) for a, b in zip(first, second, strict=True)]
    size = [max(1, b.stop - b.start) for b in second]
    return both[0] * both[1] / (size[0] * size[1])


def reshaped(view: View, size: tuple[int, int], transparent: bool) -> View:
    """Return the view on a picture of another size; a transparent one has no place, sky or weather."""
    wide, tall = size[0] / SIDE, size[1] / SIDE
    items = [dataclasses.replace(item, x=item.x * wide, y=item.y * tall) for item in view.items]
    writing = dataclasses.replace(view.writing, x=view.writing.x * wide, y=view.writing.y * tall)
    view = dataclasses.replace(
        view, size=size, horizon=view.horizon * tall, items=tuple(items), writing=writing
    )
    if not transparent:
        return view
    standing = tuple(
        item for item in items if item.kind != "prop" or contents.PROPS[item.name].room == "ground"
    )
    return dataclasses.replace(
        view,
        transparent=True,
        place="",
        hour="day",
        falling="",
        writing=Writing("", 0, 0),
        style="",
        items=standing,
    )
