"""Utils/duplicates/fingerprints.py: what stays of an image when it is recompressed, rescaled or padded."""

import cv2
import numpy as np
import pytest
from helpers.drawn_images import differing, distance, drawing, fingerprint_of

from Utils.duplicates import fingerprints, hash_index
from Utils.images import codec
from Utils.images.resize import resize


@pytest.mark.parametrize("seed", range(4))
def test_recompression_rescaling_and_padding_change_little(seed):
    wide = drawing(seed, 320, 512)
    source = fingerprint_of(wide)
    changed = {
        "recompressed": fingerprint_of(wide, 35),
        "smaller": fingerprint_of(resize(cv2.copyMakeBorder(wide, 96, 96, 0, 0, 0, value=(255,) * 3), 301)),
        "black": fingerprint_of(codec.pad_square(wide, 0)),
        "pink": fingerprint_of(
            cv2.copyMakeBorder(wide, 96, 96, 0, 0, cv2.BORDER_CONSTANT, value=(190, 180, 250))
        ),
    }
    for kind, other in changed.items():
        whole, content = differing(source, other)
        assert content <= 8, kind
        assert distance(source, other) < 0.5, kind
        if kind in ("recompressed", "smaller"):
            assert whole <= 8
    assert np.abs(source["box"].astype(int) - changed["black"]["box"]).max() <= 3
    stranger = fingerprint_of(drawing(seed + 100, 320, 512))
    assert min(differing(source, stranger)) > hash_index.RADIUS
    assert distance(source, stranger) > 1


def test_hashes_are_of_the_square_and_of_its_content():
    padded = np.full((512, 512, 3), 255, np.uint8)
    padded[96:416] = wide = drawing(0, 320, 512)
    result = fingerprint_of(padded)
    frame = codec.fit(codec.decode(codec.encode_jpeg(padded, 95)), fingerprints.FRAME)
    top, end, left, right = result["box"]
    signs = [fingerprints.dct_hash(part) for part in (frame, frame[top:end, left:right])]
    assert np.bitwise_count(result["hashes"] ^ signs).sum(axis=1).max() <= 4
    assert max(differing(result, fingerprint_of(wide))) <= 4  # it is padded white anyway
    assert np.bitwise_count(result["hashes"][0] ^ result["hashes"][1]).sum() > hash_index.RADIUS


def test_nested_borders_are_not_content():
    image = np.full((256, 256, 3), 255, np.uint8)
    image[20:236, 20:236] = 0
    image[40:216, 50:206] = cv2.resize(drawing(1), (156, 176))
    edge = fingerprints._MIXED_LINES  # of what resizing mixes
    top, end, left, right = fingerprints.content_box(image)
    assert (top, end) == (40 + edge, 216 - edge)
    assert abs(left - 52) <= 2 * edge
    assert abs(right - 204) <= 2 * edge


@pytest.mark.parametrize(("stray", "border"), [(0, 20), (4, 20), (26, 8)])
def test_a_few_points_of_another_color_leave_a_border_a_border(stray, border):
    image = np.full((256, 256, 3), 255, np.uint8)
    image[20:] = np.random.default_rng(0).integers(0, 200, (236, 256, 3))
    image[8, :stray] = 0
    assert fingerprints._count_border_lines(image) == border


def test_gray_images_have_stable_hashes_that_tell_light_from_dark():
    gray = np.repeat(drawing(2)[..., 1:2], 3, axis=2)
    assert max(differing(fingerprint_of(gray, 95), fingerprint_of(gray, 60))) <= 2
    dark, light = (fingerprints.dct_hash(np.full((64, 64, 3), level, np.uint8)) for level in (60, 200))
    assert np.bitwise_count(dark ^ light).sum() == 1


def test_neighbors_in_frequency_are_in_different_runs_of_a_hash():
    place = np.argsort(fingerprints._BIT_ORDER)
    assert sorted(place) == list(range(fingerprints.BITS))
    assert np.abs(np.diff(place)).min() >= 20
