"""Utils/report/map_cards.py: the overlays of a folder of maps within a page."""

import json

import cv2
import numpy as np
import pytest

from Utils.command.cli import UserError
from Utils.report import map_cards


def write_maps(folder, pictures=1):
    folder.mkdir()
    cv2.imwrite(str(folder / "0.png"), np.zeros((8, 12, 3), np.uint8))
    row = {"tag": "<b>", "probability": 0.5, "x": 1, "y": 2, "cell": [1, 1], "file": "0.png"}
    picture = {"path": "a<b>.png", "width": 12, "height": 8, "maps": [row]}
    content = {"model": "m", "method": "occlusion", "pictures": [picture] * pictures}
    (folder / "maps.json").write_text(json.dumps(content))
    return folder


def test_overlays_are_within_the_page_and_names_stay_text(tmp_path):
    text = map_cards.section(write_maps(tmp_path / "maps", map_cards.MOST + 1))
    assert text.count('src="data:image/jpeg;base64,') == map_cards.MOST
    assert "<b>" not in text
    assert "&lt;b&gt; 0.50" in text and "a&lt;b&gt;.png" in text and "12 x 8 pixels" in text
    assert (
        "m, by occlusion" in text and f"The first {map_cards.MOST} of {map_cards.MOST + 1} pictures" in text
    )


def test_a_file_of_another_folder_is_not_embedded(tmp_path):
    folder = write_maps(tmp_path / "maps")
    cv2.imwrite(str(tmp_path / "secret.png"), np.zeros((8, 8, 3), np.uint8))
    index = (folder / "maps.json").read_text().replace("0.png", "../secret.png")
    (folder / "maps.json").write_text(index)
    with pytest.raises(UserError, match=r"lacks overlays that its maps.json names.*secret\.png"):
        map_cards.section(folder)


def test_a_lost_or_damaged_overlay_is_named(tmp_path):
    folder = write_maps(tmp_path / "maps")
    (folder / "0.png").write_bytes(b"no picture")
    with pytest.raises(UserError, match=r"damaged: 0\.png"):
        map_cards.section(folder)


def test_what_is_no_folder_of_maps_is_refused(tmp_path):
    with pytest.raises(UserError, match="tag_images --maps OUT wrote was expected at"):
        map_cards.section(tmp_path)
    (tmp_path / "maps.json").write_text("{}")
    with pytest.raises(UserError, match="lacks model and method and pictures"):
        map_cards.section(tmp_path)
