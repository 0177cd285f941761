"""tools/find_thresholds.py: a row for each threshold, thresholds by hand, scores on other images."""

import argparse
import json

import numpy as np
import pandas as pd
import pytest

from tools import analyze_metrics, find_thresholds
from Utils.evaluation import predictions, scores, threshold_table
from Utils.tags import tag_list

HEADER = "scope,category,tag_id,name,threshold,rule,precision,recall,f1,positives"
NAMES = ["blonde_hair", "black_hair", "smile", "blush", "from_side", "alice"]
TAGS = pd.DataFrame(
    {
        "tag_id": range(11, 17),
        "name": NAMES,
        "category": [0, 0, 0, 0, 0, 4],
        "count": [60, 50, 40, 30, 20, 10],
    }
)


def make(folder, seed, dtype="float32", images=400):
    """A dump of images of its own: their ids begin at a thousand times the seed."""
    random = np.random.default_rng(seed)
    y = random.random((images, 6)) < [0.3, 0.25, 0.2, 0.1, 0.02, 0]
    lift = np.array([3.0, 3.0, 2.0, 2.0, 2.0, 2.0])
    p = (1 / (1 + np.exp(2 - lift * y - random.normal(size=y.shape)))).astype(dtype)
    with predictions.writing(folder, TAGS, dtype=dtype) as writer:
        writer.add(p, np.arange(images) + 1000 * seed, y)
    return p, y


@pytest.fixture
def dump(tmp_path):
    make(tmp_path / "validation", 0)
    make(tmp_path / "test", 1)
    return tmp_path / "validation"


def run(dump, *words, code=0):
    path = dump.parent / "thresholds.csv"
    assert find_thresholds.main([str(dump), "-o", str(path), *map(str, words)]) == code
    return pd.read_csv(path) if code == 0 else None


def test_the_threshold_for_all_tags_is_that_of_analyze_metrics(dump, capsys):
    frame = run(dump)
    assert (dump.parent / "thresholds.csv").read_text().splitlines()[0] == HEADER
    capsys.readouterr()
    assert analyze_metrics.main(["-d", str(dump), "--json"]) == 0
    expected = json.loads(capsys.readouterr().out)["validation"]
    (row,) = frame.to_dict("records")
    assert (row["scope"], row["name"], row["rule"]) == ("all", "all", "p-equals-r")
    assert row["threshold"] == expected["thres"]
    assert [row[name] for name in ("precision", "recall", "f1")] == [
        expected[name] for name in ("P", "R", "F1")
    ]
    assert row["positives"] == expected["positives"]


def test_a_row_a_category(dump):
    frame = run(dump, "--per", "category", "--rule", "max-f2")
    assert frame["name"].tolist() == ["general", "character"]
    assert frame["category"].tolist() == [0, 4]
    assert frame["tag_id"].isna().all()
    assert frame["positives"].tolist()[1] == 0
    assert frame.loc[1, ["recall", "f1"]].isna().all()
    p, y = np.load(dump / "probabilities.npy")[:, :5], np.load(dump / "labels.npy")[:, :5]
    best = max(scores.f_beta(scores.count(p, y, t).total(), 2) for t in np.unique(p))
    assert scores.f_beta(scores.count(p, y, frame["threshold"][0]).total(), 2) == pytest.approx(best)


@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_a_row_a_tag_and_frequent_tags_keep_their_own(tmp_path, dtype):
    p, y = make(tmp_path / "dump", 0, dtype)
    frame = run(tmp_path / "dump", "--per", "tag", "--rule", "max-f1", "--enough", 30)
    assert frame["name"].tolist() == NAMES
    assert frame["tag_id"].tolist() == TAGS["tag_id"].tolist()
    assert frame["positives"].tolist() == y.sum(axis=0).tolist()
    counts = scores.count(p, y, frame["threshold"].to_numpy())  # a text threshold cuts as the number did
    assert frame["f1"].to_numpy() == pytest.approx(scores.f_beta(counts), nan_ok=True, rel=1e-12)
    for tag in range(4):
        best = max(
            scores.f_beta(scores.count(p[:, [tag]], y[:, [tag]], t).total()) for t in np.unique(p[:, tag])
        )
        assert frame["f1"][tag] == pytest.approx(best)
    category = pd.read_csv(tmp_path / "thresholds.csv")
    common = run(tmp_path / "dump", "--per", "category", "--rule", "max-f1", "--overwrite")
    assert frame["threshold"][5] == common["threshold"][1], "nothing is true: the category's"
    own = run(tmp_path / "dump", "--per", "tag", "--rule", "max-f1", "--enough", 0, "--overwrite")
    low, high = sorted([own["threshold"][4], common["threshold"][0]])
    assert low < category["threshold"][4] < high, "a rare tag lies between its own and its category's"


def test_cross_validation_chooses_and_says_so(dump, capsys):
    run(dump, "--per", "tag", "--json")
    facts = json.loads(capsys.readouterr().out)
    assert str(facts["enough"]) in facts["cross_validated"]
    assert facts["cross_validated"][str(facts["enough"])] == max(facts["cross_validated"].values())


