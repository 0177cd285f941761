"""Models of full size have as many parameters as timm's of that name."""

import json
import math
import pathlib
import re

import keras
import pytest

import Models

COUNTS = json.loads((pathlib.Path(__file__).parents[2] / "golden" / "timm_parameters.json").read_text())
# Quick to build; the others are slow.
QUICK = ("resnet18", "vit_small_patch14_reg4_dinov2", "vit_xsmall_patch16_clip_224")
RULES = {
    architecture: (family, rules)
    for family, rules in Models.timm_families().items()
    for architecture in rules.models
}


def image_size(architecture):
    """The size that the number of positions follows from: in the name, or that of the published weights."""
    if "dinov2" in architecture:
        return 518
    sizes = re.findall(r"_(\d{3})(?:_|$)", architecture)
    return int(sizes[-1]) if sizes else 224


def test_every_model_of_timm_that_a_family_names_is_counted():
    assert set(COUNTS) == set(RULES)
    assert len(COUNTS) > 100


@pytest.fixture
def shapes_alone():
    """Variables have shapes and no memory; Keras forgets them afterwards, else its next scope makes them."""
    with keras.StatelessScope(initialize_variables=False):
        yield
    keras.utils.clear_session(free_memory=False)


@pytest.mark.parametrize(
    "architecture",
    [name if name in QUICK else pytest.param(name, marks=pytest.mark.slow) for name in sorted(COUNTS)],
)
def test_parameters_are_as_many_as_in_timm(architecture, shapes_alone):
    family, rules = RULES[architecture]
    variant, differing = rules.models[architecture]
    spec = Models.spec(f"{family}/{variant}", **{**rules.fields, **differing})
    size = image_size(architecture)
    size -= size % getattr(spec, "patch", 1)  # so400m_patch14_siglip_384 has 27 x 27 patches
    model = Models.family(family).build(spec, size, 1000)
    assert sum(math.prod(weight.shape) for weight in model.trainable_variables) == COUNTS[architecture]
