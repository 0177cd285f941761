"""Utils/recipes: each one builds, and takes two real steps at a tiny size."""

import csv
import dataclasses

import helpers
import keras
import pytest
from helpers.quick import slow_but

import Models
import train
from Utils.recipe.recipe import load_recipe, recipe_docstring, recipe_names

# The smallest thing that is still the recipe: a tiny variant of the family, everything else as it stands.
TINY = (
    "--image-size 32 --batch-size-per-device 4 --epochs 1 --steps-per-epoch 2 --warmup 1steps --tracker none"
)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    return helpers.dotted_shards(tmp_path_factory.mktemp("data"), train=8)


def tiny(name):
    """The recipe on the tiny variant of its family; widths and depths it gives are its own variant's."""
    recipe = load_recipe(name)
    family = recipe.model.split("/")[0] or "ResNet"  # finetune takes any
    has_depths = any(option.startswith("depths=") for option in recipe.model_options)
    return recipe if has_depths else dataclasses.replace(recipe, model=f"{family}/test")


def at_this_size(name):
    """The recipe without what TINY sets or the tiny variant makes alike: equal ones need one run."""
    return dataclasses.replace(tiny(name), image_size=32, epochs=1, warmup="0", stochastic_depth=0.1)


DISTINCT = sorted({at_this_size(name): name for name in reversed(recipe_names())}.values())


@pytest.fixture
def float32():
    """Let the precision of a recipe end with its test."""
    yield
    keras.config.set_dtype_policy("float32")


@pytest.mark.parametrize("name", slow_but(DISTINCT, "vit_b16"))
def test_two_real_steps(name, dataset, tmp_path, float32):
    words = [name, "--dataset", str(dataset), "--run-dir", str(tmp_path / "run"), *TINY.split()]
    words += ["--gradient-accumulation", "2"] if load_recipe(name).gradient_accumulation > 1 else []
    assert train.main([*words, "--model", tiny(name).model]) == 0
    with (tmp_path / "run" / "history.csv").open() as file:
        (row,) = csv.DictReader(file)
    assert row["step"] == "2"
    assert 0 < float(row["loss"]) < 1e4


@pytest.mark.parametrize("name", recipe_names())
def test_the_model_and_its_options_exist(name):
    recipe = load_recipe(name)
    if not recipe.model:
        assert name == "finetune"
        return
    chosen = Models.spec(recipe.model, **recipe.model_overrides())
    for field, value in recipe.model_overrides().items():
        assert getattr(chosen, field) == value


@pytest.mark.parametrize("name", recipe_names())
def test_the_docstring_gives_command_cost_and_score(name):
    text = recipe_docstring(name)
    assert f"python train.py {name} " in text
    assert "Cost: " in text
    assert "Expected: " in text


def test_the_recipes_have_the_settings_of_the_original():
    """Optimizer, peak learning rate at a global batch of 256, decay, MixUp of each family."""
    expected = {
        "nfnet_l0": ("sgd", 0.1, 0.0, 0.2),
        "nfresnet50": ("sgd", 0.1, 0.0, 0.2),
        "convnext_t": ("lamb", 5e-4, 0.005, 0.8),
        "convnext_b": ("lamb", 5e-4, 0.005, 0.8),
        "vit_b16": ("lamb", 1e-3, 0.05, 0.8),
        "resnet50": ("lamb", 5e-4, 0.05, 0.8),
    }
    for name, row in expected.items():
        recipe = load_recipe(name)
        assert (recipe.optimizer, recipe.learning_rate, recipe.weight_decay, recipe.mixup_alpha) == row
        assert recipe.learning_rate_batch_size == 256
    assert load_recipe("nfnet_l0").agc == 0.01


@pytest.mark.parametrize(
    ("name", "peak", "decay"), [("siglip2_b16", 7e-4 / 8, 0.6), ("dinov3_l16", 1e-3, 0.75)]
)
def test_fine_tuning_has_the_settings_of_its_papers(name, peak, decay):
    recipe = load_recipe(name)
    assert recipe.peak_learning_rate(256) == pytest.approx(peak)
    assert (recipe.layer_decay, recipe.weight_decay, recipe.optimizer) == (decay, 0.05, "adamw")


def test_wd_v3_has_the_settings_that_were_published():
    recipe = load_recipe("wd_v3")
    assert recipe.peak_learning_rate(32) == recipe.peak_learning_rate(4096) == 5e-4
    facts = (recipe.optimizer, recipe.global_clipnorm, recipe.mixup_alpha, recipe.epochs, recipe.floor)
    assert facts == ("lamb", 1.0, 0.6, 10, 0.01)
    assert recipe.crop == (0.87, 0.998)
    chosen = Models.spec(recipe.model, **recipe.model_overrides())
    assert (chosen.layer_scale, chosen.epsilon, chosen.activation) == (None, 1e-5, "gelu_tanh")


def test_finetune_has_the_settings_of_its_source():
    """From the peak, without a warm-up, over a short cosine; larger images are in test_init_from."""
    before = dataclasses.replace(load_recipe("nfnet_l0"), learning_rate=0.3, seed=5, fold="1/3")
    recipe = load_recipe("finetune", before)
    assert (recipe.epochs, recipe.warmup, recipe.schedule, recipe.image_size) == (
        10,
        "0 epochs",
        "cosine",
        None,
    )
    assert (recipe.model, recipe.attention, recipe.loss, recipe.agc) == ("NFNet/L0", "eca", "focal", 0.01)
    assert (recipe.learning_rate, recipe.seed, recipe.fold) == (0.3, 5, "")
    assert load_recipe("convnext_t", before) == load_recipe("convnext_t")


def test_the_demo_has_no_tracker():
    assert load_recipe("demo").tracker == "none"
