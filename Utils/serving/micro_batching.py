"""Micro-batching: collects single items from many threads into batches for one function."""

import collections
import concurrent.futures
import threading
from collections.abc import Callable, Iterable
from typing import Any


class MicroBatcher:
    """Gathers the items of many threads into batches; a context manager that ends its worker threads.

    While one batch is computed the next one gathers, so under load no item waits for others.

    Args:
        function: takes a list of items and returns one result for each, in order.
        max_batch_size: the most items of a batch.
        max_wait: seconds that the first item of a batch waits for others.
        arriving: returns how many items are on their way here; a batch waits only while there are some. None:
            there always may be.
        workers: batches that are computed at a time.
    """

    def __init__(
        self,
        function: Callable[[list], Iterable],
        max_batch_size: int,
        max_wait: float,
        arriving: Callable[[], int] | None = None,
        workers: int = 1,
    ) -> None:
        self._function, self._max_batch_size, self._max_wait = function, max_batch_size, max_wait
        self._arriving = arriving or (lambda: 1)
        self._queue: collections.deque[tuple[Any, concurrent.futures.Future]] = collections.deque()
        self._changed, self._closed = threading.Condition(), False
        self._threads = [
            threading.Thread(target=self._work, name=f"batches-{number}", daemon=True)
            for number in range(workers)
        ]
        for thread in self._threads:
            thread.start()

    def __enter__(self) -> "MicroBatcher":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Compute the items that wait, then end the threads."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        for thread in self._threads:
            thread.join()

    def result(self, item: Any, timeout: float) -> Any:
        """Return the result for an item, or raise what the function raised.

        Raises TimeoutError after ``timeout`` seconds; RuntimeError where the batcher is closed.
        """
        future = concurrent.futures.Future()
        with self._changed:
            if self._closed:
                raise RuntimeError("the batcher is closed")
            self._queue.append((item, future))
            self._changed.notify_all()  # one worker may wait for a batch to fill, another for any item
        try:
            return future.result(timeout)
        finally:
            future.cancel()  # after a timeout: the worker skips an item that nobody waits for

    def _work(self) -> None:
        while (batch := self._next_batch()) is not None:
            awaited = [(item, future) for item, future in batch if future.set_running_or_notify_cancel()]
            if awaited:
                self._compute([item for item, _ in awaited], [future for _, future in awaited])

    def _next_batch(self) -> list[tuple[Any, concurrent.futures.Future]] | None:
        """Wait for the next batch, ``[(item, future)]``; None once closed and drained.

        It is empty where another worker has taken what there was.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._queue or self._closed)
            if not self._queue:
                return None
            self._changed.wait_for(self._is_full, self._max_wait)
            return [self._queue.popleft() for _ in range(min(self._max_batch_size, len(self._queue)))]

    def _is_full(self) -> bool:
        return self._closed or len(self._queue) >= self._max_batch_size or self._arriving() <= 0

    def _compute(self, items: list, futures: list[concurrent.futures.Future]) -> None:
        try:
            results = list(self._function(items))
            if len(results) != len(items):
                raise RuntimeError(f"{len(results)} results came for {len(items)} items")
        except Exception as error:  # each thread that waits must get it, and the worker must live on
            for future in futures:
                future.set_exception(error)
            return
        for future, result in zip(futures, results, strict=True):
            future.set_result(result)
