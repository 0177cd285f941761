"""train.py as a user runs it: what lands in the folder, stopping, dying, continuing."""

import json
import shutil
import signal

import helpers
import keras
import numpy as np
import pandas as pd
import pytest
from helpers.small_dumps import write_dump
from helpers.tiny_runs import command, history, state

import Models
import train
from Generators import shard_stats
from tools import analyze_metrics, predict
from Utils.data import dataset_folder, folds
from Utils.tags import tag_list
from Utils.training import classifier_prior, goodput, loop, losses

# More steps than a pass of the 20 records has, so that an epoch begins in the middle of one.
LONG = ["--epochs", "3", "--steps-per-epoch", "12", "--checkpoint-every", "3 steps"]


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    return helpers.dotted_shards(tmp_path_factory.mktemp("data"), train=20, validation=6)


@pytest.fixture(scope="module")
def whole(tmp_path_factory, dataset):
    """A run that nothing interrupted."""
    folder = tmp_path_factory.mktemp("whole") / "run"
    assert train.main(command(dataset, folder, *LONG)) == 0
    return folder


def steps(folder):
    pointer = folder / "checkpoints" / "newest.json"
    return json.loads(pointer.read_text())[0]["step"] if pointer.exists() else 0


def assert_same_run(one, other):
    ours, theirs = state(one), state(other)
    assert set(ours) == set(theirs)
    assert [name for name in ours if ours[name].tobytes() != theirs[name].tobytes()] == []
    clock = ("images_per_second", "seconds", *goodput.COLUMNS)
    rows = [[set(row.items()) - {(k, row[k]) for k in clock} for row in history(run)] for run in (one, other)]
    assert rows[0] == rows[1]
    for name in ("model.keras", "best.keras"):
        weights = [keras.saving.load_model(run / name).get_weights() for run in (one, other)]
        assert all(np.array_equal(*pair) for pair in zip(*weights, strict=True))


def test_a_run_leaves_its_files_and_a_row_an_epoch(whole):
    names = {path.name for path in whole.iterdir() if not path.name.startswith(".")}
    assert names == {
        "recipe.json", "selected_tags.csv", "dataset.json", "environment.json", "history.csv", "checkpoints",
        "model.keras", "best.keras", "curves.png", "batch.png",
    }  # fmt: skip
    rows = history(whole)
    first = "epoch,step,images,learning_rate,loss,val_loss,val_f1,val_threshold"
    assert ",".join(rows[0]).startswith(first)
    diagnosis = ["val_prior_loss", "val_prior_f1", "val_never_predicted", "val_saturated"]
    added = [name for name in diagnosis if name in rows[0]]
    assert list(rows[0])[-2:] == ["images_per_second", "seconds"]
    shares = [[float(row[name]) for name in goodput.COLUMNS] for row in rows]
    assert all(0 <= share <= 1 for row in shares for share in row)
    assert all(0 < sum(row) <= 1.001 for row in shares)
    assert {"val_never_predicted", "val_saturated"} <= set(added)
    assert [(row["epoch"], row["step"], row["images"]) for row in rows] == [
        ("1", "12", "48"), ("2", "24", "96"), ("3", "36", "144"),
    ]  # fmt: skip
    assert float(rows[-1]["learning_rate"]) == pytest.approx(1e-4)
    assert all(np.isfinite(float(value)) for row in rows for value in row.values())


def test_the_files_hold_probabilities(whole):
    tagger = Models.load(whole)
    values = tagger.model(np.zeros((1, 32, 32, 3), "float32"))
    assert tagger.tags["name"].tolist()[0] == "blue"
    assert ((np.array(values) > 0) & (np.array(values) < 1)).all()
    assert not keras.saving.load_model(whole / "model.keras").compiled


def test_the_scores_of_the_history_are_those_of_a_dump(dataset, whole, tmp_path, capsys):
    """Of the same weights, through predict and analyze_metrics."""
    words = [str(whole), "--which", "last", "--dataset", str(dataset), "-o", str(tmp_path / "dump")]
    assert predict.main(words) == 0
    capsys.readouterr()
    assert analyze_metrics.main(["-d", str(tmp_path / "dump"), "--json"]) == 0
    (scores,) = json.loads(capsys.readouterr().out).values()
    row = {name: float(value) for name, value in history(whole)[-1].items()}
    for name, theirs in (("f1", "F1"), ("precision", "P"), ("recall", "R")):
        assert row[f"val_{name}"] == pytest.approx(scores[theirs], abs=1e-4)
    assert row["val_threshold"] == pytest.approx(scores["thres"], abs=1e-3)


