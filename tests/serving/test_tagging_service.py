"""The tagging service: what programs and the page get, together and one by one; bad input and limits."""

import concurrent.futures
import contextlib
import io
import threading
import time

import cv2
import numpy as np
import pytest
import werkzeug.formparser
from helpers import small_releases
from helpers.broken_images import spoil

from Utils.images import codec
from Utils.serving import onnx_tagger, tag_edits, tag_selection, tagging_service
from Utils.tags import tag_list

HOST = {"Host": "127.0.0.1:8000"}


def encoded(color, size=12):
    return cv2.imencode(".png", np.full((size, size, 3), color, np.uint8))[1].tobytes()


BLUE = encoded((255, 0, 0))


@pytest.fixture(scope="module")
def release(tmp_path_factory):
    return small_releases.make(tmp_path_factory.mktemp("releases") / "tiny")


@contextlib.contextmanager
def started(release, run=None, **limits):
    """Yield a service of the release, of which ``run`` may take the model's place, and its client."""
    tagger = onnx_tagger.open_release(release)
    if run is not None:
        tagger._run, tagger.parallel_runs = run, 1
    selector = tag_selection.TagSelector(tagger.tags, tag_selection.default_thresholds(tagger.tags))
    with tagging_service.TaggingService(tagger, selector, tagging_service.ServiceLimits(**limits)) as service:
        yield service, tagging_service.make_app(service).test_client()


@pytest.fixture
def client(release):
    with started(release) as (_, client):
        yield client


# What comes back


def test_an_image_is_accepted_as_request_body_or_form_file(client):
    expected = {
        "rating": "general",
        "ratings": {"general": 0.6, "sensitive": 0.0, "questionable": 0.1, "explicit": 0.0},
        "tags": {"general": {"blue_sky": 1.0, "^_^": 0.5}, "character": {"rei_(eva)": 0.9}},
        "text": "blue_sky, rei_(eva), ^_^",
    }
    for kind in ("image/png", "application/octet-stream", "application/x-www-form-urlencoded", None):
        reply = client.post("/tag", data=BLUE, content_type=kind, headers=HOST)
        assert (reply.status_code, reply.json) == (200, expected), kind
    assert list(reply.json["tags"]["general"]) == ["blue_sky", "^_^"]  # the likeliest first
    form = {"any": (io.BytesIO(BLUE), "x.png")}
    assert client.post("/tag", data=form, headers=HOST).json == expected


def test_the_query_sets_thresholds_and_spelling(client):
    def text(words):
        return client.post(f"/tag?{words}", data=BLUE, headers=HOST).json["text"]

    assert text("threshold=0.95") == "blue_sky"
    assert text("threshold=0.4&character_threshold=0.95") == "blue_sky, ^_^"
    assert text("max_tags=2&spaces=1&escape=1") == "blue sky, rei \\(eva\\)"
    assert text("spaces=0&max_tags=1") == "blue_sky"
    for words, message in {
        "threshold=2": "between 0 and 1",
        "threshold=nan": "between 0 and 1",
        "threshold=x": "threshold must be a number",
        "max_tags=0": "1 or more",
        "max_tags=1.5": "must be a number",
        "raw=maybe": "raw must be 0 or 1; got 'maybe'",
        "treshold=0.5": "takes threshold, character_threshold",
    }.items():
        reply = client.post(f"/tag?{words}", data=BLUE, headers=HOST)
        assert reply.status_code == 400
        assert message in reply.json["error"]


def test_tags_and_health(client, release):
    tags = client.get("/tags").json
    frame = tag_list.read(release / "selected_tags.csv")
    assert [tag["name"] for tag in tags] == frame["name"].tolist()
    assert tags[8] == {
        "tag_id": 5, "name": "rei_(eva)", "spaced": "rei (eva)", "category": "character", "count": 500,
        "threshold": 0.85,
    }  # fmt: skip
    assert tags[0]["threshold"] is None
    client.post("/tag", data=BLUE, headers=HOST)
    assert client.get("/health").json == {
        "status": "ok", "model": "tiny", "image_size": 8, "num_tags": 9, "pictures": 1,
    }  # fmt: skip


