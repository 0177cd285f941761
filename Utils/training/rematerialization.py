"""Whether blocks are rematerialized where the recipe leaves it to the memory (``--rematerialize auto``).

The step is compiled as it would run, without rematerialized blocks and, only if it does not fit, with them. A
run records the answer: it is asked once, not whenever the run is continued.
"""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import keras

from Utils.recipe.command_line import ParsedArguments
from Utils.recipe.recipe import Recipe
from Utils.training import compiled_step, console, memory_estimate
from Utils.training.compiled_step import CompiledStep
from Utils.training.experiment import Experiment
from Utils.training.topology import Topology

FORMS = ("none", "blocks")


def decide(
    experiment: Experiment,
    target: Topology | None,
    arguments: ParsedArguments,
    trained_model: Callable[[keras.Model, Recipe, int], keras.Model],
    compile_model: Callable[..., None],
) -> Experiment:
    """Return the experiment with rematerialized blocks if its step does not fit without, else as it is.

    Args:
        experiment: one whose recipe has ``rematerialize="auto"``.
        target: the devices that the step is compiled for; None: those of the experiment, if they say what
            memory they have.
        arguments: the compiler's effort; for the largest batch only the form with the least memory is tried.
        trained_model: of a model, a recipe and ``mixup_rows``, what is trained.
        compile_model: ``compile_model(experiment, frozen=, start_step=)`` compiles that with an optimizer.

    Among the facts of the returned one is the decision, ``{"rematerialize": {"chosen", ...}}``, see `text`.
    """

    def candidate(form: str) -> Experiment:
        recipe = dataclasses.replace(experiment.recipe, rematerialize=form)
        model = trained_model(experiment.model, recipe, experiment.mixup_rows)
        return dataclasses.replace(experiment, recipe=recipe, trained_model=model)

    level = arguments.effort if target else "full"  # as the run compiles it
    if target is None and not experiment.recipe.probe:
        target = experiment.devices.compiled_for()
    if target is None:
        recipe = dataclasses.replace(experiment.recipe, rematerialize=FORMS[0])
        return _decided(dataclasses.replace(experiment, recipe=recipe), None, {})
    chosen, steps = experiment, {}
    with compiled_step.weights_without_memory():  # that of the candidates' optimizers
        for form in FORMS[arguments.largest_batch :]:
            console.say(f"--rematerialize auto: the memory of a step with --rematerialize {form}")
            chosen = candidate(form)
            compile_model(chosen, frozen=False, start_step=0)  # a body that is frozen at first needs less
            batch_size = experiment.facts["batch_size"]
            steps[form] = compiled_step.compile_step(chosen, target, batch_size, level)
            if steps[form].fits:
                break
    return _decided(chosen, target, steps)


def _decided(
    experiment: Experiment, target: Topology | None, steps: Mapping[str, CompiledStep]
) -> Experiment:
    decision = {
        "chosen": experiment.recipe.rematerialize,
        "memory_limit_bytes": target.memory_limit if target else None,
        "memory_bytes": {form: step.memory_bytes for form, step in steps.items()},
        "matrix_flops": {form: step.matrix_flops for form, step in steps.items()},
    }
    console.say(f"--rematerialize auto is {text(decision)}")
    return dataclasses.replace(experiment, facts={**experiment.facts, "rematerialize": decision})


def text(decision: Mapping[str, Any]) -> str:
    """Say a decision in words: what was chosen, why, and what it costs."""
    chosen, need, limit = (decision[name] for name in ("chosen", "memory_bytes", "memory_limit_bytes"))
    if not need:
        return f"{chosen}: only the step of a whole model on jax's accelerators, or --topology, is measured"
    sides = {"none": "without", "blocks": "with"}
    sizes = ", ".join(f"{memory_estimate.readable(size)} {sides[form]}" for form, size in need.items())
    answer = f"{chosen}: a device has {memory_estimate.readable(limit)}, and needs {sizes}"
    if len(need) < len(FORMS):
        return answer
    once, twice = (decision["matrix_flops"][form] for form in FORMS)
    flops = f"{twice:.3g} instead of {once:.3g} FLOPs of convolutions and matrix products"
    return f"{answer}; {flops} ({twice / once - 1:+.0%})"