@pytest.mark.slow
def test_stopped_by_a_signal_in_the_middle_and_continued(dataset, whole, tmp_path, monkeypatch, capsys):
    """Here: SIGTERM in the second epoch, then Ctrl-C in a validation, then the rest."""
    interrupt_at(monkeypatch, "on_train_batch_begin", lambda training: training.step == 16, signal.SIGTERM)
    assert train.main(command(dataset, tmp_path / "run", *LONG)) == 0
    assert steps(tmp_path / "run") == 17
    assert "after step 17; the same command continues" in capsys.readouterr().err
    interrupt_at(monkeypatch, "_finish_epoch", lambda training: training.step == 24, signal.SIGINT)
    assert train.main(command(dataset, tmp_path / "run", *LONG)) == 130
    assert (steps(tmp_path / "run"), len(history(tmp_path / "run"))) == (24, 1)
    monkeypatch.undo()
    assert train.main(command(dataset, tmp_path / "run", *LONG)) == 0
    assert_same_run(tmp_path / "run", whole)


@pytest.mark.slow
@pytest.mark.draws
def test_augmenting_on_the_device_continues_with_the_same_bits(dataset, tmp_path, monkeypatch, capsys):
    words = ["--augment-on", "device", "--epochs", "2", "--steps-per-epoch", "3"]
    assert train.main(command(dataset, tmp_path / "whole", *words)) == 0
    interrupt_at(monkeypatch, "on_train_batch_begin", lambda training: training.step == 1, signal.SIGTERM)
    assert train.main(command(dataset, tmp_path / "cut", *words)) == 0
    monkeypatch.undo()
    assert steps(tmp_path / "cut") == 2
    assert train.main(command(dataset, tmp_path / "cut", *words)) == 0
    assert_same_run(tmp_path / "whole", tmp_path / "cut")
    assert (tmp_path / "whole" / "batch.png").stat().st_size > 5000
    model = keras.saving.load_model(tmp_path / "whole" / "model.keras")
    assert model.input_shape == (None, 32, 32, 3)  # released without what only training needs


def interrupt_at(monkeypatch, method, when, number):
    """Send this process a signal at the beginning of a method of the training loop."""
    monkeypatch.undo()
    original = getattr(loop.TrainingLoop, method)

    def signaled(self, *arguments, **named):
        if when(self):
            signal.raise_signal(number)  # in this thread, so that it is there before the step
        return original(self, *arguments, **named)

    monkeypatch.setattr(loop.TrainingLoop, method, signaled)


@pytest.mark.draws
def test_a_finished_run_has_nothing_to_do_and_may_go_on(dataset, whole, tmp_path, capsys):
    shutil.copytree(whole, tmp_path / "run")
    before = state(tmp_path / "run")
    (tmp_path / "run" / "batch.png").unlink()  # as after a run that was killed before it was drawn
    words = command(dataset, tmp_path / "run", *LONG)
    assert train.main(words) == 0
    assert "3 epochs are done" in capsys.readouterr().err
    assert (tmp_path / "run" / "batch.png").stat().st_size > 5000
    assert all(np.array_equal(before[name], value) for name, value in state(tmp_path / "run").items())
    assert train.main([*words, "--epochs", "4"]) == 0
    assert [row["epoch"] for row in history(tmp_path / "run")] == ["1", "2", "3", "4"]
    assert train.main([*words, "--epochs", "4", "--learning-rate", "0.5"]) == 2
    assert "--learning-rate was 0.01, is 0.5" in capsys.readouterr().err


@pytest.mark.slow
def test_averaged_weights_are_evaluated_and_saved(dataset, tmp_path):
    """With two steps an execution, at whose ends alone checkpoints are written."""
    words = command(dataset, tmp_path / "run", "--steps-per-epoch", "4", "--ema", "0.9")
    several = ["--steps-per-execution", "2", "--checkpoint-every", "1 step", "--keep-checkpoints", "9"]
    assert train.main([*words, *several, "--epochs", "2"]) == 0
    kept = sorted(path.name for path in (tmp_path / "run" / "checkpoints").glob("*.npz"))
    assert kept == [f"step-{step:09d}.npz" for step in (2, 4, 6, 8)]
    saved = keras.saving.load_model(tmp_path / "run" / "model.keras")
    kept = state(tmp_path / "run")
    average = [value for name, value in kept.items() if "average" in name]
    weights = [kept[f"model/{variable.path}"] for variable in saved.trainable_variables]
    for variable, own, mean in zip(saved.trainable_variables, weights, average, strict=True):
        assert np.array_equal(np.array(keras.ops.convert_to_numpy(variable)), mean)
        assert own.shape == mean.shape
    assert not all(np.array_equal(own, mean) for own, mean in zip(weights, average, strict=True))


