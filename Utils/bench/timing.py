"""Measuring for the benchmarks: alternating runs, separate processes on chosen cores, peak memory."""

import concurrent.futures
import itertools
import multiprocessing
import os
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Self, TypeVar

import cv2
import numpy as np

from Utils.command import machine
from Utils.command.cli import WorkError
from Utils.command.machine import num_cores
from Utils.images import codec

Side = TypeVar("Side")
Runs = dict[str, Callable[[], Iterator[int]]]  # functions that return an endless iterator of image counts

_function: Callable[..., Any]  # in the process of a TimedProcess: what it times


def alternate(sides: Iterable[Side], rounds: int) -> Iterator[Side]:
    """Yield all sides once in each round, every second round backwards.

    When sides take turns, now one ahead and now the other, a drift of the machine meets all of them.
    """
    order = list(sides)
    for number in range(rounds):
        yield from order[:: -1 if number % 2 else 1]


def rates_in_turns(
    runs: Runs,
    seconds: float,
    turns: int = 5,
    warm_up: int = 6,
    clock: Callable[[], float] = time.perf_counter,
) -> dict[str, float]:
    """Return images/s of each run: the median of its turns, so that a disturbance spoils only one turn.

    Args:
        runs: what to time, by name.
        seconds: time of all turns of a run together.
        turns: of each run, one after another.
        warm_up: steps at the start of a turn that are not timed.
        clock: with ``time.process_time``, rates are those of one core: of the process's processor time, which
            other programs do not change much.
    """
    rates: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(turns):
        for name, start in runs.items():
            counts, images = start(), 0
            for _ in range(warm_up):
                next(counts)
            started = clock()
            while clock() - started < seconds / turns:
                images += next(counts)
            rates[name].append(images / (clock() - started))
    return {name: float(np.median(values)) for name, values in rates.items()}


def run_in_threads(work: Callable[[int], Any], count: int, calls: int = 32, images: int = 1) -> Iterator[int]:
    """Call ``work(row)`` forever, rows 0 to count - 1 in turn, in one thread per core; yield image counts.

    A thread makes ``calls`` calls one after another, each of which processes ``images`` images.
    """
    cv2.setNumThreads(1)
    with concurrent.futures.ThreadPoolExecutor(num_cores()) as pool:

        def call_some(start: int) -> None:
            for row in range(start, start + calls):
                work(row % count)

        for start in itertools.count(0, calls * num_cores()):
            list(pool.map(call_some, range(start, start + calls * num_cores(), calls)))
            yield calls * num_cores() * images


def draw_jpeg(random: np.random.Generator, side: int) -> bytes:
    """Draw soft shapes with grain: about 90 kB at 512 px, as the illustrations of the 512 px set."""
    coarse = random.integers(0, 256, (33, 33, 3), np.uint8)
    image = cv2.resize(coarse, (side, side), interpolation=cv2.INTER_CUBIC).astype(np.float32)
    image += random.normal(0, 6, (side, side, 1))
    return codec.encode_jpeg(np.clip(image, 0, 255).astype(np.uint8), quality=88)


def peak_megabytes() -> float:
    """Return `Utils.command.machine.peak_megabytes`; benchmarks run on Linux only."""
    return machine.peak_megabytes() or float("nan")


def call_in_new_process(function: Callable[..., Any], *arguments: Any) -> Any:
    """Return what a module's function returns in a process of its own, whose peak memory is only its own."""
    with _new_process() as pool:
        return pool.submit(function, *arguments).result()


def _new_process() -> concurrent.futures.ProcessPoolExecutor:
    return concurrent.futures.ProcessPoolExecutor(1, multiprocessing.get_context("spawn"))


class TimedProcess:
    """A process of its own on some cores, which times calls of a function; a context manager.

    Two libraries in one process would share its memory allocator and see each other's idle threads.

    Args:
        threads: number of cores.
        make: a module's function that returns the function to time, followed by facts about it, which
            become ``facts``.
    """

    def __init__(self, threads: int, make: Callable[..., tuple[Any, ...]], *arguments: Any) -> None:
        self._pool = _new_process()
        try:
            self.facts: list[Any] = self._submit(_prepare, threads, make, arguments)
        except BaseException:
            self._pool.shutdown()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown()

    def seconds(self, calls: int, *arguments: Any) -> list[float]:
        """Return the seconds of each of ``calls`` calls."""
        return self._submit(_time_calls, calls, arguments)

    def processor_seconds(self) -> float:
        """Return the processor time of the process so far; other programs on its cores do not count."""
        return self._submit(time.process_time)

    def _submit(self, function: Callable[..., Any], *arguments: Any) -> Any:
        try:
            return self._pool.submit(function, *arguments).result()
        except concurrent.futures.process.BrokenProcessPool as error:
            raise WorkError("a process that measures died; is there enough memory?") from error


def _prepare(threads: int, make: Callable[..., tuple[Any, ...]], arguments: tuple[Any, ...]) -> list[Any]:
    global _function
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:threads])  # before a library counts them
    _function, *facts = make(*arguments)
    return facts


def _time_calls(calls: int, arguments: tuple[Any, ...]) -> list[float]:
    seconds = []
    for _ in range(calls):
        started = time.perf_counter()
        _function(*arguments)
        seconds.append(time.perf_counter() - started)
    return seconds
