"""Generators/training_records.py: which records the settings of a training choose."""

import helpers
import numpy as np
import pytest

from Generators import training_records
from Utils.command.cli import UserError
from Utils.data import dataset_folder
from Utils.recipe.recipe import Recipe


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    """Posts 0 to 11, which have nothing but shards."""
    return dataset_folder.load(helpers.dotted_shards(tmp_path_factory.mktemp("data"), train=12))


def choose(dataset, **fields):
    return training_records.choose(dataset, seed=0, **Recipe(**fields).record_options())


def test_all_records_are_taken_once_unless_a_setting_says_otherwise(dataset):
    assert choose(dataset) == training_records.TrainingRecords()
    assert choose(dataset).unknown_mask is None


def test_fold_unknown_labels_and_repeats(dataset, tmp_path):
    path = tmp_path / "unknown.csv"
    path.write_text(f"post_id,tag\n3,{dataset.tags['name'][1]}\n")
    settings = {"fold": "0/3", "unknown_labels": str(path), "sampling": "repeat_factor"}
    records = choose(dataset, **settings, sampling_threshold=1.0)
    kept = [number for number in range(12) if records.keep(number)]
    assert 0 < len(kept) < 12
    assert records.repeats.ids.tolist() == kept
    assert records.repeats.images > len(kept)
    assert records.unknown_mask([3, 4]).sum(axis=1).tolist() == [1, 0]
    with pytest.raises(UserError, match="--sampling-threshold must be above 0 and at most 1; got 0"):
        Recipe(sampling_threshold=0.0)
    with pytest.raises(UserError, match="uniform, repeat_factor; got 'repeat'"):
        Recipe(sampling="repeat")


def test_unknown_labels_of_other_posts_are_refused(dataset, tmp_path, monkeypatch):
    path = tmp_path / "unknown.csv"
    path.write_text(f"post_id,tag\n30,{dataset.tags['name'][1]}\n")
    monkeypatch.setattr(type(dataset), "has_post_ids", lambda self, split: True)
    monkeypatch.setattr(type(dataset), "post_ids", lambda self, split: np.arange(12))
    with pytest.raises(UserError, match="--unknown-labels .*unknown.csv names none of the training posts"):
        choose(dataset, unknown_labels=str(path))


def test_unknown_labels_that_leave_none_known_are_refused(dataset, tmp_path):
    path = tmp_path / "unknown.csv"
    of_fold = [post for post in range(12) if training_records.folds.parse("0/3").excludes(post)]
    lines = [f"{post},{name}" for post in of_fold for name in dataset.tags["name"]]
    path.write_text("\n".join(["post_id,tag", *lines, lines[0]]))
    assert choose(dataset, unknown_labels=str(path)).unknown.posts.size == 6 * len(of_fold) + 1
    said = rf"names all {6 * len(of_fold)} labels that the {len(of_fold)} training posts have \(6 tags each\)"
    with pytest.raises(UserError, match=said):
        choose(dataset, fold="0/3", unknown_labels=str(path))
    path.write_text("\n".join(["post_id,tag", *lines[1:], lines[1]]))
    choose(dataset, fold="0/3", unknown_labels=str(path))


def test_a_teacher_is_asked_for_the_posts_that_are_trained_on(dataset):
    options = {"seed": 0, **Recipe(fold="0/3", teacher="dump").record_options()}
    records = training_records.choose(dataset, lambda tags, *rest: (len(tags), *rest), **options)
    *arguments, ids, labels = records.teacher
    assert arguments == [6, "dump", "", 1.0]
    assert np.concatenate([of_posts for of_posts, *_ in labels]).tolist() == ids.tolist()
    assert ids.tolist() == [number for number in range(12) if records.keep(number)]


def test_unknown_labels_that_were_others_are_counted(dataset, tmp_path, capsys):
    labels = {
        post: row
        for ids, lengths, all_labels in training_records.shard_stats.label_blocks(dataset, "train", None)
        for post, row in zip(ids.tolist(), np.split(all_labels, np.cumsum(lengths)[:-1]), strict=True)
    }
    rows = [(post, tag, int(tag in labels[post])) for post in (2, 3, 4) for tag in range(6)]
    path, names = tmp_path / "audit.csv", dataset.tags["name"]

    def said(rows):
        lines = [f"{post},{names[tag]},{label}\n" for post, tag, label in rows]
        path.write_text("".join(["post_id,tag,label\n", *lines, f"77,{names[0]},1\n"]))
        choose(dataset, unknown_labels=str(path))
        return capsys.readouterr().err

    assert said(rows) == ""
    others = [(post, tag, label ^ (post == 3)) for post, tag, label in rows]
    assert "audit.csv: 6 of 18 labels were others when they were listed" in said(others)
