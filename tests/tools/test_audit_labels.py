"""tools/audit_labels.py: from a dump to the posts that lack a tag, and how good that is by a truth."""

import json
import re
import sys

import numpy as np
import pandas as pd
import pytest

from tools import audit_labels
from Utils.evaluation import ground_truth, predictions
from Utils.files import locking
from Utils.files.output_files import require_replaceable_file
from Utils.labels import confident_learning

NAMES = ("solo", "smile", "hat", "nobody has it", "artist_name")


@pytest.fixture
def dump(tmp_path):
    """200 posts, five tags, labels that lack a fifth of the truth; the truth beside it."""
    random = np.random.default_rng(0)
    true = random.random((200, len(NAMES))) < [0.6, 0.3, 0.1, 0.0, 0.2]
    p = 1 / (1 + np.exp(-random.normal(size=true.shape) - np.where(true, 2, -2)))
    frame = pd.DataFrame({"tag_id": range(10, 15), "name": NAMES, "category": [0, 0, 0, 0, 1], "count": 9})
    folder = tmp_path / "dump"
    with predictions.writing(folder, frame) as writer:
        writer.add(p, np.arange(1000, 1200), true & (random.random(true.shape) > 0.2))
    names = [" ".join(np.array(NAMES)[row]).replace("nobody has it", "") for row in true]
    truth = pd.DataFrame({"image_id": np.arange(1000, 1200), "tags": names})
    truth.to_csv(tmp_path / "truth.csv", index=False)
    return folder


def test_json_and_csv_hold_the_findings(dump, tmp_path, capsys):
    output = tmp_path / "audit.json"
    assert audit_labels.main([str(dump), "-o", str(output), "--also-wrong", "--json"]) == 0
    summary = json.loads(capsys.readouterr().out)
    loaded = predictions.load(dump)
    missing, wrong = confident_learning.find_label_issues(loaded.probabilities, loaded.labels)
    for rows, path in ((missing, output), (wrong, tmp_path / "audit_wrong.json")):
        posts_of = {name: (1000 + of_tag).tolist() for name, of_tag in zip(NAMES, rows, strict=True)}
        expected = {name: posts for name, posts in posts_of.items() if posts}
        assert json.loads(path.read_text()) == expected
    assert summary["missing"] == sum(map(len, missing)) > 20
    frame = pd.read_csv(tmp_path / "audit.csv")
    assert list(frame.columns) == ["tag", "tag_id", "post_id", "probability", "label", "score"]
    assert len(frame) == summary["missing"] + summary["wrong"]
    row = frame.iloc[0]
    at = loaded.probabilities[row["post_id"] - 1000, NAMES.index(row["tag"])]
    assert row["probability"] == pytest.approx(float(at))
    lacking = frame[frame["label"] == 0]
    np.testing.assert_allclose(lacking["score"], 1 - lacking["probability"])


def test_engines_agree_to_the_byte(dump, tmp_path):
    pytest.importorskip("cleanlab")
    for engine in ("fast", "cleanlab"):
        words = [str(dump), "-o", str(tmp_path / f"{engine}.json"), "--engine", engine, "--also-wrong"]
        assert audit_labels.main([*words, "-c", "general"]) == 0
    for end in (".json", ".csv", "_wrong.json"):
        assert (tmp_path / f"fast{end}").read_bytes() == (tmp_path / f"cleanlab{end}").read_bytes()


def test_without_cleanlab_its_engine_names_what_to_install_and_the_fast_one_works(
    dump, tmp_path, monkeypatch, capsys
):
    monkeypatch.setitem(sys.modules, "cleanlab", None)
    monkeypatch.setitem(sys.modules, "cleanlab.filter", None)
    words = [str(dump), "-o", str(tmp_path / "audit.json"), "--engine"]
    assert audit_labels.main([*words, "cleanlab"]) == 2
    message = capsys.readouterr().err
    assert message.startswith("error: ")
    assert "pip install -r requirements-audit.txt" in message
    assert not list(tmp_path.glob("*audit*"))
    assert audit_labels.main([*words, "fast"]) == 0


