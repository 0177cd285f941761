"""What the losses share: preparation of labels and logits, and the ``keras.losses.Loss`` around them.

A model that ends with its sigmoid would train on ``sigmoid(sigmoid(x))`` without a sign of it: such outputs
are refused (``require_logits``).
"""

import sys
from collections.abc import Callable, Iterable
from typing import Any, ClassVar

import keras

from Utils.command.cli import UserError
from Utils.recipe.options import LossOptions
from Utils.training.packed_labels import unpacked
from Utils.training.tensors import Tensor, ops

# Focusing weights are powers of a number that may round to 0, where the gradient of a power below 1 is
# infinite; below this floor the weight is constant. The cross-entropy it multiplies is about as small there.
FLOOR = 1e-12

# Layers and operations of Keras by their classes' names: they give probabilities, or their input's values.
_ACTIVATIONS = {"HardSigmoid", "Sigmoid", "Softmax"}
_PASSING = {"Activation", "Cast", "Dropout", "Flatten", "Identity", "Reshape", "Squeeze"}
_LINEAR = keras.activations.linear

EPOCH_STATE = "loss_epoch"  # the name of the metric that holds the epoch of a loss


def prepared(
    labels: Tensor, logits: Tensor, label_smoothing: float, tag_weights: Tensor | None
) -> tuple[Tensor, Tensor, Tensor]:
    """Return labels 0 to 1, logits, and the weight of every term, all float32 and (B, num_labels)."""
    require_logits(logits)
    logits = ops.cast(logits, "float32")
    labels = ops.cast(labels, "float32")
    weights = ops.cast(labels >= 0.0, "float32")
    labels = ops.maximum(labels, 0.0)
    if label_smoothing:
        labels = labels * (1.0 - label_smoothing) + 0.5 * label_smoothing
    if tag_weights is not None:
        weights = weights * ops.convert_to_tensor(tag_weights, "float32")
    return labels, logits, weights


def num_images(is_known: Tensor) -> Tensor:
    """Return how many images have a label that is known, (B, num_labels) bool -> float32, 1 at least."""
    return ops.maximum(ops.sum(ops.cast(ops.any(is_known, axis=-1), "float32")), 1.0)


def require_logits(outputs: Tensor) -> None:
    """Raise UserError where the outputs of a model are probabilities.

    Keras marks what ``sigmoid`` returns, except in JAX while a step is traced: there, and for activations
    that Keras does not mark, the model whose loss is computed is looked up on the call stack. A compiled
    step runs this once.
    """
    model = None if hasattr(outputs, "_keras_logits") else _model_on_stack()
    if hasattr(outputs, "_keras_logits") or (model is not None and _ends_with_activation(model)):
        raise UserError(
            "the losses of Utils.training.losses take logits, but the model gives probabilities; build it "
            "with Models.build(..., classifier_activation=None), or take Models.without_activation(model), "
            "train that, and save Models.with_probabilities(model)"
        )


def _model_on_stack() -> keras.Model | None:
    """Return the Keras model whose ``compute_loss`` runs, None outside of Keras' ``fit`` and ``evaluate``."""
    frame = sys._getframe(1)
    while frame is not None:
        model = frame.f_locals.get("self") if frame.f_code.co_name == "compute_loss" else None
        if isinstance(model, keras.Model):
            return model
        frame = frame.f_back
    return None


def _ends_with_activation(model: keras.Model) -> bool:
    """Whether all outputs of a functional or sequential model come from activations."""
    outputs: Any = getattr(model, "outputs", None)  # a subclassed model has none
    return isinstance(outputs, list) and bool(outputs) and all(map(_is_activated, outputs))


def _is_activated(output: Any) -> bool:
    """Whether a symbolic tensor comes from an activation, also through layers that pass its values on."""
    operation, node, place = output._keras_history
    kind = type(operation).__name__
    if isinstance(operation, keras.Model):
        outputs: Any = getattr(operation, "outputs", None)
        return isinstance(outputs, list) and _is_activated(outputs[place])
    if kind in _ACTIVATIONS or getattr(operation, "activation", _LINEAR) is not _LINEAR:
        return True
    return kind in _PASSING and _is_activated(operation._inbound_nodes[node].input_tensors[0])


def cross_entropy(labels: Tensor, logits: Tensor, clip: float = 0.0) -> Tensor:
    """Return ``-(y log p + (1 - y) log min(1 - p + clip, 1))``, elementwise and exact in both tails."""
    negative = ops.log_sigmoid(-logits)
    if clip:
        negative = ops.log(ops.minimum(ops.sigmoid(-logits) + clip, 1.0))
    return -(labels * ops.log_sigmoid(logits) + (1.0 - labels) * negative)


