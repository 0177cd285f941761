"""Utils/recipe/recipe.py: what fields must agree on, recipe.json, numbers that follow from a recipe."""

import json

import pytest

from Utils.command.cli import UserError
from Utils.recipe.recipe import Recipe, flag, load_recipe, read_recipe, recipe_from_dict, write_recipe


def test_recipe_json_reads_back(tmp_path):
    recipe = Recipe(model_options=("depths=2,2",), crop=(0.5, 0.75))
    write_recipe(tmp_path / "recipe.json", "convnext_t", recipe)
    name, fields = read_recipe(tmp_path / "recipe.json")
    assert (name, recipe_from_dict(fields)) == ("convnext_t", recipe)
    assert json.loads((tmp_path / "recipe.json").read_text())["crop"] == [0.5, 0.75]
    with pytest.raises(UserError, match="'crops'; did you mean crop"):
        recipe_from_dict({"crops": 1})


@pytest.mark.reliability("recipe.json with fields of other types", "refused, file and field named")
def test_a_field_of_another_type_is_named_with_its_file(tmp_path):
    path = tmp_path / "recipe.json"
    wrong = [(name, value) for name in Recipe().to_dict() for value in ([[]], {"a": 1})]
    for field, value in [*wrong, ("rotation", 10**400), ("epochs", "x"), ("flip", 1)]:
        path.write_text(json.dumps({field: value}))
        with pytest.raises(UserError, match=rf"recipe\.json: {field}.* must be .*; got"):
            read_recipe(path)
    path.write_text('{"model_options": [[]]}')
    with pytest.raises(UserError, match=r"recipe\.json: model_options\[0\] must be text; got a list"):
        read_recipe(path)


def test_recipe_json_has_these_keys_in_this_order(tmp_path):
    """Files of older runs are read, and W&B compares runs by these keys."""
    write_recipe(tmp_path / "recipe.json", "demo", load_recipe("demo"))
    assert list(json.loads((tmp_path / "recipe.json").read_text())) == KEYS.split()


KEYS = """recipe
model image_size init_from which source_order freeze_body_epochs probe prior_bias
head attention activation norm epsilon stochastic_depth dropout
compensate_avgpool_var input_scaling model_options batch_size_per_device epochs early_stopping best_by
steps_per_epoch fold
unknown_labels teacher teacher_thresholds teacher_weight packed_labels sampling sampling_threshold
flip crop methods rotation cutout mixup_alpha augment_on loss focal_alpha focal_gamma
asl_gamma_neg asl_gamma_pos asl_clip asl_stop_focus_gradient hill_lam hill_margin hill_gamma splc_tau
splc_margin splc_gamma splc_change_epoch ll_r_delta_rel ll_ct_delta_rel ral_lam ral_gamma_neg ral_gamma_pos
ral_clip two_way_T_p two_way_T_n two_way_part epr_expected_positives epr_weight
label_smoothing tag_weights optimizer
learning_rate learning_rate_batch_size schedule warmup warmup_start floor decay_share momentum
optimizer_options weight_decay layer_decay learned_rate_factor agc
global_clipnorm gradient_accumulation ema batch_norm_momentum
batch_norm_images seed dtype_policy gradient_dtype jit_compile attention_implementation rematerialize
shard_model steps_per_execution profile checkpoint_every keep_checkpoints tracker project"""


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"warmup": "soon"}, "--warmup must be a number of epochs, steps or images, .*'soon'"),
        ({"warmup": "5m"}, "--warmup must be .* not in time; got '5m'"),
        ({"checkpoint_every": "1.2.3"}, "--checkpoint-every must be .* s, m or h, .*'1.2.3'"),
        ({"fold": "3/3"}, "--fold"),
        (
            {"freeze_body_epochs": 5, "epochs": 5},
            "--freeze-body-epochs must be below --epochs; got 5 of 5. --freeze-body-epochs 4 would fit",
        ),
        ({"freeze_body_epochs": -1}, "--freeze-body-epochs must be at least 0; got -1"),
        ({"layer_decay": 0.0}, "--layer-decay must be above 0 and at most 1; got 0"),
        ({"model_options": ("depths",)}, "NAME=VALUE"),
        ({"optimizer_options": ("beta_1",)}, "NAME=VALUE"),
        ({"tracker": "wand"}, "--tracker must be one of wandb, tensorboard, none; got 'wand'"),
    ],
)
def test_fields_that_do_not_fit_are_refused(fields, message):
    with pytest.raises(UserError, match=message):
        Recipe(**fields)


@pytest.mark.parametrize(
    ("fields", "stops"),
    [
        ({"loss": "asl", "asl_gamma_neg": 2.0}, True),
        ({"loss": "asl", "asl_gamma_neg": 2.0, "asl_stop_focus_gradient": False}, False),
        ({"loss": "asl"}, False),
        ({"loss": "bce", "asl_gamma_neg": 2.0}, False),
    ],
)
def test_a_recipe_json_without_the_flag_of_the_focusing_weight_is_read_as_it_was_trained(
    tmp_path, fields, stops
):
    assert recipe_from_dict(fields).asl_stop_focus_gradient is stops
    (tmp_path / "recipe.json").write_text(json.dumps({"recipe": "demo", **fields}))
    assert read_recipe(tmp_path / "recipe.json")[1].get("asl_stop_focus_gradient", False) is stops


def test_a_flag_has_hyphens():
    assert flag("asl_gamma_neg") == "--asl-gamma-neg"


def test_steps_are_derived_from_the_records():
    assert Recipe().steps(100, 32) == 3
    assert Recipe().steps(5, 32) == 1
    assert Recipe(steps_per_execution=4).steps(1000, 10) == 100
    assert Recipe(steps_per_epoch=7).steps(1000, 10) == 7
    for recipe in (Recipe(steps_per_epoch=7, steps_per_execution=2), Recipe(steps_per_execution=8)):
        with pytest.raises(UserError, match="multiple of --steps-per-execution .; --steps-per-epoch (6|96)"):
            recipe.steps(1000, 10)
