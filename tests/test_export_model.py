"""A release is what clients count on: order, names, one file, any batch, the probabilities of the model."""

import json
import os
import pathlib
import re
import subprocess
import sys

import keras
import numpy as np
import pytest

import Models
from tools import export_model
from Utils import releases, sources, tags
from Utils.commands import WorkError

ROOT = pathlib.Path(__file__).resolve().parent.parent
TAGS = """tag_id,name,category,count
7,1girl,0,40
30,reimu,4,35
9999999,general,9,0
9999996,explicit,9,3
9999998,sensitive,9,2
9999997,questionable,9,1
20,touhou,3,39
8,smile,0,41
"""
WD = ["general", "sensitive", "questionable", "explicit", "smile", "1girl", "reimu"]


def randomized(model, seed=0):
    """Give gates that start at 0 values that show."""
    random = np.random.default_rng(seed)
    for weight in model.weights:
        if re.search(r"(scale|_grn/(gamma|beta)|_norm\d?/(gamma|alpha)|gain)$", weight.path):
            weight.assign(np.full(weight.shape, 0.5))
        elif weight.path.endswith(("/bias", "/beta", "moving_mean")):
            weight.assign(0.1 * random.standard_normal(weight.shape))
    return model


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run folder of a model that timm can express, with ratings and a copyright tag."""
    folder = tmp_path_factory.mktemp("run")
    options = {"depth": 1, "width": 32, "mlp_width": 64, "heads": 2}
    model = Models.build(
        "ViT/B16", image_size=32, num_labels=8, classifier_activation=None, layer_scale=None, **options
    )
    randomized(model).save(folder / "best.keras")
    (folder / "selected_tags.csv").write_text(TAGS)
    words = ["layer_scale=none", *(f"{name}={value}" for name, value in options.items())]
    (folder / "recipe.json").write_text(json.dumps({"model": "ViT/B16", "model_options": words}))
    return folder


# Reads what was exported where there is no tensorflow, and prints each output.
ALONE = """
import json, sys
import numpy as np, onnxruntime
session = onnxruntime.InferenceSession(sys.argv[1], providers=["CPUExecutionProvider"])
images = np.load(sys.argv[2])
name = session.get_inputs()[0].name
rows = {}
for batch in (1, len(images)):
    parts = [session.run(None, {name: images[i : i + batch]}) for i in range(0, len(images), batch)]
    rows[batch] = [np.concatenate(outputs).tolist() for outputs in zip(*parts)]
