"""Utils/data/sources/detection.py: a source is told from what lies at a path, or what is there is said."""

import gzip
import json
import os
import sqlite3
import tarfile
import zipfile

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from Utils.command.cli import UserError
from Utils.data import sources
from Utils.data.sources import detection

POST = {"id": 1, "rating": "g", "tag_string": "1girl solo"}


def database(path, *tables):
    connection = sqlite3.connect(path)
    for table in tables:
        connection.execute(f"CREATE TABLE {table}(id)")
    connection.close()


def tar(path, **members):
    with tarfile.open(path, "w") as archive:
        for name in members:
            (path.parent / "member").write_bytes(members[name])
            archive.add(path.parent / "member", name.replace("_", "."))
    (path.parent / "member").unlink()


def zipped(path):
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("1.jpg", b"x")


FILES = {
    "fire-eggs": lambda path: database(path, "images", "tags", "imageTags"),
    "deepdanbooru": lambda path: database(path, "posts"),
    "parquet": lambda path: pq.write_table(pa.table({"id": [1], "tags": ["a"]}), path),
    "e621": lambda path: path.write_bytes(gzip.compress(b"id,md5,rating,tag_string\n1,a,s,cat\n")),
    "webdataset": lambda path: tar(path, a_jpg=b"x", a_json=b"{}"),
    "webdataset (zip)": zipped,
    "jsonl": lambda path: path.write_text(json.dumps(POST)),
    "jsonl (gzip)": lambda path: path.write_bytes(gzip.compress(json.dumps([POST], indent=1).encode())),
    "jsonl (UTF-16)": lambda path: path.write_bytes(json.dumps([POST]).encode("utf-16")),
}


@pytest.mark.parametrize("name", FILES)
def test_a_file_is_told_by_its_content_whatever_its_name(tmp_path, name):
    FILES[name](tmp_path / "thing")
    detected = sources.detect(tmp_path / "thing")
    assert (detected.kind, detected.path) == (name.partition(" ")[0], str(tmp_path / "thing"))
    assert str(detected).startswith(f"read as {detected.kind}: thing ")


def folder(root, **names):
    for name, content in names.items():
        path = root / name.replace("__", "/").replace("_", ".")
        path.parent.mkdir(exist_ok=True, parents=True)
        path.write_text(content)


@pytest.mark.parametrize(
    ("kind", "names"),
    [
        ("sidecars", {"a__1_jpg": "", "a__1_txt": "solo"}),
        ("sidecars", {"1_jpg": "", "1_jpg_txt": "solo"}),
        ("sidecars", {"1_png": "", "1_caption": "solo", "2_png": ""}),
        ("sidecars", {"1_jpg": "", "1_jpg_json": json.dumps(POST)}),
        ("jsonl", {"1_jpg": "", "metadata_jsonl": json.dumps({"file_name": "1.jpg", "text": "solo"})}),
        ("jsonl", {"posts__0_json": json.dumps([POST])}),
        ("e621", {"posts-2024-01-01_csv": "id,md5,tag_string\n1,a,b\n", "tags_csv": "id,name\n1,a\n"}),
        ("e621", {"a_csv": "ID;Tags;Rating\n1;hat;g\n"}),
    ],
)
def test_a_folder_is_told_by_what_lies_in_it(tmp_path, kind, names):
    folder(tmp_path, **names)
    assert sources.detect(tmp_path).kind == kind


@pytest.mark.parametrize("text", ["a note, no JSON", "[1, 2]", "[" * 5000, '{"tags": "cut off'])
def test_json_without_posts_hides_no_captions_and_is_named_where_nothing_else_is_there(tmp_path, text):
    folder(tmp_path, **{"1_jpg": "", "1_txt": "solo", "notes_json": text})
    assert sources.detect(tmp_path).kind == "sidecars"
    (tmp_path / "1.txt").unlink()
    assert str(sources.detect(tmp_path)) == "read as jsonl: notes.json may hold posts as JSON"
    folder(tmp_path, **{"1_txt": "solo", "posts_jsonl": "{bad\n" + json.dumps(POST) + "\n"})
    assert str(sources.detect(tmp_path)) == (
        "read as jsonl: posts.jsonl holds posts as JSON. Not read: 1 picture has a text such as 1.txt; "
        "--source sidecars reads these instead"
    )


def test_texts_of_pictures_in_another_place_are_sidecars(tmp_path):
    (tmp_path / "texts" / "a").mkdir(parents=True)
    (tmp_path / "texts" / "a" / "1.txt").write_text("1girl")
    with pytest.raises(UserError, match="no source of posts"):
        sources.detect(tmp_path / "texts")
    detected = sources.detect(tmp_path / "texts", pictures_apart=True)
    assert (detected.kind, detected.reason) == ("sidecars", "1 text such as a/1.txt")
    (tmp_path / "texts" / "2.jpg").write_bytes(b"x")  # whose text is missing
    with pytest.raises(UserError, match=r"1 text has the name of no picture, such as a/1\.txt"):
        sources.detect(tmp_path / "texts", pictures_apart=True)


