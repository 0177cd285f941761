"""Engines that run independent jobs: processes of this machine, or tasks of a Ray cluster.

joblib would be shorter, but then the calling process would only wait: here it works from the first moment,
while the other processes still import. Workers also end with a parent that is killed.
"""

import concurrent.futures
import contextlib
import importlib.util
import multiprocessing
import multiprocessing.connection
import os
import queue
import sys
import threading
import types
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Generic, TypeVar

from Utils.command import interrupt, programs
from Utils.command.cli import UserError, WorkError
from Utils.files.atomic import ROOT

ENGINES = ("local", "ray")

Job = TypeVar("Job")
Result = TypeVar("Result")
Item = TypeVar("Item")


def run(
    function: Callable[[Job], Result], jobs: Iterable[Job], engine: str = "local", workers: int = 1
) -> Iterator[Result]:
    """Yield ``function(job)`` for every job, roughly in the order in which jobs end.

    A job is taken from ``jobs`` when it can begin (Ray: twice as many as it has cores), so ``jobs`` may be a
    generator of any length. An error of a job is raised here.

    Args:
        function: a function of a module, since other processes import it; jobs and results are pickled.
        jobs: arguments of the function.
        engine: "local", or "ray": the cluster at RAY_ADDRESS, else a Ray of ``workers`` processes here.
        workers: processes of the local engine, of which the calling one is the first.
    """
    if engine == "ray":
        return _on_ray(function, jobs, workers)
    return map(function, jobs) if workers == 1 else _in_processes(function, jobs, workers)


def require_engine(engine: str) -> None:
    """Raise UserError where the engine is not installed."""
    if engine == "ray" and importlib.util.find_spec("ray") is None:
        raise UserError(f"--engine ray needs Ray; install it with {programs.install_line('ray')}")


def _in_processes(function: Callable[[Job], Result], jobs: Iterable[Job], workers: int) -> Iterator[Result]:
    """Work here and in ``workers - 1`` other processes: this one begins at once, while the others start.

    Each other process has a thread here that takes jobs for it, so that none is taken before it can begin.
    """
    context = multiprocessing.get_context("spawn")  # a forked process may hang on a copied lock
    shared_jobs: _SharedIterator[Job] = _SharedIterator(jobs)
    results: queue.SimpleQueue[Result] = queue.SimpleQueue()

    def feed_one_process() -> None:
        for job in shared_jobs:
            with (
                _without_main(),
                interrupt.held_back(),
            ):  # the pool starts its processes at the first submissions
                future = pool.submit(function, job)
            results.put(future.result())

    with (
        concurrent.futures.ProcessPoolExecutor(workers - 1, context, _end_with_parent) as pool,
        concurrent.futures.ThreadPoolExecutor(workers - 1) as threads,
    ):
        feeders = [threads.submit(feed_one_process) for _ in range(workers - 1)]
        try:
            for job in shared_jobs:
                results.put(function(job))
                # The others' results are handed on between own jobs, and their errors are raised early.
                yield from _drain(results)
                _raise_errors(feeder for feeder in feeders if feeder.done())
            for _ in concurrent.futures.as_completed(feeders):
                yield from _drain(results)
            _raise_errors(feeders)
        finally:
            # After an error or an abandoned generator the feeders must not take the remaining jobs.
            shared_jobs.stop()


_main_lock = threading.Lock()


@contextlib.contextmanager
def _without_main() -> Iterator[None]:
    """Hide the command's own file from processes that start now.

    A spawned process imports ``__main__`` again, which costs the imports of the whole command; its function
    is in another module.
    """
    with _main_lock:
        main, sys.modules["__main__"] = sys.modules["__main__"], types.ModuleType("__main__")
        try:
            yield
        finally:
            sys.modules["__main__"] = main


class _SharedIterator(Generic[Item]):
    """An iterator that several threads take from; a generator alone would raise "already executing"."""

    def __init__(self, items: Iterable[Item]) -> None:
        self._items, self._lock = iter(items), threading.Lock()

    def __iter__(self) -> Iterator[Item]:
        return self

    def __next__(self) -> Item:
        with self._lock:
            return next(self._items)

    def stop(self) -> None:
        """Hand out no further item."""
        with self._lock:
            self._items = iter(())


def _drain(results: "queue.SimpleQueue[Result]") -> Iterator[Result]:
    while not results.empty():
        yield results.get()


def _raise_errors(futures: Iterable[concurrent.futures.Future[Any]]) -> None:
    for future in futures:
        try:
            future.result()
        except concurrent.futures.process.BrokenProcessPool as error:
            raise WorkError(
                "a worker process died; is there enough memory? The same command continues the work"
            ) from error


def _end_with_parent() -> None:
    """Make this worker process end when its parent is killed."""
    parent = multiprocessing.parent_process()
    if parent is None:
        return

    def watch() -> None:
        multiprocessing.connection.wait([parent.sentinel])  # ready when the parent has ended, however it did
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def _on_ray(function: Callable[[Job], Result], jobs: Iterable[Job], workers: int) -> Iterator[Result]:
    """Keep at most twice as many tasks submitted as the cluster has cores; yield results as tasks end."""
    import ray

    with _connected(ray, workers):
        task = ray.remote(function)
        # Twice the cores: a core finds its next task waiting, yet a long generator is not read ahead.
        most = 2 * max(int(ray.cluster_resources().get("CPU", workers)), 1)
        pending: list[Any] = []
        for job in jobs:
            pending.append(task.remote(job))
            if len(pending) >= most:
                done, pending = ray.wait(pending, num_returns=1)
                yield from map(ray.get, done)
        while pending:
            done, pending = ray.wait(pending, num_returns=1)
            yield from map(ray.get, done)


@contextlib.contextmanager
def _connected(ray: Any, workers: int) -> Iterator[None]:
    """Connect to RAY_ADDRESS or start a Ray on this machine; one that the caller started is left alone."""
    if ray.is_initialized():
        yield
        return
    address = os.environ.get("RAY_ADDRESS")
    settings: dict[str, Any] = {} if address else {"num_cpus": workers, "include_dashboard": False}
    # Tasks of this project compute on the CPU: without the last variable each would claim a GPU.
    variables = {"PYTHONPATH": str(ROOT), "TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": "-1"}
    ray.init(address, log_to_driver=False, runtime_env={"env_vars": variables}, **settings)
    try:
        yield
    finally:
        ray.shutdown()
