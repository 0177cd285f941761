"""Utils/data/selection.py: the rules for posts and tags, each against plain Python."""

import numpy as np
import pandas as pd
import pytest

from Utils.command.cli import UserError
from Utils.data import selection
from Utils.data.definition import Definition
from Utils.data.selection import PostFilter, SelectedPosts
from Utils.data.sources.stream import PostBlock
from Utils.tags import tag_list

EVERYTHING = {"ratings": ("g", "s", "q", "e"), "exclude_status": (), "min_tags_per_image": 0}


def block(ids, tags=None, ratings="g", status=0, **more):
    """A block of posts; tags: a list of tag ids for each."""
    tags = tags or [[] for _ in ids]
    offsets = np.concatenate([[0], np.cumsum([len(row) for row in tags])])
    letters = np.array([ord(letter) for letter in (ratings * len(ids))[: len(ids)]])
    return PostBlock(
        np.array(ids),
        letters,
        np.broadcast_to(status, len(ids)),
        offsets,
        np.array(sum(tags, []), np.int64),
        **more,
    )


def tags_of(*rows):
    return pd.DataFrame(rows, columns=["tag_id", "name", "category", "count"])


def test_candidates_pass_category_and_count_and_only_rare_ones_are_listed():
    tags = tags_of((5, "a", 0, 300), (2, "b", 4, 200), (3, "c", 0, 199), (4, "d", 5, 900))
    frame, steps, dropped = selection.candidate_tags(tags, Definition("x", min_tag_count=200))
    assert frame["name"].tolist() == ["b", "a"]  # by id
    assert [(step["rule"], step["before"], step["after"]) for step in steps] == [
        ("categories", 4, 3), ("min_tag_count", 3, 2)
    ]  # fmt: skip
    assert dropped[["name", "rule"]].to_numpy().tolist() == [["c", "min_tag_count"]]


def test_named_tags_are_left_out_or_are_all_there_is():
    tags = tags_of((5, "a", 0, 300), (2, "b", 4, 2), (3, "c", 0, 199), (4, "d", 5, 900))
    frame, steps, dropped = selection.candidate_tags(
        tags, Definition("x", min_tag_count=100, exclude_tags=("a", "z"))
    )
    assert frame["name"].tolist() == ["c"]
    assert [(step["rule"], step["before"], step["after"]) for step in steps] == [
        ("exclude_tags", 4, 3), ("categories", 3, 2), ("min_tag_count", 2, 1)
    ]  # fmt: skip
    assert dropped[["name", "rule"]].to_numpy().tolist() == [["a", "exclude_tags"], ["b", "min_tag_count"]]
    definition = Definition("x", exclude_tags=("a",), include_tags=("a", "b", "d"))
    frame, steps, _ = selection.candidate_tags(tags, definition)
    assert frame["name"].tolist() == ["b", "d"]  # however rare, of any category
    assert [step["rule"] for step in steps] == ["exclude_tags", "include_tags"]
    passed, steps, dropped = selection.select_tags(frame, np.array([1, 0]), 5, 5, definition)
    assert passed.tolist() == [True, False]
    assert dropped["rule"].tolist() == ["on no kept image"]


def test_a_post_counts_for_the_first_rule_that_excludes_it():
    definition = Definition("x", ratings=("s",), exclude_status=("banned", "deleted"), min_tags_per_image=1,
                            splits={"train": (0, 99)})  # fmt: skip
    status = np.array([0, 3, 1, 2, 0, 0, 0, 0])
    posts = block(
        [1, 2, 3, 4, 500, 6, 7, 8], [[9], [9], [9], [9], [9], [9], [8], [9, 10]], "gsssssss", status
    )
    rules = PostFilter(definition, np.array([9, 10]), lambda ids, keys: np.where(ids == 6, -1, ids * 10))
    passed = rules.select(posts)
    assert passed.ids.tolist() == [8]
    assert (
        passed.files.tolist(),
        passed.sizes.tolist(),
        passed.tag_rows.tolist(),
    ) == ([80], [2], [0, 1])
    assert dict(rules.excluded) == {
        "rating not s": 1, "status banned": 2, "status deleted": 1, "id in no split": 1, "file missing": 1,
        "fewer than 1 tag": 1,
    }  # fmt: skip
    assert np.concatenate(rules.missing).tolist() == [6]
    assert rules.num_posts == 8


def test_unrated_posts_pass_where_the_source_has_no_ratings():
    posts = block([1, 2], ratings="\0g")
    for keep_unrated, expected in ((False, [2]), (True, [1, 2])):
        passed = PostFilter(Definition("x", **EVERYTHING), np.zeros(0, np.int64), None, keep_unrated).select(
            posts
        )
        assert passed.ids.tolist() == expected


def test_posts_that_have_their_paths_need_no_lookup():
    passed = PostFilter(Definition("x", **EVERYTHING), np.array([7])).select(
        block([3, 4], [[], [7]], paths=["a", "b"])
    )
    assert passed.where(np.array([False, True])).paths.to_pylist() == ["b"]


