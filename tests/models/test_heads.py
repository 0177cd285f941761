"""The heads of every family: exact sizes and costs, gradients, and new tag lists."""

import dataclasses

import keras
import numpy as np
import pytest
import tensorflow as tf
from helpers import zoo
from helpers.quick import slow_but
from helpers.weights import randomized

import Models
from Models import summary, transfer
from Models.porting import timm_export
from Utils.command.cli import UserError
from Utils.release import quantization, release_folder

FAMILIES = Models.available()
HEADS = ("map", "ml_decoder")
GROUPS, LABELS = 3, 8
SIZE = 64  # the last map of all families has several places


@pytest.fixture(autouse=True)
def seeded():
    """Let gradients not depend on the tests before: all of four units behind a ReLU may be closed."""
    keras.utils.set_random_seed(3)


def build(family, head, **options):
    """The smallest model of a family with a head."""
    sizes = {"image_size": SIZE, "num_labels": LABELS, "decoder_groups": GROUPS}
    options = {**sizes, "dropout": 0.0, "stochastic_depth": 0.0} | options
    return zoo.build_small(f"{family}/test", head=head, **options)


def dense(inputs, outputs):
    """Parameters of a dense layer with biases."""
    return inputs * outputs + outputs


def expected_parameters(head, channels, mlp_width):
    """Parameters from the last map to the first layer behind the head, by hand."""
    if head == "map":  # latent, four projections, norm, MLP
        mlp = dense(channels, mlp_width) + dense(mlp_width, channels)
        return channels + 4 * dense(channels, channels) + 2 * channels + mlp
    width, hidden = channels, channels * 8 // 3  # fewer than 768
    attention = GROUPS * width + 2 * width + 4 * dense(width, width)
    mlp = dense(width, hidden) + dense(hidden, width)
    return dense(channels, width) + attention + 2 * 2 * width + mlp + dense(width, LABELS)


