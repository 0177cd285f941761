"""images/s and latency of tools/serve.py for concurrent clients, beside the model alone: pictures over HTTP.

The server runs in a process of its own; every client sends a JPEG, waits for the tags, and sends the next.
The limits are what the same process' onnxruntime session does with pictures that are prepared already, and
what its threads prepare where no model works, measured in turns with the clients. Latency is a client's.
"""

import concurrent.futures
import contextlib
import http.client
import pathlib
import tempfile
import threading
import time
import urllib.parse

import numpy as np

from Utils.bench import timing
from Utils.command.backend import prepare_backend
from Utils.command.cli import UserError, WorkError
from Utils.images import codec
from Utils.serving import http_server, onnx_tagger, tag_selection, tagging_service
from Utils.tags import tag_list

TAGS = 32  # of a picture at most: fresh weights would find a thousand
LEAST = 3  # requests of a client in a round


def add_arguments(made):
    """Declare the options."""
    made.add_argument("--model", default="ResNet/18", metavar="RELEASE|FAMILY/VARIANT", help="(ResNet/18)")
    made.add_argument("--image-size", type=int, default=224, help="of FAMILY/VARIANT (224)")
    made.add_argument("--num-labels", type=int, default=2380, help="of FAMILY/VARIANT (2380)")
    made.add_argument("--clients", type=int, nargs="+", default=[1, 8], help="at a time (1 8)")
    made.add_argument("--batch-size", type=int, default=8, help="of the server and the limit (8)")
    made.add_argument("--picture-size", type=int, default=512, help="side of the JPEGs that are sent (512)")
    made.add_argument("--rounds", type=int, default=3, help="rounds, each side once in each (3)")
    made.add_argument("--seconds", type=float, default=3.0, help="time of a figure in a round (3)")
    made.add_argument("--threads", type=int, default=timing.cores(), help="cores of the server (all)")


def measure(options):
    """Measure what clients get in a second, and how long each waits."""
    sizes = [*options.clients, options.batch_size, options.rounds, options.threads, options.picture_size]
    if min(sizes) < 1 or not options.seconds > 0:
        raise UserError(
            "clients, --batch-size, --rounds, --threads, --picture-size and --seconds are above 0"
        )
    random = np.random.default_rng(0)
    pictures = [timing.draw_jpeg(random, options.picture_size) for _ in range(8)]
    with contextlib.ExitStack() as stack:
        release = _release(stack, options)
        waiting = 2 * max(options.clients)
        made = (release, options.batch_size, waiting, pictures)
        server = stack.enter_context(timing.Apart(options.threads, _server, *made))
        facts = server.about[0]
        limits, served, waits = _rounds(server, facts["address"], pictures, options)
    return _result(facts, limits, served, waits, options)


def _release(stack, options):
    """Return a release folder: the one given, or FAMILY/VARIANT exported for the time of the measurement."""
    if pathlib.Path(options.model).exists():
        return options.model
    if "/" not in options.model.strip("/"):
        raise UserError(f"--model is a release folder or FAMILY/VARIANT; got {options.model!r}")
    folder = stack.enter_context(tempfile.TemporaryDirectory())
    made = (folder, options.model, options.image_size, options.num_labels)
    with timing.Apart(options.threads, _export, *made):
        return folder


def _rounds(server, address, pictures, options):
    """Return images/s a round of the limits, and by number of clients, and the seconds of every request."""
    limits = {("model", 1): [], ("model", options.batch_size): [], ("prepare", len(pictures)): []}
    served, waits = ({count: [] for count in options.clients} for _ in range(2))
    for what in limits:
        server.seconds(2, *what)
    _serve(address, pictures, 2, 0.2)
    for _ in range(options.rounds):
        for what, speeds in limits.items():
            once = min(server.seconds(1, *what))
            calls = max(LEAST, round(options.seconds / once))
            speeds.append(what[1] * calls / sum(server.seconds(calls, *what)))
        for count in options.clients:
            speed, took = _serve(address, pictures, count, options.seconds)
            served[count].append(speed)
            waits[count] += took
    return limits, served, waits


