"""Sources of posts: one function each, from a path to a `stream.Source`, read in bulk with bounded memory.

A source of another kind is one more function in a file of its own here, and one more row in SOURCES.
"""

from collections.abc import Callable

from Utils.data.sources.deepdanbooru_database import read_deepdanbooru
from Utils.data.sources.detection import FINDS_PICTURES, Detected, default_pictures, detect
from Utils.data.sources.fire_eggs_database import read_fire_eggs
from Utils.data.sources.json_lines import read_json_lines
from Utils.data.sources.parquet_files import read_parquet
from Utils.data.sources.post_tables import read_e621
from Utils.data.sources.sidecar_folders import read_sidecars, read_webdataset
from Utils.data.sources.stream import Source
from Utils.files.atomic import AnyPath
from Utils.images.place import Place

__all__ = ["FINDS_PICTURES", "SOURCES", "Detected", "default_pictures", "detect", "read"]

SOURCES: dict[str, Callable[..., Source]] = {
    "fire-eggs": read_fire_eggs,
    "deepdanbooru": read_deepdanbooru,
    "jsonl": read_json_lines,
    "parquet": read_parquet,
    "sidecars": read_sidecars,
    "webdataset": read_webdataset,
    "e621": read_e621,
}
_DATABASES = ("fire-eggs", "deepdanbooru")  # their posts have numbers, wherever the pictures are


def read(kind: str, path: AnyPath, images: Place | AnyPath | None = None) -> Source:
    """Read a source of posts; ``images`` is the place of their pictures, which names those without an id."""
    return SOURCES[kind](path) if kind in _DATABASES else SOURCES[kind](path, images)
