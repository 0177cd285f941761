"""Intervals of macro F1 and macro AP by the jackknife: how the score changes when one image is left out.

Macro F1 weights a tag that is true on three images as much as one that is true on thousands. A resample of
the bootstrap lacks a third of the images, so rare tags lose hits or vanish, and the resampled scores lie
beside the score itself (0.243 to 0.269 around 0.266). The jackknife's interval is centered at the score, and
its variance is on average not too small (Efron and Stein, The jackknife estimate of variance, 1981).
``tests/evaluation/test_jackknife.py`` simulates how often it covers. It speaks of other images of the same
kind, as many as these: with more of them the rare tags, and so the mean, would come out somewhat higher.
"""

import statistics

import numpy as np

from Utils.evaluation import per_tag_thresholds
from Utils.evaluation.bootstrap import CONFIDENCE, SparseColumns
from Utils.evaluation.chunked_matrix import Matrix


def macro_f1_without_each_image(confusion: tuple[SparseColumns, ...], num_images: int) -> np.ndarray:
    """Return the macro F1 without each image: float64 (N,), NaN where nothing is true then.

    As in `Utils.evaluation.scores.macro_f1` the mean is over the tags that are true at least once.

    Args:
        confusion: true, predicted and TP, from `Utils.evaluation.bootstrap.confusion_columns`.
        num_images: N, which the confusion does not say.
    """
    true, predicted, tp = (np.diff(cells.indptr).astype(np.float64) for cells in confusion)
    f1 = _f1(tp, true, predicted)
    # What one image less of a kind changes in a tag's F1; an image that is TP is one of both others too.
    without_true = _f1(tp, true - 1, predicted) - f1
    without_predicted = _f1(tp, true, predicted - 1) - f1
    without_both = _f1(tp - 1, true - 1, predicted - 1) - f1 - without_true - without_predicted
    total = np.full(num_images, f1.sum())
    for cells, change in zip(confusion, (without_true, without_predicted, without_both), strict=True):
        total += _sum_by_image(cells, change, num_images)
    tags = (true > 0).sum() - _sum_by_image(confusion[0], (true == 1).astype(np.float64), num_images)
    return np.divide(total, tags, out=np.full(num_images, np.nan), where=tags > 0)


def _f1(tp: np.ndarray, true: np.ndarray, predicted: np.ndarray) -> np.ndarray:
    """Return F1 of every tag; 0 where nothing is true, or a count is impossible (-1), which no cell has."""
    return np.divide(2 * tp, true + predicted, out=np.zeros_like(tp), where=(true > 0) & (predicted >= 0))


def _sum_by_image(cells: SparseColumns, values: np.ndarray, num_images: int) -> np.ndarray:
    """Sum the value of a cell's tag over the cells of every image."""
    weights = np.repeat(values, np.diff(cells.indptr))
    return np.bincount(cells.indices, weights, minlength=num_images)


def macro_ap_without_each_image(probabilities: Matrix, labels: Matrix) -> tuple[np.ndarray, np.ndarray]:
    """Return the average precision of every tag, and the mean of all without each image, in one pass.

    The first is float64 (L,), NaN where nothing is true; the second (N,), NaN where nothing is true then. The
    mean is over the tags that are true at least once, as that of F1. Exact, also where values are equal.

    Args:
        probabilities: (N, L).
        labels: (N, L).
    """
    num_images, num_labels = probabilities.shape
    precisions = np.full(num_labels, np.nan)
    total, tags = np.zeros(num_images), np.zeros(num_images, np.int64)
    for tag, keys, true in per_tag_thresholds.iterate_tags(probabilities, labels):
        positives = int(np.count_nonzero(true))
        if not positives:
            continue
        precisions[tag] = _add_ap_without_each(keys, true, total)
        tags += positives - true > 0
    return precisions, np.divide(total, tags, out=np.full(num_images, np.nan), where=tags > 0)


def _add_ap_without_each(keys: np.ndarray, true: np.ndarray, total: np.ndarray) -> float:
    """Add a tag's average precision without each image to ``total`` (N,); return that of all images.

    ``AP = 1 / P * sum over the distinct values of true images of p t / n``: p true images have the value, t
    the value or a greater one, as do n images of all. One image less takes 1 from n, and from t if it is
    true, of its own value and of those below it, nothing from greater ones.
    """
    values, p = np.unique(keys[true], return_counts=True)
    values, p = values[::-1], p[::-1].astype(np.float64)  # falling
    t = np.cumsum(p)
    reached = np.flatnonzero(keys >= values[-1])  # all others change nothing
    at_least = np.sort(keys[reached])
    n = len(at_least) - np.searchsorted(at_least, values, "left").astype(np.float64)
    terms = p * t / n
    ap = float(terms.sum() / t[-1])
    fewer = np.maximum(n - 1, 1)  # 0 only where the only image at a value is left out, whose term is 0
    above = np.concatenate([[0], np.cumsum(terms)])
    below_a_false = np.cumsum((p * t / fewer)[::-1])[::-1]
    below_a_true = np.concatenate([np.cumsum((p * (t - 1) / fewer)[::-1])[::-1], [0]])
    place = len(values) - np.searchsorted(values[::-1], keys[reached], "right")  # greater values of true ones
    is_true = true[reached]
    without = np.zeros(len(reached))
    lower = np.minimum(place, len(values) - 1)
    without[~is_true] = ((above[place] + below_a_false[lower]) / t[-1])[~is_true]
    if t[-1] > 1:
        own = (p[lower] - 1) * (t[lower] - 1) / fewer[lower]
        without[is_true] = ((above[place] + own + below_a_true[lower + 1]) / (t[-1] - 1))[is_true]
    total += ap
    total[reached] += without - ap
    return ap


def interval(value: float, without: np.ndarray, confidence: float = CONFIDENCE) -> tuple[float, float]:
    """Return ``(low, high)`` around ``value``: as many standard errors to both sides as ``confidence`` needs.

    Args:
        value: the score of all images, or the difference of two such.
        without: (N,) the same without each image. NaN in it gives NaN, as does N < 2.
        confidence: between 0 and 1.
    """
    if len(without) < 2:
        return float("nan"), float("nan")
    spread = np.sum((without - without.mean()) ** 2) * (len(without) - 1) / len(without)
    half = statistics.NormalDist().inv_cdf((1 + confidence) / 2) * float(np.sqrt(spread))
    return value - half, value + half


def interval_of_score(value: float, without: np.ndarray) -> tuple[float, float]:
    """Return the 95% `interval` of a score, cut at 0 and 1, which it passes where images are few.

    ``without`` (N,) are the scores without each of the N images.
    """
    low, high = interval(value, without)
    return max(low, 0.0), min(high, 1.0)  # NaN stays: nothing is larger or smaller
