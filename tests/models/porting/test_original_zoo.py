"""Weights of the original zoo give its outputs; what does not fit is listed and nothing is changed."""

import itertools
import re

import h5py
import keras
import numpy as np
import pytest
from golden import golden_values as golden
from helpers.quick import slow_but

import Models
from Models.porting import original_zoo
from Utils.command.cli import UserError

CASES = {  # file: (model, options); its norms have the epsilon of Keras 2
    "convnext_t.json": ("ConvNext/T", {"epsilon": 1e-3}),
    "nfnet_l0_eca_silu.json": ("NFNet/L0", {"attention": "eca", "compensate_avgpool_var": True}),
    "resnet50.json": ("ResNet/50", {"epsilon": 1e-3}),
}


@pytest.mark.parametrize("file", slow_but(CASES, "convnext_t.json"))
def test_outputs_are_the_originals(file, tmp_path):
    spec = golden.load(file)
    name, options = CASES[file]
    golden.write_keras2_h5(spec, tmp_path / "weights.h5")
    golden.write_tf_checkpoint(spec, tmp_path / "saved/variables/variables")
    images, expected = golden.golden_input(spec), np.array(spec["outputs"])
    model = Models.build(name, image_size=spec["image_size"], num_labels=spec["num_labels"], **options)
    assert model.count_params() == spec["params"]
    for source in ("weights.h5", "saved/variables/variables"):
        model.set_weights([np.zeros_like(value) for value in model.get_weights()])
        original_zoo.assign(model, Models.family(name).IMPORT_RULES, original_zoo.read(tmp_path / source))
        assert np.abs(model(images).numpy() - expected).max() < 1e-4, source


def test_a_folder_means_the_variables_in_it(tmp_path):
    rules = Models.family("ViT").IMPORT_RULES
    (tmp_path / "saved" / "variables").mkdir(parents=True)
    file_of(build("ViT/test", {}), rules, "checkpoint", tmp_path / "saved/variables/variables")
    by_folder, by_prefix = (
        original_zoo.read(tmp_path / path) for path in ("saved", "saved/variables/variables")
    )
    assert by_folder.path == by_prefix.path
    assert by_folder.arrays.keys() == by_prefix.arrays.keys()


# An original of the "test" variants is written by the rules themselves, so that names, counting and shapes of
# every option are covered; that the rules are right is what the golden files above show.
OPTIONS = [
    ("ConvNext/test", {"attention": "se"}),
    ("ConvNext/V2-test", {"attention": "eca", "norm": "affine"}),
    ("NFNet/test", {"attention": "se"}),
    ("NFResNet/test", {"attention": "eca"}),
    ("ResNet/test", {"attention": "se"}),
    ("ViT/test", {}),
]


def build(name, options):
    model = Models.build(name, image_size=32, num_labels=7, **options)
    rng = np.random.default_rng(5)
    for variable in model.weights:
        if variable.dtype == "float32":
            variable.assign(rng.uniform(0.5, 1.0, variable.shape))
    return model


def file_of(model, rules, file_format, path, shift=0):
    """What the original would have written for a model of ours."""
    values = {
        key: variable.numpy() for key, variable in original_zoo.weight_keys(model, rules, file_format).items()
    }
    if file_format == "h5":
        write_h5({(_later(layer, shift), name): value for (layer, name), value in values.items()}, path)
    else:
        write_checkpoint(values, path)


def _later(layer, shift):
    """Count an unnamed layer up, as when the model was not the first of its session."""
    match = re.fullmatch(
        r"(se_block|eca_block|skip_init|skip_init_channelwise|multi_head_attention)(?:_(\d+))?", layer
    )
    return layer if match is None or not shift else f"{match[1]}_{int(match[2] or 0) + shift}"


def write_h5(values, path):
    with h5py.File(path, "w") as file:
        top = file.create_group("model_weights")
        file.create_group("optimizer_weights")
        layers = list(dict.fromkeys(layer for layer, _ in values))
        top.attrs["layer_names"] = [layer.encode() for layer in layers]
        for layer in layers:
            names = {f"{layer}/{name}:0": value for (owner, name), value in values.items() if owner == layer}
            group = top.create_group(layer)
            group.attrs["weight_names"] = [name.encode() for name in names]
            for name, value in names.items():
                group.create_dataset(name, data=value)


