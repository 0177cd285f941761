"""tools/bench_parts/input.py: the input pipeline beside decoding alone and the naive order."""

import json
from xml.etree import ElementTree

import pytest

from tools import bench


@pytest.mark.slow
def test_it_measures_ours_the_limit_and_the_peer(capsys, tmp_path):
    words = ["--images", "6", "--batch-size", "2", "--image-size", "16", "--num-labels", "9"]
    words += ["--plot", str(tmp_path / "time.svg"), "--seconds", "0.02", "--turns", "1", "--json"]
    assert bench.main(["input", *words]) == 0
    result = json.loads(capsys.readouterr().out)
    assert min(result["figures"].values()) > 0
    ours, limit, _, device, peer, *steps = result["figures"].values()
    assert len(steps) == 4
    texts = "".join(ElementTree.parse(tmp_path / "time.svg").getroot().itertext())
    for name in ("training pipeline", "naive order", "decoding", "resizing", "rotation", "MixUp", "rest"):
        assert name in texts
    assert result["ratios"]["of the limit, augment_on device"] == device / limit
    assert result["ratios"]["of the limit"] == ours / limit
    assert result["ratios"]["of the peer"] == ours / peer
    assert 60_000 < result["setup"]["bytes_per_image"] < 120_000
    assert result["unit"] == "images/s"


def test_tars_are_measured_beside_shards(capsys):
    words = ["--images", "6", "--batch-size", "2", "--image-size", "16", "--num-labels", "9", "--tars"]
    words += ["--peer", "none"]
    assert bench.main(["input", *words, "--seconds", "0.02", "--turns", "1", "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    shards, *_, tars = result["figures"].values()
    assert not any("peer" in name for name in [*result["figures"], *result["ratios"]])
    assert result["ratios"]["from tars, of that from shards"] == tars / shards


def test_the_chart_must_be_svg(capsys):
    assert bench.main(["input", "--plot", "time.png"]) == 2
    assert "must end in .svg; got time.png" in capsys.readouterr().err
