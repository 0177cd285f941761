"""tools/bench.py: every part gives its figure, the limit's and the peer's, and their ratios."""

import json
from xml.etree import ElementTree

import pytest

import Models
from tools import bench
from Utils.bench import timing, timm_peer


def test_input_measures_ours_the_limit_and_the_peer(capsys, tmp_path):
    words = ["--images", "6", "--batch-size", "2", "--image-size", "16", "--num-labels", "9"]
    words += ["--plot", str(tmp_path / "time.svg")]
    assert bench.main(["input", *words, "--seconds", "0.1", "--turns", "2", "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert min(result["figures"].values()) > 0
    ours, limit, peer, _, device, *steps = result["figures"].values()
    assert len(steps) == 4
    picture = ElementTree.parse(tmp_path / "time.svg").getroot()
    texts = "".join(picture.itertext())
    for name in (
        "training pipeline",
        "naive order",
        "decoding",
        "resizing",
        "flip, rotation",
        "MixUp",
        "rest",
    ):
        assert name in texts
    assert result["ratios"]["of the limit, augment_on device"] == device / limit
    assert result["ratios"]["of the limit"] == ours / limit
    assert result["ratios"]["of the peer"] == ours / peer
    assert 60_000 < result["setup"]["bytes_per_image"] < 120_000
    assert result["unit"] == "images/s"


def test_metrics_finds_the_peers_threshold_in_less_memory(capsys):
    assert bench.main(["metrics", "--images", "600", "--num-labels", "50", "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    ours, peer = result["figures"].values()
    assert result["ratios"]["peer's time to ours"] == peer / ours
    cuts = [value for name, value in result["setup"].items() if name.startswith("threshold")]
    assert abs(cuts[0] - cuts[1]) < 0.02
    assert 0.1 < cuts[0] < 0.95


TINY = ["--image-size", "16", "--batch-size", "2", "--num-labels", "5", "--rounds", "2", "--steps", "1"]


def test_train_measures_a_step_in_rounds(capsys):
    words = ["train", "--model", "ResNet/test", "--set", "attention=eca", *TINY, "--threads", "1", "--json"]
    assert bench.main(words) == 0
    result = json.loads(capsys.readouterr().out)
    (speed,), (rounds,) = result["figures"].values(), result["rounds"].values()
    assert len(rounds) == 2
    assert speed == pytest.approx(sum(rounds) / 2)
    assert speed > 0
    assert result["ratios"] == {}
    assert result["setup"]["threads"] == 1


class Here:
    """Instead of a process apart: whatever it makes is made here."""

    def __init__(self, threads, make, *arguments):
        make(*arguments)


def test_train_names_what_is_wrong(capsys, monkeypatch):
    monkeypatch.setattr(timing, "Apart", Here)
    assert bench.main(["train", "--model", "ResNet/test", "--set", "depth=3", *TINY]) == 2
    assert "ResNet/test has no field 'depth'" in capsys.readouterr().err
    assert bench.main(["train", "--peer", "keras"]) == 2
    assert "timm or timm:NAME" in capsys.readouterr().err
    monkeypatch.setattr(timm_peer.importlib.util, "find_spec", lambda name: None)
    assert bench.main(["train", "--peer", "timm"]) == 2
    assert "pip install torch timm" in capsys.readouterr().err


def test_every_peer_belongs_to_a_model():
    for model in timm_peer.TIMM:
        assert Models.spec(model)


def test_wrong_use_is_one_paragraph(capsys):
    assert bench.main(["input", "--images", "0"]) == 2
    assert bench.main(["imput"]) == 2
    assert bench.main([]) == 2
    assert capsys.readouterr().err.count("error: ") == 3
