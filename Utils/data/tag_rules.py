"""Aliases, implications and deprecated tags of a booru: a source of posts becomes one with tidy tags.

Read from Danbooru's own exports, CSV or JSON lines, plain or gzipped. Applied before every rule of a
definition, in this order: aliases, implications, deprecated tags.
"""

import csv
import dataclasses
import gzip
import io
import json

import numpy as np
import pandas as pd

from Utils.command.cli import UserError
from Utils.data.sources.danbooru_post import FieldError, whole_id
from Utils.data.sources.stream import rising
from Utils.data.sources.vocabulary import code_of
from Utils.files.atomic import require_file
from Utils.tags.tag_list import name_id

_FALSE = {"", "0", "f", "false", "none", "null"}


@dataclasses.dataclass(frozen=True)
class TagRules:
    """What exports say of tags, by name."""

    aliases: dict = dataclasses.field(default_factory=dict)  # antecedent -> consequent
    implications: dict = dataclasses.field(default_factory=dict)  # antecedent -> [consequents]
    deprecated: frozenset = frozenset()
    known: dict = dataclasses.field(default_factory=dict)  # name -> (id or None, category)

    def resolve(self, name):
        """Follow aliases to their end; UserError where they run in a circle."""
        seen = [name]
        while name in self.aliases:
            name = self.aliases[name]
            if name in seen:
                raise UserError(f"aliases run in a circle: {' -> '.join([*seen, name])}")
            seen.append(name)
        return name

    def implied(self, name):
        """Return the name itself and all that it implies, over any number of steps, aliases resolved."""
        found, ahead = [name], [name]
        while ahead:
            for consequent in self.implications.get(ahead.pop(), ()):
                consequent = self.resolve(consequent)
                if consequent not in found:
                    found.append(consequent)
                    ahead.append(consequent)
        return found


def read(aliases=None, implications=None, deprecated=None, tags=None):
    """Return the `TagRules` of export files, each a path or None.

    Args:
        aliases, implications: columns antecedent_name, consequent_name; where there is a status only rows
            that are active count.
        deprecated: column name; where there is is_deprecated only rows in which it is true count.
        tags: columns name, category and, where there are, id and is_deprecated.
    """
    known, old = {}, set()
    if tags:
        for place, row in _rows(tags, ("name", "category")):
            known[row["name"]] = (_id(place, row), code_of(row["category"]))
            old.update([row["name"]] if "is_deprecated" in row and _is_true(row["is_deprecated"]) else [])
    if deprecated:
        rows = _rows(deprecated, ("name",))
        old.update(row["name"] for _, row in rows if _is_true(row.get("is_deprecated", True)))
    implied = {}
    for antecedent, consequent in _pairs(implications):
        implied.setdefault(antecedent, []).append(consequent)
    return TagRules(dict(_pairs(aliases)), implied, frozenset(old), known)


def _pairs(path):
    """Return ``[(antecedent, consequent)]`` of the active rows of an export; none without a path."""
    rows = _rows(path, ("antecedent_name", "consequent_name")) if path else []
    pairs = [
        (row["antecedent_name"], row["consequent_name"])
        for _, row in rows
        if str(row.get("status", "active")).strip().lower() in ("active", "")
    ]
    return [(one, other) for one, other in pairs if one != other]


def _id(place, row):
    if str(row.get("id") or "") == "":
        return None
    try:
        return whole_id(row["id"])
    except FieldError as error:
        raise UserError(f"{place}: {str(error).replace('post id', 'id')}") from error


def _is_true(value):
    return str(value).strip().lower() not in _FALSE


def _rows(path, needed):
    """Return ``[(place, row)]`` of a CSV or of JSON lines; UserError where a column is missing."""
    path = require_file(path, "an export of tags")
    try:
        data = path.read_bytes()
        text = (gzip.decompress(data) if data[:2] == b"\x1f\x8b" else data).decode("utf-8-sig")
        if text.lstrip()[:1] == "{":
            rows = [json.loads(line) for line in text.splitlines() if line.strip()]
        else:
            rows = list(csv.DictReader(io.StringIO(text, newline=""), strict=True))
    except (OSError, EOFError, ValueError, RecursionError, csv.Error) as error:
        raise UserError(f"{path} is neither CSV nor JSON lines in UTF-8: {error}") from error
    for number, row in enumerate(rows, 1):
        missing = [name for name in needed if not isinstance(row, dict) or row.get(name) in (None, "")]
        if missing:
            raise UserError(
                f"{path}, row {number} has no {' and '.join(missing)}; needed are {', '.join(needed)}"
            )
    return [(f"{path.name}, row {number}", row) for number, row in enumerate(rows, 1)]


