"""The cost of every client's preprocessing: equal pixels cost nothing, and what is known to differ does."""

import csv
import json
import xml.etree.ElementTree as ElementTree

import helpers
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from helpers import small_releases

from tools import compare_preprocessing
from Utils.clients import score_effects
from Utils.data import dataset_folder
from Utils.images.places import open_place


@pytest.fixture(scope="module")
def booru(tmp_path_factory):
    """A dataset, its pictures, and a release that looks at their mean color."""
    folder = tmp_path_factory.mktemp("booru")
    dataset = helpers.small_dataset(folder, records=False, num_posts=120)
    frame = dataset_folder.load(dataset).tags
    lines = [f"{row.tag_id},{row.name},{row.category},{row.count}" for row in frame.itertuples(index=False)]
    weights = np.random.default_rng(0).uniform(0, 0.25, (len(frame), 4))
    tags = "\n".join(lines) + "\n"
    release = small_releases.make(folder / "release", tags=tags, weights=weights)
    words = [str(release), "--dataset", str(dataset), "--images", str(folder / "images")]
    return [*words, "--split", "train", "validation", "--resamples", "100"]


def test_every_client_on_every_case(booru, tmp_path, capsys):
    out = tmp_path / "report"
    assert compare_preprocessing.main([*booru, "-o", str(out), "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    rows = {(effect["case"], effect["client"]): effect for effect in report["effects"]}
    assert len(rows) == 4 * 8
    for (_, client), effect in rows.items():
        assert effect["images"] == report["images"] > 20
        assert effect["low"] <= effect["f1"] <= effect["high"]
        assert effect["difference_low"] <= effect["difference"] <= effect["difference_high"]
        if client == "ours":
            assert (effect["pixels"], effect["difference"], effect["difference_high"]) == (0, 0, 0)
    assert rows["stored", "kohya"]["pixels"] == 0  # both average areas
    assert rows["small", "standalone, picobyte"]["pixels"] > 20 > rows["small", "kohya"]["pixels"]
    assert rows["stored", "ours"]["f1"] == rows["transparent", "ours"]["f1"]
    with (out / "report.csv").open() as file:
        table = list(csv.DictReader(file))
    assert [float(row["f1"]) for row in table] == [effect["f1"] for effect in report["effects"]]
    for case in ("stored", "small", "wide", "transparent"):
        ElementTree.fromstring((out / f"{case}.svg").read_text())
    again = compare_preprocessing.main([*booru, "-o", str(out)])
    assert again == 2
    assert "--overwrite" in capsys.readouterr().err
    assert compare_preprocessing.main([*booru, "-o", str(out), "--overwrite", "--cases", "small"]) == 0
    shown = capsys.readouterr().out
    assert f"threshold {report['threshold']:.4f}" in shown  # that of the pictures as they are stored
    assert "standalone, picobyte" in shown
    assert shown.splitlines()[-1] == f"next: python tools/tag_images.py {booru[0]} PICTURES"
    assert not (out / "wide.svg").exists()


def test_pictures_that_are_others_than_the_datasets_are_said(booru, capsys):
    dataset, images = dataset_folder.load(booru[2]), booru[4]
    table = pq.read_table(dataset.folder / "posts.parquet")
    changed = table.append_column("picture", pa.array([1] * len(table)))
    pq.write_table(changed, dataset.folder / "posts.parquet")
    paths, _ = compare_preprocessing._labeled_images(dataset, open_place(images), ["validation"], 10)
    pq.write_table(table, dataset.folder / "posts.parquet")
    assert f"{len(paths)} of {len(paths)} pictures looked at in {images}" in capsys.readouterr().err


def test_pictures_without_a_tag_of_the_model_have_no_score(booru, tmp_path, monkeypatch, capsys):
    labeled = compare_preprocessing._labeled_images

    def unlabeled(*words):
        paths, labels = labeled(*words)
        return paths, np.zeros_like(labels)

    monkeypatch.setattr(compare_preprocessing, "_labeled_images", unlabeled)
    assert compare_preprocessing.main([*booru, "-o", str(tmp_path / "report")]) == 2
    assert "there is no F1" in capsys.readouterr().err


def test_the_largest_loss_is_said_with_its_chance():
    def effect(client, difference, high):
        figures = 10, 1.0, 0.5, 0.4, 0.6, difference, difference - 0.1, high
        return score_effects.ScoreEffect("wide", client, *figures)

    ours, bad = effect("ours", 0.0, 0.0), effect("kohya", -0.25, -0.15)
    said = compare_preprocessing.largest_loss([ours, bad, effect("x", -0.2, 0.1)])
    assert said.startswith("largest loss: kohya on pictures wide, -0.2500 in micro F1, more than chance")
    assert "no more than chance" in compare_preprocessing.largest_loss([ours, effect("x", -0.2, 0.1)])
    assert "no client" in compare_preprocessing.largest_loss([ours, effect("x", 0.0, 0.1)])


def test_a_release_is_verified_next_and_a_run_released(tmp_path):
    for marker, command in (("release.json", "verify_release"), ("recipe.json", "export_model")):
        folder = tmp_path / command
        folder.mkdir()
        (folder / marker).touch()
        line = compare_preprocessing.next_line(folder)
        assert line.startswith(f"next: python tools/{command}.py {folder}")
    assert compare_preprocessing.next_line("a/b") == "next: python tools/tag_images.py a/b PICTURES"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--split", "tset"], "has no split 'tset'; it has "),
        (["--most", "1"], "--most: must be a whole number of at least 2; got '1'"),
        (["--resamples", "5"], "--resamples: must be a whole number of at least 20; got '5'"),
    ],
)
def test_wrong_use_is_refused_with_the_reason(booru, words, message, tmp_path, capsys):
    assert compare_preprocessing.main([*booru, "-o", str(tmp_path / "x"), *words]) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "x").exists()
