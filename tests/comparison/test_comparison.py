"""Which tags are judged."""

import numpy as np
import pandas as pd
import pytest

from Utils.command.cli import UserError
from Utils.comparison import comparison
from Utils.comparison.comparison import Contestant
from Utils.comparison.judged_posts import JudgedPosts


def tags(*rows):
    columns = ["tag_id", "name", "category", "count"]
    return pd.DataFrame([(*row, 0) for row in rows], columns=columns).astype({"name": "str"})


def labeled(frame, is_closed):
    nothing = np.zeros(0, np.int64)
    return JudgedPosts(np.array([1]), ["1.png"], np.array([0, 0]), nothing, frame, is_closed, {})


ONE = Contestant(
    "one", "one", tags((9, "general", 9), (1, "a", 0), (2, "b", 0), (3, "miku", 4)), (np.zeros(4), "")
)
TWO = Contestant(
    "two", "two", tags((1, "a", 0), (2, "b", 0), (3, "miku", 4), (9, "general", 9)), (np.zeros(4), "")
)


def judged(posts, **options):
    shared = comparison.share_tags([ONE, TWO], posts, **options)
    assert shared.columns(0).tolist() == [
        ONE.tags["name"].tolist().index(name) for name in shared.tags["name"]
    ]
    return shared.tags["name"].tolist(), shared.absent


def test_a_list_of_labels_says_what_is_known():
    assert judged(labeled(tags((1, "a", 0), (7, "elsewhere", 0)), True)) == (["a"], {})


def test_without_a_list_absent_labels_are_false_but_absent_categories_unknown():
    posts = labeled(tags((0, "a", 0), (0, "miku", 0)), False)  # the taggers know the category
    assert judged(posts) == (["a", "b", "miku"], {"rating": 1})
    assert judged(labeled(tags((0, "a", 0)), False)) == (["a", "b"], {"rating": 1, "character": 1})
    assert judged(labeled(tags((0, "a", 0)), False), only_labeled=True) == (["a"], {})


def test_labels_of_other_tags_are_refused():
    with pytest.raises(UserError, match="none of the 4 tags that all taggers have is among the 1 of"):
        judged(labeled(tags((5, "x", 0)), False))
