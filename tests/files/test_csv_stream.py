"""Utils/files/csv_stream.py: rows of a CSV one at a time; a bad row is reported, the others are read."""

import gzip

import pytest

from Utils.command.cli import UserError, WorkError
from Utils.files.csv_stream import CsvStream

TEXT = 'id,name,text\n1,a,"two\nlines, ""quoted"""\n2,b\n\n3,null,\u3042\n'


OTHER, NO_UTF8 = "another number of cells than the first line", "characters that are no UTF-8"


def rows(path, *columns):
    return list(CsvStream(path).rows(columns))


def test_rows_are_read_by_column_and_a_bad_one_says_why(tmp_path):
    contents = {
        "a.csv": TEXT.encode(),
        "b.csv": ("\ufeff" + TEXT).replace("\n", "\r\n").replace("two\r\n", "two\n").encode(),
        "c.gz": gzip.compress(TEXT.encode()),
        "d.csv": TEXT.encode("utf-16"),
    }
    for name, content in contents.items():
        (tmp_path / name).write_bytes(content)
        table = CsvStream(tmp_path / name)
        assert table.columns == ["id", "name", "text"]
        assert list(table.rows(["text", "id", "gone"])) == [
            (3, ['two\nlines, "quoted"', "1", ""]), (4, OTHER), (6, ["\u3042", "3", ""])
        ]  # fmt: skip
        assert table.ends_in_line_break


def test_columns_are_known_in_small_letters(tmp_path):
    (tmp_path / "a.csv").write_text("ID;Tags\n1;Hat\n")
    table = CsvStream(tmp_path / "a.csv")
    assert [cells for _, cells in table.rows(["id", "tags"])] == [["1", "Hat"]]


def test_bytes_that_are_no_text_do_not_end_it(tmp_path):
    (tmp_path / "a.csv").write_bytes(b"id,name,text\n1,\xff,a\n2,a\0b,\xff\n3,c,d")
    table = CsvStream(tmp_path / "a.csv")
    assert [cells for _, cells in table.rows(["name"])] == [NO_UTF8, ["ab"], ["c"]]
    assert not table.ends_in_line_break


def test_a_replacement_character_of_the_text_itself_is_text(tmp_path):
    for encoding in ("utf-8", "utf-16"):
        (tmp_path / "a.csv").write_text("id,name\n1,caf\ufffd\n", encoding=encoding)
        assert rows(tmp_path / "a.csv", "name") == [(2, ["caf\ufffd"])]
    (tmp_path / "a.csv").write_bytes("id,name\n1,".encode("utf-16") + b"\x00\xd8\n\0")
    assert rows(tmp_path / "a.csv", "name") == [(2, NO_UTF8)]  # half a surrogate pair


@pytest.mark.reliability(
    "a CSV of posts whose quote never ends, or that is cut off", "one error that names it"
)
def test_a_quote_without_end_and_a_cut_file_are_named(tmp_path, monkeypatch):
    monkeypatch.setattr("Utils.files.csv_stream._MOST_CELL", 1000)
    (tmp_path / "a.csv").write_text('id,name\n1,"' + "x\n" * 2000)
    with pytest.raises(WorkError, match="a.csv cannot be read to its end: field larger than field limit"):
        rows(tmp_path / "a.csv", "id")
    (tmp_path / "b.gz").write_bytes(gzip.compress(TEXT.encode() * 99)[:-9])
    with pytest.raises(WorkError, match="b.gz cannot be read to its end"):
        rows(tmp_path / "b.gz", "id")


def test_a_quotation_mark_hides_no_rows(tmp_path):
    """One too many takes all lines up to the next into one cell, whose lines would be read as tags."""
    lines = [f"{number},x" for number in range(2, 30)]
    for place, text, hidden in (
        (3, '4,"x', "lines 5 to 29 are in one pair of quotation marks, of which one is missing"),
        (27, '29,"x', None),
        (5, '6,"x" y', None),
    ):
        changed = [*lines[:place], text, *lines[place + 1 :]]
        (tmp_path / "a.csv").write_text("\n".join(["id,name", *changed]) + "\n")
        if hidden:
            with pytest.raises(WorkError, match=f"a.csv cannot be read to its end: {hidden}"):
                rows(tmp_path / "a.csv", "id", "name")
            continue
        found = rows(tmp_path / "a.csv", "id", "name")
        assert len(found) == 28 and found[place] == (place + 2, "a quotation mark in a wrong place")
    (tmp_path / "a.csv").write_text("\n".join(["id,name", '2,"x', "3,y", '4,"z', "5,x"]) + "\n")
    with pytest.raises(WorkError, match="lines 2 to 4 are in one pair of quotation marks"):
        rows(tmp_path / "a.csv", "id", "name")
    (tmp_path / "a.csv").write_text('id,"name" x\n1,x\n')
    with pytest.raises(UserError, match="a.csv begins with a quotation mark in a wrong place"):
        CsvStream(tmp_path / "a.csv")


def test_a_column_that_is_there_twice_is_named(tmp_path):
    (tmp_path / "a.csv").write_text("id,tags,tags\n1,a,b\n")
    with pytest.raises(UserError, match="a.csv names the column tags more than once"):
        CsvStream(tmp_path / "a.csv")


def test_an_empty_file_and_a_missing_column_are_named(tmp_path):
    (tmp_path / "a.csv").write_text("")
    with pytest.raises(UserError, match="a.csv is empty"):
        CsvStream(tmp_path / "a.csv")
    (tmp_path / "b.csv").write_text(TEXT)
    with pytest.raises(UserError, match="lacks the column count and kind; it has id, name, text"):
        CsvStream(tmp_path / "b.csv").require(["id", "count", "kind"])
