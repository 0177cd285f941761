"""Applies a definition to a source: which posts, which tags, which splits, and what each rule left out."""

import collections
import dataclasses
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import pandas as pd

from Utils.command.cli import UserError, progress
from Utils.command.text import counted, join_names
from Utils.data import danbooru_fields, default_definition, picture_contents, selection, share_splits
from Utils.data.definition import Definition
from Utils.data.selection import SelectedPosts, Step
from Utils.data.sources import stream
from Utils.data.sources.stream import Source
from Utils.images import image_folder
from Utils.images.picture_index import PictureIndex
from Utils.tags import tag_categories

_SAMPLE = 200  # pictures whose size the default definition looks at
TINY = 32  # pixels of the longer side

_DECIDED_BY = {  # by how a rule for posts begins
    "rating": "ratings of a definition decides that",
    "status": "exclude_status of a definition decides that",
    "id in no split": "splits of a definition decides that",
    "fewer than": "min_tags_per_image of a definition decides that, by the tags that its categories, "
    "min_tag_count, include_tags and exclude_tags leave",
}

Rejection = tuple[int, str, str]  # post id, path, reason


@dataclasses.dataclass(frozen=True)
class Pictures:
    """The pictures of a source's posts.

    Args:
        files: the index of the image folder; None where the source found the files itself.
        read_bytes: function path -> content of a picture.
    """

    files: PictureIndex | None
    read_bytes: Callable[[str], bytes]

    def paths(self, block: SelectedPosts) -> list[str]:
        """Return the paths of the posts of a block, relative to the place of the pictures."""
        if self.files is not None:
            return self.files.paths(block.files)
        assert block.paths is not None  # sources without an image folder find the files themselves
        return block.paths.to_pylist()


@dataclasses.dataclass(frozen=True)
class Selection:
    """The posts and tags that passed all rules, and how many each rule dropped."""

    definition: Definition
    blocks: list[SelectedPosts]
    tags: pd.DataFrame
    labels: np.ndarray  # candidate row -> label, -1 for none
    rating_labels: dict[int, int]  # code point -> label
    rejected: list[Rejection]  # posts without a usable picture or a tag, and what the source rejected
    post_steps: list[Step]
    tag_steps: list[Step]
    dropped: pd.DataFrame  # dropped tags: tag_id, name, category, count, images, rule
    num_copies: int = (
        0  # posts whose picture is, byte for byte, that of an earlier one; 0 where not looked for
    )

    def label_indexes(self, block: SelectedPosts) -> tuple[np.ndarray, np.ndarray]:
        """Return ``(offsets (P + 1,), label indexes (T,))`` of a block, as `selection.label_indexes`."""
        return selection.label_indexes(block, self.labels, self.rating_labels)


def default_for(source: Source, pictures: Pictures, name: str) -> tuple[Definition, dict[str, str]]:
    """Return the `default_definition` of a source and the reasons for its values."""
    everything = Definition("all", splits={"train": 1.0}, ratings=("g", "s", "q", "e"), min_tags_per_image=0)
    find = pictures.files.find if pictures.files else None
    post_filter = selection.PostFilter(everything, np.empty(0, np.int64), find, keep_unrated=True)
    num_posts, paths = 0, []
    for block in map(post_filter.select, source.blocks()):
        num_posts += len(block.ids)
        few = np.unique(np.linspace(0, len(block.ids) - 1, min(_SAMPLE, len(block.ids))).astype(int))
        paths += pictures.paths(block.where(np.isin(np.arange(len(block.ids)), few)))
    places = np.unique(np.linspace(0, len(paths) - 1, min(_SAMPLE, len(paths))).astype(int))
    sampled = [paths[place] for place in places]
    sides = [side for _, side, _ in picture_contents.read(sampled, pictures.read_bytes) if side]
    side = int(np.median(sides)) if sides else 512
    definition, reasons = default_definition.propose(name, num_posts, source.tags, side)
    tiny = sum(each < TINY for each in sides)
    if tiny:
        of = "" if len(sides) == num_posts else f" of {len(sides):,} that were looked at"
        reasons["image_size"] += f"; {tiny:,}{of} have fewer than {TINY}, too few to see much in"
    return definition, reasons


