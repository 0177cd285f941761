"""How many cores of a host feed a device: the images that it takes at most, by those that a core makes.

What a core makes is measured (``bench.py input --per-core``). What a device takes is modelled: no step is
faster than its FLOPs and bytes allow at the chip's peaks, so that a real one needs fewer cores.
"""

import math
import pathlib
from collections.abc import Sequence

from Utils.bench import compiled_steps
from Utils.bench.compiled_steps import Row
from Utils.files import csv_tables
from Utils.training import chips

HEADER = ("image_size", "augment_on", "images_per_core_second", "processor")
Rates = dict[int, dict[str, float]]  # {image size: {augment_on: images/s of a core}}


def read_rates(path: pathlib.Path) -> Rates:
    """Read what a core makes; UserError where the file is no such table."""
    rates: Rates = {}
    for line in csv_tables.read_texts(path, "images that a core prepares", HEADER):
        rate = float(line["images_per_core_second"])
        rates.setdefault(int(line["image_size"]), {})[line["augment_on"]] = rate
    return rates


def table(rows: Sequence[Row], rates: Rates) -> str:
    """Return a Markdown table: recipes down, devices across; images/s at most, and the cores for that.

    Of each recipe and TPU the first row that fits counts. A GPU has no compiled program here: it is taken to
    do the convolutions and matrix products that the step asks for, and to move as many bytes as that TPU's
    program that moves least.
    """
    fitting = [line for line in rows if line["fits"] and line["image_size"] in rates]
    names = list(dict.fromkeys(line["topology"] for line in fitting))
    recipes = dict.fromkeys((line["recipe"], line["image_size"]) for line in fitting)
    body = []
    for recipe, size in recipes:
        lines = [line for line in fitting if (line["recipe"], line["image_size"]) == (recipe, size)]
        cells = {
            line["topology"]: _cell(line, compiled_steps.seconds_at_least(line), rates)
            for line in lines[::-1]
        }
        gpu = _cell(lines[0], _gpu_seconds(lines), rates)
        body.append([recipe, str(size), *(cells.get(name, "not compiled") for name in names), gpu])
    header = ["recipe", "px", *names, "H200, bytes as on a TPU"]
    return compiled_steps.markdown(header, body, left=len(header))


def _gpu_seconds(lines: Sequence[Row]) -> float | None:
    moved = [line["bytes_accessed"] for line in lines if line["bytes_accessed"] is not None]
    if not moved:
        return None
    return max(lines[0]["matrix_flops"] / chips.H200.flops, min(moved) / chips.H200.bytes_per_second)


def _cell(line: Row, seconds: float | None, rates: Rates) -> str:
    if seconds is None:
        return "unknown"
    images, rate = line["batch_size_per_device"] / seconds, rates[line["image_size"]]
    return f"{images:,.0f}: {math.ceil(images / rate['host'])}, {math.ceil(images / rate['device'])}"
