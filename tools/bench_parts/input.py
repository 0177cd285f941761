"""images/s from shards to batches: of the training pipeline, of decoding alone, and of the naive order.

The limit is decoding alone, by OpenCV in one thread per core. The peer is the naive order in TensorFlow
operations: decode fully, swap channels, flip, crop, antialiased resize by one of three methods, batch,
rotate, MixUp through float32. All read the same drawn 512 px JPEGs of about 90 kB, in turns. --plot also
measures the steps of the pipeline one by one and draws where the time goes. --tars also trains from
WebDataset tars of the same pictures, without packing.
"""

import argparse
import concurrent.futures
import functools
import io
import itertools
import json
import pathlib
import tarfile
import tempfile
import time
from collections.abc import Iterator, Sequence
from typing import Any

import cv2
import numpy as np

from Utils.bench import stage_bars, timing
from Utils.command.backend import prepare_backend
from Utils.command.cli import Parser, UserError, number
from Utils.files import atomic
from Utils.images.augmentation import Augmentation

SIDE = 512  # of the stored JPEGs
LABELS_PER_IMAGE = 30
OURS, PEER, LIMIT = "training pipeline", "peer: the naive order in TensorFlow", "limit: decoding only"
DEVICE, EVALUATION = "training pipeline, augment_on device", "evaluation pipeline"
TARS = "training pipeline, from WebDataset tars"
DECODING, RESIZING, ROTATION, MIXUP = STEPS = (
    "step: decoding",
    "step: resizing",
    "step: flip, rotation",
    "step: MixUp",
)
STEP_IMAGES = 12  # so few that their pixels stay in the cache, as between the steps of the pipeline


def add_arguments(parser: Parser) -> None:
    """Declare the options."""
    add = parser.add_argument
    add("--image-size", type=number(above=0), default=320, help="side of the images of a batch (320)")
    add("--batch-size", type=number(above=0), default=32, help="images in a batch (32)")
    add("--num-labels", type=number(above=0), default=2380, help="labels (2380)")
    add("--images", type=number(above=0), default=256, help="images drawn (256)")
    add("--seconds", type=number(float, above=0), default=10.0, help="seconds per figure (10)")
    add("--turns", type=number(above=0), default=5, help="number of turns, whose median counts (5)")
    add("--peer", choices=("naive", "none"), default="naive", help="naive; none: ours and the limit (naive)")
    add("--per-core", action="store_true", help="images a second of processor time: the rates of one core")
    add("--tars", action="store_true", help="also from WebDataset tars of the same pictures")
    add("--plot", type=pathlib.Path, metavar="FILE.svg", help="draw a chart of where time goes")


def run_benchmark(options: argparse.Namespace) -> dict[str, Any]:
    """Measure the input pipeline, its limit and its peer."""
    if options.plot and options.per_core:
        raise UserError("--plot draws where the time of all cores goes; leave --per-core out")
    if options.plot and options.plot.suffix != ".svg":
        raise UserError(f"--plot must end in .svg; got {options.plot}")
    prepare_backend()
    with tempfile.TemporaryDirectory() as folder:
        shards, encoded = _draw_shards(pathlib.Path(folder), options.images, options.num_labels)
        runs: timing.Runs = {
            OURS: lambda: _batches(_our_pipeline(shards, options)),
            LIMIT: lambda: _decoding(encoded, options.batch_size),
            EVALUATION: lambda: _batches(_our_evaluation(shards, options)),
            DEVICE: lambda: _batches(_our_pipeline(shards, options, augment_on="device")),
        }
        if options.peer != "none":
            runs[PEER] = lambda: _batches(_naive_pipeline(shards, options))
        if options.plot:
            runs |= _steps(encoded, options)
        if options.tars:
            tars = {"tags": [f"tag_{row}" for row in range(options.num_labels)]}
            paths = _write_tars(pathlib.Path(folder), encoded, options.num_labels)
            runs[TARS] = lambda: _batches(_our_pipeline(paths, options, **tars))
        clock = time.process_time if options.per_core else time.perf_counter
        figures = timing.rates_in_turns(runs, options.seconds, options.turns, clock=clock)
    setup = {name: getattr(options, name) for name in ("image_size", "batch_size", "num_labels")}
    setup |= {"bytes_per_image": round(np.mean([len(data) for data in encoded])), "cores": timing.num_cores()}
    ratios = {"of the limit": figures[OURS] / figures[LIMIT]}
    if PEER in figures:
        ratios["of the peer"] = figures[OURS] / figures[PEER]
    ratios["of the limit, augment_on device"] = figures[DEVICE] / figures[LIMIT]
    if options.tars:
        ratios["from tars, of that from shards"] = figures[TARS] / figures[OURS]
    if options.plot:
        with atomic.replacing(options.plot) as beside:
            beside.write_text(draw_chart(figures), encoding="utf-8")
    unit = "images/s of a core" if options.per_core else "images/s"
    return {"part": "input", "unit": unit, "setup": setup, "figures": figures, "ratios": ratios}


