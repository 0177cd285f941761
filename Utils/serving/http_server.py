"""Web pages and services of this machine: Flask applications behind waitress, with limits and a door.

By default only this machine is answered. A page of elsewhere that is open in the same browser can send
requests here too, by a name that was made to lead here (DNS rebinding) or with a form; both are refused.
"""

import contextlib
import dataclasses
import ipaddress
import json
import logging
import pathlib
import signal
import socket
import sys
import threading
from collections.abc import Callable
from urllib.parse import urlsplit

import waitress
from flask import Flask, Response, abort, jsonify, request
from waitress.channel import HTTPChannel
from waitress.task import ErrorTask
from werkzeug.exceptions import HTTPException

from Utils.command.cli import UserError

LOOPBACK = "127.0.0.1"
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "img-src 'self' data: blob:; base-uri 'none'; form-action 'self'; frame-ancestors 'none'",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
MIME_TYPES = {".html": "text/html", ".js": "text/javascript", ".css": "text/css"}
_HARMLESS = ("GET", "HEAD", "OPTIONS")


@dataclasses.dataclass(frozen=True)
class Limits:
    """What a server takes on."""

    body: int = 1 << 20  # bytes of a request
    threads: int = 4  # requests answered at a time; others wait
    connections: int = 64  # open ones; others wait
    idle: int = 30  # seconds after which a silent connection is closed
    in_memory: int = 1 << 19  # bytes of a body that stay in memory; a longer one goes through a file


LIMITS = Limits()


def add_arguments(parser, port=8000):
    """Add --port, --host and --allow-host to a command's parser."""
    parser.add_argument("--port", type=int, default=port, help=f"port to listen on, 0: any ({port})")
    parser.add_argument(
        "--host", default=LOOPBACK,
        help=f"address to listen on ({LOOPBACK}: this machine only; 0.0.0.0: whoever reaches it)",
    )  # fmt: skip
    parser.add_argument(
        "--allow-host", metavar="NAME", action="append", default=[],
        help="a name by which browsers may call this machine, besides localhost and addresses; repeat it",
    )  # fmt: skip


def serve_page(app: Flask, folder: pathlib.Path) -> None:
    """Serve a folder's page.html at ``/`` and its scripts and styles at their names, all read now."""
    for path in sorted(folder.iterdir()):
        if path.suffix in MIME_TYPES:
            route = "/" if path.name == "page.html" else f"/{path.name}"
            app.add_url_rule(route, f"page {path.name}", _file_view(path))


def _file_view(path: pathlib.Path) -> Callable[[], Response]:
    content, mime_type = path.read_bytes(), f"{MIME_TYPES[path.suffix]}; charset=utf-8"
    # Browsers ask again every time: a page of an older version must not meet a newer script.
    return lambda: Response(content, content_type=mime_type, headers={"Cache-Control": "no-cache"})


def guard(app, limits=LIMITS, names=()):
    """Make a Flask application refuse what its own pages and programs do not send; return it.

    Refused with 403 are a Host that is neither an address nor localhost nor one of ``names`` and, unless they
    only read, requests from pages of another origin; with 413 a body above the limit. Errors are JSON,
    ``{"error": text}``. Every answer has HEADERS, unless it sets its own.
    """
    app.config["MAX_CONTENT_LENGTH"] = limits.body
    known = {"localhost", *(name.lower() for name in names)}

    @app.before_request
    def _door():
        host = request.headers.get("Host")
        if host and not _may_be_called(host, known):
            abort(403, f"this server is not called {host!r}; --allow-host NAME allows a name")
        if request.method not in _HARMLESS and _is_foreign(host):
            abort(403, "a page of another origin sent this")

    @app.after_request
    def _headers(response):
        for name, value in HEADERS.items():
            response.headers.setdefault(name, value)
        return response

    @app.errorhandler(HTTPException)
    def _error(error):
        return jsonify(error=error.description), error.code

    return app


def _may_be_called(host, known):
    """Whether a Host header is an address, which nobody can make lead elsewhere, or a known name."""
    try:
        name = urlsplit(f"//{host}").hostname or ""
        if name in known:
            return True
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _is_foreign(host):
    """Whether the browser says that a page of another origin sent the request; programs say nothing."""
    origin = request.headers.get("Origin")
    if origin is not None:
        return urlsplit(origin).netloc.lower() != (host or "").lower()
    return request.headers.get("Sec-Fetch-Site", "same-origin") not in ("same-origin", "none")


def bind(host=LOOPBACK, port=8000):
    """Return a socket that listens: whoever calls waits until a server takes it.

    Raises UserError where the port is taken or the address is not this machine's.
    """
    if not 0 <= port < 1 << 16:
        raise UserError(f"a port is a number from 0 to 65535; got {port}")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family)
    except OSError as error:
        raise UserError(f"cannot listen on {host}, port {port}: {error}; give another --port") from error


def listen(app, host=LOOPBACK, port=8000, limits=LIMITS):
    """Return the `server` of an app on a port that is bound now."""
    return server(app, bind(host, port), limits)


def server(app, listening, limits=LIMITS):
    """Return waitress' server on a socket from `bind`; it answers once it runs."""
    logging.getLogger("waitress").setLevel(logging.ERROR)  # it warns of every request that waits
    made = waitress.create_server(
        app,
        sockets=[listening],
        threads=limits.threads,
        connection_limit=limits.connections,
        max_request_body_size=limits.body + 1,  # waitress refuses what is as large as this
        inbuf_overflow=limits.in_memory,
        max_request_header_size=1 << 16,
        channel_timeout=limits.idle,
        cleanup_interval=min(limits.idle, 30),
        ident="",
    )
    made.channel_class = _Channel
    return made


class _Refusal(ErrorTask):
    """What waitress itself refuses, such as a body that is too large, is told as the app tells errors."""

    def execute(self):
        error = self.request.error
        body = json.dumps({"error": f"{error.reason}: {error.body}"}).encode()
        self.status = f"{error.code} {error.reason}"
        self.response_headers.extend([("Content-Type", "application/json"), *HEADERS.items()])
        self.set_close_on_finish()
        self.content_length = len(body)
        self.write(body)


class _Channel(HTTPChannel):
    error_task_class = _Refusal


def address(server):
    """Return the address to open in a browser, such as ``http://127.0.0.1:8000/``."""
    host, port = server.effective_host, server.effective_port
    host = {"0.0.0.0": LOOPBACK, "::": "::1"}.get(host, host)
    return f"http://[{host}]:{port}/" if ":" in host else f"http://{host}:{port}/"


def is_local(host):
    """Whether what listens on an address can be reached from this machine only."""
    with contextlib.suppress(ValueError):
        return ipaddress.ip_address(host).is_loopback
    return host == "localhost"


def run(server):
    """Answer until Ctrl-C or SIGTERM; requests that are being answered are finished."""
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    server.run()  # returns on Ctrl-C and on SystemExit
    server.close()
