"""tools/bench_parts/infer.py: its arithmetic on known times, with the real models of both sides run once."""

import json

import numpy as np
import pytest
from helpers.in_process import InProcess

import Models
from tools import bench
from tools.bench_parts import infer
from Utils.bench import timing, timm_peer
from Utils.command.cli import UserError
from Utils.evaluation import results_table


class KnownTimes(InProcess):
    """Calls the function once, and says that each call took a known time."""

    def seconds(self, calls, size):
        probabilities = self.function(size)
        if self.maker == "prepared":
            return [0.25] * calls
        assert probabilities.shape == (size, 5)
        assert 0 < probabilities.min() <= probabilities.max() < 1
        seconds = {"_our_model": 0.01, "inference": 0.02}[self.maker] * (size + 1)
        return [seconds] * (calls - 1) + [2 * seconds]


WORDS = ["infer", "--batch-sizes", "1", "4", "--rounds", "3", "--seconds", "0.3", "--json"]


@pytest.mark.slow
def test_figures_ratios_and_latency_follow_from_the_times(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(timing, "TimedProcess", KnownTimes)
    monkeypatch.setattr(timm_peer, "model_name", lambda model, peer: f"{peer} of {model}")
    monkeypatch.setattr(timm_peer, "inference", inference)
    model = Models.build("ResNet/test", image_size=16, num_labels=5)
    model.save(tmp_path / "best.keras")
    table = tmp_path / "speeds.csv"
    words = [*WORDS, "--model", str(tmp_path / "best.keras"), "--peer", "x", "--append", str(table)]
    assert bench.main(words) == 0
    result = json.loads(capsys.readouterr().out)
    calls = {1: 15, 4: 6}  # of a round: 0.3 s, the last call of each takes twice as long
    speed = {size: size * calls[size] / (0.01 * (size + 1) * (calls[size] + 1)) for size in calls}
    figures = result["figures"]
    for size in calls:
        assert figures[f"best.keras, batch {size}"] == pytest.approx(speed[size])
    limit = 2048**3 / 0.25 / Models.summary.total_macs(model)
    assert figures["limit: large matrix products"] == pytest.approx(limit)
    assert result["ratios"]["of the limit, batch 4"] == pytest.approx(speed[4] / limit)
    theirs = figures["peer: x of ResNet/test, batch 4"]
    assert result["ratios"]["to x of ResNet/test, batch 4"] == pytest.approx(speed[4] / theirs)
    assert result["latency_ms"]["best.keras"] == pytest.approx({"median": 20, "p95": 36})
    (row,) = results_table.read(table).to_dict("records")
    assert (row["run_name"], row["definition_name"]) == (tmp_path.name, "ResNet/test")
    assert (row["image_size"], row["params"]) == (16, model.count_params())
    assert row["images_per_second"] == pytest.approx(max(speed.values()), rel=1e-5)


def inference(name, image_size, num_labels, batch_size):
    """The peer, where torch need not be installed: it runs our model again."""
    model = Models.build("ResNet/test", image_size=image_size, num_labels=num_labels)
    images = np.ones((batch_size, image_size, image_size, 3))
    return lambda size: model.predict_on_batch(images[:size]), name, model.count_params()


def test_mistakes(tmp_path, capsys):
    saved = tmp_path / "model.keras"
    saved.write_bytes(b"")
    cases = {
        "--model is a run folder": ["--model", "nowhere.keras"],
        "above 0": ["--batch-sizes", "0"],
        "--rounds": ["--rounds", "0"],
        "saved as it is": ["--model", str(saved), "--image-size", "64"],
        "timm or timm:NAME": ["--model", "ResNet/50", "--peer", "keras"],
    }
    for message, words in cases.items():
        assert bench.main(["infer", *words]) == 2
        assert message in capsys.readouterr().err


def test_a_peer_that_was_looked_up_has_as_many_parameters():
    facts = {"label": "ours", "params": 1000}
    infer._require_same_shape("timm", facts, "timm x", 1040)
    infer._require_same_shape("timm:x", facts, "timm x", 9000)
    with pytest.raises(UserError, match="9,000 parameters, ours 1,000"):
        infer._require_same_shape("timm", facts, "timm x", 9000)


@pytest.mark.slow
def test_the_peer_onnxruntime_is_the_same_model_exported(monkeypatch, capsys):
    pytest.importorskip("tf2onnx")
    shapes = {}

    class Compared(KnownTimes):
        def seconds(self, calls, size):
            if self.maker != "prepared":
                shapes.setdefault(self.maker, []).append(self.function(size).shape)
            return [{"_our_model": 0.1, "_onnx_model": 0.05, "prepared": 0.25}[self.maker]] * calls

    monkeypatch.setattr(timing, "TimedProcess", Compared)
    words = ["--model", "ResNet/test", "--image-size", "16", "--num-labels", "5", "--peer", "onnxruntime"]
    assert bench.main([*WORDS, *words]) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["figures"]["peer: onnxruntime, batch 4"] == pytest.approx(4 / 0.05)
    assert result["ratios"]["to onnxruntime, batch 4"] == pytest.approx(0.5)
    assert set(shapes) == {"_our_model", "_onnx_model"}
    assert set(shapes["_onnx_model"]) == {(1, 5), (4, 5)}
