"""Utils/data/dataset_writer.py: the files of a dataset folder agree with each other."""

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from helpers.own_pictures import RULES, select, source_of

from Utils.command.cli import UserError
from Utils.data import dataset_folder, dataset_writer, id_lists
from Utils.data.dataset_posts import Posts
from Utils.data.definition import Definition


def test_counts_lists_and_posts_agree(tmp_path):
    captions = ["a, b", "a", "b, c", "a, c"] * 6
    source, pictures = source_of(tmp_path, captions)
    definition = Definition("x", splits={"train": 0.75, "validation": 0.25}, **RULES)
    selected, output = select(source, pictures, definition), tmp_path / "out"
    output.mkdir()
    splits, images = dataset_writer.write(output, source, pictures, selected, {"images": "here"}, "text")
    posts = pq.read_table(output / "posts.parquet").to_pandas()
    assert posts["split"].value_counts().to_dict() == splits
    for split, counts in images.items():
        labels = posts.loc[posts["split"] == split, "label_indexes"]
        flat = np.concatenate([*labels, np.empty(0, np.int64)]).astype(np.int64)
        assert np.bincount(flat, minlength=3).tolist() == counts.tolist()
    table = pd.read_csv(output / "tag_splits.csv")
    assert (table["train"] + table["validation"]).tolist() == table["count"].tolist()
    assert dataset_writer.write_lists(output) == []
    assert sum(len((output / f"{split}.txt").read_text().splitlines()) for split in splits) == 24
    dataset = dataset_folder.load(output)
    assert dataset.manifest["selection"]["splits"] == splits
    assert dataset.manifest["made"] == {"select_tags": {"images": "here"}}
    assert (output / "definition.toml").read_text() == "text"


@pytest.mark.reliability("A bit flips in posts.parquet", "refused: no post gets other labels")
def test_a_flipped_bit_in_the_posts_is_seen(tmp_path):
    source, pictures = source_of(tmp_path, ["a, b", "a", "b, c", "a, c"] * 6)
    definition = Definition("x", splits={"train": 0.75, "validation": 0.25}, **RULES)
    selected, output = select(source, pictures, definition), tmp_path / "out"
    output.mkdir()
    dataset_writer.write(output, source, pictures, selected, {})
    path = output / "posts.parquet"
    content, refused = path.read_bytes(), 0

    def rows():
        posts = Posts(output)
        return list(posts.at(np.arange(len(posts.ids))))

    expected = rows()
    for place in range(4, len(content), 17):
        flipped = bytearray(content)
        flipped[place] ^= 1
        path.write_bytes(flipped)
        try:
            assert rows() == expected  # a byte that says nothing of the rows
        except UserError as error:
            assert str(path) in str(error)
            refused += 1
    assert refused > 50


def test_lists_name_every_picture_that_one_line_can_name(tmp_path):
    paths = ["a.jpg", "in\u2028side.jpg", "next\x85.jpg", "two\na.jpg", "b\r.jpg"]
    columns = {"post_id": range(5), "split": ["train"] * 5, "path": paths, "label_indexes": [[0]] * 5}
    pd.DataFrame(columns).to_parquet(tmp_path / "posts.parquet")
    assert dataset_writer.write_lists(tmp_path) == ["two\na.jpg", "b\r.jpg"]
    assert id_lists.read(tmp_path / "train.txt") == ["a.jpg", "in\u2028side.jpg", "next\x85.jpg"]


def test_no_definition_is_written_where_none_is_given(tmp_path):
    source, pictures = source_of(tmp_path, ["a"] * 3)
    selected, output = (
        select(source, pictures, Definition("x", splits={"train": 1.0}, **RULES)),
        tmp_path / "o",
    )
    output.mkdir()
    dataset_writer.write(output, source, pictures, selected, {})
    assert not (output / "definition.toml").exists()
