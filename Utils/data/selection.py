"""The rules that select the posts and tags of a dataset: pure functions on blocks of posts and tag lists.

Order, one pass each: exclude_tags and include_tags; categories and min_tag_count; ratings, status, split,
file present; min_tags_per_image; groups of duplicates; min_tag_images and min_tag_share; max_tags. A tag that
passed the rules up to min_tag_count is a candidate; the others can only be applied once all posts have been
seen. Splits that are shares are drawn last (`share_splits`).
"""

import collections
import dataclasses
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from Utils.command.cli import UserError
from Utils.command.text import counted
from Utils.data.danbooru_fields import RATING_NAMES, SAFE, STATUSES, require_one_alphabet
from Utils.data.definition import SPLIT_MODULUS, SPLITS, Definition
from Utils.data.sources.stream import PostBlock, sort_each_row
from Utils.data.split_list import split_rule
from Utils.tags import tag_categories
from Utils.tags.tag_list import RATINGS, ordered

FIRST_RATING_ID = 9999999  # general; the other three count down, as in released tag lists

FindFiles = Callable[[np.ndarray, np.ndarray | None], np.ndarray]  # (ids, keys) -> file numbers, -1 for none
Step = dict[str, Any]  # {"rule": name, "before": number, "after": number}


@dataclasses.dataclass(frozen=True)
class SelectedPosts:
    """Posts of one block that passed; P posts with T candidate tags together."""

    ids: np.ndarray  # (P,) int64
    splits: np.ndarray  # (P,) int8, rows of SPLITS
    ratings: np.ndarray  # (P,) uint8, code point of the letter, 0 for none
    files: np.ndarray  # (P,) int64, file numbers of the image folder; int8 zeros where the posts have paths
    sizes: np.ndarray  # (P,) int32, candidate tags of each post
    tag_rows: np.ndarray  # (T,) rows of the candidate list, post after post
    paths: pa.StringArray | None = None  # (P,) of sources that find the files themselves
    contents: np.ndarray | None = None  # (P,) int64 picture_contents.number_of each picture; None: not read

    def where(self, mask: np.ndarray) -> "SelectedPosts":
        """Return the posts at which ``mask`` (P,) is true."""
        names = ("ids", "splits", "ratings", "files", "sizes")
        changes = {name: getattr(self, name)[mask] for name in names}
        if self.paths is not None:
            changes["paths"] = self.paths.filter(pa.array(mask))
        if self.contents is not None:
            changes["contents"] = self.contents[mask]
        return dataclasses.replace(self, tag_rows=self.tag_rows[np.repeat(mask, self.sizes)], **changes)


def candidate_tags(
    tags: pd.DataFrame, definition: Definition
) -> tuple[pd.DataFrame, list[Step], pd.DataFrame]:
    """Apply exclude_tags, include_tags, categories and min_tag_count to the tags of a source.

    Returns ``(tags that pass all, by id; a step for each rule; dropped tags)``, the last with a column rule.
    Tags of other categories are not listed: they are no tags of such a dataset.
    """
    rules = {}
    if definition.exclude_tags:
        rules["exclude_tags"] = ~tags["name"].isin(list(definition.exclude_tags))
    if definition.include_tags is not None:
        rules["include_tags"] = tags["name"].isin(list(definition.include_tags))
    else:
        rules["categories"] = tags["category"].isin(category_codes(tags, definition))
        rules["min_tag_count"] = tags["count"] >= definition.min_tag_count
    passed, steps, dropped = np.ones(len(tags), bool), [], []
    for rule, mask in rules.items():
        before, passed = passed, passed & mask.to_numpy()
        steps.append({"rule": rule, "before": int(before.sum()), "after": int(passed.sum())})
        if rule not in ("categories", "include_tags"):
            dropped.append(tags.loc[before & ~passed].assign(rule=rule))
    dropped = pd.concat(dropped, ignore_index=True) if dropped else tags.iloc[:0].assign(rule="")
    return tags.loc[passed].sort_values("tag_id", ignore_index=True), steps, dropped


def category_codes(tags: pd.DataFrame, definition: Definition) -> list[int]:
    """Return the codes of the definition's categories among the tags of a source, which names its own.

    A name that the source does not have gives none: another source of the same definition may have it.
    """
    names = tag_categories.names_of(tags)
    code_of = {name: code for code, name in names.items()}
    meta = [] if tag_categories.CODES["meta"] in names else [tag_categories.CODES["meta"]]
    codes = []
    for category in definition.categories:
        if isinstance(category, int):
            codes.append(category)
        else:
            codes += [code_of[category]] if category in code_of else meta if category == "meta" else []
    return codes


