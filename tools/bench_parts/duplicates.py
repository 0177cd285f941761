"""hashes/s of finding near ones among many and grouping them, beside faiss comparing all with all, the peer.

Hashes are drawn, a tenth of them as copies of others of which up to 20 of 192 bits are flipped; the peer is
given a sample of the queries. Both run in a process of their own, whose peak memory is measured.
"""

import concurrent.futures
import multiprocessing
import os
import time

import numpy as np

from Utils.bench import timing
from Utils.command.cli import UserError, WorkError
from Utils.duplicates import hash_index
from Utils.duplicates.fingerprints import BITS
from Utils.evaluation import duplicate_groups

FLIPPED = 20


def add_arguments(made):
    """Declare the options."""
    made.add_argument("--hashes", type=int, default=1_000_000, help="hashes drawn (1000000)")
    made.add_argument("--peer-queries", type=int, default=2000, help="of them the peer looks for (2000)")


def measure(options):
    """Measure grouping and the peer; WorkError where fewer than 95 of 100 copies are found."""
    if options.hashes < 20 or not 0 < options.peer_queries <= options.hashes:
        raise UserError(
            "--hashes must be at least 20, --peer-queries from 1 to as many; "
            f"got {options.hashes}, {options.peer_queries}"
        )
    with concurrent.futures.ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        seconds, megabytes, recall, glued = pool.submit(_group, options.hashes).result()
    with concurrent.futures.ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        peer = pool.submit(_brute_force, options.hashes, options.peer_queries).result()
    if recall < 0.95:
        raise WorkError(f"only {recall:.4f} of the copies are in the group of what they were made of")
    setup = {"hashes": options.hashes, "cores": len(os.sched_getaffinity(0)), "seconds": round(seconds, 1)}
    setup |= {"peak MB": round(megabytes), "copies found": round(recall, 4), "others joined": glued}
    ours, theirs = options.hashes / seconds, options.peer_queries / peer
    return {
        "part": "duplicates",
        "unit": "hashes/s",
        "setup": setup,
        "figures": {"finding near hashes and grouping": ours, "peer: all with all, by faiss": theirs},
        "ratios": {
            "of the peer": ours / theirs,
            "of 2 minutes for a million": seconds / options.hashes * 1e6 / 120,
            "of 2 GB": megabytes / 2000,
        },
    }


def _draw(count):
    """Return hashes (N, BITS / 8), and for the copies the row of each and of what it was made of."""
    random = np.random.default_rng(0)
    hashes = random.integers(0, 256, (count, BITS // 8), np.uint8)
    rows = random.permutation(count)[: 2 * (count // 20)]
    sources, copies = rows.reshape(2, -1)
    flipped = random.integers(0, FLIPPED + 1, len(copies))
    which = np.argsort(np.argsort(random.random((len(copies), BITS), np.float32))) < flipped[:, None]
    hashes[copies] = hashes[sources] ^ np.packbits(which, axis=1)
    return hashes, copies, sources


def _group(count):
    """In a child: return seconds, peak memory, the share of copies found, and pairs that are no copies."""
    hashes, copies, sources = _draw(count)

    def differing(first, second):
        return np.bitwise_count(hashes[first] ^ hashes[second]).sum(axis=1) / np.float32(hash_index.RADIUS)

    started = time.perf_counter()
    pairs = hash_index.near_pairs(hashes)
    groups = duplicate_groups.from_pairs(count, pairs, differing(*pairs.T), differing)
    seconds = time.perf_counter() - started
    found = groups.leaders[copies] == groups.leaders[sources]
    joined = int((groups.leaders != np.arange(count)).sum()) - int(found.sum())
    return seconds, timing.peak_megabytes(), float(found.mean()), joined


def _brute_force(count, queries):
    """In a child: return the seconds that comparing some hashes with all takes."""
    import faiss

    hashes, _, _ = _draw(count)
    index = faiss.IndexBinaryFlat(BITS)
    index.add(hashes)
    started = time.perf_counter()
    index.search(hashes[:queries], hash_index.MAX_NEIGHBORS + 1)
    return time.perf_counter() - started
