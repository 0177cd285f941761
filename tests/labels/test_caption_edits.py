"""Utils/labels/caption_edits.py: tags come and go, everything else in a caption stays as it was written."""

import random

import pytest

from Utils.labels import caption_edits
from Utils.tags import captions

NAMESPACES = ("character", "series", "creator")


def edit(text, add=(), remove=(), **options):
    return caption_edits.edit(text, dict.fromkeys(add), remove, NAMESPACES, **options)


@pytest.mark.parametrize(
    ("text", "add", "remove", "result"),
    [
        ("1girl, long hair, hat\n", ["red_eyes"], [], "1girl, long hair, hat, red eyes\n"),
        ("1girl,long_hair,hat", ["red_eyes"], ["hat"], "1girl,long_hair,red_eyes"),
        ("1girl; long hair; hat", ["red_eyes"], ["1girl"], "long hair, hat, red eyes"),
        ("1girl; long hair | hat", ["hat"], ["red_eyes"], "1girl; long hair | hat"),
        ("1girl, long hair, hat", [], ["1girl"], "long hair, hat"),
        ("1girl, long hair, hat", [], ["long_hair"], "1girl, hat"),
        ("1girl, long hair, hat", [], ["1girl", "long_hair", "hat"], ""),
        ("hat", [], ["hat"], ""),
        ("", ["red_eyes"], [], "red_eyes"),
        ("\n", ["hat"], [], "hat\n"),
        ("solo, saber \\(fate\\)", ["rin_(fate)"], ["saber_(fate)"], "solo, rin_(fate)"),
        ("solo, saber \\(fate\\)", ["rin_(fate)"], [], "solo, saber \\(fate\\), rin \\(fate\\)"),
        ("a\nb c\nd\n", ["red_eyes"], ["d"], "a\nb c\nred eyes\n"),
        ("a\r\nb\r\nd\r\n", ["e"], ["a"], "b\r\nd\r\ne\r\n"),
        ("series:re zero\ncharacter:rem\nhat\n", ["solo"], ["rem"], "series:re zero\nhat\nsolo\n"),
        ("solo\n", ["hat"], [], "solo\nhat\n"),
        ("hat, red hat, hat band", [], ["hat"], "red hat, hat band"),
        ("hat, solo, hat", [], ["hat"], "solo"),
        ("poke\u0301mon, solo", ["hat"], ["pok\u00e9mon"], "solo, hat"),
        ("1girl, hat\nA girl wears a hat, and it suits her.\n", ["solo"], ["hat"],
         "1girl, solo\nA girl wears a hat, and it suits her.\n"),
        ("A girl with blue hair stands in front of a wall.", ["solo"], [],
         "solo, A girl with blue hair stands in front of a wall."),
        ("mine ||| 1girl, solo", ["hat"], ["1girl"], "mine ||| solo, hat"),
        ("1girl, :d, ^_^", ["long_hair"], [], "1girl, :d, ^_^, long_hair"),
        ("1girl\uff0csolo\uff0chat", ["red_eyes"], ["solo"], "1girl\uff0chat\uff0cred_eyes"),
        ("1girl\tsolo\tred hat", ["red_eyes"], ["1girl"], "solo\tred hat\tred eyes"),
        ("(1girl:1.2), solo <lora:x:1>, hat BREAK rem", ["cat"], ["solo", "1girl", "hat"],
         " <lora:x:1> BREAK rem, cat"),
        ("1girl, hat\nNegative prompt: cat\nSteps: 20, Seed: 3", ["cat"], ["hat"],
         "1girl, cat\nNegative prompt: cat\nSteps: 20, Seed: 3"),
        ("['1girl', 'red hat']", ["red_eyes"], ["1girl"], "['red hat', 'red eyes']"),
        ('["1girl", "character:rem"]', [], ["rem"], '["1girl"]'),
    ],
)  # fmt: skip
def test_only_what_was_decided_changes(text, add, remove, result):
    one_a_line = text == "solo\n"
    assert edit(text, add, remove, one_a_line=one_a_line) == result
    assert edit(result, add, remove, one_a_line=one_a_line) == result  # twice is once


@pytest.mark.parametrize(
    ("text", "add", "remove", "result"),
    [
        ("1girl solo long_hair\n", ["red_eyes"], [], "1girl solo long_hair red_eyes\n"),
        ("1girl solo long_hair", [], ["1girl"], "solo long_hair"),
        ("1girl solo long_hair", ["hat"], ["long_hair"], "1girl solo hat"),
        ("long_hair solo", [], ["solo", "long_hair"], ""),
        ("A hat.\nhat long_hair solo\n", ["rem"], ["hat"], "A hat.\nlong_hair solo rem\n"),
        ("character:rem hat red_hat", [], ["rem"], "hat red_hat"),
    ],
)
def test_tags_between_blanks_stay_between_blanks(text, add, remove, result):
    assert edit(text, add, remove) == result
    assert edit(text, add, remove, splitting=captions.Splitting("blank")) == result


def test_a_spelling_of_other_captions_comes_first():
    text = caption_edits.edit("hat\nsolo", {"rem": "character:rem"}, (), NAMESPACES)
    assert text == "hat\nsolo\ncharacter:rem"
    assert caption_edits.words(text, NAMESPACES) == {"hat": "hat", "solo": "solo", "rem": "character:rem"}


def test_any_edit_changes_exactly_the_tags_named():
    """Random captions of five styles: the others keep their place, and an edit and its opposite is none."""
    draw = random.Random(0)
    names = ["hat", "red_hat", "1girl", "saber_(fate)", ":d", "long_hair", "hair", "a", "re:zero", "^_^"]
    for _ in range(300):
        tags = draw.sample(names, draw.randint(0, 6))
        separator = draw.choice([", ", ",", "\n", "\r\n", " , "])
        written = [tag.replace("_", " ") if tag != "^_^" and draw.random() < 0.5 else tag for tag in tags]
        text = separator.join(written) + draw.choice(["", "\n"])
        add, remove = draw.sample(names, 2), draw.sample(names, 2)
        add = [name for name in add if name not in remove]
        after = edit(text, add, remove, one_a_line="\n" in separator)
        kept = [tag for tag in tags if tag not in remove]
        assert list(caption_edits.words(after))[::-1] == kept + [name for name in add if name not in tags]


def test_tags_in_brackets_are_removed_by_the_names_that_a_source_has():
    assert caption_edits.edit("(smile, hat:1.2), solo", {}, {"smile"}) == "hat:1.2), solo"
    assert caption_edits.edit("(smile, hat), solo", {}, {"smile"}) == "(smile, hat), solo"
    assert caption_edits.edit("(smile, hat), solo", {}, {"(smile"}) == "hat), solo"
