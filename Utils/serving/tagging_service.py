"""A tagger over HTTP: a page to drop images on, and an interface for programs; uploads stay in memory.

POST /tag with an image, as the body or as a form's file, returns ``{"rating", "ratings", "tags", "text"}``;
POST /map?tag=NAME a picture of where the image shows a tag; GET /tags the tag list with its thresholds;
GET /rules how selected tags are edited; GET /health whether the service is up; GET /models the models, of
which ``?model=NAME`` chooses one; GET /metrics counts for Prometheus; GET /openapi.json all of this for
programs. `other_interfaces` adds those that programs call already. Errors are ``{"error": text}``.
"""

import concurrent.futures
import contextlib
import dataclasses
import io
import math
import pathlib
import threading
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

import flask
import numpy as np

from Utils.command.cli import UserError, WorkError
from Utils.command.machine import num_cores
from Utils.images import codec
from Utils.serving import (
    http_server,
    metrics,
    openapi,
    other_interfaces,
    refusal,
    tag_selection,
    tag_table,
)
from Utils.serving.live_maps import LiveMaps
from Utils.serving.micro_batching import MicroBatcher
from Utils.serving.onnx_tagger import ServingTagger
from Utils.serving.refusal import RefusedError
from Utils.tags import sidecars, tag_categories, tag_list

ASSETS = pathlib.Path(__file__).parent / "tagging_page"
# Bodies that are taken as an image; curl --data-binary sends the last type unless told otherwise.
BODY_TYPES = ("image/", "application/octet-stream", "application/x-www-form-urlencoded")
JPEG_SCAN = b"\xff\xda"  # marker of a scan; coded data cannot hold it, since 0xff is followed by 0 there
MAX_SCANS = 100  # of a JPEG, each of which costs a pass over all pixels; usual progressive ones have 10
MAP_TIMEOUTS = 10  # of images, that a map of 65 predictions may take
SPARE_THREADS = 8  # that still answer (503, /health) while every place for an image is taken


@dataclasses.dataclass(frozen=True)
class ServiceLimits:
    """Limits on what one client may send and on how much is in progress at a time."""

    max_bytes: int = 20 << 20  # of an upload
    max_pixels: int = 50_000_000  # of an image
    max_images: int = 64  # that are decoded, wait or are tagged at a time; further ones are refused
    timeout: float = 30.0  # seconds from the end of the upload to the reply
    batch_size: int = 8  # images that the model gets at a time
    batch_wait: float = 0.005  # seconds that the first of them waits for others that are on their way

    @property
    def server_limits(self) -> http_server.ServerLimits:
        """The limits of the web server, which has a thread for every image and keeps uploads in memory."""
        threads = self.max_images + SPARE_THREADS
        return http_server.ServerLimits(
            max_bytes=self.max_bytes,
            threads=threads,
            max_connections=2 * threads,
            buffer_bytes=self.max_bytes,
        )


class _InMemoryRequest(flask.Request):
    """A request whose files stay in memory; flask writes larger ones to disk."""

    def _get_file_stream(self, *_: Any, **__: Any) -> io.BytesIO:  # pyright: ignore[reportIncompatibleMethodOverride]
        return io.BytesIO()


class _App(flask.Flask):
    request_class = _InMemoryRequest


