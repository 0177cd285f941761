"""A browser and a review that is served, for the tests of the review page."""

import pytest
from helpers.browser import launched, strict_page
from helpers.review_pages import serving
from helpers.reviewed import make


@pytest.fixture(scope="module")
def browser():
    with launched("the review page") as opened:
        yield opened


@pytest.fixture
def page(browser):
    with strict_page(browser) as opened:
        yield opened


@pytest.fixture
def server(tmp_path):
    """The same in a thread of this process."""
    with serving(tmp_path, make(tmp_path)) as reviewed:
        yield reviewed
