"""Labels that Generators/pipeline.py gives: packed, mixed, unknown, a teacher's, none, out of range."""

import numpy as np
import pytest
import tensorflow as tf
from helpers.gray_shards import NUM_LABELS, PLAIN, evaluate, same, taken, train, write

from Generators import packed_labels
from Utils.command.cli import UserError
from Utils.images import codec


@pytest.mark.parametrize("alpha", [0, 0.4])
def test_packed_labels_are_the_labels(shards, alpha):
    options = {**PLAIN, "mixup_alpha": alpha}
    dataset = train(shards, packed_labels=2, **options)
    assert dataset.element_spec[1] == tf.TensorSpec((4, 4), tf.float32)
    unpacked = [(images, packed_labels.unpack(labels, NUM_LABELS)) for images, labels in taken(dataset, 6)]
    assert same(taken(train(shards, **options), 6), unpacked)
    for wrong in (-1, 4):
        with pytest.raises(UserError, match="packed_labels must be"):
            train(shards, packed_labels=wrong)


@pytest.mark.parametrize("options", [{}, {"pad_batches": True}])
def test_packed_labels_of_an_evaluation_are_the_labels(shards, options):
    dataset = evaluate(shards, packed_labels=2, **options)
    assert dataset.element_spec[1].shape[1] == 4
    packed = [
        (images, packed_labels.unpack(labels, NUM_LABELS), *rest)
        for images, labels, *rest in taken(dataset, 6)
    ]
    assert same(taken(evaluate(shards, **options), 6), packed)
    with pytest.raises(UserError, match="packed_labels must be"):
        evaluate(shards, packed_labels=-1)


def test_mixup_mixes_labels_as_images(tmp_path):
    # Level of the picture = 20 * label, so a mixed level tells the mixed label.
    ids = range(1, 11)
    path = write(
        tmp_path / "x.tfrecord",
        ids,
        lambda n: codec.encode_jpeg(np.full((8, 8, 3), 20 * n, np.uint8), 100),
        lambda n: [n],
    )
    options = {**PLAIN, "mixup_alpha": 1.0}
    elements = taken(train([path], num_labels=11, batch_size=10, **options), 20)
    for batch, labels in elements:
        assert np.allclose(labels.sum(axis=1), 1, atol=1e-6)
        expected = labels @ (20.0 * np.arange(11))
        assert np.abs(batch.mean(axis=(1, 2, 3)) - expected).max() <= 1.6  # rounding, and JPEG's
        assert ((labels > 0).sum(axis=1) == 2).mean() > 0.9  # nobody is mixed with himself
    shares = np.concatenate([labels.max(axis=1) for _, labels in elements])
    assert abs(shares.mean() - 0.75) < 0.03  # Beta(1, 1) is uniform


# ---- labels and shapes


def test_empty_labels_are_zeros_and_label_0_is_label_0(tmp_path):
    lists = {1: [], 2: [0], 3: [6, 2], 4: [2, 2], 5: []}
    path = write(tmp_path / "x.tfrecord", lists, labels=lists.__getitem__)
    ((_, labels),) = taken(evaluate([path], batch_size=5), 1)
    assert labels.tolist() == [[float(k in lists[i]) for k in range(NUM_LABELS)] for i in lists]
    for _, mixed in taken(train([path], batch_size=5), 3):
        assert np.isfinite(mixed).all()
    only = write(tmp_path / "y.tfrecord", [1, 2], labels=lambda _: [])
    ((_, labels),) = taken(evaluate([only]), 1)
    assert labels.tolist() == [[0.0] * NUM_LABELS] * 2


@pytest.mark.parametrize("index", [NUM_LABELS, -1])
def test_a_label_out_of_range_names_the_record(tmp_path, index):
    path = write(tmp_path / "x.tfrecord", [11, 12], labels=lambda n: [index] if n == 12 else [1])
    for dataset in (evaluate([path]), train([path])):
        with pytest.raises(tf.errors.OpError, match=f"image_id 12 has label index {index}"):
            taken(dataset, 1)


def test_unknown_labels_are_minus_one_after_mixing(shards):
    def unknown(ids):
        return (np.asarray(ids)[:, None] == 5) & (np.arange(NUM_LABELS) < 2)

    stored = np.concatenate([labels for _, labels in taken(evaluate(shards, unknown=unknown), -1)])
    assert np.array_equal(np.argwhere(stored < 0), [[5, 0], [5, 1]])
    (_, mixed), (_, plain) = (
        taken(train(shards, batch_size=22, mixup_alpha=0.4, unknown=given), 1)[0] for given in (unknown, None)
    )
    marked = mixed < 0
    assert marked.sum() == 4, "the image and the one it is mixed into, two labels each"
    assert np.array_equal(mixed[~marked], plain[~marked])
    assert set(mixed[marked]) == {-1.0}


def test_a_teacher_adds_labels_before_mixing_and_unknown_ones_stay_unknown(shards):
    """The same on any number of hosts and from any step on: its labels are a function of the post alone."""

    def teacher(ids, labels):
        return np.maximum(labels, np.float32(0.25 * (np.asarray(ids)[:, None] % 2)))

    def unknown(ids):
        return (np.asarray(ids)[:, None] == 5) & (np.arange(NUM_LABELS) < 2)

    plain = np.concatenate([labels for _, labels in taken(train(shards, batch_size=22, **PLAIN), 1)])
    soft = np.concatenate(
        [labels for _, labels in taken(train(shards, batch_size=22, teacher=teacher, **PLAIN), 1)]
    )
    assert 0 < (soft != plain).sum() == ((plain == 0) & (soft == 0.25)).sum()
    options = {"batch_size": 22, "mixup_alpha": 0.4, "teacher": teacher}
    mixed = taken(train(shards, **options), 3)
    without = taken(train(shards, batch_size=22, mixup_alpha=0.4), 1)
    assert (mixed[0][1] >= without[0][1]).all()
    assert len(np.unique(mixed[0][1])) > len(np.unique(soft)), "what the teacher added is mixed, too"
    assert same(taken(train(shards, start_step=2, **options), 1), mixed[2:])
    marked = taken(train(shards, unknown=unknown, **options), 1)[0][1]
    assert (marked < 0).sum() == 4
    assert np.array_equal(marked[marked >= 0], mixed[0][1][marked >= 0])
