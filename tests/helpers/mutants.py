"""Damaged copies of a file: bytes flipped, cut, repeated, zeroed; the same number gives the same damage."""

import numpy as np


def mutant(content: bytes, number: int) -> tuple[str, bytes]:
    """Return ``(what was done, the damaged content)``; the kinds take turns by ``number``."""
    rng = np.random.default_rng(number)
    # Headers and ends decide most, so that half of the damage is near one of them.
    size, near = len(content), rng.random()
    place = int(rng.integers(min(64, size)) if near < 0.25 else rng.integers(size))
    place = size - 1 - int(rng.integers(min(64, size))) if near > 0.75 else place
    length = int(rng.integers(1, 40))
    kind = ("flip", "cut", "repeat", "zero", "byte")[number % 5]
    data = bytearray(content)
    if kind == "flip":
        data[place] ^= 1 << int(rng.integers(8))
    elif kind == "cut":
        del data[place : place + length if number % 2 else size]
    elif kind == "repeat":
        data[place:place] = data[place : place + length]
    elif kind == "zero":
        data[place : place + length] = bytes(len(data[place : place + length]))
    else:
        data[place] = int(rng.integers(256))
    return f"{kind} at {place}, {length} bytes (mutant {number})", bytes(data)
