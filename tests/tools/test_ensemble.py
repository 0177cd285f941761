"""tools/ensemble.py: means of aligned dumps, fitted weights, stacked rows."""

import numpy as np
import pytest
from helpers.small_dumps import write_dump

from tools.ensemble import main
from Utils.evaluation import chunked_matrix, predictions, scores, thresholds

NAMES = ["a", "b", "c", "d"]


def write(folder, p, y, ids, names=NAMES, **options):
    return str(write_dump(folder, p, y, ids, names, **options))


@pytest.fixture
def drawn():
    rng = np.random.default_rng(0)
    y = rng.random((50, 4)) < 0.3
    p = np.clip(0.3 * y + 0.7 * rng.random((50, 4)), 0, 1).astype(np.float32)
    return rng, p, y, rng.permutation(50) * 3


def run(*words):
    assert main([str(word) for word in words]) == 0
    return predictions.load(words[words.index("-o") + 1])


def test_the_mean_is_aligned_by_name_and_id(drawn, tmp_path):
    rng, p, y, ids = drawn
    q = rng.random((50, 4)).astype(np.float32)
    rows = rng.permutation(50)[:45]
    a = write(tmp_path / "a", p, y, ids, dataset="d", split="s")
    b = write(tmp_path / "b", q[rows][:, [2, 0, 3]], None, ids[rows], ["c", "a", "d"], dataset="d", split="t")
    common = rows[np.argsort(ids[rows])]
    one, two = p[common].astype(float), q[common].astype(float)
    odds = (one / (1 - one)) ** 0.75 * (two / (1 - two)) ** 0.25
    expected = {"probabilities": 0.75 * one + 0.25 * two, "logits": odds / (1 + odds)}
    for kind, mean in expected.items():
        ensemble = run(a, b, "--weights", 3, 1, "--mean", kind, "-o", tmp_path / kind)
        assert ensemble.tags["name"].to_list() == ["a", "c", "d"]
        assert ensemble.image_ids.tolist() == sorted(ids[rows])
        assert np.array_equal(ensemble.labels, y[common][:, [0, 2, 3]])
        assert np.asarray(ensemble.probabilities) == pytest.approx(mean[:, [0, 2, 3]], abs=1e-6)
        assert ensemble.info["weights"] == [0.75, 0.25]
        assert (ensemble.info.get("dataset"), ensemble.info.get("split")) == ("d", None)
    assert ensemble.name == "logits"


def test_a_dump_with_itself_is_itself_in_any_number_of_blocks(drawn, tmp_path, monkeypatch):
    _, p, y, ids = drawn
    monkeypatch.setattr(chunked_matrix, "BLOCK_VALUES", 28)
    for dtype in predictions.DTYPES:
        a = write(tmp_path / dtype, p, y, np.sort(ids), dtype=dtype)
        ensemble = run(a, a, a, "-o", tmp_path / f"mean {dtype}")
        assert np.array_equal(ensemble.probabilities, p.astype(dtype))
        assert ensemble.probabilities.dtype == dtype
    assert run(a, a, "--dtype", "float32", "-o", tmp_path / "wide").probabilities.dtype == np.float32


def f1(p, y):
    point = thresholds.p_equals_r(p, int(y.sum()))
    return float(scores.f_beta(scores.count(p, y, point.threshold).total()))


def test_fitted_weights_leave_noise_out_and_are_never_below_equal_ones(drawn, tmp_path, capsys):
    rng, p, y, ids = drawn
    q = np.clip(0.3 * y + 0.7 * rng.random((50, 4)), 0, 1).astype(np.float32)
    noise = rng.random((50, 4)).astype(np.float32)
    folders = [write(tmp_path / str(i), x, y, ids) for i, x in enumerate((p, noise, q))]
    ensemble = run(*folders, "--fit-on", *folders, "-o", tmp_path / "fitted")
    weights = ensemble.info["weights"]
    assert sum(weights) == pytest.approx(1)
    assert weights[1] < 0.2 < min(weights[0], weights[2])
    equal = run(*folders, "-o", tmp_path / "equal")
    assert f1(ensemble.probabilities, ensemble.labels) > f1(equal.probabilities, equal.labels)
    assert f"F1 {f1(ensemble.probabilities, ensemble.labels):.4f} where P = R" in capsys.readouterr().out


def test_stacking_joins_the_rows_in_the_order_of_their_ids(drawn, tmp_path):
    rng, p, y, ids = drawn
    where = rng.random(50) < 0.4
    a = write(tmp_path / "a", p[where], y[where], ids[where], dtype="float16")
    b = write(
        tmp_path / "b",
        p[~where][:, [3, 1, 0, 2]],
        y[~where][:, [3, 1, 0, 2]],
        ids[~where],
        ["d", "b", "a", "c"],
    )
    ensemble = run(a, b, "--stack", "-o", tmp_path / "all")
    order = np.argsort(ids)
    stored = np.where(where[:, None], p.astype(np.float16), p)
    assert ensemble.image_ids.tolist() == ids[order].tolist()
    assert np.array_equal(ensemble.probabilities, stored[order])
    assert np.array_equal(ensemble.labels, y[order])
    assert ensemble.tags["name"].to_list() == NAMES


def test_dumps_whose_ids_do_not_interleave_are_stacked_too(tmp_path):
    """A block of 256 rows then holds rows of one dump alone."""
    p = np.random.default_rng(0).random((600, 4)).astype(np.float32)
    a = write(tmp_path / "a", p[:290], p[:290] > 0.5, np.arange(290))
    b = write(tmp_path / "b", p[290:], p[290:] > 0.5, np.arange(290, 600))
    ensemble = run(b, a, "--stack", "-o", tmp_path / "all")
    assert np.array_equal(ensemble.probabilities, p)
    assert np.array_equal(ensemble.labels, p > 0.5)


def test_mistakes(drawn, tmp_path, capsys):
    _, p, y, ids = drawn
    a = write(tmp_path / "a", p, y, ids)
    bare = write(tmp_path / "bare", p, None, ids + 1)
    cases = {
        "as many weights as dumps": [a, a, "--weights", "1"],
        "weights are 0 or more": [a, a, "--weights", "0", "0"],
        "one dump for each": [a, a, "--fit-on", a],
        "are in two dumps": [a, a, "--stack"],
        "have labels": [a, bare, "--stack"],
        "no image is in all": [a, bare],
        "has no labels.npy": [bare, bare, "--fit-on", bare, bare],
        "not allowed with": [a, a, "--stack", "--weights", "1", "1"],
        "takes no mean": [a, bare, "--stack", "--mean", "logits"],
    }
    for said, words in cases.items():
        assert main([*words, "-o", str(tmp_path / "out")]) == 2
        assert said in capsys.readouterr().err
        assert not (tmp_path / "out").exists()
    assert main([a, a, "-o", a]) == 2, "what exists is kept"
    broken = p.copy()
    broken[3, 1] = np.nan
    broken = write(tmp_path / "broken", broken, y, ids)
    assert main([a, broken, "-o", str(tmp_path / "out")]) == 2
    assert "got nan in row 3, column 1" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
