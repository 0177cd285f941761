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

from tools import select_tags
from Utils.data.definition import SPLITS, Definition
from Utils.data.sources import stream
from Utils.data.split_list import split_rule
from Utils.images import image_folder
from Utils.tags import tag_list


def words(folder, output="dataset", **changes):
    options = {
        "definition": folder / "definition.toml", "--source": "fire-eggs", "--from": folder / "danbooru.db",
        "--images": folder / "images", "-o": folder / output,
    }  # fmt: skip
    options |= changes
    first = options.pop("definition")
    return [str(first), *(str(word) for pair in options.items() for word in pair)]


def change(folder, *statements):
    connection = sqlite3.connect(folder / "danbooru.db")
    for statement in statements:
        connection.execute(statement)
    connection.commit()
    connection.close()


def posts(folder):
    return pq.read_table(folder / "posts.parquet").to_pandas()


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
        "fewer than 1 tags": 1 + none,
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


def test_ratings_as_labels_come_first_in_their_order(tmp_path):
    folder = small_booru(tmp_path)
    change(folder, "UPDATE images SET rating = 'q' WHERE rating = 's' AND image_id < 40000")
    write_definition(folder, ratings=["g", "q", "s"], ratings_as_labels=True, max_tags=3)
    assert select_tags.main(words(folder)) == 0
    frame = tag_list.read(folder / "dataset" / "selected_tags.csv")
    assert frame["name"][:4].tolist() == ["general", "sensitive", "questionable", "explicit"]
    assert frame["tag_id"][:4].tolist() == [9999999, 9999998, 9999997, 9999996]
    assert frame["category"].tolist()[:5] == [9, 9, 9, 9, 0]
    assert len(frame) == 7
    connection = sqlite3.connect(folder / "danbooru.db")
    letters = dict(connection.execute("SELECT image_id, rating FROM images"))
    connection.close()
    assert all(
        "gsqe"[row.label_indexes[0]] == letters[row.post_id] for row in posts(folder / "dataset").itertuples()
    )
    assert all((row.label_indexes[1:] >= 4).all() for row in posts(folder / "dataset").itertuples())
    assert frame["count"][:4].tolist() == [list(letters.values()).count(letter) for letter in "gsqe"]


def test_three_letters_need_a_map(tmp_path, capsys):
    folder = small_booru(tmp_path)
    change(folder, "UPDATE images SET rating = 'q' WHERE rating = 'g'")
    write_definition(folder, ratings=["s", "q"], ratings_as_labels=True)
    assert select_tags.main(words(folder)) == 2
    assert "ratings_map" in capsys.readouterr().err
    assert not (folder / "dataset").exists()
    letters = {"s": "general", "q": "questionable", "e": "explicit"}
    write_definition(folder, ratings=["s", "q"], ratings_as_labels=True, ratings_map=letters)
    assert select_tags.main(words(folder)) == 0
    assert {int(labels[0]) for labels in posts(folder / "dataset")["label_indexes"]} == {0, 2}


def write_posts(folder, ratings, tags="1girl solo"):
    """Posts as JSON lines whose ratings these are, with pictures; ids of all three splits."""
    (folder / "images").mkdir(parents=True)
    lines = []
    for post_id, rating in zip((1, 2, 3, 901, 902, 951), ratings, strict=True):
        (folder / "images" / f"{post_id}.jpg").write_bytes(jpeg(post_id, 32))
        lines.append(json.dumps({"id": post_id, "rating": rating, "tags": tags}))
    (folder / "posts.jsonl").write_text("\n".join(lines) + "\n")
    source = ["--source", "jsonl", "--from", str(folder / "posts.jsonl"), "--images", str(folder / "images")]
    return [str(folder / "definition.toml"), *source, "-o", str(folder / "dataset")]


MIXED = ("general", "safe", "safe", "general", "sensitive", "safe")


@pytest.mark.reliability(
    "The rating safe beside general or sensitive", "refused until ratings_map says what it is"
)
@pytest.mark.parametrize(
    "definition", [{"ratings": ["g", "s"], "ratings_as_labels": True}, {"ratings": ["s"]}]
)
def test_two_alphabets_of_ratings_are_not_mixed(tmp_path, capsys, definition):
    command = write_posts(tmp_path, MIXED)
    write_definition(tmp_path, **definition)
    assert select_tags.main(command) == 2
    assert "ratings_map = {safe =" in capsys.readouterr().err
    assert not (tmp_path / "dataset").exists()


