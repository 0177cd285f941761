"""Files and tables of a release: names, tag list, descriptions, thresholds, timm files."""

import json

import pandas as pd
import pytest
from helpers import small_releases

from Utils.release import release_folder
from Utils.release.verification import folder
from Utils.release.verification.findings import Findings
from Utils.tags import tag_list


@pytest.fixture
def release(tmp_path):
    return small_releases.make(tmp_path / "release")


def failures(findings):
    return [(finding.rule, finding.wrong, finding.fault) for finding in findings.failures]


def with_table(release, old="", new=""):
    path = release / "selected_tags.csv"
    content = path.read_text()
    assert old in content
    path.write_text(content.replace(old, new, 1))
    return release


def test_a_good_table_passes_with_the_digest_that_is_stated(release):
    findings = Findings()
    tags = tag_list.read(release / "selected_tags.csv")
    assert folder.check_table(release, "wd", tag_list.digest(tags), findings).equals(tags)
    folder.check_against(tags, tags, findings)
    assert (findings.failures, findings.warnings, findings.state("R1")) == ([], [], "passed")


@pytest.mark.parametrize(
    ("old", "new", "failure"),
    [
        ("tag_id", "\ufefftag_id", ("R1", "a byte order mark before the header", "")),
        ("\n1,", "\n\n1,", ("R1", "blank lines", "")),
        (",900\n", ",900.0\n", ("R1", "count is no whole number", "")),
        ("2,green_grass", "1,green_grass", ("R1", "tag_id is given twice", "")),
        ("green_grass", "blue_sky", ("R1", "name is given twice", "")),
        (",900\n", ",10\n", ("R1", "4 rows out of order", "shuffled CSV")),
        ("rei_(eva),4", "rei_(eva),3", ("R1", "categories that clients drop or miscount", "")),
        ("general,9", "generic,9", ("R1", "the first four rows", "")),
    ],
)
def test_a_table_that_misleads_clients_fails(release, old, new, failure):
    findings = Findings()
    folder.check_table(with_table(release, old, new), "wd", None, findings)
    assert failure in failures(findings)


def test_a_table_that_cannot_be_read_is_skipped(release):
    findings = Findings()
    (release / "selected_tags.csv").write_bytes(b"\xff\xfe")
    assert folder.check_table(release, "wd", None, findings) is None
    assert failures(findings) == [("R1", "the table cannot be read", "")]


def test_another_digest_tells_an_order_from_other_rows(release):
    tags = tag_list.read(release / "selected_tags.csv")
    shuffled = tags.iloc[[0, 1, 2, 3, 5, 4, 6, 7, 8]].reset_index(drop=True)
    tag_list.write(shuffled, release / "selected_tags.csv")
    findings = Findings()
    folder.check_table(release, "wd", tag_list.digest(tags), findings)
    assert ("R1", "the order of rows is not that of release.json", "shuffled CSV") in failures(findings)
    findings = Findings()
    folder.check_table(release, "wd", "0" * 64, findings)
    assert ("R1", "the rows are not those of release.json", "") in failures(findings)


def test_the_rows_are_compared_with_the_models_list(release):
    tags = tag_list.read(release / "selected_tags.csv")
    for other, failure in (
        (tags.iloc[:-1], ("R1", "rows that are not the Keras model's", "")),
        (tags.iloc[::-1].reset_index(drop=True),
         ("R1", "8 rows differ from the Keras model's list, the first is row 0", "shuffled CSV")),
        (tags.assign(name=[*tags["name"][:-1], "asuka"]),
         ("R1", "1 row differs from the Keras model's list, the first is row 8", "")),
    ):  # fmt: skip
        findings = Findings()
        folder.check_against(other, tags, findings)
        assert failure in failures(findings)
    findings = Findings()
    folder.check_against(tags.assign(count=tags["count"] + 1), tags, findings)
    assert failures(findings) == []
    assert [(finding.allowed, finding.came) for finding in findings.warnings] == [("general 0", "general 1")]


def test_names_at_the_top_are_checked(release):
    (release / "thresholds.csv").write_text("x")
    (release / "notes.txt").write_text("x")
    (release / "model.onnx").unlink()
    findings = Findings()
    folder.check_names(release, findings)
    assert failures(findings) == [
        ("R8", "model.onnx is missing", ""), ("R7", "several .csv files at the top", "")
    ]  # fmt: skip
    assert [finding.wrong for finding in findings.warnings] == [
        "README.md is missing", "release.json is missing", "unknown files at the top"
    ]  # fmt: skip


def test_descriptions_fit_the_model_and_the_tags(release):
    tags = tag_list.read(release / "selected_tags.csv")
    findings = Findings()
    (release / "preprocess.json").write_text(json.dumps(release_folder.preprocessing(8)))
    (release / "categories.json").write_text(json.dumps(release_folder.categories(tags)))
    folder.check_descriptions(release, tags, 8, findings)
    assert failures(findings) == []
    (release / "preprocess.json").write_text(
        json.dumps(release_folder.preprocessing(8) | {"channels": "RGB"})
    )
    (release / "categories.json").write_text("[]")
    folder.check_descriptions(release, tags, 16, findings)
    assert failures(findings) == [
        ("R7", "preprocess.json: image_size", ""),
        ("R7", "preprocess.json: channels", "RGB instead of BGR"),
        ("R7", "categories.json does not fit the tag list", ""),
    ]


def test_thresholds_are_numbers_between_0_and_1(release):
    tags = pd.DataFrame({"best_threshold": [0.5, 1.5, "", "high"]})
    findings = Findings()
    folder.check_thresholds(release, tags, findings)
    assert [(finding.wrong, finding.came) for finding in findings.failures] == [
        ("best_threshold", "2 such as 1.5")
    ]
    (release / "extra").mkdir()
    (release / "extra" / "thresholds.csv").write_text("x")
    folder.check_thresholds(release, None, findings)
    assert [finding.wrong for finding in findings.warnings] == ["thresholds are not in the tag list"]


@pytest.mark.parametrize(
    ("files", "has_timm", "failed"),
    [
        ({}, False, []),
        ({"config.json": "{}"}, False, ["timm files only together"]),
        ({"config.json": "[", "model.safetensors": ""}, False, ["config.json cannot be read"]),
        ({"config.json": "{}", "model.safetensors": ""}, True, ["config.json does not state the channels"]),
        ({"config.json": '{"input_order": "bgr"}', "model.safetensors": ""}, True, []),
    ],
)
def test_timm_files_come_together_and_state_their_channels(release, files, has_timm, failed):
    for name, content in files.items():
        (release / name).write_text(content)
    findings = Findings()
    assert folder.check_timm_files(release, findings) is has_timm
    assert [finding.wrong for finding in findings.failures] == failed
