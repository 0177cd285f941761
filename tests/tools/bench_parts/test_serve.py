"""tools/bench_parts/serve.py: clients and limits of a real server in a process of its own."""

import contextlib
import json
import re
import socket
import time

import numpy as np
import pytest
from helpers import small_releases

from tools import bench
from tools.bench_parts import serve
from Utils.serving import onnx_tagger


def test_it_measures_clients_beside_the_model_and_the_decoder(tmp_path, capsys):
    release = small_releases.make(tmp_path / "tiny")
    words = ["--clients", "1", "3", "--batch-size", "2", "--rounds", "2", "--seconds", "0.05"]
    words += ["--picture-size", "32", "--slow-clients", "5", "--loads", "0.5", "--json"]
    words += ["--peer", "flask"]
    assert bench.main(["serve", "--model", str(release), *words]) == 0
    result = json.loads(capsys.readouterr().out)
    figures, ratios, latency = result["figures"], result["ratios"], result["latency_ms"]
    assert list(figures) == [
        "served, 1 client",
        "served, 3 clients",
        "limit: the model alone, batch 1",
        "limit: the model alone, batch 2",
        "limit: decoding and resizing alone",
        "peer: flask, a picture a call, 1 client",
        "peer: flask, a picture a call, 3 clients",
    ]
    served, peer = (figures[f"{side}, 1 client"] for side in ("served", "peer: flask, a picture a call"))
    assert ratios["of the peer, 1 client"] == served / peer
    assert min(figures.values()) > 0
    best = max(value for name, value in figures.items() if "model" in name)
    assert ratios["of the limit, 3 clients"] == figures["served, 3 clients"] / best
    assert 0 < ratios["of the processor time, the model's, 3 clients"] < 1
    assert list(latency) == ["1 client", "3 clients", "load 0.5"]
    for milliseconds in latency.values():
        assert 0 < milliseconds["median"] <= milliseconds["p95"] <= milliseconds["p99"]
    assert result["setup"]["num_labels"] == 9
    assert result["setup"]["slow_clients"] == 5


def test_slow_clients_never_end_their_requests_and_come_back_when_cut_off(monkeypatch):
    monkeypatch.setattr(serve, "SLOW_INTERVAL", 0.01)
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        server.settimeout(60)

        def accept():
            return stack.enter_context(server.accept()[0])

        with serve._slow_clients(f"http://127.0.0.1:{server.getsockname()[1]}", 3):
            places = [accept() for _ in range(3)]
            sent = [b"".join(place.recv(64) for _ in range(4)) for place in places]
            places[0].close()
            places[1].sendall(b"HTTP/1.1 408 Request Timeout\r\n\r\n")
            places += [accept(), accept()]
        for data in sent:
            assert re.fullmatch(rb"POST /tag HTTP/1.1\r\nHost: slow\r\nX-slow: a+", data)
        for place in places[2:]:
            while place.recv(1 << 16):
                pass
        server.settimeout(0)
        with pytest.raises(BlockingIOError):
            server.accept()


def test_without_slow_clients_there_is_no_connection():
    with serve._slow_clients("http://127.0.0.1:1", 0):
        pass


@pytest.mark.slow
def test_a_model_of_the_zoo_is_exported_for_it(tmp_path):
    pytest.importorskip("tf2onnx")
    assert serve._export(tmp_path, "ResNet/test", 16, 5) == (None,)
    tagger = onnx_tagger.open_release(tmp_path)
    probabilities = tagger.probabilities(np.zeros((2, 16, 16, 3), np.uint8))
    assert probabilities.shape == (2, 5)
    assert 0 < probabilities.min() <= probabilities.max() < 1


@pytest.mark.parametrize("part", ["serve", "tag"])
def test_sizes_beside_a_release_which_has_its_own_are_refused(tmp_path, capsys, part):
    release = small_releases.make(tmp_path / "tiny")
    for flag in ("--image-size", "--num-labels"):
        assert bench.main([part, "--model", str(release), flag, "32"]) == 2
        assert "is exported as it is: leave --image-size, --num-labels out" in capsys.readouterr().err


def test_mistakes(capsys):
    for message, words in {
        "a release folder or FAMILY/VARIANT": ["--model", "nowhere"],
        "above 0": ["--clients", "0"],
        "of at least 0": ["--slow-clients", "-1"],
        "at most 1": ["--loads", "1.5"],
    }.items():
        assert bench.main(["serve", *words]) == 2
        assert message in capsys.readouterr().err


def test_requests_at_random_times_count_from_when_they_are_due(monkeypatch):
    """Of 100 requests a second, answered one after another in 20 ms each, the later ones wait longer."""
    monkeypatch.setattr(serve, "PLACES", 1)
    monkeypatch.setattr(serve, "_send", lambda *_: time.sleep(0.02))
    latencies = serve._at_random_times("http://127.0.0.1:1", [b""], rate=100, seconds=0.2)
    assert len(latencies) == 20
    assert latencies[-1] > 0.1
