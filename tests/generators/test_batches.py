"""Generators/batches.py: a batch is a function of its step and its records, for any cut of its rows."""

import dataclasses

import numpy as np
import pytest

from Generators import packed_labels
from Generators.batches import BatchSpec, EvalBatcher, TrainBatcher, multi_hot
from Utils.command.cli import UserError
from Utils.images import codec
from Utils.images.augmentation import Augmentation

SPEC = BatchSpec(image_size=16, num_labels=3, batch_size=8)
IDS = np.arange(100, 108)
LENGTHS = np.array([1, 0, 2, 1, 1, 3, 0, 1])
LABELS = np.array([0, 1, 2, 2, 0, 0, 1, 2, 1])  # of all rows, one row after another


@pytest.fixture(scope="module")
def data():
    """An encoded image for each row."""
    images = np.random.default_rng(0).integers(0, 256, (8, 24, 24, 3), np.uint8)
    return np.array([codec.encode_jpeg(image) for image in images], object)


def batcher(**options):
    settings = {"augmentation": Augmentation(mixup_alpha=0.5, cutout=0.2), "seed": 3}
    return TrainBatcher(SPEC, **{**settings, "rows": slice(0, 8), "rows_read": slice(0, 8), **options})


def make_batch(one, data, step=5):
    return one(step, IDS, data, LABELS, LENGTHS)


def unknown(ids):
    """The label 1 of post 102."""
    return (ids[:, None] == 102) & (np.arange(3) == 1)


def test_multi_hot_is_one_at_each_index():
    hot = multi_hot(IDS, LABELS, LENGTHS, 3)
    assert hot.dtype == np.float32
    assert hot.tolist() == [
        [1, 0, 0], [0, 0, 0], [0, 1, 1], [0, 0, 1], [1, 0, 0], [1, 1, 1], [0, 0, 0], [0, 1, 0],
    ]  # fmt: skip
    with pytest.raises(UserError, match="image_id 102 has label index 2; num_labels is 2, so 0 to 1"):
        multi_hot(IDS, LABELS, LENGTHS, 2)


@pytest.mark.parametrize("place", ["host", "device"])
def test_a_host_makes_its_rows_of_the_same_batch(data, place):
    settings = Augmentation(mixup_alpha=0.5, augment_on=place)
    whole = make_batch(batcher(augmentation=settings), data)
    for rows in (slice(0, 4), slice(4, 8), slice(2, 3)):
        part = make_batch(batcher(augmentation=settings, rows=rows), data)
        for ours, all_rows in zip(part, whole, strict=True):
            assert np.array_equal(ours, all_rows[rows])


def test_steps_and_seeds_differ_and_repeat(data):
    images, labels, draws = make_batch(batcher(), data)
    again = make_batch(batcher(), data)
    assert all(np.array_equal(a, b) for a, b in zip((images, labels, draws), again, strict=True))
    assert not np.array_equal(images, make_batch(batcher(), data, step=6)[0])
    assert not np.array_equal(images, make_batch(batcher(seed=4), data)[0])


