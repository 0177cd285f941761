"""A stand-in for a process that times: the same work in the process of the test, which has its imports."""

import time


class InProcess:
    """Stands in for ``Utils.bench.timing.TimedProcess``; ``maker`` names the function that made the work."""

    def __init__(self, threads, make, *arguments):
        self.maker = make.__name__
        self.function, *self.facts = make(*arguments)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        return None

    def seconds(self, calls, *arguments):
        seconds = []
        for _ in range(calls):
            started = time.perf_counter()
            self.function(*arguments)
            seconds.append(time.perf_counter() - started)
        return seconds
