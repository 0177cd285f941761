"""Utils/recipe/command_line.py: flags of every type, what they default to, errors of one paragraph."""

import dataclasses
import io
import sys

import pytest

from Utils.command.cli import UserError
from Utils.recipe import command_line
from Utils.recipe.recipe import Recipe, flag, load_recipe

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
        assert f"{flag(field.name)} " in shown or f"{flag(field.name)}," in shown


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
        ("demo --dataset x --run-dir -", "--run-dir is a file or a folder"),
        ("demo --run-dir x", "--dataset DATASET is missing"),
        ("demo --dataset x", "--run-dir RUN (or --dry-run) is missing"),
        ("demo --dataset x --dry-run --learnin-rate 3", "did you mean --learning-rate"),
        ("demo --dataset x --dry-run --lr 3", "did you mean --learning-rate?"),
        ("demo --dataset x -o runs/x", "no option is named -o; did you mean --run-dir?"),
        ("demo --dataset x --dry-run --wd=3", "did you mean --weight-decay?"),
        ("demo --dataset x --dry-run --drop-path 3", "did you mean --stochastic-depth?"),
        ("demo --dataset x --dry-run --learning-rate abc", "--learning-rate must be a number; got 'abc'"),
        ("demo --dataset x --dry-run --epochs 1.5", "--epochs must be a whole number; got '1.5'"),
        ("demo --dataset x --dry-run --profile=x", "--profile must be a whole number or None; got 'x'"),
        ("demo --dataset x --momentum 1 --momentum x --dry-run", "must be a number or None; got 'x'"),
        ("demo --dataset x --dry-run --crop a b", "--crop must be 2 numbers; got 'a b'"),
        ("demo --dataset x --dry-run --teacher-weight 0.5", "--teacher-weight goes with --teacher"),
        ("demo --dataset x --dry-run --sampling-threshold 1", "--sampling repeat_factor; got uniform"),
        ("demo --dataset x --dry-run --tracker wand", "'wandb', 'tensorboard', 'none'"),
        ("demo --dataset x --dry-run stray", "stray"),
        ("demo --dataset x --dry-run --crop 1", "--crop"),
        ("demo --dataset x --dry-run --crop 0.9 0.5", "0.9 0.5"),
        ("demo --dataset x --dry-run --mixup-alpha -1", "--mixup-alpha must be at least 0; got -1"),
        ("demo --dataset x --dry-run --epochs 0", "--epochs must be at least 1"),
        ("demo --dataset x --dry-run --seed 4294967296", "--seed must be from 0 to 4294967295"),
        ("demo --dataset x --dry-run --fold ²/5", "--fold takes I/K"),
        (
            "demo --dataset x --dry-run --learning-rate nan",
            "--learning-rate must be above 0 and at most 1,000; got nan",
        ),
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


def test_a_mistake_is_reported_under_any_encoding_of_stdout(monkeypatch):
    """tyro draws its boxes with other characters there."""
    messages = set()
    for encoding in ("utf-8", "UTF-8", "latin-1"):
        monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(io.BytesIO(), encoding))
        with pytest.raises(UserError) as error:
            parsed("--augment-on", "tpu")
        messages.add(str(error.value))
    (message,) = messages
    assert message.startswith("invalid choice 'tpu' for argument '--augment-on'")


def test_a_topology_is_seen_before_anything_is_parsed():
    assert command_line.names_topology([*WORDS, "--topology", "v5e:2x4"])
    assert command_line.names_topology([*WORDS, "--topology=v5e:2x4"])
    assert not command_line.names_topology([*WORDS, "--dry-run"])


def test_a_probe_refuses_what_it_does_not_do():
    assert parsed("--probe", "--mixup-alpha", "0", "--crop", "1", "1", "--no-flip").recipe.probe
    parsed("--mixup-alpha", "0.4", "--rotation", "5")
    with pytest.raises(UserError, match=r"without effect would be --mixup-alpha, --rotation: leave"):
        parsed("--probe", "--rotation", "5", "--mixup_alpha=0.4", "--cutout", "0")


def test_a_topology_compiles_whole_models():
    assert parsed("--dry-run", "--topology", "v5e:2x4", "--fold", "0/3").topology == "v5e:2x4"
    with pytest.raises(UserError, match="only the classifier is trained"):
        parsed("--dry-run", "--topology", "v5e:2x4", "--probe")
    with pytest.raises(UserError, match="--dry-run, which is missing"):
        parsed("--topology", "v5e:2x4")
    with pytest.raises(UserError, match="--topology, which is missing"):
        parsed("--dry-run", "--largest-batch")
