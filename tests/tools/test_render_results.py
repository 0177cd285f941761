"""tools/render_results.py: results/README.md shows the CSV files beside it."""

import pathlib

from tools import render_results

FOLDER = pathlib.Path(__file__).resolve().parents[2] / "results"


def test_the_readme_shows_the_csv():
    text = (FOLDER / "README.md").read_text(encoding="utf-8")
    assert render_results.render(text, FOLDER) == text
    assert (
        "| ensenble_october                 | -               | -            |        448 | 0.3611 |" in text
    )


def test_every_page_shows_its_csv():
    for path in render_results.PAGES:
        text = path.read_text(encoding="utf-8")
        assert render_results.BLOCK.search(text)
        assert render_results.render(text, path.parent) == text, "make it again with tools/render_results.py"


def test_tables_are_written_between_their_markers(tmp_path, capsys):
    (tmp_path / "published.csv").write_bytes((FOLDER / "published.csv").read_bytes())
    (tmp_path / "README.md").write_text("<!-- tables of published.csv -->\n<!-- end of tables -->\n")
    assert render_results.main([str(tmp_path / "README.md")]) == 0
    assert (tmp_path / "README.md").read_text().count("| ViTB16_09_25_2022_04h53m38s ") == 4
    assert render_results.main([str(tmp_path / "none.md")]) == 2
    assert "error: " in capsys.readouterr().err
