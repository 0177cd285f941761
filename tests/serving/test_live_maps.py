"""Utils/serving/live_maps.py: one map at a time, in bounded time, of the tagger's own tags."""

import cv2
import numpy as np
import pytest
from helpers import small_releases

from Utils.images import codec
from Utils.serving import live_maps, onnx_tagger
from Utils.serving.refusal import RefusedError


@pytest.fixture(scope="module")
def maps(tmp_path_factory):
    release = small_releases.make(tmp_path_factory.mktemp("maps") / "release")
    return live_maps.LiveMaps(onnx_tagger.open_release(release))


def picture():
    image = np.zeros((16, 24, 3), np.uint8)
    image[:, :12, 0] = 255  # blue on the left
    return cv2.imencode(".png", image)[1].tobytes()


def test_the_map_is_brightest_where_the_tag_is(maps):
    overlay = cv2.imdecode(np.frombuffer(maps.png(picture(), "blue_sky"), np.uint8), 1)
    assert overlay.shape == (16, 24, 3)
    red = overlay[..., 2].astype(int)  # of which the picture has none
    assert red[:, :11].sum() > 4 * red[:, 13:].sum()
    assert "blue_sky" in maps and "blue_skies" not in maps


def test_what_cannot_be_mapped_is_refused_and_leaves_the_way_free(maps, monkeypatch):
    def during(data, deadline):
        with pytest.raises(RefusedError, match="another map is being made") as refused:
            maps.png(data, "blue_sky")
        assert (refused.value.status, refused.value.headers) == (503, {"Retry-After": "5"})
        return np.zeros((8, 8, 3), np.uint8)

    def too_late(data, deadline):
        raise TimeoutError

    assert maps.png(picture(), "blue_sky", during)
    for words, status, text in (
        ((picture(), "blue_skies"), 404, "no tag blue_skies; did you mean blue_sky"),
        ((b"none", "blue_sky"), 400, "cannot be used as a picture"),
        ((picture(), "blue_sky", too_late), 503, "no map within 300 s"),
    ):
        with pytest.raises(RefusedError, match=text) as refused:
            maps.png(*words)
        assert refused.value.status == status
    monkeypatch.setattr(maps, "seconds", -1)
    with pytest.raises(RefusedError, match="no map within"):
        maps.png(picture(), "blue_sky")
    monkeypatch.undo()
    assert codec.probe(maps.png(picture(), "blue_sky"))[0] == "PNG"
