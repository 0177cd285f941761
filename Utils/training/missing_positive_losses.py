"""Losses for labels that lack positives: a tag that is absent may just not have been typed.

- Hill and SPLC, arXiv:2112.07368, official code github.com/xinyu1205/robust-loss-mlml
- large loss rejection and correction (LL-R, LL-Ct), arXiv:2206.03740, github.com/snucml/LargeLossMatters
- RAL, arXiv:2308.05542, github.com/kalelpark/RAL
- two-way loss, Kobayashi, CVPR 2023, github.com/tk1980/TwoWayMultiLabelLoss
- ZLPR, arXiv:2208.02955
- EPR, arXiv:2106.09708, in ``expected_positive_loss``

Labels and logits are as in ``Utils.training.losses``: float32 inside, below 0 unknown. An unknown label has
no value and no gradient, belongs to no set and is not counted. Where a rule reads "negative" it means a label
of exactly 0, and every label above 0 (MixUp) is a positive with its mixed term. Choices are constants for the
gradient. Two-way and ZLPR give one number an image instead of a sum over thousands of tags: a learning rate
found with binary cross-entropy does not carry over.
"""

import math

import keras

from Utils.recipe.options import LossOptions
from Utils.training.expected_positive_loss import EPR
from Utils.training.tag_loss import FLOOR, EpochLoss, TagLoss, cross_entropy, prepared
from Utils.training.tensors import Tensor, ops

LOWEST = -1e30  # stands for minus infinity in a logarithm of sums, whose gradient must stay finite

# RAL's polynomial terms, as its official code has them: eps_pos, eps_pos_pow and eps_neg.
RAL_POSITIVE, RAL_POSITIVE_SQUARE, RAL_NEGATIVE = 1.0, -2.5, 0.0


def hill(
    labels: Tensor,
    logits: Tensor,
    *,
    lam: float = LossOptions.hill_lam,
    margin: float = LossOptions.hill_margin,
    gamma: float = LossOptions.hill_gamma,
    label_smoothing: float = LossOptions.label_smoothing,
    tag_weights: Tensor | None = None,
) -> Tensor:
    """Return the Hill loss of each image, summed over its tags (arXiv:2112.07368, sec. 3.2).

    A negative costs ``(lam - p) p^2``: its gradient falls again where the model is sure of the tag. A
    positive costs the focal margin term ``-(1 - p_m)^gamma log p_m``, ``p_m = sigmoid(logit - margin)``.

    Args:
        labels: (B, num_labels), 0 to 1; below 0 unknown.
        logits: (B, num_labels).
        lam: >= 1; 1.5 puts the turning point of the negatives' slope at p = 0.5.
        margin: >= 0, how far above 0 the logit of a positive has to be.
        gamma: >= 0, the focusing exponent of positives.
        label_smoothing: as in ``losses.bce``.
        tag_weights: as in ``losses.bce``.

    Returns:
        (B,) float32.
    """
    labels, logits, weights = prepared(labels, logits, label_smoothing, tag_weights)
    p = ops.sigmoid(logits)
    terms = labels * _focal_margin(logits, margin, gamma) + (1.0 - labels) * (lam - p) * p * p
    return ops.sum(weights * terms, axis=-1)


def splc(
    labels: Tensor,
    logits: Tensor,
    *,
    epoch: Tensor | int = 0,
    tau: float = LossOptions.splc_tau,
    margin: float = LossOptions.splc_margin,
    gamma: float = LossOptions.splc_gamma,
    change_epoch: int = LossOptions.splc_change_epoch,
    label_smoothing: float = 0.0,
    tag_weights: Tensor | None = None,
) -> Tensor:
    """Return the loss of each image under self-paced label correction (SPLC, arXiv:2112.07368, sec. 3.3).

    Positives cost the focal margin term of ``hill``, negatives ``-p^gamma log(1 - p)``. From ``change_epoch``
    on a negative with ``p > tau`` is taken for a missed positive: ``-(1 - p)^gamma log p``, without margin.

    Args:
        labels: (B, num_labels), 0 to 1; below 0 unknown.
        logits: (B, num_labels).
        epoch: of the training, from 0.
        tau: 0 to 1, the probability above which a negative is corrected.
        margin: as in ``hill``.
        gamma: >= 0, the focusing exponent.
        change_epoch: the first epoch with corrections, from 0.
        label_smoothing: 0; a smoothed 0 would be no negative.
        tag_weights: as in ``losses.bce``.

    Returns:
        (B,) float32.
    """
    is_negative = _is_negative(labels)
    labels, logits, weights = prepared(labels, logits, label_smoothing, tag_weights)
    p = ops.sigmoid(logits)
    negative = _power(p, gamma) * -ops.log_sigmoid(-logits)
    terms = labels * _focal_margin(logits, margin, gamma) + (1.0 - labels) * negative
    has_begun = ops.cast(epoch, "float32") >= float(change_epoch)
    is_missed = logits > _logit(tau)  # p > tau, but p is 0 in float32 below a logit of -87
    is_corrected = ops.logical_and(ops.logical_and(is_negative, is_missed), has_begun)
    terms = ops.where(is_corrected, _focal_margin(logits, 0.0, gamma), terms)
    return ops.sum(weights * terms, axis=-1)


