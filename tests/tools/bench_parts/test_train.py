"""tools/bench_parts/train.py: images/s of training steps, in rounds."""

import json

import keras
import pytest
from helpers.in_process import InProcess

from tools import bench
from Utils.bench import timing, timm_peer

SIZES = ["--image-size", "16", "--batch-size", "2", "--num-labels", "5", "--rounds", "2", "--steps", "1"]
WORDS = ["train", "--model", "ResNet/test", *SIZES, "--threads", "1"]


@pytest.fixture(autouse=True)
def in_process(monkeypatch):
    monkeypatch.setattr(timing, "TimedProcess", InProcess)


@pytest.mark.slow
def test_it_measures_steps_in_rounds(monkeypatch, capsys):
    assert bench.main([*WORDS, "--set", "attention=eca", "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    (speed,), (rounds,) = result["figures"].values(), result["rounds"].values()
    assert len(rounds) == 2
    assert speed == pytest.approx(sum(rounds) / 2)
    assert speed > 0
    assert result["ratios"] == {}
    assert result["setup"]["threads"] == 1


def test_the_ratio_is_the_median_over_rounds(monkeypatch, capsys):
    class KnownTimes(InProcess):
        def seconds(self, calls):
            return [{"ours": 0.5, "peer": 2.0}[self.maker]] * calls

    def ours(model, overrides, sizes, backend, dtype):
        rates = {"drop_rate": 0.1}
        return (lambda: None), {"label": "ours", "kind": "CPU", "dtype": dtype, "rates": rates, "flops": 1e9}

    def peer(name, rates, batch, learning_rate, dtype, is_compiled):
        assert (name, rates, batch[0].shape) == ("x", {"drop_rate": 0.1}, (2, 16, 16, 3))
        assert (dtype, is_compiled) == ("bfloat16", True)
        return (lambda: None), "peer"

    monkeypatch.setattr(timing, "TimedProcess", KnownTimes)
    monkeypatch.setattr("tools.bench_parts.train.our_step", ours)
    monkeypatch.setattr(timm_peer, "training_step", peer)
    monkeypatch.setattr(timm_peer, "model_name", lambda model, peer: "x")
    assert bench.main([*WORDS, "--peer", "timm:x", "--dtype", "bfloat16", "--compile-peer", "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["figures"] == {"ours": 4.0, "peer": 1.0}
    assert result["ratios"] == {"ResNet/test to x": 4.0}


@pytest.mark.slow
def test_it_computes_in_bfloat16_beside_its_limit(capsys):
    policy = keras.config.dtype_policy().name
    assert bench.main([*WORDS, "--dtype", "bfloat16", "--limit", "--rounds", "1", "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    ours, limit = result["figures"].values()
    assert next(iter(result["figures"])).endswith("mixed_bfloat16)")
    assert result["ratios"] == {"ResNet/test to the limit": pytest.approx(ours / limit)}
    assert keras.config.dtype_policy().name == policy


def test_wrong_options_are_named(capsys):
    assert bench.main([*WORDS, "--set", "depth=3"]) == 2
    assert "ResNet/test has no field 'depth'" in capsys.readouterr().err
    assert bench.main(["train", "--peer", "keras"]) == 2
    assert "timm or timm:NAME" in capsys.readouterr().err
