"""Whether an output ends in a sigmoid, read from the file without the package onnx."""

import onnx
import pytest
from helpers import foreign_releases
from onnx import helper

from Utils.command.cli import UserError
from Utils.taggers import onnx_outputs


def test_outputs_with_and_without_a_sigmoid(tmp_path):
    file = tmp_path / "x.onnx"
    foreign_releases.graph(file, channels_first=True, sigmoids=(False, True), outputs=("a", "b"))
    assert onnx_outputs.ends_in_sigmoid(file) == {"a": False, "b": True}
    model = onnx.load(str(file))
    model.graph.node.append(helper.make_node("Identity", ["b"], ["c"]))
    model.graph.output[1].name = "c"
    onnx.save(model, str(file))
    assert onnx_outputs.ends_in_sigmoid(file) == {"a": False, "c": True}


def test_files_that_hold_weights(tmp_path):
    file = tmp_path / "x.onnx"
    foreign_releases.graph(file, channels_first=True)
    assert onnx_outputs.external_files(file) == []
    name = f"weights {'of many letters ' * 12}"
    onnx.save_model(
        onnx.load(str(file)), str(file), save_as_external_data=True, location=name, size_threshold=0
    )
    assert onnx_outputs.external_files(file) == [name]


@pytest.mark.reliability("An ONNX file that is cut or damaged", "one error that names it")
def test_damaged_files_are_one_error(tmp_path):
    file = tmp_path / "x.onnx"
    foreign_releases.graph(file, channels_first=True)
    data = file.read_bytes()
    for broken in (b"", data[:-7], b"\xff" * 40, b"no protobuf at all"):
        file.write_bytes(broken)
        with pytest.raises(UserError, match=r"x\.onnx cannot be loaded"):
            onnx_outputs.ends_in_sigmoid(file)
