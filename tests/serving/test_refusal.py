"""A refusal has a status, a text and headers."""

from Utils.serving.refusal import RefusedError


def test_a_refusal():
    error = RefusedError(503, "busy", {"Retry-After": "2"})
    assert (error.status, str(error), error.headers) == (503, "busy", {"Retry-After": "2"})
