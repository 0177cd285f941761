"""Utils/data/danbooru_fields.py: what single fields mean, in every spelling."""

import pandas as pd
import pytest

from Utils.command.cli import UserError
from Utils.data import danbooru_fields
from Utils.data.danbooru_fields import FieldError
from Utils.tags import tag_categories


def test_statuses_and_ratings_are_read_in_every_spelling():
    bits = {"is_deleted": "t", "is_banned": False, "is_pending": "false", "is_flagged": 1, "hidden": 0}
    assert danbooru_fields.parse_status(bits) == 0b01001
    assert danbooru_fields.parse_status({"status": "banned"}) == 0b00010
    assert danbooru_fields.parse_status({"status": " Deleted"}) == 0b00001
    words = {"safe": "S", "General": "g", "q": "q", " Explicit ": "e", "unknown": "", None: "", 5: ""}
    assert {word: danbooru_fields.parse_rating(word) for word in words} == words


@pytest.mark.reliability("HTML entities in names of tags", "undone, in every source")
def test_a_plain_name_has_no_html_entities():
    names = {
        "another&#039;s_hand": "another's_hand", ":&lt;": ":<", "d&amp;d": "d&d", "d&amp;amp;d": "d&d",
        "&#x2665;": "♥", "a&#10;b": "a_b", "black&notwhite": "black&notwhite", "&_&": "&_&", "&foo;": "&foo;",
        "pok\u0065\u0301mon": "pok\u00e9mon", "\u304b\u3099&amp;": "\u304c&",
    }  # fmt: skip
    assert {name: danbooru_fields.plain_name(name) for name in names} == names


@pytest.mark.parametrize("other", ["g", "s"])
def test_safe_beside_the_other_alphabet_needs_a_map(other):
    danbooru_fields.require_one_alphabet({"S", "q", "e"}, None)
    danbooru_fields.require_one_alphabet({other, "S"}, {"safe": "general"})
    with pytest.raises(UserError, match="say what safe is"):
        danbooru_fields.require_one_alphabet({other, "S"}, {"s": "general"})


def test_truth_values_of_databases_and_exports():
    assert not any(
        map(danbooru_fields.is_true, (None, False, 0, 0.0, "", "0", "0.0", " False ", "f", "NULL", "none"))
    )
    assert all(map(danbooru_fields.is_true, (True, 1, 2.0, "1", "t", "true", "yes")))


def test_post_ids_are_whole_numbers_of_int64():
    assert [danbooru_fields.parse_post_id(value) for value in (7, "7", 7.0, 2**63 - 1)] == [
        7,
        7,
        7,
        2**63 - 1,
    ]
    for value in (-1, 2**63, 1.5, True, None, "x", float("nan"), float("inf")):
        with pytest.raises(FieldError, match="post id is"):
            danbooru_fields.parse_post_id(value)


def test_a_category_is_a_code_or_a_name_and_an_unknown_one_is_not_general():
    codes = {4: 4, "4": 4, "4.0": 4, " Character": 4, "Metadata": 5, 2: 2, "77": 77, "": 0}
    assert danbooru_fields.parse_category(None) == 0
    assert {category: danbooru_fields.parse_category(category) for category in codes} == codes
    studio = danbooru_fields.parse_category("studio")
    assert studio > 1000
    assert danbooru_fields.parse_category("Studio ") == studio != danbooru_fields.parse_category("genre")
    species = danbooru_fields.parse_category("Species")
    names = danbooru_fields.source_category_names()
    assert (names[studio], names[species]) == ("studio", "species")
    assert 77 not in names
    for wrong in (-1, 1.5, "?", [], 10**12):
        with pytest.raises(FieldError, match="neither a code nor a name"):
            danbooru_fields.parse_category(wrong)


def test_codes_are_e621s_where_one_of_its_own_categories_is_there():
    words = ["general", "meta", "character", "species", "lore", "contributor", "invalid", 77]
    frame = pd.DataFrame({"category": [danbooru_fields.parse_category(word) for word in words]})
    numbered = danbooru_fields.numbered(frame)
    assert numbered["category"].tolist() == [0, 7, 4, 5, 8, 2, 6, 77]
    names = tag_categories.names_of(numbered)
    assert [tag_categories.name_of(code, names) for code in numbered["category"]] == [
        *words[:-1],
        "category 77",
    ]
    assert tag_categories.code_of("meta", names) == 7
    danbooru = danbooru_fields.numbered(frame[:3])
    assert danbooru["category"].tolist() == [0, 5, 4]
    assert tag_categories.code_of("meta", tag_categories.names_of(danbooru)) == 5
