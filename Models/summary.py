"""Tables of a model: output shape, parameters and multiply-adds, layer by layer or block by block."""

import dataclasses
import re
from typing import Any

import keras
import numpy as np


@dataclasses.dataclass(frozen=True)
class Row:
    """One layer or block; ``shape`` is that of its output without the batch axis."""

    name: str
    kind: str
    shape: tuple[int | None, ...]
    parameters: int
    macs: int


def macs(layer: Any) -> int:
    """Return the multiply-adds of a layer for one image: its kernel once at every position of its output.

    Layers with another rule have a method ``macs(input_shape)``. Additions, activations and norms do not
    count, as in papers.
    """
    if hasattr(layer, "macs"):
        return layer.macs(layer.input.shape)
    positions = int(np.prod(layer.output.shape[1:-1], dtype=np.int64))  # 1 for (B, C)
    return positions * sum(int(np.prod(weight.shape)) for weight in layer.weights if weight.name == "kernel")


def layers(model: keras.Model) -> list[Row]:
    """Return a Row for every layer, in forward order."""
    return [
        Row(item.name, type(item).__name__, tuple(item.output.shape[1:]), item.count_params(), macs(item))
        for item in model.layers
    ]


def blocks(model: keras.Model) -> list[Row]:
    """Return a Row for every block and every layer outside of blocks, in forward order."""
    grouped: dict[str, list[Row]] = {}
    for row in layers(model):
        block = re.match(r"(stage\d+_)?block\d+(?=_)|stage\d+_down(?=_)", row.name)
        grouped.setdefault(block.group() if block else row.name, []).append(row)
    return [_sum_rows(name, rows) for name, rows in grouped.items()]


def _sum_rows(name: str, rows: list[Row]) -> Row:
    kind = rows[0].kind if len(rows) == 1 else f"{len(rows)} layers"
    parameters, work = sum(row.parameters for row in rows), sum(row.macs for row in rows)
    return Row(name, kind, rows[-1].shape, parameters, work)


def total_macs(model: keras.Model) -> int:
    """Return the multiply-adds of a model for one image."""
    return sum(row.macs for row in layers(model))
