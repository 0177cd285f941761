"""Utils/serving/client_deadlines.py: slow clients lose their places, others are answered."""

import contextlib
import dataclasses
import http.client
import json
import math
import socket
import time
import urllib.parse

import flask
import pytest
from helpers import servers
from waitress import buffers
from waitress.channel import HTTPChannel
from waitress.receiver import ChunkedReceiver

from Utils.serving import client_deadlines, http_server

# A connection may be silent for long: only what a test is about ends one.
LIMITS = http_server.ServerLimits(max_bytes=1000, max_connections=12, idle_seconds=1000, request_seconds=1000)
REQUEST = b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n"
PATIENCE = 60  # seconds, of this side
LARGE = 4 << 20  # bytes of a reply


@contextlib.contextmanager
def running(**limits):
    """Yield the server of a small app, which answers from a thread."""
    app, limits = flask.Flask(__name__), dataclasses.replace(LIMITS, **limits)
    app.add_url_rule("/", "read", lambda: "read")
    app.add_url_rule("/", "write", lambda: str(len(flask.request.get_data())), methods=["POST"])
    app.add_url_rule("/large", "large", lambda: bytes(LARGE))
    app.add_url_rule("/json", "json", lambda: str(type(http_server.json_body())), methods=["POST"])
    with servers.running(http_server.protect(app, limits), limits) as server:
        yield server


def address_of(server):
    parts = urllib.parse.urlsplit(http_server.url_of(server))
    return parts.hostname, parts.port


@contextlib.contextmanager
def served(**limits):
    """Yield (host, port) of a small app that is answered from a thread."""
    with running(**limits) as server:
        yield address_of(server)


def connect(address):
    return socket.create_connection(address, timeout=PATIENCE)


def wait_until(condition):
    until = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.005)


def reply_of(line):
    """All that the server sends until it closes."""
    return b"".join(iter(lambda: line.recv(1 << 16), b""))


@pytest.mark.reliability(
    "More clients than there are places never end their requests",
    "the slowest lose their places, others are answered",
)
@pytest.mark.parametrize(
    "start", [b"GET / HTTP/1.1\r\nX-a: ", b"POST / HTTP/1.1\r\nContent-Length: 900\r\n\r\n", b""]
)
def test_slow_clients_do_not_lock_others_out(monkeypatch, start):
    monkeypatch.setattr(client_deadlines, "GRACE_SECONDS", 0.1)
    with served() as address, contextlib.ExitStack() as stack:
        slow = [stack.enter_context(connect(address)) for _ in range(3 * LIMITS.max_connections)]
        until = time.monotonic() + 0.3
        while time.monotonic() < until:  # they are never silent
            for line in slow:
                with contextlib.suppress(OSError):
                    line.sendall(start or b"\r\n")
            start = b"b" if start else b""
            time.sleep(0.05)
        with connect(address) as line:
            line.sendall(REQUEST)
            assert reply_of(line).endswith(b"read")


@pytest.mark.reliability(
    "A client sends a byte now and then", "its connection ends at a deadline for the whole request"
)
def test_a_request_has_a_deadline_whatever_trickles_in():
    with served(request_seconds=0.3) as address, connect(address) as line:
        line.sendall(b"POST / HTTP/1.1\r\nContent-Length: 900\r\n\r\n")
        until = time.monotonic() + PATIENCE
        with pytest.raises(OSError):  # noqa: PT011  a reset or a broken pipe, as the system has it
            while time.monotonic() < until:
                line.sendall(b"b")
                time.sleep(0.05)


@pytest.mark.reliability(
    "Clients ask for more than they read, many requests at a time",
    "others are answered; each gets its next reply when it has read the last",
)
def test_clients_that_do_not_read_hold_no_thread():
    request = b"GET /large HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
    with served(threads=1) as address, connect(address) as greedy:
        greedy.sendall(10 * request + REQUEST)  # 40 MB of replies: waitress holds a thread from 16 MB on
        assert greedy.recv(8) == b"HTTP/1.1"
        for _ in range(10):  # the thread takes turns
            with connect(address) as line:
                line.sendall(REQUEST)
                assert reply_of(line).endswith(b"read")
        replies = reply_of(greedy)
    assert replies.count(b"HTTP/1.1 200 OK") == 10
    assert replies.count(b"\0") == 10 * LARGE
    assert replies.endswith(b"read")


def test_a_reply_that_waits_for_its_client_stays_in_memory(monkeypatch):
    """Waitress puts more than 1 MiB into a temporary file; a map shows the picture that somebody has sent."""
    files = []
    monkeypatch.setattr(buffers.TempfileBasedBuffer, "newfile", files.append)
    with served() as address, connect(address) as line:
        line.sendall(b"GET /large HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n")
        assert reply_of(line).count(b"\0") == LARGE
    assert files == []


