"""Measure one part of the system beside its limit or a peer, in the same run: figures, and their ratios.

input: images/s of the training pipeline, of decoding alone (the limit), and of the naive order of operations
in TensorFlow (the peer: decode whole, swap channels, flip, crop, antialiased resize by one of three methods,
batch, rotate, MixUp through float32), on the same drawn 512 px JPEGs of about 90 kB.
train: images/s of a training step (forward, backward, SGD with momentum, binary cross entropy) and of timm's
model of the same shape on torch, in turns on the same cores; the ratio is the median over rounds.
metrics: seconds to the P = R threshold and its scores, streamed, and of the peer, a bisection from 0.1 to .95
over full matrices that stops where np.isclose(recall, precision); each in its own process; peak memory.
"""

import concurrent.futures
import contextlib
import multiprocessing
import os
import pathlib
import sys
import tempfile
import time

import cv2
import numpy as np

from Utils import images, peers, scores, thresholds
from Utils.commands import Parser, UserError, WorkError, assignment, command, print_json

SIDE = 512  # of the stored JPEGs
LABELS_PER_IMAGE = 30


def parser():
    """Return the argument parser: one subcommand a part."""
    made = Parser(prog="bench.py", description=__doc__)
    parts = made.add_subparsers(dest="part", required=True, metavar="PART", parser_class=Parser)
    for name, (describe, add_arguments, _) in PARTS.items():
        part = parts.add_parser(name, help=describe, description=describe)
        part.add_argument("--json", action="store_true", help="print one JSON object")
        add_arguments(part)
    return made


@command
def main(argv=None):
    """Run the command."""
    options = parser().parse_args(argv)
    result = PARTS[options.part][2](options)
    if options.json:
        print_json(result)
    else:
        _print_table(result)
    return 0


def _print_table(result):
    """Print a part's figures and ratios."""
    print(f"{result['part']}: {', '.join(f'{key} {value}' for key, value in result['setup'].items())}")
    for name, figure in result["figures"].items():
        print(f"{name:<40}{figure:10.1f} {result['unit']}")
    for name, ratio in result["ratios"].items():
        print(f"ratio {name:<34}{ratio:10.2f}")


# ---- input


def _input_arguments(made):
    made.add_argument("--image-size", type=int, default=320, help="side of the batch's images (320)")
    made.add_argument("--batch-size", type=int, default=32, help="images in a batch (32)")
    made.add_argument("--num-labels", type=int, default=2380, help="labels (2380)")
    made.add_argument("--images", type=int, default=256, help="images drawn (256)")
    made.add_argument("--seconds", type=float, default=5.0, help="time for each figure (5)")


def _input(options):
    """Measure the input pipeline, its limit and its peer."""
    for name in ("image_size", "batch_size", "num_labels", "images"):
        if getattr(options, name) < 1:
            raise UserError(f"--{name.replace('_', '-')} must be at least 1; got {getattr(options, name)}")
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    with tempfile.TemporaryDirectory() as folder:
        shards, encoded = _draw_shards(pathlib.Path(folder), options.images, options.num_labels)
        ours, peer, limit = "training pipeline", "peer: the naive order in TensorFlow", "limit: decoding only"
        runs = {
            ours: lambda: _batches(_our_pipeline(shards, options)),
            limit: lambda: _decoding(encoded, options.batch_size),
            peer: lambda: _batches(_naive_pipeline(shards, options)),
            "evaluation pipeline": lambda: _batches(_our_evaluation(shards, options)),
        }
        figures = _in_turns(runs, options.seconds)
    setup = {name: getattr(options, name) for name in ("image_size", "batch_size", "num_labels")}
    setup |= {"bytes_per_image": round(np.mean([len(data) for data in encoded])), "cores": _cores()}
    ratios = {"of the limit": figures[ours] / figures[limit], "of the peer": figures[ours] / figures[peer]}
    return {"part": "input", "unit": "images/s", "setup": setup, "figures": figures, "ratios": ratios}


