"""images/s and latency of tools/serve.py for concurrent clients, beside the model alone: pictures over HTTP.

The server runs in a process of its own. Every client sends a JPEG, waits for the tags and sends the next.
There are two limits, measured in turns with the clients in the same process: the onnxruntime session with
prepared pictures, and the preparation of pictures without a model; where both share the cores, their times
add up. The ratio of processor times says what a picture costs beside the model, also on a machine that
others use. Latency is that of a client. At a share of the capacity, which is the speed of the most clients,
requests come at random times, as those of many people do (a Poisson process), and latency counts from the
moment at which a request is due. With --slow-clients others hold connections all the time and send a byte of
their request now and then. With --peer flask the same process also serves the tagger the plain way: Flask's
own server, a thread a request, the model picture by picture.
"""

import argparse
import concurrent.futures
import contextlib
import http.client
import pathlib
import socket
import tempfile
import threading
import time
import urllib.parse
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from Utils.bench import timing
from Utils.command.backend import prepare_backend
from Utils.command.cli import Parser, UserError, WorkError, number
from Utils.images import codec
from Utils.serving import http_server, onnx_tagger, tag_selection, tagging_service
from Utils.tags import tag_list

NUM_LABELS = 2380
MAX_TAGS = 32  # per picture; fresh weights would find a thousand
MIN_REQUESTS = 3  # of a client in a round, and calls of a limit
SLOW_INTERVAL = 2.0  # seconds between two bytes of a slow client
CONNECT_SECONDS = 10.0  # that a slow client may take to connect

PLACES = 64  # for pictures in the server, and the most requests at random times that are on their way
Rates = dict[int, list[float]]  # {number of clients: of each round, or of each request}
Limits = dict[tuple[str, int], list[float]]  # {(work, images per call): images/s of each round}


def add_arguments(parser: Parser) -> None:
    """Declare the options."""
    add = parser.add_argument
    add("--model", default="ResNet/18", metavar="RELEASE|FAMILY/VARIANT", help="(ResNet/18)")
    add("--image-size", type=number(above=0), help="of FAMILY/VARIANT (224); a release has its own")
    add("--num-labels", type=number(above=0), help="of FAMILY/VARIANT (2380); a release has its own")
    add(
        "--clients",
        type=number(above=0),
        nargs="+",
        default=[1, 8],
        help="numbers of concurrent clients (1 8)",
    )
    add("--loads", type=number(float, above=0, most=1), nargs="*", default=[0.5, 0.9],
        help="shares of the capacity, for latency (0.5 0.9)")  # fmt: skip
    add(
        "--slow-clients",
        type=number(least=0),
        default=0,
        help="connections beside them that never end their request (0)",
    )
    add("--batch-size", type=number(above=0), default=8, help="of the server and the model's limit (8)")
    add("--picture-size", type=number(above=0), default=512, help="side of the JPEGs that are sent (512)")
    add("--peer", choices=("flask", "none"), default="none", help="flask: also serve the plain way (none)")
    add("--rounds", type=number(above=0), default=3, help="rounds; every side runs once in each (3)")
    add("--seconds", type=number(float, above=0), default=3.0, help="seconds per figure and round (3)")
    add("--threads", type=number(above=0), default=timing.num_cores(), help="cores of the server (all)")


def run_benchmark(options: argparse.Namespace) -> dict[str, Any]:
    """Measure the images/s of clients together, and the latency of each."""
    random = np.random.default_rng(0)
    pictures = [timing.draw_jpeg(random, options.picture_size) for _ in range(8)]
    with contextlib.ExitStack() as stack:
        release = open_release(stack, options, image_size=224)
        queue = max(PLACES, 2 * max(options.clients))
        server = stack.enter_context(
            timing.TimedProcess(
                options.threads, _server, release, options.batch_size, queue, pictures, options.peer
            )
        )
        facts = server.facts[0]
        stack.enter_context(_slow_clients(facts["address"], options.slow_clients))
        speeds = _measure(server, facts, pictures, options)
        capacity = float(np.median(speeds.served[max(options.clients)]))
        loads = {
            load: _at_random_times(
                facts["address"], pictures, load * capacity, options.seconds * options.rounds
            )
            for load in options.loads
        }
    return _result(facts, speeds, loads, options)


