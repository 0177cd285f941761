"""A request that gets no tags, with its HTTP status."""

from collections.abc import Mapping

import flask


class RefusedError(Exception):
    """A request that gets no tags: HTTP status, text, further headers."""

    def __init__(self, status: int, text: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(text)
        self.status, self.headers = status, dict(headers or {})


def reply(error: RefusedError) -> tuple[flask.Response, int, dict[str, str]]:
    """Return the reply to a request that was refused, for ``app.register_error_handler``."""
    return flask.jsonify(error=str(error)), error.status, error.headers
