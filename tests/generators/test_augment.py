"""Generators/augment.py: every step on its own, for given random numbers, and what is drawn."""

import numpy as np
import pytest

from Generators import augment
from Utils.images import codec
from Utils.images.augmentation import Augmentation
from Utils.images.resize import METHODS, resize


def noise(size, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (size, size, 3), np.uint8)


def disk(size):
    """A dark disk around the center on white: unchanged by every rotation."""
    y, x = np.mgrid[:size, :size] - (size - 1) / 2
    gray = np.where(x * x + y * y < (size / 3) ** 2, 30, 255).astype(np.uint8)
    return np.repeat(gray[..., None], 3, axis=-1)


def drawn(count, **settings):
    settings = Augmentation(**settings)
    numbers = augment.generator(7, augment.SAMPLE, 0).random((count, augment.NUMBERS))
    return [augment.draw(settings, row) for row in numbers]


# ---- random numbers


def test_numbers_are_a_function_of_seed_stream_and_step():
    numbers = [
        augment.generator(seed, stream, step).random(4).tolist()
        for seed in (0, 1, -1, 2**63)
        for stream in (augment.SAMPLE, augment.BATCH)
        for step in (0, 1, 2**40)
    ]
    assert len({tuple(row) for row in numbers}) == len(numbers)
    assert augment.generator(1, 0, 2).random() == augment.generator(1, 0, 2).random()
    # Philox is the same everywhere: a change of this figure changes every run ever started.
    assert augment.generator(3, augment.SAMPLE, 5).random() == pytest.approx(0.7376642407103482, abs=1e-15)


def test_draws_have_the_distribution_of_the_original():
    draws = drawn(20000, cutout=0.25)
    assert np.mean([d.flip for d in draws]) == pytest.approx(0.5, abs=0.02)
    for method in METHODS:
        assert np.mean([d.method == method for d in draws]) == pytest.approx(1 / 3, abs=0.02)
    for name, low, high in (
        ("crop_side", 0.87, 0.998),
        ("crop_y", 0, 1),
        ("crop_x", 0, 1),
        ("cutout_area", 0, 0.25),
        ("cutout_y", 0, 1),
        ("degrees", -45, 45),
    ):
        values = np.array([getattr(d, name) for d in draws])
        assert low <= values.min() < values.max() <= high
        assert np.quantile(values, [0.25, 0.5, 0.75]) == pytest.approx(
            [low + share * (high - low) for share in (0.25, 0.5, 0.75)], abs=0.02 * (high - low)
        )


def test_one_setting_does_not_move_the_other_draws():
    for one, other in zip(drawn(50), drawn(50, cutout=0.5, flip=False, crop=(1.0, 1.0)), strict=True):
        assert (one.crop_y, one.method, one.degrees) == (other.crop_y, other.method, other.degrees)


def test_everything_off_is_a_plain_resize():
    for draws in drawn(20, flip=False, crop=(1.0, 1.0), methods=("area",), rotation=0, cutout=0):
        data = codec.encode_jpeg(noise(64))
        assert np.array_equal(augment.augment_image(data, 32, draws), codec.prepare(data, 32))


# ---- steps


def test_a_sample_is_its_steps_whatever_memory_is_used_again():
    """Bit for bit, over methods, sizes and kinds of JPEG in turn: nothing of a former sample remains."""
    stored = [
        codec.encode_jpeg(noise(size, size)[:height]) for size, height in ((64, 64), (96, 96), (80, 50))
    ]
    stored.append(codec.encode_jpeg(noise(64)[..., :1].repeat(3, axis=2)))
    for number, draws in enumerate(drawn(40, cutout=0.3)):
        data, size = stored[number % 4], (32, 40)[number % 3 == 0]
        image = augment.crop(
            codec.pad_square(codec.decode(data)), draws.crop_side, draws.crop_y, draws.crop_x
        )
        image = resize(image, size, draws.method)
        image = augment.cutout(image, draws.cutout_area, draws.cutout_y, draws.cutout_x)
        expected = augment.flip_and_rotate(image, draws.flip, draws.degrees)
        assert np.array_equal(augment.augment_image(data, size, draws), expected)


