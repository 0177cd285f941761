"""A request that gets no tags, with its HTTP status."""

from collections.abc import Mapping


class RefusedError(Exception):
    """A request that gets no tags: HTTP status, text, further headers."""

    def __init__(self, status: int, text: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(text)
        self.status, self.headers = status, dict(headers or {})
