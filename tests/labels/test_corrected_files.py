"""Utils/labels/corrected_files.py: copies of JSON and Parquet in which only decided tags differ."""

import gzip
import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from Utils.command.cli import UserError, WorkError
from Utils.data.sources import json_lines
from Utils.images import image_folder, picture_index
from Utils.labels import corrected_files

POSTS = [{"id": 5, "tag_string": "hat solo", "rating": "s"}, {"id": 6, "tag_string": "rem"},
         {"id": 7, "tag_string": "猫"}]  # fmt: skip
VERDICTS = {(5, 1): ("hat", False), (5, 2): ("long_hair", True), (6, 1): ("rem", True), (9, 1): ("x", True)}
FORMS = {
    "lines": "".join(json.dumps(post) + "\n" for post in POSTS),
    "narrow": "\n".join(json.dumps(post, separators=(",", ":"), ensure_ascii=False) for post in POSTS),
    "array": json.dumps(POSTS, indent=2),
    "one line": json.dumps(POSTS),
    "array of lines": "[\n" + ",\n".join(json.dumps(post) for post in POSTS) + "\n]\n",
    "pages": "".join(json.dumps({"posts": page}) + "\n" for page in (POSTS[:2], POSTS[2:])),
    "answers": "".join(json.dumps({"post": post}) + "\n" for post in POSTS),
    "arrays": "".join(json.dumps(page) + "\n" for page in (POSTS[:2], POSTS[2:])),
    "gallery-dl": json.dumps([[2, {}], *([3, "https://x", post] for post in POSTS)], indent=1),
    "by id": json.dumps({str(post["id"]): {"tags": post["tag_string"].split()} for post in POSTS}, indent=1),
}


def tags_by_id(path):
    posts = {}
    for _, key, record in json_lines.read_records(path):
        names = record.get("tags", record.get("tag_string"))
        posts[int(record.get("id", key or 0))] = names.split() if isinstance(names, str) else names
    return posts


@pytest.mark.parametrize("form", FORMS)
def test_only_the_decided_tags_differ(tmp_path, form):
    source, copy = tmp_path / "x.json", tmp_path / "y.json"
    source.write_text(FORMS[form], encoding="utf-8")
    done = corrected_files.correct_json(source, copy, VERDICTS)
    assert tags_by_id(copy) == {5: ["solo", "long_hair"], 6: ["rem"], 7: ["猫"]}
    assert (done.added, done.removed, done.posts) == (1, 1, {5, 6})
    assert source.read_text(encoding="utf-8") == FORMS[form]
    old, new = FORMS[form].splitlines(), copy.read_text(encoding="utf-8").splitlines()
    assert sum(line not in old for line in new) <= 2
    again = tmp_path / "z.json"
    assert corrected_files.correct_json(copy, again, VERDICTS).changed == []
    assert again.read_bytes() == copy.read_bytes()


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-be"])
@pytest.mark.parametrize("form", ["lines", "array"])
def test_the_encoding_stays(tmp_path, form, encoding):
    source, copy = tmp_path / "x.json", tmp_path / "y.json"
    mark = "\ufeff" if encoding == "utf-16-be" else ""
    source.write_text(mark + FORMS[form], encoding=encoding)
    assert corrected_files.correct_json(source, copy, VERDICTS).changed == ["5"]
    assert copy.read_bytes()[:2] == source.read_bytes()[:2]
    assert tags_by_id(copy) == {5: ["solo", "long_hair"], 6: ["rem"], 7: ["猫"]}
    assert copy.read_text(encoding) == source.read_text(encoding).replace("hat solo", "solo long_hair")


@pytest.mark.reliability(
    "`apply_decisions --jsonl` on a record with a name twice, or a number that no float holds",
    "an error that names the line; records without decisions go through as they are",
)
@pytest.mark.parametrize(
    ("field", "reason"), [('"a": 1, "a": 2', "'a' is there twice"), ('"a": 1e400', "1e400")]
)
def test_a_record_that_would_lose_something_is_not_rewritten(tmp_path, field, reason):
    source, copy = tmp_path / "x.jsonl", tmp_path / "y.jsonl"
    for text, where in (
        ('{"id": 8, "tags": "x"}\n{"id": 5, "tags": "hat", %s}\n', "jsonl, line 2 cannot be rewritten"),
        (
            '[{"id": 8, "tags": "x"},\n{"id": 5,\n"tags": "hat", %s}]',
            "jsonl cannot be (rewritten|read to its end)",
        ),
    ):
        source.write_text(text % field)
        with pytest.raises((UserError, WorkError), match=f"{where}: {reason}"):
            corrected_files.correct_json(source, copy, VERDICTS)
        assert not copy.exists()
    source.write_text(f'{{"id": 5, "tags": "hat"}}\n{{"id": 8, "tags": "hat", {field}}}\n')
    corrected_files.correct_json(source, copy, VERDICTS)
    assert copy.read_text().splitlines()[1] == source.read_text().splitlines()[1]


