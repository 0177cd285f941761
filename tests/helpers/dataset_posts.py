"""Small posts.parquet of a dataset folder."""

import pyarrow as pa
import pyarrow.parquet as pq

from Utils.data.dataset_posts import Posts


def posts_of(folder, ids, splits, paths=None):
    """Write posts of some ids and splits, each with label 0, and return them as packing reads them."""
    folder.mkdir(exist_ok=True)
    columns = {
        "post_id": ids,
        "split": splits,
        "path": paths or [f"{i}.jpg" for i in ids],
        "label_indexes": [[0]] * len(ids),
    }
    pq.write_table(pa.table(columns), folder / "posts.parquet")
    return Posts(folder)