def expected_macs(head, channels, mlp_width, tokens):
    if head == "map":
        projections = 2 * (tokens + 1) * channels**2 + 2 * tokens * channels
        return projections + 2 * channels * mlp_width
    width, hidden = channels, channels * 8 // 3
    attention = 2 * (tokens + GROUPS) * width**2 + 2 * GROUPS * tokens * width
    capacity = -(-LABELS // GROUPS)
    mlp = 2 * GROUPS * width * hidden
    return tokens * channels * width + attention + mlp + GROUPS * capacity * width


@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize("family", slow_but(FAMILIES, "ConvNext", "ViT"))
def test_parameters_and_costs_are_those_of_the_paper(family, head):
    model = build(family, head)
    names = transfer.head_layers(model, new_head=True)
    start = model.get_layer(names[0]).input.shape  # (B, N, C)
    spec = Models.spec(f"{family}/test")
    sizes = start[2], getattr(spec, "mlp_width", 4 * start[2]) if family == "ViT" else 4 * start[2]
    of_head = names if head == "ml_decoder" else names[: names.index("head_map_add")]
    rows = [row for row in summary.layers(model) if row.name in of_head]
    assert sum(row.parameters for row in rows) == expected_parameters(head, *sizes)
    assert sum(row.macs for row in rows) == expected_macs(head, *sizes, start[1])


def test_a_query_for_each_tag_where_there_are_as_many():
    model = build("ViT", "ml_decoder", decoder_groups=1000)
    assert model.get_layer("head_logits").input.shape == (None, LABELS, 16)
    assert model.get_layer("head_logits").capacity == 1
    assert build("ResNet", "ml_decoder", decoder_width=24).get_layer("head_logits").input.shape[-1] == 24


@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize("family", slow_but(FAMILIES, "ResNet", "ViT"))
def test_all_weights_learn_and_are_exempt_as_vectors_are(family, head):
    model = randomized(build(family, head))
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(tf.square(model(zoo.draw_images(size=SIZE)) - 1.0))
    gradients = tape.gradient(loss, [weight.value for weight in model.trainable_weights])
    for weight, gradient in zip(model.trainable_weights, gradients, strict=True):
        if not weight.path.endswith(("attention/key/bias", "head_map/key/bias")):  # softmax cancels it
            assert gradient is not None and np.abs(gradient).max() > 0, weight.path
        exempt = any(tf.strings.regex_full_match(weight.path, f".*({pattern.rstrip('$')})$").numpy()
                     for pattern in Models.family(family).NO_DECAY)  # fmt: skip
        if weight.path.startswith("head_"):
            assert exempt == (len(weight.shape) < 2), weight.path


def test_wrong_heads_are_refused_with_what_is_allowed():
    with pytest.raises(UserError, match="must be 'gap' or 'map' or 'ml_decoder'; got 'token'"):
        build("ConvNext", "token")
    with pytest.raises(UserError, match="got 'ml-decoder'; did you mean ml_decoder"):
        build("ViT", "ml-decoder")
    with pytest.raises(UserError, match="the head 'token' needs a class token"):
        build("ViT", "token")
    with pytest.raises(UserError, match="decoder_groups must be 1 or more; got 0"):
        build("ViT", "ml_decoder", decoder_groups=0)
    with pytest.raises(UserError, match="did you mean head"):
        zoo.build_small("ViT/test", global_pool="avg")


def test_the_former_name_of_the_field_is_read():
    spec = Models.spec("ViT/map-test", pool="average")
    assert spec == dataclasses.replace(Models.spec("ViT/map-test"), head="gap")


@pytest.mark.parametrize("head", slow_but(["gap", *HEADS], "gap"))
def test_kept_tags_give_the_same_logits_in_another_list(head, tmp_path):
    """Also where ML-Decoder's equal groups would put them beside others."""
    source = randomized(build("ViT", head))
    source.save(tmp_path / "x.keras")
    rows = np.array([-1, 7, 1, -1, 0, 2, -1])
    images = zoo.draw_images(size=SIZE)
    expected = np.array(source(images))[:, rows[rows >= 0]]
    adapted = transfer.from_json(transfer.adapted_json(tmp_path / "x.keras", SIZE, len(rows)))
    rebuilt = build("ViT", head, num_labels=len(rows))
    for model in (adapted, rebuilt):
        assert transfer.copy_weights(tmp_path / "x.keras", model, rows, np.full(len(rows), -2.0)) == []
        logits = np.array(model(images))
        np.testing.assert_allclose(logits[:, rows >= 0], expected, atol=1e-5)
        np.testing.assert_allclose(logits[:, rows < 0], -2.0, atol=1e-6)
    assert transfer.has_moved_groups(rebuilt) == (head == "ml_decoder")
    again = transfer.from_json(transfer.to_json(rebuilt))  # as a run that is continued builds it
    again.set_weights(rebuilt.get_weights())
    np.testing.assert_array_equal(again(images), rebuilt(images))


@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize("family", slow_but(["ViT", "MetaFormer", "NFNet"], "ViT"))
def test_another_head_takes_the_body_alone(family, head, tmp_path):
    source = randomized(build(family, "gap"))
    source.save(tmp_path / "x.keras")
    model = build(family, head)
    rows, biases = np.full(LABELS, -1), np.linspace(-3, 0, LABELS)
    with pytest.raises(UserError, match="missing from it"):
        transfer.copy_weights(tmp_path / "x.keras", model, rows, biases)
    transfer.copy_weights(tmp_path / "x.keras", model, rows, biases, new_head=True)
    np.testing.assert_allclose(model(zoo.draw_images(size=SIZE)), np.tile(biases, (3, 1)), atol=1e-6)
    for layer in model.layers:
        if not layer.name.startswith("head_"):
            kept = source.get_layer(layer.name).get_weights()
            assert all(map(np.array_equal, layer.get_weights(), kept)), layer.name


@pytest.mark.parametrize("head", HEADS)
def test_a_probe_trains_what_is_new_of_the_head(head):
    model = build("ConvNext", head)
    images = zoo.draw_images(size=SIZE)
    for new_head in (False, True):
        body, part = transfer.split_at_head(model, new_head)
        assert len(body.output_shape) == 2
        np.testing.assert_allclose(part(body(images)), model(images), atol=1e-5)
        names = transfer.head_layers(model, new_head)
        transfer.freeze(model, True, new_head)
        trained = {weight.path.split("/")[0] for weight in model.trainable_weights}
        assert trained <= set(names) and "head_logits" in trained and (len(trained) > 1) == new_head
        transfer.freeze(model, False)
    factors = transfer.learning_rate_factors(model, 0.5, 0.1, np.ones(LABELS, bool), new_head=True)
    first = next(factor for pattern, factor in factors if tf.strings.regex_full_match(
        f"{names[0]}/kernel", f"{pattern}.*").numpy())  # fmt: skip
    assert first == 1.0


@pytest.mark.parametrize("head", HEADS)
def test_a_release_has_some_outputs_in_any_order(head):
    model = randomized(build("ViT", head))
    columns, images = np.array([5, 0, 7, 2]), zoo.draw_images(size=SIZE)
    copy = release_folder.with_columns(model, columns)
    np.testing.assert_allclose(copy(images), np.array(model(images))[:, columns], atol=1e-5)
    assert release_folder.released(model, columns, embedding=True).output_shape[1] == (None, 16)


@pytest.mark.parametrize("head", slow_but(HEADS, "map"))
def test_onnx_and_8_bits_compute_the_same(head, tmp_path):
    """ML-Decoder with groups that a list of other tags left in disorder; attention with norms and without."""
    pytest.importorskip("tf2onnx")
    model = randomized(build("ViT", head, qk_norm=head == "map"))
    released = release_folder.released(model, np.array([5, 0, 7, 2]))
    release_folder.write_onnx(released, tmp_path / "model.onnx")
    images = zoo.draw_images(size=SIZE)
    release_folder.check_onnx(tmp_path / "model.onnx", released, images)
    quantization.write_int8(tmp_path / "model.onnx", tmp_path / "int8.onnx", images, "static")
    release_folder.check_onnx(tmp_path / "int8.onnx", released, images, bound=0.05)


@pytest.mark.parametrize(
    ("name", "head"), [("ConvNext/T", "map"), ("EVA02/token-test", "map"), ("ViT/B16", "ml_decoder")]
)
def test_timm_cannot_express_other_heads(name, head):
    rules, spec = Models.family(name).TIMM, Models.spec(name, head=head)
    with pytest.raises(UserError, match=f"timm cannot express this .*head is '{head}'"):
        timm_export._architecture(name, spec, rules, Models.spec)


def test_patch_dropout_changes_training_only():
    fields = {"layer_scale": None, "stochastic_depth": 0.0}
    model = zoo.build_small("ViT/registers-test", patch_dropout=0.5, **fields)
    whole = zoo.build_small("ViT/registers-test", **fields)
    whole.set_weights([weight for weight in model.get_weights() if weight.dtype == np.float32])
    images = zoo.draw_images(2)
    np.testing.assert_allclose(model(images, training=False), whole(images, training=False), atol=1e-5)
    assert np.abs(np.asarray(model(images, training=True)) - np.asarray(whole(images))).max() > 1e-4


def test_patch_dropout_and_rematerialized_blocks():
    model = zoo.build_small("ViT/registers-test", patch_dropout=0.5)
    logits = Models.rematerialized(model)(zoo.draw_images(2), training=True)
    assert np.isfinite(logits).all()
