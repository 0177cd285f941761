"""The cost of every client's preprocessing: equal pixels cost nothing, and what is known to differ does."""

import csv
import json
import xml.etree.ElementTree as ElementTree

import helpers
import numpy as np
import pytest
from helpers import small_releases

from tools import compare_preprocessing
from Utils.data import dataset_folder


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
    assert len(rows) == 4 * 7
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
    assert not (out / "wide.svg").exists()


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
