"""Programs that call other servers get what they read: the original's, the webui's, autotagger's clients."""

import base64
import io

import cv2
import numpy as np
import pytest
from helpers import small_releases

from Utils.serving import onnx_tagger, tag_selection, tagging_service

HOST = {"Host": "127.0.0.1:8000"}
BLUE = cv2.imencode(".png", np.full((12, 12, 3), (255, 0, 0), np.uint8))[1].tobytes()
RED = cv2.imencode(".png", np.full((12, 12, 3), (0, 0, 255), np.uint8))[1].tobytes()


def text(data):
    return base64.b64encode(data).decode()


@pytest.fixture(scope="module")
def client(tmp_path_factory):
    services = {}
    for name in ("a", "b"):
        tagger = onnx_tagger.open_release(small_releases.make(tmp_path_factory.mktemp(name) / "release"))
        selector = tag_selection.TagSelector(tagger.tags, tag_selection.default_thresholds(tagger.tags))
        services[name] = tagging_service.TaggingService(tagger, selector, tagging_service.ServiceLimits())
    yield tagging_service.make_app(services).test_client()
    for service in services.values():
        service.__exit__()


def test_the_originals_client(client):
    def tags(**body):
        return client.post("/api/gettags/", json=body, headers=HOST)

    assert tags(image=text(BLUE)).json == ["blue_sky", "^_^", "character:rei_(eva)"]  # the list's order
    assert tags(image=text(BLUE), thresh=0.95).json == ["blue_sky"]
    for body, said in (({}, "base64"), ({"image": "%"}, "base64"), ({"image": text(b"x")}, "cannot be used")):
        reply = tags(**body)
        assert reply.status_code == 400
        assert said in reply.json["error"]
    for threshold in ("high", True, 2, 10**400):
        assert tags(image=text(BLUE), thresh=threshold).status_code == 400
    assert client.post("/api/gettags/", data="x", headers=HOST).status_code == 415
    assert "a JSON object" in client.post("/api/gettags/", json=[1], headers=HOST).json["error"]


def test_the_webuis_clients(client):
    assert client.get("/tagger/v1/interrogators", headers=HOST).json == {"models": ["a", "b"]}
    body = {"image": f"data:image/png;base64,{text(RED)}", "model": "b", "threshold": 0.5, "queue": ""}
    caption = client.post("/tagger/v1/interrogate", json=body, headers=HOST).json["caption"]
    assert caption["tag"] == {"red_(color)": 1.0}  # as picobyte's clients read it
    assert caption["rating"]["sensitive"] == pytest.approx(0.8)
    assert caption["red_(color)"] == 1.0  # as toriato's do
    assert caption["general"] == pytest.approx(0.6)
    for model in ("c", ["a"], {"a": 1}):
        reply = client.post("/tagger/v1/interrogate", json=body | {"model": model}, headers=HOST)
        assert (reply.status_code, "a, b" in reply.json["error"]) == (404, True)


def test_autotaggers_client(client):
    files = [(io.BytesIO(BLUE), "blue.png"), (io.BytesIO(RED), "red.png")]
    data = {"file": files, "format": "json", "threshold": "0.55", "limit": "2"}
    results = client.post("/evaluate", data=data, headers=HOST).json
    assert [result["filename"] for result in results] == ["blue.png", "red.png"]
    assert list(results[0]["tags"]) == ["blue_sky", "rei_(eva)"]
    assert results[1]["tags"] == {"red_(color)": 1.0, "rating:s": pytest.approx(0.8)}
    plain, low = (
        client.post("/evaluate", data={"file": (io.BytesIO(BLUE), "b.png"), **more}, headers=HOST).json
        for more in ({"format": "json"}, {"format": "json", "threshold": "0.1", "limit": "50"})
    )
    assert plain == low and len(plain[0]["tags"]) > 2
    for data in ({}, {"file": (io.BytesIO(BLUE), "b.png"), "format": "html"},
                 {"file": (io.BytesIO(BLUE), "b.png"), "limit": "few"},
                 {"file": (io.BytesIO(BLUE), "b.png"), "limit": "-1"}):  # fmt: skip
        assert client.post("/evaluate", data=data, headers=HOST).status_code == 400
    reply = client.post("/evaluate", data={"image": (io.BytesIO(BLUE), "b.png")}, headers=HOST)
    assert "needed; 0 came, and files named image" in reply.json["error"]
    files = {"file": [(io.BytesIO(BLUE), "b.png"), (io.BytesIO(b"none"), "bad.png")]}
    assert "bad.png: this cannot" in client.post("/evaluate", data=files, headers=HOST).json["error"]


def test_one_of_several_models_is_chosen(client):
    models = client.get("/models", headers=HOST).json
    assert [(model["model"], model["num_tags"]) for model in models] == [("a", 9), ("b", 9)]
    assert client.get("/health?model=b", headers=HOST).json["model"] == "b"
    assert client.post("/tag?model=b", data=BLUE, headers=HOST).status_code == 200
    assert client.post("/tag?model=c", data=BLUE, headers=HOST).status_code == 404
