"""A model that works on the next batches while the results of the last one are being written."""

import collections
import concurrent.futures
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


def computed_ahead(
    function: Callable[[Item], Result], items: Iterable[Item], workers: int = 1
) -> Iterator[tuple[Item, Result]]:
    """Yield ``(item, function(item))`` in order; the next ones are computed while the caller uses this one.

    The items are taken in the caller's thread, the function runs in ``workers`` others, at most so many calls
    at a time. What it raises is raised where its result would come.
    """
    with concurrent.futures.ThreadPoolExecutor(workers, thread_name_prefix="ahead") as pool:
        submitted: collections.deque[tuple[Item, concurrent.futures.Future[Result]]] = collections.deque()
        try:
            for item in items:
                submitted.append((item, pool.submit(function, item)))
                if len(submitted) > workers:
                    first, future = submitted.popleft()
                    yield first, future.result()
            for first, future in submitted:
                yield first, future.result()
        finally:
            pool.shutdown(cancel_futures=True)
