"""What a dry run prints of a step that was compiled for a TPU."""

import dataclasses

from Utils.recipe.recipe import Recipe
from Utils.training import dry_run
from Utils.training.compiled_step import CompiledStep
from Utils.training.topology import Topology

TARGET = Topology("v5e:2x4", 8, "TPU v5 lite", 16 * 10**9)
STEP = CompiledStep(
    True, 14 * 10**9, 10**9, 13 * 10**9, 1.2e13, 4e11, {"all-reduce": 350 * 10**6}, 0.118, 100.0, 1.1e13
)


def test_the_lines_name_memory_cost_and_the_answer():
    lines = dry_run.lines(STEP, TARGET, "low")
    assert lines["memory"] == (
        "14 GB a device (weights, state and batch 1 GB, temporaries 13 GB), compiled with low effort"
    )
    assert lines["limit"] == "16 GB a device"
    assert lines["FLOPs"] == (
        "1.2e+13 a device and step, 0.0609 s at the chip's peak; convolutions and matrix products 1.1e+13"
    )
    assert lines["memory traffic"] == "400 GB a device and step, 0.488 s at the chip's peak"
    assert lines["collectives"] == "all-reduce 350 MB"
    assert lines["seconds"].startswith("0.118 a step")
    assert lines["answer"] == "fits"


def test_what_the_compiler_does_not_say_is_said():
    step = dataclasses.replace(
        STEP, fits=False, flops=None, bytes_accessed=None, collectives={}, estimated_seconds=None
    )
    lines = dry_run.lines(step, TARGET, "low")
    assert (lines["FLOPs"], lines["memory traffic"], lines["answer"]) == (
        "unknown",
        "unknown",
        "does not fit",
    )
    assert lines["seconds"].startswith("none that makes sense")


def test_what_does_not_fit_is_told_what_is_left_to_try():
    ways = [dry_run.LESS_KEPT, "--shard-model N (2 to 8) spreads weights", dry_run.SMALLER]
    for recipe, left in (
        (Recipe(), ways),
        (Recipe(rematerialize="blocks"), ways[1:]),
        (Recipe(rematerialize="blocks", shard_model=4), ways[2:]),
        (Recipe(rematerialize="blocks", shard_model=4, batch_size_per_device=1), []),
    ):
        advice = dry_run.advice(recipe, TARGET)
        assert len(advice) == len(left)
        assert all(text.startswith(way) for text, way in zip(advice, left, strict=True))
    assert dry_run.advice(Recipe(), dataclasses.replace(TARGET, devices=1), least=True) == ways[:1]


def test_the_json_has_the_documented_keys():
    assert set(dry_run.describe(STEP, TARGET)) >= {
        "topology", "devices", "device_kind", "memory_bytes", "argument_bytes", "temporary_bytes",
        "memory_limit_bytes", "fits", "flops", "bytes_accessed", "collectives", "estimated_seconds",
    }  # fmt: skip
    unknown = dry_run.describe(dataclasses.replace(STEP, flops=None), TARGET)
    assert unknown["seconds_at_peak_flops"] is None
    assert unknown["seconds_at_peak_bandwidth"] == 4e11 / 819e9
