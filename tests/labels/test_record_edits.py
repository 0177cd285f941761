"""Utils/labels/record_edits.py: every form of a booru's tags, edited where the tag is and nowhere else."""

import copy

import pytest

from Utils.data.sources import danbooru_post
from Utils.labels import record_edits

RECORDS = {
    "Danbooru": {"id": 7, "tag_string": "hat solo rem", "tag_string_general": "hat solo",
                 "tag_string_character": "rem", "tag_count": 3, "tag_count_general": 2, "score": 5},
    "gallery-dl": {"id": 7, "tags_general": ["hat", "solo"], "tags_character": ["rem"],
                   "tags": "hat solo rem"},
    "gwern": {"id": "7", "tags": [{"id": "1", "name": "hat", "category": "0"},
                                  {"id": "2", "name": "solo", "category": "0"},
                                  {"id": "3", "name": "rem", "category": "4"}]},
    "e621": {"id": 7, "tags": {"general": ["hat", "solo"], "character": ["rem"], "species": []}},
    "names": {"id": 7, "tags": ["hat", "solo", "rem"]},
    "caption": {"id": 7, "tags": "hat, solo, rem"},
    "Hugging Face": {"file_name": "7.jpg", "text": "hat, solo, rem"},
    "words": {"id": 7, "tag_string": "hat solo rem", "rating": "s"},
    "namespaces": {"id": 7, "tags": ["hat", "solo", "character:rem", "rating:s"]},
    "list as a text": {"id": 7, "tags": "['hat', 'solo', 'character:rem']"},
    "words with namespaces": {"id": 7, "tags": "hat general:solo character:rem"},
}  # fmt: skip


def parsed(record):
    tags = danbooru_post.parse_post(record).tags
    return {name: category for names, category, _ in tags for name in names}


@pytest.mark.parametrize("kind", RECORDS)
def test_the_reader_of_sources_sees_what_was_decided(kind):
    record = copy.deepcopy(RECORDS[kind])
    before = parsed(record)
    edited = record_edits.edit(record, {"long_hair": None}, {"solo", "absent"})
    assert parsed(edited) == {name: before[name] for name in before if name != "solo"} | {"long_hair": 0}
    assert record == RECORDS[kind]  # the old one stays
    assert list(edited) == list(record)
    assert record_edits.edit(edited, {"long_hair": None}, {"solo"}) == edited
    assert record_edits.edit(record, {"hat": None}, {"absent"}) == record


def test_every_field_with_the_tag_loses_it_and_counts_follow():
    edited = record_edits.edit(RECORDS["Danbooru"], {}, {"rem"})
    assert edited["tag_string"] == "hat solo"
    assert edited["tag_string_character"] == ""
    assert (edited["tag_count"], edited["tag_count_general"], edited["score"]) == (2, 2, 5)
    assert record_edits.edit(RECORDS["gallery-dl"], {}, {"hat"})["tags"] == "solo rem"


@pytest.mark.parametrize("kind", ["Danbooru", "gallery-dl", "e621"])
def test_a_tag_goes_to_the_category_that_others_have_it_in(kind):
    place = record_edits.fields_of(RECORDS[kind])["rem"]
    other = record_edits.edit(RECORDS[kind], {}, {"rem"})
    assert parsed(record_edits.edit(other, {"rem": place}, ()))["rem"] == 4


def test_entities_and_spaces_are_other_spellings():
    record = {"id": 1, "tag_string": "another&#039;s_hand :&lt;"}
    assert record_edits.edit(record, {}, {":<"})["tag_string"] == "another&#039;s_hand"
    record = {"id": 1, "tags": ["long hair", "hat"]}
    assert record_edits.edit(record, {"red_eyes": None}, {"long_hair"})["tags"] == ["hat", "red eyes"]


def test_probabilities_are_no_tags_and_end_nothing():
    assert record_edits.fields_of({"id": 1, "tags": {"hat": 0.9, "general": {"solo": 0.8}}}) == {}