def test_the_page_needs_nothing_from_elsewhere(client):
    page = client.get("/")
    assert page.content_type == "text/html; charset=utf-8"
    scripts = [path.name for path in tagging_service.ASSETS.glob("*.js")]
    for name in ("page.css", *scripts):
        assert client.get(f"/{name}").status_code == 200
    assert '"page.js"' in page.text
    script = client.get("/page.js").text
    for name in {part.split('"')[0] for part in script.split('byId("')[1:]}:
        assert f'id="{name}"' in page.text, name
    for name in {part.split('"')[0] for part in script.split('from "./')[1:]}:
        assert name in scripts
    assert "http" not in page.text.replace("http-equiv", "")


def test_raw_leaves_edits_and_the_limit_to_the_caller(release):
    rules = tag_edits.TagRules(
        aliases={"a": "b", "b": "c"}, implications={"blue_sky": ["sky"], "sky": ["air"]}
    )
    tagger = onnx_tagger.open_release(release)
    selector = tag_selection.TagSelector(
        tagger.tags,
        tag_selection.default_thresholds(tagger.tags),
        max_tags=1,
        edits=tag_edits.TagEdits(rules, {}),
    )
    with tagging_service.TaggingService(tagger, selector, tagging_service.ServiceLimits()) as service:
        client = tagging_service.make_app(service).test_client()
        assert client.get("/rules", headers=HOST).json == {
            "max_tags": 1, "aliases": {"a": "c", "b": "c"},
            "implications": {"blue_sky": ["sky", "air"], "sky": ["air"]},
        }  # fmt: skip
        for words, text in (("", "blue_sky, sky, air"), ("?raw=1", "blue_sky, rei_(eva), ^_^")):
            assert client.post(f"/tag{words}", data=BLUE, headers=HOST).json["text"] == text


def test_a_map_of_a_tag_is_a_picture(release):
    image = np.zeros((16, 24, 3), np.uint8)
    image[:, :12, 0] = 255  # blue on the left
    data = cv2.imencode(".png", image)[1].tobytes()
    with started(release) as (service, client):
        reply = client.post("/map?tag=blue_sky", data=data, headers=HOST)
        assert (reply.status_code, reply.content_type) == (200, "image/png")
        assert cv2.imdecode(np.frombuffer(reply.data, np.uint8), 1).shape == (16, 24, 3)
        assert client.post("/map?tag=blue_skies", data=data, headers=HOST).status_code == 404
        for words, message in (
            ("", "/map?tag=NAME"),
            ("?tag=blue_sky&by=x", "/map takes tag, model; got by"),
        ):
            reply = client.post(f"/map{words}", data=data, headers=HOST)
            assert reply.status_code == 400 and message in reply.json["error"]
        assert client.post("/map?tag=blue_sky", data=b"none", headers=HOST).status_code == 400
        service._maps.seconds = -1
        assert client.post("/map?tag=blue_sky", data=data, headers=HOST).status_code == 503


# Bad input