def _cores():
    return len(os.sched_getaffinity(0))


def _in_turns(runs, seconds, turns=3, warm_up=6):
    """Return images/s of each run, measured in turns, so that drift of the machine meets all alike.

    A run is a function that gives an endless iterator of image counts; its first steps are not timed.
    """
    done, spent = dict.fromkeys(runs, 0), dict.fromkeys(runs, 0.0)
    for _ in range(turns):
        for name, start in runs.items():
            counts = start()
            for _ in range(warm_up):
                next(counts)
            started = time.perf_counter()
            while time.perf_counter() - started < seconds / turns:
                done[name] += next(counts)
            spent[name] += time.perf_counter() - started
    return {name: done[name] / spent[name] for name in runs}


def _draw_shards(folder, count, num_labels):
    """Write ``count`` drawn JPEGs to two shards; returns their paths and the JPEGs."""
    import tensorflow as tf

    from Generators import records

    random = np.random.default_rng(0)
    encoded = [_draw(random) for _ in range(count)]
    paths = [str(folder / f"drawn-{index:05d}-of-00002.tfrecord") for index in range(2)]
    for index, path in enumerate(paths):
        with tf.io.TFRecordWriter(path) as shard:
            for number in range(index, count, 2):
                labels = random.integers(0, num_labels, LABELS_PER_IMAGE)
                shard.write(records.encode(number, encoded[number], np.unique(labels)))
    return [path for path in paths if pathlib.Path(path).stat().st_size], encoded


def _draw(random):
    """Draw soft shapes with grain: about 90 kB, as the illustrations of the 512 px set."""
    coarse = random.integers(0, 256, (33, 33, 3), np.uint8)
    image = cv2.resize(coarse, (SIDE, SIDE), interpolation=cv2.INTER_CUBIC).astype(np.float32)
    image += random.normal(0, 6, (SIDE, SIDE, 1))
    return images.encode_jpeg(np.clip(image, 0, 255).astype(np.uint8), quality=88)


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
    with concurrent.futures.ThreadPoolExecutor(_cores()) as pool:
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


# ---- train

LEARNING_RATE = 1e-5  # the batch is noise: the step is to be real, the weights are to stay finite
_step = None  # in a child process: what it measures


def _train_arguments(made):
    made.add_argument("--model", nargs="+", default=["ConvNext/T"], metavar="FAMILY/VARIANT")
    made.add_argument("--image-size", type=int, default=224, help="side of the images (224)")
    made.add_argument("--batch-size", type=int, default=8, help="images in a batch (8)")
    made.add_argument("--num-labels", type=int, default=2380, help="labels (2380)")
    made.add_argument("--rounds", type=int, default=5, help="rounds, each side once in each (5)")
    made.add_argument("--steps", type=int, default=2, help="steps of a round (2)")
    made.add_argument("--threads", type=int, default=_cores(), help="cores that each side may use (all)")
    made.add_argument("--set", action="append", default=[], metavar="FIELD=VALUE", help="of every model")
    made.add_argument("--peer", metavar="timm|timm:NAME", help="measure timm's model of the same shape too")


def _train(options):
    """Measure training steps, ours and the peer's in turns, each in a process of its own."""
    for name in ("image_size", "batch_size", "num_labels", "rounds", "steps", "threads"):
        if getattr(options, name) < 1:
            raise UserError(f"--{name.replace('_', '-')} must be at least 1; got {getattr(options, name)}")
    overrides = dict(assignment("--set", text) for text in options.set)
    others = {model: peers.name(model, options.peer) for model in options.model} if options.peer else {}
    setup = {name: getattr(options, name) for name in ("image_size", "batch_size", "num_labels", "threads")}
    setup["load before"] = round(os.getloadavg()[0], 2)
    figures, ratios, rounds = {}, {}, {}
    for model in options.model:
        found = _rounds(model, overrides, others.get(model), options)
        rounds |= found
        figures |= {side: float(np.median(speeds)) for side, speeds in found.items()}
        if others:
            ours, theirs = found.values()
            ratios[f"{model} to {others[model]}"] = float(np.median(np.divide(ours, theirs)))
    result = {"part": "train", "unit": "images/s", "setup": setup, "figures": figures, "ratios": ratios}
    return result | {"rounds": rounds}


