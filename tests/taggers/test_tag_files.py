"""Tag lists in JSON and text files."""

import numpy as np
import pytest

from Utils.command.cli import UserError
from Utils.evaluation import threshold_table
from Utils.taggers import tag_files
from Utils.tags import tag_categories, tag_list


def test_categories_keep_their_names():
    tags = tag_files.frame(["a", "b", "c", "d"], ["General", "series", "year", "model"])
    names = tag_categories.names_of(tags)
    shown = [tag_categories.name_of(code, names) for code in tags["category"]]
    assert shown == ["general", "copyright", "year", "model"]
    assert tags["category"].tolist() == [0, 3, 11, 10]  # boorus use the codes below
    assert tags["tag_id"].tolist() == [tag_list.name_id(name) for name in "abcd"]
    assert tag_files.with_ratings(["rating:safe", "solo"], ["general"] * 2) == ["rating", "general"]
    assert tag_files.frame(["cafe\u0301"], ["general"])["name"].tolist() == ["caf\u00e9"]


def test_numbers_must_be_complete(tmp_path):
    categories = {"a": "general", "b": "character"}
    assert tag_files.by_index(tmp_path, {"1": "b", "0": "a"}, categories)["name"].tolist() == ["a", "b"]
    with pytest.raises(UserError, match="none is 1"):
        tag_files.by_index(tmp_path, {"0": "a", "2": "b"}, categories)


@pytest.mark.parametrize(
    ("name", "category", "wrong"),
    [(None, "general", "None"), ("b", ["x"], r"\['x'\]"), (" ", "general", "' '")],
)
def test_names_are_texts(tmp_path, name, category, wrong):
    with pytest.raises(UserError, match=f"are texts; got {wrong}"):
        tag_files.by_index(tmp_path / "x.json", {"0": name}, {str(name): category})


@pytest.mark.parametrize(
    ("file", "content", "said"),
    [
        (
            "thresholds.csv",
            "category,threshold\n0,high\n",
            "line 2: threshold is a number from 0 to 1; got 'high'",
        ),
        ("thresholds.csv", "category,threshold\nfoo,0.5\n", r"thresholds.csv: unknown category 'foo'"),
        (
            "threshold.json",
            '{"general": {"balanced": {"threshold": 35}}}',
            "of general is a number .* got 35",
        ),
        ("threshold.json", '{"general": "0.3"}', "got '0.3'"),
        ("threshold.json", '{"general": true}', "got True"),
    ],
)
def test_thresholds_that_are_none_are_named(tmp_path, file, content, said):
    (tmp_path / file).write_text(content)
    with pytest.raises(UserError, match=said):
        tag_files.category_thresholds(tmp_path, tag_files.frame(["a"], ["general"]))


def test_a_category_without_a_threshold_has_none(tmp_path):
    (tmp_path / "thresholds.csv").write_text("category,threshold\n0,\n4,0.6\n")
    tags = tag_files.frame(["a", "b"], ["general", "character"])
    values, _ = tag_files.category_thresholds(tmp_path, tags)
    assert np.isnan(values[0]) and values[1] == 0.6
    (tmp_path / "thresholds.csv").write_text("category,threshold\n0,0.5\n4,0.6")  # editors leave the end out
    assert tag_files.category_thresholds(tmp_path, tags)[0].tolist() == [0.5, 0.6]


def test_lines(tmp_path):
    file = tmp_path / "tags.txt"
    with pytest.raises(UserError, match="a tag a line expected at"):
        tag_files.lines(file)
    file.write_bytes(b"\xef\xbb\xbfone\r\n\r\ntwo\n")
    assert tag_files.lines(file) == ["one", "two"]
    file.write_bytes(b"\xff\xfe\xff")
    with pytest.raises(UserError, match="no text in UTF-8"):
        tag_files.lines(file)


@pytest.mark.reliability(
    "thresholds.csv of find_thresholds beside another project's model", "each tag has its own"
)
def test_our_own_thresholds_beside_a_foreign_model_are_of_tags(tmp_path):
    rows = [{"scope": "all", "threshold": 0.4}, {"scope": "tag", "tag_id": 2, "name": "b", "threshold": 0.7}]
    threshold_table.write(tmp_path / "thresholds.csv", rows)
    tags = tag_files.frame(["a", "b"], ["general", "general"]).assign(tag_id=[1, 2])
    values, name = tag_files.category_thresholds(tmp_path, tags)
    assert (values.tolist(), name) == ([0.4, 0.7], "thresholds.csv")


def test_a_file_without_a_threshold_is_not_said_to_have_them(tmp_path):
    (tmp_path / "thresholds.csv").write_text("category,threshold\n5,0.5\n")
    assert tag_files.category_thresholds(tmp_path, tag_files.frame(["a"], ["general"])) is None