GROUPS = 'hair = ["*_hair"]\nface = ["smile", "blush"]\n'


def test_groups_get_a_threshold_each_and_one_row_for_each_of_their_tags(dump, capsys):
    (dump.parent / "groups.toml").write_text(GROUPS)
    frame = run(dump, "--per", "group", "--groups-of-tags", dump.parent / "groups.toml")
    assert "2 tags in no group" in capsys.readouterr().out
    assert frame["scope"].unique().tolist() == ["group"]
    assert frame["name"].tolist() == ["hair", "blonde_hair", "black_hair", "face", "smile", "blush"]
    assert frame["tag_id"].isna().tolist() == [True, False, False, True, False, False]
    assert frame["threshold"].nunique() == 2
    hair = frame.set_index("name").loc["hair"]
    assert hair["precision"] == hair["recall"]
    p, y = np.load(dump / "probabilities.npy")[:, :2], np.load(dump / "labels.npy")[:, :2]
    assert (p > np.float32(hair["threshold"])).sum() == y.sum()
    per_tag = threshold_table.per_tag(threshold_table.read(dump.parent / "thresholds.csv"), TAGS)
    assert per_tag[:2].tolist() == [hair["threshold"]] * 2
    assert np.isnan(per_tag[4:]).all()


def test_thresholds_that_follow_the_counts_of_the_tag_list(dump, capsys):
    frame = run(dump, "--per", "frequency", "--exponent", 0.5)
    assert "with the exponent 0.5" in capsys.readouterr().out
    assert frame["scope"].unique().tolist() == ["tag"]
    odds = frame["threshold"] / (1 - frame["threshold"])
    np.testing.assert_allclose(odds / odds[0], np.sqrt(np.array([60, 50, 40, 30, 20, 10]) / 60), rtol=1e-5)
    run(dump, "--per", "frequency", "--overwrite", "--json")
    facts = json.loads(capsys.readouterr().out)
    harmless = {
        exponent: pair["macro_F1"]
        for exponent, pair in facts["cross_validated"].items()
        if pair["micro_F1"] >= facts["cross_validated"]["0.0"]["micro_F1"] - 0.001
    }
    assert harmless[str(facts["exponent"])] == max(harmless.values())


def test_tags_without_a_count_are_said(dump, capsys):
    tag_list.write(TAGS.assign(count=[60, 50, 0, 0, 20, 10]), dump / predictions.TAGS)
    run(dump, "--per", "frequency", "--exponent", 0.2)
    assert "2 tags without a count" in capsys.readouterr().out


def test_frequencies_need_a_tag_list_with_counts(dump, capsys):
    tag_list.write(TAGS.assign(count=0), dump / predictions.TAGS)
    run(dump, "--per", "frequency", code=2)
    assert "has none" in capsys.readouterr().err


@pytest.mark.parametrize(
    "words",
    [("--per", "tag"), ("--per", "group"), ("--per", "all"), ("--per", "frequency")],
    ids=" ".join,
)
def test_what_was_chosen_on_validation_is_judged_on_test(dump, words, capsys):
    if "group" in words:
        (dump.parent / "groups.toml").write_text(GROUPS)
        words = (*words, "--groups-of-tags", dump.parent / "groups.toml")
    frame = run(dump, *words, "--judge", dump.parent / "test", "--resamples", 200, "--json")
    judged = json.loads(capsys.readouterr().out)["judged"]
    p, y = np.load(dump.parent / "test" / "probabilities.npy"), np.load(dump.parent / "test" / "labels.npy")
    cuts = threshold_table.per_tag(threshold_table.read(dump.parent / "thresholds.csv"), TAGS)
    kept = np.flatnonzero(~np.isnan(cuts))
    total = scores.count(p[:, kept], y[:, kept], cuts[kept]).total()
    chosen = judged["sides"]["chosen"]
    assert chosen["micro_F1"] == scores.f_beta(total)
    assert chosen["precision"] == scores.precision(total)
    assert chosen["micro_F1_interval"][0] < chosen["micro_F1"] < chosen["micro_F1_interval"][1]
    gain = judged["gains"]["micro_F1"]
    assert gain["value"] == chosen["micro_F1"] - judged["sides"]["one, P = R"]["micro_F1"]
    assert gain["low"] <= gain["value"] <= gain["high"]
    assert judged["tags"] == len(kept)
    assert judged["images_that_chose"] == 0
    if "all" in words:
        assert gain == {"value": 0, "low": 0, "high": 0}
        assert len(frame) == 1


def test_the_text_says_it_plainly(dump, capsys):
    run(dump, "--judge", dump.parent / "test", "--resamples", 100)
    out = capsys.readouterr().out
    assert "judged on 400 images and 6 tags" in out
    assert "gain in micro F1: +0.0000 (+0.0000 to +0.0000): not distinguishable" in out
    assert "also chose" not in out
    run(dump, "--judge", dump, "--resamples", 100, "--overwrite")
    assert "400 of these images also chose" in capsys.readouterr().out


