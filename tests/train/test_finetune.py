"""train.py finetune and --probe: new tags are learned, kept ones stay; from timm folders; dry runs."""

import csv
import json
import shutil

import cv2
import helpers
import keras
import numpy as np
import pandas as pd
import pytest
from helpers import zoo
from helpers.timm_folders import folder_of

import Models
import train
from Generators import records
from Utils.tags import tag_list
from Utils.training import loop

BASE = """convnext_t --model ConvNext/test --image-size 32 --epochs 12
--batch-size-per-device 8
--mixup-alpha 0
--optimizer adamw --learning-rate 0.01 --learning-rate-batch-size 0 --stochastic-depth 0 --tracker none
--rotation 0 --crop 0.9 1"""
COLORS = {"blue": (255, 0, 0), "green": (0, 255, 0), "red": (0, 0, 255), "black": (0, 0, 0)}


def write(folder, names, counts, seed):
    """A dataset of pictures of one or two colors, top and bottom, whose tags are ``names``."""
    random, number = np.random.default_rng(seed), 0
    for split, count in counts.items():
        (folder / split).mkdir(parents=True)
        examples = []
        for _ in range(count):
            halves = random.integers(4, size=2)
            image = np.zeros((32, 32, 3), np.uint8)
            image[:16], image[16:] = (list(COLORS.values())[half] for half in halves)
            tags = {list(COLORS)[half] for half in halves}
            labels = [place for place, name in enumerate(names) if name in tags]
            noisy = np.clip(image + random.normal(0, 20, image.shape), 0, 255).astype(np.uint8)
            examples.append(records.encode(number, cv2.imencode(".jpg", noisy)[1].tobytes(), labels))
            number += 1
        helpers.write_tfrecord(folder / split / f"{split}_0.tfrecord", examples)
    ids = [1 + list(COLORS).index(name) for name in names]
    tag_list.write(pd.DataFrame({"tag_id": ids, "name": names, "category": 0, "count": 9}),
                   folder / "selected_tags.csv")  # fmt: skip
    return folder


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    folder = tmp_path_factory.mktemp("base")
    data = write(folder / "data", ["blue", "green", "red"], {"train": 96, "validation": 24}, 0)
    assert train.main([*BASE.split(), "--dataset", str(data), "--run-dir", str(folder / "run")]) == 0
    return folder / "run"


@pytest.fixture(scope="module")
def own(tmp_path_factory):
    return write(tmp_path_factory.mktemp("own"), list(COLORS), {"train": 64, "validation": 32}, 1)


def go(own, folder, *words):
    return train.main(
        ["finetune", "--dataset", str(own), "--run-dir", str(folder), "--tracker", "none", *map(str, words)]
    )


def rows(folder):
    with (folder / "history.csv").open() as file:
        return list(csv.DictReader(file))


@pytest.mark.slow
def test_a_new_tag_is_learned_and_kept_ones_stay(base, own, tmp_path, capsys):
    assert go(own, tmp_path / "run", "--init-from", base, "--epochs", 12) == 0
    said = capsys.readouterr().err
    assert "--learning-rate 0.003: new tags (1) start at 0" in said
    assert "as given, not --epochs 68 by the rule" in said
    assert "3 kept tags: micro F1 " in said
    assert "1 new tags: micro F1 " in said
    assert "none of them has 30 or more training pictures" in said
    scores = pd.read_csv(tmp_path / "run" / "tag_scores.csv")
    assert scores["group"].tolist() == ["kept"] * 3 + ["new"]
    assert f"the scores of 4 tags: {tmp_path / 'run' / 'tag_scores.csv'}" in said
    assert f"next: python tools/export_model.py {tmp_path / 'run'}" in said
    recipe = json.loads((tmp_path / "run" / "recipe.json").read_text())
    assert (recipe["optimizer"], recipe["best_by"], recipe["image_size"]) == ("adamw", "loss", 32)
    before = json.loads((tmp_path / "run" / "initialization.json").read_text())["scores"]
    best = min(rows(tmp_path / "run"), key=lambda row: float(row["val_loss"]))
    assert float(best["val_new_f1"]) > before["new_f1"] + 0.2
    assert float(best["val_kept_f1"]) > before["kept_f1"] - 0.02
    assert go(own, tmp_path / "run", "--init-from", base, "--epochs", 12) == 0, "the same command continues"
    assert "12 epochs are done" in capsys.readouterr().err


