"""Aliases, implications and deprecated tags of a booru, applied to a source of posts.

Read from Danbooru's own exports, CSV or JSON lines, plain or gzipped. They apply before every rule of a
definition, in this order: aliases, implications, deprecated tags.
"""

import csv
import dataclasses
import gzip
import io
import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from Utils.command.cli import UserError
from Utils.data.danbooru_fields import FieldError, is_true, parse_category, parse_post_id, plain_name
from Utils.data.sources.stream import PostBlock, Source, sort_each_row
from Utils.files import csv_tables
from Utils.files.atomic import AnyPath, require_file
from Utils.tags import tag_list
from Utils.tags.tag_list import name_id


@dataclasses.dataclass(frozen=True)
class TagRules:
    """Aliases, implications and deprecated tags, by tag name."""

    aliases: dict[str, str] = dataclasses.field(default_factory=dict)  # antecedent -> consequent
    implications: dict[str, list[str]] = dataclasses.field(default_factory=dict)  # antecedent -> consequents
    deprecated: frozenset[str] = frozenset()
    tags: dict[str, tuple[int | None, int]] = dataclasses.field(
        default_factory=dict
    )  # name -> (id, category)

    def resolve(self, name: str) -> str:
        """Follow aliases to their end; UserError if they form a cycle."""
        path = [name]
        while name in self.aliases:
            name = self.aliases[name]
            if name in path:
                raise UserError(f"aliases run in a circle: {' -> '.join([*path, name])}")
            path.append(name)
        return name

    def expand(self, name: str) -> list[str]:
        """Return the name itself and all that it implies, over any number of steps, aliases resolved."""
        names, unvisited = [name], [name]
        while unvisited:
            for consequent in self.implications.get(unvisited.pop(), ()):
                consequent = self.resolve(consequent)
                if consequent not in names:
                    names.append(consequent)
                    unvisited.append(consequent)
        return names


def read(
    aliases: AnyPath | None = None,
    implications: AnyPath | None = None,
    deprecated: AnyPath | None = None,
    tags: AnyPath | None = None,
) -> TagRules:
    """Return the `TagRules` of export files.

    Args:
        aliases, implications: columns antecedent_name and consequent_name; with a column status only active
            rows count.
        deprecated: column name; with a column is_deprecated only rows where it is true count.
        tags: columns name, category and optionally id and is_deprecated. A ``categories.json`` beside it says
            what its category codes mean, where they are not Danbooru's.

    Raises UserError that names the file and the row.
    """
    described, deprecated_names = {}, set()
    if tags:
        names = tag_list.read_category_names(tags)
        for place, row in _read_rows(tags, ("name", "category")):
            described[row["name"]] = (_parse_id(place, row), _parse_category(place, row, names))
            if is_true(row.get("is_deprecated")):
                deprecated_names.add(row["name"])
    if deprecated:
        rows = _read_rows(deprecated, ("name",))
        deprecated_names.update(row["name"] for _, row in rows if is_true(row.get("is_deprecated", True)))
    implied: dict[str, list[str]] = {}
    for antecedent, consequent in _read_pairs(implications):
        implied.setdefault(antecedent, []).append(consequent)
    return TagRules(dict(_read_pairs(aliases)), implied, frozenset(deprecated_names), described)


def _read_pairs(path: AnyPath | None) -> list[tuple[str, str]]:
    """Return ``[(antecedent, consequent)]`` of the active rows of an export; nothing without a path."""
    rows = _read_rows(path, ("antecedent_name", "consequent_name")) if path else []
    pairs = [
        (row["antecedent_name"], row["consequent_name"])
        for _, row in rows
        if str(row.get("status", "active")).strip().lower() in ("active", "")
    ]
    return [(antecedent, consequent) for antecedent, consequent in pairs if antecedent != consequent]