def _post_rules(
    block: PostBlock, definition: Definition, keep_unrated: bool, splits: np.ndarray
) -> Iterator[tuple[str, np.ndarray]]:
    """Yield ``(reason, mask of the posts that pass)`` in order, of the rules without files and tags."""
    letters = [ord(letter) for letter in definition.ratings] + [0] * keep_unrated
    # Ratings begin with their letters. Without a map safe is the letter s, which the definition then means.
    if (definition.ratings_map or {}).get("safe", "s")[0] in definition.ratings:
        letters.append(ord(SAFE))
    yield f"rating not {' '.join(definition.ratings)}", np.isin(block.ratings, letters)
    for name in definition.exclude_status:
        yield f"status {name}", (block.status >> STATUSES.index(name)) & 1 == 0
    if not definition.shares:
        yield "id in no split", splits >= 0


class PostFilter:
    """Applies the rules for posts, block by block, and counts the posts that each of them excludes.

    Args:
        tag_ids: (C,) ascending ids of the candidate tags.
        find: the lookup of image files; None where the blocks have paths.
        keep_unrated: whether posts without a rating pass the rating rule.

    Attributes:
        excluded: ``{reason: posts}`` in the order of the rules.
        missing: arrays of the ids of posts whose file is missing.
        untagged: ``(post id, path)`` of posts with too few tags, of sources that know the paths.
        ratings: ``{letter: posts}``, of those seen so far; "" for none.
        num_posts: posts seen so far.
    """

    def __init__(
        self,
        definition: Definition,
        tag_ids: np.ndarray,
        find: FindFiles | None = None,
        keep_unrated: bool = False,
    ) -> None:
        self._definition, self._tag_ids, self._find = definition, tag_ids, find
        self._keep_unrated = keep_unrated
        self._split_rule = split_rule(definition)
        self.ratings: collections.Counter[str] = collections.Counter()
        self._row_dtype = np.min_scalar_type(max(len(tag_ids), 1))
        self.excluded: collections.Counter[str] = collections.Counter()
        self.missing: list[np.ndarray] = []
        self.untagged: list[tuple[int, str]] = []
        self.num_posts = 0

    def select(self, block: PostBlock) -> SelectedPosts:
        """Return the posts of one block that pass."""
        passed = np.ones(len(block.ids), bool)
        self.num_posts += len(passed)
        for code, number in zip(*np.unique(block.ratings, return_counts=True), strict=True):
            self.ratings[chr(code) if code > 0 else ""] += int(number)
        splits = self._split_rule(block.ids)
        for reason, mask in _post_rules(block, self._definition, self._keep_unrated, splits):
            self._apply(reason, passed, mask)
        files = np.zeros(len(passed), np.int8) if self._find is None else np.full(len(passed), -1)
        if self._find is not None:
            # Only for posts that are left: a lookup of a file costs more than all rules before it.
            files[passed] = self._find(block.ids[passed], None if block.keys is None else block.keys[passed])
            self.missing.append(block.ids[passed & (files < 0)])
            self._apply("file missing", passed, files >= 0)
        sizes, tag_rows = self._candidates(block)
        least = self._definition.min_tags_per_image
        if block.paths is not None:
            rows = np.flatnonzero(passed & (sizes < least)).tolist()
            self.untagged += [(int(block.ids[row]), block.paths[row]) for row in rows]
        self._apply(f"fewer than {counted(least, 'tag')}", passed, sizes >= least)
        ratings = block.ratings.clip(0, 255).astype(np.uint8)
        paths = None if block.paths is None else pa.array(block.paths, pa.string())
        return SelectedPosts(block.ids, splits, ratings, files, sizes, tag_rows, paths).where(passed)

    def require_one_alphabet(self) -> None:
        """Raise UserError where the ratings of the posts seen so far cannot say which of them to keep."""
        kept = self._definition.ratings
        if ("g" in kept) != ("s" in kept):
            require_one_alphabet(set(self.ratings) - {""}, self._definition.ratings_map)

    def _apply(self, reason: str, passed: np.ndarray, mask: np.ndarray) -> None:
        """Narrow ``passed`` in place; a post counts for the first rule that excludes it."""
        self.excluded[reason] += int((passed & ~mask).sum())
        passed &= mask

    def _candidates(self, block: PostBlock) -> tuple[np.ndarray, np.ndarray]:
        """Return the number of candidate tags of each post (P,) and their rows, post after post."""
        if not len(self._tag_ids):
            return np.zeros(len(block.ids), np.int32), np.empty(0, self._row_dtype)
        rows = np.minimum(np.searchsorted(self._tag_ids, block.tag_ids), len(self._tag_ids) - 1)
        is_candidate = self._tag_ids[rows] == block.tag_ids
        before = np.concatenate([[0], np.cumsum(is_candidate)])
        # The smallest dtype: these rows stay in memory for all posts until the tags are selected.
        return np.diff(before[block.offsets]).astype(np.int32), rows[is_candidate].astype(self._row_dtype)


