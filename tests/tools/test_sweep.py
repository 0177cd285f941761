"""tools/sweep.py: what is trained again, what the results say, how a sweep stops."""

import csv
import json
import os
import shutil
import signal
import subprocess
import threading
import time

import pytest

from tools import sweep as tool

GRID = """method: grid
metric: {name: val_f1, goal: maximize}
parameters:
  learning_rate: {values: [0.1, 0.2, 0.3]}
  flip: {values: [true, false]}
  loss: {value: focal}
command: ["${env}", python, "${program}", demo, "--dataset=${envvar:NOT_SET}", --run-dir=x, "${args}"]
"""
# A train.py that writes a history whose F1 is the learning rate, and fails where that is 0.2.
STUB = """import pathlib, sys
flags = dict(word[2:].split("=", 1) for word in sys.argv[2:])
run, rate = pathlib.Path(flags["run-dir"]), float(flags["learning_rate"])
with open(run.parent / "calls.txt", "a") as file:
    file.write(run.name + "\\n")
if rate == 0.2:
    sys.exit("error: diverged at step 7")
run.mkdir(exist_ok=True)
(run / "recipe.json").write_text("{}")
rows = [f"{epoch},{5 - epoch},{rate * (1 if epoch == 3 else 0.5)}" for epoch in range(1, 5)]
(run / "history.csv").write_text("epoch,loss,val_f1\\n" + "\\n".join(rows) + "\\n")
(run / "model.keras").write_text("")
"""

# One that saves and exits when it is asked to stop.
WAITING = """import pathlib, signal, sys, time
run = pathlib.Path(dict(word[2:].split("=", 1) for word in sys.argv[2:])["run-dir"])
def stop(number, frame):
    (run / "saved").write_text("")
    sys.exit(0)
signal.signal(signal.SIGTERM, stop)
run.mkdir()
(run / "recipe.json").write_text("{}")
time.sleep(60)
"""


@pytest.fixture
def grid(tmp_path):
    (tmp_path / "grid.yaml").write_text(GRID)
    (tmp_path / "data" / "train").mkdir(parents=True)
    (tmp_path / "data" / "train" / "0.tfrecord").touch()
    (tmp_path / "data" / "selected_tags.csv").write_text("tag_id,name,category,count\n1,a,0,1\n")
    return tmp_path / "grid.yaml"


def go(grid, tmp_path, *more):
    words = [str(grid), "--dataset", str(tmp_path / "data"), "-o", str(tmp_path / "out"), *more]
    return tool.main(words)


def results(tmp_path):
    with (tmp_path / "out" / "results.csv").open() as file:
        return list(csv.DictReader(file))


def calls(tmp_path):
    return (tmp_path / "out" / "calls.txt").read_text().split()


@pytest.fixture
def stub(tmp_path, monkeypatch):
    (tmp_path / "stub.py").write_text(STUB)
    monkeypatch.setattr(tool, "TRAIN", tmp_path / "stub.py")


def test_a_sweep_goes_on_where_it_was(grid, stub, tmp_path, capsys):
    words = ("--", "--epochs=4", "--seed=5")
    assert go(grid, tmp_path, "--runs", "1", *words) == 0
    assert go(grid, tmp_path, *words) == 1, "two of six diverge"
    shown = capsys.readouterr()
    assert len(calls(tmp_path)) == 6, "the first one is not trained again"
    assert shown.out.splitlines()[-7].startswith("0.3000  learning_rate=0.3,flip=True")
    assert shown.out.splitlines()[-2].startswith("best: learning_rate=0.3,flip=True")
    assert shown.out.splitlines()[-1].startswith("next: python tools/predict.py ")
    assert "error: 2 of 6 runs failed, the first: " in shown.err and "diverged at step 7" in shown.err
    rows = results(tmp_path)
    assert [row["state"] for row in rows] == ["done", "done", "failed", "failed", "done", "done"]
    assert (rows[0]["best_epoch"], rows[0]["val_f1"], rows[0]["train_loss"]) == ("3", "0.1", "2.0")
    assert (rows[0]["loss"], rows[0]["error"]) == ("focal", "")
    assert rows[2]["error"] == "diverged at step 7"
    assert go(grid, tmp_path, *words) == 1
    assert len(calls(tmp_path)) == 6, "what diverged stays so"
    capsys.readouterr()
    assert go(grid, tmp_path, "--json", *words) == 1
    answer = json.loads(capsys.readouterr().out)
    assert (answer["metric"], answer["best"]) == ("val_f1", "learning_rate=0.3,flip=True,loss=focal")
    assert list(answer["scores"].values()) == [0.3, 0.3, 0.1, 0.1]
    assert [run["state"] for run in answer["runs"]].count("failed") == 2
    assert go(grid, tmp_path, "--retry", *words) == 1
    assert len(calls(tmp_path)) == 8
    (tmp_path / "out" / rows[0]["run"] / "model.keras").unlink()
    assert go(grid, tmp_path, "--runs", "1", *words) == 0
    assert len(calls(tmp_path)) == 9, "a run that was stopped goes on"


