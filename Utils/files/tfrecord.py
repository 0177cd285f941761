"""TFRecord files and the Examples in them, written and read without tensorflow; one copy of every image less.

A file is a row of records: length (8 bytes, little-endian), its checksum (4), the data, their checksum (4),
with masked CRC-32C checksums. The data are a ``tf.train.Example``: ``image_id`` int64 (the post id),
``image_bytes`` (a JPEG), ``label_indexes`` int64 list, possibly empty.
"""

import pathlib

import google_crc32c
import numpy as np

from Utils.command.cli import UserError
from Utils.files.hashing_writer import Sink


def example(image_id, image_bytes, label_indexes):
    """Return the parts of a serialized Example; joined they are what tensorflow writes, keys in order.

    Args:
        image_id: post id, 0 to 2**63 - 1.
        image_bytes: the JPEG file as it will be decoded.
        label_indexes: iterable of rows of the tag list, possibly empty.
    """
    image, size = b"", len(image_bytes)
    for before in (b"\x0a", b"\x0a", _framed(b"\x0a", b"image_bytes") + b"\x12", b"\x0a"):  # from the inside
        image = before + _varint(size) + image
        size = len(image) + len(image_bytes)
    labels = label_indexes.tolist() if isinstance(label_indexes, np.ndarray) else label_indexes
    others = _numbers(b"image_id", [image_id]) + _numbers(b"label_indexes", labels)
    return [b"\x0a" + _varint(size + len(others)) + image, image_bytes, others]


def _numbers(name, numbers):
    """Return the entry of the map of features that holds a list of int64."""
    varints = b"".join(map(_varint, numbers))
    values = _framed(b"\x0a", varints) if varints else b""
    return _framed(b"\x0a", _framed(b"\x0a", name) + _framed(b"\x12", _framed(b"\x1a", values)))


def _framed(tag, data):
    """Return a protobuf field that says its length; ``tag`` is its number times 8, plus 2."""
    return tag + _varint(len(data)) + data


def _varint(number):
    """Return a whole number as protobuf writes it: 7 bits a byte, the lowest first."""
    if 0 <= number < len(VARINTS):
        return VARINTS[number]
    number = int(number) & 0xFFFFFFFFFFFFFFFF
    found = bytearray()
    while number >= 0x80:
        found.append(number & 0x7F | 0x80)
        number >>= 7
    found.append(number)
    return bytes(found)


# Those of one byte and of two: lengths and rows of a tag list come by the million.
VARINTS = [bytes((n,)) if n < 0x80 else bytes((n & 0x7F | 0x80, n >> 7)) for n in range(1 << 14)]


def read_example(data):
    """Return ``(image id, image bytes)`` of a serialized Example; id -1 where it has none.

    Raises ValueError where it is no Example with one image.
    """
    image, image_id = None, -1
    for features in _values(data, 1):
        for entry in _values(features, 1):
            name, value = b"".join(_values(entry, 1)), b"".join(_values(entry, 2))
            if name == b"image_bytes":
                (image,) = [one for found in _values(value, 1) for one in _values(found, 1)]
            elif name == b"image_id":
                image_id = _first_number(value)
    if image is None:
        raise ValueError("no image_bytes")
    return image_id, bytes(image)


def _first_number(feature):
    for values in _values(feature, 3):
        for wire, value in _fields(values, 1):
            return value if wire == 0 else _read_varint(value, 0)[0]
    return -1


def _values(data, number):
    """Return the values of the fields with a number that say their length."""
    return [value for wire, value in _fields(data, number) if wire == 2]


def _fields(data, number):
    """Yield ``(wire type, value)`` of the fields with a number: whole numbers, or what says its length."""
    data, at = memoryview(data), 0
    while at < len(data):
        key, at = _read_varint(data, at)
        wire = key & 7
        if wire == 0:
            value, at = _read_varint(data, at)
        elif wire in (1, 2, 5):
            length, at = _read_varint(data, at) if wire == 2 else (8 if wire == 1 else 4, at)
            value, at = data[at : at + length], at + length
        else:
            raise ValueError(f"unknown wire type {wire}")
        if at > len(data):
            raise ValueError("a field ends after the data")
        if key >> 3 == number:
            yield wire, value


def _read_varint(data, at):
    value = 0
    for shift in range(0, 70, 7):
        if at >= len(data):
            break
        value |= (data[at] & 0x7F) << shift
        at += 1
        if data[at - 1] < 0x80:
            return value, at
    raise ValueError("a number without end")


class Writer(Sink):
    """Writes a TFRecord file; its ``size`` and ``sha256`` are known once the context has ended."""

    def write_record(self, parts):
        """Append one record, given as the parts of its data."""
        length = sum(map(len, parts)).to_bytes(8, "little")
        checksum = 0
        for part in parts:
            checksum = google_crc32c.extend(checksum, part)
        for part in (length + _masked(google_crc32c.value(length)), *parts, _masked(checksum)):
            self.write(part)


def _masked(checksum):
    """Return a checksum as the format stores it: turned by 15 bits, shifted by a constant."""
    turned = (checksum >> 15 | checksum << 17) & 0xFFFFFFFF
    return ((turned + 0xA282EAD8) & 0xFFFFFFFF).to_bytes(4, "little")


def framing(path):
    """Return offset and length of every record's data: int64 (N, 2); UserError where the last one is cut."""
    path, found = pathlib.Path(path), []
    size, at = path.stat().st_size, 0
    with path.open("rb", buffering=0) as file:
        while at < size:
            file.seek(at)
            length = int.from_bytes(file.read(8), "little")
            if at + 16 + length > size:
                raise UserError(f"{path} is no whole TFRecord file: a record is cut or has no framing")
            found.append((at + 12, length))
            at += 16 + length
    return np.array(found, np.int64).reshape(-1, 2)
