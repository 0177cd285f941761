"""What all optimizers share beside their formula: decay, clipping, learning rate and average per variable.

All of it happens in ``update_step``, which Keras calls for one variable with the gradient of the global
batch: summed over the replicas, averaged over accumulated batches. (``apply`` and the clipping that Keras has
see the gradient of one replica.) So one device and many end with the same weights. Clipping by the global
norm needs all variables at once: it happens one call earlier, where the gradients have been summed. Patterns
are regular expressions searched in ``variable.path``.
"""

import contextlib
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, cast

import keras
import numpy as np

from Utils.training import adaptive_gradient_clipping, devices
from Utils.training.tensors import Tensor, ops
from Utils.training.weight_sharding import to_host

_KerasOptimizer = keras.optimizers.Optimizer if TYPE_CHECKING else object  # the class the mixin precedes


class PerVariableOptimizer(_KerasOptimizer):
    """Mixin before a Keras optimizer: weight decay, clipping, learning rate and average of each variable.

    Args:
        agc: factor of adaptive gradient clipping (see Utils.training.adaptive_gradient_clipping), or None.
        no_clip: patterns of variables that are not clipped.
        no_decay: patterns of variables that do not decay.
        rate_factors: (pattern, factor) pairs; the first that matches scales the variable's learning rate. A
            factor may be a number, or one for each entry of the variable's last axis.
        options: what the Keras optimizer takes. ``weight_decay`` is decoupled, ``w -= rate * decay * w``.
            ``use_ema`` and ``ema_momentum`` keep an average that ``fit`` writes into the model when it ends.
            ``global_clipnorm`` scales all gradients down to this norm of all of them together, before AGC.
    """

    decays_in_step = False  # whether ``step`` applies ``decay_of`` itself, as LAMB within its trust ratio

    def __init__(
        self,
        *args: Any,
        agc: float | None = None,
        no_clip: Iterable[str] = (),
        no_decay: Iterable[str] = (),
        rate_factors: Iterable[Sequence[Any]] = (),
        **options: Any,
    ) -> None:
        super().__init__(*args, **options)
        self.agc = agc
        self.no_clip = tuple(no_clip)
        self.no_decay = tuple(no_decay)
        self.rate_factors = tuple((pattern, _frozen(factor)) for pattern, factor in rate_factors)

    def build(self, variables: Sequence[keras.Variable]) -> None:
        """Create the optimizer's state and look up what applies to each variable."""
        if self.built:  # it may be called again, as Keras' own
            return
        super().build(variables)
        # By index: on tensorflow update_step gets a backend variable, which has no path.
        paths = [variable.path for variable in variables]
        decay = self.weight_decay or 0.0
        self._decays = [0.0 if _matches_any(self.no_decay, path) else decay for path in paths]
        self._clip_factors = [None if _matches_any(self.no_clip, path) else self.agc for path in paths]
        self._rate_factors = [
            next((factor for pattern, factor in self.rate_factors if re.search(pattern, path)), 1.0)
            for path in paths
        ]

    def add_optimizer_variables(
        self, trainable_variables: Any, name: Any, initializer: Any = "zeros"
    ) -> list[Any]:
        """Create state; averages start at the weights, or that of a weight without gradient would stay 0."""
        if name != "average":
            return super().add_optimizer_variables(trainable_variables, name, initializer)
        return [
            self.add_variable_from_reference(variable, name, _copying(variable))
            for variable in trainable_variables
        ]

    def decay_of(self, variable: Tensor) -> float:
        """Return the weight decay of one variable, 0 where it is exempt."""
        return self._decays[self._get_variable_index(variable)]

    def averages(self) -> list[np.ndarray] | None:
        """Return the averages to evaluate and save in place of the weights, in their order, or None."""
        if not self.use_ema:
            return None
        return [to_host(average) for average in self._model_variables_moving_average]

    def update_step(self, gradient: Tensor, variable: Tensor, learning_rate: Tensor) -> None:
        """Clip, decay and update one variable, then its moving average."""
        index = self._get_variable_index(variable)
        # In this order clipping sees the gradient alone, and the decay takes the weight before the update,
        # as Keras' own decay does.
        gradient = ops.cast(gradient, variable.dtype)
        factor = ops.convert_to_tensor(self._rate_factors[index], variable.dtype)  # () or (last axis,)
        learning_rate = ops.cast(learning_rate, variable.dtype) * factor
        clip_factor = self._clip_factors[index]
        if clip_factor is not None:
            weight = ops.convert_to_tensor(variable)
            gradient = adaptive_gradient_clipping.clip_by_unit_norm(gradient, weight, clip_factor)
        if self._decays[index] and not self.decays_in_step:
            self.assign_sub(variable, variable * (learning_rate * self._decays[index]))
        self.step(gradient, variable, learning_rate)
        if self.use_ema:
            average = self._model_variables_moving_average[index]
            # The first update sets the average, so that the random initial weights have no part in it.
            momentum = ops.where(cast(Any, self.iterations) > 0, self.ema_momentum, 0.0)
            self.assign(average, momentum * average + (1.0 - momentum) * variable)

    def _clip_gradients(self, grads: Any) -> Any:
        """Leave the global norm to the two functions below; clip in Keras' other ways."""
        return grads if self.global_clipnorm else super()._clip_gradients(grads)

    def _backend_update_step(self, grads: Any, trainable_variables: Any, learning_rate: Any) -> None:
        """Clip by the global norm on jax, where gradients are those of the global batch from the start."""
        if keras.backend.backend() != "tensorflow":
            grads = self._with_norm_limit(grads)
        super()._backend_update_step(grads, trainable_variables, learning_rate)

    def _all_reduce_sum_gradients(self, grads_and_vars: Any) -> list[Any]:
        """Clip by the global norm on tensorflow, where Keras sums gradients over the replicas here."""
        pairs = list(cast(Any, super())._all_reduce_sum_gradients(grads_and_vars))
        gradients = self._with_norm_limit([gradient for gradient, _ in pairs])
        return [(gradient, variable) for gradient, (_, variable) in zip(gradients, pairs, strict=True)]

    def _with_norm_limit(self, gradients: list[Tensor]) -> list[Tensor]:
        """Return gradients times ``limit / norm`` where their global norm is above the limit."""
        if not self.global_clipnorm:
            return gradients
        squares = [ops.sum(ops.square(ops.cast(gradient, "float32"))) for gradient in gradients]
        factor = self.global_clipnorm / ops.maximum(ops.sqrt(sum(squares)), self.global_clipnorm)
        return [gradient * ops.cast(factor, gradient.dtype) for gradient in gradients]

    def step(self, gradient: Tensor, variable: Tensor, learning_rate: Tensor) -> None:
        """Apply the optimizer's formula to one variable."""
        super().update_step(gradient, variable, learning_rate)

    def _apply_weight_decay(self, variables: Any) -> None:
        """Do nothing: ``update_step`` decays, also under strategies where Keras' own decay fails (Muon)."""

    def _update_model_variables_moving_average(self, trainable_variables: Any) -> None:
        """Do nothing: ``update_step`` averages. Keras would also count an accumulation's micro-batches."""

    def get_config(self) -> dict[str, Any]:
        """Return what ``__init__`` takes."""
        return {
            **super().get_config(),
            "agc": self.agc,
            "no_clip": list(self.no_clip),
            "no_decay": list(self.no_decay),
            "rate_factors": [[pattern, _thawed(factor)] for pattern, factor in self.rate_factors],
        }


