"""tools/predict.py: every image once, tags matched, labels its own, broken input said."""

import csv
import hashlib
import json
import shutil

import cv2
import keras
import numpy as np
import pandas as pd
import pytest
from helpers import foreign_releases, jpeg
from helpers.quick import slow_but
from PIL import Image

import Models
from Generators import records
from tools.predict import main
from Utils.command.cli import UserError
from Utils.data import folds
from Utils.evaluation import predictions
from Utils.images import codec
from Utils.tags import tag_list

L, S = 6, 32
TAGS = pd.DataFrame(
    {
        "tag_id": np.arange(L) + 10,
        "name": [f"tag_{i}" for i in range(L)],
        "category": [0] * 4 + [3, 4],
        "count": np.arange(L)[::-1] + 1,
    }
)
LABELS = [[0, 2], [], [5], [1], [0, 1, 2, 3, 4, 5], [3], [2, 4]]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run folder with two models: best and last."""
    folder = tmp_path_factory.mktemp("runs") / "my_run"
    folder.mkdir()
    for seed, name in enumerate(("best", "model")):
        keras.utils.set_random_seed(seed)
        model = Models.build("ConvNext/test", image_size=S, num_labels=L, depths=(1, 1), widths=(8, 16))
        model.save(folder / f"{name}.keras")
    tag_list.write(TAGS, folder / "selected_tags.csv")
    (folder / "recipe.json").write_text('{"recipe": "demo", "model": "ConvNext/test"}')
    return folder


def shards(folder, tags=TAGS, labels=LABELS, broken=None):
    """A dataset of original shards: two files of records in validation/."""
    import tensorflow as tf

    (folder / "validation").mkdir(parents=True)
    tag_list.write(tags, folder / "selected_tags.csv")
    for part in range(2):
        with tf.io.TFRecordWriter(str(folder / "validation" / f"x-{part}.tfrecord")) as file:
            for number in range(part, len(labels), 2):
                data = b"no image" if number == broken else picture(number)
                file.write(records.encode(100 + number, data, labels[number]))
    return folder


def picture(number):
    return jpeg(number, (40, 40 + number * 3))


ORDER = [0, 2, 4, 6, 1, 3, 5]  # of the records: shard by shard


def predict(capsys, *words):
    code = main([str(word) for word in words])
    return code, capsys.readouterr()


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    return shards(tmp_path_factory.mktemp("data") / "set")


@pytest.fixture(scope="module")
def dump(run, dataset, tmp_path_factory):
    """The dump of the split as it is written without options."""
    folder = tmp_path_factory.mktemp("dumps") / "dump"
    assert main([str(run), "--dataset", str(dataset), "-o", str(folder)]) == 0
    return predictions.load(folder)


@pytest.mark.parametrize("batch_size", slow_but([2, 7], 2))
def test_a_dump_of_a_split(run, dataset, dump, tmp_path, capsys, batch_size):
    code, shown = predict(
        capsys, run, "--dataset", dataset, "-o", tmp_path / "dump", "--batch-size", batch_size
    )
    assert code == 0, shown.err
    written = predictions.load(tmp_path / "dump")
    assert written.image_ids.tolist() == [100 + number for number in ORDER]
    assert written.tags.equals(TAGS)
    expected = np.zeros((7, L), np.uint8)
    for row, number in enumerate(ORDER):
        expected[row, LABELS[number]] = 1
    assert np.array_equal(written.labels, expected)
    tagger = Models.load(run)
    alone = np.stack([tagger.probabilities([picture(number)])[0] for number in ORDER])
    np.testing.assert_allclose(written.probabilities, alone, atol=1e-5)
    np.testing.assert_allclose(dump.probabilities, alone, atol=1e-5)  # all in one batch
    assert len(np.unique(written.probabilities[:, 0])) == 7
    info = json.loads((tmp_path / "dump" / "dump.json").read_text())
    assert info["run_name"] == "my_run"
    assert info["definition_name"] == "ConvNext/test"
    assert (info["dataset"], info["split"], info["image_size"]) == ("set", "validation", S)
    assert info["model_sha256"] == hashlib.sha256((run / "best.keras").read_bytes()).hexdigest()
    assert info["params"] == tagger.model.count_params()


def test_best_last_and_a_file(run, dataset, dump, tmp_path, capsys):
    dumps = {}
    for name, words in {
        "last": (run, "--which", "last"),
        "file": (run / "model.keras",),
    }.items():
        words = (*words, "--dataset", dataset, "--split", "validation", "-o", tmp_path / name)
        assert predict(capsys, *words)[0] == 0
        dumps[name] = predictions.load(tmp_path / name)
    assert not np.allclose(dump.probabilities, dumps["last"].probabilities)
    assert np.array_equal(dumps["file"].probabilities, dumps["last"].probabilities)
    assert dumps["file"].name == "my_run"


def test_float16_is_the_rounded_float32(run, dataset, dump, tmp_path, capsys):
    words = (run, "--dataset", dataset, "-o", tmp_path / "half", "--dtype", "float16")
    assert predict(capsys, *words)[0] == 0
    half = predictions.load(tmp_path / "half").probabilities
    assert half.dtype == np.float16
    assert np.array_equal(half, dump.probabilities.astype(np.float16))


def test_other_tag_lists_are_matched(run, tmp_path, capsys):
    """The dataset lacks tag_1, has a new tag, tag_3 renamed, tag_4 under another id, another order."""
    given = TAGS.iloc[[5, 4, 3, 2, 0]].reset_index(drop=True)
    given.loc[2, "name"] = "renamed"
    given.loc[1, "tag_id"] = 999
    given = pd.concat([given, pd.DataFrame([{"tag_id": 77, "name": "new", "category": 0, "count": 1}])])
    labels = [[row] for row in (0, 1, 2, 3, 4, 5, 0)]
    data = shards(tmp_path / "set", given, labels)
    code, shown = predict(capsys, run, "--dataset", data, "-o", tmp_path / "dump")
    assert code == 0
    assert "1 of the model's 6 tags are not in the dataset and are left out: tag_1" in shown.err
    assert "1 of the dataset's 6 tags are unknown to the model" in shown.err
    dump = predictions.load(tmp_path / "dump")
    assert dump.tags["name"].tolist() == ["tag_0", "tag_2", "tag_3", "tag_4", "tag_5"]
    columns = {0: 4, 1: 3, 2: 2, 3: 1, 4: 0, 5: None}  # row of the dataset's list -> column of the dump
    for row, number in enumerate(ORDER):
        wanted = np.zeros(5, np.uint8)
        if columns[labels[number][0]] is not None:
            wanted[columns[labels[number][0]]] = 1
        assert dump.labels[row].tolist() == wanted.tolist()


def test_no_common_tag_is_an_error(run, tmp_path, capsys):
    given = TAGS.assign(tag_id=TAGS["tag_id"] + 500, name=TAGS["name"] + "x")
    code, shown = predict(capsys, run, "--dataset", shards(tmp_path / "set", given), "-o", tmp_path / "dump")
    assert code == 2
    assert "no tag in common" in shown.err
    assert not (tmp_path / "dump").exists()


def test_a_folder_of_images(run, tmp_path, capsys):
    folder = tmp_path / "in"
    (folder / "sub").mkdir(parents=True)
    (folder / "sub" / "12.jpg").write_bytes(picture(1))
    (folder / "a.png").write_bytes(cv2.imencode(".png", codec.decode(picture(2)))[1].tobytes())
    (folder / "7.JPG").write_bytes(picture(3))
    (folder / "cut.jpg").write_bytes(picture(4)[:-200])
    (folder / "empty.jpg").write_bytes(b"")
    (folder / "note.txt").write_text("not an image")
    (folder / "8.jpg").write_bytes(picture(5)[:-200] + b"\xff\xd9")
    code, shown = predict(capsys, run, "--images", folder, "-o", tmp_path / "dump", "--batch-size", "2")
    assert code == 0, shown.err
    dump = predictions.load(tmp_path / "dump")
    with (tmp_path / "dump" / "images.csv").open() as file:
        rows = list(csv.reader(file))[1:]
    assert [row[1] for row in rows] == ["7.JPG", "8.jpg", "a.png", "sub/12.jpg"]
    assert dump.image_ids.tolist() == [int(row[0]) for row in rows]
    assert dump.image_ids[[0, 1, 3]].tolist() == [7, 8, 12]
    assert "1 damaged inside but predicted all the same: 8.jpg: damaged JPEG" in shown.err
    assert dump.labels is None
    tagger = Models.load(run)
    alone = tagger.probabilities([folder / row[1] for row in rows])
    np.testing.assert_allclose(dump.probabilities, alone, atol=1e-5)
    with (tmp_path / "dump" / "rejected.csv").open() as file:
        rejected = list(csv.DictReader(file))
    assert {row["path"]: row["reason"] for row in rejected} == {
        "cut.jpg": "truncated JPEG",
        "empty.jpg": "empty file",
    }
    assert "left out: cut.jpg: truncated JPEG" in shown.err


def test_padding_changes_images_that_are_not_square(run, tmp_path, capsys):
    folder = tmp_path / "in"
    folder.mkdir()
    (folder / "1.jpg").write_bytes(jpeg(1, (20, 60)))
    (folder / "2.jpg").write_bytes(jpeg(1, 40))
    pair = []
    for padding in ("white", "black"):
        words = (run, "--images", folder, "-o", tmp_path / padding, "--padding", padding)
        assert predict(capsys, *words)[0] == 0
        pair.append(predictions.load(tmp_path / padding).probabilities)
    assert np.isclose(*pair).all(axis=1).tolist() == [False, True]


def test_padding_changes_records_that_are_not_square(run, dataset, dump, tmp_path, capsys):
    assert predict(capsys, run, "--dataset", dataset, "-o", tmp_path / "black", "--padding", "black")[0] == 0
    black = predictions.load(tmp_path / "black").probabilities
    assert np.isclose(dump.probabilities, black).all(axis=1).tolist() == [True] + [False] * 6


def test_a_broken_record_is_named_and_leaves_nothing(run, tmp_path, capsys):
    data = shards(tmp_path / "set", broken=4)
    code, shown = predict(capsys, run, "--dataset", data, "-o", tmp_path / "dump")
    assert code == 1
    assert shown.err.startswith("error: ")
    assert "104" in shown.err
    assert "Traceback" not in shown.err
    assert not (tmp_path / "dump").exists()


def test_damaged_and_exchanged_shards_are_named(run, dataset, tmp_path, capsys):
    data, words = tmp_path / "set", (run, "--dataset", tmp_path / "set", "-o", tmp_path / "dump")
    shutil.copytree(dataset, data)
    first, second = sorted((data / "validation").glob("*.tfrecord"))
    whole = first.read_bytes()
    np.save(data / "validation" / "ids.npy", np.array([100 + number for number in ORDER]))
    for content, named in (
        (whole[:90] + bytes([whole[90] ^ 1]) + whole[91:], f"{first} is damaged"),
        (whole[:-7], f"{first} is no whole TFRecord file"),
    ):
        first.write_bytes(content)
        code, shown = predict(capsys, *words)
        assert code == 2 and f"error: {named}" in shown.err and not (tmp_path / "dump").exists()
    first.write_bytes(whole)
    np.save(data / "validation" / "ids.npy", np.array([99 + number for number in ORDER]))
    code, shown = predict(capsys, *words)
    assert code == 2 and f"the records of validation in {data} are of other posts" in shown.err
    assert not (tmp_path / "dump").exists()


def test_folds_make_up_the_training_split(run, dataset, tmp_path, capsys):
    train = tmp_path / "set"
    shutil.copytree(dataset, train)
    (train / "validation").rename(train / "train")
    found = []
    for index in range(2):
        words = (run, "--dataset", train, "--fold", f"{index}/2", "-o", tmp_path / str(index))
        code, shown = predict(capsys, *words)
        assert code == 0, shown.err
        assert f"nothing says that {run} was trained without fold {index}/2" in shown.err
        dump = predictions.load(tmp_path / str(index))
        assert (folds.fold_of(dump.image_ids, 2) == index).all()
        assert json.loads((tmp_path / str(index) / "dump.json").read_text())["fold"] == f"{index}/2"
        found += dump.image_ids.tolist()
    assert sorted(found) == list(range(100, 107))
    for words, said in (
        (("--fold", "0/2", "--split", "test"), "--fold belongs to"),
        (("--fold", "2"), "I/K"),
    ):
        code, shown = predict(capsys, run, "--dataset", train, "-o", tmp_path / "no", *words)
        assert code == 2
        assert said in shown.err


def test_mistakes(run, dataset, tmp_path, capsys):
    (tmp_path / "none").mkdir()
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "x").write_text("")
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "1.jpg").write_bytes(b"text")
    out = ("-o", tmp_path / "dump")
    for words, said in (
        ((run, "--dataset", dataset, "--split", "test", *out), "has no split"),
        ((run, "--dataset", tmp_path, *out), "is no dataset"),
        ((run, "--images", tmp_path / "none", *out), "no image found"),
        ((run, "--images", tmp_path / "bad", *out), "can be read"),
        ((run, "--images", tmp_path / "bad", "--split", "test", *out), "--split"),
        ((run, *out), "--dataset"),
        ((tmp_path / "none", "--dataset", dataset, *out), "best.keras"),
        ((run, "--dataset", dataset, "-o", tmp_path / "full"), "--overwrite"),
        ((run, "--dataset", dataset, "--batch-size", "0", *out), "--batch-size"),
    ):
        code, shown = predict(capsys, *words)
        assert code == 2, words
        assert said in shown.err, words
        assert shown.err.startswith("error: ")
        assert not (tmp_path / "dump").exists()


def test_tagging_with_a_model_without_tag_list_is_an_error(run, dataset, tmp_path, capsys):
    alone = tmp_path / "alone" / "x.keras"
    alone.parent.mkdir()
    alone.write_bytes((run / "best.keras").read_bytes())
    words = (alone, "--dataset", dataset, "-o", tmp_path / "dump")
    code, shown = predict(capsys, *words)
    assert code == 2
    assert "--tags" in shown.err
    assert predict(capsys, *words, "--tags", run / "selected_tags.csv")[0] == 0
    assert predictions.load(tmp_path / "dump").name == "x"
    with pytest.raises(UserError):
        predictions.load(tmp_path / "alone")


@pytest.mark.parametrize("name", ["camie", "deepdanbooru"])
def test_any_projects_release_predicts_a_folder(tmp_path, name):
    folder, by_hand = foreign_releases.make(tmp_path / "release", name)
    rgb = np.random.default_rng(0).integers(0, 256, (16, 16, 3), dtype=np.uint8)
    (tmp_path / "images").mkdir()
    Image.fromarray(rgb).save(tmp_path / "images" / "7.png")
    words = [str(folder), "--images", str(tmp_path / "images"), "-o", str(tmp_path / "dump")]
    assert main(words) == 0
    probabilities = np.load(tmp_path / "dump" / "probabilities.npy")
    assert np.abs(probabilities - by_hand(rgb[None])).max() < 1e-5


def test_options_that_a_release_has_no_use_for_are_refused_or_applied(tmp_path, capsys):
    """--padding is applied where this project prepares the pictures; --which chooses nothing."""
    image = np.random.default_rng(0).integers(0, 256, (8, 16, 3), dtype=np.uint8)
    (tmp_path / "images").mkdir()
    Image.fromarray(image).save(tmp_path / "images" / "7.png")
    camie, _ = foreign_releases.make(tmp_path / "camie", "camie")
    wd, by_hand = foreign_releases.make(tmp_path / "wd", "wd")
    for folder, words, said in (
        (camie, ("--padding", "white"), "lanczos, then a square of black): leave it out"),
        (wd, ("--which", "last"), "wd is a release and has one"),
    ):
        code, shown = predict(capsys, folder, "--images", tmp_path / "images", "-o", tmp_path / "no", *words)
        assert code == 2
        assert said in shown.err
    (tmp_path / "images" / "8.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    words = (wd, "--images", tmp_path / "images", "-o", tmp_path / "dump", "--padding", "black", "--json")
    code, shown = predict(capsys, *words)
    facts = json.loads(shown.out)
    assert (code, facts["images"], facts["rejected"][0]["path"]) == (0, 1, "8.png")
    padded = np.pad(image, ((4, 4), (0, 0), (0, 0)))
    assert np.abs(np.load(tmp_path / "dump" / "probabilities.npy") - by_hand(padded[None])).max() < 1e-5
    assert json.loads((tmp_path / "dump" / "dump.json").read_text())["padding"] == "black"
