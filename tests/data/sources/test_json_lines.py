"""Utils/data/sources/json_lines.py: files of posts, one JSON object a line, and files that are none."""

import gzip
import json

import numpy as np
import pytest

from Utils.command.cli import UserError, WorkError
from Utils.data.sources import json_lines
from Utils.data.sources.json_lines import read_json_lines
from Utils.images import image_folder, picture_index

POST = {"id": 1, "tag_string": "a"}


def lines(records):
    return "".join(json.dumps(record) + "\n" for record in records)


def test_broken_lines_are_listed_and_the_first_of_two_posts_counts(tmp_path):
    good = [{"id": n, "rating": "g", "tag_string": "a b"} for n in (3, 1, 2)]
    again = {"id": 1, "rating": "e", "tag_string": "c c"}
    text = lines([*good, again]) + '{"id": 9, "tag_st\n' + "\n[1]\n" + '{"id": 4, "tag_string": "cut'
    (tmp_path / "x.json").write_bytes(
        text.encode() + b'"}\n\xff\xfe{}\n' + b'{"id": 5, "tag_string": "a \\ud800"}'
    )
    source = read_json_lines(tmp_path / "x.json")
    assert [block.ids.tolist() for block in source.blocks()] == [[1, 2, 3, 4, 5]]
    counts = dict(zip(source.tags["name"], source.tags["count"], strict=True))
    assert counts == {"a": 4, "b": 3, "c": 0, "cut": 1, "\ufffd": 1}
    assert sorted(source.rejected) == [
        *[(-1, f"x.json, line {line}", "no JSON object, or a name twice in one") for line in (5, 7, 9)],
        (1, "post 1 again", "post id given twice"),
    ]


@pytest.mark.reliability(
    "A name twice in one object of JSON posts", "the post is left out and listed; the others are read"
)
@pytest.mark.parametrize(
    ("text", "place"),
    [
        ('{"id": 1, "tags": "a", "tags": "b"}\n{"id": 2, "tags": "c"}\n', "line 1"),
        ('[{"id": 1, "tags": "a", "tags": "b"}, {"id": 2, "tags": "c"}]', "record 1"),
        ('{"posts": [{"id": 1, "tags": {"x": ["a"], "x": ["b"]}}, {"id": 2, "tags": "c"}]}', "record 1"),
        ('[[{"id": 2, "tags": "c"}, {"id": 1, "tags": [{"name": "a", "name": "b"}]}]]', "record 2"),
        ('[[3, "", {"id": 2, "tags": "c"}], [3, "", {"id": 1, "tags": "a", "tags": "b"}]]', "record 2"),
        ('{"2": {"tags": "c"}, "1": {"tags": "a", "tags": "b"}}', "record 2 ('1')"),
        ('{"id": 2, "tags": "c"} {"id": 1, "tags": "a", "tags": "b"}', "record 2"),
        ('{"id": 2, "tags": "c"} {"id": 1, "tags": "a", "x": {"a": 1, "a": 1}}', "record 2"),
    ],
)
def test_of_two_tags_of_one_name_none_is_lost_without_a_word(tmp_path, text, place):
    path = tmp_path / "x.json"
    path.write_text(text)
    source = read_json_lines(path)
    assert source.tags["name"].tolist() == ["c"]
    assert source.rejected == ((-1, f"x.json, {place}", "no JSON object, or a name twice in one"),)


def test_a_file_of_one_post_with_a_name_twice_holds_no_post(tmp_path):
    (tmp_path / "x.json").write_text('{"id": 1, "tags": "a", "tags": "b"}')
    with pytest.raises(
        UserError, match="no post in 1 file.*x.json, .*1: no JSON object, or a name twice in one"
    ):
        read_json_lines(tmp_path / "x.json")


