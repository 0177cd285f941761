"""Utils/recipe/recipe.py, command_line.py, durations.py: the command line, errors, recipe.json, derived
numbers."""

import dataclasses
import json

import pytest

from Utils.command.cli import UserError
from Utils.recipe import command_line, durations
from Utils.recipe.recipe import Recipe, load_recipe, read_recipe, recipe_from_dict, write_recipe

WORDS = ["convnext_t", "--dataset", "DATA", "--run-dir", "RUN"]


def parsed(*more):
    return command_line.parse([*WORDS, *more])[1]


def test_a_recipe_without_flags_is_the_recipe():
    name, arguments = command_line.parse(WORDS)
    assert (name, arguments.dataset, arguments.run_dir, arguments.dry_run) == (
        "convnext_t",
        "DATA",
        "RUN",
        False,
    )
    assert arguments.recipe == load_recipe("convnext_t")


def test_every_field_is_a_flag_with_help(capsys):
    with pytest.raises(SystemExit) as stop:
        command_line.parse(["demo", "--help"])
    shown = capsys.readouterr().out
    assert stop.value.code == 0
    for field in dataclasses.fields(Recipe):
        assert f"--{field.name.replace('_', '-')} " in shown or f"--{field.name.replace('_', '-')}," in shown


def test_flags_of_every_type():
    words = """--learning-rate 0.25 --epochs 7 --no-flip --crop 0.5 0.75 --tracker none --attention eca
    --steps-per-epoch 3 --methods area bicubic --model-options depths=1,1 widths=8,16 --dry-run"""
    recipe = parsed(*words.split()).recipe
    assert (recipe.learning_rate, recipe.epochs, recipe.flip, recipe.crop) == (0.25, 7, False, (0.5, 0.75))
    assert (recipe.tracker, recipe.steps_per_epoch, recipe.methods) == ("none", 3, ("area", "bicubic"))
    overrides = {"stochastic_depth": 0.1, "attention": "eca", "depths": (1, 1), "widths": (8, 16)}
    assert recipe.model_overrides() == overrides


@pytest.mark.parametrize("words", ["--flip=False", "--flip false", "--no-flip", "--flip --no-flip"])
def test_sweeps_may_spell_switches_as_they_do(words):
    assert parsed(*words.split()).recipe.flip is False


def test_an_agent_names_the_folder_by_its_environment(monkeypatch):
    """W&B fills macros in before it sets the run's id, so train.py does it itself."""
    monkeypatch.setenv("WANDB_RUN_ID", "abc")
    assert parsed("--run-dir=sweeps/x/$WANDB_RUN_ID").run_dir == "sweeps/x/abc"
    monkeypatch.delenv("WANDB_RUN_ID")
    with pytest.raises(UserError, match=r"the environment variable \$WANDB_RUN_ID is not set"):
        parsed("--run-dir=sweeps/x/$WANDB_RUN_ID")


def test_sweeps_may_spell_flags_with_underscores_and_equals():
    lists = parsed("--crop=[0.5, 0.75]", "--methods=['area']", "--model_options=['depths=1,1']").recipe
    assert (lists.crop, lists.methods, lists.model_options) == ((0.5, 0.75), ("area",), ("depths=1,1",))
    recipe = parsed("--learning_rate=0.5", "--mixup_alpha=0", "--flip=true").recipe
    assert (recipe.learning_rate, recipe.mixup_alpha, recipe.flip) == (0.5, 0, True)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("", "the first word names a recipe"),
        ("--dataset x", "the first word names a recipe"),
        ("convnext --dataset x", "did you mean convnext_t"),
        ("demo --run-dir x", "--dataset DATASET is missing"),
        ("demo --dataset x", "--run-dir RUN (or --dry-run) is missing"),
        ("demo --dataset x --dry-run --learnin-rate 3", "did you mean --learning-rate"),
        ("demo --dataset x --dry-run --learning-rate abc", "'abc'"),
        ("demo --dataset x --dry-run --epochs 1.5", "'1.5'"),
        ("demo --dataset x --dry-run --tracker wand", "'wandb', 'tensorboard', 'none'"),
        ("demo --dataset x --dry-run stray", "stray"),
        ("demo --dataset x --dry-run --crop 1", "--crop"),
        ("demo --dataset x --dry-run --crop 0.9 0.5", "0.9 0.5"),
        ("demo --dataset x --dry-run --mixup-alpha -1", "--mixup-alpha must be at least 0; got -1"),
        ("demo --dataset x --dry-run --epochs 0", "--epochs must be at least 1"),
        ("demo --dataset x --dry-run --seed 4294967296", "--seed must be from 0 to 4294967295"),
        ("demo --dataset x --dry-run --fold ²/5", "--fold takes I/K"),
        ("demo --dataset x --dry-run --learning-rate nan", "--learning-rate must be above 0; got nan"),
        ("demo --dataset x --dry-run --warmup 5m", "not in time"),
        ("demo --dataset x --dry-run --checkpoint-every soon", "'soon'"),
        ("demo --dataset x --dry-run --model-options depths", "NAME=VALUE"),
    ],
)
def test_a_wrong_word_is_one_paragraph(words, said):
    with pytest.raises(UserError) as error:
        command_line.parse(words.split())
    assert said in str(error.value)
    assert "│" not in str(error.value)
    assert "\n" not in str(error.value)


