"""Tag lists: their order, their files and how two of them match."""

import hashlib
import json

import numpy as np
import pandas as pd
import pytest
from helpers.tag_frames import FRAME, frame_of

from Utils.command.cli import UserError
from Utils.tags import tag_list


def test_order_is_ratings_general_copyright_character_by_count_then_id():
    expected = ["general", "sensitive", "1girl", "a", "b", "fate", "saber"]
    assert tag_list.ordered(FRAME)["name"].tolist() == expected
    assert tag_list.ordered(FRAME.sample(frac=1, random_state=1))["name"].tolist() == expected


def test_blocks_keep_the_order_of_equal_counts():
    """WD v3's list has holding_book (658950) before :p (15689), both of 34,251 posts."""
    assert tag_list.in_blocks(FRAME)["name"].tolist() == [
        "general", "sensitive", "1girl", "b", "a", "fate", "saber"
    ]  # fmt: skip
    assert tag_list.in_blocks(tag_list.ordered(FRAME)).equals(tag_list.ordered(FRAME))


@pytest.mark.reliability("a tag list with an accent in two Unicode forms", "one form; equal names are told")
def test_letters_are_composed_and_names_that_are_equal_then_are_told(tmp_path, capsys):
    (tmp_path / "t.csv").write_text("tag_id,name,category,count\n1,cafe\u0301,0,3\n2,hat,0,2\n")
    assert tag_list.read(tmp_path / "t.csv")["name"].tolist() == ["caf\u00e9", "hat"]
    assert capsys.readouterr().err == ""
    (tmp_path / "t.csv").write_text("tag_id,name,category,count\n1,cafe\u0301,0,3\n2,caf\u00e9,0,2\n")
    assert tag_list.read(tmp_path / "t.csv")["name"].tolist() == ["caf\u00e9"] * 2
    assert "'caf\u00e9' (line 2), 'caf\u00e9' (line 3)" in capsys.readouterr().err


def test_a_written_list_is_read_back_and_has_integers(tmp_path):
    frame = tag_list.ordered(FRAME).assign(best_threshold=0.25)
    tag_list.write(frame.astype({"tag_id": float, "count": float}), tmp_path / "t.csv")
    text = (tmp_path / "t.csv").read_text("utf-8")
    assert text.startswith("tag_id,name,category,count,best_threshold\n9999999,general,9,3,0.25\n")
    assert "\r" not in text
    pd.testing.assert_frame_equal(tag_list.read(tmp_path / "t.csv"), frame)


def test_odd_but_clear_cells_are_read(tmp_path):
    """Floats, a byte order mark, names that look like missing values, categories as names, empty cells."""
    path = tmp_path / "t.csv"
    text = """tag_id,name,category,count,note\r
9999999.0,null,rating,12.0,x\r\n5e2,"a,b",0.0,,\r\n\r\n,"q\"\"",4,1,y\r\n"""
    path.write_bytes(b"\xef\xbb\xbf" + text.encode())
    frame = tag_list.read(path)
    assert frame["tag_id"].tolist() == [9999999, 500, tag_list.name_id('q"')]
    assert frame["name"].tolist() == ["null", "a,b", 'q"']
    assert frame["category"].tolist() == [9, 0, 4]
    assert frame["count"].tolist() == [12, 0, 1]
    assert frame["note"].tolist() == ["x", "", "y"]
    assert frame[["tag_id", "category", "count"]].dtypes.eq(np.int64).all()


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("", "is empty"),
        ("tag_id,name,count\n1,a,2\n", "lacks the column category"),
        ("tag_id,name,category,count\n1,a,0,2\n1.5,b,0,2\n", "line 3: tag_id is '1.5'"),
        ("tag_id,name,category,count\n1,a,0,many\n", "line 2: count is 'many'"),
        (f"tag_id,name,category,count\n{10**20},a,0,2\n", "line 2: tag_id is '100000000000000000000'"),
        ("tag_id,name,category,count\n1,a,0,2\n3.57868E+15,b,0,2\n", "line 3: tag_id is '3.57868E+15', as"),
        ("tag_id,name,category,count\n1,,0,2\n", "line 2: the tag has no name"),
        ("tag_id,name,category,count\n1,a,-7,2\n", "line 2: unknown category '-7'"),
        ("tag_id,name,category,count\n1,a,caracter,2\n", "did you mean character"),
        ("tag_id;name;category;count\n1;a;0;2\n", "cells are parted by ';' there; save it with commas"),
        ("tag_id,name,name,category,count\n1,a,b,0,2\n", "names the column name more than once"),
        ("tag_id,name,category,count\n1,a,0,2,3,4,5\n1,a\n", "line 2 has 7 cells; the first line names 4"),
    ],
)
def test_errors_name_file_line_and_column(tmp_path, text, fault):
    path = tmp_path / "list.csv"
    path.write_text(text)
    with pytest.raises(UserError, match="list.csv") as error:
        tag_list.read(path)
    assert fault in str(error.value)


def test_columns_without_a_name_are_left_out(tmp_path):
    """A spreadsheet writes them where a cell was touched once, pandas for its index."""
    text = ",tag_id,name,category,count,,\n0,7,hat,0,5,,\n"
    (tmp_path / "selected_tags.csv").write_bytes(text.encode("utf-16"))
    frame = tag_list.read(tmp_path / "selected_tags.csv")
    assert frame.to_dict("records") == [{"tag_id": 7, "name": "hat", "category": 0, "count": 5}]