def test_every_mistake_gets_an_error_in_json(client, tmp_path):
    reasons = spoil(tmp_path)
    for name in ("cut.jpg", "cut.png", "text.jpg", "huge.bmp"):
        reply = client.post("/tag", data=(tmp_path / name).read_bytes(), headers=HOST)
        assert reply.status_code == 400, name
        assert reply.json["error"].startswith(f"this cannot be used as a picture: {reasons[name]}")
    form = {"a": (io.BytesIO(BLUE), "a.png"), "b": (io.BytesIO(BLUE), "b.png")}
    large = b'--x\r\nContent-Disposition: form-data; name="a"\r\n\r\n' + b"x" * 600_000 + b"\r\n--x--\r\n"
    for code, message, words in (
        (400, "nothing came", {"data": b""}),
        (400, "one file is needed; 2 came", {"data": form}),
        (
            400,
            "one file is needed; 0 came, and fields without a filename: a; curl -F file=@1.png sends a file",
            {"data": large, "content_type": "multipart/form-data; boundary=x"},
        ),
        (400, "the form has threshold", {"data": {"a": (io.BytesIO(BLUE), "a.png"), "threshold": "0.9"}}),
        (400, "each option once; got raw 2 times", {"data": BLUE, "query_string": "raw=1&raw=0&spaces=1"}),
        (415, "got application/json", {"json": {"image": "x"}}),
        (415, "got text/html", {"data": "x", "content_type": "text/html"}),
    ):
        reply = client.post("/tag", headers=HOST, **words)
        assert reply.status_code == code
        assert message in reply.json["error"]
    for method, path, code in (
        ("get", "/nowhere", 404),
        ("get", "/tags?model=tiny&model=x", 400),
        ("get", "/tag", 405),
        ("post", "/tags", 405),
    ):
        reply = getattr(client, method)(path, headers=HOST)
        assert reply.status_code == code
        assert reply.json["error"]
    assert set(reply.headers["Allow"].split(", ")) == {"GET", "HEAD", "OPTIONS"}  # of the last, a 405
    assert client.get("/health", headers={"Host": "evil.example"}).status_code == 403


def test_uploads_and_pixels_are_bounded(release):
    with started(release, max_bytes=2000, max_pixels=200) as (_, client):
        assert client.post("/tag", data=BLUE, headers=HOST).status_code == 200
        reply = client.post("/tag", data=encoded(0, 15), headers=HOST)
        assert reply.status_code == 413
        assert "15 x 15 pixels; 200 are allowed" in reply.json["error"]
        for data in (bytes(2001), {"file": (io.BytesIO(bytes(2000)), "x.png")}):
            assert client.post("/tag", data=data, headers=HOST).status_code == 413


def test_a_bomb_is_refused_by_its_header(release, monkeypatch):
    """A PNG of a few bytes that says it has 50,000 x 50,000 pixels is not decoded."""
    data = bytearray(encoded(0))
    data[16:24] = (50_000).to_bytes(4) * 2
    monkeypatch.setattr(codec, "prepare", lambda *_: pytest.fail("decoded"))
    with started(release) as (_, client):
        assert client.post("/tag", data=bytes(data), headers=HOST).status_code == 400


def test_a_model_that_fails_answers_500(release):
    with started(release, run=lambda pixels: np.full((len(pixels), 9), np.nan)) as (_, client):
        for _ in range(2):  # and lives on
            reply = client.post("/tag", data=BLUE, headers=HOST)
            assert reply.status_code == 500
            assert "NaN or infinity" in reply.json["error"]


def test_uploads_stay_in_memory(release, monkeypatch):
    """Flask would write a form's file of more than half a megabyte to disk, and waitress a body."""
    for name in ("SpooledTemporaryFile", "TemporaryFile"):
        monkeypatch.setattr(werkzeug.formparser, name, lambda *_, **__: pytest.fail("a file"), raising=False)
    noise = np.random.default_rng(0).integers(0, 256, (700, 700, 3), dtype=np.uint8)
    data = cv2.imencode(".png", noise)[1].tobytes()
    assert len(data) > 1 << 20
    head = b'--x\r\nContent-Disposition: form-data; name="a"; filename="a.png"\r\n\r\n'
    with started(release) as (service, client):
        words = {"content_type": "multipart/form-data; boundary=x", "headers": HOST}
        reply = client.post("/tag", data=head + data + b"\r\n--x--\r\n", **words)
        assert reply.status_code == 200
        assert service.limits.server_limits.buffer_bytes >= service.limits.max_bytes


# Many at once


def wait_for_images(service, number):
    """Wait until so many pictures are present."""
    wait_until(lambda: service._present >= number)


def wait_until(condition):
    """Wait until a condition holds, a minute at most."""
    until = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.01)


class Gate:
    """A model that waits until it is let go, and remembers the sizes of its batches."""

    def __init__(self, width=9):
        self.go, self.sizes, self.width = threading.Event(), [], width

    def __call__(self, pixels):
        self.sizes.append(len(pixels))
        assert self.go.wait(60)
        return np.repeat(pixels[:, :1, 0, 2] / 255, self.width, axis=1)


