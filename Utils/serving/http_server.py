"""Flask apps behind waitress: size and time limits, checks of host and origin, an orderly end.

A server answers its own machine only, unless told otherwise. That alone does not keep out a web page that is
open in a browser on this machine. Such a page can send requests here by DNS rebinding (its host name resolves
to 127.0.0.1) or with a cross-site form. `protect` refuses both.
"""

import argparse
import contextlib
import dataclasses
import functools
import ipaddress
import json
import logging
import pathlib
import select
import signal
import socket
import sys
import threading
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

import flask
from flask import abort, jsonify, request
from waitress.adjustments import Adjustments
from werkzeug.exceptions import HTTPException

from Utils.command.cli import UserError
from Utils.command.machine import max_open_files
from Utils.files import damage, strict_json
from Utils.serving.client_deadlines import DeadlineServer

LOOPBACK = "127.0.0.1"
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "img-src 'self' data: blob:; base-uri 'none'; form-action 'self'; frame-ancestors 'none'",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
RECEIVED_BYTES = 1 << 17  # at a time: a picture in one or two rounds of the server's loop
MEMORY_BYTES = 1 << 30  # of a reply, in place of a temporary file: a map shows the picture that was sent
OTHER_FILES = 64  # that a process holds open beside its connections
SELECTABLE = 500  # connections that Windows looks at, which has no poll
MIME_TYPES = {".html": "text/html", ".js": "text/javascript", ".css": "text/css"}
_READING_METHODS = ("GET", "HEAD", "OPTIONS")


@dataclasses.dataclass(frozen=True)
class ServerLimits:
    """Limits on how much a server works on at a time."""

    max_bytes: int = 1 << 20  # of a request's body
    threads: int = 4  # requests that are answered at a time; further ones wait
    max_connections: int = 64  # that are open at a time; further ones wait
    idle_seconds: int = 30  # after which a silent connection is closed
    request_seconds: float = 60.0  # from the last reply to the end of the next request, whatever trickles in
    buffer_bytes: int = 1 << 19  # of a body that stay in memory; a longer body goes through a temporary file


DEFAULT_LIMITS = ServerLimits()


def add_arguments(parser: argparse.ArgumentParser, port: int = 8000) -> None:
    """Add --port, --host and --allow-host to a command's parser."""
    parser.add_argument("--port", type=int, default=port, help=f"port to listen on, 0: any free one ({port})")
    parser.add_argument(
        "--host", default=LOOPBACK, type=_address,
        help=f"address to listen on ({LOOPBACK}: this machine only; 0.0.0.0: every network it is in)",
    )  # fmt: skip
    parser.add_argument(
        "--allow-host", metavar="NAME", action="append", default=[], type=_host_name,
        help="host name that browsers may use for this machine, besides localhost and addresses (repeat it)",
    )  # fmt: skip


def _address(text: str) -> str:
    if not text:  # a variable that is not set, which sockets take for every network
        raise argparse.ArgumentTypeError("an address is needed; 0.0.0.0 is every network")
    return text


def _host_name(text: str) -> str:
    try:
        is_name = urlsplit(f"//{text}").hostname == text.lower() and text.isprintable()
    except ValueError:
        is_name = False
    if not is_name or "*" in text:
        raise argparse.ArgumentTypeError(f"a host's name, without scheme and port; got {text!r}")
    return text


def serve_page(app: flask.Flask, folder: pathlib.Path) -> None:
    """Serve a folder's page.html at ``/`` and its scripts and styles at their names, all read now."""
    for path in sorted(folder.iterdir()):
        if path.suffix in MIME_TYPES:
            route = "/" if path.name == "page.html" else f"/{path.name}"
            app.add_url_rule(route, f"page {path.name}", _file_view(path))


def _file_view(path: pathlib.Path) -> Callable[[], flask.Response]:
    content, mime_type = path.read_bytes(), f"{MIME_TYPES[path.suffix]}; charset=utf-8"
    # Browsers ask again every time: a page of an older version must not meet a newer script.
    return lambda: flask.Response(content, content_type=mime_type, headers={"Cache-Control": "no-cache"})


def protect(
    app: flask.Flask, limits: ServerLimits = DEFAULT_LIMITS, host_names: Collection[str] = ()
) -> flask.Flask:
    """Make a Flask app refuse requests that neither its own pages nor programs send; return the app.

    - 403: the Host header is neither an IP address nor localhost nor one of ``host_names``.
    - 403: a page of another origin sent a request that may change something (no GET, HEAD or OPTIONS).
    - 415: the body is compressed (Content-Encoding); nobody undoes that, so that none can grow.
    - 413: the body is larger than ``limits.max_bytes``.

    Errors are JSON, ``{"error": text}``. Every reply has HEADERS, except those that the app sets itself.
    """
    app.config["MAX_CONTENT_LENGTH"] = limits.max_bytes
    app.config["MAX_FORM_MEMORY_SIZE"] = limits.max_bytes  # else a file without a name would be a 413
    allowed = frozenset({"localhost", *(name.lower() for name in host_names)})

    @app.before_request
    def _refuse_foreign_requests() -> None:
        host = request.headers.get("Host")
        if host and not _is_allowed_host(host, allowed):
            abort(403, f"this server is not called {host!r}; --allow-host NAME allows a name")
        if request.method not in _READING_METHODS and _is_cross_origin(host):
            abort(403, "a page of another origin sent this")
        coding = request.headers.get("Content-Encoding", "").strip()
        if coding.lower() not in ("", "identity"):
            abort(415, f"the body must come as it is, not compressed; got Content-Encoding: {coding}")

    @app.after_request
    def _add_headers(response: flask.Response) -> flask.Response:
        for name, value in HEADERS.items():
            response.headers.setdefault(name, value)
        return response

    @app.errorhandler(HTTPException)
    def _error_as_json(error: HTTPException) -> tuple[flask.Response, int, dict[str, str]]:
        headers = dict(error.get_headers())  # Allow of a 405 among them
        headers.pop("Content-Type", None)
        return jsonify(error=error.description), error.code or 500, headers

    return app