def test_operating_points_find_more_at_equal_precision(dump, tmp_path, capsys):
    points = tmp_path / "thresholds.csv"
    points.write_text("scope,category,tag_id,name,threshold\nall,,,all,0.25\n")
    truth = ["--truth", str(tmp_path / "truth.csv"), "--json"]
    scored = []
    for name, words in (("half", []), ("points", ["--operating-point", str(points)])):
        assert audit_labels.main([str(dump), "-o", str(tmp_path / f"{name}.json"), *words, *truth]) == 0
        scored.append(json.loads(capsys.readouterr().out)["truth"])
        assert (tmp_path / f"{name}_truth.svg").read_text().startswith("<svg")
    assert scored[1]["recall"] > scored[0]["recall"]
    frame, loaded = pd.read_csv(tmp_path / "points.csv"), predictions.load(dump)
    lacking = ground_truth.missing_labels(loaded, range(5), ground_truth.read(tmp_path / "truth.csv"))
    curve = ground_truth.score_audit(frame, *lacking)["curve"]
    as_precise = [recall for recall, precision in curve if precision >= scored[0]["precision"]]
    assert max(as_precise) >= scored[0]["recall"]
    assert scored[1]["at_half"] == scored[0] | {"recall_at_its_precision": max(as_precise)}
    picture = (tmp_path / "points_truth.svg").read_text()
    assert {"operating point", "at 0.5"} <= set(re.findall(r">([^<>]+)</text>", picture))
    assert audit_labels.main([str(dump), "-o", str(tmp_path / "again.json"), *words, *truth[:2]]) == 0
    printed = capsys.readouterr().out
    assert f"{scored[0]['recall']:.1%} and {scored[0]['precision']:.1%}" in printed


def test_ground_truth_without_common_posts_is_refused_before_the_work(dump, tmp_path, capsys):
    loaded = predictions.load(dump)
    known = [f"{1000 + row},{'solo' * bool(loaded.labels[row, 0])}" for row in range(200)]
    words = [str(dump), "-o", str(tmp_path / "audit.json"), "--truth", str(tmp_path / "truth.csv")]
    for lines, says in ((["1,solo"], "names none of the 200 posts"), (known, "nothing to judge")):
        (tmp_path / "truth.csv").write_text("\n".join(["image_id,tags", *lines]) + "\n")
        assert audit_labels.main(words) == 2
        assert says in capsys.readouterr().err
        assert not list(tmp_path.glob("*audit*"))


def test_an_interrupted_audit_continues(dump, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(audit_labels, "TAGS_AT_A_TIME", 1)
    whole, output = tmp_path / "whole.json", tmp_path / "audit.json"
    assert audit_labels.main([str(dump), "-o", str(whole), "--workers", "1"]) == 0
    looked_at, engine = [], confident_learning.find_label_issues

    def breaks(probabilities, labels, columns, thresholds):
        looked_at.extend(columns)
        if len(looked_at) == 3:
            raise KeyboardInterrupt
        return engine(probabilities, labels, columns, thresholds)

    monkeypatch.setitem(audit_labels.ENGINES, "fast", breaks)
    assert audit_labels.main([str(dump), "-o", str(output), "--workers", "1"]) == 130
    assert not output.exists()
    assert audit_labels.main([str(dump), "-o", str(output), "--workers", "1"]) == 0
    assert re.search("[23] of 4 parts were there already", capsys.readouterr().err)
    assert sorted(looked_at) == [0, 1, 2, 2, 4]  # one begun twice, none done twice
    assert output.read_bytes() == whole.read_bytes()
    assert [path.name for path in tmp_path.glob(".*")] == []


@pytest.mark.parametrize("settings", ["{}", None])  # None: killed before they were written
def test_parts_of_another_audit_are_not_reused(settings, dump, tmp_path):
    parts = tmp_path / ".audit.json.parts"
    parts.mkdir()
    if settings is not None:
        (parts / "settings.json").write_text(settings)
    (parts / "00000.csv").write_text("tag,tag_id,post_id,probability,label,score\nlie,1,2,0.5,0,0.5\n")
    assert audit_labels.main([str(dump), "-o", str(tmp_path / "audit.json")]) == 0
    assert "lie" not in (tmp_path / "audit.csv").read_text()


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--min-positives", "0"], "at least 1"),
        (["--workers", "0"], "at least 1"),
        (["--min-positives", "999"], "no tag"),
        (["-c", "meta"], "no tag of category meta"),
        (["-c", "colour"], "colour"),
        (["-o", "audit.csv"], "json"),
        (["--operating-point", "nowhere.csv"], "nowhere.csv"),
        (["--truth", "nowhere.csv"], "nowhere.csv"),
    ],
)
def test_wrong_use_is_refused(words, says, dump, tmp_path, capsys):
    output = [] if "-o" in words else ["-o", str(tmp_path / "audit.json")]
    assert audit_labels.main([str(dump), *output, *words]) == 2
    assert says in capsys.readouterr().err
    assert not (tmp_path / "audit.json").exists()


def test_an_existing_audit_is_not_replaced(dump, tmp_path, capsys):
    (tmp_path / "audit.json").write_text("mine")
    assert audit_labels.main([str(dump), "-o", str(tmp_path / "audit.json")]) == 2
    assert audit_labels.main([str(dump), "-o", str(tmp_path / "audit.json"), "--overwrite"]) == 2
    assert "is not an audit" in capsys.readouterr().err
    assert (tmp_path / "audit.json").read_text() == "mine"
    assert audit_labels.main([str(dump), "-o", str(tmp_path / "own.json")]) == 0
    assert audit_labels.main([str(dump), "-o", str(tmp_path / "own.json")]) == 2
    assert audit_labels.main([str(dump), "-o", str(tmp_path / "own.json"), "--overwrite"]) == 0


