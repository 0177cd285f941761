"""Dumps of a few images and tags, written as tools write them."""

import numpy as np

from helpers.tag_frames import frame_of
from Utils.evaluation import predictions


def write_dump(folder, p, y, ids, names, dtype="float32", **info):
    """Write a dump of probabilities (N, L), labels (N, L) or None, image ids (N,) and L tag names."""
    with predictions.writing(
        folder, frame_of(*names), dtype=dtype, labels=y is not None, info=info
    ) as writer:
        writer.add(p, ids, y)
    return folder


def overlapping_dumps(folder):
    """Write two dumps of overlapping images and tags in other orders; the second is noisy.

    Returns ``(first folder, second folder, p, noisy p, labels, ids)``, the arrays of what both have.
    """
    rng = np.random.default_rng(0)
    y = rng.random((80, 12)) < 0.3
    p = np.float32(np.clip(0.4 * y + rng.random((80, 12)) * 0.6, 0, 1))
    noisy = np.float32(np.clip(p + rng.normal(0, 0.25, p.shape), 0, 1))
    names, ids = [f"tag {i}" for i in range(12)], 1000 + 7 * np.arange(80)
    rows, columns = rng.permutation(80)[:70], rng.permutation(12)[:10]
    a = write_dump(folder / "a", p[:75, :11], y[:75, :11], ids[:75], names[:11])
    mixed = np.ix_(rows, columns)
    b = write_dump(folder / "b", noisy[mixed], y[mixed], ids[rows], [names[i] for i in columns])
    both = np.sort(np.intersect1d(rows, np.arange(75))), np.sort(np.intersect1d(columns, np.arange(11)))
    return a, b, p[np.ix_(*both)], noisy[np.ix_(*both)], y[np.ix_(*both)], ids[both[0]]
