"""tools/studies/finetune.py: the groups' scores, and datasets of a world without the base's missing tags."""

import numpy as np
import pytest
from helpers import jpeg

from tools.studies import finetune
from Utils.data import dataset_folder
from Utils.tags import tag_list


def test_scores_are_taken_where_as_many_are_predicted_as_true():
    y = np.array([[1, 0, 0], [1, 1, 0], [0, 1, 0]], bool)
    p = np.array([[0.9, 0.1, 0.8], [0.7, 0.2, 0.1], [0.1, 0.6, 0.1]])
    got = finetune.group_scores(p, y)
    assert got["micro"] == pytest.approx(2 * 3 / 8)
    assert got["macro"] == pytest.approx((1 + 2 / 3) / 2)
    assert (got["tags"], got["never"]) == (3, 0)


@pytest.fixture
def world(tmp_path, monkeypatch):
    monkeypatch.setattr(finetune, "BASE_POSTS", 20)
    monkeypatch.setattr(finetune, "OWN_POSTS", 20)
    monkeypatch.setattr(finetune, "BASE_HELD", 5)
    random = np.random.default_rng(0)
    labels = random.random((50, 70)) < 0.2
    jpegs = np.array([jpeg(number, 24) for number in range(50)], object)
    np.savez(tmp_path / "world.npz", jpegs=jpegs, labels=labels, true=labels, ids=np.arange(50))
    columns = {"tag_id": range(70), "name": [f"t{number}" for number in range(70)]}
    frame = finetune.pd.DataFrame({**columns, "category": 0, "count": 9})
    tag_list.write(frame, tmp_path / "tags.csv")
    return finetune.World(tmp_path, "0")


def test_the_base_lacks_the_new_tags_and_own_pictures_have_them(world):
    base, own = (dataset_folder.load(folder) for folder in (world.base(), world.own(10, 5)))
    assert base.num_labels == 10
    assert own.num_labels == 15
    new = set(world.tags["name"].iloc[world.new[:5]])
    assert new.isdisjoint(base.tags["name"])
    assert new < set(own.tags["name"])
    assert (own.num_records("train"), own.num_records("validation"), own.num_records("test")) == (9, 1, 10)
    assert base.num_records("train") == 15


def test_every_run_of_the_grid_has_its_settings():
    assert {method for method, *_ in finetune.GRID} <= set(finetune.METHODS)
    assert len(set(finetune.GRID)) == len(finetune.GRID)
