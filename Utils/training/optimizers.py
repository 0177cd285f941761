"""Optimizers that obey what a model declares: what decays, what is clipped, how fast a layer learns.

``build("lamb", ...)`` gives any row of ``OPTIMIZERS``. All of it happens in ``update_step``, which Keras
calls for one variable with the gradient of the global batch: summed over the replicas, averaged over
accumulated batches. (``apply`` and the clipping Keras brings see one replica's gradient.) So one device and
many end with the same weights. Patterns are regular expressions searched in ``variable.path``.
"""

import contextlib
import inspect
import re
from collections.abc import Iterator
from typing import Any

import keras
import numpy as np
from keras import ops

from Utils.command.cli import UserError, suggest
from Utils.training import adaptive_gradient_clipping, devices


class PerVariableOptimizer:
    """Mixin before a Keras optimizer: weight decay, clipping, layer-wise rates and EMA, variable by variable.

    Args:
        agc: factor of adaptive gradient clipping (see Utils.training.adaptive_gradient_clipping), or None.
        no_clip: patterns of variables that are not clipped.
        no_decay: patterns of variables that do not decay.
        rates: (pattern, factor) pairs; the first that is found scales the learning rate of a variable.
        options: what the Keras optimizer takes. ``weight_decay`` is decoupled, ``w -= rate * decay * w``.
            ``use_ema`` and ``ema_momentum`` keep an average that ``fit`` writes into the model when it ends.
    """

    decays_in_step = False  # whether ``step`` applies ``decay_of`` by its own formula

    def __init__(self, *args, agc=None, no_clip=(), no_decay=(), rates=(), **options):
        super().__init__(*args, **options)
        self.agc = agc
        self.no_clip = tuple(no_clip)
        self.no_decay = tuple(no_decay)
        self.rates = tuple((pattern, float(factor)) for pattern, factor in rates)

    def build(self, variables):
        """Create the optimizer's state and look up what applies to each variable."""
        if self.built:
            return
        super().build(variables)
        # By index: on tensorflow update_step gets a backend variable, which has no path.
        paths = [variable.path for variable in variables]
        self._decays = [0.0 if _found(self.no_decay, path) else self.weight_decay or 0.0 for path in paths]
        self._agcs = [None if _found(self.no_clip, path) else self.agc for path in paths]
        self._rates = [
            next((rate for pattern, rate in self.rates if re.search(pattern, path)), 1.0) for path in paths
        ]

    def add_optimizer_variables(self, variables, name, initializer="zeros"):
        """Create state; averages start at the weights, or one without a gradient would end as 0."""
        if name != "average":
            return super().add_optimizer_variables(variables, name, initializer)
        return [self.add_variable_from_reference(each, name, _copying(each)) for each in variables]

    def decay_of(self, variable):
        """Return the weight decay of one variable, 0 where it is exempt."""
        return self._decays[self._get_variable_index(variable)]

    def averages(self):
        """Return what is evaluated and saved in the place of the weights, arrays in their order, or None."""
        if not self.use_ema:
            return None
        return [_array(average) for average in self._model_variables_moving_average]

    def update_step(self, gradient, variable, learning_rate):
        """Clip, decay and update one variable, then its moving average."""
        index = self._get_variable_index(variable)
        gradient = ops.cast(gradient, variable.dtype)
        learning_rate = ops.cast(learning_rate, variable.dtype) * self._rates[index]
        if self._agcs[index] is not None:
            gradient = adaptive_gradient_clipping.clipped(
                gradient, ops.convert_to_tensor(variable), self._agcs[index]
            )
        if self._decays[index] and not self.decays_in_step:
            self.assign_sub(variable, variable * (learning_rate * self._decays[index]))
        self.step(gradient, variable, learning_rate)
        if self.use_ema:
            average = self._model_variables_moving_average[index]
            kept = ops.where(self.iterations > 0, self.ema_momentum, 0.0)
            self.assign(average, kept * average + (1.0 - kept) * variable)

    def step(self, gradient, variable, learning_rate):
        """Apply the optimizer's own formula to one variable."""
        super().update_step(gradient, variable, learning_rate)

    def _apply_weight_decay(self, variables):
        """Nothing: ``update_step`` does it, also under strategies where Keras' own way cannot (Muon)."""

    def _update_model_variables_moving_average(self, trainable_variables):
        """Nothing: ``update_step`` does it; Keras would also count the micro-batches of an accumulation."""

    def get_config(self):
        """Return what ``__init__`` takes."""
        return {
            **super().get_config(),
            "agc": self.agc,
            "no_clip": list(self.no_clip),
            "no_decay": list(self.no_decay),
            "rates": [list(pair) for pair in self.rates],
        }