def ll_r(
    labels: Tensor,
    logits: Tensor,
    *,
    epoch: Tensor | int = 0,
    delta_rel: float = LossOptions.ll_r_delta_rel,
    label_smoothing: float = 0.0,
    tag_weights: Tensor | None = None,
) -> Tensor:
    """Return the cross-entropy of each image, the largest negative terms rejected (arXiv:2206.03740).

    ``_largest_negatives`` says how many; their terms become 0.

    Args:
        labels: (B, num_labels), 0 to 1; below 0 unknown.
        logits: (B, num_labels).
        epoch: of the training, from 0; the first one rejects nothing.
        delta_rel: >= 0, percent of the known labels by which the share grows with every epoch.
        label_smoothing: 0; a smoothed 0 would be no negative.
        tag_weights: as in ``losses.bce``; the terms are compared without them.

    Returns:
        (B,) float32.
    """
    is_rejected = _largest_negatives(labels, logits, epoch, delta_rel)
    labels, logits, weights = prepared(labels, logits, label_smoothing, tag_weights)
    terms = cross_entropy(labels, logits)
    return ops.sum(weights * ops.where(is_rejected, ops.zeros_like(terms), terms), axis=-1)


def ll_ct(
    labels: Tensor,
    logits: Tensor,
    *,
    epoch: Tensor | int = 0,
    delta_rel: float = LossOptions.ll_ct_delta_rel,
    label_smoothing: float = 0.0,
    tag_weights: Tensor | None = None,
) -> Tensor:
    """Return the cross-entropy of each image, the largest negative terms corrected (arXiv:2206.03740).

    As ``ll_r``, but the terms that it rejects become those of positives, ``-log p``, for this step.
    """
    is_corrected = _largest_negatives(labels, logits, epoch, delta_rel)
    labels, logits, weights = prepared(labels, logits, label_smoothing, tag_weights)
    terms = ops.where(is_corrected, -ops.log_sigmoid(logits), cross_entropy(labels, logits))
    return ops.sum(weights * terms, axis=-1)


def ral(
    labels: Tensor,
    logits: Tensor,
    *,
    lam: float = LossOptions.ral_lam,
    gamma_neg: float = LossOptions.ral_gamma_neg,
    gamma_pos: float = LossOptions.ral_gamma_pos,
    clip: float = LossOptions.ral_clip,
    label_smoothing: float = LossOptions.label_smoothing,
    tag_weights: Tensor | None = None,
) -> Tensor:
    """Return the robust asymmetric loss of each image, summed over its tags (RAL, arXiv:2308.05542).

    As its official code has it, with ``q = min(1 - p + clip, 1)``:
    a positive costs ``-(log p + (1 - p) - 1.25 (1 - p)^2) (1 - p)^gamma_pos``, a negative
    ``-log q (lam - p) p^2 (lam - q) (1 - q)^gamma_neg``.

    Args:
        labels: (B, num_labels), 0 to 1; below 0 unknown.
        logits: (B, num_labels).
        lam: >= 1, as in ``hill``.
        gamma_neg: >= 0, the focusing exponent of negatives.
        gamma_pos: >= 0, the focusing exponent of positives.
        clip: >= 0, negatives with a probability below it count nothing.
        label_smoothing: as in ``losses.bce``.
        tag_weights: as in ``losses.bce``.

    Returns:
        (B,) float32.
    """
    labels, logits, weights = prepared(labels, logits, label_smoothing, tag_weights)
    p, missed = ops.sigmoid(logits), ops.sigmoid(-logits)
    polynomial = RAL_POSITIVE * missed + 0.5 * RAL_POSITIVE_SQUARE * missed * missed
    positive = -(ops.log_sigmoid(logits) + polynomial) * _power(missed, gamma_pos)
    q = ops.minimum(missed + clip, 1.0)
    log_q = ops.log(q) if clip else ops.log_sigmoid(-logits)
    hill_factor = (lam - p) * p * p * (lam - q)
    negative = -(log_q + RAL_NEGATIVE * q) * hill_factor * _power(ops.maximum(p - clip, 0.0), gamma_neg)
    return ops.sum(weights * (labels * positive + (1.0 - labels) * negative), axis=-1)


