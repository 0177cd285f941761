"""Utils/bench/audit_scores.py: average precision of an audit, by hand and by scikit-learn, and its table."""

import numpy as np
import pytest
import sklearn.metrics
from helpers.small_dumps import write_dump

from Utils.bench import audit_scores
from Utils.evaluation import predictions
from Utils.files import csv_tables
from Utils.files.atomic import write_json

TRUTH = {10: {"hat"}, 11: {"hat", "tree"}, 12: {"tree"}}


def small_dump(folder, p):
    """Three posts; `hat` of post 11 and `tree` of posts 11 and 12 are missing; the truth lacks post 13."""
    labels = [[1, 0], [0, 0], [0, 0], [0, 0]]
    return predictions.load(write_dump(folder, np.float32(p), labels, [10, 11, 12, 13], ["hat", "tree"]))


def test_only_absent_labels_of_posts_that_the_truth_names_are_ranked(tmp_path):
    dump = small_dump(tmp_path / "dump", [[0.99, 0.6], [0.9, 0.2], [0.1, 0.8], [0.95, 0.95]])
    ranking = audit_scores.rank(dump, TRUTH)
    assert ranking.rows.tolist() == [1, 2, 0, 1, 2]
    assert ranking.is_missing.tolist() == [True, True, False, True, False]
    values = dict(
        zip(audit_scores.MEASURES, audit_scores.measure(ranking, np.ones(4, np.int64)), strict=True)
    )
    assert values["average precision"] == pytest.approx((1 + 1 + 3 / 4) / 3)
    assert (values["precision at recall 0.6"], values["precision at recall 0.8"]) == (1, 0.75)
    assert np.isnan(audit_scores.measure(ranking, np.array([1, 0, 0, 1]))).all()


@pytest.mark.parametrize("levels", [5, 10**6])  # with many ties, and without
def test_weights_are_posts_that_are_there_several_times(tmp_path, levels):
    random = np.random.default_rng(levels)
    p = (random.integers(0, levels, (40, 6)) / levels).astype(np.float32)
    true, seen = random.random((2, 40, 6)) < 0.5
    names, labels = list("abcdef"), (true & seen).astype(np.uint8)
    dump = predictions.load(write_dump(tmp_path / "dump", p, labels, np.arange(40), names))
    truth = {post: {name for name, has in zip(names, true[post], strict=True) if has} for post in range(40)}
    counts = random.integers(0, 4, (40, 3))
    rows, columns = np.nonzero(labels == 0)
    values = audit_scores.resampled(audit_scores.rank(dump, truth), counts)
    for one in range(3):
        cells = true[rows, columns], p[rows, columns]
        weights = counts[rows, one]
        assert values[0, one] == pytest.approx(
            sklearn.metrics.average_precision_score(*cells, sample_weight=weights)
        )
        precision, recall, _ = sklearn.metrics.precision_recall_curve(*cells, sample_weight=weights)
        reached = [precision[recall >= least - 1e-9][-1] for least in audit_scores.RECALLS]
        np.testing.assert_allclose(values[1:, one], reached)


def test_the_table_compares_audits_with_the_first_of_their_world(tmp_path, capsys):
    good, bad = [[0.9, 0.1], [0.9, 0.8], [0.1, 0.7], [0, 0]], [[0.9, 0.8], [0.1, 0.8], [0.7, 0.1], [0, 0]]
    audits = {}
    for name, p in (("bad", bad), ("good", good)):
        audits["faces-0", "people-25", name] = tmp_path / name
        small_dump(tmp_path / name / "folds" / "all", p)
        write_json(
            tmp_path / name / "audit_scores.json", {"truth": {"findings": 4, "precision": 0.75, "recall": 1}}
        )
    (tmp_path / "truth.csv").write_text(
        "image_id,tags\n" + "".join(f"{post},{' '.join(sorted(tags))}\n" for post, tags in TRUTH.items())
    )
    audit_scores.write_table(audits, {"faces-0": tmp_path / "truth.csv"}, tmp_path / "audits.csv")
    rows = csv_tables.read_texts(tmp_path / "audits.csv", "rows")
    by_measure = {(row["audit"], row["measure"]): row for row in rows}
    assert len(by_measure) == len(rows) == 2 * len(audit_scores.MEASURES + audit_scores.OPERATING_POINT)
    first, second = (by_measure[name, "average precision"] for name in ("bad", "good"))
    assert first["base"] == first["difference"] == ""
    assert (second["base"], second["value"]) == ("bad", "1.0")
    assert float(second["difference"]) == pytest.approx(1 - float(first["value"]), abs=1e-4)
    low, high = (float(second[f"difference_{side}"]) for side in ("low", "high"))
    assert 0 <= low <= float(second["difference"]) <= high
    assert by_measure["good", "findings"]["value"] == "4"
    assert by_measure["good", "precision"]["value"] == "0.75"
    assert "faces-0  people-25  good" in capsys.readouterr().out
