"""Gradients of a model's outputs by its inputs, on any backend."""

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np


def input_gradients(model: keras.Model, values: np.ndarray, columns: Sequence[int]) -> np.ndarray:
    """Return the gradients (T, ...) of a model's outputs (1, L) at ``columns`` by its inputs (1, ...)."""
    backend = keras.backend.backend()
    if backend == "tensorflow":
        import tensorflow as tf

        inputs = tf.convert_to_tensor(values)
        with tf.GradientTape(persistent=True) as tape:
            tape.watch(inputs)
            logits = model(inputs, training=False)
            chosen = [logits[0, int(column)] for column in columns]
        gradients: list[Any] = [tape.gradient(logit, inputs) for logit in chosen]
        return np.stack([gradient.numpy()[0] for gradient in gradients])
    if backend == "jax":
        import jax

        rows = np.asarray(columns)
        gradient = jax.jacrev(lambda inputs: model(inputs, training=False)[0, rows])(values)
        return np.asarray(gradient)[:, 0]
    import torch  # pyright: ignore[reportMissingImports]  # optional

    inputs = torch.tensor(values, requires_grad=True)
    with torch.enable_grad():
        logits = model(inputs, training=False)[0]
        parts = [torch.autograd.grad(logits[int(column)], inputs, retain_graph=True)[0] for column in columns]
    return np.stack([part.detach().cpu().numpy()[0] for part in parts])
