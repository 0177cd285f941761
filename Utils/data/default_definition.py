"""The definition of a dataset for which nobody has written one: defaults that fit the number of posts.

The numbers are rules of thumb. A tag is kept where it has a handful of pictures in a small folder, and
hundreds in a large one, where rarer tags would outnumber the others; one picture in ten (in five of a small
folder) judges the model, which never learns from it. Nothing is left out for its rating.
"""

import bisect
import json
import re
from collections.abc import Collection, Mapping
from typing import Any

from Utils.data.definition import Definition
from Utils.tags import tag_categories

# Words about the quality, size and age of a picture, which captions for image generators begin with. They are
# no content that a tagger could see in a picture of its size.
QUALITY_WORDS = (
    "masterpiece", "best_quality", "amazing_quality", "great_quality", "high_quality", "good_quality",
    "normal_quality", "average_quality", "medium_quality", "low_quality", "bad_quality", "worst_quality",
    "very_aesthetic", "aesthetic", "displeasing", "very_displeasing", "highres", "absurdres",
    "incredibly_absurdres", "lowres", "hires", "ultra-detailed", "highly_detailed", "extremely_detailed",
    "newest", "oldest",
    *(f"score_{number}" for number in range(1, 10)), *(f"score_{number}_up" for number in range(4, 9)),
)  # fmt: skip

# Least number of posts, and what holds from there on.
_LEAST_IMAGES = [(0, 1), (10, 2), (50, 3), (200, 5), (1000, 10), (5000, 20), (20_000, 50), (100_000, 200),
                 (500_000, 600)]  # fmt: skip
_SHARES = [
    (0, {"train": 0.8, "validation": 0.2}),
    (200, {"train": 0.9, "validation": 0.1}),
    (20_000, {"train": 0.9, "validation": 0.05, "test": 0.05}),
]
_SIDES = (64, 96, 128, 192, 256, 384, 512)
_MAX_TAGS = 12_000  # about as many as the largest released taggers have


def propose(name: str, num_posts: int, tags: Any, longest_side: int) -> tuple[Definition, dict[str, str]]:
    """Return a definition and ``{field: reason}`` of the fields whose value follows from the posts.

    Args:
        name: of the dataset; letters that names of datasets lack are replaced.
        num_posts: posts with a picture.
        tags: of the source, with columns name, category and count.
        longest_side: median of the longer sides of the pictures, in pixels.
    """
    most = int(tags["count"].max()) if len(tags) else 1
    by_number = _value_at(_LEAST_IMAGES, num_posts)
    least = min(by_number, max(most, 1))
    shares = _value_at(_SHARES, num_posts)
    side = _SIDES[min(bisect.bisect_left(_SIDES, longest_side), len(_SIDES) - 1)]
    names, left_out = tag_categories.names_of(tags), ("meta", "rating")
    codes = sorted(int(code) for code in tags["category"].unique())
    categories = [code for code in codes if tag_categories.name_of(code, names) not in left_out] or [0]
    definition = Definition(
        name=re.sub(r"[^A-Za-z0-9._-]+", "_", name).lstrip(".-") or "dataset",
        image_size=side,
        splits=shares,
        ratings=("g", "s", "q", "e"),
        categories=tuple(categories),
        min_tag_count=0,
        min_tag_images=least,
        min_tag_share=0.0,
        max_tags=_MAX_TAGS,
        min_tags_per_image=1,
        exclude_tags=QUALITY_WORDS,
    )
    judged = " and ".join(f"{share:.0%} {split}" for split, share in shares.items() if split != "train")
    fewer = f"; {by_number} would leave no tag" if least < by_number else ""
    reasons = {
        "image_size": f"half of the pictures have {longest_side} pixels or more on their longer side",
        "splits": f"{judged} of {num_posts:,} posts; drawn by content, so copies stay together",
        "categories": "all that the source has, without meta and ratings",
        "min_tag_images": f"fits {num_posts:,} posts{fewer}",
        "min_tags_per_image": "a picture without a tag says nothing about tags",
        "exclude_tags": f"{len(QUALITY_WORDS)} words about quality, which no picture shows",
    }
    return definition, reasons


def _value_at(table: Collection[tuple[int, Any]], number: int) -> Any:
    """Return the value of the last row whose number is not above ``number``."""
    return [value for least, value in table if least <= number][-1]


def to_toml(definition: Definition, reasons: Mapping[str, str] | None = None) -> str:
    """Return the text of definition.toml, which `read_definition` reads as the same definition.

    Args:
        reasons: comments by field.
    """
    lines = ["# python tools/select_tags.py THIS_FILE ... --overwrite selects again by these rules."]
    for field, value in vars(definition).items():
        if value is None:
            continue
        if field in (reasons or {}):
            lines.append(f"# {(reasons or {})[field]}")
        lines.append(f"{field} = {_toml(value)}")
    return "\n".join([*lines, ""])


def _toml(value: Any) -> str:
    if isinstance(value, Mapping):
        return f"{{{', '.join(f'{key} = {_toml(item)}' for key, item in value.items())}}}"
    if isinstance(value, (list, tuple)):
        items = [_toml(item) for item in value]
        one_line = f"[{', '.join(items)}]"
        return one_line if len(one_line) < 90 else "\n    ".join(["[", *_wrapped(items)]) + "\n]"
    # Strings of JSON are strings of TOML, but for DEL, which JSON does not escape.
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def _wrapped(items: Collection[str]) -> list[str]:
    lines, line = [], ""
    for item in items:
        if line and len(line) + len(item) > 100:
            lines.append(line.rstrip())
            line = ""
        line += f"{item}, "
    return [*lines, line.rstrip()]
