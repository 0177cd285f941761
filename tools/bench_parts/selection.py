"""posts/s and peak memory of each stage from a source to training, 30 tags a post.

The stages are those of which the memory grows with the posts: selecting (all rules of select_tags, and
writing posts.parquet), dividing the posts into shards (what write_records holds while it packs), and passing
over ids and labels (what a training run does first). Each is measured with a quarter of the posts and with
all, in a process of its own; the slope between the two estimates its memory for ten million posts.

Databases have no images. Tars of webdataset hold pictures of 16 px: there the pass over their headers is a
stage of its own, and packing is all of write_records, its other processes counted.
"""

import argparse
import contextlib
import io
import json
import multiprocessing
import pathlib
import sqlite3
import tarfile
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pandas as pd

from Utils.bench import timing
from Utils.command.backend import prepare_backend
from Utils.command.cli import Parser, WorkError, number
from Utils.data import dataset_folder, dataset_selection, dataset_writer, packing, sources
from Utils.data.dataset_posts import Posts
from Utils.data.definition import Definition
from Utils.files.atomic import ROOT, write_json
from Utils.images import codec, places

TAGS = 100_000
SIDE = 16  # of the pictures in tars: reading and hashing more bytes takes time, but no memory
_IN_TAR = 10_000  # posts in a tar
MANY = 10_000_000  # posts for which the memory is estimated


def add_arguments(parser: Parser) -> None:
    """Declare the options."""
    add = parser.add_argument
    add("--posts", type=number(least=100), default=100_000, help="posts drawn (100000)")
    add("--source", choices=sorted(DRAWN), default="fire-eggs", help="kind of source (fire-eggs)")


