"""Models/layers: configurations of all layers, by discovery."""

import importlib
import inspect
import pkgutil

import keras
import pytest

import Models.layers

# Arguments other than the defaults, so that a forgotten entry of get_config shows.
ARGUMENTS = {
    "activation": "hswish", "preserve_variance": True, "scale": 0.5, "rate": 0.25, "seed": 3,
    "rescale": False, "initial": 0.3, "factor": 0.7, "ratio": 0.25, "filters": 6, "kernel_size": 3,
    "strides": 2, "groups": 2, "use_bias": False, "scaling": "simple", "heads": 2, "epsilon": 1e-4,
    "cells": 2, "padding": "same", "initial_gain": 0.5, "prefix": 1, "pool": "token", "window": 4,
    "shifted": True, "pretrained": 3, "reference": 8, "group": 2, "stddev": 0.5, "output_stddev": 0.5,
    "output_bias": False, "units": 4, "members": [2, 0, 1, 1], "centered": True, "number": 3, "overlap": True,
    "qk_norm": True,
    "kernel_initializer": keras.initializers.serialize(keras.initializers.HeNormal()),
}  # fmt: skip


def registered():
    """Every layer class in Models/layers."""
    found = []
    for module in pkgutil.iter_modules(Models.layers.__path__):
        name = f"Models.layers.{module.name}"
        classes = inspect.getmembers(importlib.import_module(name), inspect.isclass)
        found += [kind for label, kind in classes if kind.__module__ == name and not label.startswith("_")]
    return [kind for kind in found if issubclass(kind, keras.layers.Layer)]


@pytest.mark.parametrize("kind", registered(), ids=lambda kind: kind.__name__)
def test_configurations_round_trip(kind):
    assert keras.saving.get_registered_name(kind) == f"Models>{kind.__name__}"
    own = "__init__" in vars(kind) or "rate" in inspect.signature(kind).parameters
    names = [name for name in inspect.signature(kind).parameters if own and name != "kwargs"]
    layer = kind(**{name: ARGUMENTS[name] for name in names}, name="here")
    config = layer.get_config()
    assert {name: config[name] for name in names} == {name: ARGUMENTS[name] for name in names}
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(layer))
    assert type(again) is kind and again.get_config() == config
    assert inspect.getdoc(kind)
