"""How much near-duplicates of training images inflate a score, by hand."""

import pathlib

import numpy as np
import pandas as pd

from Utils.evaluation import leakage, predictions, scores


def test_leaked_are_those_with_a_training_image_in_their_group():
    groups = pd.DataFrame({"group": [1, 1, 2, 2, 3, 3, 3], "post_id": [10, 900, 901, 951, 11, 902, 952]})
    ids = np.array([900, 901, 902, 903, 951, 952, 10, 12])
    leaked = leakage.find_leaked(groups, ids, np.array([10, 11, 12]))
    assert dict(zip(ids.tolist(), leaked.tolist(), strict=True)) == {
        900: True, 901: False, 902: True, 903: False, 951: False, 952: True, 10: True, 12: True
    }  # fmt: skip


def test_scores_are_those_of_the_subsets_and_images_known_by_heart_inflate_them():
    random = np.random.default_rng(0)
    labels = random.random((200, 30)) < 0.2
    is_leaked = np.arange(200) < 40
    p = np.where(is_leaked[:, None], labels, labels * 0.3 + random.random((200, 30)) * 0.7).astype(np.float32)
    dump = predictions.Dump(pathlib.Path(), p, labels, np.arange(200), pd.DataFrame(), {})
    scored = leakage.score(dump.probabilities, dump.labels, 0.5, is_leaked)
    for subset, rows in (("all", slice(None)), ("clean", ~is_leaked), ("leaked", is_leaked)):
        assert scored.values[subset] == scores.f_beta(scores.count(p[rows], labels[rows], 0.5).total())
        low, high = scored.intervals[subset]
        assert low <= scored.values[subset] <= high
    assert scored.values["leaked"] == 1
    assert scored.inflation == scored.values["all"] - scored.values["clean"]
    assert 0 < scored.interval[0] < scored.inflation < scored.interval[1]
    rows = {name: rest for name, *rest in scored.rows()}
    assert rows["all"] == [
        200,
        scored.values["all"],
        *scored.intervals["all"],
        scored.inflation,
        *scored.interval,
    ]
    assert rows["leaked"] == [40, 1.0, *scored.intervals["leaked"], None, None, None]
    assert {1 + len(rest) for rest in rows.values()} == {len(leakage.COLUMNS)}
    nothing = leakage.score(dump.probabilities, dump.labels, 0.5, np.zeros(200, bool))
    assert (nothing.inflation, nothing.interval) == (0, (0, 0))
    assert np.isnan(nothing.values["leaked"])
