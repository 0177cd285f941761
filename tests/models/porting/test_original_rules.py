"""Models/porting/original_rules.py: every weight has one name in each format."""

import pytest
from helpers import zoo
from helpers.quick import slow_but

import Models
from Models.porting import original_zoo

FAMILIES = [name for name in Models.available() if hasattr(Models.family(name), "IMPORT_RULES")]


def test_the_families_of_the_original_zoo_have_rules():
    assert FAMILIES == ["ConvNext", "NFNet", "NFResNet", "ResNet", "ViT"]


@pytest.mark.parametrize("attention", slow_but([None, "se", "eca"], "se"))
@pytest.mark.parametrize("family", FAMILIES)
def test_every_weight_has_one_name_in_each_format(family, attention):
    options = {"attention": attention} if "attention" in zoo.spec_fields(f"{family}/test") else {}
    model = zoo.build_small(f"{family}/test", **options)
    weights = [weight.path for weight in model.weights if "seed_generator" not in weight.path]
    for file_format in ("h5", "checkpoint"):
        keys = original_zoo.weight_keys(model, Models.family(family).IMPORT_RULES, file_format)
        assert sorted(variable.path for variable in keys.values()) == sorted(weights)
