"""tools/export_model.py: a release has the order, names and files that clients count on, and one model."""

import json
import os
import pathlib
import subprocess
import sys

import keras
import numpy as np
import onnx
import pandas as pd
import pytest
from helpers import dotted_shards
from helpers.weights import randomized

import Models
from tools import export_model
from Utils.command.cli import UserError
from Utils.recipe import initial_weights
from Utils.release import format_table, formats, onnx_runner, release_folder
from Utils.tags import tag_list

ROOT = pathlib.Path(__file__).resolve().parents[2]
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


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run folder of a model that timm can express, with ratings and a copyright tag."""
    folder = tmp_path_factory.mktemp("run")
    keras.utils.set_random_seed(7)  # other weights may lose too much in float16
    options = {"depth": 1, "width": 32, "mlp_width": 64, "heads": 2}
    model = Models.build(
        "ViT/B16", image_size=32, num_labels=8, classifier_activation=None, layer_scale=None, **options
    )
    randomized(model).save(folder / "best.keras")
    (folder / "selected_tags.csv").write_text(TAGS)
    words = ["layer_scale=none", *(f"{name}={value}" for name, value in options.items())]
    recipe = {"model": "ViT/B16", "model_options": words, "best_by": "loss"}
    (folder / "recipe.json").write_text(json.dumps(recipe))
    rows = "1,0.4,0.3,5\n2,0.6,0.31,3\n3,0.7,0.32,4\n"  # the second epoch's model is the best
    (folder / "history.csv").write_text(f"epoch,val_f1,val_threshold,val_loss\n{rows}")
    manifest = {"name": "dots", "source": {"kind": "sidecars", "path": "where/it/was"}, "made": {"by": "me"}}
    (folder / "dataset.json").write_text(json.dumps({**manifest, "records": {"train": {"records": 40}}}))
    return folder


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    """Labeled images of six of the model's eight tags."""
    folder = dotted_shards(tmp_path_factory.mktemp("dots") / "dots", train=40, validation=40)
    frame = tag_list.read(folder / "selected_tags.csv")
    names = ["smile", "1girl", "reimu", "touhou", "general", "sensitive"]
    tag_list.write(frame.assign(name=names, tag_id=range(900, 906)), folder / "selected_tags.csv")
    return folder


@pytest.fixture(scope="module")
def thresholds(tmp_path_factory):
    path = tmp_path_factory.mktemp("thresholds") / "thresholds.csv"
    rows = ["scope,category,tag_id,name,threshold", "category,0,,general,0.4", "tag,,30,reimu,0.7",
            "tag,,9999999,general,0.2", "tag,,9999998,sensitive,0.3"]  # fmt: skip
    path.write_text("\n".join(rows) + "\n")
    return path


@pytest.fixture(scope="module")
def release(run, dataset, thresholds, tmp_path_factory):
    """A release with everything in it, and what the command printed."""
    folder = tmp_path_factory.mktemp("releases") / "mine"
    words = [str(run), "-o", str(folder), "--embedding", "--thresholds", str(thresholds), "--formats"]
    words += [*export_model.FORMATS, "--dataset", str(dataset), "--license", "mit"]
    patch = pytest.MonkeyPatch()
    patch.setattr(formats, "relative_speeds", lambda source, others, images: dict.fromkeys(others, 1.5))
    assert export_model.main(words) == 0
    patch.undo()
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


def test_a_run_becomes_a_release(run, release, tmp_path):
    frame = tag_list.read(release / "selected_tags.csv")
    assert frame["name"].tolist() == WD
    assert (
        (release / "selected_tags.csv")
        .read_text()
        .startswith("tag_id,name,category,count,best_threshold\n9999999,general,9,0,")
    )
    names = tag_list.read(run / "selected_tags.csv")["name"].tolist()
    expected = Models.load(run).probabilities(images().astype("uint8"))[:, [names.index(name) for name in WD]]
    outputs = alone(release / "model.onnx", images(), tmp_path)
    names, shapes, types = zip(*outputs["shapes"], strict=True)
    assert (names, set(types)) == (("input", "prediction", "embedding"), {"tensor(float)"})
    assert [shape[1:] for shape in shapes] == [[32, 32, 3], [7], [32]]
    assert not any(isinstance(shape[0], int) for shape in shapes)  # any batch size
    for rows in outputs["rows"].values():
        np.testing.assert_allclose(rows[0], expected, atol=1e-5)
    top = {path.name for path in release.iterdir()}
    assert top == {
        "model.onnx", "selected_tags.csv", "preprocess.json", "categories.json", "release.json", "extra",
        "config.json", "model.safetensors", "README.md",
    }  # fmt: skip
    assert [row["name"] for row in json.loads((release / "categories.json").read_text())] == [
        "rating", "general", "character"
    ]  # fmt: skip
    assert {path.name for path in (release / "extra").iterdir()} == {
        "thresholds.csv", "saved_model", "model.tflite", "onnx_float16", "onnx_int8", "full", "keras"
    }  # fmt: skip
    full = release / "extra" / "full"
    assert tag_list.read(full / "selected_tags.csv")["name"].tolist() == [*WD[:6], "touhou", "reimu"]
    rows = alone(full / "model.onnx", images(), tmp_path)["rows"]["5"][0]
    np.testing.assert_allclose(np.array(rows)[:, [0, 1, 2, 3, 4, 5, 7]], expected, atol=1e-5)
    assert json.loads((release / "release.json").read_text())["onnx_difference"] < 1e-5


