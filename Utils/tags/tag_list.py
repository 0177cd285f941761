"""Tag lists: selected_tags.csv as a DataFrame, whose row i is output i of a model.

A list may have any categories; Utils/tags/tag_categories.py has their names.
"""

import csv
import hashlib
import io
import pathlib
import sys
from collections.abc import Mapping

import numpy as np
import pandas as pd

from Utils.command.cli import UserError
from Utils.command.text import composed, join_names, whole_number
from Utils.files import csv_tables, damage, text_files
from Utils.files.atomic import AnyPath, read_json, require_file, to_path, write_json
from Utils.tags import tag_categories

FILE = "selected_tags.csv"
COLUMNS = ("tag_id", "name", "category", "count")
CLASS_BALANCED = "class_balanced"  # weights that follow from the counts
# The same columns in the lists of other projects.
OTHER_NAMES = {
    "tag_id": ("id",),
    "name": ("tag", "tag_name"),
    "category": ("type",),
    "count": ("post_count", "frequency"),
}
RATINGS = ("general", "sensitive", "questionable", "explicit")  # rows 0 to 3 in every client of WD taggers
_CATEGORY_ORDER = (9, 0, 3, 4)  # of a list; other categories follow by code
_ROUNDED = r"\s*[0-9.,]+[eE]\+?(?:1[1-9])\s*"  # as spreadsheets show numbers of 12 digits and more
_ID_BITS = 52  # below 2**53, so that an id survives tools that write numbers as floats


def name_id(name: str) -> int:
    """Return a tag id for a tag that has only a name: the first 52 bits of its SHA-256."""
    return int.from_bytes(hashlib.sha256(name.encode("utf-8")).digest()[:8], "big") >> (64 - _ID_BITS)


def read(path: AnyPath, other_names: bool = False) -> pd.DataFrame:
    """Return selected_tags.csv: columns name (str), tag_id, category, count (int64), and any further ones.

    Accepted are a byte order mark, ids and counts written as floats, categories written as names, an empty
    count (0) and an empty id (`name_id`). Letters of names are composed (NFC). Raises UserError that names
    file, line and column.

    Args:
        path: of the CSV.
        other_names: take the columns of other projects, too (`OTHER_NAMES`); ids and counts may be missing.
    """
    path = require_file(path, "a tag list (selected_tags.csv)")
    raw = _read_texts(path)
    header = csv_tables.shown_header(list(raw.columns))
    if other_names:
        raw = _with_usual_columns(raw)
    missing = [name for name in COLUMNS if name not in raw.columns]
    if missing:
        raise UserError(
            f"{path} lacks the column {' and '.join(missing)}; needed are {','.join(COLUMNS)}; "
            f"its first line has {header}"
        )
    if (nameless := raw["name"].str.strip() == "").any():
        raise UserError(f"{path}, line {_first_line(nameless)}: the tag has no name")
    raw["name"] = _composed_names(path, raw["name"])
    frame = pd.DataFrame({"tag_id": _ids(path, raw), "name": raw["name"].to_numpy()})
    frame = frame.astype({"name": "str"})
    names = tag_categories.read_names(path)
    frame["category"] = _categories(path, raw["category"], names)
    frame["count"] = _integers(path, raw["count"], np.zeros(len(raw), np.int64))
    for column in raw.columns.difference([*COLUMNS], sort=False):
        frame[column] = _optional(raw[column].reset_index(drop=True))
    return tag_categories.with_names(frame, names)


def read_beside_model(path: AnyPath, other_names: bool = False) -> pd.DataFrame:
    """Return the list that lies beside a model, as `read`.

    Raises UserError where dataset.json (of a run) or release.json beside it has the hash of another list, or
    is damaged: with rows in another order every probability would be another tag's.
    """
    frame = read(path, other_names)
    for file_name, key in (("dataset.json", "tags_sha256"), ("release.json", "tags_digest")):
        file = to_path(path).with_name(file_name)
        is_foreign = other_names and file_name == "dataset.json"  # a name that any project may use
        shape = object if is_foreign else {f"{key}?": (str, None)}
        facts = read_json(file, shape) if file.is_file() else None
        stated = facts.get(key) if isinstance(facts, dict) else None
        if stated not in (None, digest(frame)):
            raise UserError(
                f"{path} is not the tag list of the model beside it: {file_name} has the hash of another, "
                f"in ids, names, categories or order; the file has {len(frame)} tags. Restore it"
            )
    return frame


