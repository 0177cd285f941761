"""R10: clients that name other tags than the Keras model fail the release."""

import numpy as np
import pytest
from helpers import small_releases

from Utils.release.verification import clients
from Utils.release.verification.findings import Findings
from Utils.release.verification.reference import drawn_images
from Utils.tags import tag_list

EXPECTED = np.array([[0.1, 0.6, 0.2, 0.1, 0.9, 0.2, 0.05, 0.1, 0.8]] * 2)


@pytest.fixture(scope="module")
def release(tmp_path_factory):
    return small_releases.make(tmp_path_factory.mktemp("releases") / "tiny")


def check(release, computed, layout="wd", tags=None):
    findings = Findings()
    tags = tag_list.read(release / "selected_tags.csv") if tags is None else tags
    clients.check(release, tags, layout, drawn_images(8, 2), EXPECTED, computed, findings)
    return findings


def test_all_clients_name_the_tags_of_the_keras_model(release):
    findings = check(release, {"": EXPECTED})
    assert findings.failures == []
    assert findings.to_dict()["rules"]["R10"]["seen"] == (
        "kohya, standalone, picobyte, comfy, wdv3, imgutils: 2 images at 0.5000"
    )
    warned = {finding.wrong for finding in findings.warnings}
    assert warned == set()


def test_a_client_that_computes_something_else_fails_alone(release):
    other = EXPECTED.copy()
    other[1, 5] = 0.7
    findings = check(release, {"": EXPECTED, "wdv3": other})
    assert [(finding.wrong, finding.allowed, finding.came) for finding in findings.failures] == [
        ("wdv3 names other tags of sample 1", "none that it lacks", "green_grass")
    ]


def test_a_wrong_rating_fails_the_check(release):
    other = EXPECTED.copy()
    other[0, 3] = 0.7
    findings = check(release, {"": other})
    assert ("kohya gives another rating to sample 0", "sensitive", "explicit") in [
        (finding.wrong, finding.allowed, finding.came) for finding in findings.failures
    ]
    assert not any(finding.wrong.startswith("comfy") for finding in findings.failures)  # it has no ratings


def test_a_client_that_cannot_read_the_rows_fails(release):
    findings = check(release, {"": EXPECTED, "imgutils": EXPECTED[:, :8]})
    assert [(finding.wrong, finding.came) for finding in findings.failures] == [
        ("imgutils cannot read the release", "8 outputs for 9 rows")
    ]


def test_clients_that_cut_by_position_are_skipped_in_another_layout(release):
    findings = check(release, {"": EXPECTED}, layout="full")
    assert findings.failures == []
    assert {finding.wrong for finding in findings.warnings} == {
        f"{name} cuts rows by position" for name in ("kohya", "standalone", "picobyte", "comfy")
    }


def test_tags_that_a_client_spells_alike_are_a_warning(release):
    tags = tag_list.read(release / "selected_tags.csv")
    tags["name"] = tags["name"].replace({"green_grass": "blue sky"})
    findings = Findings()
    clients._check_spelling(clients.clients.WDV3, tags["name"], findings)
    clients._check_spelling(clients.clients.KOHYA, tags["name"], findings)
    assert [(finding.wrong, finding.came) for finding in findings.warnings] == [
        ("wdv3 spells tags alike", "blue sky")
    ]
