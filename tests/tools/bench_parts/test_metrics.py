"""tools/bench_parts/metrics.py: both ways find the same threshold, whose times are compared."""

import json

from tools import bench


def test_without_the_peer_ours_is_measured_alone(capsys):
    for words in (["--no-peer"], ["--peer", "none"]):
        assert bench.main(["metrics", "--images", "60", "--num-labels", "5", "--json", *words]) == 0
        result = json.loads(capsys.readouterr().out)
        assert list(result["figures"]) == ["streamed selection"] and result["ratios"] == {}


def test_it_finds_the_threshold_of_the_peer(capsys):
    assert bench.main(["metrics", "--images", "600", "--num-labels", "50", "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    ours, peer = result["figures"].values()
    assert result["ratios"]["peer's time to ours"] == peer / ours
    first, second = (value for name, value in result["setup"].items() if name.startswith("threshold"))
    assert abs(first - second) < 0.02
    assert 0.1 < first < 0.95