def _read_texts(path: pathlib.Path) -> pd.DataFrame:
    """Return every cell as text; the index is the line in the file, which pandas' reader does not give."""
    with damage.named(path, "is no CSV"):
        text = text_files.decoded(path.read_bytes())
        reader = csv.reader(io.StringIO(text, newline=""))
        lines = {reader.line_num: row for row in reader if row}  # noqa: B035  it changes with every row
    if not lines:
        raise UserError(f"{path} is empty; a tag list starts with the line {','.join(COLUMNS)}")
    header = [name.strip() for name in lines.pop(min(lines))]
    csv_tables.require_header(path, header)
    for line, row in lines.items():
        if len(row) != len(header):
            raise UserError(
                f"{path}, line {line} has {len(row)} cells; the first line names {len(header)}"
                f"{csv_tables.parted_otherwise(header)}"
            )
    csv_tables.report_missing_end(path, text)
    table = pd.DataFrame.from_dict(lines, orient="index", columns=header, dtype="str")
    return table.loc[:, [bool(name) for name in header]]  # spreadsheets add columns without a name


def _with_usual_columns(raw: pd.DataFrame) -> pd.DataFrame:
    """Return a table of another project with our columns: renamed, or empty where they are missing."""
    known = {*COLUMNS, *(name for names in OTHER_NAMES.values() for name in names)}
    for column in raw.columns:
        if column.lower() in known - {*raw.columns}:
            raw = raw.rename(columns={column: column.lower()})
    for column, names in OTHER_NAMES.items():
        other = next((name for name in names if name in raw.columns), None)
        if column not in raw.columns and other is not None:
            raw = raw.rename(columns={other: column})
            if column == "tag_id" and _are_row_numbers(raw[column]):
                raw[column] = ""
    empty = {column: "" for column in ("tag_id", "count") if column not in raw.columns}
    return raw.assign(**empty)


def _are_row_numbers(texts: pd.Series) -> bool:
    """Whether a column only counts the rows: such numbers are other tags' ids."""
    numbers = [whole_number(text) for text in texts]
    return numbers in (list(range(len(texts))), list(range(1, len(texts) + 1)))


def _composed_names(path: pathlib.Path, names: pd.Series) -> pd.Series:
    """Return names with composed letters; says on stderr which tags have one name only then."""
    spelled = names.map(composed)
    equal = spelled.duplicated(keep=False) & ~names.duplicated(keep=False)
    if equal.any():
        tags = [f"{name!r} (line {line})" for line, name in spelled[equal].items()]
        print(f"warning: {path}: names that are equal but for composed letters (Unicode's NFC and NFD), "
              f"which stay tags of their own: {join_names(tags)}", file=sys.stderr)  # fmt: skip
    return spelled


def _first_line(mask: pd.Series) -> int:
    """Return the index of the first True."""
    return mask.index[mask.to_numpy()][0]


def _ids(path: pathlib.Path, raw: pd.DataFrame) -> np.ndarray:
    defaults = np.zeros(len(raw), np.int64)
    for row in np.flatnonzero(raw["tag_id"].str.strip() == ""):
        defaults[row] = name_id(raw["name"].iloc[row])
    rounded = raw["tag_id"].str.fullmatch(_ROUNDED)
    if rounded.any():
        raise UserError(
            f"{path}, line {_first_line(rounded)}: tag_id is {raw['tag_id'][rounded].iloc[0]!r}, as "
            "spreadsheets round long numbers. Put the ids back, or empty the column: names tell the tags then"
        )
    return _integers(path, raw["tag_id"], defaults)


def _categories(path: pathlib.Path, texts: pd.Series, names: Mapping[int, str]) -> np.ndarray:
    codes = {}
    for text in texts.unique():
        try:
            codes[text] = tag_categories.code_of(text, names)
        except UserError as error:
            raise UserError(f"{path}, line {_first_line(texts == text)}: {error}") from error
    return texts.map(codes).astype(np.int64).to_numpy()


def _integers(path: pathlib.Path, texts: pd.Series, defaults: np.ndarray) -> np.ndarray:
    """Return the integers that a column's texts stand for; an empty text stands for its default."""
    values = [whole_number(text) if text.strip() else int(defaults[row]) for row, text in enumerate(texts)]
    for row, value in enumerate(values):
        if value is None or not -(2**63) <= value < 2**63:
            raise UserError(
                f"{path}, line {texts.index[row]}: {texts.name} is {texts.iloc[row]!r}; a whole number "
                f"{'' if value is None else 'of 64 bits '}is needed"
            )
    return np.array(values, np.int64)


def _optional(texts: pd.Series) -> pd.Series:
    """Return a further column as numbers where every text that is not empty is a number, else as text."""
    numbers = pd.to_numeric(texts.where(texts != ""), errors="coerce")
    return numbers if (numbers.notna() == (texts != "")).all() else texts


def write(frame: pd.DataFrame, path: AnyPath) -> None:
    """Write a tag list: the four columns first, ids, categories and counts as integers.

    Beside it comes a categories.json where its categories have names that `tag_categories.CODES` lacks.
    """
    frame = frame[[*COLUMNS, *(name for name in frame.columns if name not in COLUMNS)]]
    csv_tables.write_frame(path, frame.astype({name: np.int64 for name in COLUMNS if name != "name"}))
    if set(tag_categories.names_of(frame)) & set(frame["category"].tolist()):
        write_json(pathlib.Path(path).with_name(tag_categories.FILE), tag_categories.sizes(frame))


