"""Utils/data/sources/vocabulary.py: rows, categories, counts and ids of tags that posts name."""

import hashlib

import numpy as np
import pytest

from Utils.command.cli import WorkError
from Utils.data.sources import vocabulary
from Utils.data.sources.vocabulary import Vocabulary
from Utils.tags.tag_list import name_id


def test_a_name_has_one_row_and_the_category_that_is_not_general():
    words = Vocabulary()
    assert words.rows_of(["a", "b", "a"], 0) == [0, 1, 0]
    assert words.rows_of(["b", "c"], 4) == [1, 2]
    assert words.rows_of(["b"], 3) == [1]
    tags, ids = words.finish()
    assert tags["tag_id"].is_monotonic_increasing
    assert dict(zip(tags["name"], tags["category"], strict=True)) == {"a": 0, "b": 4, "c": 4}
    assert ids.tolist() == [name_id(name) for name in "abc"]


@pytest.mark.reliability("one tag name in two categories", "said, with the category that counts")
def test_names_in_several_categories_are_described():
    words = Vocabulary()
    words.rows_of(["a", "b"], 0)
    assert words.describe_conflicts() == ""
    words.rows_of(["b"], 4)
    words.rows_of(["b", "c"], 3)
    words.rows_of(["c"], 4)
    head = "names in more than one category, each of them one tag: "
    first = "'b' (general, copyright, character: counted as character)"
    assert words.describe_conflicts() == f"{head}{first}, 'c' (copyright, character: counted as copyright)"
    assert words.describe_conflicts(most=1) == f"{head}{first}, and 1 more"


def test_a_tag_id_that_two_names_have_is_the_first_ones():
    words = Vocabulary()
    words.rows_of(["a"], 0, [7])
    words.rows_of(["b", "c"], 4, [7, None])
    assert words.finish()[1].tolist() == [7, name_id("b"), name_id("c")]


def test_counts_add_up_over_blocks_in_which_new_names_come():
    words = Vocabulary()
    words.add_counts(np.array(words.rows_of(["a", "b"], 0)))
    words.add_counts(np.array(words.rows_of(["b", "c"], 0)))
    assert words.finish()[0].set_index("name")["count"].to_dict() == {"a": 1, "b": 2, "c": 1}
    words.reset_counts()
    assert words.finish()[0]["count"].tolist() == [0, 0, 0]


def test_two_names_with_one_hash_are_an_error(monkeypatch):
    monkeypatch.setattr(vocabulary, "name_id", lambda name: len(name))
    words = Vocabulary()
    words.rows_of(["a", "b"], 0)
    with pytest.raises(WorkError, match="same 52 bits"):
        words.finish()


def test_names_with_lone_surrogates_can_be_written():
    assert vocabulary.clean("a\ud800b") == "a\ufffdb"
    assert vocabulary.clean("\U0001f431_ears") == "\U0001f431_ears"
    assert hashlib.sha256(vocabulary.clean("\udc80").encode()).digest()