def tidied(source, rules):
    """Return ``(the source under the rules, [steps], dropped tags)``.

    An alias gives its posts and its count to its consequent, which has the alias's id where the source does
    not know the consequent. A post with a tag has all that the tag implies. Deprecated tags go. The counts of
    implied tags stay the source's own.

    ``dropped`` is a frame like ``Source.tags`` with the rule that took each tag.
    """
    frame = source.tags
    if rules == TagRules():
        return source, [], frame[:0].assign(rule="")
    names = frame["name"].tolist()
    final = [rules.resolve(name) for name in names]
    targets = [rules.implied(name) for name in final]
    table = _table(frame, final, targets, rules)
    kept = table[~table["name"].isin(rules.deprecated)].sort_values("tag_id", ignore_index=True)
    ids = dict(zip(kept["name"], kept["tag_id"], strict=True))
    lists = [[ids[name] for name in found if name in ids] for found in targets]
    aliased = np.array([one != other for one, other in zip(names, final, strict=True)], bool)
    old = table["name"].isin(rules.deprecated)
    dropped = pd.concat([frame[aliased].assign(rule="aliases"), table[old].assign(rule="deprecated")])
    steps = [
        {"rule": "aliases", "before": len(frame), "after": len(frame) - int(aliased.sum())},
        {"rule": "implications", "before": len(frame) - int(aliased.sum()), "after": len(table)},
        {"rule": "deprecated", "before": len(table), "after": len(kept)},
    ]
    rewrite = _Rewrite(frame["tag_id"].to_numpy(), lists)
    changed = dataclasses.replace(source, tags=kept, blocks=lambda: map(rewrite, source.blocks()))
    return changed, [step for step in steps if step["before"] != step["after"]], dropped


def _table(frame, final, targets, rules):
    """Return the tags that there are after aliases and implications, each once."""
    rows = {}
    for tag in sorted(
        zip(final, frame["name"], frame["tag_id"], frame["category"], frame["count"], strict=True),
        key=lambda tag: tag[0] != tag[1],
    ):  # a tag before its aliases
        row = rows.setdefault(tag[0], [int(tag[2]), int(tag[3]), 0])
        row[2] += int(tag[4])
    for found in targets:
        for name in found:
            rows.setdefault(name, [name_id(name), rows[found[0]][1], 0])
    taken = {row[0] for row in rows.values()}
    for name, row in rows.items():
        known_id, row[1] = rules.known.get(name, (None, row[1]))
        if known_id is not None and row[0] == name_id(name) and known_id not in taken:
            row[0] = known_id
            taken.add(known_id)
    columns = {"tag_id": 0, "category": 1, "count": 2}
    found = pd.DataFrame({"name": list(rows)}).astype({"name": "str"})
    for column, at in columns.items():
        found[column] = np.array([row[at] for row in rows.values()], np.int64)
    return found[["tag_id", "name", "category", "count"]]


class _Rewrite:
    """Replaces every tag id of a block by those that it stands for.

    Args:
        ids: (N,) rising; ``lists``: what each of them becomes, [] for nothing.
    """

    def __init__(self, ids, lists):
        self._ids = ids
        self._sizes = np.array([len(found) for found in lists], np.int64)
        self._starts = np.concatenate([[0], np.cumsum(self._sizes)])
        self._targets = np.array([tag_id for found in lists for tag_id in found], np.int64)

    def __call__(self, block):
        if not len(self._ids):
            return block
        place = np.minimum(np.searchsorted(self._ids, block.tag_ids), len(self._ids) - 1)
        sizes = np.where(self._ids[place] == block.tag_ids, self._sizes[place], 0)
        ends = np.cumsum(sizes)
        within = np.arange(ends[-1] if len(ends) else 0) - np.repeat(ends - sizes, sizes)
        values = self._targets[np.repeat(self._starts[place], sizes) + within]
        before = np.concatenate([[0], ends])
        offsets, values = rising(np.diff(before[block.offsets]), values)
        return dataclasses.replace(block, offsets=offsets, tag_ids=values)
