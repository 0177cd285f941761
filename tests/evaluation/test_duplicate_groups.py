"""Utils/evaluation/duplicate_groups.py: groups around a leader, families, the file that others read."""

import itertools

import numpy as np
import pytest

from Utils.command.cli import UserError
from Utils.evaluation import duplicate_groups


@pytest.mark.parametrize("seed", range(10))
def test_every_member_is_near_its_leader_in_any_order(seed):
    random = np.random.default_rng(seed)
    places = random.random(60) * 20

    def compare(first, second):
        return np.abs(places[first] - places[second]).astype(np.float32)

    pairs = np.array(list(itertools.combinations(range(60), 2)))
    groups = duplicate_groups.from_pairs(60, pairs, compare(*pairs.T), compare)
    assert np.allclose(groups.distances, compare(np.arange(60), groups.leaders))
    assert (groups.distances <= duplicate_groups.LOOSE).all()
    assert (groups.leaders[groups.leaders] == groups.leaders).all()
    order = random.permutation(len(pairs))
    again = duplicate_groups.from_pairs(60, pairs[order], compare(*pairs[order].T), compare)
    assert np.array_equal(groups.leaders, again.leaders)


def test_the_ends_of_a_chain_of_near_images_stay_in_separate_groups():
    def compare(first, second):
        return np.abs(first - second).astype(np.float32) * 0.9

    chain = np.array([(at, at + 1) for at in range(99)])
    groups = duplicate_groups.from_pairs(100, chain, compare(*chain.T), compare)
    assert np.bincount(groups.leaders).max() <= 3
    assert groups.refused > 30


def test_components_are_those_of_a_walk():
    random = np.random.default_rng(0)
    edges = random.integers(0, 300, (170, 2))
    found = duplicate_groups.components(300, edges)
    for start in range(300):
        seen, todo = {start}, [start]
        while todo:
            at = todo.pop()
            more = {*edges[edges[:, 0] == at, 1].tolist(), *edges[edges[:, 1] == at, 0].tolist()} - seen
            seen, todo = seen | more, todo + sorted(more)
        assert found[start] == min(seen)


def test_families_join_groups_through_posts_that_are_not_there():
    groups = duplicate_groups.Groups(np.array([0, 0, 2, 3, 4]), np.zeros(5, np.float32), 7)
    joined = duplicate_groups.with_families(groups, np.array([10, 11, 12, 13, 13]), {12: 99, 11: 99, 77: 13})
    assert joined.leaders.tolist() == [0, 0, 0, 3, 3]
    assert joined.refused == 7
    assert np.isnan(joined.distances).tolist() == [False, False, True, False, True]


@pytest.mark.parametrize("limit", [1.0, 0.5])
@pytest.mark.parametrize(("start", "leaders"), [(0.2, [1, 1, 1, 1]), (0.05, [1, 1, 3, 3])])
def test_a_member_may_be_farther_from_its_leader_than_from_another_member(limit, start, leaders):
    """Rows 2, 3, 1, 0 in a line; row 2 is 1.4 limits from the leader of all, or 1.55."""
    places = limit * np.array([2.2, 1.6, start, 0.8, 9.0, 10.2])

    def compare(first, second):
        return np.abs(places[first] - places[second]).astype(np.float32)

    pairs = np.array([(2, 3), (1, 3), (0, 1), (4, 5)])
    groups = duplicate_groups.from_pairs(6, pairs, compare(*pairs.T), compare, limit)
    assert groups.leaders.tolist() == [*leaders, 4, 5]  # the last two are farther apart than the limit
    assert groups.refused == (leaders[2] == 3)


def test_the_leader_is_the_row_with_most_near_ones():
    pairs = np.array([(0, 3), (1, 3), (2, 3)])
    groups = duplicate_groups.from_pairs(
        4, pairs, np.full(3, 0.9), lambda first, second: np.full(len(first), 1.8)
    )
    assert groups.leaders.tolist() == [3, 3, 3, 3]


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("group\n1\n", "lacks the column post_id"),
        ("group,post_id\n1,\n1,5\n", "whole numbers"),
        ("", "no CSV"),
    ],
)
def test_a_file_that_is_no_table_of_groups_is_refused(content, says, tmp_path):
    (tmp_path / "groups.csv").write_text(content)
    with pytest.raises(UserError, match=says):
        duplicate_groups.read(tmp_path / "groups.csv")


@pytest.mark.parametrize("row", [",7", "nan,7", "0,-7", f"0,{2**63}"])
def test_a_row_without_a_group_or_a_post_is_named(tmp_path, row):
    (tmp_path / "g.csv").write_text(f"group,post_id\n0,1\n{row}\n")
    with pytest.raises(UserError, match="g.csv, row 3: a group and a post_id from 0"):
        duplicate_groups.read(tmp_path / "g.csv")