def open_release(stack: contextlib.ExitStack, options: argparse.Namespace, image_size: int) -> str:
    """Return a release folder: that of --model, or FAMILY/VARIANT exported to a temporary one.

    Without --image-size that of FAMILY/VARIANT is ``image_size``. Raises UserError for another --model, and
    for sizes beside a release, which has its own.
    """
    if pathlib.Path(options.model).exists():
        if options.image_size or options.num_labels:
            raise UserError(f"{options.model} is exported as it is: leave --image-size, --num-labels out")
        return options.model
    if "/" not in options.model.strip("/"):
        raise UserError(f"--model is a release folder or FAMILY/VARIANT; got {options.model!r}")
    folder = stack.enter_context(tempfile.TemporaryDirectory())
    export = (folder, options.model, options.image_size or image_size, options.num_labels or NUM_LABELS)
    # In a process of its own, which frees the memory of keras.
    with timing.TimedProcess(options.threads, _export, *export):
        return folder


class _Speeds:
    """What is measured in the rounds.

    ``limits``, ``served`` and ``peer`` are images/s of each round, ``latencies`` seconds of each request,
    ``processor`` has ``[processor seconds of the server, pictures]`` of the model in batches and of the most
    clients.
    """

    def __init__(self, options: argparse.Namespace, num_pictures: int) -> None:
        sizes = (("model", 1), ("model", options.batch_size), ("prepare", num_pictures))
        self.limits: Limits = {work: [] for work in sizes}
        self.served: Rates = {count: [] for count in options.clients}
        self.peer: Rates = {count: [] for count in options.clients if options.peer != "none"}
        self.latencies: Rates = {count: [] for count in options.clients}
        self.processor = {"model": np.zeros(2), "served": np.zeros(2)}

    @property
    def processor_ratio(self) -> float:
        """The model's share of the processor time of a picture that is served."""
        model, served = (seconds / pictures for seconds, pictures in self.processor.values())
        return model / served


def _measure(
    server: timing.TimedProcess, facts: dict[str, Any], pictures: list[bytes], options: argparse.Namespace
) -> _Speeds:
    address = facts["address"]
    speeds = _Speeds(options, len(pictures))
    for work in speeds.limits:
        server.seconds(2, *work)  # warm-up
    for warm in [address, *([facts["peer_address"]] if speeds.peer else [])]:
        _serve(warm, pictures, 2, 0.2)
    for _ in range(options.rounds):
        for (work, size), rates in speeds.limits.items():
            fastest = min(server.seconds(1, work, size))
            calls = max(MIN_REQUESTS, round(options.seconds / fastest))
            before = server.processor_seconds()
            rates.append(size * calls / sum(server.seconds(calls, work, size)))
            if (work, size) == ("model", options.batch_size):
                speeds.processor["model"] += server.processor_seconds() - before, size * calls
        for count in options.clients:
            before = server.processor_seconds()
            rate, seconds = _serve(address, pictures, count, options.seconds)
            speeds.served[count].append(rate)
            speeds.latencies[count] += seconds
            if count == max(options.clients):
                speeds.processor["served"] += server.processor_seconds() - before, len(seconds)
        for count, rates in speeds.peer.items():
            rates.append(_serve(facts["peer_address"], pictures, count, options.seconds)[0])
    return speeds


def _serve(address: str, pictures: list[bytes], count: int, seconds: float) -> tuple[float, list[float]]:
    """Let ``count`` clients send pictures for some seconds; return images/s and the seconds of requests."""
    started = time.perf_counter()
    with concurrent.futures.ThreadPoolExecutor(count) as pool:
        clients = [
            pool.submit(_client, address, pictures, first, started + seconds) for first in range(count)
        ]
        latencies = [latency for client in clients for latency in client.result()]
    return len(latencies) / (time.perf_counter() - started), latencies


