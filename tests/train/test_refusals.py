"""What train.py refuses, with and without --dry-run; what a dry run says."""

import json
import shutil
import signal

import helpers
import pytest
from helpers.tiny_runs import command

import Models
import train
from Utils.command import interrupt
from Utils.data import dataset_folder
from Utils.files import locking, tfrecord
from Utils.training import dry_run


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    return helpers.dotted_shards(tmp_path_factory.mktemp("data"), train=20, validation=6)


def test_a_dry_run_prints_its_summary_and_leaves_nothing(dataset, tmp_path, capsys):
    assert train.main(command(dataset, tmp_path / "run", "--dry-run")) == 0
    shown = capsys.readouterr().out
    for word in ("1 CPU", "global batch   4 ", "5 an epoch (20 records)", "5,038", "0.01 at the peak"):
        assert word in shown
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("--dataset /nowhere/at/all", "/nowhere/at/all"),
        ("--model ConvNxt/T", "did you mean ConvNext"),
        ("--model ConvNext/X", "ConvNext has the variants"),
        ("--attention ecca", "'ecca'"),
        ("--model-options dephts=1,1", "depths"),
        ("--loss bee", "did you mean bce"),
        ("--optimizer lam", "lamb"),
        ("--optimizer lamb --momentum 0.5", "momentum"),
        ("--schedule cosin", "cosine"),
        ("--warmup 5epochs --epochs 5", "--warmup must end before"),
        ("--steps-per-epoch 3 --steps-per-execution 2", "multiple of --steps-per-execution"),
    ],
)
def test_a_wrong_word_is_one_paragraph(dataset, tmp_path, capsys, words, said):
    assert train.main([*command(dataset, tmp_path / "run", "--dry-run"), *words.split()]) == 2
    shown = capsys.readouterr().err
    assert shown.startswith("error: ")
    assert said in shown
    assert "Traceback" not in shown


def test_an_unknown_backend_is_one_paragraph(dataset, tmp_path, monkeypatch, capsys):
    for backend, said in (
        ("tensorfow", "did you mean tensorflow?"),
        ("torch", "torch, which is not installed"),
    ):
        monkeypatch.setenv("KERAS_BACKEND", backend)
        monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
        assert train.main(command(dataset, tmp_path / "run", "--dry-run")) == 2
        assert said in capsys.readouterr().err


def refusals(tmp_path, dataset):
    """Yield (flags that a run refuses, what the error says)."""
    yield ["--rotation", "200"], "--rotation must be from 0 to 180"
    yield ["--tag-weights", "none"], "no column 'none'"
    yield ["--unknown-labels", str(tmp_path / "x")], "unknown labels"
    yield ["--teacher", str(tmp_path / "x")], "a dump folder was expected"
    yield ["--teacher-thresholds", "x.csv"], "--teacher-thresholds goes with --teacher"
    yield ["--teacher", "x", "--probe"], "--probe trains on stored labels"
    yield ["--teacher", "x", "--teacher-weight", "0"], "--teacher-weight must be above 0 and at most 1"
    yield ["--optimizer", "muon", "--optimizer-options", "exclude_layers=3"], "exclude_layers"
    yield ["--epochs", "1", "--gradient-accumulation", "6"], "leaves no update: the training has 5 steps"
    manifest = dataset_folder.load(dataset).manifest
    for split in ("train", "validation"):
        copy = shutil.copytree(dataset, tmp_path / f"without_{split}")
        (copy / "dataset.json").write_text(json.dumps(manifest))
        next((copy / split).glob("*.tfrecord")).unlink()
        yield ["--dataset", str(copy)], f"without_{split}"
    (tmp_path / "album").mkdir()
    (tmp_path / "album" / "photo.jpg").touch()
    yield ["--run-dir", str(tmp_path / "album")], "holds photo.jpg"
    yield ["--run-dir", str(tmp_path / "album" / "photo.jpg")], "is a file"
    yield ["--run-dir", str(tmp_path / "album" / "photo.jpg" / "run")], "photo.jpg is a file"


