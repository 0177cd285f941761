"""What a run would be, without running it: ``--dry-run``, here or compiled for a TPU that is not here."""

import contextlib
import dataclasses
from typing import Any

from Utils.command import cli
from Utils.recipe.command_line import ParsedArguments
from Utils.recipe.recipe import Recipe
from Utils.training import (
    chips,
    compiled_step,
    largest_batch,
    memory_estimate,
    rematerialization,
    run_folder,
    time_estimate,
)
from Utils.training.compiled_step import CompiledStep
from Utils.training.experiment import Experiment
from Utils.training.topology import Topology

LESS_KEPT = "--rematerialize blocks keeps less of the step in memory, for about a third more work"
SMALLER = "a smaller --batch-size-per-device (--largest-batch finds the largest that fits)"
SPREAD = "--shard-model N (2 to {most}) spreads weights, gradients and optimizer state over N devices"


def show(experiment: Experiment, arguments: ParsedArguments, target: Topology | None) -> int:
    """Print what a run of a compiled experiment would be; return the exit code, 1 where it does not fit.

    Raises UserError where another process trains in the run folder.
    """
    if arguments.run_dir:
        run_folder.require_free(arguments.run_dir)
    sharding = experiment.devices.sharding
    with compiled_step.distributed(target, sharding) if target else contextlib.nullcontext():
        summary = experiment.summary()  # the form of attention depends on the devices
    if decision := experiment.facts.get("rematerialize"):
        summary["rematerialize"] = rematerialization.text(decision)
    if target is None:
        _print({**summary, **time_estimate.lines(experiment)}, summary, arguments.json)
        return 0

    def compile_for(batch_size: int) -> CompiledStep:
        return compiled_step.compile_step(experiment, target, batch_size * target.devices, arguments.effort)

    batch_size, answer, value = experiment.recipe.batch_size_per_device, {}, {}
    if arguments.largest_batch:
        # Whole batches of the recipe's size keep the groups in which a device mixes images.
        unit = batch_size if experiment.recipe.augment_on == "device" else largest_batch.UNIT
        batch_size, step = largest_batch.find(compile_for, batch_size, target.memory_limit, unit)
        answer = {"largest batch": f"{batch_size} images a device" if batch_size else "not even 1 image fits"}
        if batch_size >= largest_batch.MOST:
            answer["largest batch"] += ", and more were not tried"
        value = {"largest_batch_per_device": batch_size}
    else:
        step = compile_for(batch_size)
    value |= {"effort": arguments.effort, "batch_size_per_device": batch_size}
    value |= {"rematerialize": experiment.recipe.rematerialize}
    if decision:
        value |= {"rematerialize_decision": decision}
    if not step.fits and (ways := advice(experiment.recipe, target, arguments.largest_batch)):
        answer |= {"advice": "; ".join(ways)}
    text = {**summary, **lines(step, target, arguments.effort), **answer}
    _print(text, describe(step, target) | value, arguments.json)
    return 0 if step.fits else 1


def advice(recipe: Recipe, target: Topology, least: bool = False) -> list[str]:
    """Return what a step that does not fit may do without; ``least``: not even one image a device fits."""
    ways = {
        LESS_KEPT: recipe.rematerialize == "none",
        SPREAD.format(most=target.devices): recipe.shard_model == 1 < target.devices,
        SMALLER: recipe.batch_size_per_device > 1 and not least,
    }
    return [text for text, is_left in ways.items() if is_left]


def _print(lines_of_text: dict[str, str], value: dict[str, Any], as_json: bool) -> None:
    if as_json:
        cli.print_json(value)
        return
    for label, text in lines_of_text.items():
        print(f"{label:<15}{text}")


def describe(step: CompiledStep, target: Topology) -> dict[str, Any]:
    """Return what a compiled step is, as ``--json`` has it."""
    compute, memory = chips.bounds(target.name, step.flops, step.bytes_accessed)
    return {
        "topology": target.name,
        "devices": target.devices,
        "device_kind": target.device_kind,
        "memory_limit_bytes": target.memory_limit,
        **dataclasses.asdict(step),
        "seconds_at_peak_flops": compute,
        "seconds_at_peak_bandwidth": memory,
    }


def lines(step: CompiledStep, target: Topology, effort: str) -> dict[str, str]:
    """Return the lines of a dry run on what a compiled step is: ``{label: text}``."""
    readable = memory_estimate.readable
    weights = f"weights, state and batch {readable(step.argument_bytes)}"
    parts = f"{weights}, temporaries {readable(step.temporary_bytes)}"
    flops = accessed = "unknown"
    compute, traffic = chips.bounds(target.name, step.flops, step.bytes_accessed)
    if step.flops is not None:
        flops = (
            f"{step.flops:.3g} a device and step, {compute:.3g} s at the chip's peak; "
            f"convolutions and matrix products {step.matrix_flops:.3g}"
        )
    if step.bytes_accessed is not None:
        accessed = f"{readable(step.bytes_accessed)} a device and step, {traffic:.3g} s at the chip's peak"
    collectives = ", ".join(f"{kind} {readable(size)}" for kind, size in step.collectives.items())
    seconds = "none that makes sense"
    if step.estimated_seconds is not None:
        seconds = f"{step.estimated_seconds:.3g} a step, for comparing programs: no measured throughput"
    return {
        "topology": f"{target.name}: {target.devices} x {target.device_kind}",
        "memory": f"{readable(step.memory_bytes)} a device ({parts}), compiled with {effort} effort",
        "limit": f"{readable(target.memory_limit)} a device",
        "FLOPs": flops,
        "memory traffic": accessed,
        "collectives": collectives or "none",
        "seconds": f"{seconds} (the compiler's estimate)",
        "answer": "fits" if step.fits else "does not fit",
    }