def test_the_files_follow_the_rules_of_clients(release):
    graph = onnx.load(str(release / "model.onnx"), load_external_data=False)
    assert graph.ir_version <= 9
    assert [item.version for item in graph.opset_import if item.domain in ("", "ai.onnx")] == [17]
    assert graph.graph.input[0].name == "input"
    assert not any(tensor.external_data for tensor in graph.graph.initializer)
    assert len(list(release.glob("*.onnx"))) == len(list(release.glob("*.csv"))) == 1
    stated = json.loads((release / "preprocess.json").read_text())
    assert (stated["channels"], stated["layout"], stated["image_size"]) == ("BGR", "NHWC", 32)
    assert [step["type"] for step in stated["test"]] == ["convert_rgb", "pad_to_size"]
    assert json.loads((release / "config.json").read_text())["input_order"] == "bgr"


def test_that_ids_are_of_two_boorus_is_said_once(run, tmp_path, monkeypatch, capsys):
    path, rows = tmp_path / "thresholds.csv", ["scope,category,tag_id,name,threshold"]
    names = tag_list.read(run / "selected_tags.csv")["name"]
    ids = tag_list.read(run / "selected_tags.csv")["tag_id"]
    rows += [f"tag,,{number},{name},0.5" for number, name in zip(np.roll(ids, 1), names, strict=True)]
    path.write_text("\n".join(rows) + "\n")

    def stop(*arguments):
        raise UserError("far enough")

    monkeypatch.setattr(export_model, "_write", stop)
    assert export_model.main([str(run), "-o", str(tmp_path / "out"), "--thresholds", str(path)]) == 2
    said = capsys.readouterr().err
    assert said.count("they are ids of two boorus") == 1 and "far enough" in said


def test_thresholds_are_in_the_tag_list_and_complete_under_extra(release, thresholds):
    frame = pd.read_csv(release / "selected_tags.csv").set_index("name")
    thresholds_of = frame["best_threshold"].to_dict()
    assert {name: thresholds_of[name] for name in ("smile", "1girl", "reimu")} == {
        "smile": 0.4, "1girl": 0.4, "reimu": 0.7
    }  # fmt: skip
    assert (thresholds_of["general"], thresholds_of["sensitive"]) == (0.2, 0.3)
    assert thresholds_of["questionable"] == thresholds_of["explicit"] == 0.25  # the median of its category
    assert (release / "extra" / "thresholds.csv").read_bytes() == thresholds.read_bytes()


def test_every_format_gives_the_probabilities_of_the_model(run, release, tmp_path):
    import tensorflow as tf
    from ai_edge_litert.interpreter import Interpreter

    names = tag_list.read(run / "selected_tags.csv")["name"].tolist()
    expected = Models.load(run).probabilities(images().astype("uint8"))[:, [names.index(name) for name in WD]]
    extra = release / "extra"
    loaded = tf.saved_model.load(str(extra / "saved_model"))
    np.testing.assert_allclose(loaded.serve(images()).numpy(), expected, atol=1e-5)
    np.testing.assert_allclose(loaded.serve(images()[:1]).numpy(), expected[:1], atol=1e-5)
    interpreter = Interpreter(model_path=str(extra / "model.tflite"))
    place = interpreter.get_input_details()[0]["index"]
    interpreter.resize_tensor_input(place, [5, 32, 32, 3])
    interpreter.allocate_tensors()
    interpreter.set_tensor(place, images())
    interpreter.invoke()
    outputs = interpreter.get_tensor(interpreter.get_output_details()[0]["index"])
    np.testing.assert_allclose(outputs, expected, atol=1e-5)
    for name, apart in (("onnx_float16", 0.01), ("onnx_int8", 0.1)):
        assert tag_list.read(extra / name / "selected_tags.csv")["name"].tolist() == WD
        outputs = alone(extra / name / "model.onnx", images(), tmp_path)
        assert outputs["shapes"][0][::2] == ["input", "tensor(float)"]
        assert outputs["shapes"][1][::2] == ["prediction", "tensor(float)"]
        for rows in outputs["rows"].values():
            np.testing.assert_allclose(rows[0], expected, atol=apart)
    half = onnx.load(str(extra / "onnx_float16" / "model.onnx"))
    assert sum(tensor.data_type == onnx.TensorProto.FLOAT16 for tensor in half.graph.initializer) > 5
    int8 = onnx.load(str(extra / "onnx_int8" / "model.onnx"))
    assert sum(tensor.data_type == onnx.TensorProto.INT8 for tensor in int8.graph.initializer) >= 4


