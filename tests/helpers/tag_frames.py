"""Tag lists for tests."""

import pandas as pd

FRAME = pd.DataFrame(
    {
        "tag_id": [7, 9999998, 3, 9999999, 5, 4, 8],
        "name": ["b", "sensitive", "saber", "general", "fate", "a", "1girl"],
        "category": [0, 9, 4, 9, 3, 0, 0],
        "count": [50, 10, 900, 3, 40, 50, 60],
    }
)


def frame_of(*names):
    """Return a list of general tags with the ids and counts 1, 2, 3 ..."""
    numbers = range(1, len(names) + 1)
    return pd.DataFrame({"tag_id": numbers, "name": names, "category": 0, "count": numbers})