def test_crop_reaches_every_border_and_no_further():
    image = noise(20)
    last = np.nextafter(1, 0)
    assert np.array_equal(augment.crop(image, 0.9, 0, 0), image[:18, :18])
    assert np.array_equal(augment.crop(image, 0.9, last, last), image[2:, 2:])
    assert np.array_equal(augment.crop(image, 0.9, 0, last), image[:18, 2:])
    tops = {
        int(np.flatnonzero((image[:, 0] == augment.crop(image, 0.9, y, 0)[0, 0]).all(axis=-1))[0])
        for y in np.linspace(0, last, 100)
    }
    assert tops == {0, 1, 2}
    assert np.array_equal(augment.crop(image, 1.0, last, last), image)
    assert augment.crop(image, 0.001, 0.5, 0.5).shape == (1, 1, 3)


def test_crop_positions_are_equally_likely():
    ramp = np.repeat(np.arange(20, dtype=np.uint8)[:, None, None], 20, axis=1).repeat(3, axis=2)
    tops = [augment.crop(ramp, 0.8, d.crop_y, d.crop_x)[0, 0, 0] for d in drawn(5000)]
    assert np.bincount(tops, minlength=5) / 5000 == pytest.approx([0.2] * 5, abs=0.025)


def test_cutout_covers_its_area_and_is_clipped():
    image = np.zeros((40, 40, 3), np.uint8)
    inside = augment.cutout(image, 0.25, 0.5, 0.5)
    assert (inside == augment.CUTOUT_VALUE).sum() == 3 * 400
    assert (inside[10:30, 10:30] == augment.CUTOUT_VALUE).all()
    assert (augment.cutout(image, 0.25, 0, 0) == augment.CUTOUT_VALUE).sum() == 3 * 100
    assert (augment.cutout(image, 0.25, 1, 0.5) == augment.CUTOUT_VALUE).sum() == 3 * 200
    assert (augment.cutout(image, 1.0, 0.5, 0.5) == augment.CUTOUT_VALUE).all()
    assert augment.cutout(image, 0, 0.5, 0.5) is image
    assert image.max() == 0  # the input is left alone


def test_rotation_by_no_angle_is_a_flip_or_nothing():
    image = noise(9)
    assert np.array_equal(augment.flip_and_rotate(image, True, 0), image[:, ::-1])
    assert np.array_equal(augment.flip_and_rotate(image, False, 0), image)
    with_fourth = np.dstack([image, image[..., :1]])
    for flip, degrees in ((True, 0), (False, 0), (True, 20.0)):
        turned = augment.flip_and_rotate(with_fourth, flip, degrees)
        assert np.array_equal(turned, augment.flip_and_rotate(image, flip, degrees))


@pytest.mark.parametrize("size", [32, 33])
def test_flip_is_fused_into_the_rotation(size):
    image = noise(size)
    together = augment.flip_and_rotate(image, True, 33.0)
    assert (
        np.abs(together.astype(int) - augment.flip_and_rotate(image[:, ::-1].copy(), False, 33.0)).max() <= 1
    )
    quarter = augment.flip_and_rotate(image, False, 90.0)
    assert np.abs(quarter.astype(int) - np.rot90(image)).max() <= 1  # counterclockwise, about the very center


def test_rotation_fills_white_and_keeps_the_center():
    black = np.zeros((64, 64, 3), np.uint8)
    turned = augment.flip_and_rotate(black, False, 45.0)
    assert turned[0, 0].tolist() == turned[-1, -1].tolist() == turned[0, -1].tolist() == [255] * 3
    assert turned[32, 32].max() == 0
    octagon = 2 * (np.sqrt(2) - 1)  # share of a square that its copy turned by 45 degrees covers
    assert (turned == 0).mean() == pytest.approx(octagon, abs=0.03)
    image = disk(64)
    for degrees in (-45, -10, 5, 45):
        assert np.abs(augment.flip_and_rotate(image, False, degrees).astype(int) - image).mean() < 3


