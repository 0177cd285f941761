"""Tiny runs draw no plots, a seventh of their time; module fixtures and tests marked `draws` do."""

import pathlib

import pytest

from Utils.report import run_plots


@pytest.fixture(autouse=True)
def plots(request, monkeypatch):
    """Let a plot be an empty file."""
    if not request.node.get_closest_marker("draws"):
        monkeypatch.setattr(run_plots, "_write", lambda figure, path: pathlib.Path(path).touch())
