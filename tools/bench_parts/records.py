"""posts/s from a booru to shards: of selecting and packing, of copying the files, and of a query an image.

Copying, read and write alone, is the limit. The peer goes over the images one by one, as the original did: in
tf.py_function one SQLite connection and query, then a record; it packs a part of them, since every post takes
it as long. All take the same drawn 512 px JPEGs of about 90 kB.
"""

import concurrent.futures
import contextlib
import io
import pathlib
import shutil
import sqlite3
import tempfile
import time

import numpy as np

from Utils.bench import stage_bars, timing
from Utils.command.backend import prepare_backend
from Utils.command.cli import UserError, WorkError
from Utils.files import tfrecord
from Utils.files.atomic import ROOT, replacing
from Utils.images import codec

SIDE = 512
TAGS = 3000
DEFINITION = """name = "bench"
ratings = ["s"]
min_tag_count = 0
min_tag_images = 1
min_tag_share = 0.0
max_tags = 2380
min_tags_per_image = 1
"""


def add_arguments(made):
    """Declare the options."""
    made.add_argument("--images", type=int, default=24_000, help="posts, their images drawn (24000)")
    made.add_argument("--peer-images", type=int, default=6000, help="how many of them the peer packs (6000)")
    made.add_argument("--rounds", type=int, default=3, help="rounds, each side once in each (3)")
    made.add_argument("--shard-size", type=int, default=1024, help="posts a shard (1024)")
    made.add_argument("--plot", type=pathlib.Path, metavar="FILE.svg", help="draw where the time goes")


def measure(options):
    """Measure selecting and packing, the limit and the peer, in turns."""
    for name in ("images", "peer_images", "rounds", "shard_size"):
        if getattr(options, name) < 1:
            raise UserError(f"--{name.replace('_', '-')} must be at least 1; got {getattr(options, name)}")
    prepare_backend()
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        size = _draw(folder, options.images)
        # The peer's tensorflow is kept out of this process.
        with timing.Apart(timing.cores(), _peer_in, folder, options.peer_images) as peer:
            sides = {
                "selecting and packing": lambda: _seconds(_ours, folder, options),
                "limit: copying the files": lambda: _seconds(_copy, folder),
                "peer: a query an image": lambda: peer.seconds(1)[0],
            }
            posts = dict.fromkeys(sides, options.images)
            posts["peer: a query an image"] = min(options.images, options.peer_images)
            _ours(folder, options)  # imports, the page cache
            took = {name: [] for name in sides}
            for number in range(options.rounds):
                for name in list(sides)[:: -1 if number % 2 else 1]:
                    shutil.rmtree(folder / "dataset", ignore_errors=True)  # of the last round
                    took[name].append(sides[name]())
        figures = {name: posts[name] / float(np.median(found)) for name, found in took.items()}
        if options.plot:
            _plot(folder, options, figures["peer: a query an image"])
    ours, limit, peer = figures.values()
    return {
        "part": "records",
        "unit": "posts/s",
        "setup": {"images": options.images, "bytes_per_image": size, "cores": timing.cores()},
        "figures": figures,
        "ratios": {"of the limit": ours / limit, "of the peer": ours / peer},
    }


def _seconds(work, *arguments):
    started = time.perf_counter()
    work(*arguments)
    return time.perf_counter() - started