def test_rotation_equals_its_float64_reference():
    size, degrees = 64, 20.0
    image = noise(size)
    middle, angle = (size - 1) / 2, np.deg2rad(degrees)
    y, x = np.mgrid[:size, :size] - middle
    from_y = middle + np.cos(angle) * y + np.sin(angle) * x
    from_x = middle - np.sin(angle) * y + np.cos(angle) * x
    padded = np.full((size + 80, size + 80, 3), 255.0)
    padded[40:-40, 40:-40] = image
    top, left = np.floor(from_y).astype(int), np.floor(from_x).astype(int)
    down, right = (from_y - top)[..., None], (from_x - left)[..., None]
    top, left = top + 40, left + 40
    upper = padded[top, left] * (1 - right) + padded[top, left + 1] * right
    lower = padded[top + 1, left] * (1 - right) + padded[top + 1, left + 1] * right
    expected = upper * (1 - down) + lower * down
    turned = augment.flip_and_rotate(image, False, degrees)
    assert np.abs(turned - expected).max() < 0.52  # rounded to nearest
    assert abs(turned.mean() - expected.mean()) < 0.05


# ---- MixUp


@pytest.mark.parametrize("size", [2, 3, 7, 32])
def test_partners_are_a_permutation_without_fixed_points(size):
    seen = set()
    for step in range(50):
        _, partners = augment.draw_mixup(0.2, size, augment.generator(0, augment.BATCH, step))
        assert sorted(partners) == list(range(size))
        assert (partners != np.arange(size)).all()
        seen.add(tuple(partners))
    assert len(seen) > 1 or size == 2


def test_partners_of_groups_are_of_the_same_group():
    shares, partners = augment.draw_mixup(0.2, 12, augment.generator(0, augment.BATCH, 0), groups=3)
    assert (partners // 4 == np.arange(12) // 4).all()
    assert sorted(partners) == list(range(12))
    assert (partners != np.arange(12)).all()
    whole, _ = augment.draw_mixup(0.2, 12, augment.generator(0, augment.BATCH, 0))
    assert np.array_equal(shares, whole)


def test_a_batch_of_one_is_left_as_it_is():
    shares, partners = augment.draw_mixup(0.2, 1, augment.generator(0, augment.BATCH, 0))
    image, labels = noise(8)[None], np.ones((1, 3), np.float32)
    assert np.array_equal(augment.mix_images(image, shares, partners), image)
    assert augment.mix_labels(labels, shares, partners) == pytest.approx(labels)


@pytest.mark.parametrize(("alpha", "variance"), [(0.2, 1 / 5.6), (0.8, 1 / 10.4)])
def test_shares_are_beta(alpha, variance):
    shares, _ = augment.draw_mixup(alpha, 20000, augment.generator(0, augment.BATCH, 0))
    assert shares.mean() == pytest.approx(0.5, abs=0.01)
    assert shares.var() == pytest.approx(variance, rel=0.03)  # 1 / (4 (2 alpha + 1))


def test_tiny_alpha_gives_no_nan():
    shares, _ = augment.draw_mixup(0.001, 1000, augment.generator(0, augment.BATCH, 0))
    assert np.isfinite(shares).all()


def test_mixup_mixes_images_and_labels_alike_without_rounding_bias():
    batch = np.stack([noise(48, seed) for seed in range(6)])
    labels = np.eye(6, dtype=np.float32)
    shares, partners = np.array([0.25, 0.9, 0.5, 0.61, 0.999, 0.001]), np.array([1, 2, 3, 4, 5, 0])
    mixed = augment.mix_images(batch, shares, partners)
    soft = augment.mix_labels(labels, shares, partners)
    weights = shares[:, None, None, None]
    expected = weights * batch + (1 - weights) * batch[partners]
    assert np.abs(mixed - expected).max() <= 0.5 + 1e-4
    assert np.abs((mixed - expected).mean(axis=(1, 2, 3))).max() < 0.05
    assert soft[1].tolist() == pytest.approx([0, 0.9, 0.1, 0, 0, 0])
    assert soft.dtype == np.float32
    assert np.array_equal(labels, np.eye(6))


def test_reduced_decoding_changes_little():
    grid = np.random.default_rng(0).integers(0, 256, (9, 9, 3), np.uint8)
    data = codec.encode_jpeg(resize(grid, 512, "bicubic"))
    draws = augment.Draws(True, 1.0, 0, 0, "bilinear", 0, 0, 0, 12.0)
    whole, reduced = augment.augment_image(data, 64, draws), augment.augment_image(data, 64, draws, 0.87)
    assert not np.array_equal(whole, reduced)
    assert np.abs(whole.astype(int) - reduced).mean() < 1.2
