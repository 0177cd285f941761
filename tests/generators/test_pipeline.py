"""Generators/pipeline.py: order, determinism, exact passes, errors."""

import math

import cv2
import numpy as np
import pytest
import tensorflow as tf
from helpers.gray_shards import NUM_LABELS, PLAIN, evaluate, jpeg, numbers, same, taken, train, write
from helpers.quick import slow_but

from Generators import batches, pipeline
from Models.layers.augmentation import BatchAugmentation
from Utils.command.cli import UserError
from Utils.images import codec
from Utils.images.augmentation import Augmentation

# ---- training


def test_train_elements_have_static_shapes_and_no_end(shards):
    dataset = train(shards)
    assert dataset.element_spec == (
        tf.TensorSpec((4, 8, 8, 3), tf.uint8),
        tf.TensorSpec((4, NUM_LABELS), tf.float32),
    )
    assert dataset.cardinality().numpy() == tf.data.INFINITE_CARDINALITY


def test_every_pass_has_every_record_once_and_batches_straddle_passes(shards):
    order = numbers(taken(train(shards, **PLAIN), 11))  # 44 records: two passes of 22
    first, second = order[:22], order[22:]
    assert sorted(first) == sorted(second) == list(range(22))
    assert first != second
    assert first != sorted(first)


def test_shards_are_read_in_a_new_order_every_pass(shards):
    order = np.reshape(numbers(taken(train(shards, shuffle_buffer=1, batch_size=22, **PLAIN), 12)), (12, 22))
    assert len({tuple(row) for row in order.tolist()}) >= 4  # of 6 orders of 3 shards
    assert {0, 8, 13} >= set(order[:, 0].tolist())
    assert len(set(order[:, 0].tolist())) == 3


def test_the_same_seed_gives_the_same_batches_whatever_the_process_has_seeded(shards):
    tf.random.set_seed(1)
    np.random.seed(1)  # noqa: NPY002
    once = taken(train(shards, seed=5, cutout=0.5), 8)
    tf.keras.utils.set_random_seed(2)
    assert same(once, taken(train(shards, seed=5, cutout=0.5), 8))
    assert not same(once, taken(train(shards, seed=6, cutout=0.5), 8))


def test_parallelism_changes_nothing(shards):
    assert same(taken(train(shards, workers=1), 9), taken(train(shards, workers=4), 9))


@pytest.mark.reliability(
    "a host with hundreds of cores, each of which would make a batch of 150 MB",
    "as many batches are made at a time as fit into 16 GiB",
)
def test_batches_in_flight_are_bounded_on_hosts_with_many_cores(shards, monkeypatch):
    monkeypatch.setattr(pipeline, "num_cores", lambda: 224)
    images = 256 * 448 * 448 * 3
    assert pipeline.workers_within(2 * images) == 55
    assert 55 * 2 * images <= pipeline.MOST_IN_FLIGHT < 56 * 2 * images
    assert pipeline.workers_within(2 * 4 * 32 * 32 * 3) == 224, "small ones are made by all cores"
    assert pipeline.workers_within(2 * pipeline.MOST_IN_FLIGHT) == 1
    monkeypatch.setattr(pipeline, "MOST_IN_FLIGHT", 3 * 2 * 4 * 16 * 16 * 3)
    options = train(shards, image_size=16, batch_size=4).options()
    assert options.threading.private_threadpool_size == 3 + pipeline.READERS
    monkeypatch.undo()
    assert train(shards).options().threading.private_threadpool_size is None


@pytest.mark.parametrize("start", slow_but([1, 5, 6, 11, 30], 6, 11))
def test_a_later_start_continues_exactly(shards, start):
    whole = taken(train(shards), start + 3)
    assert same(whole[start:], taken(train(shards, start_step=start), 3))
    assert same(whole[start:], taken(train(shards, start_step=start, num_records=22), 3))


def test_who_trains_is_told_of_every_batch_that_is_ready(shards):
    steps = []
    taken(train(shards, start_step=7, when_ready=steps.append, workers=1), 3)
    assert steps[:3] == [7, 8, 9]


