"""preprocess.json: our fields, stages, and what is wrong with others."""

import json

import numpy as np
import pytest

from Utils.command.cli import UserError
from Utils.taggers import stages


def read(folder, content, size=8):
    (folder / "preprocess.json").write_text(json.dumps(content))
    return stages.read(folder, size)


def test_our_fields(tmp_path):
    assert stages.read(tmp_path, 8) == stages.Described(None, None)
    described = read(tmp_path, {"channels": "rgb", "range": [-1, 1], "resize": "bicubic", "output": "logits"})
    assert (described.preparation.channels, described.preparation.divisor) == ("RGB", 255.0)
    assert described.preparation.mean == (0.5,) * 3
    assert described.output == "logits"
    for mean, channels in (
        ([0.485, 0.456, 0.406], "RGB"),
        ([0.406, 0.456, 0.485], "BGR"),
        ([0.5] * 3, "BGR"),
    ):
        guessed = read(tmp_path, {"range": [0, 1], "mean": mean}).preparation
        assert (guessed.channels, "is a guess" in guessed.about) == (channels, True)
    assert "guess" not in described.preparation.about


def test_stages_resize_crop_and_pad(tmp_path):
    steps = [{"type": "resize", "size": 8, "interpolation": "bicubic"}, {"type": "center_crop", "size": 8},
             {"type": "maybe_to_tensor"}, {"type": "normalize", "mean": 0.5, "std": [0.25]}]  # fmt: skip
    preparation = read(tmp_path, {"test": steps}).preparation
    assert preparation.fit(np.zeros((16, 40, 3), np.uint8), 8).shape == (8, 8, 3)
    assert (preparation.mean, preparation.std, preparation.divisor) == ((0.5,) * 3, (0.25,) * 3, 255.0)
    padded = read(tmp_path, [{"type": "pad_to_size", "size": [8, 8], "background_color": "red"}]).preparation
    assert padded.divisor == 1  # nothing scales
    assert padded.fit(np.zeros((4, 8, 3), np.uint8), 8)[0, 0].tolist() == [0, 0, 255]
    rescaled = read(tmp_path, [{"type": "rescale", "rescale_factor": 0.5}]).preparation
    assert rescaled.divisor == 2


def test_the_middle_is_cropped_and_two_sizes_are_a_height_and_a_width(tmp_path):
    image = np.repeat(np.arange(12 * 20, dtype=np.uint8).reshape(12, 20, 1), 3, axis=2)
    crop = read(tmp_path, [{"type": "center_crop", "size": 8}]).preparation.fit
    assert np.array_equal(crop(image, 8), image[2:10, 6:14])
    low = crop(image[:5], 8)  # 3 rows are missing: one of them above
    assert np.array_equal(low[1:6], image[:5, 6:14])
    assert not low[0].any() and not low[6:].any()
    squash = read(tmp_path, [{"type": "resize", "size": [8, 8], "interpolation": "nearest"}]).preparation.fit
    assert squash(image, 8).shape == (8, 8, 3)
    assert (squash(image, 8)[0, 0, 0], squash(image, 8)[-1, -1, 0]) == (1, 11 * 20 + 18)


def test_stages_that_make_no_square_get_one(tmp_path):
    alone = read(tmp_path, {"stages": [{"type": "resize", "size": 8}, {"type": "to_tensor"}]}).preparation
    assert "white square, then" in alone.about
    assert alone.fit(np.zeros((16, 40, 3), np.uint8), 8).shape == (8, 8, 3)
    assert read(tmp_path, {"stages": [{"type": "to_tensor"}]}).preparation.image_size == 8


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ({"range": [0, 1], "mean": ["a", 1, 2]}, "cannot be used|mean"),
        ({"channels": "GBR"}, "BGR or RGB; got 'GBR'"),
        ({"range": [0, 1], "chanels": "RGB"}, "'chanels' is no field; did you mean channels"),
        ({"channels": "RGB", "Range": [0, 1]}, "'Range' is no field; did you mean range"),
        ({"range": [0, 2]}, r"\[0, 255\], \[0, 1\], \[-1, 1\]; got \[0, 2\]"),
        ({"resize": "magic", "range": [0, 1]}, "resize is one of"),
        ({"output": "percent"}, "probabilities or logits"),
        ({"stages": [{"type": "resize", "size": "big"}]}, "size of resize"),
        ({"stages": [{"type": "resize", "size": 9}]}, "9 x 9 pixels of a square, but the model takes 8 x 8"),
        (
            {"stages": [{"type": "to_tensor"}, {"type": "resize", "size": 8}]},
            "stage 2: resize after to_tensor",
        ),
        ({"stages": [{"type": "pad_to_size", "size": 8, "background_color": "nocolor"}]}, "background_color"),
        ({"stages": ["resize"]}, "a list of objects"),
        ("text", "an object"),
        ({"range": [0, 1], "std": [0, 1, 1]}, r"std is of finite numbers, none of them 0; got \[0, 1, 1\]"),
        ({"stages": [{"type": "normalize", "mean": [float("inf")], "std": 1}]}, "mean is of finite numbers"),
        ({"stages": [{"type": "resize", "size": 10**7}]}, "1 to 8192; got 10000000"),
        ({"range": [0, 1], "image_size": 9}, "image_size is 9, but the model takes 8 x 8"),
        ({"mean": [0.5] * 3, "std": [0.5] * 3}, "has mean, std, but neither channels and range, nor stages"),
        ({"output": "logits", "mean": 0.5}, "has mean, but"),
        ({"size": 448}, "has size, but neither"),
        ({"stages": [{"type": ["resize"]}]}, r"the type is one of .*; got \"\['resize'\]\""),
        ({"stages": [{"type": "rescale", "rescale_factor": 0}]}, "rescale_factor is a number above 0"),
        (
            {"stages": [{"type": "resize", "size": 8, "max_size": "9"}]},
            "max_size of resize is from 1 to 8192",
        ),
        ({"range": [[0], 1]}, "has a value that cannot be used: unhashable"),
    ],
)
def test_what_is_wrong_is_named(tmp_path, content, said):
    with pytest.raises(UserError, match=said):
        read(tmp_path, content)
