"""Models/porting/timm_rules.py: names of weights by the rules, and the rules of every family."""

import dataclasses
import types

import pytest
from helpers.timm_folders import families

import Models
from Models.porting import timm_folder, timm_rules
from Models.porting.timm_rules import TimmName

QUERY = (TimmName("q.weight"), TimmName("qkv.weight", 0, 3))
RULES = timm_rules.Rules(
    models={},
    arguments={},
    layers=(
        (r"stage(\d+)_conv", r"layers.{\1+1}.conv", {"gain": TimmName("gain", ones=3)}),
        (
            r"attention",
            "attn",
            {"kernel": (TimmName("q.weight"), TimmName("qkv.weight", 0, 3))},
            {"packed": True},
        ),
        (r"attention", "attn", {"table": TimmName("")}),
    ),
)


def names(layer, weight, packed=False):
    return [name.text for name in RULES.names(layer, weight, types.SimpleNamespace(packed=packed))]


def test_names_follow_from_the_first_rule_that_matches_and_holds():
    assert names("stage0_conv", "kernel") == ["layers.1.conv.weight"]
    assert names("stage0_conv", "moving_mean") == ["layers.1.conv.running_mean"]
    assert names("stage0_conv", "gain") == ["layers.1.conv.gain"]
    assert names("attention", "kernel", packed=True) == ["attn.q.weight", "attn.qkv.weight"]
    assert names("attention", "kernel") == ["attn.weight"]
    assert names("attention", "table") == ["attn"]


@pytest.mark.parametrize(("layer", "weight"), [("stage0_conv1", "kernel"), ("stage0_conv", "table")])
def test_a_weight_that_no_rule_covers_is_an_error(layer, weight):
    with pytest.raises(LookupError, match=f"no import rule of the family covers {layer}/{weight}"):
        names(layer, weight)


@pytest.mark.parametrize("family", families())
def test_the_rules_of_a_family_name_what_is_there(family):
    module = Models.family(family)
    fields = {field.name for field in dataclasses.fields(module.Spec)}
    rules = module.TIMM
    assert {timm_folder.target(rules, argument)[0] for argument in rules.arguments} | set(
        rules.fields
    ) <= fields
    for variant, differing in rules.models.values():
        Models.spec(f"{family}/{variant}", **rules.fields)
        assert set(differing) <= fields
        assert variant in module.VARIANTS
    assert not set(rules.fixed) & set(rules.arguments)
