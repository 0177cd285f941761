"""tools/bench_parts/audit.py: both engines do the same work, whose times are compared."""

import json

import pytest

from tools import bench
from tools.bench_parts import audit

WORDS = ["audit", "--images", "300", "--num-labels", "6", "--peer-labels", "3"]


def test_it_measures_both_engines(capsys):
    pytest.importorskip("cleanlab")
    assert bench.main([*WORDS, "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    ours, peer = result["figures"].values()
    assert result["ratios"]["peer's time to ours"] == peer / ours > 0


def test_without_the_peer_cleanlab_is_not_needed(monkeypatch, capsys):
    monkeypatch.setattr(audit, "cleanlab_engine", None)
    assert bench.main(["audit", "--images", "300", "--num-labels", "6", "--peer", "none", "--json"]) == 0
    assert list(json.loads(capsys.readouterr().out)["figures"]) == ["fast engine"]
    assert bench.main([*WORDS, "--peer", "none"]) == 2
    assert "--peer-labels is of cleanlab" in capsys.readouterr().err


def test_engines_that_disagree_are_an_error(monkeypatch, capsys):
    pytest.importorskip("cleanlab")
    nothing = [[[-1]] * 3] * 2
    monkeypatch.setattr(audit.cleanlab_engine, "find_label_issues", lambda p, labels: nothing)
    assert bench.main(WORDS) == 1
    assert "disagree on tag 0" in capsys.readouterr().err


def test_the_peer_cannot_get_more_labels_than_there_are(capsys):
    assert bench.main(["audit", "--num-labels", "6", "--peer-labels", "7"]) == 2
    assert "up to --num-labels, 6; got 7" in capsys.readouterr().err
