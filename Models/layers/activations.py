"""Activation functions by name; a constant factor keeps the variance of a standard normal input at 1."""

import functools
import math
from collections.abc import Callable
from typing import Any, Literal

import keras

from Models.layers import cpu_kernels
from Models.layers.tensors import Shape, Tensor, ops

ActivationName = Literal[
    "relu", "relu6", "squared_relu", "silu", "hswish", "sigmoid", "gelu", "gelu_tanh", "quick_gelu"
]  # fmt: skip


def hswish(x: Tensor) -> Tensor:
    """Hard swish, ``x * relu6(x + 3) / 6`` (arXiv:1905.02244)."""
    return x * ops.relu6(x + 3.0) * (1.0 / 6.0)


def silu(x: Tensor, factor: float = 1.0) -> Tensor:
    """SiLU times a constant, ``factor * x * sigmoid(x)`` (arXiv:1702.03118).

    The derivative is written out, ``y + sigmoid(x) * (factor - y)``: it reuses the sigmoid of the forward
    pass and includes the factor, so that a CPU makes four elementwise passes instead of seven.
    """

    @ops.custom_gradient
    def scaled(x: Tensor) -> Any:
        gate = ops.sigmoid(x)
        y = x * (gate if factor == 1.0 else gate * factor)

        # tensorflow and jax pass the upstream gradient by position, torch by keyword.
        def gradient(*args: Tensor, upstream: Tensor = None) -> Tensor:
            upstream = args[-1] if upstream is None else upstream
            return upstream * (y + gate * (factor - y))

        return y, gradient

    return scaled(x)


@ops.custom_gradient
def gelu(x: Tensor) -> Any:
    """Exact GELU, ``x * cdf(x)`` with ``cdf(x) = (1 + erf(x / sqrt 2)) / 2`` (arXiv:1606.08415).

    The formula is written out because the ONNX converter knows erf but not the erfc of the stock function;
    in this order, half of x times ``1 + erf``, the LiteRT converter recognizes its own GELU. The derivative,
    ``cdf(x) + x * pdf(x)``, is written out because the automatic one is slower on CPU.
    """
    twice = 1.0 + ops.erf(x * math.sqrt(0.5))  # 2 cdf(x)

    # tensorflow and jax pass the upstream gradient by position, torch by keyword.
    def gradient(*args: Tensor, upstream: Tensor = None) -> Tensor:
        upstream = args[-1] if upstream is None else upstream
        pdf = ops.exp(-0.5 * ops.square(x)) * (1.0 / math.sqrt(2.0 * math.pi))
        return upstream * (0.5 * twice + x * pdf)

    return (0.5 * x) * twice, gradient


def gelu_tanh(x: Tensor) -> Tensor:
    """GELU with the tanh approximation of its authors."""
    return ops.gelu(x, approximate=True)


def quick_gelu(x: Tensor) -> Tensor:
    """GELU as ``x * sigmoid(1.702 x)`` (arXiv:1606.08415, section 2), that of OpenAI's CLIP."""
    return silu(x * 1.702, 1 / 1.702)


def squared_relu(x: Tensor) -> Tensor:
    """Squared ReLU, ``max(x, 0)^2`` (arXiv:2109.08668)."""
    return ops.square(ops.relu(x))


FUNCTIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "relu": ops.relu,
    "relu6": ops.relu6,
    "squared_relu": squared_relu,
    "silu": silu,
    "hswish": hswish,
    "sigmoid": ops.sigmoid,
    "gelu": gelu,
    "gelu_tanh": gelu_tanh,
    "quick_gelu": quick_gelu,
}


def _silu_gradient(x: Tensor, upstream: Tensor) -> Tensor:
    gate = ops.sigmoid(x)
    return upstream * gate * (1.0 + x * (1.0 - gate))


def _gelu_gradient(x: Tensor, upstream: Tensor) -> Tensor:
    pdf = ops.exp(-0.5 * ops.square(x)) * (1.0 / math.sqrt(2.0 * math.pi))
    return upstream * (0.5 * (1.0 + ops.erf(x * math.sqrt(0.5))) + x * pdf)


