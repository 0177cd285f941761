"""tools/verify_release.py: the report as text and JSON, its exit code, other models and images."""

import importlib.util
import json
import shutil

import numpy as np
import onnx
import pytest
from helpers.exported_release import SIZE, without_timm

from tools import verify_release
from Utils.images import codec
from Utils.release.verification.reference import drawn_images


@pytest.fixture
def copy(exported, tmp_path):
    return without_timm(shutil.copytree(exported / "release", tmp_path / "release"))


def rename_output(folder):
    """Break R5."""
    model = onnx.load(str(folder / "model.onnx"))
    for node in model.graph.node:
        node.output[:] = ["tags" if name == "prediction" else name for name in node.output]
    model.graph.output[0].name = "tags"
    onnx.save(model, str(folder / "model.onnx"))


@pytest.mark.parametrize(
    ("words", "message"),
    [([], "a release was expected at nowhere; found nothing"), (["--run", "x"], "by its own files alone")],
)
def test_a_foreign_release_is_there_and_alone(tmp_path, monkeypatch, capsys, words, message):
    monkeypatch.chdir(tmp_path)
    assert verify_release.main(["nowhere", "--foreign", *words]) == 2
    assert message in capsys.readouterr().err


def test_a_release_passes_in_every_rule_and_format(exported, capsys):
    assert verify_release.main([str(exported / "release"), "--run", str(exported / "run"), "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["passed"] is True
    assert report["failures"] == []
    states = {rule: entry["state"] for rule, entry in report["rules"].items()}
    assert states == {**{f"R{i}": "passed" for i in range(1, 11)}, "parity": "passed"}
    formats = {entry["name"]: entry for entry in report["parity"]}
    with_timm = {"timm"} if importlib.util.find_spec("timm") else set()  # which nobody has to install
    assert set(formats) == {"model.onnx", "extra/keras"} | with_timm
    for entry in formats.values():
        assert entry["p999"] <= entry["maximum"] < 1e-5
        assert (entry["same_tags"], entry["f1"]) == (1, None)
    assert any("448" in entry["wrong"] for entry in report["warnings"])


def test_the_report_has_a_table_of_the_failures(copy, capsys):
    rename_output(copy)
    assert verify_release.main([str(copy)]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert f"{copy} fails" in lines
    assert "R5      failed   further outputs after the first, by their names (tags)" in lines
    header, row = lines[lines.index(f"{copy} fails") + 1 :]
    assert header.split("  ")[0] == "rule"
    assert row == "R5    names of the outputs  prediction, then embedding, logits  tags"
    assert row.index("prediction") == header.index("what is allowed")


def test_without_a_keras_model_only_the_files_are_checked(exported, copy, capsys):
    (copy / "extra" / "keras" / "model.keras").write_text("no model")
    assert verify_release.main([str(copy)]) == 1
    assert "extra/keras does not load" in capsys.readouterr().out
    shutil.rmtree(copy / "extra" / "keras")
    assert verify_release.main([str(copy), "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["rules"]["parity"]["state"] == report["rules"]["R10"]["state"] == "skipped"
    assert [entry["rule"] for entry in report["warnings"] if "compare" in entry["wrong"]] == ["parity"]
    assert verify_release.main([str(copy), "--run", str(exported / "run"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["rules"]["parity"]["state"] == "passed"


def test_images_of_a_folder_take_the_place_of_drawn_ones(copy, tmp_path, capsys):
    folder = tmp_path / "pictures"
    folder.mkdir()
    for number, image in enumerate(drawn_images(SIZE, 3)):
        (folder / f"{number}.jpg").write_bytes(codec.encode_jpeg(image))
    (folder / "broken.jpg").write_bytes(b"no picture")
    assert verify_release.main([str(copy), "--images", str(folder)]) == 0
    shown = capsys.readouterr()
    assert "left out: broken.jpg" in shown.err
    assert "3 images" in shown.out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["nowhere"], "a release folder was expected at nowhere; found nothing"),
        (["RELEASE", "--most", "1"], "--most: must be a whole number of at least 2; got '1'"),
        (["RELEASE", "--images", "RELEASE/extra/keras"], "no image found"),
        (["RELEASE", "--dataset", "nowhere"], "a dataset folder was expected"),
    ],
)
def test_wrong_use_is_refused_with_the_reason(words, message, exported, capsys):
    assert verify_release.main([word.replace("RELEASE", str(exported / "release")) for word in words]) == 2
    assert message in capsys.readouterr().err


def test_one_readable_image_is_too_few(exported, tmp_path, capsys):
    (tmp_path / "good.jpg").write_bytes(codec.encode_jpeg(np.zeros((40, 40, 3), np.uint8)))
    (tmp_path / "broken.jpg").write_bytes(b"no picture")
    assert verify_release.main([str(exported / "release"), "--images", str(tmp_path)]) == 2
    assert f"two pictures or more are needed; {tmp_path} has 1" in capsys.readouterr().err
