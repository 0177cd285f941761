"""Items of many threads become batches, full ones at once; every thread gets the result of its item."""

import concurrent.futures
import threading
import time

import pytest

from Utils.serving.micro_batching import MicroBatcher


def pool(threads=4):
    return concurrent.futures.ThreadPoolExecutor(threads)


def test_a_batch_waits_for_the_arriving_items_but_not_long():
    sizes = []

    def run(items):
        sizes.append(len(items))
        return items

    arriving = 4  # and a wait that is longer than anyone's patience for a result
    with MicroBatcher(run, 8, 600, lambda: arriving - len(batcher._queue)) as batcher, pool() as threads:
        assert sorted(threads.map(lambda item: batcher.result(item, 60), range(4))) == [0, 1, 2, 3]
        arriving = 1
        assert batcher.result(7, 60) == 7
    assert sizes == [4, 1]
    with MicroBatcher(run, 8, 0.05) as batcher:
        assert batcher.result(8, 60) == 8  # no other item came
    with pytest.raises(RuntimeError, match="closed"):
        batcher.result(1, 1)


def test_two_workers_compute_two_batches_at_a_time():
    both = threading.Barrier(2, timeout=60)

    def run(items):
        both.wait()
        return [-item for item in items]

    with MicroBatcher(run, 1, 0, workers=2) as batcher, pool(2) as threads:
        assert list(threads.map(lambda item: batcher.result(item, 60), range(6))) == [0, -1, -2, -3, -4, -5]


def test_batches_are_no_larger_than_allowed_while_one_is_computed():
    go, sizes = threading.Event(), []

    def run(items):
        sizes.append(len(items))
        assert go.wait(60)
        return [item + 100 for item in items]

    with MicroBatcher(run, 3, 0.01) as batcher, pool(8) as threads:
        results = [threads.submit(batcher.result, item, 60) for item in range(8)]
        while len(batcher._queue) + sum(sizes) < 8:
            time.sleep(0.001)
        go.set()
        assert [future.result() for future in results] == [item + 100 for item in range(8)]
    assert max(sizes) == 3
    assert sum(sizes) == 8


def test_an_error_reaches_every_thread_of_its_batch_and_no_later_one():
    def run(items):
        if "bad" in items:
            raise ValueError("no item like this")
        return items

    with MicroBatcher(run, 2, 60) as batcher, pool(2) as threads:
        results = [threads.submit(batcher.result, item, 60) for item in ("good", "bad")]
        for future in results:
            with pytest.raises(ValueError, match="no item like this"):
                future.result()
        results = [threads.submit(batcher.result, item, 60) for item in (1, 2)]
        assert [future.result() for future in results] == [1, 2]


def test_a_function_that_drops_items_is_an_error():
    with (
        MicroBatcher(lambda items: [], 1, 0) as batcher,
        pytest.raises(RuntimeError, match="0 results came for 1 items"),
    ):
        batcher.result(1, 60)


def test_an_item_that_nobody_waits_for_is_skipped():
    go, seen = threading.Event(), []

    def run(items):
        seen.extend(items)
        assert go.wait(60)
        return items

    with MicroBatcher(run, 1, 0) as batcher, pool(1) as threads:
        first = threads.submit(batcher.result, "first", 60)
        while not seen:
            time.sleep(0.001)
        with pytest.raises(TimeoutError):
            batcher.result("late", 0.01)
        go.set()
        assert first.result() == "first"
        assert batcher.result("next", 60) == "next"
    assert seen == ["first", "next"]
