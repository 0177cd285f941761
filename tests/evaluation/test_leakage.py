"""How much near-duplicates of training images inflate a score: by hand, and in the report."""

import csv
import json

import numpy as np
import pandas as pd
import pytest

from tests.helpers import small_dataset
from tools import make_report
from Utils.data import dataset_folder
from Utils.evaluation import leakage, predictions, scores


def test_leaked_are_those_with_a_training_image_in_their_group():
    groups = pd.DataFrame({"group": [1, 1, 2, 2, 3, 3, 3], "post_id": [10, 900, 901, 951, 11, 902, 952]})
    ids = np.array([900, 901, 902, 903, 951, 952, 10, 12])
    found = leakage.find_leaked(groups, ids, np.array([10, 11, 12]))
    assert dict(zip(ids.tolist(), found.tolist(), strict=True)) == {
        900: True, 901: False, 902: True, 903: False, 951: False, 952: True, 10: True, 12: True
    }  # fmt: skip


def test_scores_are_those_of_the_parts_and_leaks_that_are_known_by_heart_inflate():
    random = np.random.default_rng(0)
    labels = random.random((200, 30)) < 0.2
    is_leaked = np.arange(200) < 40
    p = np.where(is_leaked[:, None], labels, labels * 0.3 + random.random((200, 30)) * 0.7).astype(np.float32)
    dump = predictions.Dump(None, p, labels, np.arange(200), pd.DataFrame(), {})
    found = leakage.score(dump, 0.5, is_leaked)
    for kind, rows in (("all", slice(None)), ("clean", ~is_leaked), ("leaked", is_leaked)):
        assert found.values[kind] == scores.f_beta(scores.count(p[rows], labels[rows], 0.5).total())
        low, high = found.intervals[kind]
        assert low <= found.values[kind] <= high
    assert found.values["leaked"] == 1
    assert found.inflation == found.values["all"] - found.values["clean"]
    assert 0 < found.interval[0] < found.inflation < found.interval[1]
    nothing = leakage.score(dump, 0.5, np.zeros(200, bool))
    assert (nothing.inflation, nothing.interval) == (0, (0, 0))
    assert np.isnan(nothing.values["leaked"])


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A dataset, and a dump of its validation split."""
    folder = tmp_path_factory.mktemp("leaks")
    dataset = dataset_folder.load(small_dataset(folder, num_posts=60, size=16))
    ids, random = dataset.post_ids("validation"), np.random.default_rng(0)
    labels = random.random((len(ids), dataset.num_labels)) < 0.5
    with predictions.writing(folder / "dump", dataset.tags) as writer:
        writer.add(random.random(labels.shape), ids, labels)
    groups = {"group": [1, 1], "post_id": [int(dataset.post_ids("train")[0]), int(ids[0])]}
    pd.DataFrame(groups).to_csv(folder / "groups.csv", index=False)
    return folder


def test_the_report_says_it(folder, capsys):
    words = [
        str(folder / "dump"),
        "--dataset",
        str(folder / "dataset"),
        "--groups",
        str(folder / "groups.csv"),
    ]
    assert make_report.main([*words, "-o", str(folder / "report"), "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)["leaks"]
    assert shown["counts"]["leaked"] == 1
    with (folder / "report" / "leaks.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["images"] for row in rows] == ["all", "clean", "leaked"]
    assert float(rows[0]["inflation"]) == shown["inflation"]
    assert '<h2 id="leaks">Leaks</h2>' in (folder / "report" / "report.html").read_text()


def test_without_a_dataset_nothing_is_known_to_leak(folder, capsys):
    words = [str(folder / "dump"), "--groups", str(folder / "groups.csv"), "-o", str(folder / "other")]
    assert make_report.main(words) == 2
    assert "--groups needs --dataset" in capsys.readouterr().err
    assert not (folder / "other").exists()