def duplicates_of_earlier_splits(groups: pd.DataFrame, ids: np.ndarray, splits: np.ndarray) -> np.ndarray:
    """Return the ids to exclude, int64 and ascending: posts with a near-duplicate in an earlier split.

    Args:
        groups: DataFrame with columns group and post_id.
        ids, splits: (N,) the selected posts and their rows of SPLITS.

    Only selected posts count: a group's first split is the first of train, validation, test with one of them.
    """
    selected = pd.DataFrame({"post_id": ids, "split": splits})
    members = groups[["group", "post_id"]].drop_duplicates().merge(selected, on="post_id")
    first_split = members.groupby("group")["split"].transform("min")
    return np.unique(members.loc[members["split"] > first_split, "post_id"].to_numpy(np.int64))


def require_filled_splits(blocks: Sequence[SelectedPosts], definition: Definition) -> None:
    """Raise UserError where a split of the definition has no post; the error has ranges that would do."""
    counts = np.zeros(len(SPLITS), np.int64)
    for block in blocks:
        counts += np.bincount(block.splits, minlength=len(SPLITS))
    if definition.split_file is not None:
        if not counts[SPLITS.index("train")]:
            raise UserError(f"no post is in train by {definition.split_file}")
        return
    ranges = definition.ranges
    empty = [name for name in ranges if not counts[SPLITS.index(name)]]
    if not empty:
        return
    ids = np.concatenate([block.ids for block in blocks])
    held = ", ".join(f"{name} {counts[SPLITS.index(name)]}" for name in ranges)
    raise UserError(
        f"no post falls into {' and '.join(empty)}: splits are ranges of the post id modulo {SPLIT_MODULUS}, "
        f"and {counted(len(ids), 'post gives', 'posts give')} {held}. {_fitting_splits(ids, ranges)}"
    )


def _fitting_splits(ids: np.ndarray, splits: Mapping[str, tuple[int, int]]) -> str:
    """Return advice: splits of about the same proportions that all have posts, or to leave some out."""
    residues = np.sort(ids % SPLIT_MODULUS)
    names = sorted(splits, key=lambda name: splits[name])
    if len(np.unique(residues)) < len(names):
        return "Leave the empty ones out of splits in the definition, or add posts"
    sizes = np.array([splits[name][1] - splits[name][0] + 1 for name in names], np.float64)
    ranges, start = [], 0
    for place, name in enumerate(names):
        later = np.unique(residues[residues >= start])
        last_index = len(later) - len(names) + place  # leaves one number at least to every later split
        share = np.searchsorted(
            later, residues[int(sizes[: place + 1].sum() / sizes.sum() * len(residues)) - 1]
        )
        end = SPLIT_MODULUS - 1 if name == names[-1] else int(later[min(share, last_index)])
        ranges.append(f"{name} = [{start}, {end}]")
        start = end + 1
    return (
        "Shares (train = 0.9, validation = 0.1) are drawn by content, whatever the ids (docs/data.md). "
        f"In the definition these would do: splits = {{{', '.join(ranges)}}}"
    )


def count_images(blocks: Iterable[SelectedPosts], num_candidates: int) -> np.ndarray:
    """Count the selected posts of every candidate tag, over all splits as the original did: (C,) int64."""
    counts = np.zeros(num_candidates, np.int64)
    for block in blocks:
        counts += np.bincount(block.tag_rows, minlength=num_candidates)
    return counts


def select_tags(
    frame: pd.DataFrame, images: np.ndarray, num_selected: int, num_posts: int, definition: Definition
) -> tuple[np.ndarray, list[Step], pd.DataFrame]:
    """Apply min_tag_images, min_tag_share and max_tags.

    Args:
        frame: the candidate tags (C rows).
        images: (C,) selected posts with each tag.
        num_selected, num_posts: selected posts and posts in the source.

    With include_tags only the tags on no selected post are dropped: the list says what is wanted.

    Returns ``(mask (C,), a step for each rule, dropped tags)``, the last with columns images and rule. A tag
    is below min_tag_share where ``images < min_tag_share * count * num_selected / num_posts``. The most
    frequent tags are those on most selected posts, then those with the larger count, then the smaller id.
    """
    expected = frame["count"].to_numpy() * (num_selected / max(num_posts, 1))
    order = np.lexsort((frame["tag_id"], -frame["count"].to_numpy(), -images))

    def most_frequent(passed: np.ndarray) -> np.ndarray:
        mask = np.zeros(len(frame), bool)
        mask[order[passed[order]][: definition.max_tags]] = True
        return mask

    rules: dict[str, Callable[[np.ndarray], np.ndarray]] = {
        "min_tag_images": lambda passed: images >= definition.min_tag_images,
        "min_tag_share": lambda passed: images >= definition.min_tag_share * expected,
        "max_tags": most_frequent,
    }
    if definition.include_tags is not None:
        rules = {"on no kept image": lambda passed: images > 0}
    passed, steps, dropped_by = np.ones(len(frame), bool), [], np.full(len(frame), "", object)
    for rule, mask_of in rules.items():
        mask = mask_of(passed)
        dropped_by[passed & ~mask] = rule
        steps.append({"rule": rule, "before": int(passed.sum()), "after": int((passed & mask).sum())})
        passed = passed & mask
    return passed, steps, frame.assign(images=images, rule=dropped_by).loc[~passed]


