"""Result tables and results/: arithmetic of published tables, impossible rows."""

import concurrent.futures
import math
import pathlib

import numpy as np
import pytest

from Utils.command.cli import UserError
from Utils.evaluation import results_table, scores

FOLDER = pathlib.Path(__file__).resolve().parents[2] / "results"
ROWS = results_table.read(FOLDER / "published.csv").to_dict("records")


def test_the_published_tables_are_all_there():
    assert len(ROWS) == 12
    assert {row["status"] for row in ROWS} == {"published"}
    best = {(row["category"], row["from_rank"]): row for row in ROWS if row["run_name"] == "ensenble_october"}
    assert {key: (row["thres"], row["F1"], row["F2"]) for key, row in best.items()} == {
        ("all", 0): (0.3611, 0.7044, 0.7044),
        ("all", 2380): (0.3611, 0.6107, 0.5588),
        ("general", 0): (0.3618, 0.6878, 0.6878),
        ("general", 2000): (0.3618, 0.4515, 0.3976),
    }


def test_the_published_numbers_agree_with_one_another():
    for row in ROWS:
        precision, recall = results_table.precision_and_recall(row["F1"], row["F2"])
        if row["from_rank"] == 0:
            assert row["F1"] == row["F2"] == pytest.approx(precision) == pytest.approx(recall)
        else:
            assert recall < row["F2"] < row["F1"] < precision < 1
            assert 2 * precision * recall / (precision + recall) == pytest.approx(row["F1"])
    slices = {(row["run_name"], row["category"], row["from_rank"]): row["thres"] for row in ROWS}
    for (run, category, rank), threshold in slices.items():
        assert threshold == slices[run, category, 0], "rare tags are scored at the whole slice's threshold"
        assert rank in (0, 2380, 2000)


def test_measured_rows_are_measured():
    rows = results_table.read(FOLDER / "measured.csv").to_dict("records")
    assert {row["status"] for row in rows} == {"measured"}
    assert all(row["command"].startswith("python tools/") for row in rows)
    text = results_table.flat_table(rows)
    assert text.count("\n") == len(rows) + 1
    assert f"{rows[0]['F1']:.4f}" in text


def row(**values):
    plain = dict.fromkeys(results_table.NUMBERS, math.nan)
    text = {"run_name": "r", "definition_name": "B", "dataset": "d", "split": "validation", "category": "all"}
    known = {"F1": 0.6, "F2": 0.6, "P": 0.6, "R": 0.6, "from_rank": 0, "status": "measured", "command": "c"}
    return plain | text | known | values


IMPOSSIBLE = [
    {"F1": 1.2},
    {"MCC": -1.1},
    {"P": 0.7},
    {"F1": 0.6, "F2": 0.9, "P": math.nan, "R": math.nan},  # recall above 1
    {"F1": 0.6, "F2": 0.3, "P": math.nan, "R": math.nan},  # precision above 1
    {"R": 0.61, "P": 0.59},
    {"F2": 0.61},  # although P = R
    {"F1": 0.61, "F2": 0.61},
    {"F1": 0.7, "F2": 0.75, "P": 0.7, "R": 0.8},  # no harmonic mean
    {"F1": 0.0, "F2": 0.2, "P": math.nan, "R": math.nan},
    {"F1": 0.4, "F2": 0.0, "P": math.nan, "R": math.nan},
    {"MCC": 0.61},  # above sqrt(P R)
    {"MCC": -0.5},
    {"MCC": 0.55, "A": 0.99},  # that needs 0.594
    {"A": 1.1},
    {"thres": math.inf},
    {"images_per_second": -1.0},
    {"from_rank": -5},
    {"status": "guessed"},
]


@pytest.mark.parametrize("values", IMPOSSIBLE, ids=str)
def test_a_row_that_cannot_be_is_refused(tmp_path, values):
    path = tmp_path / "x.csv"
    results_table.append(path, [row()])
    before = path.read_text()
    with pytest.raises(UserError):
        results_table.append(path, [row(**values)])
    assert path.read_text() == before
    false = {name: results_table._text(value) for name, value in row(**values).items()}
    path.write_text(before + ",".join(false[name] for name in results_table.COLUMNS) + "\n")
    with pytest.raises(UserError, match="row 3"):
        results_table.read(path)


