"""Waitress with deadlines for clients, so that slow ones do not lock others out.

Waitress closes a connection that is silent for some time. A client that sends one byte now and then is never
silent, and as many of them as there are places keep everybody else out for as long as they like (the
"slowloris" attack, and phones on a bad network). Here the server's patience is counted from the moment at
which it begins to wait for a client, whatever trickles in, and when all places are taken the client that it
has waited for longest loses its place.
"""

import contextlib
import json
import math
import socket
import threading
import time
from collections.abc import Mapping
from typing import Any

from waitress import wasyncore
from waitress.channel import HTTPChannel
from waitress.parser import HTTPRequestParser, ParsingError
from waitress.server import TcpWSGIServer
from waitress.task import ErrorTask
from waitress.utilities import RequestEntityTooLarge

from Utils.files import damage

GRACE_SECONDS = 1.0  # that every client has, even while others wait for a place
FINISH_SECONDS = 30  # that replies in progress have once the server is asked to end
LINGER_BYTES = 1 << 28  # of a refused body that are read and thrown away, so that the client gets to read why
CHUNKED_BYTES = 1 << 12  # of a chunked body at a time: waitress copies what is left of it for every chunk


class DeadlineServer(TcpWSGIServer):
    """A server that gives up clients whose request is not whole after ``request_seconds``.

    Set ``request_seconds`` and ``error_headers`` on the class or the instance before it runs. Connections are
    closed in the loop's thread only: one that another closes while the loop looks at it ends the loop.
    """

    request_seconds = 60.0
    error_headers: Mapping[str, str] = {}
    is_stopping = False
    is_closed = False
    active_channels: dict[int, Any]  # DeadlineChannels by file number; waitress keeps it
    _map: dict[int, Any]  # all sockets of the loop: the channels, the listener and a trigger

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self.loop_thread, self._waking = threading.get_ident(), threading.Lock()
        super().__init__(*args, **kwargs)

    def run(self) -> None:
        """Answer until Ctrl-C, SystemExit or `stop`, then finish the replies in progress."""
        self.loop_thread = threading.get_ident()
        with contextlib.suppress(SystemExit, KeyboardInterrupt):
            wasyncore.loop(self.adj.asyncore_loop_timeout, self.adj.asyncore_use_poll, self._map)
        self.task_dispatcher.shutdown(timeout=FINISH_SECONDS)

    def stop(self) -> None:
        """Make `run`, in whichever thread it is, return."""
        self.is_stopping = True
        self.pull_trigger()

    def close(self) -> None:
        """Close all sockets, once `run` has returned."""
        self.loop_thread = threading.get_ident()
        for channel in list(self.active_channels.values()):
            channel.give_up()
            channel.handle_close()
        with self._waking:
            self.is_closed = True
            super().close()

    def pull_trigger(self) -> None:
        """Wake the loop; not after the end, when the number of its pipe may be that of another file."""
        with self._waking:
            if not self.is_closed:
                super().pull_trigger()

    def readable(self) -> bool:
        """Make room, then say whether another connection can be accepted."""
        if self.is_stopping:
            raise SystemExit  # it ends the loop
        excess = len(self._map) + 1 - self.adj.connection_limit
        if self.accepting and excess > 0:
            self._drop_slowest(excess)
        return super().readable()

    def maintenance(self, now: Any) -> None:
        """Close silent connections, as waitress does, and those whose request takes too long."""
        super().maintenance(now)
        for channel in self.active_channels.values():
            if not channel.requests and channel.waiting_since < now - self.request_seconds:
                channel.give_up()

    def _drop_slowest(self, count: int) -> None:
        """Drop the ``count`` clients that the server has waited for longest; some may be closing already."""
        closing = sum(channel.will_close for channel in self.active_channels.values())
        latest = time.time() - GRACE_SECONDS
        idle = [
            channel
            for channel in self.active_channels.values()
            if not channel.requests and not channel.will_close and channel.waiting_since < latest
        ]
        idle.sort(key=lambda channel: channel.waiting_since)
        for channel in idle[: max(0, count - closing)]:
            channel.give_up()


