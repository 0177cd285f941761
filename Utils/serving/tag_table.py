"""Tags of many pictures in one file: JSON or CSV, made of a journal that work cut short goes on with.

A record is ``{"path", "rating", "ratings": {name: probability}, "tags": {category: {name: probability}}}``;
rating is null where the model has none. The journal holds one record a line and lies beside the file until
that is complete.
"""

import csv
import fcntl
import io
import json
import pathlib

from Utils.command.cli import UserError
from Utils.files.atomic import replacing
from Utils.images import image_folder
from Utils.tags import tag_list

CSV_COLUMNS = ("path", "category", "name", "probability")
FORMATS = ("json", "csv")


def record(path, chosen):
    """Return the record of a picture, ready for JSON."""
    by_category = {}
    for tag in chosen.tags:
        by_category.setdefault(tag_list.category_name(tag.category), {})[tag.name] = _rounded(tag.probability)
    return {
        "path": image_folder.shown(str(path)),
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

    Raises UserError where what was cut short had other settings, or another process writes the same file.
    """

    def __init__(self, output, settings):
        self.output = pathlib.Path(output)
        self.output.parent.mkdir(parents=True, exist_ok=True)
        self.path = self.output.with_name(f".{self.output.name}.journal")
        self._file = self.path.open("a+b")
        try:
            self._lock()
            self._begin(json.dumps(settings, sort_keys=True) + "\n")
        except BaseException:
            self._file.close()
            raise
        self.done = {one["path"] for one in self.records()}

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._file.close()

    def _lock(self):
        """Hold the journal until it is closed or this process ends, however it ends."""
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UserError(f"another process writes {self.output} now; wait, or give another -o") from None

    def _begin(self, settings):
        """Cut off a last line that was cut short; write the first line, or compare it."""
        self._file.truncate(_whole_lines(self._file))
        self._file.seek(0)
        first = self._file.readline().decode("utf-8")
        if not first:
            self._write(settings)
        elif first != settings:
            raise UserError(
                f"{self.output} was begun with another model, thresholds or options; remove {self.path} to "
                "begin anew, or run the same command as then"
            )

    def _write(self, text):
        self._file.write(text.encode("utf-8"))
        self._file.flush()

    def records(self):
        """Yield every record that was written."""
        with self.path.open(encoding="utf-8") as file:
            next(file)
            yield from map(json.loads, file)

    def add(self, records):
        """Append records, a list."""
        self._write("".join(json.dumps(one, ensure_ascii=False) + "\n" for one in records))
        self.done.update(one["path"] for one in records)

    def finish(self, kind):
        """Write the output of all records and remove the journal."""
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
