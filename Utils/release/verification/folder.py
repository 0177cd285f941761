"""Rules on the files and tables of a release: R1, R7, R8 and the files of R6."""

import csv
import pathlib
from typing import Any

import numpy as np
import pandas as pd

from Utils.command.cli import UserError
from Utils.command.text import counted, join_names
from Utils.files.atomic import read_json
from Utils.release import release_folder
from Utils.release.verification.findings import RGB, SHUFFLED, Findings
from Utils.tags import tag_categories, tag_list

HEADER = list(tag_list.COLUMNS)
BYTE_ORDER_MARK = "\ufeff"
TABLE, MODEL = tag_list.FILE, "model.onnx"
REQUIRED = (MODEL, TABLE)
DESCRIPTIONS = ("README.md", "release.json")  # for people: no client reads them
FOR_IMGUTILS = ("test", "val")  # preprocessing again, in the form that imgutils reads
TOP_LEVEL = {
    *REQUIRED,
    *DESCRIPTIONS,
    "preprocess.json",
    "categories.json",
    "config.json",
    "model.safetensors",
    "extra",
}


def check_names(release: pathlib.Path, findings: Findings) -> None:
    """R8, and the part of R7 that one table and one ONNX file lie at the top."""
    present = {path.name for path in release.iterdir()}
    for name in REQUIRED:
        if not (release / name).is_file():
            wrong = "is no file" if name in present else "is missing"
            findings.fail("R8", f"{name} {wrong}", name, join_names(sorted(present), most=None))
    for name in DESCRIPTIONS:
        if name not in present:
            findings.warn("R8", f"{name} is missing", name, join_names(sorted(present), most=None))
    for suffix in (".onnx", ".csv"):
        names = sorted(name for name in present if name.endswith(suffix))
        if len(names) > 1:
            findings.fail(
                "R7", f"several {suffix} files at the top", "one; others under extra/", ", ".join(names)
            )
    unknown = sorted(name for name in present - TOP_LEVEL if not name.endswith((".onnx", ".csv")))
    if unknown:
        findings.warn("R8", "unknown files at the top", "others under extra/", ", ".join(unknown))
    findings.note("R8", f"{len(present)} names at the top")


def read_rows(release: pathlib.Path) -> tuple[list[str], list[list[str]]]:
    """Return the header and the rows of selected_tags.csv as clients read them: lists of text."""
    with (release / TABLE).open(newline="", encoding="utf-8") as file:
        lines = list(csv.reader(file))
    return (lines[0], lines[1:]) if lines else ([], [])


def check_table(
    release: pathlib.Path, layout: str, stated_digest: str | None, findings: Findings
) -> pd.DataFrame | None:
    """R1: the tag list by itself; return it, or None where it cannot be read.

    Args:
        release: folder.
        layout: "wd" or "full".
        stated_digest: tags_digest of release.json, None where that has none.
        findings: where failures go.
    """
    try:
        header, lines = read_rows(release)
        frame = tag_list.read(release / TABLE)
        # What clients take by its code has no other name, whatever categories.json says.
        names = tag_categories.names_of(frame).items()
        allowed_names = {code: name for code, name in names if code not in release_folder.WD_CATEGORIES}
        frame = tag_categories.with_names(frame, allowed_names)
    except (UserError, UnicodeDecodeError, csv.Error) as error:
        findings.note("R1", "the table cannot be read", checked=False)
        findings.fail("R1", "the table cannot be read", f"{','.join(HEADER)} in UTF-8", error)
        return None
    findings.note("R1", f"{len(frame)} rows, layout {layout}")
    if header[:1] == [BYTE_ORDER_MARK + HEADER[0]]:
        findings.fail("R1", "a byte order mark before the header", "UTF-8 without one", "EF BB BF")
    elif header[:4] != HEADER:
        findings.fail("R1", "the header", ",".join(HEADER), ",".join(header[:4]))
    _check_cells(lines, frame, findings)
    if layout == "wd":
        _check_blocks(frame, findings)
    _check_order(frame, findings)
    if stated_digest is not None and tag_list.digest(frame) != stated_digest:
        same = tag_list.digest(tag_list.ordered(frame)) == stated_digest
        wrong = "the order of rows is not that" if same else "the rows are not those"
        allowed, came = (
            f"tags_digest {digest[:12]}" for digest in (str(stated_digest), tag_list.digest(frame))
        )
        findings.fail("R1", f"{wrong} of release.json", allowed, came, SHUFFLED if same else "")
    return frame