def _draw(folder, count):
    """Make a booru of drawn images with 30 tags each; returns the mean size of its JPEGs."""
    random = np.random.default_rng(0)
    drawn = [timing.draw_jpeg(random, SIDE) for _ in range(min(count, 64))]
    ids = 50 * np.arange(count) + 7  # 20 of the 1000 folders of a booru, so that they are as full
    for at, number in enumerate(ids.tolist()):
        path = folder / "images" / f"{number % 1000:04d}" / f"{number}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(drawn[at % len(drawn)])
    with contextlib.closing(sqlite3.connect(folder / "danbooru.db")) as database:
        database.execute("CREATE TABLE images(image_id INT PRIMARY KEY, rating TEXT)")
        database.execute("CREATE TABLE tags(tag_id INT PRIMARY KEY, name TEXT, category INT, count INT)")
        database.execute("CREATE TABLE imageTags(image_id INT, tag_id INT, PRIMARY KEY(image_id, tag_id))")
        database.executemany("INSERT INTO images VALUES (?, 's')", [(number,) for number in ids.tolist()])
        rows = [(number, f"tag_{number}", 0, 30 * count // TAGS) for number in range(1, TAGS + 1)]
        database.executemany("INSERT INTO tags VALUES (?, ?, ?, ?)", rows)
        pairs = [(n, t) for n in ids.tolist() for t in np.unique(random.integers(1, TAGS + 1, 31)).tolist()]
        database.executemany("INSERT INTO imageTags VALUES (?, ?)", pairs)
        database.commit()
    (folder / "definition.toml").write_text(DEFINITION, encoding="utf-8")
    return round(np.mean([len(data) for data in drawn]))


def _ours(folder, options):
    """Select and pack as the two commands do."""
    pictures, dataset = str(folder / "images"), str(folder / "dataset")
    words = [str(folder / "definition.toml"), "--source", "fire-eggs", "--from", str(folder / "danbooru.db")]
    _run("select_tags", [*words, "--images", pictures, "-o", dataset, "--overwrite"])
    _run("write_records", [dataset, "--images", pictures, "--shard-size", str(options.shard_size)])


def _run(tool, words):
    """Run a tool of this repository in this process, without what it prints."""
    import runpy

    main = runpy.run_path(str(ROOT / "tools" / f"{tool}.py"))["main"]
    with contextlib.redirect_stdout(io.StringIO()):
        code = main(words)
    if code:
        raise WorkError(f"tools/{tool}.py ended with {code}")


def _copy(folder):
    """Read every file and write it into one, on every core."""
    paths = sorted((folder / "images").rglob("*.jpg"))
    parts = [paths[at :: timing.cores()] for at in range(timing.cores())]

    def copy(part):
        with tempfile.TemporaryFile(dir=folder) as file:
            for path in part:
                file.write(path.read_bytes())

    with concurrent.futures.ThreadPoolExecutor(len(parts)) as pool:
        list(pool.map(copy, parts))


def _peer_in(folder, count):
    """Return what a process of its own is to do."""
    _peer(folder, 64)  # imports, the page cache
    return (lambda: _peer(folder, count),)


def _peer(folder, count):
    """Write one record after another, with a query for every image inside tf.py_function."""
    import tensorflow as tf

    from Generators import records

    paths = sorted(map(str, (folder / "images").rglob("*.jpg")))[:count]
    labels = _first_tags(folder)

    def labels_of(path):
        number = int(pathlib.PurePath(path.numpy().decode()).stem)
        found = _query(folder, number)
        return number, sorted(labels[tag] for tag in found if tag in labels)

    def load(path):
        number, found = tf.py_function(labels_of, [path], [tf.int64, tf.int64])
        return number, tf.io.read_file(path), found

    with tf.io.TFRecordWriter(str(folder / "peer.tfrecord")) as writer:
        for number, data, found in tf.data.Dataset.from_tensor_slices(paths).map(load):
            writer.write(records.encode(number.numpy(), data.numpy(), found.numpy()))


def _first_tags(folder):
    """Return ``{tag id: label}`` of the 2380 most frequent tags."""
    with contextlib.closing(sqlite3.connect(folder / "danbooru.db")) as database:
        query = "SELECT tag_id FROM imageTags GROUP BY tag_id ORDER BY count(*) DESC, tag_id LIMIT 2380"
        return {tag: label for label, (tag,) in enumerate(database.execute(query))}


def _query(folder, number):
    with contextlib.closing(sqlite3.connect(folder / "danbooru.db")) as database:
        query = "SELECT tag_id FROM imageTags WHERE image_id = ?"
        return [tag for (tag,) in database.execute(query, (number,))]


def _plot(folder, options, speed):
    """Draw ms an image by stage, of ours on one core and of the peer, whose ``speed`` in posts/s is known."""
    paths = sorted((folder / "images").rglob("*.jpg"))[:200]
    data = [path.read_bytes() for path in paths]
    labels, queried = list(range(0, 2380, 80)), [int(path.stem) for path in paths]
    words = [str(folder / "definition.toml"), "--source", "fire-eggs", "--from", str(folder / "danbooru.db")]
    words += ["--images", str(folder / "images"), "-o", str(folder / "again")]
    started = time.perf_counter()
    _run("select_tags", words)
    select = (time.perf_counter() - started) * 1000 / options.images
    shutil.rmtree(folder / "again")
    read = _ms(lambda path: path.read_bytes(), paths)
    check = _ms(lambda one: codec.to_stored_jpeg(one, ".jpg", SIDE), data)
    encode = _ms(lambda one: tfrecord.encode_example(1, one, labels), data)
    write = _written(folder, [tfrecord.encode_example(1, one, labels) for one in data])
    query = _ms(lambda number: _query(folder, number), queried)
    ours = {"select": select, "read": read, "check": check, "encode": encode, "write, hash, sync": write}
    peer = {"query": query, "read": read, "encode": encode}
    peer["tf.py_function and the rest"] = max(1000 / speed - sum(peer.values()), 0.0)
    bars = {"selecting and packing, on one core": ours, "peer: a query an image": peer}
    with replacing(options.plot) as beside:
        picture = stage_bars.picture("From a booru to shards: milliseconds a post", "ms", bars)
        beside.write_text(picture, encoding="utf-8")


def _ms(function, items):
    """Return the milliseconds that a function takes for one item."""
    started = time.perf_counter()
    for item in items:
        function(item)
    return (time.perf_counter() - started) * 1000 / len(items)


def _written(folder, encoded):
    """Return the milliseconds to write a record, to hash it and to bring it to the disk."""
    started = time.perf_counter()
    with replacing(folder / "written.tfrecord") as beside, tfrecord.Writer(beside) as writer:
        for one in encoded:
            writer.write_record(one)
    return (time.perf_counter() - started) * 1000 / len(encoded)
