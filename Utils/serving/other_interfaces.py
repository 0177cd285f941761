"""The interfaces that programs call already, beside this project's own.

- ``/api/gettags/`` of the original SW-CV-ModelZoo's tags_server: ``{"image": base64, "thresh"}`` gives a list
  of names, of series and characters with a namespace.
- ``/tagger/v1/interrogate`` and ``/tagger/v1/interrogators`` of the WD14 tagger for stable-diffusion-webui:
  ``{"image": base64, "model", "threshold"}``. toriato's clients read ``caption[name]``, picobyte's
  ``caption["tag"][name]`` and ``caption["rating"]``; the reply holds both.
- ``/evaluate`` of danbooru/autotagger: a form of files with ``threshold`` (0.1) and ``limit`` (50) gives
  ``[{"filename", "tags": {name: probability}}]``.
"""

import base64
import binascii
import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import flask
import numpy as np

from Utils.serving import http_server
from Utils.serving.refusal import RefusedError

if TYPE_CHECKING:
    from Utils.serving.tag_selection import Selection
    from Utils.serving.tagging_service import TaggingService

_NAMESPACES = {0: "", 3: "series:", 4: "character:"}  # categories that the original names
_RATING_LETTERS = {"general": "g", "sensitive": "s", "questionable": "q", "explicit": "e"}
_INTERROGATE_THRESHOLD = 0.35  # toriato's
_EVALUATE_THRESHOLD, _EVALUATE_LIMIT = 0.1, 50


def add(app: flask.Flask, services: "Mapping[str, TaggingService]") -> None:
    """Add the routes to an app; the first service is the default."""
    first = next(iter(services.values()))
    add_rule = app.add_url_rule
    add_rule("/api/gettags/", "gettags", lambda: _gettags(first), methods=["POST"], strict_slashes=False)
    add_rule("/tagger/v1/interrogate", "interrogate", lambda: _interrogate(services), methods=["POST"])
    add_rule("/tagger/v1/interrogators", "interrogators", lambda: flask.jsonify(models=list(services)))
    add_rule("/evaluate", "evaluate", lambda: _evaluate(first), methods=["POST"])


def _select(service: "TaggingService", data: bytes, threshold: float | None) -> "Selection":
    """Return the tags of an image above one threshold, or above the service's own."""
    probabilities = service.probabilities(data)
    limits = None if threshold is None else np.full(len(probabilities), threshold)
    return service.selector.select(probabilities, limits)


def _gettags(service: "TaggingService") -> flask.Response:
    body = _object(http_server.json_body())
    selection = _select(service, _base64(body), _threshold(body.get("thresh")))
    row_of = {tag_id: row for row, tag_id in enumerate(service.tagger.tags["tag_id"])}
    tags = sorted(
        (tag for tag in selection.tags if tag.category in _NAMESPACES), key=lambda tag: row_of[tag.tag_id]
    )  # in the order of the list, as the original does
    return flask.jsonify([f"{_NAMESPACES[tag.category]}{tag.name}" for tag in tags])


def _interrogate(services: "Mapping[str, TaggingService]") -> flask.Response:
    body = _object(http_server.json_body())
    name = body.get("model") or next(iter(services))
    if not isinstance(name, str) or name not in services:
        raise RefusedError(404, f"Model not found: {name!r}; there are {', '.join(services)}")
    threshold = _threshold(body.get("threshold", _INTERROGATE_THRESHOLD))
    selection = _select(services[name], _base64(body), threshold)
    ratings = {tag.name: tag.probability for tag in selection.ratings}
    tags = {tag.name: tag.probability for tag in selection.tags}
    return flask.jsonify(caption={**ratings, **tags, "tag": tags, "rating": ratings})


def _evaluate(service: "TaggingService") -> flask.Response:
    values, files = flask.request.values, flask.request.files.getlist("file")
    if values.get("format", "json") != "json":
        raise RefusedError(400, f"format=json is known only; got {values['format']}")
    if not files or len(files) > service.limits.max_images:
        most, came = service.limits.max_images, http_server.files_that_came(files)
        raise RefusedError(400, f"a form with 1 to {most} files named file is needed; {came}")
    threshold = _threshold(values.get("threshold", _EVALUATE_THRESHOLD))
    try:
        limit = int(values.get("limit", _EVALUATE_LIMIT))
    except ValueError:
        limit = -1
    if limit < 0:
        raise RefusedError(400, f"limit must be a whole number of at least 0; got {values['limit']!r}")
    results = []
    for file in files:
        try:
            selection = _select(service, file.read(), threshold)
        except RefusedError as error:
            raise RefusedError(error.status, f"{file.filename}: {error}", error.headers) from error
        scored = {tag.name: tag.probability for tag in selection.tags}
        ratings = {_rating_name(tag.name): tag.probability for tag in selection.ratings}
        scored |= {name: value for name, value in ratings.items() if value > (threshold or 0)}
        ranked = sorted(scored.items(), key=lambda pair: -pair[1])[:limit]
        results.append({"filename": file.filename, "tags": dict(ranked)})
    return flask.jsonify(results)


def _rating_name(name: str) -> str:
    return f"rating:{_RATING_LETTERS.get(name, name)}"


def _object(body: Any) -> dict[str, Any]:
    if not isinstance(body, dict):
        raise RefusedError(400, "a JSON object is needed")
    return body


def _base64(body: Mapping[str, Any]) -> bytes:
    """Return the image of a request, in base64 with or without ``data:image/png;base64,`` before it."""
    text = body.get("image")
    if not isinstance(text, str) or not text:
        raise RefusedError(400, "image must be a picture in base64")
    if text.startswith("data:"):
        text = text.partition(",")[2]
    try:
        return base64.b64decode("".join(text.split()), validate=True)
    except (binascii.Error, ValueError) as error:
        raise RefusedError(400, f"image must be a picture in base64: {error}") from error


def _threshold(value: Any) -> float | None:
    if value is None:
        return None
    try:
        number = math.nan if isinstance(value, bool) else float(value)
    except (TypeError, ValueError, OverflowError):  # a whole number may have any number of digits
        number = math.nan
    if not 0 <= number <= 1:
        raise RefusedError(400, f"a threshold is a number from 0 to 1; got {value!r}")
    return number
