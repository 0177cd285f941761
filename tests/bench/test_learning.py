"""Utils/bench/learning.py: runs that are complete or absent, their clocks and their settings."""

import dataclasses
import json
import sys

import numpy as np
import pytest
from helpers import small_dataset

from Utils.bench import learning
from Utils.command.cli import WorkError
from Utils.data import dataset_folder
from Utils.recipe import command_line
from Utils.recipe.recipe import load_recipe, recipe_names


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    return dataset_folder.load(small_dataset(tmp_path_factory.mktemp("data")))


def run(name="one", side="timm", **changes):
    recipe = dataclasses.replace(load_recipe("demo"), steps_per_epoch=2, epochs=3, **changes)
    return learning.Run(name, side, "resnet10t", "data", recipe)


@pytest.mark.parametrize("name", [name for name in recipe_names() if load_recipe(name).model])
def test_a_recipe_as_flags_is_the_same_recipe(name, tmp_path):
    """Whatever recipe they change: also where that has a value and this one has none."""
    recipe = load_recipe(name)
    changed = dataclasses.replace(
        recipe, flip=False, seed=5, learning_rate=1e-3, warmup="3 steps", dropout=None, model_options=()
    )
    for base in ("demo", "convnext_t"):
        for made in (recipe, changed):
            words = [base, "--dataset", "d", "--run-dir", str(tmp_path / "r"), *learning.flags(made)]
            _, arguments = command_line.parse(words)
            idle = "auto" if made.source_order == "rgb" else made.source_order  # without --init-from
            assert arguments.recipe == dataclasses.replace(made, source_order=idle)


def test_a_finished_run_is_not_trained_again_and_another_of_its_name_is_refused(tmp_path, monkeypatch):
    trained = []

    def train(run, dataset, work, python):
        trained.append(run.name)
        (work / "curve.csv").write_text("epoch,images,loss,f1,macro_f1,cpu_seconds\n1,64,3.5,0.5,0.25,9\n")
        return 12.5

    monkeypatch.setattr(learning, "_train_peer", train)
    monkeypatch.setattr(dataset_folder, "load", lambda path: None)
    place = learning.train(run(), tmp_path)
    assert learning.train(run(), tmp_path) == place == tmp_path / "one"
    assert trained == ["one"]
    assert learning.curve(place) == [
        {"epoch": 1, "images": 64, "loss": 3.5, "f1": 0.5, "macro_f1": 0.25, "cpu_seconds": 9}
    ]
    assert json.loads((place / "run.json").read_text())["cpu_seconds"] == 12.5
    with pytest.raises(WorkError, match="holds another run"):
        learning.train(run(seed=1), tmp_path)


def test_a_run_that_fails_leaves_no_result(tmp_path, monkeypatch):
    def fail(run, dataset, work, python):
        raise WorkError("no")

    monkeypatch.setattr(learning, "_train_peer", fail)
    monkeypatch.setattr(dataset_folder, "load", lambda path: None)
    with pytest.raises(WorkError, match="no"):
        learning.train(run(), tmp_path)
    assert not (tmp_path / "one").exists()


def test_cpu_seconds_are_those_of_the_process_and_not_of_the_clock(tmp_path, monkeypatch):
    rows, noticed, looks = tmp_path / "rows.csv", tmp_path / "noticed", []
    code = f"""
import time, pathlib
def burn(until):
    while time.process_time() < until: pass
rows, noticed = pathlib.Path({str(rows)!r}), pathlib.Path({str(noticed)!r})
burn(0.3); rows.write_text("head\\n1\\n")
while not noticed.exists(): time.sleep(0.1)
burn(0.6); rows.write_text("head\\n1\\n2\\n")
"""
    measured = learning._cpu_seconds

    def noticing(pid):
        """The second time that the first line is there it has been read before this is called."""
        seconds = measured(pid)
        looks.append(rows.exists() and "1" in rows.read_text())
        if looks[-2:] == [True, True]:
            noticed.touch()
        return seconds

    monkeypatch.setattr(learning, "_cpu_seconds", noticing)
    clock, total = learning.clocked([sys.executable, "-c", code], tmp_path / "log.txt", rows)
    assert len(clock) == 2
    assert 0.1 <= clock[0] < clock[1] <= total < 1.0


def test_a_command_that_fails_is_told_with_the_end_of_its_log(tmp_path):
    with pytest.raises(WorkError, match="ended with exit code 3: what went wrong"):
        learning.clocked(
            [sys.executable, "-c", "import sys; print('what went wrong'); sys.exit(3)"], tmp_path / "log.txt"
        )


def test_the_peer_gets_the_pictures_and_labels_of_the_records(dataset, tmp_path):
    path = learning._export(dataset, tmp_path)
    arrays = np.load(path)
    for split in ("train", "validation"):
        labels = learning.labels_of(dataset, split)
        ends, label_ends = arrays[f"{split}_ends"], arrays[f"{split}_label_ends"]
        assert len(ends) == len(label_ends) == dataset.num_records(split) == len(labels)
        starts = np.concatenate([[0], ends[:-1]])
        assert all(arrays[f"{split}_bytes"][start] == 0xFF for start in starts)  # a JPEG each
        parts = np.split(arrays[f"{split}_labels"], label_ends[:-1])
        assert [sorted(part) for part in parts] == [np.flatnonzero(row).tolist() for row in labels]
        assert labels.sum() > 0
    assert learning._export(dataset, tmp_path) == path


def test_the_peer_gets_the_recipes_settings(dataset):
    recipe = dataclasses.replace(
        load_recipe("demo"), steps_per_epoch=7, epochs=3, warmup="1 epoch", learning_rate=1e-3,
        learning_rate_batch_size=16, batch_size_per_device=32, seed=4,
    )  # fmt: skip
    options = learning.peer_options(learning.Run("x", "timm", "resnet10t", "d", recipe), dataset)
    assert options["learning_rate"] == pytest.approx(2e-3)
    assert (options["warmup_steps"], options["steps_per_epoch"], options["epochs"]) == (7, 7, 3)
    assert (options["seed"], options["num_labels"]) == (4, dataset.num_labels)
    assert json.loads(json.dumps(options)) == options
