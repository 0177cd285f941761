"""Columns of millions of texts, and the rows that hold some of them, at the memory of their letters."""

from collections.abc import Collection

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

_BLOCK = 2**16  # rows


class Texts:
    """A column of texts that is appended to, as blocks of Arrow."""

    def __init__(self) -> None:
        self._blocks: list[pa.Array] = []
        self._waiting: list[str] = []

    def append(self, text: str) -> None:
        """Add a row."""
        self._waiting.append(text)
        if len(self._waiting) == _BLOCK:
            self._flush()

    def _flush(self) -> None:
        self._blocks.append(pa.array(self._waiting, pa.large_string()))
        self._waiting = []

    def finish(self) -> pa.ChunkedArray:
        """Return the column."""
        self._flush()
        return pa.chunked_array(self._blocks, pa.large_string())


def rows_named(column: pa.ChunkedArray, names: Collection[str]) -> np.ndarray:
    """Return the rows of a column whose text is one of some names."""
    if not len(names):
        return np.empty(0, np.int64)
    mask = pc.call_function(
        "is_in", [column], pc.SetLookupOptions(value_set=pa.array(list(names), pa.large_string()))
    )
    return np.flatnonzero(mask.to_numpy())