@contextlib.contextmanager
def averaged_weights(model: keras.Model) -> Iterator[None]:
    """Put the averages of the weights, if the optimizer keeps some, into the model while the block runs."""
    averages = _unscaled(model.optimizer).averages()
    if averages is None:
        yield
        return
    weights = model.trainable_variables
    values = [_array(weight) for weight in weights]
    try:
        for weight, average in zip(weights, averages, strict=True):
            weight.assign(average)
        yield
    finally:
        for weight, value in zip(weights, values, strict=True):
            weight.assign(value)


def _unscaled(optimizer: Any) -> Any:
    """Return the optimizer that a LossScale wraps, else itself."""
    return getattr(optimizer, "inner_optimizer", optimizer)


def _copying(variable):
    """Return an initializer that copies a variable: an assignment in ``build`` is lost where it is traced."""
    return lambda shape, dtype=None: ops.copy(variable)


def _array(variable):
    """Copy a variable: jax gives up buffers it has used."""
    return np.array(ops.convert_to_numpy(variable))


def _found(patterns, path):
    return any(re.search(pattern, path) for pattern in patterns)


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

    def __init__(self, learning_rate=0.001, beta_1=0.9, beta_2=0.999, epsilon=1e-6, name="lamb", **options):
        super().__init__(learning_rate=learning_rate, name=name, **options)
        self.beta_1 = beta_1
        self.beta_2 = beta_2
        self.epsilon = epsilon

    def build(self, variables):
        """Create the two moments of each variable."""
        if self.built:
            return
        super().build(variables)
        self._means, self._squares = self.add_optimizer_variables(variables, ["momentum", "velocity"])

    def step(self, gradient, variable, learning_rate):
        """Apply the formula to one variable."""
        index = self._get_variable_index(variable)
        mean, square = self._means[index], self._squares[index]
        count = ops.cast(self.iterations + 1, variable.dtype)
        # 1 - beta rounds as 1 - beta^count does: the first step's moments are then exactly g and g^2
        beta_1, beta_2 = ops.cast(self.beta_1, variable.dtype), ops.cast(self.beta_2, variable.dtype)
        self.assign_add(mean, (gradient - mean) * (1.0 - beta_1))
        self.assign_add(square, (ops.square(gradient) - square) * (1.0 - beta_2))
        unbiased_mean = mean / (1.0 - ops.power(beta_1, count))
        unbiased_square = square / (1.0 - ops.power(beta_2, count))
        weight = ops.convert_to_tensor(variable)
        update = unbiased_mean / (ops.sqrt(unbiased_square) + self.epsilon) + self.decay_of(variable) * weight
        self.assign_sub(variable, learning_rate * _trust_ratio(weight, update) * update)

    def get_config(self):
        """Return what ``__init__`` takes."""
        own = {"beta_1": self.beta_1, "beta_2": self.beta_2, "epsilon": self.epsilon}
        return {**super().get_config(), **own}


