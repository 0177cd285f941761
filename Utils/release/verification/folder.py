"""Rules on the files and tables of a release: R1, R7, R8 and the files of R6."""

import csv

import numpy as np
import pandas as pd

from Utils.command.cli import UserError
from Utils.command.text import join_names
from Utils.files.atomic import read_json
from Utils.release import release_folder
from Utils.release.verification.findings import RGB, SHUFFLED
from Utils.tags import tag_list

HEADER = list(tag_list.COLUMNS)
MARK = "\ufeff"  # the byte order mark
TABLE, MODEL = "selected_tags.csv", "model.onnx"
NEEDED = (MODEL, TABLE)
TOLD = ("README.md", "release.json")  # for people
FOR_IMGUTILS = ("test", "val")  # the same again, in the words of imgutils
TOP = {*NEEDED, *TOLD, "preprocess.json", "categories.json", "config.json", "model.safetensors", "extra"}


def check_names(release, findings):
    """R8, and of R7 that one table and one ONNX file lie at the top."""
    present = {path.name for path in release.iterdir()}
    for name in NEEDED:
        if not (release / name).is_file():
            wrong = "is no file" if name in present else "is missing"
            findings.fail("R8", f"{name} {wrong}", name, join_names(sorted(present), most=None))
    for name in TOLD:
        if name not in present:
            findings.warn("R8", f"{name} is missing", name, join_names(sorted(present), most=None))
    for kind in (".onnx", ".csv"):
        found = sorted(name for name in present if name.endswith(kind))
        if len(found) > 1:
            findings.fail(
                "R7", f"several {kind} files at the top", "one; others under extra/", ", ".join(found)
            )
    strange = sorted(name for name in present - TOP if not name.endswith((".onnx", ".csv")))
    if strange:
        findings.warn("R8", "unknown files at the top", "others under extra/", ", ".join(strange))
    findings.note("R8", f"{len(present)} names at the top")


def rows(release):
    """Return the header and the rows of selected_tags.csv as clients read them: lists of text."""
    with (release / TABLE).open(newline="", encoding="utf-8") as file:
        lines = list(csv.reader(file))
    return (lines[0], lines[1:]) if lines else ([], [])


def check_table(release, layout, stated, findings):
    """R1: what the tag list looks like; return it as a frame, or None where it cannot be read.

    Args:
        layout: "wd" or "full".
        stated: tags_digest of release.json, None where it has none.
    """
    try:
        header, lines = rows(release)
        frame = tag_list.read(release / TABLE)
    except (UserError, UnicodeDecodeError, csv.Error) as error:
        findings.note("R1", "the table cannot be read", looked=False)
        findings.fail("R1", "the table cannot be read", f"{','.join(HEADER)} in UTF-8", error)
        return None
    findings.note("R1", f"{len(frame)} rows, layout {layout}")
    if header[:1] == [MARK + HEADER[0]]:
        findings.fail("R1", "a byte order mark before the header", "UTF-8 without one", "EF BB BF")
    elif header[:4] != HEADER:
        findings.fail("R1", "the header", ",".join(HEADER), ",".join(header[:4]))
    _check_cells(lines, frame, findings)
    if layout == "wd":
        _check_blocks(frame, findings)
    _check_order(frame, findings)
    if stated is not None and tag_list.digest(frame) != stated:
        same = tag_list.digest(tag_list.ordered(frame)) == stated
        wrong = "the order of rows is not that" if same else "the rows are not those"
        allowed, came = (f"tags_digest {digest[:12]}" for digest in (str(stated), tag_list.digest(frame)))
        findings.fail("R1", f"{wrong} of release.json", allowed, came, SHUFFLED if same else "")
    return frame


def _check_cells(lines, frame, findings):
    blank = sum(not line for line in lines)
    if blank:  # kohya and comfy look for the category of every row
        findings.fail("R1", "blank lines", "a tag in every row", blank)
    for column, at in (("tag_id", 0), ("category", 2), ("count", 3)):
        wrong = [line[at] for line in lines if len(line) > at and not line[at].isdigit()]
        if wrong:
            findings.fail(
                "R1", f"{column} is no whole number", "digits", f"{len(wrong)} such as {wrong[0]!r}"
            )
    for column in ("tag_id", "name"):
        twice = frame.loc[frame[column].duplicated(), column].tolist()
        if twice:
            findings.fail("R1", f"{column} is given twice", "each once", f"{len(twice)} such as {twice[0]}")
    other = [name for name in frame["name"] if not name.isascii()]
    if other:
        findings.warn(
            "R1", "names beyond ASCII: comfy reads them in the system's encoding", "ASCII", other[0]
        )