@pytest.mark.parametrize(
    "rule, per, high, is_told",
    [
        ("max-f1", "tag", -0.01, True),
        ("max-f1", "tag", 0.01, False),
        ("max-f2", "tag", -0.01, False),
        ("max-f1", "category", -0.01, False),
    ],
)
def test_thresholds_of_tags_that_lose_name_the_next_step(rule, per, high, is_told):
    gain = {"value": -0.02, "low": -0.03, "high": high}
    judged = {
        "images": 9, "tags": 2, "images_that_chose": 0, "sides": {},
        "gains": {"micro_F1": gain, "macro_F1": gain},
    }  # fmt: skip
    facts = {"thresholds": 2, "rule": rule, "per": per, "judged": judged}
    options = argparse.Namespace(output="t.csv", judge="test", dump="validation")
    assert ("--per frequency has two numbers" in find_thresholds.text(facts, options)) == is_told


BAD_GROUPS = {
    "no TOML": "hair = [",
    "no group": "",
    "must be a list": 'hair = "blonde_hair"',
    "no tag of the dump is 'braid'": 'hair = ["braid"]',
    "in hair and in face": 'hair = ["*_hair"]\nface = ["black_hair"]',
    "is empty": "hair = []",
}


@pytest.mark.parametrize("said", BAD_GROUPS)
def test_wrong_groups_are_refused(dump, said, capsys):
    (dump.parent / "groups.toml").write_text(BAD_GROUPS[said])
    run(dump, "--per", "group", "--groups-of-tags", dump.parent / "groups.toml", code=2)
    assert said in capsys.readouterr().err


def test_letters_of_names_in_groups_are_composed(tmp_path):
    (tmp_path / "groups.toml").write_text('place = ["cafe\u0301"]')
    groups = find_thresholds.read_groups(tmp_path / "groups.toml", ["hat", "caf\u00e9"])
    assert groups["place"].tolist() == [1]


WRONG = [
    ("--rule", "best"), ("--rule", "precision=2"), ("--per", "image"), ("--per", "group"), ("--enough", "3"),
    ("--per", "tag", "--enough", "-1"), ("--exponent", "0.3"),
    ("--per", "frequency", "--exponent", "2"), ("--resamples", "5"), ("--judge", "nowhere"),
    ("--groups-of-tags", "groups.toml"),
]  # fmt: skip


@pytest.mark.parametrize("words", WRONG, ids=" ".join)
def test_mistakes_are_one_paragraph(dump, words, capsys):
    run(dump, *words, code=2)
    shown = capsys.readouterr()
    assert shown.err.startswith("error: ")
    assert shown.err.count("\n") == 1
    assert not (dump.parent / "thresholds.csv").exists()


def test_thresholds_are_kept(dump, capsys):
    run(dump)
    run(dump, code=2)
    assert "--overwrite" in capsys.readouterr().err
    run(dump, "--overwrite", "--rule", "max-f1")


def test_thresholds_that_another_run_wrote_meanwhile_are_kept(dump, capsys, monkeypatch):
    def choose(*words):
        (dump.parent / "thresholds.csv").write_text(f"{HEADER}\n")
        return find_thresholds._for_all(*words)

    monkeypatch.setitem(find_thresholds.CHOOSERS, "all", choose)
    run(dump, code=2)
    assert "thresholds.csv exists already and is kept" in capsys.readouterr().err
    assert (dump.parent / "thresholds.csv").read_text() == f"{HEADER}\n"


def test_what_cannot_be_judged_is_not_written(dump, capsys):
    foreign = TAGS.assign(tag_id=TAGS["tag_id"] + 100, name=TAGS["name"] + "_2")
    with predictions.writing(dump.parent / "foreign", foreign) as writer:
        writer.add(np.full((2, 6), 0.5, np.float32), [1, 2], np.ones((2, 6)))
    run(dump, "--per", "tag", "--judge", dump.parent / "foreign", code=2)
    assert "has none of the tags" in capsys.readouterr().err
    assert not (dump.parent / "thresholds.csv").exists()


def test_tags_of_the_judge_are_matched(dump):
    """The other dump may have its tags in another order, and more of them."""
    run(dump, "--per", "tag", "--enough", 0)
    frame = threshold_table.read(dump.parent / "thresholds.csv")
    other = pd.concat([TAGS[::-1], TAGS[:1].assign(tag_id=99, name="new")], ignore_index=True)
    tag_list.write(other, dump.parent / "other.csv")
    found = threshold_table.per_tag(frame, tag_list.read(dump.parent / "other.csv"))
    assert found[:6].tolist() == frame["threshold"].tolist()[::-1]
    assert np.isnan(found[6])


def test_without_a_true_label_nothing_is_chosen_or_judged(dump, tmp_path, capsys):
    none = tmp_path / "none"
    with predictions.writing(none, TAGS) as writer:
        writer.add(np.full((4, 6), 0.5), np.arange(4), np.zeros((4, 6)))
    run(none, code=2)
    run(dump, "--judge", none, code=2)
    assert not (tmp_path / "thresholds.csv").exists()
    assert capsys.readouterr().err.count("error: no label of") == 2