class TaggingService:
    """Tags images for many clients at once; a context manager."""

    def __init__(
        self, tagger: ServingTagger, selector: tag_selection.TagSelector, limits: ServiceLimits
    ) -> None:
        self.tagger, self.selector, self.limits = tagger, selector, limits
        # A decoder cannot be interrupted; in a thread of its own it keeps nobody waiting beyond the deadline.
        max_decoders = num_cores()  # more decoders would only slow each other
        self._decoders = concurrent.futures.ThreadPoolExecutor(max_decoders, thread_name_prefix="decoder")
        self._lock = threading.Lock()
        self._maps = LiveMaps(tagger, MAP_TIMEOUTS * limits.timeout)
        self._is_ending = False
        self._present, self._decoding, self._tagged = 0, 0, 0  # images inside, decoded now, tagged so far
        self._seconds_per_image = 0.0  # of the model, a moving average
        self._batcher = MicroBatcher(
            self._run, limits.batch_size, limits.batch_wait, lambda: self._decoding, tagger.parallel_runs
        )

    def __enter__(self) -> "TaggingService":
        return self

    def __exit__(self, *_: object) -> None:
        self._is_ending = True
        self._decoders.shutdown(wait=False, cancel_futures=True)
        self._batcher.close()

    def _run(self, images: list[np.ndarray]) -> np.ndarray:
        started = time.monotonic()
        probabilities = self.tagger.probabilities(np.stack(images))
        seconds = (time.monotonic() - started) / len(images)
        with self._lock:
            self._tagged += len(images)
            self._seconds_per_image = 0.9 * self._seconds_per_image + 0.1 * seconds
        return probabilities

    def health(self) -> dict[str, Any]:
        """Return the content of /health."""
        return {
            "status": "ok",
            "model": self.tagger.name,
            "image_size": self.tagger.image_size,
            "num_tags": len(self.tagger.tags),
            "pictures": self._tagged,
        }

    def probabilities(self, data: bytes) -> np.ndarray:
        """Return the probabilities (L,) of an encoded image.

        Raises RefusedError where it is no image or too large, where too many wait, and after the timeout;
        WorkError where the model fails.
        """
        deadline = time.monotonic() + self.limits.timeout
        with self._place():
            try:
                with self._counted_as_decoding():
                    image = self._decoded(data, deadline)
                return self._batcher.result(image, max(0.0, deadline - time.monotonic()))
            except TimeoutError:
                raise self._busy(f"no answer within {self.limits.timeout:g} s; come again") from None
            except (RuntimeError, concurrent.futures.CancelledError):
                if not self._is_ending:
                    raise
                raise RefusedError(503, "the server is ending") from None

    @contextlib.contextmanager
    def _place(self) -> Iterator[None]:
        """Count an image as present while the block runs. Raises RefusedError where all places are taken."""
        with self._lock:
            if self._present >= self.limits.max_images:
                raise self._busy(f"{self.limits.max_images} pictures are waiting already; come again")
            self._present += 1
        try:
            yield
        finally:
            with self._lock:
                self._present -= 1

    @contextlib.contextmanager
    def _counted_as_decoding(self) -> Iterator[None]:
        with self._lock:
            self._decoding += 1
        try:
            yield
        finally:
            with self._lock:
                self._decoding -= 1

    def _decoded(self, data: bytes, deadline: float) -> np.ndarray:
        """Return the prepared image. Its size is read first, so that no bomb is decoded."""
        try:
            _, width, height = codec.probe(data)
        except codec.ImageError as error:
            raise RefusedError(400, f"this cannot be used as a picture: {error}") from error
        if width * height > self.limits.max_pixels:
            allowed = self.limits.max_pixels
            raise RefusedError(
                413, f"{width} x {height} pixels; {allowed} are allowed: send a smaller picture"
            )
        if data.count(JPEG_SCAN) > MAX_SCANS:
            raise RefusedError(413, f"a JPEG of more than {MAX_SCANS} scans would take too long to decode")
        decoding = self._decoders.submit(self.tagger.prepare, data, None)
        try:
            return decoding.result(max(0.0, deadline - time.monotonic()))
        except codec.ImageError as error:
            raise RefusedError(400, f"this cannot be used as a picture: {error}") from error
        finally:
            decoding.cancel()  # after a timeout: nobody waits for it any more

    def map(self, data: bytes, tag: str) -> bytes:
        """Return a PNG of an encoded image with a map of a tag over it, as `LiveMaps.png` does.

        It may take `MAP_TIMEOUTS` times as long as an image.
        """
        return self._maps.png(data, tag, self._decoded)

    def _busy(self, text: str) -> RefusedError:
        """Return a 503 that says when all waiting clients will have been answered."""
        seconds = max(1, math.ceil(self._seconds_per_image * self.limits.max_images))
        return RefusedError(503, text, {"Retry-After": str(seconds)})


