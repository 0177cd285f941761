"""Expected-positive regularization (EPR), arXiv:2106.09708: nothing is said of a label that is absent.

Official code: github.com/elijahcole/single-positive-multi-label. A label that is there costs ``-log p``, one
that is absent nothing; what keeps the model from saying yes to everything is the number of tags that it
expects of an image, averaged over a batch, which is drawn to a number given beforehand. The paper averages
over the tags: this is its loss times their number, the scale of the other losses.

The penalty is weak: with m labels an image and n tags, the constant outputs of the lowest loss expect
``(k + sqrt(k^2 + 2 m n / weight)) / 2`` tags. With m = k = 10 and n = 100 that is 27.9 for the paper's weight
of 1, 13.7 for 10 and 10.5 for 100.
"""

import keras

from Utils.command.cli import UserError
from Utils.recipe.options import LossOptions
from Utils.training.tag_loss import TagLoss, num_images, prepared
from Utils.training.tensors import Tensor, ops


def epr(
    labels: Tensor,
    logits: Tensor,
    *,
    expected_positives: float | None = LossOptions.epr_expected_positives,
    weight: float = LossOptions.epr_weight,
    label_smoothing: float = 0.0,
    tag_weights: None = None,
) -> Tensor:
    """Return the loss of each image under expected-positive regularization (arXiv:2106.09708).

    ``-sum_i y_i log p_i + weight (k_hat - k)^2 / num_labels``: ``k_hat`` is the sum of an image's
    probabilities, averaged over the images of which a label is known, and ``k`` is ``expected_positives``, of
    an image whose labels are all known. Unknown labels are in neither sum, and k counts by the share of these
    images' labels that is known. An image without a known label costs nothing, of either term, and the mean
    is over all images, as of the losses that are sums: it is that of the other images times their share. (The
    paper has no unknown labels.)

    Args:
        labels: (B, num_labels), 0 to 1; below 0 unknown.
        logits: (B, num_labels).
        expected_positives: > 0, the mean number of positives of an image, missing ones included.
        weight: >= 0, of the second term.
        label_smoothing: 0; a smoothed 0 would be a positive.
        tag_weights: None; the second term has no parts of tags to be weighted.

    Returns:
        (B,) float32 whose mean is the loss: every image with a known label has the whole second term.

    Raises:
        UserError: ``expected_positives`` is None.
    """
    if expected_positives is None:
        raise UserError(
            "loss epr needs expected_positives, the mean number of positives of an image; got None"
        )
    labels, logits, known = prepared(labels, logits, label_smoothing, tag_weights)
    images = num_images(known > 0.0)
    is_image = ops.cast(ops.any(known > 0.0, axis=-1), "float32")
    predicted = ops.sum(known * ops.sigmoid(logits)) / images
    excess = predicted - expected_positives * ops.sum(known) / (images * logits.shape[-1])
    by_image = ops.sum(known * labels * -ops.log_sigmoid(logits), axis=-1)
    return by_image + is_image * (weight * excess * excess / logits.shape[-1])


@keras.saving.register_keras_serializable("Utils")
class EPR(TagLoss):
    """Expected-positive regularization: ``epr`` has the formula and the options."""

    loss = "epr"
    function = staticmethod(epr)
    takes_label_smoothing = takes_tag_weights = False
