"""tools/bench_parts/duplicates.py: hashes per second, and how many of the drawn copies are found."""

import json

import numpy as np

from tools import bench
from tools.bench_parts import duplicates


def test_it_finds_its_copies(capsys):
    assert bench.main(["duplicates", "--hashes", "2000", "--peer-queries", "20", "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    ours, peer = result["figures"].values()
    assert result["ratios"]["of the peer"] == ours / peer
    assert result["setup"]["copies found"] > 0.95
    assert bench.main(["duplicates", "--hashes", "3"]) == 2
    assert bench.main(["duplicates", "--hashes", "30", "--peer-queries", "31"]) == 2
    assert bench.main(["duplicates", "--peer", "none", "--peer-queries", "31"]) == 2


def test_copies_differ_from_their_originals_in_few_bits():
    hashes, copies, originals = duplicates._draw(2000)
    flipped = np.bitwise_count(hashes[copies] ^ hashes[originals]).sum(axis=1)
    assert len(copies) == 100
    assert flipped.max() <= duplicates.MOST_FLIPPED_BITS
    assert not set(copies) & set(originals)
