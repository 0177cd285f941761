"""Exports of tags, aliases and implications, of any size: about 40 bytes a row in memory.

CSV, or JSON in any of its forms, compressed or not, as Danbooru, e621 and Gelbooru give them out; also a
selected_tags.csv. A row that cannot be read is counted and left out. What holds for the tags of a source is
looked up when they are known (`TagExports.rules_for`).
"""

import array
import dataclasses
import pathlib
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from Utils.command.cli import UserError
from Utils.command.text import counted, join_names
from Utils.data import danbooru_fields
from Utils.data.danbooru_fields import FieldError, is_true, parse_category, parse_post_id, plain_name
from Utils.data.sources import json_lines
from Utils.files import compressed, text_columns
from Utils.files.atomic import AnyPath, require_file
from Utils.files.csv_stream import CsvStream
from Utils.images.image_folder import is_unicode
from Utils.tags import tag_categories

_MOST_SHOWN = 3  # examples in a sentence
_DATED = re.compile(r"tags-\d{4}-\d\d-\d\d\.csv")  # the name of e621's exports
_NO_DIGITS = str.maketrans("", "", "-:. TZ+")  # what dates have between their digits
_DATE_DIGITS = 17  # to the millisecond
_DATES = ("created_at", "updated_at", "id")  # of an alias: its age, the best known first
FOLDER_FILES = {  # of e621's exports
    "tags": "tags-*.csv*", "aliases": "tag_aliases-*.csv*", "implications": "tag_implications-*.csv*"
}  # fmt: skip

Row = dict[str, Any] | str  # cells by column; the reason where a line cannot be read


@dataclasses.dataclass(frozen=True)
class TagRules:
    """Aliases, implications and deprecated tags, by tag name; aliases run in no circle."""

    aliases: dict[str, str] = dataclasses.field(default_factory=dict)  # antecedent -> consequent
    implications: dict[str, list[str]] = dataclasses.field(default_factory=dict)  # antecedent -> consequents
    deprecated: frozenset[str] = frozenset()
    tags: dict[str, tuple[int | None, int]] = dataclasses.field(
        default_factory=dict
    )  # name -> (id, category)

    def resolve(self, name: str) -> str:
        """Return the tag at the end of a name's aliases."""
        while name in self.aliases:
            name = self.aliases[name]
        return name

    def expand(self, name: str) -> list[str]:
        """Return the name itself and all that it implies, over any number of steps, aliases resolved."""
        names, unvisited = {name: None}, [name]
        while unvisited:
            for consequent in self.implications.get(unvisited.pop(), ()):
                consequent = self.resolve(consequent)
                if consequent not in names:
                    names[consequent] = None
                    unvisited.append(consequent)
        return list(names)


class _Notes:
    """Counts the rows of a file that are left out, with some examples."""

    def __init__(self, path: pathlib.Path) -> None:
        self._path, self.count, self._examples = path, 0, []

    def skip(self, place: str, why: str) -> None:
        self.count += 1
        if len(self._examples) < _MOST_SHOWN:
            self._examples.append(f"{place}: {why}")

    def sentences(self, num_rows: int) -> list[str]:
        """Return what is to be said; UserError where no row could be read."""
        if not self.count:
            return []
        examples = "; ".join(self._examples)
        if not num_rows:
            raise UserError(f"{self._path} has no row that can be read: {examples}")
        return [f"warning: {counted(self.count, 'row')} of {self._path} left out, unreadable: {examples}"]


class _Tags:
    """The rows of an export of tags."""

    def __init__(self) -> None:
        self._names, self.ids, self.categories = text_columns.Texts(), array.array("q"), array.array("q")
        self.deprecated = bytearray()

    def __len__(self) -> int:
        return len(self.ids)

    def add(self, name: str, tag_id: int, category: int, deprecated: bool) -> None:
        self._names.append(name)
        self.ids.append(tag_id)
        self.categories.append(category)
        self.deprecated.append(deprecated)

    def finish(self) -> None:
        self.names = self._names.finish()

    def of(self, names: Collection[str]) -> tuple[dict[str, tuple[int | None, int]], set[str], list[str]]:
        """Return ``({name: (id or None, category)}, {deprecated names}, those with several)`` of some tags.

        Of several rows of a name the last counts.
        """
        rows = text_columns.rows_named(self.names, names)
        spelled = self.names.take(pa.array(rows)).to_pylist()
        tags, deprecated, several = {}, set(), {}
        for row, name in zip(rows.tolist(), spelled, strict=True):
            if self.deprecated[row]:
                deprecated.add(name)
            if self.categories[row] >= 0:
                fact = (None if self.ids[row] < 0 else self.ids[row], self.categories[row])
                several |= {name: None} if tags.get(name, fact) != fact else {}
                tags[name] = fact
        return tags, deprecated, list(several)