def _at_random_times(address: str, pictures: list[bytes], rate: float, seconds: float) -> list[float]:
    """Send ``rate`` pictures a second at random times for some seconds; return the seconds of each."""
    gaps = np.random.default_rng(0).exponential(1 / rate, max(MIN_REQUESTS, round(rate * seconds)))
    due = time.perf_counter() + np.cumsum(gaps)
    local = threading.local()
    connections: list[http.client.HTTPConnection] = []

    def send(row: int) -> float:
        if not hasattr(local, "connection"):
            local.connection = http.client.HTTPConnection(urllib.parse.urlsplit(address).netloc, timeout=60)
            connections.append(local.connection)
        time.sleep(max(0.0, due[row] - time.perf_counter()))
        _send(local.connection, pictures[row % len(pictures)])
        return time.perf_counter() - due[row]

    with concurrent.futures.ThreadPoolExecutor(PLACES) as pool:
        latencies = list(pool.map(send, range(len(due))))
    for connection in connections:
        connection.close()
    return latencies


def _send(connection: http.client.HTTPConnection, picture: bytes) -> None:
    connection.request("POST", "/tag", picture)
    response = connection.getresponse()
    content = response.read()
    if response.status != 200:
        raise WorkError(f"the server answered {response.status}: {content[:200].decode(errors='replace')}")


def _client(address: str, pictures: list[bytes], first: int, until: float) -> list[float]:
    """Send pictures in turn, from number ``first`` on, until a time; return the seconds of each request."""
    connection = http.client.HTTPConnection(urllib.parse.urlsplit(address).netloc, timeout=60)
    latencies: list[float] = []
    with contextlib.closing(connection):
        while time.perf_counter() < until or len(latencies) < MIN_REQUESTS:
            started = time.perf_counter()
            _send(connection, pictures[(first + len(latencies)) % len(pictures)])
            latencies.append(time.perf_counter() - started)
    return latencies


@contextlib.contextmanager
def _slow_clients(address: str, count: int) -> Iterator[None]:
    """Hold ``count`` connections whose requests never end; one that the server closes is opened again."""
    netloc, is_over = urllib.parse.urlsplit(address), threading.Event()
    place = (str(netloc.hostname), int(netloc.port or 80))

    def dawdle() -> None:
        clients: list[socket.socket] = []
        try:
            while True:
                with contextlib.suppress(OSError):
                    for _ in range(count - len(clients)):
                        clients.append(socket.create_connection(place, timeout=CONNECT_SECONDS))
                        clients[-1].sendall(b"POST /tag HTTP/1.1\r\nHost: slow\r\nX-slow: ")
                if is_over.wait(SLOW_INTERVAL):
                    return
                clients = [client for client in clients if _send_a_byte(client)]
        finally:
            for client in clients:
                client.close()

    thread = threading.Thread(target=dawdle, daemon=True)
    if count:
        thread.start()
    try:
        yield
    finally:
        is_over.set()
        if count:
            thread.join()


def _send_a_byte(client: socket.socket) -> bool:
    """Send one byte of a header; False, having closed the connection, where the server has given it up."""
    try:
        client.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            client.recv(1)  # nothing comes to half a request but its end or a refusal
            raise ConnectionResetError
        client.send(b"a")
    except OSError:
        client.close()
        return False
    return True