def test_requests_that_come_together_are_tagged_together_and_not_mixed_up(release):
    gate = Gate()
    with started(release, gate, batch_size=4) as (service, client):
        values = [10 * number for number in range(12)]
        with concurrent.futures.ThreadPoolExecutor(12) as pool:
            clients = [client.application.test_client() for _ in values]
            ask = [
                pool.submit(one.post, "/tag?threshold=0", data=encoded((0, 0, value)), headers=HOST)
                for one, value in zip(clients, values, strict=True)
            ]
            wait_for_images(service, 12)
            wait_until(lambda: len(service._batcher._queue) + sum(gate.sizes) == 12)  # all are decoded
            gate.go.set()
            replies = [future.result() for future in ask]
    for value, reply in zip(values, replies, strict=True):
        assert reply.json["ratings"]["general"] == pytest.approx(value / 255, abs=1e-6)
    assert sum(gate.sizes) == 12
    assert max(gate.sizes) == 4
    assert len(gate.sizes) < 8


def test_a_full_queue_sends_clients_away_for_now(release):
    gate = Gate()
    with started(release, gate, max_images=3) as (service, client):
        with concurrent.futures.ThreadPoolExecutor(3) as pool:
            ask = [pool.submit(service.probabilities, BLUE) for _ in range(3)]
            wait_for_images(service, 3)
            reply = client.post("/tag", data=BLUE, headers=HOST)
            assert reply.status_code == 503
            assert int(reply.headers["Retry-After"]) >= 1
            assert "come again" in reply.json["error"]
            assert client.get("/health").status_code == 200
            gate.go.set()
            assert all(len(future.result()) == 9 for future in ask)
        assert client.post("/tag", data=BLUE, headers=HOST).status_code == 200


@pytest.mark.reliability("A picture that takes long to decode", "503 at the deadline, free for others")
def test_decoding_has_a_deadline(release, monkeypatch):
    prepare = codec.prepare
    slow = encoded((0, 0, 255), size=13)
    answered = threading.Event()
    monkeypatch.setattr(
        codec,
        "prepare",
        lambda data, *words, **more: (data == slow and answered.wait(60), prepare(data, *words, **more))[1],
    )
    with started(release, timeout=0.2) as (_, client):
        assert client.post("/tag", data=slow, headers=HOST).status_code == 503  # while it is being decoded
        answered.set()


@pytest.mark.reliability("The server ends while a picture waits", "503, and no traceback")
def test_a_request_that_outlives_the_service_is_a_503(release):
    with started(release) as (_, client):
        pass
    reply = client.post("/tag", data=BLUE, headers=HOST)
    assert (reply.status_code, reply.json) == (503, {"error": "the server is ending"})


@pytest.mark.reliability("A JPEG of thousands of scans", "413 before it is decoded")
def test_a_jpeg_of_many_scans_is_refused(client):
    image = cv2.imencode(".jpg", np.zeros((8, 8, 3), np.uint8), [cv2.IMWRITE_JPEG_PROGRESSIVE, 1])[
        1
    ].tobytes()
    assert client.post("/tag", data=image, headers=HOST).status_code == 200
    scan = image[image.index(tagging_service.JPEG_SCAN) : -2]
    reply = client.post("/tag", data=image[:-2] + 200 * scan + image[-2:], headers=HOST)
    assert reply.status_code == 413
    assert "scans" in reply.json["error"]


def test_a_request_times_out(release):
    gate = Gate()
    with started(release, gate, timeout=0.2, batch_size=1) as (_, client):
        began = time.monotonic()
        reply = client.post("/tag", data=BLUE, headers=HOST)
        assert reply.status_code == 503
        assert "no answer within 0.2 s" in reply.json["error"]
        assert client.post("/tag", data=BLUE, headers=HOST).status_code == 503
        assert time.monotonic() - began < 50  # not until it is let go
        gate.go.set()
    assert sum(gate.sizes) <= 1  # what nobody waits for any more is not tagged
