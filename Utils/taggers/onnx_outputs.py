"""What an ONNX file says of its outputs and weights: whether a sigmoid computes them, which files hold them.

Only the nodes and outputs of the graph are read, straight from the file's protobuf messages: weights are
skipped, and the package onnx, which tagging does not need otherwise, is not.
Field numbers are those of onnx.proto: https://github.com/onnx/onnx/blob/main/onnx/onnx.proto
"""

import mmap
import re
from collections.abc import Iterator

from Utils.files import damage
from Utils.files.atomic import AnyPath, to_path

_GRAPH = 7  # of ModelProto
_NODE, _OUTPUT = 1, 12  # of GraphProto
_VALUE_NAME = 1  # of ValueInfoProto
_NODE_INPUT, _NODE_OUTPUT, _OP_TYPE = 1, 2, 4  # of NodeProto
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5  # wire types
_PROBABILITIES = {"Sigmoid", "HardSigmoid", "Softmax"}
_TRANSPARENT = {"Identity", "Cast", "Reshape", "Squeeze", "Flatten", "Unsqueeze", "DequantizeLinear"}
# An entry of TensorProto.external_data up to the length of the file's name: key (1), value (2).
_LOCATION = re.compile(rb"\x0a\x08location\x12")


def external_files(path: AnyPath) -> list[str]:
    """Return the names of the files, relative to an ONNX file's folder, that hold weights of it, sorted."""
    names = set()
    with (
        to_path(path).open("rb") as file,
        mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data,
    ):
        for entry in _LOCATION.finditer(data):
            length, at = _varint(data, entry.end(), len(data))
            names.add(data[at : at + length].decode("utf-8", "replace"))
    return sorted(names)


def ends_in_sigmoid(path: AnyPath) -> dict[str, bool]:
    """Return ``{name of an output: whether a sigmoid or softmax computes it}`` of an ONNX file, in order.

    Raises UserError where the file is no ONNX file.
    """
    makers: dict[str, tuple[str, str]] = {}  # of a value: (operator, its first input)
    outputs = []
    with (
        damage.named(path, "cannot be loaded as an ONNX model"),
        to_path(path).open("rb") as file,
        mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data,
    ):
        for field, start, end in _fields(data, *_graph(data)):
            if field == _NODE:
                makers |= _made_by(data, start, end)
            elif field == _OUTPUT:
                outputs.append(_text(data, start, end, _VALUE_NAME))
    return {name: _is_probability(name, makers) for name in outputs}


def _graph(data: mmap.mmap) -> tuple[int, int]:
    for field, start, end in _fields(data, 0, len(data)):
        if field == _GRAPH:
            return start, end
    raise ValueError("it has no graph")


def _made_by(data: mmap.mmap, start: int, end: int) -> dict[str, tuple[str, str]]:
    """Return ``{output: (operator, first input)}`` of a node."""
    parts = list(_fields(data, start, end))

    def texts(number: int) -> list[str]:
        return [data[at:to].decode("utf-8") for field, at, to in parts if field == number]

    operator, inputs = "".join(texts(_OP_TYPE)), texts(_NODE_INPUT)
    return dict.fromkeys(texts(_NODE_OUTPUT), (operator, inputs[0] if inputs else ""))


def _is_probability(name: str, makers: dict[str, tuple[str, str]]) -> bool:
    """Follow a value back through operators that leave numbers as they are."""
    for _ in range(len(makers)):
        operator, source = makers.get(name, ("", ""))
        if operator not in _TRANSPARENT:
            return operator in _PROBABILITIES
        name = source
    return False


def _text(data: mmap.mmap, start: int, end: int, number: int) -> str:
    return next(
        (data[at:to].decode("utf-8") for field, at, to in _fields(data, start, end) if field == number), ""
    )


def _fields(data: mmap.mmap, start: int, end: int) -> Iterator[tuple[int, int, int]]:
    """Yield ``(field, first byte, byte after the last)`` of the texts and messages of a protobuf message."""
    at = start
    while at < end:
        key, at = _varint(data, at, end)
        wire = key & 7
        if wire == _VARINT:
            _, at = _varint(data, at, end)
            continue
        if wire == _BYTES:
            length, at = _varint(data, at, end)
        elif wire in (_FIXED32, _FIXED64):
            length = 4 if wire == _FIXED32 else 8
        else:
            raise ValueError(f"no protobuf: wire type {wire}")
        if at + length > end:
            raise ValueError("it ends too early")
        if wire == _BYTES:
            yield key >> 3, at, at + length
        at += length


def _varint(data: mmap.mmap, at: int, end: int) -> tuple[int, int]:
    """Return ``(number, place after it)``."""
    value = shift = 0
    while at < end and shift < 70:
        byte = data[at]
        at += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value, at
        shift += 7
    raise ValueError("it ends within a number")
