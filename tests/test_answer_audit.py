"""tools/answer_audit.py: decisions that are the truth's, once for every finding."""

import json

import pytest

from tools import answer_audit
from Utils import decisions, findings

TRUTH = "image_id,tags\n10,solo hat\n11,solo\n12,\n"


@pytest.fixture
def files(tmp_path):
    """An audit of three tags, a truth of three posts, a tag list; post 99 is nobody's."""
    findings.write(tmp_path / "audit.json", {"solo": [11, 12, 99], "hat": [10, 11], "帽子": [12]})
    findings.write(tmp_path / "audit_wrong.json", {"hat": [12, 10]})
    (tmp_path / "truth.csv").write_text(TRUTH)
    tags = "tag_id,name,category,count\n1,solo,0,9\n2,hat,0,5\n3,帽子,0,5\n"
    (tmp_path / "selected_tags.csv").write_text(tags, encoding="utf-8")
    return tmp_path


def answer(folder, *words, audits=("audit.json",)):
    return answer_audit.main(
        [*(str(folder / name) for name in audits), "--truth", str(folder / "truth.csv")]
        + ["--tags", str(folder / "selected_tags.csv"), "-o", str(folder / "decisions.jsonl"), *words]
    )


def answered(folder):
    return {(one.post_id, one.tag): one for one in decisions.read(folder / "decisions.jsonl")}


def test_every_finding_is_answered_by_the_truth_once(files, capsys):
    assert answer(files, "--json", audits=("audit.json", "audit_wrong.json")) == 0
    said = json.loads(capsys.readouterr().out)
    assert (said["decisions"], said["yes"], said["unanswered"]) == (6, 2, 1)
    found = answered(files)
    assert {pair: one.decision for pair, one in found.items()} == {
        (11, "solo"): "yes", (12, "solo"): "no", (10, "hat"): "yes", (11, "hat"): "no", (12, "帽子"): "no",
        (12, "hat"): "no",
    }  # fmt: skip
    assert {one.tag: one.tag_id for one in found.values()} == {"solo": 1, "hat": 2, "帽子": 3}


def test_the_same_audit_gives_the_same_bytes_and_decisions_are_kept(files, capsys):
    assert answer(files) == 0
    assert "are about posts that the truth does not name" in capsys.readouterr().out
    first = (files / "decisions.jsonl").read_bytes()
    assert answer(files) == 2
    assert answer(files, "--overwrite") == 0
    assert (files / "decisions.jsonl").read_bytes() == first


@pytest.mark.parametrize(
    ("audit", "says"),
    [
        ('{"cat": [10]}', "'cat'"),
        ("[10]", "one JSON object"),
        ('{"solo": 10}', "list of post ids"),
        ('{"solo": ["10"]}', "list of post ids"),
        ('{"solo": [10', "no JSON"),
    ],
)
def test_what_is_no_audit_is_told(audit, says, files, capsys):
    (files / "audit.json").write_text(audit)
    assert answer(files) == 2
    assert says in capsys.readouterr().err
    assert not (files / "decisions.jsonl").exists()
