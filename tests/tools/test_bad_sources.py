# ruff: noqa: E501  the tables are easier to read with long rows
"""Broken, odd and hostile sources of posts, each with its expected end: no traceback, no other post spoiled.

A row is what lies in a folder, the exit code of select_tags, then the ids of the posts or a part of the error.
"""

import bz2
import gzip
import io
import json
import lzma
import tarfile
import zipfile

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from helpers import jpeg

from tools import select_tags
from Utils.tags import tag_categories, tag_list

DEFINITION = """name = "bad"
image_size = 32
splits = {train = [0, 999]}
ratings = ["g", "s", "q", "e"]
min_tag_count = 0
min_tag_images = 0
min_tag_share = 0.0
min_tags_per_image = 0
"""
POST = {"id": 1, "rating": "s", "tag_string": "solo"}
TWO = {"id": 2, "rating": "s", "tag_string": "solo"}
BOTH = [POST, TWO]
ARRAY = json.dumps(BOTH, indent=1)
LINES = "".join(json.dumps(post) + "\n" for post in BOTH)
PICTURES = {f"{number}.jpg": jpeg(number, 32) for number in (1, 2)}
CSV = "id,md5,rating,tag_string,is_deleted\n"


def tar(**members):
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w") as archive:
        for name, content in members.items():
            content = content if isinstance(content, bytes) else content.encode()
            info = tarfile.TarInfo(name.replace("__", "."))
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return data.getvalue()


def zipped(**members):
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as archive:
        for name, content in members.items():
            archive.writestr(name.replace("__", "."), content)
    return data.getvalue()


def parquet(**columns):
    data = io.BytesIO()
    pq.write_table(pa.table(columns), data)
    return data.getvalue()


def class_labels():
    """Tags as numbers whose names are in the schema, as Hugging Face writes a Sequence(ClassLabel)."""
    features = {"tags": {"feature": {"names": ["a", "b"], "_type": "ClassLabel"}, "_type": "Sequence"}}
    table = pa.table({"id": [1, 2], "tags": [[0, 1], [1]]})
    data = io.BytesIO()
    metadata = {"huggingface": json.dumps({"info": {"features": features}})}
    pq.write_table(table.replace_schema_metadata(metadata), data)
    return data.getvalue()


def zstd(text):
    return pa.compress(text.encode(), codec="zstd", asbytes=True)