def _check_blocks(frame, findings):
    """Ratings in rows 0 to 3, then only general, then only character tags."""
    ratings = frame["name"].tolist()[:4], frame["category"].tolist()[:4]
    if ratings != (list(tag_list.RATINGS), [tag_list.CATEGORIES["rating"]] * 4):
        fault = SHUFFLED if set(tag_list.RATINGS) <= set(frame["name"]) else ""
        came = ", ".join(map(str, ratings[0]))
        findings.fail("R1", "the first four rows", ", ".join(tag_list.RATINGS), came, fault)
    others = sorted(set(frame["category"]) - set(release_folder.WD_CATEGORIES))
    if others:
        came = ", ".join(tag_list.category_name(code) for code in others)
        findings.fail("R1", "categories that clients drop or miscount", "rating, general, character", came)


def _check_order(frame, findings):
    """Rows as `Utils.tags.tag_list.ordered` puts them."""
    wanted = tag_list.ordered(frame)["name"].tolist()
    names = frame["name"].tolist()
    apart = [row for row, (name, other) in enumerate(zip(names, wanted, strict=True)) if name != other]
    if apart:
        first = apart[0]
        allowed = f"ratings, general, copyright, character, by falling count, then id: {wanted[first]}"
        came = f"row {first} is {names[first]}"
        findings.fail("R1", f"{len(apart)} rows out of order", allowed, came, SHUFFLED)


def check_against(frame, wanted, findings):
    """R1: the rows are those of the model's own list, in the order of the layout; both are tag lists."""
    ours, theirs = _keys(frame), _keys(wanted)
    if ours == theirs:
        _check_counts(frame, wanted, findings)
        return
    if len(ours) != len(theirs):
        findings.fail("R1", "rows that are not the Keras model's", f"{len(theirs)} rows", f"{len(ours)} rows")
    apart = [row for row, pair in enumerate(zip(ours, theirs, strict=False)) if pair[0] != pair[1]]
    if apart:
        first = apart[0]
        where = f"{len(apart)} rows differ from the Keras model's list, the first is row {first}"
        allowed, came = (",".join(map(str, keys[first])) for keys in (theirs, ours))
        same = sorted(ours) == sorted(theirs)
        findings.fail("R1", where, allowed, came, SHUFFLED if same else "")


def _check_counts(frame, wanted, findings):
    """Warn of other counts: a list read from a newer database is the same list."""
    apart = np.flatnonzero(frame["count"].to_numpy() != wanted["count"].to_numpy())
    if len(apart):
        name, *counts = frame["name"][apart[0]], wanted["count"][apart[0]], frame["count"][apart[0]]
        where = f"{len(apart)} counts differ from the Keras model's list"
        findings.warn("R1", where, *(f"{name} {count}" for count in counts))


def _keys(frame):
    return list(zip(*(frame[column].tolist() for column in HEADER[:3]), strict=True))


def check_descriptions(release, frame, image_size, findings):
    """R7: preprocess.json and categories.json say what is so."""
    said = _json(release / "preprocess.json", findings)
    if said is not None and not isinstance(said, dict):
        findings.fail("R7", "preprocess.json", "a JSON object", type(said).__name__)
    elif said is not None:
        all_of_it = release_folder.preprocessing(image_size or said.get("image_size"))
        wanted = {key: value for key, value in all_of_it.items() if key not in FOR_IMGUTILS}
        for key, value in wanted.items():
            if said.get(key) != value:
                rgb = key == "channels" and str(said.get(key)).upper() == "RGB"
                findings.fail("R7", f"preprocess.json: {key}", value, said.get(key), RGB if rgb else "")
    said = _json(release / "categories.json", findings)
    if said is not None and frame is not None and said != release_folder.categories(frame):
        findings.fail(
            "R7", "categories.json does not fit the tag list", release_folder.categories(frame), said
        )
    findings.note("R7", "preprocess.json and categories.json")


def _json(path, findings):
    if not path.is_file():
        findings.fail("R7", f"{path.name} is missing", path.name, "nothing")
        return None
    try:
        return read_json(path)
    except UserError as error:
        findings.fail("R7", f"{path.name} cannot be read", "JSON", error)
        return None


def check_thresholds(release, frame, findings):
    """R7: thresholds of extra/thresholds.csv stand in the column best_threshold too, between 0 and 1."""
    has_column = frame is not None and "best_threshold" in frame
    if has_column:
        values = frame["best_threshold"]
        good = pd.to_numeric(values, errors="coerce").between(0, 1)
        wrong = values[~good & values.notna() & (values != "")]
        if len(wrong):
            findings.fail("R7", "best_threshold", "0 to 1", f"{len(wrong)} such as {wrong.iloc[0]}")
    elif (release / "extra" / "thresholds.csv").is_file():
        findings.warn("R7", "thresholds are not in the tag list", "a column best_threshold", "none")


def check_timm_files(release, findings):
    """R6: config.json and model.safetensors only together, and the order of channels is stated."""
    names = ("config.json", "model.safetensors")
    there = [name for name in names if (release / name).is_file()]
    if len(there) == 1:
        findings.fail("R6", "timm files only together", " and ".join(names), there[0])
    if len(there) < 2:
        findings.note("R6", "no timm files", looked=False)
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