def _result(
    facts: dict[str, Any], speeds: _Speeds, loads: dict[float, list[float]], options: argparse.Namespace
) -> dict[str, Any]:
    limits = speeds.limits
    limit = {work: float(np.median(rates)) for work, rates in limits.items()}
    speed = {count: float(np.median(rates)) for count, rates in speeds.served.items()}
    latency = {_clients(count): _percentiles(seconds) for count, seconds in speeds.latencies.items()}
    latency |= {f"load {load:g}": _percentiles(seconds) for load, seconds in loads.items()}
    setup = {name: facts[name] for name in ("model", "image_size", "num_labels")}
    setup |= {name: getattr(options, name) for name in ("batch_size", "picture_size", "threads")}
    setup |= {"slow_clients": options.slow_clients} if options.slow_clients else {}
    for clients, milliseconds in latency.items():
        setup[f"ms, {clients}"] = "{median:.1f} (p95 {p95:.1f}, p99 {p99:.1f})".format(**milliseconds)
    figures = {f"served, {_clients(count)}": value for count, value in speed.items()}
    names = {"model": "limit: the model alone, batch {}", "prepare": "limit: decoding and resizing alone"}
    figures |= {names[work].format(size): value for (work, size), value in limit.items()}
    best = max(value for (work, _), value in limit.items() if work == "model")
    both = 1 / (1 / best + 1 / next(value for (work, _), value in limit.items() if work == "prepare"))
    ratios = {f"of the limit, {_clients(count)}": value / best for count, value in speed.items()}
    ratios |= {
        f"of both on the same cores, {_clients(count)}": value / both for count, value in speed.items()
    }
    for count, rates in speeds.peer.items():
        name, rate = _clients(count), float(np.median(rates))
        figures[f"peer: flask, a picture a call, {name}"] = rate
        ratios[f"of the peer, {name}"] = speed[count] / rate
    ratios[f"of the processor time, the model's, {_clients(max(options.clients))}"] = speeds.processor_ratio
    result = {"part": "serve", "unit": "images/s", "setup": setup, "figures": figures, "ratios": ratios}
    return result | {"latency_ms": latency}


def _clients(count: int) -> str:
    return f"{count} client{'s' if count > 1 else ''}"


def _percentiles(seconds: list[float]) -> dict[str, float]:
    times = np.array(seconds) * 1000
    return {"median": float(np.median(times)), "p95": float(np.quantile(times, 0.95)),
            "p99": float(np.quantile(times, 0.99))}  # fmt: skip


# In processes of their own


def _export(folder: str, name: str, image_size: int, num_labels: int) -> tuple[None]:
    """Write a release of FAMILY/VARIANT with fresh weights; there is nothing to time."""
    prepare_backend()
    import pandas as pd

    import Models
    from Utils.release import release_folder

    release_folder.require(["onnx"])
    model = Models.build(name, image_size=image_size, num_labels=num_labels)
    release_folder.write_onnx(model, pathlib.Path(folder, onnx_tagger.MODEL_FILE))
    tags = [f"tag_{row}" for row in range(num_labels)]
    frame = pd.DataFrame({"tag_id": range(num_labels), "name": tags, "category": 0, "count": 0})
    tag_list.write(frame, pathlib.Path(folder, tag_list.FILE))
    return (None,)


def _server(
    release: str, batch_size: int, queue: int, encoded: list[bytes], peer: str
) -> tuple[Callable[[str, int], Any], dict[str, Any]]:
    """Serve a release from a thread; return a function that does the work of a limit, and facts."""
    tagger = onnx_tagger.open_release(release)
    thresholds, _ = tag_selection.release_thresholds(tagger.folder, tagger.tags)
    selector = tag_selection.TagSelector(tagger.tags, thresholds, max_tags=MAX_TAGS)
    limits = tagging_service.ServiceLimits(batch_size=batch_size, max_images=queue)
    app = tagging_service.make_app(tagging_service.TaggingService(tagger, selector, limits))
    server = http_server.listen(app, port=0, limits=limits.server_limits)
    threading.Thread(target=server.run, daemon=True).start()
    shape = (batch_size, tagger.image_size, tagger.image_size, 3)
    pictures = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    facts = {
        "model": tagger.name,
        "image_size": tagger.image_size,
        "num_labels": len(tagger.tags),
        "address": http_server.url_of(server),
    }
    if peer == "flask":
        from tools.bench_parts.peers import plain_server

        facts["peer_address"] = plain_server.start(tagger, selector)
    pool = concurrent.futures.ThreadPoolExecutor(timing.num_cores())

    def do_work(work: str, size: int) -> Any:
        if work == "model":
            return tagger.probabilities(pictures[:size])
        return list(pool.map(lambda data: codec.prepare(data, tagger.image_size), encoded[:size]))

    return do_work, facts
