"""tools/make_report.py: numbers of analyze_metrics and of brute force; one file whatever tags are named."""

import csv
import html
import json
import re

import helpers
import numpy as np
import pandas as pd
import pytest
from helpers.reported import NAMES, TAGS, write_black_dump, write_dump

from tools import analyze_metrics
from tools.make_report import main
from Utils.data import dataset_folder
from Utils.evaluation import predictions
from Utils.files import tfrecord
from Utils.tags import tag_list


@pytest.fixture
def dump(tmp_path):
    return write_dump(tmp_path / "dump")


def report(dump, capsys, *words):
    code = main([str(dump), "-o", str(dump.parent / "report"), "--overwrite", *words])
    shown = capsys.readouterr()
    assert code == 0, shown.err
    return shown.out


def test_the_model_is_scored_as_analyze_metrics_does(dump, capsys):
    rows = json.loads(report(dump, capsys, "--json"))["rows"]
    assert [row["category"] for row in rows] == ["all", "general", "character", "copyright", "rating"]
    for row in rows:
        words = ["-d", str(dump), "--json", *([] if row["category"] == "all" else ["-c", row["category"]])]
        assert analyze_metrics.main(words) == 0
        expected = json.loads(capsys.readouterr().out)["a <run>"]
        assert {name: row["model"][name] for name in ("thres", "F1", "TP", "FN", "ties")} == {
            name: expected[name] for name in ("thres", "F1", "TP", "FN", "ties")
        }
        assert row["model"]["F1_low"] <= row["model"]["F1"] <= row["model"]["F1_high"]
        assert row["tags"] == expected["tags"]