def test_release_json_and_the_model_card_have_the_measured_figures(release):
    facts = json.loads((release / "release.json").read_text())
    assert list(facts["flavors"]) == list(export_model.FORMATS)
    for name, result in facts["flavors"].items():
        tolerance = format_table.FORMATS[name].tolerance
        assert result["written"], name
        assert (result["images"], result["why"]) == (40, "")
        assert result["p999"] <= result["maximum"] <= tolerance.maximum
        assert result["f1_difference"] >= -tolerance.f1
        assert 0 < result["f1"] < 1
    assert facts["flavors"]["onnx_int8"]["speed"] == 1.5
    assert facts["flavors"]["onnx_int8"]["kind"] in ("static", "dynamic")
    card = (release / "README.md").read_text()
    assert "license: mit" in card
    assert "micro F1 0.6000 at the threshold 0.3100" in card
    assert "| train | 40 |" in card
    assert "1.50 times as fast" in card
    assert "vit_base_patch16_224" in card


@pytest.mark.slow
def test_the_keras_model_is_included_and_can_be_released_again(run, release, tmp_path, capsys):
    names = tag_list.read(run / "selected_tags.csv")["name"].tolist()
    again = Models.load(release)
    assert again.tags["name"].tolist() == names
    both = [tagger.probabilities(images().astype("uint8")) for tagger in (again, Models.load(run))]
    np.testing.assert_array_equal(*both)
    source = initial_weights.find(release)
    assert (source.image_size, source.num_labels) == (32, 8)
    assert source.tags["name"].tolist() == names
    assert source.recipe.model == "ViT/B16"
    manifest = json.loads((release / "extra" / "keras" / "dataset.json").read_text())
    assert manifest == {"name": "dots", "source": {"kind": "sidecars"}, "records": {"train": {"records": 40}}}
    second = tmp_path / "second"
    assert export_model.main([str(release), "-o", str(second), "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts == {"release": str(second), **json.loads((second / "release.json").read_text())}
    assert "timm's vit_base_patch16_224" in facts["timm"]
    for name in ("config.json", "model.safetensors"):
        assert (second / name).read_bytes() == (release / name).read_bytes()
    outputs = [onnx_runner.run(folder / "model.onnx", images()) for folder in (release, second)]
    np.testing.assert_array_equal(*outputs)
    assert "0.6000" in (second / "README.md").read_text()


def test_wrong_use_is_refused_before_any_work(run, tmp_path, capsys):
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
    assert (release / "mine.txt").read_text() == "kept"
    words = [str(run), "-o", str(tmp_path / "other")]
    assert export_model.main([*words, "--formats", "onnx_int8"]) == 2
    assert "--dataset" in capsys.readouterr().err
    assert export_model.main([*words, "--license", "all rights reserved"]) == 2
    assert "--license" in capsys.readouterr().err
    assert export_model.main([*words, "--dataset", str(release)]) == 2
    assert "is no dataset" in capsys.readouterr().err
    assert not (tmp_path / "other").exists()


def failing(error):
    def fail(*_):
        raise error

    return fail


@pytest.mark.parametrize(("error", "code"), [(KeyboardInterrupt(), 130), (OSError("no space left"), 1)])
def test_an_interrupted_export_leaves_nothing(error, code, run, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(release_folder, "check_onnx", failing(error))
    monkeypatch.setattr(release_folder, "write_onnx", lambda model, path: path.write_bytes(b"half"))
    (tmp_path / "out").mkdir()
    assert export_model.main([str(run), "-o", str(tmp_path / "out" / "release")]) == code
    assert list((tmp_path / "out").iterdir()) == []
    assert code == 130 or "no space left" in capsys.readouterr().err


def test_a_file_that_differs_is_not_released(run, tmp_path, monkeypatch, capsys):
    real = onnx_runner.run
    monkeypatch.setattr(onnx_runner, "run", lambda *arguments: real(*arguments) + 1e-3)
    assert export_model.main([str(run), "-o", str(tmp_path / "release")]) == 1
    assert "differs from the Keras model by 0.001" in capsys.readouterr().err
    assert not (tmp_path / "release").exists()
