"""Tag lists: selected_tags.csv as a DataFrame, whose row i is output i of a model."""

import csv
import hashlib

import numpy as np
import pandas as pd

from Utils.command.cli import UserError, suggest
from Utils.files import csv_tables
from Utils.files.atomic import require_file

CATEGORIES = {"general": 0, "artist": 1, "copyright": 3, "character": 4, "meta": 5, "rating": 9}
COLUMNS = ("tag_id", "name", "category", "count")
RATINGS = ("general", "sensitive", "questionable", "explicit")  # the order clients count on
_BLOCKS = (9, 0, 3, 4)  # the order of categories in a list; any other follows by its code
_ID_BITS = 52  # below 2**53, so that an id survives tools that write numbers as floats


def category_code(category):
    """Return the code of a category given as name, code or text of a code, such as ``4`` for "character".

    Raises UserError for anything that is neither in CATEGORIES nor one of its values.
    """
    text = str(category).strip().lower()
    if text in CATEGORIES:
        return CATEGORIES[text]
    code = _whole(text)
    if code in CATEGORIES.values():
        return code
    known = ", ".join(f"{name} ({code})" for name, code in CATEGORIES.items())
    raise UserError(f"unknown category {category!r}; known are {known}{suggest(text, CATEGORIES)}")


def category_name(code):
    """Return the name of a category code, or the code as text where Danbooru has no name for it."""
    return next((name for name, known in CATEGORIES.items() if known == int(code)), str(int(code)))


def name_id(name):
    """Return a tag id for a tag that has only a name: the first 52 bits of its SHA-256."""
    return int.from_bytes(hashlib.sha256(name.encode("utf-8")).digest()[:8], "big") >> (64 - _ID_BITS)


def read(path):
    """Read selected_tags.csv: columns tag_id, name, category, count (int64 but name) and any further ones.

    Tolerant of a byte order mark, of ids and counts written as floats, of categories written as names,
    of an empty count (0) and of an empty id (`name_id`). Raises UserError that names file, line and column.
    """
    path = require_file(path, "a tag list (selected_tags.csv)")
    raw = _raw(path)
    missing = [name for name in COLUMNS if name not in raw.columns]
    if missing:
        raise UserError(
            f"{path} lacks the column {' and '.join(missing)}; needed are {','.join(COLUMNS)}; "
            f"its first line has {','.join(map(str, raw.columns))}"
        )
    if (raw["name"] == "").any():
        raise UserError(f"{path}, line {_line(raw['name'] == '')}: the tag has no name")
    frame = pd.DataFrame({"tag_id": _ids(path, raw), "name": raw["name"].to_numpy()})
    frame = frame.astype({"name": "str"})
    frame["category"] = _categories(path, raw["category"])
    frame["count"] = _integers(path, raw["count"], "count", np.zeros(len(raw), np.int64))
    for column in raw.columns.difference(COLUMNS, sort=False):
        frame[column] = _optional(raw[column].reset_index(drop=True))
    return frame


def _raw(path):
    """Return every cell as text; the index is the line in the file."""
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.reader(file)
            lines = dict((reader.line_num, row) for row in reader if row)  # noqa: C402
    except (csv.Error, UnicodeDecodeError) as error:
        raise UserError(f"{path} is no CSV in UTF-8: {error}") from error
    if not lines:
        raise UserError(f"{path} is empty; a tag list starts with the line {','.join(COLUMNS)}")
    header = [name.strip() for name in lines.pop(min(lines))]
    for line, row in lines.items():
        if len(row) != len(header):
            raise UserError(f"{path}, line {line} has {len(row)} cells; the first line names {len(header)}")
    return pd.DataFrame.from_dict(lines, orient="index", columns=header, dtype="str")


def _line(mask):
    return mask.index[mask.to_numpy()][0]


def _ids(path, raw):
    spare = np.zeros(len(raw), np.int64)
    for row in np.flatnonzero(raw["tag_id"].str.strip() == ""):
        spare[row] = name_id(raw["name"].iloc[row])
    return _integers(path, raw["tag_id"], "tag_id", spare)


def _categories(path, texts):
    codes = {}
    for text in texts.unique():
        try:
            codes[text] = category_code(text)
        except UserError as error:
            raise UserError(f"{path}, line {_line(texts == text)}: {error}") from error
    return texts.map(codes).astype(np.int64).to_numpy()


