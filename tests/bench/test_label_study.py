"""Utils/bench/label_study.py: labels that are dropped, and tables and a figure of finished runs."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from helpers.small_dumps import write_dump

from Utils.bench import label_study
from Utils.bench.label_study import Noise, Trial, World
from Utils.command.cli import WorkError
from Utils.data.dataset_folder import POST_COLUMNS
from Utils.evaluation import predictions
from Utils.files import csv_tables

NAMES = ["large", "small", "sky"]


def posts(count):
    splits = ["train", "validation", "test", "train"] * (count // 4)
    columns = [list(range(count)), splits, ["x.jpg"] * count, [[0, 1, 2]] * count]
    return pa.table(dict(zip(POST_COLUMNS, columns, strict=True)), pa.schema(list(POST_COLUMNS.items())))


def test_labels_are_dropped_from_training_and_validation_posts():
    areas = {(post, name): size for post in range(4000) for name, size in (("large", 0.5), ("small", 0.01))}
    before = posts(4000)
    after = {
        kind: label_study.without_labels(before, NAMES, areas, Noise(kind, 40), 1)
        for kind in ("random", "people")
    }
    is_test = np.array(before["split"].to_pylist()) == "test"
    for kind, table in after.items():
        assert table.schema == before.schema
        assert table.drop_columns("label_indexes") == before.drop_columns("label_indexes")
        has = np.array([[label in row for label in range(3)] for row in table["label_indexes"].to_pylist()])
        assert has[is_test].all()
        shares = 1 - has[~is_test].mean(axis=0)
        assert abs(shares.mean() - 0.4) < 0.02
        if kind == "people":
            assert shares[0] < shares[2] < shares[1]
        else:
            assert np.ptp(shares) < 0.05


def test_verdicts_of_reviewers_add_and_remove_labels():
    before = posts(4)
    tag_ids = [7, 8, 9]
    fewer = label_study.with_verdicts(before, tag_ids, {(1, 8): False, (2, 9): False, (2, 7): True})
    assert fewer["label_indexes"].to_pylist() == [[0, 1, 2], [0, 2], [0, 1], [0, 1, 2]]
    assert fewer.schema == before.schema
    again = label_study.with_verdicts(fewer, tag_ids, {(1, 8): True, (2, 9): True, (3, 9): True})
    assert again == before


def test_the_area_of_a_tag_is_that_of_its_largest_box(tmp_path):
    path = tmp_path / "boxes.csv"
    path.write_text("image_id,tag,x0,y0,x1,y1\n1,hat,0,0,256,256\n1,hat,0,0,512,256\n1,cat,0,0,128,128\n")
    assert label_study.box_areas(path) == {(1, "hat"): 0.5, (1, "cat"): 1 / 16}


def finished(run, noise):
    """Write the predictions of a run: the labels with noise."""
    random = np.random.default_rng(0)
    labels = (random.random((60, 6)) < 0.4).astype(np.uint8)
    p = np.clip(0.5 * labels + random.random((60, 6)) * noise, 0, 1).astype(np.float32)
    run.mkdir(parents=True)
    write_dump(run / "dump", p, labels, np.arange(60), list("abcdef"))


def test_adjusted_predictions_are_those_of_thresholds_that_fall_with_the_frequency(tmp_path):
    run, dataset = tmp_path / "run", tmp_path / "data"
    finished(run, 0.9)
    dataset.mkdir()
    pq.write_table(posts(40), dataset / "posts.parquet")  # 20 of training; three tags
    label_study.write_adjusted(run, dataset, tmp_path / "adjusted", 0.5)
    before, after = (predictions.load(place / "dump") for place in (run, tmp_path / "adjusted"))
    odds = [dump.probabilities / (1 - dump.probabilities + 1e-7) for dump in (before, after)]
    inside = before.probabilities < 0.999
    expected = np.broadcast_to([20**-0.5] * 3 + [1] * 3, odds[0].shape)
    np.testing.assert_allclose((odds[1] / np.maximum(odds[0], 1e-7))[inside], expected[inside], rtol=1e-2)
    np.testing.assert_array_equal(after.labels, before.labels)
    np.testing.assert_array_equal(after.image_ids, before.image_ids)


def test_the_report_compares_methods_on_shared_seeds(tmp_path, capsys):
    world, noise = World("faces", 0), Noise("random", 25)
    methods = ("bce", "hill", "hill+audit", "asl", "bce-mixup", "hill-mixup")
    trials = [Trial(world, noise, name, "", seeds) for name in methods for seeds in (1, 2)]
    with pytest.raises(WorkError, match="no run is finished"):
        label_study.write_report(tmp_path, trials, tmp_path / "results", "bce")
    for trial in (trials[1], trials[2], trials[4], trials[8], trials[10]):
        for run in trial.runs(tmp_path):
            finished(run, 0.9 if trial.method == "bce" else 0.6)
    assert [trial.is_finished(tmp_path) for trial in trials[:4]] == [True, True, True, False]
    label_study.write_report(tmp_path, trials, tmp_path / "results", "bce")
    runs, differences = (
        csv_tables.read_texts(tmp_path / "results" / f"{name}.csv", "rows")
        for name in ("runs", "differences")
    )
    assert [(row["method"], row["seeds"]) for row in runs] == [
        ("bce", "2"), ("hill", "1"), ("hill+audit", "1"), ("bce-mixup", "1"), ("hill-mixup", "1"),
    ]  # fmt: skip
    assert float(runs[1]["macro_AP"]) > float(runs[0]["macro_AP"])
    assert {row["seeds"] for row in differences} == {"1"}
    assert [(row["method"], row["base"], row["metric"]) for row in differences] == [
        (method, base, metric)
        for method, base in (
            ("hill", "bce"), ("hill+audit", "bce"), ("hill+audit", "hill"), ("bce-mixup", "bce"),
            ("hill-mixup", "bce"), ("hill-mixup", "bce-mixup"),
        )
        for metric in ("micro_F1", "macro_F1", "rare_F1")
    ]  # fmt: skip
    change = float(runs[1]["micro_F1"]) - float(runs[0]["micro_F1"])
    assert float(differences[0]["difference"]) == pytest.approx(change, abs=1e-4)
    assert float(differences[0]["low"]) > 0
    change = float(runs[1]["rare_F1"]) - float(runs[0]["rare_F1"])
    assert float(differences[2]["difference"]) == pytest.approx(change, abs=2e-4)
    assert float(differences[2]["low"]) < change < float(differences[2]["high"])
    assert "hill" in (tmp_path / "results" / "differences.svg").read_text()
    assert "faces-0  random-25  hill" in capsys.readouterr().out
