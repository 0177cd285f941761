"""Utils/bench/timing.py: turns, threads, processes of their own, drawn JPEGs."""

import itertools
import os

import cv2
import numpy as np
import pytest

from Utils.bench import timing
from Utils.command.cli import WorkError


def test_sides_take_turns_in_alternating_order():
    assert list(timing.alternate(["a", "b", "c"], 3)) == ["a", "b", "c", "c", "b", "a", "a", "b", "c"]


def test_the_rate_is_that_of_the_median_turn():
    clock = itertools.count().__next__  # every look at the clock takes a second
    starts = []

    def run():
        starts.append(True)
        yield from itertools.repeat(4)

    # Of each turn of 3 s: one look at the start, one before each step while below 3 s, one at the end.
    rates = timing.rates_in_turns({"run": run}, seconds=9, turns=3, warm_up=2, clock=clock)
    assert rates == {"run": 8 / 4}
    assert len(starts) == 3


def test_threads_work_on_all_rows_in_turn():
    rows = []
    counts = timing.run_in_threads(rows.append, count=3, calls=6, images=2)
    assert next(counts) == timing.num_cores() * 6 * 2
    assert sorted(rows) == sorted([0, 1, 2] * (timing.num_cores() * 2))


def test_a_drawn_jpeg_is_as_large_as_an_illustration():
    data = timing.draw_jpeg(np.random.default_rng(0), 512)
    assert 60_000 < len(data) < 120_000
    assert cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR).shape == (512, 512, 3)


def make_sum(offset):
    return (lambda value: value + offset), os.getpid(), len(os.sched_getaffinity(0))


def make_death():
    return (lambda: os._exit(1),)


def test_a_timed_process_is_another_one_on_some_cores():
    with timing.TimedProcess(1, make_sum, 3) as process:
        number, cores = process.facts
        assert number != os.getpid()
        assert cores == 1
        before = process.processor_seconds()
        seconds = process.seconds(4, 5)
        assert 0 < before < process.processor_seconds()
    assert len(seconds) == 4 and min(seconds) >= 0


def test_a_timed_process_that_dies_is_an_error():
    with timing.TimedProcess(1, make_death) as process, pytest.raises(WorkError, match="enough memory"):
        process.seconds(1)


def allocate(megabytes):
    np.ones(megabytes * 2**17)
    return timing.peak_megabytes()


def test_the_peak_of_a_new_process_is_its_own():
    assert timing.call_in_new_process(allocate, 300) > 300
    assert timing.call_in_new_process(allocate, 1) < 300
