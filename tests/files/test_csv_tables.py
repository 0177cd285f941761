"""CSV files: what is written is read back, and a wrong file is named with its fault."""

import csv

import pandas as pd
import pytest

from Utils.command.cli import UserError
from Utils.files import csv_tables

ODD = ["plain", "a,b", 'say "x"', "two\nlines", "carriage\rreturn", "", "長い髪"]


@pytest.mark.parametrize("cells", [ODD, ODD[:4]], ids=["with a carriage return", "without"])
def test_any_text_is_read_back(tmp_path, cells):
    csv_tables.write_rows(tmp_path / "rows.csv", ("name", "count"), [(cell, 1) for cell in cells])
    csv_tables.write_frame(tmp_path / "frame.csv", pd.DataFrame({"name": cells, "count": 1}))
    for name in ("rows.csv", "frame.csv"):
        with (tmp_path / name).open(newline="", encoding="utf-8") as file:
            assert list(csv.reader(file)) == [["name", "count"], *([cell, "1"] for cell in cells)]


def test_plain_text_is_not_quoted(tmp_path):
    csv_tables.write_rows(tmp_path / "x.csv", ("a", "b"), [(1, None), (0.5, "x y")])
    assert (tmp_path / "x.csv").read_bytes() == b"a,b\n1,\n0.5,x y\n"


@pytest.mark.reliability(
    "a picture whose name is no Unicode text, in a table", "its bytes are written as escapes"
)
def test_a_name_that_is_no_unicode_is_escaped(tmp_path):
    csv_tables.write_rows(tmp_path / "x.csv", ["path"], [["\udcff.jpg"], ["\udcfe.jpg"]])
    assert (tmp_path / "x.csv").read_text() == "path\n\\udcff.jpg\n\\udcfe.jpg\n"


def test_a_failing_row_leaves_the_file_as_it_was(tmp_path):
    (tmp_path / "x.csv").write_text("before")
    with pytest.raises(ZeroDivisionError):
        csv_tables.write_rows(tmp_path / "x.csv", ("a",), ([1 / n] for n in (1, 0)))
    assert (tmp_path / "x.csv").read_text() == "before"


def test_a_byte_order_mark_is_passed_over(tmp_path):
    (tmp_path / "x.csv").write_bytes(b"\xef\xbb\xbfa,b\n1,2\n")
    assert csv_tables.read(tmp_path / "x.csv", "numbers", ("a",), dtype=str).to_dict("list") == {
        "a": ["1"],
        "b": ["2"],
    }


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        (b"a,c\n1,2\n", "lacks the column b and d; it has a,c"),
        (b"", "is no CSV that holds numbers"),
        (b"a,b,d\n\xff\xfe,1,2\n", "is no CSV that holds numbers"),
        (b'a,b,d\n"1,2,3\n', "is no CSV that holds numbers"),
        (b"a;b;d\n1;2;3\n", r"lacks the column a and b and d; it has a;b;d \(cells are parted by ';' there"),
        (b"a,b,d,a\n1,2,3,4\n", "names the column a more than once"),
        (",".join(map(str, range(200_000))).encode(), "has 200,000 columns; a table of at most 1,000"),
    ],
    ids=["columns", "empty", "bytes", "quotes", "semicolons", "twice", "wide"],
)
def test_a_wrong_file_is_named_with_its_fault(tmp_path, content, fault):
    (tmp_path / "x.csv").write_bytes(content)
    with pytest.raises(UserError, match=f"x.csv {fault}"):
        csv_tables.read(tmp_path / "x.csv", "numbers", ("a", "b", "d"))


def test_tables_of_excel_are_read_or_say_what_to_do(tmp_path):
    (tmp_path / "a.csv").write_bytes("a,b,,\r\n1,é,,\r\n".encode("utf-16"))
    assert csv_tables.read(tmp_path / "a.csv", "a table", ["a", "b"])["b"].tolist() == ["é"]
    (tmp_path / "a.csv").write_text("a;b\n1;0,5\n")  # where a comma is in numbers
    with pytest.raises(UserError, match="line 2 has 2 cells; .* 1 .cells are parted by ';' there; save it"):
        csv_tables.read(tmp_path / "a.csv", "a table", ["a", "b"])


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(UserError, match="numbers expected at .*x.csv; found nothing"):
        csv_tables.read(tmp_path / "x.csv", "numbers", ())


@pytest.mark.reliability("A CSV of an editor that leaves out the last line break", "read, and said once")
def test_a_last_row_without_its_end_is_taken_from_a_file_of_people(tmp_path, capsys):
    for text, rows in (("a,b\n1,2\n3,4", ["1", "3"]), ("a,b\r\n1,2\r\n3,", ["1", "3"]), ("a,b", [])):
        path = tmp_path / f"{len(text)}.csv"
        path.write_text(text, newline="")
        for told in (1, 0):
            frame = csv_tables.read(path, "numbers", ("a",), by_hand=True, dtype=str)
            assert frame["a"].tolist() == rows
            assert capsys.readouterr().err.count("does not end in a line break; its last row is") == told
    path.write_text("a,b\n1,2\n3")
    with pytest.raises(UserError, match="line 3 has 1 cells; the first line names 2"):
        csv_tables.read(path, "numbers", ("a",), by_hand=True)


@pytest.mark.reliability("A CSV that was cut off in its last row", "refused, file and row named")
@pytest.mark.parametrize(
    ("content", "fault"),
    [
        ("a,b,d\n1,2,3\n1,54", "line 3 has 2 cells; the first line names 3"),
        ("a,b,d\n1,2,3\n1,54,7", "does not end in a line break: was it cut off"),
        ("a,b,d\n1,2,3\n1,2,3,\n", "line 3 has 4 cells; the first line names 3"),
        ("a,b,d\n1,2,3,\n1,2,3,\n", "line 2 has 4 cells; the first line names 3"),
        ("a,b,d", "does not end in a line break"),
    ],
)
def test_a_file_that_was_cut_off_is_refused(tmp_path, content, fault):
    (tmp_path / "x.csv").write_text(content)
    with pytest.raises(UserError, match=f"x.csv,? {fault}"):
        csv_tables.read(tmp_path / "x.csv", "numbers", ("a", "b", "d"))


def test_every_kind_of_line_break_ends_a_file(tmp_path):
    for end in ("\n", "\r\n", "\n\n", "\r"):
        (tmp_path / "x.csv").write_bytes(f"a,b{end}1,2{end}".encode())
        frame = csv_tables.read(tmp_path / "x.csv", "numbers", ("a", "b"))
        assert frame.to_dict("list") == {"a": [1], "b": [2]}
