"""Dataset definitions: which posts and tags make a dataset, read from definition.toml."""

import csv
import dataclasses
import io
import math
import pathlib
import re
from collections.abc import Callable, Collection, Mapping
from typing import Any

from Utils.command.cli import UserError, suggest
from Utils.data.danbooru_fields import OTHER_CATEGORIES, RATING_NAMES, STATUSES, plain_name
from Utils.files import damage, text_files
from Utils.files.atomic import AnyPath
from Utils.tags import tag_categories
from Utils.tags.tag_list import RATINGS

SPLITS = ("train", "validation", "test")
SPLIT_MODULUS = 1000  # ranges of splits are of the post id modulo 1000, as Danbooru's folders of images are

Splits = Mapping[str, tuple[int, int]] | Mapping[str, float]  # ranges of ids, or shares of the posts


@dataclasses.dataclass(frozen=True)
class Definition:
    """A dataset definition; every field but the name has the value of 2021_0000_0899 as its default.

    The rules apply in this order, one pass each: exclude_tags, include_tags, categories and min_tag_count;
    ratings, status, split, file present; min_tags_per_image; min_tag_images and min_tag_share; max_tags.
    """

    name: str
    image_size: int = 512  # side of the stored square JPEGs
    jpeg_quality: int = 95
    splits: Splits = dataclasses.field(
        default_factory=lambda: {"train": (0, 899), "test": (900, 949), "validation": (950, 999)}
    )  # post id modulo 1000, inclusive; or shares, such as 0.9 and 0.1, drawn by the content of the pictures
    split_file: str | None = None  # CSV of post_id,split instead, relative to definition.toml
    ratings: tuple[str, ...] = ("s",)  # letters that are kept
    ratings_as_labels: bool = False
    ratings_map: dict[str, str] | None = (
        None  # letter in the database, or the word safe -> rating, if its letters are not g s q e
    )
    exclude_status: tuple[str, ...] = STATUSES
    categories: tuple[int | str, ...] = (0, 3, 4)
    min_tag_count: int = 200  # in the source's own count
    min_tag_images: int = 600  # among the kept images
    min_tag_share: float = 0.5  # of count * kept images / all posts
    max_tags: int = 2380  # those on most kept images; ratings_as_labels adds its four to them
    min_tags_per_image: int = 15
    exclude_tags: tuple[str, ...] = ()
    include_tags: tuple[str, ...] | None = None  # these, whatever categories and rules for tags; None: all

    @property
    def shares(self) -> dict[str, float] | None:
        """Return the shares of the splits, None where they are ranges of post ids."""
        shares = {name: part for name, part in self.splits.items() if isinstance(part, float)}
        return shares or None

    @property
    def ranges(self) -> dict[str, tuple[int, int]]:
        """Return the ranges of the splits; none where they are shares."""
        return {name: part for name, part in self.splits.items() if isinstance(part, tuple)}


def read_definition(path: AnyPath) -> Definition:
    """Read definition.toml (or the folder that holds it) into a `Definition`; UserError for any mistake."""
    path = pathlib.Path(path)
    if path.is_dir():
        path = path / "definition.toml"
    values = text_files.read_toml(path, "a dataset definition (definition.toml)")
    for key in ("exclude_tags", "include_tags"):
        if isinstance(values.get(key), str):
            values[key] = read_tag_names(path.parent / values[key])
    definition = definition_from_dict(values, path)
    if definition.split_file is None:
        return definition
    return dataclasses.replace(definition, split_file=str(path.parent / definition.split_file))


def read_tag_names(path: AnyPath) -> list[str]:
    """Return the tag names of a file: the column ``name`` of a CSV with such a column, else one a line."""
    with damage.named(path, "is no list of tags"):
        text = text_files.read_text(path, "a list of tags (one a line, or a CSV with a column name)")
        if "name" in next(csv.reader(text.splitlines()[:1]), []):
            rows = csv.DictReader(io.StringIO(text, newline=""), strict=True)
            return [row["name"] for row in rows if row["name"]]
    return text_files.lines(text)


