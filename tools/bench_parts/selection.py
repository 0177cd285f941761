"""posts/s and peak memory of selecting tags and posts, from a source with 30 tags per post, without images.

Two measurements, of a quarter of the posts and of all, each in a process of its own. The slope between them
estimates the memory for five million posts.
"""

import argparse
import contextlib
import pathlib
import sqlite3
import tempfile
import time
from collections.abc import Iterator
from typing import Any

import numpy as np

from Utils.bench import timing
from Utils.command.cli import Parser, WorkError, number
from Utils.data import selection, sources
from Utils.data.definition import Definition

TAGS = 100_000


def add_arguments(parser: Parser) -> None:
    """Declare the options."""
    add = parser.add_argument
    add("--posts", type=number(least=100), default=100_000, help="posts drawn (100000)")
    add("--source", choices=sorted(DRAWN), default="fire-eggs", help="kind of source (fire-eggs)")


def run_benchmark(options: argparse.Namespace) -> dict[str, Any]:
    """Measure selecting at two sizes."""
    figures, peaks = {}, {}
    with tempfile.TemporaryDirectory() as folder:
        for posts in (options.posts // 4, options.posts):
            path = pathlib.Path(folder, f"{posts}.db")
            DRAWN[options.source](path, posts)
            seconds, peaks[posts] = timing.call_in_new_process(_select, options.source, path, posts)
            figures[f"selecting from {posts:,} posts"] = posts / seconds
            path.unlink()
    (few, low), (many, high) = peaks.items()
    slope = (high - low) / (many - few)  # MB per post
    estimate = round(high + slope * (5_000_000 - many))
    setup = {"source": options.source, "tags": TAGS, "tags_per_post": 30}
    setup |= {f"MB at {posts:,}": round(peak) for posts, peak in peaks.items()}
    setup["MB at 5,000,000 by the slope"] = estimate
    rates = list(figures.values())
    ratios = {"of 2 GB at 5,000,000 posts": estimate / 2000}
    ratios["posts/s at all to a quarter"] = rates[1] / rates[0]
    return {"part": "selection", "unit": "posts/s", "setup": setup, "figures": figures, "ratios": ratios}


def _draw_fire_eggs(path: pathlib.Path, count: int) -> None:
    """Write a database of the fire-eggs schema with ``count`` posts."""
    with contextlib.closing(sqlite3.connect(path)) as database:
        database.execute("PRAGMA journal_mode = OFF")
        database.execute("CREATE TABLE images(image_id INT PRIMARY KEY, rating TEXT)")
        database.execute("CREATE TABLE tags(tag_id INT PRIMARY KEY, name TEXT, category INT, count INT)")
        database.execute("CREATE TABLE imageTags(image_id INT, tag_id INT, PRIMARY KEY(image_id, tag_id))")
        counts = np.zeros(TAGS, np.int64)
        for ids, tags in _posts(count):
            database.executemany("INSERT INTO images VALUES (?, 's')", [(number,) for number in ids])
            pairs = [(number, tag) for number, row in zip(ids, tags, strict=True) for tag in row]
            database.executemany("INSERT INTO imageTags VALUES (?, ?)", pairs)
            counts += np.bincount([tag for _, tag in pairs], minlength=TAGS)
        rows = [(tag, f"tag_{tag}", 0, number) for tag, number in enumerate(counts.tolist())]
        database.executemany("INSERT INTO tags VALUES (?, ?, ?, ?)", rows)
        database.commit()


def _draw_deepdanbooru(path: pathlib.Path, count: int) -> None:
    """Write a database with DeepDanbooru's table posts."""
    with contextlib.closing(sqlite3.connect(path)) as database:
        database.execute("PRAGMA journal_mode = OFF")
        database.execute("CREATE TABLE posts(id INTEGER PRIMARY KEY, md5 TEXT, rating TEXT, tag_string TEXT)")
        for ids, tags in _posts(count):
            texts = [" ".join([f"tag_{tag}" for tag in row]) for row in tags]
            rows = [(number, f"{number:032x}", "s", text) for number, text in zip(ids, texts, strict=True)]
            database.executemany("INSERT INTO posts VALUES (?, ?, ?, ?)", rows)
        database.commit()


def _posts(count: int) -> Iterator[tuple[range, list[list[int]]]]:
    """Yield post ids and the tags of each, in chunks; frequencies of tags differ as in a booru."""
    random = np.random.default_rng(0)
    for start in range(0, count, 20_000):
        ids = range(start, min(start + 20_000, count))
        tags = (random.random((len(ids), 32)) ** 4 * TAGS).astype(np.int64)
        yield ids, [np.unique(row).tolist() for row in tags]


DRAWN = {"fire-eggs": _draw_fire_eggs, "deepdanbooru": _draw_deepdanbooru}


def _select(kind: str, path: pathlib.Path, posts: int) -> tuple[float, float]:
    """Return, in a new process, seconds and peak MB of all rules of tools/select_tags.py; all files exist."""
    started = time.perf_counter()
    source = sources.SOURCES[kind](path)
    least = max(1, posts // 5000)
    definition = Definition(
        "bench", min_tag_count=least, min_tag_images=least, max_tags=6000, min_tags_per_image=5
    )
    frame, _, _ = selection.candidate_tags(source.tags, definition)
    post_filter = selection.PostFilter(definition, frame["tag_id"].to_numpy(), _every_file)
    blocks = [post_filter.select(block) for block in source.blocks()]
    images = selection.count_images(blocks, len(frame))
    num_posts = sum(len(block.ids) for block in blocks)
    alive, _, _ = selection.select_tags(frame, images, num_posts, source.num_posts, definition)
    _, labels = selection.final_tag_list(frame, alive)
    total = sum(len(selection.label_indexes(block, labels)[1]) for block in blocks)
    if not total:
        raise WorkError("the selection left no labels")
    return time.perf_counter() - started, timing.peak_megabytes()


def _every_file(ids: np.ndarray, keys: Any) -> np.ndarray:
    """Return the place of each image: they all exist."""
    return np.zeros(len(ids), np.int64)