def test_a_missing_or_binary_file_is_an_error(tmp_path):
    with pytest.raises(UserError, match="found nothing"):
        tag_list.read(tmp_path / "no.csv")
    (tmp_path / "b.csv").write_bytes(b"tag_id,name\xff\xfe,category\n")
    with pytest.raises(UserError, match="UTF-8"):
        tag_list.read(tmp_path / "b.csv")


def test_the_digest_is_of_the_meaning_of_outputs():
    assert tag_list.digest(FRAME) == tag_list.digest(FRAME.assign(count=1))
    assert tag_list.digest(FRAME) != tag_list.digest(FRAME.iloc[::-1])
    assert tag_list.digest(FRAME) != tag_list.digest(FRAME.assign(category=0))
    assert tag_list.digest(FRAME[:1]) == hashlib.sha256(b"7\tb\t0\n").hexdigest()


def test_popularity_counts_down_and_ties_go_to_the_first_row():
    assert tag_list.popularity_ranks(FRAME).tolist() == [2, 5, 0, 6, 4, 3, 1]


def test_name_ids_are_known_and_survive_floats():
    assert tag_list.name_id("1girl") == int.from_bytes(hashlib.sha256(b"1girl").digest(), "big") >> 204
    assert all(int(float(tag_list.name_id(str(i)))) == tag_list.name_id(str(i)) for i in range(100))


def test_class_balanced_weights_go_from_inverse_counts_to_equal_ones():
    rare = tag_list.class_balanced_weights(np.array([1, 2, 4]), beta=1 - 1e-9)
    np.testing.assert_allclose(rare, np.array([1, 1 / 2, 1 / 4]) * 3 / 1.75, rtol=1e-6)
    np.testing.assert_allclose(tag_list.class_balanced_weights(np.array([1, 50, 900]), beta=0.0), 1)
    frame = pd.DataFrame({"tag_id": [1, 2], "name": ["a", "b"], "category": 0, "count": [0, 30_000]})
    effective = np.array([0.001, 1 - 0.999**30_000])
    expected = 2 / effective / (1 / effective).sum()
    np.testing.assert_allclose(tag_list.weights(frame, "class_balanced"), expected, rtol=1e-9)
    assert tag_list.weights(frame.assign(class_balanced=[3, 4]), "class_balanced").tolist() == [3, 4]


def test_weights_are_numbers_of_0_or_more():
    frame = FRAME.assign(weight=[0, 1, 2, 3, 4, 5, 0.5], text="x", negative=[1, 1, 1, -1, 1, 1, 1])
    assert tag_list.weights(frame, "weight").tolist() == [0, 1, 2, 3, 4, 5, 0.5]
    with pytest.raises(
        UserError, match="no column 'gone' of weights; besides .* it has weight, text, negative"
    ):
        tag_list.weights(frame, "gone")
    with pytest.raises(UserError, match="text of the tag b is x"):
        tag_list.weights(frame, "text")
    with pytest.raises(UserError, match="negative of the tag general is -1"):
        tag_list.weights(frame, "negative")
    with pytest.raises(UserError, match="no column 'tag_id' of weights"):
        tag_list.weights(frame, "tag_id")
    with pytest.raises(UserError, match="weight is 0 for every tag"):
        tag_list.weights(frame.assign(weight=0.0), "weight")


@pytest.mark.reliability("A tag list of other rows beside a model", "refused by the hash in its description")
@pytest.mark.parametrize(("name", "key"), [("dataset.json", "tags_sha256"), ("release.json", "tags_digest")])
def test_a_list_beside_a_model_is_the_one_that_it_was_made_with(tmp_path, name, key):
    path = tmp_path / "selected_tags.csv"
    path.write_text("tag_id,name,category,count\n1,a,0,3\n2,b,0,2\n")
    frame = tag_list.read_beside_model(path)
    for content in ({}, {key: tag_list.digest(frame)}):
        (tmp_path / name).write_text(json.dumps(content))
        assert len(tag_list.read_beside_model(path)) == 2
    tag_list.write(frame.iloc[::-1], path)
    with pytest.raises(UserError, match=f"not the tag list of the model beside it: {name}"):
        tag_list.read_beside_model(path)


@pytest.mark.reliability(
    "dataset.json of a run, or release.json, that is no object", "refused: the tag list could not be checked"
)
@pytest.mark.parametrize("name", ["dataset.json", "release.json"])
def test_a_list_whose_hash_cannot_be_read_is_refused(tmp_path, name):
    path = tmp_path / "selected_tags.csv"
    path.write_text("tag_id,name,category,count\n1,a,0,3\n")
    for content in ("[]", "null", '{"tags_sha256": 3, "tags_digest": 3}'):
        (tmp_path / name).write_text(content)
        with pytest.raises(UserError, match=rf"{name}.* must be "):
            tag_list.read_beside_model(path)
    (tmp_path / name).write_text("[]")
    if name == "dataset.json":
        assert len(tag_list.read_beside_model(path, other_names=True)) == 1, "it is of another project"


def test_names_of_several_tags_are_described():
    tags = frame_of("solo", "mercury", "mercury", "hat", "hat")
    assert tag_list.describe_repeated(tags.iloc[:2]) == ""
    tags["category"] = [0, 4, 3, 0, 0]
    text = "names of more than one tag, which stay apart: 'hat' (general, general), "
    assert tag_list.describe_repeated(tags) == f"{text}'mercury' (copyright, character)"
    assert tag_list.describe_repeated(tags, most=1) == f"{text}and 1 more"
