"""Utils/data/definition.py: definition.toml, its defaults and the mistakes in it."""

import dataclasses
import json
import pathlib

import pytest

from Utils.command.cli import UserError
from Utils.data.definition import Definition, definition_from_dict, read_definition

ROOT = pathlib.Path(__file__).resolve().parents[2]


def test_the_definition_in_the_repository_is_the_defaults():
    """Its README and the comments in the dataclass promise so."""
    read = read_definition(ROOT / "2021_0000_0899")
    assert read == Definition(name="2021_0000_0899")
    assert read == read_definition(ROOT / "2021_0000_0899" / "definition.toml")


def test_a_definition_survives_json():
    definition = definition_from_dict(
        {"name": "x", "splits": {"train": [0, 9]}, "categories": ["general", 4]}
    )
    assert definition_from_dict(json.loads(json.dumps(dataclasses.asdict(definition)))) == definition
    assert definition.categories == (0, 4)


def test_a_file_of_splits_is_looked_for_beside_the_definition(tmp_path):
    (tmp_path / "definition.toml").write_text('name = "x"\nsplit_file = "splits.csv"')
    definition = read_definition(tmp_path)
    assert definition.split_file == str(tmp_path / "splits.csv") and definition.splits == {}
    assert definition_from_dict(json.loads(json.dumps(dataclasses.asdict(definition)))) == definition


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('name = "x"\nmax_tag = 5', "unknown key 'max_tag'; did you mean max_tags"),
        ("max_tags = 5", "has no name"),
        ('name = "x"\nmax_tags = "many"', "max_tags must be a whole number"),
        ('name = "x"\nmax_tags = true', "max_tags must be a whole number"),
        ('name = "x"\nmax_tags = 0', "from 1 to"),
        ('name = "a/b"', "part of file names"),
        ('name = "x"\nmin_tag_share = 1.5', "from 0 to 1"),
        ('name = "x"\nratings = ["general"]', "may hold g, s, q, e"),
        ('name = "x"\nratings = []', "no post would be kept"),
        ('name = "x"\nratings_as_labels = 1', "true or false"),
        ('name = "x"\nratings_map = {s = "safe"}', "maps one of g s q e, or safe,"),
        ('name = "x"\nexclude_status = ["delete"]', "did you mean deleted"),
        ('name = "x"\ncategories = ["caracter"]', "did you mean character"),
        ('name = "x"\nsplits = {train = [0, 899], validation = [899, 999]}', "train ends at 899"),
        ('name = "x"\nsplits = {train = [0, 1000]}', "from 0 to 999"),
        ('name = "x"\nsplits = {train = [9, 0]}', "backwards"),
        ('name = "x"\nsplits = {train = 9}', "two ends"),
        ('name = "x"\nsplits = {valid = [0, 9]}', "did you mean validation"),
        ('name = "x"\nsplits = {train = 0.9, validation = 0.2}', "add up to 1.1; they add up to 1"),
        ('name = "x"\nsplits = {train = 0.9, validation = [1, 2]}', "share for validation"),
        ('name = "x"\nsplits = {train = 1.5}', "above 0 and at most 1"),
        ('name = "x"\nsplits = {train = 0.9, valid = 0.1}', "did you mean validation"),
        ('name = "x"\nexclude_tags = 5', "exclude_tags must be a list of tag names"),
        ('name = "x"\ninclude_tags = ["a", ""]', "include_tags must be a list of tag names"),
        ('name = "x"\nsplit_file = 5', "the path of a CSV with the columns post_id and split"),
        ('name = "x"\nsplit_file = "a.csv"\nsplits = {train = [0, 9]}', "give ranges or a file"),
        ("name = x", "is no TOML"),
    ],
)
def test_mistakes_are_named(tmp_path, text, message):
    (tmp_path / "definition.toml").write_text(text)
    with pytest.raises(UserError, match="definition.toml") as error:
        read_definition(tmp_path)
    assert message in str(error.value)


def test_a_folder_without_a_definition_is_an_error(tmp_path):
    with pytest.raises(UserError, match="found nothing"):
        read_definition(tmp_path)


def test_splits_are_shares_or_ranges():
    shares = definition_from_dict({"name": "x", "splits": {"train": 0.75, "validation": 0.25}})
    assert shares.shares == {"train": 0.75, "validation": 0.25}
    assert shares.ranges == {}
    assert definition_from_dict(json.loads(json.dumps(dataclasses.asdict(shares)))) == shares
    assert Definition("x").shares is None
    assert set(Definition("x").ranges) == {"train", "test", "validation"}
    assert definition_from_dict({"name": "x", "splits": {"train": 1}}).shares == {"train": 1.0}


def test_tags_are_listed_in_place_or_in_a_file(tmp_path):
    (tmp_path / "words.txt").write_text(
        "long hair\n\nsaber \\\\(fate\\\\)\nlong_hair\n".replace("\\\\", "\\")
    )
    (tmp_path / "tags.csv").write_text('tag_id,name,category,count\n1,"a,b",0,5\n2,1girl,0,4\n')
    (tmp_path / "definition.toml").write_text(
        'name = "x"\nexclude_tags = "words.txt"\ninclude_tags = "tags.csv"\n'
    )
    definition = read_definition(tmp_path)
    assert definition.exclude_tags == ("long_hair", "saber_(fate)")
    assert definition.include_tags == ("a,b", "1girl")
    assert Definition("x").include_tags is None
    (tmp_path / "words.txt").unlink()
    with pytest.raises(UserError, match="a list of tags"):
        read_definition(tmp_path)
    (tmp_path / "words.txt").write_bytes(b"\xff\xff")
    with pytest.raises(UserError, match="words.txt is no list of tags"):
        read_definition(tmp_path)
