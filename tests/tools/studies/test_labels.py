"""tools/studies/labels.py: the runs it plans, and a tiny study from drawing to tables."""

import csv

import numpy as np
import pytest

from tools.studies import labels as study
from Utils.data import dataset_folder
from Utils.evaluation import predictions
from Utils.recipe import command_line


def test_every_run_has_a_name_and_flags_that_train_knows():
    trials = {trial for part in study.PARTS for trial in study.plan(part)}
    assert len({trial.name for trial in trials}) == len(trials)
    for words in {trial.words.format(labels="labels") for trial in trials}:
        command_line.parse(["demo", *words.split(), "--dataset", "d", "--run-dir", "r"])
    methods = {trial.method for trial in study.plan("losses")}
    assert methods == set(study.LOSSES) >= set(study.BEST)


def test_only_the_noise_and_the_method_differ_within_a_world():
    for part in study.PARTS:
        worlds = {trial.world for trial in study.plan(part)}
        expected = {"unseen": set(study.UNSEEN), "frequency": {study.TUNED, *study.UNSEEN}}
        assert worlds == expected.get(part, {study.TUNED})


@pytest.mark.slow
def test_a_tiny_study_continues_and_writes_its_tables(tmp_path, monkeypatch):
    """Teacher and audit need folds: all commands of the study run once, in 5 trainings of a few steps."""
    monkeypatch.setattr(study, "BEST", ())
    chosen = [trial for trial in study.plan("labels") if trial.method != "bce+sampling"]
    assert {trial.method for trial in chosen} == {"bce+audit", "bce+teacher"}
    base = next(iter(study.plan("losses")))
    monkeypatch.setattr(study, "plan", lambda part: [base, *chosen] if part == "losses" else [])
    words = [str(tmp_path / "study"), "--images", "120", "--epochs", "2", "--parts", "losses"]
    words += ["--results", str(tmp_path / "results")]
    assert study.main(words) == 0
    with (tmp_path / "results" / "runs.csv").open() as file:
        assert [row["method"] for row in csv.DictReader(file)] == ["bce", *(one.method for one in chosen)]
    complete, noisy = (
        dataset_folder.load(tmp_path / "study" / f"data-faces-0-{name}") for name in ("complete", "random-25")
    )
    assert noisy.tags["name"].tolist() == complete.tags["name"].tolist()
    dump = predictions.load(tmp_path / "study" / "runs" / base.name / "dump")
    assert np.array_equal(np.sort(dump.image_ids), np.sort(complete.post_ids("test")))
    before = sorted((tmp_path / "study" / "runs").iterdir())
    monkeypatch.setattr(study, "_fit", lambda *arguments: pytest.fail("trained again"))
    assert study.main(words) == 0
    assert sorted((tmp_path / "study" / "runs").iterdir()) == before