Services = Mapping[str, TaggingService]  # by the name of the model; the first is the default


def make_app(services: TaggingService | Services, host_names: Collection[str] = ()) -> flask.Flask:
    """Return the Flask app of one service or several; browsers may call it by ``host_names``."""
    if isinstance(services, TaggingService):
        services = {services.tagger.name: services}
    app = _App(__name__, static_folder=None)
    app.before_request(_require_each_once)
    http_server.serve_page(app, ASSETS)
    app.add_url_rule("/health", "health", lambda: flask.jsonify(_health(services, _chosen_name(services))))
    app.add_url_rule(
        "/models", "models", lambda: flask.jsonify([_health(services, name) for name in services])
    )
    app.add_url_rule("/tags", "tags", lambda: flask.jsonify(tag_descriptions(_chosen(services))))
    app.add_url_rule("/map", "map", lambda: _map(_chosen(services)), methods=["POST"])
    app.add_url_rule("/rules", "rules", lambda: flask.jsonify(rules(_chosen(services).selector)))
    app.add_url_rule("/tag", "tag", lambda: _tag(_chosen(services)), methods=["POST"])
    other_interfaces.add(app, services)
    metrics.add(app, lambda: {name: service.health()["pictures"] for name, service in services.items()})
    app.add_url_rule("/openapi.json", "openapi", lambda: flask.jsonify(openapi.document()))
    app.register_error_handler(RefusedError, refusal.reply)
    app.register_error_handler(WorkError, lambda error: (flask.jsonify(error=str(error)), 500))
    app.json.sort_keys = False  # pyright: ignore[reportAttributeAccessIssue]  of flask's default provider
    limits = next(iter(services.values())).limits
    return http_server.protect(app, limits.server_limits, host_names)


def _require_each_once() -> None:
    for name, values in flask.request.args.lists():
        if len(values) > 1:
            raise RefusedError(400, f"an address has each option once; got {name} {len(values)} times")


def _chosen(services: Services) -> TaggingService:
    return services[_chosen_name(services)]


def _chosen_name(services: Services) -> str:
    """Return the name in ``?model=``, else the first. Raises RefusedError for another name."""
    name = flask.request.args.get("model") or next(iter(services))
    if name not in services:
        raise RefusedError(404, f"there is no model {name}; there are {', '.join(services)}")
    return name


def _health(services: Services, name: str) -> dict[str, Any]:
    """Return what a service says of itself, by the name under which it is served."""
    return services[name].health() | {"model": name}


def tag_descriptions(service: TaggingService) -> list[dict[str, Any]]:
    """Return the content of /tags: every output of the model with its threshold, in order."""
    columns = (service.tagger.tags[name].tolist() for name in tag_list.COLUMNS)
    return [
        {
            "tag_id": tag_id,
            "name": name,
            "spaced": sidecars.spaced(name),
            "category": tag_categories.name_of(code, tag_categories.names_of(service.tagger.tags)),
            "count": count,
            "threshold": None if code == tag_selection.RATING else round(float(threshold), 6),
        }
        for tag_id, name, code, count, threshold in zip(*columns, service.selector.thresholds, strict=True)
    ]


def _map(service: TaggingService) -> flask.Response:
    _require_known("/map", flask.request.args, ("tag", "model"))
    tag = flask.request.args.get("tag", "")
    if not tag:
        raise RefusedError(400, "the tag is missing that the map is of: /map?tag=NAME")
    return flask.Response(service.map(_image_bytes(flask.request), tag), mimetype="image/png")