def _trust_ratio(weight, update):
    """Return ``|w| / |u|``, 1 where either is 0."""
    weight_length = ops.sqrt(ops.sum(ops.square(weight)))
    update_length = ops.sqrt(ops.sum(ops.square(update)))
    both = ops.logical_and(weight_length > 0.0, update_length > 0.0)
    return ops.where(both, weight_length / ops.where(both, update_length, 1.0), 1.0)


@keras.saving.register_keras_serializable("Utils")
class ScheduleFreeAdamW(PerVariableOptimizer, keras.optimizers.ScheduleFreeAdamW):
    """AdamW that needs no schedule, arXiv:2405.15682; the model trains at y, between iterate z and average x.

    ``z -= rate * (g / (sqrt(v) + epsilon) + decay * y)``, ``x += (z - x) / t``, ``y = (1 - b1) z + b1 x``, v
    the unbiased mean of squared gradients. keras.optimizers.ScheduleFreeAdamW (3.15) with its formula mended:
    on tensorflow it takes the new z for the old one, and its decay moves y alone.
    """

    decays_in_step = True

    def step(self, gradient, variable, learning_rate):
        """Apply the formula to one variable."""
        index = self._get_variable_index(variable)
        count = ops.cast(self.iterations + 1, variable.dtype)
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

    def averages(self):
        """Return x, the averages that the paper evaluates; the moving averages where these are kept, too."""
        if self.use_ema:
            return super().averages()
        pairs = zip(self._trainable_variables, self._momentums, strict=True)
        return [(_array(y) - (1.0 - self.beta_1) * _array(z)) / self.beta_1 for y, z in pairs]


@keras.saving.register_keras_serializable("Utils")
class LossScale(keras.optimizers.LossScaleOptimizer):
    """Keras' loss scaling, which leaves out the step where the gradient of any replica overflows.

    Keras looks at the first replica's gradient only.
    """

    def check_finite(self, grads):
        """Return whether all gradients are finite, on all replicas."""
        return devices.all_replicas(super().check_finite(grads))


def _per_variable(base):
    """Return a Keras optimizer class with ``PerVariableOptimizer`` before it, registered for saving."""
    made = type(
        base.__name__,
        (PerVariableOptimizer, base),
        {"__doc__": f"keras.optimizers.{base.__name__}, declared."},
    )
    return keras.saving.register_keras_serializable("Utils")(made)


SGD = _per_variable(keras.optimizers.SGD)
Adam = _per_variable(keras.optimizers.Adam)
AdamW = _per_variable(keras.optimizers.AdamW)
Lion = _per_variable(keras.optimizers.Lion)
Muon = _per_variable(keras.optimizers.Muon)
NAdam = _per_variable(keras.optimizers.Nadam)
RMSprop = _per_variable(keras.optimizers.RMSprop)

# name: class, defaults that are the zoo's rather than Keras'
OPTIMIZERS = {
    "sgd": (SGD, {"momentum": 0.9, "nesterov": True}),
    "lamb": (LAMB, {}),
    "adam": (Adam, {}),
    "adamw": (AdamW, {}),
    "lion": (Lion, {}),
    "muon": (Muon, {}),
    "nadam": (NAdam, {}),
    "rmsprop": (RMSprop, {}),
    "schedule_free_adamw": (ScheduleFreeAdamW, {}),
}


def options_of(name):
    """Return the options that are an optimizer's own, such as momentum or beta_1, with their defaults.

    Raises:
        UserError: no such optimizer.
    """
    if name not in OPTIMIZERS:
        near = suggest(name, OPTIMIZERS)
        raise UserError(f"no optimizer is called {name!r}{near}; there are {', '.join(OPTIMIZERS)}")
    optimizer, defaults = OPTIMIZERS[name]
    base = optimizer if optimizer is LAMB else optimizer.__mro__[2]  # after PerVariableOptimizer
    classes = (keras.optimizers.SGD, keras.optimizers.Adam)
    shared = set.intersection(*(set(inspect.signature(one).parameters) for one in classes)) | {"options"}
    parameters = inspect.signature(base).parameters.values()
    own = {parameter.name: parameter.default for parameter in parameters if parameter.name not in shared}
    own.pop("adam_weight_decay", None)  # Muon's second decay: ``weight_decay`` is the only one here
    return {**own, **defaults}


