"""seconds to audit labels: our engine, and cleanlab tag by tag, the peer.

Both look for missing and wrong labels in the same drawn predictions, in one thread. With --peer-labels
cleanlab gets a part of the tags, and its time is scaled to all of them.
"""

import argparse
import time
from typing import Any

import numpy as np

from Utils.command.cli import Parser, UserError, WorkError, number
from Utils.labels import cleanlab_engine, confident_learning


def add_arguments(parser: Parser) -> None:
    """Declare the options."""
    add = parser.add_argument
    add("--images", type=number(above=0), default=20_000, help="rows of the dump (20000)")
    add("--num-labels", type=number(above=0), default=500, help="columns of the dump (500)")
    add("--peer", choices=("cleanlab", "none"), default="cleanlab", help="none: ours alone (cleanlab)")
    add("--peer-labels", type=number(above=0), help="columns that cleanlab looks at (all)")


def run_benchmark(options: argparse.Namespace) -> dict[str, Any]:
    """Measure both engines; WorkError if they disagree on the tags that both looked at."""
    has_peer = options.peer != "none"
    if options.peer_labels and not has_peer:
        raise UserError("--peer-labels is of cleanlab, which --peer none leaves out; give one of the two")
    shared = options.peer_labels or options.num_labels
    if shared > options.num_labels:
        raise UserError(f"--peer-labels may be up to --num-labels, {options.num_labels}; got {shared}")
    if has_peer:
        cleanlab_engine.load()  # says what to install before any work
    p, labels = _draw(options.images, options.num_labels)
    started = time.perf_counter()
    ours = confident_learning.find_label_issues(p, labels)
    seconds = time.perf_counter() - started
    setup = {"images": options.images, "num_labels": options.num_labels}
    figures, ratios = {"fast engine": seconds}, {}
    if has_peer:
        peer_seconds = _peer_seconds(p[:, :shared], labels[:, :shared], ours) * options.num_labels / shared
        setup["peer_labels"] = shared
        figures["peer: cleanlab, tag by tag"] = peer_seconds
        ratios["peer's time to ours"] = peer_seconds / seconds
    return {"part": "audit", "unit": "s", "setup": setup, "figures": figures, "ratios": ratios}


def _peer_seconds(p: np.ndarray, labels: np.ndarray, ours: Any) -> float:
    """Return the seconds of cleanlab; WorkError if it disagrees with ``ours`` on a tag."""
    started = time.perf_counter()
    theirs = cleanlab_engine.find_label_issues(p, labels)
    seconds = time.perf_counter() - started
    for label in (0, 1):
        for tag, rows in enumerate(theirs[label]):
            if not np.array_equal(ours[label][tag], rows):
                raise WorkError(
                    f"the engines disagree on tag {tag}: the figures would compare different work"
                )
    return seconds


def _draw(images: int, num_labels: int) -> tuple[np.ndarray, np.ndarray]:
    """Return float64 probabilities and bool labels, (images, num_labels): 1% true, a tenth of them lost."""
    random = np.random.default_rng(0)
    true = random.random((images, num_labels), np.float32) < 0.01
    labels = true & (random.random((images, num_labels), np.float32) > 0.1)
    labels[0], labels[-1] = True, False  # every tag has both, as cleanlab requires
    logits = 1.5 * random.standard_normal((images, num_labels), np.float32) + np.where(true, 2, -3)
    return 1 / (1 + np.exp(-logits.astype(np.float64))), labels