def write_checkpoint(values, path):
    import tensorflow as tf

    entries = {
        f"layer_with_weights-{n}/{name}/.ATTRIBUTES/VARIABLE_VALUE": v for (n, name), v in values.items()
    }
    first = next(iter(entries))
    entries["save_counter/.ATTRIBUTES/VARIABLE_VALUE"] = np.int64(3)
    entries[first.replace("/.ATTR", "/.OPTIMIZER_SLOT/optimizer/m/.ATTR")] = entries[first]
    tf.raw_ops.SaveV2(
        prefix=str(path),
        tensor_names=list(entries),
        shape_and_slices=[""] * len(entries),
        tensors=[tf.constant(value) for value in entries.values()],
    )


@pytest.mark.parametrize("case", slow_but(OPTIONS, *OPTIONS[1:3], OPTIONS[-1]), ids=str)
@pytest.mark.parametrize("file_format", slow_but(["h5", "checkpoint"], "h5"))
def test_every_option_makes_the_way_back(case, file_format, tmp_path):
    name, options = case
    source, rules = build(name, options), Models.family(name).IMPORT_RULES
    path = tmp_path / ("original.h5" if file_format == "h5" else "original")
    file_of(source, rules, file_format, path, shift=3)
    model = Models.build(name, image_size=32, num_labels=7, **options)
    read = original_zoo.read(path)
    assert original_zoo.assign(model, rules, read) == len(read.arrays)
    images = np.random.default_rng(0).uniform(0, 255, (2, 32, 32, 3)).astype("float32")
    np.testing.assert_array_equal(model(images), source(images))
    assert len(read.skipped) == (1 if file_format == "h5" else 2)


@pytest.mark.reliability(
    "a Keras 2 .h5 of the original's ViT",
    "imported, whatever scopes stand before a layer's name; same outputs",
)
@pytest.mark.parametrize("scope", ["", "vit_b16/", "replica_1/model_2/"])
def test_a_vit_as_the_original_built_it(scope, tmp_path):
    theirs = originals_vit(side=32, patch=16, depth=2, width=32, heads=2, labels=7)
    write_vit_h5(theirs, tmp_path / "vit.h5", scope)
    options = {"patch": 16, "depth": 2, "width": 32, "mlp_width": 64, "heads": 2, "epsilon": 1e-3}
    ours = Models.build("ViT/test", image_size=32, num_labels=7, **options)
    original_zoo.assign(ours, Models.family("ViT").IMPORT_RULES, original_zoo.read(tmp_path / "vit.h5"))
    images = np.random.default_rng(0).uniform(0, 255, (2, 32, 32, 3)).astype("float32")
    np.testing.assert_allclose(ours(images), theirs(images), atol=1e-5)


class Skip(keras.layers.Layer):
    """The original's SkipInitChannelwise."""

    def build(self, shape):
        self.skip = self.add_weight(shape=(shape[-1],), name="skip")

    def call(self, x):
        return x * self.skip


class Position(keras.layers.Layer):
    """The original's PosEmbed."""

    def build(self, shape):
        self.pos_embed = self.add_weight(shape=shape[1:], name="pos_embed")

    def call(self, x):
        return x + self.pos_embed


