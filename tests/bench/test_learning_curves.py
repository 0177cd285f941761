"""Utils/bench/learning_curves.py: runs of several seeds as rows, differences and curves."""

import numpy as np
import pytest
from helpers.learning_runs import finished_run

from Utils.bench import learning_curves


def test_a_row_is_the_mean_of_the_seeds_and_its_interval_holds_them(tmp_path):
    places = [finished_run(tmp_path / str(seed), seed) for seed in (1, 2, 3)]
    row, scores = learning_curves.row("d", "ours", "ResNet/18", 1e-3, places)
    values = [float(text) for text in row["micro_seeds"].split()]
    assert row["micro_F1"] == pytest.approx(np.mean(values), abs=1e-4)
    assert row["micro_low"] < row["micro_F1"] < row["micro_high"]
    assert (row["seeds"], row["images"], row["cpu_seconds"]) == (3, 64, 20.0)
    assert tuple(row) == learning_curves.TABLE
    assert row == learning_curves.row("d", "ours", "ResNet/18", 1e-3, places)[0]


def test_seeds_that_differ_widen_the_interval(tmp_path):
    place = finished_run(tmp_path / "a", 1)
    alone, same = (learning_curves.score([place] * count) for count in (1, 3))
    assert alone.interval("micro_F1") == pytest.approx(same.interval("micro_F1"))
    others = learning_curves.score([place, *(finished_run(tmp_path / f"b{i}", i, 0.3 * i) for i in (1, 2))])
    low, high = others.interval("micro_F1")
    images_low, images_high = others.mean.interval("micro_F1")
    assert low < images_low - 0.1 and high > images_high + 0.1


def test_the_margin_over_seeds_is_students():
    values = [0.4, 0.5, 0.6]
    # The deviation is 0.1, t of 2 degrees of freedom at 0.975 is 4.3027.
    assert learning_curves._margin([values]) == pytest.approx(4.3027 * 0.1 / np.sqrt(3), rel=1e-4)
    assert learning_curves._margin([[0.4]]) == learning_curves._margin([[0.4], [0.5]]) == 0
    assert learning_curves._margin([values, [0.7]]) == learning_curves._margin([values])
    assert learning_curves._widened(0.5, (0.46, 0.54), 0.03) == pytest.approx((0.45, 0.55))


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
    for text in (
        "emoji",
        "scenes",
        "micro F1 at P = R",
        "macro F1 at P = R",
        "ours small",
        "timm resnet10t",
        "CPU seconds",
    ):
        assert text in svg
