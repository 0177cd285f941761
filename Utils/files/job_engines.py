"""Where independent jobs run: in processes of this machine, or as tasks of a Ray cluster."""

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

from Utils.command.cli import UserError, WorkError
from Utils.files.atomic import ROOT

ENGINES = ("local", "ray")


def run(function, jobs, engine="local", workers=1):
    """Yield ``function(job)`` for every job, about in the order in which they end.

    Jobs are taken when they can be begun (by Ray: twice as many as it has cores), so that ``jobs`` may make
    them on demand. An error of a job is raised here. One worker of the local engine is the calling thread.

    Args:
        function: of a module, not a lambda: other machines import it. So are jobs and results pickled.
        engine: "local", or "ray": the cluster at RAY_ADDRESS, else a Ray of ``workers`` processes here.
    """
    if engine == "ray":
        return _on_ray(function, jobs, workers)
    return map(function, jobs) if workers == 1 else _in_processes(function, jobs, workers)


def check(engine):
    """Raise UserError where the engine is not installed."""
    if engine == "ray" and importlib.util.find_spec("ray") is None:
        raise UserError("--engine ray needs Ray; install it with pip install -r requirements-ray.txt")


def _in_processes(function, jobs, workers):
    """Work here and in ``workers - 1`` other processes: this one begins at once, while the others start."""
    context = multiprocessing.get_context("spawn")  # a fork copies locks that others hold, and hangs
    shared, results = _Shared(jobs), queue.SimpleQueue()

    def lane():
        for job in shared:
            with _no_main():
                future = pool.submit(function, job)
            results.put(future.result())

    with (
        concurrent.futures.ProcessPoolExecutor(workers - 1, context, _end_with_parent) as pool,
        concurrent.futures.ThreadPoolExecutor(workers - 1) as threads,
    ):
        lanes = [threads.submit(lane) for _ in range(workers - 1)]
        try:
            for job in shared:
                results.put(function(job))
                yield from _taken(results)
                _raise_errors(lane for lane in lanes if lane.done())
            for _ in concurrent.futures.as_completed(lanes):
                yield from _taken(results)
            _raise_errors(lanes)
        finally:
            shared.stop()


_replacing_main = threading.Lock()


@contextlib.contextmanager
def _no_main():
    """Keep processes that start now from importing the command's own file: they work in other modules."""
    with _replacing_main:
        main, sys.modules["__main__"] = sys.modules["__main__"], types.ModuleType("__main__")
        try:
            yield
        finally:
            sys.modules["__main__"] = main


class _Shared:
    """An iterator that threads take from."""

    def __init__(self, items):
        self._items, self._lock = iter(items), threading.Lock()

    def __iter__(self):
        return self

    def __next__(self):
        with self._lock:
            return next(self._items)

    def stop(self):
        """Give nothing more."""
        with self._lock:
            self._items = iter(())


def _taken(results):
    while not results.empty():
        yield results.get()


def _raise_errors(futures):
    for future in futures:
        try:
            future.result()
        except concurrent.futures.process.BrokenProcessPool as error:
            raise WorkError(
                "a process that worked died; is there enough memory? The command, given again, continues"
            ) from error


def _end_with_parent():
    """In a worker: see to it that it does not outlive a parent that is killed."""
    parent = multiprocessing.parent_process().sentinel

    def watch():
        multiprocessing.connection.wait([parent])
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def _on_ray(function, jobs, workers):
    import ray

    with _ray(ray, workers):
        task = ray.remote(function)
        ahead = 2 * max(int(ray.cluster_resources().get("CPU", workers)), 1)
        yield from _as_they_end(
            task.remote, lambda waiting: ray.wait(list(waiting), num_returns=1)[0], ray.get, jobs, ahead
        )


@contextlib.contextmanager
def _ray(ray, workers):
    """Connect to RAY_ADDRESS or start a Ray of this machine; one that runs already is left as it is."""
    if ray.is_initialized():
        yield
        return
    address = os.environ.get("RAY_ADDRESS")
    started = {} if address else {"num_cpus": workers, "include_dashboard": False}
    variables = {"PYTHONPATH": str(ROOT), "TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": "-1"}
    ray.init(address, log_to_driver=False, runtime_env={"env_vars": variables}, **started)
    try:
        yield
    finally:
        ray.shutdown()


def _as_they_end(submit, wait, result, jobs, ahead):
    """Keep at most ``ahead`` jobs submitted; yield results as they come."""
    waiting = set()
    for job in jobs:
        waiting.add(submit(job))
        while len(waiting) >= ahead:
            for done in wait(waiting):
                waiting.discard(done)
                yield result(done)
    while waiting:
        for done in wait(waiting):
            waiting.discard(done)
            yield result(done)
