"""--init-from and --fold: what is kept bit for bit, what is new, what survives a stop, what is refused."""

import csv
import json
import re
import shutil
import signal

import helpers
import keras
import numpy as np
import pandas as pd
import pytest

import Models
import train
from Generators import batches
from Models import transfer
from Utils.data import folds
from Utils.tags import tag_list
from Utils.training import checkpoints, loop

TINY = """--batch-size-per-device 4 --tracker none --optimizer sgd --learning-rate 0.01
--learning-rate-batch-size 0 --steps-per-epoch 3"""
BASE = """convnext_t --model ConvNext/test --model-options depths=1,1 widths=8,16 --image-size 32 --epochs 1
--stochastic-depth 0.3 --epsilon 1e-3"""


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    return helpers.dotted_shards(tmp_path_factory.mktemp("data"), train=20, validation=6)


@pytest.fixture(scope="module")
def run(tmp_path_factory, dataset):
    folder = tmp_path_factory.mktemp("source") / "run"
    assert go(BASE, dataset, folder) == 0
    return folder


@pytest.fixture(scope="module")
def other(tmp_path_factory, dataset):
    """The same pictures with another list: green renamed, white new in the middle, cyan gone, new order."""
    folder = tmp_path_factory.mktemp("other")
    shutil.copytree(dataset, folder, dirs_exist_ok=True)
    frame = pd.DataFrame(
        {"tag_id": [6, 1, 70, 2, 31, 4], "name": ["yellow", "blue", "white", "lime", "red", "black"]}
    )
    frame = frame.assign(category=0, count=9, weight=[1, 1, 0.5, 1, 1, 0])
    tag_list.write(frame, folder / "selected_tags.csv")
    lines = "".join(f"{post},lime\n" for post in range(26))
    (folder / "unknown.csv").write_text(f"post_id,tag\n{lines}")
    return folder


def go(words, dataset, folder, *more):
    return train.main(
        [*words.split(), *TINY.split(), "--dataset", str(dataset), "--run-dir", str(folder), *more]
    )


def first_state(folder):
    """The state before the first step, which a run that begins with weights keeps at first."""
    with np.load(folder / "checkpoints" / "step-000000000.npz") as stored:
        return {name: stored[name] for name in stored.files}


def newest(folder):
    return checkpoints.load(folder / "checkpoints")[1]


def history(folder):
    with (folder / "history.csv").open() as file:
        return list(csv.DictReader(file))


KEPT = ([0, 1, 3, 4, 5], [5, 0, 1, 2, 3])  # rows of the other list, rows of the old one


@pytest.mark.slow
def test_another_tag_list_keeps_the_logits_of_kept_tags_bit_for_bit(run, other, tmp_path, capsys):
    words = f"""finetune --init-from {run} --image-size 32 --epochs 2 --freeze-body-epochs 1
    --keep-checkpoints 3
    --tag-weights weight --unknown-labels {other}/unknown.csv"""
    assert go(words, other, tmp_path / "run") == 0
    shown = capsys.readouterr().err
    said = "5 tags kept, 1 of them renamed (green is lime); 1 new (white); 1 dropped (cyan)"
    assert said in shown
    assert "before the first step: val_loss" in shown
    assert "1 of 1 new tags have fewer than 10 training pictures" in shown
    assert "warning: the model differs" not in shown
    state = first_state(tmp_path / "run")
    source = transfer.without_activation(keras.saving.load_model(run / "best.keras"))
    model = Models.build(
        "ConvNext/test", image_size=32, num_labels=6, classifier_activation=None, epsilon=1e-3,
        depths=(1, 1), widths=(8, 16),
    )  # fmt: skip
    for variable in model.trainable_variables:
        variable.assign(state[f"model/{variable.path}"])
    batch = np.random.default_rng(0).uniform(0, 255, (5, 32, 32, 3)).astype("float32")
    old, new = (np.array(keras.ops.convert_to_numpy(each(batch))) for each in (source, model))
    assert old[:, KEPT[1]].tobytes() == new[:, KEPT[0]].tobytes()
    labels = [folder_labels(other)[:, 2].mean()]
    prior = 1 / (1 + np.exp(-new[:, 2]))
    np.testing.assert_allclose(prior, (20 * labels[0] + 0.5) / 21, rtol=1e-5)
    memory = json.loads((tmp_path / "run" / "initialization.json").read_text())
    assert (memory["kept"], memory["renamed"], memory["new"], memory["dropped"]) == (
        5, [["green", "lime"]], ["white"], ["cyan"],
    )  # fmt: skip
    recipe = json.loads((tmp_path / "run" / "recipe.json").read_text())
    assert (recipe["model"], recipe["epsilon"], recipe["stochastic_depth"]) == ("ConvNext/test", 1e-3, 0.3)
    assert float(history(tmp_path / "run")[1]["learning_rate"]) == pytest.approx(1e-4), "the cosine's end"
    the_classifier_alone_moved(state, tmp_path / "run")