def _steps(encoded: list[bytes], options: argparse.Namespace) -> timing.Runs:
    """Return runs of the single steps, each on the output of the step before, in one thread per core."""
    from Generators import augment

    settings, size = Augmentation(), options.image_size
    encoded = encoded[:STEP_IMAGES]
    numbers = augment.generator(0, augment.SAMPLE, 0).random((len(encoded), augment.NUMBERS))
    methods = itertools.cycle(settings.methods)
    draws = [augment.draw(settings, row)._replace(method=next(methods)) for row in numbers]
    decoded = [np.array(augment.decode(data, drawn)) for data, drawn in zip(encoded, draws, strict=True)]
    resized = [
        np.array(augment.crop_and_resize(image, size, drawn))
        for image, drawn in zip(decoded, draws, strict=True)
    ]
    batch = np.stack([resized[row % len(resized)][..., :3] for row in range(options.batch_size)])
    shares, partners = augment.draw_mixup(settings.mixup_alpha, len(batch), augment.generator(0, 1, 0))
    works = {
        DECODING: lambda row: augment.decode(encoded[row], draws[row]),
        RESIZING: lambda row: augment.crop_and_resize(decoded[row], size, draws[row]),
        ROTATION: lambda row: augment.flip_and_rotate(resized[row], draws[row].flip, draws[row].degrees),
    }
    runs: timing.Runs = {
        name: functools.partial(timing.run_in_threads, work, len(encoded)) for name, work in works.items()
    }

    def mix(_: int) -> Any:
        return augment.mix_images(batch, shares, partners)

    return runs | {MIXUP: functools.partial(timing.run_in_threads, mix, 1, 4, len(batch))}


def draw_chart(figures: dict[str, float]) -> str:
    """Return an SVG document: the milliseconds of a core per image, step by step."""
    cost = {name: 1000 * timing.num_cores() / figure for name, figure in figures.items()}

    def split(name: str, steps: Sequence[str]) -> dict[str, float]:
        measured = {step.removeprefix("step: "): cost[step] for step in steps}
        return measured | {"reading, labels, the rest": max(cost[name] - sum(measured.values()), 0.0)}

    bars = {PEER: {"all of it": cost[PEER]}} if PEER in cost else {}
    bars |= {
        OURS: split(OURS, STEPS),
        DEVICE: split(DEVICE, STEPS[:2]),
        LIMIT: {"decoding": cost[LIMIT]},
    }
    return stage_bars.render("Input pipeline: milliseconds of a core for an image", "ms", bars)


def _draw_shards(folder: pathlib.Path, count: int, num_labels: int) -> tuple[list[str], list[bytes]]:
    """Write ``count`` drawn JPEGs to two shards; return the paths of the shards and the JPEGs."""
    import tensorflow as tf

    from Generators import records

    random = np.random.default_rng(0)
    encoded = [timing.draw_jpeg(random, SIDE) for _ in range(count)]
    paths = [str(folder / f"drawn-{index:05d}-of-00002.tfrecord") for index in range(2)]
    for index, path in enumerate(paths):
        with tf.io.TFRecordWriter(path) as shard:
            for number in range(index, count, 2):
                labels = random.integers(0, num_labels, LABELS_PER_IMAGE)
                shard.write(records.encode(number, encoded[number], np.unique(labels)))
    return [path for path in paths if pathlib.Path(path).stat().st_size], encoded


def _write_tars(folder: pathlib.Path, encoded: list[bytes], num_labels: int) -> list[str]:
    """Write the JPEGs to two tars, each with a JSON of its tags beside it; return their paths."""
    random = np.random.default_rng(0)
    paths = [str(folder / f"drawn-{index:05d}.tar") for index in range(2)]
    for index, path in enumerate(paths):
        with tarfile.open(path, "w") as archive:
            for row in range(index, len(encoded), 2):
                names = [f"tag_{label}" for label in random.integers(0, num_labels, LABELS_PER_IMAGE)]
                fields = json.dumps({"id": row, "tag_string_general": " ".join(names)}).encode()
                for suffix, content in (("jpg", encoded[row]), ("json", fields)):
                    member = tarfile.TarInfo(f"{row}.{suffix}")
                    member.size = len(content)
                    archive.addfile(member, io.BytesIO(content))
    return paths


def _our_pipeline(shards: list[str], options: argparse.Namespace, **more: Any) -> Any:
    import Generators

    return Generators.train_dataset(
        shards,
        num_labels=options.num_labels,
        image_size=options.image_size,
        batch_size=options.batch_size,
        **more,
    )


def _our_evaluation(shards: list[str], options: argparse.Namespace) -> Any:
    import Generators

    dataset = Generators.eval_dataset(
        shards, num_labels=options.num_labels, image_size=options.image_size, batch_size=options.batch_size
    )
    return dataset.repeat()


def _batches(dataset: Any) -> Iterator[int]:
    """Yield the number of images of every batch."""
    for _, labels, *_ in dataset:
        yield int(labels.shape[0])


def _decoding(encoded: list[bytes], batch_size: int) -> Iterator[int]:
    """Decode with OpenCV in one thread per core, endlessly; yield ``batch_size`` after so many images."""
    cv2.setNumThreads(1)
    arrays = [np.frombuffer(data, np.uint8) for data in encoded]
    with concurrent.futures.ThreadPoolExecutor(timing.num_cores()) as pool:
        start = 0
        while True:
            rows = [arrays[(start + row) % len(arrays)] for row in range(batch_size)]
            list(pool.map(cv2.imdecode, rows, [cv2.IMREAD_COLOR] * batch_size))
            start += batch_size
            yield batch_size


def _naive_pipeline(shards: list[str], options: argparse.Namespace) -> Any:
    from tools.bench_parts.peers import naive_pipeline

    return naive_pipeline.train_dataset(
        shards,
        num_labels=options.num_labels,
        image_size=options.image_size,
        batch_size=options.batch_size,
        stored_size=SIDE,
    )
