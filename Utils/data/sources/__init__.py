"""Sources of posts: one function each, all giving a `Source`, read in bulk with bounded memory.

A source of another kind is one more function in a file of its own here, and one more row in SOURCES.
"""

from Utils.data.sources.deepdanbooru_database import deepdanbooru
from Utils.data.sources.fire_eggs_database import fire_eggs
from Utils.data.sources.json_lines import jsonl
from Utils.data.sources.parquet_files import parquet
from Utils.data.sources.sidecar_folders import parse_sidecar, sidecars
from Utils.data.sources.stream import Block, Source, rising

SOURCES = {
    "fire-eggs": fire_eggs,
    "deepdanbooru": deepdanbooru,
    "jsonl": jsonl,
    "parquet": parquet,
    "sidecars": sidecars,
}

__all__ = [
    "SOURCES", "Block", "Source", "deepdanbooru", "fire_eggs", "jsonl", "parquet", "parse_sidecar", "rising",
    "sidecars",
]  # fmt: skip
