"""tools/render_docs.py: pages made from the code say what the code says now."""

import pathlib

from tools import render_docs

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


def test_the_page_is_that_of_the_tests(tmp_path):
    assert render_docs.main([str(tmp_path)]) == 0
    page = (ROOT / "docs" / "reliability.md").read_text(encoding="utf-8")
    assert page == (tmp_path / "reliability.md").read_text(encoding="utf-8"), "run tools/render_docs.py"
