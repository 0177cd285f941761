"""Where independent jobs run: in processes of this machine, or as tasks of a Ray cluster."""

import concurrent.futures
import contextlib
import importlib.util
import multiprocessing
import multiprocessing.connection
import os
import threading

from Utils.commands import UserError
from Utils.files import ROOT

ENGINES = ("local", "ray")


def run(function, jobs, engine="local", workers=1):
    """Yield ``function(job)`` for every job, in the order in which they end.

    At most twice as many jobs as workers are taken ahead, so that ``jobs`` may make them on demand. An error
    of a job is raised here. With one worker of the local engine everything runs in the calling thread.

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
    context = multiprocessing.get_context("spawn")  # a fork copies locks that others hold, and hangs
    pool = concurrent.futures.ProcessPoolExecutor(workers, context, _end_with_parent)
    try:
        yield from _as_they_end(
            lambda job: pool.submit(function, job),
            lambda waiting: (
                concurrent.futures.wait(waiting, return_when=concurrent.futures.FIRST_COMPLETED).done
            ),
            lambda future: future.result(),
            jobs,
            2 * workers,
        )
    finally:
        pool.shutdown(cancel_futures=True)


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
