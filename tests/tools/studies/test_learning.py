"""tools/studies/learning.py: which runs it plans, that it continues, and what it reports of what is there."""

import csv

import pytest
from helpers.learning_runs import finished_run

from tools.studies import learning as study
from Utils.bench import learning
from Utils.data import split_list


def test_both_sides_of_a_pair_differ_in_nothing_but_model_and_rate(tmp_path):
    runs = list(study.plan("confirm", tmp_path))
    assert len(runs) == 3 * 2 * 2  # seeds, sets, sides
    for ours, theirs in zip(runs[::2], runs[1::2], strict=True):
        assert (ours.side, theirs.side, ours.dataset) == ("ours", "timm", theirs.dataset)
        same = (
            "seed",
            "epochs",
            "steps_per_epoch",
            "batch_size_per_device",
            "crop",
            "weight_decay",
            "optimizer",
        )
        assert all(getattr(ours.recipe, name) == getattr(theirs.recipe, name) for name in same)
        best = study.BEST_OF_UNSEEN_EMOJI if ours.dataset.endswith("unseen_emoji") else study.BEST
        assert (ours.recipe.learning_rate, theirs.recipe.learning_rate) == (best["ours"], best["timm"])
        images = ours.recipe.epochs * ours.recipe.steps_per_epoch * ours.recipe.batch_size_per_device
        assert images == study.FULL


def test_runs_of_one_name_are_the_same_run(tmp_path):
    runs = [run for part in study.PARTS for run in study.plan(part, tmp_path)]
    assert len({run.name for run in runs}) == len({repr(run.facts()) for run in runs}) == len(runs) - 4
    assert [run.name for run in study.plan("grid", tmp_path)][:3] == [
        run.name for run in study.plan("rates", tmp_path)
    ][-3:]


def test_a_quarter_of_the_training_pictures(tmp_path):
    lines = [f"{post},{'train' if post % 3 else 'validation'},a/{post}.png" for post in range(24)]
    (tmp_path / "unseen_vendor_splits.csv").write_text("\n".join(["post_id,split,path", *lines]) + "\n")
    (tmp_path / "unseen_vendor.toml").write_text(
        'name = "emoji_unseen_vendor"\nsplit_file = "unseen_vendor_splits.csv"\n'
    )
    study._write_quarter(tmp_path)
    kept = split_list.read(tmp_path / "unseen_vendor_quarter_splits.csv")
    assert kept.ids.tolist() == [0, 1, 3, 6, 7, 9, 12, 13, 15, 18, 19, 21]
    text = (tmp_path / "unseen_vendor_quarter.toml").read_text()
    assert text == 'name = "emoji_unseen_vendor_quarter"\nsplit_file = "unseen_vendor_quarter_splits.csv"\n'


@pytest.fixture
def trained(tmp_path, monkeypatch):
    """The names of the runs that were trained; each becomes a folder, ours the better ones."""
    names = []

    def train(run, folder, python):
        if not (folder / run.name).exists():
            names.append(run.name)
            folder.mkdir(exist_ok=True)
            finished_run(folder / run.name, len(names), 0.6 if run.side == "ours" else 0.1)
        return folder / run.name

    monkeypatch.setattr(learning, "train", train)
    monkeypatch.setattr(study, "make_datasets", lambda *arguments: None)
    monkeypatch.setattr(study, "RESULTS", tmp_path / "results")
    return names


def test_it_continues_and_reports_tables_differences_and_curves(tmp_path, trained, capsys):
    assert study.main([str(tmp_path), "--report"]) == 1, "no run is there: results that are there are kept"
    assert not (tmp_path / "results").exists()
    words = [str(tmp_path), "--parts", "confirm", "--seeds"]
    assert study.main([*words, "1"]) == 0
    assert len(trained) == 4
    assert study.main([*words, "2"]) == 0
    assert len(trained) == 8 == len(set(trained))
    text = capsys.readouterr().out
    assert "8 of 8 runs" in text
    assert "unseen_vendor, 64 images, ours above timm's: micro F1 +" in text
    with (tmp_path / "results" / "runs.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["part"], row["side"], row["seeds"]) for row in rows] == [
        ("confirm", side, "2") for _ in study.EMOJI for side in ("ours", "timm")
    ]
    svg = (tmp_path / "results" / "curves.svg").read_text()
    assert "unseen_emoji, 64 images" in svg
    assert study.main([str(tmp_path), "--report"]) == 0
    assert len(trained) == 8
    assert (tmp_path / "results" / "curves.svg").read_text() == svg
