"""Datasets and runs on another file system, memory://: what works on a disk works there."""

import json
import signal

import fsspec
import helpers
import numpy as np
import pytest

import Generators
import Models
import train
from tools import predict
from Utils.command.cli import UserError
from Utils.data import dataset_folder
from Utils.files import atomic
from Utils.training import checkpoints, loop

TINY = """convnext_t --model ConvNext/test --model-options depths=1,1 widths=8,16 --image-size 32
--batch-size-per-device 4 --tracker tensorboard --optimizer sgd
--learning-rate 0.01 --learning-rate-batch-size 0 --epochs 2 --checkpoint-every 2steps"""


@pytest.fixture(scope="module")
def here(tmp_path_factory):
    return helpers.dotted_shards(tmp_path_factory.mktemp("data") / "dataset", train=16, validation=6)


@pytest.fixture(scope="module")
def there(here):
    system = fsspec.filesystem("memory")
    system.put(str(here), "/bucket/", recursive=True)
    yield "memory://bucket/dataset"
    system.store.clear()


def state(folder):
    return checkpoints.load(atomic.to_path(folder) / "checkpoints")


@pytest.mark.slow
@pytest.mark.draws
def test_a_run_there_stopped_and_continued_is_the_run_here(here, there, tmp_path, monkeypatch, capsys):
    run, lists = "memory://bucket/run", (tmp_path / "unknown.csv", "memory://bucket/unknown.csv")
    words = [*TINY.split(), "--unknown-labels"]
    for place in lists:
        atomic.to_path(place).write_text("post_id,tag_id\n" + "".join(f"{post},1\n" for post in range(12)))
    command = [*words, str(lists[0]), "--dataset", str(here), "--run-dir", str(tmp_path / "run")]
    assert train.main(command) == 0
    words += [lists[1], "--dataset", there, "--run-dir", run]
    begin = loop.TrainingLoop.on_train_batch_begin

    def stopped(training, batch, logs=None):
        if training.fit_start + batch == 3:
            signal.raise_signal(signal.SIGTERM)
        return begin(training, batch, logs)

    monkeypatch.setattr(loop.TrainingLoop, "on_train_batch_begin", stopped)
    assert train.main(words) == 0
    monkeypatch.undo()
    assert "the same command continues" in capsys.readouterr().err
    assert 3 <= state(run)[0] <= 4
    assert train.main(words) == 0
    (step, ours), (_, theirs) = state(run), state(tmp_path / "run")
    assert step == 8
    assert [name for name in theirs if ours[name].tobytes() != theirs[name].tobytes()] == []
    names = {path.name for path in atomic.to_path(run).iterdir()}
    assert names == {path.name for path in (tmp_path / "run").iterdir()} - {".lock"}
    tagger, local = Models.load(run), Models.load(tmp_path / "run")
    picture = np.full((32, 32, 3), 200, np.uint8)
    assert tagger.tag(picture, 0.0) == local.tag(picture, 0.0)
    for place, data, dump in ((run, there, "a"), (tmp_path / "run", here, "b")):
        words = [str(place), "--dataset", str(data), "--split", "validation", "-o", str(tmp_path / dump)]
        assert predict.main(words) == 0
    for name in ("probabilities.npy", "labels.npy", "image_ids.npy", "selected_tags.csv"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


def test_records_stream_in_the_same_order(here, there):
    ours, theirs = (dataset_folder.load(folder) for folder in (here, there))
    assert theirs.num_records("train") == 16
    assert theirs.manifest["image_size"] == ours.manifest["image_size"] == 32
    sizes = {"num_labels": 6, "image_size": 16, "batch_size": 5}
    for give in (Generators.train_dataset, Generators.eval_dataset):
        pairs = zip(*(give(data.shards("train"), **sizes).take(7) for data in (ours, theirs)), strict=True)
        assert all(np.array_equal(a, b) for one, other in pairs for a, b in zip(one, other, strict=True))
    assert len(list(Generators.eval_dataset(f"{there}/train/*.tfrecord", **sizes))) == 4


def test_a_cut_shard_there_is_an_error(there):
    shard = atomic.to_path(there) / "train" / "train_0.tfrecord"
    cut = atomic.to_path("memory://bucket/cut.tfrecord")
    cut.write_bytes(shard.read_bytes()[:-9])
    with pytest.raises(Exception, match=r"cut\.tfrecord is no whole TFRecord file"):
        list(Generators.eval_dataset([str(cut)], num_labels=6, image_size=16, batch_size=5))


def test_the_pointer_is_written_last(monkeypatch):
    """What was sent is not current until the pointer is."""
    folder = atomic.to_path("memory://bucket/checkpoints")
    checkpoints.save(folder, 1, {"model/a": np.full(3, 1.0)})
    system, sent = folder.fs, []
    put = type(system).put_file

    def failing(self, here, path, **options):
        sent.append(path.rpartition("/")[2])
        if len(sent) == 2:
            raise OSError("the line is cut")
        return put(self, here, path, **options)

    monkeypatch.setattr(type(system), "put_file", failing)
    with pytest.raises(OSError, match="the line is cut"):
        checkpoints.save(folder, 2, {"model/a": np.full(3, 2.0)})
    monkeypatch.undo()
    assert sent == ["step-000000002.npz", "newest.json"]
    assert checkpoints.load(folder)[0] == 1
    checkpoints.save(folder, 3, {"model/a": np.full(3, 3.0)})
    assert [entry["step"] for entry in json.loads((folder / "newest.json").read_text())] == [3, 1]
    assert sorted(path.name for path in folder.iterdir()) == [
        "newest.json", "step-000000001.npz", "step-000000003.npz",
    ]  # fmt: skip


def test_a_damaged_checkpoint_there_is_passed_over(capsys):
    folder = atomic.to_path("memory://bucket/damaged")
    for step in (1, 2):
        checkpoints.save(folder, step, {"model/a": np.full(3, float(step))})
    newest = checkpoints.newest(folder)
    newest.write_bytes(newest.read_bytes()[:-1])
    assert checkpoints.load(folder)[0] == 1
    assert "damaged" in capsys.readouterr().err


def test_an_unknown_file_system_is_one_paragraph(tmp_path, capsys):
    words = TINY.split()
    assert train.main([*words, "--dataset", "nowhere://bucket/x", "--run-dir", str(tmp_path / "run")]) == 2
    assert "nowhere://bucket/x cannot be opened" in capsys.readouterr().err
    with pytest.raises(UserError, match="memory://bucket/none"):
        dataset_folder.load("memory://bucket/none")
