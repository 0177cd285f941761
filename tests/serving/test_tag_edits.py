"""Names replaced and implied tags added to what an image gets."""

import argparse
import gzip

import numpy as np
import pandas as pd
import pytest

from Utils.command.cli import UserError
from Utils.serving import tag_edits, tag_selection

NAMES = ["cat_ears", "animal_ears", "rei_(eva)", "solo"]
TAGS = pd.DataFrame({"tag_id": [1, 2, 3, 4], "name": NAMES, "category": [0, 0, 4, 0], "count": [0] * 4})
PROBABILITIES = np.array([0.9, 0.1, 0.95, 0.2], np.float32)


def selected(words, warnings=None, **options):
    parser = argparse.ArgumentParser()
    tag_edits.add_arguments(parser)
    warn = pytest.fail if warnings is None else warnings.append
    allowed = options.pop("allowed", [True] * 4)
    edits = tag_edits.from_options(parser.parse_args(words), TAGS, allowed, warn)
    selector = tag_selection.TagSelector(TAGS, np.full(4, 0.5), edits=edits)
    return [
        (tag.name, tag.tag_id, tag.category, round(tag.probability, 4))
        for tag in selector.select(PROBABILITIES).tags
    ]


def test_implied_tags_follow_and_have_the_probability_of_their_reason(tmp_path):
    pairs = tmp_path / "pairs.csv"
    pairs.write_text("cat_ears,animal ears\nrei_(eva),evangelion\n")
    warnings = []
    expected = [("rei_(eva)", 3, 4, 0.95), ("cat_ears", 1, 0, 0.9), ("animal_ears", 2, 0, 0.9)]
    result = selected(["--implications", str(pairs)], warnings)
    assert [row for row in result if row[0] != "evangelion"] == expected
    assert [row[2:] for row in result if row[0] == "evangelion"] == [(4, 0.95)]
    assert len(warnings) == 1
    hidden = selected(["--implications", str(pairs)], [], allowed=[True, False, True, True])
    assert "animal_ears" not in [row[0] for row in hidden]


def test_an_export_counts_active_rows(tmp_path):
    export = tmp_path / "tag_implications.csv"
    export.write_text("id,antecedent_name,consequent_name,status\n1,cat_ears,animal_ears,active\n"
                      "2,solo,cat_ears,deleted\n")  # fmt: skip
    assert [row[0] for row in selected(["--implications", str(export)], [])][1:] == [
        "cat_ears",
        "animal_ears",
    ]


@pytest.mark.parametrize(
    "encoded",
    [gzip.compress, lambda data: data.decode().encode("utf-16"), lambda data: b"\xef\xbb\xbf" + data],
)
def test_exports_are_read_as_select_tags_reads_them(tmp_path, encoded):
    """Under the usual name, whatever the bytes; a circle is told once, as one warning."""
    rows = "antecedent_name,consequent_name\ncat_ears,neko\nneko,cat_ears\n"
    (tmp_path / "tag_aliases.csv").write_bytes(encoded(rows.encode()))
    warnings = []
    result = selected(["--aliases", str(tmp_path / "tag_aliases.csv")], warnings)
    assert "neko" in [row[0] for row in result]
    assert len(warnings) == 1 and warnings[0].startswith("aliases run in a circle: cat_ears -> neko")


def test_names_are_replaced_once(tmp_path):
    aliases = tmp_path / "aliases.csv"
    aliases.write_text("cat_ears,nekomimi\n")
    assert [row[0] for row in selected(["--aliases", str(aliases)])] == ["rei_(eva)", "nekomimi"]
    assert [row[:2] for row in selected(["--replace", "cat ears=animal_ears"])][1] == ("animal_ears", 2)
    assert len(selected(["--replace", "cat_ears=rei_(eva)"])) == 1
    assert selected([]) == [("rei_(eva)", 3, 4, 0.95), ("cat_ears", 1, 0, 0.9)]
    chain = ["--aliases", str(aliases), "--replace", "nekomimi=ears"]
    assert [row[0] for row in selected(chain)] == ["rei_(eva)", "ears"]
    warnings = []
    assert selected(["--replace", "cat_eyes=x"], warnings) == selected([])
    assert warnings == ["--replace: the model has no tag cat_eyes; did you mean cat_ears?"]


def test_letters_of_names_are_composed():
    assert [row[0] for row in selected(["--replace", "cat_ears=cafe\u0301"])] == ["rei_(eva)", "caf\u00e9"]


@pytest.mark.parametrize("word", ["x", "=a", "a=", "cat_ears=cat_ears"])
def test_wrong_replacements_are_refused(word):
    with pytest.raises(UserError, match="--replace"):
        selected(["--replace", word])


def test_wrong_files_are_refused(tmp_path):
    with pytest.raises(UserError, match="expected at"):
        selected(["--implications", str(tmp_path / "none.csv")])
    (tmp_path / "x.csv").write_text("a,b,c\n")
    with pytest.raises(UserError, match="row 1: two names"):
        selected(["--implications", str(tmp_path / "x.csv")])
    (tmp_path / "x.csv").write_text("a,b\nb,a\n")
    with pytest.raises(UserError, match="run in a circle at a"):
        selected(["--aliases", str(tmp_path / "x.csv")])
    with pytest.raises(UserError, match="circle"):
        selected(["--aliases", str(tmp_path / "x.csv")])
