"""Multi-label losses on logits: summed over the tags of an image, averaged over the images of a batch.

- binary cross-entropy
- focal loss, arXiv:1708.02002
- asymmetric loss (ASL), arXiv:2009.14119, official code github.com/Alibaba-MIIL/ASL
- those for labels that lack positives, of ``missing_positive_losses``

Each is a pure function ``(labels, logits, ...) -> (B,)`` and a thin ``keras.losses.Loss``. Names, limits and
defaults of the options are those of ``Utils.recipe.options.LossOptions``. The losses work in float32 whatever
the model's compute dtype, on logits, so that value and gradient stay finite where a probability has rounded
to 0 or 1. Labels may be soft (MixUp) between 0 and 1; below 0 they are unknown and count nothing (set them
after MixUp, mixing would hide them). A sum over tags, not a mean, is part of the recipes: with SGD a mean
would divide the effective learning rate by the number of tags.
"""

import dataclasses
from collections.abc import Callable, Iterable
from typing import Any

import keras

from Utils.command.cli import UserError, suggest
from Utils.recipe.options import LossOptions
from Utils.recipe.recipe import Recipe
from Utils.training import console
from Utils.training.expected_positive_loss import EPR, epr  # noqa: F401  here are all losses
from Utils.training.missing_positive_losses import (  # noqa: F401  here are all losses
    MISSING_POSITIVE_LOSSES,
    hill,
    ll_ct,
    ll_r,
    ral,
    splc,
    two_way,
    zlpr,
)
from Utils.training.tag_loss import FLOOR, TagLoss, cross_entropy, prepared
from Utils.training.tensors import Tensor, ops


def bce(
    labels: Tensor,
    logits: Tensor,
    *,
    label_smoothing: float = LossOptions.label_smoothing,
    tag_weights: Tensor | None = None,
) -> Tensor:
    """Return the binary cross-entropy of each image, summed over its tags.

    ``-(y log p + (1 - y) log(1 - p))`` with ``p = sigmoid(logit)``.

    Args:
        labels: (B, num_labels), 0 to 1; below 0 unknown.
        logits: (B, num_labels).
        label_smoothing: s from 0 to 1; labels become ``y (1 - s) + s / 2``.
        tag_weights: (num_labels,) factors of the tags' terms, or None.

    Returns:
        (B,) float32.
    """
    labels, logits, weights = prepared(labels, logits, label_smoothing, tag_weights)
    return ops.sum(weights * cross_entropy(labels, logits), axis=-1)


def focal(
    labels: Tensor,
    logits: Tensor,
    *,
    alpha: float = LossOptions.focal_alpha,
    gamma: float = LossOptions.focal_gamma,
    label_smoothing: float = LossOptions.label_smoothing,
    tag_weights: Tensor | None = None,
) -> Tensor:
    """Return the focal loss of each image, summed over its tags (arXiv:1708.02002).

    ``bce(y, p) * (y alpha + (1 - y)(1 - alpha)) * (1 - p_t)^gamma``, ``p_t = y p + (1 - y)(1 - p)``. With
    gamma 0 and alpha 0.5 it is half of ``bce``.

    Args:
        labels: (B, num_labels), 0 to 1; below 0 unknown.
        logits: (B, num_labels).
        alpha: 0 to 1, the share of positives; negatives get ``1 - alpha``.
        gamma: >= 0, how strongly easy terms are played down.
        label_smoothing: as in ``bce``.
        tag_weights: as in ``bce``.

    Returns:
        (B,) float32.
    """
    labels, logits, weights = prepared(labels, logits, label_smoothing, tag_weights)
    balance = (1.0 - alpha) + labels * (2.0 * alpha - 1.0)  # written so, it is exactly 0.5 for alpha 0.5
    terms = balance * cross_entropy(labels, logits)
    if gamma:
        # 1 - p_t without a subtraction that cancels
        missed = labels * ops.sigmoid(-logits) + (1.0 - labels) * ops.sigmoid(logits)
        terms = terms * ops.power(ops.maximum(missed, FLOOR), gamma)
    return ops.sum(weights * terms, axis=-1)


