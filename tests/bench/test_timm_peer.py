"""Utils/bench/timm_peer.py: names of timm's models, and its model where timm is installed."""

import importlib.util

import pytest

import Models
from Utils.bench import timm_peer
from Utils.command.cli import UserError


def test_every_name_belongs_to_a_model_of_the_zoo():
    for model in timm_peer.TIMM_NAMES:
        assert Models.spec(model)


def test_the_name_is_that_of_the_same_shape_or_the_one_asked_for(monkeypatch):
    monkeypatch.setattr(timm_peer.importlib.util, "find_spec", lambda name: name)
    assert timm_peer.model_name("ResNet/50", "timm") == "resnet50"
    assert timm_peer.model_name("SwinV2/test", "timm:x") == "x"
    with pytest.raises(UserError, match="no model of timm is known for SwinV2/test"):
        timm_peer.model_name("SwinV2/test", "timm")
    with pytest.raises(UserError, match="timm or timm:NAME"):
        timm_peer.model_name("ResNet/50", "keras")


def test_what_is_not_installed_is_named(monkeypatch):
    monkeypatch.setattr(timm_peer.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UserError, match="pip install torch timm"):
        timm_peer.model_name("ResNet/50", "timm")


@pytest.mark.skipif(importlib.util.find_spec("timm") is None, reason="timm is not installed")
def test_timms_model_gives_probabilities():
    step, label, parameters = timm_peer.inference("resnet18", 32, 5, 2)
    assert parameters == 11_176_512 + 5 * 513
    assert step(1).shape == (1, 5)
    assert 0 < step(2).min() <= step(2).max() < 1
    assert label.startswith("timm resnet18 (")