@pytest.mark.slow
def test_a_probe_trains_the_classifier_alone(base, own, tmp_path, capsys):
    words = ("--init-from", base, "--probe", "--learning-rate", 0.03, "--early-stopping", 0)
    assert go(own, tmp_path / "run", *words) == 0
    said = capsys.readouterr().err
    assert f"--init-from {tmp_path / 'run'} --run-dir {tmp_path / 'run'}_body" in said
    before = json.loads((tmp_path / "run" / "initialization.json").read_text())["scores"]
    assert max(float(row["val_new_f1"]) for row in rows(tmp_path / "run")) > before["new_f1"] + 0.2
    old, new = (keras.saving.load_model(folder / "best.keras") for folder in (base, tmp_path / "run"))
    for layer in old.layers:
        same = all(map(np.array_equal, layer.get_weights(), new.get_layer(layer.name).get_weights()))
        assert same or layer.name == "head_logits"
    the_best_is_the_best(tmp_path / "run", own)
    assert go(own, tmp_path / "run", *words) == 0
    assert "12 epochs are done" in capsys.readouterr().err


@pytest.mark.slow
def test_a_probe_is_a_source(base, own, tmp_path, capsys):
    assert go(own, tmp_path / "run", "--init-from", base, "--probe", "--epochs", 2) == 0
    capsys.readouterr()
    assert go(own, tmp_path / "more", "--init-from", tmp_path / "run", "--epochs", 2) == 0
    said = capsys.readouterr().err
    assert "the classifier has learned by --probe already" in said
    assert "1 new tags: micro F1" in said, "what the probe has learned is still told apart"


def the_best_is_the_best(folder, own):
    """The saved best model has the scores of the history's best row."""
    import Generators

    history = rows(folder)
    best = min(history, key=lambda row: float(row["val_loss"]))
    tagger = Models.load(folder)
    images, labels = next(
        iter(Generators.eval_dataset(f"{own}/validation/*", num_labels=4, image_size=32, batch_size=32))
    )
    p, y = np.asarray(tagger.model(images.numpy())), labels.numpy() > 0.5
    loss = -np.where(y, np.log(p), np.log1p(-p)).sum(axis=1).mean()
    assert loss == pytest.approx(float(best["val_loss"]), rel=1e-2)


@pytest.mark.slow
def test_a_probe_with_another_head_trains_all_of_it_on_a_frozen_body(base, own, tmp_path, capsys):
    words = ("--init-from", base, "--image-size", 64, "--head", "ml_decoder", "--learning-rate", 0.01)
    assert go(own, tmp_path / "run", *words, "--probe", "--epochs", 2) == 0
    assert "the body alone, as the run has another head: 4 tags begin anew" in capsys.readouterr().err
    source, model = (keras.saving.load_model(folder / "best.keras") for folder in (base, tmp_path / "run"))
    for layer in source.layers:
        if layer.name != "head_logits" and layer.weights:
            kept = model.get_layer(layer.name).get_weights()
            assert all(map(np.array_equal, layer.get_weights(), kept)), layer.name
    decoder = model.get_layer("head_decoder_dense2")
    assert np.abs(decoder.bias).max() > 0, "it has learned"
    # A run that goes on from it has the same head, and takes all of it.
    more = ("--init-from", tmp_path / "run", "--epochs", 1, "--learning-rate", 1e-9)
    assert go(own, tmp_path / "more", *more) == 0
    assert "4 tags kept" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.reliability("A probe that was stopped", "the same command ends with the same classifier")
