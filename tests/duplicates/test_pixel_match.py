"""Utils/duplicates/pixel_match.py: copies of one image and images that only look alike."""

import cv2
import numpy as np
import pytest
from helpers.drawn_images import clock, differing, distance, drawing, fingerprint_of, loudspeaker

from Utils.duplicates import fingerprints, hash_index, pixel_match
from Utils.images.resize import resize


def test_small_crops_match_and_large_ones_only_within_a_larger_shift_limit():
    image = drawing(7)
    image[:3] = image[-3:] = drawing(8)[:3]  # no border of one color
    source = fingerprint_of(image)
    cropped = fingerprint_of(resize(np.ascontiguousarray(image[15:500, 4:505]), 512))
    assert distance(source, cropped) <= 1
    assert min(differing(source, cropped)) <= hash_index.RADIUS
    large = fingerprint_of(resize(np.ascontiguousarray(image[30:480, 35:490]), 512))
    assert distance(source, large) == np.inf
    assert distance(source, large, max_shift=0.12) <= 1


def test_images_that_differ_in_a_detail_or_its_place_are_no_duplicates():
    image = drawing(3)
    detail = image.copy()
    cv2.circle(detail, (256, 256), 40, (255, 255, 255), -1)
    cv2.circle(detail, (256, 256), 20, (0, 0, 0), -1)
    assert distance(fingerprint_of(image), fingerprint_of(detail)) > 1
    figure = np.full((512, 512, 3), 255, np.uint8)
    figure[100:300, 100:300] = drawing(4, 200, 200)
    moved = np.roll(figure, (60, 90), (0, 1))
    assert differing(fingerprint_of(figure), fingerprint_of(moved))[1] <= 8  # the contents are the same
    assert distance(fingerprint_of(figure), fingerprint_of(moved)) == np.inf


def test_a_crop_at_one_corner_matches_only_within_a_larger_shift_limit():
    image = drawing(9)
    corner = fingerprint_of(resize(np.ascontiguousarray(image[:465, :465]), 512))
    assert distance(fingerprint_of(image), corner) == np.inf
    assert distance(corner, fingerprint_of(image)) == np.inf
    assert distance(fingerprint_of(image), corner, max_shift=0.12) <= 1


def test_images_that_are_cropped_further_count_more(monkeypatch):
    image = drawing(7)
    image[:3] = image[-3:] = drawing(8)[:3]
    pair = fingerprint_of(image), fingerprint_of(resize(np.ascontiguousarray(image[30:480, 35:490]), 512))
    far = distance(*pair, max_shift=0.12)
    monkeypatch.setattr(pixel_match, "_FAR_FACTOR", 1)
    assert far == pytest.approx(1.25 * distance(*pair, max_shift=0.12))


def test_content_on_a_plain_ground_must_lie_where_it_lay():
    figure = np.full((512, 512, 3), 255, np.uint8)
    figure[100:300, 100:300] = drawing(4, 200, 200)
    still, moved = fingerprint_of(figure), fingerprint_of(np.roll(figure, (60, 90), (0, 1)))
    assert distance(still, moved, max_shift=0.3) == np.inf
    assert distance(still, moved, plain_max_shift=0.3) <= 1  # as the contents lie
    alone = fingerprint_of(np.ascontiguousarray(figure[100:300, 100:300]))
    assert distance(still, alone, max_shift=0.9) == np.inf
    assert distance(alone, still, max_shift=0.9) == np.inf


def test_content_that_a_speck_enlarges_is_found_from_where_the_images_lie():
    plain = np.full((512, 512, 3), 255, np.uint8)
    plain[90:, 90:] = drawing(5, 422, 422)
    speck = plain.copy()
    speck[:40, :40] = 200
    assert np.abs(fingerprint_of(plain)["box"].astype(int) - fingerprint_of(speck)["box"]).max() > 40
    assert distance(fingerprint_of(plain), fingerprint_of(speck)) < np.inf