def test_skipped_records_are_not_decoded(shards, monkeypatch):
    decoded = []
    sample = batches.augment.augment_image
    monkeypatch.setattr(batches.augment, "augment_image", lambda *a: decoded.append(1) or sample(*a))
    dataset = train(shards, start_step=1000, workers=1)
    taken(dataset.take(1), 1)
    assert len(decoded) <= 5 * 4  # the batch itself and what is made ahead


@pytest.mark.parametrize("alpha", slow_but([0, 0.4], 0.4))
def test_hosts_share_a_batch(shards, alpha):
    options = {**PLAIN, "rotation": 30, "crop": (0.5, 1), "mixup_alpha": alpha}
    whole = taken(train(shards, **options), 6)
    for index in range(2):
        part = taken(train(shards, host=(index, 2), **options), 6)
        rows = slice(2 * index, 2 * index + 2)
        assert same([(batch[rows], labels[rows]) for batch, labels in whole], part)


@pytest.mark.parametrize("options", slow_but([{}, {"mixup_alpha": 0}], {}))
def test_device_and_host_give_the_same_images(tmp_path, options):
    """The same draws, whoever applies them: equal but for the host's two roundings."""
    ids, size = range(20), 24
    path = write(
        tmp_path / "x.tfrecord",
        ids,
        lambda n: codec.encode_jpeg(np.random.default_rng(n).integers(0, 256, (32, 32, 3), np.uint8)),
    )
    options = {"image_size": size, "cutout": 0.2, "seed": 3, **options}
    layer = BatchAugmentation()
    here, there = (train([path], augment_on=place, **options) for place in ("host", "device"))
    for (batch, labels), ((plain, draws), same_labels) in zip(here.take(4), there.take(4), strict=True):
        assert np.array_equal(labels, same_labels)
        error = layer([plain, draws], training=True).numpy() - batch.numpy().astype(np.float64)
        assert np.abs(error).max() <= 1.01
        assert abs(error.mean()) < 0.05
        assert not np.array_equal(plain, batch)
        assert np.array_equal(layer([plain, draws], training=False), plain)
    assert there.element_spec[0][1] == tf.TensorSpec((options.get("batch_size", 4), 4), tf.float32)
    whole = taken_flat(there, 3)
    assert same(whole[1:], taken_flat(train([path], augment_on="device", start_step=1, **options), 2))


def taken_flat(dataset, count):
    return taken(dataset.map(lambda inputs, labels: (*inputs, labels)), count)


def test_augmentation_depends_on_the_position_in_the_stream(tmp_path):
    path = write(
        tmp_path / "x.tfrecord",
        [3] * 8,
        lambda _: codec.encode_jpeg(np.random.default_rng(0).integers(0, 256, (16, 16, 3), np.uint8)),
    )
    ((batch, _),) = taken(train([path], batch_size=8, mixup_alpha=0), 1)
    assert len({image.tobytes() for image in batch}) == 8


def test_the_original_defaults_are_on(shards):
    """Rotation leaves white corners in almost every image."""
    elements = taken(train(shards, image_size=32, mixup_alpha=0), 5)
    corners = np.concatenate([batch[:, 0, 0, 0] for batch, _ in elements])
    assert (corners == 255).mean() > 0.8


def test_large_images_may_be_decoded_whole(tmp_path):
    noise = np.random.default_rng(0).integers(0, 256, (128, 128, 3), np.uint8)
    path = write(tmp_path / "x.tfrecord", [1], lambda _: codec.encode_jpeg(noise, 100))
    options = {"batch_size": 1, "reduced_decoding": False, **PLAIN}
    (reduced, _), (plain, _) = (
        taken(train([path], **options | more), 1)[0] for more in ({"reduced_decoding": True}, {})
    )
    assert not np.array_equal(plain, reduced)
    assert np.abs(np.int16(plain) - reduced).max() < 16


# ---- evaluation


def test_evaluation_is_one_pass_in_stored_order(shards):
    dataset = evaluate(shards, with_ids=True)
    assert dataset.cardinality().numpy() == 6
    for _ in range(2):
        elements = list(dataset.as_numpy_iterator())
        assert np.concatenate([ids for *_, ids in elements]).tolist() == list(range(22))
        assert numbers(elements) == list(range(22))
        assert [len(batch) for batch, *_ in elements] == [4] * 5 + [2]
        labels = np.concatenate([labels for _, labels, _ in elements])
        assert labels.argmax(axis=1).tolist() == [number % NUM_LABELS for number in range(22)]
        assert labels.sum() == 22