def test_rows_are_added_once(tmp_path):
    path = tmp_path / "sub" / "x.csv"
    first, second = row(run_name="one, two", params=93.2e6), row(run_name="b", thres=0.123456789)
    results_table.append(path, [first])
    results_table.append(path, [first, second])
    frame = results_table.read(path)
    assert tuple(frame.columns) == results_table.COLUMNS
    assert frame["run_name"].tolist() == ["one, two", "b"]
    assert frame["params"].tolist()[0] == 93.2e6
    assert frame["thres"].tolist()[1] == 0.123457
    path.write_text("a,b\n1,2\n")
    with pytest.raises(UserError, match="columns"):
        results_table.append(path, [first])
    assert path.read_text() == "a,b\n1,2\n"


def test_a_row_that_others_wrote_is_not_torn(tmp_path):
    path = tmp_path / "x.csv"
    results_table.append(path, [row(run_name="one\ntwo")])
    path.write_text(path.read_text().replace("one two", "one\u2028two"))
    results_table.append(path, [row(run_name="b")])
    assert results_table.read(path)["run_name"].tolist() == ["one\u2028two", "b"]


def test_rows_that_several_add_at_once_are_all_there(tmp_path):
    def add(number):
        row = {"run_name": f"r{number}", "category": "all", "from_rank": 0, "F1": 0.5, "status": "measured"}
        results_table.append(tmp_path / "r.csv", [row])

    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        list(pool.map(add, range(40)))
    assert set(results_table.read(tmp_path / "r.csv")["run_name"]) == {f"r{number}" for number in range(40)}
    assert [path.name for path in tmp_path.iterdir()] == ["r.csv"]


def test_scores_of_zero_and_rounded_scores_are_possible():
    results_table.check(row(F1=0.0, F2=0.0, P=0.0, R=0.0))
    for tp, fp, fn in ((5, 2, 1), (1, 999, 3), (900, 1, 2), (3, 0, 400), (50_000, 12_345, 54_321)):
        p, r = tp / (tp + fp), tp / (tp + fn)
        f1, f2 = 2 * tp / (2 * tp + fp + fn), 5 * tp / (5 * tp + 4 * fn + fp)
        for digits in (4, 6):
            rounded = dict(
                zip(("P", "R", "F1", "F2"), (round(x, digits) for x in (p, r, f1, f2)), strict=True)
            )
            results_table.check(row(**rounded))


def test_every_row_that_counts_can_give_is_possible():
    """Scores of random counts, rounded as tables are, pass: nothing true is refused."""
    random = np.random.default_rng(0)
    for _ in range(3000):
        tp, fp, fn, tn = (int(10 ** random.uniform(0, 6)) for _ in range(4))
        values = scores.summary(scores.Counts(tp, fp, fn, tn), 0.3)
        digits = random.choice([4, 6])
        results_table.check(row(**{name: round(value, digits) for name, value in values.items()}))


@pytest.mark.parametrize("name", ["F1", "F2", "MCC"])
def test_a_score_that_was_mistyped_is_refused(name):
    random = np.random.default_rng(1)
    for _ in range(300):
        counts = scores.Counts(
            *(int(n) for n in random.integers((3000, 1000, 1000, 10**6), (9000, 4000, 4000, 10**7)))
        )
        values = scores.summary(counts, 0.3) | {"from_rank": 0}
        values[name] += random.choice([-0.02, 0.02])
        with pytest.raises(UserError):
            results_table.check(row(**values))


def test_parameter_counts_as_people_write_them():
    assert [results_table.params_human(n) for n in (93.2e6, 1.2e9, 4200, 17, math.nan)] == [
        "93.2M",
        "1.2B",
        "4.2K",
        "17",
        "-",
    ]
