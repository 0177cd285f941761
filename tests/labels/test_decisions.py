"""Utils/labels/decisions.py: the file of decisions, what stands after every undo, how far reviewers agree."""

import dataclasses

import pytest

from Utils.command.cli import UserError
from Utils.labels import decisions
from Utils.labels.decisions import Decision, DecisionLog, Journal


def test_the_journal_repairs_its_end_and_has_one_writer(tmp_path):
    path = tmp_path / "new" / "decisions.jsonl"
    lines = [Decision(post, "solo", 11, "yes", "2026-01-01T00:00:00Z", "ann") for post in (1, 2, 3)]
    with Journal(path) as journal:
        journal.append(*lines[:2])
        with pytest.raises(UserError, match="another review writes"):
            Journal(path)
    whole = path.read_bytes()
    for cut in (1, 9, len(whole) // 2 - 1):
        path.write_bytes(whole[:-cut])
        with Journal(path) as journal:
            kept = 2 if cut == 1 else 1  # without its line end alone a line is whole
            assert journal.decisions == lines[:kept]
            assert journal.num_cut == (0 if cut == 1 else len(whole) // 2 - cut)
            journal.append(lines[2])
        assert decisions.read(path) == [*lines[:kept], lines[2]]
    path.write_bytes(whole + b"\0" * 20)  # a block that was never written
    with Journal(path) as journal:
        assert journal.decisions == lines[:2]
    assert path.read_bytes() == whole


@pytest.mark.parametrize("content", [b"\xff\xd8\xff not a journal", b"[1]\n", b'{"post_id": 1}\n{"post'])
def test_a_file_that_is_something_else_is_left_alone(content, tmp_path):
    (tmp_path / "mine").write_bytes(content)
    with pytest.raises(UserError, match="line 1"):
        Journal(tmp_path / "mine")
    assert (tmp_path / "mine").read_bytes() == content


def test_agreement_is_cohens_kappa():
    """The example of Cohen's kappa in textbooks: 20 both yes, 5 and 10 differ, 15 both no; kappa is 0.4."""
    ann = ["yes"] * 25 + ["no"] * 25 + ["unsure", "yes"]
    bob = ["yes"] * 20 + ["no"] * 5 + ["yes"] * 10 + ["no"] * 15 + ["yes", "unsure"]
    made = [
        Decision(post, "solo", 11, kind, "", who)
        for who, kinds in (("bob", bob), ("ann", ann))
        for post, kind in enumerate(kinds)
    ]
    assert decisions.agreement(DecisionLog(made).standing()) == [("ann", "bob", 50, 35, pytest.approx(0.4))]
    alike = [dataclasses.replace(one, decision="yes") for one in made]
    assert decisions.agreement(DecisionLog(alike).standing()) == [("ann", "bob", 52, 52, None)]
