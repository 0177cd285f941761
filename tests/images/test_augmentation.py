"""Utils/images/augmentation.py: one set of limits and defaults for the recipe, the flags and the pipeline."""

import dataclasses

import pytest

import train
from Generators.pipeline import train_dataset
from Utils.command.cli import UserError
from Utils.images.augmentation import Augmentation
from Utils.images.resize import METHODS
from Utils.recipe.recipe import Recipe, recipe_from_dict

# For every field but the switch `flip`: values that no place may accept, and those at the limits.
REFUSED = {
    "crop": [(0.0, 0.5), (0.9, 0.5), (0.5, 1.1), (0.5, float("nan"))],
    "methods": [(), ("lanczos",), ("area", "nearest")],
    "rotation": [-1.0, 180.5, 200.0, float("nan")],
    "cutout": [-0.1, 1.1],
    "mixup_alpha": [-0.2, float("inf")],
    "augment_on": ["tpu"],
}
ACCEPTED = {
    "crop": [(1.0, 1.0), (0.01, 1.0)],
    "methods": [METHODS, ("bicubic",)],
    "rotation": [0.0, 180.0],
    "cutout": [0.0, 1.0],
    "mixup_alpha": [0.0, 100.0],
    "augment_on": ["host", "device"],
}
CASES = [(name, value) for name, values in REFUSED.items() for value in values]


def test_every_field_has_cases():
    assert (
        {field.name for field in dataclasses.fields(Augmentation)} - {"flip"} == set(REFUSED) == set(ACCEPTED)
    )


@pytest.mark.parametrize(("name", "value"), CASES)
def test_what_the_pipeline_refuses_never_makes_a_run_folder(name, value, tmp_path, capsys):
    words = value if isinstance(value, tuple) else (value,)
    line = ["demo", "--dataset", "D", "--run-dir", str(tmp_path / "run"), f"--{name.replace('_', '-')}"]
    assert train.main([*line, *map(str, words)]) == 2
    assert f"--{name.replace('_', '-')}" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()
    with pytest.raises(UserError, match=name.replace("_", "-")):
        recipe_from_dict({name: list(words) if isinstance(value, tuple) else value})
    with pytest.raises(UserError, match=name):
        train_dataset([], num_labels=1, image_size=8, batch_size=1, **{name: value})


@pytest.mark.parametrize("name", ACCEPTED)
def test_what_a_recipe_accepts_the_pipeline_accepts(name):
    for value in ACCEPTED[name]:
        assert getattr(Recipe(**{name: value}).group(Augmentation), name) == value


def test_mixup_and_the_recipe_share_one_default():
    assert Recipe().group(Augmentation) == Augmentation()
    assert Augmentation().mixup_alpha == 0.2, "the original zoo's"
