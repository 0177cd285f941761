"""Utils/labels/cleanlab_engine.py: cleanlab's issues in the form of the fast engine's."""

import sys

import numpy as np
import pytest

from Utils.command.cli import UserError
from Utils.labels import cleanlab_engine, confident_learning


@pytest.fixture
def drawn():
    """Predictions and labels of five tags, a tenth of the labels wrong; the last tag has no post."""
    random = np.random.default_rng(0)
    true = random.random((200, 5)) < [0.5, 0.2, 0.1, 0.7, 0.0]
    p = 1 / (1 + np.exp(-random.normal(size=true.shape) - np.where(true, 2, -2)))
    labels = true ^ (random.random(true.shape) < 0.1)
    labels[:, 4] = False
    return p, labels


@pytest.mark.parametrize("thresholds", [None, np.array([0.2, 0.4, 0.3, 0.6, 0.5])])
def test_both_engines_find_the_same_in_the_same_order(drawn, thresholds):
    pytest.importorskip("cleanlab")
    p, labels = drawn
    fast = confident_learning.find_label_issues(p, labels, thresholds=thresholds)
    slow = cleanlab_engine.find_label_issues(p, labels, thresholds=thresholds)
    for fast_rows, slow_rows in zip((*fast[0], *fast[1]), (*slow[0], *slow[1]), strict=True):
        np.testing.assert_array_equal(fast_rows, slow_rows)
    assert sum(map(len, slow[0])) > 20
    assert len(slow[0][4]) == len(slow[1][4]) == 0  # nothing can be learned from one class


def test_columns_are_looked_at_in_the_order_given(drawn):
    pytest.importorskip("cleanlab")
    missing, wrong = cleanlab_engine.find_label_issues(*drawn)
    part = cleanlab_engine.find_label_issues(*drawn, columns=[3, 0])
    assert [rows.tolist() for rows in part[0]] == [missing[3].tolist(), missing[0].tolist()]
    assert [rows.tolist() for rows in part[1]] == [wrong[3].tolist(), wrong[0].tolist()]


def test_without_the_package_one_error_says_what_to_install(drawn, monkeypatch):
    monkeypatch.setitem(sys.modules, "cleanlab", None)
    monkeypatch.setitem(sys.modules, "cleanlab.filter", None)
    with pytest.raises(UserError, match=r"pip install -r requirements-audit\.txt"):
        cleanlab_engine.load()
    with pytest.raises(UserError, match="not installed"):
        cleanlab_engine.find_label_issues(*drawn)
