"""Maps of tags for web pages, made when they are asked for: by occlusion, one at a time, in bounded time."""

import threading
import time
from collections.abc import Callable

import numpy as np

from Utils.command.cli import suggest
from Utils.images import codec
from Utils.serving import tag_maps
from Utils.serving.onnx_tagger import ServingTagger
from Utils.serving.refusal import RefusedError

SECONDS = 300.0  # that a map may take


class LiveMaps:
    """Shows where a tagger sees its tags: overlays on pictures (`tag_maps.overlay`).

    Args:
        tagger: any, since occlusion only asks it: 65 predictions a map.
        seconds: that a map may take.
    """

    def __init__(self, tagger: ServingTagger, seconds: float = SECONDS) -> None:
        self.tagger, self.seconds = tagger, seconds
        self._columns = {name: column for column, name in enumerate(tagger.tags["name"])}
        self._lock = threading.Lock()

    def __contains__(self, tag: str) -> bool:
        return tag in self._columns

    def png(
        self, data: bytes, tag: str, prepare: Callable[[bytes, float], np.ndarray] | None = None
    ) -> bytes:
        """Return a PNG of an encoded image with a map of a tag over it.

        Args:
            data: the encoded image.
            tag: one of the tagger's.
            prepare: ``(data, deadline) -> (S, S, 3)`` as the tagger takes it, ``deadline`` a moment of
                ``time.monotonic``; by default the tagger's own.

        Raises RefusedError for a tag that the tagger lacks, for what is no image, while another map is made,
        and where it is not ready in time.
        """
        if tag not in self:
            raise RefusedError(404, f"the model has no tag {tag}{suggest(tag, self._columns)}")
        deadline = time.monotonic() + self.seconds
        if not self._lock.acquire(blocking=False):
            raise RefusedError(503, "another map is being made; come again", {"Retry-After": "5"})
        try:
            prepared = prepare(data, deadline) if prepare else self.tagger.prepare(data, None)
            picture = codec.decode(data)
            (values,) = tag_maps.occlusion(self.tagger, deadline=deadline)(prepared, [self._columns[tag]])
            return tag_maps.overlay(picture, values, tag_maps.View.of(self.tagger, picture))
        except codec.ImageError as error:
            raise RefusedError(400, f"this cannot be used as a picture: {error}") from error
        except TimeoutError:
            text = f"no map within {self.seconds:g} s; come again"
            raise RefusedError(503, text, {"Retry-After": "5"}) from None
        finally:
            self._lock.release()
