"""A dump to report on, whose tags have the most hostile names."""

import pathlib

import numpy as np
import pandas as pd

from Utils.evaluation import predictions

NAMES = [
    "safe",
    "sensitive",
    "hat",
    "<b>smile</script><!--",
    'tree & "leaf" {{rows}}',
    "長い髪",
    "series_x",
    "alice",
    "bob",
]
TAGS = pd.DataFrame(
    {
        "tag_id": np.arange(9) + 1,
        "name": NAMES,
        "category": [9, 9, 0, 0, 0, 0, 3, 4, 4],
        "count": [900, 100, 500, 300, 300, 20, 80, 60, 0],
    }
)


def write_dump(folder, rows=60, p=None, y=None, tags=TAGS, dtype="float32", ids=None):
    """Write a dump of ``rows`` images, ids from 0 by default, drawn where p or y is not given."""
    random = np.random.default_rng(0)
    columns = len(tags)
    y = random.random((rows, columns)) < tags["count"].to_numpy() / 1200 if y is None else y
    p = np.clip(y * 0.3 + random.random((rows, columns)) * 0.7, 0, 1) if p is None else p
    info = {"run_name": "a <run>", "params": 93.2e6}
    with predictions.writing(folder, tags, dtype=dtype, info=info) as writer:
        writer.add(p, np.arange(rows) if ids is None else ids, y)
    return pathlib.Path(folder)


def write_black_dump(dump):
    """Write a dump of 50 images of a dump with one tag turned round; return its folder and the rows."""
    opened = predictions.load(dump)
    p, y = np.array(opened.probabilities), np.array(opened.labels)
    p[:, 2] = 1 - p[:, 2]
    rows = np.random.default_rng(0).permutation(60)[:50]
    return write_dump(dump.parent / "black", p=p[rows], y=y[rows], rows=50, ids=rows), rows
