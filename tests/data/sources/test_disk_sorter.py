"""Utils/data/sources/disk_sorter.py: posts in any order come back by id, the first of each id."""

import numpy as np
import pytest

from Utils.data.sources import disk_sorter, stream
from Utils.data.sources.danbooru_post import Post
from Utils.data.sources.disk_sorter import DiskSorter


def posts_of(source):
    """``{post id: (rating, status, key, tag names)}`` in the order of the source."""
    names = dict(zip(source.tags["tag_id"], source.tags["name"], strict=True))
    posts = {}
    for block in source.blocks():
        lists = np.split(block.tag_ids, block.offsets[1:-1])
        for row, post_id in enumerate(block.ids.tolist()):
            values = chr(block.ratings[row]), int(block.status[row]), int(block.keys[row])
            posts[post_id] = (*values, {names[tag] for tag in lists[row].tolist()})
    return posts


@pytest.mark.parametrize("block_size", [1, 4, 1000])
def test_posts_come_back_sorted_whatever_the_blocks(monkeypatch, block_size):
    monkeypatch.setattr(stream, "BLOCK_SIZE", block_size)
    random, sorter, expected = np.random.default_rng(0), DiskSorter(), {}
    for post_id in random.permutation(50).tolist():
        names = [f"tag_{tag}" for tag in random.integers(0, 9, random.integers(0, 6))]
        expected[post_id] = ("gsqe"[post_id % 4], post_id % 32, post_id * 11, set(names))
        sorter.add(
            Post(post_id, "gsqe"[post_id % 4], post_id % 32, [(names, 0, None)], (post_id * 11, 0, 0, 0))
        )
    source = sorter.finish("test", "here")
    posts = posts_of(source)
    assert list(posts) == sorted(expected)
    assert posts == expected
    assert posts_of(source) == expected  # a second pass
    counts = {name: sum(name in post[3] for post in expected.values()) for name in source.tags["name"]}
    assert dict(zip(source.tags["name"], source.tags["count"], strict=True)) == counts
    assert source.rating_counts() == {
        letter: sum(p[0] == letter for p in expected.values()) for letter in "gsqe"
    }


def test_of_two_posts_with_one_id_the_first_counts():
    sorter = DiskSorter()
    for name in ("a", "b"):
        sorter.add(Post(5, "s", 0, [([name], 0, None)]))
    source = sorter.finish("test", "here")
    assert posts_of(source) == {5: ("s", 0, 0, {"a"})}
    assert source.tags.set_index("name")["count"].to_dict() == {"a": 1, "b": 0}
    assert source.rejected == ((5, "post 5 again", "post id given twice"),)


def test_rejected_records_are_counted_and_the_first_are_named(monkeypatch):
    monkeypatch.setattr(disk_sorter, "_MAX_LISTED", 2)
    sorter = DiskSorter()
    assert sorter.add_record({"id": 1, "tags": "a"}, "line 1") is None
    reasons = [sorter.add_record({"id": post_id}, f"line {post_id}") for post_id in (2, 3, 4)]
    assert reasons == ["no tags"] * 3
    assert (len(sorter), sorter.num_rejected) == (1, 3)
    assert sorter.finish("test", "here").rejected == ((2, "line 2", "no tags"), (3, "line 3", "no tags"))


def test_tags_without_a_category_of_records_with_categories_are_said():
    sorter = DiskSorter()
    for post_id in range(3):
        sorter.add_record({"id": post_id, "tags": f"a b{post_id} c", "tags_general": "a c"}, "line")
    note = sorter.finish("test", "here").notes[-1]
    assert note.startswith("3 posts have tags that no field of a category lists, such as b0, b1, b2; these")


def test_names_of_files_are_shown_without_control_characters():
    sorter = DiskSorter()
    sorter.add_record({"file_name": "a\0\x1b[31m\n\u00e9.jpg", "tags": "a"}, "line 1")
    source = sorter.finish("test", "here")
    shown = "a\\x00\\x1b[31m\\n\u00e9.jpg"
    assert source.file_name == shown
    ids = [int(post) for block in source.blocks() for post in block.ids]
    assert source.names_of(set(ids)) == {ids[0]: shown}
    assert source.names_of({1}) == {}


def test_ratings_that_are_none_are_counted_and_said():
    sorter = DiskSorter()
    for post_id, rating in enumerate(["x", "NSFW ", "x", 5, "18+", "q", "Safe", "", None, " "]):
        sorter.add_record({"id": post_id, "tags": "a", "rating": rating}, f"line {post_id}")
    sorter.add_record({"id": 20, "tags": ["a", "rating:r18"]}, "line 20")
    sorter.add_record({"id": 21, "tags": ["a", "rating:s"], "rating": "?"}, "line 21")
    source = sorter.finish("test", "here")
    assert source.rating_counts() == {"q": 1, "S": 1, "s": 1}
    assert [note for note in source.notes if "rating" in note] == [
        "unrated: 6 posts with a rating that is not known, such as 'x', 'NSFW', '5'; known are "
        "g, s, q, e, safe, general, sensitive, questionable, explicit"
    ]


def test_a_source_without_posts():
    source = DiskSorter().finish("test", "here")
    assert (list(source.blocks()), source.num_posts, len(source.tags)) == ([], 0, 0)


def test_names_in_two_categories_are_said(capsys):
    sorter = DiskSorter()
    for post_id, category in ((1, 3), (2, 4)):
        sorter.add(Post(post_id, "g", 0, [(["mari"], category, None)]))
    sorter.finish("test", "posts.jsonl")
    warning = (
        "warning: posts.jsonl: names in more than one category, each of them one tag: 'mari' (copyright, "
    )
    assert capsys.readouterr().err == f"{warning}character: counted as copyright)\n"