def test_recipe_json_reads_back(tmp_path):
    recipe = parsed("--model-options", "depths=2,2", "--crop", "0.5", "0.75").recipe
    write_recipe(tmp_path / "recipe.json", "convnext_t", recipe)
    name, fields = read_recipe(tmp_path / "recipe.json")
    assert (name, recipe_from_dict(fields)) == ("convnext_t", recipe)
    assert json.loads((tmp_path / "recipe.json").read_text())["crop"] == [0.5, 0.75]
    with pytest.raises(UserError, match="'crops'; did you mean crop"):
        recipe_from_dict({"crops": 1})


def test_none_and_default_of_model_options():
    assert "attention" not in Recipe().model_overrides()
    assert Recipe(attention="none").model_overrides()["attention"] is None
    assert Recipe(compensate_avgpool_var=False).model_overrides() == {"compensate_avgpool_var": False}


def test_a_loss_gets_its_own_options():
    recipe = Recipe(loss="asl", asl_gamma_neg=4.0, asl_clip=0.05, focal_gamma=1.0)
    assert recipe.loss_options() == {"gamma_neg": 4.0, "gamma_pos": 0.0, "clip": 0.05, "label_smoothing": 0.0}
    assert Recipe(loss="bce", label_smoothing=0.1).loss_options() == {"label_smoothing": 0.1}


def test_the_learning_rate_scales_with_the_batch():
    recipe = Recipe(learning_rate=0.1, learning_rate_batch_size=256)
    assert recipe.peak_learning_rate(256) == 0.1
    assert recipe.peak_learning_rate(64) == pytest.approx(0.025)
    assert Recipe(learning_rate=0.1, learning_rate_batch_size=0).peak_learning_rate(64) == 0.1


def test_steps_are_derived_from_the_records():
    assert Recipe().steps(100, 32) == 3
    assert Recipe().steps(5, 32) == 1
    assert Recipe(steps_per_execution=4).steps(1000, 10) == 100
    assert Recipe(steps_per_epoch=7).steps(1000, 10) == 7
    for recipe in (Recipe(steps_per_epoch=7, steps_per_execution=2), Recipe(steps_per_execution=8)):
        with pytest.raises(UserError, match="multiple of --steps-per-execution .; --steps-per-epoch (6|96)"):
            recipe.steps(1000, 10)


@pytest.mark.parametrize(
    ("text", "steps"),
    [("5 epochs", 50), ("5", 50), ("0.25 epochs", 2), ("7 steps", 7), ("65 images", 3), ("1e3 steps", 1000)],
)
def test_durations_in_steps(text, steps):
    assert durations.parse(text).steps(10, 32) == steps


def test_durations_in_time():
    seconds = {"90s": 90, "10m": 600, "2 h": 7200, "1.5 hours": 5400}
    assert {text: durations.parse(text, time=True).amount for text in seconds} == seconds
    with pytest.raises(UserError, match="not in time"):
        durations.parse("10m", time=True).steps(10, 32)


@pytest.mark.parametrize(
    "text", ["", "epochs", "5 weeks", "-3 steps", "3 steps 2 epochs", "1.2.3", "inf", "1e999 s"]
)
def test_lengths_that_are_none(text):
    with pytest.raises(UserError, match="length"):
        durations.parse(text, time=True)
