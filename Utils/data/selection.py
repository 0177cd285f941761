"""The rules that make a dataset of a booru: pure functions on blocks of posts and on the tag list.

Order, one pass each: categories and min_tag_count; ratings, status, split, file present; min_tags_per_image;
groups of duplicates; min_tag_images and min_tag_share; max_tags.
"""

import collections
import dataclasses

import numpy as np
import pandas as pd

from Utils.command.cli import UserError
from Utils.data.definition import LETTERS, MODULUS, SPLITS, STATUSES
from Utils.data.sources import rising
from Utils.tags.tag_list import CATEGORIES, RATINGS, ordered

FIRST_RATING_ID = 9999999  # general; the other three count down, as in released tag lists


@dataclasses.dataclass(frozen=True)
class Kept:
    """Posts of one block that passed; P posts with T candidate tags together."""

    ids: np.ndarray  # (P,) int64
    splits: np.ndarray  # (P,) int8, rows of SPLITS
    ratings: np.ndarray  # (P,) uint8, code point of the letter, 0 for none
    places: np.ndarray  # (P,) int64, file numbers of the image folder or rows of paths
    sizes: np.ndarray  # (P,) int32, candidate tags of each post
    rows: np.ndarray  # (T,) rows of the candidate list
    paths: list | None = None

    def where(self, mask):
        """Return the posts at which ``mask`` (P,) holds."""
        names = ("ids", "splits", "ratings", "places", "sizes")
        changes = {name: getattr(self, name)[mask] for name in names}
        return dataclasses.replace(self, rows=self.rows[np.repeat(mask, self.sizes)], **changes)


def candidates(tags, definition):
    """Return ``(tags that pass categories and min_tag_count, by id; [counts of the two rules]; dropped)``.

    ``dropped`` are the tags that min_tag_count leaves out, with a column rule.
    """
    frame, steps, dropped = tags, [], None
    named = frame["category"].isin(definition.categories)
    rules = (("categories", named), ("min_tag_count", frame["count"] >= definition.min_tag_count))
    for rule, passes in rules:
        kept = frame[passes.loc[frame.index]]
        steps.append({"rule": rule, "before": len(frame), "after": len(kept)})
        dropped = frame[~passes.loc[frame.index]].assign(rule=rule)
        frame = kept
    return frame.sort_values("tag_id", ignore_index=True), steps, dropped


def splits_of(ids, definition):
    """Return the row of SPLITS for every post id, -1 where no split takes it: int8 (P,)."""
    table = np.full(MODULUS, -1, np.int8)
    for name, (low, high) in definition.splits.items():
        table[low : high + 1] = SPLITS.index(name)
    return table[ids % MODULUS]


def post_rules(block, definition, keep_unrated):
    """Yield ``(reason, mask of the posts that pass)`` in order, for what needs neither files nor tags."""
    letters = [ord(letter) for letter in definition.ratings] + [0] * keep_unrated
    yield f"rating not {' '.join(definition.ratings)}", np.isin(block.ratings, letters)
    for name in definition.exclude_status:
        yield f"status {name}", (block.status >> STATUSES.index(name)) & 1 == 0
    yield "id in no split", splits_of(block.ids, definition) >= 0


class Sieve:
    """Applies the rules for posts, block by block, and counts what every one of them leaves out.

    Args:
        tag_ids: (C,) rising ids of the candidate tags.
        find: ``(ids, keys) -> file numbers`` (-1 missing), or None where blocks bring their paths.
    """

    def __init__(self, definition, tag_ids, find=None, keep_unrated=False):
        self.definition, self.tag_ids, self.find, self.keep_unrated = definition, tag_ids, find, keep_unrated
        self.left_out = collections.Counter()  # reason -> posts, in the order of the rules
        self.missing = []  # arrays of the ids whose file is missing
        self.posts = 0
        self._small = np.min_scalar_type(max(len(tag_ids), 1))

    def keep(self, block):
        """Return the `Kept` posts of one block."""
        alive = np.ones(len(block.ids), bool)
        self.posts += len(alive)
        for reason, passes in post_rules(block, self.definition, self.keep_unrated):
            self._count(reason, alive, passes)
        places = np.arange(len(alive)) if self.find is None else np.full(len(alive), -1)
        if self.find is not None:
            keys = None if block.keys is None else block.keys[alive]
            places[alive] = self.find(block.ids[alive], keys)
            self.missing.append(block.ids[alive & (places < 0)])
            self._count("file missing", alive, places >= 0)
        sizes, rows = self._candidates(block)
        least = self.definition.min_tags_per_image
        self._count(f"fewer than {least} tags", alive, sizes >= least)
        splits = splits_of(block.ids, self.definition)
        ratings = block.ratings.clip(0, 255).astype(np.uint8)
        return Kept(block.ids, splits, ratings, places, sizes, rows, block.paths).where(alive)

    def _count(self, reason, alive, passes):
        self.left_out[reason] += int((alive & ~passes).sum())
        alive &= passes

    def _candidates(self, block):
        """Return the number of candidate tags of each post (P,) and their rows, post after post."""
        if not len(self.tag_ids):
            return np.zeros(len(block.ids), np.int32), np.empty(0, self._small)
        place = np.minimum(np.searchsorted(self.tag_ids, block.tag_ids), len(self.tag_ids) - 1)
        known = self.tag_ids[place] == block.tag_ids
        before = np.concatenate([[0], np.cumsum(known)])
        return np.diff(before[block.offsets]).astype(np.int32), place[known].astype(self._small)


