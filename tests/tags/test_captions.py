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
        ("1girl\uff0csolo\u3001long hair", ["1girl", "solo", "long hair"], []),
        ("\u5973\u306e\u5b50\uff0c\u7b11\u3046\u3002", [], ["\u5973\u306e\u5b50\uff0c\u7b11\u3046\u3002"]),
        ("1girl\tlong hair\tsolo", ["1girl", "long hair", "solo"], []),
        ("1girl; hat (red); steins;gate; ;_;", ["1girl", "hat (red)", "steins;gate", ";_;"], []),
        ("1girl;\r\nlong hair | hat (red) | solo", ["1girl", "long hair", "hat (red)", "solo"], []),
        ("x'; DROP TABLE images; --", ["x'; DROP TABLE images; --"], []),
        ("1girl, steins; gate, a | b", ["1girl", "steins; gate", "a | b"], []),
        ("She smiles; he waves at us.", [], ["She smiles; he waves at us."]),
        ("1girl, <lora:x:0.8>, solo BREAK hat, <hypernet:y:1>", ["1girl", "solo", "hat"], []),
        (
            "1girl, solo\nNegative prompt: hat, bad hands\nSteps: 20, Sampler: Euler a",
            ["1girl", "solo"],
            ["Negative prompt: hat, bad hands Steps: 20, Sampler: Euler a"],
        ),
        ("1girl, solo\nSteps: 20, Seed: 3", ["1girl", "solo"], ["Steps: 20, Seed: 3"]),
        ("", [], []),
    ],
)
def test_tags_and_sentences_are_told_apart(text, tags, sentences):
    caption = captions.parse(text, NAMESPACES)
    assert (caption.tags, caption.sentences) == (tags, sentences)


def test_a_name_is_spelled_as_boorus_do():
    assert captions.tag_name(r" saber  \(fate\) ") == "saber_(fate)"
    assert captions.tag_name(r"\(o\)_\(o\)") == "(o)_(o)"
    assert captions.tag_name("poke\u0301mon") == "pok\u00e9mon"  # as macOS writes it


def test_brackets_of_prompts_are_told_from_those_of_names():
    for name in (
        "((smile))",
        "[smile]",
        "{smile}",
        "{a|b_c}d|ef}",
        "(saber_(fate))",
        "hat))",
        "[long_hair",
        "a}_bc",
    ):
        assert captions.has_prompt_brackets(name), name
    for name in ("saber_(fate)", "(o)_(o)", ":)", "[[ ]]", "(9)", "(a)_b_(fate)", "{}", "smile", "", "((_))"):
        assert not captions.has_prompt_brackets(name), name


@pytest.mark.parametrize(
    ("caption", "names"),
    [
        ("(smile, hat:1.2)", ["smile", "hat"]),
        ("((smile, o_o, hat:1.2)), solo", ["smile", "o_o", "hat", "solo"]),
        ("(smile, saber \\(fate\\), hat:1.2)", ["smile", "saber_(fate)", "hat"]),
        ("(smile, hat)", ["(smile", "hat)"]),
        ("(smile, hat), (bow, cat:1.3)", ["(smile", "hat)", "bow", "cat"]),
        ("(smile, hat:1.2), (bow", ["smile", "hat", "(bow"]),
        ("(smile", ["(smile"]),
    ],
)
def test_brackets_of_several_tags_go_with_their_weight_alone(caption, names):
    assert captions.tag_names(captions.parse(caption).tags) == names


def test_the_weights_of_prompts_are_no_part_of_names():
    prompt = r"(1girl:1.2), ((long hair:1.05)), (hat, red eyes:1.1), (saber \(fate\):1.2)"
    assert captions.tag_names(captions.parse(prompt).tags) == [
        "1girl", "long_hair", "hat", "red_eyes", "saber_(fate)",
    ]  # fmt: skip
    names = [":)", ";)", "(o)_(o)", "saber_(fate)", "foo_(bar:2)", "(:", "re:zero", "1:1"]
    assert list(map(captions.tag_name, names)) == names


