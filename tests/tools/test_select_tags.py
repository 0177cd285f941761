"""tools/select_tags.py: a booru becomes a dataset folder, held against plain queries and counts."""

import csv
import json
import sqlite3
import tomllib

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from helpers import jpeg, small_booru, write_definition
from helpers.selections import change, posts, words

from tools import select_tags
from Utils.data.definition import SPLITS, Definition
from Utils.data.sources import stream
from Utils.data.split_list import split_rule
from Utils.images import image_folder
from Utils.tags import tag_list


def rejected(folder):
    with (folder / "rejected.csv").open(newline="") as file:
        return {(int(row["post_id"]), row["path"]): row["reason"] for row in csv.DictReader(file)}


def truth(folder):
    """``{post id: names of its tags}`` by one query per post."""
    connection = sqlite3.connect(folder / "danbooru.db")
    query = "SELECT name FROM imageTags JOIN tags USING (tag_id) WHERE image_id = ?"
    ids = [number for (number,) in connection.execute("SELECT image_id FROM images")]
    tags_of_posts = {number: {name for (name,) in connection.execute(query, (number,))} for number in ids}
    connection.close()
    return tags_of_posts


def test_labels_are_the_tags_of_the_posts(tmp_path, capsys):
    folder = small_booru(tmp_path)
    assert select_tags.main([*words(folder), "--write-lists"]) == 0
    dataset, names = (
        posts(folder / "dataset"),
        tag_list.read(folder / "dataset" / "selected_tags.csv")["name"],
    )
    assert {row.post_id: set(names[row.label_indexes]) for row in dataset.itertuples()} == truth(folder)
    schema = pq.read_schema(folder / "dataset" / "posts.parquet")
    assert [str(field.type) for field in schema] == ["int64", "string", "string", "list<element: int32>"]
    assert schema.names == ["post_id", "split", "path", "label_indexes"]
    assert dataset["post_id"].is_monotonic_increasing
    assert all((folder / "images" / path).is_file() for path in dataset["path"])
    assert all((np.diff(labels) > 0).all() for labels in dataset["label_indexes"])
    rows = split_rule(Definition(name="x"))(dataset["post_id"].to_numpy())
    assert dataset["split"].tolist() == [SPLITS[row] for row in rows]
    for split, part in dataset.groupby("split"):
        assert (folder / "dataset" / f"{split}.txt").read_text().splitlines() == part["path"].tolist()
    assert "posts kept" in capsys.readouterr().out


def test_the_tag_list_is_in_the_contracts_order(tmp_path):
    folder = small_booru(tmp_path)
    assert select_tags.main(words(folder)) == 0
    frame = tag_list.read(folder / "dataset" / "selected_tags.csv")
    key = [
        ([9, 0, 3, 4].index(row.category), -row.count, row.tag_id)
        for row in frame.drop(columns="name").itertuples(index=False)
    ]
    assert key == sorted(key)
    manifest = json.loads((folder / "dataset" / "dataset.json").read_text())
    assert manifest["tags_sha256"] == tag_list.digest(frame)
    assert manifest["num_labels"] == len(frame)
    assert manifest["definition"]["min_tag_images"] == 2
    assert manifest["records"] is None


def test_every_reason_leaves_out_its_posts_and_is_counted(tmp_path, capsys):
    folder = small_booru(tmp_path, num_posts=50)
    ids = sorted(truth(folder))
    change(
        folder,
        f"UPDATE images SET rating = 'e' WHERE image_id IN ({ids[0]}, {ids[1]})",
        f"UPDATE images SET is_deleted = 1 WHERE image_id IN ({ids[1]}, {ids[2]})",
        f"UPDATE images SET hidden = 4, is_banned = 1 WHERE image_id = {ids[3]}",
        f"UPDATE images SET rating = NULL WHERE image_id = {ids[4]}",
        f"DELETE FROM imageTags WHERE image_id = {ids[5]}",
    )
    write_definition(folder, min_tags_per_image=1, splits={"train": [0, 899], "validation": [900, 998]})
    folders_of = {number: folder / "images" / image_folder.bucket_path(number) for number in ids}
    folders_of[ids[6]].unlink()
    assert select_tags.main(words(folder)) == 0
    steps = json.loads((folder / "dataset" / "dataset.json").read_text())["selection"]["posts"]
    excluded = {
        step["rule"]: step["before"] - step["after"] for step in steps if step["before"] != step["after"]
    }
    unsplit = sum(number % 1000 == 999 for number in ids[7:])
    none = sum(
        not names for number, names in truth(folder).items() if number in ids[7:] and number % 1000 != 999
    )
    assert excluded == {
        "rating not g s": 3, "status deleted": 1, "status banned": 1, "file missing": 1,
        "fewer than 1 tag": 1 + none,
    } | ({"id in no split": unsplit} if unsplit else {})  # fmt: skip
    assert steps[0]["before"] == 50
    assert steps[-1]["after"] == len(posts(folder / "dataset"))
    assert not set(posts(folder / "dataset")["post_id"]) & set(ids[:7])
    assert rejected(folder / "dataset") == {(ids[6], image_folder.bucket_path(ids[6])): "file missing"}
    assert "file missing                                        -1" in capsys.readouterr().out


