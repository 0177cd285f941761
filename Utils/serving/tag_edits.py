"""Edits of the tags that an image gets: replaced names, aliases, and tags that others imply."""

import argparse
import csv
import dataclasses
import io
import pathlib
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import pandas as pd

from Utils.command.cli import UserError, suggest
from Utils.command.text import composed, join_names
from Utils.data import tag_exports
from Utils.data.sources import json_lines
from Utils.data.tag_exports import TagRules
from Utils.files import compressed, damage, text_files
from Utils.files.atomic import require_file
from Utils.tags import tag_categories, tag_list

if TYPE_CHECKING:
    from Utils.serving.tag_selection import ScoredTag

_HEADER = "antecedent_name"  # of exports; pairs have none


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options that `from_options` reads to a command's parser."""
    parser.add_argument(
        "--implications", type=pathlib.Path, metavar="CSV",
        help="add the tags that others imply: an export of tag_implications, or pairs tag,implied",
    )  # fmt: skip
    parser.add_argument(
        "--aliases", type=pathlib.Path, metavar="CSV",
        help="write tags by these names: an export of tag_aliases, or pairs old,new",
    )  # fmt: skip
    parser.add_argument(
        "--replace", nargs="+", default=[], metavar="OLD=NEW", help="write a tag by another name"
    )


@dataclasses.dataclass(frozen=True)
class TagEdits:
    """Which tags are written instead of others and in addition to them.

    Args:
        rules: aliases and implications by name.
        known: ``{name: (tag_id, category, name of the category, whether it may be selected)}`` of the model.
    """

    rules: TagRules
    known: dict[str, tuple[int, int, str, bool]]

    @property
    def settings(self) -> dict[str, Any]:
        """The rules, ready for JSON."""
        return {"aliases": self.rules.aliases, "implications": self.rules.implications}

    @property
    def names(self) -> list[str]:
        """The names that the rules may add."""
        ends = (end for ends in self.rules.implications.values() for end in ends)
        return [*self.rules.aliases.values(), *ends]

    @property
    def resolved(self) -> dict[str, Any]:
        """The rules followed to their ends, ready for JSON: ``{old: new}``, ``{name: [all it implies]}``."""
        return {
            "aliases": {name: self.rules.resolve(name) for name in self.rules.aliases},
            "implications": {
                name: [end for end in self.rules.expand(name)[1:] if self._may_be_selected(end)]
                for name in self.rules.implications
            },
        }

    def _may_be_selected(self, name: str) -> bool:
        return self.known.get(name, (0, 0, "", True))[3]

    def apply(self, tags: "Sequence[ScoredTag]") -> "tuple[ScoredTag, ...]":
        """Return the tags with their new names, each followed by what it implies and is not there yet.

        An implied tag has the probability of the most probable tag that implies it, and, where the model does
        not know it, that tag's category. Of tags with one new name the first stays.
        """
        renamed: dict[str, ScoredTag] = {}
        for tag in tags:
            name = self.rules.resolve(tag.name)
            renamed.setdefault(name, self._named(name, tag))
        edited: dict[str, ScoredTag] = {}
        for name, tag in renamed.items():
            edited.setdefault(name, tag)
            for implied in self.rules.expand(name)[1:]:
                if implied not in renamed and self._may_be_selected(implied):
                    edited.setdefault(implied, self._named(implied, tag))
        return tuple(edited.values())

    def _named(self, name: str, tag: "ScoredTag") -> "ScoredTag":
        if name == tag.name:
            return tag
        tag_id, category, category_name, _ = self.known.get(
            name, (tag_list.name_id(name), tag.category, tag.category_name, True)
        )
        return dataclasses.replace(
            tag, tag_id=tag_id, name=name, category=category, category_name=category_name
        )


def from_options(
    options: argparse.Namespace, tags: pd.DataFrame, allowed: Sequence[bool], warn: Callable[[str], object]
) -> TagEdits | None:
    """Return the edits that options of `add_arguments` ask for, None for none.

    Raises UserError for files that cannot be read and words that are not OLD=NEW.
    """
    if not (options.implications or options.aliases or options.replace):
        return None
    names = tags["name"].tolist()
    rules = TagRules()
    for field, path in (("implications", options.implications), ("aliases", options.aliases)):
        if path is not None:
            rules = dataclasses.replace(rules, **{field: _read(field, path, names, warn)})
    replaced = dict(_replacement(word) for word in options.replace)
    rules = dataclasses.replace(rules, aliases={**rules.aliases, **replaced})
    _require_no_circle(rules.aliases)
    category_names = tag_categories.names_of(tags)
    known = {
        name: (int(tag_id), int(code), tag_categories.name_of(code, category_names), bool(may))
        for tag_id, name, code, may in zip(tags["tag_id"], names, tags["category"], allowed, strict=True)
    }
    implied = {end for ends in rules.implications.values() for end in ends}
    given = {*known, *implied, *rules.aliases.values()}
    unreplaced = [name for name in replaced if name not in given]
    if unreplaced:
        hint = suggest(unreplaced[0], known) if len(unreplaced) == 1 else ""  # slow for many
        warn(f"--replace: the model has no tag {join_names(unreplaced, 5)}{hint}")
    unknown = implied - known.keys()
    if unknown:
        warn(f"--implications: {len(unknown)} implied tags are not the model's and get the category of the "
             f"tags that imply them, the first of them {min(unknown)}")  # fmt: skip
    return TagEdits(rules, known)


def _read(
    field: str, path: pathlib.Path, names: Sequence[str], warn: Callable[[str], object]
) -> dict[str, Any]:
    """Return the implications or aliases of a file that concern some tags."""
    require_file(path, f"an export of {field}, or pairs")
    if path.suffix == ".csv" and (pairs := _pairs(path)) is not None:
        if field == "aliases":
            return dict(pairs)
        implied: dict[str, list[str]] = {}
        for name, end in pairs:
            implied.setdefault(name, []).append(end)
        return implied
    exports = tag_exports.read(**{field: path})
    rules, notes = exports.rules_for(names)
    for note in (*exports.notes, *notes):
        warn(note.removeprefix("warning: "))
    return getattr(rules, field)


def _pairs(path: pathlib.Path) -> list[tuple[str, str]] | None:
    """Return the pairs of a CSV of two columns without a header; None for another."""
    head = json_lines.as_utf8(compressed.head(path, 2**16, UserError))  # exports may be gzip or UTF-16
    if _HEADER.encode() in head.partition(b"\n")[0]:
        return None
    with damage.named(path, "is no CSV"):
        text = io.StringIO(text_files.decoded(path.read_bytes()), newline="")
        rows = [[cell.strip() for cell in row] for row in csv.reader(text, strict=True) if row]
    if not rows:
        return None
    for number, row in enumerate(rows, 1):
        if len(row) != 2 or not all(row):
            raise UserError(
                f"{path}, row {number}: two names are needed, or a header with {_HEADER}; got {row}"
            )
    return [(_spelled(one), _spelled(two)) for one, two in rows]


def _replacement(word: str) -> tuple[str, str]:
    old, _, new = word.partition("=")
    if not (old and new):
        raise UserError(f"--replace takes OLD=NEW; got {word}")
    return _spelled(old), _spelled(new)


def _spelled(name: str) -> str:
    return composed("_".join(name.split()))


def _require_no_circle(aliases: dict[str, str]) -> None:
    for start in aliases:
        seen, name = {start}, aliases[start]
        while name in aliases:
            if name in seen:
                raise UserError(f"--aliases and --replace run in a circle at {name}")
            seen.add(name)
            name = aliases[name]
