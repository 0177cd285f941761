"""Optimizers that obey a model's declarations: which weights decay or are clipped, how fast a layer learns.

``build`` gives any of ``OPTIMIZERS``: Keras' own, LAMB, and a schedule-free AdamW, each with what
``Utils.training.per_variable_optimizer`` adds.
"""

import inspect
import re
from collections.abc import Iterable, Sequence
from typing import Any, cast

import keras
import numpy as np

from Utils.command.cli import UserError, suggest
from Utils.recipe.options import OptimizerOptions
from Utils.training.per_variable_optimizer import LossScale, PerVariableOptimizer
from Utils.training.tensors import Tensor, ops
from Utils.training.weight_sharding import to_host


@keras.saving.register_keras_serializable("Utils")
class LAMB(PerVariableOptimizer, keras.optimizers.Optimizer):
    """LAMB, arXiv:1904.00962, with the decay inside the trust ratio, as tensorflow-addons had it.

    ``m = b1 m + (1 - b1) g``, ``v = b2 v + (1 - b2) g^2``, both divided by ``1 - b^t``, then
    ``u = m / (sqrt(v) + epsilon) + decay * w`` and ``w -= rate * |w| / |u| * u``; the ratio is 1 where either
    norm is 0. ``keras.optimizers.Lamb`` decays outside the ratio: with a decay it is another algorithm.

    Args:
        learning_rate: a float or a schedule.
        beta_1: decay of the mean of gradients.
        beta_2: decay of the mean of squared gradients.
        epsilon: added to the root of the second moment.
        options: what ``PerVariableOptimizer`` and every Keras optimizer take.
    """

    decays_in_step = True

    def __init__(
        self,
        learning_rate: Any = 0.001,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-6,
        name: str = "lamb",
        **options: Any,
    ) -> None:
        super().__init__(learning_rate=learning_rate, name=name, **options)
        self.beta_1 = beta_1
        self.beta_2 = beta_2
        self.epsilon = epsilon

    def build(self, variables: Sequence[keras.Variable]) -> None:
        """Create the two moments of each variable."""
        if self.built:
            return
        super().build(variables)
        self._means, self._squares = self.add_optimizer_variables(variables, ["momentum", "velocity"])

    def step(self, gradient: Tensor, variable: Tensor, learning_rate: Tensor) -> None:
        """Apply the formula to one variable."""
        index = self._get_variable_index(variable)
        mean, square = self._means[index], self._squares[index]
        count = ops.cast(cast(Any, self.iterations) + 1, variable.dtype)
        # 1 - beta rounds as 1 - beta^count does: the first step's moments are then exactly g and g^2
        beta_1, beta_2 = ops.cast(self.beta_1, variable.dtype), ops.cast(self.beta_2, variable.dtype)
        self.assign_add(mean, (gradient - mean) * (1.0 - beta_1))
        self.assign_add(square, (ops.square(gradient) - square) * (1.0 - beta_2))
        unbiased_mean = mean / (1.0 - ops.power(beta_1, count))
        unbiased_square = square / (1.0 - ops.power(beta_2, count))
        weight = ops.convert_to_tensor(variable)
        update = unbiased_mean / (ops.sqrt(unbiased_square) + self.epsilon) + self.decay_of(variable) * weight
        self.assign_sub(variable, learning_rate * _trust_ratio(weight, update) * update)

    def get_config(self) -> dict[str, Any]:
        """Return what ``__init__`` takes."""
        options = {"beta_1": self.beta_1, "beta_2": self.beta_2, "epsilon": self.epsilon}
        return {**super().get_config(), **options}


def _trust_ratio(weight: Tensor, update: Tensor) -> Tensor:
    """Return ``|w| / |u|``, 1 where either is 0."""
    weight_norm = ops.sqrt(ops.sum(ops.square(weight)))
    update_norm = ops.sqrt(ops.sum(ops.square(update)))
    positive = ops.logical_and(weight_norm > 0.0, update_norm > 0.0)
    return ops.where(positive, weight_norm / ops.where(positive, update_norm, 1.0), 1.0)


