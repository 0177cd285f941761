"""Models/other_names.py: every name that it gives exists; test_models.py asks for names of others."""

import dataclasses

import Models
from Models import other_names


def test_hints_name_what_exists():
    fields = {
        field.name
        for family in Models.available()
        for field in dataclasses.fields(next(iter(Models.variants(family).values())))
    }
    assert set(other_names.OPTIONS.values()) <= fields | set(other_names.BUILD_ARGUMENTS)
    assert not set(other_names.OPTIONS) & fields


def test_every_model_of_timm_is_known_by_its_name():
    rows = {family: Models.variants(family) for family in Models.available()}
    for family, rules in Models.timm_families().items():
        for architecture, (variant, _) in rules.models.items():
            hint = other_names.model_hint(architecture, rows, Models.timm_families())
            assert hint == f"; did you mean {family}/{variant}?"


def test_what_nobody_knows_has_no_hint():
    assert other_names.model_hint("zzz", {"ViT": ["B16"]}, {}) == ""
    assert other_names.field_hint("zzz", ["width"], None) == ""