def test_a_run_that_ended_early_is_done(grid, stub, tmp_path):
    for patience, state in (("1", "done"), ("2", "stopped")):
        go(grid, tmp_path, "--runs", "1", "--", "--epochs=9", f"--early-stopping={patience}")
        assert [row["state"] for row in results(tmp_path)] == [state], patience
    assert len(calls(tmp_path)) == 2


def test_settings_that_train_refuses_are_not_failed_runs(grid, stub, tmp_path, capsys):
    """Such as a folder in which the training of a sweep that was killed goes on."""
    (tmp_path / "stub.py").write_text("import sys\nprint('error: not now,', sys.argv[-2])\nsys.exit(2)")
    assert go(grid, tmp_path) == 2
    assert f"not now, --dataset={tmp_path / 'data'}" in capsys.readouterr().err
    (tmp_path / "stub.py").write_text(STUB)
    go(grid, tmp_path, "--runs", "1", "--", "--epochs=4")
    assert [row["state"] for row in results(tmp_path)] == ["done"]


def test_finished_runs_of_other_flags_are_not_taken_for_these(grid, stub, tmp_path, capsys):
    (tmp_path / "stub.py").write_text(STUB.replace('"{}"', """'{"seed": 5, "epochs": 4}'"""))
    words = "--runs", "1", "--", "--epochs=4"
    assert go(grid, tmp_path, *words, "--seed=5") == 0
    assert go(grid, tmp_path, *words, "--seed=6") == 2
    assert "holds a run that differs: --seed was 5, is 6." in capsys.readouterr().err
    assert go(grid, tmp_path, "--runs", "1", "--", "--epochs=5", "--seed=5") == 0, "it may go on"
    assert len(calls(tmp_path)) == 2


def test_a_setting_that_is_left_out_is_another_one(grid, stub, tmp_path, capsys):
    """Of None and auto, a run fills in some; the others are what they were."""
    for name, value in (("dropout", 0.5), ("steps_per_epoch", 3), ("batch_size_per_device", 7)):
        shutil.rmtree(tmp_path / "out", ignore_errors=True)
        written = json.dumps({name: value, "epochs": 4})
        (tmp_path / "stub.py").write_text(STUB.replace('"{}"', repr(written)))
        option = f"--{name.replace('_', '-')}"
        words = "--runs", "1", "--", "--epochs=4"
        assert go(grid, tmp_path, *words, f"{option}={value}") == 0
        assert go(grid, tmp_path, *words) == 2
        assert f"{option} was {value}, is" in capsys.readouterr().err
    written = json.dumps({"epr_expected_positives": 3.5, "dtype_policy": "float32"})
    (tmp_path / "stub.py").write_text(STUB.replace('"{}"', repr(written)))
    shutil.rmtree(tmp_path / "out")
    assert [go(grid, tmp_path, *words) for _ in range(2)] == [0, 0], capsys.readouterr().err