def test_partners_are_of_the_same_stream(data):
    draws = make_batch(batcher(streams=2), data)[2]
    partners = draws[:, 3].astype(int)
    assert (partners // 4 == np.arange(8) // 4).all()
    assert (partners != np.arange(8)).all()


def test_a_stream_alone_is_enough_for_its_rows(data):
    whole = make_batch(batcher(streams=2), data)
    half = batcher(streams=2, rows=slice(4, 8), rows_read=slice(4, 8))
    part = half(5, IDS[4:], data[4:], LABELS[LENGTHS[:4].sum() :], LENGTHS[4:])
    for ours, all_rows in zip(part, whole, strict=True):
        assert np.array_equal(ours, all_rows[4:])


def test_a_label_is_unknown_in_both_images_that_it_is_mixed_into(data):
    plain, marked = make_batch(batcher(), data)[1], make_batch(batcher(unknown=unknown), data)[1]
    row = 2
    receiver = make_batch(batcher(), data)[2][:, 3].tolist().index(row)
    assert {tuple(place) for place in np.argwhere(marked < 0)} == {(row, 1), (receiver, 1)}
    assert np.array_equal(marked[marked >= 0], plain[marked >= 0])


def test_a_teachers_labels_are_mixed_as_those_of_the_records(data):
    def teacher(ids, labels):
        return np.maximum(labels, (ids[:, None] == 103) & (np.arange(3) == 0)).astype(np.float32)

    lengths = LENGTHS + (IDS == 103)
    records = np.insert(LABELS, LENGTHS[:3].sum(), 0)  # label 0 of post 103
    taught = make_batch(batcher(teacher=teacher), data)
    for ours, those in zip(taught, batcher()(5, IDS, data, records, lengths), strict=True):
        assert np.array_equal(ours, those)
    assert not np.array_equal(taught[1], make_batch(batcher(), data)[1])


def test_labels_are_packed_after_all_else_and_the_step_is_told(data):
    steps = []
    one = batcher(unknown=unknown, packed_labels=3, when_ready=steps.append)
    packed, labels = make_batch(one, data)[1], make_batch(batcher(unknown=unknown), data)[1]
    assert packed.shape == (8, one.labels_width) == (8, 6)
    assert np.array_equal(packed_labels.unpack(packed, 3), labels)
    assert steps == [5]
    one = EvalBatcher(SPEC, rows=11, packed_labels=3)
    packed = one(IDS, data, LABELS, LENGTHS)[1]
    assert packed.shape == (11, one.labels_width) == (11, 6)
    assert EvalBatcher(SPEC).labels_width == batcher().labels_width == 3
    assert np.array_equal(packed_labels.unpack(packed, 3)[:8], multi_hot(IDS, LABELS, LENGTHS, 3))
    assert not packed[8:].any()


def test_what_the_device_turns_and_mixes_is_not_turned_and_mixed_here(data):
    settings = Augmentation(mixup_alpha=0.5, cutout=0.2, augment_on="device")
    still = Augmentation(mixup_alpha=0.0, cutout=0.2, flip=False, rotation=0.0)
    images, _, draws = make_batch(batcher(augmentation=settings), data)
    assert np.array_equal(images, make_batch(batcher(augmentation=still), data)[0])
    assert np.array_equal(draws, make_batch(batcher(augmentation=Augmentation(mixup_alpha=0.5)), data)[2])


def test_without_mixup_labels_are_the_records(data):
    _, labels, draws = make_batch(batcher(augmentation=Augmentation(mixup_alpha=0.0)), data)
    assert np.array_equal(labels, multi_hot(IDS, LABELS, LENGTHS, 3))
    assert draws[:, 2].tolist() == [1.0] * 8
    assert draws[:, 3].tolist() == list(range(8))


def test_evaluation_prepares_and_fills_up(data):
    images, labels, weights, ids = EvalBatcher(SPEC, rows=11, unknown=unknown)(IDS, data, LABELS, LENGTHS)
    assert images.shape == (11, 16, 16, 3)
    assert np.array_equal(images[3], codec.prepare(data[3], 16))
    assert not images[8:].any()
    assert labels[2].tolist() == [0, -1, 1]
    assert weights.tolist() == [1.0] * 8 + [0.0] * 3
    assert ids.tolist() == [*IDS, -1, -1, -1]


def test_rgb_is_bgr_backward(data):
    rgb = dataclasses.replace(SPEC, channel_order="rgb")
    bgr_images, rgb_images = (EvalBatcher(spec)(IDS, data, LABELS, LENGTHS)[0] for spec in (SPEC, rgb))
    assert np.array_equal(bgr_images, rgb_images[..., ::-1])


def test_a_broken_image_names_its_record(data):
    broken = data.copy()
    broken[3] = broken[3][:40]
    for one in (
        lambda: make_batch(batcher(), broken),
        lambda: EvalBatcher(SPEC)(IDS, broken, LABELS, LENGTHS),
    ):
        with pytest.raises(codec.ImageError, match="record with image_id 103: "):
            one()


@pytest.mark.parametrize("name", ["image_size", "num_labels", "batch_size"])
@pytest.mark.parametrize("value", [0, -1, 1.5, "8"])
def test_sizes_are_integers_of_at_least_1(name, value):
    with pytest.raises(UserError, match=f"{name} must be an integer of at least 1"):
        dataclasses.replace(SPEC, **{name: value})