def _rounds(model, overrides, peer, options):
    """Return images/s of every round for each side, as ``{what was measured: [...]}``.

    The sides take turns, and the one to begin changes: drift of the machine meets both. Two processes,
    because two libraries in one share its memory allocator and see each other's idle threads.
    """
    sizes = {name: getattr(options, name) for name in ("image_size", "batch_size", "num_labels")}
    with contextlib.ExitStack() as stack:

        def side(make, *arguments):
            child = concurrent.futures.ProcessPoolExecutor(1, multiprocessing.get_context("spawn"))
            stack.enter_context(child)
            return child, *child.submit(_prepare, options.threads, make, *arguments).result()

        try:
            child, label, rates = side(_our_step, model, overrides, sizes)
            sides = {label: child}
            if peer:
                child, label = side(peers.training_step, peer, rates, _noise(**sizes), LEARNING_RATE)
                sides[label] = child
            found = {label: [] for label in sides}
            for number in range(options.rounds):
                for label in list(sides)[:: -1 if number % 2 else 1]:
                    seconds = sides[label].submit(_timed, options.steps).result()
                    found[label].append(options.steps * options.batch_size / seconds)
        except concurrent.futures.process.BrokenProcessPool as error:
            raise WorkError(f"a process that measures {model} died; is there enough memory?") from error
    return found


def _prepare(threads, make, *arguments):
    """In a child: confine it to ``threads`` cores, make its step and warm it up; returns what it is."""
    global _step
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:threads])  # before a library counts them
    _step, *about = make(*arguments)
    _timed(2)
    return about


def _timed(steps):
    """In a child: return the seconds that ``steps`` take."""
    started = time.perf_counter()
    for _ in range(steps):
        _step()
    return time.perf_counter() - started


def _noise(image_size, batch_size, num_labels):
    """Return images (B, S, S, 3), 0..255, and labels of which 1% are true, both float32."""
    random = np.random.default_rng(0)
    images_ = random.random((batch_size, image_size, image_size, 3), np.float32) * 255
    return images_, (random.random((batch_size, num_labels)) < 0.01).astype(np.float32)


