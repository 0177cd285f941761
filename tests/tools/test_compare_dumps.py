"""tools/compare_dumps.py: scores, intervals and verdicts, by brute force on small dumps."""

import json

import numpy as np
import pytest
from helpers.small_dumps import overlapping_dumps, write_dump

from tools.compare_dumps import main
from Utils.evaluation import thresholds


@pytest.fixture
def pair(tmp_path):
    return overlapping_dumps(tmp_path)


def brute(p, y, cut):
    above = p > cut
    hit, both = (above & y).sum(0), above.sum(0) + y.sum(0)
    present = y.sum(0) > 0
    return 2 * hit.sum() / both.sum(), np.mean(2 * hit[present] / both[present])


def jackknifed(value, without):
    """The 95% interval of a score from its values without each image."""
    without = np.asarray(without)
    half = 1.959964 * np.sqrt(((without - without.mean()) ** 2).sum() * (1 - 1 / len(without)))
    return value - half, value + half


def without_each(p, y, cut):
    return [brute(np.delete(p, row, 0), np.delete(y, row, 0), cut)[1] for row in range(len(y))]


def test_scores_and_intervals_are_those_of_brute_force(pair, capsys):
    a, b, p, noisy, y, _ = pair
    assert main([str(a), str(b), "--resamples", "150", "--seed", "3", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["images"], found["tags"], found["labels_that_differ"]) == (*y.shape, 0)
    random = np.random.default_rng(3)
    draws = [random.integers(0, len(y), len(y)) for _ in range(150)]
    resampled, left_out, macro = [], [], []
    for dump, given in zip(found["dumps"], (p, noisy), strict=True):
        cut = thresholds.p_equals_r(given, int(y.sum())).threshold
        many = np.array([brute(given[draw], y[draw], cut)[0] for draw in draws])
        resampled.append(many)
        left_out.append(np.array(without_each(given, y, cut)))
        expected = brute(given, y, cut)
        macro.append(expected[1])
        assert dump["threshold"] == cut
        assert [dump["micro_F1"], dump["macro_F1"]] == pytest.approx(expected)
        assert dump["micro_F1_interval"] == pytest.approx(np.quantile(many, [0.025, 0.975]))
        assert dump["macro_F1_interval"] == pytest.approx(jackknifed(expected[1], left_out[-1]))
    leads = {
        "micro_F1": np.quantile(resampled[1] - resampled[0], [0.025, 0.975]),
        "macro_F1": jackknifed(macro[1] - macro[0], left_out[1] - left_out[0]),
    }
    for kind, lead in leads.items():
        assert found["differences"][kind]["interval"] == pytest.approx(lead)
        assert found["differences"][kind]["distinguishable"] == (lead[1] < 0)
    assert found["differences"]["micro_F1"]["distinguishable"], "noise is worse"


def test_the_verdict_is_plain_and_swaps_with_the_order(pair, capsys):
    a, b = map(str, pair[:2])
    assert main([a, a, "--resamples", "100"]) == 0
    assert capsys.readouterr().out.count("not distinguishable") == 2
    assert main([a, b, "--resamples", "100"]) == 0
    assert "micro F1: B - A = -" in (shown := capsys.readouterr().out)
    assert "A is better" in shown
    assert main([b, a, "--resamples", "100"]) == 0
    shown = capsys.readouterr()
    assert "B is better" in shown.out
    assert shown.err == f"next: python tools/make_report.py {a} -o {a}_report\n"  # of the better one


def test_dumps_with_all_or_no_labels_are_not_distinguishable(tmp_path, capsys):
    p = np.float32([[0.5, 0.2]] * 3)
    for number, y in enumerate((np.zeros((3, 2)), np.ones((3, 2)))):
        folder = write_dump(tmp_path / str(number), p, y, np.arange(3), ["a", "b"])
        assert main([str(folder), str(folder), "--resamples", "100"]) == 0
        shown = capsys.readouterr().out
        assert shown.count("not distinguishable") == 2
        assert "nan" not in shown


def test_labels_that_differ_are_counted_and_those_of_the_first_are_used(tmp_path, capsys):
    p, y = np.float32([[0.9, 0.1], [0.2, 0.8]]), np.eye(2)
    a = write_dump(tmp_path / "a", p, y, [1, 2], ["x", "y"])
    b = write_dump(tmp_path / "b", p, 1 - y, [1, 2], ["x", "y"])
    assert main([str(a), str(b), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["labels_that_differ"] == 4
    assert [dump["micro_F1"] for dump in found["dumps"]] == [1, 1]


def test_mistakes(pair, tmp_path, capsys):
    a, _, p, *_ = pair
    other = write_dump(tmp_path / "other", p[:, :1], None, np.arange(len(p)), ["elsewhere"])
    twice = write_dump(tmp_path / "twice", p[:, :3], None, np.zeros(len(p)), ["tag 1", "tag 1", "tag 2"])
    cases = {
        "no tag in common": [a, other],
        "has no labels.npy": [other, other],
        "'tag 1' occurs twice": [a, twice],
        "more than once": [twice, twice],
        "--resamples: must be": [a, a, "--resamples", "3"],
        "--seed: must be": [a, a, "--seed", "-1"],
        "no tags are selected": [a, a, "-c", "character"],
    }
    for said, words in cases.items():
        assert main([str(word) for word in words]) == 2
        assert said in capsys.readouterr().err


@pytest.fixture
def seeds(tmp_path):
    """Folders `before` and `after` of three noisy dumps each, and a truth of all images but two."""
    rng = np.random.default_rng(7)
    true = rng.random((50, 9)) < 0.3
    labels, names, ids = true & (rng.random(true.shape) > 0.2), [f"tag_{i}" for i in range(9)], np.arange(50)
    found = {}
    for side, noise in (("before", 0.9), ("after", 0.4)):
        found[side] = [
            np.float32(1 / (1 + np.exp(-2 * (true + noise * rng.normal(size=true.shape))))) for _ in range(3)
        ]
        for seed, p in enumerate(found[side]):
            order = rng.permutation(50)
            write_dump(tmp_path / side / str(seed), p[order], labels[order], ids[order], names)
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
    many, left_out = {}, {}
    for side in said["dumps"]:
        runs = found[side["name"]]
        cuts = [np.sort(p, axis=None)[-y.sum() - 1] for p in runs]  # as many above it as are true
        assert [run["threshold"] for run in side["runs"]] == pytest.approx([float(cut) for cut in cuts])
        scores_of_runs = np.array([brute(p, y, cut) for p, cut in zip(runs, cuts, strict=True)])
        assert [run["micro_F1"] for run in side["runs"]] == pytest.approx(scores_of_runs[:, 0])
        assert [side["micro_F1"], side["macro_F1"]] == pytest.approx(scores_of_runs.mean(axis=0))
        many[side["name"]] = np.mean(
            [[brute(p[draw], y[draw], cut)[0] for draw in draws] for p, cut in zip(runs, cuts, strict=True)],
            axis=0,
        )
        left_out[side["name"]] = np.mean(
            [without_each(*run) for run in zip(runs, [y] * len(runs), cuts, strict=True)], axis=0
        )
    gains = {kind: said["differences"][kind] for kind in ("micro_F1", "macro_F1")}
    lead = np.quantile(many["after"] - many["before"], [0.025, 0.975])
    assert gains["micro_F1"]["interval"] == pytest.approx(lead)
    lead = jackknifed(gains["macro_F1"]["difference"], left_out["after"] - left_out["before"])
    assert gains["macro_F1"]["interval"] == pytest.approx(lead)
    assert all(gain["distinguishable"] for gain in gains.values())


def test_runs_are_listed_and_one_dump_stands_against_several(seeds, capsys):
    folder, *_ = seeds
    assert main([str(folder / "before" / "1"), str(folder / "after"), "--resamples", "100"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines[3:8]] == ["A", "B", "0", "1", "2"]
    assert "mean of 3" in lines[4]


def test_ground_truth_of_other_images_is_an_error(seeds, capsys):
    folder, *_ = seeds
    (folder / "truth.csv").write_text("image_id,tags\n9999,tag_1\n")
    sides = [str(folder / side) for side in ("before", "after")]
    assert main([*sides, "--truth", str(folder / "truth.csv")]) == 2
    assert "names none of the 50 image ids" in capsys.readouterr().err