def _integers(path, texts, column, spare):
    values = [_whole(text) if text.strip() else int(spare[row]) for row, text in enumerate(texts)]
    for row, value in enumerate(values):
        if value is None:
            raise UserError(
                f"{path}, line {texts.index[row]}: {column} is {texts.iloc[row]!r}; a whole number is needed"
            )
    return np.array(values, np.int64)


def _whole(text):
    """Return the whole number a text stands for, "7" or "7.0" or "7e3", or None."""
    try:
        return int(text)
    except ValueError:
        pass
    try:
        value = float(text)
    except ValueError:
        return None
    return int(value) if value.is_integer() else None


def _optional(texts):
    numbers = pd.to_numeric(texts.where(texts != ""), errors="coerce")
    return numbers if (numbers.notna() == (texts != "")).all() else texts


def write(frame, path):
    """Write a tag list: whole numbers, UTF-8, the four columns first, further ones in their order."""
    frame = frame[[*COLUMNS, *(name for name in frame.columns if name not in COLUMNS)]]
    whole = {name: np.int64 for name in COLUMNS if name != "name"}
    csv_tables.write_frame(path, frame.astype(whole))


def ordered(frame):
    """Return the rows as models order them: ratings, general, copyright, character, then other categories.

    Within a category by falling count, then by id; ratings always general, sensitive, questionable, explicit,
    because clients of released taggers count on rows 0 to 3.
    """
    category = frame["category"].to_numpy()
    block = np.array([_BLOCKS.index(code) if code in _BLOCKS else 10 + code for code in category], np.int64)
    rating = [
        RATINGS.index(name) if code == CATEGORIES["rating"] and name in RATINGS else len(RATINGS)
        for name, code in zip(frame["name"], category, strict=True)
    ]
    order = np.lexsort((frame["tag_id"], -frame["count"].to_numpy(), np.array(rating, np.int64), block))
    return frame.iloc[order].reset_index(drop=True)


def factors(frame, column):
    """Return a further column of a list, float64 (num_labels,), or raise UserError unless all are >= 0."""
    if column not in frame.columns:
        others = ", ".join(frame.columns.difference(COLUMNS, sort=False)) or "none"
        raise UserError(
            f"the tag list has no column {column!r}; besides {', '.join(COLUMNS)} it has {others}"
        )
    values = pd.to_numeric(frame[column], errors="coerce").to_numpy(np.float64)
    wrong = np.flatnonzero(~(np.isfinite(values) & (values >= 0)))
    if len(wrong):
        name, value = (frame[key].iloc[wrong[0]] for key in ("name", column))
        raise UserError(f"{column} of the tag {name} is {value!r}; a number of 0 or more is needed")
    return values


def digest(frame):
    """Return the SHA-256 (hexadecimal) of what a model's outputs mean: id, name and category of every row.

    Counts are left out: the same list read from a newer database is the same list.
    """
    rows = zip(frame["tag_id"], frame["name"], frame["category"], strict=True)
    text = "".join(f"{int(tag_id)}\t{name}\t{int(category)}\n" for tag_id, name, category in rows)
    return hashlib.sha256(text.encode("utf-8")).hexdigest()


def popularity_ranks(frame):
    """Return the rank of every row by falling count, then by row: int64 (num_labels,), 0 the most popular."""
    ranks = np.empty(len(frame), np.int64)
    ranks[np.argsort(-frame["count"].to_numpy(), kind="stable")] = np.arange(len(frame))
    return ranks


def matches(wanted, given):
    """Return for every row of ``wanted`` its row in ``given``, by id, else by name; -1 where there is none.

    Both are tag lists; returns int64 (len(wanted),). A renamed tag keeps its id, a tag from another source
    only its name.
    """
    by_id = {tag_id: row for row, tag_id in reversed(list(enumerate(given["tag_id"])))}
    found = np.array([by_id.get(tag_id, -1) for tag_id in wanted["tag_id"]], np.int64)
    taken = set(found.tolist())
    by_name = {name: row for row, name in enumerate(given["name"]) if row not in taken}
    for row in np.flatnonzero(found < 0):
        found[row] = by_name.get(wanted["name"].iloc[row], -1)
    return found