def ordered(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the rows as models order them: ratings, general, copyright, character, then other categories.

    Within a category by descending count, then by id. Ratings are general, sensitive, questionable, explicit
    whatever their counts, because clients of released taggers expect them in rows 0 to 3.
    """
    return in_blocks(frame.sort_values("tag_id", kind="stable"))


def in_blocks(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the rows in the order of `ordered`, but those of equal counts in the order that they have.

    A list that another project sorted by count keeps its order so: some clients have that list built in.
    """
    category = frame["category"].to_numpy()
    ranks = [_CATEGORY_ORDER.index(code) if code in _CATEGORY_ORDER else 10 + code for code in category]
    rating_ranks = [
        RATINGS.index(name) if code == tag_categories.CODES["rating"] and name in RATINGS else len(RATINGS)
        for name, code in zip(frame["name"], category, strict=True)
    ]
    order = np.lexsort((-frame["count"].to_numpy(), rating_ranks, ranks))  # stable
    return frame.iloc[order].reset_index(drop=True)


def has_ratings(frame: pd.DataFrame) -> bool:
    """Return whether a list has the four ratings that clients of WD taggers expect in rows 0 to 3."""
    return set(RATINGS) <= set(frame["name"][frame["category"] == tag_categories.CODES["rating"]])


def weights(frame: pd.DataFrame, column: str) -> np.ndarray:
    """Return a further column of a list that holds a weight of every tag: float64 (num_labels,).

    CLASS_BALANCED needs no column: it follows from the counts, see `class_balanced_weights`.

    Raises UserError where the column is missing, a value is no finite number of 0 or more, or all are 0.
    """
    if column == CLASS_BALANCED and column not in frame.columns:
        return class_balanced_weights(frame["count"].to_numpy())
    if column not in frame.columns or column in ("tag_id", "category"):  # numbers that are names
        others = ", ".join(frame.columns.difference([*COLUMNS], sort=False)) or "none"
        raise UserError(
            f"the tag list has no column {column!r} of weights; besides {', '.join(COLUMNS)} it has {others}"
            f", and {CLASS_BALANCED} follows from the counts"
        )
    values = pd.to_numeric(frame[column], errors="coerce").to_numpy(np.float64)
    invalid = np.flatnonzero(~(np.isfinite(values) & (values >= 0)))
    if len(invalid):
        name, value = (frame[key].iloc[invalid[0]] for key in ("name", column))
        raise UserError(f"{column} of the tag {name} is {value}; a number of 0 or more is needed")
    if not values.any():
        raise UserError(f"{column} is 0 for every tag: nothing would be learned")
    return values


def class_balanced_weights(counts: np.ndarray, beta: float = 0.999) -> np.ndarray:
    """Return the weights of tags by their effective numbers of images, float64 (L,), their mean 1.

    ``w = (1 - beta) / (1 - beta^n)``, scaled (arXiv:1901.05555): as 1 / n for tags with far fewer than
    ``1 / (1 - beta)`` images, the same for all with far more.

    Args:
        counts: (L,) n; 0 counts as 1.
        beta: 0 (all weights 1) to below 1.
    """
    effective = 1.0 - np.power(beta, np.maximum(counts, 1).astype(np.float64))
    return (1.0 / effective) / np.mean(1.0 / effective)


def digest(frame: pd.DataFrame) -> str:
    """Return the SHA-256 (hexadecimal) of what a model's outputs mean: id, name and category of every row.

    Counts are left out: the same list read from a newer database is the same list.
    """
    rows = zip(frame["tag_id"], frame["name"], frame["category"], strict=True)
    text = "".join(f"{int(tag_id)}\t{name}\t{int(category)}\n" for tag_id, name, category in rows)
    return hashlib.sha256(text.encode("utf-8")).hexdigest()


def describe_repeated(tags: pd.DataFrame, most: int = 5) -> str:
    """Return which names several tags of a list have, ``most`` of them; empty where none is."""
    repeated = tags[tags["name"].duplicated(keep=False)]
    if repeated.empty:
        return ""
    names = tag_categories.names_of(tags)
    by_name = {
        str(name): ", ".join(tag_categories.name_of(int(code), names) for code in sorted(codes))
        for name, codes in repeated.groupby("name", sort=True)["category"]
    }
    examples = [f"{name!r} ({categories})" for name, categories in list(by_name.items())[:most]]
    more = [f"and {len(by_name) - most} more"] if len(by_name) > most else []
    return f"names of more than one tag, which stay apart: {', '.join([*examples, *more])}"


def popularity_ranks(frame: pd.DataFrame) -> np.ndarray:
    """Return the rank of every row by descending count, 0 for the highest: int64 (num_labels,)."""
    ranks = np.empty(len(frame), np.int64)
    ranks[np.argsort(-frame["count"].to_numpy(), kind="stable")] = np.arange(len(frame))
    return ranks
