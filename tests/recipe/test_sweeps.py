"""Utils/recipe/sweeps.py: what a sweep file may say, and which runs follow from it."""

import json
import pathlib

import numpy as np
import pytest

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


@pytest.fixture
def grid(tmp_path):
    (tmp_path / "grid.yaml").write_text(GRID)
    return tmp_path / "grid.yaml"


def parsed(tmp_path, text):
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
    assert sweeps.folder_name(runs[0]) == "learning_rate=0.1,flip=True,loss=focal"
    assert len({sweeps.folder_name(run) for run in runs}) == 6


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
    sweep = parsed(tmp_path, DRAWN)
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
        ("method: bayes\nparameters: {a: {value: 1}}", "method must be grid or random; got 'bayes'"),
        ("method: grid\nparameters: {a: {min: 1, max: 2}}", "parameter a: a grid must have value or values"),
        ("method: grid\nparameters: {a: {valeus: [1]}}", "did you mean values"),
        (
            "method: random\nparameters: {a: {distribution: beta, min: 1, max: 2}}",
            "must be one of constant",
        ),
        ("method: random\nparameters: {a: 3}", "parameter a: it must have some of value, values"),
        ("method: grid\nparameters: {a: {values: []}}", "a list of values, one at least"),
        (
            "method: random\nparameters: {a: {values: [1, 2], probabilities: [1]}}",
            "as many probabilities",
        ),
        ("method: random\nparameters: {a: {min: 3, max: 1}}", "a min up to its max"),
        (
            "method: random\nparameters: {a: {distribution: log_uniform_values, min: 0, max: 1}}",
            "above 0 for a logarithm",
        ),
        (
            "method: random\nparameters: {a: {distribution: q_uniform, min: 0, max: 1, q: 0}}",
            "q must be above 0",
        ),
        ("method: random\nparameters: {a: {distribution: normal, sigma: x}}", "sigma must be a number"),
        ("method: random\nparameters: {a: {distribution: int_uniform, min: 1.5, max: 3}}", "whole numbers"),
        ("method: grid\nmetric: val_f1\nparameters: {a: {value: 1}}", "metric must be"),
        ("method: grid\ncommand: python\nparameters: {a: {value: 1}}", "command must be a list"),
        ("method: grid\nrun_cap: x\nparameters: {a: {value: 1}}", "run_cap must be"),
        ("method: grid\nrun_cap: true\nparameters: {a: {value: 1}}", "run_cap must be"),
        ("method: grid\nparameters: {}", "parameters must be one field at least"),
        ("method: grid\nrun_cpa: 3\nparameters: {a: {value: 1}}", "run_cpa has no effect here; did you mean"),
        ("method: grid\nearly_terminate: {}\nparameters: {a: {value: 1}}", "early_terminate has no effect"),
        ("method: grid\nmetric: {name: x, goal: maximise}\nparameters: {a: {value: 1}}", "metric must be"),
        ("method: grid\nmetric: {name: x, gaol: maximize}\nparameters: {a: {value: 1}}", "metric must be"),
        ("method: grid\nparameters: {a_b: {value: 1}, a-b: {value: 2}}", "parameter a-b: it is given twice"),
        ("method: grid\nparameters: {a: {value: {b: 1}}}", "value must be a number, a text"),
        ("method: grid\nparameters: {a: {values: [1, {b: 1}]}}", "each a number, a text"),
        ("method: random\nparameters: {a: {distribution: normal, sigma: -1}}", "sigma must be at least 0"),
        ("method: random\nparameters: {a: {min: true, max: 3}}", "min must be a number"),
    ],
)
def test_a_file_that_is_no_sweep_is_refused(tmp_path, text, said):
    with pytest.raises(UserError) as error:
        parsed(tmp_path, text)
    assert said in str(error.value)


def test_settings_that_come_twice_are_one_run(tmp_path):
    sweep = parsed(tmp_path, "method: grid\nparameters: {a: {values: [1, 2, 1]}, b: {values: [true, null]}}")
    assert [run["a"] for run in sweeps.runs(sweep)] == [1, 1, 2, 2]
    sweep = parsed(tmp_path, "method: random\nparameters: {a: {min: 1, max: 2}}")
    assert len(sweeps.runs(sweep, 30)) == 2