def rules(selector: tag_selection.TagSelector) -> dict[str, Any]:
    """Return the content of /rules: what /tag?raw=1 leaves to its caller."""
    edits = {"aliases": {}, "implications": {}} if selector.edits is None else selector.edits.resolved
    return {"max_tags": selector.max_tags, **edits}


def _tag(service: TaggingService) -> flask.Response:
    query = _parse_query(service, flask.request.args)
    probabilities = service.probabilities(_image_bytes(flask.request))
    selection = service.selector.select(probabilities, query.thresholds, query.raw)
    selection = dataclasses.replace(selection, tags=selection.tags[: query.max_tags])
    content = tag_table.record("", selection)
    del content["path"]
    style = sidecars.Style(spaces=query.spaces, escape=query.escape)
    return flask.jsonify(content | {"text": ", ".join(sidecars.caption_words(selection, style))})


@dataclasses.dataclass(frozen=True)
class _Query:
    """The options after the question mark of /tag."""

    thresholds: np.ndarray  # float64 (L,)
    max_tags: int | None
    spaces: bool
    escape: bool
    raw: bool


_THRESHOLDS, _FLAGS = ("threshold", "character_threshold"), ("spaces", "escape", "raw")
_QUERY_NAMES = (*_THRESHOLDS, "max_tags", *_FLAGS, "model")


def _parse_query(service: TaggingService, arguments: Mapping[str, str]) -> _Query:
    _require_known("/tag", arguments, _QUERY_NAMES)
    max_tags = _number(arguments, "max_tags", int)
    if max_tags is not None and max_tags < 1:
        raise RefusedError(400, f"max_tags must be 1 or more; got {max_tags}")
    flags = {name: _flag(arguments, name) for name in _FLAGS}
    return _Query(_thresholds(service, arguments), max_tags, **flags)


def _require_known(path: str, arguments: Mapping[str, str], names: Sequence[str]) -> None:
    unknown = sorted(set(arguments) - set(names))
    if unknown:
        raise RefusedError(400, f"{path} takes {', '.join(names)}; got {', '.join(unknown)}")


def _flag(arguments: Mapping[str, str], name: str) -> bool:
    value = arguments.get(name, "").lower()
    if value not in ("", "0", "false", "1", "true"):
        raise RefusedError(400, f"{name} must be 0 or 1; got {value!r}")
    return value in ("1", "true")


def _thresholds(service: TaggingService, arguments: Mapping[str, str]) -> np.ndarray:
    thresholds = service.selector.thresholds
    for name in _THRESHOLDS:
        value = _number(arguments, name, float)
        if value is not None:
            characters_only = name == "character_threshold"
            try:
                thresholds = tag_selection.override_threshold(
                    thresholds, service.tagger.tags, value, characters_only
                )
            except UserError as error:
                raise RefusedError(400, str(error)) from error
    return thresholds


def _number(arguments: Mapping[str, str], name: str, kind: type[int] | type[float]) -> Any:
    try:
        return kind(arguments[name]) if name in arguments else None
    except ValueError:
        raise RefusedError(400, f"{name} must be a number; got {arguments[name]!r}") from None


def _image_bytes(request: flask.Request) -> bytes:
    """Return the bytes of the image that a request brings. Raises RefusedError."""
    content_type = request.mimetype or "application/octet-stream"
    if content_type == "multipart/form-data":
        files = [file for _, file in request.files.items(multi=True)]
        if len(files) != 1:
            raise RefusedError(400, f"a form with one file is needed; {http_server.files_that_came(files)}")
        if request.form:  # an option there would have no effect
            names = ", ".join(request.form)
            raise RefusedError(400, f"the form has {names}; options stand in the address: /tag?threshold=0.5")
        data = files[0].read()
    elif content_type.startswith(BODY_TYPES):
        data = request.get_data(cache=False)
    else:
        raise RefusedError(
            415, f"a picture is needed, as the body (image/*) or as a form's file; got {content_type}"
        )
    if not data:
        raise RefusedError(400, "a picture is needed; nothing came")
    return data
