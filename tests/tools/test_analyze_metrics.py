"""tools/analyze_metrics.py: the printed line, word for word."""

import ast
import json
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from sklearn import metrics as oracle

from tools.analyze_metrics import main
from Utils.evaluation import predictions, results_table

L = 40
TAGS = pd.DataFrame(
    {
        "tag_id": np.arange(L) + 1,
        "name": [f"tag_{i}" for i in range(L)],
        "category": [0] * 30 + [4] * 10,
        "count": np.r_[np.arange(30)[::-1] * 10 + 15, np.arange(10)[::-1] + 1],
    }
)


def make(folder, dtype="float32", seed=0, name=None, **options):
    rng = np.random.default_rng(seed)
    y = rng.random((200, L)) < TAGS["count"].to_numpy() / 1000
    p = np.clip(y * 0.3 + rng.random((200, L)) * 0.7, 0, 1).astype(dtype)
    if options.pop("quantized", False):
        p = np.round(p * 10) / p.dtype.type(10)
    with predictions.writing(folder, TAGS, dtype=dtype, info={"run_name": name} if name else {}) as writer:
        writer.add(p, np.arange(200), y)
    return p, y


@pytest.fixture
def dump(tmp_path):
    make(tmp_path / "dump")
    return tmp_path / "dump"


def run(capsys, *words):
    code = main([str(word) for word in words])
    shown = capsys.readouterr()
    assert code == 0, shown.err
    return shown.out


def run_json(capsys, *words):
    return json.loads(run(capsys, *words, "--json"))


def test_analyze_metrics_prints_one_line_of_rounded_scores(dump, capsys):
    out = run(capsys, "-d", dump)
    name, _, scores = out.partition(": ")
    scores = ast.literal_eval(scores)
    assert name == "dump"
    assert out.endswith("}\n")
    assert list(scores) == ["thres", "F1", "F2", "MCC", "A", "R", "P"]
    assert all(value == round(value, 4) for value in scores.values())
    assert scores["P"] == scores["R"] == scores["F1"] == scores["F2"]
    assert run(capsys, "-d", dump, "-a") == out


def test_scores_of_a_threshold_by_hand(tmp_path, capsys):
    p, y = make(tmp_path / "dump", "float16", name="my run")
    got = run_json(capsys, "-d", tmp_path / "dump", "-t", 0.4)["my run"]
    above = p > np.float16(0.4)
    assert (got["TP"], got["FP"]) == ((above & y).sum(), (above & ~y).sum())
    assert (got["FN"], got["TN"]) == ((~above & y).sum(), (~above & ~y).sum())
    assert got["P"] == got["TP"] / above.sum()
    assert got["thres"] == float(np.float16(0.4))
    assert got["ties"] is None


def test_options_that_a_dump_folder_would_ignore_are_refused(dump, capsys):
    """Whoever gives corrected labels would take the scores for those by them."""
    for words in (["--labels", str(dump / "labels.npy")], ["--tags", "x.csv"], ["--ranks", "3", "4"]):
        assert main(["-d", str(dump), *words]) == 2
    said = capsys.readouterr().err
    assert said.count(f"-d {dump / 'probabilities.npy'} it is judged by others") == 2
    assert "--ranks belongs to --table seed" in said


def test_categories_are_selected_before_ranks(dump, capsys):
    opened = predictions.load(dump)
    p, y = np.asarray(opened.probabilities), np.asarray(opened.labels)
    columns = np.arange(30, 40)[2:5]  # counts fall with the row
    got = run_json(capsys, "-d", dump, "-c", "character", "-s", 2, "-e", 5)["dump"]
    assert got["predicted"] == got["positives"] == y[:, columns].sum()
    assert (p[:, columns] > np.float32(got["thres"])).sum() == got["predicted"]
    assert got["tags"] == 3
    assert run_json(capsys, "-d", dump, "-c", 4, "-s", 2, "-e", 5)["dump"] == got
    assert run_json(capsys, "-d", dump, "-e", -1) == run_json(capsys, "-d", dump)


