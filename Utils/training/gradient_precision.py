"""Gradients of weights summed up in float32, though layers compute in half precision (``--gradient-dtype``).

On jax a step is one program for all devices, and the compiler adds up the devices' parts of a weight's
gradient where it is computed: under mixed_bfloat16 in bfloat16, the type of that product, before it becomes
the float32 of the weight. Here the product's result is float32 from the start; its factors stay as they are.
The step is rewritten as JAX traces it, so no layer has to know.
"""

import functools
from collections.abc import Callable, Collection, Sequence
from typing import Any

import keras
import numpy as np

SUMS = ("dot_general", "conv_general_dilated", "reduce_sum")  # the last one of biases
# What may lie between the product and the conversion, and does not compute.
MOVES = ("transpose", "reshape", "squeeze", "rev", "copy")
CALLS = ("jit", "pjit")
REMATERIALIZED = ("remat2", "checkpoint")  # by their names in versions of JAX
HALF = ("bfloat16", "float16")
Shapes = Collection[tuple[int, ...]]


def apply(model: keras.Model, dtype: str) -> None:
    """Let a model's training steps compute and add up gradients in a recipe's ``gradient_dtype``.

    Call it before the first step. On tensorflow there is nothing to do: each replica converts its part of a
    gradient to float32 before the parts are added up.
    """
    if dtype == "float32" and keras.backend.backend() == "jax":
        step: Any = type(model).train_step  # pyright: ignore[reportAttributeAccessIssue]
        shapes = {tuple(weight.shape) for weight in model.trainable_weights}
        setattr(model, "train_step", rewritten(step.__get__(model), shapes))  # noqa: B010  not of Keras' type


def rewritten(function: Callable[..., Any], shapes: Shapes) -> Callable[..., Any]:
    """Return a function of arrays whose sums in half precision are float32, if no more is done with them.

    A sum is that of a product, or over an axis; that it is the gradient of a weight is told by what follows,
    a conversion to float32 alone, and by its shape, one of ``shapes``.
    """
    import jax

    def call(*arguments: Any) -> Any:
        closed, result = jax.make_jaxpr(function, return_shape=True)(*arguments)
        values = _plain(_evaluate(closed.jaxpr, closed.consts, jax.tree.leaves(arguments), shapes))
        return jax.tree.unflatten(jax.tree.structure(result), values)

    return call


class _Sum:
    """A sum that is computed when it is needed, in half precision or in float32."""

    def __init__(self, half: Callable[[], Any], float32: Callable[[], Any]) -> None:
        self.half, self.float32 = functools.cache(half), functools.cache(float32)


def _plain(values: Sequence[Any]) -> list[Any]:
    return [value.half() if isinstance(value, _Sum) else value for value in values]


def _evaluate(jaxpr: Any, constants: Sequence[Any], arguments: Sequence[Any], shapes: Shapes) -> list[Any]:
    """Compute a jaxpr; results may be sums that are still to be computed."""
    from jax.extend.core import Literal

    values = dict(zip([*jaxpr.constvars, *jaxpr.invars], [*constants, *arguments], strict=True))

    def read(atom: Any) -> Any:
        return atom.val if isinstance(atom, Literal) else values[atom]

    for equation in jaxpr.eqns:
        results = _results(equation, [read(atom) for atom in equation.invars], shapes)
        values.update(zip(equation.outvars, results, strict=True))
    return [read(atom) for atom in jaxpr.outvars]


def _results(equation: Any, values: list[Any], shapes: Shapes) -> list[Any]:

    name, parameters = equation.primitive.name, equation.params
    if name in CALLS:
        return _evaluate(parameters["jaxpr"].jaxpr, parameters["jaxpr"].consts, values, shapes)
    first = values[0] if values else None
    if isinstance(first, _Sum):
        is_weight = equation.outvars[0].aval.shape in shapes
        if name == "convert_element_type" and parameters["new_dtype"] == "float32" and is_weight:
            return [first.float32()]
        if name in MOVES:
            return [
                _Sum(*(functools.partial(_moved, equation, form) for form in (first.half, first.float32)))
            ]
    values = _plain(values)
    if name in SUMS and str(equation.outvars[0].aval.dtype) in HALF:
        return [_Sum(lambda: _bind(equation, values)[0], lambda: _with_float32_result(equation, values))]
    if name in REMATERIALIZED:
        return _block(equation, values, shapes)
    return _bind(equation, values)


def _block(equation: Any, values: Sequence[Any], shapes: Shapes) -> list[Any]:
    """Compute a rematerialized block, within which its weights' gradients are; those leave it in float32."""
    import jax

    dtypes = [variable.aval.dtype for variable in equation.outvars]

    def block(*inputs: Any) -> list[Any]:
        results = _evaluate(equation.params["jaxpr"], (), inputs, shapes)
        leaving = zip(results, equation.outvars, strict=True)
        return _plain(
            [
                result.float32() if isinstance(result, _Sum) and variable.aval.shape in shapes else result
                for result, variable in leaving
            ]
        )

    results = _bind(equation, values, jaxpr=jax.make_jaxpr(block)(*values).jaxpr)
    return [
        result if result.dtype == dtype else _Sum(functools.partial(result.astype, dtype), lambda r=result: r)
        for result, dtype in zip(results, dtypes, strict=True)
    ]


def _moved(equation: Any, form: Callable[[], Any]) -> Any:
    return _bind(equation, [form()])[0]


def _with_float32_result(equation: Any, values: Sequence[Any]) -> Any:
    import jax

    is_product = equation.primitive.name != "reduce_sum"
    wide = {"preferred_element_type": np.dtype("float32")} if is_product else {}

    def of_float32(*factors: Any) -> Any:
        return _bind(equation, [factor.astype("float32") for factor in factors], **wide)[0]

    def of_half(*factors: Any) -> Any:
        return _bind(equation, factors, **wide)[0]

    if not is_product:
        return of_float32(*values)
    # XLA has no such product of bfloat16 factors on CPUs.
    return jax.lax.platform_dependent(*values, cpu=of_float32, default=of_half)


def _bind(equation: Any, values: Sequence[Any], **changed: Any) -> list[Any]:
    prepared = equation.primitive.get_bind_params({**equation.params, **changed})
    functions, parameters = prepared if isinstance(prepared, tuple) else ((), prepared)  # a pair in older JAX
    with equation.ctx.manager:
        results = equation.primitive.bind(*functions, *values, **parameters)
    return list(results) if equation.primitive.multiple_results else [results]