class _Pairs:
    """The active rows of an export of aliases or implications."""

    def __init__(self) -> None:
        self._names, self._targets = text_columns.Texts(), text_columns.Texts()
        self._dates, self._ids = array.array("q"), array.array("q")

    def add(self, name: str, target: str, date: int, number: int) -> None:
        self._names.append(name)
        self._targets.append(target)
        self._dates.append(date)
        self._ids.append(number)

    def __len__(self) -> int:
        return len(self._ids)

    def finish(self) -> None:
        self.names, self.targets = self._names.finish(), self._targets.finish()

    def of(self, names: Collection[str]) -> list[tuple[str, str]]:
        """Return ``[(antecedent, consequent)]`` of some antecedents, the oldest first.

        Rows of one age, or of none, are the newer the later they stand.
        """
        rows = text_columns.rows_named(self.names, names)
        ages = [
            np.frombuffer(column, np.int64)[rows] if len(column) else rows
            for column in (self._ids, self._dates)
        ]
        rows = pa.array(rows[np.lexsort(ages)])
        return list(zip(self.names.take(rows).to_pylist(), self.targets.take(rows).to_pylist(), strict=True))


class TagExports:
    """Exports of tags, aliases and implications; made by `read`.

    Attributes:
        notes: sentences to print, about rows that are left out and codes that were recognized.
    """

    def __init__(self) -> None:
        self.tags, self.deprecated = _Tags(), _Tags()
        self.aliases, self.implications = _Pairs(), _Pairs()
        self.notes: list[str] = []
        self.files: dict[pathlib.Path, _Tags | _Pairs] = {}  # what was read from each

    def _without_use(self, names: Collection[str]) -> list[str]:
        """Return a sentence for each file without a row, or none of whose rows is about one of these tags."""
        empty = [
            f"warning: {path} has no row that counts"
            f"{'; of aliases and implications only active ones do' * isinstance(table, _Pairs)}"
            for path, table in self.files.items()
            if not len(table)
        ]
        return empty + [
            f"{path}: of {counted(len(table), 'row')}, such as that of {table.names[0].as_py()!r}, none is "
            "about a tag that is here"
            for path, table in self.files.items()
            if len(table) and not len(text_columns.rows_named(table.names, names))
        ]

    def rules_for(self, names: Iterable[str]) -> tuple[TagRules, list[str]]:
        """Return the rules that concern some tags, and what there is to say: files without use, rows that
        contradict each other, circles.

        A circle of aliases is broken at its newest alias.
        """
        seen, unvisited = set(names), set(names)
        aliases: dict[str, str] = {}
        implications: dict[str, list[str]] = {}
        notes: list[str] = []
        while unvisited:
            new_aliases, new_implied = self.aliases.of(unvisited), self.implications.of(unvisited)
            for name, target in new_aliases:
                if aliases.setdefault(name, target) != target:
                    both = f"{aliases[name]!r} and of {target!r}"
                    notes.append(f"warning: {name!r} is an alias of {both}; the older counts")
            for name, target in new_implied:
                implications.setdefault(name, []).append(target)
            unvisited = {target for _, target in (*new_aliases, *new_implied)} - seen
            seen |= unvisited
        notes += [*self._break_circles(aliases), *self._without_use(seen)]
        tags, deprecated, several = self.tags.of(seen)
        deprecated |= self.deprecated.of(seen)[1]
        if several:
            notes.append(
                "warning: names in several rows of the export of tags, with other ids or categories; the "
                f"last row counts: {join_names(several)}"
            )
        return TagRules(aliases, implications, frozenset(deprecated), tags), notes

    def _break_circles(self, aliases: dict[str, str]) -> list[str]:
        """Remove the newest alias of every circle; returns a sentence for each."""
        notes, done = [], set()
        for start in sorted(aliases):
            path: dict[str, None] = {}
            name = start
            while name in aliases and name not in path and name not in done:
                path[name] = None
                name = aliases[name]
            if name in path:
                circle = list(path)[list(path).index(name) :]
                newest = [pair for pair in self.aliases.of(circle) if aliases.get(pair[0]) == pair[1]][-1]
                del aliases[newest[0]]
                notes.append(
                    f"warning: aliases run in a circle: {' -> '.join([*circle, name])}; the newest, "
                    f"{newest[0]} -> {newest[1]}, is left out"
                )
            done |= set(path)
        return notes


