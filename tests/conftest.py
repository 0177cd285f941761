"""The environment of every test: tensorflow as in the commands but quiet, no accelerator, no network."""

import gc
import os
import pathlib
import random

import pytest

from Utils.command.backend import configure_backend

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("WANDB_MODE", "offline")
os.environ.setdefault("MPLBACKEND", "agg")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")
os.environ.setdefault("TF_NUM_INTRAOP_THREADS", "1")  # each core has its own process of tests
configure_backend()


# Files of one test that takes about a minute.
FIRST = {"test_other_backend.py", "test_resume.py", "test_three_commands.py"}


def pytest_collection_modifyitems(items):
    """Long files come first, so that no core waits for one at the end.

    Slow tests may take an hour; the others have the limit of pyproject.toml.
    """
    items.sort(key=lambda item: item.path.name not in FIRST)
    for item in items:
        if item.get_closest_marker("slow"):
            item.add_marker(pytest.mark.timeout(3600))


def pytest_collection_finish():
    """Modules stay; to look for garbage in them takes 0.8 s at every new session of Keras.

    Looking less often for that of the tests saves 8% of a training's time.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 50, 50)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item):
    """Set what a test sees in any order, alone or not, and what it does without."""
    random.seed(0)  # Keras draws the seeds of weights from this
    _let_draw(item.get_closest_marker("draws") is not None)


def _let_draw(does):
    """Let plots of runs be empty files or not: a tiny run would spend a seventh of its time on them."""
    from Utils.report import run_plots  # here: it imports matplotlib

    _plots.setdefault("write", run_plots._write)
    run_plots._write = _plots["write"] if does else lambda figure, path: pathlib.Path(path).touch()


_plots = {}


@pytest.fixture(scope="session")
def audit(tmp_path_factory):
    """A folder with a small audit, its images and its dump; see reviewed.py."""
    from helpers.reviewed import make

    folder = tmp_path_factory.mktemp("audit")
    make(folder)
    return folder


@pytest.fixture(scope="session")
def asked(audit):
    """The questions of that audit."""
    from helpers.reviewed import TAGS

    from Utils.labels import questions

    return questions.read([audit / "audit.json"], TAGS)


@pytest.fixture(scope="session")
def exported(tmp_path_factory):
    """A folder with a run and its release; see exported_release.py."""
    from helpers.exported_release import make

    folder = tmp_path_factory.mktemp("exported")
    make(folder)
    return folder
