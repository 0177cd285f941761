"""tools/render_site.py: the pages of the site, with one for every command."""

import importlib
import pathlib

import pytest

from tools import render_site


def test_every_command_has_a_page_with_its_help_and_examples(tmp_path):
    pages = tmp_path / "pages"
    assert render_site.main([str(pages)]) == 0
    names = {path.name for path in (pages / "docs" / "commands").iterdir()}
    assert names == {"README.md", *(f"{pathlib.Path(name).stem}.md" for name in render_site.commands())}
    contents = (pages / "docs" / "commands" / "README.md").read_text(encoding="utf-8")
    assert "[tools/tag_images.py](tag_images.md): " in contents
    train = (pages / "docs" / "commands" / "train.md").read_text(encoding="utf-8")
    assert "usage: train.py" in train
    assert "Also `swcv train`." in train
    assert "--learning-rate" in train
    assert "From [SW-CV-ModelZoo](../../README.md):" in train
    assert "It printed:\n\n```text\nbest model: epoch" not in train, "an output belongs to the last command"
    verify = (pages / "docs" / "commands" / "verify_release.md").read_text(encoding="utf-8")
    assert "It printed:\n\n```text\nR1      passed" in verify
    select = (pages / "docs" / "commands" / "select_tags.md").read_text(encoding="utf-8")
    assert "It printed:\n\n```text\npictures: read as sidecars" in select
    assert (pages / "README.md").exists()
    assert render_site.main([str(pages)]) == 0  # its own folder is made anew


def test_a_folder_of_others_is_refused(tmp_path, capsys):
    (tmp_path / "mine.txt").write_text("mine")
    assert render_site.main([str(tmp_path)]) == 2
    assert "was not made by this command" in capsys.readouterr().err
    assert (tmp_path / "mine.txt").read_text() == "mine"


@pytest.mark.parametrize("module", [name for names in render_site.INTERFACE.values() for name in names])
def test_the_interface_names_modules_that_exist(module):
    importlib.import_module(module)


def test_every_page_is_in_the_menu():
    """A page that the menu of mkdocs.yml leaves out is found by links only."""
    menu = (render_site.ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    folders = ("docs", "docs/tutorials")
    paths = [path for folder in folders for path in (render_site.ROOT / folder).glob("*.md")]
    pages = [path.relative_to(render_site.ROOT).as_posix() for path in paths]
    assert [page for page in pages if page not in menu] == []