def test_a_sweep_over_losses_leaves_out_the_options_of_others(tmp_path):
    sweep = parsed(
        tmp_path,
        "method: grid\nparameters:\n  loss: {values: [bce, focal, asl]}\n  focal_gamma: {values: [1, 2]}\n"
        "  asl_clip: {value: 0.05}\n  learning_rate: {value: 0.1}\n",
    )
    runs = sweeps.runs(sweep)
    assert [sweeps.folder_name(run) for run in runs] == [
        "loss=bce,learning_rate=0.1",
        "loss=focal,focal_gamma=1,learning_rate=0.1",
        "loss=focal,focal_gamma=2,learning_rate=0.1",
        "loss=asl,asl_clip=0.05,learning_rate=0.1",
    ]
    for count in range(1, 5):
        assert sweeps.runs(sweep, count) == runs[:count], "what is left out does not count"
    drawn = "method: random\nparameters: {loss: {values: [bce, focal]}, focal_gamma: {min: 1.0, max: 3.0}}"
    drawn_runs = sweeps.runs(parsed(tmp_path, drawn), 8)
    assert len(drawn_runs) == 8
    assert drawn_runs.count({"loss": "bce"}) == 1
    sweep = parsed(tmp_path, "method: grid\nparameters: {loss: {value: bce}, focal_gamma: {values: [1, 2]}}")
    assert [run["focal_gamma"] for run in sweeps.runs(sweep)] == [1, 2], "train.py refuses them"


def test_a_sweep_over_schedules_and_warm_ups_leaves_out_what_some_lack(tmp_path):
    sweep = parsed(
        tmp_path,
        "method: grid\nparameters: {schedule: {values: [constant, cosine]}, floor: {values: [0.1, 0.2]},"
        " warmup: {values: [0, 1 epochs]}, warmup_start: {value: 0.5}}",
    )
    runs = sweeps.runs(sweep)
    assert len(runs) == 6
    assert [sorted(run) for run in runs[:2]] == [
        ["schedule", "warmup"],
        ["schedule", "warmup", "warmup_start"],
    ]


def test_a_search_of_too_many_runs_is_refused_at_once(tmp_path):
    sweep = parsed(tmp_path, "method: random\nparameters: {a: {min: 0.5, max: 2}}")
    with pytest.raises(UserError, match="the random has 3,000,000 runs; allowed are 100,000"):
        sweeps.runs(sweep, 3_000_000)


@pytest.mark.parametrize(
    ("parameters", "flags", "said"),
    [
        ("{epochs: {value: 1}}", ["--epochs=5"], "--epochs is given for all runs"),
        ("{mixup_alpha: {value: 1}}", ["--mixup_alpha", "5"], "--mixup-alpha is given for all runs"),
        ("{flip: {values: [true, false]}}", ["--no-flip"], "--flip is given for all runs"),
        ("{epochs: {value: 1}}", ["--run-dir=x"], "--run-dir cannot be set for a run"),
        ("{epochs: {value: 1}}", ["--dry-run"], "--dry-run cannot be set for a run"),
        ("{dataset: {values: [x, y]}}", [], "--dataset cannot be set for a run"),
    ],
)
def test_what_would_win_or_lose_without_a_word_is_refused(tmp_path, parameters, flags, said):
    sweep = parsed(tmp_path, f"method: grid\nparameters: {parameters}")
    with pytest.raises(UserError, match=said):
        sweeps.require_apart(sweep, flags)


@pytest.mark.parametrize("path", READY, ids=lambda path: path.stem)
def test_every_ready_sweep_sets_fields_that_exist(path):
    sweep = sweeps.read(path)
    for values in sweeps.runs(sweep):
        recipe = command_line.parse([*sweeps.train_words(sweep, values), "--dataset=D", "--run-dir=R"])[
            1
        ].recipe
        assert all(getattr(recipe, field) == value for field, value in values.items())
    searched = {"mixup_alpha", "focal_alpha", "asl_gamma_neg", "cutout", "learning_rate", "seed"}
    assert set(sweep.parameters) & searched


def test_every_sweep_of_the_original_is_there():
    assert {path.stem for path in READY} >= {"mixup_alpha", "focal", "asl", "cutout", "learning_rate"}


def test_the_words_of_a_run(tmp_path, monkeypatch):
    command = [
        "python",
        "${program}",
        "demo",
        "--loss=${envvar:LOSS}",
        "--dataset=x",
        "--run_dir=y",
        "${args}",
    ]
    text = f"method: grid\nparameters: {{epochs: {{value: 3}}}}\ncommand: {json.dumps(command)}"
    sweep = parsed(tmp_path, text)
    with pytest.raises(UserError, match="environment variable LOSS, which is not set"):
        sweeps.train_words(sweep, {"epochs": 3})
    monkeypatch.setenv("LOSS", "asl")
    assert sweeps.train_words(sweep, {"epochs": 3}) == ["demo", "--loss=asl", "--epochs=3"]
    assert sweeps.train_words(sweep, {"epochs": 3}, "vit_b16") == ["vit_b16", "--loss=asl", "--epochs=3"]
    with pytest.raises(UserError, match="names no recipe"):
        sweeps.train_words(parsed(tmp_path, "method: grid\nparameters: {a: {value: 1}}"), {})
