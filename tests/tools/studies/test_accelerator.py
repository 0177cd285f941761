"""tools/studies/accelerator.py: what is measured in which order, what is missing is named, and a tiny run."""

import json
import subprocess

import pytest

from tools.studies import accelerator
from Utils.data import dataset_folder

TINY = [
    "--models", "ResNet/test", "NFNet/test", "--image-sizes", "32", "--batch-size", "2", "--num-labels", "5",
    "--steps", "1", "--loop-steps", "2", "--images", "8", "--backend", "tensorflow", "--dtype", "float32",
    "--json",
]  # fmt: skip
STEP, OTHER = "step of ResNet/test at 32 px", "step of NFNet/test at 32 px"
LOOP = "loop of ResNet/test at 32 px from shards"


@pytest.fixture
def commands(monkeypatch):
    """The commands that were run: steps answer, a large model fails, and the loop takes too long."""
    commands = []

    def run(words, environment, seconds):
        commands.append(words)
        if words[0] == "train.py":
            raise subprocess.TimeoutExpired(words, seconds)
        if "NFNet/test" in words:
            return 1, "", "tracing\nerror: out of memory"
        return 0, json.dumps({"part": "train", "figures": {"ours": 3.0}, "ratios": {}}), ""

    monkeypatch.setattr(accelerator, "run", run)
    return commands


def test_what_cannot_be_measured_is_named_as_missing(commands, tmp_path, capsys):
    assert accelerator.main([*TINY, "-o", str(tmp_path)]) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["measured"] == {STEP: {"part": "train", "figures": {"ours": 3.0}, "ratios": {}}}
    assert result["missing"][OTHER] == "error: out of memory"
    assert "the time was up" in result["missing"][LOOP]
    written = json.loads((tmp_path / accelerator.OUTPUT).read_text())
    assert written["missing"] == result["missing"]
    assert f"MISSING {OTHER}: error: out of memory" in accelerator.lines(result)


def test_what_takes_too_long_is_ended_with_all_that_it_started():
    words = [
        "-c",
        "import subprocess, sys; subprocess.run([sys.executable, '-c', 'import time; time.sleep(60)'])",
    ]
    with pytest.raises(subprocess.TimeoutExpired):
        accelerator.run(words, {}, 0.5)
    assert accelerator.run(["-c", "print(1)"], {}, 60) == (0, "1\n", "")


def test_when_the_time_is_up_the_rest_is_missing(commands, tmp_path, capsys):
    assert accelerator.main([*TINY, "-o", str(tmp_path), "--minutes", "1e-9"]) == 0
    assert json.loads(capsys.readouterr().out)["measured"] == {}
    assert not commands


def test_by_default_it_measures_what_an_accelerator_is_asked_for(monkeypatch, tmp_path):
    monkeypatch.setattr(accelerator.importlib.util, "find_spec", lambda name: None)
    options = accelerator.parser().parse_args(["-o", str(tmp_path)])
    names = [item.name for item in accelerator.measurements(options, tmp_path)]
    assert len(names) == 9
    assert names[:2] == ["step of ConvNext/B at 448 px", "step of ViT/B16 at 448 px"]
    assert names[2] == "loop of ConvNext/B at 448 px from shards"
    assert names[-1] == "step of ResNet/50 at 224 px"


def test_the_dataset_is_one(tmp_path):
    accelerator.write_dataset(tmp_path / "data", 20, 7)
    dataset = dataset_folder.load(tmp_path / "data")
    assert (dataset.num_records("train"), dataset.num_labels, dataset.image_size) == (20, 7, 512)


@pytest.mark.slow
def test_a_tiny_run_measures_everything(tmp_path, capsys):
    assert accelerator.main([*TINY, "-o", str(tmp_path), "--minutes", "9"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert not result["missing"]
    assert set(result["measured"]) == {STEP, OTHER, LOOP}
    assert result["measured"][LOOP]["images_per_second"] > 0
    assert "packages" in result["machine"]
