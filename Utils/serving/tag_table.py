"""Tags of many images in one file, JSON or CSV, with a journal from which an interrupted run continues.

A record is ``{"path", "rating", "ratings": {name: probability}, "tags": {category: {name: probability}}}``;
its rating is null where the model has none. The journal has one record a line and lies beside the file until
that is complete.
"""

import csv
import io
import json
import pathlib
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, BinaryIO, TextIO

from Utils.command.cli import UserError
from Utils.data.sources.danbooru_post import PREDICTION_FIELDS
from Utils.data.sources.post_tables import PREDICTION_COLUMNS
from Utils.files import damage
from Utils.files.atomic import AnyPath, naming, replacing, short_name
from Utils.files.locking import try_lock
from Utils.files.output_files import FileKind, has_header
from Utils.images import image_folder
from Utils.serving.tag_selection import Selection
from Utils.tags import tag_categories


def _is_json_table(path: pathlib.Path) -> bool:
    """Whether a file begins as `_write_json` begins it: with a brace, and a record by its path."""
    with path.open("rb") as file:
        opening, first = file.readline(3), file.readline(1 << 20)
    if opening == b"{}\n":
        return True
    record = next(iter(json.loads(b"{" + first.rstrip(b",\n") + b"}").values()), None)
    return opening == b"{\n" and isinstance(record, dict) and record.keys() == PREDICTION_FIELDS


KINDS = {
    "json": FileKind("a table of tags", _is_json_table),
    "csv": FileKind("a table of tags", has_header(PREDICTION_COLUMNS)),
}
FORMATS = ("json", "csv")

Record = dict[str, Any]


def record(path: AnyPath, selection: Selection) -> Record:
    """Return the record of an image, ready for JSON."""
    by_category: dict[str, dict[str, float]] = {}
    for tag in selection.tags:
        category = tag.category_name or tag_categories.name_of(tag.category)
        by_category.setdefault(category, {})[tag.name] = _rounded(tag.probability)
    return {
        "path": image_folder.printable(str(path)),
        "rating": selection.rating.name if selection.rating else None,
        "ratings": {tag.name: _rounded(tag.probability) for tag in selection.ratings},
        "tags": by_category,
    }


def _rounded(probability: float) -> float:
    return round(probability, 6)  # float32 has no more digits that mean anything


def write_records(records: Iterable[Record], file: TextIO, format_name: str) -> None:
    """Write records to a text file as they come.

    "json" is one object with a key for every path, "csv" a row for every tag; there the rating is a row of
    the category rating.
    """
    (_write_json if format_name == "json" else _write_csv)(records, file)


def _write_json(records: Iterable[Record], file: TextIO) -> None:
    opening = "{"
    for item in records:
        content = {name: value for name, value in item.items() if name != "path"}
        text = json.dumps(content, ensure_ascii=False)
        file.write(f"{opening}\n{json.dumps(item['path'], ensure_ascii=False)}: {text}")
        opening = ","
    file.write("{}\n" if opening == "{" else "\n}\n")


def _write_csv(records: Iterable[Record], file: TextIO) -> None:
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(PREDICTION_COLUMNS)
    for item in records:
        path, rating = item["path"], item["rating"]
        if rating is not None:
            writer.writerow([path, "rating", rating, item["ratings"][rating]])
        for category, tags in item["tags"].items():
            writer.writerows([path, category, name, probability] for name, probability in tags.items())


class Journal:
    """The records of an unfinished file, on disk after every batch; a context manager.

    Args:
        output: the file that is made in the end.
        settings: JSON value; an interrupted run continues only under the same.

    Raises UserError where the interrupted run had other settings, or another process writes the same file.
    """

    def __init__(self, output: AnyPath, settings: Any) -> None:
        self.output = pathlib.Path(output)
        self.output.parent.mkdir(parents=True, exist_ok=True)
        self.path = self.output.with_name(f".{short_name(self.output.name)}.journal")
        self._file = self.path.open("a+b")
        try:
            self._lock()
            self._begin(json.dumps(settings, sort_keys=True) + "\n")
        except BaseException:
            self._close()
            raise
        self.done = {item["path"] for item in self.records()}

    def __enter__(self) -> "Journal":
        return self

    def __exit__(self, *_: object) -> None:
        self._close()

    def _close(self) -> None:
        with naming(self.path, self.path):  # it writes what is still in memory
            self._file.close()

    def _lock(self) -> None:
        """Lock the journal until it is closed or this process ends, however it ends."""
        if not try_lock(self._file):
            raise UserError(f"another process writes {self.output} now; wait, or give another -o")

    def _begin(self, settings: str) -> None:
        """Cut off an incomplete last line; write the first line, or compare it with ``settings``."""
        self._file.truncate(_size_of_complete_lines(self._file))
        self._file.seek(0)
        first = self._file.readline().decode("utf-8")
        if not first:
            self._write(settings)
        elif first != settings:
            raise UserError(
                f"{self.output} was started with another model, thresholds or options; remove {self.path} to "
                "start again, or repeat the original command"
            )

    def _write(self, text: str) -> None:
        with naming(self.path, self.path):
            self._file.write(text.encode("utf-8"))
            self._file.flush()

    def records(self) -> Iterator[Record]:
        """Yield every record that was written."""
        with self.path.open(encoding="utf-8") as file:
            next(file)  # the settings
            yield from damage.iterate(map(json.loads, file), self.path, "is damaged; remove it to begin anew")

    def add(self, records: Sequence[Record]) -> None:
        """Append records."""
        self._write("".join(json.dumps(item, ensure_ascii=False) + "\n" for item in records))
        self.done.update(item["path"] for item in records)

    def finish(self, format_name: str) -> None:
        """Write the output from all records and remove the journal."""
        with replacing(self.output) as beside, beside.open("w", encoding="utf-8", newline="") as file:
            write_records(self.records(), file, format_name)
        self.path.unlink()


def _size_of_complete_lines(file: BinaryIO) -> int:
    """Return the bytes up to the last line break; read from the end, because a journal may be large."""
    end = file.seek(0, io.SEEK_END)
    while end > 0:
        start = max(0, end - (1 << 16))
        file.seek(start)
        place = file.read(end - start).rfind(b"\n")
        if place >= 0:
            return start + place + 1
        end = start
    return 0