def spelling(name: str) -> str:
    """Return a tag name as tag lists have it, of one written as people write: ``a (b)``, ``a \\(b\\)``."""
    return "_".join(plain_name(name).replace("\\(", "(").replace("\\)", ")").split())


def definition_from_dict(values: Mapping[str, Any], source: AnyPath = "definition") -> Definition:
    """Return the `Definition` of a dict as TOML or JSON give it; UserError names ``source`` and the key."""
    if values.get("split_file") and not values.get("splits"):  # as `Definition` has it then
        values = {key: value for key, value in values.items() if key != "splits"}
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
    if checked.get("split_file") is not None:
        if checked.get("splits"):
            raise UserError(f"{source} has both splits and split_file; give ranges or a file")
        checked["splits"] = {}
    return Definition(**checked)


# Each check returns the value as `Definition` holds it; its UserError goes on after the name of the key.


def _check_name(value: Any) -> str:
    if isinstance(value, str) and re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9._-]*", value):
        return value
    raise UserError("must be a text of letters, digits and . _ - (it becomes part of file names)")


def _check_split_file(value: Any) -> str | None:
    if value is None or (isinstance(value, str) and value):
        return value
    raise UserError("must be the path of a CSV with the columns post_id and split")


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


def _check_categories(value: Any) -> tuple[int | str, ...]:
    """Return codes, and names of categories whose code the source decides."""
    if not isinstance(value, (list, tuple)):
        raise UserError("must be a list of category codes or names, such as [0, 3, 4]")
    return tuple(dict.fromkeys(_category(item) for item in value))


def _category(item: Any) -> int | str:
    text = str(item).strip().lower()
    return text if text == "meta" or text in OTHER_CATEGORIES else tag_categories.code_of(item)


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


def _check_tag_names(value: Any) -> tuple[str, ...] | None:
    if value is None:
        return None
    if isinstance(value, (list, tuple)) and all(isinstance(name, str) and name.strip() for name in value):
        return tuple(dict.fromkeys(map(spelling, value)))
    raise UserError("must be a list of tag names, or the name of a file that lists them")


def _check_splits(value: Any) -> Splits:
    if not isinstance(value, dict) or not value:
        raise UserError(
            "must name ranges of post ids, as {train = [0, 899], validation = [950, 999]}, or shares, as "
            "{train = 0.9, validation = 0.1}"
        )
    if any(isinstance(part, float) for part in value.values()) or list(value.values()) == [1]:
        return _check_shares(value)
    splits = {name: _check_range(name, ends) for name, ends in value.items()}
    ranges = sorted((low, high, name) for name, (low, high) in splits.items())
    for (_, high, name), (low, _, next_name) in zip(ranges, ranges[1:], strict=False):
        if low <= high:
            raise UserError(f"overlaps: {name} ends at {high}, {next_name} starts at {low}")
    return splits


def _check_shares(value: dict[str, Any]) -> dict[str, float]:
    for name, share in value.items():
        _check_split_name(name)
        if isinstance(share, bool) or not isinstance(share, (int, float)) or not 0 < share <= 1:
            raise UserError(f"needs a share for {name}, above 0 and at most 1, where the others are shares")
    if not math.isclose(math.fsum(value.values()), 1, abs_tol=1e-6):
        raise UserError(f"has shares that add up to {math.fsum(value.values()):g}; they add up to 1")
    return {name: float(share) for name, share in value.items()}


def _check_split_name(name: str) -> None:
    if name not in SPLITS:
        raise UserError(f"may hold {', '.join(SPLITS)}, not {name!r}{suggest(name, SPLITS)}")


def _check_range(name: str, ends: Any) -> tuple[int, int]:
    _check_split_name(name)
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
    "split_file": _check_split_file,
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
    "exclude_tags": lambda value: _check_tag_names(value) or (),
    "include_tags": _check_tag_names,
}
