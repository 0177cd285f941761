"""Utils/labels/label_lookup.py: labels of posts and posts of labels, the same from every source."""

import contextlib
import sqlite3

import numpy as np
import pandas as pd
import pytest
from helpers import small_dataset

from Utils.command.cli import UserError
from Utils.data import dataset_folder
from Utils.evaluation import predictions
from Utils.labels import label_lookup


def test_labels_and_carriers_by_dataset_dump_and_database_agree(tmp_path, monkeypatch):
    monkeypatch.setattr(label_lookup, "MAX_POSTS", 5)
    monkeypatch.setattr(label_lookup, "_ROWS", 7)
    folder = small_dataset(tmp_path, records=False)
    dataset, table = dataset_folder.load(folder), pd.read_parquet(folder / "posts.parquet")
    labels = np.zeros((len(table), dataset.num_labels), np.uint8)
    for row, columns in enumerate(table["label_indexes"]):
        labels[row, columns] = 1
    with predictions.writing(tmp_path / "dump", dataset.tags) as writer:
        writer.add(labels.astype(np.float32), table["post_id"].to_numpy(), labels)
    tag_ids, posts = dataset.tags["tag_id"].tolist(), table["post_id"].to_numpy()
    sources = [
        label_lookup.DatasetLabels(folder, tag_ids, posts[:9]),
        label_lookup.DumpLabels(tmp_path / "dump", tag_ids),
        label_lookup.DatabaseLabels(tmp_path / "danbooru.db"),
    ]
    names = dataset.tags["name"].to_numpy()
    for row, post in enumerate(posts[:9].tolist()):
        expected = {names[column] for column in np.flatnonzero(labels[row])}
        for source in sources:
            labels_of_post = dict(source.tags_of(post) or [])
            assert set(labels_of_post) & set(names) == expected
            assert all(
                labels_of_post[name] == int(dataset.tags.set_index("name")["category"][name])
                for name in expected
            )
    for column, tag_id in enumerate(tag_ids):
        carriers = set(posts[labels[:, column] != 0].tolist())
        for source in sources:
            posts_with_tag = source.posts_with(tag_id)
            assert len(posts_with_tag) == len(set(posts_with_tag)) == min(5, len(carriers))
            assert set(posts_with_tag) <= carriers
            assert source.posts_with(999_999) == []
    for source in sources:
        assert source.tags_of(999_999) is None
    assert sources[0].paths[int(posts[0])] == table["path"][0]
    assert label_lookup.folders_of(folder / "selected_tags.csv") == (None, folder)
    assert label_lookup.folders_of(tmp_path / "dump" / "selected_tags.csv") == (tmp_path / "dump", None)
    assert label_lookup.folders_of(tmp_path / "x.csv") == (None, None)
    with pytest.raises(UserError, match="cannot be read as an SQLite database"):
        label_lookup.DatabaseLabels(folder / "posts.parquet")


def test_a_database_of_something_else_is_refused(tmp_path):
    with contextlib.closing(sqlite3.connect(tmp_path / "x.db")) as new, new:
        new.execute("CREATE TABLE tags (tag_id INT)")
    with pytest.raises(UserError, match="imageTags"):
        label_lookup.DatabaseLabels(tmp_path / "x.db")
