"""Utils/tags/captions.py: tags and sentences of captions."""

import pytest

from Utils.tags import captions

NAMESPACES = ("series", "rating")
SENTENCE = "A girl with blue hair stands in front of a wall, smiling at the viewer."


@pytest.mark.parametrize(
    ("text", "tags", "sentences"),
    [
        ("1girl, solo, smile", ["1girl", "solo", "smile"], []),
        ("1girl, solo,\n", ["1girl", "solo"], []),
        (f"1girl, solo, smile\n{SENTENCE}\n", ["1girl", "solo", "smile"], [SENTENCE]),
        (f"{SENTENCE}\n1girl, solo, smile", ["1girl", "solo", "smile"], [SENTENCE]),
        (SENTENCE, [], [SENTENCE]),
        ("1girl, solo, She smiles, and waves.", ["1girl", "solo"], ["She smiles, and waves."]),
        ("1girl, solo.", ["1girl"], ["solo."]),
        ("1girl, a cat that sleeps on a red mat, hat", ["1girl", "hat"], ["a cat that sleeps on a red mat"]),
        ("A girl stands in Tokyo, Japan.", [], ["A girl stands in Tokyo, Japan."]),
        ("1girl\nlong hair\nsolo\n", ["1girl", "long hair", "solo"], []),
        ("series:ready, set, go\nsolo\n", ["series:ready, set, go", "solo"], []),
        ("series:a b c d e f g h, solo", ["series:a b c d e f g h", "solo"], []),
        ("a, b\nc", ["a", "b", "c"], []),
        ("a\nb\nc\nd, e\nf", ["a", "b", "c", "d, e", "f"], []),
        ("..., s.t.a.l.k.e.r., :d", ["...", "s.t.a.l.k.e.r.", ":d"], []),
        ("style of x ||| 1girl, solo", ["style of x", "1girl", "solo"], []),
        ("\u5973\u306e\u5b50\u304c\u7b11\u3046\u3002", [], ["\u5973\u306e\u5b50\u304c\u7b11\u3046\u3002"]),
        (",, \n ,", [], []),
        ("", [], []),
    ],
)
def test_tags_and_sentences_are_told_apart(text, tags, sentences):
    assert captions.parse(text, NAMESPACES) == captions.Caption(tags, sentences)


def test_a_name_is_spelled_as_boorus_do():
    assert captions.tag_name(r" saber  \(fate\) ") == "saber_(fate)"
    assert captions.tag_name(r"\(o\)_\(o\)") == "(o)_(o)"
