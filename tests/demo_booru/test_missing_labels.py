"""Utils/demo_booru/missing_labels.py: shares, odds, and sets that grow with the share."""

import numpy as np
import pytest

from Utils.demo_booru import missing_labels as missing

RANDOM = np.random.default_rng(0)
AREAS = np.where(RANDOM.random(60_000) < 0.3, np.nan, RANDOM.random(60_000))
COUNTS = RANDOM.integers(1, 100, 60_000)


@pytest.mark.parametrize("kind", missing.KINDS)
def test_the_share_is_missing_and_grows_with_it(kind):
    sets = [missing.is_missing(kind, share, AREAS, COUNTS, 3) for share in (0.0, 0.1, 0.25, 0.4)]
    assert [round(float(one.mean()), 2) for one in sets] == [0.0, 0.1, 0.25, 0.4]
    assert all((smaller <= larger).all() for smaller, larger in zip(sets, sets[1:], strict=False))
    assert not np.array_equal(sets[2], missing.is_missing(kind, 0.25, AREAS, COUNTS, 4))


def test_people_miss_small_things_more_often_and_chance_does_not():
    for kind, low, high in (("random", 0.9, 1.1), ("people", 1.5, missing.SMALL)):
        is_missing = missing.is_missing(kind, 0.2, AREAS, COUNTS, 3)
        assert low < is_missing[AREAS < 0.1].mean() / is_missing[AREAS > 0.5].mean() < high


def test_odds_are_those_of_the_module():
    chance = missing.chances(0.25, AREAS, COUNTS)
    assert chance.mean() == pytest.approx(0.25, abs=1e-9)
    odds = chance / (1 - chance)
    large = np.nanmax(AREAS)
    usual = odds[(AREAS > 0.5) & (COUNTS > 60)]
    assert usual.std() < 1e-12
    for mask, factor in (
        ((0.3 * large > AREAS) & (COUNTS > 60), missing.SMALL),
        (np.isnan(AREAS) & (COUNTS > 60), missing.BACKGROUND),
        ((AREAS > 0.5) & (COUNTS < 40), missing.RARE),
        (np.isnan(AREAS) & (COUNTS < 40), missing.BACKGROUND * missing.RARE),
    ):
        np.testing.assert_allclose(odds[mask], usual[0] * factor, rtol=1e-9)


def test_without_boxes_all_things_are_background():
    areas = np.full(100, np.nan)
    np.testing.assert_allclose(missing.chances(0.2, areas, np.ones(100)), 0.2)