@pytest.mark.parametrize(
    "own", ["{}", '{"ids": [1, 2]}', '{\n  "seeds": [\n    1\n  ]\n}\n', "[]", '{\n"a": [1.0]\n}\n']
)
def test_json_that_could_be_an_audit_but_is_not_is_kept(dump, tmp_path, capsys, own):
    (tmp_path / "audit.json").write_text(own)
    assert audit_labels.main([str(dump), "-o", str(tmp_path / "audit.json"), "--overwrite"]) == 2
    assert "is not an audit" in capsys.readouterr().err
    assert (tmp_path / "audit.json").read_text() == own


def test_an_audit_of_no_finding_or_of_any_name_is_replaced(tmp_path):
    path = tmp_path / "audit.json"
    for posts in ({}, {'"long" hair, 日本': [3, 2**62], "b": []}):
        path.write_text(audit_labels._json(posts), encoding="utf-8")
        require_replaceable_file(path, audit_labels.AUDIT, overwrite=True)
        assert json.loads(path.read_text(encoding="utf-8")) == posts


@pytest.mark.reliability("Two audits of one output at the same time", "the second is told, exit 2")
def test_a_second_audit_of_the_same_output_is_refused(dump, tmp_path, capsys):
    output, parts = tmp_path / "audit.json", tmp_path / ".audit.json.parts"
    parts.mkdir()
    with locking.sole_writer(output):
        assert audit_labels.main([str(dump), "-o", str(output)]) == 2
        assert audit_labels.main([str(dump), "-o", str(output), "--overwrite"]) == 2
    assert "audit.json is being written by another process" in capsys.readouterr().err
    assert parts.is_dir()
    assert audit_labels.main([str(dump), "-o", str(output)]) == 0
    assert not list(tmp_path.glob(".audit*"))


@pytest.mark.reliability("A stranger's file of the same stem beside the output", "refused, untouched, exit 2")
@pytest.mark.parametrize("name", ["people.csv", "people_wrong.json", "people_truth.svg"])
def test_a_strangers_file_beside_the_audit_is_kept(dump, tmp_path, capsys, name):
    (tmp_path / name).write_text("name,age\n")
    for more in ([], ["--overwrite"]):
        assert audit_labels.main([str(dump), "-o", str(tmp_path / "people.json"), *more]) == 2
        assert f"{name} is not" in capsys.readouterr().err
    assert (tmp_path / name).read_text() == "name,age\n"
    assert not (tmp_path / "people.json").exists()


def test_a_dump_without_ids_names_no_post(dump, tmp_path, capsys):
    (dump / "image_ids.npy").unlink()
    assert audit_labels.main([str(dump), "-o", str(tmp_path / "audit.json")]) == 2
    assert "image_ids.npy" in capsys.readouterr().err


def test_tags_of_one_name_are_left_out_and_named(dump, tmp_path, capsys):
    """The JSON would have one name twice, and the review would ask about the first tag for both."""
    path = dump / "selected_tags.csv"
    (dump / "dump.json").unlink()
    path.write_text(path.read_text().replace("artist_name,1", "smile,1"))
    assert audit_labels.main([str(dump), "-o", str(tmp_path / "audit.json")]) == 0
    assert set(json.loads((tmp_path / "audit.json").read_text())) == {"solo", "hat"}
    assert "not audited, as an audit knows tags by name: names of more" in capsys.readouterr().err


def test_an_id_of_two_rows_is_refused(dump, tmp_path, capsys):
    (dump / "dump.json").unlink()
    np.save(dump / "image_ids.npy", np.r_[1000, np.arange(1000, 1199)])
    assert audit_labels.main([str(dump), "-o", str(tmp_path / "audit.json")]) == 2
    assert "image 1000 more than once" in capsys.readouterr().err


def test_tags_without_an_operating_point_are_said(dump, tmp_path, capsys):
    table, words = tmp_path / "t.csv", [str(dump), "-o", str(tmp_path / "audit.json")]
    for name, threshold, code, says in (
        ("hat", 0.3, 0, "no threshold for 3 of 4 tags, which are audited at 0.5: solo, smile, artist_name"),
        ("hat", 1, 0, "thresholds of 0 or 1, which tell no posts apart, for 1 of 4 tags, which are audited"),
        ("absent", 0.3, 2, "a threshold for none of the 4 tags"),
    ):
        table.write_text(f"scope,category,tag_id,name,threshold\ntag,0,,{name},{threshold}\n")
        assert audit_labels.main([*words, "--operating-point", str(table), "--overwrite"]) == code
        assert says in capsys.readouterr().err
