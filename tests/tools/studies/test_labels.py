"""tools/studies/labels.py: the runs it plans, and a tiny study from drawing to tables."""

import csv
import dataclasses

import numpy as np
import pyarrow.parquet as pq
import pytest

from tools.studies import labels as study
from Utils.data import dataset_folder
from Utils.evaluation import predictions
from Utils.recipe import command_line


def test_every_run_has_a_name_and_flags_that_train_knows():
    trials = {trial for part in study.PARTS for trial in study.plan(part)}
    runs = {(trial.name, trial.seeds): trial.words for trial in trials}
    assert len(runs) == len(trials)
    assert all(words == runs.get((name, 1), words) for (name, _), words in runs.items())
    for words in {trial.words.format(labels="labels", mean="9") for trial in trials}:
        command_line.parse(["demo", *words.split(), "--dataset", "d", "--run-dir", "r"])
    methods = {trial.method for trial in study.plan("losses")}
    assert methods == set(study.LOSSES) >= set(study.BEST)


def test_the_two_commands_of_make_share_no_run_and_have_all():
    lines = (study.ROOT / "Makefile").read_text().splitlines()
    sides = [line.split("--parts ")[1].split() for line in lines if "$(STUDY) --parts" in line]
    _, quarter, others = sides  # the first draws the booru that both need
    assert sorted([*quarter, *others]) == sorted(study.PARTS)
    names = [{trial.name for part in side for trial in study.plan(part)} for side in (quarter, others)]
    assert names[0].isdisjoint(names[1])


def test_only_the_noise_and_the_method_differ_within_a_world():
    for part in study.PARTS:
        worlds = {trial.world for trial in study.plan(part)}
        unseen = set(study.UNSEEN)
        expected = {"unseen": unseen, "audits": unseen, "frequency": {study.TUNED, *unseen}}
        assert worlds == expected.get(part, {study.TUNED})


def test_both_losses_learn_from_both_reviews_and_no_review_is_of_a_method_without_audit():
    reviewed = [trial for trial in study.plan("audits") if trial.audit]
    pairs = {(trial.words, trial.audit) for trial in reviewed}
    assert pairs >= {(words, audit) for words in study.AUDITS.values() for audit in study.AUDITS}
    names = [trial.method.removesuffix(study.FREQUENCY) for trial in reviewed]
    assert all(name.endswith(f"+review-{one.audit}") for name, one in zip(names, reviewed, strict=True))
    assert {trial.audit for part in study.PARTS for trial in study.plan(part)} == {"", *study.AUDITS}


def test_a_study_of_other_sizes_is_refused(tmp_path, capsys):
    (tmp_path / "study.json").write_text('{"images": 120, "epochs": 2}')
    assert study.main([str(tmp_path), "--images", "120"]) == 2
    assert "holds a study of {'images': 120, 'epochs': 2}, not of" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["study.json"]


def test_runs_with_adjusted_thresholds_stay_where_seeds_are_added(tmp_path, monkeypatch):
    monkeypatch.setattr(study.label_study, "make_world", lambda *arguments: tmp_path)
    monkeypatch.setattr(study.label_study, "make_dataset", lambda *arguments: tmp_path)
    written = []
    monkeypatch.setattr(study.label_study, "write_adjusted", lambda run, data, place, exponent: made(place))

    def made(place):
        written.append(place.name)
        (place / "dump").mkdir(parents=True)

    (one, *_), three = study.plan("frequency"), list(study.plan("frequency"))[-1]
    for trial in (one, dataclasses.replace(one, seeds=3)):
        study.train(trial, tmp_path, study.parser().parse_args(["out"]))
        assert trial.is_finished(tmp_path)
    assert written == ["seed=0", "seed=1", "seed=2"]
    assert three.seeds == study.SEEDS


@pytest.mark.slow
def test_a_tiny_study_continues_and_writes_its_tables(tmp_path, monkeypatch):
    """Teacher, audit and review need folds: all commands run once, in 6 trainings of a few steps."""
    chosen = [trial for trial in study.plan("labels") if trial.method != "bce+sampling"]
    assert {trial.method for trial in chosen} == {"bce+audit", "bce+teacher"}
    base = next(iter(study.plan("losses")))
    chosen.append(dataclasses.replace(base, method="bce+review-bce", audit="bce"))
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
    reviewed = dataset_folder.load(tmp_path / "study" / "labels-faces-0-random-25-bce" / "reviewed")
    numbers = [
        sum(map(len, pq.read_table(one.folder / "posts.parquet")["label_indexes"].to_pylist()))
        for one in (noisy, reviewed, complete)
    ]
    assert numbers[0] < numbers[1] < numbers[2]
    with (tmp_path / "results" / "audits.csv").open() as file:
        audit = {row["measure"]: float(row["value"]) for row in csv.DictReader(file)}
    added = audit["findings"] * audit["precision"]
    assert numbers[1] - numbers[0] == pytest.approx(added, rel=1e-3)
    (run,) = base.runs(tmp_path / "study")
    dump = predictions.load(run / "dump")
    assert np.array_equal(np.sort(dump.image_ids), np.sort(complete.post_ids("test")))
    before = sorted((tmp_path / "study" / "runs").rglob("*"))
    monkeypatch.setattr(study.label_study, "train", lambda *arguments: pytest.fail("trained again"))
    assert study.main(words) == 0
    assert sorted((tmp_path / "study" / "runs").rglob("*")) == before
    # A sweep that has ended stays as it is, and one more seed is one more run.
    monkeypatch.undo()
    dataset, model = noisy.folder, run / "model.keras"
    before = model.read_bytes()
    study.label_study.train(
        dataset, run.parent, 2, "--epochs", 2, *base.words.split(), "--steps-per-epoch", 2
    )
    assert model.read_bytes() == before
    assert (run.parent / "seed=1" / "model.keras").is_file()
