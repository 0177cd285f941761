"""tools/bench_parts/serve.py: clients and limits of a real server in a process of its own."""

import json

import numpy as np
import pytest
from helpers import small_releases

from tools import bench
from tools.bench_parts import serve
from Utils.serving import onnx_tagger


def test_it_measures_clients_beside_the_model_and_the_decoder(tmp_path, capsys):
    release = small_releases.make(tmp_path / "tiny")
    words = ["--clients", "1", "3", "--batch-size", "2", "--rounds", "2", "--seconds", "0.05"]
    words += ["--picture-size", "32", "--json"]
    assert bench.main(["serve", "--model", str(release), *words]) == 0
    result = json.loads(capsys.readouterr().out)
    figures, ratios, latency = result["figures"], result["ratios"], result["latency_ms"]
    assert list(figures) == [
        "served, 1 client",
        "served, 3 clients",
        "limit: the model alone, batch 1",
        "limit: the model alone, batch 2",
        "limit: decoding and resizing alone",
    ]
    assert min(figures.values()) > 0
    best = max(value for name, value in figures.items() if "model" in name)
    assert ratios["of the limit, 3 clients"] == figures["served, 3 clients"] / best
    for milliseconds in latency.values():
        assert 0 < milliseconds["median"] <= milliseconds["p95"] <= milliseconds["p99"]
    assert result["setup"]["num_labels"] == 9


def test_a_model_of_the_zoo_is_exported_for_it(tmp_path):
    pytest.importorskip("tf2onnx")
    assert serve._export(tmp_path, "ResNet/test", 16, 5) == (None,)
    tagger = onnx_tagger.open_release(tmp_path)
    probabilities = tagger.probabilities(np.zeros((2, 16, 16, 3), np.uint8))
    assert probabilities.shape == (2, 5)
    assert 0 < probabilities.min() <= probabilities.max() < 1


def test_mistakes(capsys):
    for message, words in {
        "a release folder or FAMILY/VARIANT": ["--model", "nowhere"],
        "above 0": ["--clients", "0"],
    }.items():
        assert bench.main(["serve", *words]) == 2
        assert message in capsys.readouterr().err
