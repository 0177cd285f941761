"""seconds to audit a dump's labels: by the fast engine, and by cleanlab tag by tag, the peer.

Both look for missing and wrong labels in the same drawn dump, in one thread; cleanlab may be given a share of
the tags, its time is then scaled to all of them.
"""

import time

import numpy as np

from Utils.command.cli import UserError, WorkError
from Utils.labels import cleanlab_engine, confident_learning


def add_arguments(made):
    """Declare the options."""
    made.add_argument("--images", type=int, default=20_000, help="rows of the dump (20000)")
    made.add_argument("--num-labels", type=int, default=500, help="columns of the dump (500)")
    made.add_argument("--peer-labels", type=int, help="columns that cleanlab looks at (all)")


def measure(options):
    """Measure both engines; WorkError where they do not agree on what they both looked at."""
    shared = options.num_labels if options.peer_labels is None else options.peer_labels
    if min(options.images, options.num_labels, shared) < 1 or shared > options.num_labels:
        raise UserError(
            "--images, --num-labels and --peer-labels must be 1 or more, and the last no more than the one "
            f"before; got {options.images}, {options.num_labels}, {shared}"
        )
    cleanlab_engine.load()  # says what to install before any work
    p, labels = _draw(options.images, options.num_labels)
    started = time.perf_counter()
    ours = confident_learning.find_label_issues(p, labels)
    took = time.perf_counter() - started
    started = time.perf_counter()
    theirs = cleanlab_engine.find_label_issues(p[:, :shared], labels[:, :shared])
    peer = (time.perf_counter() - started) * options.num_labels / shared
    for label in (0, 1):
        for tag, rows in enumerate(theirs[label]):
            if not np.array_equal(ours[label][tag], rows):
                raise WorkError(f"the engines disagree on tag {tag}: what was measured is not the same work")
    return {
        "part": "audit",
        "unit": "s",
        "setup": {"images": options.images, "num_labels": options.num_labels, "peer_labels": shared},
        "figures": {"fast engine": took, "peer: cleanlab, tag by tag": peer},
        "ratios": {"peer's time to ours": peer / took},
    }


def _draw(images, num_labels):
    """Draw predictions (float64) and labels of a tagger: 1% true, a tenth of them missing."""
    random = np.random.default_rng(0)
    true = random.random((images, num_labels), np.float32) < 0.01
    labels = true & (random.random((images, num_labels), np.float32) > 0.1)
    labels[0], labels[-1] = True, False  # every tag has a post and lacks one
    logits = 1.5 * random.standard_normal((images, num_labels), np.float32) + np.where(true, 2, -3)
    return 1 / (1 + np.exp(-logits.astype(np.float64))), labels