def _check_cells(lines: list[list[str]], frame: pd.DataFrame, findings: Findings) -> None:
    num_blank = sum(not line for line in lines)
    if num_blank:  # kohya and comfy look for the category of every row and fail at a blank one
        findings.fail("R1", "blank lines", "a tag in every row", num_blank)
    for column, place in (("tag_id", 0), ("category", 2), ("count", 3)):
        wrong = [line[place] for line in lines if len(line) > place and not line[place].isdigit()]
        if wrong:
            findings.fail(
                "R1", f"{column} is no whole number", "digits", f"{len(wrong)} such as {wrong[0]!r}"
            )
    for column in ("tag_id", "name"):
        repeated = frame.loc[frame[column].duplicated(), column].tolist()
        if repeated:
            findings.fail(
                "R1", f"{column} is given twice", "each once", f"{len(repeated)} such as {repeated[0]}"
            )
    not_ascii = [name for name in frame["name"] if not name.isascii()]
    if not_ascii:
        findings.warn(
            "R1", "names beyond ASCII: comfy reads them in the system's encoding", "ASCII", not_ascii[0]
        )


def _check_blocks(frame: pd.DataFrame, findings: Findings) -> None:
    """The layout wd has the ratings in rows 0 to 3 and no other categories than general and character."""
    names, codes = frame["name"].tolist()[:4], frame["category"].tolist()[:4]
    if (names, codes) != (list(tag_list.RATINGS), [tag_categories.CODES["rating"]] * 4):
        fault = SHUFFLED if set(tag_list.RATINGS) <= set(frame["name"]) else ""
        came = ", ".join(map(str, names))
        findings.fail("R1", "the first four rows", ", ".join(tag_list.RATINGS), came, fault)
    others = sorted(set(frame["category"]) - set(release_folder.WD_CATEGORIES))
    if others:
        came = ", ".join(tag_categories.name_of(code) for code in others)
        findings.fail("R1", "categories that clients drop or miscount", "rating, general, character", came)


def _check_order(frame: pd.DataFrame, findings: Findings) -> None:
    """The rows are as `Utils.tags.tag_list.in_blocks` puts them."""
    names, expected = frame["name"].tolist(), tag_list.in_blocks(frame)["name"].tolist()
    moved = [row for row, pair in enumerate(zip(names, expected, strict=True)) if pair[0] != pair[1]]
    if moved:
        first = moved[0]
        allowed = f"ratings, general, copyright, character, by falling count: {expected[first]}"
        came = f"row {first} is {names[first]}"
        findings.fail("R1", f"{len(moved)} rows out of order", allowed, came, SHUFFLED)


def check_against(frame: pd.DataFrame, expected: pd.DataFrame, findings: Findings) -> None:
    """R1: the rows are those of the model's own list, in the order of the layout; both are tag lists."""
    ours, theirs = _keys(frame), _keys(expected)
    if ours == theirs:
        _check_counts(frame, expected, findings)
        return
    if len(ours) != len(theirs):
        findings.fail("R1", "rows that are not the Keras model's", f"{len(theirs)} rows", f"{len(ours)} rows")
    differing = [row for row, pair in enumerate(zip(ours, theirs, strict=False)) if pair[0] != pair[1]]
    if differing:
        first = differing[0]
        rows = counted(len(differing), "row differs", "rows differ")
        where = f"{rows} from the Keras model's list, the first is row {first}"
        allowed, came = (",".join(map(str, keys[first])) for keys in (theirs, ours))
        same = sorted(ours) == sorted(theirs)
        findings.fail("R1", where, allowed, came, SHUFFLED if same else "")


