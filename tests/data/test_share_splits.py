"""Utils/data/share_splits.py: splits by content, of the right sizes, with every tag that can be in all."""

import hashlib

import numpy as np
import pandas as pd
import pytest

from Utils.command.cli import UserError
from Utils.data import share_splits
from Utils.data.definition import SPLITS

SHARES = {"train": 0.9, "validation": 0.1}


def digests_of(contents):
    return [hashlib.sha256(str(content).encode()).hexdigest() for content in contents]


def drawn(tags, shares=SHARES, contents=None, groups=None):
    """The names of the splits of posts with these tags; every post has its own content unless given."""
    ids = np.arange(len(tags)) + 1000
    units = share_splits.units_of(ids, digests_of(contents or range(len(tags))), groups)
    offsets = np.concatenate([[0], np.cumsum([len(row) for row in tags])])
    rows = share_splits.draw(units, offsets, np.array(sum(tags, []), np.int64), shares)
    return np.array([SPLITS[row] for row in rows])


def test_shares_are_kept_for_all_posts_and_for_every_tag():
    random = np.random.default_rng(0)
    has = random.random((1000, 12)) < np.geomspace(0.5, 0.02, 12)
    splits = drawn([np.flatnonzero(row).tolist() for row in has])
    assert abs((splits == "validation").mean() - 0.1) < 0.01
    shares = has[splits == "validation"].sum(axis=0) / has.sum(axis=0)
    # By chance the rarest tag, of some 20 pictures, would have 0 to 5 of them in validation.
    assert (np.abs(shares - 0.1) < 0.05).all(), shares


@pytest.mark.parametrize("count", [5, 6, 7, 10, 15])
def test_a_rare_tag_of_five_pictures_or_more_is_in_validation(count):
    tags = [[0] for _ in range(300)]
    for place in range(count):
        tags[17 * place] = [0, 1]
    splits = drawn(tags)
    rare = [17 * place for place in range(count)]
    assert (splits[rare] == "validation").sum() in (1, 2)


def test_copies_and_members_of_a_group_stay_together_whatever_their_order():
    contents = [number // 2 for number in range(200)]
    groups = pd.DataFrame({"group": [1, 1, 2, 2, 2], "post_id": [1000, 1050, 1050, 1100, 9]})
    tags = [[number % 5] for number in range(200)]
    splits = drawn(tags, contents=contents, groups=groups)
    assert (splits[0::2] == splits[1::2]).all()
    assert len(set(splits[[0, 1, 50, 51, 100, 101]])) == 1  # two groups with a post in common are one unit
    assert 10 <= (splits == "validation").sum() <= 30


def test_the_order_and_the_ids_of_the_posts_decide_nothing():
    random = np.random.default_rng(1)
    tags = [sorted(set(random.integers(0, 8, 3).tolist())) for _ in range(150)]
    order = random.permutation(150)
    straight = drawn(tags)
    shuffled = drawn([tags[place] for place in order], contents=order.tolist())
    assert (shuffled == straight[order]).all()


@pytest.mark.parametrize("count", [2, 3, 12])
def test_no_split_is_empty_even_of_few_posts(count):
    for tags in ([[number] for number in range(count)], [[0]] * count, [[]] * count):
        splits = drawn(tags)
        assert {*splits} == {"train", "validation"}
        assert (splits == "train").sum() >= (splits == "validation").sum()


def test_the_unit_that_fills_an_empty_split_costs_the_least():
    """Of one tag alone a split would lose all; the post whose tag others have goes instead."""
    splits = drawn([[0], [1], [2], [2], [2]], {"train": 0.95, "validation": 0.05})
    assert splits.tolist().count("validation") == 1
    assert (splits[:2] == "train").all()


def test_too_few_pictures_are_refused():
    with pytest.raises(UserError, match="1 different picture cannot be divided into 2 splits"):
        drawn([[0], [1]], contents=[5, 5])


def test_three_splits_and_one():
    splits = drawn([[number % 3] for number in range(390)], {"test": 0.1, "train": 0.8, "validation": 0.1})
    assert {name: (splits == name).sum() for name in SPLITS} == {"train": 312, "validation": 39, "test": 39}
    assert {*drawn([[0]] * 5, {"train": 1.0})} == {"train"}