def test_files_are_named_and_compressed(tmp_path):
    records = [{"file_name": "sub/a.jpg", "text": "hat, solo"}, {"file_name": "12.jpg", "text": "hat"}]
    with gzip.open(tmp_path / "m.jsonl.gz", "wt") as file:
        file.writelines(json.dumps(record) + "\n" for record in records)
    answers = {(image_folder.path_id("sub/a.jpg"), 1): ("hat", False), (12, 2): ("1girl", True)}
    corrected_files.correct_json(tmp_path / "m.jsonl.gz", tmp_path / "n.jsonl.gz", answers)
    with gzip.open(tmp_path / "n.jsonl.gz", "rt") as file:
        assert [json.loads(line)["text"] for line in file] == ["solo", "hat, 1girl"]


@pytest.mark.parametrize("text", ["", "{}", '{"id": 1', "no JSON"])
def test_what_holds_no_posts_is_refused_and_nothing_is_written(tmp_path, text):
    (tmp_path / "x.json").write_text(text)
    with pytest.raises((UserError, WorkError), match=r"x\.json"):
        corrected_files.correct_json(tmp_path / "x.json", tmp_path / "y.json", VERDICTS)
    assert not (tmp_path / "y.json").exists()


def test_parquet_keeps_schema_rows_and_other_columns(tmp_path):
    table = pa.table({
        "score": pa.array([3, 4, 5], pa.int8()), "id": [5, 6, 7],
        "tags": pa.array([["hat", "solo"], ["rem"], []], pa.list_(pa.string())), "note": ["a", None, "c"],
    })  # fmt: skip
    pq.write_table(table, tmp_path / "x.parquet", compression="zstd", row_group_size=2)
    done = corrected_files.correct_parquet(tmp_path / "x.parquet", tmp_path / "y.parquet", VERDICTS)
    copy = pq.read_table(tmp_path / "y.parquet")
    assert copy.schema.equals(table.schema)
    assert copy["tags"].to_pylist() == [["solo", "long_hair"], ["rem"], []]
    assert copy.drop_columns("tags").equals(table.drop_columns("tags"))
    assert pq.ParquetFile(tmp_path / "y.parquet").metadata.row_group(0).column(0).compression == "ZSTD"
    assert (done.added, done.removed, done.changed) == (1, 1, ["5"])


@pytest.mark.parametrize("column", ["image", "jpg"])
def test_pictures_in_rows_are_known_by_their_place(tmp_path, column):
    """Hugging Face's shards without ids, in two of which pictures have the same names, or none."""
    (tmp_path / "p").mkdir()
    for shard in ("a", "b"):
        rows = [{"bytes": bytes([255, 216]) * 40, "path": path} for path in ("x.jpg", None, "8.jpg")]
        table = pa.table({column: rows, "text": ["hat, solo"] * 3})
        pq.write_table(table, tmp_path / "p" / f"{shard}.parquet", row_group_size=2)
    files, write = sorted((tmp_path / "p").iterdir()), corrected_files.correct_parquet
    names = ("b.parquet/x.jpg", "b.parquet/row-1", "a.parquet/8.jpg")
    verdicts = {(image_folder.path_id(name), 1): ("hat", False) for name in names}
    done = corrected_files.correct_files(files, tmp_path / "p", tmp_path / "new", verdicts, write)
    texts = [pq.read_table(tmp_path / "new" / file.name)["text"].to_pylist() for file in files]
    assert texts == [["hat, solo", "hat, solo", "solo"], ["solo", "solo", "hat, solo"]]
    assert len(done.posts) == 3
    old, new = (pq.read_table(folder / "a.parquet") for folder in (tmp_path / "p", tmp_path / "new"))
    assert old.drop_columns("text").equals(new.drop_columns("text"))
    (file, *_), place = files, tmp_path / "one.parquet"
    one = {(image_folder.path_id("x.jpg"), 1): ("hat", False)}
    assert corrected_files.correct_files([file], file, place, one, write).removed == 1


