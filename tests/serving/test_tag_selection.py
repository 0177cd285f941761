"""Tags are selected above their thresholds; releases, tables and flags say which thresholds those are."""

import argparse

import numpy as np
import pandas as pd
import pytest

from Utils.command.cli import UserError
from Utils.serving import tag_selection

NAMES = ["general", "explicit", "long_hair", "^_^", "solo", "rei_(eva)", "eva", "someone"]
CODES = [9, 9, 0, 0, 0, 4, 3, 1]
TAGS = pd.DataFrame({"tag_id": range(10, 18), "name": NAMES, "category": CODES, "count": [0] * 8})
PROBABILITIES = np.array([0.2, 0.7, 0.9, 0.4, 0.35, 0.86, 0.5, 0.1], np.float32)


def selector(tags=TAGS, **options):
    return tag_selection.TagSelector(tags, tag_selection.default_thresholds(tags), **options)


def names(selection):
    return [tag.name for tag in selection.tags]


def test_a_tag_is_selected_above_its_threshold_and_a_rating_by_its_rank():
    selection = selector().select(PROBABILITIES)
    assert names(selection) == ["long_hair", "rei_(eva)", "eva", "^_^"]  # solo is at its threshold, not above
    assert selection.rating.name == "explicit"
    assert [tag.name for tag in selection.ratings] == ["general", "explicit"]
    assert selection.tags[1] == tag_selection.ScoredTag(15, "rei_(eva)", 4, float(PROBABILITIES[5]))


def test_thresholds_compare_in_the_dtype_of_the_probabilities():
    """0.1 as float32 is greater than 0.1: stored so, it is at the threshold 0.1 and not above."""
    tags = TAGS.iloc[2:3]
    tenth = tag_selection.TagSelector(tags, np.array([0.1]))
    assert names(tenth.select(np.array([0.1], np.float32))) == []
    assert names(tenth.select(np.nextafter(np.array([0.1], np.float32), 1, dtype=np.float32))) == [
        "long_hair"
    ]


def test_equal_probabilities_keep_the_order_of_the_list_and_max_tags_takes_the_likeliest():
    first_three = selector(max_tags=3)
    assert names(first_three.select(np.full(8, 0.9, np.float32))) == ["long_hair", "^_^", "solo"]
    assert names(selector(max_tags=1).select(np.full(8, 0.9, np.float32))) == ["long_hair"]
    with pytest.raises(UserError, match="1 or more"):
        selector(max_tags=0)


def test_mcut_cuts_where_the_gap_is_largest():
    assert tag_selection.mcut_threshold(np.array([0.1, 0.9, 0.8])) == pytest.approx(0.45)
    assert tag_selection.mcut_threshold(np.array([0.9])) == 1
    selection = selector(mcut=True).select(PROBABILITIES)  # general: 0.9 | 0.4 0.35
    assert names(selection) == ["long_hair"]
    low = tag_selection.TagSelector(TAGS.iloc[[5, 5]], np.zeros(2), mcut=True)
    assert names(low.select(np.array([0.12, 0.01], np.float32))) == []  # the floor of characters
    assert names(low.select(np.array([0.16, 0.01], np.float32))) == ["rei_(eva)"]


class Tagger:
    published = None

    def __init__(self, folder, tags=TAGS):
        self.folder, self.tags = folder, tags


def selector_of(words, tagger, warn=pytest.fail):
    parser = argparse.ArgumentParser()
    tag_selection.add_arguments(parser)
    return tag_selection.selector_from_options(parser.parse_args(words), tagger, warn)


TABLE = "scope,category,tag_id,name,threshold\nall,,,,0.2\ncategory,4,,,0.9\ntag,0,14,solo,0.6\n"


