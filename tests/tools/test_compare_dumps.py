"""tools/compare_dumps.py, Utils/evaluation/alignment.py, Utils/evaluation/bootstrap.py: against brute
force on small dumps."""

import dataclasses
import json

import numpy as np
import pandas as pd
import pytest

from tools.compare_dumps import main
from Utils.command.cli import UserError
from Utils.evaluation import alignment, bootstrap, predictions, scores, thresholds


def tag_list(names, category=0):
    numbers = range(1, len(names) + 1)
    return pd.DataFrame(
        {"tag_id": numbers, "name": names, "category": [category] * len(names), "count": numbers}
    )


def write(folder, p, y, ids, names, dtype="float32"):
    with predictions.writing(folder, tag_list(names), dtype=dtype, labels=y is not None) as writer:
        writer.add(p, ids, y)
    return folder


@pytest.fixture
def pair(tmp_path):
    """Two dumps of overlapping images and tags in other orders; B is A with some noise on what is common."""
    rng = np.random.default_rng(0)
    y = rng.random((80, 12)) < 0.3
    p = np.float32(np.clip(0.4 * y + rng.random((80, 12)) * 0.6, 0, 1))
    noisy = np.float32(np.clip(p + rng.normal(0, 0.25, p.shape), 0, 1))
    names, ids = [f"tag {i}" for i in range(12)], 1000 + 7 * np.arange(80)
    rows, columns = rng.permutation(80)[:70], rng.permutation(12)[:10]
    a = write(tmp_path / "a", p[:75, :11], y[:75, :11], ids[:75], names[:11])
    mixed = np.ix_(rows, columns)
    b = write(tmp_path / "b", noisy[mixed], y[mixed], ids[rows], [names[i] for i in columns])
    both = np.sort(np.intersect1d(rows, np.arange(75))), np.sort(np.intersect1d(columns, np.arange(11)))
    return a, b, p[np.ix_(*both)], noisy[np.ix_(*both)], y[np.ix_(*both)], ids[both[0]]


def opened(*folders):
    return [predictions.load(folder) for folder in folders]


def test_align_matches_tags_by_name_and_rows_by_id(pair):
    a, b, p, noisy, y, ids = pair
    found = alignment.align(opened(a, b))
    assert found.tags["name"].to_list() == [
        f"tag {i}" for i in range(11) if f"tag {i}" in set(found.tags["name"])
    ]
    assert found.image_ids.tolist() == ids.tolist()
    assert np.array_equal(found.probabilities[0][:], p)
    assert np.array_equal(found.probabilities[1][:], noisy)
    assert np.array_equal(found.truth[:], y)
    assert found.dropped == [(11 - p.shape[1], 75 - p.shape[0]), (10 - p.shape[1], 70 - p.shape[0])]
    assert found.label_disagreements() == [0, 0]
    narrow = found.select_columns(np.array([3, 1]))
    assert np.array_equal(narrow.probabilities[1][5:9], noisy[5:9, [3, 1]])
    assert narrow.tags["name"].to_list() == [found.tags["name"][3], found.tags["name"][1]]


def test_a_view_is_scored_like_the_array(pair):
    view = alignment.align(opened(*pair[:2])).probabilities[1]
    assert len(view) == len(view[:])
    cut = thresholds.p_equals_r(view, 100)
    assert cut == thresholds.p_equals_r(pair[3], 100)


def brute(p, y, cut):
    above = p > cut
    hit, both = (above & y).sum(0), above.sum(0) + y.sum(0)
    present = y.sum(0) > 0
    return 2 * hit.sum() / both.sum(), np.mean(2 * hit[present] / both[present])


