"""Utils/labels/review.py: what is open, what was decided, what an undo takes back, whatever happens."""

import datetime
import itertools
import types

import numpy as np
import pytest
from helpers.reviewed import review_of

from Utils.labels import decisions
from Utils.labels.decisions import DecisionLog
from Utils.labels.review import NotAskedError


def test_any_sequence_of_answers_equals_what_the_file_says(asked, tmp_path, monkeypatch):
    """Two reviewers answer, repeat and undo at random, and the review is restarted in between."""
    monkeypatch.setattr(decisions.os, "fsync", lambda _: None)  # hundreds of them take their time
    random, path = np.random.default_rng(0), tmp_path / "decisions.jsonl"
    model = {}  # (post, tag id) -> reviewer -> decision
    for turn, second in itertools.product(range(6), (False, True)):
        who = ("ann", "bob")[turn % 2]
        with review_of(asked, path, who, second) as review:
            for row in random.integers(0, 12, 30).tolist():
                post, tag_id = int(asked.posts[row]), int(asked.tags["tag_id"][asked.tag_of(row)])
                kind = str(random.choice(["yes", "no", "unsure", "undo"]))
                by = model.setdefault((post, tag_id), {})
                due = who in by if kind == "undo" else who not in by if second else not by
                if due and kind == "undo":
                    del by[who]
                elif due:
                    by[who] = kind
                assert [recorded for recorded, _ in review.decide([(post, tag_id, kind)])] == [due]
                assert review.decide([(post, tag_id, kind)])[0][0] is False  # sent twice
            standing = DecisionLog(decisions.read(path)).standing()
            decided = {
                pair: {who: line.decision for who, line in by.items()} for pair, by in standing.items()
            }
            assert decided == {pair: by for pair, by in model.items() if by}
            verdicts, _ = decisions.verdicts(decisions.read(path))
            progress = review.progress()
            assert progress["yes"] == sum(has for _, has in verdicts.values())
            assert progress["no"] == len(verdicts) - progress["yes"]
            assert progress["unsure"] == len(standing) - len(verdicts)
            open_rows = {
                row for row in range(12)
                if who not in (by := decided.get((int(asked.posts[row]), 11), {})) and (second or not by)
            }  # fmt: skip
            assert set(review.open_of(0, 12)) & set(range(12)) == open_rows
            assert (review.counts.sum(axis=1) == np.diff(asked.starts)).all()
            assert review.open_counts.sum() == review.open.sum()
            assert [review.next_tag(0, step) for step in (1, -1)] == [1, 2]


def test_decisions_of_one_time_are_undone_together_even_after_a_restart(asked, tmp_path):
    path = tmp_path / "decisions.jsonl"
    with review_of(asked, path) as review:
        review.decide([(1000, 11, "yes")])
        review.decide([(1001, 11, "no"), (1002, 11, "yes"), (1001, 11, "yes")])
        assert review.last() == [1, 2]
    with review_of(asked, path) as review:
        assert review.last() == [1, 2]
        review.decide([(1001, 11, "undo"), (1002, 11, "undo")])
        assert review.last() == [0]
        assert review.stands(1) is None
        with pytest.raises(NotAskedError):
            review.decide([(1000, 11, "undo"), (1079, 11, "no")])  # nothing of it is taken
        with pytest.raises(NotAskedError):
            review.decide([(1000, 13, "no")])
        assert review.stands(0) == "yes"
    assert [line.decision for line in decisions.read(path)] == ["yes", "no", "yes", "undo", "undo"]


def test_decisions_have_different_times_even_if_the_clock_stands_still(asked, tmp_path, monkeypatch):
    noon = datetime.datetime(2026, 1, 1, 12, tzinfo=datetime.UTC)
    stopped = types.SimpleNamespace(now=lambda _: noon)
    clock = types.SimpleNamespace(datetime=stopped, UTC=datetime.UTC, timedelta=datetime.timedelta)
    monkeypatch.setattr("Utils.labels.review.datetime", clock)
    with review_of(asked, tmp_path / "decisions.jsonl") as review:
        for post in (1000, 1001, 1002):
            review.decide([(post, 11, "yes")])
        assert review.last() == [2]  # the last one alone is undone
    times = [line.time for line in decisions.read(tmp_path / "decisions.jsonl")]
    assert times == [f"2026-01-01T12:00:00.00000{number}Z" for number in range(3)]


def test_a_full_disk_takes_the_line_back(asked, tmp_path, monkeypatch):
    path, append = tmp_path / "decisions.jsonl", decisions.append

    def full(file, *some):
        file.write(b'{"post_id"')
        raise OSError("No space left on device")

    with review_of(asked, path) as review:
        review.decide([(1000, 11, "yes")])
        monkeypatch.setattr(decisions, "append", full)
        with pytest.raises(OSError, match="space"):
            review.decide([(1001, 11, "yes")])
        assert review.stands(1) is None
        monkeypatch.setattr(decisions, "append", append)
        review.decide([(1001, 11, "no")])
    assert [(line.post_id, line.decision) for line in decisions.read(path)] == [(1000, "yes"), (1001, "no")]
