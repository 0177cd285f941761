"""R9: sidecars hold every tag that was selected, or the rule fails or warns."""

import numpy as np
import pandas as pd

from Utils.release.verification import sidecars
from Utils.release.verification.findings import Findings

TAGS = pd.DataFrame(
    {
        "tag_id": range(4),
        "name": ["general", "long_hair", "re:zero", "rei_(eva)"],
        "category": [9, 0, 3, 4],
        "count": 1,
    }
)
PROBABILITIES = np.array([[0.9, 0.8, 0.7, 0.1], [0.9, 0.1, 0.2, 0.9]])


def test_sidecars_of_both_formats_hold_the_tags():
    findings = Findings()
    sidecars.check(TAGS, PROBABILITIES, 0.5, findings)
    assert (findings.failures, findings.warnings) == ([], [])
    assert findings.state("R9") == "passed"


def test_a_name_with_a_comma_is_a_warning_of_captions():
    findings = Findings()
    sidecars.check(TAGS.replace("long_hair", "long,hair"), PROBABILITIES, 0.5, findings)
    assert findings.failures == []
    assert [finding.wrong for finding in findings.warnings] == ["txt cannot hold a tag"]


def test_a_missing_tag_fails_the_check(monkeypatch):
    real = sidecars.sidecars.write
    monkeypatch.setattr(sidecars.sidecars, "write", lambda path, words, kind: real(path, words[:-1], kind))
    findings = Findings()
    sidecars.check(TAGS, PROBABILITIES, 0.5, findings)
    assert [(finding.wrong, finding.came) for finding in findings.failures] == [
        ("txt: tags of 1.png are lost or changed", "re:zero"),
        ("txt: tags of 1.jpg are lost or changed", "rei_(eva)"),
        ("hydrus: tags of 1.png are lost or changed", "re:zero"),
        ("hydrus: tags of 1.jpg are lost or changed", "rei_(eva)"),
    ]


def test_a_hydrus_sidecar_is_read_without_namespaces_and_rating():
    assert sidecars._read_hydrus("rating:general\nseries:re:zero\nre:zero\n") == {"re:zero"}