def read(
    aliases: AnyPath | None = None,
    implications: AnyPath | None = None,
    deprecated: AnyPath | None = None,
    tags: AnyPath | None = None,
) -> TagExports:
    """Return the `TagExports` of files.

    Args:
        aliases, implications: columns antecedent_name and consequent_name; with a column status only active
            rows count.
        deprecated: column name; with a column is_deprecated only rows where it is true count.
        tags: columns name, category (or type) and optionally id (or tag_id) and is_deprecated; or a folder of
            e621's exports, of which aliases and implications are read, too. A ``categories.json`` beside it
            says what its category codes mean, where they are not Danbooru's; e621's are recognized.

    Raises UserError that names a file without the columns, or without any row that can be read.
    """
    exports = TagExports()
    if tags and pathlib.Path(tags).is_dir():
        files = {name: _newest(pathlib.Path(tags), pattern) for name, pattern in FOLDER_FILES.items()}
        if files["tags"] is None:
            raise UserError(f"{tags} holds no tags-*.csv or tags-*.csv.gz; --tags takes one, or its folder")
        tags, aliases = files["tags"], aliases or files["aliases"]
        implications = implications or files["implications"]
        read_files = [file.name for file in files.values() if file]
        exports.notes.append(f"read from {files['tags'].parent}: {', '.join(read_files)}")
    if tags:
        _read_tags(exports, require_file(tags, "an export of tags"))
    if deprecated:
        _read_deprecated(exports, require_file(deprecated, "an export of tags"))
    for path, pairs in ((aliases, exports.aliases), (implications, exports.implications)):
        if path:
            _read_pairs(exports, pairs, require_file(path, "an export of aliases or implications"))
    for table in (exports.tags, exports.deprecated, exports.aliases, exports.implications):
        table.finish()
    return exports


def _newest(folder: pathlib.Path, pattern: str) -> pathlib.Path | None:
    return max(folder.glob(pattern), default=None)


def _read_tags(exports: TagExports, path: pathlib.Path) -> None:
    skipped, table = _Notes(path), exports.tags
    codes: dict[Any, int] = {}  # category as the file has it -> code
    columns = ("name", "category", "type", "id", "tag_id", "is_deprecated")
    for place, row in _rows(path, columns, (("name",), ("category", "type"))):
        try:
            cells = _complete(row)
            name, category = _tag_name(cells, "name"), cells.get("category")
            category = cells.get("type") if category in (None, "") else category
            if category not in codes:
                codes[category] = parse_category(category)
            table.add(name, _tag_id(cells), codes[category], is_true(cells.get("is_deprecated")))
        except FieldError as error:
            skipped.skip(place, str(error))
    exports.notes += skipped.sentences(len(table))
    exports.files[path] = table
    _name_codes(exports, path, codes)


def _name_codes(exports: TagExports, path: pathlib.Path, codes: Mapping[Any, int]) -> None:
    """Turn the file's own codes into those of their names, by categories.json or as e621 numbers them."""
    names = tag_categories.read_names(path)
    is_e621 = not names and (bool(_DATED.match(path.name)) or not {7, 8}.isdisjoint(codes.values()))
    if is_e621:
        names = danbooru_fields.E621_CATEGORIES
        used = [f"{code} {name}" for code, name in names.items() if code in codes.values()]
        exports.notes.append(f"{path.name}: categories as e621 numbers them: {', '.join(used)}")
    if not names:
        return
    written = {text for text in codes if str(text).removesuffix(".0").isdecimal()}
    meant = {codes[text]: parse_category(names[codes[text]]) for text in written if codes[text] in names}
    categories = exports.tags.categories
    for row, code in enumerate(categories):
        categories[row] = meant.get(code, code)


