"""Utils/serving/http_server.py: who is answered, how much is taken, where it listens, how it ends."""

import contextlib
import json
import os
import pathlib
import signal
import socket
import subprocess
import sys
import urllib.request

import flask
import pytest
from helpers.servers import answering

from Utils.command.cli import Parser, UserError
from Utils.serving import http_server

ROOT = pathlib.Path(__file__).resolve().parents[2]


def small_app(limits=http_server.DEFAULT_LIMITS, host_names=()):
    app = flask.Flask(__name__)
    app.add_url_rule("/", "read", lambda: "read")
    app.add_url_rule("/", "write", lambda: f"{len(flask.request.get_data())}", methods=["POST"])
    return http_server.protect(app, limits, host_names)


@pytest.mark.parametrize(
    ("host", "code"),
    [
        ("localhost", 200), ("localhost:8000", 200), ("127.0.0.1:8000", 200), ("[::1]:9", 200),
        ("192.168.1.7:8000", 200), ("BOX.lan:8000", 200),
        ("evil.example", 403), ("localhost.evil.example", 403), ("127.0.0.1.evil.example:80", 403),
        ("[nonsense", 403), ("", 200),
    ],
)  # fmt: skip
def test_only_addresses_and_known_names_are_answered(host, code):
    reply = small_app(host_names=["box.lan"]).test_client().get("/", headers={"Host": host})
    assert reply.status_code == code
    assert code == 200 or "--allow-host" in reply.json["error"]


@pytest.mark.reliability(
    "A body that is compressed (Content-Encoding: gzip)", "415 that says so; never inflated"
)
@pytest.mark.parametrize(("coding", "code"), [("gzip", 415), ("br, gzip", 415), ("Identity", 200), ("", 200)])
def test_a_compressed_body_is_refused(coding, code):
    headers = {"Content-Encoding": coding}
    reply = small_app().test_client().post("/", data=b"\x1f\x8b", headers=headers)
    assert reply.status_code == code
    if code == 415:
        assert reply.json["error"].endswith(f"not compressed; got Content-Encoding: {coding}")


@pytest.mark.parametrize(
    ("headers", "code"),
    [
        ({}, 200),  # a program
        ({"Origin": "http://localhost:8000"}, 200),
        ({"Origin": "https://localhost:8000"}, 200),  # behind a proxy that speaks TLS
        ({"Origin": "http://localhost"}, 403),
        ({"Origin": "http://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Origin": "http://["}, 403),
        ({"Sec-Fetch-Site": "same-origin"}, 200),
        ({"Sec-Fetch-Site": "cross-site"}, 403),
        ({"Sec-Fetch-Site": "same-site"}, 403),
    ],
)
def test_pages_of_another_origin_cannot_write(headers, code):
    client, headers = small_app().test_client(), {"Host": "localhost:8000", **headers}
    assert client.post("/", data=b"x", headers=headers).status_code == code
    assert client.get("/", headers=headers).status_code == 200


def test_every_reply_has_the_headers_that_shut_out_other_pages():
    client = small_app().test_client()
    for reply in (client.get("/"), client.get("/nowhere"), client.get("/", headers={"Host": "evil.example"})):
        assert {name: reply.headers[name] for name in http_server.HEADERS} == http_server.HEADERS
    assert client.get("/nowhere").json["error"]


@pytest.mark.parametrize("limits", [http_server.ServerLimits(max_bytes=100)])
def test_bodies_are_bounded_in_the_app_and_on_the_wire(limits):
    app = small_app(limits)
    client = app.test_client()
    assert client.post("/", data=b"x" * 100).text == "100"
    assert client.post("/", data=b"x" * 101).status_code == 413
    with answering(app, limits) as address:
        reply = urllib.request.urlopen(urllib.request.Request(address, data=b"x" * 100))
        assert reply.read() == b"100"
        assert reply.headers["Server"] in (None, "")
        host, port = address.removeprefix("http://").strip("/").split(":")
        for head, body in (
            ("Content-Length: 101", b""),  # refused before it is sent
            ("Transfer-Encoding: chunked", b"ff\r\n" + b"x" * 255 + b"\r\n"),
        ):
            with socket.create_connection((host, int(port)), timeout=60) as line:
                line.sendall(f"POST / HTTP/1.1\r\nHost: {host}\r\n{head}\r\n\r\n".encode() + body)
                reply = line.makefile("rb").read()  # to its end: the line is closed
                assert reply.startswith(b"HTTP/1.1 413 ")
                assert "error" in json.loads(reply.partition(b"\r\n\r\n")[2])
                assert all(
                    f"{name}: {value}".encode() in reply for name, value in http_server.HEADERS.items()
                )


