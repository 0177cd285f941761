"""tools/bench.py: every part gives its figure, the limit's and the peer's, and their ratios."""

import json

from tools import bench


def test_input_measures_ours_the_limit_and_the_peer(capsys):
    words = ["--images", "6", "--batch-size", "2", "--image-size", "16", "--num-labels", "9"]
    assert bench.main(["input", *words, "--seconds", "0.1", "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    ours, limit, peer, evaluation = result["figures"].values()
    assert min(ours, limit, peer, evaluation) > 0
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


def test_wrong_use_is_one_paragraph(capsys):
    assert bench.main(["input", "--images", "0"]) == 2
    assert bench.main(["imput"]) == 2
    assert bench.main([]) == 2
    assert capsys.readouterr().err.count("error: ") == 3
