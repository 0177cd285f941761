"""thresholds.csv: the nearest scope decides, spreadsheets may have saved it, wrong tables are refused."""

import numpy as np
import pandas as pd
import pytest

from Utils.command.cli import UserError
from Utils.evaluation import scores, threshold_table

HEADER = ",".join(threshold_table.COLUMNS)
TAGS = pd.DataFrame(
    {
        "tag_id": range(11, 17),
        "name": ["blonde_hair", "black_hair", "smile", "blush", "from_side", "alice"],
        "category": [0, 0, 0, 0, 0, 4],
    }
)


def test_the_nearest_scope_decides(tmp_path):
    rows = [
        threshold_table.row("tag", "black_hair", 0.5, "r", scores.Counts(1, 1, 1, 1), category=0, tag_id=12),
        threshold_table.row("category", "general", 0.3, "r", scores.Counts(0, 0, 0, 4), category=0),
        threshold_table.row("all", "all", 0.2, "r", scores.Counts(1, 1, 1, 1)),
        threshold_table.row("tag", "smile", 0.6, "r", scores.Counts(1, 1, 1, 1), category=0, tag_id=999),
    ]
    threshold_table.write(tmp_path / "t.csv", rows)
    frame = threshold_table.read(tmp_path / "t.csv")
    pd.testing.assert_frame_equal(threshold_table.table(rows), frame)
    assert threshold_table.per_tag(frame, TAGS).tolist() == [0.3, 0.5, 0.6, 0.3, 0.3, 0.2]
    assert frame["precision"].tolist() == ["0.5", "", "0.5", "0.5"]
    assert threshold_table.per_tag(frame[:1], TAGS)[[1]].tolist() == [0.5]
    assert np.isnan(threshold_table.per_tag(frame[:1], TAGS)[0])


def test_letters_of_names_are_composed(tmp_path):
    (tmp_path / "t.csv").write_text("scope,category,tag_id,name,threshold\ntag,,,cafe\u0301,0.4\n")
    tags = TAGS.assign(name=["caf\u00e9", *TAGS["name"][1:]])
    assert threshold_table.per_tag(threshold_table.read(tmp_path / "t.csv"), tags)[0] == 0.4


def test_names_may_be_spelled_with_spaces(tmp_path):
    rows = "tag,,,Black Hair,0.4\ntag,,,black_hair,0.5\ntag,,,from side,0.6\n"
    (tmp_path / "t.csv").write_text(f"scope,category,tag_id,name,threshold\n{rows}")
    found = threshold_table.per_tag(threshold_table.read(tmp_path / "t.csv"), TAGS)
    assert found[[1, 4]].tolist() == [0.5, 0.6] and np.isnan(found[[0, 2, 3, 5]]).all()


def test_numbers_may_have_passed_through_a_spreadsheet(tmp_path):
    (tmp_path / "t.csv").write_bytes(
        b"\xef\xbb\xbfscope,category,tag_id,name,threshold\ncategory,4.0,,,0.4\ntag,0.0,12.0,renamed,0.5\n"
    )
    cutoffs = threshold_table.per_tag(threshold_table.read(tmp_path / "t.csv"), TAGS)
    assert cutoffs[[1, 5]].tolist() == [0.5, 0.4]
    assert np.isnan(cutoffs[[0, 2, 3, 4]]).all()


@pytest.mark.reliability("thresholds of tags whose ids are another booru's", "said, and matched by name")
def test_ids_of_another_booru_give_no_thresholds(capsys):
    names = ["smile", "blush", "from_side", "alice", "tree", "blonde_hair"]  # of the ids of TAGS
    rows = [
        threshold_table.row("tag", name, place / 10, "r", scores.Counts(1, 1, 1, 1), tag_id=11 + place)
        for place, name in enumerate(names)
    ]
    cutoffs = threshold_table.per_tag(threshold_table.table(rows), TAGS)
    assert np.array_equal(cutoffs, [0.5, np.nan, 0.0, 0.1, 0.2, 0.3], equal_nan=True)
    assert "6 of 6 tag ids that both lists have name other tags" in capsys.readouterr().err


