"""tools/studies/heads.py: which runs it plans, and what it reports of those that are there."""

import csv

from helpers.learning_runs import finished_run

from tools.studies import heads as study
from Utils.recipe.recipe import load_recipe


def test_runs_differ_in_nothing_but_head_and_seed_and_are_reported(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(study, "RESULTS", tmp_path / "results")
    words = [str(tmp_path), "--datasets", "faces=booru", "emoji", "--seeds", "2", "--report"]
    options = study.parser().parse_args(words)
    trials = list(study.plan(options))
    assert len({trial.run.name for trial in trials}) == len(trials) == 2 * 2 * len(study.HEADS)
    assert trials[0].run.recipe.model_options == load_recipe("small").model_options, "cells are the recipe's"
    for trial in trials:
        fixed = {**trial.run.recipe.to_dict(), "seed": 0, "model_options": 0}
        assert fixed == {**trials[0].run.recipe.to_dict(), "seed": 0, "model_options": 0}
        assert trial.run.recipe.model_options[3:] == study.HEADS[trial.head]
        assert (trial.booru and trial.booru.name) == ("booru" if "faces" in trial.run.dataset else None)
    assert study.main(words) == 1, "no run is there: results that are there are kept"
    assert not (tmp_path / "results").exists()
    (tmp_path / "runs").mkdir()
    for place, trial in enumerate(trials):
        if trial.head in ("gap", "map"):
            folder = finished_run(
                tmp_path / "runs" / trial.run.name, place, 0.6 if trial.head == "map" else 0.1
            )
            if trial.booru:
                (folder / "pointing.csv").write_text("model,share\nrun,0.5\n")
    assert study.main(words) == 0
    with (tmp_path / "results" / "runs.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    # 10 seconds for 32 images, a step
    assert [(row["dataset"], row["head"], row["seeds"], row["ms_per_step"]) for row in rows] == [
        (dataset, head, "2", "10000.0") for dataset in ("faces", "emoji") for head in ("gap", "map")
    ]
    assert (tmp_path / "results" / "pointing.csv").read_text().count("0.5") == 4
    assert "emoji: map, 0.003, above gap: micro F1 +" in capsys.readouterr().out