def build(
    name,
    learning_rate,
    *,
    weight_decay=0.0,
    agc=None,
    no_decay=(),
    no_clip=(),
    rates=(),
    ema=None,
    accumulate=1,
    **options,
):
    """Return the optimizer called ``name``, a row of ``OPTIMIZERS``; under mixed_float16 within `LossScale`.

    Args:
        name: "sgd" (Nesterov, momentum 0.9), "lamb", "adamw", "lion", "muon", ...
        learning_rate: a float or a schedule (of ``Optimizer.iterations``).
        weight_decay: 0 for none. LAMB's is inside its trust ratio, elsewhere ``w -= rate * decay * w``.
        agc: factor of adaptive gradient clipping, for example 0.01, or None.
        no_decay: patterns searched in ``variable.path`` of weights that do not decay.
        no_clip: patterns of weights that AGC leaves alone.
        rates: (pattern, factor) pairs, layer-wise learning rates.
        ema: momentum of the moving average of the weights, for example 0.9999, or None.
        accumulate: batches whose gradients are averaged before a step.
        options: the optimizer's own (``options_of``); None stands for the default.

    Raises:
        UserError: no such optimizer or option, a value out of range, a pattern that is no regular expression.
    """
    known = options_of(name)
    for option in options:
        if option not in known:
            near = suggest(option, known)
            raise UserError(f"optimizer {name} has no option {option!r}{near}; it has {', '.join(known)}")
        _check_option(name, option, options[option], known[option])
    _check(weight_decay=weight_decay, agc=agc, ema=ema, accumulate=accumulate)
    _compile([*no_decay, *no_clip, *(pattern for pattern, _ in rates)])
    optimizer, defaults = OPTIMIZERS[name]
    given = {option: value for option, value in options.items() if value is not None}
    made = optimizer(
        learning_rate=learning_rate,
        weight_decay=float(weight_decay),
        agc=agc,
        no_decay=no_decay,
        no_clip=no_clip,
        rates=rates,
        use_ema=ema is not None,
        ema_momentum=0.99 if ema is None else ema,
        gradient_accumulation_steps=accumulate if accumulate > 1 else None,
        **{**defaults, **given},
    )
    scaled = keras.config.dtype_policy().name == "mixed_float16"
    return LossScale(made, name="loss_scale_optimizer") if scaled else made


def _check_option(name, option, value, default):
    """Raise UserError unless an option's value, None for the default, is of the default's kind and range."""
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if isinstance(default, bool):
        fits, allowed = isinstance(value, bool), "true or false"
    elif option.endswith("steps"):
        fits, allowed = number and value >= 0 and value == int(value), "a whole number"
    elif re.search("beta|momentum|rho", option):
        fits, allowed = number and 0 <= value < 1, "a number from 0 to below 1"
    else:
        fits, allowed = number or default is None, "a number"
    if value is not None and not fits:
        raise UserError(f"{option} of optimizer {name} must be {allowed}; got {value!r}")


def _check(*, weight_decay, agc, ema, accumulate):
    if weight_decay < 0:
        raise UserError(f"weight_decay must be >= 0; got {weight_decay}")
    if agc is not None and agc <= 0:
        raise UserError(f"agc must be > 0, or none; got {agc}")
    if ema is not None and not 0 <= ema < 1:
        raise UserError(f"ema must be from 0 to below 1, or none; got {ema}")
    if not isinstance(accumulate, int) or accumulate < 1:
        raise UserError(f"accumulate must be a whole number >= 1; got {accumulate}")


def _compile(patterns):
    for pattern in patterns:
        try:
            re.compile(pattern)
        except re.error as error:
            raise UserError(f"{pattern!r} is no regular expression for variable paths: {error}") from error