def group_leavers(groups, ids, splits):
    """Return the ids that are left out because a near-duplicate of theirs is in an earlier split.

    Args:
        groups: DataFrame with columns group and post_id.
        ids, splits: (N,) the posts kept so far and their rows of SPLITS.

    Only posts that are kept count: a group's first split is the first of train, validation, test with one.
    """
    kept = pd.DataFrame({"post_id": ids, "split": splits})
    members = groups[["group", "post_id"]].drop_duplicates().merge(kept, on="post_id")
    first = members.groupby("group")["split"].transform("min")
    return np.unique(members.loc[members["split"] > first, "post_id"].to_numpy(np.int64))


def tag_images(blocks, num_candidates):
    """Count the kept posts of every candidate tag, over all splits as the original did: (C,) int64."""
    counts = np.zeros(num_candidates, np.int64)
    for block in blocks:
        counts += np.bincount(block.rows, minlength=num_candidates)
    return counts


def choose_tags(frame, images, num_kept, num_posts, definition):
    """Apply min_tag_images, min_tag_share and max_tags.

    Args:
        frame: the candidate tags (C rows); ``images``: (C,) kept posts with each.
        num_kept, num_posts: posts kept and posts in the source.

    Returns ``(mask (C,), [counts of the rules], tags left out)``, these with columns images and rule. A share
    below min_tag_share means that ``images < min_tag_share * count * num_kept / num_posts``. The most
    frequent are those on most kept posts, then those with the larger count, then the smaller id.
    """
    expected = frame["count"].to_numpy() * (num_kept / max(num_posts, 1))
    order = np.lexsort((frame["tag_id"], -frame["count"].to_numpy(), -images))
    alive, steps, rules = np.ones(len(frame), bool), [], np.full(len(frame), "", object)
    for rule in ("min_tag_images", "min_tag_share", "max_tags"):
        if rule == "min_tag_images":
            passes = images >= definition.min_tag_images
        elif rule == "min_tag_share":
            passes = images >= definition.min_tag_share * expected
        else:
            passes = np.zeros(len(frame), bool)
            passes[order[alive[order]][: definition.max_tags]] = True
        rules[alive & ~passes] = rule
        steps.append({"rule": rule, "before": int(alive.sum()), "after": int((alive & passes).sum())})
        alive &= passes
    return alive, steps, frame.assign(images=images, rule=rules)[~alive]


def rating_rows(definition, counts):
    """Return the four ratings as rows of a tag list, and ``{code point: rating name}``.

    Args:
        counts: ``{letter: posts}`` of the source.

    Raises UserError where the source's letters are those before April 2022 (s q e, s meaning safe) and
    ``ratings_map`` does not say which is which, or where it has no ratings at all.
    """
    if not counts:
        raise UserError("ratings_as_labels is true, but no post of the source has a rating")
    if definition.ratings_map is None and "g" not in counts:
        raise UserError(
            f"ratings_as_labels needs the four letters g s q e; the source has {' '.join(sorted(counts))}, "
            "as boorus had before April 2022, when s meant safe. Say which is which, for instance "
            'ratings_map = {s = "general", q = "questionable", e = "explicit"}, or leave it out'
        )
    mapped = definition.ratings_map or LETTERS
    posts = {
        name: sum(counts.get(letter, 0) for letter, to in mapped.items() if to == name) for name in RATINGS
    }
    rows = [(FIRST_RATING_ID - i, name, CATEGORIES["rating"], posts[name]) for i, name in enumerate(RATINGS)]
    return pd.DataFrame(rows, columns=["tag_id", "name", "category", "count"]), {
        ord(letter): name for letter, name in mapped.items()
    }


def tag_list(frame, alive, ratings=None):
    """Return the ordered tag list of the tags that live, with the rating rows, and each candidate's label.

    Returns ``(list, labels (C,) int64)`` where the label of a tag that was left out is -1.
    """
    parts = [frame[alive]] if ratings is None else [ratings, frame[alive]]
    final = ordered(pd.concat(parts, ignore_index=True))
    if final["tag_id"].duplicated().any():
        raise UserError("the source has tags of category other than rating with the ids of the four ratings")
    labels = np.full(len(frame), -1, np.int64)
    positions = pd.Series(np.arange(len(final)), index=final["tag_id"])
    labels[np.flatnonzero(alive)] = positions.loc[frame["tag_id"][alive]].to_numpy()
    return final, labels


def label_lists(block, labels, rating_labels=None):
    """Return ``(offsets (P + 1,), label indexes (T,) rising within a post)`` of a block of kept posts.

    Args:
        labels: (C,) label of each candidate, -1 for none.
        rating_labels: ``{code point: label}`` where ratings are labels.
    """
    post = np.repeat(np.arange(len(block.ids)), block.sizes)
    values = labels[block.rows]
    post, values = post[values >= 0], values[values >= 0]
    for code, label in (rating_labels or {}).items():
        rated = np.flatnonzero(block.ratings == code)
        post, values = np.concatenate([post, rated]), np.concatenate([values, np.full(len(rated), label)])
    order = np.argsort(post, kind="stable")
    return rising(np.bincount(post, minlength=len(block.ids)), values[order])
