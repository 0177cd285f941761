"""Utils/data/split_list.py: ranges of ids and listed splits as one kind of rule."""

import numpy as np
import pytest

from Utils.command.cli import UserError
from Utils.data import split_list
from Utils.data.definition import SPLITS, Definition

TRAIN, VALIDATION, TEST = (SPLITS.index(name) for name in ("train", "validation", "test"))


def test_ranges_are_inclusive_and_of_the_id_modulo_1000():
    rule = split_list.split_rule(Definition("x"))
    ids = np.array([5000, 899, 900, 1949, 950, 999, 7999])
    assert rule(ids).tolist() == [TRAIN, TRAIN, TEST, TEST] + [VALIDATION] * 3
    narrow = split_list.split_rule(Definition("x", splits={"train": (0, 9)}))
    assert narrow(np.array([9, 10])).tolist() == [TRAIN, -1]


def test_a_list_gives_every_post_its_split_whatever_its_id(tmp_path):
    path = tmp_path / "splits.csv"
    path.write_text(
        "path,post_id,split\na.png,9223372036854775807,test\nb.png,7,train\nc.png,1007,validation\n"
    )
    rule = split_list.split_rule(Definition("x", splits={}, split_file=str(path)))
    ids = np.array([7, 8, 1007, 2**63 - 1, 0])
    assert rule(ids).tolist() == [TRAIN, -1, VALIDATION, TEST, -1]
    assert rule(ids).dtype == np.int8 and rule(ids[:0]).tolist() == []


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("post_id,split\n7,valid\n", "did you mean validation"),
        ("post_id,split\n7.0,train\n", "must be a whole number; got '7.0'"),
        ("post_id,split\n9223372036854775808,train\n", "must be a whole number"),
        (f"post_id,split\n{'9' * 5000},train\n", "must be a whole number"),
        ("post_id,split\n7,train\n7,test\n", "post 7 is in train and in test"),
        ("post_id,split\n", "lists no posts"),
        ("post,split\n7,train\n", "lacks the column post_id"),
        ("post_id,split\n7,train\n8,tra", "does not end in a line break"),
    ],
)
@pytest.mark.reliability(
    "a list of splits with a mistake", "one error that names the file, the row and what is allowed"
)
def test_mistakes_in_a_list_are_named(tmp_path, text, message):
    path = tmp_path / "splits.csv"
    path.write_text(text)
    with pytest.raises(UserError, match="splits.csv") as error:
        split_list.read(path)
    assert message in str(error.value)
