"""Dataset definitions: which posts and tags make a dataset, read from definition.toml."""

import dataclasses
import pathlib
import re
from collections.abc import Callable, Collection, Mapping
from typing import Any

from Utils.command.cli import UserError, suggest
from Utils.data.danbooru_fields import OTHER_CATEGORIES, RATING_NAMES, STATUSES
from Utils.files import text_files
from Utils.files.atomic import AnyPath
from Utils.tags.tag_list import RATINGS, category_code

SPLITS = ("train", "validation", "test")
SPLIT_MODULUS = 1000  # splits are ranges of the post id modulo 1000, as Danbooru's folders of images are


@dataclasses.dataclass(frozen=True)
class Definition:
    """A dataset definition; every field but the name has the value of 2021_0000_0899 as its default.

    The rules apply in this order, one pass each: categories and min_tag_count; ratings, status, split, file
    present; min_tags_per_image; min_tag_images and min_tag_share; max_tags.
    """

    name: str
    image_size: int = 512  # side of the stored square JPEGs
    jpeg_quality: int = 95
    splits: dict[str, tuple[int, int]] = dataclasses.field(
        default_factory=lambda: {"train": (0, 899), "test": (900, 949), "validation": (950, 999)}
    )  # post id modulo 1000, inclusive
    ratings: tuple[str, ...] = ("s",)  # letters that are kept
    ratings_as_labels: bool = False
    ratings_map: dict[str, str] | None = (
        None  # letter in the database, or the word safe -> rating, if its letters are not g s q e
    )
    exclude_status: tuple[str, ...] = STATUSES
    categories: tuple[int, ...] = (0, 3, 4)
    min_tag_count: int = 200  # in the source's own count
    min_tag_images: int = 600  # among the kept images
    min_tag_share: float = 0.5  # of count * kept images / all posts
    max_tags: int = 2380  # the most frequent
    min_tags_per_image: int = 15


def read_definition(path: AnyPath) -> Definition:
    """Read definition.toml (or the folder that holds it) into a `Definition`; UserError for any mistake."""
    path = pathlib.Path(path)
    if path.is_dir():
        path = path / "definition.toml"
    return definition_from_dict(text_files.read_toml(path, "a dataset definition (definition.toml)"), path)


def definition_from_dict(values: Mapping[str, Any], source: AnyPath = "definition") -> Definition:
    """Return the `Definition` of a dict as TOML or JSON give it; UserError names ``source`` and the key."""
    for key in values:
        if key not in _CHECKS:
            similar = suggest(key, _CHECKS) or f"; known are {', '.join(_CHECKS)}"
            raise UserError(f"{source}: unknown key {key!r}{similar}")
    if "name" not in values:
        raise UserError(f'{source} has no name; add a line such as name = "2021_0000_0899"')
    checked = {}
    for key, value in values.items():
        try:
            checked[key] = _CHECKS[key](value)
        except UserError as error:
            raise UserError(f"{source}: {key} {error}; it is {value!r}") from error
    return Definition(**checked)


# Each check returns the value as `Definition` holds it; its UserError goes on after the name of the key.


def _check_name(value: Any) -> str:
    if isinstance(value, str) and re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9._-]*", value):
        return value
    raise UserError("must be a text of letters, digits and . _ - (it becomes part of file names)")


def _integer(low: int, high: int) -> Callable[[Any], int]:
    def check(value: Any) -> int:
        if isinstance(value, int) and not isinstance(value, bool) and low <= value <= high:
            return value
        raise UserError(f"must be a whole number from {low} to {high}")

    return check


def _check_share(value: Any) -> float:
    if isinstance(value, (int, float)) and not isinstance(value, bool) and 0 <= value <= 1:
        return float(value)
    raise UserError("must be a number from 0 to 1")


def _check_bool(value: Any) -> bool:
    if isinstance(value, bool):
        return value
    raise UserError("must be true or false")


def _subset(allowed: Collection[str]) -> Callable[[Any], tuple[str, ...]]:
    def check(value: Any) -> tuple[str, ...]:
        if not isinstance(value, (list, tuple)):
            raise UserError(f"must be a list of some of {', '.join(allowed)}")
        for item in value:
            if item not in allowed:
                raise UserError(f"may hold {', '.join(allowed)}, not {item!r}{suggest(item, allowed)}")
        return tuple(dict.fromkeys(value))

    return check


def _check_ratings(value: Any) -> tuple[str, ...]:
    letters = _subset(tuple(RATING_NAMES))(value)
    if not letters:
        raise UserError("is empty, so no post would be kept; give some of g s q e")
    return letters


def _check_categories(value: Any) -> tuple[int, ...]:
    if not isinstance(value, (list, tuple)):
        raise UserError("must be a list of category codes, such as [0, 3, 4]")
    names = {code: name for name, code in OTHER_CATEGORIES.items()}
    return tuple(dict.fromkeys(category_code(item, names) for item in value))


def check_ratings_map(value: Any) -> dict[str, str] | None:
    """Return a map of the database's letters to ratings, or None; UserError for anything else."""
    if value is None:
        return None
    if not isinstance(value, dict) or not value:
        raise UserError('must say which letter is which rating, as {s = "general", q = "questionable"}')
    for letter, rating in value.items():
        if letter not in (*RATING_NAMES, "safe") or rating not in RATINGS:
            raise UserError(
                f"maps one of g s q e, or safe, to one of {', '.join(RATINGS)}, not {letter!r} to {rating!r}"
            )
    return dict(value)


def _check_splits(value: Any) -> dict[str, tuple[int, int]]:
    if not isinstance(value, dict) or not value:
        raise UserError("must name ranges, as {train = [0, 899], validation = [950, 999]}")
    splits = {name: _check_range(name, ends) for name, ends in value.items()}
    ranges = sorted((low, high, name) for name, (low, high) in splits.items())
    for (_, high, name), (low, _, next_name) in zip(ranges, ranges[1:], strict=False):
        if low <= high:
            raise UserError(f"overlaps: {name} ends at {high}, {next_name} starts at {low}")
    return splits


def _check_range(name: str, ends: Any) -> tuple[int, int]:
    if name not in SPLITS:
        raise UserError(f"may hold {', '.join(SPLITS)}, not {name!r}{suggest(name, SPLITS)}")
    if not isinstance(ends, (list, tuple)) or len(ends) != 2:
        raise UserError(f"needs two ends for {name}, first and last post id modulo {SPLIT_MODULUS}")
    low, high = map(_integer(0, SPLIT_MODULUS - 1), ends)
    if low > high:
        raise UserError(f"has {name} running backwards, from {low} to {high}")
    return low, high


_CHECKS: dict[str, Callable[[Any], Any]] = {
    "name": _check_name,
    "image_size": _integer(16, 4096),
    "jpeg_quality": _integer(1, 100),
    "splits": _check_splits,
    "ratings": _check_ratings,
    "ratings_as_labels": _check_bool,
    "ratings_map": check_ratings_map,
    "exclude_status": _subset(STATUSES),
    "categories": _check_categories,
    "min_tag_count": _integer(0, 2**53),
    "min_tag_images": _integer(0, 2**53),
    "min_tag_share": _check_share,
    "max_tags": _integer(1, 2**31 - 1),
    "min_tags_per_image": _integer(0, 2**31 - 1),
}
