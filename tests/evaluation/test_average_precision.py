"""Average precision, equal to scikit-learn's."""

import numpy as np
import pytest
from helpers.score_cases import CASES
from sklearn import metrics as oracle

from Utils.evaluation import average_precision, per_tag_thresholds


@pytest.mark.parametrize(
    "name", ["float32", "float16", "uint8-quantized", "logits", "empty tags", "constant"]
)
def test_average_precision_is_that_of_scikit_learn(name, monkeypatch):
    p, y = next((p[:, :12], y[:, :12] != 0) for case, p, y in CASES if case == name)
    per_tag = per_tag_thresholds.average_precisions(p, y)
    for tag in range(p.shape[1]):
        if y[:, tag].any():
            expected = oracle.average_precision_score(y[:, tag], p[:, tag].astype(np.float64))
            assert per_tag[tag] == pytest.approx(expected, rel=1e-12)
        else:
            assert np.isnan(per_tag[tag])
    monkeypatch.setattr(average_precision, "SORTED", 100)
    together = average_precision.average_precision(p, y)
    assert together == pytest.approx(oracle.average_precision_score(y.ravel(), p.ravel().astype(np.float64)))
    part = average_precision.average_precision(p, y, np.array([1, 4]))
    some = y[:, [1, 4]].ravel(), p[:, [1, 4]].ravel().astype(np.float64)
    assert part == pytest.approx(oracle.average_precision_score(*some))