# Those of several passes: as they are in one, and their gradients.
_FORMULAS: dict[str, tuple[Callable[[Tensor], Tensor], Callable[[Tensor, Tensor], Tensor]]] = {
    "silu": (lambda x: x * ops.sigmoid(x), _silu_gradient),
    "gelu": (lambda x: (0.5 * x) * (1.0 + ops.erf(x * math.sqrt(0.5))), _gelu_gradient),
}


@functools.cache
def _in_one_pass(name: str, factor: float) -> Callable[[Tensor], Tensor]:
    """Return one of ``_FORMULAS`` times a constant, compiled for tensorflow's CPUs; no converter knows it."""
    formula, gradient = _FORMULAS[name]
    return cpu_kernels.elementwise(
        lambda x: factor * formula(x), lambda x, upstream: factor * gradient(x, upstream)
    )


# 1 / (standard deviation of f(x)) for standard normal x (arXiv:2101.08692). The first five digit for digit
# from the original zoo, those of GELU from timm: imported weights were trained with these values. That of the
# squared ReLU is exact, sqrt(4 / 5) (arXiv:2210.13452, section 3.1); that of quick_gelu is an integral.
GAMMAS = {
    "relu": 1.7139588594436646,
    "relu6": 1.7131484746932983,
    "squared_relu": 0.8944271909999159,
    "silu": 1.7881293296813965,
    "hswish": 1.8138962328745718,
    "sigmoid": 4.803835391998291,
    "gelu": 1.7015043497085571,
    "gelu_tanh": 1.7015043497085571,
    "quick_gelu": 1.7093585898913304,
}


@keras.saving.register_keras_serializable(package="Models")
class Activation(keras.layers.Layer):
    """``scale * f(x)`` with f one of ``FUNCTIONS``; any shape in, the same shape out.

    Arguments: ``activation``, the name of f; ``preserve_variance``, multiply by the gamma of f;
    ``scale``, a further constant factor. Raises ValueError where the name is unknown.
    """

    def __init__(
        self, activation: str, preserve_variance: bool = False, scale: float = 1.0, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        if activation not in FUNCTIONS:
            raise ValueError(f"activation must be one of {', '.join(FUNCTIONS)}; got {activation!r}")
        self.activation = activation
        self.preserve_variance = preserve_variance
        self.scale = scale
        self.factor = scale * (GAMMAS[activation] if preserve_variance else 1.0)
        self.supports_masking = True

    def build(self, input_shape: Shape) -> None:
        """Nothing to build."""
        self.built = True

    def call(self, x: Tensor, training: bool | None = None) -> Tensor:
        """Apply f and the constant factor."""
        if training and self.activation in _FORMULAS and cpu_kernels.are_available():
            return _in_one_pass(self.activation, self.factor)(x)
        if self.activation == "silu":
            return silu(x, self.factor)
        x = FUNCTIONS[self.activation](x)
        return x if self.factor == 1.0 else x * self.factor

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        """Return the input's shape."""
        return input_shape

    def get_config(self) -> dict[str, Any]:
        """Return the arguments of the constructor."""
        config = {
            "activation": self.activation,
            "preserve_variance": self.preserve_variance,
            "scale": self.scale,
        }
        return {**super().get_config(), **config}


@keras.saving.register_keras_serializable(package="Models")
class StarReLU(keras.layers.Layer):
    """Squared ReLU with a learned scale and bias, ``scale * max(x, 0)^2 + bias`` (arXiv:2210.13452, eq. 7).

    They begin at 0.8944 and -0.4472, which give a standard normal input mean 0 and variance 1.
    Any shape in, the same shape out.
    """

    def build(self, input_shape: Shape) -> None:
        """Create the scalars ``scale`` and ``bias``."""
        first = keras.initializers.Constant
        self.scale = self.add_weight(shape=(), initializer=first(GAMMAS["squared_relu"]), name="scale")
        self.bias = self.add_weight(shape=(), initializer=first(-0.5 * GAMMAS["squared_relu"]), name="bias")
        self.built = True

    def call(self, x: Tensor) -> Tensor:
        """Apply the function."""
        return ops.cast(self.scale, x.dtype) * squared_relu(x) + ops.cast(self.bias, x.dtype)

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        """Return the input's shape."""
        return input_shape