def _serve(address, pictures, count, seconds):
    """Let ``count`` clients send pictures for some seconds; return images/s and the seconds of requests."""
    began = time.perf_counter()
    with concurrent.futures.ThreadPoolExecutor(count) as pool:
        asked = [pool.submit(_client, address, pictures, number, began + seconds) for number in range(count)]
        took = [one for future in asked for one in future.result()]
    return len(took) / (time.perf_counter() - began), took


def _client(address, pictures, number, until):
    line = http.client.HTTPConnection(urllib.parse.urlsplit(address).netloc, timeout=60)
    took = []
    with contextlib.closing(line):
        while time.perf_counter() < until or len(took) < LEAST:
            started = time.perf_counter()
            line.request("POST", "/tag", pictures[(number + len(took)) % len(pictures)])
            reply = line.getresponse()
            content = reply.read()
            if reply.status != 200:
                raise WorkError(
                    f"the server answered {reply.status}: {content[:200].decode(errors='replace')}"
                )
            took.append(time.perf_counter() - started)
    return took


def _result(facts, limits, served, waits, options):
    limit = {what: float(np.median(speeds)) for what, speeds in limits.items()}
    speed = {count: float(np.median(speeds)) for count, speeds in served.items()}
    latency = {_clients(count): _percentiles(took) for count, took in waits.items()}
    setup = {name: facts[name] for name in ("model", "image_size", "num_labels")}
    setup |= {
        "batch_size": options.batch_size,
        "picture_size": options.picture_size,
        "threads": options.threads,
    }
    for name, found in latency.items():
        setup[f"ms, {name}"] = "{median:.1f} (p95 {p95:.1f}, p99 {p99:.1f})".format(**found)
    figures = {f"served, {_clients(count)}": value for count, value in speed.items()}
    names = {"model": "limit: the model alone, batch {}", "prepare": "limit: decoding and resizing alone"}
    figures |= {names[what].format(size): value for (what, size), value in limit.items()}
    best = max(value for (what, _), value in limit.items() if what == "model")
    ratios = {f"of the limit, {_clients(count)}": value / best for count, value in speed.items()}
    result = {"part": "serve", "unit": "images/s", "setup": setup, "figures": figures, "ratios": ratios}
    return result | {"latency_ms": latency}


def _clients(count):
    return f"{count} client{'s' if count > 1 else ''}"


def _percentiles(seconds):
    times = np.array(seconds) * 1000
    return {"median": float(np.median(times)), "p95": float(np.quantile(times, 0.95)),
            "p99": float(np.quantile(times, 0.99))}  # fmt: skip


# In the processes apart


def _export(folder, model, image_size, num_labels):
    """Write a release of FAMILY/VARIANT with fresh weights; return nothing to call."""
    prepare_backend()
    import pandas as pd

    import Models
    from Utils.release import release_folder

    release_folder.require(["onnx"])
    made = Models.build(model, image_size=image_size, num_labels=num_labels)
    release_folder.write_onnx(made, pathlib.Path(folder, onnx_tagger.MODEL_FILE))
    names = [f"tag_{row}" for row in range(num_labels)]
    frame = pd.DataFrame({"tag_id": range(num_labels), "name": names, "category": 0, "count": 0})
    tag_list.write(frame, pathlib.Path(folder, onnx_tagger.TAGS_FILE))
    return (None,)


def _server(release, batch_size, waiting, encoded):
    """Serve a release from a thread; return a function that does one of its two works, and facts."""
    tagger = onnx_tagger.open_release(release)
    thresholds, _ = tag_selection.release_thresholds(tagger.folder, tagger.tags)
    selector = tag_selection.TagSelector(tagger.tags, thresholds, max_tags=TAGS)
    limits = tagging_service.ServiceLimits(batch_size=batch_size, max_images=waiting)
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
    pool = concurrent.futures.ThreadPoolExecutor(timing.cores())

    def work(what, size):
        if what == "model":
            return tagger.probabilities(pictures[:size])
        return list(pool.map(lambda data: codec.prepare(data, tagger.image_size), encoded[:size]))

    return work, facts
