"""What a release holds: outputs in the order of clients, the same in float32 for every family of models."""

import importlib.util

import keras
import numpy as np
import onnx
import pandas as pd
import pytest
from helpers.quick import slow_but
from helpers.weights import randomized

import Models
from Utils.command.cli import UserError, WorkError
from Utils.release import onnx_runner, release_folder

NAMES = ["smile", "general", "reimu", "explicit", "touhou", "sensitive", "1girl", "questionable"]
TAGS = pd.DataFrame({
    "tag_id": range(8), "name": NAMES, "category": [0, 9, 4, 9, 3, 9, 0, 9], "count": [5, 0, 3, 0, 9, 0, 7, 0]
})  # fmt: skip


def images(count=5):
    return np.random.default_rng(1).integers(0, 256, (count, 32, 32, 3)).astype("float32")


def test_a_layout_says_which_outputs_in_which_order():
    wd = [NAMES[row] for row in release_folder.columns(TAGS, "wd")]
    assert wd == ["general", "sensitive", "questionable", "explicit", "1girl", "smile", "reimu"]
    assert [NAMES[row] for row in release_folder.columns(TAGS, "full")] == [*wd[:6], "touhou", "reimu"]
    with pytest.raises(
        UserError, match="needs the four ratings .* this model has general, explicit, sensitive"
    ):
        release_folder.columns(TAGS.iloc[:-1], "wd")


def test_tags_of_equal_counts_keep_the_order_of_the_model():
    tags = TAGS.assign(count=[5, 0, 3, 0, 9, 0, 5, 0], tag_id=range(8)[::-1])
    assert [NAMES[row] for row in release_folder.columns(tags, "wd")][4:6] == ["smile", "1girl"]


def test_thresholds_fill_every_row():
    cutoffs = np.full(len(TAGS), np.nan)
    cutoffs[[NAMES.index(name) for name in ("smile", "general", "explicit")]] = 0.4, 0.2, 0.8
    thresholds = release_folder.with_thresholds(TAGS, cutoffs).set_index("name")["best_threshold"].to_dict()
    assert (thresholds["smile"], thresholds["general"], thresholds["explicit"]) == (0.4, 0.2, 0.8)
    assert thresholds["1girl"] == 0.4  # the median of its category
    assert thresholds["sensitive"] == 0.5
    assert thresholds["reimu"] == 0.4  # the median of all, since its category has none
    below = release_folder.with_thresholds(TAGS, np.where(np.isnan(cutoffs), np.nan, -6e-8))
    assert below["best_threshold"].between(0, 1).all(), "as verify_release.py wants it"
    with pytest.raises(UserError, match="none of the released"):
        release_folder.with_thresholds(TAGS, np.full(len(TAGS), np.nan))


def test_categories_are_listed_in_the_order_of_the_tags():
    ordered = TAGS.iloc[release_folder.columns(TAGS, "wd")]
    assert release_folder.categories(ordered) == [
        {"category": 9, "name": "rating", "count": 4},
        {"category": 0, "name": "general", "count": 2},
        {"category": 4, "name": "character", "count": 1},
    ]


def test_missing_packages_and_other_backends_are_refused(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "ai_edge_litert" else name)
    release_folder.require(["onnx"])
    with pytest.raises(UserError, match="ai_edge_litert .* requirements-export"):
        release_folder.require(["onnx", "litert"])
    monkeypatch.setattr(keras.backend, "backend", lambda: "jax")
    with pytest.raises(UserError, match="tensorflow; got jax"):
        release_folder.require(["onnx"])


def test_a_model_of_mixed_precision_is_released_in_float32():
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        model = randomized(Models.build("SwinV2/test", image_size=32, num_labels=5))
    finally:
        keras.config.set_dtype_policy(before)
    plain = release_folder.released(model, np.array([4, 0, 2]))
    assert {layer.compute_dtype for layer in plain.layers} == {"float32"}
    np.testing.assert_allclose(plain(images(2)), np.array(model(images(2)))[:, [4, 0, 2]], atol=0.02)


def test_the_embedding_is_what_the_last_layer_gets():
    model = randomized(Models.build("ConvNext/test", image_size=32, num_labels=5))
    probabilities, embedding = release_folder.released(model, np.array([1, 2]), embedding=True)(images(2))
    head = model.get_layer("head_logits")
    logits = np.array(head(embedding))[:, [1, 2]]
    np.testing.assert_allclose(probabilities, 1 / (1 + np.exp(-logits)), atol=1e-6)


def test_a_file_is_compared_with_its_model(tmp_path):
    image = keras.Input((32, 32, 3))
    model = keras.Model(image, keras.layers.GlobalAveragePooling2D()(image))
    release_folder.write_onnx(model, tmp_path / "x.onnx")
    assert release_folder.check_onnx(tmp_path / "x.onnx", model, images()) < 1e-4
    other = keras.Model(image, keras.layers.GlobalMaxPooling2D()(image))
    with pytest.raises(WorkError, match="x.onnx differs from the Keras model by"):
        release_folder.check_onnx(tmp_path / "x.onnx", other, images())


OPTIONS = {
    "ConvNext": {"attention": "se"},
    "NFNet": {"attention": "eca"},
    "ViT": {"activation": "gelu_tanh", "class_token": True, "qk_norm": True, "pre_norm": True},
}


@pytest.mark.parametrize("family", slow_but(Models.available(), "ViT"))
def test_every_family_converts_and_agrees(family, tmp_path):
    """One file each: tf2onnx takes longer than in proportion to a graph."""
    options, pictures = OPTIONS.get(family, {}), images()
    if family == "SwinV2":  # windows are shifted, and masked, where there are several
        pictures = np.repeat(np.repeat(pictures, 2, axis=1), 2, axis=2)
    side = pictures.shape[1]
    model = randomized(Models.build(f"{family}/test", image_size=side, num_labels=5, **options))
    path = tmp_path / "model.onnx"
    release_folder.write_onnx(model, path)
    expected = model(pictures).numpy()
    assert np.ptp(expected, axis=0).max() > 1e-6  # the images matter
    graph = onnx.load(str(path)).graph
    assert [value.name for value in (*graph.input, *graph.output)] == ["input", "prediction"]
    if family == "ViT":  # one operator for each of its norms: four in each block, one before and one behind
        assert [node.op_type for node in graph.node].count("LayerNormalization") == 2 * 4 + 2
    for batch_size in (1, 5):
        assert np.abs(onnx_runner.run(path, pictures, batch_size) - expected).max() < 1e-4
