"""posts/s from a booru to shards: of selecting and packing, of copying the files, and of a query per image.

The limit is copying: read and write alone. The peer works image by image, as the original did: one SQLite
connection and query in tf.py_function, then a record. It packs a part of the images, because every post takes
it equally long. All get the same drawn 512 px JPEGs of about 90 kB.

With --place packing alone is measured, from the folder and from archives of the same pictures: tar, zip or
Parquet files of 3000, the last in row groups of 100 as Hugging Face has them: pictures as they are, or
(parquet-snappy) compressed once more, as until datasets 4.6.0.
"""

import argparse
import concurrent.futures
import contextlib
import functools
import io
import pathlib
import shutil
import sqlite3
import tarfile
import tempfile
import time
import zipfile
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from Utils.bench import stage_bars, timing
from Utils.command.backend import prepare_backend
from Utils.command.cli import Parser, UserError, WorkError, number
from Utils.files import tfrecord
from Utils.files.atomic import ROOT, replacing
from Utils.images import codec

SIDE = 512
_ARCHIVED = 3000  # pictures in an archive
TAGS = 3000
PEER_IMAGES = 6000
OURS, LIMIT, PEER = "selecting and packing", "limit: copying the files", "peer: a query an image"
DEFINITION = """name = "bench"
splits = {train = [0, 999]}
ratings = ["s"]
min_tag_count = 0
min_tag_images = 1
min_tag_share = 0.0
max_tags = 2380
min_tags_per_image = 1
"""


def add_arguments(parser: Parser) -> None:
    """Declare the options."""
    add = parser.add_argument
    add("--images", type=number(above=0), default=24_000, help="posts, their images drawn (24000)")
    add(
        "--peer", choices=("query", "none"),
        help="a query an image, as the original did; none: ours and the limit (query)",
    )  # fmt: skip
    add("--peer-images", type=number(above=0), help="images that the peer packs (6000)")
    add("--rounds", type=number(above=0), default=3, help="rounds; every side runs once in each (3)")
    add("--shard-size", type=number(above=0), default=1024, help="posts per shard (1024)")
    add("--place", choices=tuple(PLACES), help=f"pack from archives, too: {', '.join(PLACES)}")
    add("--plot", type=pathlib.Path, metavar="FILE.svg", help="draw a chart of where time goes")


def run_benchmark(options: argparse.Namespace) -> dict[str, Any]:
    """Measure selecting and packing, the limit and the peer, in turns; or packing from two places."""
    _refuse_ignored(options)
    prepare_backend()
    if options.place is not None:
        return _compare_places(options)
    has_peer, peer_images = options.peer != "none", min(options.images, options.peer_images or PEER_IMAGES)
    with tempfile.TemporaryDirectory() as temporary:
        folder = pathlib.Path(temporary)
        jpeg_size = _draw(folder, options.images)
        sides: dict[str, Callable[[], float]] = {
            OURS: lambda: _seconds(_ours, folder, options),
            LIMIT: lambda: _seconds(_copy, folder),
        }
        posts = {OURS: options.images, LIMIT: options.images, PEER: peer_images}
        with contextlib.ExitStack() as stack:
            if has_peer:  # its tensorflow stays out of this process
                peer_process = timing.TimedProcess(timing.num_cores(), _make_peer, folder, peer_images)
                stack.enter_context(peer_process)
                sides[PEER] = lambda: peer_process.seconds(1)[0]
            _ours(folder, options)  # imports, the page cache
            seconds: dict[str, list[float]] = {name: [] for name in sides}
            for name in timing.alternate(sides, options.rounds):
                shutil.rmtree(folder / "dataset", ignore_errors=True)  # of the last round
                seconds[name].append(sides[name]())
        figures = {name: posts[name] / float(np.median(rounds)) for name, rounds in seconds.items()}
        if options.plot:
            _plot(folder, options, figures.get(PEER))
    ratios = {"of the limit": figures[OURS] / figures[LIMIT]}
    if has_peer:
        ratios["of the peer"] = figures[OURS] / figures[PEER]
    return {
        "part": "records",
        "unit": "posts/s",
        "setup": {"images": options.images, "bytes_per_image": jpeg_size, "cores": timing.num_cores()},
        "figures": figures,
        "ratios": ratios,
    }


