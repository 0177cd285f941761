"""Utils/recipe/options.py: the groups that a recipe joins and what they say to models, losses, optimizers."""

import dataclasses
from typing import get_args, get_type_hints

import pytest

from Utils.command.cli import UserError
from Utils.images.augmentation import Augmentation
from Utils.recipe.options import (
    DataOptions,
    LossOptions,
    ModelOverrides,
    OptimizerOptions,
    RunOptions,
    StartOptions,
)
from Utils.recipe.recipe import Recipe, flag

GROUPS = (StartOptions, ModelOverrides, DataOptions, Augmentation, LossOptions, OptimizerOptions, RunOptions)


def test_a_recipe_is_its_groups_in_this_order():
    names = [field.name for group in GROUPS for field in dataclasses.fields(group)]
    assert [field.name for field in dataclasses.fields(Recipe)] == names
    for group in GROUPS:
        assert Recipe().group(group) == group()


def test_sizes_with_which_nobody_trains_are_refused():
    harmless = {"agc", "global_clipnorm", "mixup_alpha"}  # as large, they clip nothing and mix by halves
    harmless |= {"epr_expected_positives", "momentum"}  # by the number of tags, by the optimizer
    numbers = {name for name, kind in get_type_hints(Recipe).items() if float in (kind, *get_args(kind))}
    for name in numbers - harmless:
        with pytest.raises(UserError, match=rf"{flag(name)} must be .*; got 1e\+38"):
            Recipe(**{name: 1e38})
    largest = {"learning_rate": 1000.0, "weight_decay": 1000.0, "focal_gamma": 100.0, "epr_weight": 1e6}
    Recipe(**largest, two_way_T_p=0.001, global_clipnorm=1e38, epsilon=1.0)


def test_a_group_has_the_values_of_its_recipe():
    group = Recipe(loss="asl", asl_clip=0.05, epochs=3).group(LossOptions)
    assert group == LossOptions(loss="asl", asl_clip=0.05)


def test_model_options_that_differ_from_the_variant():
    assert Recipe().model_overrides() == {}
    assert Recipe(attention="none").model_overrides() == {"attention": None}
    assert Recipe(compensate_avgpool_var=False).model_overrides() == {"compensate_avgpool_var": False}
    assert Recipe(stochastic_depth=0.0).model_overrides() == {"stochastic_depth": 0.0}
    for fields in (
        {"model_options": ("depths=1,1", "depths=2,2")},
        {"norm": "affine", "model_options": ("norm=x",)},
    ):
        with pytest.raises(UserError, match=r"--model-options (depths|norm)=.* has been given already"):
            Recipe(**fields)
    options = Recipe(norm="layernorm", model_options=("depths=1,1", "pool_cells=2")).model_overrides()
    assert options == {"norm": "layernorm", "depths": (1, 1), "pool_cells": 2}


def test_a_loss_gets_the_options_with_its_name_in_front():
    recipe = Recipe(loss="asl", asl_gamma_neg=4.0, asl_clip=0.05, focal_gamma=1.0)
    assert recipe.loss_options() == {
        "gamma_neg": 4.0,
        "gamma_pos": 0.0,
        "clip": 0.05,
        "stop_focus_gradient": False,
        "label_smoothing": 0.0,
    }
    assert Recipe(loss="bce", label_smoothing=0.1).loss_options() == {"label_smoothing": 0.1}


def test_a_loss_by_short_names():
    assert LossOptions.for_loss("focal", gamma=1.0) == LossOptions(loss="focal", focal_gamma=1.0)
    assert LossOptions.for_loss("bce", label_smoothing=0.1) == LossOptions(label_smoothing=0.1)
    with pytest.raises(UserError, match="loss focal has no option 'gama'; did you mean gamma"):
        LossOptions.for_loss("focal", gama=1.0)
    with pytest.raises(UserError, match="focal_alpha must be between 0 and 1; got 2"):
        LossOptions.for_loss("focal", alpha=2.0)


def test_options_of_the_optimizer():
    recipe = Recipe(momentum=0.8, optimizer_options=("beta_1=0.95", "nesterov=false"))
    assert recipe.optimizer_overrides() == {"momentum": 0.8, "beta_1": 0.95, "nesterov": False}
    assert Recipe().optimizer_overrides() == {}
    with pytest.raises(
        UserError, match="--optimizer-options momentum=0.5: momentum has been given already, as 0.9"
    ):
        Recipe(momentum=0.9, optimizer_options=("momentum=0.5",))


def test_the_learning_rate_scales_with_the_batch():
    recipe = Recipe(learning_rate=0.1, learning_rate_batch_size=256)
    assert recipe.peak_learning_rate(256) == 0.1
    assert recipe.peak_learning_rate(64) == pytest.approx(0.025)
    assert Recipe(learning_rate=0.1, learning_rate_batch_size=0).peak_learning_rate(64) == 0.1
