"""Counts in Prometheus' format: every request once, buckets that hold the ones below."""

import flask

from Utils.serving import metrics


def test_requests_and_pictures_are_counted():
    counts = metrics.RequestCounts()
    for status, seconds in ((200, 0.025), (200, 0.2), (503, 40.0)):
        counts.add("/tag", status, seconds)
    lines = counts.text({'a"b': 7}).splitlines()
    assert 'tagger_pictures_total{model="a\\"b"} 7' in lines
    assert 'tagger_requests_total{endpoint="/tag",status="200"} 2' in lines
    assert 'tagger_request_seconds_bucket{endpoint="/tag",le="0.025"} 1' in lines
    assert 'tagger_request_seconds_bucket{endpoint="/tag",le="30"} 2' in lines
    assert 'tagger_request_seconds_bucket{endpoint="/tag",le="+Inf"} 3' in lines
    assert 'tagger_request_seconds_sum{endpoint="/tag"} 40.225000' in lines


def test_buckets_ascend():
    assert list(metrics.BUCKETS) == sorted(set(metrics.BUCKETS))


def test_an_app_counts_its_requests():
    app = flask.Flask(__name__)
    metrics.add(app, lambda: {"m": 1})
    client = app.test_client()
    assert client.get("/none").status_code == 404
    reply = client.get("/metrics")
    assert reply.content_type.startswith("text/plain; version=0.0.4")
    assert 'tagger_requests_total{endpoint="other",status="404"} 1' in reply.text
