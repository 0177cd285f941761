"""tools/studies/finetune.py: the scores of groups of tags, the grid, and the table."""

import numpy as np
import pandas as pd
import pytest

from tools.studies import finetune


def test_scores_are_taken_where_as_many_are_predicted_as_true():
    y = np.array([[1, 0, 0], [1, 1, 0], [0, 1, 0]], bool)
    p = np.array([[0.9, 0.1, 0.8], [0.7, 0.2, 0.1], [0.1, 0.6, 0.1]])
    got = finetune.group_scores(p, y)
    assert got["micro"] == pytest.approx(2 * 3 / 8)
    assert got["macro"] == pytest.approx((1 + 2 / 3) / 2)
    assert (got["count"], got["never"]) == (3, 0)


def test_groups_are_kept_new_and_frequent_tags():
    true = pd.DataFrame(
        {"old": [1, 0, 1], "often": [0, 1, 0], "rare": [1, 0, 0], "gone": [0, 0, 1]}, dtype=bool
    )
    after = pd.DataFrame({"often": [0.1, 0.9, 0.2], "rare": [0.1, 0.2, 0.3], "old": [0.9, 0.1, 0.8]})
    before = pd.DataFrame({"old": [0.1, 0.9, 0.8], "gone": [0.5, 0.5, 0.5]})
    got = finetune.scores(after, before, true, pd.Series({"old": 99, "often": 30, "rare": 29}))
    assert {group: (values["count"], values["micro"]) for group, values in got.items()} == {
        "kept": (1, 1.0), "before": (1, 0.5), "new": (2, 0.5), "frequent": (1, 1.0), "all": (3, 0.75)
    }  # fmt: skip
    assert got["all"]["rare"] == 0.0, "the rarest third is the tag called so, predicted for a wrong picture"


def test_every_run_of_the_grid_has_its_settings():
    assert {method for method, *_ in finetune.GRID} == set(finetune.METHODS)
    assert len(set(finetune.GRID)) == len(finetune.GRID)


def test_the_table_compares_each_road_with_the_rule_of_the_same_pictures():
    group = {"count": 3, "micro": 0.5, "low": 0.4, "high": 0.6, "macro": 0.3, "never": 1}
    facts = {"pictures": 1000, "new_tags": 20, "world": "faces", "before": group, "kept": group}
    runs = [
        {**facts, "method": method, "seed": seed, "new": {**group, "micro": micro}, "frequent": group, **cost}
        for method, seed, micro, cost in (
            ("rule", 0, 0.8, {"seconds": 9.0, "cpu_seconds": 50.0}),
            ("rule", 1, 0.4, {"seconds": 9.0, "cpu_seconds": 50.0}),
            ("probe", 0, 0.6, {"seconds": 9.0, "cpu_seconds": 10.0}),
        )
    ]
    lines = finetune.summary(finetune.rows_of(runs)).splitlines()
    assert lines[2].startswith(
        "| faces | 1,000 | 20 | `rule` | 2 | 0.600 (0.400 to 0.800) | 1.000 (1.000 to 1.000)"
    )
    assert (
        lines[3]
        == "| faces | 1,000 | 20 | `probe` | 1 | 0.600 | 0.750 | 0.300 | 0.500 | +0.000 | 10 | 0.200 |"
    )
