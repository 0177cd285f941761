"""A small comparison: predictions of two taggers on drawn posts, one of them nearly right."""

import numpy as np

from helpers.small_dumps import write_dump
from Utils.comparison import comparison
from Utils.comparison.comparison import Contestant
from Utils.comparison.judged_posts import JudgedPosts

NAMES = ["long_hair", "</script>", "smile", "b"]


def make(folder, posts=30):
    """Return ``(Comparison, dumps, p of the good one, p of the other, labels)``."""
    random = np.random.default_rng(3)
    y = random.random((posts, 4)) < 0.4
    good, bad = (
        np.float32(np.clip(share * y + (1 - share) * random.random(y.shape), 0, 1)) for share in (0.7, 0.1)
    )
    ids = np.arange(posts) + 10
    dumps = [
        write_dump(folder / "good", good, None, ids, NAMES),
        write_dump(folder / "bad", bad[:, ::-1], None, ids, NAMES[::-1]),
    ]
    dumps = [comparison.predictions.load(dump) for dump in dumps]
    contestants = [Contestant(dump.name, dump.name, dump.tags, (np.full(4, 0.5), "a file")) for dump in dumps]
    rows, columns = np.nonzero(y)
    offsets = np.searchsorted(rows, np.arange(posts + 1))
    judged = JudgedPosts(
        ids, [f"{post}.png" for post in ids], offsets, columns, dumps[0].tags, True, {"why": 2}
    )
    shared = comparison.share_tags(contestants, judged)
    return comparison.compare(contestants, dumps, judged, shared, resamples=100), dumps, good, bad, y