def _check_counts(frame: pd.DataFrame, expected: pd.DataFrame, findings: Findings) -> None:
    """Warn of other counts: a list read from a newer database is the same list."""
    differing = np.flatnonzero(frame["count"].to_numpy() != expected["count"].to_numpy())
    if len(differing):
        first = differing[0]
        allowed, came = (f"{table['name'][first]} {table['count'][first]}" for table in (expected, frame))
        findings.warn("R1", f"{len(differing)} counts differ from the Keras model's list", allowed, came)


def _keys(frame: pd.DataFrame) -> list[tuple[int, str, int]]:
    return list(zip(*(frame[column].tolist() for column in HEADER[:3]), strict=True))


def check_descriptions(
    release: pathlib.Path, frame: pd.DataFrame | None, image_size: int | None, findings: Findings
) -> None:
    """R7: preprocess.json and categories.json fit the model and the tag list."""
    stated = _read_json(release / "preprocess.json", findings)
    if stated is not None and not isinstance(stated, dict):
        findings.fail("R7", "preprocess.json", "a JSON object", type(stated).__name__)
    elif stated is not None:
        for key, value in release_folder.preprocessing(image_size or stated.get("image_size")).items():
            if key not in FOR_IMGUTILS and stated.get(key) != value:
                is_rgb = key == "channels" and str(stated.get(key)).upper() == "RGB"
                fault = RGB if is_rgb else ""
                findings.fail("R7", f"preprocess.json: {key}", value, stated.get(key), fault)
    stated = _read_json(release / "categories.json", findings)
    if stated is not None and frame is not None and stated != release_folder.categories(frame):
        findings.fail(
            "R7", "categories.json does not fit the tag list", release_folder.categories(frame), stated
        )
    findings.note("R7", "preprocess.json and categories.json")


def _read_json(path: pathlib.Path, findings: Findings) -> Any:
    if not path.is_file():
        findings.fail("R7", f"{path.name} is missing", path.name, "nothing")
        return None
    try:
        return read_json(path)
    except UserError as error:
        findings.fail("R7", f"{path.name} cannot be read", "JSON", error)
        return None


def check_thresholds(release: pathlib.Path, frame: pd.DataFrame | None, findings: Findings) -> None:
    """R7: the thresholds of extra/thresholds.csv are also in the column best_threshold, between 0 and 1."""
    if frame is not None and "best_threshold" in frame:
        values = frame["best_threshold"]
        in_range = pd.Series(pd.to_numeric(values, errors="coerce")).between(0, 1)
        wrong = values[~in_range & values.notna() & (values != "")]
        if len(wrong):
            findings.fail("R7", "best_threshold", "0 to 1", f"{len(wrong)} such as {wrong.iloc[0]}")
    elif (release / "extra" / "thresholds.csv").is_file():
        findings.warn("R7", "thresholds are not in the tag list", "a column best_threshold", "none")


def check_timm_files(release: pathlib.Path, findings: Findings) -> bool:
    """R6: config.json and model.safetensors only together, and the order of channels is stated.

    Returns whether there are files to compare.
    """
    names = ("config.json", "model.safetensors")
    present = [name for name in names if (release / name).is_file()]
    if len(present) == 1:
        findings.fail("R6", "timm files only together", " and ".join(names), present[0])
    if len(present) < 2:
        findings.note("R6", "no timm files", checked=False)
        return False
    try:
        order = read_json(release / "config.json").get("input_order")
    except (UserError, AttributeError) as error:
        findings.fail("R6", "config.json cannot be read", "a JSON object", error)
        return False
    if order not in ("bgr", "rgb"):
        findings.fail("R6", "config.json does not state the channels", "input_order: bgr or rgb", order)
    findings.note("R6", f"input_order {order}")
    return True
