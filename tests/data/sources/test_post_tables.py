"""Utils/data/sources/post_tables.py: e621's exports, and other tables of posts."""

import gzip

import pytest

from Utils.command.cli import UserError
from Utils.data import danbooru_fields
from Utils.data.sources import detection, parents
from Utils.data.sources.post_tables import read_e621
from Utils.files import csv_stream
from Utils.images import picture_index

HEADER = "id,md5,source,rating,tag_string,locked_tags,parent_id,is_deleted,is_pending,is_flagged\n"
ROWS = HEADER + (
    '1,aa,"https://a\nhttps://b",s,canine solo,,,f,f,f\n'
    "2,bb,,e,solo,,1,t,f,f\n"
    "3,cc,q\n"
    "x,dd,,q,solo,,,f,f,f\n"
    "4,ee,,q,,,,f,t,f\n"
)


def test_an_export_is_read_and_bad_rows_are_listed(tmp_path):
    (tmp_path / "posts-2024-01-01.csv.gz").write_bytes(gzip.compress(ROWS.encode()))
    source = read_e621(tmp_path / "posts-2024-01-01.csv.gz")
    (block,) = source.blocks()
    assert block.ids.tolist() == [1, 2, 4]
    assert "".join(map(chr, block.ratings)) == "seq"
    assert block.status.tolist() == [0, 1, 4]  # deleted, pending
    assert block.keys.tolist() == [picture_index.stem_key(md5) for md5 in ("aa", "bb", "ee")]
    assert source.tags.set_index("name")["count"].to_dict() == {"canine": 1, "solo": 2}
    assert source.rejected == (
        (-1, "posts-2024-01-01.csv.gz, line 5", "another number of cells than the first line"),
        (-1, "posts-2024-01-01.csv.gz, line 6", "post id is no whole number"),
    )
    assert source.notes == ("recognized: records of e621's export (3)",)
    assert not source.keep_unrated


def test_of_dated_exports_the_newest_counts_and_the_tags_beside_it_are_named(tmp_path):
    for name, text in {
        "posts-2024-01-01.csv": HEADER + "9,aa,,s,old,,,f,f,f\n", "posts-2024-02-01.csv": ROWS,
        "tags-2024-02-01.csv": "id,name\n", "tag_aliases-2024-02-01.csv": "id\n", "other.csv": "a,b\n1,2\n",
    }.items():  # fmt: skip
        (tmp_path / name).write_text(text)
    source = read_e621(tmp_path)
    assert source.num_posts == 3
    assert "1 file passed by, of older exports or no posts: posts-2024-01-01.csv" in source.notes[1]
    assert source.notes[2] == (
        f"{tmp_path} holds the tags' categories: --tags {tmp_path} reads tags and aliases"
    )


def test_tables_without_posts_are_named(tmp_path):
    (tmp_path / "a.csv").write_text("a,b\n1,2\n")
    with pytest.raises(UserError, match="none of 1 tables in .* has an id or a file's name, and tags"):
        read_e621(tmp_path)


def test_a_table_that_is_passed_by_is_named(tmp_path):
    (tmp_path / "a.csv").write_text("id,tags\n1,hat\n")
    (tmp_path / "b.csv").write_text("id,tags,tags\n2,hat,x\n")
    assert "1 file passed by, of older exports or no posts: b.csv" in read_e621(tmp_path).notes
    with pytest.raises(UserError, match=r"b\.csv names the column tags more than once"):
        read_e621(tmp_path / "b.csv")


@pytest.mark.reliability(
    "a CSV of posts that begins with Excel's line sep=;", "read; the lines of bad rows are those of the file"
)
@pytest.mark.parametrize("mark", [",", ";", "\t", "|"])
def test_a_line_that_names_the_separator_is_no_header(tmp_path, mark):
    rows = ["file_name", "tags"], ["1.jpg", "hat solo"], ["2.jpg"], ["3.jpg", "hat"]
    text = f"sep={mark}\r\n" + "".join(f"{mark.join(cells)}\r\n" for cells in rows)
    (tmp_path / "posts.csv").write_text(text, newline="")
    assert detection.detect(tmp_path / "posts.csv").kind == "e621"
    source = read_e621(tmp_path / "posts.csv")
    assert source.tags.set_index("name")["count"].to_dict() == {"hat": 2, "solo": 1}
    assert source.rejected == ((-1, "posts.csv, line 4", "another number of cells than the first line"),)


def test_other_first_lines_are_headers():
    assert csv_stream.stated_delimiter('"sep=;"\r\n') == ";"
    for line in ("sep=", "sep=;x", "sep=a", "file;sep=;", ""):
        assert csv_stream.stated_delimiter(line) is None


TABLE = "path,category,name,probability\n" + (
    "a/1.jpg,rating,sensitive,0.9\na/1.jpg,general,;d,0.8\na/1.jpg,character,rei_(eva),0.7\n"
    "a/2.jpg,general,;d,0.6\na/2.jpg,species,cat,0.5\n"
)


def test_predictions_of_tag_images_are_posts(tmp_path):
    (tmp_path / "t.csv").write_text(TABLE)
    assert detection.detect(tmp_path / "t.csv").kind == "e621"
    source = read_e621(tmp_path / "t.csv")
    (block,) = source.blocks()
    assert "".join(map(chr, block.ratings)) == "s\0"
    assert source.tags.set_index("name")["count"].to_dict() == {";d": 2, "rei_(eva)": 1, "cat": 1}
    species = danbooru_fields.OTHER_CATEGORIES["species"]
    assert source.tags.set_index("name")["category"].to_dict() == {";d": 0, "rei_(eva)": 4, "cat": species}
    first, *others = TABLE.splitlines()
    (tmp_path / "t.csv").write_text(
        "\n".join([first, *sorted(others, key=lambda row: row.split(",")[1]), ""])
    )
    with pytest.raises(UserError, match="t.csv, line 5: rows of a/1.jpg are in several places; sort"):
        read_e621(tmp_path / "t.csv")


def test_parents_are_read(tmp_path):
    (tmp_path / "posts.csv").write_text(ROWS)
    assert parents.read_parents("e621", tmp_path) == {2: 1}
