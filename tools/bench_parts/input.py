"""images/s from shards to batches: of the training pipeline, of decoding alone, and of the naive order.

Decoding alone is the limit. The naive order, in TensorFlow operations, is the peer: decode whole, swap
channels, flip, crop, antialiased resize by one of three methods, batch, rotate, MixUp through float32. All
read the same drawn 512 px JPEGs of about 90 kB.
"""

import concurrent.futures
import pathlib
import tempfile

import cv2
import numpy as np

from Utils import measuring, startup
from Utils.commands import UserError

SIDE = 512  # of the stored JPEGs
LABELS_PER_IMAGE = 30


def add_arguments(made):
    """Declare the options."""
    made.add_argument("--image-size", type=int, default=320, help="side of the batch's images (320)")
    made.add_argument("--batch-size", type=int, default=32, help="images in a batch (32)")
    made.add_argument("--num-labels", type=int, default=2380, help="labels (2380)")
    made.add_argument("--images", type=int, default=256, help="images drawn (256)")
    made.add_argument("--seconds", type=float, default=5.0, help="time for each figure (5)")


def measure(options):
    """Measure the input pipeline, its limit and its peer."""
    for name in ("image_size", "batch_size", "num_labels", "images"):
        if getattr(options, name) < 1:
            raise UserError(f"--{name.replace('_', '-')} must be at least 1; got {getattr(options, name)}")
    startup.tensorflow()
    with tempfile.TemporaryDirectory() as folder:
        shards, encoded = _draw_shards(pathlib.Path(folder), options.images, options.num_labels)
        ours, peer, limit = "training pipeline", "peer: the naive order in TensorFlow", "limit: decoding only"
        runs = {
            ours: lambda: _batches(_our_pipeline(shards, options)),
            limit: lambda: _decoding(encoded, options.batch_size),
            peer: lambda: _batches(_naive_pipeline(shards, options)),
            "evaluation pipeline": lambda: _batches(_our_evaluation(shards, options)),
        }
        figures = measuring.in_turns(runs, options.seconds)
    setup = {name: getattr(options, name) for name in ("image_size", "batch_size", "num_labels")}
    setup |= {"bytes_per_image": round(np.mean([len(data) for data in encoded])), "cores": measuring.cores()}
    ratios = {"of the limit": figures[ours] / figures[limit], "of the peer": figures[ours] / figures[peer]}
    return {"part": "input", "unit": "images/s", "setup": setup, "figures": figures, "ratios": ratios}


def _draw_shards(folder, count, num_labels):
    """Write ``count`` drawn JPEGs to two shards; returns their paths and the JPEGs."""
    import tensorflow as tf

    from Generators import records

    random = np.random.default_rng(0)
    encoded = [measuring.draw_jpeg(random, SIDE) for _ in range(count)]
    paths = [str(folder / f"drawn-{index:05d}-of-00002.tfrecord") for index in range(2)]
    for index, path in enumerate(paths):
        with tf.io.TFRecordWriter(path) as shard:
            for number in range(index, count, 2):
                labels = random.integers(0, num_labels, LABELS_PER_IMAGE)
                shard.write(records.encode(number, encoded[number], np.unique(labels)))
    return [path for path in paths if pathlib.Path(path).stat().st_size], encoded


def _our_pipeline(shards, options):
    import Generators

    return Generators.train_dataset(
        shards, num_labels=options.num_labels, image_size=options.image_size, batch_size=options.batch_size
    )


def _our_evaluation(shards, options):
    import Generators

    dataset = Generators.eval_dataset(
        shards, num_labels=options.num_labels, image_size=options.image_size, batch_size=options.batch_size
    )
    return dataset.repeat()


def _batches(dataset):
    """Yield the number of images of every batch."""
    for element in dataset:
        yield int(element[0].shape[0])


def _decoding(encoded, batch_size):
    """Decode with OpenCV in one thread a core, a batch's worth at a time, for ever."""
    cv2.setNumThreads(1)
    arrays = [np.frombuffer(data, np.uint8) for data in encoded]
    with concurrent.futures.ThreadPoolExecutor(measuring.cores()) as pool:
        at = 0
        while True:
            rows = [arrays[(at + row) % len(arrays)] for row in range(batch_size)]
            list(pool.map(cv2.imdecode, rows, [cv2.IMREAD_COLOR] * batch_size))
            at += batch_size
            yield batch_size


def _naive_pipeline(shards, options):
    from Generators import naive

    return naive.train_dataset(
        shards,
        num_labels=options.num_labels,
        image_size=options.image_size,
        batch_size=options.batch_size,
        stored_size=SIDE,
    )
