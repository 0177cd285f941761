"""Bands of frequency, scores of parts and the order of taggers."""

import numpy as np
import pandas as pd
import pytest

from Utils.comparison import tagger_scores
from Utils.evaluation import bootstrap, scores
from Utils.evaluation.alignment import MatrixView


def scored(seed, codes=(0, 0, 4, 4), posts=60):
    random = np.random.default_rng(seed)
    y = random.random((posts, len(codes))) < [0.5, 0.1, 0.2, 0.02]
    p = np.float32(np.clip(0.3 * y + 0.7 * random.random(y.shape), 0, 1))
    tags = pd.DataFrame({"tag_id": range(4), "name": list("abcd"), "category": codes, "count": 0})
    view = MatrixView(p, np.arange(posts), np.arange(len(codes)))
    resamples = bootstrap.resample_counts(posts, 100)
    published = np.array([0.4, 0.5, 0.6, 0.7]), "a file"
    return p, y, tagger_scores.score(view, y.astype(np.uint8), tags, published, resamples)


def test_bands_hold_every_tag_that_is_true_once():
    positives = np.array([0, 1, 9, 10, 99, 100, 999, 1000, 5000])
    bands = dict(tagger_scores.frequency_bands(positives))
    assert {name: positives[columns].tolist() for name, columns in bands.items()} == {
        "1 to 9 posts": [1, 9],
        "10 to 99 posts": [10, 99],
        "100 to 999 posts": [100, 999],
        "1,000 posts and more": [1000, 5000],
    }


def test_parts_are_scored_as_if_alone():
    p, y, found = scored(0)
    characters = next(part for part in found.categories if part.name == "character")
    cut = np.sort(p[:, 2:], axis=None)[-y[:, 2:].sum() - 1]
    counts = scores.count(p[:, 2:], y[:, 2:], cut)
    assert characters.threshold == cut
    assert characters.micro_f1 == scores.f_beta(counts.total())
    everywhere = scores.count(p, y, found.at_equality.threshold)
    rare = found.frequencies[0]
    assert rare.macro_f1 == pytest.approx(np.mean(scores.f_beta(everywhere)[y.sum(axis=0) < 10]))
    assert sum(part.positives for part in found.frequencies) == y.sum()


def test_a_tagger_does_not_differ_from_itself_and_more_noise_ranks_lower():
    _, y, found = scored(0)
    for metric in tagger_scores.METRICS:
        difference = tagger_scores.difference(found, found, metric)
        assert (difference.value, difference.low, difference.high) == (0, 0, 0)
        low, high = found.interval(metric)
        assert low < found.value(metric) < high
    assert np.isnan(found.f1_of_tags()).sum() == (y.sum(axis=0) == 0).sum()
    worse = scored(1)[2]
    best = max((found, worse), key=lambda each: each.macro_ap)
    assert tagger_scores.ranking({"a": found, "b": worse})[0] == ("a" if best is found else "b")