def test_only_passed_decide_on_a_groups_first_split():
    groups = pd.DataFrame({"group": [1, 1, 1, 2], "post_id": [10, 20, 30, 20]})
    everything = selection.duplicates_of_earlier_splits(groups, np.array([10, 20, 30]), np.array([0, 1, 2]))
    assert everything.tolist() == [20, 30]
    assert selection.duplicates_of_earlier_splits(groups, np.array([20, 30]), np.array([1, 2])).tolist() == [
        30
    ]


@pytest.mark.parametrize("seed", range(20))
def test_splits_never_share_a_group(seed):
    random = np.random.default_rng(seed)
    ids = random.choice(10_000, 300, replace=False)
    splits = random.integers(0, 3, 300).astype(np.int8)
    others = np.arange(10_000, 10_050)  # posts that no split took
    members = np.concatenate([random.choice(ids, 200, replace=False), others])
    groups = pd.DataFrame({"group": random.integers(0, 60, 250), "post_id": members})
    duplicates = selection.duplicates_of_earlier_splits(groups, ids, splits)
    split_of = dict(zip(ids.tolist(), splits.tolist(), strict=True))
    for _, members in groups.groupby("group")["post_id"]:
        present = [number for number in members if number in split_of]
        splits_left = {split_of[number] for number in present if number not in duplicates}
        assert splits_left == ({min(split_of[number] for number in present)} if present else set())


def selected(*rows, ratings="g"):
    """Selected posts, given by the candidate rows of each."""
    count, sizes = len(rows), np.array([len(row) for row in rows], np.int32)
    letters = np.array([ord(letter) for letter in (ratings * count)[:count]], np.uint8)
    zeros = np.zeros(count, np.int64)
    return SelectedPosts(
        np.arange(count), zeros.astype(np.int8), letters, zeros, sizes, np.array(sum(rows, []), int)
    )


def test_images_are_counted_over_all_blocks():
    blocks = [selected([0, 2], [2]), selected([], [1, 2])]
    assert selection.count_images(blocks, 4).tolist() == [1, 1, 3, 0]


def test_tags_are_dropped_by_the_first_rule_and_ties_go_to_the_count_then_the_id():
    frame = tags_of((1, "a", 0, 10), (2, "b", 0, 20), (3, "c", 0, 20), (4, "d", 0, 90), (5, "e", 0, 9))
    definition = Definition("x", min_tag_images=5, min_tag_share=0.5, max_tags=1)
    images = np.array([8, 8, 8, 30, 4])
    passed, steps, dropped = selection.select_tags(frame, images, 80, 100, definition)
    assert frame["name"][passed].tolist() == ["b"]
    assert dict(zip(dropped["name"], dropped["rule"], strict=True)) == {
        "a": "max_tags", "c": "max_tags", "d": "min_tag_share", "e": "min_tag_images"
    }  # fmt: skip
    assert dropped["images"].tolist() == [8, 8, 30, 4]
    assert [step["after"] for step in steps] == [4, 3, 1]


def test_labels_are_rows_of_the_ordered_list_and_ratings_come_first():
    frame = tags_of((1, "few", 0, 5), (2, "gone", 0, 9), (3, "many", 0, 50), (4, "saber", 4, 99))
    ratings, names = selection.rating_tags({"g": 3, "e": 1})
    tags, labels = selection.final_tag_list(frame, np.array([True, False, True, True]), ratings)
    assert tags["name"].tolist() == [*tag_list.RATINGS, "many", "few", "saber"]
    assert labels.tolist() == [5, -1, 4, 6]
    assert ratings["count"].tolist() == [3, 0, 0, 1]
    rating_labels = {code: tag_list.RATINGS.index(name) for code, name in names.items()}
    offsets, values = selection.label_indexes(
        selected([0, 1, 2], [], [3], ratings="gse"), labels, rating_labels
    )
    assert [part.tolist() for part in np.split(values, offsets[1:-1])] == [[0, 4, 5], [1], [3, 6]]
    clash = tags_of((selection.FIRST_RATING_ID, "x", 0, 1))
    with pytest.raises(UserError, match=r"ids of the four ratings: x \(9999999\)\. .*exclude_tags"):
        selection.final_tag_list(clash, np.array([True]), ratings)


def test_ratings_need_letters_that_say_which_is_which():
    with pytest.raises(UserError, match="no post of the source has a rating"):
        selection.rating_tags({})
    with pytest.raises(UserError, match="the source has e q s, as boorus had before April 2022"):
        selection.rating_tags({"s": 5, "q": 2, "e": 1})
    frame, names = selection.rating_tags(
        {"s": 5, "q": 2, "e": 1}, {"s": "general", "q": "explicit", "e": "explicit"}
    )
    assert dict(zip(frame["name"], frame["count"], strict=True)) == {
        "general": 5, "sensitive": 0, "questionable": 0, "explicit": 3
    }  # fmt: skip
    assert names == {ord("s"): "general", ord("S"): "general", ord("q"): "explicit", ord("e"): "explicit"}
