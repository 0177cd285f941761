"""What a validation gives to a predictor that knows only how frequent every tag is in training.

Its loss and its F1 say where a run stands: a model that is not clearly better has learned nothing from
images.
"""

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np

from Utils.training import classifier_prior
from Utils.training.packed_labels import unpacked
from Utils.training.tag_loss import TagLoss
from Utils.training.tensors import Tensor, ops


@keras.saving.register_keras_serializable("Utils")
class PriorScores(keras.metrics.Metric):
    """Loss and F1 of giving every image the training frequencies; only labels are looked at.

    ``result`` is a dict: ``prior_loss``, the mean over images, and ``prior_f1`` where precision equals
    recall: the most frequent tags are given to all images, as many tags as bring the number predicted nearest
    to the number true. Labels above 0.5 are positive, below 0 unknown and not counted.

    Args:
        frequencies: (num_labels,) share of training images that have each tag.
        terms: two of (num_labels,): the loss of each tag where it is absent and where it is present.
        name: of the metric; the keys of the result do not contain it.
    """

    def __init__(
        self,
        frequencies: Sequence[float],
        terms: Sequence[Sequence[float]],
        name: str = "prior_scores",
        dtype: Any = "float32",
    ) -> None:
        super().__init__(name=name, dtype="float32")
        self.frequencies = [float(share) for share in frequencies]
        self.terms = [[float(term) for term in row] for row in terms]
        # Tags by falling frequency; a stable order, so that every host has the same.
        self.order = np.argsort(-np.array(self.frequencies), kind="stable").astype("int32")
        shape = (2, len(self.frequencies))
        self.counts = self.add_variable(shape, "zeros", name="counts")  # negatives and positives of every tag
        self.images = self.add_variable((), "zeros", name="images")

    def update_state(self, labels: Tensor, logits: Tensor, sample_weight: Tensor | None = None) -> None:
        """Count a batch: labels, maybe packed, sample_weight (B,) or None; logits are not looked at."""
        labels = ops.cast(unpacked(labels, len(self.frequencies)), "float32")
        weights = ops.ones_like(labels[:, 0])
        if sample_weight is not None:
            weights = ops.reshape(ops.cast(sample_weight, "float32"), (-1,))
        known = ops.cast(labels >= 0.0, "float32") * ops.expand_dims(weights, 1)
        positive = ops.cast(labels > 0.5, "float32")
        per_tag = [ops.sum(known * part, axis=0) for part in (1.0 - positive, positive)]
        self.counts.assign_add(ops.stack(per_tag))
        self.images.assign_add(ops.sum(weights))

    def result(self) -> dict[str, Tensor]:
        """Return both scores as float32 scalars; 0 before the first image."""
        terms = ops.convert_to_tensor(np.array(self.terms, "float32"))
        ordered = ops.take(self.counts, self.order, axis=1)
        predicted = ops.cumsum(ops.sum(ordered, axis=0))  # by the first tag, the first two ...
        true_positives, positives = ops.cumsum(ordered[1]), ops.sum(ordered[1])
        # No tag at all is nearest where fewer labels are true than half of the images.
        nothing = ops.zeros((1,), "float32")
        predicted = ops.concatenate([nothing, predicted])
        true_positives = ops.concatenate([nothing, true_positives])
        nearest = ops.argmin(ops.abs(predicted - positives))
        hits, total = 2.0 * ops.take(true_positives, nearest), ops.take(predicted, nearest) + positives
        return {
            "prior_loss": ops.divide_no_nan(ops.sum(self.counts * terms), self.images),
            "prior_f1": ops.divide_no_nan(hits, total),
        }

    def get_config(self) -> dict[str, Any]:
        """Return what ``__init__`` takes."""
        return {"name": self.name, "dtype": self.dtype, "frequencies": self.frequencies, "terms": self.terms}


def of_loss(loss: TagLoss, frequencies: np.ndarray) -> PriorScores:
    """Return the metric for a loss, at the constant logits that are best for it.

    Of a loss that is no sum over tags (ZLPR and others) the loss is NaN.

    Args:
        loss: of ``Utils.training.losses``, with its weights of tags.
        frequencies: (num_labels,), above 0 and below 1.
    """
    config = loss.get_config()
    weights = config["tag_weights"] or [1.0] * len(frequencies)
    unweighted = type(loss).from_config({**config, "tag_weights": None})
    logits, has_none = classifier_prior.logits(unweighted, frequencies)
    column = logits[:, None]  # one image a tag, so that the sums over tags are the tags' terms
    terms = [np.asarray(ops.convert_to_numpy(unweighted.call(np.full_like(column, label), column)))
             for label in (0.0, 1.0)]  # fmt: skip
    factor = np.nan if has_none.all() else np.array(weights)
    return PriorScores(frequencies.tolist(), [(factor * row).tolist() for row in terms])
