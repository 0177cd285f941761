"""seconds from a dump to its scores where P = R: streamed, and by bisection over full matrices, the peer.

The peer bisects from 0.1 to 0.95 and stops where np.isclose(recall, precision). Each runs in its own process;
peak memory is that process' resident maximum.
"""

import concurrent.futures
import multiprocessing
import pathlib
import tempfile
import time

import numpy as np

from Utils.bench import timing
from Utils.command.cli import UserError
from Utils.evaluation import scores, thresholds


def add_arguments(made):
    """Declare the options."""
    made.add_argument("--images", type=int, default=20_000, help="rows of the dump (20000)")
    made.add_argument("--num-labels", type=int, default=5500, help="columns of the dump (5500)")
    made.add_argument("--dtype", choices=("float32", "float16"), default="float32", help="of probabilities")
    made.add_argument(
        "--no-peer", action="store_true", help="measure ours alone: the peer needs three times the dump"
    )


def measure(options):
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
        (found,) = thresholds.find(*dump, [thresholds.Query()])
        scores.summary(found.counts, found.threshold)
        best = min(best, time.perf_counter() - started)
    return best, timing.peak_megabytes(), float(found.threshold)


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
    return time.perf_counter() - started, timing.peak_megabytes(), threshold