@keras.saving.register_keras_serializable("Utils")
class ScheduleFreeAdamW(PerVariableOptimizer, keras.optimizers.ScheduleFreeAdamW):
    """AdamW that needs no schedule, arXiv:2405.15682; the model trains at y, between iterate z and average x.

    ``z -= rate * (g / (sqrt(v) + epsilon) + decay * y)``, ``x += (z - x) / t``, ``y = (1 - b1) z + b1 x``, v
    the unbiased mean of squared gradients. keras.optimizers.ScheduleFreeAdamW (3.15) with its formula mended:
    on tensorflow it takes the new z for the old one, and its decay moves y alone.
    """

    decays_in_step = True

    def step(self, gradient: Tensor, variable: Tensor, learning_rate: Tensor) -> None:
        """Apply the formula to one variable."""
        index = self._get_variable_index(variable)
        count = ops.cast(cast(Any, self.iterations) + 1, variable.dtype)
        square = self._velocities[index]
        beta_2 = ops.cast(self.beta_2, variable.dtype)
        self.assign_add(square, (ops.square(gradient) - square) * (1.0 - beta_2))
        deviation = ops.sqrt(square / (1.0 - ops.power(beta_2, count))) + self.epsilon
        weight = ops.convert_to_tensor(variable)
        # At first z is y; Keras assigns that in ``build``, which is lost where ``build`` is traced.
        iterate = ops.where(count > 1, ops.convert_to_tensor(self._momentums[index]), weight)
        average = (weight - (1.0 - self.beta_1) * iterate) / self.beta_1
        rate = learning_rate * ops.minimum(count / max(self.warmup_steps, 1), 1.0)
        iterate = iterate - rate * (gradient / deviation + self.decay_of(variable) * weight)
        average = average + (iterate - average) / count
        self.assign(self._momentums[index], iterate)
        self.assign(variable, (1.0 - self.beta_1) * iterate + self.beta_1 * average)

    def averages(self) -> list[np.ndarray] | None:
        """Return x, the averages that the paper evaluates; the moving averages where these are kept, too."""
        if self.use_ema:
            return super().averages()
        pairs = zip(self._trainable_variables, self._momentums, strict=True)
        return [(to_host(y) - (1.0 - self.beta_1) * to_host(z)) / self.beta_1 for y, z in pairs]


def _per_variable(name: str) -> type[PerVariableOptimizer]:
    """Return the optimizer of that name in ``keras.optimizers`` as a PerVariableOptimizer, for saving too."""
    base = getattr(keras.optimizers, name)
    docstring = f"keras.optimizers.{name} as a PerVariableOptimizer."
    optimizer = type(name, (PerVariableOptimizer, base), {"__doc__": docstring})
    return keras.saving.register_keras_serializable("Utils")(optimizer)


_FROM_KERAS = ("SGD", "Adam", "AdamW", "Lion", "Muon", "Nadam", "RMSprop")
OPTIMIZERS: dict[str, type[PerVariableOptimizer]] = {
    **{name.lower(): _per_variable(name) for name in _FROM_KERAS},
    "lamb": LAMB,
    "schedule_free_adamw": ScheduleFreeAdamW,
}
# Defaults that are the zoo's rather than Keras'.
DEFAULTS: dict[str, dict[str, Any]] = {"sgd": {"momentum": 0.9, "nesterov": True}}


def options_of(name: str) -> dict[str, Any]:
    """Return an optimizer's own options (momentum, beta_1 and others): ``{name: default}``.

    Raises:
        UserError: no such optimizer.
    """
    if name not in OPTIMIZERS:
        similar = suggest(name, OPTIMIZERS)
        raise UserError(f"no optimizer is called {name!r}{similar}; there are {', '.join(OPTIMIZERS)}")
    # The mixin's signature is (*args, ...): that of the class behind it has the names.
    documented = LAMB if name == "lamb" else OPTIMIZERS[name].__mro__[2]
    parameters = inspect.signature(documented).parameters.values()
    # What two different optimizers both take is what all take: clipping, averages, weight decay, ...
    sgd, adam = map(inspect.signature, (keras.optimizers.SGD, keras.optimizers.Adam))
    shared = {*sgd.parameters} & {*adam.parameters} | {"options"}
    options = {parameter.name: parameter.default for parameter in parameters if parameter.name not in shared}
    options.pop("adam_weight_decay", None)  # Muon's second decay: ``weight_decay`` is the only one here
    return {**options, **DEFAULTS.get(name, {})}