def select(
    definition: Definition,
    source: Source,
    tag_steps: list[Step],
    dropped: pd.DataFrame,
    pictures: Pictures,
    groups: pd.DataFrame | None = None,
    keep_unrated: bool = False,
) -> Selection:
    """Apply every rule of the definition to a source; UserError where nothing passes.

    Args:
        source, tag_steps, dropped: as `tag_rules.apply` returns them.
        pictures: of the posts. Their content is read where splits are shares.
        groups: near-duplicates, each group in one split.
        keep_unrated: whether posts without a rating pass also where others have one.
    """
    candidates, candidate_steps, rare_tags = selection.candidate_tags(source.tags, definition)
    ratings, rating_names = None, {}
    if definition.ratings_as_labels:
        ratings, rating_names = selection.rating_tags(source.rating_counts(), definition.ratings_map)
    find = pictures.files.find if pictures.files else None
    post_filter = selection.PostFilter(
        definition, candidates["tag_id"].to_numpy(), find, source.keep_unrated or keep_unrated
    )
    blocks = _filtered(source, post_filter)
    excluded = collections.Counter(post_filter.excluded)
    digests, unusable = [], []
    if definition.shares:
        blocks, digests, unusable = _with_content(blocks, pictures)
        excluded.update({"no usable picture": len(unusable)} if unusable else {})
    elif groups is not None:
        blocks, excluded["near-duplicate in an earlier split"] = _without_duplicates(blocks, groups)
    rejected = [
        *source.rejected,
        *_missing(post_filter, source),
        *unusable,
        *_untagged(post_filter, definition),
    ]
    post_steps = post_steps_of(source, excluded)
    num_selected = sum(len(block.ids) for block in blocks)
    if not num_selected:
        raise UserError(_no_posts(post_steps, post_filter, pictures.files, rejected, source))
    images = selection.count_images(blocks, len(candidates))
    passed, late_steps, late_tags = selection.select_tags(
        candidates, images, num_selected, source.num_posts, definition
    )
    tag_steps = [*tag_steps, *candidate_steps, *late_steps]
    if not passed.any():
        raise UserError(_no_tags(definition, tag_steps, candidates, images))
    tags, labels = selection.final_tag_list(candidates, passed, ratings)
    tags = tag_categories.with_names(tags, tag_categories.names_of(source.tags))
    selected = Selection(
        definition=definition,
        blocks=blocks,
        tags=tags,
        labels=labels,
        rating_labels=_rating_labels(tags, rating_names),
        rejected=rejected,
        post_steps=post_steps,
        tag_steps=tag_steps,
        dropped=pd.concat([dropped, rare_tags, late_tags], ignore_index=True),
        num_copies=len(digests) - len(set(digests)),
    )
    if definition.shares:
        return _divided(selected, digests, groups)
    selection.require_filled_splits(blocks, definition)
    return selected


