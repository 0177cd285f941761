"""Utils/recipe/sweeps.py and tools/sweep.py: which runs there are, what is trained again, what the results
say."""

import csv
import os
import pathlib
import signal
import threading
import time

import numpy as np
import pytest

from tools import sweep as tool
from Utils.command.cli import UserError
from Utils.recipe import command_line, sweeps

ROOT = pathlib.Path(__file__).resolve().parents[2]
READY = sorted((ROOT / "tools" / "sweeps").glob("*.yaml"))
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
    return tmp_path / "grid.yaml"


def made(tmp_path, text):
    (tmp_path / "x.yaml").write_text(text)
    return sweeps.read(tmp_path / "x.yaml")


def test_a_grid_is_every_combination_in_order(grid):
    sweep = sweeps.read(grid)
    runs = sweeps.runs(sweep)
    assert [(run["learning_rate"], run["flip"]) for run in runs[:3]] == [
        (0.1, True),
        (0.1, False),
        (0.2, True),
    ]
    assert len(runs) == 6 and {run["loss"] for run in runs} == {"focal"}
    assert sweeps.runs(sweep, 2) == runs[:2]
    assert sweeps.name_of(runs[0]) == "learning_rate=0.1,flip=True,loss=focal"
    assert len({sweeps.name_of(run) for run in runs}) == 6


DRAWN = """method: random
parameters:
  a: {min: 0.5, max: 1.5}
  b: {min: 2, max: 4}
  c: {distribution: log_uniform_values, min: 0.0001, max: 1.0}
  d: {values: [x, y], probabilities: [0.25, 0.75]}
  e: {distribution: q_uniform, min: 0, max: 1, q: 0.1}
  f: {distribution: normal, mu: 5, sigma: 2}
  g: {value: 7}
"""


def test_random_runs_are_functions_of_seed_and_number(tmp_path):
    sweep = made(tmp_path, DRAWN)
    runs = sweeps.runs(sweep, 2000, seed=3)
    assert runs[:5] == sweeps.runs(sweep, 5, seed=3)
    assert runs[:5] != sweeps.runs(sweep, 5, seed=4)
    column = {name: [run[name] for run in runs] for name in "abcdefg"}
    assert 0.5 <= min(column["a"]) < 0.51 and 1.49 < max(column["a"]) <= 1.5
    assert set(column["b"]) == {2, 3, 4}
    assert np.mean(np.log10(column["c"])) == pytest.approx(-2, abs=0.1)
    assert column["d"].count("y") / 2000 == pytest.approx(0.75, abs=0.04)
    assert set(column["e"]) == {round(k / 10, 1) for k in range(11)}
    assert (np.mean(column["f"]), np.std(column["f"])) == pytest.approx((5, 2), abs=0.2)
    with pytest.raises(UserError, match="needs --runs N"):
        sweeps.runs(sweep)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("x", "needs method and parameters"),
        ("a: [", "is no YAML"),
        ("method: bayes\nparameters: {a: {value: 1}}", "grid or random here; got 'bayes'"),
        ("method: grid\nparameters: {a: {min: 1, max: 2}}", "a must have value or values in a grid"),
        ("method: grid\nparameters: {a: {valeus: [1]}}", "did you mean values"),
        ("method: random\nparameters: {a: {distribution: beta, min: 1, max: 2}}", "a must have values"),
        ("method: random\nparameters: {a: 3}", "parameter a has 3"),
        ("method: grid\nparameters: {a: {values: []}}", "a list of values, one at least"),
        ("method: random\nparameters: {a: {values: [1, 2], probabilities: [1]}}", "as many probabilities"),
        ("method: random\nparameters: {a: {min: 3, max: 1}}", "a min up to its max"),
        (
            "method: random\nparameters: {a: {distribution: log_uniform_values, min: 0, max: 1}}",
            "above 0 for a logarithm",
        ),
        ("method: random\nparameters: {a: {distribution: q_uniform, min: 0, max: 1, q: 0}}", "q above 0"),
        ("method: random\nparameters: {a: {distribution: normal, sigma: x}}", "numbers as mu, sigma and q"),
        ("method: random\nparameters: {a: {distribution: int_uniform, min: 1.5, max: 3}}", "whole numbers"),
        ("method: grid\nmetric: val_f1\nparameters: {a: {value: 1}}", "metric must be"),
        ("method: grid\ncommand: python\nparameters: {a: {value: 1}}", "command must be a list"),
        ("method: grid\nrun_cap: x\nparameters: {a: {value: 1}}", "run_cap must be"),
    ],
)
def test_what_is_no_sweep(tmp_path, text, said):
    with pytest.raises(UserError) as error:
        made(tmp_path, text)
    assert said in str(error.value)