@contextlib.contextmanager
def averaged_weights(model: keras.Model) -> Iterator[None]:
    """Put the averages of the weights, if the optimizer keeps some, into the model while the block runs."""
    optimizer = getattr(model.optimizer, "inner_optimizer", model.optimizer)  # the one within a LossScale
    averages = optimizer.averages()
    if averages is None:
        yield
        return
    weights = model.trainable_variables
    # Copies on the host: a second set of weights on the device might not fit.
    values = [to_host(weight) for weight in weights]
    try:
        for weight, average in zip(weights, averages, strict=True):
            weight.assign(average)
        yield
    finally:
        for weight, value in zip(weights, values, strict=True):
            weight.assign(value)


def _copying(variable: Tensor) -> Any:
    """Return an initializer that copies a variable: an assignment in ``build`` is lost where it is traced."""
    return lambda shape, dtype=None: ops.copy(variable)


def _frozen(factor: Any) -> float | tuple[float, ...]:
    return tuple(map(float, factor)) if isinstance(factor, (list, tuple)) else float(factor)


def _thawed(factor: float | tuple[float, ...]) -> float | list[float]:
    return list(factor) if isinstance(factor, tuple) else factor


def _matches_any(patterns: Iterable[str], path: str) -> bool:
    return any(re.search(pattern, path) for pattern in patterns)


@keras.saving.register_keras_serializable("Utils")
class LossScale(keras.optimizers.LossScaleOptimizer):
    """Keras' loss scaling, which leaves out the step where the gradient of any replica overflows.

    In float16, numbers below 6e-8 are 0, and many gradients are that small. So the loss is multiplied by a
    scale before the backward pass; the gradients are divided by it afterwards, in float32, before they are
    clipped. Where one overflows, the step is left out and the scale halved; after many good steps it is
    doubled. Keras checks the gradient of the first replica only: another one that overflows would differ
    from the rest from then on.
    """

    def check_finite(self, grads: Any) -> Tensor:
        """Return whether all gradients are finite, on all replicas."""
        return devices.all_replicas(super().check_finite(grads))