@pytest.mark.slow
@pytest.mark.reliability("stopped while batch norm is measured anew", "continues with the same bits")
@pytest.mark.reliability("a run is continued with another --teacher", "refused, nothing is written")
def test_batch_norm_that_is_measured_anew_continues_with_the_same_bits(
    dataset, tmp_path, monkeypatch, capsys
):
    """Of averaged weights; the run is stopped in a validation, which is done again. With a teacher."""
    teacher, tags = tmp_path / "teacher", ["red", "green", "white"]
    p = np.random.default_rng(0).random((18, 3), np.float32)
    write_dump(teacher, p, None, np.arange(18), tags)
    words = ["--model", "ResNet/basic-test", "--epochs", "2", "--steps-per-epoch", "3", "--ema", "0.8"]
    words += ["--teacher", str(teacher)]
    words += ["--model-options", "depths=1,1", "widths=8,8", "--batch-norm-images", "7"]
    assert train.main(command(dataset, tmp_path / "whole", *words)) == 0
    assert "18 of 20 posts, 2 of 6 tags; what it lacks keeps its labels" in capsys.readouterr().err
    interrupt_at(monkeypatch, "_finish_epoch", lambda training: training.step == 3, signal.SIGINT)
    assert train.main(command(dataset, tmp_path / "cut", *words)) == 130
    monkeypatch.undo()
    assert train.main(command(dataset, tmp_path / "cut", *words)) == 0
    assert_same_run(tmp_path / "whole", tmp_path / "cut")
    saved = keras.saving.load_model(tmp_path / "cut" / "model.keras").get_layer("stem_norm1")
    trained = state(tmp_path / "cut")["model/stem_norm1/moving_mean"]
    assert not np.allclose(np.array(saved.moving_mean), trained, rtol=0.01), "training keeps its own averages"
    shutil.rmtree(teacher)
    write_dump(teacher, np.flip(p), None, np.arange(18), tags)
    assert train.main(command(dataset, tmp_path / "cut", *words)) == 2
    assert "what --teacher names has changed" in capsys.readouterr().err


def test_sigterm_before_there_is_anything_to_save(dataset, tmp_path, monkeypatch, capsys):
    """What a machine in preemption gets while the model is built."""
    before = signal.getsignal(signal.SIGTERM)
    monkeypatch.setattr(train, "_set_up", lambda *arguments: signal.raise_signal(signal.SIGTERM))
    assert train.main(command(dataset, tmp_path / "run")) == 0
    assert "nothing is lost; the same command continues" in capsys.readouterr().err
    assert signal.getsignal(signal.SIGTERM) == before
    assert not (tmp_path / "run").exists()


def test_a_loss_that_is_no_number_ends_the_run(dataset, tmp_path, capsys):
    words = command(dataset, tmp_path / "run", "--optimizer", "sgd", "--steps-per-epoch", "5")
    words += ["--learning-rate", "1000", "--learning-rate-batch-size", "1", "--weight-decay", "1000"]
    assert train.main([*words, "--epochs", "2"]) == 1
    shown = capsys.readouterr().err
    assert "error: diverged at step" in shown
    assert "no good state" in shown
    assert not (tmp_path / "run" / "model.keras").exists()


@pytest.mark.slow
def test_a_run_without_a_validation_split_exports_its_last_state(tmp_path, capsys):
    """And schedule-free, whose paper trains at y = 0.1 z + 0.9 x and evaluates x."""
    dataset = helpers.dotted_shards(tmp_path / "data", train=4)
    words = command(dataset, tmp_path / "run", "--epochs", "1", "--batch-size-per-device", "6")
    words += ["--optimizer", "schedule_free_adamw", "--schedule", "constant", "--steps-per-epoch", "3"]
    assert train.main(words) == 0
    shown = capsys.readouterr().err
    assert "no validation split" in shown
    assert "do not fill a batch" in shown
    (row,) = history(tmp_path / "run")
    assert "val_f1" not in row
    best, last = (keras.saving.load_model(tmp_path / "run" / f"{name}.keras") for name in ("best", "model"))
    assert all(np.array_equal(*pair) for pair in zip(best.get_weights(), last.get_weights(), strict=True))
    kept = state(tmp_path / "run")
    iterates = [value for name, value in kept.items() if "momentum" in name]
    changes = []
    for variable, z in zip(best.trainable_variables, iterates, strict=True):
        x, y = np.array(keras.ops.convert_to_numpy(variable)), kept[f"model/{variable.path}"]
        np.testing.assert_allclose(0.1 * z + 0.9 * x, y, atol=1e-6)
        changes.append(np.abs(x - y).max())
    assert max(changes) > 1e-4


