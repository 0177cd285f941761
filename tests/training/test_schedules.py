"""Learning rates by step: the original's formula, end points, errors."""

import dataclasses
import math

import pytest

from Utils.command.cli import UserError
from Utils.recipe.recipe import Recipe
from Utils.training import schedules


def original(epoch, warmup, epochs, peak=0.1):
    """The original zoo's rate, constant within an epoch."""
    if epoch < warmup:
        return peak * (0.1 + 0.9 * epoch / warmup)
    return peak * (0.01 + 0.99 * (1 + math.cos(math.pi * (epoch - warmup) / (epochs - 1 - warmup))) / 2)


@pytest.mark.parametrize("warmup", [0, 5])
@pytest.mark.every_backend
def test_one_step_an_epoch_is_the_original(warmup):
    schedule = schedules.WarmupCosine(0.1, warmup, 100)
    for epoch in range(100):
        assert float(schedule(epoch)) == pytest.approx(original(epoch, warmup, 100), rel=2e-5)


@pytest.mark.every_backend
def test_every_epoch_passes_through_the_originals_rate():
    steps, warmup, epochs = 7, 3, 20
    schedule = schedules.WarmupCosine(0.1, warmup * steps, epochs * steps)
    rates = [float(schedule(step)) for step in range(epochs * steps)]
    for epoch in range(epochs):
        epoch_rates = rates[epoch * steps : (epoch + 1) * steps]
        expected = original(epoch, warmup, epochs)
        if epoch < warmup:
            assert epoch_rates[0] == pytest.approx(expected, rel=1e-5)
        assert min(epoch_rates) - 1e-7 <= expected <= max(epoch_rates) + 1e-7
    assert max(rates) == rates[warmup * steps] == pytest.approx(0.1)
    assert rates[-1] == pytest.approx(0.001, rel=1e-4)
    assert rates[warmup * steps :] == sorted(rates[warmup * steps :], reverse=True)


def test_after_the_end_stays_the_floor():
    schedule = schedules.WarmupCosine(1.0, 0, 10, floor=0.25)
    assert float(schedule(9)) == float(schedule(10)) == float(schedule(10**6)) == pytest.approx(0.25)
    assert float(schedules.WarmupCosine(1.0, 0, 1)(0)) == 1.0


def test_constant_rises_and_stays():
    schedule = schedules.WarmupConstant(0.5, 10)
    assert [round(float(schedule(step)), 4) for step in (0, 5, 10, 1000)] == [0.05, 0.275, 0.5, 0.5]
    assert float(schedules.WarmupConstant(0.5)(0)) == 0.5


@pytest.mark.every_backend
def test_wsd_is_the_peak_until_its_fall():
    schedule = schedules.WarmupStableDecay(0.5, 10, 100, 20, floor=0.04)
    rates = [float(schedule(step)) for step in range(101)]
    assert rates[0] == pytest.approx(0.05) and rates[5] == pytest.approx(0.275)
    assert rates[10:80] == [0.5] * 70
    expected = [0.5 * (0.04 + 0.96 * (1 - math.sqrt(done / 20))) for done in range(21)]
    assert rates[79:100] == pytest.approx(expected, rel=1e-4)
    assert rates[99] == rates[100] == pytest.approx(0.02, rel=1e-4)


def test_wsd_of_a_longer_training_begins_as_that_of_a_shorter_one():
    """So that it can go on from its checkpoints."""
    short, long = (schedules.WarmupStableDecay(1.0, 3, steps, 10) for steps in (50, 500))
    assert [float(short(step)) for step in range(40)] == [float(long(step)) for step in range(40)]


def test_wsd_takes_its_settings_from_the_recipe():
    recipe = Recipe(epochs=10, warmup="2 epochs", schedule="wsd", decay_share=0.5, learning_rate_batch_size=0)
    schedule = schedules.build(recipe, steps_per_epoch=7, batch_size=64)
    assert isinstance(schedule, schedules.WarmupStableDecay)
    assert (schedule.warmup_steps, schedule.total_steps, schedule.decay_steps) == (14, 70, 35)
    with pytest.raises(UserError, match=r"must fit into the training: .* got 14 \+ 63 of 70"):
        schedules.build(dataclasses.replace(recipe, decay_share=0.9), 7, 64)


def test_a_later_start_is_the_rest_of_the_schedule():
    whole = schedules.WarmupCosine(0.1, 3, 20)
    rest = schedules.Shifted(whole, 5)
    assert [float(rest(step)) for step in range(15)] == [float(whole(step)) for step in range(5, 20)]


def test_build_takes_every_setting_from_the_recipe():
    """The peak is that of the images of an update; the warm-up counts epochs of the data."""
    fields = {"learning_rate": 1e-3, "learning_rate_batch_size": 256, "gradient_accumulation": 2}
    recipe = Recipe(epochs=10, warmup="2 epochs", warmup_start=0.5, floor=0.25, **fields)
    schedule = schedules.build(recipe, steps_per_epoch=7, batch_size=64)
    expected = {"peak": 5e-4, "warmup_steps": 14, "total_steps": 70, "warmup_start": 0.5, "floor": 0.25}
    assert schedule.get_config() == expected
    constant = schedules.build(dataclasses.replace(recipe, schedule="constant"), 7, 64)
    assert isinstance(constant, schedules.WarmupConstant)
    assert (constant.peak, constant.warmup_steps) == (5e-4, 14)


def test_wrong_use_says_what_exists():
    with pytest.raises(UserError, match="'cosin'; did you mean cosine"):
        schedules.build(Recipe(schedule="cosin"), 5, 32)
    advice = r"--warmup must end.*got 3 epochs \(15 steps\) and --epochs 2 .*--warmup 0.2 would fit"
    with pytest.raises(UserError, match=advice):
        schedules.build(Recipe(warmup="3 epochs", epochs=2), 5, 32)
    assert schedules.build(Recipe(warmup="0.2", epochs=2), 5, 32).warmup_steps == 1
    assert schedules.build(Recipe(warmup="0.1", epochs=1), 1, 32).warmup_steps == 0
    with pytest.raises(UserError, match="warm-up must end before the training.*10 of 10"):
        schedules.WarmupCosine(0.1, 10, 10)
    with pytest.raises(UserError, match="warmup_steps must be >= 0; got -1"):
        schedules.WarmupConstant(0.1, -1)
