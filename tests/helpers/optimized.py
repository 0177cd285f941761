"""Optimizers by name and settings, variables to step, and weights that a tiny model has after training."""

import keras
import numpy as np

from Utils.recipe.options import OptimizerOptions
from Utils.training import optimizers


def build(name, learning_rate, *, no_decay=(), no_clip=(), rate_factors=(), **settings):
    """The optimizer of that name; settings are fields of OptimizerOptions."""
    patterns = {"no_decay": no_decay, "no_clip": no_clip, "rate_factors": rate_factors}
    return optimizers.build(OptimizerOptions(optimizer=name, **settings), learning_rate, **patterns)


def variables(**values):
    """Keras variables whose paths are their names."""
    return {name: keras.Variable(np.float32(value), name=name) for name, value in values.items()}


def step(optimizer, weights, **gradients):
    """The values of named variables after a step with these gradients."""
    tensors = [keras.ops.convert_to_tensor(np.float32(gradients[name])) for name in weights]
    optimizer.apply(tensors, list(weights.values()))
    return {name: keras.ops.convert_to_numpy(weight) for name, weight in weights.items()}


def tiny_model(optimizer, seed=0):
    """A compiled model of one convolution and a head."""
    inputs = keras.Input((6, 6, 3))
    hidden = keras.layers.Conv2D(4, 3, name="conv")(inputs)
    hidden = keras.layers.GlobalAveragePooling2D()(hidden)
    model = keras.Model(inputs, keras.layers.Dense(5, name="head")(hidden))
    random = np.random.default_rng(seed)
    model.set_weights([random.normal(0, 0.5, weight.shape) for weight in model.get_weights()])
    model.compile(optimizer, "mse", jit_compile=False)
    return model


def trained_weights(optimizer, batch_size, num_images=48):
    """The weights of the tiny model after one pass, flat."""
    random = np.random.default_rng(1)
    images = random.normal(0, 3, (num_images, 6, 6, 3)).astype("float32")
    model = tiny_model(optimizer)
    model.fit(images, random.normal(size=(num_images, 5)), batch_size=batch_size, shuffle=False, verbose=0)
    return np.concatenate([weight.ravel() for weight in model.get_weights()])


def weights_by_optimizer():
    """The trained weights of two optimizers with everything on, on the devices of this process."""
    options = {"agc": 0.02, "no_clip": ["head"], "no_decay": ["bias"], "weight_decay": 0.05, "ema": 0.8}
    built = {name: build(name, 0.05, **options) for name in ("sgd", "lamb")}
    built["clipped"] = build("sgd", 0.05, global_clipnorm=0.05)  # below the norm of every gradient
    return {name: trained_weights(optimizer, batch_size=16) for name, optimizer in built.items()}