def the_classifier_alone_moved(before, folder):
    """In the first epoch; then everything did, with an optimizer that counts its own steps."""
    with np.load(folder / "checkpoints" / "step-000000003.npz") as stored:
        frozen = {name: stored[name] for name in stored.files}
    weights = [name for name in before if name.startswith("model/") and "seed" not in name]
    moved = {name for name in weights if not np.array_equal(before[name], frozen[name])}
    assert moved == {"model/head_logits/kernel", "model/head_logits/bias"}
    still = before["model/head_logits/bias"] == frozen["model/head_logits/bias"]
    assert np.flatnonzero(still).tolist() == [3, 5], "lime is unknown of every post, black weighs nothing"
    after = newest(folder)
    assert not np.array_equal(after["model/stem_conv/kernel"], before["model/stem_conv/kernel"])
    (counted,) = (after[name] for name in after if re.fullmatch("optimizer/.*/iteration", name))
    assert int(counted) == 3


def folder_labels(folder):
    import Generators

    data = Generators.eval_dataset(f"{folder}/train/*", num_labels=6, image_size=8, batch_size=20)
    return np.concatenate([labels.numpy() for _, labels in data])


@pytest.mark.slow
def test_a_frozen_body_and_a_fold_survive_any_stop(run, other, tmp_path, monkeypatch, capsys):
    """From a release that is taken away; stopped while frozen, within an accumulation, then on thawing."""
    words = f"""finetune --init-from {tmp_path / "release"} --epochs 3 --freeze-body-epochs 1 --ema 0.9
    --fold 1/3
    --gradient-accumulation 2 --layer-decay 0.5"""
    release(run, tmp_path)
    seen = set()
    make = batches.TrainBatcher.__call__
    monkeypatch.setattr(
        batches.TrainBatcher,
        "__call__",
        lambda self, step, ids, *more: seen.update(ids) or make(self, step, ids, *more),
    )
    assert go(words, other, tmp_path / "whole") == 0
    assert seen == set(np.flatnonzero(folds.Fold(1, 3).excludes(np.arange(20))).tolist())
    for method, step in (("on_train_batch_begin", 1), ("_finish_epoch", 3)):
        signaled(monkeypatch, method, step)
        assert go(words, other, tmp_path / "cut") == 0
        assert "the same command continues" in capsys.readouterr().err
        monkeypatch.undo()
        shutil.rmtree(tmp_path / "release", ignore_errors=True)  # not needed any more
    assert go(words, other, tmp_path / "cut") == 0
    ours, theirs = newest(tmp_path / "whole"), newest(tmp_path / "cut")
    assert set(ours) == set(theirs)
    assert [name for name in ours if ours[name].tobytes() != theirs[name].tobytes()] == []
    scores = [[row["val_f1"] for row in history(tmp_path / name)] for name in ("whole", "cut")]
    assert scores[0] == scores[1]
    assert Models.load(tmp_path / "cut").image_size == 32, "the source's: a tag is new"
    assert go(words.replace("1/3", "0/3"), other, tmp_path / "cut") == 2
    assert "--fold was 1/3, is 0/3" in capsys.readouterr().err


def release(run, folder):
    (folder / "release").mkdir()
    shutil.copy(run / "model.keras", folder / "release" / "model_of_it.keras")
    shutil.copy(run / "selected_tags.csv", folder / "release")


def signaled(monkeypatch, method, step):
    """Have SIGTERM arrive when a method of the loop is called after ``step`` steps."""
    original = getattr(loop.TrainingLoop, method)

    def asking(self, number, *more, **named):
        step_now = self.step if method == "_finish_epoch" else self.fit_start + number
        if step_now == step:
            signal.raise_signal(signal.SIGTERM)  # in this thread, so that it is there before the step
        return original(self, number, *more, **named)

    monkeypatch.setattr(loop.TrainingLoop, method, asking)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("finetune", "takes --model from --init-from, a run folder, a .keras file"),
        ("finetune --init-from {tmp}/none", "at {tmp}/none is nothing"),
        ("finetune --init-from {tmp}/data", "{tmp}/data has no best.keras"),
        ("finetune --init-from {tmp}/x.keras", "is damaged or not a Keras model"),
        ("nfnet_l0 --init-from {run}", "is a ConvNext/test, but the recipe's model is NFNet/L0"),
        ("convnext_t --model ConvNext/test --init-from {run} --attention eca", "_eca"),
        ("finetune --init-from {tmp}/y.keras --dropout 0.1", "taken as it is, so --dropout cannot be set"),
        ("convnext_t --fold 3/3", "--fold takes I/K"),
        ("convnext_t --freeze-body-epochs 100", "below --epochs"),
        ("convnext_t --layer-decay 0", "--layer-decay"),
        ("convnext_t --tag-weights heavy", "no column 'heavy'"),
    ],
)
def test_a_wrong_source_or_option_is_one_paragraph(run, dataset, tmp_path, capsys, words, said):
    (tmp_path / "x.keras").write_text("text")
    (tmp_path / "data").mkdir()
    shutil.copy(run / "best.keras", tmp_path / "y.keras")
    words = words.format(run=run, tmp=tmp_path)
    assert go(f"{words} --image-size 32 --dry-run", dataset, tmp_path / "run") == 2
    shown = capsys.readouterr().err
    assert shown.startswith("error: ")
    assert said.format(tmp=tmp_path) in shown