def _filtered(source: Source, post_filter: selection.PostFilter) -> list[SelectedPosts]:
    """Return the posts that pass the rules for single posts."""
    num_blocks = -(-source.num_posts // stream.BLOCK_SIZE)
    blocks = progress(source.blocks(), total=num_blocks, label="posts", unit="blocks")
    selected = [post_filter.select(block) for block in blocks]
    post_filter.require_one_alphabet()
    return selected


def _rating_labels(tags: pd.DataFrame, rating_names: dict[int, str]) -> dict[int, int]:
    """Return ``{code point of a letter: label}`` of the ratings among the tags of a list."""
    is_rating = tags["category"] == tag_categories.CODES["rating"]
    label_of_rating = {name: label for label, name in enumerate(tags["name"][is_rating])}
    return {code: label_of_rating[name] for code, name in rating_names.items()}


def _with_content(
    blocks: list[SelectedPosts], pictures: Pictures
) -> tuple[list[SelectedPosts], list[str], list[Rejection]]:
    """Return the blocks without posts whose file is no picture, the hashes of the others, and the former."""
    paths = [path for block in blocks for path in pictures.paths(block)]
    ids = [int(post) for block in blocks for post in block.ids]
    facts = list(picture_contents.read(paths, pictures.read_bytes))
    rejected = [
        (post, path, reason) for post, path, (_, _, reason) in zip(ids, paths, facts, strict=True) if reason
    ]
    is_usable = np.array([not reason for *_, reason in facts], bool)
    contents = np.array([picture_contents.number_of(digest or "0") for digest, *_ in facts], np.int64)
    usable, start = [], 0
    for block in blocks:
        rows = slice(start, start + len(block.ids))
        usable.append(dataclasses.replace(block, contents=contents[rows]).where(is_usable[rows]))
        start += len(block.ids)
    return usable, [digest for digest, *_ in facts if digest], rejected


def _divided(selected: Selection, digests: Sequence[str], groups: pd.DataFrame | None) -> Selection:
    """Return the selection with its posts divided by the shares of the definition."""
    rows = [selected.label_indexes(block) for block in selected.blocks]
    sizes = np.concatenate([np.diff(offsets) for offsets, _ in rows])
    labels = np.concatenate([labels for _, labels in rows])
    ids = np.concatenate([block.ids for block in selected.blocks])
    units = share_splits.units_of(ids, digests, groups)
    offsets = np.concatenate([[0], np.cumsum(sizes)])
    try:
        splits = share_splits.draw(units, offsets, labels, selected.definition.shares or {})
    except UserError as error:
        left_out = _left_out(selected.post_steps)
        raise UserError(f"{error}{'; left out were ' if left_out else ''}{left_out}") from error
    blocks, start = [], 0
    for block in selected.blocks:
        blocks.append(dataclasses.replace(block, splits=splits[start : start + len(block.ids)]))
        start += len(block.ids)
    return dataclasses.replace(selected, blocks=blocks)


def _without_duplicates(blocks: list[SelectedPosts], groups: pd.DataFrame) -> tuple[list[SelectedPosts], int]:
    """Return the blocks without near-duplicates of an earlier split, and how many posts that drops."""
    ids = np.concatenate([block.ids for block in blocks])
    splits = np.concatenate([block.splits for block in blocks])
    duplicates = selection.duplicates_of_earlier_splits(groups, ids, splits)
    return [block.where(~np.isin(block.ids, duplicates)) for block in blocks], len(duplicates)


def _missing(post_filter: selection.PostFilter, source: Source) -> list[Rejection]:
    ids = [post for part in post_filter.missing for post in part.tolist()]
    names = source.names_of(set(ids)) if ids else {}
    return [(post, names.get(post) or image_folder.bucket_path(post), "file missing") for post in ids]


def _untagged(post_filter: selection.PostFilter, definition: Definition) -> list[Rejection]:
    reason = f"fewer than {counted(definition.min_tags_per_image, 'tag')}"
    return [(post, path, reason) for post, path in post_filter.untagged]


def post_steps_of(source: Source, excluded: collections.Counter[str]) -> list[Step]:
    """Return the steps of the rules for posts, those of the source (records that became no post) first."""
    reasons = collections.Counter(reason for _, _, reason in source.rejected)
    before, steps = source.num_posts + sum(reasons.values()), []
    for rule, number in [*reasons.items(), *excluded.items()]:
        steps.append({"rule": rule, "before": before, "after": before - number})
        before -= number
    return steps


def _no_posts(
    steps: list[Step],
    post_filter: selection.PostFilter,
    files: PictureIndex | None,
    rejected: Sequence[Rejection],
    source: Source,
) -> str:
    """Return why no post passed: what was looked for, what is there."""
    num_missing = sum(len(ids) for ids in post_filter.missing)
    if files and num_missing and not any(step["after"] for step in steps if step["rule"] == "file missing"):
        example = image_folder.bucket_path(int(np.concatenate(post_filter.missing)[0]))
        names = (
            f"files of the names in the posts, such as {source.file_name} (a path of "
            "another machine by its last folder and name, where only one picture has them), and for "
            f"{files.path}/{example} and the like"
            if source.file_name
            else f"{files.path}/{example} and the like"
        )
        return (
            f"no image found: looked for {names} (any folder, any image suffix, the post id as name) for "
            f"{counted(num_missing, 'post')}, found none; {files}"
        )
    examples = "; ".join(f"{path}: {reason}" for _, path, reason in sorted(rejected)[:3])
    if not post_filter.num_posts:
        return f"no post is left: the source has none{'; ' * bool(examples)}{examples}"
    is_untagged = post_filter.num_posts == len(post_filter.untagged)
    advice = _without_tags(source.tags) if is_untagged else _decided_by(steps, post_filter.ratings)
    listed = f"{'; ' * bool(examples)}{examples}{'. ' * bool(advice)}{advice}"
    return f"no post is left of {steps[0]['before']}; left out by {_left_out(steps)}{listed}"


def _decided_by(steps: Sequence[Step], ratings: Mapping[str, int]) -> str:
    """Return which field of a definition decides the rule that left out most posts; "" where none does."""
    rule = max(steps, key=lambda step: step["before"] - step["after"])["rule"]
    field = next((text for start, text in _DECIDED_BY.items() if rule.startswith(start)), "")
    if rule.startswith("rating"):
        names = {"": "none", danbooru_fields.SAFE: "safe"}
        counts = [f"{names.get(letter, letter)} {number:,}" for letter, number in sorted(ratings.items())]
        field += f"; the posts have {join_names(counts, None)}"
    return field


def _left_out(steps: Sequence[Step]) -> str:
    """Return how many posts each rule left out."""
    return ", ".join(
        f"{step['rule']}: {step['before'] - step['after']}"
        for step in steps
        if step["before"] > step["after"]
    )


def _without_tags(tags: pd.DataFrame) -> str:
    """Return why all pictures have too few tags, and what helps, by the tags of the source."""
    used = tags[tags["count"] > 0].sort_values(["count", "name"], ascending=[False, True])
    if used.empty:
        return "No picture has a tag: tools/tag_images.py RELEASE PATH writes tags by a released tagger"
    names = join_names(
        [f"{name} {count:,}" for name, count in zip(used["name"], used["count"], strict=True)], 5
    )
    return (
        f"The tags that pictures have were all left out ({names}); exclude_tags of a definition decides that"
    )


def _no_tags(definition: Definition, steps: list[Step], candidates: pd.DataFrame, images: np.ndarray) -> str:
    """Return which rule dropped the last tags, and how near the best came."""
    rule = next((step for step in steps if step["after"] == 0), steps[0])
    best = ""
    if len(candidates):
        name = candidates["name"].iloc[images.argmax()]
        best = f"; the tag on most kept images, {name!r}, is on {images.max()}"
    # A definition has no aliases and no deprecated tags; lists of tags are too long to show.
    value = getattr(definition, rule["rule"], None)
    name = rule["rule"] if value is None or rule["rule"].endswith("_tags") else f"{rule['rule']} = {value}"
    return f"no tag is left: {name} passes none of {rule['before']} tags{best}"
