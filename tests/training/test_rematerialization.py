"""--rematerialize auto: blocks are rematerialized where a compiled step does not fit without, only there."""

import dataclasses
import types

import pytest

from Utils.recipe.command_line import ParsedArguments
from Utils.recipe.recipe import Recipe, write_recipe
from Utils.training import compiled_step, rematerialization, run_folder
from Utils.training.compiled_step import CompiledStep
from Utils.training.devices import Devices
from Utils.training.experiment import Experiment
from Utils.training.topology import Topology

GB = 10**9
TARGET = Topology("v5e:2x4", 8, "TPU v5 lite", 16 * GB)
AUTO = Recipe(model="ViT/test", rematerialize="auto")
STEP = CompiledStep(True, 14 * GB, GB, 13 * GB, 1e13, 4e11, {}, None, 100.0, 1e13)


@pytest.fixture
def decide(monkeypatch):
    """Decides for a device of so many bytes; steps need 14 GB, 4 with rematerialized blocks."""
    tried = []

    def compile_step(experiment, target, batch_size, level):
        form = experiment.recipe.rematerialize
        tried.append((form, target.name, batch_size, level))
        need, flops = {"none": (14 * GB, 1.0e13), "blocks": (4 * GB, 1.33e13)}[form]
        return dataclasses.replace(
            STEP, memory_bytes=need, matrix_flops=flops, fits=need <= target.memory_limit
        )

    monkeypatch.setattr(compiled_step, "compile_step", compile_step)

    def decide(memory_limit, devices=None, recipe=AUTO, **arguments):
        experiment = Experiment(
            recipe, None, devices, {"batch_size": 256}, None, None, "model", "model", None
        )  # pyright: ignore[reportArgumentType]
        target = memory_limit and dataclasses.replace(TARGET, memory_limit=memory_limit)
        return rematerialization.decide(
            experiment,
            target,
            ParsedArguments(recipe, **arguments),
            lambda model, recipe, rows: f"{model}, {recipe.rematerialize}",
            lambda experiment, frozen, start_step: None,
        )

    decide.tried = tried
    return decide


def test_what_fits_is_compiled_once_and_left_as_it_is(decide, capsys):
    experiment = decide(16 * GB)
    assert (experiment.recipe.rematerialize, experiment.trained_model) == ("none", "model, none")
    assert decide.tried == [("none", "v5e:2x4", 256, "low")]
    assert (
        capsys.readouterr()
        .err.splitlines()[-1]
        .endswith("--rematerialize auto is none: a device has 16 GB, and needs 14 GB without")
    )


def test_what_does_not_fit_is_compiled_again_and_its_cost_said(decide):
    experiment = decide(13 * GB, effort="full")
    assert (experiment.recipe.rematerialize, experiment.trained_model) == ("blocks", "model, blocks")
    assert [(form, level) for form, _, _, level in decide.tried] == [("none", "full"), ("blocks", "full")]
    decision = experiment.facts["rematerialize"]
    assert decision == {
        "chosen": "blocks",
        "memory_limit_bytes": 13 * GB,
        "memory_bytes": {"none": 14 * GB, "blocks": 4 * GB},
        "matrix_flops": {"none": 1.0e13, "blocks": 1.33e13},
    }
    assert rematerialization.text(decision) == (
        "blocks: a device has 13 GB, and needs 14 GB without, 4 GB with; 1.33e+13 instead of 1e+13 FLOPs of "
        "convolutions and matrix products (+33%)"
    )
    assert decide(3 * GB).recipe.rematerialize == "blocks", "it comes nearest"


def test_the_largest_batch_has_rematerialized_blocks(decide):
    assert decide(16 * GB, largest_batch=True).recipe.rematerialize == "blocks"
    assert [form for form, *_ in decide.tried] == ["blocks"]


def test_devices_that_do_not_say_their_memory_compute_blocks_once(decide):
    experiment = decide(None, Devices("1 CPU", "CPU", 1, False))
    assert (experiment.recipe.rematerialize, experiment.trained_model) == ("none", "model")
    assert "none: only the step of a whole model" in rematerialization.text(experiment.facts["rematerialize"])
    probe = dataclasses.replace(AUTO, probe=True)
    assert decide(None, types.SimpleNamespace(), probe).recipe.rematerialize == "none"
    assert not decide.tried


def test_devices_that_are_here_are_asked_and_compiled_for_as_the_run_does(decide, monkeypatch):
    here = Devices("1 GPU", "GPU", 1, True)
    monkeypatch.setattr(Devices, "compiled_for", lambda self: Topology("", 1, "H200", 13 * GB))
    assert decide(None, here).recipe.rematerialize == "blocks"
    assert decide.tried[0] == ("none", "", 256, "full")


def test_a_run_that_is_continued_keeps_what_it_was_started_with(tmp_path, capsys):
    assert run_folder.as_recorded(AUTO, str(tmp_path)) == AUTO
    write_recipe(tmp_path / "recipe.json", "vit", dataclasses.replace(AUTO, rematerialize="blocks"))
    assert run_folder.as_recorded(AUTO, str(tmp_path)).rematerialize == "blocks"
    assert "--rematerialize auto is blocks, as this run was started" in capsys.readouterr().err
    named = dataclasses.replace(AUTO, rematerialize="none")
    assert run_folder.as_recorded(named, str(tmp_path)) == named
    other = dataclasses.replace(AUTO, batch_size_per_device=64)
    assert run_folder.as_recorded(other, str(tmp_path)) == other, "it needs another memory"