@pytest.mark.reliability(
    "a sweep goes on with another dataset, or with one that was packed anew",
    "refused: no run counts as done with the scores of other data",
)
def test_finished_runs_of_another_dataset_are_not_taken_for_these(grid, stub, tmp_path, capsys):
    manifests = {}
    for name, digest in (("data", "a"), ("other", "b")):
        shards = [{"file": "train/0.tfrecord", "records": 1, "sha256": digest * 64}]
        records = {"train": {"records": 1, "shards": shards}}
        manifests[name] = json.dumps({"name": "x", "image_size": 8, "records": records})
    shutil.copytree(tmp_path / "data", tmp_path / "other")
    words = "--runs", "1", "--", "--epochs=4"
    assert go(grid, tmp_path, *words) == 0
    (run,) = (tmp_path / "out").glob("*/recipe.json")
    shutil.copy(tmp_path / "data" / "selected_tags.csv", run.parent)
    run.with_name("dataset.json").write_text(manifests["data"])
    (tmp_path / "data" / "dataset.json").write_text(manifests["data"])
    (tmp_path / "other" / "dataset.json").write_text(manifests["other"])
    assert go(grid, tmp_path, *words) == 0
    before = (tmp_path / "out" / "results.csv").read_bytes()
    assert go(grid, tmp_path, "--dataset", str(tmp_path / "other"), *words) == 2
    assert "holds a run that differs: the dataset has other train records" in capsys.readouterr().err
    (tmp_path / "data" / "selected_tags.csv").write_text("tag_id,name,category,count\n2,b,0,1\n")
    assert go(grid, tmp_path, *words) == 2
    assert "the dataset has another tag list" in capsys.readouterr().err
    assert (tmp_path / "out" / "results.csv").read_bytes() == before
    assert len(calls(tmp_path)) == 1


def test_a_changed_file_trains_nothing_before_it_is_refused_and_says_what_is_left(
    grid, stub, tmp_path, capsys
):
    (tmp_path / "stub.py").write_text(STUB.replace('"{}"', """'{"seed": 5, "epochs": 4}'"""))
    assert go(grid, tmp_path, "--runs", "2", "--", "--epochs=4", "--seed=5") == 0
    grid.write_text(GRID.replace("[0.1, 0.2, 0.3]", "[0.4, 0.1]"))
    assert go(grid, tmp_path, "--", "--epochs=4", "--seed=6") == 2, (
        "its third run is there, with another seed"
    )
    assert len(calls(tmp_path)) == 2
    grid.write_text(GRID.replace("[0.1, 0.2, 0.3]", "[0.4]"))
    capsys.readouterr()
    assert go(grid, tmp_path, "--", "--epochs=4", "--seed=5") == 0
    said = capsys.readouterr().err
    assert "2 runs in" in said
    assert "are none of these 2 and will not be ranked; results.csv keeps what it has of them: learn" in said
    runs = [row["run"].partition(",")[0] for row in results(tmp_path)]
    assert runs == ["learning_rate=0.4"] * 2 + ["learning_rate=0.1"] * 2


def test_fewer_runs_lose_no_results(grid, stub, tmp_path):
    ended = "--", "--epochs=4"
    assert go(grid, tmp_path, *ended) == 1  # two fail
    before = results(tmp_path)
    shutil.rmtree(tmp_path / "out" / before[4]["run"])
    assert go(grid, tmp_path, "--runs", "2", *ended) == 0
    assert results(tmp_path) == [*before[:4], before[5]]
    assert len(calls(tmp_path)) == 6
    assert go(grid, tmp_path, *ended) == 1
    assert results(tmp_path) == before
    assert calls(tmp_path)[6:] == [before[4]["run"]]


def test_a_metric_that_no_run_has_ends_the_sweep_after_the_first(grid, stub, tmp_path, capsys):
    grid.write_text(GRID.replace("name: val_f1", "name: val_f2"))
    for _ in range(2):
        assert go(grid, tmp_path, "--", "--epochs=4") == 2
        shown = capsys.readouterr().err
        assert "metric 'val_f2' is no column of" in shown and "did you mean val_f1" in shown
    assert len(calls(tmp_path)) == 1


def test_a_sweep_over_epochs_says_what_it_set_and_what_is_done(grid, stub, tmp_path):
    grid.write_text(GRID.replace("learning_rate: {values: [0.1, 0.2, 0.3]}", "epochs: {value: 9}"))
    assert go(grid, tmp_path, "--runs", "1", "--", "--learning_rate=0.1") == 0
    assert [(row["epochs"], row["epochs_done"]) for row in results(tmp_path)] == [("9", "4")]


def test_a_killed_training_is_reported_apart_from_its_last_error(grid, stub, tmp_path):
    for ending, error in (
        ("sys.exit('error: diverged')", "diverged"),
        ("os.kill(os.getpid(), 9)", "killed by SIGKILL"),
    ):
        (tmp_path / "stub.py").write_text(f"import os, sys\n{ending}")
        assert go(grid, tmp_path, "--runs", "1", "--retry") == 1
        assert results(tmp_path)[0]["error"] == error


