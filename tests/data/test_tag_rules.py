"""Utils/data/tag_rules.py: aliases, implications and deprecated tags against sets of names."""

import gzip
import json

import numpy as np
import pandas as pd
import pytest

from Utils.command.cli import UserError
from Utils.data import tag_rules
from Utils.data.sources.stream import PostBlock, Source
from Utils.data.tag_rules import TagRules
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
        "dress": 5, "red_dress": 2, "clothes": 1, "saber": 1, "hatsune_miku": 2, "red": 0
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
    after, steps, dropped = tag_rules.apply(before, tag_rules.read())
    assert after is before
    assert (steps, len(dropped)) == ([], 0)


def test_tag_ids_of_an_export_replace_ids_made_from_names():
    booru = source(["a", "b"], {1: ["a", "b"]})
    frame = booru.tags.assign(tag_id=[name_id("a"), 20]).sort_values("tag_id", ignore_index=True)
    rules = TagRules(tags={"a": (5, 3), "b": (6, 4)})
    changed, _, _ = tag_rules.apply(type(booru)(**{**vars(booru), "tags": frame}), rules)
    assert changed.tags.set_index("name")["tag_id"].to_dict() == {"a": 5, "b": 20}
    assert changed.tags.set_index("name")["category"].to_dict() == {"a": 3, "b": 4}


def test_implications_in_a_circle_end_and_aliases_in_a_circle_are_named():
    rules = TagRules(implications={"dress": ["clothes"], "clothes": ["dress"]})
    changed, _, _ = tag_rules.apply(source(), rules)
    assert set(named(changed)[2]) == {"dress", "clothes", "frock", "old"}
    with pytest.raises(UserError, match="in a circle: dress -> frock -> dress"):
        tag_rules.apply(source(), TagRules(aliases={"dress": "frock", "frock": "dress"}))


def test_exports_are_read_as_csv_and_as_json_lines(tmp_path):
    pairs = [("a", "b", "active"), ("c", "d", "deleted"), ("null", "e,f", "active"), ("g", "g", "active")]
    text = "id,antecedent_name,consequent_name,status\n"
    text += "".join(f'{row},{name},"{target}",{status}\n' for row, (name, target, status) in enumerate(pairs))
    (tmp_path / "a.csv").write_text("\ufeff" + text)
    lines = [
        {"antecedent_name": name, "consequent_name": target, "status": status}
        for name, target, status in pairs
    ]
    (tmp_path / "a.gz").write_bytes(gzip.compress("\n".join(map(json.dumps, lines)).encode()))
    for name in ("a.csv", "a.gz"):
        rules = tag_rules.read(aliases=tmp_path / name, implications=tmp_path / name)
        assert rules.aliases == {"a": "b", "null": "e,f"}
        assert rules.implications == {"a": ["b"], "null": ["e,f"]}
    (tmp_path / "t.csv").write_text("id,name,category,is_deprecated\n1,a,4,f\n,b,copyright,t\n")
    (tmp_path / "d.csv").write_text("name\nc\n")
    rules = tag_rules.read(tags=tmp_path / "t.csv", deprecated=tmp_path / "d.csv")
    assert rules.tags == {"a": (1, 4), "b": (None, 3)}
    assert rules.deprecated == {"b", "c"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("name\na\n", "row 1 has no antecedent_name and consequent_name"),
        ('{"antecedent_name": "a"}\n', "row 1 has no consequent_name"),
        ('{"antecedent_name": \n', "neither CSV nor JSON lines"),
        ("antecedent_name,consequent_name\na\n", "line 2 has 1 cells"),
        (b"\xff\xfe", "neither CSV nor JSON lines"),
        (b"\x1f\x8bno gzip", "neither CSV nor JSON lines"),
    ],
)
def test_a_file_that_is_no_export_is_named(tmp_path, text, message):
    (tmp_path / "x").write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(UserError, match=message):
        tag_rules.read(aliases=tmp_path / "x")
