"""Sources of posts: one function each, from a path to a `stream.Source`, read in bulk with bounded memory.

A source of another kind is one more function in a file of its own here, and one more row in SOURCES.
"""

from collections.abc import Callable

from Utils.data.sources.deepdanbooru_database import read_deepdanbooru
from Utils.data.sources.detection import Detected, detect
from Utils.data.sources.fire_eggs_database import read_fire_eggs
from Utils.data.sources.json_lines import read_json_lines
from Utils.data.sources.parquet_files import read_parquet
from Utils.data.sources.sidecar_folders import read_sidecars
from Utils.data.sources.stream import Source

__all__ = ["SOURCES", "Detected", "detect"]

SOURCES: dict[str, Callable[..., Source]] = {
    "fire-eggs": read_fire_eggs,
    "deepdanbooru": read_deepdanbooru,
    "jsonl": read_json_lines,
    "parquet": read_parquet,
    "sidecars": read_sidecars,
}
