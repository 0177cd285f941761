"""tools/studies/learning.py: which runs it plans, that it continues, and what it reports of what is there."""

import csv

import pytest
from helpers.learning_runs import finished_run

from tools.studies import learning as study
from Utils.bench import learning


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
        assert (ours.recipe.learning_rate, theirs.recipe.learning_rate) == (
            study.BEST["ours"],
            study.BEST["timm"],
        )
        images = ours.recipe.epochs * ours.recipe.steps_per_epoch * ours.recipe.batch_size_per_device
        assert images == study.FULL


def test_every_run_has_a_name_of_its_own(tmp_path):
    names = [run.name for part in study.PARTS for run in study.plan(part, tmp_path)]
    assert len(set(names)) == len(names)


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
