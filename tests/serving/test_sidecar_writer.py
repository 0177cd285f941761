"""A sidecar is written anew, replaced with a copy of a person's own words, or extended."""

import pytest

from Utils.command.cli import UserError
from Utils.serving.sidecar_writer import SidecarWriter
from Utils.serving.tag_selection import ScoredTag, Selection
from Utils.tags import sidecars

TXT = sidecars.KINDS["txt"]
SELECTION = Selection((), (ScoredTag(1, "blue_sky", 0, 0.9),))


def writer(replaces, appends):
    style = sidecars.Style(prefix="mine")
    return SidecarWriter(TXT, style, ["blue_sky", "sea"], ["sky"], replaces=replaces, appends=appends)


def test_a_new_sidecar_gets_its_folder(tmp_path):
    writer(False, False).write(tmp_path / "a" / "1.txt", SELECTION)
    assert (tmp_path / "a" / "1.txt").read_text() == "mine, blue_sky\n"


@pytest.mark.parametrize(("old", "num_kept"), [("mine, sea, sky\n", 0), ("sea, at home\n", 1)])
def test_replacing_keeps_words_that_are_no_tags(tmp_path, old, num_kept):
    (tmp_path / "1.txt").write_text(old)
    replacing = writer(True, False)
    replacing.write(tmp_path / "1.txt", SELECTION)
    assert (tmp_path / "1.txt").read_text() == "mine, blue_sky\n"
    assert replacing.num_kept == num_kept == len(list(tmp_path.glob("*.bak")))


def test_appending_adds_what_is_missing(tmp_path):
    (tmp_path / "1.txt").write_text("sea, blue sky\n")
    writer(False, True).write(tmp_path / "1.txt", SELECTION)
    assert (tmp_path / "1.txt").read_text() == "sea, blue sky, mine\n"


def test_names_with_the_separator_are_refused_before_any_work():
    with pytest.raises(UserError, match="separator"):
        SidecarWriter(TXT, sidecars.Style(), ["a, b"], replaces=False, appends=False)