def test_a_stopped_probe_goes_on_with_the_same_bits(base, own, tmp_path, monkeypatch):
    words = ("--init-from", base, "--probe", "--epochs", 4)
    assert go(own, tmp_path / "whole", *words) == 0
    finish = loop.TrainingLoop._finish_epoch

    def stop(self, epoch, loss):
        finish(self, epoch, loss)
        if epoch == 1:
            raise KeyboardInterrupt

    monkeypatch.setattr(loop.TrainingLoop, "_finish_epoch", stop)
    assert go(own, tmp_path / "cut", *words) == 130
    monkeypatch.undo()
    assert go(own, tmp_path / "cut", *words) == 0
    for name in ("best.keras", "model.keras"):
        models = [keras.saving.load_model(tmp_path / run / name) for run in ("whole", "cut")]
        ours, theirs = (model.get_layer("head_logits").get_weights() for model in models)
        assert all(map(np.array_equal, ours, theirs)), name


@pytest.mark.slow
def test_training_ends_early_where_the_score_gets_no_better(base, own, tmp_path, capsys):
    rate = ("--learning-rate", 1e-9)
    words = ("--init-from", base, "--epochs", 9, "--early-stopping", 2, "--best-by", "f1", *rate)
    assert go(own, tmp_path / "run", *words) == 0
    assert "no better f1 in 2 epochs: training ends early" in capsys.readouterr().err
    assert len(rows(tmp_path / "run")) == 3
    assert (tmp_path / "run" / "model.keras").is_file()
    assert go(own, tmp_path / "run", *words) == 0
    assert "training has ended early before" in capsys.readouterr().err
    assert len(rows(tmp_path / "run")) == 3


@pytest.mark.slow
def test_a_dry_run_says_the_time_and_what_it_advises(base, own, tmp_path, capsys):
    assert go(own, tmp_path / "run", "--init-from", base, "--dry-run") == 0
    said = capsys.readouterr()
    assert "with --probe (measured on a few steps)" in said.out
    assert "the full training: its time is short" in said.out
    assert "pictures, " in said.err
    assert go(own, tmp_path / "run", "--init-from", base, "--dry-run", "--probe") == 0
    assert "for the features here" in capsys.readouterr().out
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_a_timm_folder_is_a_source_and_nothing_is_lost(own, tmp_path, capsys):
    folder = folder_of("resnet18", tmp_path / "timm")
    size = json.loads((folder / "config.json").read_text())["pretrained_cfg"]["input_size"][1]
    tags = pd.DataFrame({"tag_id": range(1, 8), "name": [*COLORS, "x", "y", "z"], "category": 0, "count": 9})
    tag_list.write(tags, folder / "selected_tags.csv")
    words = ("--init-from", folder, "--epochs", 1, "--image-size", size)
    assert go(own, tmp_path / "run", *words) == 0
    assert "4 tags kept" in capsys.readouterr().err
    assert json.loads((tmp_path / "run" / "recipe.json").read_text())["model"].startswith("ResNet/")
    (folder / "selected_tags.csv").unlink()
    assert go(own, tmp_path / "other", *words) == 2
    assert "--source-order rgb" in capsys.readouterr().err
    shutil.rmtree(folder)
    assert go(own, tmp_path / "run", *words[:-4], "--epochs", 2, "--image-size", size) == 0, (
        "it goes on alone"
    )


@pytest.mark.slow
def test_tags_that_are_all_new_take_the_body_alone(base, own, tmp_path, capsys):
    shutil.copytree(own, tmp_path / "data")
    frame = tag_list.read(own / "selected_tags.csv")
    tag_list.write(frame.assign(tag_id=frame["tag_id"] + 50, name=[f"my_{name}" for name in frame["name"]]),
                   tmp_path / "data" / "selected_tags.csv")  # fmt: skip
    assert go(tmp_path / "data", tmp_path / "run", "--init-from", base, "--epochs", 2) == 0
    said = capsys.readouterr().err
    assert "no tag in common, neither by id nor by name: all 4 are new" in said
    assert "4 new tags: micro F1" in said


def test_a_best_by_that_needs_two_groups_is_refused(tmp_path, capsys):
    data = write(tmp_path / "data", ["blue", "green", "red"], {"train": 16, "validation": 8}, 0)
    base = tmp_path / "base.keras"
    zoo.build_small("ConvNext/test", num_labels=3).save(base)
    shutil.copy(data / "selected_tags.csv", tmp_path)
    assert go(data, tmp_path / "run", "--init-from", base, "--best-by", "balanced_f1") == 2
    assert "needs tags that the source of --init-from knew, and new ones" in capsys.readouterr().err
