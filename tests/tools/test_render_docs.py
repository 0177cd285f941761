"""tools/render_docs.py: pages made from the code say what the code says now."""

import pathlib

import pytest

from tools import render_docs
from Utils.data import danbooru_fields, sources
from Utils.data.sources import danbooru_post

ROOT = pathlib.Path(__file__).resolve().parents[2]
MARKED = """import pytest

@pytest.mark.slow
@pytest.mark.reliability("a | b", "refused")
def test_it():
    pass

def test_other():
    pass
"""


def test_a_marked_test_is_a_row(tmp_path):
    (tmp_path / "tests" / "files").mkdir(parents=True)
    (tmp_path / "tests" / "files" / "test_x.py").write_text(MARKED)
    page = render_docs.reliability(tmp_path / "tests")
    assert page == (
        render_docs.RELIABILITY + "| files | a \\| b | refused | `tests/files/test_x.py::test_it` (slow) |\n"
    )


@pytest.mark.parametrize("name", ["reliability.md", "data.md"])
def test_the_pages_are_those_of_the_code(tmp_path, name):
    assert render_docs.main([str(tmp_path)]) == 0
    page = (ROOT / "docs" / name).read_text(encoding="utf-8")
    assert page == (tmp_path / name).read_text(encoding="utf-8"), "run tools/render_docs.py"


def test_every_source_and_every_field_that_is_read_is_in_the_page():
    page = render_docs.data()
    fields = set(danbooru_post.FIELDS) - set(danbooru_post.CATEGORY_FIELDS) - {"file"} | {"file.md5"}
    for name in (*sources.SOURCES, *fields, *danbooru_fields.CATEGORY_SPELLINGS):
        assert name in page