@pytest.mark.slow
def test_shards_of_the_original_at_their_size(tmp_path):
    """320 px and 2,380 labels, one image of them without tags; the real head on a tiny body."""
    dataset = helpers.dotted_shards(tmp_path / "data", size=512, train=4, validation=2)
    frame = tag_list.read(dataset / "selected_tags.csv")
    more = frame.loc[[5] * 2374].assign(tag_id=range(7, 2381), name=[f"tag_{i}" for i in range(7, 2381)])
    tag_list.write(pd.concat([frame, more]), dataset / "selected_tags.csv")
    words = command(dataset, tmp_path / "run", "--image-size", "320", "--batch-size-per-device", "2")
    assert train.main([*words, "--epochs", "1", "--steps-per-epoch", "2", "--no-flip"]) == 0
    (row,) = history(tmp_path / "run")
    assert np.isfinite([float(row["loss"]), float(row["val_loss"])]).all()
    assert Models.load(tmp_path / "run").model.output_shape == (None, 2380)


def test_a_dry_run_refuses_a_run_folder_of_another_recipe(dataset, whole, capsys):
    words = [*command(dataset, whole, *LONG), "--learning-rate", "0.5"]
    for mode in ([], ["--dry-run"]):
        assert train.main([*words, *mode]) == 2
        assert "--learning-rate was 0.01, is 0.5" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("flag", "is_prior"), [([], True), pytest.param(["--no-prior-bias"], False, marks=pytest.mark.slow)]
)
def test_a_fresh_classifier_starts_at_the_frequencies_of_the_tags(dataset, tmp_path, flag, is_prior):
    """Of the records that are trained on: the focal loss of them is lowest there."""
    words = ["--learning-rate", "1e-20", "--epochs", "1", "--steps-per-epoch", "1", "--loss", "focal", *flag]
    assert train.main(command(dataset, tmp_path / "run", *words, "--fold", "0/3")) == 0
    bias = state(tmp_path / "run")["model/head_logits/bias"]
    frequencies = shard_stats.label_frequencies(
        dataset_folder.load(dataset), "train", folds.Fold(0, 3).excludes
    )
    expected, _ = classifier_prior.logits(losses.build("focal"), frequencies)
    assert len(set(expected)) > 2
    np.testing.assert_allclose(bias, expected if is_prior else np.zeros(len(bias)), atol=1e-12)


@pytest.mark.slow
def test_expected_positives_are_counted_said_and_kept(dataset, tmp_path, capsys):
    """Of the records that are trained on; a run that is continued counts them again, to the same number."""
    words = command(dataset, tmp_path / "run", "--steps-per-epoch", "1", "--loss", "epr", "--fold", "0/3")
    assert train.main([*words, "--epochs", "1"]) == 0
    keep = folds.Fold(0, 3).excludes
    shares = shard_stats.label_frequencies(dataset_folder.load(dataset), "train", keep, smoothing=0)
    expected = round(float(shares.sum()), 4)
    assert f"--epr-expected-positives is {expected:g}, the mean" in capsys.readouterr().err
    recipe = json.loads((tmp_path / "run" / "recipe.json").read_text())
    assert recipe["epr_expected_positives"] == expected > 0
    assert train.main([*words, "--epochs", "2"]) == 0
    assert np.isfinite([float(row["val_loss"]) for row in history(tmp_path / "run")]).all()
    assert train.main([*words, "--epochs", "2", "--epr-expected-positives", "2"]) == 2


@pytest.mark.slow
def test_packed_labels_train_the_same_model(dataset, tmp_path):
    folder = shutil.copytree(dataset, tmp_path / "dataset")
    lines = [f"{number},tag_{number},0,{60 - number}" for number in range(1, 41)]  # of which images have six
    (folder / "selected_tags.csv").write_text("\n".join(["tag_id,name,category,count", *lines]) + "\n")
    posts = []
    for split in ("train", "validation"):
        blocks = list(shard_stats._stored_labels(dataset_folder.load(folder), split, 1000))
        ids, lengths, labels = (np.concatenate(part) for part in zip(*blocks, strict=True))
        lists = [part.tolist() for part in np.split(labels, np.cumsum(lengths)[:-1])]
        posts.append(pd.DataFrame({"post_id": ids, "split": split, "path": "", "label_indexes": lists}))
    pd.concat(posts).to_parquet(folder / "posts.parquet")
    rooms = shard_stats.room_for_packed_labels(dataset_folder.load(folder), "on", False, True)
    assert 0 < rooms["validation"] < rooms["train"]
    for packed in ("on", "off"):
        words = command(folder, tmp_path / packed, "--epochs", "1", "--packed-labels", packed)
        assert train.main(words) == 0
    weights = [
        keras.saving.load_model(tmp_path / packed / "model.keras").get_weights() for packed in ("on", "off")
    ]
    assert all(np.array_equal(*pair) for pair in zip(*weights, strict=True))
