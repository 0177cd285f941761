"""Utils/labelings.py: labels of posts and posts of labels, the same from every source."""

import contextlib
import sqlite3

import numpy as np
import pandas as pd
import pytest
from helpers import small_dataset

from Utils import datasets, dumps, labelings
from Utils.commands import UserError


def test_labels_and_carriers_by_dataset_dump_and_database_agree(tmp_path, monkeypatch):
    monkeypatch.setattr(labelings, "POOL", 5)
    monkeypatch.setattr(labelings, "_ROWS", 7)
    folder = small_dataset(tmp_path, records=False)
    dataset, table = datasets.load(folder), pd.read_parquet(folder / "posts.parquet")
    labels = np.zeros((len(table), dataset.num_labels), np.uint8)
    for row, columns in enumerate(table["label_indexes"]):
        labels[row, columns] = 1
    with dumps.writing(tmp_path / "dump", dataset.tags) as writer:
        writer.add(labels.astype(np.float32), table["post_id"].to_numpy(), labels)
    tag_ids, posts = dataset.tags["tag_id"].tolist(), table["post_id"].to_numpy()
    sources = [
        labelings.OfDataset(folder, tag_ids, posts[:9]),
        labelings.OfDump(tmp_path / "dump", tag_ids),
        labelings.OfDatabase(tmp_path / "danbooru.db"),
    ]
    names = dataset.tags["name"].to_numpy()
    for row, post in enumerate(posts[:9].tolist()):
        expected = {names[column] for column in np.flatnonzero(labels[row])}
        for source in sources:
            found = dict(source.tags_of(post) or [])
            assert set(found) & set(names) == expected
            assert all(
                found[name] == int(dataset.tags.set_index("name")["category"][name]) for name in expected
            )
    for column, tag_id in enumerate(tag_ids):
        carriers = set(posts[labels[:, column] != 0].tolist())
        for source in sources:
            found = source.carriers(tag_id)
            assert len(found) == len(set(found)) == min(5, len(carriers))
            assert set(found) <= carriers
            assert source.carriers(999_999) == []
    for source in sources:
        assert source.tags_of(999_999) is None
    assert sources[0].paths[int(posts[0])] == table["path"][0]
    assert labelings.beside(folder / "selected_tags.csv") == (None, folder)
    assert labelings.beside(tmp_path / "dump" / "selected_tags.csv") == (tmp_path / "dump", None)
    assert labelings.beside(tmp_path / "x.csv") == (None, None)
    with pytest.raises(UserError, match="no fire-eggs database"):
        labelings.OfDatabase(folder / "posts.parquet")


def test_a_broken_database_is_told(tmp_path):
    with contextlib.closing(sqlite3.connect(tmp_path / "x.db")) as made, made:
        made.execute("CREATE TABLE tags (tag_id INT)")
    with pytest.raises(UserError, match="imageTags"):
        labelings.OfDatabase(tmp_path / "x.db")