def test_folders_are_copied_file_by_file(tmp_path):
    root = tmp_path / "posts"
    (root / "deep").mkdir(parents=True)
    (root / "a.jsonl").write_text(json.dumps(POSTS[0]) + "\n")
    (root / "deep" / "b.jsonl").write_text(json.dumps(POSTS[1]) + "\n")
    files = json_lines.find_files(root)
    done = corrected_files.correct_files(
        files, root, tmp_path / "new", VERDICTS, corrected_files.correct_json
    )
    assert json.loads((tmp_path / "new" / "a.jsonl").read_text())["tag_string"] == "solo long_hair"
    assert (tmp_path / "new" / "deep" / "b.jsonl").read_bytes() == (root / "deep" / "b.jsonl").read_bytes()
    assert done.posts == {5, 6}
    assert done.copied == []
    (root / "notes.json").write_text('{"info": 3}')
    files = json_lines.find_files(root)
    done = corrected_files.correct_files(
        files, root, tmp_path / "more", VERDICTS, corrected_files.correct_json
    )
    with pytest.raises(UserError, match="none of the 2 files"):
        corrected_files.correct_files(
            [root / "notes.json"] * 2, root, tmp_path / "none", VERDICTS, corrected_files.correct_json
        )
    assert (done.copied, (tmp_path / "more" / "notes.json").read_text()) == (["notes.json"], '{"info": 3}')
    assert (tmp_path / "more" / "a.jsonl").read_bytes() == (tmp_path / "new" / "a.jsonl").read_bytes()
    (root / "z.jsonl").write_text('{"id": 1')
    files = json_lines.find_files(root)
    with pytest.raises((UserError, WorkError), match=r"z\.jsonl"):
        corrected_files.correct_files(files, root, tmp_path / "newer", VERDICTS, corrected_files.correct_json)
    assert not (tmp_path / "newer").exists(), "a part of the folder is no copy"


def test_names_are_those_of_the_place_that_the_files_lie_in(tmp_path):
    """Two splits of Hugging Face, with pictures of the same names: decisions are on one of each."""
    for split in ("test", "train"):
        (tmp_path / "p" / split).mkdir(parents=True)
        record = {"file_name": "x.jpg", "text": "solo"}
        (tmp_path / "p" / split / "metadata.jsonl").write_text(json.dumps(record) + "\n")
    verdicts = {(image_folder.path_id("train/x.jpg"), 1): ("hat", True)}
    files = json_lines.find_files(tmp_path / "p")
    write = corrected_files.correct_json
    done = corrected_files.correct_files(files, tmp_path / "p", tmp_path / "new", verdicts, write)
    texts = [json.loads(path.read_text())["text"] for path in sorted((tmp_path / "new").rglob("*.jsonl"))]
    assert (done.added, texts) == (1, ["solo", "solo, hat"])


def test_pictures_are_found_by_what_records_call_them(tmp_path):
    """kohya's records have no id, and paths of another machine, without a suffix."""
    for folder in ("10_rem", "5_ram"):
        (tmp_path / "p" / folder).mkdir(parents=True)
        (tmp_path / "p" / folder / "x.png").touch()
    (tmp_path / "p" / "5_ram" / "y.png").touch()
    names = ("C:\\a\\10_rem\\x", "C:\\a\\5_ram\\x", "y")
    source, copy = tmp_path / "meta.json", tmp_path / "new.json"
    source.write_text(json.dumps({name: {"tags": "solo"} for name in names}))
    ids = picture_index.NamedPictures(tmp_path / "p").ids([*names, "z"])
    assert ids == [*map(image_folder.path_id, ("10_rem/x.png", "5_ram/x.png", "5_ram/y.png")), -1]
    verdicts = {(ids[0], 1): ("hat", True), (ids[2], 1): ("rem", True)}
    assert corrected_files.correct_json(source, copy, verdicts).posts == set()
    pictures = corrected_files.Pictures(str(tmp_path / "p"))
    assert corrected_files.correct_json(source, copy, verdicts, "", pictures).posts == {ids[0], ids[2]}
    assert [record["tags"] for record in json.loads(copy.read_text()).values()] == [
        "solo hat",
        "solo",
        "solo rem",
    ]


def test_names_are_those_that_the_source_gives(tmp_path):
    """A tag list of another project has spaces, and letters that are composed otherwise."""
    (tmp_path / "x.jsonl").write_text('{"id": 5, "tag_string": "long_hair caf\u00e9"}\n', encoding="utf-8")
    verdicts = {(5, 1): ("long hair", False), (5, 2): ("cafe\u0301", False), (5, 3): ("short hair", True)}
    done = corrected_files.correct_json(tmp_path / "x.jsonl", tmp_path / "y.jsonl", verdicts)
    assert (done.added, done.removed) == (1, 2)
    assert tags_by_id(tmp_path / "y.jsonl") == {5: ["short_hair"]}
