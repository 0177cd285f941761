"""Generators/feature_cache.py: rows in the order of the records, views, labels; interruption; no room."""

import contextlib
import shutil
import types

import helpers
import numpy as np
import pytest

from Generators import feature_cache
from Generators.feature_cache import FeatureCache
from Utils.command.cli import UserError
from Utils.data import dataset_folder
from Utils.data.repeat_factors import RepeatFactors

SIZES = {"num_labels": 6, "image_size": 16, "batch_size": 4, "unknown": None}
COUNTS = {"train": 10, "validation": 6}


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    folder = helpers.dotted_shards(tmp_path_factory.mktemp("data"), train=10, validation=6)
    return dataset_folder.load(folder)


def means(images):
    """(B, 6): the mean color of the left and of the right half."""
    halves = images.astype("float32").reshape(len(images), 16, 2, 8, 3).mean(axis=(1, 3))
    return halves.reshape(len(images), 6) / 255


def filled(folder, dataset, compute=means, made_by="x", flip=True):
    cache = FeatureCache(folder, 6, 6, made_by, flip)
    with contextlib.ExitStack() as stack:
        stack.enter_context(cache)
        feature_cache.fill_splits(cache, dataset, COUNTS, {}, compute, SIZES)
        stack.pop_all()  # stays open where nothing went wrong
    return cache


def test_rows_are_those_of_the_records(dataset, tmp_path):
    import Generators

    (images, labels), *_ = Generators.eval_dataset(dataset.shards("train"), **{**SIZES, "batch_size": 10})
    with filled(tmp_path / "cache", dataset) as cache:
        features, truth = cache.read("train", np.array([7, 0]))
        validation = list(cache.validation_batches(6, 4))
    expected = means(images.numpy())[[7, 0]]
    np.testing.assert_allclose(features[:, 0], expected, atol=1e-3)
    np.testing.assert_allclose(features[:, 1], expected[:, [3, 4, 5, 0, 1, 2]], atol=1e-3)
    np.testing.assert_array_equal(truth, labels.numpy()[[7, 0]])
    assert [part[2].numpy().tolist() for part in validation] == [[1, 1, 1, 1, 1, 1, 0, 0]]


def test_where_no_picture_is_mirrored_there_is_one_view(dataset, tmp_path):
    with filled(tmp_path / "cache", dataset, flip=False) as cache:
        rows = cache.read("train", np.arange(10))[0]
        seen = np.concatenate([batch[0].numpy() for batch in cache.training_batches(10, 5, 2, 0, 0).take(2)])
    assert rows.shape == (10, 1, 6)
    assert sorted(map(tuple, seen)) == sorted(map(tuple, rows[:, 0]))


def test_unknown_labels_stay_unknown(dataset, tmp_path):
    def unknown(ids):
        mask = np.zeros((len(ids), 6), bool)
        mask[:, 2] = True
        return mask

    with FeatureCache(tmp_path / "cache", 6, 6, "x") as cache:
        feature_cache.fill_splits(cache, dataset, {"train": 10}, {}, means, {**SIZES, "unknown": unknown})
        labels = cache.read("train", np.arange(10))[1]
    assert (labels[:, 2] == -1).all()
    assert set(np.delete(labels, 2, axis=1).ravel()) <= {0, 1}


def test_batches_are_a_function_of_seed_and_step(dataset, tmp_path):
    with filled(tmp_path / "cache", dataset) as cache:
        first = list(cache.training_batches(10, 4, 2, 0, 0).take(6))
        later = list(cache.training_batches(10, 4, 2, 0, 4).take(2))
        other = list(cache.training_batches(10, 4, 2, 1, 0).take(6))
    for ours, theirs in zip(first[4:], later, strict=True):
        assert all(np.array_equal(a, b) for a, b in zip(ours, theirs, strict=True))
    assert any(not np.array_equal(a[0], b[0]) for a, b in zip(first, other, strict=True))


def test_what_is_not_held_in_memory_makes_the_same_batches(dataset, tmp_path, monkeypatch):
    with filled(tmp_path / "cache", dataset) as cache:
        held = [*cache.training_batches(10, 4, 2, 0, 3).take(5), *cache.validation_batches(6, 4)]
    monkeypatch.setattr(feature_cache, "MOST_HELD", 0)
    monkeypatch.setattr(feature_cache, "MOST_AT_ONCE", 0)  # and one batch at a time
    with filled(tmp_path / "cache", dataset) as cache:
        read = [*cache.training_batches(10, 4, 2, 0, 3).take(5), *cache.validation_batches(6, 4)]
    for ours, theirs in zip(held[:5], read[:5], strict=True):
        assert all(np.array_equal(a, b) for a, b in zip(ours, theirs, strict=True))
    assert [part[2].numpy().tolist() for part in read[5:]] == [[1, 1, 1, 1], [1, 1, 0, 0]]
    for ours, theirs in zip(held[5], zip(*read[5:], strict=True), strict=True):
        np.testing.assert_array_equal(ours, np.concatenate(theirs))


def test_an_epoch_repeats_records_by_their_factors(dataset, tmp_path):
    repeats = RepeatFactors(np.arange(10), np.repeat([1.0, 2.0], 5), 0)  # 15 records
    with filled(tmp_path / "cache", dataset) as cache:
        batches = list(cache.training_batches(10, 5, 3, 0, 3, repeats).take(3))  # of the second epoch
        rows = cache.read("train", np.arange(10))[0]
    seen = np.concatenate([features.numpy() for features, _ in batches])
    numbers = np.abs(seen[:, None, None] - rows).sum(axis=-1).min(axis=-1).argmin(axis=1)
    assert np.bincount(numbers, minlength=10).tolist() == [1] * 5 + [2] * 5


@pytest.mark.reliability("Features of --probe, interrupted", "the same command computes only what is missing")
def test_what_was_computed_is_not_computed_again(dataset, tmp_path):
    calls = []

    def failing(images):
        calls.append(len(images))
        if len(calls) > 3:
            raise KeyboardInterrupt
        return means(images)

    with pytest.raises(KeyboardInterrupt):
        filled(tmp_path / "cache", dataset, failing)
    calls.clear()

    def counting(images):
        calls.append(len(images))
        return means(images)

    with filled(tmp_path / "cut", dataset) as whole:
        expected = whole.read("train", np.arange(10))[0]
    with filled(tmp_path / "cache", dataset, counting) as cache:
        np.testing.assert_array_equal(cache.read("train", np.arange(10))[0], expected)
    assert len(calls) == 2 * 2 + 2, "one batch of the training split was done"
    calls.clear()
    filled(tmp_path / "cache", dataset, counting).__exit__()
    assert calls == []
    filled(tmp_path / "cache", dataset, counting, made_by="y").__exit__()
    assert len(calls) == 2 * 3 + 2, "other weights make other features"


@pytest.mark.reliability(
    "Features of --probe that the disk has no room for", "refused before any is computed"
)
def test_no_room_is_said_before_anything_is_computed(dataset, tmp_path, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda path: types.SimpleNamespace(free=100))
    with pytest.raises(UserError, match="on a disk with 0.0 GB free"):
        filled(tmp_path / "cache", dataset)