def run_benchmark(options: argparse.Namespace) -> dict[str, Any]:
    """Measure every stage at two sizes."""
    figures: dict[str, float] = {}
    setup: dict[str, Any] = {"source": options.source, "tags": TAGS, "tags_per_post": 30}
    stages = STAGES_OF_TARS if options.source == "webdataset" else STAGES
    peaks: dict[str, list[float]] = {name: [] for name in stages}
    sizes = (options.posts // 4, options.posts)
    for posts in sizes:
        with tempfile.TemporaryDirectory() as folder:
            path, dataset = pathlib.Path(folder, "posts"), pathlib.Path(folder, "dataset")
            DRAWN[options.source](path, posts)
            for name, stage in stages.items():
                seconds, peak = timing.call_in_new_process(stage, options.source, path, dataset, posts)
                figures[f"{name} {posts:,} posts"] = posts / seconds
                peaks[name].append(peak)
            labels = pd.read_csv(dataset / dataset_folder.TAG_SPLITS)["train"].sum()
            setup["labels_per_post"] = round(float(labels) / posts, 1)
    for name, (low, high) in peaks.items():
        slope = (high - low) / (sizes[1] - sizes[0])  # MB a post
        setup |= {
            f"{name}, MB at {posts:,}": round(peak) for posts, peak in zip(sizes, (low, high), strict=True)
        }
        setup[f"{name}, MB at {MANY:,} by the slope"] = round(high + slope * (MANY - sizes[1]))
    most = max(setup[f"{name}, MB at {MANY:,} by the slope"] for name in stages)
    ratios = {f"of 4 GB at {MANY:,} posts": most / 4000}
    ratios["posts/s at all to a quarter"] = (
        figures[f"{SELECTING} {sizes[1]:,} posts"] / figures[f"{SELECTING} {sizes[0]:,} posts"]
    )
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


def _draw_webdataset(path: pathlib.Path, count: int) -> None:
    """Write tar files with a JSON of Danbooru's fields and a picture of SIDE pixels for each post."""
    path.mkdir()
    random = np.random.default_rng(1)
    pictures = [
        codec.encode_jpeg(np.full((SIDE, SIDE, 3), random.integers(0, 256, 3), np.uint8)) for _ in range(64)
    ]
    archive: tarfile.TarFile | None = None
    for ids, tags in _posts(count):
        for post_id, row in zip(ids, tags, strict=True):
            if post_id % _IN_TAR == 0:
                if archive is not None:
                    archive.close()
                archive = tarfile.open(path / f"data-{post_id // _IN_TAR:04d}.tar", "w")  # noqa: SIM115
            record = {"id": post_id, "rating": "s", "tag_string": " ".join([f"tag_{tag}" for tag in row])}
            for suffix, data in (
                (".jpg", pictures[post_id % len(pictures)]),
                (".json", json.dumps(record).encode()),
            ):
                member = tarfile.TarInfo(f"{post_id}{suffix}")
                member.size = len(data)
                assert archive is not None  # the first number is 0
                archive.addfile(member, io.BytesIO(data))
    if archive is not None:
        archive.close()


def _posts(count: int) -> Iterator[tuple[range, list[list[int]]]]:
    """Yield post ids and the tags of each, in chunks; frequencies of tags differ as in a booru."""
    random = np.random.default_rng(0)
    for start in range(0, count, 20_000):
        ids = range(start, min(start + 20_000, count))
        tags = (random.random((len(ids), 32)) ** 4 * TAGS).astype(np.int64)
        yield ids, [np.unique(row).tolist() for row in tags]


DRAWN = {
    "fire-eggs": _draw_fire_eggs,
    "deepdanbooru": _draw_deepdanbooru,
    "webdataset": _draw_webdataset,
}


def _select(kind: str, path: pathlib.Path, dataset: pathlib.Path, posts: int) -> tuple[float, float]:
    """Return seconds and peak MB of all rules of tools/select_tags.py and of its files; all images exist."""
    started = time.perf_counter()
    provenance: dict[str, Any] = {}
    pictures = dataset_selection.Pictures(_EveryFile(), bytes)  # pyright: ignore[reportArgumentType]
    if kind in sources.FINDS_PICTURES:
        place = places.open_place(path, beside=dataset)
        pictures = dataset_selection.Pictures(None, place.open)
        provenance = {"images": str(path)}
        source = sources.SOURCES[kind](path, place)
    else:
        source = sources.SOURCES[kind](path)
    least = max(1, posts // 5000)
    definition = Definition(
        "bench",
        image_size=SIDE,
        splits={"train": (0, 999)},
        min_tag_count=least,
        min_tag_images=least,
        max_tags=6000,
        min_tags_per_image=5,
    )
    selected = dataset_selection.select(definition, source, [], pd.DataFrame(), pictures)
    dataset.mkdir()
    splits, _ = dataset_writer.write(dataset, source, pictures, selected, provenance)
    if sum(splits.values()) < posts / 2:
        raise WorkError("the selection left less than half of the posts")
    return time.perf_counter() - started, timing.peak_megabytes()


def _index(kind: str, path: pathlib.Path, dataset: pathlib.Path, posts: int) -> tuple[float, float]:
    """Return seconds and peak MB of the pass over the headers of tars, whose index the next stages take."""
    started = time.perf_counter()
    members = sum(len(names) for _, names in places.open_place(path, beside=dataset).walk())
    if members != 2 * posts:
        raise WorkError(f"the tars hold {members} members, not {2 * posts}")
    return time.perf_counter() - started, timing.peak_megabytes()


def _pack(kind: str, path: pathlib.Path, dataset: pathlib.Path, posts: int) -> tuple[float, float]:
    """Return seconds and peak MB of tools/write_records.py, of all its processes together."""
    import runpy

    started = time.perf_counter()
    main = runpy.run_path(str(ROOT / "tools" / "write_records.py"))["main"]
    peaks: dict[int, float] = {}
    stop = threading.Event()
    watcher = threading.Thread(target=_watch_children, args=(peaks, stop))
    watcher.start()
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            code = main([str(dataset), "--workers", str(timing.num_cores())])
    finally:
        stop.set()
        watcher.join()
    if code:
        raise WorkError(f"tools/write_records.py ended with {code}")
    return time.perf_counter() - started, timing.peak_megabytes() + sum(peaks.values())


def _watch_children(peaks: dict[int, float], stop: threading.Event) -> None:
    """Keep the peak MB of each child of this process; the system's own figure begins with its parent's."""
    while not stop.wait(0.5):
        for child in multiprocessing.active_children():
            with contextlib.suppress(OSError):  # it has ended
                status = pathlib.Path(f"/proc/{child.pid}/status").read_text(encoding="utf-8")
                kilobytes = [int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM")]
                peaks[child.pid or 0] = max([peaks.get(child.pid or 0, 0.0), *(k / 1024 for k in kilobytes)])


class _EveryFile:
    """An index of an image folder in which every post has its file."""

    def find(self, ids: np.ndarray, keys: np.ndarray | None = None) -> np.ndarray:
        """Return the place of each image."""
        return ids

    def paths(self, files: np.ndarray) -> list[str]:
        """Return the paths at some places."""
        return [f"{number % 1000:04d}/{number}.jpg" for number in files.tolist()]


def _divide(kind: str, path: pathlib.Path, dataset: pathlib.Path, posts: int) -> tuple[float, float]:
    """Return seconds and peak MB of what tools/write_records.py does before and beside packing."""
    started = time.perf_counter()
    table = Posts(dataset)
    table.require_valid(TAGS)
    shards = packing.divide(dataset, "bench", table, {"shard_size": 1024, "seed": 0})
    for shard in shards:  # one after another, as jobs are made
        for _ in table.at(shard.rows):
            pass
    return time.perf_counter() - started, timing.peak_megabytes()


def _read(kind: str, path: pathlib.Path, dataset: pathlib.Path, posts: int) -> tuple[float, float]:
    """Return seconds and peak MB of the frequencies of labels and of the ids, of the split to train on."""
    prepare_backend()
    from Generators import shard_stats

    started = time.perf_counter()
    if not any(dataset.glob(f"train/{dataset_folder.SHARDS}")):
        records = {"train": {"shards": [{"file": "train/bench.tfrecord", "records": posts}]}}
        manifest = {"name": "bench", "image_size": 512, "records": records}
        write_json(dataset / dataset_folder.MANIFEST, manifest)
    opened = dataset_folder.load(dataset)
    frequencies = shard_stats.label_frequencies(opened, "train", lambda ids: ids % 5 != 0)
    if not 0 < frequencies.max() < 1:
        raise WorkError("the labels of the training split are not those that were selected")
    return time.perf_counter() - started, timing.peak_megabytes()


Stage = Callable[[str, pathlib.Path, pathlib.Path, int], tuple[float, float]]
SELECTING = "selecting from"
STAGES: dict[str, Stage] = {SELECTING: _select, "dividing": _divide, "reading labels of": _read}
STAGES_OF_TARS: dict[str, Stage] = {
    "indexing": _index, SELECTING: _select, "packing": _pack, "reading labels of": _read,
}  # fmt: skip
