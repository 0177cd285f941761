"""Fixtures of several files of tests of the tools."""

import pytest
from helpers import small_releases
from helpers.tagged_pictures import BLUE, GREEN, RED, paint

from tools import select_tags, write_records


@pytest.fixture
def same_commit(monkeypatch):
    """The commit is part of the manifest; others may commit while the tests run."""
    for tool in (select_tags, write_records):
        monkeypatch.setattr(tool, "git_commit", lambda: "0" * 40)


@pytest.fixture(scope="session")
def release(tmp_path_factory):
    """The release of small_releases, in which nothing is changed."""
    return small_releases.make(tmp_path_factory.mktemp("releases") / "tiny")


@pytest.fixture
def pictures(tmp_path):
    """A folder of four flat pictures, two of one stem, and what is no picture."""
    folder = tmp_path / "pictures"
    for name, color in {"1.png": BLUE, "1.jpg": GREEN, "2.bmp": RED, "deep/3.webp": BLUE}.items():
        paint(folder / name, color)
    (folder / "notes.md").write_text("not a picture by its name")
    return folder
