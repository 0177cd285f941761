"""Releases of others keep what their own files promise, or the check says what they break."""

import pytest
from helpers import foreign_releases

from Utils.serving import foreign_checks, onnx_tagger


@pytest.mark.parametrize("name", foreign_releases.LAYOUTS)
def test_good_releases_pass(tmp_path, name):
    folder, _ = foreign_releases.make(tmp_path, name)
    checks = foreign_checks.check(folder)
    assert [check.kept for check in checks] == [True] * 4
    assert checks[1].seen.endswith("in batches of 1 only") == (name == "pair")


def test_what_no_onnx_file_holds_is_opened_as_the_caller_says(tmp_path):
    """DeepDanbooru's Keras projects, for example, which `swcv tag` runs too."""
    folder, _ = foreign_releases.make(tmp_path, "wd")
    tagger = onnx_tagger.open_release(folder)
    checks = foreign_checks.check(tmp_path / "project", load=lambda path: tagger)
    assert [check.kept for check in checks] == [True] * 4


def test_faults_are_named(tmp_path):
    folder, _ = foreign_releases.make(tmp_path / "a", "animetimm")
    text = (folder / "selected_tags.csv").read_text()
    (folder / "selected_tags.csv").write_text(text.replace("smile", "solo").replace(",0.1\n", ",35\n"))
    opened, rows, thresholds, names = foreign_checks.check(folder)
    assert (opened.kept, rows.kept, thresholds.kept, names.kept) == (True, True, False, None)
    assert "got 35" in thresholds.seen
    assert "solo" in names.seen
    (folder / "selected_tags.csv").unlink()
    (failed,) = foreign_checks.check(folder)
    assert not failed.kept
    assert "no tag list" in failed.seen