def test_the_rules_for_tags_against_a_plain_count(tmp_path):
    """Each rule once, in the contract's order, against sets of names."""
    folder = small_booru(tmp_path, num_posts=80, num_tags=16)
    change(
        folder,
        "UPDATE tags SET count = count * 9 WHERE tag_id = 3",
        "UPDATE tags SET category = 1 WHERE tag_id = 5",
    )
    write_definition(
        folder,
        ratings=["g"],
        min_tag_count=9,
        min_tag_images=3,
        min_tag_share=0.6,
        max_tags=6,
        min_tags_per_image=3,
    )
    assert select_tags.main(words(folder)) == 0
    connection = sqlite3.connect(folder / "danbooru.db")
    rows = connection.execute("SELECT name, tag_id, category, count FROM tags").fetchall()
    safe = {number for (number,) in connection.execute("SELECT image_id FROM images WHERE rating = 'g'")}
    connection.close()
    first = {name for name, _, category, count in rows if category in (0, 3, 4) and count >= 9}
    selected = {
        number: names & first
        for number, names in truth(folder).items()
        if number in safe and len(names & first) >= 3
    }
    images = {name: sum(name in names for names in selected.values()) for name in first}
    counts = {name: (count, tag_id) for name, tag_id, _, count in rows}
    passed = [n for n in first if images[n] >= 3 and images[n] >= 0.6 * counts[n][0] * len(selected) / 80]
    passed.sort(key=lambda name: (-images[name], -counts[name][0], counts[name][1]))
    frame = tag_list.read(folder / "dataset" / "selected_tags.csv")
    assert set(frame["name"]) == set(passed[:6])
    assert "tag_3" not in passed
    assert len(first) < 15
    assert len(passed) > 6
    assert set(posts(folder / "dataset")["post_id"]) == set(selected)
    steps = json.loads((folder / "dataset" / "dataset.json").read_text())["selection"]["tags"]
    assert [step["rule"] for step in steps] == [
        "categories",
        "min_tag_count",
        "min_tag_images",
        "min_tag_share",
        "max_tags",
    ]
    assert steps[1]["after"] == len(first)
    assert steps[-1] == {"rule": "max_tags", "before": len(passed), "after": 6}


@pytest.mark.reliability("A split that would end empty", "refused before any work is written, with advice")
@pytest.mark.parametrize("count", [30, 5, 3])
def test_an_empty_split_is_refused_with_splits_that_fit(tmp_path, capsys, count):
    folder = small_booru(tmp_path, ids=range(1, 1 + count), num_tags=8)
    write_definition(folder)
    assert select_tags.main(words(folder)) == 2
    error = capsys.readouterr().err
    assert "no post falls into test and validation" in error
    assert not (folder / "dataset").exists()
    advice = tomllib.loads(error.partition("do: ")[2])["splits"]
    write_definition(folder, splits=advice)
    assert select_tags.main(words(folder)) == 0
    counts = posts(folder / "dataset")["split"].value_counts()
    assert set(counts.index) == {"train", "test", "validation"}
    assert counts["train"] == counts.max()


def test_too_few_posts_for_the_splits_are_refused(tmp_path, capsys):
    folder = small_booru(tmp_path, ids=[1, 1001, 2], num_tags=8)
    write_definition(folder)
    assert select_tags.main(words(folder)) == 2
    assert "Leave the empty ones out" in capsys.readouterr().err