def test_a_database_and_tables_in_a_folder_go_before_its_pictures(tmp_path):
    folder(tmp_path, **{"1_jpg": "", "1_txt": "solo"})
    pq.write_table(pa.table({"other": [1]}), tmp_path / "index.parquet")
    assert sources.detect(tmp_path).kind == "sidecars"
    pq.write_table(pa.table({"id": [1], "tag_string": ["a"]}), tmp_path / "posts.parquet")
    assert sources.detect(tmp_path).kind == "parquet"
    database(tmp_path / "danbooru.db", "images", "tags", "imageTags")
    detected = sources.detect(tmp_path)
    assert (detected.kind, detected.path) == ("fire-eggs", str(tmp_path / "danbooru.db"))
    database(tmp_path / "other.db", "posts")
    with pytest.raises(UserError, match="several databases of posts, danbooru.db, other.db; name one"):
        sources.detect(tmp_path)


def test_what_no_source_is_says_what_was_looked_for_and_what_is_there(tmp_path):
    with pytest.raises(UserError, match="a folder of pictures.* at .*gone; found nothing"):
        sources.detect(tmp_path / "gone")
    os.mkfifo(tmp_path / "pipe")  # to open it would take for ever
    with pytest.raises(UserError, match="pipe is neither a file nor a folder"):
        sources.detect(tmp_path / "pipe")
    folder(tmp_path, a_md="# hello")
    with pytest.raises(UserError, match="at .*a.mdd; found nothing; did you mean a.md\\?"):
        sources.detect(tmp_path / "a.mdd")
    with pytest.raises(UserError, match=r"Looked for: an SQLite .* holds 0 folders and 1 .md file") as error:
        sources.detect(tmp_path)
    for kind in sources.SOURCES:
        assert f"({kind})" in str(error.value)
    with pytest.raises(UserError, match=r"a.md is no source of posts: it is a text that begins with"):
        sources.detect(tmp_path / "a.md")
    (tmp_path / "b.bin").write_bytes(b"\0\1\2" * 99)
    with pytest.raises(UserError, match="b.bin is no source of posts: it is a file that begins with"):
        sources.detect(tmp_path / "b.bin")
    database(tmp_path / "c.db", "people")
    with pytest.raises(UserError, match="an SQLite database with the tables people"):
        sources.detect(tmp_path / "c.db")
    (tmp_path / "d.db").write_bytes(b"SQLite format 3\0junk")
    with pytest.raises(UserError, match=r"it is a file that cannot be read \(.*d.db is no SQLite database"):
        sources.detect(tmp_path / "d.db")


@pytest.mark.parametrize(
    ("name", "text", "reason"),
    [
        (
            "a.csv",
            "file_name,label\n1.jpg,cat\n",
            "first line names file_name, label: no field of tags .tag_str",
        ),
        ("a.csv", "tags,url\na,b\n", "names tags, url: neither an id nor a file's name .id, post_id"),
        (
            "a.jsonl",
            '{"file_names": ["1.jpg"], "tags": []}\n',
            "a.jsonl has records with file_names, tags: neit",
        ),
        (
            "1-tags.txt",
            "hat, solo",
            "1 text has the name of no picture, such as 1-tags.txt; that of 1.jpg is 1.t",
        ),
    ],
)
def test_files_that_were_meant_as_posts_say_what_they_lack(tmp_path, name, text, reason):
    (tmp_path / "1.jpg").touch()
    (tmp_path / name).write_text(text)
    with pytest.raises(UserError, match=f"no source of posts is at {tmp_path}: .*{reason}"):
        sources.detect(tmp_path)


def test_every_source_has_a_description():
    assert set(sources.SOURCES) <= set(detection.KINDS)


def test_the_index_of_an_archive_is_no_source_but_posts_beside_one_are(tmp_path):
    tar(tmp_path / "0.tar", a_jpg=b"x", a_json=b"{}")
    index = {"filesize": 9, "files": {f"{number}.jpg": {"offset": 512, "size": 1} for number in range(9)}}
    (tmp_path / "0.json").write_text(json.dumps(index))
    assert sources.detect(tmp_path).kind == "webdataset"
    (tmp_path / "0.json").write_text(json.dumps([POST]))
    assert sources.detect(tmp_path).kind == "jsonl"
    assert sources.SOURCES["jsonl"](tmp_path).num_posts == 1
