"""Runners of the other formats give the probabilities of the model that they were written from."""

import json

import keras
import numpy as np
import pytest

from Utils.release import release_folder
from Utils.release.verification import runners

IMAGES = np.random.default_rng(0).integers(0, 256, (5, 8, 8, 3), dtype=np.uint8)  # more than one batch


@pytest.fixture(scope="module")
def model():
    image = keras.Input((8, 8, 3))
    features = keras.layers.GlobalAveragePooling2D()(keras.layers.Rescaling(1 / 255)(image))
    return keras.Model(image, keras.layers.Dense(4, activation="sigmoid")(features))


@pytest.mark.parametrize(
    ("write", "make_runner"),
    [
        (release_folder.write_saved_model, runners.saved_model),
        (release_folder.write_litert, runners.litert),
    ],
)
def test_images_come_out_in_order(write, make_runner, model, tmp_path):
    write(model, tmp_path / "model.tflite")
    outputs = make_runner(tmp_path / "model.tflite")(IMAGES)
    np.testing.assert_allclose(outputs, model(IMAGES.astype("float32")), atol=1e-6)


def test_timm_files_that_do_not_load_are_a_value_error(tmp_path):
    if not runners.timm_is_installed():
        pytest.skip("timm is not installed")
    (tmp_path / "config.json").write_text(json.dumps({"architecture": "no_such_model", "num_classes": 4}))
    with pytest.raises(ValueError, match="timm does not load it: "):
        runners.timm(tmp_path)