def test_a_ratings_map_decides_the_meaning_of_safe(tmp_path):
    command = write_posts(tmp_path, MIXED)
    write_definition(
        tmp_path, ratings=["g", "s"], ratings_as_labels=True, ratings_map={"safe": "general"},
        splits={"train": [0, 999]},
    )  # fmt: skip
    assert select_tags.main(command) == 0
    table = posts(tmp_path / "dataset")
    labels = {row.post_id: int(row.label_indexes[0]) for row in table.itertuples()}
    assert labels == {1: 0, 2: 0, 3: 0, 901: 0, 902: 1, 951: 0}
    write_definition(tmp_path, ratings=["s"], ratings_map={"safe": "general"}, splits={"train": [0, 999]})
    assert select_tags.main([*command, "--overwrite"]) == 0
    assert posts(tmp_path / "dataset")["post_id"].tolist() == [902]


def test_the_word_safe_alone_means_the_letter_s(tmp_path):
    command = write_posts(tmp_path, ("safe", "questionable", "Safe", "safe", "e", "safe"))
    write_definition(tmp_path, ratings=["s"])
    assert select_tags.main(command) == 0
    assert posts(tmp_path / "dataset")["post_id"].tolist() == [1, 3, 901, 951]


def test_all_ratings_kept_need_no_map(tmp_path):
    command = write_posts(tmp_path, MIXED)
    write_definition(tmp_path, ratings=["g", "s", "q", "e"])
    assert select_tags.main(command) == 0
    assert len(posts(tmp_path / "dataset")) == 6


@pytest.mark.parametrize("rating", ["safe", "Safe", "s"])
def test_a_database_tells_the_word_safe_from_the_letter(tmp_path, capsys, rating):
    folder = small_booru(tmp_path)
    change(folder, f"UPDATE images SET rating = '{rating}' WHERE rating = 's'")
    write_definition(folder, ratings=["s"])
    assert select_tags.main(words(folder)) == (0 if rating == "s" else 2)
    assert ("ratings_map" in capsys.readouterr().err) == (rating != "s")


@pytest.mark.reliability("Categories of another booru, by name", "kept under their names, never general")
def test_categories_of_another_booru_keep_their_names(tmp_path, capsys):
    tags = {"general": ["solo"], "species": ["canine"], "lore": ["old"], "studio": ["big"], "meta": ["hires"]}
    command = write_posts(tmp_path, "gggggg", tags)
    write_definition(tmp_path, categories=[0, "meta", 8, "species"])
    assert select_tags.main([*command, "--json"]) == 0
    expected = {"general": 1, "species": 1, "meta": 1, "lore": 1}
    assert json.loads(capsys.readouterr().out)["categories"] == expected
    frame = tag_list.read(tmp_path / "dataset" / "selected_tags.csv")
    assert frame["name"].tolist() == ["solo", "canine", "hires", "old"]
    assert frame["category"].tolist() == [0, 5, 7, 8]  # as e621 numbers them
    assert tag_list.category_names(frame) == {5: "species", 7: "meta", 8: "lore"}


def test_a_tag_export_keeps_codes_and_its_categories_json_names_them(tmp_path):
    command = write_posts(tmp_path, "gggggg", "solo canine hires")
    (tmp_path / "tags.csv").write_text("name,category\nsolo,0\ncanine,5\nhires,7\n")
    write_definition(tmp_path, categories=[0, 5, 7])
    words = [*command, "--tags", str(tmp_path / "tags.csv"), "--overwrite"]
    # Without names 7 tells that the codes are e621's; a categories.json may say otherwise.
    for names in ({5: "species", 7: "meta"}, {5: "species", 7: "meta"}, {5: "meta", 7: "category 7"}):
        assert select_tags.main(words) == 0
        frame = tag_list.read(tmp_path / "dataset" / "selected_tags.csv")
        assert frame["category"].tolist() == [0, 5, 7]
        known = tag_list.category_names(frame)
        assert {code: tag_list.category_name(code, known) for code in (5, 7)} == names
        rows = [{"category": 5, "name": "species"}, {"category": 7, "name": "meta"}]
        is_last = (tmp_path / "categories.json").exists()
        rows = [{"category": 5, "name": "meta"}] if is_last else rows
        (tmp_path / "categories.json").write_text(json.dumps(rows))


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


def test_groups_stay_in_their_first_split(tmp_path):
    folder = small_booru(tmp_path, ids=[1, 2, 901, 951, 902, 952, 3, 953], num_tags=8)
    groups = [("a", 1), ("a", 951), ("b", 952), ("b", 902), ("c", 901), ("c", 901), ("d", 953), ("d", 777)]
    rows = "".join(f"{group},{number},x,0,\n" for group, number in groups)
    (folder / "groups.csv").write_text("group,post_id,path,distance,parent_id\n" + rows)
    assert select_tags.main([*words(folder), "--groups", str(folder / "groups.csv")]) == 0
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
    assert "holds 1 folders and 2 .png files such as a/cat.png, 1 .txt files such as a/x.txt" in error
    assert not (folder / "dataset").exists()


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"ratings": ["e"]}, "no post is left of 20; left out by rating not e: 20"),
        ({"min_tags_per_image": 99}, "fewer than 99 tags: 20"),
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