def test_a_body_in_tiny_chunks_is_looked_at_in_pieces(monkeypatch):
    """Waitress copies the rest of what it is given for every chunk: of 128 KiB in 20,000 chunks a second."""
    sizes = []

    def received(receiver, data):
        sizes.append(len(data))
        return receive(receiver, data)

    receive = ChunkedReceiver.received
    monkeypatch.setattr(ChunkedReceiver, "received", received)
    start = b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n"
    with served(max_bytes=1 << 20) as address, connect(address) as line:
        line.sendall(start + b"1\r\na\r\n" * 20_000 + b"0\r\n\r\n" + REQUEST)
        reply = reply_of(line)
    assert reply.count(b"200 OK") == 2
    assert b"20000" in reply
    assert reply.endswith(b"read")
    assert max(sizes) <= client_deadlines.CHUNKED_BYTES


def test_a_connection_that_is_used_has_no_deadline():
    """Its seconds are counted from the last reply; the clock is the argument of the server's own look."""
    with running(request_seconds=500) as server:
        line = http.client.HTTPConnection(*address_of(server), timeout=PATIENCE)
        line.connect()
        wait_until(lambda: server.active_channels)
        (channel,) = server.active_channels.values()
        for _ in range(3):
            begun = channel.waiting_since
            time.sleep(0.01)
            line.request("POST", "/", b"x" * 100)
            assert line.getresponse().read() == b"100"
            wait_until(lambda last=begun: channel.waiting_since not in (last, math.inf))
            server.maintenance(begun + 500.001)
            assert not channel.will_close
        server.maintenance(channel.waiting_since + 500.001)
        assert channel.will_close
        line.close()


def test_while_a_request_is_answered_and_until_its_reply_is_counted_the_client_keeps_its_place(monkeypatch):
    """The loop wakes when the request is gone: it must not see the time at which the wait for it began."""
    seen = []

    def service(channel):
        answer(channel)
        seen.append((channel.requests, channel.waiting_since))

    answer = HTTPChannel.service
    monkeypatch.setattr(HTTPChannel, "service", service)
    with served() as address, connect(address) as line:
        line.sendall(REQUEST)
        assert reply_of(line).endswith(b"read")
        wait_until(lambda: seen)
    assert seen == [([], math.inf)]


@pytest.mark.reliability(
    "A client goes while another thread than the server's loop writes to it", "the loop closes its connection"
)
def test_connections_are_closed_in_the_thread_of_the_loop():
    with running() as server, connect(address_of(server)) as line:
        wait_until(lambda: server.active_channels)
        (channel,) = server.active_channels.values()
        channel.handle_close()
        assert channel.socket.fileno() >= 0
        assert channel.will_close
        server.pull_trigger()
        assert reply_of(line) == b""
        wait_until(lambda: not server.active_channels)


def test_after_its_end_a_server_does_not_write_to_its_pipe(monkeypatch):
    """Its number may be that of another file by then, and a reply may end later."""
    with running() as server:
        pass
    monkeypatch.setattr(server.trigger, "pull_trigger", lambda: pytest.fail("written to what is closed"))
    server.pull_trigger()


@pytest.mark.reliability("A body that is too large", "a readable 413, although the client is still sending")
@pytest.mark.parametrize("chunked", [False, True])
def test_the_413_is_read_by_a_client_that_sends_on(chunked):
    body = b"x" * (8 << 20)  # more than fits into the buffers of both sides
    with running() as server:
        line = http.client.HTTPConnection(*address_of(server), timeout=PATIENCE)
        line.request("POST", "/", iter([body]) if chunked else body, encode_chunked=chunked,
                     headers={"Transfer-Encoding": "chunked"} if chunked else {})  # fmt: skip
        reply = line.getresponse()
        assert reply.status == 413
        assert "error" in json.loads(reply.read())
        line.close()
        wait_until(lambda: not server.active_channels)  # its place is free again


@pytest.mark.reliability(
    "A header that Python cannot read, or that waits to be asked for a body", "an answer at once"
)
@pytest.mark.parametrize(
    ("start", "status"),
    [
        (b"GET http://[ HTTP/1.1", b"400"),
        (b"POST / HTTP/1.1\r\nContent-Length: " + b"9" * 5000, b"400"),
        (b"GET / HTTP/1.1\r\nExpect: 100-continue", b"200"),
        (b"POST / HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 1001", b"413"),
    ],
)
def test_every_header_is_answered(start, status, caplog):
    with served() as address, connect(address) as line:
        line.sendall(start + b"\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n")
        reply = reply_of(line)
    assert reply.split()[1] == status
    assert status != b"413" or b"1000 bytes are allowed" in reply
    assert not caplog.records


@pytest.mark.reliability("JSON nested a hundred thousand deep, or not JSON", "400 with the reason")
@pytest.mark.parametrize("body", [b"[" * 900, b'{"a":' * 180, b"[1", b"\xff", b"", b"NaN", b'{"a":1,"a":1}'])
def test_json_that_cannot_be_read_is_a_400(body):
    with served(max_bytes=1 << 20) as address:
        for content in (body, body * 1000):
            line = http.client.HTTPConnection(*address, timeout=PATIENCE)
            line.request("POST", "/json", content, {"Content-Type": "application/json"})
            reply = line.getresponse()
            assert reply.status == 400, content[:20]
            assert "JSON" in json.loads(reply.read())["error"]
            line.close()
