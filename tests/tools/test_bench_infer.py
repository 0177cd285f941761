"""tools/bench.py infer: its arithmetic on known times, with the real models of both sides run once."""

import importlib.util
import json

import numpy as np
import pytest

import Models
from tools import bench
from tools.bench_parts import infer
from Utils.bench import timing, timm_peer
from Utils.command.cli import UserError
from Utils.evaluation import results_table


class KnownTimes:
    """Instead of a process apart: calls the function once, and says that each call took a known time."""

    def __init__(self, threads, make, *arguments):
        self.function, *self.about = make(*arguments)
        self.made = make.__name__

    def __enter__(self):
        return self

    def __exit__(self, *_):
        return None

    def seconds(self, calls, size):
        found = self.function(size)
        if self.made == "_matrix_products":
            return [0.25] * calls
        assert found.shape == (size, 5)
        assert 0 < found.min() <= found.max() < 1
        times = {"_our_model": 0.01, "inference": 0.02}[self.made] * (size + 1)
        return [times] * (calls - 1) + [2 * times]


WORDS = ["infer", "--batch-sizes", "1", "4", "--rounds", "3", "--seconds", "0.3", "--json"]


def test_figures_ratios_and_latency_follow_from_the_times(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(timing, "Apart", KnownTimes)
    monkeypatch.setattr(timm_peer, "name", lambda model, peer: f"{peer} of {model}")
    monkeypatch.setattr(timm_peer, "inference", inference)
    made = Models.build("ResNet/test", image_size=16, num_labels=5)
    made.save(tmp_path / "best.keras")
    table = tmp_path / "speeds.csv"
    words = [*WORDS, "--model", str(tmp_path / "best.keras"), "--peer", "x", "--append", str(table)]
    assert bench.main(words) == 0
    found = json.loads(capsys.readouterr().out)
    calls = {1: 15, 4: 6}  # of a round: 0.3 s, the last call of each takes twice as long
    speed = {size: size * calls[size] / (0.01 * (size + 1) * (calls[size] + 1)) for size in calls}
    figures = found["figures"]
    for size in calls:
        assert figures[f"best.keras, batch {size}"] == pytest.approx(speed[size])
    limit = 2048**3 / 0.25 / Models.summary.total_macs(made)
    assert figures["limit: large matrix products"] == pytest.approx(limit)
    assert found["ratios"]["of the limit, batch 4"] == pytest.approx(speed[4] / limit)
    theirs = figures["peer: x of ResNet/test, batch 4"]
    assert found["ratios"]["to x of ResNet/test, batch 4"] == pytest.approx(speed[4] / theirs)
    assert found["latency_ms"]["best.keras"] == pytest.approx({"median": 20, "p95": 36})
    (row,) = results_table.read(table).to_dict("records")
    assert (row["run_name"], row["definition_name"]) == (tmp_path.name, "ResNet/test")
    assert (row["image_size"], row["params"]) == (16, made.count_params())
    assert row["images_per_second"] == pytest.approx(max(speed.values()), rel=1e-5)


def inference(name, image_size, num_labels, batch_size):
    """The peer, where torch need not be installed: it runs our model again."""
    made = Models.build("ResNet/test", image_size=image_size, num_labels=num_labels)
    images = np.ones((batch_size, image_size, image_size, 3))
    return lambda size: made.predict_on_batch(images[:size]), name, made.count_params()


@pytest.mark.skipif(importlib.util.find_spec("timm") is None, reason="timm is not installed")
def test_timms_model_gives_probabilities():
    step, about, params = timm_peer.inference("resnet18", 32, 5, 2)
    assert params == 11_176_512 + 5 * 513
    assert step(1).shape == (1, 5)
    assert 0 < step(2).min() <= step(2).max() < 1
    assert about.startswith("timm resnet18 (")


def test_mistakes(tmp_path, capsys):
    saved = tmp_path / "model.keras"
    saved.write_bytes(b"")
    cases = {
        "--model is a run folder": ["--model", "nowhere.keras"],
        "batch sizes and seconds": ["--batch-sizes", "0"],
        "--rounds must be": ["--rounds", "0"],
        "saved as it is": ["--model", str(saved), "--image-size", "64"],
        "timm or timm:NAME": ["--model", "ResNet/50", "--peer", "keras"],
    }
    for said, words in cases.items():
        assert bench.main(["infer", *words]) == 2
        assert said in capsys.readouterr().err


def test_a_peer_that_was_looked_up_has_as_many_parameters():
    facts = {"label": "ours", "params": 1000}
    infer._require_same_shape("timm", facts, "timm x", 1040)
    infer._require_same_shape("timm:x", facts, "timm x", 9000)
    with pytest.raises(UserError, match="9,000 parameters, ours 1,000"):
        infer._require_same_shape("timm", facts, "timm x", 9000)


def test_the_peer_onnxruntime_is_the_same_model_exported(monkeypatch, capsys):
    pytest.importorskip("tf2onnx")
    given = {}

    class Compared(KnownTimes):
        def seconds(self, calls, size):
            if self.made != "_matrix_products":
                given.setdefault(self.made, []).append(self.function(size).shape)
            return [{"_our_model": 0.1, "_onnx_model": 0.05, "_matrix_products": 0.25}[self.made]] * calls

    monkeypatch.setattr(timing, "Apart", Compared)
    model = ["--model", "ResNet/test", "--image-size", "16", "--num-labels", "5", "--peer", "onnxruntime"]
    assert bench.main([*WORDS, *model]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["figures"]["peer: onnxruntime, batch 4"] == pytest.approx(4 / 0.05)
    assert found["ratios"]["to onnxruntime, batch 4"] == pytest.approx(0.5)
    assert set(given) == {"_our_model", "_onnx_model"}
    assert set(given["_onnx_model"]) == {(1, 5), (4, 5)}