def originals_vit(side, patch, depth, width, heads, labels):
    """The original's ViT of Keras' own layers, with its names, and random weights."""
    layers, number = keras.layers, itertools.count()

    def norm(x, name):
        return layers.LayerNormalization(epsilon=1e-3, name=name)(x)

    def skip(x):
        k = next(number)
        return Skip(name=f"skip_init_channelwise_{k}" if k else "skip_init_channelwise")(x)

    image = x = keras.Input((side, side, 3))
    x = layers.Conv2D(width, patch, patch, name="root_conv2d")(x / 127.5 - 1)
    x = Position(name="pos_embed")(layers.Reshape((-1, width))(x))
    for i in range(depth):
        y = norm(x, f"block{i}_norm_01")
        name = f"multi_head_attention_{i}" if i else "multi_head_attention"
        x += skip(layers.MultiHeadAttention(heads, width // heads, name=name)(y, y))
        y = layers.Dense(2 * width, "gelu", name=f"block{i}_cm_dense_01")(norm(x, f"block{i}_norm_02"))
        x += skip(layers.Dense(width, name=f"block{i}_cm_dense_02")(y))
    x = layers.GlobalAveragePooling1D()(norm(x, "predictions_norm"))
    model = keras.Model(image, layers.Dense(labels, "sigmoid", name="predictions_dense")(x))
    rng = np.random.default_rng(0)
    model.set_weights([rng.normal(0, 0.3, value.shape) for value in model.get_weights()])
    return model


def write_vit_h5(model, path, scope):
    """Write the weights as Keras 2 named them: a SkipInit's is "skip:0", the others begin with the layer."""
    with h5py.File(path, "w") as file:
        file.attrs["layer_names"] = [layer.name.encode() for layer in model.layers]
        for layer in model.layers:
            group, names = file.create_group(layer.name), []
            for variable in layer.weights:
                inner = variable.path.split(f"{layer.name}/", 1)[1]
                names.append("skip:0" if inner == "skip" else f"{scope}{layer.name}/{inner}:0")
                group.create_dataset(names[-1], data=variable.numpy())
            group.attrs["weight_names"] = [name.encode() for name in names]


def test_a_damaged_h5_and_long_lists_of_names(tmp_path):
    values = {("predictions_dense", "kernel"): np.zeros((2, 3))}
    write_h5(values, tmp_path / "a.h5")
    with h5py.File(tmp_path / "a.h5", "a") as file:
        attributes = file["model_weights"].attrs
        attributes["layer_names0"], attributes["layer_names1"] = attributes["layer_names"], [b"lost"]
        del attributes["layer_names"]
    with pytest.raises(UserError, match=r"a\.h5 is damaged: it lists the layer lost"):
        original_zoo.read(tmp_path / "a.h5")
    with h5py.File(tmp_path / "a.h5", "a") as file:
        file["model_weights"].create_group("lost").attrs["weight_names"] = [b"lost/kernel:0"]
    with pytest.raises(UserError, match="it lists lost/kernel:0 of lost"):
        original_zoo.read(tmp_path / "a.h5")
    with h5py.File(tmp_path / "a.h5", "a") as file:
        del file["model_weights/lost"].attrs["weight_names"]
    assert original_zoo.read(tmp_path / "a.h5").arrays.keys() == values.keys()


def test_leftovers_on_both_sides_are_listed_and_nothing_is_assigned(tmp_path):
    rules = Models.family("ConvNext").IMPORT_RULES
    file_of(build("ConvNext/test", {"attention": "eca"}), rules, "h5", tmp_path / "a.h5")
    model = build("ConvNext/test", {"attention": "se"})
    before = [variable.numpy() for variable in model.weights]
    with pytest.raises(UserError, match=r"Missing.*se_block.*Left over.*eca_block"):
        original_zoo.assign(model, rules, original_zoo.read(tmp_path / "a.h5"))
    wrong_labels = Models.build("ConvNext/test", image_size=32, num_labels=8, attention="eca")
    with pytest.raises(UserError, match="predictions_dense.*needs"):
        original_zoo.assign(wrong_labels, rules, original_zoo.read(tmp_path / "a.h5"))
    for variable, value in zip(model.weights, before, strict=True):
        np.testing.assert_array_equal(variable, value)


def test_a_file_without_weights_is_an_error(tmp_path):
    (tmp_path / "text.h5").write_text("no")
    (tmp_path / "folder").mkdir()
    (tmp_path / "broken.index").write_text("no")
    h5py.File(tmp_path / "other.h5", "w").close()
    for name, message in [
        ("text.h5", "no HDF5"), ("other.h5", "has no layer_names"), ("folder", "variables.index"),
        ("absent", "no weights"), ("broken", "cannot be read"),
    ]:  # fmt: skip
        with pytest.raises(UserError, match=message):
            original_zoo.read(tmp_path / name)


def test_a_model_of_this_zoo_needs_no_import(tmp_path):
    (tmp_path / "a.keras").touch()
    with pytest.raises(UserError, match=r"a\.keras is a \.keras file already; every command"):
        original_zoo.read(tmp_path / "a.keras")