def two_way(
    labels: Tensor,
    logits: Tensor,
    *,
    T_p: float = LossOptions.two_way_T_p,  # noqa: N803  the paper's name
    T_n: float = LossOptions.two_way_T_n,  # noqa: N803
    part: str = LossOptions.two_way_part,
    label_smoothing: float = 0.0,
    tag_weights: None = None,
) -> Tensor:
    """Return the two-way loss of each image (Kobayashi, CVPR 2023).

    Of a set of labels with positives P and negatives N:
    ``softplus(T_n log sum_N exp(z / T_n) + T_p log sum_P exp(-z / T_p))``, 0 without a negative. Sample-wise
    the sets are the tags of an image, averaged over the images that have a positive; class-wise they are the
    images of a tag, averaged over the tags that have a positive in the batch. The loss is the sum of both.

    Args:
        labels: (B, num_labels), above 0 positive, 0 negative, below 0 unknown.
        logits: (B, num_labels).
        T_p: > 0, the temperature of positives.
        T_n: > 0, the temperature of negatives.
        part: both, sample or class.
        label_smoothing: 0; a smoothed 0 would be no negative.
        tag_weights: None; tags have no terms of their own to be weighted.

    Returns:
        (B,) float32 whose mean is the loss: the sample-wise part of an image times B over the number of those
        with a positive, plus the class-wise part.
    """
    is_negative = _is_negative(labels)
    labels, logits, _ = prepared(labels, logits, label_smoothing, tag_weights)
    is_positive = labels > 0.0
    by_image = ops.zeros_like(logits[:, 0])
    if part in ("both", "sample"):
        sets, counts = _two_way_of(is_positive, is_negative, logits, (T_p, T_n), axis=1)
        by_image += sets * ops.divide_no_nan(ops.cast(ops.shape(logits)[0], "float32"), ops.sum(counts))
    if part in ("both", "class"):
        sets, counts = _two_way_of(is_positive, is_negative, logits, (T_p, T_n), axis=0)
        by_image += ops.divide_no_nan(ops.sum(sets), ops.sum(counts))
    return by_image


def _two_way_of(
    is_positive: Tensor, is_negative: Tensor, logits: Tensor, temperatures: tuple[float, float], axis: int
) -> tuple[Tensor, Tensor]:
    """Return the loss of every set along ``axis``, and 1 for each set with a positive, else 0."""
    has_positive = ops.cast(ops.any(is_positive, axis=axis), "float32")
    of_positives, of_negatives = temperatures
    negatives = of_negatives * _log_sum_exp(logits / of_negatives, is_negative, axis)
    positives = of_positives * _log_sum_exp(-logits / of_positives, is_positive, axis)
    return has_positive * ops.softplus(negatives + positives), has_positive


def zlpr(labels: Tensor, logits: Tensor, *, label_smoothing: float = 0.0, tag_weights: None = None) -> Tensor:
    """Return the zero-bounded log-sum-exp and pairwise rank-based loss of each image (arXiv:2208.02955).

    ``log(1 + sum_i y_i exp(-z_i)) + log(1 + sum_i (1 - y_i) exp(z_i))``. A tag is predicted where its logit
    is above 0; probabilities are not calibrated, thresholds come from validation.

    Args:
        labels: (B, num_labels), 0 to 1; below 0 unknown.
        logits: (B, num_labels).
        label_smoothing: as in ``losses.bce``.
        tag_weights: None; tags have no terms of their own to be weighted.

    Returns:
        (B,) float32.
    """
    labels, logits, weights = prepared(labels, logits, label_smoothing, tag_weights)
    positives = _log_one_plus_sum(labels * weights, -logits)
    return positives + _log_one_plus_sum((1.0 - labels) * weights, logits)


def _log_one_plus_sum(factors: Tensor, exponents: Tensor) -> Tensor:
    """Return ``log(1 + sum(factors * exp(exponents)))`` of each row; factors 0 to 1."""
    counts = factors > 0.0
    terms = exponents + ops.log(ops.where(counts, factors, ops.ones_like(factors)))
    return ops.softplus(_log_sum_exp(terms, counts, axis=1))


def _log_sum_exp(values: Tensor, counts: Tensor, axis: int) -> Tensor:
    """Return ``log sum exp`` of the values that count, about LOWEST where none does."""
    return ops.logsumexp(ops.where(counts, values, LOWEST * ops.ones_like(values)), axis=axis)


