"""Categories of tags: codes, names, and the categories.json that names those of a list."""

import json

import pytest

from Utils.command.cli import UserError
from Utils.tags import tag_categories, tag_list


def test_categories_by_name_code_and_text():
    assert [tag_categories.code_of(x) for x in ("character", 4, "4", "4.0", "Rating")] == [4, 4, 4, 4, 9]
    assert [tag_categories.name_of(code) for code in (0, 1, 3, 4, 5, 9, 77)] == [
        *tag_categories.CODES,
        "category 77",
    ]
    with pytest.raises(UserError, match="character \\(4\\)"):
        tag_categories.code_of("hair")


@pytest.mark.reliability("A category code that nobody names", "kept, shown as category 7, never general")
def test_unknown_categories_keep_their_codes(tmp_path):
    (tmp_path / "x.csv").write_text("tag_id,name,category,count\n1,a,0,3\n2,b,7,2\n3,c,category 5,1\n")
    frame = tag_list.read(tmp_path / "x.csv")
    assert frame["category"].tolist() == [0, 7, 5]
    assert [row["name"] for row in tag_categories.sizes(frame)] == ["general", "category 7", "meta"]
    (tmp_path / "out").mkdir()
    tag_list.write(frame, tmp_path / "out" / "selected_tags.csv")
    assert not (tmp_path / "out" / "categories.json").exists()
    for wrong in ("hair", "-1", "1.5", "category x"):
        with pytest.raises(UserError, match="any code of 0 or more"):
            tag_categories.code_of(wrong)


def test_categories_json_names_the_categories_of_the_list_beside_it(tmp_path):
    names = [
        {"category": 5, "name": "species"},
        {"category": 7, "name": "meta"},
        {"category": 0, "name": "general"},
    ]
    (tmp_path / "categories.json").write_text(json.dumps(names))
    (tmp_path / "x.csv").write_text("tag_id,name,category,count\n1,a,0,3\n2,b,meta,2\n3,c,species,1\n")
    frame = tag_list.read(tmp_path / "x.csv")
    assert frame["category"].tolist() == [0, 7, 5]
    selected = tag_list.ordered(frame).iloc[[1, 2]].reset_index(drop=True).assign(weight=1.0)
    assert tag_categories.names_of(selected) == {5: "species", 7: "meta"}
    (tmp_path / "out").mkdir()
    tag_list.write(selected, tmp_path / "out" / "selected_tags.csv")
    again = tag_list.read(tmp_path / "out" / "selected_tags.csv")
    assert tag_categories.names_of(again) == {5: "species", 7: "meta"}
    assert tag_categories.code_of("meta", tag_categories.names_of(again)) == 7


def test_lists_of_others_spell_columns_and_categories_in_their_way(tmp_path, capsys):
    (tmp_path / "x.csv").write_text("ID,Tag,Type,Post_Count\n11,a,0,3\n12,b,8,2\n")
    rows = (
        '[{"category": "8", "name": "lore"}]',
        '[{"id": 8, "name": "Lore"}, {"name": "x", "start_index": 3}]',
    )
    for content in ('{"8": "Lore"}', *rows):
        (tmp_path / "categories.json").write_text(content)
        frame = tag_list.read(tmp_path / "x.csv", other_names=True)
        assert frame[[*tag_list.COLUMNS]].to_numpy().tolist() == [[11, "a", 0, 3], [12, "b", 8, 2]]
        assert tag_categories.names_of(frame) == {8: "lore"}
    assert capsys.readouterr().err == ""
    with pytest.raises(UserError, match="lacks the column tag_id"):
        tag_list.read(tmp_path / "x.csv")


def test_what_a_categories_json_of_another_form_has_is_said(tmp_path, capsys):
    (tmp_path / "x.csv").write_text("tag_id,name,category,count\n1,a,0,3\n")
    for content, unread in (
        ("{}", ""),
        ("[]", ""),
        ("[1, [8]]", "2 of 2 entries"),
        ('[{"category": "a", "name": 3}, {"category": 0, "name": "general"}]', "1 of 2 entries"),
        ('{"lore": 8, "a": "b", "-1": "c"}', "3 of 3 entries"),
        ("7", "1 of 1 entry"),
    ):
        (tmp_path / "categories.json").write_text(content)
        assert tag_categories.names_of(tag_list.read(tmp_path / "x.csv")) == {}
        error = capsys.readouterr().err
        assert (
            f"categories.json: {unread} not read, which name no category; the form" in error
            if unread
            else not error
        )
