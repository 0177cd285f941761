"""Formats are written where they are near enough to the Keras model, and the smaller ones where they pay."""

import dataclasses
import errno
import os

import keras
import numpy as np
import onnx
import pytest
from helpers.weights import randomized

from Utils.command.cli import WorkError
from Utils.release import formats, onnx_runner, quantization, release_folder


def images(count):
    return np.random.default_rng(1).integers(0, 256, (count, 32, 32, 3)).astype("uint8")


def tiny_transformer():
    """A convolution and more matrix products, as transformers have them."""
    image = keras.Input((32, 32, 3))
    features = keras.layers.Conv2D(16, 8, strides=8)(keras.layers.Rescaling(1 / 255)(image))
    features = keras.layers.Dense(32, activation="relu")(keras.layers.Dense(32)(features))
    features = keras.layers.GlobalAveragePooling2D()(features)
    return randomized(keras.Model(image, keras.layers.Dense(7, activation="sigmoid")(features)))


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    path = tmp_path_factory.mktemp("source") / "model.onnx"
    release_folder.write_onnx(tiny_transformer(), path)
    return path


@pytest.fixture
def release(source, tmp_path):
    (tmp_path / "model.onnx").write_bytes(source.read_bytes())
    return tmp_path


@pytest.fixture(scope="module")
def reference(source):
    expected = onnx_runner.run(source, images(12))
    return formats.ReferenceOutputs(images(12), expected, (expected > 0.5).astype(np.int8))


def test_reference_outputs_are_those_of_the_model_in_any_batch():
    model = tiny_transformer()
    reference = formats.reference_outputs(model, images(12))
    np.testing.assert_allclose(reference.probabilities, model(images(12).astype("float32")), atol=1e-6)
    with_embedding = keras.Model(model.input, [model.output, model.layers[-2].output])
    again = formats.reference_outputs(with_embedding, images(12))
    np.testing.assert_allclose(again.probabilities, reference.probabilities, atol=1e-6)


def test_int8_that_is_slower_than_float32_is_not_written(release, reference, monkeypatch):
    monkeypatch.setattr(formats, "relative_speeds", lambda source, others, images: dict.fromkeys(others, 0.9))
    result = formats.write_format("onnx_int8", release, None, reference, reference.images)
    assert not result["written"]
    assert "0.90 times the speed of float32" in result["why"]
    assert result["speed"] == 0.9
    assert list((release / "extra").iterdir()) == []


def test_of_two_ways_to_quantize_the_faster_is_written(release, reference, monkeypatch):
    speeds = {"static": 1.2, "dynamic": 1.6}
    monkeypatch.setattr(formats, "relative_speeds", lambda source, others, images: speeds)
    result = formats.write_format("onnx_int8", release, None, reference, reference.images)
    assert (result["written"], result["kind"], result["speed"]) == (True, "dynamic", 1.6)
    assert result["others"]["static"]["speed"] == 1.2
    assert [path.name for path in (release / "extra" / "onnx_int8").iterdir()] == ["model.onnx"]


def test_formats_that_lose_too_much_are_not_written(release, reference, monkeypatch):
    def negated(source, path, *_):
        model = onnx.load(str(source))
        for tensor in model.graph.initializer:
            if tensor.data_type == onnx.TensorProto.FLOAT and len(tensor.dims) == 2:
                value = onnx.numpy_helper.to_array(tensor)
                tensor.CopyFrom(onnx.numpy_helper.from_array(1 - value, tensor.name))
        onnx.save(model, str(path))

    monkeypatch.setattr(quantization, "write_int8", negated)
    monkeypatch.setattr(quantization, "write_float16", negated)
    for name in ("onnx_int8", "onnx_float16"):
        result = formats.write_format(name, release, None, reference, reference.images)
        assert not result["written"]
        assert ", over " in result["why"]
        assert list((release / "extra").iterdir()) == []


def test_a_converter_that_fails_leaves_its_format_out_but_a_full_disk_ends_it(
    release, reference, monkeypatch
):
    def fail(error):
        def write(*_):
            raise error

        monkeypatch.setattr(quantization, "write_float16", write)

    fail(RuntimeError("no such operator\ndetails"))
    result = formats.write_format("onnx_float16", release, None, reference)
    assert (result["written"], result["why"]) == (
        False, "it cannot be converted: RuntimeError: no such operator"
    )  # fmt: skip
    fail(OSError("no space left"))
    with pytest.raises(OSError, match="no space"):
        formats.write_format("onnx_float16", release, None, reference)
    fail(RuntimeError(f"saved_model.pb.tmp1; {os.strerror(errno.ENOSPC)}"))  # as TensorFlow tells it
    with pytest.raises(OSError, match="onnx_float16") as told:
        formats.write_format("onnx_float16", release, None, reference)
    assert told.value.errno == errno.ENOSPC


def test_an_onnx_file_that_differs_is_an_error(release, reference):
    other = dataclasses.replace(reference, probabilities=reference.probabilities * 0.9, labels=None)
    with pytest.raises(WorkError, match="model.onnx is not what the Keras model is: the largest difference"):
        formats.write_format("onnx", release, None, other)
    assert formats.write_format("onnx", release, None, reference)["written"]


def test_each_bound_can_be_the_only_one_that_fails():
    random = np.random.default_rng(0)
    expected = random.random((50, 20)).astype("float32")
    labels = (expected > 0.5).astype(np.int8)
    reference = formats.ReferenceOutputs(np.zeros((50, 1, 1, 3), "uint8"), expected, labels)

    def why(probabilities, name="onnx_int8", reference=reference):
        return formats.compare_format(name, probabilities, reference)["why"]

    assert why(expected) == ""
    single = expected.copy()
    single[0, 0] = 1 - single[0, 0] if abs(single[0, 0] - 0.5) > 0.2 else single[0, 0] + 0.45
    assert why(single).startswith("the largest difference is")
    assert "percentile" not in why(single)
    lowered = np.where(expected > 0.5, expected - 0.04, expected)
    assert why(lowered).startswith("the loss of F1 is")
    spread = np.clip(expected + np.where(labels, 0.2, -0.2), 0, 1).astype("float32")
    assert why(spread).startswith("the 99.9th percentile")
    assert why(expected * np.nan)
    assert why(expected + 2e-4, "onnx", dataclasses.replace(reference, labels=None))


def test_speeds_are_measured_side_by_side(tmp_path, monkeypatch):
    monkeypatch.setattr(formats, "SECONDS", 0.2)
    monkeypatch.setattr(formats, "TURNS", 4)
    image = keras.Input((32, 32, 3))
    features = keras.layers.Conv2D(64, 3)(keras.layers.Conv2D(64, 3)(image))
    for name, outputs in (("slow", features), ("fast", image)):
        model = keras.Model(image, keras.layers.GlobalAveragePooling2D()(outputs))
        release_folder.write_onnx(model, tmp_path / f"{name}.onnx")
    speeds = formats.relative_speeds(tmp_path / "slow.onnx", {"fast": tmp_path / "fast.onnx"}, images(1))
    assert speeds["fast"] > 1.5
    assert formats.relative_speeds(tmp_path / "slow.onnx", {}, images(1)) == {}
