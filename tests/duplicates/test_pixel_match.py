"""Utils/duplicates/pixel_match.py: copies of one image and images that only look alike."""

import cv2
import numpy as np
import pytest
from helpers.drawn_images import differing, distance, drawing, fingerprint_of

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
