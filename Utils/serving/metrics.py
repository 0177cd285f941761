"""Counts of a service in the text format of Prometheus, version 0.0.4, at /metrics."""

import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping

import flask

BUCKETS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)  # seconds
_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class RequestCounts:
    """Requests by endpoint and status, and their durations by endpoint."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._requests: Counter[tuple[str, int]] = Counter()
        self._buckets: Counter[tuple[str, float]] = Counter()
        self._seconds: Counter[str] = Counter()

    def add(self, endpoint: str, status: int, seconds: float) -> None:
        """Count one request."""
        with self._lock:
            self._requests[endpoint, status] += 1
            self._seconds[endpoint] += seconds  # pyright: ignore[reportArgumentType]  a sum of floats
            for limit in BUCKETS:
                self._buckets[endpoint, limit] += seconds <= limit

    def text(self, pictures: Mapping[str, int]) -> str:
        """Return all counts as lines; ``pictures`` are those tagged by each model."""
        lines = ["# HELP tagger_pictures_total Pictures tagged.", "# TYPE tagger_pictures_total counter"]
        lines += [f'tagger_pictures_total{{model="{_escaped(name)}"}} {n}' for name, n in pictures.items()]
        with self._lock:
            lines += [
                "# HELP tagger_requests_total Requests answered.",
                "# TYPE tagger_requests_total counter",
            ]
            for (endpoint, status), count in sorted(self._requests.items()):
                lines.append(f'tagger_requests_total{{endpoint="{endpoint}",status="{status}"}} {count}')
            lines += ["# HELP tagger_request_seconds Durations.", "# TYPE tagger_request_seconds histogram"]
            for endpoint in sorted(self._seconds):
                total = sum(count for (name, _), count in self._requests.items() if name == endpoint)
                label = f'tagger_request_seconds_bucket{{endpoint="{endpoint}",le='
                lines += [f'{label}"{limit:g}"}} {self._buckets[endpoint, limit]}' for limit in BUCKETS]
                lines.append(f'{label}"+Inf"}} {total}')
                lines.append(
                    f'tagger_request_seconds_sum{{endpoint="{endpoint}"}} {self._seconds[endpoint]:.6f}'
                )
                lines.append(f'tagger_request_seconds_count{{endpoint="{endpoint}"}} {total}')
        return "\n".join(lines) + "\n"


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def add(app: flask.Flask, pictures: Callable[[], Mapping[str, int]]) -> None:
    """Count the requests of an app and serve the counts at /metrics."""
    counts = RequestCounts()

    @app.before_request
    def _start() -> None:
        flask.g.started = time.perf_counter()

    @app.after_request
    def _count(response: flask.Response) -> flask.Response:
        rule = flask.request.url_rule  # none: an address that does not exist
        seconds = time.perf_counter() - flask.g.get("started", time.perf_counter())
        counts.add(rule.rule if rule else "other", response.status_code, seconds)
        return response

    app.add_url_rule(
        "/metrics", "metrics", lambda: flask.Response(counts.text(pictures()), content_type=_TYPE)
    )
