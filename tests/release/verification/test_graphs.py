"""An ONNX file is checked as it is written: inputs, outputs, versions, weights."""

import onnx
import pytest
from helpers import small_releases

from Utils.release.verification import graphs
from Utils.release.verification.findings import Findings


def checked(folder, num_tags=9, change=None, **options):
    """The failures and warnings of a small release's model, changed by ``change(model)``."""
    path = small_releases.make(folder, **options) / "model.onnx"
    if change:
        model = onnx.load(str(path))
        change(model)
        onnx.save(model, str(path))
    findings = Findings()
    graph = graphs.read(path)
    graphs.check_interface(graph, num_tags, findings)
    graphs.check_file(graph, findings)
    return graph, {(finding.rule, finding.wrong) for finding in findings.failures}, findings.warnings


def test_a_good_file_passes_with_its_facts(tmp_path):
    graph, failures, warnings = checked(tmp_path / "r")
    assert failures == set()
    assert graph.image_size == 8
    assert [warning.wrong for warning in warnings] == ["kohya feeds images of 448 pixels only"]
    assert checked(tmp_path / "any", num_tags=None)[1] == set()


@pytest.mark.parametrize(
    ("options", "failure"),
    [
        ({"num_tags": 10}, ("R2", "shape of the first output")),
        ({"channels_first": True}, ("R2", "layout of the image")),
        ({"size": "side"}, ("R2", "shape of the image")),
        ({"batch": 1}, ("R2", "the batch of input is fixed")),
    ],
    ids=lambda value: str(value)[:20],
)
def test_shapes_that_clients_cannot_use_fail(tmp_path, options, failure):
    assert failure in checked(tmp_path / "r", **options)[1]


def second_input(model):
    model.graph.input.append(onnx.helper.make_tensor_value_info("mask", onnx.TensorProto.FLOAT, [1]))


def newer(model):
    model.ir_version = 10
    model.opset_import[0].version = 21


def half_output(model):
    model.graph.output[0].type.tensor_type.elem_type = onnx.TensorProto.FLOAT16


def called_logits(model):
    model.graph.output[0].name = "logits"


@pytest.mark.parametrize(
    ("change", "failure"),
    [
        (second_input, ("R2", "the image is not the only input")),
        (half_output, ("R2", "type of prediction")),
        (called_logits, ("R5", "names of the outputs")),
    ],
)
def test_inputs_and_outputs_that_clients_do_not_expect_fail(tmp_path, change, failure):
    assert failure in checked(tmp_path / "r", change=change)[1]


def test_newer_versions_and_other_input_names_are_warnings(tmp_path):
    _, failures, warnings = checked(tmp_path / "r", change=newer)
    assert failures == set()
    assert sum("onnxruntime 1.17" in warning.wrong for warning in warnings) == 2


def test_external_weights_fail_whether_they_are_there_or_not(tmp_path):
    for name, is_there in (("there", True), ("lost", False)):
        folder = small_releases.make(tmp_path / name)
        model = onnx.load(str(folder / "model.onnx"))
        onnx.save(
            model, str(folder / "model.onnx"), save_as_external_data=True, location="w", size_threshold=0
        )
        if not is_there:
            (folder / "w").unlink()
        findings = Findings()
        assert graphs.check_file(graphs.read(folder / "model.onnx"), findings) == is_there
        assert [(finding.rule, finding.fault) for finding in findings.failures] == [("R3", "external data")]


def test_a_file_that_is_no_graph_is_an_error(tmp_path):
    for content in (b"no graph", b""):
        (tmp_path / "x.onnx").write_bytes(content)
        with pytest.raises(ValueError, match="no ONNX file"):
            graphs.read(tmp_path / "x.onnx")


def test_a_name_that_is_no_text_is_an_error(tmp_path):
    path = small_releases.make(tmp_path / "release") / "model.onnx"
    path.write_bytes(path.read_bytes().replace(b"prediction", b"predicti\xffn"))
    with pytest.raises(ValueError, match="no ONNX file: a name is no UTF-8"):
        graphs.read(path)
