"""Utils/labels/decisions.py: the file of decisions, what stands after every undo, how far reviewers agree."""

import dataclasses
import json

import pytest

from Utils.command.cli import UserError
from Utils.labels import decisions
from Utils.labels.decisions import Decision, DecisionLog, Journal


def decided(post, decision, reviewer="ann"):
    return Decision(post, "solo", 11, decision, "2026-01-01T00:00:00Z", reviewer)


def write(folder, *lines):
    path = folder / "decisions.jsonl"
    with path.open("ab") as file:
        decisions.append(file, *lines)
    return path


def test_the_journal_repairs_its_end_and_has_one_writer(tmp_path):
    path = tmp_path / "new" / "decisions.jsonl"
    lines = [decided(post, "yes") for post in (1, 2, 3)]
    with Journal(path) as journal:
        journal.append(*lines[:2])
        with pytest.raises(UserError, match="another review writes"):
            Journal(path)
    content = path.read_bytes()
    for cut in (1, 9, len(content) // 2 - 1):
        path.write_bytes(content[:-cut])
        with Journal(path) as journal:
            complete = 2 if cut == 1 else 1  # a line that lacks its end alone is complete
            assert journal.decisions == lines[:complete]
            assert journal.num_cut == (0 if cut == 1 else len(content) // 2 - cut)
            journal.append(lines[2])
        assert decisions.read(path) == [*lines[:complete], lines[2]]
    path.write_bytes(content + b"\0" * 20)  # a block that was never written
    with Journal(path) as journal:
        assert journal.decisions == lines[:2]
    assert path.read_bytes() == content


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
    answers = [
        Decision(post, "solo", 11, kind, "", who)
        for who, kinds in (("bob", bob), ("ann", ann))
        for post, kind in enumerate(kinds)
    ]
    assert decisions.agreement(DecisionLog(answers).standing()) == [
        ("ann", "bob", 50, 35, pytest.approx(0.4))
    ]
    alike = [dataclasses.replace(answer, decision="yes") for answer in answers]
    assert decisions.agreement(DecisionLog(alike).standing()) == [("ann", "bob", 52, 52, None)]


def test_an_undo_uncovers_the_decision_before_it():
    lines = [decided(1, "no"), decided(1, "yes"), decided(1, "undo")]
    assert decisions.verdicts(lines) == ({(1, 11): ("solo", False)}, [])


def test_an_incomplete_last_line_is_left_out(tmp_path):
    path = write(tmp_path, decided(1, "yes"), decided(2, "no"))
    assert decisions.cut_size(path) == 0
    content = path.read_bytes()
    path.write_bytes(content[:-9])
    assert decisions.read(path) == [decided(1, "yes")]
    assert decisions.cut_size(path) == len(content) // 2 - 9


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("{", "is no JSON"),
        ("[1]", "a JSON object"),
        (
            json.dumps(dataclasses.asdict(decided(1, "yes")) | {"decision": "maybe"}),
            "yes, no, unsure, undo",
        ),
        (json.dumps(dataclasses.asdict(decided(1, "yes")) | {"post_id": "1"}), "post_id must be int"),
        (json.dumps(dataclasses.asdict(decided(1, "yes")) | {"tag_id": True}), "tag_id must be int"),
        (json.dumps(dataclasses.asdict(decided(2**63, "yes"))), "a post id is from 0 to 2"),
    ],
)
def test_a_broken_line_is_refused_by_its_number(line, says, tmp_path):
    path = write(tmp_path, decided(1, "yes"))
    path.write_bytes(path.read_bytes() + f"{line}\n".encode() + path.read_bytes())
    with pytest.raises(UserError, match=f"line 2.*{says}"):
        decisions.read(path)


def test_the_majority_decides_and_a_tie_is_disputed():
    lines = [decided(1, "yes"), decided(1, "no", "bob"), decided(1, "no", "cid"),
             decided(2, "yes"), decided(2, "no", "bob"), decided(2, "unsure", "cid"),
             decided(3, "unsure"), decided(4, "undo"), decided(5, "unsure"),
             decided(5, "yes", "bob")]  # fmt: skip
    by_pair, disputed = decisions.verdicts(lines)
    assert by_pair == {(1, 11): ("solo", False), (5, 11): ("solo", True)}
    assert disputed == [(2, 11)]


def test_one_tag_id_with_two_names_is_known():
    """Of decisions from two tag lists, put together, one would undo the other's."""
    one = decided(1, "no")
    other = dataclasses.replace(decided(1, "yes", "bob"), tag="hat")
    assert decisions.two_names([one, dataclasses.replace(other, post_id=2), one]) is None
    assert decisions.two_names([one, other]) == (one, other)


def test_the_log_knows_what_stands_on_a_pair():
    log = DecisionLog([decided(1, "yes"), decided(1, "no", "bob")])
    assert {who: decision.decision for who, decision in log.decisions_on((1, 11)).items()} == {
        "ann": "yes",
        "bob": "no",
    }
    log.add(decided(1, "undo"))
    assert list(log.decisions_on((1, 11))) == ["bob"]
    assert log.decisions_on((2, 11)) == {}