def test_evaluation_is_prepare(tmp_path):
    data = codec.encode_jpeg(np.random.default_rng(0).integers(0, 256, (30, 51, 3), np.uint8))
    path = write(tmp_path / "x.tfrecord", [1], lambda _: data)
    for padding in (255, 0):
        ((batch, _),) = taken(evaluate([path], image_size=20, padding=padding), 1)
        assert np.array_equal(batch[0], codec.prepare(data, 20, padding))


def test_padded_evaluation_weighs_the_padding_nothing(shards):
    elements = taken(evaluate(shards, pad_batches=True, with_ids=True), 9)
    assert len(elements) == 6
    weights = np.concatenate([weight for _, _, weight, _ in elements])
    ids = np.concatenate([number for *_, number in elements])
    assert weights.tolist() == [1.0] * 22 + [0.0] * 2
    assert ids.tolist() == [*range(22), -1, -1]
    assert elements[-1][1][2:].sum() == 0
    assert evaluate(shards, pad_batches=True).element_spec[0].shape == (4, 8, 8, 3)
    with pytest.raises(UserError, match="hosts need pad_batches"):
        evaluate(shards, host=(0, 2))
    assert [
        len(element)
        for element in (evaluate(shards).element_spec, evaluate(shards, pad_batches=True).element_spec)
    ] == [2, 3]


@pytest.mark.parametrize("shape", [(300, 512), (512, 300)])
def test_images_that_are_not_square_are_padded_not_squashed(tmp_path, shape):
    """A black disk on black-free ground stays a disk: as wide as it is high."""
    canvas = np.full((*shape, 3), 200, np.uint8)
    cv2.circle(canvas, (shape[1] // 2, shape[0] // 2), 100, (0, 0, 0), -1)
    path = write(tmp_path / "x.tfrecord", [1], lambda _: codec.encode_jpeg(canvas))
    options = {**PLAIN, "image_size": 128, "batch_size": 1}
    for dataset in (train([path], **options), evaluate([path], image_size=128, batch_size=1)):
        ((batch, _),) = taken(dataset, 1)
        dark = batch[0, ..., 0] < 100
        height, width = np.ptp(np.flatnonzero(dark.any(axis=1))), np.ptp(np.flatnonzero(dark.any(axis=0)))
        assert abs(int(height) - int(width)) <= 1
        assert abs(dark.sum() / (math.pi * 25**2) - 1) < 0.03
        border = batch[0, 0] if shape[0] < shape[1] else batch[0, :, 0]
        assert border.min() >= 250


# ---- what a user gets wrong


def test_broken_image_bytes_name_the_record(tmp_path):
    path = write(tmp_path / "x.tfrecord", [41, 42], lambda n: jpeg(1)[: -9 * (n == 42) or None])
    for dataset in (evaluate([path]), train([path])):
        with pytest.raises(tf.errors.OpError, match="image_id 42: truncated JPEG"):
            taken(dataset, 1)


def test_no_shards_says_what_is_there(tmp_path):
    with pytest.raises(UserError, match=r"no shard matches .*\*\.tfrecord.* holds nothing"):
        train(f"{tmp_path}/*.tfrecord")
    (tmp_path / "notes.txt").touch()
    with pytest.raises(UserError, match=r"holds notes\.txt"):
        evaluate(tmp_path / "*.tfrecord")
    with pytest.raises(UserError, match="there is no folder"):
        evaluate(f"{tmp_path}/none/*.tfrecord")
    with pytest.raises(UserError, match="is missing"):
        evaluate([tmp_path / "a.tfrecord"])
    with pytest.raises(UserError, match="empty list"):
        evaluate([])


def test_shards_without_a_record_do_not_loop_for_ever(tmp_path):
    path = write(tmp_path / "x.tfrecord", [])
    with pytest.raises(UserError, match="no record"):
        train([path])
    with pytest.raises(UserError, match="no record"):
        train([path], start_step=3)
    assert taken(evaluate([path]), 1) == []


def test_a_cut_shard_is_named(shards, tmp_path):
    path = write(tmp_path / "x.tfrecord", range(3))
    whole = (tmp_path / "x.tfrecord").read_bytes()
    (tmp_path / "x.tfrecord").write_bytes(whole[:-5])
    with pytest.raises(UserError, match=r"x\.tfrecord is no whole TFRecord file: record 2"):
        evaluate([path])


def test_shards_elsewhere_are_not_counted():
    paths = []
    for index in range(2):
        paths.append(f"ram://shards/{index}.tfrecord")
        write(paths[-1], range(3 * index, 3 * index + 3))
    dataset = evaluate("ram://shards/*.tfrecord")
    assert dataset.cardinality().numpy() == tf.data.UNKNOWN_CARDINALITY
    assert numbers(taken(dataset, 9)) == list(range(6))
    with pytest.raises(UserError, match="needs num_records"):
        train(paths, start_step=1)
    whole = taken(train(paths), 4)
    assert same(whole[2:], taken(train(paths, start_step=2, num_records=6), 2))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"batch_size": 0}, "batch_size must be an integer of at least 1; got 0"),
        ({"image_size": 3.5}, "image_size"),
        ({"num_labels": 0}, "num_labels"),
        ({"channel_order": "hsv"}, "channel_order must be one of"),
        ({"crop": (0.9, 1.2)}, "crop must be"),
        ({"methods": ("lanczos",)}, "methods must be some of"),
        ({"rotation": 500}, "rotation must be from 0 to 180; got 500"),
        ({"cutout": 2}, "cutout must be between 0 and 1; got 2"),
        ({"mixup_alpha": -1}, "mixup_alpha must be"),
        ({"host": (2, 2)}, "host must be"),
        ({"host": (0, 3)}, "host must be"),
        ({"start_step": -1}, "start_step"),
        ({"num_records": 0}, "num_records"),
        ({"seed": 2**64}, "seed"),
        ({"augment_on": "tpu"}, "augment_on must be one of"),
    ],
)
def test_wrong_values_are_refused(shards, options, message):
    with pytest.raises(UserError, match=message):
        train(shards, **options)


