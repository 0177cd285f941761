"""Utils/data/sources/json_stream.py: records of JSON of any form, one at a time."""

import io
import json

import pytest

from Utils.data.sources import json_stream
from Utils.data.sources.danbooru_post import has_tags

POSTS = [{"id": 1, "tags": "a b"}, {"id": 2, "tags": {"general": ["c"]}}, {"id": 3, "tags": "d\u3042"}]


def read(text, chunk=7, monkeypatch=None):
    stream = io.StringIO(text)
    reader = json_stream.JsonText(lambda size: stream.read(min(size, chunk)))
    return list(json_stream.records(reader, has_tags))


@pytest.mark.parametrize("indent", [None, 2])
@pytest.mark.parametrize("chunk", [1, 7, 10**6])
@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (POSTS, [("", post) for post in POSTS]),
        ([], []),
        ({"post": POSTS}, [("", post) for post in POSTS]),
        ({"@attributes": {"limit": 100, "count": 3}, "post": POSTS}, [("", post) for post in POSTS]),
        ({str(post["id"]): post for post in POSTS}, [(str(post["id"]), post) for post in POSTS]),
        ({"img/1.jpg": {"tags": "a", "caption": "x"}}, [("img/1.jpg", {"tags": "a", "caption": "x"})]),
        (POSTS[1], [("", POSTS[1])]),
        ({"post": POSTS[1]}, [("post", POSTS[1])]),
        ([[2, {"count": 1}], [3, "https://x", POSTS[0]]], [("", POSTS[0])]),
        ([[1, POSTS[0]], [3, POSTS[1]]], [("", [1, POSTS[0]]), ("", [3, POSTS[1]])]),
        ({"posts": {"1": POSTS[0], "2": POSTS[1]}}, [("1", POSTS[0]), ("2", POSTS[1])]),
        ({"n": -12.5e3, "t": [True, None]}, [("", {"n": -12.5e3, "t": [True, None]})]),
    ],
)  # fmt: skip
def test_each_form_gives_its_records(value, expected, indent, chunk):
    text = json.dumps(value, indent=indent, ensure_ascii=False)
    assert read(text, chunk) == expected
    assert read(f" {text}\n\n{text}\n", chunk) == 2 * expected


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ('[{"id": 1}, {"id": 2', "at character 13|at character 21"),
        ('[{"id": 1} {"id": 2}]', "',' is expected at character 12; there is '{'"),
        ('{"a" 1}', "':' is expected at character 6; there is '1'"),
        ("{5: 1}", "a key is expected at character 2; there is '5'"),
        ('[{"id": 1},', "Expecting value"),
        ('[{"id": 1}', "',' is expected .* there is the end"),
        ("[" * 100_000, "nested too deep|Expecting value"),
        ("hello", "Expecting value at character 1"),
    ],
)
def test_text_that_is_no_json_says_where(text, reason):
    with pytest.raises(ValueError, match=reason):
        read(text)


def test_only_one_record_is_in_memory(monkeypatch):
    """The window holds a chunk, not the file: what is read ahead of a record is bounded."""
    monkeypatch.setattr(json_stream, "_CHUNK", 100)
    text = json.dumps([{"id": number, "tags": "x" * 50} for number in range(1000)])
    stream = io.StringIO(text)
    reader = json_stream.JsonText(stream.read)
    for number, _ in enumerate(json_stream.records(reader, has_tags), 1):
        assert stream.tell() < 85 * number + 400


def test_a_value_above_the_bound_is_refused_without_reading_to_the_end(monkeypatch):
    monkeypatch.setattr(json_stream, "_MAX_VALUE", 1000)
    monkeypatch.setattr(json_stream, "_CHUNK", 100)
    stream = io.StringIO('["' + "x" * 10**6)
    with pytest.raises(ValueError, match="Unterminated string"):
        list(json_stream.records(json_stream.JsonText(stream.read), has_tags))
    assert stream.tell() < 5000