@pytest.mark.parametrize("path", READY, ids=lambda path: path.stem)
def test_every_ready_sweep_sets_fields_that_exist(path, monkeypatch):
    monkeypatch.setenv("DATASET", "D")
    sweep = sweeps.read(path)
    for chosen in sweeps.runs(sweep):
        recipe = command_line.parse([*sweeps.words_of(sweep, chosen), "--run-dir=R"])[1].recipe
        assert all(getattr(recipe, field) == value for field, value in chosen.items())
    assert set(sweep.parameters) & {"mixup_alpha", "focal_alpha", "asl_gamma_neg", "cutout", "learning_rate"}


def test_the_sweeps_of_the_seed_are_there():
    assert {path.stem for path in READY} == {"mixup_alpha", "focal", "asl", "cutout", "learning_rate"}


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
    assert shown.out.splitlines()[-5].startswith("0.3000  learning_rate=0.3,flip=True")
    assert "2 failed" in shown.err and "diverged at step 7" in shown.err
    rows = results(tmp_path)
    assert [row["state"] for row in rows] == ["done", "done", "failed", "failed", "done", "done"]
    assert (rows[0]["best_epoch"], rows[0]["val_f1"], rows[0]["train_loss"]) == ("3", "0.1", "2.0")
    assert (rows[0]["loss"], rows[0]["error"]) == ("focal", "")
    assert rows[2]["error"] == "diverged at step 7"
    assert go(grid, tmp_path, *words) == 1
    assert len(calls(tmp_path)) == 6, "what diverged stays so"
    assert go(grid, tmp_path, "--retry", *words) == 1
    assert len(calls(tmp_path)) == 8
    (tmp_path / "out" / rows[0]["run"] / "model.keras").unlink()
    assert go(grid, tmp_path, "--runs", "1", *words) == 0
    assert len(calls(tmp_path)) == 9, "a run that was stopped goes on"


def test_what_train_refuses_has_not_failed(grid, stub, tmp_path, capsys):
    """Such as a folder in which the training of a sweep that was killed goes on."""
    (tmp_path / "stub.py").write_text("import sys\nprint('error: not now,', sys.argv[-2])\nsys.exit(2)")
    assert go(grid, tmp_path, "--dataset", "memory://bucket/x") == 2
    assert "not now, --dataset=memory://bucket/x" in capsys.readouterr().err
    (tmp_path / "stub.py").write_text(STUB)
    go(grid, tmp_path, "--runs", "1", "--", "--epochs=4")
    assert [row["state"] for row in results(tmp_path)] == ["done"]


def test_a_killed_training_is_told_from_its_last_error(grid, stub, tmp_path):
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


def test_mistakes_train_nothing(grid, stub, tmp_path, capsys):
    grid.write_text(GRID.replace("learning_rate:", "learning_rat:"))
    assert go(grid, tmp_path) == 2
    assert "did you mean --learning-rate" in capsys.readouterr().err
    grid.write_text(GRID.replace(" demo,", ""))
    assert go(grid, tmp_path) == 2
    assert "names no recipe" in capsys.readouterr().err
    assert go(grid, tmp_path, "--recipe", "demo", "--list") == 0
    assert len(capsys.readouterr().out.splitlines()) == 6
    assert go(grid, tmp_path, "--runs", "0") == 2
    assert go(grid, tmp_path, "-o", "memory://bucket/sweep") == 2
    assert "a folder of this machine" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
