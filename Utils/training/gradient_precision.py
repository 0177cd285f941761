"""Gradients of weights summed up in float32, though layers compute in half precision (``--gradient-dtype``).

On jax a step is one program for all devices, and the compiler adds up the devices' parts of a weight's
gradient where it is computed: under mixed_bfloat16 in bfloat16, the type of that product, before it becomes
the float32 of the weight. Here the product's result is float32 from the start; its factors stay as they are.
The step is rewritten as JAX traces it, so no layer has to know: a program of primitives whose names JAX may
change, so a step in which nothing was rewritten, or that cannot be, is an error.

Why a rewritten program, read again in November 2026: JAX gives a gradient the type of what it is the gradient
of, and that is the weight as a layer casts it, in half precision. So the product has rounded before a
``custom_vjp`` of the cast, or a ``psum`` of float32 under ``shard_map``, could see it; the latter would also
leave to us what the compiler does for split weights and batch norm. A ``custom_vjp`` of the product together
with the cast would do, in each layer that multiplies (Keras' own, too) instead of in this file. To replace
the transposition rules of JAX's primitives would be shorter, but they are not public.
"""

import functools
from collections.abc import Callable, Collection, Sequence
from typing import Any

import keras
import numpy as np

from Utils.command.cli import WorkError

SUMS = ("dot_general", "conv_general_dilated", "reduce_sum")  # the last one of biases
# What may lie between the product and the conversion, and does not compute.
MOVES = ("transpose", "reshape", "squeeze", "rev", "copy")
CALLS = ("jit", "pjit")
REMATERIALIZED = ("remat2", "checkpoint")  # by their names in versions of JAX
HALF = ("bfloat16", "float16")


def apply(model: keras.Model, dtype: str) -> None:
    """Let a model's training steps compute and add up gradients in a recipe's ``gradient_dtype``.

    Call it before the first step, which raises WorkError where layers compute in half precision and none of
    their gradients could be told. On tensorflow there is nothing to do: each replica converts its part of a
    gradient to float32 before the parts are added up.
    """
    if dtype != "float32" or keras.backend.backend() != "jax":
        return
    step: Any = type(model).train_step  # pyright: ignore[reportAttributeAccessIssue]
    shapes = {tuple(weight.shape) for weight in model.trainable_weights}
    layers = [layer for layer in model.layers if not isinstance(layer, keras.Model)]  # whose own may differ
    has_half = any(layer.trainable_weights and layer.compute_dtype in HALF for layer in layers)
    setattr(model, "train_step", rewritten(step.__get__(model), shapes, has_half))  # noqa: B010  not of Keras' type


def rewritten(
    function: Callable[..., Any], shapes: Collection[tuple[int, ...]], must_change: bool = False
) -> Callable[..., Any]:
    """Return a function of arrays whose sums in half precision are float32, if no more is done with them.

    A sum is that of a product, or over an axis; that it is the gradient of a weight is told by what follows,
    a conversion to float32 alone, and by its shape, one of ``shapes``.

    The returned function raises WorkError where this version of JAX traces programs that are not known here,
    and with ``must_change`` where no sum was changed.
    """
    import jax

    def call(*arguments: Any) -> Any:
        closed, result = jax.make_jaxpr(function, return_shape=True)(*arguments)
        rewriter = _Rewriter(shapes)
        try:
            values = _halved(rewriter.evaluate(closed.jaxpr, closed.consts, jax.tree.leaves(arguments)))
        except Exception as error:  # the program itself was traced without one
            raise _unknown(f"{type(error).__name__}: {error}") from error
        if must_change and not rewriter.num_changed:
            raise _unknown("no gradient in half precision was recognized")
        return jax.tree.unflatten(jax.tree.structure(result), values)

    return call


def _unknown(reason: str) -> WorkError:
    import jax

    return WorkError(
        f"--gradient-dtype float32 cannot rewrite the training step as JAX {jax.__version__} traces it: "
        f"{reason}. --gradient-dtype compute trains without"
    )


class _Sum:
    """A sum that is computed when it is needed, in half precision or in float32."""

    def __init__(self, half: Callable[[], Any], float32: Callable[[], Any]) -> None:
        self.half, self.float32 = functools.cache(half), functools.cache(float32)


def _halved(values: Sequence[Any]) -> list[Any]:
    """Return arrays, sums in half precision."""
    return [value.half() if isinstance(value, _Sum) else value for value in values]


class _Rewriter:
    """Computes traced programs anew, with float32 sums where they are gradients of weights of ``shapes``."""

    def __init__(self, shapes: Collection[tuple[int, ...]]) -> None:
        self.shapes = shapes
        self.num_changed = 0  # sums

    def evaluate(self, jaxpr: Any, constants: Sequence[Any], arguments: Sequence[Any]) -> list[Any]:
        """Compute a jaxpr; results may be sums that are still to be computed."""
        from jax.extend.core import Literal

        values = dict(zip([*jaxpr.constvars, *jaxpr.invars], [*constants, *arguments], strict=True))

        def read(atom: Any) -> Any:
            return atom.val if isinstance(atom, Literal) else values[atom]

        for equation in jaxpr.eqns:
            results = self._results(equation, [read(atom) for atom in equation.invars])
            values.update(zip(equation.outvars, results, strict=True))
        return [read(atom) for atom in jaxpr.outvars]

    def _results(self, equation: Any, values: list[Any]) -> list[Any]:
        name, parameters = equation.primitive.name, equation.params
        if name in CALLS:
            return self.evaluate(parameters["jaxpr"].jaxpr, parameters["jaxpr"].consts, values)
        first, variables = values[0] if values else None, equation.outvars
        if isinstance(first, _Sum):
            if name in MOVES:
                return [_Sum(*(_moved(equation, compute) for compute in (first.half, first.float32)))]
            if name == "convert_element_type" and parameters["new_dtype"] == "float32":
                first = self._as_gradient(first, variables[0])
                if not isinstance(first, _Sum):
                    return [first]
        values = _halved(values)
        if name in SUMS and str(variables[0].aval.dtype) in HALF:
            return [_Sum(lambda: _bind(equation, values)[0], lambda: _with_float32_result(equation, values))]
        return self._block(equation, values) if name in REMATERIALIZED else _bind(equation, values)

    def _as_gradient(self, value: Any, variable: Any) -> Any:
        """Return a sum in float32 if it is a weight's gradient, by its shape; anything else as it is."""
        if not isinstance(value, _Sum) or variable.aval.shape not in self.shapes:
            return value
        self.num_changed += 1
        return value.float32()

    def _block(self, equation: Any, values: Sequence[Any]) -> list[Any]:
        """Compute a rematerialized block; the gradients of its weights are in it and leave it in float32."""
        import jax

        def block(*inputs: Any) -> list[Any]:
            results = self.evaluate(equation.params["jaxpr"], (), inputs)
            pairs = zip(results, equation.outvars, strict=True)
            return _halved([self._as_gradient(result, variable) for result, variable in pairs])

        results = _bind(equation, values, jaxpr=jax.make_jaxpr(block)(*values).jaxpr)
        dtypes = [variable.aval.dtype for variable in equation.outvars]
        return [
            result
            if result.dtype == dtype
            else _Sum(functools.partial(result.astype, dtype), lambda r=result: r)
            for result, dtype in zip(results, dtypes, strict=True)
        ]


def _moved(equation: Any, compute: Callable[[], Any]) -> Callable[[], Any]:
    return lambda: _bind(equation, [compute()])[0]


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
