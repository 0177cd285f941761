"""A tagger over HTTP: a page to drop a picture on, and an interface for programs; nothing goes to disk.

POST /tag with a picture, as the body or as a form's file, gives ``{"rating", "ratings", "tags", "text"}``;
GET /tags the tag list with its thresholds, GET /health a sign of life. Errors are ``{"error": text}``.
"""

import contextlib
import dataclasses
import io
import math
import os
import pathlib
import threading
import time

import flask
import numpy as np

from Utils.command.cli import UserError, WorkError
from Utils.images import codec
from Utils.serving import http_server, tag_selection, tag_table
from Utils.serving.micro_batching import Batcher
from Utils.tags import sidecars, tag_list

ASSETS = pathlib.Path(__file__).parent / "tagging_page"
RAW = ("image/", "application/octet-stream", "application/x-www-form-urlencoded")  # curl sends the last
SPARE_THREADS = 8  # that answer while every seat is taken


@dataclasses.dataclass(frozen=True)
class Bounds:
    """What one client may ask, and how much at a time."""

    body: int = 20 << 20  # bytes of an upload
    pixels: int = 50_000_000  # of a picture
    waiting: int = 64  # pictures that are decoded, wait or are tagged; more are sent away
    seconds: float = 30.0  # from the whole upload to the answer
    batch: int = 8  # pictures that the model sees at a time
    gather: float = 0.005  # seconds for which the first of them waits for others that are on their way

    @property
    def limits(self):
        """The limits of the web server, which keeps uploads in memory."""
        threads = self.waiting + SPARE_THREADS
        return http_server.Limits(
            body=self.body, threads=threads, connections=2 * threads, in_memory=self.body
        )


class RefusedError(Exception):
    """A request that is not answered with tags: status, text, headers."""

    def __init__(self, status, text, **headers):
        super().__init__(text)
        self.status, self.headers = status, headers


class _Request(flask.Request):
    """A request whose files stay in memory; flask writes larger ones to disk."""

    def _get_file_stream(self, *_, **__):
        return io.BytesIO()


class _App(flask.Flask):
    request_class = _Request


class Service:
    """Tags pictures for many clients at once; a context manager.

    Args:
        tagger: `Utils.serving.onnx_tagger.Tagger`.
        chooser: `Utils.serving.tag_selection.Chooser`.
        bounds: `Bounds`.
    """

    def __init__(self, tagger, chooser, bounds):
        self.tagger, self.chooser, self.bounds = tagger, chooser, bounds
        self._decoders = threading.Semaphore(len(os.sched_getaffinity(0)))
        self._seated, self._count, self._seconds, self._lock = 0, 0, 0.0, threading.Lock()
        self._batcher = Batcher(self._run, bounds.batch, bounds.gather, lambda: self._seated)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._batcher.__exit__()

    def _run(self, pictures):
        started = time.monotonic()
        found = self.tagger.probabilities(np.stack(pictures))
        with self._lock:
            self._count += len(pictures)
            self._seconds = 0.9 * self._seconds + 0.1 * (time.monotonic() - started) / len(pictures)
        return found

    def health(self):
        """Return what /health says."""
        return {
            "status": "ok",
            "model": self.tagger.name,
            "image_size": self.tagger.image_size,
            "num_tags": len(self.tagger.tags),
            "pictures": self._count,
        }

    def probabilities(self, data):
        """Return the probabilities (L,) of an encoded picture. Raises RefusedError."""
        deadline = time.monotonic() + self.bounds.seconds
        with self._seat():
            try:
                picture = self._decoded(data, deadline)
                return self._batcher.ask(picture, max(0.0, deadline - time.monotonic()))
            except TimeoutError:
                raise self._busy(f"no answer within {self.bounds.seconds:g} s; come again") from None

    @contextlib.contextmanager
    def _seat(self):
        """Count a picture as present while the block runs. Raises RefusedError where all seats are taken."""
        with self._lock:
            if self._seated >= self.bounds.waiting:
                raise self._busy(f"{self.bounds.waiting} pictures are waiting already; come again")
            self._seated += 1
        try:
            yield
        finally:
            with self._lock:
                self._seated -= 1

    def _decoded(self, data, deadline):
        try:
            _, width, height = codec.probe(data)
        except codec.ImageError as error:
            raise RefusedError(400, f"this cannot be used as a picture: {error}") from error
        if width * height > self.bounds.pixels:
            raise RefusedError(
                413, f"{width} x {height} pixels; {self.bounds.pixels} are allowed: send a smaller picture"
            )
        if not self._decoders.acquire(timeout=max(0.0, deadline - time.monotonic())):
            raise TimeoutError
        try:
            return codec.prepare(data, self.tagger.image_size)
        except codec.ImageError as error:
            raise RefusedError(400, f"this cannot be used as a picture: {error}") from error
        finally:
            self._decoders.release()

    def _busy(self, text):
        seconds = max(1, math.ceil(self._seconds * self.bounds.waiting))
        return RefusedError(503, text, **{"Retry-After": str(seconds)})