def _read_deprecated(exports: TagExports, path: pathlib.Path) -> None:
    skipped, table = _Notes(path), exports.deprecated
    for place, row in _rows(path, ("name", "is_deprecated"), (("name",),)):
        try:
            cells = _complete(row)
            table.add(_tag_name(cells, "name"), -1, -1, is_true(cells.get("is_deprecated", True)))
        except FieldError as error:
            skipped.skip(place, str(error))
    exports.notes += skipped.sentences(len(table))
    exports.files[path] = table


def _read_pairs(exports: TagExports, pairs: _Pairs, path: pathlib.Path) -> None:
    skipped, needed = _Notes(path), ("antecedent_name", "consequent_name")
    for place, row in _rows(path, (*needed, "status", *_DATES), tuple((name,) for name in needed)):
        try:
            cells = _complete(row)
            name, target = (_tag_name(cells, column) for column in needed)
        except FieldError as error:
            skipped.skip(place, str(error))
            continue
        if str(cells.get("status") or "active").strip().lower() == "active" and name != target:
            pairs.add(name, target, *_age(cells))
    exports.notes += skipped.sentences(len(pairs))
    exports.files[path] = pairs


def _age(row: Mapping[str, Any]) -> tuple[int, int]:
    """Return the date at which a row was made, as a number of its digits, and its id; 0 where it has none."""
    date = next((str(row[name]) for name in _DATES[:2] if row.get(name)), "")
    digits = date.translate(_NO_DIGITS)[:_DATE_DIGITS].ljust(_DATE_DIGITS, "0")
    number = str(row.get("id") or "")
    is_number = number.isdecimal() and number.isascii() and len(number) < 19
    return int(digits) if digits.isdecimal() and digits.isascii() else 0, int(number) if is_number else 0


def _complete(row: Row) -> dict[str, Any]:
    """Return the cells of a row; FieldError where it cannot be read."""
    if isinstance(row, str):
        raise FieldError(row)
    return row


def _tag_name(row: Mapping[str, Any], column: str) -> str:
    name = row.get(column)
    if not isinstance(name, str) or not name.strip():
        raise FieldError(f"no {column}")
    if not is_unicode(name):
        raise FieldError(f"half a surrogate pair in {column}")
    return plain_name("_".join(name.split()))


def _tag_id(row: Mapping[str, Any]) -> int:
    value = row.get("id")
    value = row.get("tag_id") if value in (None, "") else value
    if value in (None, ""):
        return -1
    try:
        return parse_post_id(value)  # ids of tags have the range of post ids
    except FieldError as error:
        raise FieldError(str(error).replace("post id", "id")) from error


def _rows(
    path: pathlib.Path, columns: Sequence[str], needed: Sequence[Sequence[str]]
) -> Iterator[tuple[str, Row]]:
    """Yield ``(place, cells)`` of every row; ``needed`` are columns of which one each must be there."""
    start = json_lines.as_utf8(compressed.head(path, 64, UserError)).lstrip()[:1]
    if start in (b"{", b"["):
        is_row: Callable[[dict[str, Any]], bool] = lambda value: needed[0][0] in value  # noqa: E731
        for place, _, value in json_lines.read_values(path, is_row, UserError):
            yield place, value if isinstance(value, dict) else "no object"
        return
    table = CsvStream(path, UserError)
    for names in needed:
        table.require(names if not set(names) & set(table.columns) else ())
    present = [name for name in columns if name in table.columns]
    for line, cells in table.rows(present):
        yield f"line {line}", cells if isinstance(cells, str) else dict(zip(present, cells, strict=True))
    if not table.ends_in_line_break:
        raise UserError(f"{path} does not end in a line break: was it cut off? Add one if it is whole")