def asl(
    labels: Tensor,
    logits: Tensor,
    *,
    gamma_neg: float = LossOptions.asl_gamma_neg,
    gamma_pos: float = LossOptions.asl_gamma_pos,
    clip: float = LossOptions.asl_clip,
    stop_focus_gradient: bool = LossOptions.asl_stop_focus_gradient,
    label_smoothing: float = LossOptions.label_smoothing,
    tag_weights: Tensor | None = None,
) -> Tensor:
    """Return the asymmetric loss of each image, summed over its tags (arXiv:2009.14119).

    With ``q = min(1 - p + clip, 1)``:
    ``-(y log p + (1 - y) log q) * (1 - (p y + q (1 - y)))^(gamma_pos y + gamma_neg (1 - y))``. With both
    gammas and clip 0, the zoo's choice, it is exactly ``bce``. The official code's defaults are gamma_neg 4,
    gamma_pos 1, clip 0.05.

    The original zoo differentiated through the focusing weight ``(...)^(...)``, also in its published sweeps;
    the official class ``AsymmetricLoss`` takes the weight as a constant. The values are equal, the gradients
    are not where a gamma is above 0: with gamma_neg 2 a negative at p = 0.3 is pushed down 2.7 times as hard.

    Args:
        labels: (B, num_labels), 0 to 1; below 0 unknown.
        logits: (B, num_labels).
        gamma_neg: >= 0, the focusing exponent of negatives.
        gamma_pos: >= 0, the focusing exponent of positives.
        clip: >= 0, negatives with a probability below it count nothing.
        stop_focus_gradient: take the focusing weight as a constant, as the official code does; the default is
            the original zoo's.
        label_smoothing: as in ``bce``.
        tag_weights: as in ``bce``.

    Returns:
        (B,) float32.
    """
    labels, logits, weights = prepared(labels, logits, label_smoothing, tag_weights)
    terms = cross_entropy(labels, logits, clip)
    if gamma_neg or gamma_pos:
        missed_negative = ops.maximum(ops.sigmoid(logits) - clip, 0.0)  # 1 - q
        missed = labels * ops.sigmoid(-logits) + (1.0 - labels) * missed_negative
        exponent = gamma_pos * labels + gamma_neg * (1.0 - labels)
        focus = ops.power(ops.maximum(missed, FLOOR), exponent)
        terms = terms * (ops.stop_gradient(focus) if stop_focus_gradient else focus)
    return ops.sum(weights * terms, axis=-1)


@keras.saving.register_keras_serializable("Utils")
class SummedBCE(TagLoss):
    """Binary cross-entropy summed over tags: ``bce`` has the formula and the options."""

    loss = "bce"
    function = staticmethod(bce)


@keras.saving.register_keras_serializable("Utils")
class Focal(TagLoss):
    """Focal loss summed over tags: ``focal`` has the formula and the options."""

    loss = "focal"
    function = staticmethod(focal)


@keras.saving.register_keras_serializable("Utils")
class ASL(TagLoss):
    """Asymmetric loss summed over tags: ``asl`` has the formula and the options."""

    loss = "asl"
    function = staticmethod(asl)


LOSSES: dict[str, type[TagLoss]] = {
    loss.loss: loss for loss in (SummedBCE, Focal, ASL, *MISSING_POSITIVE_LOSSES)
}


def settled(recipe: Recipe, num_labels: int, mean_labels: Callable[[], float]) -> Recipe:
    """Return the recipe with what its loss takes from the labels, where it leaves that open, and say so.

    ``mean_labels()`` is the mean number of labels of a training record, of ``num_labels``. Raises UserError
    where the recipe expects more than there are.
    """
    if recipe.loss != EPR.loss:
        return recipe
    if recipe.epr_expected_positives is not None:
        if recipe.epr_expected_positives > num_labels:
            raise UserError(
                f"--epr-expected-positives must be at most the number of tags, {num_labels}; "
                f"got {recipe.epr_expected_positives:g}"
            )
        return recipe
    expected = round(mean_labels(), 4)
    console.say(
        f"--epr-expected-positives is {expected:g}, the mean number of labels of a training image: "
        "more if labels are missing"
    )
    return dataclasses.replace(recipe, epr_expected_positives=expected)


def build(loss: str | LossOptions, tag_weights: Iterable[float] | None = None, **options: Any) -> TagLoss:
    """Return a loss by its name, ``build("asl", gamma_neg=4.0)``, or the one that a recipe names.

    Args:
        loss: one of LOSSES; or a recipe, or its group of loss options.
        tag_weights: one factor for each tag; of a recipe, those of the column that its ``tag_weights`` names.
        options: with a name, the options of that loss by their short names.

    Raises:
        UserError: there is no such loss or option, or an option is out of its limits.
    """
    name = loss if isinstance(loss, str) else loss.loss
    if name not in LOSSES:
        raise UserError(f"no loss is called {name!r}{suggest(name, LOSSES)}; there are {', '.join(LOSSES)}")
    loss_options = options if isinstance(loss, str) else {**loss.loss_options(), **options}
    return LOSSES[name](
        tag_weights=tag_weights,
        **loss_options,  # pyright: ignore[reportArgumentType]  all floats: none is the reduction or name
    )
