"""Utils/bench/learning_curves.py: runs of several seeds as rows, differences and curves."""

import numpy as np
import pandas as pd
import pytest

from Utils.bench import learning_curves
from Utils.evaluation import predictions
from Utils.evaluation.paired_bootstrap import ResampledScores


def finished_run(folder, seed, better=0.0, images=40, tags=6):
    """A run's folder whose predictions are random, ``better`` times nearer to the truth."""
    labels = (np.random.default_rng(0).random((images, tags)) < 0.3).astype(np.uint8)
    noise = np.random.default_rng(seed).random((images, tags))
    frame = pd.DataFrame(
        {"tag_id": range(tags), "name": [f"t{i}" for i in range(tags)], "category": 0, "count": 9}
    )
    folder.mkdir()
    with predictions.writing(folder / "dump", frame) as writer:
        probabilities = (noise * (1 - better) + better * labels).astype(np.float32)
        writer.add(probabilities, np.arange(images), labels)
    rows = [f"{epoch},{32 * epoch},{3 / epoch},{0.1 * epoch},{0.05 * epoch},{10 * epoch}" for epoch in (1, 2)]
    text = "\n".join(["epoch,images,loss,f1,macro_f1,cpu_seconds", *rows, ""])
    (folder / "curve.csv").write_text(text)
    return folder


def test_a_row_is_the_mean_of_the_seeds_and_its_interval_holds_them(tmp_path):
    places = [finished_run(tmp_path / str(seed), seed) for seed in (1, 2, 3)]
    row, scores = learning_curves.row("d", "ours", "ResNet/18", 1e-3, places)
    values = [float(text) for text in row["micro_seeds"].split()]
    assert row["micro_F1"] == pytest.approx(np.mean(values), abs=1e-4)
    assert row["micro_low"] < row["micro_F1"] < row["micro_high"]
    assert (row["seeds"], row["images"], row["cpu_seconds"]) == (3, 64, 20.0)
    assert tuple(row) == learning_curves.TABLE
    assert row == learning_curves.row("d", "ours", "ResNet/18", 1e-3, places)[0]


def constant(value):
    """The scores of a run that are the same on all resamples."""
    names = ("micro_F1", "macro_F1")
    return ResampledScores(dict.fromkeys(names, value), dict.fromkeys(names, np.full(500, value)))


def test_seeds_that_differ_widen_the_interval():
    assert learning_curves.over_seeds([constant(0.5)] * 3).interval("micro_F1") == (0.5, 0.5)
    mean = learning_curves.over_seeds([constant(0.4), constant(0.5), constant(0.6)])
    assert mean.values["micro_F1"] == pytest.approx(0.5)
    low, high = mean.interval("micro_F1")
    assert 0.4 <= low < 0.45 and 0.55 < high <= 0.6


def test_a_better_side_is_told_apart_and_an_equal_one_is_not(tmp_path):
    worse = [finished_run(tmp_path / f"a{seed}", seed) for seed in (1, 2)]
    better = [finished_run(tmp_path / f"b{seed}", seed, better=0.5) for seed in (1, 2)]
    _, theirs = learning_curves.row("d", "timm", "x", 1e-3, worse)
    _, ours = learning_curves.row("d", "ours", "y", 1e-3, better)
    assert "micro F1 +" in learning_curves.difference_line("d", theirs, ours)
    assert "not distinguishable" not in learning_curves.difference_line("d", theirs, ours)
    assert learning_curves.difference_line("d", theirs, theirs).count("not distinguishable") == 2


def test_the_drawing_names_every_side_and_dataset_and_is_the_same_twice(tmp_path):
    place = finished_run(tmp_path / "a", 1)
    groups = {"emoji": {"ours small": [place], "timm resnet10t": [place]}, "scenes": {"ours small": [place]}}
    svg = learning_curves.render(groups)
    assert svg == learning_curves.render(groups)
    for text in ("emoji: micro F1", "scenes: macro F1", "ours small", "timm resnet10t", "CPU seconds"):
        assert text in svg
