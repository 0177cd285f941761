"""Findings are joined where they repeat, and tell which rules passed, failed or were not checked."""

from Utils.release.verification.findings import RULES, Findings


def test_a_rule_fails_passes_or_is_skipped():
    findings = Findings()
    findings.note("R1", "9 rows")
    findings.note("R2", "input to prediction")
    findings.note("R6", "no timm files", checked=False)
    findings.fail("R2", "type of input", "float32", "float16")
    findings.warn("R1", "names beyond ASCII", "ASCII", "é")
    content = findings.to_dict()
    states = {rule: entry["state"] for rule, entry in content["rules"].items()}
    assert states == {**dict.fromkeys(RULES, "skipped"), "R1": "passed", "R2": "failed"}
    assert content["rules"]["R6"]["seen"] == "no timm files"
    assert content["failures"] == [
        {"rule": "R2", "wrong": "type of input", "allowed": "float32", "came": "float16", "fault": ""}
    ]
    assert [warning["came"] for warning in content["warnings"]] == ["é"]


def test_the_same_failure_is_listed_once_with_all_that_came():
    findings = Findings()
    for came in ("1", "2", "1"):
        findings.fail("R2", "the batch is fixed", "any", came, "fixed batch")
        findings.warn("R8", "README.md is missing", "README.md", "nothing")
    assert [failure.came for failure in findings.failures] == ["1; 2"]
    assert len(findings.warnings) == 1


def test_notes_of_a_rule_are_joined():
    findings = Findings()
    for text in ("1 image", "1 image", "2 images"):
        findings.note("R4", text)
    assert findings.to_dict()["rules"]["R4"]["seen"] == "1 image; 2 images"
