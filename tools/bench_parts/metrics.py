"""seconds from predictions to scores at P = R: streamed, and by bisection over full matrices, the peer.

The peer bisects from 0.1 to 0.95 and stops where np.isclose(recall, precision). Each runs in a process of its
own, so that its peak memory is known.
"""

import argparse
import pathlib
import tempfile
import time
from typing import Any

import numpy as np

from Utils.bench import timing
from Utils.command.cli import Parser, number
from Utils.evaluation import scores, thresholds


def add_arguments(parser: Parser) -> None:
    """Declare the options."""
    add = parser.add_argument
    add("--images", type=number(above=0), default=20_000, help="rows of the dump (20000)")
    add("--num-labels", type=number(above=0), default=5500, help="columns of the dump (5500)")
    add("--dtype", choices=("float32", "float16"), default="float32", help="of probabilities")
    add(
        "--peer", choices=("bisection", "none"), default="bisection",
        help="bisection needs the memory of three dumps; none: ours alone (bisection)",
    )  # fmt: skip
    add("--no-peer", dest="peer", action="store_const", const="none", help="as --peer none")


def run_benchmark(options: argparse.Namespace) -> dict[str, Any]:
    """Measure scoring at P = R, with the files in the page cache."""
    with tempfile.TemporaryDirectory() as folder:
        _draw_dump(pathlib.Path(folder), options)
        runs = {"streamed selection": _streamed}
        if options.peer != "none":
            runs["peer: bisection over full matrices"] = _bisection
        results = {name: timing.call_in_new_process(run, folder) for name, run in runs.items()}
    setup = {name: getattr(options, name) for name in ("images", "num_labels", "dtype")}
    setup |= {f"MB of {name.partition(':')[0]}": round(peak) for name, (_, peak, _) in results.items()}
    setup |= {
        f"threshold of {name.partition(':')[0]}": round(threshold, 5)
        for name, (_, _, threshold) in results.items()
    }
    seconds = [result[0] for result in results.values()]
    ratios = {"peer's time to ours": seconds[1] / seconds[0]} if len(seconds) == 2 else {}
    figures = dict(zip(results, seconds, strict=True))
    return {"part": "metrics", "unit": "s", "setup": setup, "figures": figures, "ratios": ratios}


def _draw_dump(folder: pathlib.Path, options: argparse.Namespace) -> None:
    """Write probabilities.npy and labels.npy: 0.7% true labels in uniform noise, true ones higher."""
    random, shape = np.random.default_rng(0), (options.images, options.num_labels)
    probabilities = np.lib.format.open_memmap(folder / "probabilities.npy", "w+", options.dtype, shape)
    labels = np.lib.format.open_memmap(folder / "labels.npy", "w+", np.uint8, shape)
    for start in range(0, options.images, 256):
        rows = slice(start, start + 256)
        noise = random.random(labels[rows].shape, np.float32)
        labels[rows] = random.random(noise.shape, np.float32) < 0.007
        probabilities[rows] = 0.6 * noise + 0.3 * labels[rows]


def _streamed(folder: str) -> tuple[float, float, float]:
    """Return the seconds of our way (best of three), peak MB and the threshold."""
    best = float("inf")
    for _ in range(3):
        started = time.perf_counter()
        probabilities, labels = (
            np.load(f"{folder}/{name}.npy", mmap_mode="r") for name in ("probabilities", "labels")
        )
        (point,) = thresholds.find(probabilities, labels, [thresholds.Query()])
        scores.summary(point.counts, point.threshold)
        best = min(best, time.perf_counter() - started)
    return best, timing.peak_megabytes(), float(point.threshold)


def _bisection(folder: str) -> tuple[float, float, float]:
    """Return seconds, peak MB and threshold of the peer's way, whose loop is bounded here."""
    started = time.perf_counter()
    probabilities, true = np.load(f"{folder}/probabilities.npy"), np.load(f"{folder}/labels.npy").astype(bool)
    low, high = 0.1, 0.95
    threshold = low
    for _ in range(60):
        threshold = (low + high) / 2
        predicted = probabilities > threshold
        hits = np.count_nonzero(predicted & true)
        wrong, missed = np.count_nonzero(predicted & ~true), np.count_nonzero(~predicted & true)
        precision, recall = hits / max(1, hits + wrong), hits / max(1, hits + missed)
        if np.isclose(recall, precision):
            break
        low, high = (threshold, high) if recall > precision else (low, threshold)
    return time.perf_counter() - started, timing.peak_megabytes(), threshold
