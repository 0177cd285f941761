"""Fixtures of several files of tests of the tools."""

import pytest

from tools import select_tags, write_records


@pytest.fixture
def same_commit(monkeypatch):
    """The commit is part of the manifest; others may commit while the tests run."""
    for tool in (select_tags, write_records):
        monkeypatch.setattr(tool, "git_commit", lambda: "0" * 40)
