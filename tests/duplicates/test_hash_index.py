"""Utils/duplicates/hash_index.py: pairs of near hashes, as if all were compared with all."""

import numpy as np
import pytest

from Utils.duplicates import fingerprints, hash_index
from Utils.evaluation import duplicate_groups


def flipped(hashes, bits, random):
    copies = np.unpackbits(hashes, axis=1)
    for row in copies:
        row[random.choice(copies.shape[1], bits, replace=False)] ^= 1
    return np.packbits(copies, axis=1)


@pytest.mark.parametrize("exact", [10_000, 1])
def test_neighbors_are_those_of_comparing_all_with_all(monkeypatch, exact):
    monkeypatch.setattr(hash_index, "MAX_EXACT", exact)
    monkeypatch.setattr(hash_index, "_QUERIES", 64)
    random = np.random.default_rng(0)
    hashes = random.integers(0, 256, (200, 24), np.uint8)
    hashes = np.concatenate([hashes, flipped(hashes[:80], 12, random), hashes[:30]])
    pairs = hash_index.near_pairs(hashes)
    every = np.bitwise_count(hashes[:, None] ^ hashes[None]).sum(axis=2)
    near = set(map(tuple, np.argwhere(np.triu(every <= hash_index.RADIUS, 1)).tolist()))
    got = set(map(tuple, pairs.tolist()))
    assert got <= near
    # A copy of an equal hash is reached through that hash.
    direct = {(low, high) for low, high in near if high < 280 or low + 280 == high}
    assert len(direct - got) <= (0 if exact > 1 else 0.03 * len(direct))
    assert (pairs[:, 0] < pairs[:, 1]).all()


def test_a_thousand_equal_hashes_do_not_make_a_million_pairs():
    pairs = hash_index.near_pairs(np.ones((1000, 24), np.uint8))
    assert len(pairs) < 10_000
    assert set(duplicate_groups.components(1000, pairs).tolist()) == {0}
    assert hash_index.near_pairs(np.zeros((0, 24), np.uint8)).shape == (0, 2)


def test_nearly_all_that_differ_in_a_tenth_of_their_bits_are_found(monkeypatch):
    monkeypatch.setattr(hash_index, "MAX_EXACT", 1)
    random = np.random.default_rng(1)
    hashes = random.integers(0, 256, (3000, fingerprints.BITS // 8), np.uint8)
    pairs = hash_index.near_pairs(np.concatenate([hashes, flipped(hashes, 19, random)]))
    assert np.count_nonzero(pairs[:, 1] - pairs[:, 0] == 3000) >= 0.96 * 3000  # as the docstring says


def test_images_of_one_hash_are_paired_with_several_and_the_nearest_is_another_hash():
    same = np.zeros((5, 24), np.uint8)
    assert hash_index.near_pairs(same).tolist() == [[a, b] for a in range(5) for b in range(a + 1, 5)]
    same[4, 0] = 1
    assert [3, 4] not in hash_index.near_pairs(same).tolist()  # one of the equal hashes stands for all
    assert [0, 4] in hash_index.near_pairs(same, max_neighbors=1).tolist()
