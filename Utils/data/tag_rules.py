"""Aliases, implications and deprecated tags of a booru, applied to a source of posts.

`tag_exports` reads them. They apply before every rule of a definition, in this order: aliases, implications,
deprecated tags.
"""

import dataclasses
import sys
from typing import Any

import numpy as np
import pandas as pd

from Utils.command.text import counted, join_names
from Utils.data import danbooru_fields
from Utils.data.sources.stream import PostBlock, Source, sort_each_row
from Utils.data.tag_exports import TagExports, TagRules
from Utils.tags.tag_list import name_id


def apply(source: Source, rules: TagRules | TagExports) -> tuple[Source, list[dict[str, Any]], pd.DataFrame]:
    """Return ``(the source under the rules, [steps], dropped tags)``.

    An alias gives its posts and its count to its consequent, which gets the alias's id if the source does not
    have the consequent. A post with a tag has all that the tag implies. Deprecated tags go. The count of
    an implied tag stays the source's own; a tag that the source lacks gets the largest count of those that
    imply it, since at least so many posts have it.

    Categories get the codes that lists have (`danbooru_fields.numbered`).

    A step is ``{"rule", "before", "after"}``, with numbers of tags, for rules that changed something. The
    dropped tags are a frame like ``Source.tags`` with the rule that dropped each.
    """
    frame = source.tags
    if isinstance(rules, TagExports):
        rules, notes = rules.rules_for(frame["name"].tolist())
        for note in notes:
            print(note, file=sys.stderr)
    if rules == TagRules():
        return _numbered(source), [], frame[:0].assign(rule="")
    names = frame["name"].tolist()
    resolved = [rules.resolve(name) for name in names]
    expanded = [rules.expand(name) for name in resolved]
    table = _tags_after(frame, resolved, expanded, rules)
    is_deprecated = table["name"].isin(list(rules.deprecated))
    remaining = table.loc[~is_deprecated].sort_values("tag_id", ignore_index=True)
    ids = dict(zip(remaining["name"], remaining["tag_id"], strict=True))
    replacements = [[ids[name] for name in implied if name in ids] for implied in expanded]
    is_alias = np.array([name != target for name, target in zip(names, resolved, strict=True)], bool)
    dropped = pd.concat(
        [frame[is_alias].assign(rule="aliases"), table[is_deprecated].assign(rule="deprecated")]
    )
    without_aliases = len(frame) - int(is_alias.sum())
    steps = [
        {"rule": "aliases", "before": len(frame), "after": without_aliases},
        {"rule": "implications", "before": without_aliases, "after": len(table)},
        {"rule": "deprecated", "before": len(table), "after": len(remaining)},
    ]
    replace = _TagReplacer(frame["tag_id"].to_numpy(), replacements)
    changed = dataclasses.replace(source, tags=remaining, blocks=lambda: map(replace, source.blocks()))
    return _numbered(changed), [step for step in steps if step["before"] != step["after"]], dropped


def _numbered(source: Source) -> Source:
    return dataclasses.replace(source, tags=danbooru_fields.numbered(source.tags))


def _tags_after(
    frame: pd.DataFrame, resolved: list[str], expanded: list[list[str]], rules: TagRules
) -> pd.DataFrame:
    """Return the tags that exist after aliases and implications, each once.

    Says on stderr which tags keep an id made from their name, as the exported one is another tag's.
    """
    rows: dict[str, list[int]] = {}  # name -> [id, category, count]
    # A tag comes before its aliases, so that id and category are its own, if the source has it.
    for name, _, tag_id, category, count in sorted(
        zip(resolved, frame["name"], frame["tag_id"], frame["category"], frame["count"], strict=True),
        key=lambda tag: tag[0] != tag[1],
    ):
        row = rows.setdefault(name, [int(tag_id), int(category), 0])
        row[2] += int(count)
    in_source = frozenset(rows)
    for names in expanded:
        _, category, count = rows[names[0]]
        for name in names:
            row = rows.setdefault(name, [name_id(name), category, 0])
            if name not in in_source:  # without a count min_tag_count would drop what all its posts have
                row[2] = max(row[2], count)
    owners, refused = {row[0]: name for name, row in rows.items()}, []
    for name, row in rows.items():
        exported_id, row[1] = rules.tags.get(name, (None, row[1]))
        if exported_id is None or row[0] != name_id(name):  # an id of the source itself stays
            continue
        owner = owners.setdefault(exported_id, name)
        if owner == name:
            row[0] = exported_id
        else:
            refused.append(f"{name!r} ({exported_id}, the id of {owner!r})")
    if refused:
        print(f"warning: {counted(len(refused), 'tag')} of the export of tags with the id of another tag, "
              f"which get ids made from their names: {join_names(refused)}", file=sys.stderr)  # fmt: skip
    table = pd.DataFrame({"name": list(rows)}).astype({"name": "str"})
    for place, column in enumerate(("tag_id", "category", "count")):
        table[column] = np.array([row[place] for row in rows.values()], np.int64)
    return table.loc[:, ["tag_id", "name", "category", "count"]]


class _TagReplacer:
    """Replaces every tag id of a block by the ids that the rules turn it into.

    Args:
        ids: (N,) ascending.
        replacements: N lists of ids, one for each; [] drops the tag.
    """

    def __init__(self, ids: np.ndarray, replacements: list[list[int]]) -> None:
        self._ids = ids
        self._sizes = np.array([len(targets) for targets in replacements], np.int64)
        self._starts = np.concatenate([[0], np.cumsum(self._sizes)])
        self._targets = np.array([tag_id for targets in replacements for tag_id in targets], np.int64)

    def __call__(self, block: PostBlock) -> PostBlock:
        if not len(self._ids):
            return block
        place = np.minimum(np.searchsorted(self._ids, block.tag_ids), len(self._ids) - 1)
        sizes = np.where(self._ids[place] == block.tag_ids, self._sizes[place], 0)
        # Targets of tag t are self._targets[starts[t]:starts[t] + sizes[t]]; all such ranges in one array.
        ends = np.cumsum(sizes)
        within = np.arange(ends[-1] if len(ends) else 0) - np.repeat(ends - sizes, sizes)
        values = self._targets[np.repeat(self._starts[place], sizes) + within]
        before = np.concatenate([[0], ends])
        offsets, values = sort_each_row(np.diff(before[block.offsets]), values)
        return dataclasses.replace(block, offsets=offsets, tag_ids=values)