ONE = PICTURES["1.jpg"]
# ---- files beside the pictures 1.jpg and 2.jpg
POSTS = {
    "an indented array": ({"a.json": ARRAY}, 0, [1, 2]),
    "an array in one line": ({"a.json": json.dumps(BOTH)}, 0, [1, 2]),
    "an array of a post a line": ({"a.json": "[\n" + LINES.replace("}\n", "},\n") + "]"}, 0, [1, 2]),
    "a trailing comma in an array": ({"a.json": ARRAY[:-2] + ",\n]"}, 0, [1, 2]),
    "an array without its end": ({"a.json": ARRAY[:-5]}, 1, "a.json cannot be read to its end"),
    "an array with text behind it": ({"a.json": ARRAY + "x"}, 1, "Expecting value"),
    "two arrays": ({"a.json": json.dumps([POST], indent=1) + json.dumps([TWO], indent=1)}, 0, [1, 2]),
    "indented objects in a row": ({"a.json": json.dumps(POST, indent=1) + "\n" + json.dumps(TWO, indent=1)}, 0, [1, 2]),
    "an item that is no object": ({"a.json": json.dumps([5, None, POST, "x", [1], TWO], indent=1)}, 0, [1, 2]),
    "an object by id": ({"a.json": json.dumps({"1": {"tags": "a"}, "2": {"tags": "b"}}, indent=1)}, 0, [1, 2]),
    "an object by a text that is no id": ({"a.json": json.dumps({"x": {"tags": "a"}, "2": {"tags": "b"}})}, 0, [2]),
    "Gelbooru's answer": ({"a.json": json.dumps({"@attributes": {"count": 2}, "post": [{"id": 1, "tags": "a"}, {"id": 2, "tags": "b"}]})}, 0, [1, 2]),
    "an answer without posts": ({"a.json": json.dumps({"@attributes": {"count": 0}, "post": []})}, 2, "no source of posts is at"),
    "an answer that is an error": ({"a.json": json.dumps({"success": False, "reason": "slow down"})}, 2, "no source of posts is at"),
    "one post alone": ({"a.json": json.dumps(POST, indent=1)}, 0, [1]),
    "e621's answer": ({"a.json": json.dumps({"posts": [{"id": 1, "tags": {"species": ["a"]}, "flags": {"deleted": True}, "file": {}}, {"id": 2, "tags": {"general": ["b"]}, "flags": None, "file": None}]})}, 0, [2]),
    "e621's tags are no lists": ({"a.json": json.dumps({"posts": [{"id": 1, "tags": {"species": 5}, "flags": {}, "file": {}}, {"id": 2, "tags": {"general": ["b"]}, "flags": {}, "file": {}}]})}, 0, [2]),
    "gallery-dl's dump": ({"a.json": json.dumps([[2, {"count": 2}], [3, "https://x", {"id": 1, "tags_general": ["a"]}], [3, "https://y", {"id": 2, "tags": ["b"]}]])}, 0, [1, 2]),
    "kohya's meta file": ({"meta_lat.json": json.dumps({"/data/x/1.jpg": {"tags": "a, b", "caption": "x"}, "2": {"caption": "c, A dog barks."}}, indent=1)}, 0, [1, 2]),
    "Hugging Face's metadata": ({"metadata.jsonl": "".join(json.dumps({"file_name": f"{n}.jpg", "text": "a, b"}) + "\n" for n in (1, 2, 3))}, 0, [1, 2]),
    "a name that leads out": ({"metadata.jsonl": json.dumps({"file_name": "../../etc/passwd", "text": "a"}) + "\n" + json.dumps({"file_name": "2.jpg", "text": "a"}) + "\n"}, 0, [2]),
    "a name of nothing": ({"metadata.jsonl": json.dumps({"file_name": "", "text": "a"}) + "\n" + json.dumps({"file_name": "2.jpg", "text": "a"}) + "\n"}, 0, [2]),
    "Windows' slashes": ({"metadata.jsonl": json.dumps({"file_name": ".\\1.jpg", "text": "a"}) + "\n"}, 0, "1 post"),
    "UTF-16": ({"a.json": ARRAY.encode("utf-16")}, 0, [1, 2]),
    "UTF-16 lines": ({"a.jsonl": LINES.encode("utf-16")}, 0, [1, 2]),
    "a byte order mark": ({"a.json": b"\xef\xbb\xbf" + ARRAY.encode()}, 0, [1, 2]),
    "Latin-1 in an array": ({"a.json": ARRAY.replace("solo", "caf\xe9").encode("latin-1")}, 1, "cannot be read to its end"),
    "deep nesting": ({"a.json": '{"1": ' + "[" * 100_000 + "]" * 100_000 + "}"}, 1, "nested too deep"),
    "a huge number": ({"a.json": '[{"id": ' + "9" * 5000 + ', "tags": "a"},\n{"id": 2, "tags": "b"}]'}, 1, "cannot be read to its end"),
    "pages of an answer": ({"a.json": json.dumps([[POST], [TWO]])}, 0, [1, 2]),
    "a text sequence": ({"a.jsonl": "\x1e" + json.dumps(POST) + "\n\x1e" + json.dumps(TWO) + "\n"}, 0, [1, 2]),
    "UTF-16 without its mark": ({"a.jsonl": LINES.encode("utf-16-le")}, 1, "cannot be read to its end"),
    "ids as fractions, texts and more": ({"a.jsonl": "".join(json.dumps({"id": value, "tag_string": "a"}) + "\n" for value in (1.0, "2.0", 1.5, 2**64, True, [1], "0x1", "1_0"))}, 0, [1, 2]),
    "a tag that is a space": ({"a.jsonl": json.dumps({**POST, "tag_string": "solo &nbsp; &notword;"}) + "\n"}, 0, [1]),
    "xz": ({"a.json.xz": lzma.compress(LINES.encode())}, 0, [1, 2]),
    "bzip2": ({"a.jsonl.bz2": bz2.compress(ARRAY.encode())}, 0, [1, 2]),
    "zstd": ({"a.jsonl.zst": zstd(LINES)}, 0, [1, 2]),
    "zstd that is cut off": ({"a.jsonl.zst": zstd(LINES * 99)[:-9]}, 1, "cannot be read to its end"),
    "xz that is cut off": ({"a.jsonl.xz": lzma.compress(LINES.encode() * 99)[:-9]}, 1, "cannot be read to its end"),
    "safe beside general": ({"a.jsonl": json.dumps({**POST, "rating": "safe"}) + "\n" + json.dumps({**TWO, "rating": "general"}) + "\n"}, 0, [1, 2]),
    "an unknown rating": ({"a.jsonl": json.dumps({**POST, "rating": "suggestive"}) + "\n" + json.dumps(TWO) + "\n"}, 0, [2]),
    "ratings in words": ({"a.jsonl": json.dumps({**POST, "rating": "rating:Safe"}) + "\n" + json.dumps({**TWO, "rating": " Q "}) + "\n"}, 0, [1, 2]),
    "status in a word": ({"a.jsonl": json.dumps({**POST, "status": "deleted"}) + "\n" + json.dumps({**TWO, "status": "active"}) + "\n"}, 0, [2]),
    "entities": ({"a.jsonl": json.dumps({**POST, "tag_string": "a&#039;b &amp;lt; &bad; &"}) + "\n"}, 0, "1 post"),
    # tables
    "e621's export": ({"posts-2024-01-01.csv": CSV + '1,aa,s,"a b",f\n2,bb,s,c,f\n'}, 0, [1, 2]),
    "a deleted post": ({"posts-2024-01-01.csv": CSV + "1,aa,s,a,t\n2,bb,s,c,f\n"}, 0, [2]),
    "a row of other length": ({"posts.csv": CSV + "1,aa,s,a,t,9,9\n2,bb,s,c,f\n3\n"}, 0, [2]),
    "no row": ({"posts.csv": CSV}, 2, "no post is left"),
    "Hugging Face's metadata.csv": ({"metadata.csv": "file_name,text\n1.jpg,\"a, b\"\n2.jpg,c\n"}, 0, [1, 2]),
    "accents as macOS writes them": ({"metadata.csv": "file_name,text\n\xe9.jpg,a\n", "e\u0301.jpg": ONE}, 0, "1 post"),
    "tabs": ({"posts.tsv": "id\ttags\n1\ta b\n2\tc, d\n"}, 0, [1, 2]),
    "semicolons": ({"posts.csv": "id;tags\n1;a b\n2;c\n"}, 0, [1, 2]),
    "names that differ in their suffix": ({"metadata.csv": "file_name,text\n1.png,a\n1.jpg,b\n", "1.png": ONE}, 0, "2 posts"),
    "a table of names and tags": ({"x.csv": "image_id,tags\n1,a b\n2,\n"}, 0, [1, 2]),
    "a table without tags": ({"posts.csv": "id,name\n1,a\n"}, 2, "no source of posts is at"),
    "a quote without end": ({"posts.csv": CSV + '1,aa,s,"a,f\n2,bb,s,c,f\n'}, 1, "lines 2 to 3 are in one pair"),
    "bytes that are no text": ({"posts.csv": CSV.encode() + b"1,aa,s,\xff\xfe,f\n2,bb,s,c,f\n"}, 0, [2]),
    "a NUL in a table": ({"posts.csv": CSV.encode() + b"1,aa,s,a\0b,f\n2,bb,s,c,f\n"}, 0, [1, 2]),
    "gzip that is damaged": ({"posts.csv.gz": gzip.compress((CSV + "1,aa,s,a,f\n" * 999).encode())[:-30]}, 1, "cannot be read to its end"),
    # Parquet
    "tags as lists": ({"a.parquet": parquet(id=[1, 2], tags=[["a", "b"], []])}, 0, [1, 2]),
    "tags as a map": ({"a.parquet": parquet(id=pa.array([1, 2]), tags=pa.array([[("character", ["a"])], None], pa.map_(pa.string(), pa.list_(pa.string()))))}, 0, [1]),
    "tags as objects": ({"a.parquet": parquet(id=[1, 2], tags=[[{"name": "a", "category": 4}], [{"name": "b", "category": None}]])}, 0, [1, 2]),
    "ids as texts": ({"a.parquet": parquet(id=["1", "x"], tag_string=["a", "b"])}, 0, [1]),
    "empty cells": ({"a.parquet": parquet(id=pa.array([1, None], pa.int64()), tag_string=["a", "b"])}, 0, [1]),
    "numbers for tags": ({"a.parquet": parquet(id=[1, 2], tags=[[5, 6], [7]])}, 2, "no post is left"),
    "numbers that Hugging Face names": ({"a.parquet": class_labels()}, 0, [1, 2]),
    "ids as decimals, too large, as bytes": ({"a.parquet": parquet(id=pa.array([1, 2, 3], pa.decimal128(5, 1)), tag_string=["a", "b", "c"]), "b.parquet": parquet(id=pa.array([2**64 - 1], pa.uint64()), tag_string=["a"]), "c.parquet": parquet(id=[b"2"], tag_string=[b"a b"])}, 0, [1, 2]),
    "no post passes": ({"a.parquet": parquet(id=[1, 2], rating=[["s"], ["q"]], tag_string=["a", "b"])}, 2, "left out by rating not g s q e: 2"),
    "pictures in a column of another name": ({"a.parquet": parquet(id=[7, 8], jpg=[ONE, ONE], tags=["a", "b"])}, 0, [7, 8]),
    "pictures of one path": ({"a.parquet": parquet(image=[{"bytes": ONE, "path": "image.jpg"}] * 3, tags=["a", "b", "c"])}, 0, "3 posts"),
    "no column of posts": ({"a.parquet": parquet(a=[1])}, 2, "no source of posts is at"),
    "Parquet that is cut off": ({"a.parquet": parquet(id=[1, 2], tag_string=["a", "b"])[:-20]}, 2, "no source of posts is at"),
    "a picture in a row without a path": ({"a.parquet": parquet(image=[{"bytes": ONE, "path": None}] * 2, text=["a", "b"])}, 0, "2 posts"),
    "a picture in a row and nothing else": ({"a.parquet": parquet(image=[{"bytes": ONE, "path": "x.jpg"}])}, 2, "have no tags"),
    # nothing
    "no source": ({"README.md": "# pictures"}, 2, "Looked for: an SQLite database"),
    "an empty file": ({"a.json": ""}, 2, "no source of posts is at"),
    "two databases": ({"a.db": b"SQLite format 3\0", "b.db": b"x"}, 2, "no source of posts is at"),
}  # fmt: skip
# ---- pictures with sidecars, without the pictures above
PLACES = {
    "a sentence alone": ({"1.jpg": ONE, "1.txt": "A dog barks at the moon."}, 2, "no tag is left"),
    "a caption with sentences": ({"1.jpg": ONE, "1.txt": "solo, hat\nA dog barks."}, 0, [1]),
    "captions of other endings": ({"1.jpg": ONE, "1.tags": "solo", "2.jpg": ONE, "2.caption": "hat", "3.jpg": ONE, "3.jpg.txt": "a\nb"}, 0, [1, 2, 3]),
    "a caption in UTF-16": ({"1.jpg": ONE, "1.txt": "solo, hat".encode("utf-16")}, 0, [1]),
    "a caption in UTF-16 that is cut off": ({"1.jpg": ONE, "1.txt": "solo, hat".encode("utf-16")[:-1]}, 2, "no text in UTF-8, or in UTF-16"),
    "a caption in Latin-1": ({"1.jpg": ONE, "1.txt": "caf\xe9".encode("latin-1"), "2.jpg": ONE, "2.txt": "solo"}, 0, [2]),
    "JSON that is a list of names": ({"1.jpg": ONE, "1.json": '["solo", "hat"]'}, 0, [1]),
    "JSON that is a number": ({"1.jpg": ONE, "1.json": "5", "2.jpg": ONE, "2.json": json.dumps(TWO)}, 0, [2]),
    "JSON with probabilities": ({"1.jpg": ONE, "1.json": '{"tags": {"solo": 0.9}}', "2.jpg": ONE, "2.txt": "solo"}, 0, [2]),
    "a text without a picture": ({"1.jpg": ONE, "1.txt": "solo", "2.txt": "solo"}, 0, [1]),
    "a tar of both": ({"a.tar": tar(x__jpg=ONE, x__json=json.dumps({"id": 7, "tags": "a"}))}, 0, [7]),
    "a tar with texts": ({"a.tar": tar(**{"1__jpg": ONE, "1__txt": "solo", "2__jpg": ONE, "2__txt": b"\xff"})}, 0, [1]),
    "a tar without pictures": ({"a.tar": tar(**{"1__json": json.dumps(POST)})}, 2, "none belongs to a picture"),
    "a tar that is cut off": ({"a.tar": tar(**{"1__jpg": ONE, "1__txt": "solo"})[:700]}, 2, "a.tar"),
    "tars joined by cat": ({"a.tar": tar(**{"1__jpg": ONE, "1__txt": "solo"}) + tar(**{"2__jpg": ONE})}, 0, "more behind its end mark"),
    "an interface's answer": ({"a.tar": tar(x__jpg=ONE, x__json='{"post": {"id": 7, "tags": "a"}}', y__jpg=ONE, y__json='[{"id": 8, "tags": "b"}]')}, 0, [7, 8]),
    "ids that are none": ({"a.tar": tar(x__jpg=ONE, x__json='{"id": -1, "tags": "a"}', y__jpg=ONE, y__json='{"id": 18446744073709551616, "tags": "b"}', z__jpg=ONE, z__json='{"id": 3.5, "tags": "b"}')}, 0, "3 posts"),
    "a compressed tar alone": ({"a.tar.gz": gzip.compress(tar(**{"1__jpg": ONE, "1__txt": "solo"}))}, 2, "unpack it to a .tar"),
    "a program that unpacks itself": ({"a.zip": b"MZ" + bytes(99) + zipped(**{"1__jpg": ONE, "1__txt": "solo"})}, 0, [1]),
    "accents as macOS writes them": ({"e\u0301.jpg": ONE, "\xe9.txt": "solo"}, 0, "1 post"),
    "byte order marks within": ({"1.jpg": ONE, "1.txt": "\ufeff\ufeffsolo\n\ufeffhat"}, 0, [1]),
    "a zip of both": ({"a.zip": zipped(**{"1__jpg": ONE, "1__txt": "solo"})}, 0, [1]),
    "a zip that is damaged": ({"a.zip": zipped(**{"1__jpg": ONE, "1__txt": "solo"})[:-30]}, 2, "a.zip"),
    "an id in JSON that two pictures have": ({"a.tar": tar(x__jpg=ONE, x__json='{"id": 7, "tags": "a"}', y__jpg=ONE, y__json='{"id": 7, "tags": "b"}')}, 0, "2 posts"),
}  # fmt: skip


