"""What tests of tools/select_tags.py share: its command lines, changes of a booru, the posts it wrote."""

import json
import sqlite3

import pyarrow.parquet as pq

from helpers import jpeg


def words(folder, output="dataset", **changes):
    options = {
        "definition": folder / "definition.toml", "--source": "fire-eggs", "--from": folder / "danbooru.db",
        "--images": folder / "images", "-o": folder / output,
    }  # fmt: skip
    options |= changes
    first = options.pop("definition")
    return [str(first), *(str(word) for pair in options.items() for word in pair)]


def change(folder, *statements):
    connection = sqlite3.connect(folder / "danbooru.db")
    for statement in statements:
        connection.execute(statement)
    connection.commit()
    connection.close()


def posts(folder):
    return pq.read_table(folder / "posts.parquet").to_pandas()


def write_posts(folder, ratings, tags="1girl solo"):
    """Posts as JSON lines whose ratings these are, with pictures; ids of all three splits."""
    (folder / "images").mkdir(parents=True)
    lines = []
    for post_id, rating in zip((1, 2, 3, 901, 902, 951), ratings, strict=True):
        (folder / "images" / f"{post_id}.jpg").write_bytes(jpeg(post_id, 32))
        lines.append(json.dumps({"id": post_id, "rating": rating, "tags": tags}))
    (folder / "posts.jsonl").write_text("\n".join(lines) + "\n")
    source = ["--source", "jsonl", "--from", str(folder / "posts.jsonl"), "--images", str(folder / "images")]
    return [str(folder / "definition.toml"), *source, "-o", str(folder / "dataset")]
