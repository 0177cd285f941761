"""The environment that a command sets up before keras and tensorflow are imported."""

import os

import pytest

from Utils.command.backend import prepare_backend
from Utils.command.cli import UserError


def test_an_unknown_backend_is_refused_with_the_similar_one(monkeypatch):
    monkeypatch.setenv("KERAS_BACKEND", "tensorflwo")
    with pytest.raises(UserError, match="did you mean tensorflow.*it may be tensorflow, jax, torch"):
        prepare_backend()


def test_a_missing_backend_is_refused_with_its_installation(monkeypatch):
    monkeypatch.setenv("KERAS_BACKEND", "torch")
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(UserError, match="not installed; pip install torch"):
        prepare_backend()


def test_variables_that_the_user_set_stay(monkeypatch):
    monkeypatch.setenv("KERAS_BACKEND", "")
    monkeypatch.setenv("TF_CPP_MIN_LOG_LEVEL", "0")
    monkeypatch.delenv("TF_ENABLE_ONEDNN_OPTS", raising=False)
    prepare_backend()
    assert (os.environ["TF_CPP_MIN_LOG_LEVEL"], os.environ["TF_ENABLE_ONEDNN_OPTS"]) == ("0", "1")