def application(service, names=()):
    """Return the Flask application of a Service. ``names`` may browsers call this machine."""
    app = _App(__name__, static_folder=None)
    http_server.serve_page(app, ASSETS)
    app.add_url_rule("/health", "health", lambda: flask.jsonify(service.health()))
    app.add_url_rule("/tags", "tags", lambda: flask.jsonify(described_tags(service)))
    app.add_url_rule("/tag", "tag", lambda: _tag(service), methods=["POST"])
    app.register_error_handler(RefusedError, _refused)
    app.register_error_handler(WorkError, lambda error: (flask.jsonify(error=str(error)), 500))
    app.json.sort_keys = False
    return http_server.guard(app, service.bounds.limits, names)


def _refused(error):
    return flask.jsonify(error=str(error)), error.status, error.headers


def described_tags(service):
    """Return what /tags says: every output of the model with its threshold, in order."""
    frame = service.tagger.tags
    columns = (frame[name].tolist() for name in tag_list.COLUMNS)
    return [
        {
            "tag_id": number,
            "name": name,
            "spaced": sidecars.spaced(name),
            "category": tag_list.category_name(code),
            "count": count,
            "threshold": None if code == tag_selection.RATING else round(float(limit), 6),
        }
        for number, name, code, count, limit in zip(*columns, service.chooser.thresholds, strict=True)
    ]


def _tag(service):
    asked = _asked(service, flask.request.args)
    probabilities = service.probabilities(_picture(flask.request))
    chosen = service.chooser.choose(probabilities, asked.thresholds)
    chosen = dataclasses.replace(chosen, tags=chosen.tags[: asked.max_tags])
    content = tag_table.record("", chosen)
    del content["path"]
    style = sidecars.Style(spaces=asked.spaces, escape=asked.escape)
    return flask.jsonify(content | {"text": ", ".join(sidecars.caption_words(chosen, style))})


@dataclasses.dataclass(frozen=True)
class _Asked:
    """What the words after the question mark ask for."""

    thresholds: np.ndarray
    max_tags: int | None
    spaces: bool
    escape: bool


_WORDS = ("threshold", "character_threshold", "max_tags", "spaces", "escape")


def _asked(service, words):
    unknown = sorted(set(words) - set(_WORDS))
    if unknown:
        raise RefusedError(400, f"/tag takes {', '.join(_WORDS)}; got {', '.join(unknown)}")
    thresholds, most = service.chooser.thresholds, _number(words, "max_tags", int)
    if most is not None and most < 1:
        raise RefusedError(400, f"max_tags must be 1 or more; got {most}")
    for name in _WORDS[:2]:
        value = _number(words, name, float)
        if value is not None:
            with _told():
                frame = service.tagger.tags
                thresholds = tag_selection.with_threshold(
                    thresholds, frame, value, name == "character_threshold"
                )
    flags = {name: words.get(name, "0") not in ("", "0", "false") for name in _WORDS[3:]}
    return _Asked(thresholds, most, **flags)


@contextlib.contextmanager
def _told():
    try:
        yield
    except UserError as error:
        raise RefusedError(400, str(error)) from error


def _number(words, name, kind):
    try:
        return kind(words[name]) if name in words else None
    except ValueError:
        raise RefusedError(400, f"{name} must be a number; got {words[name]!r}") from None


def _picture(request):
    """Return the bytes of the picture that a request brings. Raises RefusedError."""
    kind = request.mimetype or RAW[1]
    if kind == "multipart/form-data":
        files = [file for _, file in request.files.items(multi=True)]
        if len(files) != 1:
            raise RefusedError(400, f"a form with one file is needed; {len(files)} came")
        data = files[0].read()
    elif kind.startswith(RAW):
        data = request.get_data(cache=False)
    else:
        raise RefusedError(415, f"a picture is needed, as the body (image/*) or as a form's file; got {kind}")
    if not data:
        raise RefusedError(400, "a picture is needed; nothing came")
    return data