def test_a_file_that_ends_too_early_or_holds_no_post_is_an_error(tmp_path):
    packed = gzip.compress(
        lines({"id": n, "tag_string": f"tag_{n * 7919 % 1000}"} for n in range(500)).encode()
    )
    (tmp_path / "cut.gz").write_bytes(packed[: len(packed) // 2])
    with pytest.raises(WorkError, match=r"cut.gz cannot be read to its end"):
        read_json_lines(tmp_path / "cut.gz")
    (tmp_path / "text.json").write_text("hello\n" * 500)
    with pytest.raises(UserError, match="holds no posts: text.json, line 101"):
        read_json_lines(tmp_path / "text.json")
    (tmp_path / "tags.json").write_text('{"id": 1, "name": "a"}\n')
    with pytest.raises(
        UserError, match="no post in 1 file .* tags.json has records with id, name: no field of"
    ):
        read_json_lines(tmp_path / "tags.json")


def test_a_line_that_is_too_long_is_rejected_but_an_array_may_be_long(tmp_path, monkeypatch):
    monkeypatch.setattr(json_lines, "_MAX_LINE", 100)
    long = {"id": 2, "tag_string": "b" * 500}
    (tmp_path / "x.json").write_text(lines([POST, long, {**POST, "id": 3}]))
    places = {
        place: record and record["id"] for place, _, record in json_lines.read_records(tmp_path / "x.json")
    }
    assert places == {"x.json, line 1": 1, "x.json, line 2": None, "x.json, line 3": 3}
    (tmp_path / "y.json").write_text(json.dumps([POST, long]))
    assert [record["id"] for _, _, record in json_lines.read_records(tmp_path / "y.json")] == [1, 2]


def test_posts_without_any_rating_are_kept(tmp_path):
    (tmp_path / "x.json").write_text(lines([POST]))
    assert read_json_lines(tmp_path / "x.json").keep_unrated
    (tmp_path / "x.json").write_text(lines([POST, {**POST, "id": 2, "rating": "g"}]))
    assert not read_json_lines(tmp_path / "x.json").keep_unrated


@pytest.mark.parametrize(
    "text",
    [
        json.dumps([POST, {**POST, "id": 2}], indent=2),
        json.dumps([POST, {**POST, "id": 2}]),
        "[\n" + ",\n".join(json.dumps({**POST, "id": number}) for number in (1, 2)) + "\n]\n",
        json.dumps({"1": {"tag_string": "a"}, "2": {"tag_string": "a"}}, indent=1),
        json.dumps({"post": [{"id": 1, "tags": "a"}, {"id": 2, "tags": "a"}]}),
        json.dumps({f"x/{number}.jpg": {"tags": "a", "caption": "A b."} for number in (1, 2)}),
        "".join(json.dumps({"file_name": f"{number}.jpg", "text": "a"}) + "\n" for number in (1, 2)),
        "\n".join(json.dumps({**POST, "id": number}, indent=1) for number in (1, 2)),
        # Answers of interfaces, one behind the other, as `curl >> file` leaves them.
        "".join(json.dumps({"post": {**POST, "id": number}}) + "\n" for number in (1, 2)),
        "".join(json.dumps({"posts": [{**POST, "id": number}]}) + "\n" for number in (1, 2)),
        json.dumps({"posts": {"1": {**POST, "id": 1}, "2": {**POST, "id": 2}}}),
    ],
)
def test_every_form_of_json_gives_the_same_posts(tmp_path, text):
    plain = text.encode()
    contents = {"a.json": plain, "b.json": text.encode("utf-16"), "c.gz": gzip.compress(plain)}
    for name, data in contents.items():
        (tmp_path / name).write_bytes(data)
        source = read_json_lines(tmp_path / name)
        assert [block.ids.tolist() for block in source.blocks()] == [[1, 2]]
        assert source.tags["name"].tolist() == ["a"]
        assert source.rejected == ()


def test_what_was_recognized_and_skipped_is_said(tmp_path):
    (tmp_path / "tags.json").write_text('{"id": 1, "name": "a"}\n{"id": 2, "name": "b"}\n')
    (tmp_path / "x.jsonl").write_text(lines([{"file_name": "7.jpg", "text": "a, A dog barks at the moon."}]))
    notes = read_json_lines(tmp_path).notes
    assert notes == (
        "recognized: records of Hugging Face (1)",
        "1 sentence in captions is no tag and is left out, such as 'A dog barks at the moon.'",
        "1 file passed by, without posts: tags.json",
    )


@pytest.mark.parametrize("indent", [None, 1])
def test_captions_by_the_names_of_their_pictures_are_posts(tmp_path, indent):
    captions = {"a/1.jpg": "1girl, long hair", "2.PNG": ["1girl", "character:rem"], "about": "no picture"}
    (tmp_path / "captions.json").write_text(json.dumps(captions, indent=indent))
    source = read_json_lines(tmp_path / "captions.json")
    assert source.tags.set_index("name")["count"].to_dict() == {"1girl": 2, "long_hair": 1, "rem": 1}
    assert source.num_posts == 2


@pytest.mark.parametrize("indent", [None, 1])
def test_several_captions_of_a_picture_are_no_tags(tmp_path, indent):
    captions = {"1.jpg": ["1girl, solo", "1girl, hat"], "2.jpg": ["long hair", "ready,_set,_go", "mr."]}
    captions["3.jpg"] = ["a dog that barks at the moon tonight"]
    (tmp_path / "captions.json").write_text(json.dumps(captions, indent=indent))
    source = read_json_lines(tmp_path / "captions.json")
    assert set(source.tags["name"]) == {"long_hair", "ready,_set,_go", "mr."}
    assert len(source.rejected) == 2
    assert {reason for _, _, reason in source.rejected} == {"caption is a list, where one text is needed"}


def test_posts_that_only_files_name_get_the_ids_of_their_files(tmp_path):
    names = ["a/1.jpg", "b/1.jpg", "2.jpg", "cat.jpg"]
    (tmp_path / "x.json").write_text(json.dumps({name: {"tags": "a"} for name in names}, indent=1))
    (block,) = read_json_lines(tmp_path / "x.json").blocks()
    assert sorted(block.ids.tolist()) == sorted(image_folder.post_ids(names))


@pytest.mark.reliability("an indented JSON array of posts that is cut off", "one error with file and place")
def test_an_array_that_is_cut_off_is_an_error(tmp_path):
    (tmp_path / "x.json").write_text(json.dumps([POST, POST], indent=1)[:-20])
    with pytest.raises(WorkError, match=r"x.json cannot be read to its end: .* at character \d+"):
        read_json_lines(tmp_path / "x.json")


def test_names_are_relative_to_their_file_and_found_wherever_the_place_begins(tmp_path):
    """Two splits of Hugging Face have files of the same names; kohya's paths begin elsewhere."""
    for split in ("train", "test"):
        (tmp_path / split).mkdir()
        for number in (1, 2):
            (tmp_path / split / f"{number}.jpg").touch()
        text = lines([{"file_name": f"{number}.jpg", "text": split} for number in (1, 2)])
        (tmp_path / split / "metadata.jsonl").write_text(text)
    source, files = read_json_lines(tmp_path), picture_index.index(tmp_path, named=True, by_path=True)
    (block,) = source.blocks()
    names = dict(zip(source.tags["tag_id"], source.tags["name"], strict=True))
    paths = files.paths(files.find(block.ids, block.keys))
    assert {path: names[tag] for path, tag in zip(paths, block.tag_ids.tolist(), strict=True)} == {
        "train/1.jpg": "train", "train/2.jpg": "train", "test/1.jpg": "test", "test/2.jpg": "test"
    }  # fmt: skip
    (tmp_path / "only").mkdir()
    (tmp_path / "only" / "cat.png").touch()
    same = ("C:\\x\\cat.png", "/data/img/cat.jpg", "other/only/cat")
    for name in (*same, "/data/img/1.jpg", "no.jpg"):
        (tmp_path / "meta.json").write_text(json.dumps({name: {"tags": "a"}}))
        (block,) = read_json_lines(tmp_path / "meta.json").blocks()
        files = picture_index.index(tmp_path, named=True, by_path=True)
        number = int(files.find(np.array([-5]), block.keys)[0])
        assert (number >= 0) == (name in same)
        assert number < 0 or files.paths(np.array([number])) == ["only/cat.png"]


@pytest.mark.reliability(
    "half a surrogate pair (\\ud800 alone) in JSON posts",
    "names of tags are counted and named, with U+FFFD in its place; a post whose file has it is listed",
)
def test_half_a_surrogate_pair_is_counted_and_named(tmp_path, capsys):
    text = [
        r'{"id": 1, "tags": "a\ud800 b"}',
        r'{"id": 2, "tags": ["a\ud800", "c\ud801", "\ud83d\udc31"]}',
        r'{"file_name": "a\ud800.jpg", "tags": "b"}',
        r'{"id": 4, "tags": "b", "md5": "\udfff"}',
    ]
    (tmp_path / "x.jsonl").write_text("\n".join(text))
    source = read_json_lines(tmp_path / "x.jsonl")
    assert set(source.tags["name"]) == {"a\ufffd", "b", "c\ufffd", "\U0001f431"}
    said = capsys.readouterr().err
    assert "2 names of tags have half a surrogate pair, for which U+FFFD stands: a\ufffd, c\ufffd" in said
    assert [reason for *_, reason in source.rejected] == [
        "half a surrogate pair in its file name", "half a surrogate pair in md5"
    ]  # fmt: skip