class TagLoss(keras.losses.Loss):
    """Base of the losses: checks options, computes in float32, averages over the images.

    Args:
        tag_weights: one factor >= 0 for each tag, or None.
        reduction: Keras' reduction over the images; "sum_over_batch_size" divides by all of them.
        name: the name of the loss, as Keras reports it.
        options: those of the loss's function that are in ``LossOptions``.

    Raises:
        UserError: there is no such option, it is out of its limits, or the loss does not take it.
    """

    loss: ClassVar[str]  # its name in LossOptions
    function: ClassVar[Callable[..., Tensor]]
    takes_label_smoothing: ClassVar[bool] = True
    takes_tag_weights: ClassVar[bool] = True
    is_of_batch: ClassVar[bool] = False  # only the mean over all rows says something, unknown ones included

    def __init__(
        self,
        *,
        tag_weights: Iterable[float] | None = None,
        reduction: str = "sum_over_batch_size",
        name: str | None = None,
        **options: Any,
    ) -> None:
        super().__init__(name=name or self.loss, reduction=reduction, dtype="float32")
        if tag_weights is not None:
            tag_weights = [float(weight) for weight in tag_weights]
            if min(tag_weights, default=0.0) < 0:
                raise UserError(f"tag_weights must be at least 0; got {min(tag_weights):g}")
        self.states: list[keras.metrics.Metric] = []  # what compile takes as metrics, for losses with a state
        self.options: dict[str, Any] = LossOptions.for_loss(self.loss, **options).loss_options()
        self.options["tag_weights"] = tag_weights
        if self.options["label_smoothing"] and not self.takes_label_smoothing:
            raise UserError(
                f"loss {self.loss} takes no label smoothing: its rule needs negatives of exactly 0; "
                f"got {self.options['label_smoothing']:g}"
            )
        if tag_weights is not None and not self.takes_tag_weights:
            raise UserError(f"loss {self.loss} takes no tag weights: it is no sum of terms of the tags")

    def call(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        """Return the loss of each image: labels, maybe packed, and logits (B, num_labels) -> (B,)."""
        return type(self).function(unpacked(y_true, y_pred.shape[-1]), y_pred, **self.options)

    def get_config(self) -> dict[str, Any]:
        """Return what ``__init__`` takes."""
        return {**super().get_config(), **self.options}


class EpochLoss(TagLoss):
    """Base of the losses that depend on the epoch: the training loop sets ``epoch``, also after a resume.

    The number is held in a metric, whose variable is a part of the state of every compiled step: a plain
    number would be frozen into the program. So ``compile`` takes ``metrics=loss.states``.
    """

    takes_label_smoothing = False

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.epoch_state = EpochState()
        self.states = [self.epoch_state]
        self._epoch = 0  # that of the state, which cannot be read while JAX trains
        self._is_frozen = False  # in a compiled step

    @property
    def epoch(self) -> int:
        """The epoch of the training, from 0."""
        return self._epoch

    @epoch.setter
    def epoch(self, epoch: int) -> None:
        if self._is_frozen and epoch:
            raise UserError(
                f"loss {self.loss} depends on the epoch, which a compiled step sees only in a metric: "
                "model.compile(optimizer, loss, metrics=loss.states)"
            )
        self._epoch = int(epoch)
        self.epoch_state.epoch.assign(epoch)

    def call(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        """Return the loss of each image: labels, maybe packed, and logits (B, num_labels) -> (B,)."""
        self._is_frozen = self._is_frozen or self._is_unseen()
        labels = unpacked(y_true, y_pred.shape[-1])
        return type(self).function(labels, y_pred, epoch=self.epoch_state.epoch.value, **self.options)

    def _is_unseen(self) -> bool:
        """Whether a step of Keras' takes the epoch for a constant; TensorFlow's read the variable."""
        model = None if keras.backend.backend() == "tensorflow" else _model_on_stack()
        variables = [] if model is None else model.metrics_variables
        return model is not None and not any(variable is self.epoch_state.epoch for variable in variables)


class EpochState(keras.metrics.Metric):
    """Holds the epoch for a loss among the metrics of a model; it measures nothing."""

    def __init__(self) -> None:
        super().__init__(name=EPOCH_STATE, dtype="float32")
        # The sum that metrics have by default would give each of N replicas an N-th of the epoch.
        self.epoch = self.add_variable((), "zeros", aggregation="mean", name="epoch")

    def update_state(self, *args: Any, **kwargs: Any) -> None:
        """Leave the epoch as it is."""

    def reset_state(self) -> None:
        """Leave the epoch as it is."""

    def result(self) -> Tensor:
        """Return the epoch, a float32 scalar."""
        return ops.convert_to_tensor(self.epoch)
