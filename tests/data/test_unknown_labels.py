"""Utils/data/unknown_labels.py: pairs of post and tag from a CSV, by id or by name."""

import fsspec
import numpy as np
import pandas as pd
import pytest

from Utils.command.cli import UserError
from Utils.data import unknown_labels

TAGS = pd.DataFrame({"tag_id": [10, 20, 30], "name": ["a", "b", "c"]})


@pytest.mark.parametrize(
    "text", ["post_id,tag_id\n7,30\n5,10\n7,10\n9,99\n", "tag,post_id,score\nc,7,1\na,5,1\na,7,1\nzz,9,1\n"]
)
def test_pairs_are_read_by_id_or_name(tmp_path, text):
    (tmp_path / "list.csv").write_text(text)
    mask = unknown_labels.read(tmp_path / "list.csv", TAGS).mask(np.array([5, 6, 7, 9, 7]))
    assert mask.astype(int).tolist() == [[1, 0, 0], [0, 0, 0], [1, 0, 1], [0, 0, 0], [1, 0, 1]]


def test_letters_of_names_are_composed(tmp_path):
    (tmp_path / "list.csv").write_text("post_id,tag\n7,cafe\u0301\n")
    tags = pd.DataFrame({"tag_id": [10], "name": ["caf\u00e9"]})
    assert unknown_labels.read(tmp_path / "list.csv", tags).mask(np.array([7])).all()


@pytest.mark.parametrize(
    "text",
    [
        "",
        "post,tag_id\n1,2\n",
        "post_id,tag_id\nx,10\n",
        "post_id,tag_id\n1,99\n",
        "post_id,tag_id\n1.5,10\n",
        "post_id,tag_id\n1,10.5\n",
        "post_id,tag_id\n1180591620717411303424,10\n",
    ],
)
def test_a_file_that_is_no_list_is_an_error(tmp_path, text):
    (tmp_path / "list.csv").write_text(text)
    with pytest.raises(UserError, match=r"list\.csv"):
        unknown_labels.read(tmp_path / "list.csv", TAGS)
    with pytest.raises(UserError, match="found nothing"):
        unknown_labels.read(tmp_path / "none.csv", TAGS)


def test_a_list_may_be_on_another_file_system():
    fsspec.filesystem("memory").pipe_file("/unknown/list.csv", b"post_id,tag_id\n7,30\n5,10\n")
    mask = unknown_labels.read("memory://unknown/list.csv", TAGS).mask(np.array([5, 7]))
    assert mask.astype(int).tolist() == [[1, 0, 0], [0, 0, 1]]
    with pytest.raises(UserError, match="memory://unknown/none.csv; found nothing"):
        unknown_labels.read("memory://unknown/none.csv", TAGS)


def test_the_label_of_an_audit_is_kept(tmp_path):
    path = tmp_path / "audit.csv"
    path.write_text("tag,tag_id,post_id,label\nc,30,7,1\na,10,5,0\na,10,7,0\na,10,7,0\nz,99,7,1\n")
    unknown = unknown_labels.read(path, TAGS)
    ones, zeros = unknown.select(True), unknown.select(False)
    assert (ones.posts.tolist(), ones.labels.tolist()) == ([7], [2])
    assert (zeros.posts.tolist(), zeros.labels.tolist()) == ([5, 7], [0, 0])
    path.write_text("tag,post_id,label\nc,7,1\na,5,wrong\n")
    without = unknown_labels.read(path, TAGS)
    assert without.listed is None and not len(without.select(True).posts) + len(without.select(False).posts)