def test_the_address_is_said_in_words_or_as_json(capsys):
    with contextlib.closing(http_server.listen(small_app(), port=0)) as server:
        http_server.announce(server)
        http_server.announce(server, {"models": ["a"]})
    words, answer = capsys.readouterr().out.splitlines()
    assert json.loads(answer) == {"url": words.removesuffix(" until Ctrl-C"), "models": ["a"]}


def test_a_taken_port_or_a_foreign_address_is_refused():
    with socket.create_server((http_server.LOOPBACK, 0)) as taken:
        for host, port in (
            (http_server.LOOPBACK, taken.getsockname()[1]),
            ("203.0.113.1", 0),
            (http_server.LOOPBACK, 70000),
        ):
            with pytest.raises(UserError, match="port"):
                http_server.listen(small_app(), host, port)


def test_the_default_is_this_machine_only():
    parser = Parser(prog="x")
    http_server.add_arguments(parser)
    options = parser.parse_args([])
    assert http_server.is_local(options.host)
    assert options.port == 8000
    assert [http_server.is_local(host) for host in ("localhost", "::1", "0.0.0.0", "10.0.0.1", "box")] == [
        True, True, False, False, False,
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--host", ""], "0.0.0.0 is every network"),
        (["--allow-host", "http://box.lan:80"], "without scheme and port"),
        (["--allow-host", "*"], "a host's name"),
        (["--allow-host", ""], "a host's name"),
        (["--allow-host", "[x"], "a host's name"),
    ],
)
def test_what_is_no_address_and_no_name_is_refused(words, message, capsys):
    parser = Parser(prog="x")
    http_server.add_arguments(parser)
    with pytest.raises((UserError, SystemExit), match=message):
        parser.parse_args(words)


@pytest.mark.reliability(
    "More connections than the system lets a process hold", "as many as it allows; the server goes on"
)
def test_connections_fit_into_what_the_system_allows(monkeypatch):
    limits = http_server.ServerLimits(max_connections=3000)
    for files, expected in ((None, 3000), (20000, 3000), (256, 192), (10, 8)):
        monkeypatch.setattr(http_server, "max_open_files", lambda files=files: files)
        with contextlib.closing(http_server.listen(small_app(), port=0, limits=limits)) as server:
            assert server.adj.connection_limit == expected
            assert server.adj.asyncore_use_poll  # select knows 1,024 files only
    monkeypatch.delattr(http_server.select, "poll")  # as on Windows
    monkeypatch.setattr(http_server, "max_open_files", lambda: None)
    with contextlib.closing(http_server.listen(small_app(), port=0, limits=limits)) as server:
        assert server.adj.connection_limit == http_server.SELECTABLE


# Where the tests run in the background SIGINT is ignored, which processes inherit.
SERVER = """
import flask, signal
from Utils.serving import http_server
signal.signal(signal.SIGINT, signal.default_int_handler)
app = flask.Flask("x")
app.add_url_rule("/", "read", lambda: "read")
server = http_server.listen(http_server.protect(app), port=0)
print(http_server.url_of(server), flush=True)
http_server.run(server)
print("ended")
"""


@pytest.mark.parametrize("end", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_server_in_order(end):
    process = subprocess.Popen(
        [sys.executable, "-c", SERVER], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        address = process.stdout.readline().strip()
        with urllib.request.urlopen(address) as answer:
            assert answer.read() == b"read"
        os.kill(process.pid, end)
        out, err = process.communicate(timeout=60)
    finally:
        process.kill()
    assert (process.returncode, out, err) == (0, "ended\n", "")