def test_groups_of_other_pictures_are_told(tmp_path, capsys):
    folder = small_booru(tmp_path, num_posts=30)
    (folder / "groups.csv").write_text("group,post_id\n1,7000001\n1,7000002\n")
    assert select_tags.main([*words(folder), "--groups", str(folder / "groups.csv")]) == 0
    assert "none of the 2 posts of" in capsys.readouterr().out


def test_groups_stay_in_their_first_split(tmp_path, capsys):
    folder = small_booru(tmp_path, ids=[1, 2, 901, 951, 902, 952, 3, 953], num_tags=8)
    groups = [("a", 1), ("a", 951), ("b", 952), ("b", 902), ("c", 901), ("c", 901), ("d", 953), ("d", 777)]
    rows = "".join(f"{group},{number},x,0,\n" for group, number in groups)
    (folder / "groups.csv").write_text("group,post_id,path,distance,parent_id\n" + rows)
    assert select_tags.main([*words(folder), "--groups", str(folder / "groups.csv")]) == 0
    assert "keeps nothing together" not in capsys.readouterr().out
    assert posts(folder / "dataset")["post_id"].tolist() == [1, 2, 3, 901, 952, 953]
    steps = json.loads((folder / "dataset" / "dataset.json").read_text())["selection"]["posts"]
    assert steps[-1] == {"rule": "near-duplicate in an earlier split", "before": 8, "after": 6}


def test_no_image_says_what_was_looked_for_and_what_is_there(tmp_path, capsys):
    folder = small_booru(tmp_path, num_posts=9)
    other = tmp_path / "other" / "a"
    other.mkdir(parents=True)
    for name in ("cat.png", "dog.png", "x.txt"):
        (other / name).touch()
    assert select_tags.main(words(folder, **{"--images": tmp_path / "other"})) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: no image found: looked for ")
    assert "other/0001/1.jpg" in error
    assert "for 9 posts" in error
    assert "holds 1 folder and 2 .png files such as a/cat.png, 1 .txt file such as a/x.txt" in error
    assert not (folder / "dataset").exists()


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (
            {"ratings": ["e"]},
            "no post is left of 20; left out by rating not e: 20. ratings of a definition decides "
            "that; the posts have g 10, s 10",
        ),
        (
            {"min_tags_per_image": 99},
            "fewer than 99 tags: 20. min_tags_per_image of a definition decides that",
        ),
        ({"min_tag_count": 9999}, "no post is left"),
        ({"min_tag_images": 999}, "no tag is left: min_tag_images = 999 passes none of"),
        ({"categories": ["meta"], "min_tags_per_image": 0}, "categories = ('meta',) passes none of 12 tags"),
        ({"image_sizes": 3}, "did you mean image_size"),
    ],
)
def test_an_empty_selection_names_the_rule_that_emptied_it(tmp_path, capsys, values, message):
    folder = small_booru(tmp_path, num_posts=20)
    write_definition(folder, **({"min_tags_per_image": 1} | values))
    assert select_tags.main(words(folder)) == 2
    assert message in capsys.readouterr().err


def test_existing_output_is_kept(tmp_path, capsys):
    folder = small_booru(tmp_path, num_posts=20)
    assert select_tags.main(words(folder)) == 0
    before = {path.name: path.read_bytes() for path in (folder / "dataset").iterdir()}
    assert select_tags.main(words(folder)) == 2
    assert "--overwrite" in capsys.readouterr().err
    assert select_tags.main([*words(folder), "--overwrite"]) == 0
    assert {path.name: path.read_bytes() for path in (folder / "dataset").iterdir()} == before
    assert sorted(path.name for path in folder.iterdir()) == [
        "danbooru.db",
        "dataset",
        "definition.toml",
        "images",
    ]


def test_sidecars_through_the_tool(tmp_path):
    for number, text in enumerate(["solo, hat", "hat, cat ears", "hat", ""]):
        (tmp_path / "p").mkdir(exist_ok=True)
        (tmp_path / "p" / f"pic {number}.jpg").write_bytes(jpeg(number, 32))
        (tmp_path / "p" / f"pic {number}.txt").write_text(text)
    (tmp_path / "p" / "bare.jpg").write_bytes(jpeg(9, 32))
    write_definition(tmp_path, splits={"train": [0, 999]}, ratings=["g"])
    source = {"--source": "sidecars", "--from": tmp_path / "p"}
    arguments = words(tmp_path, **source)
    at = arguments.index("--images")
    assert select_tags.main(arguments[:at] + arguments[at + 2 :]) == 0
    frame = tag_list.read(tmp_path / "dataset" / "selected_tags.csv")
    assert dict(zip(frame["name"], frame["count"], strict=True)) == {"hat": 3, "solo": 1, "cat_ears": 1}
    tags_of_files = {
        row.path: set(frame["name"][row.label_indexes]) for row in posts(tmp_path / "dataset").itertuples()
    }
    expected = {0: {"solo", "hat"}, 1: {"hat", "cat_ears"}, 2: {"hat"}, 3: set()}
    assert tags_of_files == {f"pic {number}.jpg": names for number, names in expected.items()}
    assert list(rejected(tmp_path / "dataset").values()) == ["no sidecar"]