def test_single_settings_change_those_of_the_augmentation(shards):
    settings = Augmentation(rotation=0.0, mixup_alpha=0.0)
    assert same(
        taken(train(shards, augmentation=settings), 2), taken(train(shards, rotation=0, mixup_alpha=0), 2)
    )
    changed = taken(train(shards, augmentation=settings, crop=None, flip=False), 2)
    assert same(changed, taken(train(shards, **{**PLAIN, "methods": settings.methods}), 2))
    with pytest.raises(TypeError, match="'mixup'; did you mean mixup_alpha"):
        train(shards, mixup=0.1)


def test_left_out_records_are_never_decoded(shards, monkeypatch):
    """Both kinds of dataset give the kept records alone, and continue in the middle of them."""
    seen = []
    prepare, sample = codec.prepare, batches.augment.augment_image
    monkeypatch.setattr(codec, "prepare", lambda *args: seen.append(1) or prepare(*args))
    monkeypatch.setattr(batches.augment, "augment_image", lambda *args: seen.append(1) or sample(*args))

    def keep(ids):
        return np.asarray(ids) % 3 != 0  # 14 of 22

    held = taken(evaluate(shards, keep=keep, num_records=14), -1)
    assert len(evaluate(shards, keep=keep, num_records=14)) == 4
    assert numbers(held) == [number for number in range(22) if number % 3]
    assert len(seen) == 14
    stream = taken(train(shards, keep=keep, batch_size=7, **PLAIN), 4)
    assert sorted(numbers(stream[:2])) == sorted(numbers(stream[2:])) == numbers(held)
    for num_records in (14, None):
        later = train(shards, keep=keep, batch_size=7, start_step=3, num_records=num_records, **PLAIN)
        assert same(taken(later, 1), stream[3:])
    with pytest.raises(UserError, match="num_records|no record"):
        train(shards, keep=lambda ids: np.zeros(np.shape(ids), bool), **PLAIN)
