"""Utils/report/html_parts.py: text from outside is escaped, missing numbers are dashes."""

import math

import pytest

from Utils.report import html_parts

NASTY = '<b>"&'
ESCAPED = "&lt;b&gt;&quot;&amp;"


def test_every_part_escapes_what_it_is_given():
    parts = (
        html_parts.fact_items({NASTY: NASTY}),
        html_parts.table([NASTY], [[NASTY], [(NASTY, NASTY)]]),
        html_parts.figure(NASTY, "", NASTY),
        html_parts.card(NASTY, NASTY, [("data:x", NASTY, 7)]),
        html_parts.section("anchor", NASTY, NASTY, "body"),
    )
    for part, times in zip(parts, (2, 4, 2, 3, 2), strict=True):
        assert part.count(ESCAPED) == times
        assert NASTY not in part


@pytest.mark.parametrize(
    ("value", "text"),
    [(None, "–"), (math.nan, "–"), (0.12345, "0.1235"), (7, "7"), ("word", "word"), (0.0, "0.0000")],
)
def test_scores_have_four_digits_and_missing_ones_are_dashes(value, text):
    assert html_parts.format_value(value) == text


def test_differences_have_signs_and_intervals_both_ends():
    assert html_parts.format_signed(0.25) == "+0.2500"
    assert html_parts.format_signed(-0.25) == "-0.2500"
    assert html_parts.format_signed(math.nan) == "–"
    assert html_parts.format_interval(0.5, None, "–") == "0.5000––"
    assert html_parts.format_interval("a", "b") == "a to b"


def test_a_table_marks_names_and_puts_small_text_under_a_cell():
    table = html_parts.table(("name", "F1"), [("hat", (0.5, "0.4–0.6"))], "headline")
    assert '<table class="headline">' in table
    assert "<td class=name>hat</td><td>0.5000<small>0.4–0.6</small></td>" in table
    assert "<table>" in html_parts.table(("name",), [])


def test_missing_facts_and_images_are_left_out():
    assert html_parts.fact_items({"a": 1, "b": None}) == "<li>a <b>1</b></li>"
    assert html_parts.card("t", "n", [(None, "lost", 1), ("data:x", "there", 2)]).count("<img") == 1
    assert "shots" not in html_parts.card("t", "n", [(None, "lost", 1)])


def test_sections_are_linked_in_order_and_empty_ones_vanish():
    page = html_parts.section("one", "First", "", "x") + html_parts.section("two", "Second", "", "y")
    assert html_parts.section_links(page) == '<a href="#one">First</a><a href="#two">Second</a>'
    assert html_parts.section("three", "Third", "note", "") == ""


def test_a_page_begins_with_its_title_and_links_its_sections():
    template = "{{opening}}\np { color: red; }\n</style>{{nav}}<h1>{{title}}</h1>{{part}}"
    page = html_parts.page(template, "a <b>", {"part": '<h2 id="x">X {{nav}}</h2>'})
    assert page.startswith("<!doctype html>\n") and "<title>a &lt;b&gt;</title>" in page
    assert page.endswith('<a href="#x">X {{nav}}</a><h1>a &lt;b&gt;</h1><h2 id="x">X {{nav}}</h2>')
    assert "color-scheme" in page.partition("p { color: red; }")[0], "the style of every page comes first"