def test_sigterm_reaches_the_training_and_ends_the_sweep(grid, tmp_path, monkeypatch, capsys):
    (tmp_path / "stub.py").write_text(WAITING)
    monkeypatch.setattr(tool, "TRAIN", tmp_path / "stub.py")

    def ask():
        while not list((tmp_path / "out").glob("*/recipe.json")):
            time.sleep(0.02)
        os.kill(os.getpid(), signal.SIGTERM)

    before = signal.getsignal(signal.SIGTERM)  # Ray leaves one of its own
    threading.Thread(target=ask, daemon=True).start()
    assert go(grid, tmp_path) == 0
    assert "the same command continues" in capsys.readouterr().err
    assert [row["state"] for row in results(tmp_path)] == ["stopped", *["waiting"] * 5]
    assert len(list((tmp_path / "out").glob("*/saved"))) == 1
    assert signal.getsignal(signal.SIGTERM) == before


def test_a_signal_that_comes_while_a_training_is_being_started_reaches_it(tmp_path, monkeypatch):
    (tmp_path / "stub.py").write_text("import time\ntime.sleep(600)")
    monkeypatch.setattr(tool, "TRAIN", tmp_path / "stub.py")
    start, training = subprocess.Popen, tool.Training()

    def interrupted(*words, **options):
        process = start(*words, **options)
        signal.raise_signal(signal.SIGTERM)
        return process

    monkeypatch.setattr(subprocess, "Popen", interrupted)
    with training.receiving_signals():
        assert training.run([], tmp_path / "log.txt") == (0, None)
    assert training.process.returncode == -signal.SIGTERM


@pytest.mark.parametrize("flags", [[], ["--retry"]])
def test_results_that_are_no_sweeps_are_kept(grid, stub, tmp_path, capsys, flags):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "results.csv").write_text("name,score\nmine,1\n")
    assert go(grid, tmp_path, *flags) == 2
    assert "results.csv" in capsys.readouterr().err
    assert (tmp_path / "out" / "results.csv").read_text() == "name,score\nmine,1\n"
    assert not (tmp_path / "out" / "calls.txt").exists()


def test_mistakes_end_the_sweep_before_any_training(grid, stub, tmp_path, capsys):
    grid.write_text(GRID.replace("learning_rate:", "learning_rat:"))
    assert go(grid, tmp_path) == 2
    shown = capsys.readouterr().err
    assert "run learning_rat=0.1,flip=True,loss=focal: " in shown and "did you mean --learning-rate" in shown
    grid.write_text(GRID.replace(" demo,", ""))
    assert go(grid, tmp_path) == 2
    assert "names no recipe" in capsys.readouterr().err
    assert go(grid, tmp_path, "--recipe", "demo", "--dry-run") == 0  # the same as --list
    assert len(capsys.readouterr().out.splitlines()) == 6
    assert go(grid, tmp_path, "--runs", "0") == 2
    assert go(grid, tmp_path, "-o", "memory://bucket/sweep") == 2
    assert "a folder of this machine" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


@pytest.mark.reliability("A sweep that would be refused", "its dry run is refused, too; nothing is written")
def test_a_list_refuses_what_a_sweep_refuses(grid, stub, tmp_path, capsys):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "a.txt").write_text("a")
    for words, said in (
        (["--dataset", str(tmp_path / "nothing")], "a dataset folder was expected at"),
        (["-o", str(tmp_path / "mine")], "holds other things and no sweep"),
        (["-o", str(tmp_path / "mine" / "a.txt" / "b")], f"{tmp_path / 'mine' / 'a.txt'} is a file"),
    ):
        for more in ([], ["--list"]):
            assert go(grid, tmp_path, *words, *more) == 2
            assert said in capsys.readouterr().err
    (tmp_path / "stub.py").write_text(STUB.replace('"{}"', """'{"seed": 5, "epochs": 4}'"""))
    assert go(grid, tmp_path, "--runs", "1", "--", "--epochs=4", "--seed=5") == 0
    assert go(grid, tmp_path, "--runs", "1", "--list", "--", "--epochs=4", "--seed=5") == 0
    assert go(grid, tmp_path, "--runs", "1", "--list", "--", "--epochs=4", "--seed=6") == 2
    assert "holds a run that differs" in capsys.readouterr().err
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["a.txt"]
    assert not (tmp_path / "mine").with_name("nothing").exists()
