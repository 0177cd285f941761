"""The styles in which boorus are drawn: what a picture shows, its tags, and how it is drawn."""

import dataclasses
from collections.abc import Callable
from typing import Any

from Utils.demo_booru import pictures, scenes, tagging
from Utils.demo_booru.places import composition, rendering
from Utils.demo_booru.places import tagging as place_tagging


@dataclasses.dataclass(frozen=True)
class Style:
    """Functions of a style's content, which is a Scene or a View; pickled by the names of the functions."""

    compose: Callable[..., Any]  # (random.Random) -> content
    reshaped: Callable[..., Any]  # (content, (width, height), transparent) -> content
    tags: Callable[..., tuple[str, ...]]  # (content) -> true tag names, sorted
    rating: Callable[..., str]  # (content) -> g, s, q or e
    render: Callable[..., Any]  # (content, key, scale, boxes) -> BGR or BGRA uint8
    all_names: Callable[[], tuple[str, ...]]


STYLES = {
    "faces": Style(
        scenes.compose, scenes.reshaped, tagging.tags, tagging.rating, pictures.render, tagging.all_names
    ),
    "scenes": Style(
        composition.compose, composition.reshaped, place_tagging.tags, place_tagging.rating, rendering.render,
        place_tagging.all_names,
    ),
}  # fmt: skip
