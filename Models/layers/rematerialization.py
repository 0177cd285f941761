"""Rematerialization (arXiv:1604.06174): keep the inputs of blocks only, and compute the rest once more.

The backward pass of a block needs what its layers computed. A rematerialized block drops that after the
forward pass and computes it again from its input: memory for about a third more work.
"""

import dataclasses
import itertools
import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import keras

from Models.layers.tensors import Shape, Tensor, ops

BLOCK = re.compile(r"(?:stage\d+_)?block\d+(?=_)")  # the first part of the names of a block's layers


def rematerialized(model: keras.Model) -> keras.Model:
    """Return a model that trains as ``model`` does, with its layers and weights, and keeps less in memory.

    Blocks are recognized by the names of their layers, ``block1_...`` or ``stage0_block1_...``. Both models
    compute the same, in training too: the second pass draws the masks of the first. In inference nothing is
    computed twice. Save ``model``, not this one.
    """
    tensor: Any = model.input
    image = keras.Input(tensor.shape[1:], dtype=tensor.dtype, name=tensor.name)
    return keras.Model(image, _Rematerialized(model)(image), name=model.name)


def blocks(model: keras.Model) -> list[tuple[str, list[keras.layers.Layer]]]:
    """Return (name, layers) of a model's blocks, in forward order; the name is "" for what lies between."""
    layers = [layer for layer in model.layers if not isinstance(layer, keras.layers.InputLayer)]
    groups = itertools.groupby(layers, _block_name)
    return [(name, list(members)) for name, members in groups]


def _block_name(layer: keras.layers.Layer) -> str:
    match = BLOCK.match(layer.name)
    return match[0] if match else ""


@dataclasses.dataclass(frozen=True)
class _Part:
    """Layers that follow one another, as a model; tensors between parts are known by their ids."""

    is_block: bool
    model: keras.Model
    input_keys: tuple[int, ...]
    output_keys: tuple[int, ...]


class _Rematerialized(keras.layers.Layer):
    """A functional model as one layer that rematerializes its blocks in training."""

    def __init__(self, model: keras.Model) -> None:
        # Without autocast, weights are handed to the parts as they are; the layers within cast them.
        super().__init__(autocast=False, name="rematerialized")
        self.model = model  # its weights and random states are this layer's
        self.parts = tuple(_parts(model))
        self.built = True

    def call(self, image: Tensor, training: bool | None = False) -> Tensor:
        """Run the parts one after another."""
        if not training:
            return self.model(image, training=False)
        values = {id(self.model.input): image}
        for part in self.parts:
            inputs = [values[key] for key in part.input_keys]
            outputs = _run_twice(part.model, inputs) if part.is_block else _run(part.model, inputs)
            values |= zip(part.output_keys, outputs, strict=True)
        return values[id(self.model.output)]

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        """Return that of the model."""
        return self.model.compute_output_shape(input_shape)


def _parts(model: keras.Model) -> Iterator[_Part]:
    """Yield the blocks of a model and what is between them, in forward order."""
    groups = [(name, _tensors(layers, "input"), _tensors(layers, "output")) for name, layers in blocks(model)]
    needed = {id(model.output)}  # by what follows
    parts = []
    for name, inputs, outputs in reversed(groups):
        inputs = {key: tensor for key, tensor in inputs.items() if key not in outputs}
        outputs = {key: tensor for key, tensor in outputs.items() if key in needed}
        needed |= inputs.keys()
        part = keras.Model(list(inputs.values()), list(outputs.values()), name=name or None)
        part.input_spec = None  # patch dropout leaves fewer tokens in training than the model was built for
        parts.append(_Part(bool(name), part, tuple(inputs), tuple(outputs)))
    return reversed(parts)


def _tensors(layers: Sequence[keras.layers.Layer], end: str) -> dict[int, Tensor]:
    """Return the inputs or outputs of layers by id."""
    return {id(tensor): tensor for layer in layers for tensor in keras.tree.flatten(getattr(layer, end))}


def _run(model: keras.Model, inputs: list[Tensor]) -> list[Tensor]:
    """Run in training; the argument is passed on, since the second pass is outside of ``fit``'s call."""
    return keras.tree.flatten(model(inputs, training=True))


def _run_twice(model: keras.Model, inputs: list[Tensor]) -> list[Tensor]:
    """Run in training and keep nothing but the inputs and the weights for the backward pass.

    Random states and moving averages enter with the values that they have now, in both passes, and are
    assigned once, outside: so both passes draw the same masks, and no state moves twice.
    """
    weights, states = model.trainable_variables, model.non_trainable_variables
    before = [ops.copy(state) for state in states]  # a tensor: on tensorflow a variable would be read twice

    def function(*tensors: Tensor) -> tuple[list[Tensor], list[Tensor]]:
        values = [*zip(weights, tensors[len(inputs) :], strict=True), *zip(states, before, strict=True)]
        with keras.StatelessScope(state_mapping=values) as scope:
            outputs = _run(model, list(tensors[: len(inputs)]))
        return outputs, [scope.get_current_value(state) for state in states]

    outputs, after = _checkpoint(function)(*inputs, *map(ops.convert_to_tensor, weights))
    for state, value in zip(states, after, strict=True):
        state.assign(value)
    return outputs


def _checkpoint(function: Callable[..., tuple[list[Tensor], list[Tensor]]]) -> Callable[..., Any]:
    """Return the function with the backend's rematerialization; its second result has no gradient."""
    if keras.backend.backend() == "jax":
        return keras.remat(function)

    # tensorflow and torch differentiate all results, and states are integers: those of the first pass leave
    # by the side. Both run it on the spot, so that they are ordinary tensors.
    def run(*tensors: Tensor) -> tuple[list[Tensor], list[Tensor]]:
        states: list[list[Tensor]] = []

        def outputs_only(*tensors: Tensor) -> list[Tensor]:
            outputs, after = function(*tensors)
            states.append(after)
            return outputs

        outputs = keras.remat(outputs_only)(*tensors)
        return keras.tree.flatten(outputs), states[0]

    return run