def files_that_came(files: Sequence[object]) -> str:
    """Return how many files the form of this request brought, and what came where it is none."""
    others, fields = ", ".join(request.files), ", ".join(request.form)
    why = f", and files named {others}" if others else ""
    why += f", and fields without a filename: {fields}; curl -F file=@1.png sends a file" if fields else ""
    return f"{len(files)} came{why if not files else ''}"


def json_body() -> Any:
    """Return the JSON value of the present request's body.

    Aborts with 415 where the request does not say that it is JSON, which a form of another page cannot; with
    400 where it is none, is nested too deep for Python, holds NaN or an infinity, or has a name twice.
    """
    if not request.is_json:
        abort(415, f"JSON is needed (Content-Type: application/json); got {request.mimetype or 'no type'}")
    try:
        return strict_json.loads(request.get_data(), parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        abort(400, f"the body cannot be read as JSON: {damage.reason(error)}")


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is no number of JSON")


@functools.lru_cache(maxsize=64)
def _is_allowed_host(host: str, allowed: frozenset[str]) -> bool:
    """Whether a Host header names an allowed host or an address: no DNS entry can redirect an address."""
    try:
        name = urlsplit(f"//{host}").hostname or ""
        if name in allowed:
            return True
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _is_cross_origin(host: str | None) -> bool:
    """Whether the browser says that a page of another origin sent the request.

    Programs send neither header, and nobody can make a browser leave both out.
    """
    origin = request.headers.get("Origin")
    if origin is not None:
        with contextlib.suppress(ValueError):  # no browser sends what cannot be read
            return urlsplit(origin).netloc.lower() != (host or "").lower()
        return True
    return request.headers.get("Sec-Fetch-Site", "same-origin") not in ("same-origin", "none")


def bind(host: str = LOOPBACK, port: int = 8000) -> socket.socket:
    """Return a listening socket; clients that connect wait until a server takes it over.

    Raises UserError for a port that is taken or no port, and for an address that this machine lacks.
    """
    if not 0 <= port < 1 << 16:
        raise UserError(f"a port is a number from 0 to 65535; got {port}")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family)
    except OSError as error:
        raise UserError(f"cannot listen on {host}, port {port}: {error}; give another --port") from error


def listen(
    app: flask.Flask, host: str = LOOPBACK, port: int = 8000, limits: ServerLimits = DEFAULT_LIMITS
) -> DeadlineServer:
    """Return `make_server` of an app on a port that is bound at once. Raises UserError like `bind`."""
    return make_server(app, bind(host, port), limits)


def make_server(
    app: flask.Flask, bound: socket.socket, limits: ServerLimits = DEFAULT_LIMITS
) -> DeadlineServer:
    """Return waitress' server of an app on a socket of `bind`; it answers once it runs."""
    logging.getLogger("waitress").setLevel(logging.ERROR)  # it warns of every request that waits
    info = (bound.family, bound.type, bound.proto, bound.getsockname())
    adjustments = Adjustments(
        sockets=[bound],
        threads=limits.threads,
        connection_limit=_fitting(limits.max_connections),
        asyncore_use_poll=hasattr(select, "poll"),  # select fails at file 1024
        max_request_body_size=limits.max_bytes + 1,  # waitress refuses a body of exactly its limit
        inbuf_overflow=limits.buffer_bytes,
        outbuf_overflow=MEMORY_BYTES,
        recv_bytes=RECEIVED_BYTES,
        max_request_header_size=1 << 16,
        channel_timeout=limits.idle_seconds,
        cleanup_interval=1,
        ident="",
    )
    server = DeadlineServer(app, map={}, _sock=bound, adj=adjustments, bind_socket=False, sockinfo=info)
    server.request_seconds, server.error_headers = limits.request_seconds, HEADERS
    return server


def _fitting(max_connections: int) -> int:
    """Return how many connections the system allows, of those that are wanted."""
    files = max_open_files()
    most = max_connections if files is None else max(8, files - OTHER_FILES)
    return min(max_connections, most, max_connections if hasattr(select, "poll") else SELECTABLE)


def url_of(server: Any) -> str:
    """Return the URL to open in a browser, for example ``http://127.0.0.1:8000/``."""
    host, port = server.effective_host, server.effective_port
    host = str({"0.0.0.0": LOOPBACK, "::": "::1"}.get(host, host))  # "every network" is no address to open
    return f"http://[{host}]:{port}/" if ":" in host else f"http://{host}:{port}/"


def announce(server: Any, facts: Mapping[str, Any] | None = None) -> None:
    """Print the server's address; with facts one JSON object of both, in one line."""
    url = url_of(server)
    print(f"{url} until Ctrl-C" if facts is None else json.dumps({"url": url, **facts}), flush=True)


def is_local(host: str) -> bool:
    """Whether an address to listen on is reachable from this machine only."""
    with contextlib.suppress(ValueError):
        return ipaddress.ip_address(host).is_loopback
    return host == "localhost"


def run(server: Any) -> None:
    """Answer until Ctrl-C or SIGTERM; requests that are in progress are finished."""
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    server.run()  # returns on Ctrl-C and on SystemExit
    server.close()