@pytest.mark.reliability(
    "train.py --dry-run of what the run refuses",
    "both refuse it with the same error, before a model is built; no folder is left",
)
def test_a_dry_run_refuses_what_the_run_refuses(dataset, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(Models, "build", lambda *_, **__: pytest.fail("a model was built"))
    for words, said in refusals(tmp_path, dataset):
        errors = []
        for mode in ([], ["--dry-run"]):
            assert train.main([*command(dataset, tmp_path / "run"), *words, *mode]) == 2
            errors.append(capsys.readouterr().err)
        assert errors[0] == errors[1]
        assert errors[0].startswith("error: ")
        assert said in errors[0]
    assert not (tmp_path / "run").exists()
    assert [path.name for path in (tmp_path / "album").iterdir()] == ["photo.jpg"]


def test_a_dry_run_refuses_a_folder_in_which_another_process_trains(dataset, tmp_path, capsys):
    (tmp_path / "run").mkdir()
    with (tmp_path / "run" / ".lock").open("w") as lock:
        assert locking.try_lock(lock)
        for mode in ([], ["--dry-run"]):
            assert train.main([*command(dataset, tmp_path / "run"), *mode]) == 2
            assert "another process trains in" in capsys.readouterr().err
    assert train.main([*command(dataset, tmp_path / "run"), "--dry-run"]) == 0
    assert [path.name for path in (tmp_path / "run").iterdir()] == [".lock"]


@pytest.mark.reliability("a byte of a shard flips before training", "one error that names the shard")
def test_a_damaged_shard_is_named(dataset, tmp_path, capsys):
    copy = shutil.copytree(dataset, tmp_path / "data")
    shard = copy / "train" / "train_1.tfrecord"
    data = bytearray(shard.read_bytes())
    data[len(data) // 3] ^= 1
    shard.write_bytes(data)
    assert train.main(command(copy, tmp_path / "run", "--epochs", "1")) == 2
    lines = capsys.readouterr().err.splitlines()
    assert [f"{shard} is damaged" in line for line in lines if line.startswith("error: ")] == [True]


def test_a_dry_run_refuses_a_shard_of_another_size(dataset, tmp_path, capsys):
    copy = shutil.copytree(dataset, tmp_path / "data")
    shard = copy / "validation" / "validation_0.tfrecord"
    entries = {}
    for split in ("train", "validation"):
        files = sorted((copy / split).iterdir())
        facts = [
            (f"{split}/{path.name}", tfrecord.count_records(path), path.stat().st_size) for path in files
        ]
        shards = [dict(zip(("file", "records", "bytes"), row, strict=True)) for row in facts]
        entries[split] = {"shards": shards}
    manifest = {"name": "x", "image_size": 32, "records": entries}
    (copy / "dataset.json").write_text(json.dumps(manifest))
    shard.write_bytes(shard.read_bytes()[:-9])
    for mode in ([], ["--dry-run"]):
        assert train.main([*command(copy, tmp_path / "run"), *mode]) == 2
        assert f"{shard} has " in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_sigterm_ends_a_dry_run_as_other_commands(dataset, tmp_path, monkeypatch, capsys):
    """A shell's ``--dry-run && train.py ...`` must not begin to train."""
    monkeypatch.setattr(interrupt, "take_over", lambda: None)
    monkeypatch.setattr(dry_run, "show", lambda *words: signal.raise_signal(signal.SIGTERM))
    before = signal.signal(signal.SIGTERM, interrupt._terminate)
    try:
        assert train.main(command(dataset, tmp_path / "run", "--dry-run")) == 143
    finally:
        signal.signal(signal.SIGTERM, before)
    assert capsys.readouterr().err.endswith("terminated\n")


def test_a_dry_run_with_augmentation_on_the_device(dataset, tmp_path, capsys):
    words = command(dataset, tmp_path / "run", "--dry-run", "--augment-on", "device")
    assert train.main(words) == 0
    assert "optimizer" in capsys.readouterr().out


def test_labels_that_cannot_be_packed_are_an_error(dataset, tmp_path, capsys):
    assert train.main(command(dataset, tmp_path / "run", "--packed-labels", "on")) == 2
    assert "--packed-labels on needs a dataset with posts.parquet" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()
