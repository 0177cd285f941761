"""tools/bench_parts/saves.py: what it runs, with times that are known."""

import json

from tools import bench
from Utils.bench import timing


def test_the_ratio_is_of_the_waits(monkeypatch, capsys):
    calls = []

    def known(function, model, devices, rounds):
        calls.append((model, devices, rounds))
        return (0.5, 7.0, 1234) if devices > 1 else (10.0, 10.0, 1234)

    monkeypatch.setattr(timing, "call_in_new_process", known)
    words = ["saves", "--model", "ViT/test", "--set", "depth=1", "--rounds", "2", "--json"]
    assert bench.main(words) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["ratios"] == {"wait for parts to the peer's": 0.05}
    assert result["setup"]["parameters"] == "1,234"
    assert result["setup"]["seconds until parts ones are on disk"] == 7.0
    model = {"name": "ViT/test", "image_size": 64, "num_labels": 5500, "depth": 1}
    assert calls == [(model, 4, 2), (model, 1, 2)]
