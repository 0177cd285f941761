"""Models: build, spec and the names that exist; what is wrong is said with what is allowed."""

import pathlib

import keras
import pytest
from helpers import zoo

import Models
from Utils.command.cli import UserError


def test_a_family_is_a_file_with_a_capital():
    files = {path.stem for path in pathlib.Path(Models.__file__).parent.glob("*.py")}
    assert set(Models.available()) == {name for name in files if name[0].isupper()}
    assert {"ConvNext", "NFNet", "NFResNet", "ResNet", "ViT"} <= set(Models.available())


def test_overrides_replace_fields_of_the_spec():
    spec = Models.spec("NFNet/test", attention="eca", depths=[1, 1], widths=[16, 32])
    assert (spec.attention, spec.depths) == ("eca", (1, 1))
    assert spec.dropout == Models.variants("NFNet")["test"].dropout
    assert hash(spec)  # lists became tuples


def test_a_model_gives_probabilities_unless_logits_are_asked_for():
    model = Models.build("ConvNext/test", image_size=32, num_labels=3)
    assert (model.name, model.input_shape, model.output_shape) == (
        "ConvNext-test",
        (None, 32, 32, 3),
        (None, 3),
    )
    assert isinstance(model.layers[-1], keras.layers.Activation)
    assert zoo.build_small("ConvNext/test").layers[-1].name == "head_logits"


def test_families_of_timm_have_rules():
    assert set(Models.timm_families()) == set(Models.available()) - {"NFResNet"}


WRONG = [
    ("ConvNex/T", {}, r"no model family 'ConvNex'.*ConvNext.*did you mean ConvNext"),
    ("", {}, "no model family"),
    ("ConvNext", {}, r"variants T, S.*got none"),
    ("NFNet/L9", {}, r"variants F0, L0, L1, L2.*'L9'"),
    ("NFNet/L0", {"atention": "eca"}, r"no field 'atention'.*did you mean attention"),
    ("NFNet/L0", {"attention": "cbam"}, r"attention must be 'se' or 'eca' or None; got 'cbam'"),
    ("ConvNext/T", {"norm": "groupnorm"}, "norm must be 'layernorm' or 'batchnorm' or 'affine'"),
    ("ConvNext/T", {"activation": "mish"}, "activation must be 'relu'"),
    ("ConvNext/T", {"epsilon": "small"}, "epsilon must be a number"),
    ("ResNet/50", {"stochastic_depth": 1.0}, "stochastic_depth must be a number at least 0 and below 1"),
    ("ConvNext/test", {"depths": (1, 1)}, "cannot build ConvNext/test"),
    ("ViT/test", {"image_size": 33}, "multiple of the patch, 8; got 33"),
    ("ViT/test", {"num_labels": 0}, "num_labels must be a whole number above 0"),
    ("ViT/test", {"classifier_activation": "sigmoyd"}, "cannot build ViT/test"),
]


@pytest.mark.parametrize(("name", "options", "message"), WRONG)
def test_wrong_names_and_values_say_what_exists(name, options, message):
    with pytest.raises(UserError, match=message):
        zoo.build_small(name, **options)