def build(
    options: OptimizerOptions,
    learning_rate: Any,
    *,
    no_decay: Sequence[str] = (),
    no_clip: Sequence[str] = (),
    rate_factors: Sequence[tuple[str, Any]] = (),
) -> keras.optimizers.Optimizer:
    """Return the optimizer that the options name; under mixed_float16 within a ``LossScale``.

    Args:
        options: a recipe, or its group of optimizer options. LAMB's weight decay is inside its trust ratio,
            elsewhere ``w -= rate * decay * w``. Options of one optimizer (``optimizer_overrides``) are those
            of ``options_of``; None stands for the default.
        learning_rate: a float or a schedule (of ``Optimizer.iterations``).
        no_decay: patterns searched in ``variable.path`` of weights that do not decay.
        no_clip: patterns of weights that AGC leaves alone.
        rate_factors: (pattern, factor) pairs, layer-wise learning rates.

    Raises:
        UserError: no such optimizer or option, a value of the wrong kind or out of range, a pattern that is
            no regular expression.
    """
    check(options)
    name, overrides = options.optimizer, options.optimizer_overrides()
    _check_patterns([*no_decay, *no_clip, *(pattern for pattern, _ in rate_factors)])
    accumulated, own_options = options.gradient_accumulation, {**DEFAULTS.get(name, {})}
    own_options.update({option: value for option, value in overrides.items() if value is not None})
    optimizer = OPTIMIZERS[name](
        learning_rate=learning_rate,
        weight_decay=float(options.weight_decay),
        agc=options.agc or None,
        global_clipnorm=options.global_clipnorm or None,
        no_decay=no_decay,
        no_clip=no_clip,
        rate_factors=rate_factors,
        use_ema=options.ema > 0,
        ema_momentum=options.ema or 0.99,
        gradient_accumulation_steps=accumulated if accumulated > 1 else None,
        **own_options,
    )
    if cast(Any, keras.config.dtype_policy()).name == "mixed_float16":
        return LossScale(optimizer, name="loss_scale_optimizer")
    return optimizer


def check(options: OptimizerOptions) -> None:
    """Raise UserError unless there is the optimizer, and it has and allows the options."""
    name, defaults = options.optimizer, options_of(options.optimizer)
    for option, value in options.optimizer_overrides().items():
        if option not in defaults:
            similar = suggest(option, defaults)
            raise UserError(
                f"optimizer {name} has no option {option!r}{similar}; it has {', '.join(defaults)}"
            )
        _check_option(name, option, value, defaults[option])


def _check_option(name: str, option: str, value: Any, default: Any) -> None:
    """Raise UserError unless an option's value, None for the default, is of the default's kind and range."""
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if isinstance(default, bool):
        fits, allowed = isinstance(value, bool), "true or false"
    elif option.endswith("steps"):
        fits, allowed = is_number and value >= 0 and value == int(value), "a whole number"
    elif option == "epsilon":
        fits, allowed = is_number and 1e-37 <= value <= 1000, "a number from 1e-37 to 1000"
    elif option.startswith("exclude"):  # Muon's: patterns of weights that it leaves to Adam
        texts = [value] if isinstance(value, str) else value
        fits = isinstance(texts, (list, tuple)) and all(isinstance(text, str) for text in texts)
        allowed = "a list of texts"
    elif re.search("beta|momentum|rho", option):
        fits, allowed = is_number and 0 <= value < 1, "a number from 0 to below 1"
    else:
        fits, allowed = is_number and -1000 <= value <= 1000, "a number from -1000 to 1000"
    if value is not None and not fits:
        raise UserError(f"{option} of optimizer {name} must be {allowed}; got {value!r}")


def _check_patterns(patterns: Iterable[str]) -> None:
    for pattern in patterns:
        try:
            re.compile(pattern)
        except re.error as error:
            raise UserError(f"{pattern!r} is no regular expression for variable paths: {error}") from error
