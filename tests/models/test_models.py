"""Models: build, spec and the names that exist; what is wrong is said with what is allowed."""

import inspect
import pathlib
import re

import keras
import pytest
from helpers import zoo

import Models
from Utils.command.cli import UserError


def test_a_family_is_a_file_with_a_capital():
    files = {path.stem for path in pathlib.Path(Models.__file__).parent.glob("*.py")}
    assert set(Models.available()) == {name for name in files if name[0].isupper()}
    assert {"ConvNext", "NFNet", "NFResNet", "ResNet", "ViT"} <= set(Models.available())


def test_a_model_of_very_many_blocks_is_refused():
    for name, fields in (("ConvNext/T", {"depths": (900, 101)}), ("ViT/B16", {"depth": 1001})):
        with pytest.raises(UserError, match=f"{name} may have up to 1,000 blocks; got 1,001"):
            Models.spec(name, **fields)


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


def test_families_are_attributes_and_tab_completion_shows_what_is_public():
    assert Models.ConvNext is Models.family("ConvNext")
    names = dir(Models)
    assert names == sorted({*Models.available(), *Models.FUNCTIONS})
    functions = {name for name in names if callable(getattr(Models, name))}
    assert functions == set(Models.FUNCTIONS)
    public = {
        name for name, value in vars(Models).items() if inspect.isfunction(value) and not name.startswith("_")
    }
    assert public == functions, "a public function is offered, and no imported one"
    with pytest.raises(
        AttributeError, match=r"no attribute 'Convnext'; families are ConvNext.*mean ConvNext\?"
    ):
        Models.Convnext  # noqa: B018


@pytest.mark.parametrize(
    ("name", "ours"),
    [
        ("convnext_tiny", "ConvNext/T"),
        ("convnext_tiny.fb_in22k_ft_in1k", "ConvNext/T"),
        ("ConvNeXtTiny", "ConvNext/T"),
        ("ConvNext/tiny", "ConvNext/T"),
        ("convnext", "ConvNext"),
        ("resnet50", "ResNet/50"),
        ("ResNet-50", "ResNet/50"),
        ("vit_base_patch16_224", "ViT/B16"),
        ("vit_b_16", "ViT/B16"),
        ("eca_nfnet_l0", "NFNet/L0"),
        ("swinv2_base_window8_256", "SwinV2/base_window8_256"),
    ],
)
def test_names_of_other_libraries_are_understood(name, ours):
    with pytest.raises(UserError, match=rf"did you mean {re.escape(ours)}\?"):
        Models.spec(name)


@pytest.mark.parametrize(
    ("name", "field", "ours"),
    [
        ("ConvNext/T", "drop_path", "stochastic_depth"),
        ("ConvNext/T", "drop_rate", "dropout"),
        ("ConvNext/T", "dims", "widths"),
        ("ConvNext/T", "num_classes", "num_labels"),
        ("ViT/B16", "embed_dim", "width"),
        ("ViT/B16", "init_values", "layer_scale"),
        ("NFResNet/50", "drop_path_rate", "stochastic_depth"),
    ],
)
def test_options_of_other_libraries_are_understood(name, field, ours):
    with pytest.raises(UserError, match=rf"no field '{field}'.*did you mean {ours}\?"):
        Models.spec(name, **{field: 1})


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
    ("ConvNext/test", {"widths": ()}, "cannot build ConvNext/test"),
    (
        "ConvNext/test",
        {"depths": (-1, 1, 1, 1)},
        "depths must be a list, each a whole number from 0 to 65,536",
    ),
    ("ViT/test", {"heads": 0}, "cannot build ViT/test"),
    ("ViT/test", {"image_size": 33}, "multiple of the patch, 8; got 33"),
    ("ViT/test", {"num_labels": 0}, "num_labels must be a whole number above 0"),
    ("ViT/test", {"classifier_activation": "sigmoyd"}, "cannot build ViT/test"),
]


@pytest.mark.parametrize(("name", "options", "message"), WRONG)
def test_wrong_names_and_values_say_what_exists(name, options, message):
    with pytest.raises(UserError, match=message):
        zoo.build_small(name, **options)