class JsonErrorTask(ErrorTask):
    """Sends errors of waitress itself, for example a header that is too large, as ``{"error": text}``."""

    def execute(self) -> None:
        """Write the reply; the connection ends after it."""
        error: Any = self.request.error  # pyright: ignore[reportAttributeAccessIssue]  set by its parser
        channel: Any = self.channel  # a DeadlineChannel; waitress declares its base class
        text = f"{error.reason}: {error.body}"
        if isinstance(error, RequestEntityTooLarge):  # waitress names its own limit, one above
            text = f"{error.reason}: {channel.adj.max_request_body_size - 1} bytes are allowed"
        body = json.dumps({"error": text}).encode()
        self.status = f"{error.code} {error.reason}"
        self.response_headers = [("Content-Type", "application/json"), *channel.server.error_headers.items()]
        self.set_close_on_finish()
        self.content_length = len(body)
        channel.lingers = True
        self.write(body)


class StrictParser(HTTPRequestParser):
    """A parser that answers what it cannot read, and asks for no body that is refused or does not come.

    What comes after the request is kept in ``ahead``.
    """

    ahead = b""

    def received(self, data: bytes) -> int:
        """Take bytes of the client; return how many need not come again: all of them after the last."""
        used = super().received(data[:CHUNKED_BYTES] if self.chunked else data)
        if not self.completed or self.empty:
            return used
        self.ahead = data[used:]
        return len(data)

    def parse_header(self, header_plus: bytes) -> None:
        """Read the header. Raises ParsingError, to which a 400 is the answer."""
        try:
            super().parse_header(header_plus)
        except ValueError as error:  # a length of thousands of digits, an address like http://[
            raise ParsingError(damage.reason(error)) from error
        if not (self.chunked or 0 < self.content_length < self.adj.max_request_body_size):
            self.expect_continue = False  # "100 Continue" would wait for it


class DeadlineChannel(HTTPChannel):
    """A connection that knows since when the server waits for its client."""

    parser_class = StrictParser
    error_task_class = JsonErrorTask
    lingers = False  # whether to read on after an error, so that the reply is not lost in a reset

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.waiting_since = time.time()
        self._discarded: int | None = None  # bytes thrown away so far, once the reply of an error is out
        self._ahead = b""  # received beyond the last request

    def give_up(self) -> None:
        """Close the connection in the next round of the server's loop."""
        self.lingers, self.will_close = False, True

    def service(self) -> None:
        """Answer the requests that are whole; from then on the server waits for the client again."""
        self.waiting_since = math.inf  # the request is gone, and the loop awake, before this returns
        request: Any = self.requests[0]  # a StrictParser; waitress declares its base class
        self._ahead = request.ahead
        super().service()
        self.waiting_since = time.time()

    def readable(self) -> bool:
        """Whether the server wants to read more from the client; what came ahead is taken first."""
        if self._discarded is not None:
            return not self.will_close
        if self._ahead and super().readable():
            data, self._ahead = self._ahead, b""
            self.received(data)
        return super().readable()

    def handle_read(self) -> None:
        """Take what the client sent; throw it away after an error."""
        if self._discarded is None:
            return super().handle_read()
        try:
            data = self.recv(self.adj.recv_bytes)
        except OSError:
            data = b""
        self._discarded += len(data)
        if not data or self._discarded > LINGER_BYTES:
            self.give_up()
        return None

    def handle_close(self) -> None:
        """Close; after an error only the sending half at first.

        A socket that is closed while bytes of the client are still coming is reset by the kernel, and a reset
        can overtake the reply. So the client is told that nothing more comes, and what it still sends is
        read. Another thread than the loop's, which finds the client gone, leaves the rest to the loop.
        """
        server: Any = self.server  # a DeadlineServer; waitress declares its base class
        if threading.get_ident() != server.loop_thread:
            self.will_close = True
            return
        if self.lingers and self.connected:
            self.lingers, self.will_close, self._discarded = False, False, 0
            try:
                if self.socket is not None:
                    self.socket.shutdown(socket.SHUT_WR)
                return
            except OSError:  # the client is gone
                self.will_close = True
        super().handle_close()


DeadlineServer.channel_class = DeadlineChannel  # pyright: ignore[reportAttributeAccessIssue]