shapes = [[item.name, item.shape, item.type] for item in (*session.get_inputs(), *session.get_outputs())]
assert "tensorflow" not in sys.modules
print(json.dumps({"rows": rows, "shapes": shapes}))
"""


def alone(path, images, folder):
    """Run an ONNX file in a process of its own, one by one and all at once."""
    np.save(folder / "images.npy", images)
    words = [sys.executable, "-c", ALONE, str(path), str(folder / "images.npy")]
    done = subprocess.run(words, capture_output=True, text=True, env=os.environ, cwd=folder)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def images(count=5, size=32):
    return np.random.default_rng(1).integers(0, 256, (count, size, size, 3)).astype("float32")


def test_a_run_becomes_a_release(run, tmp_path, capsys):
    release = tmp_path / "release"
    assert export_model.main([str(run), "-o", str(release), "--embedding"]) == 0
    assert "timm's vit_base_patch16_224" in capsys.readouterr().out
    frame = tags.read(release / "selected_tags.csv")
    assert frame["name"].tolist() == WD
    assert (release / "selected_tags.csv").read_text().startswith("tag_id,name,category,count\n9999999,gen")
    given = tags.read(run / "selected_tags.csv")["name"].tolist()
    expected = Models.load(run).probabilities(images().astype("uint8"))[:, [given.index(name) for name in WD]]
    found = alone(release / "model.onnx", images(), tmp_path)
    names, shapes, types = zip(*found["shapes"], strict=True)
    assert (names, set(types)) == (("input", "prediction", "embedding"), {"tensor(float)"})
    assert [shape[1:] for shape in shapes] == [[32, 32, 3], [7], [32]]
    assert not any(isinstance(shape[0], int) for shape in shapes)  # any batch size
    for rows in found["rows"].values():
        np.testing.assert_allclose(rows[0], expected, atol=1e-5)
    top = {path.name for path in release.iterdir()}
    assert top == {
        "model.onnx", "selected_tags.csv", "preprocess.json", "categories.json", "release.json", "extra",
        "config.json", "model.safetensors",
    }  # fmt: skip
    assert [row["name"] for row in json.loads((release / "categories.json").read_text())] == [
        "rating", "general", "character"
    ]  # fmt: skip
    full = release / "extra" / "full"
    assert tags.read(full / "selected_tags.csv")["name"].tolist() == [*WD[:6], "touhou", "reimu"]
    assert (full / "model.onnx").is_file()
    assert json.loads((release / "release.json").read_text())["onnx_difference"] < 1e-5
    again = Models.load(release)
    assert again.tags["name"].tolist() == given
    both = [tagger.probabilities(images().astype("uint8")) for tagger in (again, Models.load(run))]
    np.testing.assert_array_equal(*both)
    source = sources.find(release)
    assert (source.image_size, source.num_labels) == (32, 8)
    assert source.tags["name"].tolist() == given


def test_wrong_use_is_told_before_any_work(run, tmp_path, capsys):
    (tmp_path / "plain.csv").write_text(
        "tag_id,name,category,count\n" + "".join(f"{i},t{i},0,5\n" for i in range(8))
    )
    release = tmp_path / "release"
    words = [str(run), "-o", str(release)]
    assert export_model.main([*words, "--tags", str(tmp_path / "plain.csv")]) == 2
    assert "needs the four ratings" in capsys.readouterr().err
    short = tmp_path / "short.csv"
    short.write_text(TAGS.rsplit("\n", 2)[0] + "\n")
    assert export_model.main([*words, "--tags", str(short)]) == 2
    assert "has 7 tags, but the model gives 8" in capsys.readouterr().err
    assert not release.exists()
    release.mkdir()
    (release / "mine.txt").write_text("kept")
    assert export_model.main(words) == 2
    assert "--overwrite" in capsys.readouterr().err


def test_a_model_of_mixed_precision_is_released_in_float32():
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        model = randomized(Models.build("SwinV2/test", image_size=32, num_labels=5))
    finally:
        keras.config.set_dtype_policy(before)
    plain = releases.released(model, np.array([4, 0, 2]))
    assert {layer.compute_dtype for layer in plain.layers} == {"float32"}
    np.testing.assert_allclose(plain(images(2)), np.array(model(images(2)))[:, [4, 0, 2]], atol=0.02)


def test_a_file_that_differs_is_not_released(run, tmp_path, monkeypatch, capsys):
    real = releases.run_onnx
    monkeypatch.setattr(releases, "run_onnx", lambda *given: real(*given) + 1e-3)
    assert export_model.main([str(run), "-o", str(tmp_path / "release")]) == 1
    assert "differs from the Keras model by 0.001" in capsys.readouterr().err
    assert not (tmp_path / "release").exists()
    with pytest.raises(WorkError):
        releases.check_onnx(_written(tmp_path), _constant(), images())


def _constant():
    image = keras.Input((32, 32, 3))
    return keras.Model(image, keras.layers.GlobalAveragePooling2D()(image))


def _written(folder):
    releases.write_onnx(_constant(), folder / "x.onnx")
    return folder / "x.onnx"


OPTIONS = {
    "ConvNext": {"attention": "se"},
    "NFNet": {"attention": "eca"},
    "ViT": {"activation": "gelu_tanh", "class_token": True},
}


@pytest.mark.parametrize("family", Models.available())
def test_every_family_converts_and_agrees(family, tmp_path):
    """One file each: tf2onnx takes longer than in proportion to a graph."""
    options = OPTIONS.get(family, {})
    model = randomized(Models.build(f"{family}/test", image_size=32, num_labels=5, **options))
    releases.write_onnx(model, tmp_path / "model.onnx")
    wanted = model(images()).numpy()
    assert np.ptp(wanted, axis=0).max() > 1e-6  # the images matter
    for rows in alone(tmp_path / "model.onnx", images(), tmp_path)["rows"].values():
        assert np.abs(np.array(rows[0]) - wanted).max() < 1e-4