def _our_step(model, overrides, sizes):
    """Return a training step as train.py takes it, what it is, and the rates of dropout in timm's words."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    import Models
    from Utils import devices, losses, optimizers

    found = devices.find()
    spec = Models.spec(model, **overrides)
    with found.scope():
        made = Models.build(
            model,
            image_size=sizes["image_size"],
            num_labels=sizes["num_labels"],
            classifier_activation=None,
            **overrides,
        )
        optimizer = optimizers.build("sgd", LEARNING_RATE)
        made.compile(optimizer, losses.build("bce"), jit_compile=found.jit_compile)
    images_, labels = _noise(**sizes)
    rates = {"drop_rate": spec.dropout, "drop_path_rate": spec.stochastic_depth}
    return lambda: made.train_on_batch(images_, labels), f"{model} ({found.text.partition(',')[0]})", rates


# ---- metrics


def _metrics_arguments(made):
    made.add_argument("--images", type=int, default=20_000, help="rows of the dump (20000)")
    made.add_argument("--num-labels", type=int, default=5500, help="columns of the dump (5500)")
    made.add_argument("--dtype", choices=("float32", "float16"), default="float32", help="of probabilities")
    made.add_argument(
        "--no-peer", action="store_true", help="measure ours alone: the peer needs three times the dump"
    )


def _metrics(options):
    """Measure scoring at P = R, in processes of their own, with the files in the page cache."""
    if min(options.images, options.num_labels) < 1:
        raise UserError(
            f"--images and --num-labels must be 1 or more; got {options.images}, {options.num_labels}"
        )
    with tempfile.TemporaryDirectory() as folder:
        _draw_dump(pathlib.Path(folder), options)
        runs = {"streamed selection": _streamed}
        if not options.no_peer:
            runs["peer: bisection over full matrices"] = _bisection
        with concurrent.futures.ProcessPoolExecutor(
            1, multiprocessing.get_context("spawn"), max_tasks_per_child=1
        ) as pool:
            found = {name: pool.submit(run, folder).result() for name, run in runs.items()}
    setup = {name: getattr(options, name) for name in ("images", "num_labels", "dtype")}
    setup |= {f"MB of {name.partition(':')[0]}": round(peak) for name, (_, peak, _) in found.items()}
    setup |= {f"threshold of {name.partition(':')[0]}": round(cut, 5) for name, (_, _, cut) in found.items()}
    seconds = [took for took, _, _ in found.values()]
    ratios = {"peer's time to ours": seconds[1] / seconds[0]} if len(seconds) == 2 else {}
    figures = dict(zip(found, seconds, strict=True))
    return {"part": "metrics", "unit": "s", "setup": setup, "figures": figures, "ratios": ratios}


def _draw_dump(folder, options):
    """Write probabilities.npy and labels.npy: 0.7% true labels in uniform noise, true ones higher."""
    random, shape = np.random.default_rng(0), (options.images, options.num_labels)
    found = np.lib.format.open_memmap(folder / "probabilities.npy", "w+", options.dtype, shape)
    labels = np.lib.format.open_memmap(folder / "labels.npy", "w+", np.uint8, shape)
    for at in range(0, options.images, 256):
        noise = random.random(labels[at : at + 256].shape, np.float32)
        labels[at : at + 256] = random.random(noise.shape, np.float32) < 0.007
        found[at : at + 256] = 0.6 * noise + 0.3 * labels[at : at + 256]


def _streamed(folder):
    """Our way; returns seconds (best of three), peak resident MB of the whole process, threshold."""
    best = float("inf")
    for _ in range(3):
        started = time.perf_counter()
        dump = [np.load(f"{folder}/{name}.npy", mmap_mode="r") for name in ("probabilities", "labels")]
        cut = thresholds.p_equals_r(dump[0], scores.positives(dump[1]).sum())
        scores.summary(scores.count(*dump, cut.threshold).total(), cut.threshold)
        best = min(best, time.perf_counter() - started)
    return best, _peak_megabytes(), float(cut.threshold)


def _bisection(folder):
    """The peer's way, written anew; the loop is bounded here, as it need not end by itself."""
    started = time.perf_counter()
    found, true = np.load(f"{folder}/probabilities.npy"), np.load(f"{folder}/labels.npy").astype(bool)
    low, high = 0.1, 0.95
    for _ in range(60):
        threshold = (low + high) / 2
        predicted = found > threshold
        hit = np.count_nonzero(predicted & true)
        wrong, missed = np.count_nonzero(predicted & ~true), np.count_nonzero(~predicted & true)
        precision, recall = hit / max(1, hit + wrong), hit / max(1, hit + missed)
        if np.isclose(recall, precision):
            break
        low, high = (threshold, high) if recall > precision else (low, threshold)
    return time.perf_counter() - started, _peak_megabytes(), threshold


def _peak_megabytes():
    lines = pathlib.Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:")) / 1024


# Name of the part: what it measures, its arguments, its function (options) -> result.
PARTS = {
    "input": ("images/s from shards to batches", _input_arguments, _input),
    "train": ("images/s of a training step", _train_arguments, _train),
    "metrics": ("seconds from a dump to its scores where P = R", _metrics_arguments, _metrics),
}


if __name__ == "__main__":
    sys.exit(main())
