"""Tags of many pictures in one file: JSON or CSV, made of a journal that work cut short goes on with.

A record is ``{"path", "rating", "ratings": {name: probability}, "tags": {category: {name: probability}}}``;
rating is null where the model has none. The journal holds one record a line and lies beside the file until
that is complete.
"""

import csv
import io
import json
import pathlib

from Utils import folders, tags
from Utils.commands import UserError
from Utils.files import replacing

CSV_COLUMNS = ("path", "category", "name", "probability")
FORMATS = ("json", "csv")


def record(path, chosen):
    """Return the record of a picture, ready for JSON."""
    by_category = {}
    for tag in chosen.tags:
        by_category.setdefault(tags.category_name(tag.category), {})[tag.name] = _rounded(tag.probability)
    return {
        "path": folders.shown(str(path)),
        "rating": chosen.rating.name if chosen.rating else None,
        "ratings": {tag.name: _rounded(tag.probability) for tag in chosen.ratings},
        "tags": by_category,
    }


def _rounded(probability):
    return round(probability, 6)  # float32 has no more


def write(records, file, kind):
    """Write records to a text file as they come: one JSON object by path, or CSV with a row a tag.

    The rating is a row of the category rating in CSV.
    """
    (_write_json if kind == "json" else _write_csv)(records, file)


def _write_json(records, file):
    mark = "{"
    for one in records:
        content = {name: value for name, value in one.items() if name != "path"}
        text = json.dumps(content, ensure_ascii=False)
        file.write(f"{mark}\n{json.dumps(one['path'], ensure_ascii=False)}: {text}")
        mark = ","
    file.write("{}\n" if mark == "{" else "\n}\n")


def _write_csv(records, file):
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(CSV_COLUMNS)
    for one in records:
        path, rating = one["path"], one["rating"]
        if rating is not None:
            writer.writerow([path, "rating", rating, one["ratings"][rating]])
        for category, found in one["tags"].items():
            writer.writerows([path, category, name, value] for name, value in found.items())


class Journal:
    """The records of a file in the making, on disk after every batch; a context manager.

    Args:
        output: the file that is made in the end.
        settings: JSON value; work that was cut short goes on only under the same.

    Raises UserError where what was cut short had other settings.
    """

    def __init__(self, output, settings):
        self.output = pathlib.Path(output)
        self.path = self.output.with_name(f".{self.output.name}.journal")
        self._settings = json.dumps(settings, sort_keys=True)
        self.done = {one["path"] for one in self.records()} if self._resumed() else set()

    def __enter__(self):
        self.output.parent.mkdir(parents=True, exist_ok=True)
        if not self.path.exists():
            self.path.write_text(self._settings + "\n", encoding="utf-8")
        self._file = self.path.open("a", encoding="utf-8")
        return self

    def __exit__(self, *_):
        self._file.close()

    def _resumed(self):
        """Whether there is a journal; a last line that was cut short is cut off."""
        if not self.path.exists():
            return False
        with self.path.open("rb+") as file:
            file.truncate(_whole_lines(file))
        with self.path.open(encoding="utf-8") as file:
            first = file.readline().rstrip("\n")
        if not first:
            self.path.unlink()
            return False
        if first != self._settings:
            raise UserError(
                f"{self.output} was begun with another model, thresholds or options; remove {self.path} to "
                "begin anew, or run the same command as then"
            )
        return True

    def records(self):
        """Yield every record that was written."""
        with self.path.open(encoding="utf-8") as file:
            next(file)
            yield from map(json.loads, file)

    def add(self, records):
        """Append records, a list."""
        self._file.write("".join(json.dumps(one, ensure_ascii=False) + "\n" for one in records))
        self._file.flush()
        self.done.update(one["path"] for one in records)

    def finish(self, kind):
        """Write the output of all records and remove the journal."""
        self._file.close()
        with replacing(self.output) as beside, beside.open("w", encoding="utf-8", newline="") as file:
            write(self.records(), file, kind)
        self.path.unlink()


def _whole_lines(file):
    """Return how many bytes of a file its complete lines take."""
    end = file.seek(0, io.SEEK_END)
    while end > 0:
        start = max(0, end - (1 << 16))
        file.seek(start)
        at = file.read(end - start).rfind(b"\n")
        if at >= 0:
            return start + at + 1
        end = start
    return 0