def test_the_csv_has_every_tag_and_the_counts_of_brute_force(dump, capsys):
    threshold = json.loads(report(dump, capsys, "--json"))["rows"][0]["model"]["thres"]
    opened = predictions.load(dump)
    above, y = np.asarray(opened.probabilities) > np.float32(threshold), np.asarray(opened.labels) > 0
    with (dump.parent / "report" / "report.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [row["tag"] for row in rows] == NAMES
    assert [int(row["tag_id"]) for row in rows] == TAGS["tag_id"].tolist()
    for column, row in enumerate(rows):
        hit = (above & y)[:, column].sum()
        assert int(row["TP"]) == hit
        assert int(row["predicted"]) == above[:, column].sum()
        assert int(row["positives"]) == y[:, column].sum()
        if y[:, column].any():
            assert float(row["R"]) == hit / y[:, column].sum()
        else:
            assert row["R"] == ""


def read_csv(dump, name):
    with (dump.parent / "report" / name).open(encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_every_number_of_the_page_is_one_of_the_tables(dump, capsys):
    report(dump, capsys)
    text = (dump.parent / "report" / "report.html").read_text(encoding="utf-8")
    columns = json.loads(re.search(r"HEAD = (\[.*?\]), ROWS", text)[1])
    rows = json.loads(re.search(r"ROWS = (\[.*\]), PAGE", text)[1])
    for row, line in zip(rows, read_csv(dump, "report.csv"), strict=True):
        for name, value in zip(columns, row, strict=True):
            if isinstance(value, float):
                assert value == round(float(line[name]), 4)
            else:
                assert ("" if value is None else str(value)) == line[name]
    for line in read_csv(dump, "headline.csv"):
        ends = "–".join(f"{float(line[name]):.4f}" if line[name] else "–" for name in ("F1_low", "F1_high"))
        assert f"<td>{float(line['F1']):.4f}<small>{ends}</small></td>" in text
    for line in read_csv(dump, "confused.csv"):
        assert f"<h3>{html.escape(line['predicted'])} for {html.escape(line['true'])}</h3>" in text
        assert f"on {line['images']} images; by chance {float(line['expected']):.1f}" in text


def test_the_truth_gives_what_a_perfect_tagger_would_reach(dump, capsys):
    opened = predictions.load(dump)
    labels = np.asarray(opened.labels) > 0
    truth = labels.copy()
    truth[:, 0] = True  # the labels lack some of the first tag
    tags = [np.array(NAMES)[row].tolist() for row in truth]
    lines = [f"{post},{' '.join(names)}" for post, names in zip(opened.image_ids, tags, strict=True)
             if not any(" " in name for name in names)]  # fmt: skip
    path = dump.parent / "truth.csv"
    path.write_text("\n".join(["image_id,tags", *lines]) + "\n", encoding="utf-8")
    known = [line.split(",")[0] for line in lines]
    rows = np.isin(opened.image_ids, np.array(known, np.int64))
    shown = report(dump, capsys, "--truth", str(path), "--json")
    expected = labels[rows].sum() / truth[rows].sum()
    assert json.loads(shown)["rows"][0]["model"]["ceiling"] == pytest.approx(expected)
    shown = report(dump, capsys, "--truth", str(path))
    assert f"{expected:.4f}" in shown.splitlines()[4]
    assert "ceiling: F1 of a perfect tagger" in shown
    assert "perfect tagger F1" in (dump.parent / "report" / "report.html").read_text(encoding="utf-8")
    assert "ceiling" not in report(dump, capsys)
    path.write_text("image_id,tags\n99999999,hat\n")
    assert main([str(dump), "-o", str(dump.parent / "other"), "--truth", str(path)]) == 2
    assert "names none of" in capsys.readouterr().err


def small_dataset(folder, ids, shard_size):
    """A dataset folder as write_records leaves it, of JPEGs of flat color; made without tensorflow."""
    (folder / "validation").mkdir(parents=True)
    shards = []
    for number, start in enumerate(range(0, len(ids), shard_size)):
        part = ids[start : start + shard_size]
        name = f"validation/small-{number}.tfrecord"
        with tfrecord.Writer(folder / name) as writer:
            for post_id in part.tolist():
                writer.write_record(tfrecord.encode_example(post_id, helpers.jpeg(post_id, 24), []))
        shards.append({"file": name, "records": len(part)})
    np.save(folder / "validation" / "ids.npy", ids)
    records = {"validation": {"shards": shards}}
    (folder / "dataset.json").write_text(json.dumps({"name": "small", "image_size": 24, "records": records}))
    tag_list.write(TAGS, folder / "selected_tags.csv")
    return folder


def test_sample_images_come_from_a_folder_or_a_dataset(tmp_path, capsys):
    ids = np.random.default_rng(1).permutation(5000)[:40]
    dataset = small_dataset(tmp_path / "dataset", ids, shard_size=7)
    (tmp_path / "empty").mkdir()
    rng = np.random.default_rng(0)
    with predictions.writing(tmp_path / "dump", TAGS) as writer:
        writer.add(rng.random((40, 9)), ids, rng.random((40, 9)) < 0.5)
    report(tmp_path / "dump", capsys, "--dataset", str(dataset))
    text = (tmp_path / "report" / "report.html").read_text(encoding="utf-8")
    assert text.count("<img ") > 8
    assert text.count('src="data:image/jpeg;base64,/9j/') == text.count("<img ")
    report(tmp_path / "dump", capsys, "--images", str(tmp_path / "empty"))
    assert "<img" not in (tmp_path / "report" / "report.html").read_text(encoding="utf-8")


def test_sample_images_of_other_sizes_than_were_predicted_are_counted(tmp_path, capsys):
    rng, ids = np.random.default_rng(0), np.arange(1, 41)
    (tmp_path / "pictures").mkdir()
    for post in ids:
        (tmp_path / "pictures" / f"{post}.jpg").write_bytes(helpers.jpeg(int(post), 8))
    sizes = [(tmp_path / "pictures" / f"{post}.jpg").stat().st_size for post in ids]
    for name, change in (("own", 0), ("other", 1)):
        with predictions.writing(tmp_path / name, TAGS) as writer:
            writer.add(rng.random((40, 9)), ids, rng.random((40, 9)) < 0.5)
            rows = [f"{post},x,{size + change}\n" for post, size in zip(ids, sizes, strict=True)]
            (writer.folder / "images.csv").write_text("".join(["post_id,path,bytes\n", *rows]))
        words = [
            str(tmp_path / name),
            "--images",
            str(tmp_path / "pictures"),
            "-o",
            str(tmp_path / f"{name}_report"),
        ]
        assert main(words) == 0
        assert ("have other sizes than those that were predicted" in capsys.readouterr().err) == bool(change)


def test_white_and_black_are_tables_of_their_own(dump, capsys):
    black, _ = write_black_dump(dump)
    report(dump, capsys, "--black", str(black))
    for line in read_csv(dump, "padding.csv"):
        difference = float(line["F1_black"]) - float(line["F1_white"])
        assert float(line["difference"]) == pytest.approx(difference)
        assert float(line["difference_low"]) <= difference <= float(line["difference_high"])
    lines = read_csv(dump, "report.csv")
    assert lines[2]["F1_white"] != lines[2]["F1_black"]
    assert "black − white" in (dump.parent / "report" / "report.html").read_text(encoding="utf-8")


def test_the_table_on_the_terminal_is_aligned(dump, capsys):
    out = report(dump, capsys)
    lines = out.splitlines()
    assert lines[0] == "a <run>: 60 images, micro F1 where precision = recall"
    table = lines[3 : 3 + 6]
    assert len({len(line) for line in table}) == 1
    assert table[1].split()[:2] == ["all", "9"]
    assert lines[2].index("frequencies only") < lines[2].index("model")


def test_mistakes(dump, tmp_path, capsys):
    for words in (["--images", "nowhere"], ["--dataset", "nowhere"], ["--black", "nowhere"]):
        assert main([str(dump), "-o", str(tmp_path / "r"), *words]) == 2
        assert "nowhere; found nothing" in capsys.readouterr().err
    (dump / "labels.npy").unlink()
    assert main([str(dump), "-o", str(tmp_path / "r")]) == 2
    assert "nothing to score against" in capsys.readouterr().err
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "x").write_text("mine")
    assert main([str(dump), "-o", str(tmp_path / "full")]) == 2
    assert (tmp_path / "full" / "x").read_text() == "mine"
    assert not (tmp_path / "r").exists()


@pytest.fixture(scope="module")
def leaky(tmp_path_factory):
    """A dataset, and a dump of its validation split."""
    folder = tmp_path_factory.mktemp("leaks")
    dataset = dataset_folder.load(helpers.small_dataset(folder, num_posts=60, size=16))
    ids, random = dataset.post_ids("validation"), np.random.default_rng(0)
    labels = random.random((len(ids), dataset.num_labels)) < 0.5
    with predictions.writing(folder / "dump", dataset.tags) as writer:
        writer.add(random.random(labels.shape), ids, labels)
    groups = {"group": [1, 1], "post_id": [int(dataset.post_ids("train")[0]), int(ids[0])]}
    pd.DataFrame(groups).to_csv(folder / "groups.csv", index=False)
    return folder


def test_the_report_says_by_how_much_near_duplicates_inflate_the_score(leaky, capsys):
    words = [
        str(leaky / "dump"),
        "--dataset",
        str(leaky / "dataset"),
        "--groups",
        str(leaky / "groups.csv"),
    ]
    assert main([*words, "-o", str(leaky / "report"), "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)["leaks"]
    assert shown["counts"]["leaked"] == 1
    with (leaky / "report" / "leaks.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["images"] for row in rows] == ["all", "clean", "leaked"]
    assert float(rows[0]["inflation"]) == shown["inflation"]
    assert '<h2 id="leaks">Leaks</h2>' in (leaky / "report" / "report.html").read_text()


def test_a_dataset_without_the_posts_is_another_models(leaky, tmp_path, capsys):
    given = predictions.load(leaky / "dump")
    with predictions.writing(tmp_path / "dump", given.tags) as writer:
        writer.add(given.probabilities, given.image_ids + 10**9, given.labels)
    words = [str(tmp_path / "dump"), "--dataset", str(leaky / "dataset"), "-o", str(tmp_path / "other")]
    assert main(words) == 2
    assert "has a record of none of the" in capsys.readouterr().err
    assert not (tmp_path / "other").exists()


def test_a_dataset_or_truth_of_other_pictures_with_the_same_ids_is_refused(leaky, tmp_path, capsys):
    dataset = dataset_folder.load(leaky / "dataset")
    ((ids, lengths, lists),) = dataset.label_blocks("train")
    labels = np.zeros((len(ids), dataset.num_labels), bool)
    labels[np.repeat(np.arange(len(ids)), lengths), lists] = True
    names = dataset.tags["name"].to_numpy()
    lines = [f"{post},{' '.join(names[row])}\n" for post, row in zip(ids, labels, strict=True)]
    (tmp_path / "truth.csv").write_text("".join(["image_id,tags\n", *lines]))
    for name, rows in (("own", ids), ("others", np.roll(ids, 1))):
        with predictions.writing(tmp_path / name, dataset.tags) as writer:
            writer.add(np.float32(0.1 + 0.8 * labels), rows, labels)
    for option, path in (("--dataset", dataset.folder), ("--truth", tmp_path / "truth.csv")):
        assert main([str(tmp_path / "own"), option, str(path), "-o", str(tmp_path / option)]) == 0
        assert main([str(tmp_path / "others"), option, str(path), "-o", str(tmp_path / "report")]) == 2
        assert "have the same post ids (or rows), but not the same pictures" in capsys.readouterr().err
        assert not (tmp_path / "report").exists()


def test_without_a_dataset_nothing_is_known_to_leak(leaky, capsys):
    words = [str(leaky / "dump"), "--groups", str(leaky / "groups.csv"), "-o", str(leaky / "other")]
    assert main(words) == 2
    assert "--groups needs --dataset" in capsys.readouterr().err
    assert not (leaky / "other").exists()
