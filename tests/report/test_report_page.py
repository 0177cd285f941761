"""Utils/report/report_page.py: one file whatever tags are named, and its numbers are those of the report."""

import html
import html.parser
import json
import re

import helpers
import numpy as np
import pytest
from helpers.reported import NAMES, write_black_dump, write_dump

from Utils.evaluation import leakage, predictions
from Utils.report import report, report_page


class Page(html.parser.HTMLParser):
    """Collects tags, and the text of cells."""

    def __init__(self, text):
        super().__init__()
        self.text, self.elements, self.cells = text, [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag == "td":
            self.cells.append("")

    def handle_data(self, data):
        if self.cells:
            self.cells[-1] += data

    def data(self, name):
        """The list that the page's script calls ``name``."""
        return json.loads(re.search(rf"{name} = (\[.*?\])(?:, [A-Z]+ =|;)", self.text)[1])


@pytest.fixture(scope="module")
def computed(tmp_path_factory):
    dump = predictions.load(write_dump(tmp_path_factory.mktemp("page") / "dump"))
    return report.compute(dump, lambda ids: {number: helpers.jpeg(number, 24) for number in ids[:-1]})


@pytest.fixture(scope="module")
def page(computed):
    return Page(report_page.render(computed))


def test_the_page_is_one_file(page):
    assert not re.search(r"https?:|src=(?!\"data:)|@import|url\(", page.text), "nothing is fetched"
    assert ("meta", {"name": "viewport", "content": "width=device-width, initial-scale=1"}) in page.elements
    assert sum(tag == "svg" for tag, _ in page.elements) == 4


def test_names_of_tags_and_runs_stay_text(page):
    assert page.text.count("<script") == page.text.count("</script") == 1
    assert not any(tag == "b" for tag, _ in page.elements[page.elements.index(("script", {})) :])
    assert "<title>a &lt;run&gt;: F1 0." in page.text
    assert "on 60 images</title>" in page.text
    assert [row[0] for row in page.data("ROWS")] == NAMES
    assert "{{" not in page.text.replace(html.escape(NAMES[4]), "").replace(json.dumps(NAMES[4]), "")


def test_the_headline_shows_model_and_frequencies(page, computed):
    for row in computed.headline:
        for side in ("model", "frequencies"):
            ends = "–".join(f"{row[side][name]:.4f}" for name in ("F1_low", "F1_high"))
            assert f"{row[side]['F1']:.4f}{ends}" in page.cells


def test_the_table_of_tags_is_that_of_the_report(page, computed):
    assert page.data("HEAD") == list(computed.columns)
    for shown, row in zip(page.data("ROWS"), computed.rows(), strict=True):
        assert shown == [round(value, 4) if isinstance(value, float) else value for value in row]


def test_worst_and_confused_tags_have_cards_with_images(page, computed):
    for pair in computed.confused:
        title = html.escape(f"{pair.predicted} for {pair.true}")
        assert f"<h3>{title}</h3>" in page.text
        assert f"on {pair.images} images; by chance {pair.expected:.1f}" in page.text
    shots = [shot for part in (*computed.worst, *computed.confused) for shot in part.shots]
    images = [attributes for tag, attributes in page.elements if tag == "img" and "src" in attributes]
    addresses = [attributes["src"] for attributes in images]
    assert [int(attributes["data-post"]) for attributes in images] == [
        shot.post_id for shot in shots if shot.address is not None
    ]
    assert addresses == [shot.address for shot in shots if shot.address is not None]
    assert len(addresses) < len(shots)
    assert "not found." in page.text


def test_every_section_is_linked_and_what_was_not_computed_has_none(page):
    anchors = re.findall(r'<h2 id="([\w-]+)"', page.text)
    assert re.findall(r'<a href="#([\w-]+)"', page.text) == anchors
    assert {"lowest", "all-tags"} <= set(anchors)
    assert not {"leaks", "padding"} & set(anchors)


def test_paddings_have_a_section_with_a_verdict(tmp_path):
    dump = write_dump(tmp_path / "dump")
    black, _ = write_black_dump(dump)
    computed = report.compute(predictions.load(dump), lambda ids: {}, predictions.load(black))
    page = Page(report_page.render(computed))
    all_tags = computed.paddings[0]
    verdict = "black is better" if all_tags.difference.value > 0 else "white is better"
    verdict = verdict if all_tags.difference.distinguishable else "not distinguishable"
    at = page.cells.index(f"all{verdict}")
    _, white, *_, black, _, _, difference, low, high = computed.padding_rows()[0]
    for cell, value in zip(page.cells[at + 1 : at + 3], (white, black), strict=True):
        assert cell.startswith(f"{value:.4f}")
    assert page.cells[at + 3] == f"{difference:+.4f}{low:+.4f} to {high:+.4f}"
    assert "Tags that change most" in page.text
    assert "<img" not in page.text


@pytest.mark.parametrize(("interval", "doubtful"), [((0.01, 0.03), False), ((-0.01, 0.03), True)])
def test_inflation_that_may_be_nothing_says_so(interval, doubtful):
    leaks = leakage.Leakage({}, {}, {}, 0.02, interval)
    text = report_page.inflation_text(leaks)
    assert text.startswith(f"+0.0200 (95%: {interval[0]:+.4f} to +0.0300)")
    assert text.endswith(", not distinguishable from none") == doubtful


def test_leaks_have_a_section(computed, tmp_path):
    dump = predictions.load(write_dump(tmp_path / "dump"))
    is_leaked = np.arange(60) < 10
    page = Page(report_page.render(report.compute(dump, lambda ids: {}, is_leaked=is_leaked)))
    at = page.cells.index("without near-duplicates of training images")
    assert page.cells[at + 1] == "50"
    assert "Leaks</a>" in page.text
