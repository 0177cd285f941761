"""Keys of predictions change with the model's files, its tags and the pictures; nothing else."""

import dataclasses
import shutil
import types

import numpy as np
import onnx
import pytest
from helpers import small_releases

from Utils.comparison import tagger_predictions
from Utils.comparison.tagger_predictions import Speed
from Utils.serving import onnx_tagger


def test_a_key_is_of_files_tags_and_pictures(tmp_path):
    release = small_releases.make(tmp_path / "a")
    first = tagger_predictions.key_of(onnx_tagger.open_release(release), "pictures")
    (release / "README.md").write_text("a new card")
    assert tagger_predictions.key_of(onnx_tagger.open_release(release), "pictures") == first
    assert tagger_predictions.key_of(onnx_tagger.open_release(release), "others") != first
    (release / "preprocess.json").write_text('{"channels": "RGB"}')
    assert tagger_predictions.key_of(onnx_tagger.open_release(release), "pictures") != first


def test_two_models_of_one_folder_have_two_keys(tmp_path):
    release = small_releases.make(tmp_path / "a")
    other = small_releases.make(tmp_path / "b", weights=small_releases.WEIGHTS[::-1])
    shutil.copy(other / "model.onnx", release / "other.onnx")
    taggers = [onnx_tagger.open_release(release / name) for name in ("model.onnx", "other.onnx")]
    assert taggers[0].tags.equals(taggers[1].tags)
    assert len({tagger_predictions.key_of(tagger, "pictures") for tagger in taggers}) == 2


@pytest.mark.reliability(
    "weights of an ONNX file that lie in another file are exchanged between two comparisons",
    "predicted again, whatever the file is called",
)
@pytest.mark.parametrize("location", ["model.bin", "more/weights"])
def test_a_key_is_of_weights_in_other_files(tmp_path, location):
    release = small_releases.make(tmp_path / "a")
    graph = onnx.load(str(release / "model.onnx"))
    (release / location).parent.mkdir(exist_ok=True)
    onnx.save_model(
        graph, str(release / "model.onnx"), save_as_external_data=True, location=location, size_threshold=0
    )
    first = tagger_predictions.key_of(onnx_tagger.open_release(release), "pictures")
    assert tagger_predictions.key_of(onnx_tagger.open_release(release), "pictures") == first
    weights = np.fromfile(release / location, np.uint8)
    weights[np.flatnonzero(weights)[:1]] ^= 1
    weights.tofile(release / location)
    assert tagger_predictions.key_of(onnx_tagger.open_release(release), "pictures") != first


def test_speeds_are_of_what_was_timed():
    speed = Speed(20, 4.0, 2.0, None)
    assert (speed.images_per_second, speed.model_images_per_second) == (5, 10)
    assert Speed(0, 0.1, 0.0, 3.0).images_per_second is None


@pytest.mark.parametrize("value", [None, "fast", {}, {"images": "2", "seconds": [], "model_seconds": 0}])
def test_a_dump_from_elsewhere_has_no_speed(value):
    dump = types.SimpleNamespace(folder="d", info={"speed": value})
    assert tagger_predictions.speed_of(dump) is None
    speed = Speed(2, 0.5, 0.0, None)
    dump.info = {"speed": dataclasses.asdict(speed) | {"more": 1}}
    assert tagger_predictions.speed_of(dump) == speed
    assert (speed.images_per_second, speed.model_images_per_second) == (4, None)


@pytest.mark.parametrize("content", ["{", "[1]", "\0"])
def test_a_damaged_dump_has_no_key(tmp_path, content):
    (tmp_path / "dump.json").write_text(content)
    assert tagger_predictions._key_in(tmp_path) is None
