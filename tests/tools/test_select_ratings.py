"""Ratings and categories of other alphabets and boorus through tools/select_tags.py."""

import json
import sqlite3

import pytest
from helpers import small_booru, write_definition
from helpers.selections import change, posts, words, write_posts

from tools import select_tags
from Utils.tags import tag_categories, tag_list


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
    assert tag_categories.names_of(frame) == {5: "species", 7: "meta", 8: "lore"}


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
        known = tag_categories.names_of(frame)
        assert {code: tag_categories.name_of(code, known) for code in (5, 7)} == names
        rows = [{"category": 5, "name": "species"}, {"category": 7, "name": "meta"}]
        is_last = (tmp_path / "categories.json").exists()
        rows = [{"category": 5, "name": "meta"}] if is_last else rows
        (tmp_path / "categories.json").write_text(json.dumps(rows))
