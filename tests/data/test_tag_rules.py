"""Utils/data/tag_rules.py: aliases, implications and deprecated tags against sets of names."""

import numpy as np
import pandas as pd

from Utils.data import tag_exports, tag_rules
from Utils.data.sources.stream import PostBlock, Source
from Utils.data.tag_exports import TagRules
from Utils.tags.tag_list import name_id

NAMES = ["dress", "frock", "red_dress", "clothes", "old", "saber", "miku"]
POSTS = {1: ["frock"], 2: ["dress", "frock", "old"], 3: ["red_dress"], 4: [], 5: ["miku", "old"], 6: NAMES}


def source(names=NAMES, posts=POSTS):
    ids = {name: 10 * at + 10 for at, name in enumerate(names)}
    lists = [sorted(ids[name] for name in tags) for tags in posts.values()]
    counts = [sum(name in tags for tags in posts.values()) for name in names]
    frame = pd.DataFrame({"tag_id": ids.values(), "name": names, "category": 0, "count": counts})

    def blocks():
        for start in (0, 2):  # two blocks of other sizes
            part = lists[start : 2 if start == 0 else None]
            numbers = list(posts)[start : 2 if start == 0 else None]
            zeros = np.zeros(len(part), np.int64)
            offsets = np.concatenate([[0], np.cumsum([len(tags) for tags in part])])
            yield PostBlock(np.array(numbers), zeros, zeros, offsets, np.array(sum(part, []), np.int64))

    return Source("test", "here", frame.astype({"name": "str"}), len(posts), blocks, dict)


def named(changed):
    names = dict(zip(changed.tags["tag_id"], changed.tags["name"], strict=True))
    return {
        int(block.ids[i]): [names[tag] for tag in block.tag_ids[block.offsets[i] : block.offsets[i + 1]]]
        for block in changed.blocks()
        for i in range(len(block.ids))
    }


def test_rules_against_sets_of_names():
    rules = TagRules(
        aliases={"frock": "gown", "gown": "dress", "nothing": "dress", "miku": "hatsune_miku"},
        implications={
            "red_dress": ["dress", "red"],
            "gown": ["unreached"],
            "dress": ["clothes"],
            "red": ["color"],
        },
        deprecated=frozenset({"old", "color"}),
        tags={"saber": (77, 4), "red": (78, 0), "hatsune_miku": (79, 4)},
    )
    changed, steps, dropped = tag_rules.apply(source(), rules)
    expected = {
        1: {"dress", "clothes"}, 2: {"dress", "clothes"}, 3: {"red_dress", "dress", "red", "clothes"},
        4: set(), 5: {"hatsune_miku"}, 6: {"dress", "red_dress", "clothes", "red", "saber", "hatsune_miku"},
    }  # fmt: skip
    tags_of_posts = named(changed)
    assert {number: set(names) for number, names in tags_of_posts.items()} == expected
    assert all(len(set(names)) == len(names) for names in tags_of_posts.values())
    for block in changed.blocks():
        assert all((np.diff(part) > 0).all() for part in np.split(block.tag_ids, block.offsets[1:-1]))
    table = changed.tags.set_index("name")
    assert table["tag_id"].to_dict() == {
        "dress": 10, "red_dress": 30, "clothes": 40, "saber": 60, "hatsune_miku": 70, "red": 78
    }  # fmt: skip
    assert table["count"].to_dict() == {
        "dress": 5, "red_dress": 2, "clothes": 1, "saber": 1, "hatsune_miku": 2, "red": 2
    }  # fmt: skip
    assert table["category"][["saber", "hatsune_miku", "red"]].tolist() == [4, 4, 0]
    assert [(step["rule"], step["before"], step["after"]) for step in steps] == [
        ("aliases", 7, 5), ("implications", 5, 8), ("deprecated", 8, 6)
    ]  # fmt: skip
    assert dict(zip(dropped["name"], dropped["rule"], strict=True)) == {
        "frock": "aliases", "miku": "aliases", "old": "deprecated", "color": "deprecated"
    }  # fmt: skip


def test_without_rules_nothing_changes():
    before = source()
    after, steps, dropped = tag_rules.apply(before, tag_exports.read())
    assert after.blocks is before.blocks
    pd.testing.assert_frame_equal(after.tags, before.tags)
    assert (steps, len(dropped)) == ([], 0)


def test_tag_ids_of_an_export_replace_ids_made_from_names():
    booru = source(["a", "b"], {1: ["a", "b"]})
    frame = booru.tags.assign(tag_id=[name_id("a"), 20]).sort_values("tag_id", ignore_index=True)
    rules = TagRules(tags={"a": (5, 3), "b": (6, 4)})
    changed, _, _ = tag_rules.apply(type(booru)(**{**vars(booru), "tags": frame}), rules)
    assert changed.tags.set_index("name")["tag_id"].to_dict() == {"a": 5, "b": 20}
    assert changed.tags.set_index("name")["category"].to_dict() == {"a": 3, "b": 4}


def test_an_exported_id_of_another_tag_is_said(capsys):
    names = ["a", "b", "c", "d"]
    booru = source(names, {1: names})
    frame = booru.tags.assign(tag_id=[*map(name_id, "abc"), 40]).sort_values("tag_id", ignore_index=True)
    rules = TagRules(tags={"a": (5, 0), "b": (5, 0), "c": (40, 0)})
    changed, _, _ = tag_rules.apply(type(booru)(**{**vars(booru), "tags": frame}), rules)
    ids = changed.tags.set_index("name")["tag_id"].to_dict()
    assert ids == {"b": 5, "a": name_id("a"), "c": name_id("c"), "d": 40}
    error = capsys.readouterr().err
    assert "warning: 2 tags of the export of tags with the id of another tag, which get ids made" in error
    assert "'c' (40, the id of 'd')" in error
    assert "'a' (5, the id of 'b')" in error


def test_implications_in_a_circle_end():
    rules = TagRules(implications={"dress": ["clothes"], "clothes": ["dress"]})
    changed, _, _ = tag_rules.apply(source(), rules)
    assert set(named(changed)[2]) == {"dress", "clothes", "frock", "old"}


def test_aliases_in_a_circle_are_said_and_broken_at_the_newest(tmp_path, capsys):
    """The newest is the last row, where no date and no id tells."""
    (tmp_path / "a.csv").write_text("antecedent_name,consequent_name\ndress,frock\nfrock,dress\nmiku,saber\n")
    changed, _, _ = tag_rules.apply(source(), tag_exports.read(aliases=tmp_path / "a.csv"))
    assert set(named(changed)[6]) == set(NAMES) - {"dress", "miku"}
    error = capsys.readouterr().err
    assert (
        "aliases run in a circle: dress -> frock -> dress; the newest, frock -> dress, is left out" in error
    )
