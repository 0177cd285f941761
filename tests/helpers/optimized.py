"""Weights that a tiny model has after an optimizer trained it, on any number of devices."""

import keras
import numpy as np

from Utils.training import optimizers


def tiny_model(optimizer, seed=0):
    inputs = keras.Input((6, 6, 3))
    hidden = keras.layers.Conv2D(4, 3, name="conv")(inputs)
    hidden = keras.layers.GlobalAveragePooling2D()(hidden)
    model = keras.Model(inputs, keras.layers.Dense(5, name="head")(hidden))
    random = np.random.default_rng(seed)
    model.set_weights([random.normal(0, 0.5, weight.shape) for weight in model.get_weights()])
    model.compile(optimizer, "mse", jit_compile=False)
    return model


def trained(optimizer, batch_size, num_images=48):
    random = np.random.default_rng(1)
    images = random.normal(0, 3, (num_images, 6, 6, 3)).astype("float32")
    model = tiny_model(optimizer)
    model.fit(images, random.normal(size=(num_images, 5)), batch_size=batch_size, shuffle=False, verbose=0)
    return np.concatenate([weight.ravel() for weight in model.get_weights()])


def on_this_many_devices():
    options = {"agc": 0.02, "no_clip": ["head"], "no_decay": ["bias"], "weight_decay": 0.05, "ema": 0.8}
    return {name: trained(optimizers.build(name, 0.05, **options), batch_size=16) for name in ("sgd", "lamb")}
