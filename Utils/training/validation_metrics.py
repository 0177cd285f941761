"""Scores of a validation, computed on the device: F1 where precision equals recall, and the mean loss.

Precision equals recall exactly where the number predicted is the number true, so the threshold is a rank, not
a search. Histograms of the logits give it without keeping the logits. Give these metrics to ``compile`` as
``weighted_metrics``: rows of sample weight 0 (padding) then count nothing.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import keras
import numpy as np
import pandas as pd

from Utils.command.cli import UserError
from Utils.training import prior_scores
from Utils.training.experiment import Experiment
from Utils.training.packed_labels import unpacked
from Utils.training.tensors import Tensor, ops

# (bins, limit) of a histogram over logits from -limit to limit; the outermost bins take what lies beyond.
POOLED = (65536, 16.0)  # 0.0005 of a logit each, 512 KiB: its cut is within a few ranks of the exact one
BY_TAG = (128, 8.0)  # 0.125 of a logit each, 1 KiB a tag: 10 MB for 10,000 tags
# The bin of BY_TAG in which each bin of POOLED lies.
_BIN_OF_TAG = np.digitize(
    np.linspace(-16.0, 16.0, POOLED[0], endpoint=False), np.linspace(-8.0, 8.0, BY_TAG[0] + 1)[1:-1]
).astype("int32")
_IS_OUTERMOST = np.isin(np.arange(BY_TAG[0]), (0, BY_TAG[0] - 1))
PREDICTED = 0.5  # images above the threshold from which on a tag is predicted; within a bin they are shares


@keras.saving.register_keras_serializable("Utils")
class EqualPR(keras.metrics.Metric):
    """Micro and macro F1, precision and recall at the threshold where precision and recall meet.

    The threshold is that of all tags together: as many predicted as true. Within a bin the logits are taken
    as evenly spread, for the threshold and for the counts. ``result`` is a dict, which ``fit`` and
    ``evaluate`` log under its keys (``val_f1``, ``val_threshold``, ...): f1, threshold (a probability),
    precision, recall, macro_f1, macro_precision, macro_recall. Macro means are over the tags that are true
    somewhere; a tag that is never predicted has precision 0. ``never_predicted`` counts those of them that
    are predicted nowhere, ``saturated`` is the share of outputs beyond logits of -16 or 16.

    Labels above 0.5 are positive (MixUp makes them soft), below 0 unknown and not counted.

    Args:
        num_labels: number of tags.
        name: of the metric; the keys of the result do not contain it.

    Raises:
        UserError: ``num_labels`` is below 1.
    """

    def __init__(self, num_labels: int, name: str = "equal_pr", dtype: Any = "float32") -> None:
        super().__init__(name=name, dtype="float32")
        if num_labels < 1:
            raise UserError(f"num_labels must be >= 1; got {num_labels}")
        self.num_labels = num_labels
        # Counts of negatives and positives. float32 is exact to 2^24 a bin; only bins far below any threshold
        # get fuller.
        self.pooled = self.add_variable((2, POOLED[0]), "zeros", name="pooled")
        self.by_tag = self.add_variable((2, num_labels, BY_TAG[0]), "zeros", name="by_tag")

    def update_state(self, labels: Tensor, logits: Tensor, sample_weight: Tensor | None = None) -> None:
        """Count a batch: labels, maybe packed, and logits (B, num_labels), sample_weight (B,) or None."""
        labels = unpacked(labels, self.num_labels)
        logits, labels = ops.cast(logits, "float32"), ops.cast(labels, "float32")
        weights = ops.cast(labels >= 0.0, "float32")
        if sample_weight is not None:
            weights = weights * ops.reshape(ops.cast(sample_weight, "float32"), (-1, 1))
        positive = ops.cast(labels > 0.5, "int32")
        tags = ops.expand_dims(ops.arange(self.num_labels, dtype="int32"), 0)
        rows = positive * self.num_labels + tags
        pooled = _histogram(positive, logits, weights, 2, POOLED)
        by_tag = _histogram(rows, logits, weights, 2 * self.num_labels, BY_TAG)
        self.pooled.assign_add(ops.reshape(pooled, self.pooled.shape))
        self.by_tag.assign_add(ops.reshape(by_tag, self.by_tag.shape))

    def result(self) -> dict[str, Tensor]:
        """Return the scores as a dict of float32 scalars; 0 where the denominator is 0."""
        positives = ops.sum(self.pooled[1])
        cut = _cut(ops.sum(self.pooled, axis=0), positives)
        false_positives, true_positives = ops.unstack(_above(self.pooled, _shares(cut, POOLED)))
        scores = _scores(false_positives, true_positives, positives)
        tag_positives = ops.sum(self.by_tag[1], axis=-1)  # (num_labels,)
        false_positives, true_positives = ops.unstack(_above(self.by_tag, _shares_by_tag(self.pooled, cut)))
        tag_scores = _scores(false_positives, true_positives, tag_positives)
        present = ops.cast(tag_positives > 0.0, "float32")
        macro = {
            f"macro_{key}": ops.divide_no_nan(ops.sum(values * present), ops.sum(present))
            for key, values in tag_scores.items()
        }
        is_predicted = ops.cast(false_positives + true_positives > PREDICTED, "float32")
        outermost = ops.sum(self.pooled[:, 0]) + ops.sum(self.pooled[:, -1])
        return {
            "f1": scores["f1"],
            "threshold": ops.sigmoid(cut),
            **scores,
            **macro,
            "never_predicted": ops.sum(present * (1.0 - is_predicted)),
            "saturated": ops.divide_no_nan(outermost, ops.sum(self.pooled)),
        }

    def tag_counts(self) -> pd.DataFrame:
        """Return a row for each tag: images that have it, for which it is predicted, and which are both.

        Columns ``positives``, ``predicted`` and ``correct``; ``threshold`` is that of ``result``.
        """
        cut = _cut(ops.sum(self.pooled, axis=0), ops.sum(self.pooled[1]))
        false_positives, true_positives = ops.unstack(_above(self.by_tag, _shares_by_tag(self.pooled, cut)))
        columns = {
            "threshold": ops.broadcast_to(ops.sigmoid(cut), (self.num_labels,)),
            "positives": ops.sum(self.by_tag[1], axis=-1),
            "predicted": false_positives + true_positives,
            "correct": true_positives,
        }
        return pd.DataFrame({name: ops.convert_to_numpy(values) for name, values in columns.items()})

    def get_config(self) -> dict[str, Any]:
        """Return what ``__init__`` takes."""
        return {"name": self.name, "dtype": self.dtype, "num_labels": self.num_labels}


@keras.saving.register_keras_serializable("Utils")
class GroupF1(EqualPR):
    """Scores of some of the tags, at the threshold where precision and recall of these meet.

    ``result``: micro and macro F1, and how many of the tags that are true somewhere are never predicted; the
    keys begin with the group's name: ``new_f1``, ``new_macro_f1``, ``new_never_predicted``.

    Args:
        columns: the tags, at least one.
        name: of the group.
    """

    def __init__(self, columns: Sequence[int], name: str, dtype: Any = "float32") -> None:
        super().__init__(len(columns), name)
        self.columns = [int(column) for column in columns]

    def update_state(self, labels: Tensor, logits: Tensor, sample_weight: Tensor | None = None) -> None:
        """Count a batch: labels, maybe packed, and logits (B, num_labels) of all tags."""
        labels = unpacked(labels, logits.shape[-1])
        super().update_state(
            ops.take(labels, self.columns, axis=1), ops.take(logits, self.columns, axis=1), sample_weight
        )

    def result(self) -> dict[str, Tensor]:
        """Return the three scores."""
        scores = super().result()
        return {f"{self.name}_{key}": scores[key] for key in ("f1", "macro_f1", "never_predicted")}

    def get_config(self) -> dict[str, Any]:
        """Return what ``__init__`` takes."""
        return {"name": self.name, "dtype": self.dtype, "columns": self.columns}


def _histogram(
    rows: Tensor, logits: Tensor, weights: Tensor, num_rows: int, binning: tuple[int, float]
) -> Tensor:
    """Return the weights summed by row and bin of the logit, flat, (num_rows * bins,)."""
    bins, limit = binning
    position = ops.clip((logits + limit) * (bins / (2.0 * limit)), 0.0, bins - 1.0)
    flat_bins = rows * bins + ops.cast(position, "int32")
    return ops.segment_sum(ops.reshape(weights, (-1,)), ops.reshape(flat_bins, (-1,)), num_rows * bins)


def _cut(counts: Tensor, number: Tensor) -> Tensor:
    """Return the logit above which ``number`` of all lie, the logits of a bin taken as evenly spread."""
    bins, limit = POOLED
    above = ops.flip(ops.cumsum(ops.flip(counts, 0)), 0)  # in bin k or higher
    cut_bin = ops.sum(ops.cast(above >= number, "int32")) - 1  # the highest with enough in it and above
    above_or_in, in_bin = ops.take(above, cut_bin), ops.take(counts, cut_bin)
    share = ops.clip(ops.divide_no_nan(number - (above_or_in - in_bin), in_bin), 0.0, 1.0)
    return (ops.cast(cut_bin, "float32") + 1.0 - share) * (2.0 * limit / bins) - limit


def _above(histogram: Tensor, shares: Tensor) -> Tensor:
    """Return how many of each row of ``histogram`` (..., bins) lie above a cut, by the share of each bin."""
    return ops.sum(histogram * shares, axis=-1)


def _shares(cut: Tensor, binning: tuple[int, float]) -> Tensor:
    """Return the share of each bin that lies above the logit ``cut``, (bins,)."""
    bins, limit = binning
    position = (cut + limit) * (bins / (2.0 * limit))
    return ops.clip(ops.arange(1, bins + 1, dtype="float32") - position, 0.0, 1.0)


def _shares_by_tag(pooled: Tensor, cut: Tensor) -> Tensor:
    """Return the shares of the bins of BY_TAG above the logit ``cut``, (2, 1, bins).

    The outermost bins have no end: of a tag's logits in them as many lie above as of those of all tags,
    ``pooled``, negatives and positives apart.
    """
    shares = _shares(cut, BY_TAG)
    above, known = (
        ops.transpose(ops.segment_sum(ops.transpose(counts), _BIN_OF_TAG, BY_TAG[0]))
        for counts in (pooled * _shares(cut, POOLED), pooled)
    )
    shares = ops.where(_IS_OUTERMOST, ops.divide_no_nan(above, known), shares)
    return ops.expand_dims(shares, 1)


def _scores(false_positives: Tensor, true_positives: Tensor, positives: Tensor) -> dict[str, Tensor]:
    """Return precision, recall and F1 of counts of any shape, 0 where a denominator is 0."""
    predicted = true_positives + false_positives
    return {
        "precision": ops.divide_no_nan(true_positives, predicted),
        "recall": ops.divide_no_nan(true_positives, positives),
        "f1": ops.divide_no_nan(2.0 * true_positives, predicted + positives),
    }


@keras.saving.register_keras_serializable("Utils")
class MeanLoss(keras.metrics.Metric):
    """The loss averaged over the images that count: ``sum(weight * loss) / sum(weight)`` of the whole pass.

    Keras averages the batches' losses by their lengths, padding included. Under its default name this metric
    takes the place of that number in the logs (``loss`` and ``val_loss``). To a loss over the images of a
    batch, one of weight 0 is unknown.

    Args:
        loss: a ``keras.losses.Loss`` whose ``call`` gives (B,).
        name: the key in the logs.
    """

    def __init__(self, loss: keras.losses.Loss, name: str = "loss", dtype: Any = "float32") -> None:
        super().__init__(name=name, dtype="float32")
        self.loss = loss
        self.total = self.add_variable((), "zeros", name="total")
        self.count = self.add_variable((), "zeros", name="count")

    def update_state(self, labels: Tensor, logits: Tensor, sample_weight: Tensor | None = None) -> None:
        """Add a batch: labels, maybe packed, and logits (B, num_labels), sample_weight (B,) or None."""
        weights = ops.ones_like(ops.cast(logits[:, 0], "float32"))
        if sample_weight is not None:
            weights = ops.reshape(ops.cast(sample_weight, "float32"), (-1,))
            labels = ops.cast(unpacked(labels, logits.shape[-1]), "float32")
            labels = ops.where(ops.expand_dims(weights > 0.0, 1), labels, -ops.ones_like(labels))
        values = ops.cast(self.loss.call(labels, logits), "float32")
        if getattr(self.loss, "is_of_batch", False):
            values = ops.mean(values) * ops.ones_like(values)
        self.total.assign_add(ops.sum(values * weights))
        self.count.assign_add(ops.sum(weights))

    def result(self) -> Tensor:
        """Return the mean, 0 before the first image."""
        return ops.divide_no_nan(self.total, self.count)

    def get_config(self) -> dict[str, Any]:
        """Return what ``__init__`` takes."""
        return {
            "name": self.name,
            "dtype": self.dtype,
            "loss": keras.saving.serialize_keras_object(self.loss),
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "MeanLoss":
        """Return the metric that ``get_config`` describes."""
        return cls(**{**config, "loss": keras.saving.deserialize_keras_object(config["loss"])})


class _Scored(keras.Model):
    """A model whose scores are computed after the last batch: Keras does it after each."""

    def get_metrics_result(self) -> dict[str, Tensor]:
        """Return next to nothing, for Keras asks at every batch; a step of TensorFlow must give something."""
        return {"is_counted": ops.ones(())}

    def scores(self) -> dict[str, float]:
        """Return the scores of what has been evaluated."""
        return _flat(super().get_metrics_result())


def _flat(results: Mapping[str, Any]) -> dict[str, float]:
    """Return numbers by name, those of a metric that gives several by their own names."""
    numbers: dict[str, float] = {}
    for name, value in results.items():
        numbers |= _flat(value) if isinstance(value, Mapping) else {name: float(value)}
    return numbers


class Evaluator:
    """Scores a model on a validation split: ``evaluate(callbacks)`` returns ``{score: number}``.

    It evaluates a second model that shares the layers of ``model``: metrics of the trained model would be
    computed in training, too. A loss that changes its rule with the epochs is taken as it is in the first
    one, so that its numbers can be compared.

    Args:
        model: images to logits.
        data: batches that carry sample weights.
        num_labels: tags.
        trained_model: the model that is trained, if it is not ``model`` itself; loss and compilation are its.
        frequencies: (num_labels,) share of training images that have each tag; adds the scores of predicting
            these.
        groups: columns by name, each scored for itself (`GroupF1`). The mean of the F1 of ``BALANCED`` is
            ``balanced_f1``.
    """

    BALANCED = ("kept", "new")

    def __init__(
        self,
        model: keras.Model,
        data: Any,
        num_labels: int,
        trained_model: keras.Model | None = None,
        frequencies: np.ndarray | None = None,
        groups: Mapping[str, Sequence[int]] | None = None,
    ) -> None:
        trained_model = trained_model or model
        loss: Any = trained_model.loss
        if hasattr(loss, "epoch"):
            loss = type(loss).from_config(loss.get_config())
        self.data = data
        self.groups = {name: GroupF1(columns, name) for name, columns in (groups or {}).items()}
        scores = [MeanLoss(loss), EqualPR(num_labels), *self.groups.values()]
        if frequencies is not None:
            scores.append(prior_scores.of_loss(loss, frequencies))
        self.model = _Scored(model.inputs, model.outputs, name="evaluator")
        jit_compile: Any = trained_model.jit_compile  # Keras' annotations know "auto" only, here and below
        self.model.compile(loss=loss, weighted_metrics=scores, jit_compile=jit_compile)

    def __call__(self, callbacks: Iterable[keras.callbacks.Callback] = ()) -> dict[str, float]:
        """Return the scores of the weights as they are now."""
        silent: Any = 0
        self.model.evaluate(self.data, verbose=silent, callbacks=list(callbacks), return_dict=True)
        values = self.model.scores()
        if self.groups.keys() >= set(self.BALANCED):
            values["balanced_f1"] = sum(values[f"{name}_f1"] for name in self.BALANCED) / len(self.BALANCED)
        return values

    def tag_counts(self, group: str) -> pd.DataFrame:
        """Return `EqualPR.tag_counts` of a group, of the scores that were computed last."""
        return self.groups[group].tag_counts()


def of_experiment(experiment: Experiment) -> Evaluator:
    """Return the `Evaluator` of an experiment's validation split; it has one."""
    assert experiment.validation is not None
    model = experiment.trained_model if experiment.recipe.probe else experiment.model
    with experiment.devices.scope():
        data, num_labels = experiment.validation(), experiment.dataset.num_labels
        frequencies = experiment.dataset.tag_frequencies("train")
        groups = {name: columns.tolist() for name, columns in experiment.groups.items()}
        return Evaluator(model, data, num_labels, experiment.trained_model, frequencies, groups)
