"""Models/transfer.py: weights for another size and other tags, what differs, and layer-wise rates."""

import re

import numpy as np
import pytest

import Models
from Models import transfer
from Utils.command.cli import UserError


@pytest.fixture
def vit(tmp_path):
    """A saved ViT for 32 px and 3 tags, and its file."""
    model = Models.build("ViT/test", image_size=32, num_labels=3)
    model.save(tmp_path / "x.keras")
    return model, tmp_path / "x.keras"


def test_logits_of_tags_are_copied_and_new_tags_start_at_their_bias(vit):
    source, file = vit
    model = transfer.from_json(transfer.adapted_json(file, 48, 5))
    assert transfer.copy_weights(file, model, np.array([2, -1, 0, -1, 1]), np.arange(5.0)) == []
    assert model.output_shape == (None, 5)
    assert model.get_layer("stem_positions").table.shape[0] == 36
    kernel, bias = model.get_layer("head_logits").get_weights()
    np.testing.assert_array_equal(
        kernel[:, [0, 2, 4]], source.get_layer("head_logits").get_weights()[0][:, [2, 0, 1]]
    )
    assert not kernel[:, [1, 3]].any()
    np.testing.assert_array_equal(bias[[1, 3]], [1.0, 3.0])
    for old, new in zip(source.layers, model.layers, strict=False):
        if old.name not in ("stem_positions", "head_logits"):
            assert all(map(np.array_equal, old.get_weights(), new.get_weights())), old.name


def test_a_dtype_policy_leaves_the_classifier_in_float32(vit):
    half = transfer.from_json(transfer.adapted_json(vit[1], 48, 5, "mixed_bfloat16"))
    dtypes = {layer.name: layer.compute_dtype for layer in half.layers}
    assert (dtypes["block0_dense1"], dtypes["head_logits"]) == ("bfloat16", "float32")


def test_json_keeps_the_architecture_without_the_training(vit):
    vit[0].compile("sgd", "binary_crossentropy")
    copy = transfer.from_json(transfer.to_json(vit[0]))
    assert not copy.compiled
    assert [weight.path for weight in copy.weights] == [weight.path for weight in vit[0].weights]


def test_settings_without_weights_are_reported(tmp_path):
    Models.build("ConvNext/test", image_size=32, num_labels=3, epsilon=1e-3).save(tmp_path / "x.keras")
    logits = {"image_size": 32, "num_labels": 3, "classifier_activation": None}
    model = Models.build("ConvNext/test", **logits)
    differences = transfer.copy_weights(tmp_path / "x.keras", model, np.arange(3), np.zeros(3))
    assert differences == ["epsilon was 0.001, is 1e-06"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"attention": "eca"}, "missing from it: .*_eca"),
        ({"layer_scale": None}, "left over in it: .*_scale"),
        ({"widths": (8, 8, 16, 24)}, "other shapes: head_logits, head_norm"),
    ],
)
def test_weights_that_do_not_fit_are_listed_and_nothing_is_copied(options, message, tmp_path):
    Models.build("ConvNext/test", image_size=32, num_labels=3).save(tmp_path / "x.keras")
    model = Models.build("ConvNext/test", image_size=32, num_labels=3, classifier_activation=None, **options)
    before = model.get_weights()
    with pytest.raises(UserError, match=message):
        transfer.copy_weights(tmp_path / "x.keras", model, np.arange(3), np.zeros(3))
    assert all(map(np.array_equal, before, model.get_weights()))


@pytest.mark.parametrize("text", ["{}", "[]", '{"class_name"', "3"])
def test_an_architecture_that_is_damaged_is_one_error(text):
    with pytest.raises(UserError, match=r"architecture\.json of the run is damaged"):
        transfer.from_json(text)


def test_weights_that_are_not_finite_are_refused(vit):
    source, file = vit
    table = source.get_layer("stem_positions").table
    table.assign(table * np.nan)
    source.save(file)
    with pytest.raises(UserError, match="has weights that are not finite.*: stem_positions$"):
        transfer.copy_weights(file, source, np.arange(3), np.zeros(3))


def test_the_rate_falls_from_the_head_to_the_stem(vit):
    model = vit[0]
    factors = transfer.learning_rate_factors(model, 0.5)
    matches = {
        v.path: [factor for pattern, factor in factors if re.search(pattern, v.path)] for v in model.weights
    }
    expected = {"stem": [0.125], "block0": [0.25], "block1": [0.5], "head": [1.0]}
    assert all(matches[path] == expected[path.split("_")[0]] for path in matches)
    assert transfer.learning_rate_factors(model, 1) == []


def test_new_rows_of_the_classifier_have_the_full_rate(vit):
    is_new = np.array([False, True, False])
    (head, rows), (rest, factor) = transfer.learning_rate_factors(vit[0], 1, 0.1, is_new)
    assert (rows, factor) == ((0.1, 1.0, 0.1), 0.1)
    assert re.search(head, "head_logits/kernel") and not re.search(head, "head_norm/gamma")
    assert re.search(rest, "head_norm/gamma")


def test_the_halves_of_a_model_share_its_layers(vit):
    body, head = transfer.split_at_head(transfer.without_activation(vit[0]))
    images = np.random.default_rng(0).uniform(0, 255, (2, 32, 32, 3)).astype("float32")
    expected = transfer.without_activation(vit[0])(images)
    np.testing.assert_array_equal(head(body(images)), expected)
    head.set_weights([weight + 1 for weight in head.get_weights()])
    np.testing.assert_array_equal(head(body(images)), transfer.without_activation(vit[0])(images))


def test_a_layer_between_two_blocks_belongs_to_the_later_one():
    model = Models.build("ConvNext/test", image_size=32, num_labels=3)
    factors = transfer.learning_rate_factors(model, 0.5)
    down, block = (
        [factor for pattern, factor in factors if re.search(pattern, path)]
        for path in ("stage1_down_conv/kernel", "stage1_block0_conv1/kernel")
    )
    assert down == block
    assert len(down) == 1


def test_a_frozen_model_trains_its_classifier_only(vit):
    transfer.freeze(vit[0], True)
    assert {weight.path.split("/")[0] for weight in vit[0].trainable_weights} == {"head_logits"}
    transfer.freeze(vit[0], False)
    assert {weight.path.split("/")[0] for weight in vit[0].trainable_weights} > {
        "head_logits",
        "stem_patches",
    }