LONG = "a photo of my_char that stands in the rain"
PLAIN = "red car on a wet street at night"


@pytest.mark.parametrize(
    ("text", "separator", "tags", "sentences"),
    [
        ("1girl solo long_hair", "blank", ["1girl", "solo", "long_hair"], []),
        ("1girl ready,_set,_go 1,000_yen", "blank", ["1girl", "ready,_set,_go", "1,000_yen"], []),
        ("a_b c d_e f g_h i j_k l m_n", "blank", ["a_b", "c", "d_e", "f", "g_h", "i", "j_k", "l", "m_n"], []),
        (f"1girl solo long_hair\n{SENTENCE}", "blank", ["1girl", "solo", "long_hair"], [SENTENCE]),
        (f"1girl long_hair\n{PLAIN}\n", "blank", ["1girl", "long_hair"], [PLAIN]),
        ("1girl solo long_hair.", "", [], ["1girl solo long_hair."]),
        ("1girl solo", "unclear", ["1girl solo"], []),
        ("long hair", "unclear", ["long hair"], []),
        (LONG, "unclear", [], [LONG]),
        (PLAIN, "", [], [PLAIN]),
        ("1girl, long_hair blue_eyes", "comma", ["1girl", "long_hair blue_eyes"], []),
        ("long_hair\nred dress_x\nsolo", "comma", ["long_hair", "red dress_x", "solo"], []),
        ("long hair\nblue eyes", "comma", ["long hair", "blue eyes"], []),
        ("long_hair", "", ["long_hair"], []),
        ("", "", [], []),
    ],
)
def test_blanks_separate_tags_where_words_have_underscores_and_no_comma(text, separator, tags, sentences):
    assert captions.parse(text) == captions.Caption(tags, sentences, separator)


@pytest.mark.parametrize(
    ("text", "splitting", "tags"),
    [
        ("1girl solo long_hair", captions.Splitting("comma"), ["1girl solo long_hair"]),
        ("1girl solo", captions.Splitting("blank"), ["1girl", "solo"]),
        (PLAIN, captions.Splitting("blank"), PLAIN.split()),
        (f"1girl solo\n{PLAIN}", captions.Splitting("blank"), ["1girl", "solo"]),
        ("A dog barks.", captions.Splitting("blank"), []),
        ("long hair, solo", captions.Splitting("blank"), ["long hair", "solo"]),
        ("1girl solo", captions.Splitting(splits_unclear=True), ["1girl", "solo"]),
        (LONG, captions.Splitting(splits_unclear=True), LONG.split()),
        (PLAIN, captions.Splitting(splits_unclear=True), []),
    ],
)
def test_a_separator_that_is_stated_or_that_of_the_others_counts(text, splitting, tags):
    assert captions.parse(text, splitting=splitting).tags == tags


def test_most_captions_of_a_set_say_what_separates_the_tags_of_the_unclear_ones():
    def counts(*texts):
        result = captions.SeparatorCounts()
        for text in texts:
            result.add(captions.parse(text))
        return result

    blank, unclear, comma = "1girl long_hair", "1girl solo", "1girl, solo"
    assert counts(blank, unclear).are_blanks
    assert not counts(blank, unclear, unclear).are_blanks
    assert not counts(unclear, unclear).are_blanks
    assert not counts(blank, unclear, comma).are_blanks
    assert counts(*[blank] * 19, unclear, comma).are_blanks
    assert counts(comma, comma).notes(("keep", "split")) == []
    assert counts(blank, blank, unclear, comma, "solo").notes(("keep", "split")) == [
        "2 of 5 captions, such as '1girl long_hair', have blanks between their tags and no comma; keep",
        "1 of 5 captions, such as '1girl solo', are several words without a comma and were not split; split",
    ]