def test_blocks_do_not_change_the_result(tmp_path, monkeypatch):
    folder = small_booru(tmp_path, num_posts=50)
    assert select_tags.main(words(folder)) == 0
    monkeypatch.setattr(stream, "BLOCK_SIZE", 7)
    assert select_tags.main(words(folder, "again")) == 0
    pd.testing.assert_frame_equal(posts(folder / "dataset"), posts(folder / "again"))
    for name in ("selected_tags.csv", "dataset.json", "rejected.csv"):
        assert (folder / "dataset" / name).read_bytes() == (folder / "again" / name).read_bytes()


def test_images_are_needed_for_a_database_and_groups_need_their_columns(tmp_path, capsys):
    folder = small_booru(tmp_path, num_posts=20)
    arguments = words(folder)
    at = arguments.index("--images")
    without = arguments[:at] + arguments[at + 2 :]
    assert select_tags.main([*without, "--overwrite"]) == 0  # the pictures beside the database
    (folder / "images").rename(tmp_path.parent / f"{tmp_path.name} elsewhere")
    assert select_tags.main([*without, "--overwrite"]) == 2
    assert "--images PLACE is needed" in capsys.readouterr().err
    (tmp_path.parent / f"{tmp_path.name} elsewhere").rename(folder / "images")
    (folder / "g.csv").write_text("a,b\n1,2\n")
    assert select_tags.main([*arguments, "--overwrite", "--groups", str(folder / "g.csv")]) == 2
    assert "lacks the column group and post_id" in capsys.readouterr().err
    assert select_tags.main([*arguments, "--overwrite", "--folder-tags"]) == 2
    assert "--folder-tags is for folders of pictures" in capsys.readouterr().err


def test_tag_rules_and_reports(tmp_path, capsys):
    folder = small_booru(tmp_path)
    (folder / "aliases.csv").write_text("antecedent_name,consequent_name\ntag_2,tag_1\n")
    (folder / "deprecated.csv").write_text("name\ntag_4\n")
    arguments = [
        str(folder / "definition.toml"),
        "--source",
        "fire-eggs",
        "--from",
        str(folder / "danbooru.db"),
    ]
    arguments += ["--images", str(folder / "images"), "-o", str(folder / "dataset"), "--json"]
    arguments += ["--aliases", str(folder / "aliases.csv"), "--deprecated", str(folder / "deprecated.csv")]
    assert select_tags.main(arguments) == 0
    summary = json.loads(capsys.readouterr().out)
    assert summary["tags"][:2] == [
        {"rule": "aliases", "before": 12, "after": 11}, {"rule": "deprecated", "before": 11, "after": 10}
    ]  # fmt: skip
    frame = tag_list.read(folder / "dataset" / "selected_tags.csv")
    assert summary["num_labels"] == len(frame)
    assert not {"tag_2", "tag_4"} & set(frame["name"])
    splits = pd.read_csv(folder / "dataset" / "tag_splits.csv")
    rows = pd.read_parquet(folder / "dataset" / "posts.parquet")
    for split in ("train", "validation", "test"):
        labels = np.concatenate([*rows["label_indexes"][rows["split"] == split], np.zeros(0, int)]).astype(
            int
        )
        assert splits[split].tolist() == np.bincount(labels, minlength=len(frame)).tolist()
    dropped = pd.read_csv(folder / "dataset" / "dropped_tags.csv")
    assert summary["dropped"] == dropped["rule"].value_counts().to_dict()
    assert set(dropped["name"]) == {f"tag_{t}" for t in range(1, 13)} - set(frame["name"])
    manifest = json.loads((folder / "dataset" / "dataset.json").read_text())
    assert manifest["made"]["select_tags"]["aliases"] == str(folder / "aliases.csv")
