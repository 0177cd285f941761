"""The table of training steps compiled for TPUs that are not here: its file, and its pages.

A row is one recipe on one topology. All figures are per device and step, as ``train.py --dry-run --topology``
gives them; what follows from them and from the chip's published figures is computed when the table is shown.
"""

import pathlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from Utils.files import csv_tables
from Utils.training import chips

Row = dict[str, Any]
# What a row is of: no two rows agree in all of these.
KEY = (
    "recipe", "topology", "image_size", "num_labels", "batch_size_per_device", "dtype", "rematerialize",
    "effort",
)  # fmt: skip
COUNTS = (
    "devices", "memory_limit_bytes", "memory_bytes", "argument_bytes", "temporary_bytes", "flops",
    "matrix_flops", "bytes_accessed",
)  # fmt: skip
COLLECTIVES = ("all-reduce", "all-gather", "reduce-scatter", "all-to-all", "collective-permute")
COLLECTIVE_COLUMNS = tuple(f"{kind.replace('-', '_')}_bytes" for kind in COLLECTIVES)
HEADER = (*KEY, "device_kind", "fits", *COUNTS, *COLLECTIVE_COLUMNS, "compile_seconds", "jax", "libtpu")
GIB = 2**30


def row(key: Mapping[str, Any], answer: Mapping[str, Any], versions: Mapping[str, str]) -> Row:
    """Return the row of one answer of a dry run (its JSON), with the versions of jax and libtpu."""
    collectives = (answer["collectives"].get(kind, 0) for kind in COLLECTIVES)
    values = {
        **key,
        "device_kind": answer["device_kind"],
        "fits": answer["fits"],
        **{name: None if answer[name] is None else round(answer[name]) for name in COUNTS},
        **dict(zip(COLLECTIVE_COLUMNS, collectives, strict=True)),
        "compile_seconds": round(answer["compile_seconds"], 1),
        **versions,
    }
    return {name: values[name] for name in HEADER}


def key_of(row: Row) -> tuple[Any, ...]:
    """Return what a row is of."""
    return tuple(row[name] for name in KEY)


def read(path: pathlib.Path) -> list[Row]:
    """Read a table; UserError where the file is no such table."""
    numbers = {*COUNTS, *COLLECTIVE_COLUMNS, "image_size", "num_labels", "batch_size_per_device"}

    def value(name: str, text: str) -> Any:
        if name in numbers:
            return int(text) if text else None
        if name == "compile_seconds":
            return float(text)
        return text == "True" if name == "fits" else text

    rows = csv_tables.read_texts(path, "training steps compiled for TPUs", HEADER)
    return [{name: value(name, line[name]) for name in HEADER} for line in rows]


def write(path: pathlib.Path, rows: Iterable[Row]) -> None:
    """Write a table; a number that the compiler does not give is empty."""
    texts = (["" if line[name] is None else line[name] for name in HEADER] for line in rows)
    csv_tables.write_rows(path, HEADER, texts)


def overview(rows: Sequence[Row]) -> str:
    """Return a Markdown table, recipes down, topologies across, memory in each cell; and what compiled it."""
    topologies = list(dict.fromkeys(line["topology"] for line in rows))
    recipes = list(dict.fromkeys(line["recipe"] for line in rows))
    cells = {(recipe, topology): "" for recipe in recipes for topology in topologies}
    for line in rows:
        place = line["recipe"], line["topology"]
        cells[place] = "; ".join(filter(None, (cells[place], _cell(line))))
    limits = {line["topology"]: line["memory_limit_bytes"] / GIB for line in rows}
    header = ["recipe", *(f"{name}, {limits[name]:.1f} GiB" for name in topologies)]
    body = [[recipe, *(cells[recipe, name] or "not compiled" for name in topologies)] for recipe in recipes]
    versions = sorted(
        {f"jax {line['jax']}, libtpu {line['libtpu']}, {line['effort']} effort" for line in rows}
    )
    return f"{markdown(header, body, left=len(header))}\n\nCompiled by {'; '.join(versions)}."


def _cell(line: Row) -> str:
    form = " with blocks rematerialized" if line["rematerialize"] == "blocks" else ""
    return f"{line['memory_bytes'] / GIB:.2f}{form}{'' if line['fits'] else ', **does not fit**'}"


def details(rows: Sequence[Row]) -> str:
    """Return a Markdown table of all figures, with what the chip's peaks allow at most; a device's."""
    header = [
        "recipe", "px", "topology", "rematerialized", "GiB of the chip's", "TFLOP", "in products",
        "s at peak FLOP/s", "GB moved", "s at peak GB/s", "images/s by that",
        "MB all-reduced",
    ]  # fmt: skip
    order = list(dict.fromkeys(line["topology"] for line in rows))
    by_topology = sorted(rows, key=lambda line: order.index(line["topology"]))
    return markdown(header, [_detail(line) for line in by_topology], left=4)


def seconds_at_least(line: Row) -> float | None:
    """Return the seconds of a step at the chip's peaks; None where the compiler gives neither figure."""
    bounds = chips.bounds(line["topology"], line["flops"], line["bytes_accessed"])
    return max((seconds for seconds in bounds if seconds is not None), default=None)


def _detail(line: Row) -> list[str]:
    compute, memory = chips.bounds(line["topology"], line["flops"], line["bytes_accessed"])
    seconds = seconds_at_least(line)
    share = line["matrix_flops"] / line["flops"] if line["flops"] else None
    return [
        line["recipe"],
        str(line["image_size"]),
        line["topology"],
        line["rematerialize"],
        f"{line['memory_bytes'] / GIB:.2f} ({line['memory_bytes'] / line['memory_limit_bytes']:.0%})",
        _number(line["flops"], 1e-12),
        "" if share is None else f"{share:.0%}",
        _number(compute),
        _number(line["bytes_accessed"], 1e-9),
        _number(memory),
        _number(line["batch_size_per_device"] / seconds if seconds else None),
        _number(line["all_reduce_bytes"], 1e-6) if line["fits"] else "",
    ]


def _number(value: float | None, factor: float = 1.0) -> str:
    if value is None:
        return ""
    value *= factor
    return f"{value:.3g}" if value < 1000 else f"{value:,.0f}"


def markdown(header: Sequence[str], rows: Iterable[Sequence[str]], left: int) -> str:
    """Return a Markdown table; its first ``left`` columns are aligned to the left, others to the right."""
    rule = [":--" if column < left else "--:" for column in range(len(header))]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (header, rule, *rows))