def _is_negative(labels: Tensor) -> Tensor:
    return ops.equal(ops.cast(labels, "float32"), 0.0)


def _logit(p: float) -> float:
    return math.log(p / (1.0 - p)) if 0.0 < p < 1.0 else math.copysign(math.inf, p - 0.5)


def _power(base: Tensor, exponent: float) -> Tensor:
    return ops.power(ops.maximum(base, FLOOR), exponent) if exponent else ops.ones_like(base)


def _focal_margin(logits: Tensor, margin: float, gamma: float) -> Tensor:
    """Return ``-(1 - p_m)^gamma log p_m`` with ``p_m = sigmoid(logit - margin)``."""
    return _power(ops.sigmoid(margin - logits), gamma) * -ops.log_sigmoid(logits - margin)


def _largest_negatives(labels: Tensor, logits: Tensor, epoch: Tensor | int, delta_rel: float) -> Tensor:
    """Return a mask (B, num_labels) of the negatives of the batch with the largest losses.

    There are ``ceil(epoch * delta_rel / 100 * known labels)`` of them, at most all; of equal ones the first
    in the order of the batch. The loss of a negative grows with its logit, so logits are compared.
    """
    known = ops.sum(ops.cast(ops.cast(labels, "float32") >= 0.0, "float32"))
    is_negative = ops.reshape(_is_negative(labels), (-1,))
    # A product that is a whole number but for its rounding must not become the next one.
    share = ops.cast(epoch, "float32") * (delta_rel / 100.0) * (1.0 - 1e-6)
    number = ops.minimum(ops.ceil(share * known), ops.sum(ops.cast(is_negative, "float32")))
    flat = ops.stop_gradient(ops.reshape(ops.cast(logits, "float32"), (-1,)))
    candidates = ops.where(is_negative, flat, LOWEST * ops.ones_like(flat))
    # The least of the largest ones bounds them: a sort and two passes, in shapes that a compiler knows.
    last = ops.cast(ops.maximum(number - 1.0, 0.0), "int32")
    bound = ops.take(ops.flip(ops.sort(candidates), 0), last)
    above = candidates > bound
    at_bound = ops.logical_and(candidates == bound, is_negative)
    places_left = number - ops.sum(ops.cast(above, "float32"))
    is_among_first = ops.cumsum(ops.cast(at_bound, "int32")) <= ops.cast(places_left, "int32")
    chosen = ops.logical_or(above, ops.logical_and(at_bound, is_among_first))
    return ops.reshape(ops.logical_and(chosen, number > 0.0), ops.shape(labels))


@keras.saving.register_keras_serializable("Utils")
class Hill(TagLoss):
    """Hill loss summed over tags: ``hill`` has the formula and the options."""

    loss = "hill"
    function = staticmethod(hill)


@keras.saving.register_keras_serializable("Utils")
class SPLC(EpochLoss):
    """Self-paced label correction, summed over tags: ``splc`` has the formula and the options."""

    loss = "splc"
    function = staticmethod(splc)


@keras.saving.register_keras_serializable("Utils")
class LLR(EpochLoss):
    """Large loss rejection, summed over tags: ``ll_r`` has the formula and the options."""

    loss = "ll_r"
    function = staticmethod(ll_r)


@keras.saving.register_keras_serializable("Utils")
class LLCt(EpochLoss):
    """Large loss correction (temporary), summed over tags: ``ll_ct`` has the formula and the options."""

    loss = "ll_ct"
    function = staticmethod(ll_ct)


@keras.saving.register_keras_serializable("Utils")
class RAL(TagLoss):
    """Robust asymmetric loss summed over tags: ``ral`` has the formula and the options."""

    loss = "ral"
    function = staticmethod(ral)


@keras.saving.register_keras_serializable("Utils")
class TwoWay(TagLoss):
    """Two-way loss: ``two_way`` has the formula and the options."""

    loss = "two_way"
    function = staticmethod(two_way)
    takes_label_smoothing = takes_tag_weights = False
    is_of_batch = True


@keras.saving.register_keras_serializable("Utils")
class ZLPR(TagLoss):
    """Zero-bounded rank-based loss: ``zlpr`` has the formula and the options."""

    loss = "zlpr"
    function = staticmethod(zlpr)
    takes_tag_weights = False


MISSING_POSITIVE_LOSSES: tuple[type[TagLoss], ...] = (Hill, SPLC, LLR, LLCt, RAL, TwoWay, ZLPR, EPR)
