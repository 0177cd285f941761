"""Micro-batching: what many threads ask for one by one, answered by a function that takes several at once."""

import collections
import concurrent.futures
import threading


class Batcher:
    """Gathers items of many threads into batches; a context manager that ends its thread.

    While a batch is worked on the next one gathers, so that nobody waits for company when there is plenty.

    Args:
        run: function of a list of items that returns a result for each.
        most: items of a batch.
        wait: seconds for which the first of a batch waits for others.
        coming: function -> how many items have come or are on their way; nobody waits for more than these.
    """

    def __init__(self, run, most, wait, coming=None):
        self._run, self._most, self._wait = run, most, wait
        self._coming = coming or (lambda: most)
        self._waiting, self._changed, self._closed = collections.deque(), threading.Condition(), False
        self._thread = threading.Thread(target=self._work, name="batches", daemon=True)
        self._thread.start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        with self._changed:
            self._closed = True
            self._changed.notify()
        self._thread.join()

    def ask(self, item, timeout):
        """Return the result for an item; TimeoutError after ``timeout`` seconds, or what ``run`` raised."""
        future = concurrent.futures.Future()
        with self._changed:
            if self._closed:
                raise RuntimeError("the batcher is closed")
            self._waiting.append((item, future))
            self._changed.notify()
        try:
            return future.result(timeout)
        finally:
            future.cancel()  # nobody waits for it any more

    def _work(self):
        while batch := self._next():
            wanted = [(item, future) for item, future in batch if future.set_running_or_notify_cancel()]
            if wanted:
                self._answer(*zip(*wanted, strict=True))

    def _next(self):
        """Return the next batch, ``[(item, future)]``; empty when closed and done."""
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._closed)
            self._changed.wait_for(self._is_full, self._wait)
            return [self._waiting.popleft() for _ in range(min(self._most, len(self._waiting)))]

    def _is_full(self):
        return self._closed or len(self._waiting) >= min(self._most, self._coming())

    def _answer(self, items, futures):
        try:
            results = list(self._run(list(items)))
            if len(results) != len(items):
                raise RuntimeError(f"{len(results)} results came for {len(items)} items")
        except Exception as error:
            for future in futures:
                future.set_exception(error)
            return
        for future, result in zip(futures, results, strict=True):
            future.set_result(result)
