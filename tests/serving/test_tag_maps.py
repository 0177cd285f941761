"""Utils/serving/tag_maps.py: occlusion finds what a tag depends on, peaks are pixels of the picture."""

import json

import cv2
import numpy as np
import pandas as pd
import pytest

from Utils.command.cli import UserError
from Utils.images import codec
from Utils.serving import tag_maps
from Utils.serving.onnx_tagger import ServingTagger
from Utils.serving.tag_selection import ScoredTag
from Utils.taggers import geometry
from Utils.taggers.preparation import Preparation

SIZE = 32
TAGS = pd.DataFrame({"tag_id": [1, 2], "name": ["green", "a/b:c"], "category": [0, 0], "count": [9, 9]})


def green(images):
    """A tagger that says how green a picture is, and the opposite."""
    share = images[..., 1].mean((1, 2)) / 255 - images[..., [0, 2]].mean((1, 2, 3)) / 255
    return np.stack([0.5 + 0.4 * share, 0.5 - 0.4 * share], axis=1)


def tagger(tmp_path, fit=None):
    preparation = None if fit is None else Preparation(SIZE, fit=fit)
    return ServingTagger(tmp_path, TAGS, SIZE, green, preparation=preparation)


def with_patch(width, height, x, y, side=10):
    """A gray picture with a green patch at (x, y)."""
    picture = np.full((height, width, 3), 128, np.uint8)
    picture[y : y + side, x : x + side] = (0, 255, 0)
    return picture


def hidden_part(model, picture):
    prepared = model.prepare(cv2.imencode(".png", picture)[1].tobytes(), None)
    return tag_maps.occlusion(model)(prepared, [0])[0]


@pytest.mark.parametrize(("width", "height"), [(64, 64), (96, 48), (40, 100)])
@pytest.mark.parametrize("method", ["area", "stretch"])
def test_the_peak_lies_on_the_thing_in_pixels_of_the_picture(tmp_path, width, height, method):
    model = tagger(tmp_path, None if method == "area" else stretch)
    x, y, side = width // 2 + 4, height // 2 + 6, 14
    picture = with_patch(width, height, x, y, side)
    view = tag_maps.View.of(model, picture)
    at = view.peak(hidden_part(model, picture))
    assert x <= at[0] < x + side
    assert y <= at[1] < y + side


def stretch(image, size):
    return geometry.resized(image, (size, size), "bilinear")


def test_the_padding_has_no_peak(tmp_path):
    view = tag_maps.View.of(tagger(tmp_path), np.zeros((20, 80, 3), np.uint8))
    values = np.zeros((8, 8))
    values[0, 5] = 9.0  # above the picture, whose rows are 3 and 4
    values[4, 2] = 1.0
    assert view.peak(values) == (25, 15)
    thin = tag_maps.View.of(tagger(tmp_path), np.zeros((1, 200, 3), np.uint8))
    assert thin.peak(values)[1] == 0


def test_of_two_tags_of_one_name_each_has_its_map(tmp_path):
    tags, asked = TAGS.assign(name="green", category=[0, 4]), []
    model = ServingTagger(tmp_path, tags, SIZE, green)
    writer = tag_maps.Writer(
        tmp_path, model, lambda picture, columns: asked.append(columns) or np.zeros((len(columns), 8, 8)), ""
    )
    data = cv2.imencode(".png", with_patch(32, 32, 0, 0))[1].tobytes()
    selected = [ScoredTag(1, "green", 0, 0.6), ScoredTag(2, "green", 4, 0.4)]
    writer.add("p.png", data, model.prepare(data, None), selected)
    assert asked == [[0, 1]]


def test_overlays_and_peaks_are_written(tmp_path):
    picture = with_patch(900, 500, 600, 300, 150)
    data = cv2.imencode(".png", picture)[1].tobytes()
    model = tagger(tmp_path)
    mapper, method = tag_maps.open_mapper(model, "auto", lambda *_: None)
    writer = tag_maps.Writer(tmp_path, model, mapper, method)
    tags = [ScoredTag(2, "a/b:c", 0, 0.4), ScoredTag(1, "green", 0, 0.6)]
    writer.add("p.png", data, model.prepare(data, None), tags)
    writer.add("none.png", data, model.prepare(data, None), [])
    writer.finish()
    content = json.loads((tmp_path / "maps.json").read_text())
    assert content["method"] == "occlusion"
    first, second = content["pictures"]
    assert (first["width"], first["height"], second["maps"]) == (900, 500, [])
    assert [row["file"] for row in first["maps"]] == ["0000_0_a-b-c.png", "0000_1_green.png"]
    page = (tmp_path / "maps.html").read_text()
    assert page.count("<img ") == 2
    assert 'src="0000_0_a-b-c.png"' in page
    assert "a/b:c 0.40" in page and "900 x 500 pixels" in page and "no tag" in page
    row = first["maps"][1]
    assert 600 <= row["x"] < 750
    assert 300 <= row["y"] < 450
    assert row["cell"] == pytest.approx([112.5, 112.5], abs=1)
    shown = codec.decode((tmp_path / row["file"]).read_bytes())
    assert max(shown.shape) == tag_maps.SIDE
    scale = tag_maps.SIDE / 900
    at = shown[int(row["y"] * scale), int(row["x"] * scale)].astype(int)
    corner = shown[5, 5].astype(int)
    assert at.sum() > corner.sum()  # bright where the map is high, the picture where it is low
    assert np.abs(corner - 128).max() < 40


def test_an_overlay_leaves_the_lowest_part_as_it_is_and_rings_the_peak():
    picture, values = np.full((64, 64, 3), 100, np.uint8), np.zeros((8, 8))
    values[:, 4:] = 5.0
    view = tag_maps.View(64, 64, SIZE, geometry.Placement(2.0, 2.0, 0.0, 0.0))
    shown = codec.decode(tag_maps.overlay(picture, values, view))
    brightest = cv2.applyColorMap(np.uint8([[255]]), cv2.COLORMAP_INFERNO)[0, 0]
    assert shown[60, 2].tolist() == [100] * 3
    assert shown[60, 60].tolist() == np.round(0.3 * 100 + 0.7 * brightest).tolist()
    assert view.peak(values) == (36, 4)
    assert shown[4, 42].min() > 200  # white, 6 pixels beside the peak


def test_what_a_release_does_not_allow_is_one_sentence(tmp_path):
    with pytest.raises(UserError, match="made by occlusion; got gradient"):
        tag_maps.open_mapper(tagger(tmp_path), "gradient", lambda *_: None)
    with pytest.raises(UserError, match=r"1,000 pictures at most; got 1,001"):
        tag_maps.require_few(1001)
