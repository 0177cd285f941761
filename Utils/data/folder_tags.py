"""Names of folders as tags: ``cats/1.jpg`` shows cats, ``10_sks dog/1.jpg`` (kohya's trainer) shows sks_dog.

The number in front of kohya's folders says how often its trainer repeats their pictures in an epoch. It is
read and said, and not used: what a tagger learns should not depend on it.
"""

import collections
import dataclasses
import re
from collections.abc import Iterator

import numpy as np
import pandas as pd

from Utils.command.text import join_names
from Utils.data.definition import spelling
from Utils.data.sources.stream import BLOCK_SIZE, PostBlock, Source, sort_each_row
from Utils.tags import tag_categories, tag_list

NO_SIDECAR = "no sidecar"  # why the source of sidecars rejects a picture, which may still have a folder
_KOHYA = re.compile(r"(\d+)_(.+)")


def tag_of(path: str) -> tuple[str, int]:
    """Return ``(tag, repeats)`` of the folder that a picture lies in; ``("", 1)`` for the top folder."""
    folder = _folder_of(path)
    match = _KOHYA.fullmatch(folder)
    return (spelling(match[2]), int(match[1])) if match else (spelling(folder), 1)


def with_hint(source: Source) -> Source:
    """Return a source that says so where its folders are named as kohya's trainer has them."""
    block = next(iter(source.blocks()), None)
    paths = (block.paths if block else None) or ()
    example = next((path for path in paths if _KOHYA.fullmatch(_folder_of(path))), None)
    if example is None:
        return source
    folder = _folder_of(example)
    note = f"folders are named as kohya's trainer has them ({folder}): --folder-tags makes them tags"
    return dataclasses.replace(source, notes=(*source.notes, note))


def _folder_of(path: str) -> str:
    return path.rpartition("/")[0].rpartition("/")[2]


def without_sidecars(paths: list[str], ids: list[int], path: str) -> Source:
    """Return a source of pictures that have no text: posts without a tag, by id."""
    return Source(
        kind="folders",
        path=path,
        tags=pd.DataFrame({"tag_id": [], "name": [], "category": [], "count": []}).astype(
            {"tag_id": np.int64, "name": "str", "category": np.int64, "count": np.int64}
        ),
        num_posts=0,
        blocks=lambda: iter(()),
        rating_counts=dict,
        keep_unrated=True,
        rejected=tuple((post, picture, NO_SIDECAR) for post, picture in zip(ids, paths, strict=True)),
    )


def add(source: Source) -> Source:
    """Return a source whose pictures have the names of their folders as tags, beside their own.

    Pictures without a sidecar are posts, too, where they lie in a folder. The source's blocks have paths.
    """
    bare = sorted(
        (post, path) for post, path, why in source.rejected if why == NO_SIDECAR and tag_of(path)[0]
    )
    ids = dict(zip(source.tags["name"], source.tags["tag_id"].tolist(), strict=True))
    with_bare = dataclasses.replace(source, blocks=lambda: _merged(source.blocks(), bare))
    counts, gained, repeats = collections.Counter(), collections.Counter(), {}
    for block in with_bare.blocks():
        for row, path in enumerate(block.paths or ()):
            tag, times = tag_of(path)
            if tag:
                counts[tag] += 1
                repeats[tag] = max(times, repeats.get(tag, 1))
                own = block.tag_ids[block.offsets[row] : block.offsets[row + 1]]
                gained[tag] += ids.get(tag, -1) not in own
    ids |= {tag: tag_list.name_id(tag) for tag in counts if tag not in ids}
    listed = set(bare)
    return dataclasses.replace(
        source,
        tags=_with_tags(source.tags, ids, gained),
        num_posts=source.num_posts + len(bare),
        blocks=lambda: (_with_folder(block, ids) for block in with_bare.blocks()),
        rejected=tuple(row for row in source.rejected if row[:2] not in listed),
        keep_unrated=source.keep_unrated or bool(bare),
        notes=(*source.notes, _note(counts, repeats)),
    )


def _note(counts: collections.Counter[str], repeats: dict[str, int]) -> str:
    names = [f"{tag} ({count:,})" for tag, count in counts.most_common()]
    note = f"folders as tags: {join_names(names, 8)}"
    repeated = [f"{tag} {times}" for tag, times in repeats.items() if times > 1]
    return f"{note}; their repeats are not used ({join_names(repeated, 4)})" if repeated else note


def _with_tags(tags: pd.DataFrame, ids: dict[str, int], gained: collections.Counter[str]) -> pd.DataFrame:
    """Return the tags with those of folders, by id, and with the posts that each gained."""
    known = set(tags["name"])
    new = [(ids[name], name, tag_categories.CODES["general"], 0) for name in gained if name not in known]
    frame = pd.concat([tags, pd.DataFrame(new, columns=tags.columns)], ignore_index=True)
    frame["count"] += frame["name"].map(gained).fillna(0).astype(np.int64)
    return frame.astype(tags.dtypes).sort_values("tag_id", ignore_index=True)


def _with_folder(block: PostBlock, ids: dict[str, int]) -> PostBlock:
    """Return a block whose posts have the tags of their folders, too."""
    tags = [ids.get(tag_of(path)[0], -1) for path in block.paths or ()]
    added = np.array(tags, np.int64)
    posts = np.repeat(np.arange(len(block.ids)), np.diff(block.offsets))
    posts = np.concatenate([posts, np.flatnonzero(added >= 0)])
    values = np.concatenate([block.tag_ids, added[added >= 0]])
    order = np.argsort(posts, kind="stable")
    offsets, values = sort_each_row(np.bincount(posts, minlength=len(block.ids)), values[order])
    return dataclasses.replace(block, offsets=offsets, tag_ids=values)


def _merged(blocks: Iterator[PostBlock], bare: list[tuple[int, str]]) -> Iterator[PostBlock]:
    """Yield the blocks with pictures without tags among them, ids still ascending."""
    start = 0
    for block in blocks:
        stop = start
        while stop < len(bare) and len(block.ids) and bare[stop][0] < block.ids[-1]:
            stop += 1
        yield _with_posts(block, bare[start:stop]) if stop > start else block
        start = stop
    none = np.empty(0, np.int64)
    empty = PostBlock(none, none, none, np.zeros(1, np.int64), none, [])
    for first in range(start, len(bare), BLOCK_SIZE):
        yield _with_posts(empty, bare[first : first + BLOCK_SIZE])


def _with_posts(block: PostBlock, bare: list[tuple[int, str]]) -> PostBlock:
    ids = np.concatenate([block.ids, np.array([post for post, _ in bare], np.int64)])
    zeros = np.zeros(len(bare), np.int64)
    sizes = np.concatenate([np.diff(block.offsets), zeros])
    order = np.argsort(ids, kind="stable")
    paths = [*(block.paths or []), *(path for _, path in bare)]
    # The new posts have no tags, so the tags of the others stay in their order.
    return dataclasses.replace(
        block,
        ids=ids[order],
        ratings=np.concatenate([block.ratings, zeros])[order],
        status=np.concatenate([block.status, zeros])[order],
        offsets=np.concatenate([[0], np.cumsum(sizes[order])]),
        paths=[paths[place] for place in order],
    )