def test_a_release_has_its_thresholds_and_flags_override_them(tmp_path):
    release_selector, source = selector_of([], Tagger(tmp_path))
    assert release_selector.thresholds.tolist() == [0.35] * 5 + [0.85, 0.35, 0.35]
    assert source == "0.35, characters 0.85"
    best = TAGS.assign(best_threshold=[np.nan, np.nan, 0.1, 0.2, 0.3, 0.4, np.nan, 0.5])
    release_selector, source = selector_of([], Tagger(tmp_path, best))
    assert release_selector.thresholds.tolist() == [0.35, 0.35, 0.1, 0.2, 0.3, 0.4, 0.35, 0.5]
    assert source == "the column best_threshold"
    (tmp_path / "extra").mkdir()
    (tmp_path / "extra" / "thresholds.csv").write_text(TABLE)
    release_selector, source = selector_of([], Tagger(tmp_path, best))
    assert release_selector.thresholds.tolist() == [0.2] * 4 + [0.6, 0.9, 0.2, 0.2]
    assert source.endswith("thresholds.csv")
    other = tmp_path / "other.csv"
    other.write_text(TABLE.replace("0.6", "0.7"))
    assert selector_of(["--thresholds", str(other)], Tagger(tmp_path))[0].thresholds[4] == 0.7
    other.write_text("scope,category,tag_id,name,threshold\ncategory,4,,,0.9\ntag,0,14,solo,0.6\n")
    said = []
    assert selector_of(["--thresholds", str(other)], Tagger(tmp_path), said.append)[0].thresholds[4] == 0.6
    assert len(said) == 1
    assert "has no threshold for 4 of 8 tags, which get 0.35, characters 0.85: long_hair" in said[0]
    assert set(selector_of(["--threshold", "0.4"], Tagger(tmp_path))[0].thresholds) == {0.4}
    both = selector_of(["--threshold", "0.4", "--character-threshold", "0.8"], Tagger(tmp_path))[0]
    assert both.thresholds.tolist() == [0.4] * 5 + [0.8, 0.4, 0.4]
    only = selector_of(["--character-threshold", "0.8"], Tagger(tmp_path))[0]
    assert only.thresholds.tolist() == [0.2] * 4 + [0.6, 0.8, 0.2, 0.2]


def test_only_exclude_and_categories(tmp_path):
    listed = tmp_path / "tags.txt"
    listed.write_text("long hair\n^_^, solo\n", encoding="utf-8")
    warnings = []
    for words, expected in (
        (["--exclude", "long_hair", "solo"], ["rei_(eva)", "eva", "^_^"]),
        (["--exclude", "Long hair,long hair"], ["rei_(eva)", "eva", "^_^"]),
        (["--only", f"@{listed}", "--threshold", "0.3"], ["long_hair", "^_^", "solo"]),
        (["--categories", "general", "4"], ["long_hair", "rei_(eva)", "^_^"]),
    ):
        some_tags, _ = selector_of(words, Tagger(tmp_path), warnings.append)
        assert names(some_tags.select(PROBABILITIES)) == expected
    assert warnings == ["--exclude: the model has no tag Long_hair; did you mean long_hair?"]
    many = [f"unknown_{number}" for number in range(7)]
    selector_of(["--exclude", *many], Tagger(tmp_path), warnings.append)
    assert warnings[-1] == f"--exclude: the model has no tag {', '.join(many[:5])} and 2 more"


def test_letters_of_names_are_composed():
    tags = pd.DataFrame({"tag_id": [1, 2], "name": ["caf\u00e9", "hat"], "category": [0, 0], "count": [0, 0]})
    assert tag_selection._named_tags(tags, ["cafe\u0301"], "--only", pytest.fail).tolist() == [True, False]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--threshold", "1.2"], "between 0 and 1"),
        (["--character-threshold", "nan"], "between 0 and 1"),
        (["--mcut", "--threshold", "0.3"], "without thresholds"),
        (["--only", "nothing_known"], "leave no tag"),
        (["--only", "explicit"], "leave no tag"),
        (["--categories", "people"], "unknown category"),
        (["--exclude", "@nowhere.txt"], "no list of tags"),
        (["--thresholds", "nowhere.csv"], "expected at nowhere.csv"),
        (["--max-tags", "0"], "1 or more"),
    ],
)
def test_options_that_fit_nothing_are_refused(tmp_path, words, message):
    with pytest.raises(UserError, match=message):
        selector_of(words, Tagger(tmp_path), lambda text: None)
