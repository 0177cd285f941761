"""Utils/data/sources/parents.py: parent ids from every source that has them."""

import json
import sqlite3

import pandas as pd
import pytest

from Utils.command.cli import UserError, WorkError
from Utils.data.sources.parents import read_parents


def test_parents_of_exports_are_post_ids_in_any_spelling(tmp_path):
    lines = [{"id": 1, "parent_id": None}, {"id": "2", "parent_id": "1"}, {"id": 3, "parent_id": 3}, [4]]
    for line in lines[:3]:
        line["tag_string"] = "a"
    (tmp_path / "posts.jsonl").write_text("\n".join(map(json.dumps, lines)))
    assert read_parents("jsonl", tmp_path / "posts.jsonl") == {2: 1}
    frame = pd.DataFrame({"id": [1, 2, 3], "parent_id": [None, 1, 1]})
    frame.to_parquet(tmp_path / "posts.parquet")
    assert read_parents("parquet", tmp_path / "posts.parquet") == {2: 1, 3: 1}
    pd.DataFrame({"archive": [1]}).to_parquet(tmp_path / "pictures.index.parquet")
    assert read_parents("parquet", tmp_path) == {2: 1, 3: 1}
    (tmp_path / "e621.jsonl").write_text('{"id": 5, "tags": {}, "relationships": {"parent_id": 4}}\n')
    assert read_parents("jsonl", tmp_path / "e621.jsonl") == {5: 4}
    (tmp_path / "posts.csv").write_text("id,parent_id,tag_string\n1,,a\n2,1,a\n3,1,a\n")
    assert read_parents("e621", tmp_path / "posts.csv") == {2: 1, 3: 1}
    (tmp_path / "posts.csv").write_text("id,tag_string\n1,a\n")
    with pytest.raises(UserError, match="parent_id"):
        read_parents("e621", tmp_path / "posts.csv")


def test_parents_of_a_database(tmp_path):
    connection = sqlite3.connect(tmp_path / "x.db")
    connection.execute("CREATE TABLE images(image_id INT, parent_id INT)")
    connection.execute("INSERT INTO images VALUES (1, NULL), (2, 1), (3, 3), (4, 0), (5, 'x'), (6, 2)")
    connection.commit()
    connection.close()
    assert read_parents("fire-eggs", tmp_path / "x.db") == {2: 1, 6: 2}


def test_data_without_parent_ids_are_an_error(tmp_path):
    pd.DataFrame({"id": [1]}).to_parquet(tmp_path / "posts.parquet")
    with pytest.raises(UserError, match="needs the columns id and parent_id; it has id"):
        read_parents("parquet", tmp_path / "posts.parquet")
    (tmp_path / "posts.parquet").write_bytes(b"PAR1")
    with pytest.raises(WorkError, match="damaged or no Parquet file"):
        read_parents("parquet", tmp_path / "posts.parquet")
    connection = sqlite3.connect(tmp_path / "x.db")
    connection.execute("CREATE TABLE images(image_id INT)")
    connection.close()
    with pytest.raises(UserError, match="table images has no column parent_id"):
        read_parents("fire-eggs", tmp_path / "x.db")
