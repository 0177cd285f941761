"""Records become JSON or CSV; a journal survives whatever cuts it short."""

import io
import json

import pytest

from Utils.command.cli import UserError
from Utils.files import output_files
from Utils.serving import tag_table
from Utils.serving.tag_selection import ScoredTag, Selection

RATINGS = (ScoredTag(9, "general", 9, 0.25), ScoredTag(8, "explicit", 9, 0.75))
SELECTION = Selection(RATINGS, (ScoredTag(2, "a,b", 0, 0.9999999), ScoredTag(3, "rei", 4, 0.5)))
RECORD = {
    "path": "x.png",
    "rating": "explicit",
    "ratings": {"general": 0.25, "explicit": 0.75},
    "tags": {"general": {"a,b": 1.0}, "character": {"rei": 0.5}},
}


def written(records, format_name):
    file = io.StringIO()
    tag_table.write_records(records, file, format_name)
    return file.getvalue()


def test_a_record_has_tags_by_category_and_six_digits():
    assert tag_table.record("x.png", SELECTION) == RECORD
    assert tag_table.record("y.png", Selection((), ()))["rating"] is None


def test_json_is_one_object_by_path():
    other = {**RECORD, "path": 'quote".png', "tags": {}}
    content = json.loads(written([RECORD, other], "json"))
    assert list(content) == ["x.png", 'quote".png']
    assert content["x.png"] == {key: value for key, value in RECORD.items() if key != "path"}
    assert json.loads(written([], "json")) == {}


@pytest.mark.parametrize("format_name", ["json", "csv"])
def test_only_a_table_is_taken_for_one(tmp_path, format_name):
    path, kind = tmp_path / "tags", tag_table.KINDS[format_name]
    for records in ([RECORD], []):
        path.write_text(written(records, format_name))
        output_files.require_replaceable_file(path, kind, overwrite=True)
    for other in ('{"x.png":\n1}\n', '{\n"x.png": {"tags": 1}\n}\n', "path,name\nx.png,a\n"):
        path.write_text(other)
        with pytest.raises(UserError, match="is not a table of tags"):
            output_files.require_replaceable_file(path, kind, overwrite=True)


def test_csv_has_a_row_for_the_rating_and_for_each_tag():
    assert written([RECORD, {**RECORD, "path": "y.png", "rating": None, "tags": {}}], "csv") == (
        "path,category,name,probability\n"
        "x.png,rating,explicit,0.75\n"
        'x.png,general,"a,b",1.0\n'
        "x.png,character,rei,0.5\n"
    )


def test_a_journal_continues_after_its_last_complete_line(tmp_path):
    output = tmp_path / "new" / f"{'x' * 251}.csv"  # names are no longer than 255 bytes
    with tag_table.Journal(output, {"model": 1}) as journal:
        journal.add([RECORD])
        path = journal.path
    with path.open("a") as file:
        file.write('{"path": "cut off' + "x" * (1 << 16))  # longer than a step of the search for its line
    with tag_table.Journal(output, {"model": 1}) as journal:
        assert journal.done == {"x.png"}
        journal.add([{**RECORD, "path": "y.png"}])
        assert [record["path"] for record in journal.records()] == ["x.png", "y.png"]
        journal.finish("csv")
    assert output.read_text().count("y.png") == 3
    assert list(output.parent.iterdir()) == [output]


def test_a_journal_belongs_to_one_process_and_one_choice_of_settings(tmp_path):
    output = tmp_path / "tags.json"
    with tag_table.Journal(output, {"model": 1}), pytest.raises(UserError, match="another process writes"):
        tag_table.Journal(output, {"model": 1})
    with pytest.raises(UserError, match="started with another model"):
        tag_table.Journal(output, {"model": 2})


def test_a_journal_cut_off_in_its_first_line_starts_again(tmp_path):
    (tmp_path / ".tags.json.journal").write_text('{"model"')
    with tag_table.Journal(tmp_path / "tags.json", {"model": 1}) as journal:
        assert journal.done == set()