def test_rows_of_people_have_names_without_codes_and_ids(tmp_path):
    text = "scope,category,tag_id,name,threshold\nall,,,,0.1\ntag,,,smile,0.5\n"
    for row in ("category,character,,,0.4", "category,,,Character,0.4", "category,4,,,0.4"):
        (tmp_path / "t.csv").write_text(f"{text}{row}\ncategory,unheard of,,,0.9\n")
        cutoffs = threshold_table.per_tag(threshold_table.read(tmp_path / "t.csv"), TAGS)
        assert cutoffs.tolist() == [0.1, 0.1, 0.5, 0.1, 0.1, 0.4]


BAD_TABLES = {
    "lacks the column threshold": "scope,category,tag_id,name\nall,,,all\n",
    "a scope is": HEADER + "\nimage,,,all,0.3,r,,,,1\n",
    "line 3": HEADER + "\nall,,,all,0.3,r,,,,1\nall,,,all,high,r,,,,1\n",
}


@pytest.mark.parametrize("said", BAD_TABLES)
def test_wrong_tables_are_refused(tmp_path, said):
    (tmp_path / "t.csv").write_text(BAD_TABLES[said])
    with pytest.raises(UserError, match=said):
        threshold_table.read(tmp_path / "t.csv")


def test_a_group_holds_for_its_tags_and_numbers_survive_the_file(tmp_path):
    counts, threshold = scores.Counts(1, 2, 3, 4), np.float32(0.1)
    rows = [
        threshold_table.row("group", "hair", threshold, "r", counts),
        threshold_table.row("group", "black_hair", threshold, "r", counts, category=0, tag_id=12),
    ]
    threshold_table.write(tmp_path / "t.csv", rows)
    assert (tmp_path / "t.csv").read_text().splitlines()[0] == HEADER
    cutoffs = threshold_table.per_tag(threshold_table.read(tmp_path / "t.csv"), TAGS)
    assert np.flatnonzero(~np.isnan(cutoffs)).tolist() == [1]
    assert cutoffs[1].astype(np.float32) == threshold


def test_a_cell_that_is_no_number_is_refused_and_an_empty_one_is_not():
    column = pd.Series(["0.3", "", " NaN ", None], name="best_threshold")
    assert np.array_equal(
        threshold_table.numbers_of("x.csv", column), [0.3, np.nan, np.nan, np.nan], equal_nan=True
    )
    for text in ("0,35", "35%", "35"):
        with pytest.raises(UserError, match=r"x\.csv, line 3: best_threshold .*got '?35|0,35"):
            threshold_table.numbers_of("x.csv", pd.Series(["0.3", text], name="best_threshold"))


@pytest.mark.reliability(
    "thresholds in percent, in thresholds.csv or best_threshold", "refused with file, line and value"
)
def test_a_threshold_outside_0_to_1_is_refused(tmp_path):
    path = tmp_path / "thresholds.csv"
    path.write_text("scope,category,tag_id,name,threshold\nall,,,all,0.35\ntag,0,1,solo,35\n")
    with pytest.raises(UserError, match=r"thresholds\.csv, line 3: threshold lies between 0 and 1; got 35"):
        threshold_table.read(path)
    # Below 0 by one float: every image gets the tag.
    least = np.nextafter(np.float16(0), np.float16(-1))
    threshold_table.require_range(path, "threshold", [least, 0, 1, np.nan])


def test_two_thresholds_for_the_same_are_refused(tmp_path):
    path = tmp_path / "thresholds.csv"
    lines = ["scope,category,tag_id,name,threshold", "all,,,all,0.35", "tag,0,1,solo,0.1", "tag,4,2,solo,0.2"]
    path.write_text("\n".join([*lines, "tag,0,1,solo,0.1\n"]))  # the same again is no question
    assert len(threshold_table.read(path)) == 4
    path.write_text("\n".join([*lines, "tag,0,1.0,solo,0.99\n"]))
    message = r"thresholds\.csv, line 5: tag 0 1 solo has the threshold 0\.1 further up, and 0\.99 here"
    with pytest.raises(UserError, match=message):
        threshold_table.read(path)
