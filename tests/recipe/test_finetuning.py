"""Utils/recipe/finetuning.py: what is chosen, what is said, and that flags win."""

import dataclasses

import pytest

from Utils.recipe import finetuning
from Utils.recipe.finetuning import Situation
from Utils.recipe.recipe import Recipe

NEW = Situation(records=9000, kept=120, new=20, image_size=448, validation=1000)


def chosen(situation):
    return finetuning.apply(Recipe(), finetuning.choose(situation))


def test_new_tags_get_a_rate_of_their_own_and_the_size_of_the_source():
    recipe = chosen(NEW)
    assert (recipe.optimizer, recipe.learning_rate, recipe.image_size) == ("adamw", 3e-3, 448)
    assert recipe.peak_learning_rate(8) == 3e-3, "not scaled down for a small batch"
    assert recipe.learned_rate_factor < 1
    assert recipe.best_by == "balanced_f1"
    few = chosen(dataclasses.replace(NEW, validation=100))
    assert (few.best_by, few.early_stopping) == ("loss", 0), "F1 of so few is chance"
    assert 0 < recipe.early_stopping <= recipe.epochs


def test_presentations_grow_slower_than_pictures():
    epochs = [chosen(dataclasses.replace(NEW, records=records)).epochs for records in (270, 900, 2700, 10**6)]
    assert epochs == [30, 15, 8, 3]
    assert chosen(dataclasses.replace(NEW, records=1)).epochs == 100


def test_many_pictures_keep_the_mixup_of_the_source():
    assert chosen(NEW).mixup_alpha == Recipe().mixup_alpha
    assert chosen(dataclasses.replace(NEW, records=900)).mixup_alpha == 0.2
    few = [dataclasses.replace(NEW, records=900, is_probe=is_probe) for is_probe in (False, True)]
    said = [any("mixup_alpha" in one.fields for one in finetuning.choose(each)) for each in (NEW, *few)]
    assert said == [False, True, False]


def test_without_new_tags_only_the_size_changes():
    recipe = chosen(dataclasses.replace(NEW, new=0))
    assert recipe == dataclasses.replace(Recipe(), image_size=544)
    sizes = {size: finetuning.larger_size(size) for size in (320, 384, 448, 64, 32)}
    assert sizes == {320: 384, 384: 480, 448: 544, 64: 96, 32: 64}


@pytest.mark.parametrize(("records", "momentum"), [(9000, 0.99), (100, 0.9)])
def test_batch_norm_follows_the_source_or_in_a_short_run_the_pictures(records, momentum):
    """0.99**300 is 0.05: 100 pictures with 10 epochs are 30 steps, 9,000 are 2,810."""
    situation = dataclasses.replace(NEW, new=0, records=records, batch_norm_momentum=0.99)
    *_, choice = finetuning.choose(situation)
    assert choice.fields == {"batch_norm_momentum": momentum}
    assert "of the source's layers" in choice.reason
    assert ("74% of the averages" in choice.reason) == (records == 100)
    assert chosen(dataclasses.replace(situation, new=20)).batch_norm_momentum in (0.9, 0.99)
    assert chosen(dataclasses.replace(situation, batch_norm_momentum=0.8)).batch_norm_momentum == 0.8
    for silent in ({"batch_norm_momentum": None}, {"is_probe": True}):
        choices = finetuning.choose(dataclasses.replace(situation, new=20, **silent))
        assert not any("batch_norm_momentum" in choice.fields for choice in choices)


def test_tags_that_are_all_new_have_no_balance():
    assert chosen(dataclasses.replace(NEW, kept=0)).best_by == "f1"


def test_a_probe_has_few_long_epochs():
    recipe = chosen(dataclasses.replace(NEW, records=900, is_probe=True))
    presentations = recipe.epochs * recipe.steps_per_epoch * recipe.batch_size_per_device
    assert presentations == pytest.approx(30_000, rel=0.1)
    assert recipe.epochs == 12
    records = {1: 1, 3_900: 100, 4_179: 100, 41_700: 1_080}  # 101, 108 and 1,085 are no multiples of ten
    steps = {n: chosen(dataclasses.replace(NEW, records=n, is_probe=True)).steps_per_epoch for n in records}
    assert steps == records


def test_after_a_probe_everything_moves_slowly():
    recipe = chosen(dataclasses.replace(NEW, is_probed=True))
    assert recipe.learning_rate < chosen(NEW).learning_rate
    assert recipe.image_size == 448


def test_every_choice_is_said_with_its_reason_and_what_was_given_instead():
    choices = finetuning.choose(NEW)
    recipe = dataclasses.replace(finetuning.apply(Recipe(), choices), learning_rate=1e-4)
    text = "\n".join(choice.text(recipe) for choice in choices)
    assert "--image-size 448: the source's" in text
    assert "--learning-rate 0.0001: as given, not --learning-rate 0.003 by the rule; new tags (20)" in text
    assert "9,000 pictures, 45,000 presentations" in text
    assert "the rows of 120 kept tags and the body stay" in text


@pytest.mark.parametrize(
    ("finetune", "probe", "new", "said"),
    [
        (60, 30, 5, "the full training: its time is short"),
        (7200, 300, 5, "--probe first"),
        (7200, 300, 0, "no new tags"),
    ],
)
def test_advice_goes_by_time_and_new_tags(finetune, probe, new, said):
    assert said in finetuning.advise(finetune, probe, new)
