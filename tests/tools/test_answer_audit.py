"""tools/answer_audit.py: decisions that agree with the ground truth, once for every finding."""

import json

import numpy as np
import pytest
from helpers import small_dataset

from Generators import records
from tools import answer_audit, apply_decisions, audit_labels, ensemble, select_tags, write_records
from Utils.data import dataset_folder, folds
from Utils.evaluation import predictions
from Utils.files import tfrecord
from Utils.labels import decisions

TRUTH = "image_id,tags\n10,solo hat\n11,solo\n12,\n"


@pytest.fixture
def files(tmp_path):
    """An audit of three tags, a truth of three posts, a tag list; post 99 is nobody's."""
    audit = {"solo": [11, 12, 99], "hat": [10, 11], "帽子": [12]}
    (tmp_path / "audit.json").write_text(json.dumps(audit), encoding="utf-8")
    (tmp_path / "audit_wrong.json").write_text('{"hat": [12, 10]}')
    (tmp_path / "truth.csv").write_text(TRUTH)
    tags = "tag_id,name,category,count\n1,solo,0,9\n2,hat,0,5\n3,帽子,0,5\n"
    (tmp_path / "selected_tags.csv").write_text(tags, encoding="utf-8")
    return tmp_path


def answer(folder, *words, audits=("audit.json",)):
    return answer_audit.main(
        [*(str(folder / name) for name in audits), "--truth", str(folder / "truth.csv")]
        + ["--tags", str(folder / "selected_tags.csv"), "-o", str(folder / "decisions.jsonl"), *words]
    )


def answered(folder):
    return {(line.post_id, line.tag): line for line in decisions.read(folder / "decisions.jsonl")}


def test_every_finding_is_answered_by_the_truth_once(files, capsys):
    assert answer(files, "--json", audits=("audit.json", "audit_wrong.json")) == 0
    summary = json.loads(capsys.readouterr().out)
    assert (summary["decisions"], summary["yes"], summary["unanswered"]) == (6, 2, 1)
    lines = answered(files)
    assert {pair: line.decision for pair, line in lines.items()} == {
        (11, "solo"): "yes", (12, "solo"): "no", (10, "hat"): "yes", (11, "hat"): "no", (12, "帽子"): "no",
        (12, "hat"): "no",
    }  # fmt: skip
    assert {line.tag: line.tag_id for line in lines.values()} == {"solo": 1, "hat": 2, "帽子": 3}


def test_the_same_audit_gives_the_same_bytes_and_decisions_are_kept(files, capsys):
    assert answer(files) == 0
    assert "about posts that the truth does not name" in capsys.readouterr().out
    first = (files / "decisions.jsonl").read_bytes()
    assert answer(files) == 2
    assert answer(files, "--overwrite") == 0
    assert (files / "decisions.jsonl").read_bytes() == first


@pytest.mark.parametrize(
    ("audit", "says"),
    [
        ('{"cat": [10]}', "'cat'"),
        ("[10]", "must map tags"),
        ('{"solo": 10}', "a list of post ids"),
        ('{"solo": ["10"]}', "a list of post ids"),
        ('{"solo": [10', "no JSON"),
    ],
)
def test_a_file_that_is_no_audit_is_refused(audit, says, files, capsys):
    (files / "audit.json").write_text(audit)
    assert answer(files) == 2
    assert says in capsys.readouterr().err
    assert not (files / "decisions.jsonl").exists()


def records_of(dataset, split):
    """What the shards of a split hold, by post id: the names of its tags."""
    names = dataset_folder.load(dataset).tags["name"].to_numpy()
    names_of = {}
    for shard in sorted((dataset / split).glob("*.tfrecord")):
        for serialized in tfrecord.read_records(shard):
            parsed = records.parse(serialized)
            names_of[int(parsed["image_id"])] = set(names[parsed["label_indexes"].numpy()])
    return names_of


def test_findings_of_an_audit_end_in_the_shards(tmp_path):
    """Folds, stack, audit, answers, database, shards: a perfect model brings the labels to the truth."""
    old = small_dataset(tmp_path, num_posts=80)
    tag_list, random = dataset_folder.load(old).tags, np.random.default_rng(1)
    shown = {split: records_of(old, split) for split in ("train", "validation")}
    truth = {
        post: names | set(tag_list["name"][random.random(len(tag_list)) < 0.15])
        for part in shown.values()
        for post, names in part.items()
    }
    wrong = next(post for post, names in shown["train"].items() if "tag_1" in names)
    truth[wrong].discard("tag_1")
    lines = [f"{post},{' '.join(names)}" for post, names in truth.items()]
    (tmp_path / "truth.csv").write_text("\n".join(["image_id,tags", *lines]) + "\n")
    ids = np.array(sorted(shown["train"]))
    true, labels = (
        np.array([[name in of[post] for name in tag_list["name"]] for post in ids.tolist()])
        for of in (truth, shown["train"])
    )
    for index in range(2):
        rows = folds.Fold(index, 2).contains(ids)
        with predictions.writing(tmp_path / str(index), tag_list) as writer:
            writer.add(0.2 + 0.3 * true[rows], ids[rows], labels[rows])  # what is true is above 0.4, not 0.5
    (tmp_path / "thresholds.csv").write_text("scope,category,tag_id,name,threshold\nall,,,all,0.4\n")
    at = {
        name: str(tmp_path / name)
        for name in ("0", "1", "all", "audit.json", "audit_wrong.json", "y.db", "new")
    }
    assert ensemble.main([at["0"], at["1"], "--stack", "-o", at["all"]]) == 0
    words = ["--operating-point", str(tmp_path / "thresholds.csv"), "--also-wrong"]
    assert audit_labels.main([at["all"], "-o", at["audit.json"], *words]) == 0
    (tmp_path / "selected_tags.csv").write_bytes((old / "selected_tags.csv").read_bytes())
    assert answer(tmp_path, audits=("audit.json", "audit_wrong.json")) == 0
    database = ["--db", str(tmp_path / "danbooru.db"), "-o", at["y.db"]]
    assert apply_decisions.main([str(tmp_path / "decisions.jsonl"), *database]) == 0
    words = [str(tmp_path / "definition.toml"), "--source", "fire-eggs", "--from", at["y.db"]]
    assert select_tags.main([*words, "--images", str(tmp_path / "images"), "-o", at["new"]]) == 0
    assert write_records.main([at["new"], "--labels-only", "--reuse", str(old), "--workers", "1"]) == 0
    new = tmp_path / "new"
    assert records_of(new, "train") == {post: truth[post] for post in shown["train"]} != shown["train"]
    assert records_of(new, "validation") == shown["validation"]


@pytest.mark.parametrize(
    ("truth", "says"),
    [
        (b"", "no CSV"),
        (b"post,tags\n10,solo\n", "lacks the column image_id"),
        (b"image_id,tags\n1.5,solo\n", "'1.5' is no post id"),
        (b"image_id,tags\n10,\xff\n", "no text in UTF-8"),
        (b"image_id,tags\n7,solo\n", "names none of the posts that the audit asks about"),
    ],
)
def test_a_file_without_the_ground_truth_is_refused(files, truth, says, capsys):
    (files / "truth.csv").write_bytes(truth)
    assert answer(files) == 2
    assert says in capsys.readouterr().err
    assert not (files / "decisions.jsonl").exists()
