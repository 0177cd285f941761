"""What a model is made of: parameters and multiply-adds, layer by layer or block by block."""

import dataclasses
import re

import numpy as np


@dataclasses.dataclass(frozen=True)
class Row:
    """One layer or block: name, kind, shape of its output for one image, parameters, multiply-adds."""

    name: str
    kind: str
    shape: tuple
    parameters: int
    macs: int


def macs(layer):
    """Return the multiply-adds of a layer for one image: its kernel once for every position of its output.

    A layer that counts otherwise has a method ``macs(input_shape)``. Additions, activations and norms are
    not counted, as in papers.
    """
    if hasattr(layer, "macs"):
        return layer.macs(layer.input.shape)
    positions = int(np.prod(layer.output.shape[1:-1], dtype=np.int64))  # 1 for (B, C)
    return sum(int(np.prod(w.shape)) for w in layer.weights if w.name == "kernel") * positions


def layers(model):
    """Return a Row for every layer, in forward order."""
    return [
        Row(item.name, type(item).__name__, tuple(item.output.shape[1:]), item.count_params(), macs(item))
        for item in model.layers
    ]


def blocks(model):
    """Return a Row for every block and every layer outside of blocks, in forward order."""
    grouped = {}
    for row in layers(model):
        block = re.match(r"(stage\d+_)?block\d+(?=_)|stage\d+_down(?=_)", row.name)
        grouped.setdefault(block.group() if block else row.name, []).append(row)
    return [_joined(name, rows) for name, rows in grouped.items()]


def _joined(name, rows):
    kind = rows[0].kind if len(rows) == 1 else f"{len(rows)} layers"
    parameters, work = sum(row.parameters for row in rows), sum(row.macs for row in rows)
    return Row(name, kind, rows[-1].shape, parameters, work)


def total_macs(model):
    """Return the multiply-adds of a model for one image."""
    return sum(row.macs for row in layers(model))
