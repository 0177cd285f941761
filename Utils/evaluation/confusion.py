"""Which tags a model takes for which: pairs of a tag wrongly predicted and one missed on the same image."""

import dataclasses

import numpy as np

from Utils.evaluation import chunked_matrix

CONSIDERED = 1000  # tags of most false positives and of most misses, so that the counts fit into memory
FEWEST = 2  # images that a pair needs
SURE = 2.0  # standard deviations of chance by which a pair must stand out


@dataclasses.dataclass(frozen=True)
class Pair:
    """``images`` times tag ``predicted`` was predicted, wrongly, where tag ``true`` was true, and missed."""

    predicted: int  # column
    true: int  # column
    images: int
    expected: float  # images, if the two mistakes had nothing to do with one another


def pairs(probabilities, labels, threshold, counts, most=20):
    """Return the `Pair`s that stand out most, by (images - expected) / sqrt(expected + 1).

    Frequent tags are wrong together by chance; what is left after that chance is what is confused.

    Args:
        threshold: a tag is predicted above it; counts: `Utils.evaluation.scores.Counts` of the tags there.
    """
    wrong, missed = _leading(counts.fp), _leading(counts.fn)
    if not len(wrong) or not len(missed):
        return []
    together = np.zeros((len(wrong), len(missed)), np.float32)  # exact up to 2**24 images
    for above, label in _masks(probabilities, labels, threshold):
        false = above[:, wrong] & ~label[:, wrong]
        lost = label[:, missed] & ~above[:, missed]
        together += false.astype(np.float32).T @ lost.astype(np.float32)
    expected = np.outer(counts.fp[wrong], counts.fn[missed]) / len(labels)
    lead = np.where(together >= FEWEST, (together - expected) / np.sqrt(expected + 1), -np.inf)
    order = np.argsort(-lead, axis=None, kind="stable")[:most]
    return [
        Pair(int(wrong[i]), int(missed[j]), int(together[i, j]), float(expected[i, j]))
        for i, j in zip(*np.unravel_index(order, lead.shape), strict=True)
        if lead[i, j] > SURE
    ]


def _leading(counts):
    """Return the columns with most mistakes, those without any left out."""
    order = np.argsort(-counts, kind="stable")[:CONSIDERED]
    return np.sort(order[counts[order] > 0])


def _masks(probabilities, labels, threshold):
    threshold = chunked_matrix.stored(threshold, probabilities.dtype)
    for block, label_block in chunked_matrix.blocks(probabilities, labels):
        yield chunked_matrix.is_above(block, threshold), label_block != 0


def columns(probabilities, labels, chosen):
    """Return a few columns as arrays: float32 and bool ``(N, len(chosen))``."""
    found = [
        (block[:, chosen].astype(np.float32), label_block[:, chosen] != 0)
        for block, label_block in chunked_matrix.blocks(probabilities, labels)
    ]
    return tuple(np.concatenate(part) for part in zip(*found, strict=True))


def worst_rows(probability, label, threshold, most=2):
    """Return rows of one tag that show its mistakes: ``(missed, wrong)``, the gravest first.

    probability (N,), label (N,) bool.
    """
    threshold = np.float32(threshold)
    missed = np.flatnonzero(label & ~(probability > threshold))
    wrong = np.flatnonzero(~label & (probability > threshold))
    missed = missed[np.argsort(probability[missed], kind="stable")]
    wrong = wrong[np.argsort(-probability[wrong], kind="stable")]
    return missed[:most].tolist(), wrong[:most].tolist()


def pair_rows(probability, label, threshold, most=3):
    """Return rows on which a pair was confused, the surest first; columns are (predicted, true)."""
    above = probability > np.float32(threshold)
    rows = np.flatnonzero(above[:, 0] & ~label[:, 0] & label[:, 1] & ~above[:, 1])
    return rows[np.argsort(-probability[rows, 0], kind="stable")][:most].tolist()
