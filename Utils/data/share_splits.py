"""Splits that are shares of the posts, drawn by the content of the pictures.

Posts whose pictures are the same, byte for byte, or that a table of near-duplicates groups, are one unit and
come into one split whatever they are called. Units are assigned by iterative stratification (Sechidis,
Tsoumakas and Vlahavas: On the Stratification of Multi-Label Data, ECML PKDD 2011, algorithm 1): the rarest
tag first, each of its units to the split that lacks most of that tag. So a tag of few pictures has some in
every split. Ties go to the split that is furthest from its share. Units come in the order of their hashes:
names and time decide nothing.
"""

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import pandas as pd

from Utils.command.cli import UserError
from Utils.command.text import counted
from Utils.data.definition import SPLITS


def units_of(ids: np.ndarray, digests: Sequence[str], groups: pd.DataFrame | None = None) -> np.ndarray:
    """Return the unit of every post, (P,) int64: numbers from 0, in the order of the least digest of each.

    Args:
        ids: (P,) post ids.
        digests: P hashes of the pictures' bytes.
        groups: columns group and post_id: posts that show nearly the same picture.
    """
    parents = np.unique(np.array(digests, str), return_inverse=True)[1].astype(np.int64)
    # Now every post has the number of its content, in the order of the digests; groups join contents.
    leaders = np.arange(parents.max(initial=-1) + 1)

    def leader(content: int) -> int:
        while leaders[content] != content:
            leaders[content] = leaders[leaders[content]]
            content = leaders[content]
        return content

    if groups is not None:
        content_of = dict(zip(ids.tolist(), parents.tolist(), strict=True))
        for _, members in groups.groupby("group")["post_id"]:
            contents = [content_of[post] for post in members.tolist() if post in content_of]
            for content in contents[1:]:
                low, high = sorted((leader(contents[0]), leader(content)))
                leaders[high] = low
    roots = np.array([leader(content) for content in range(len(leaders))], np.int64)
    return np.unique(roots[parents], return_inverse=True)[1].astype(np.int64)


def draw(units: np.ndarray, offsets: np.ndarray, tags: np.ndarray, shares: Mapping[str, float]) -> np.ndarray:
    """Return the row of SPLITS of every post, (P,) int8.

    Args:
        units: (P,) as `units_of` returns them.
        offsets, tags: post i has the tags ``tags[offsets[i]:offsets[i + 1]]``, small numbers.
        shares: of the splits, adding up to 1.

    Raises UserError where there are fewer units than splits.
    """
    num_units = int(units.max(initial=-1)) + 1
    if num_units < len(shares):
        raise UserError(
            f"{counted(len(units), 'post')} with {counted(num_units, 'different picture')} cannot be divided "
            f"into {len(shares)} splits ({', '.join(shares)}); add pictures, or name fewer splits in the "
            "definition"
        )
    names = sorted(shares, key=SPLITS.index)
    parts = np.array([shares[name] for name in names])
    sizes = np.bincount(units, minlength=num_units)
    of_unit = _tags_of_units(units, offsets, tags, num_units)
    splits = _stratify(of_unit, sizes, parts)
    _fill(splits, of_unit, len(names))
    return np.array([SPLITS.index(name) for name in names], np.int8)[splits][units]


def _tags_of_units(
    units: np.ndarray, offsets: np.ndarray, tags: np.ndarray, num_units: int
) -> list[np.ndarray]:
    """Return the tags of every unit, those of its posts together, ascending."""
    num_tags = int(tags.max(initial=-1)) + 1
    cells = np.unique(np.repeat(units, np.diff(offsets)) * max(num_tags, 1) + tags)
    sizes = np.bincount(cells // max(num_tags, 1), minlength=num_units)
    return np.split(cells % max(num_tags, 1), np.cumsum(sizes)[:-1])


def _stratify(of_unit: list[np.ndarray], sizes: np.ndarray, parts: np.ndarray) -> np.ndarray:
    """Return the split of every unit, places in ``parts``: algorithm 1 of the paper."""
    every_tag = np.concatenate(of_unit)
    unassigned = np.bincount(every_tag)  # units by tag
    owners = np.repeat(np.arange(len(of_unit)), [len(row) for row in of_unit])
    units_by_tag = np.split(owners[np.argsort(every_tag, kind="stable")], np.cumsum(unassigned)[:-1])
    lacking = parts[:, None] * unassigned  # units of every tag that each split is still to get
    lacking_posts = parts * sizes.sum()
    splits = np.full(len(of_unit), -1, np.int64)

    def assign(unit: int, wish: np.ndarray) -> None:
        # Rounded, so that sums of shares that differ in the last bit are ties.
        still_free = lacking_posts / parts  # of a split's posts, as a share of all
        split = min(
            range(len(parts)),
            key=lambda place: (-round(wish[place], 9), -round(still_free[place], 9), parts[place], place),
        )
        splits[unit] = split
        lacking[split, of_unit[unit]] -= 1
        lacking_posts[split] -= sizes[unit]
        unassigned[of_unit[unit]] -= 1

    while (unassigned > 0).any():
        tag = int(np.where(unassigned > 0, unassigned, np.iinfo(np.int64).max).argmin())
        for unit in units_by_tag[tag].tolist():
            if splits[unit] < 0:
                assign(unit, lacking[:, tag])
    for unit in np.flatnonzero(splits < 0).tolist():
        assign(unit, lacking_posts)
    return splits


def _fill(splits: np.ndarray, of_unit: list[np.ndarray], num_splits: int) -> None:
    """Give every empty split one unit of the fullest, in place: one whose tags the fullest loses least of."""
    for split in range(num_splits):
        if (splits == split).any():
            continue
        donor = np.flatnonzero(splits == np.bincount(splits, minlength=num_splits).argmax())
        counts = np.bincount(_joined(of_unit[unit] for unit in donor))
        lost = [(int((counts[of_unit[unit]] == 1).sum()), unit) for unit in donor.tolist()]
        splits[min(lost)[1]] = split


def _joined(parts: Iterable[np.ndarray]) -> np.ndarray:
    return np.concatenate([np.empty(0, np.int64), *parts])