def test_ties_are_counted_and_it_ends(tmp_path, capsys):
    p, y = make(tmp_path / "dump", quantized=True)
    got = run_json(capsys, "-d", tmp_path / "dump")["dump"]
    options = {int((p > t).sum()) for t in (-1, *np.unique(p))}
    assert abs(got["predicted"] - y.sum()) == min(abs(n - y.sum()) for n in options)
    assert got["ties"] > 1


def test_nothing_predicted_is_zero_in_text_and_null_in_json(dump, capsys):
    assert "'F1': 0.0, 'F2': 0.0, 'MCC': 0.0" in run(capsys, "-d", dump, "-t", 1)
    assert "'P': 0.0" in run(capsys, "-d", dump, "-t", 1)
    got = run_json(capsys, "-d", dump, "-t", 1)["dump"]
    assert got["P"] is None
    assert got["MCC"] is None
    assert got["F1"] == 0


@pytest.mark.parametrize(
    ("threshold", "predicts"), [(35, "no tag"), (-0.1, "every tag"), (1, None), (0, None)]
)
def test_a_threshold_that_no_probability_has_is_said(dump, threshold, predicts, capsys):
    assert main(["-d", str(dump), "-t", str(threshold)]) == 0
    err = capsys.readouterr().err
    assert (f"the threshold is {threshold}: it predicts {predicts} for all images" in err) == bool(predicts)
    assert ("warning" in err) == bool(predicts)


def test_three_files_are_a_dump(dump, capsys):
    files = ("--labels", dump / "labels.npy", "--tags", dump / "selected_tags.csv")
    out = run(capsys, "-d", dump / "probabilities.npy", *files)
    assert out == run(capsys, "-d", dump).replace("dump: ", "probabilities: ")


@pytest.mark.reliability(
    "the original's command line of analyze_metrics",
    "its flags and file names are taken; the scores are equal",
)
def test_the_command_line_of_the_original(dump, tmp_path, monkeypatch, capsys):
    expected = run(capsys, "-d", dump, "-a", "-s", "3", "-e", "20").split(": ", 1)[1]
    folder = tmp_path / "2021_0000_0899_5500"
    folder.mkdir()
    (dump / "selected_tags.csv").rename(folder / "selected_tags.csv")
    (dump / "labels.npy").rename(folder / "encoded_tags_test.npy")
    monkeypatch.chdir(tmp_path)
    words = ["-d", dump / "probabilities.npy", "-c", "-1"]
    for flags in (
        ["--analyze", "--start-index", "3", "--end-index", "20"],
        ["-a", "-b", "3", "-e", "20"],
        ["-a", "--bottom-index=3", "-e", "20"],
    ):
        assert run(capsys, *words, *flags) == f"probabilities: {expected}"
    assert main([str(word) for word in words]) == 0
    assert capsys.readouterr().err.count("the original used 0.4") == 1
    for flags in (["-a"], ["-t", "0.4"]):
        assert main([*map(str, words), *flags]) == 0
        assert capsys.readouterr().err == ""
    (folder / "selected_tags.csv").unlink()
    assert main([str(word) for word in words]) == 2
    assert "without --tags, 2021_0000_0899_5500/selected_tags.csv is taken" in capsys.readouterr().err


def test_the_next_command_is_said(dump, capsys):
    assert main(["-d", str(dump), "-a"]) == 0
    assert capsys.readouterr().err == f"next: python tools/make_report.py {dump} -o {dump}_report\n"
    assert main(["-d", str(dump), "-d", str(dump), "-a"]) == 0
    assert f"next: python tools/compare_dumps.py {dump} {dump}   (is" in capsys.readouterr().err


def test_several_side_by_side(tmp_path, capsys):
    make(tmp_path / "a", name="one")
    make(tmp_path / "b", seed=1, name="two")
    words = ("-d", tmp_path / "a", "-d", tmp_path / "b")
    assert [line.split(":")[0] for line in run(capsys, *words).splitlines()] == ["one", "two"]
    assert len(run_json(capsys, *words, "-d", tmp_path / "a")) >= 2
    twice = run(capsys, "-d", tmp_path / "a", "-d", tmp_path / "a" / ".." / "a")
    assert len(twice.splitlines()) == 2