def selected(folder, files, tmp_path, *more):
    folder.mkdir()
    for name, content in files.items():
        (folder / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    (tmp_path / "definition.toml").write_text(DEFINITION)
    words = [str(tmp_path / "definition.toml"), "--from", str(folder), "-o", str(tmp_path / "dataset")]
    return select_tags.main([*words, *more])


def check(tmp_path, capsys, code, expected):
    output = capsys.readouterr()
    assert "Traceback" not in output.err
    if code:
        (error,) = [line for line in output.err.splitlines() if line.startswith("error: ")]
        assert expected in error
        assert not (tmp_path / "dataset").exists()
        return
    ids = pq.read_table(tmp_path / "dataset" / "posts.parquet")["post_id"].to_pylist()
    if isinstance(expected, list):
        assert ids == expected
    elif "post" in expected:
        assert len(ids) == int(expected[0])
    else:
        assert expected in output.err
    names = tag_list.read(tmp_path / "dataset" / "selected_tags.csv")["name"]
    assert not names.str.contains("&#|&amp;|, |\ufeff|\xac").any()


@pytest.mark.parametrize("name", POSTS)
def test_each_source_is_read_or_refused_with_its_reason(tmp_path, capsys, name):
    files, code, expected = POSTS[name]
    assert selected(tmp_path / "p", {**PICTURES, **files}, tmp_path) == code
    check(tmp_path, capsys, code, expected)


@pytest.mark.parametrize("name", PLACES)
def test_each_place_with_sidecars_is_read_or_refused_with_its_reason(tmp_path, capsys, name):
    files, code, expected = PLACES[name]
    assert selected(tmp_path / "p", files, tmp_path) == code
    check(tmp_path, capsys, code, expected)


# ---- exports of tags: the content, the exit code, then the category of the tag solo or a part of the error
TAGS = {
    "Danbooru's": ("id,name,post_count,category\n7,solo,3,4\n", 0, "character"),
    "e621's codes": ("id,name,category,post_count\n7,solo,5,3\n8,x,7,1\n", 0, "species"),
    "a category nobody names": ("id,name,category\n7,solo,77\n", 0, "category 77"),
    "a category that is a word": ("id,name,category\n7,solo,studio\n", 0, "studio"),
    "a category that is none": ("id,name,category\n7,solo,?\n8,x,0\n", 0, "general"),
    "an id that is none": ("id,name,category\nx,solo,4\n8,x,0\n", 0, "general"),
    "a row of other length": ("id,name,category\n7,solo,4\n9\n", 0, "character"),
    "JSON lines": ('{"id": 7, "name": "solo", "category": 4}\n{"id": 8}\n', 0, "character"),
    "Gelbooru's answer": ('{"@attributes": {}, "tag": [{"id": 7, "name": "solo", "type": 1}]}', 0, "artist"),
    "gzip": (gzip.compress(b"id,name,category\n7,solo,4\n"), 0, "character"),
    "a tag list": ("tag_id,name,category,count\n7,solo,4,0\n", 0, "character"),
    "no column of categories": ("id,name\n7,solo\n", 2, "lacks the column category"),
    "no name": ("id,category\n7,4\n", 2, "lacks the column name"),
    "no whole row": ("id,name,category\n7\n8\n", 2, "has no row that can be read"),
    "no line break": ("id,name,category\n7,solo,4", 2, "does not end in a line break"),
    "nothing": ("", 2, "is empty"),
    "a picture": (ONE, 2, "lacks the column name"),
}  # fmt: skip


@pytest.mark.parametrize("name", TAGS)
def test_each_export_of_tags_is_read_or_refused_with_its_reason(tmp_path, capsys, name):
    content, code, expected = TAGS[name]
    (tmp_path / "tags").write_bytes(content if isinstance(content, bytes) else content.encode())
    text = DEFINITION.replace("min_tag_count", "categories = [0, 1, 4, 5, 77, CODE]\nmin_tag_count")
    from Utils.data.danbooru_fields import parse_category

    text = text.replace("CODE", str(parse_category("studio")))
    files = {**PICTURES, "a.jsonl": LINES}
    folder = tmp_path / "p"
    folder.mkdir()
    for file, data in files.items():
        (folder / file).write_bytes(data if isinstance(data, bytes) else data.encode())
    (tmp_path / "definition.toml").write_text(text)
    words = [str(tmp_path / "definition.toml"), "--from", str(folder), "-o", str(tmp_path / "dataset")]
    assert select_tags.main([*words, "--tags", str(tmp_path / "tags")]) == code
    output = capsys.readouterr()
    if code:
        assert expected in output.err
        return
    frame = tag_list.read(tmp_path / "dataset" / "selected_tags.csv")
    assert frame["name"].tolist() == ["solo"]
    assert tag_categories.name_of(frame["category"].iloc[0], tag_categories.names_of(frame)) == expected


def test_the_endings_of_texts_may_be_named(tmp_path, capsys):
    files = {"1.jpg": ONE, "1.txt": "solo", "1.wd14": "hat, dress"}
    assert selected(tmp_path / "p", files, tmp_path, "--source", "sidecars", "--extension", "wd14") == 0
    names = tag_list.read(tmp_path / "dataset" / "selected_tags.csv")["name"]
    assert sorted(names) == ["dress", "hat"]
    (tmp_path / "p" / "a.jsonl").write_text(LINES)
    words = [
        str(tmp_path / "definition.toml"),
        "--from",
        str(tmp_path / "p" / "a.jsonl"),
        "-o",
        str(tmp_path / "e"),
    ]
    for option, value in (("--extension", ".txt"), ("--separator", "blank")):
        for source in ([], ["--source", "jsonl"]):
            assert select_tags.main([*words, *source, option, value]) == 2
            assert f"{option} is for texts beside pictures" in capsys.readouterr().err