def _refuse_ignored(options: argparse.Namespace) -> None:
    """Raise UserError for options that would have no effect beside the others."""
    ignored = {"--peer": options.peer, "--peer-images": options.peer_images, "--plot": options.plot}
    if options.place is not None and any(ignored.values()):
        names = ", ".join(name for name, value in ignored.items() if value)
        raise UserError(f"--place measures packing from two places alone; leave {names} out")
    if options.peer == "none" and options.peer_images:
        raise UserError("--peer-images is of the peer, which --peer none leaves out; give one of the two")


def _compare_places(options: argparse.Namespace) -> dict[str, Any]:
    """Measure packing from a folder and from archives, in turns."""
    import resource  # not on Windows, where bench.py only answers --help

    with tempfile.TemporaryDirectory() as temporary:
        folder = pathlib.Path(temporary)
        jpeg_size = _draw(folder, options.images)
        places = {"from a folder": folder / "images", f"from {options.place}": folder / "archives"}
        PLACES[options.place](folder / "images", folder / "archives")
        sides = {}
        for row, (name, place) in enumerate(places.items()):
            dataset = str(folder / f"dataset{row}")
            words = [str(folder / "definition.toml"), "--source", "fire-eggs", "--images", str(place)]
            _run("select_tags", [*words, "--from", str(folder / "danbooru.db"), "-o", dataset])
            words = [dataset, "--images", str(place), "--shard-size", str(options.shard_size), "--overwrite"]
            sides[name] = functools.partial(_seconds, _run, "write_records", words)
            sides[name]()  # the page cache
        seconds: dict[str, list[float]] = {name: [] for name in sides}
        cpu_seconds: dict[str, list[float]] = {name: [] for name in sides}
        for name in timing.alternate(sides, options.rounds):
            before = _cpu_seconds()
            seconds[name].append(sides[name]())
            cpu_seconds[name].append(_cpu_seconds() - before)
        packed = [folder / f"dataset{row}" for row in range(2)]
        for shard in packed[0].glob("train/*.tfrecord"):
            if shard.read_bytes() != (packed[1] / "train" / shard.name).read_bytes():
                raise WorkError(f"{shard.name} from {options.place} differs from that of the folder")
    figures = {name: options.images / float(np.median(rounds)) for name, rounds in seconds.items()}
    kilobytes = [
        resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    ]
    setup = {"images": options.images, "bytes_per_image": jpeg_size, "cores": timing.num_cores()}
    for name, rounds in cpu_seconds.items():
        setup[f"cpu_us_a_picture {name}"] = round(float(np.median(rounds)) / options.images * 1e6)
    of_folder, of_archives = figures.values()
    cpu_of_folder, cpu_of_archives = (float(np.median(rounds)) for rounds in cpu_seconds.values())
    return {
        "part": "records",
        "unit": "posts/s",
        "setup": {**setup, "peak_mb_of_a_process": max(kilobytes) // 1024},
        "figures": figures,
        "ratios": {
            "of the folder": of_archives / of_folder,
            "of the folder, by CPU time": cpu_of_folder / cpu_of_archives,
        },
    }


def _cpu_seconds() -> float:
    """Return the CPU time of this process and of those that it waited for: other work does not change it."""
    import resource

    usages = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


def _parts(images: pathlib.Path) -> Iterator[tuple[int, list[pathlib.Path]]]:
    paths = sorted(images.rglob("*.jpg"))
    yield from enumerate(paths[start : start + _ARCHIVED] for start in range(0, len(paths), _ARCHIVED))


def _write_tars(images: pathlib.Path, folder: pathlib.Path) -> None:
    folder.mkdir()
    for part, paths in _parts(images):
        with tarfile.open(folder / f"data-{part:04d}.tar", "w") as archive:
            for path in paths:
                archive.add(path, path.name)


def _write_zips(images: pathlib.Path, folder: pathlib.Path) -> None:
    folder.mkdir()
    for part, paths in _parts(images):
        with zipfile.ZipFile(folder / f"data-{part:04d}.zip", "w") as archive:
            for path in paths:
                archive.write(path, path.name)


def _write_parquet(images: pathlib.Path, folder: pathlib.Path, **how: Any) -> None:
    folder.mkdir()
    for part, paths in _parts(images):
        rows = [{"bytes": path.read_bytes(), "path": path.name} for path in paths]
        path = folder / f"train-{part:05d}.parquet"
        pq.write_table(pa.table({"image": rows}), path, row_group_size=100, **how)


PLACES: dict[str, Callable[[pathlib.Path, pathlib.Path], Any]] = {
    "folder": lambda images, folder: folder.symlink_to(images),
    "tar": _write_tars,
    "zip": _write_zips,
    "parquet": functools.partial(_write_parquet, compression="NONE", use_dictionary=False),
    "parquet-snappy": _write_parquet,
}


def _seconds(work: Callable[..., Any], *arguments: Any) -> float:
    started = time.perf_counter()
    work(*arguments)
    return time.perf_counter() - started


def _numbered(jpeg: bytes, number: int) -> bytes:
    """Return a JPEG with a comment, so that no two are the same bytes: dictionaries would hold them once."""
    return jpeg[:2] + b"\xff\xfe\x00\x0a" + number.to_bytes(8, "big") + jpeg[2:]


def _draw(folder: pathlib.Path, count: int) -> int:
    """Make a booru of drawn images with 30 tags each; return the mean size of its JPEGs in bytes."""
    random = np.random.default_rng(0)
    drawn = [timing.draw_jpeg(random, SIDE) for _ in range(min(count, 64))]
    # Only 20 of the 1000 folders of a booru: they are as full as in a large one.
    ids = (50 * np.arange(count) + 7).tolist()
    for row, image_id in enumerate(ids):
        path = folder / "images" / f"{image_id % 1000:04d}" / f"{image_id}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(_numbered(drawn[row % len(drawn)], image_id))
    with contextlib.closing(sqlite3.connect(folder / "danbooru.db")) as database:
        database.execute("CREATE TABLE images(image_id INT PRIMARY KEY, rating TEXT)")
        database.execute("CREATE TABLE tags(tag_id INT PRIMARY KEY, name TEXT, category INT, count INT)")
        database.execute("CREATE TABLE imageTags(image_id INT, tag_id INT, PRIMARY KEY(image_id, tag_id))")
        database.executemany("INSERT INTO images VALUES (?, 's')", [(image_id,) for image_id in ids])
        rows = [(tag, f"tag_{tag}", 0, 30 * count // TAGS) for tag in range(1, TAGS + 1)]
        database.executemany("INSERT INTO tags VALUES (?, ?, ?, ?)", rows)
        pairs = [
            (image, tag) for image in ids for tag in np.unique(random.integers(1, TAGS + 1, 31)).tolist()
        ]
        database.executemany("INSERT INTO imageTags VALUES (?, ?)", pairs)
        database.commit()
    (folder / "definition.toml").write_text(DEFINITION, encoding="utf-8")
    return round(float(np.mean([len(data) for data in drawn])))


def _ours(folder: pathlib.Path, options: argparse.Namespace) -> None:
    """Select and pack as the two commands do."""
    pictures, dataset = str(folder / "images"), str(folder / "dataset")
    words = [str(folder / "definition.toml"), "--source", "fire-eggs", "--from", str(folder / "danbooru.db")]
    _run("select_tags", [*words, "--images", pictures, "-o", dataset, "--overwrite"])
    _run("write_records", [dataset, "--images", pictures, "--shard-size", str(options.shard_size)])


def _run(tool: str, words: list[str]) -> None:
    """Run a tool of this repository in this process, without its output."""
    import runpy

    main = runpy.run_path(str(ROOT / "tools" / f"{tool}.py"))["main"]
    with contextlib.redirect_stdout(io.StringIO()):
        code = main(words)
    if code:
        raise WorkError(f"tools/{tool}.py ended with {code}")


def _copy(folder: pathlib.Path) -> None:
    """Read every file and write it to one file per core, on every core."""
    paths = sorted((folder / "images").rglob("*.jpg"))
    parts = [paths[core :: timing.num_cores()] for core in range(timing.num_cores())]

    def copy(part: list[pathlib.Path]) -> None:
        with tempfile.TemporaryFile(dir=folder) as file:
            for path in part:
                file.write(path.read_bytes())

    with concurrent.futures.ThreadPoolExecutor(len(parts)) as pool:
        list(pool.map(copy, parts))


def _make_peer(folder: pathlib.Path, count: int) -> tuple[Callable[[], None]]:
    """Return the work of the peer, for a process of its own."""
    prepare_backend()
    _peer(folder, 64)  # imports, the page cache
    return (lambda: _peer(folder, count),)


def _peer(folder: pathlib.Path, count: int) -> None:
    """Write one record after another, with a query for every image inside tf.py_function."""
    import tensorflow as tf

    from Generators import records

    paths = sorted(map(str, (folder / "images").rglob("*.jpg")))[:count]
    label_of_tag = _most_frequent_tags(folder)

    def find_labels(path: Any) -> tuple[int, list[int]]:
        image_id = int(pathlib.PurePath(path.numpy().decode()).stem)
        return image_id, sorted(label_of_tag[tag] for tag in _query(folder, image_id) if tag in label_of_tag)

    def load(path: Any) -> tuple[Any, Any, Any]:
        image_id, labels = tf.py_function(find_labels, [path], [tf.int64, tf.int64])
        return image_id, tf.io.read_file(path), labels

    with tf.io.TFRecordWriter(str(folder / "peer.tfrecord")) as writer:
        for image_id, data, labels in tf.data.Dataset.from_tensor_slices(paths).map(load):
            writer.write(records.encode(image_id.numpy(), data.numpy(), labels.numpy()))


def _most_frequent_tags(folder: pathlib.Path) -> dict[int, int]:
    """Return ``{tag id: label}`` of the 2380 most frequent tags."""
    with contextlib.closing(sqlite3.connect(folder / "danbooru.db")) as database:
        query = "SELECT tag_id FROM imageTags GROUP BY tag_id ORDER BY count(*) DESC, tag_id LIMIT 2380"
        return {tag: label for label, (tag,) in enumerate(database.execute(query))}


def _query(folder: pathlib.Path, image_id: int) -> list[int]:
    """Return the tags of an image, by a connection of its own as the original made them."""
    with contextlib.closing(sqlite3.connect(folder / "danbooru.db")) as database:
        query = "SELECT tag_id FROM imageTags WHERE image_id = ?"
        return [tag for (tag,) in database.execute(query, (image_id,))]


def _plot(folder: pathlib.Path, options: argparse.Namespace, peer_speed: float | None) -> None:
    """Draw milliseconds per post by stage, of ours on one core and of the peer at ``peer_speed`` posts/s."""
    paths = sorted((folder / "images").rglob("*.jpg"))[:200]
    data = [path.read_bytes() for path in paths]
    labels, image_ids = list(range(0, 2380, 80)), [int(path.stem) for path in paths]
    words = [str(folder / "definition.toml"), "--source", "fire-eggs", "--from", str(folder / "danbooru.db")]
    words += ["--images", str(folder / "images"), "-o", str(folder / "again")]
    started = time.perf_counter()
    _run("select_tags", words)
    select = (time.perf_counter() - started) * 1000 / options.images
    shutil.rmtree(folder / "again")
    read = _milliseconds(lambda path: path.read_bytes(), paths)
    check = _milliseconds(lambda jpeg: codec.to_stored_jpeg(jpeg, SIDE), data)
    encode = _milliseconds(lambda jpeg: tfrecord.encode_example(1, jpeg, labels), data)
    write = _write_milliseconds(folder, [tfrecord.encode_example(1, jpeg, labels) for jpeg in data])
    query = _milliseconds(lambda image_id: _query(folder, image_id), image_ids)
    ours = {"select": select, "read": read, "check": check, "encode": encode, "write, hash, sync": write}
    bars = {"selecting and packing, on one core": ours}
    if peer_speed is not None:
        peer = {"query": query, "read": read, "encode": encode}
        peer["tf.py_function and the rest"] = max(1000 / peer_speed - sum(peer.values()), 0.0)
        bars[PEER] = peer
    with replacing(options.plot) as beside:
        chart = stage_bars.render("From a booru to shards: milliseconds a post", "ms", bars)
        beside.write_text(chart, encoding="utf-8")


def _milliseconds(function: Callable[[Any], Any], items: Sequence[Any]) -> float:
    """Return the milliseconds of a function per item."""
    started = time.perf_counter()
    for item in items:
        function(item)
    return (time.perf_counter() - started) * 1000 / len(items)


def _write_milliseconds(folder: pathlib.Path, encoded: list[list[bytes]]) -> float:
    """Return the milliseconds per record to write, hash and sync."""
    started = time.perf_counter()
    with replacing(folder / "written.tfrecord") as beside, tfrecord.Writer(beside) as writer:
        for example in encoded:
            writer.write_record(example)
    return (time.perf_counter() - started) * 1000 / len(encoded)
