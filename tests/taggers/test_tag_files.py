"""Tag lists in JSON and text files."""

import pytest

from Utils.command.cli import UserError
from Utils.taggers import tag_files
from Utils.tags import tag_list


def test_categories_keep_their_names():
    tags = tag_files.frame(["a", "b", "c", "d"], ["General", "series", "year", "model"])
    names = tag_list.category_names(tags)
    shown = [tag_list.category_name(code, names) for code in tags["category"]]
    assert shown == ["general", "copyright", "year", "model"]
    assert tags["tag_id"].tolist() == [tag_list.name_id(name) for name in "abcd"]
    assert tag_files.with_ratings(["rating:safe", "solo"], ["general"] * 2) == ["rating", "general"]


def test_numbers_must_be_complete(tmp_path):
    categories = {"a": "general", "b": "character"}
    assert tag_files.by_index(tmp_path, {"1": "b", "0": "a"}, categories)["name"].tolist() == ["a", "b"]
    with pytest.raises(UserError, match="none is 1"):
        tag_files.by_index(tmp_path, {"0": "a", "2": "b"}, categories)


def test_lines(tmp_path):
    file = tmp_path / "tags.txt"
    file.write_bytes(b"\xef\xbb\xbfone\r\n\r\ntwo\n")
    assert tag_files.lines(file) == ["one", "two"]
    file.write_bytes(b"\xff\xfe\xff")
    with pytest.raises(UserError, match="no text in UTF-8"):
        tag_files.lines(file)
