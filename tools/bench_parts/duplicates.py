"""hashes/s of grouping near duplicates, beside faiss comparing all with all, the peer.

A tenth of the drawn hashes are copies of others with up to 20 of 192 bits flipped. The peer searches a sample
of the hashes. Each runs in a process of its own, so that its peak memory is known.
"""

import argparse
import time
from typing import Any

import numpy as np

from Utils.bench import timing
from Utils.command.cli import Parser, UserError, WorkError, number
from Utils.duplicates import hash_index
from Utils.duplicates.fingerprints import BITS
from Utils.evaluation import duplicate_groups

MOST_FLIPPED_BITS = 20
PEER_QUERIES = 2000


def add_arguments(parser: Parser) -> None:
    """Declare the options."""
    add = parser.add_argument
    add("--hashes", type=number(least=20), default=1_000_000, help="hashes drawn (1000000)")
    add("--peer", choices=("faiss", "none"), default="faiss", help="none: ours alone (faiss)")
    add("--peer-queries", type=number(above=0), help="hashes that the peer looks up (2000, or all if fewer)")


def run_benchmark(options: argparse.Namespace) -> dict[str, Any]:
    """Measure grouping and the peer; WorkError if fewer than 95% of the copies are found."""
    queries, has_peer = options.peer_queries or min(PEER_QUERIES, options.hashes), options.peer != "none"
    if options.peer_queries and not has_peer:
        raise UserError("--peer-queries is of faiss, which --peer none leaves out; give one of the two")
    if queries > options.hashes:
        raise UserError(f"--peer-queries may be up to --hashes, {options.hashes}; got {queries}")
    seconds, megabytes, recall, wrong = timing.call_in_new_process(_group, options.hashes)
    if recall < 0.95:
        raise WorkError(f"only {recall:.4f} of the copies are in the group of their originals")
    setup = {"hashes": options.hashes, "cores": timing.num_cores(), "seconds": round(seconds, 1)}
    setup |= {"peak MB": round(megabytes), "copies found": round(recall, 4), "others joined": wrong}
    ours = options.hashes / seconds
    figures, ratios = {"finding near hashes and grouping": ours}, {}
    if has_peer:
        theirs = queries / timing.call_in_new_process(_brute_force, options.hashes, queries)
        figures["peer: all with all, by faiss"], ratios["of the peer"] = theirs, ours / theirs
    ratios["of 2 minutes for a million"] = seconds / options.hashes * 1e6 / 120
    ratios["of 2 GB"] = megabytes / 2000
    return {"part": "duplicates", "unit": "hashes/s", "setup": setup, "figures": figures, "ratios": ratios}


def _draw(count: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return hashes (N, BITS / 8) uint8, the rows of the copies and the rows of their originals."""
    random = np.random.default_rng(0)
    hashes = random.integers(0, 256, (count, BITS // 8), np.uint8)
    rows = random.permutation(count)[: 2 * (count // 20)]
    originals, copies = rows.reshape(2, -1)
    num_flipped = random.integers(0, MOST_FLIPPED_BITS + 1, len(copies))
    # The rank of random numbers: each row has a random order of the bits, the first of which flip.
    bits = np.argsort(np.argsort(random.random((len(copies), BITS), np.float32))) < num_flipped[:, None]
    hashes[copies] = hashes[originals] ^ np.packbits(bits, axis=1)
    return hashes, copies, originals


def _group(count: int) -> tuple[float, float, float, int]:
    """Return, in a new process, seconds, peak MB, the share of copies found, and how many others joined."""
    hashes, copies, originals = _draw(count)

    def distances(first: np.ndarray, second: np.ndarray) -> np.ndarray:
        return np.bitwise_count(hashes[first] ^ hashes[second]).sum(axis=1) / np.float32(hash_index.RADIUS)

    started = time.perf_counter()
    pairs = hash_index.near_pairs(hashes)
    groups = duplicate_groups.from_pairs(count, pairs, distances(*pairs.T), distances)
    seconds = time.perf_counter() - started
    is_found = groups.leaders[copies] == groups.leaders[originals]
    joined = int((groups.leaders != np.arange(count)).sum()) - int(is_found.sum())
    return seconds, timing.peak_megabytes(), float(is_found.mean()), joined


def _brute_force(count: int, queries: int) -> float:
    """Return, in a new process, the seconds of comparing ``queries`` hashes with all."""
    import faiss

    hashes, _, _ = _draw(count)
    index = faiss.IndexBinaryFlat(BITS)
    index.add(hashes)
    started = time.perf_counter()
    index.search(hashes[:queries], hash_index.MAX_NEIGHBORS + 1)
    return time.perf_counter() - started