def test_scores_and_intervals_are_those_of_brute_force(pair, capsys):
    a, b, p, noisy, y, _ = pair
    assert main([str(a), str(b), "--resamples", "150", "--seed", "3", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["images"], found["tags"], found["labels_that_differ"]) == (*y.shape, 0)
    random = np.random.default_rng(3)
    draws = [random.integers(0, len(y), len(y)) for _ in range(150)]
    resampled = []
    for dump, given in zip(found["dumps"], (p, noisy), strict=True):
        cut = thresholds.p_equals_r(given, int(y.sum())).threshold
        many = np.array([brute(given[draw], y[draw], cut) for draw in draws])
        resampled.append(many)
        expected = brute(given, y, cut)
        assert dump["threshold"] == cut
        for column, kind in enumerate(("micro_F1", "macro_F1")):
            assert dump[kind] == pytest.approx(expected[column])
            assert dump[f"{kind}_interval"] == pytest.approx(np.quantile(many[:, column], [0.025, 0.975]))
    lead = np.quantile(resampled[1] - resampled[0], [0.025, 0.975], axis=0)
    for column, kind in enumerate(("micro_F1", "macro_F1")):
        assert found["differences"][kind]["interval"] == pytest.approx(lead[:, column])
        assert found["differences"][kind]["distinguishable"] == (lead[1, column] < 0)
    assert found["differences"]["micro_F1"]["distinguishable"], "noise is worse"


def test_the_verdict_is_plain_and_swaps_with_the_order(pair, capsys):
    a, b = map(str, pair[:2])
    assert main([a, a, "--resamples", "100"]) == 0
    assert capsys.readouterr().out.count("not distinguishable") == 2
    assert main([a, b, "--resamples", "100"]) == 0
    assert "micro F1: B - A = -" in (shown := capsys.readouterr().out)
    assert "A is better" in shown
    assert main([b, a, "--resamples", "100"]) == 0
    assert "B is better" in capsys.readouterr().out


def test_a_resample_is_what_the_interval_of_one_score_uses_too(pair):
    p, y = pair[2], pair[4]
    marks = bootstrap.confusion_columns(p, y, 0.5)
    micro, _ = bootstrap.resampled_f1(marks, bootstrap.resample_counts(len(y), 200, seed=5))
    images = scores.count_per_image(p, y, 0.5)
    assert bootstrap.interval(micro) == pytest.approx(scores.bootstrap_f1(images, 200, seed=5))


def test_many_draws_of_one_image_do_not_overflow():
    y = np.ones((1, 3), bool)
    marks = bootstrap.confusion_columns(np.ones((1, 3), np.float32), y, 0.5)
    assert np.all(bootstrap.resampled_f1(marks, np.full((1, 4), 255, np.uint8)) == 1)
    rows = np.arange(1000, dtype=np.int32)
    assert np.all(bootstrap._sum_of_rows(rows, np.full((1000, 2), 255, np.uint8)) == 255_000)


def test_odd_dumps(tmp_path, capsys):
    p = np.float32([[0.5, 0.2]] * 3)
    for number, y in enumerate((np.zeros((3, 2)), np.ones((3, 2)))):
        folder = write(tmp_path / str(number), p, y, np.arange(3), ["a", "b"])
        assert main([str(folder), str(folder), "--resamples", "100"]) == 0
        assert capsys.readouterr().out.count("not distinguishable") == 2


def test_labels_that_differ_are_counted_and_those_of_the_first_are_used(tmp_path, capsys):
    p, y = np.float32([[0.9, 0.1], [0.2, 0.8]]), np.eye(2)
    a = write(tmp_path / "a", p, y, [1, 2], ["x", "y"])
    b = write(tmp_path / "b", p, 1 - y, [1, 2], ["x", "y"])
    assert main([str(a), str(b), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["labels_that_differ"] == 4
    assert [dump["micro_F1"] for dump in found["dumps"]] == [1, 1]


def test_mistakes(pair, tmp_path, capsys):
    a, _, p, *_ = pair
    other = write(tmp_path / "other", p[:, :1], None, np.arange(len(p)), ["elsewhere"])
    twice = write(tmp_path / "twice", p[:, :3], None, np.zeros(len(p)), ["tag 1", "tag 1", "tag 2"])
    cases = {
        "no tag in common": [a, other],
        "has no labels.npy": [other, other],
        "'tag 1' stands there twice": [a, twice],
        "more than once": [twice, twice],
        "--resamples must be": [a, a, "--resamples", "3"],
        "--seed must be": [a, a, "--seed", "-1"],
        "no tags are selected": [a, a, "-c", "character"],
    }
    for said, words in cases.items():
        assert main([str(word) for word in words]) == 2
        assert said in capsys.readouterr().err


def test_dumps_without_ids_go_by_position(pair):
    a = dataclasses.replace(predictions.load(pair[0]), image_ids=None)
    assert alignment.align([a, a]).image_ids is None
    assert np.array_equal(alignment.align([a, a]).probabilities[1][:], a.probabilities)
    with pytest.raises(UserError, match="same rows"):
        alignment.align([a, dataclasses.replace(a, probabilities=a.probabilities[:5])])
    with pytest.raises(UserError, match="no image_ids"):
        alignment.align([a, predictions.load(pair[0])])


@pytest.fixture
def seeds(tmp_path):
    """Folders `before` and `after` of three noisy dumps each, and a truth of all images but two."""
    rng = np.random.default_rng(7)
    true = rng.random((50, 9)) < 0.3
    labels, names, ids = true & (rng.random(true.shape) > 0.2), [f"tag_{i}" for i in range(9)], np.arange(50)
    found = {}
    for side, noise in (("before", 0.9), ("after", 0.4)):
        found[side] = [np.float32(true + noise * rng.normal(size=true.shape)) for _ in range(3)]
        for seed, p in enumerate(found[side]):
            order = rng.permutation(50)
            write(tmp_path / side / str(seed), p[order], labels[order], ids[order], names)
    lines = [f"{i},{' '.join(np.array(names)[true[i]])} unknown" for i in ids[2:]]
    (tmp_path / "truth.csv").write_text("\n".join(["image_id,tags", *lines]) + "\n")
    return tmp_path, found, true, labels


@pytest.mark.parametrize("by_truth", [False, True])
def test_runs_of_several_seeds_are_compared_by_their_means(by_truth, seeds, capsys):
    folder, found, y, labels = seeds
    if by_truth:
        words, y, found = (
            ["--truth", str(folder / "truth.csv")],
            y[2:],
            {k: [p[2:] for p in v] for k, v in found.items()},
        )
    else:
        words, y = [], labels
    sides = [str(folder / side) for side in ("before", "after")]
    assert main([*sides, *words, "--resamples", "120", "--seed", "4", "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert (said["images"], said["images_without_truth"]) == (len(y), 2 * by_truth)
    random = np.random.default_rng(4)
    draws = [random.integers(0, len(y), len(y)) for _ in range(120)]
    many = {}
    for side in said["dumps"]:
        runs = found[side["name"]]
        cuts = [np.sort(p, axis=None)[-y.sum() - 1] for p in runs]  # as many above it as are true
        assert [run["threshold"] for run in side["runs"]] == pytest.approx([float(cut) for cut in cuts])
        scores_of_runs = np.array([brute(p, y, cut) for p, cut in zip(runs, cuts, strict=True)])
        assert [run["micro_F1"] for run in side["runs"]] == pytest.approx(scores_of_runs[:, 0])
        assert [side["micro_F1"], side["macro_F1"]] == pytest.approx(scores_of_runs.mean(axis=0))
        many[side["name"]] = np.mean(
            [[brute(p[draw], y[draw], cut) for draw in draws] for p, cut in zip(runs, cuts, strict=True)],
            axis=0,
        )
    lead = np.quantile(many["after"] - many["before"], [0.025, 0.975], axis=0)
    for column, kind in enumerate(("micro_F1", "macro_F1")):
        assert said["differences"][kind]["interval"] == pytest.approx(lead[:, column])
        assert said["differences"][kind]["distinguishable"]


def test_runs_are_listed_and_one_dump_stands_against_several(seeds, capsys):
    folder, *_ = seeds
    assert main([str(folder / "before" / "1"), str(folder / "after"), "--resamples", "100"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines[3:8]] == ["A", "B", "0", "1", "2"]
    assert "mean of 3" in lines[4]


def test_a_truth_of_other_images_is_told(seeds, capsys):
    folder, *_ = seeds
    (folder / "truth.csv").write_text("image_id,tags\n9999,tag_1\n")
    sides = [str(folder / side) for side in ("before", "after")]
    assert main([*sides, "--truth", str(folder / "truth.csv")]) == 2
    assert "names none of the 50 image ids" in capsys.readouterr().err
