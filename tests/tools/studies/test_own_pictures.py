"""tools/studies/own_pictures.py: pictures as people have them, and what select_tags makes of them."""

import cv2
import numpy as np
import pytest

from tools.studies import own_pictures
from Utils.bench.finetune_worlds import CAPTIONS, World


@pytest.fixture
def world():
    rng = np.random.default_rng(0)
    pictures = rng.integers(0, 255, (30, 72, 72, 3), np.uint8)
    jpegs = [cv2.imencode(".jpg", picture)[1].tobytes() for picture in pictures]
    labels = rng.random((30, 4)) < 0.9
    names = np.array(["long_hair", "sky", "smile", "solo"])
    return World(jpegs, labels, labels, names, (5, 25, 0), np.array([3]))


def test_one_is_broken_one_has_no_text_one_is_a_copy(tmp_path, world, monkeypatch):
    monkeypatch.setattr(own_pictures, "PICTURES", 24)
    own_pictures.write_pictures(world, tmp_path / "pictures")
    paths = sorted(path for path in (tmp_path / "pictures").rglob("*") if path.is_file())
    texts = {path.with_suffix(""): path.read_text() for path in paths if path.suffix in CAPTIONS}
    pictures = [path for path in paths if path.suffix not in CAPTIONS]
    assert (len(pictures), len(texts)) == (25, 24)
    assert [path.name for path in pictures if path.with_suffix("") not in texts] == ["9.webp"]
    assert (tmp_path / "pictures" / "first" / "1.jpg").stat().st_size == 700
    data = [path.read_bytes() for path in pictures]
    assert len(data) - len(set(data)) == 1
    assert sum(text.startswith("masterpiece, best quality, ") for text in texts.values()) == 8
    assert sum("great care" in text for text in texts.values()) == 1
    before = {path: path.stat().st_mtime_ns for path in paths}
    own_pictures.write_pictures(world, tmp_path / "pictures")
    assert {path: path.stat().st_mtime_ns for path in paths} == before


def test_an_example_that_is_there_is_kept(tmp_path, capsys):
    (tmp_path / "my").mkdir()
    assert own_pictures.main([str(tmp_path)]) == 2
    assert "my is there; remove it to make the example anew" in capsys.readouterr().err
