"""Programs are told what they take of a release; the lines of Python run on one."""

import sys
import types

import cv2
import numpy as np
import pandas as pd

from Utils.report import client_instructions


def test_a_program_is_named_where_the_release_has_what_it_needs():
    full = client_instructions.programs("mine", 448, has_timm=True, has_features=True)
    least = client_instructions.programs("mine", 320, has_timm=False, has_features=False)
    assert set(full) - set(least) == {"wdv3-timm"}
    assert "--repo_id mine" in full["kohya-ss sd-scripts"]
    assert least["kohya-ss sd-scripts"].startswith("does not take it")
    assert "`best_threshold` is not read" in full["dghs-imgutils"]
    assert "--embedding" in least["dghs-imgutils"]


def test_a_version_was_run_only_where_the_program_takes_the_release():
    full, least = (
        {
            name: run
            for name, _, run in client_instructions.rows(
                client_instructions.programs("mine", 448, has_timm=both, has_features=both)
            )
        }
        for both in (True, False)
    )
    assert (full["dghs-imgutils"], least["dghs-imgutils"]) == ("0.19.0", "no")
    assert full["kohya-ss sd-scripts"] == full["ComfyUI-WD14-Tagger"] == "no"
    assert set(client_instructions.VERSIONS_RUN) <= set(full)


def test_the_lines_of_python_run(tmp_path, monkeypatch, capsys):
    """With a runtime that answers the means of blue, green and red: padded white, BGR, 0 to 255."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine").mkdir()
    pd.DataFrame({"name": ["blue", "green", "red"]}).to_csv("mine/selected_tags.csv", index=False)
    cv2.imwrite("picture.jpg", np.full((64, 128, 3), (0, 0, 255), np.uint8))

    class Session:
        def __init__(self, path):
            assert path == "mine/model.onnx"

        def run(self, outputs, feeds):
            assert feeds["input"].shape == (1, 32, 32, 3)
            return [feeds["input"].mean((1, 2)) / 255]

    monkeypatch.setitem(sys.modules, "onnxruntime", types.SimpleNamespace(InferenceSession=Session))
    lines = client_instructions.python_lines("mine", 32)
    assert (lines[0], lines[-1]) == ("```python", "```")
    exec("\n".join(lines[1:-1]), {})
    rows = capsys.readouterr().out.split("\n")
    assert abs(float(rows[1].split()[-1]) - 1) < 0.02
    assert "red" in rows[1]
    assert abs(float(rows[3].split()[-1]) - 0.5) < 0.02
