"""Effects of preprocessing: none where the pixels are equal, a known one where they decide the tag."""

import types

import numpy as np
from PIL import Image

from Utils.clients import OURS, score_effects
from Utils.images import codec


def test_images_that_cannot_be_read_are_named(tmp_path):
    (tmp_path / "a.jpg").write_bytes(codec.encode_jpeg(np.zeros((8, 8, 3), np.uint8)))
    (tmp_path / "b.jpg").write_bytes(b"no image")
    good, bad = score_effects.readable([tmp_path / "a.jpg", tmp_path / "b.jpg", tmp_path / "c.jpg"])
    assert (good, bad) == ([tmp_path / "a.jpg"], [tmp_path / "b.jpg", tmp_path / "c.jpg"])


def test_effects_are_against_ours_at_the_threshold_of_stored_images(tmp_path):
    """The tagger sees how bright an image is; images padded with white look brighter than they are."""
    values = np.linspace(0, 200, 40).astype(np.uint8)
    for row, value in enumerate(values):
        Image.new("RGB", (16, 16), (value,) * 3).save(tmp_path / f"{row}.png")
    paths = [tmp_path / f"{row}.png" for row in range(len(values))]
    bright = types.SimpleNamespace(
        image_size=16,
        preparation=None,
        probabilities=lambda batch: (batch.mean((1, 2, 3)) / 255).astype(np.float32)[:, None],
    )
    labels = (values > 100).astype(np.uint8)[:, None]
    effects, threshold = score_effects.measure_effects(
        bright, paths, labels, ["stored", "small"], np.array([0]), resamples=100
    )
    assert 100 / 255 - 0.02 < threshold < 103 / 255 + 0.02
    by_name = {(effect.case, effect.client): effect for effect in effects}
    assert {case for case, _ in by_name} == {"stored", "small"}
    for effect in effects:
        if effect.case == "stored" or effect.client in (OURS, "kohya"):
            assert (effect.f1, effect.difference, effect.pixels) == (1, 0, 0), effect
    _, again = score_effects.measure_effects(bright, paths, labels, ["wide"], np.array([0]), resamples=100)
    assert again == threshold  # that of the stored images, though wide ones are padded with white
    padded = by_name["small", "standalone, picobyte"]  # most of its pixels are white
    assert padded.f1 < 0.8
    assert padded.difference == padded.f1 - 1
    assert padded.low <= padded.f1 <= padded.high
