"""Dataset definitions: which posts and tags make a dataset, read from definition.toml."""

import dataclasses
import pathlib
import re
import tomllib

from Utils.command.cli import UserError, suggest
from Utils.files.atomic import require_file
from Utils.tags.tag_list import RATINGS, category_code

SPLITS = ("train", "validation", "test")
STATUSES = ("deleted", "banned", "pending", "flagged", "hidden")
LETTERS = {"g": "general", "s": "sensitive", "q": "questionable", "e": "explicit"}
MODULUS = 1000  # splits are ranges of the post id modulo 1000


@dataclasses.dataclass(frozen=True)
class Definition:
    """A dataset definition; every field but the name has the value of 2021_0000_0899 as its default.

    The rules apply in this order, one pass each: categories and min_tag_count; ratings, status, split, file
    present; min_tags_per_image; min_tag_images and min_tag_share; max_tags.
    """

    name: str
    image_size: int = 512  # side of the stored square JPEGs
    jpeg_quality: int = 95
    splits: dict = dataclasses.field(
        default_factory=lambda: {"train": (0, 899), "test": (900, 949), "validation": (950, 999)}
    )  # post id modulo 1000, inclusive
    ratings: tuple = ("s",)  # letters that are kept
    ratings_as_labels: bool = False
    ratings_map: dict | None = None  # letter in the database -> rating, where its letters are not g s q e
    exclude_status: tuple = STATUSES
    categories: tuple = (0, 3, 4)
    min_tag_count: int = 200  # in the source's own count
    min_tag_images: int = 600  # among the kept images
    min_tag_share: float = 0.5  # of count * kept images / all posts
    max_tags: int = 2380  # the most frequent
    min_tags_per_image: int = 15

    def split_of(self, post_id):
        """Return the name of the split a post id belongs to, or None."""
        residue = post_id % MODULUS
        return next((name for name, (low, high) in self.splits.items() if low <= residue <= high), None)


def read_definition(path):
    """Read definition.toml (or the folder that holds it) into a `Definition`; UserError for any mistake."""
    path = pathlib.Path(path)
    if path.is_dir():
        path = path / "definition.toml"
    require_file(path, "a dataset definition (definition.toml)")
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UserError(f"{path} is no TOML: {error}") from error
    return definition_from_dict(values, path)


def definition_from_dict(values, source="definition"):
    """Make a `Definition` of a dict as TOML or JSON give it; ``source`` is named in errors."""
    for key in values:
        if key not in _CHECKS:
            near = suggest(key, _CHECKS) or f"; known are {', '.join(_CHECKS)}"
            raise UserError(f"{source}: unknown key {key!r}{near}")
    if "name" not in values:
        raise UserError(f'{source} has no name; add a line such as name = "2021_0000_0899"')
    checked = {}
    for key, value in values.items():
        try:
            checked[key] = _CHECKS[key](value)
        except UserError as error:
            raise UserError(f"{source}: {key} {error}; it is {value!r}") from error
    return Definition(**checked)


def _name(value):
    if isinstance(value, str) and re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9._-]*", value):
        return value
    raise UserError("must be a text of letters, digits and . _ - (it becomes part of file names)")


def _whole(low, high):
    def check(value):
        if isinstance(value, int) and not isinstance(value, bool) and low <= value <= high:
            return value
        raise UserError(f"must be a whole number from {low} to {high}")

    return check


def _share(value):
    if isinstance(value, (int, float)) and not isinstance(value, bool) and 0 <= value <= 1:
        return float(value)
    raise UserError("must be a number from 0 to 1")


def _truth(value):
    if isinstance(value, bool):
        return value
    raise UserError("must be true or false")


def _some_of(allowed):
    def check(value):
        if not isinstance(value, (list, tuple)):
            raise UserError(f"must be a list of some of {', '.join(allowed)}")
        for item in value:
            if item not in allowed:
                raise UserError(f"may hold {', '.join(allowed)}, not {item!r}{suggest(item, allowed)}")
        return tuple(dict.fromkeys(value))

    return check


def _letters(value):
    letters = _some_of(tuple(LETTERS))(value)
    if not letters:
        raise UserError("is empty, so no post would be kept; give some of g s q e")
    return letters


def _categories(value):
    if not isinstance(value, (list, tuple)):
        raise UserError("must be a list of category codes, such as [0, 3, 4]")
    return tuple(dict.fromkeys(category_code(item) for item in value))


def _ratings_map(value):
    if value is None:
        return None
    if not isinstance(value, dict) or not value:
        raise UserError('must say which letter is which rating, as {s = "general", q = "questionable"}')
    for letter, rating in value.items():
        if letter not in LETTERS or rating not in RATINGS:
            raise UserError(
                f"maps one of g s q e to one of {', '.join(RATINGS)}, not {letter!r} to {rating!r}"
            )
    return dict(value)


def _splits(value):
    if not isinstance(value, dict) or not value:
        raise UserError("must name ranges, as {train = [0, 899], validation = [950, 999]}")
    return dict(_unlapped({name: _range(name, ends) for name, ends in value.items()}))


def _range(name, ends):
    if name not in SPLITS:
        raise UserError(f"may hold {', '.join(SPLITS)}, not {name!r}{suggest(name, SPLITS)}")
    whole = _whole(0, MODULUS - 1)
    if not isinstance(ends, (list, tuple)) or len(ends) != 2:
        raise UserError(f"needs two ends for {name}, first and last post id modulo {MODULUS}")
    low, high = (whole(end) for end in ends)
    if low > high:
        raise UserError(f"has {name} running backwards, from {low} to {high}")
    return low, high


def _unlapped(splits):
    ranges = sorted((low, high, name) for name, (low, high) in splits.items())
    for (_, high, left), (low, _, right) in zip(ranges, ranges[1:], strict=False):
        if low <= high:
            raise UserError(f"overlaps: {left} ends at {high}, {right} starts at {low}")
    return splits


_CHECKS = {
    "name": _name,
    "image_size": _whole(16, 4096),
    "jpeg_quality": _whole(1, 100),
    "splits": _splits,
    "ratings": _letters,
    "ratings_as_labels": _truth,
    "ratings_map": _ratings_map,
    "exclude_status": _some_of(STATUSES),
    "categories": _categories,
    "min_tag_count": _whole(0, 2**53),
    "min_tag_images": _whole(0, 2**53),
    "min_tag_share": _share,
    "max_tags": _whole(1, 2**31 - 1),
    "min_tags_per_image": _whole(0, 2**31 - 1),
}