def of_halves(left, right):
    """A fingerprint whose content fills its image: two halves of gray."""
    row = np.zeros((), fingerprints.FINGERPRINT)
    row["box"] = 0, fingerprints.FRAME, 0, fingerprints.FRAME
    row["picture"][:, : fingerprints.SIDE // 2], row["picture"][:, fingerprints.SIDE // 2 :] = left, right
    return row


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        (
            (80, 160),
            (84, 164),
            4 / 40 / pixel_match._MEAN_LIMIT,
        ),
        (
            (120, 121),
            (121, 122),
            1 / pixel_match._MIN_CONTRAST / pixel_match._MEAN_LIMIT,
        ),
        ((0, 255), (0, 255), 0),
    ],
)
def test_differences_that_are_known(first, second, expected):
    pictures = (of_halves(*pair)["picture"][None].astype(np.float32) for pair in (first, second))
    (difference,) = pixel_match._color_distance(*pictures, np.array([[[1, 0], [1, 0]]], np.float32))
    assert difference == pytest.approx(expected, rel=0.05, abs=1e-6)


def test_pairs_are_compared_each_for_itself():
    images = np.array([of_halves(*pair) for pair in ((80, 160), (84, 164), (0, 255))])
    rows, columns = np.divmod(np.arange(3 * 100) % 9, 3)
    together = pixel_match.distances(images[rows], images[columns])
    alone = [distance(images[row], images[column]) for row, column in zip(rows[:9], columns[:9], strict=True)]
    np.testing.assert_allclose(together, np.resize(alone, 300), rtol=1e-4, atol=1e-5)


@pytest.mark.reliability(
    "a thing with and without a detail beside it, on one ground", "two pictures, no group"
)
def test_what_lies_beside_the_content_counts():
    silent, quiet, loud, louder = (fingerprint_of(loudspeaker(waves)) for waves in range(4))
    for pair in ((silent, quiet), (quiet, loud), (loud, louder), (louder, loud)):
        assert distance(*pair) > 1
        assert distance(*pair, max_shift=0.12) > 1
    assert distance(loud, fingerprint_of(loudspeaker(2, side=512))) <= 1
    assert distance(loud, fingerprint_of(loudspeaker(2), quality=40)) <= 1


@pytest.mark.parametrize("turn", range(4))
def test_a_detail_beside_counts_on_every_side_and_the_ground_does_not(turn):
    plain = np.full((256, 256, 3), (40, 90, 200), np.uint8)
    plain[60:200, 60:200] = cv2.resize(drawing(4, 200, 200), (140, 140))
    detail = plain.copy()
    cv2.circle(detail, (228, 128), 16, (255, 255, 255), -1)
    first, second = (fingerprint_of(np.ascontiguousarray(np.rot90(image, turn))) for image in (plain, detail))
    wide = {"plain_max_shift": 0.3}
    assert distance(first, second, **wide) > 1
    assert distance(second, first, **wide) > 1
    assert distance(first, fingerprint_of(np.ascontiguousarray(np.rot90(plain, turn)), 40), **wide) <= 1


def test_a_detail_beside_is_measured_against_the_ground_of_the_other():
    frames = np.array([[[0.5, 0.5], [0.5, 0.5]]], np.float32)  # the middle half of both sides
    maps = np.array([[[0.5, 0], [0.5, 0]]], np.float32)  # in an image that is all content
    grounds = np.array([[[10] * 3, [20] * 3, [30] * 3, [40] * 3]], np.uint8)
    thumbnail = np.zeros((1, fingerprints.SIDE, fingerprints.SIDE, 3), np.float32)
    limit = pixel_match._BLOCK_LIMIT
    assert pixel_match._distance_beside(thumbnail, maps, frames, grounds)[0] == pytest.approx(40 / limit)
    thumbnail[:, :, 24:] = 40  # right as it should be, too light above and below there
    assert pixel_match._distance_beside(thumbnail, maps, frames, grounds)[0] == pytest.approx(
        30 / limit, rel=0.02
    )


@pytest.mark.parametrize("width", [0.01, 0.03])
def test_clocks_that_show_other_times_are_other_pictures(width):
    faces = [fingerprint_of(clock(hour, half, width=width)) for hour in (1, 2, 7) for half in (False, True)]
    pairs = [(first, second) for row, first in enumerate(faces) for second in faces[:row]]
    assert min(distance(*pair) for pair in pairs) > 1
