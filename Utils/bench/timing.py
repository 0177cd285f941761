"""What benchmarks share: cores, turns, processes apart, peak memory, drawn images."""

import concurrent.futures
import itertools
import multiprocessing
import os
import pathlib
import time

import cv2
import numpy as np

from Utils.command.cli import WorkError
from Utils.images import codec

_made = None  # in a process apart: what it measures


def cores():
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0))


def in_turns(runs, seconds, turns=5, warm_up=6):
    """Return images/s of each run, the median of its turns: drift meets all alike, a disturbance one turn.

    A run is a function that gives an endless iterator of image counts; its first steps are not timed. All
    turns of a run together take ``seconds``.
    """
    found = {name: [] for name in runs}
    for _ in range(turns):
        for name, start in runs.items():
            counts, done = start(), 0
            for _ in range(warm_up):
                next(counts)
            started = time.perf_counter()
            while time.perf_counter() - started < seconds / turns:
                done += next(counts)
            found[name].append(done / (time.perf_counter() - started))
    return {name: float(np.median(speeds)) for name, speeds in found.items()}


def in_threads(work, count, calls=32, images=1):
    """Yield how many images were done by ``work(row)``, row 0 to count - 1 in turns, in a thread a core.

    A thread does so many ``calls`` one after another; a call does so many ``images``.
    """
    cv2.setNumThreads(1)
    with concurrent.futures.ThreadPoolExecutor(cores()) as pool:

        def some(start):
            for row in range(start, start + calls):
                work(row % count)

        for start in itertools.count(0, calls * cores()):
            list(pool.map(some, range(start, start + calls * cores(), calls)))
            yield calls * cores() * images


def draw_jpeg(random, side):
    """Draw soft shapes with grain: about 90 kB at 512 px, as the illustrations of the 512 px set."""
    coarse = random.integers(0, 256, (33, 33, 3), np.uint8)
    image = cv2.resize(coarse, (side, side), interpolation=cv2.INTER_CUBIC).astype(np.float32)
    image += random.normal(0, 6, (side, side, 1))
    return codec.encode_jpeg(np.clip(image, 0, 255).astype(np.uint8), quality=88)


def peak_megabytes():
    """Return the largest resident size that this process has had, pages of mapped files included."""
    lines = pathlib.Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:")) / 1024


class Apart:
    """A process of its own, confined to some cores, with a function that it made; a context manager.

    Two libraries in one process share its memory allocator and see each other's idle threads.

    Args:
        threads: how many cores.
        make: a module's function that returns what is measured, and any facts (``about``).
    """

    def __init__(self, threads, make, *arguments):
        self._pool = concurrent.futures.ProcessPoolExecutor(1, multiprocessing.get_context("spawn"))
        try:
            self.about = self._ask(_prepare, threads, make, arguments)
        except BaseException:
            self._pool.shutdown()
            raise

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._pool.shutdown()

    def seconds(self, calls, *arguments):
        """Return the seconds that each of some calls took, a list."""
        return self._ask(_timed, calls, arguments)

    def _ask(self, *words):
        try:
            return self._pool.submit(*words).result()
        except concurrent.futures.process.BrokenProcessPool as error:
            raise WorkError("a process that measures died; is there enough memory?") from error


def _prepare(threads, make, arguments):
    global _made
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:threads])  # before a library counts them
    _made, *about = make(*arguments)
    return about


def _timed(calls, arguments):
    found = []
    for _ in range(calls):
        started = time.perf_counter()
        _made(*arguments)
        found.append(time.perf_counter() - started)
    return found
