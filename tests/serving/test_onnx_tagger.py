"""Any release is opened and gives probabilities; what is none is refused with the reason."""

import shutil
import types

import numpy as np
import onnx
import pytest
from helpers import small_releases

from Utils.command.cli import UserError, WorkError
from Utils.serving import onnx_tagger
from Utils.tags import tag_list

BLUE = (255, 0, 0)


@pytest.fixture(scope="module")
def release(tmp_path_factory):
    return small_releases.make(tmp_path_factory.mktemp("releases") / "tiny")


def test_a_fixed_batch_gives_the_same(tmp_path, release):
    pixels = np.random.default_rng(0).integers(0, 256, (5, 8, 8, 3), dtype=np.uint8)
    free = onnx_tagger.open_release(release)
    expected = free.probabilities(pixels)
    colors = pixels.mean(axis=(1, 2)) / 255
    weights = np.array(small_releases.WEIGHTS)
    assert np.abs(expected - (colors @ weights[:, :3].T + weights[:, 3])).max() < 1e-6
    for batch in (1, 2, 8):
        fixed = onnx_tagger.open_release(small_releases.make(tmp_path / f"{batch}", batch=batch))
        assert np.abs(fixed.probabilities(pixels) - expected).max() < 1e-6
    assert free.probabilities(pixels[:0]).shape == (0, 9)


def test_rgb_is_honored_and_formats_under_extra_use_the_tag_list_of_the_release(tmp_path, release):
    pixels = np.full((1, 8, 8, 3), BLUE, np.uint8)
    rgb = shutil.copytree(release, tmp_path / "rgb")
    (rgb / "preprocess.json").write_text('{"channels": "RGB"}')
    assert onnx_tagger.open_release(rgb).probabilities(pixels)[0, 7] == 1  # red
    flavor = tmp_path / "rgb" / "extra" / "onnx_int8"
    flavor.mkdir(parents=True)
    shutil.copy(release / "model.onnx", flavor)
    for path in (flavor, flavor / "model.onnx"):
        assert onnx_tagger.load(path, pytest.fail).probabilities(pixels)[0, 4] == 1


def wrong_releases(folder):
    """Make a folder for every way to be no release; yields (path, part of the error)."""
    tags_of = small_releases.TAGS
    make = small_releases.make
    yield folder / "nowhere", "found nothing"
    (folder / "empty").mkdir()
    yield folder / "empty", "an empty folder"
    (folder / "other").mkdir()
    (folder / "other" / "readme.txt").write_text("x")
    yield folder / "other", "found readme.txt"
    yield folder / "other" / "readme.txt", "found a file"
    made = make(folder / "untagged")
    (made / "selected_tags.csv").unlink()
    yield made, "a tag list"
    yield make(folder / "rows", tags=tags_of + "6,more,0,1\n"), "10 rows, but model.onnx gives 9"
    made = make(folder / "broken")
    (made / "model.onnx").write_bytes((made / "model.onnx").read_bytes()[:100])
    yield made, "cannot be loaded as an ONNX model"
    for name, content, reason in (("lfs", b"version https://git-lfs.github.com/spec/v1", "git lfs pull"),
                                  ("html", b"<!DOCTYPE html>", "it is a web page")):  # fmt: skip
        made = make(folder / name)
        (made / "model.onnx").write_bytes(content)
        yield made, reason
    made = make(folder / "whole_numbers")
    model = onnx.load(str(made / "model.onnx"))
    model.graph.node.append(
        onnx.helper.make_node("Cast", ["prediction"], ["rounded"], to=onnx.TensorProto.INT64)
    )
    del model.graph.output[:]
    model.graph.output.append(
        onnx.helper.make_tensor_value_info("rounded", onnx.TensorProto.INT64, ["batch", 9])
    )
    onnx.save(model, str(made / "model.onnx"))
    yield made, "model.onnx gives no probabilities"
    yield make(folder / "first", channels_first=True), "channels come first"
    yield make(folder / "any", size="side"), "with a known S"
    weights = [[0, 0, 0, -3.0], *small_releases.WEIGHTS[1:]]
    yield make(folder / "logits", weights=weights), "Were logits exported"
    made = make(folder / "two")
    model = onnx.load(str(made / "model.onnx"))
    model.graph.input.append(onnx.helper.make_tensor_value_info("mask", onnx.TensorProto.FLOAT, [1]))
    onnx.save(model, str(made / "model.onnx"))
    yield made, "one input, the picture; it has input, mask"
    made = make(folder / "double")
    model = onnx.load(str(made / "model.onnx"))
    model.graph.input[0].type.tensor_type.elem_type = onnx.TensorProto.DOUBLE
    model.graph.input[0].name = "wide"
    model.graph.node.insert(0, onnx.helper.make_node("Cast", ["wide"], ["input"], to=onnx.TensorProto.FLOAT))
    onnx.save(model, str(made / "model.onnx"))
    yield made, r"must take tensor\(float\).*; it takes tensor\(double\)"
    made = make(folder / "wide")
    model = onnx.load(str(made / "model.onnx"))
    model.graph.input[0].type.tensor_type.shape.dim[2].dim_value = 9
    onnx.save(model, str(made / "model.onnx"))
    yield made, "must take square pictures; it takes"


def test_other_folders_are_refused_with_the_reason(tmp_path):
    for path, reason in wrong_releases(tmp_path):
        with pytest.raises(UserError, match=reason):
            onnx_tagger.load(path, pytest.fail)


def test_outputs_that_are_no_probabilities_are_an_error(release):
    tagger = onnx_tagger.open_release(release)
    images = np.zeros((1, 8, 8, 3), np.uint8)
    for outputs, error in (
        (np.full((1, 9), np.nan), "NaN or infinity"),
        (np.full((1, 9), 1.01), "it reaches from 1.01 to 1.01"),
        (np.zeros((1, 8)), r"\(1, 8\) came from the model for 1 pictures"),
    ):
        tagger._run = lambda images, outputs=outputs: outputs
        with pytest.raises(WorkError, match=error):
            tagger.probabilities(images)


def test_rounding_beyond_0_and_1_is_cut_off(release):
    tagger = onnx_tagger.open_release(release)
    tagger._run = lambda images: np.linspace(-1e-4, 1 + 1e-4, 9)[None]
    outputs = tagger.probabilities(np.zeros((1, 8, 8, 3), np.uint8))
    assert (outputs.min(), outputs.max()) == (0, 1)


def test_a_keras_model_is_taken_as_well(tmp_path):
    tags = tag_list.read(small_releases.make(tmp_path / "release") / "selected_tags.csv")
    mean = types.SimpleNamespace(predict_on_batch=lambda batch: np.full((len(batch), 9), batch.mean() / 255))
    # As Models.load returns it.
    loaded = types.SimpleNamespace(tags=tags, image_size=8, model=mean, evidence=("a reason",))
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "best.keras").write_bytes(b"")
    tagger = onnx_tagger.load(tmp_path / "run", lambda path: loaded)
    assert (tagger.name, tagger.evidence) == ("run", ("a reason",))
    assert tagger.probabilities(np.full((2, 8, 8, 3), 51, np.uint8)) == pytest.approx(0.2)
    with pytest.raises(UserError, match="--device is for models that onnxruntime runs"):
        onnx_tagger.load(tmp_path / "run", lambda path: loaded, device="cpu")
    loaded.tags = None
    with pytest.raises(UserError, match="no names"):
        onnx_tagger.load(tmp_path / "run", lambda path: loaded)
