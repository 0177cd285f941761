"""tools/studies/heads.py: which runs it plans, and what it reports of those that are there."""

import csv

from helpers.learning_runs import finished_run

from tools.studies import heads as study


def test_runs_differ_in_nothing_but_head_and_seed_and_are_reported(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(study, "RESULTS", tmp_path / "results")
    words = [str(tmp_path), "--dataset", "faces", "--booru", "booru", "--seeds", "2", "--report"]
    options = study.parser().parse_args(words)
    runs = list(study.plan(options))
    assert len({run.name for _, run in runs}) == len(runs) == 2 * len(study.HEADS)
    for head, run in runs:
        fixed = {**run.recipe.to_dict(), "seed": 0, "model_options": 0}
        assert fixed == {**runs[0][1].recipe.to_dict(), "seed": 0, "model_options": 0}
        assert run.recipe.model_options == (*study.NETWORK, *study.HEADS[head])
    assert study.main(words) == 1, "no run is there: results that are there are kept"
    assert not (tmp_path / "results").exists()
    (tmp_path / "runs").mkdir()
    for place, (head, run) in enumerate(runs):
        if head in ("gap", "map"):
            folder = finished_run(tmp_path / "runs" / run.name, place, 0.6 if head == "map" else 0.1)
            (folder / "pointing.csv").write_text("model,share\nrun,0.5\n")
    assert study.main(words) == 0
    with (tmp_path / "results" / "runs.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    # 10 seconds for 32 images, a step
    assert [(row["head"], row["seeds"], row["ms_per_step"]) for row in rows] == [
        ("gap", "2", "10000.0"),
        ("map", "2", "10000.0"),
    ]
    assert (tmp_path / "results" / "pointing.csv").read_text().count("0.5") == 4
    assert "map above gap: micro F1 +" in capsys.readouterr().out