def _parse_id(place: str, row: dict[str, Any]) -> int | None:
    if str(row.get("id") or "") == "":
        return None
    try:
        return parse_post_id(row["id"])  # ids of tags have the range of post ids
    except FieldError as error:
        raise UserError(f"{place}: {str(error).replace('post id', 'id')}") from error


def _parse_category(place: str, row: dict[str, Any], names: Mapping[int, str]) -> int:
    """Return the code of a row's category; ``names`` says what other boorus' codes mean."""
    try:
        code = parse_category(row["category"])
    except FieldError as error:
        raise UserError(f"{place}: {error}") from error
    return parse_category(names[code]) if code in names else code


def _read_rows(path: AnyPath, needed: Sequence[str]) -> list[tuple[str, dict[str, Any]]]:
    """Return ``[(place, row)]`` of a CSV or of JSON lines; UserError where a row lacks a needed column."""
    path = require_file(path, "an export of tags")
    try:
        data = path.read_bytes()
        text = (gzip.decompress(data) if data[:2] == b"\x1f\x8b" else data).decode("utf-8-sig")
        if text.lstrip()[:1] == "{":
            rows = [json.loads(line) for line in text.splitlines() if line.strip()]
        else:
            # Not pandas: a tag may be called "null" or "NA".
            csv_tables.require_whole(path, text)
            rows = list(csv.DictReader(io.StringIO(text, newline=""), strict=True))
    except (OSError, EOFError, ValueError, RecursionError, csv.Error) as error:
        raise UserError(f"{path} is neither CSV nor JSON lines in UTF-8: {error}") from error
    for row in rows:
        for column in ("name", "antecedent_name", "consequent_name"):
            if isinstance(row, dict) and isinstance(row.get(column), str):
                row[column] = plain_name(row[column])
    for number, row in enumerate(rows, 1):
        missing = [name for name in needed if not isinstance(row, dict) or row.get(name) in (None, "")]
        if missing:
            raise UserError(
                f"{path}, row {number} has no {' and '.join(missing)}; needed are {', '.join(needed)}"
            )
    return [(f"{path.name}, row {number}", row) for number, row in enumerate(rows, 1)]


def apply(source: Source, rules: TagRules) -> tuple[Source, list[dict[str, Any]], pd.DataFrame]:
    """Return ``(the source under the rules, [steps], dropped tags)``.

    An alias gives its posts and its count to its consequent, which gets the alias's id if the source does not
    have the consequent. A post with a tag has all that the tag implies. Deprecated tags go. The counts of
    implied tags stay the source's own.

    A step is ``{"rule", "before", "after"}``, with numbers of tags, for rules that changed something. The
    dropped tags are a frame like ``Source.tags`` with the rule that dropped each.
    """
    frame = source.tags
    if rules == TagRules():
        return source, [], frame[:0].assign(rule="")
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
    return changed, [step for step in steps if step["before"] != step["after"]], dropped


def _tags_after(
    frame: pd.DataFrame, resolved: list[str], expanded: list[list[str]], rules: TagRules
) -> pd.DataFrame:
    """Return the tags that exist after aliases and implications, each once."""
    rows: dict[str, list[int]] = {}  # name -> [id, category, count]
    # A tag comes before its aliases, so that id and category are its own, if the source has it.
    for name, _, tag_id, category, count in sorted(
        zip(resolved, frame["name"], frame["tag_id"], frame["category"], frame["count"], strict=True),
        key=lambda tag: tag[0] != tag[1],
    ):
        row = rows.setdefault(name, [int(tag_id), int(category), 0])
        row[2] += int(count)
    for names in expanded:
        for name in names:
            rows.setdefault(name, [name_id(name), rows[names[0]][1], 0])
    taken = {row[0] for row in rows.values()}
    for name, row in rows.items():
        exported_id, row[1] = rules.tags.get(name, (None, row[1]))
        is_made_up = row[0] == name_id(name)  # an id of the source itself stays
        if exported_id is not None and is_made_up and exported_id not in taken:
            row[0] = exported_id
            taken.add(exported_id)
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