def test_rows_are_appended_once(dump, tmp_path, capsys):
    table = tmp_path / "r.csv"
    for _ in range(2):
        run(capsys, "-d", dump, "-c", "general", "-s", 3, "--append", table)
    frame = results_table.read(table)
    assert frame[["run_name", "category", "from_rank", "status"]].to_numpy().tolist() == [
        ["dump", "general", 3, "measured"]
    ]
    assert "-s 3" in frame["command"][0]
    assert main(["-d", str(dump), "-e", "5", "--append", str(table)]) == 2


def test_the_tables_of_the_seed(dump, capsys):
    words = ("-d", dump, "--table", "seed", "--ranks", 20, 10)
    got = run_json(capsys, *words)["dump"]
    assert list(got) == ["all from 0", "all from 20", "general from 0", "general from 10"]
    assert got["all from 0"] == run_json(capsys, "-d", dump)["dump"]
    assert got["general from 0"] == run_json(capsys, "-d", dump, "-c", "general")["dump"]
    whole = got["general from 0"]["thres"]
    rare = run_json(capsys, "-d", dump, "-c", "general", "-s", 10, "-t", repr(whole))["dump"]
    assert got["general from 10"] == rare
    out = run(capsys, *words)
    assert out.startswith("All 40 tags:\n")
    assert out.count("| dump ") == 4
    assert f"{rare['F2']:.4f}" in out


def test_means_over_tags_and_average_precision(tmp_path, capsys):
    p, y = make(tmp_path / "dump")
    y[:, 3] = False
    np.save(tmp_path / "dump" / "labels.npy", y.astype(np.uint8))
    got = run_json(capsys, "-d", tmp_path / "dump", "--macro")["dump"]
    present, predicted = y.any(axis=0), p > np.float32(got["thres"])
    for name, average in (("macro_", "macro"), ("", "micro")):
        area = oracle.average_precision_score(y[:, present], p[:, present], average=average)
        if average == "macro":
            assert got[f"{name}AP"] == pytest.approx(area)
        words = {"average": average, "zero_division": 0}
        columns = present if average == "macro" else slice(None)
        for short, beta in (("F1", 1), ("F2", 2)):
            expected = oracle.fbeta_score(y[:, columns], predicted[:, columns], beta=beta, **words)
            assert got[f"{name}{short}"] == pytest.approx(expected)
        for short, function in (("P", oracle.precision_score), ("R", oracle.recall_score)):
            expected = function(y[:, columns], predicted[:, columns], **words)
            assert got[f"{name}{short}"] == pytest.approx(expected)
    assert got["AP"] == pytest.approx(oracle.average_precision_score(y.ravel(), p.ravel()))
    assert "'macro_AP': " in run(capsys, "-d", tmp_path / "dump", "--macro")


def test_tables_without_tags_are_said_to_be_missing(dump, capsys):
    out = run(capsys, "-d", dump, "--table", "seed")
    assert out.count("| dump ") == 2
    assert out.count("there are none") == 2
    assert run_json(capsys, "-d", dump, "--table", "seed")["dump"]["all from 2380"] is None


@pytest.mark.parametrize(
    "words",
    [
        ("-c", "meta"), ("-s", "40"), ("-c", "hat"), ("-t", "nan"), ("-a", "-t", "0.3"),
        ("--table", "seed", "-t", "1"), ("--table", "other"),
        ("-s", "-3"), ("-d", "nowhere"), ("-d", "probs.npy"),
    ],
    ids=" ".join,
)  # fmt: skip
def test_mistakes_are_one_paragraph(dump, words, capsys):
    assert main(["-d", str(dump), *words]) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err.startswith("error: ")
    assert shown.err.count("\n") == 1


def test_it_starts_without_tensorflow(dump):
    code = (
        "import sys; from tools.analyze_metrics import main; assert main(sys.argv[1:]) == 0; "
        "assert not {'tensorflow', 'keras', 'jax', 'torch'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code, "-d", str(dump)], check=True, stdout=subprocess.DEVNULL)