def rating_tags(
    rating_counts: Mapping[str, int], ratings_map: Mapping[str, str] | None = None
) -> tuple[pd.DataFrame, dict[int, str]]:
    """Return the four ratings as rows of a tag list, and ``{code point of a letter: rating}``.

    Args:
        rating_counts: ``{letter: posts}`` of the source.
        ratings_map: as in a `Definition`.

    Raises UserError where the source has no ratings, or only the letters used before April 2022 (s q e, s for
    safe) and ``ratings_map`` does not say which is which.
    """
    if not rating_counts:
        raise UserError("ratings_as_labels is true, but no post of the source has a rating")
    require_one_alphabet(rating_counts, ratings_map)
    if ratings_map is None and "g" not in rating_counts:
        letters = " ".join(sorted("safe" if letter == SAFE else letter for letter in rating_counts))
        raise UserError(
            f"ratings_as_labels needs the four letters g s q e; the source has {letters}, "
            "as boorus had before April 2022, when s meant safe. Say which is which, for instance "
            'ratings_map = {s = "general", q = "questionable", e = "explicit"}, or leave it out'
        )
    names = {letter: name for letter, name in (ratings_map or {}).items() if letter != "safe"} or RATING_NAMES
    safe = (ratings_map or {}).get("safe") or names.get("s")
    names = {**names, **({SAFE: safe} if safe else {})}
    posts = collections.Counter()
    for letter, name in names.items():
        posts[name] += rating_counts.get(letter, 0)
    rows = [
        (FIRST_RATING_ID - i, name, tag_categories.CODES["rating"], posts[name])
        for i, name in enumerate(RATINGS)
    ]
    frame = pd.DataFrame(rows, columns=["tag_id", "name", "category", "count"])
    return frame, {ord(letter): name for letter, name in names.items()}


def final_tag_list(
    frame: pd.DataFrame, passed: np.ndarray, ratings: pd.DataFrame | None = None
) -> tuple[pd.DataFrame, np.ndarray]:
    """Return the ordered tag list of the candidates that passed and the ratings, and each candidate's label.

    Returns ``(list, labels (C,) int64)``; the label of a dropped tag is -1.
    """
    parts = [frame[passed]] if ratings is None else [ratings, frame[passed]]
    tags = ordered(pd.concat(parts, ignore_index=True))
    if tags["tag_id"].duplicated().any():
        is_rating = tags["category"] == tag_categories.CODES["rating"]
        clashing = tags[tags["tag_id"].isin(tags["tag_id"][is_rating]) & ~is_rating]
        names = ", ".join(f"{name} ({tag_id})" for tag_id, name in clashing[["tag_id", "name"]].to_numpy())
        raise UserError(
            f"the source has tags of category other than rating with the ids of the four ratings: {names}. "
            "Give them other ids, or leave them out by exclude_tags in the definition; with "
            "ratings_as_labels = false the ratings are no tags"
        )
    labels = np.full(len(frame), -1, np.int64)
    label_of_id = pd.Series(np.arange(len(tags)), index=tags["tag_id"])
    labels[np.flatnonzero(passed)] = label_of_id.loc[frame["tag_id"][passed]].to_numpy()
    return tags, labels


def label_indexes(
    block: SelectedPosts, labels: np.ndarray, rating_labels: Mapping[int, int] | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Return ``(offsets (P + 1,), label indexes (T,) ascending within a post)`` of a block of selected posts.

    Args:
        labels: (C,) label of each candidate, -1 for none.
        rating_labels: ``{code point: label}`` if ratings are labels.
    """
    posts = np.repeat(np.arange(len(block.ids)), block.sizes)
    values = labels[block.tag_rows]
    posts, values = posts[values >= 0], values[values >= 0]
    for code, label in (rating_labels or {}).items():
        rated = np.flatnonzero(block.ratings == code)
        posts = np.concatenate([posts, rated])
        values = np.concatenate([values, np.full(len(rated), label)])
    order = np.argsort(posts, kind="stable")
    return sort_each_row(np.bincount(posts, minlength=len(block.ids)), values[order])
