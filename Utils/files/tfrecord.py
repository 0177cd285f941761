"""TFRecord files and the Examples in them, written and read without TensorFlow.

Importing TensorFlow takes seconds in every process that packs, and its writer copies every image once more.

A file is a row of records: length of the data (8 bytes, little-endian), checksum of the length (4), the
data, checksum of the data (4); checksums are masked CRC-32C. The data of a shard are a ``tf.train.Example``
with ``image_id`` (int64, the post id), ``image_bytes`` (a JPEG) and ``label_indexes`` (int64 list, possibly
empty).
Format: https://www.tensorflow.org/tutorials/load_data/tfrecord, https://protobuf.dev/programming-guides/encoding
"""

import functools
import hashlib
import io
import itertools
import os
import pathlib
from collections.abc import Iterable, Iterator
from typing import IO, Any

import google_crc32c
import numpy as np

from Utils.command.cli import UserError
from Utils.files import atomic, ranges, user_cache
from Utils.files.hashing_writer import HashingWriter

NOT_KEPT = ("memory",)  # file systems that end with the process

_HEADER, _FOOTER = 12, 4  # bytes of a record before and after its data

# Wire types of protocol buffers.
_VARINT, _LENGTH_DELIMITED = 0, 2
_FIXED_SIZES = {1: 8, 5: 4}  # wire type: bytes


class Writer(HashingWriter):
    """Writes a TFRecord file; a context manager.

    ``size`` (bytes) and ``sha256`` (hexadecimal) are those of the file once the context has ended.
    """

    def write_record(self, parts: Iterable[bytes]) -> None:
        """Append one record, given as the parts of its data."""
        for part in framed(parts):
            self.write(part)


def framed(parts: Iterable[bytes]) -> list[bytes]:
    """Return the parts of a record as a file holds it: length, its checksum, the data, their checksum."""
    parts = list(parts)
    length = sum(map(len, parts)).to_bytes(8, "little")
    checksum = functools.reduce(google_crc32c.extend, parts, 0)
    return [length, _masked(google_crc32c.value(length)), *parts, _masked(checksum)]


def _masked(checksum: int) -> bytes:
    """Return a CRC-32C as the format stores it: rotated right by 15 bits, plus a constant.

    The CRC of data that hold their own CRC is a constant; masked ones do not have that weakness.
    """
    rotated = (checksum >> 15 | checksum << 17) & 0xFFFFFFFF
    return ((rotated + 0xA282EAD8) & 0xFFFFFFFF).to_bytes(4, "little")


def read_index(path: atomic.AnyPath) -> np.ndarray:
    """Return offset and length of the data of every record, int64 (N, 2), reading the lengths only.

    Raises UserError where a record is cut.
    """
    with _opened(path) as file:
        return np.array(list(_places(file, path)), np.int64).reshape(-1, 2)


def count_records(path: atomic.AnyPath) -> int:
    """Return the number of records of a file, as `read_index` finds them.

    The answer is remembered until the file is written anew, as in a notebook. To count those of a file on an
    object store is to download it, so that answer is kept in the user's cache, for as long as the store says
    that the file is the same.
    """
    is_here = os.path.isfile(path)  # noqa: PTH113  any text may come; what is missing, the reader says
    return _counted(path, ranges.stamp(path) if is_here else "")


@functools.lru_cache(maxsize=65536)
def _counted(path: atomic.AnyPath, stamp: str) -> int:
    """Return `count_records` of a file; ``stamp`` changes when a local one does."""
    name = _count_name(atomic.to_path(path))
    count = user_cache.read(name) if name else None
    if isinstance(count, int) and count >= 0:
        return count
    count = len(read_index(path))
    if name:
        user_cache.write(name, count)
    return count


def _count_name(path: Any) -> str:
    """Return the name of a file's number of records in the user's cache; "" for local files and memory://."""
    if not atomic.is_remote(path) or path.protocol in NOT_KEPT:
        return ""
    # fsspec's digest of what the store lists of the file: size, and a checksum, a version or a time.
    state = path.fs.ukey(path.path)
    digest = hashlib.sha256(f"{path}\n{state}".encode()).hexdigest()
    return f"records-{digest[:32]}"


def read_records(path: atomic.AnyPath, skip: int = 0, take: int | None = None) -> Iterator[bytes]:
    """Yield the data of the records after the first ``skip``, at most ``take`` of them (None: all).

    Other file systems are read too (`Utils.files.atomic.to_path`). Raises UserError where a record is cut or
    its checksum is wrong; skipped records are not read.
    """
    end = None if take is None else skip + take
    with _opened(path) as file:
        for offset, length in itertools.islice(_places(file, path), skip, end):
            yield read_record(file, path, offset, length)


def read_record(file: IO[bytes], path: atomic.AnyPath, offset: int, length: int) -> bytes:
    """Return the data of the record whose data begin at ``offset``, as `read_index` found them.

    Raises UserError where the checksum of the length or of the data is wrong.
    """
    file.seek(offset - _HEADER)
    framed_data = file.read(_HEADER + length + _FOOTER)
    data = framed_data[_HEADER : _HEADER + length]
    if framed_data != b"".join(framed([data])):
        raise UserError(f"{path} is damaged: the record at byte {offset - _HEADER} has a wrong checksum")
    return data


def _places(file: IO[bytes], path: atomic.AnyPath) -> Iterator[tuple[int, int]]:
    """Yield offset and length of the data of every record; the caller may move in the file meanwhile."""
    size, start = file.seek(0, os.SEEK_END), 0
    for number in itertools.count():
        if start == size:
            return
        file.seek(start)
        length = int.from_bytes(file.read(8), "little")
        end = start + _HEADER + length + _FOOTER
        if end > size:
            raise UserError(f"{path} is no whole TFRecord file: record {number} is cut or has no framing")
        yield start + _HEADER, length
        start = end


def require_here(path: pathlib.Path) -> None:
    """Raise UserError, which says what to do, where there is no shard at a local path."""
    if not path.exists():
        raise UserError(f"no shard of records is at {path}; restore it, or write the records again")


def _opened(path: atomic.AnyPath) -> IO[bytes]:
    path = atomic.to_path(path)
    if not atomic.is_remote(path):
        require_here(path)
        atomic.require_no_device(path)  # to open a pipe would wait for who writes into it
        return path.open("rb", buffering=0)  # a buffer would read 8 KB to get each length of 8 bytes
    file = path.open("rb")
    # A file of memory:// is one object for all its readers, who would move each other's position.
    return io.BytesIO(file.getvalue()) if isinstance(file, io.BytesIO) else file


def encode_example(
    image_id: int, image_bytes: bytes, label_indexes: Iterable[int] | np.ndarray
) -> list[bytes]:
    """Return the parts of a serialized Example; joined they are what TensorFlow writes, keys in order.

    Parts, because joining would copy the image.

    Args:
        image_id: post id, 0 to 2**63 - 1.
        image_bytes: a JPEG file.
        label_indexes: rows of the tag list, possibly none.
    """
    # Every message around the image states its length first, so they are built from the inside out.
    before_image, size = b"", len(image_bytes)
    entry_start = _message(1, b"image_bytes") + b"\x12"
    for before_length in (b"\x0a", b"\x0a", entry_start, b"\x0a"):  # bytes, BytesList, Feature, map entry
        before_image = before_length + _varint(size) + before_image
        size = len(before_image) + len(image_bytes)
    labels = label_indexes.tolist() if isinstance(label_indexes, np.ndarray) else label_indexes
    numbers = _int64_entry(b"image_id", [image_id]) + _int64_entry(b"label_indexes", labels)
    return [b"\x0a" + _varint(size + len(numbers)) + before_image, image_bytes, numbers]


def _int64_entry(name: bytes, numbers: Iterable[int]) -> bytes:
    """Return the entry of the map of features that holds a list of int64."""
    varints = b"".join(map(_varint, numbers))
    int64_list = _message(1, varints) if varints else b""
    return _message(1, _message(1, name) + _message(2, _message(3, int64_list)))


def _message(number: int, data: bytes) -> bytes:
    """Return field ``number`` of a message, with content that states its length: bytes or a message."""
    return bytes((number << 3 | _LENGTH_DELIMITED,)) + _varint(len(data)) + data


def _varint(number: int) -> bytes:
    """Return a whole number as protobuf writes it: 7 bits a byte, the lowest first."""
    if 0 <= number < len(_SHORT_VARINTS):
        return _SHORT_VARINTS[number]
    number = int(number) & 0xFFFFFFFFFFFFFFFF
    groups = bytearray()
    while number >= 0x80:
        groups.append(number & 0x7F | 0x80)
        number >>= 7
    groups.append(number)
    return bytes(groups)


# Varints of one and two bytes, ready made: lengths and rows of a tag list come by the million.
_SHORT_VARINTS = [bytes((n,)) if n < 0x80 else bytes((n & 0x7F | 0x80, n >> 7)) for n in range(1 << 14)]


def decode_example(data: bytes) -> tuple[int, bytes]:
    """Return ``(image id, image bytes)`` of a serialized Example; the id is -1 where it has none.

    Raises ValueError where the data are no Example with one image.
    """
    image, image_id = None, -1
    for features in _messages(data, 1):
        for entry in _messages(features, 1):
            name, feature = b"".join(_messages(entry, 1)), b"".join(_messages(entry, 2))
            if name == b"image_bytes":
                (bytes_list,) = _messages(feature, 1)
                (image,) = _messages(bytes_list, 1)
            elif name == b"image_id":
                image_id = _first_int64(feature)
    if image is None:
        raise ValueError("no image_bytes")
    return image_id, bytes(image)


def _first_int64(feature: bytes) -> int:
    for int64_list in _messages(feature, 3):
        for value in _fields(int64_list, 1):
            # Writers may pack the numbers of a list into one field, or give each a field of its own.
            return value if isinstance(value, int) else _read_varint(value, 0)[0]
    return -1


def _messages(data: bytes | memoryview, number: int) -> list[memoryview]:
    """Return the contents of all fields ``number`` that state their length."""
    return [value for value in _fields(data, number) if isinstance(value, memoryview)]


def _fields(data: bytes | memoryview, number: int) -> Iterator[int | memoryview]:
    """Yield the values of all fields ``number`` of a message: a varint as an int, or bytes.

    Fields of 4 and 8 bytes are passed over: no feature that is read here has them.
    """
    data, at = memoryview(data), 0
    while at < len(data):
        key, at = _read_varint(data, at)
        wire_type, value = key & 7, None
        if wire_type == _VARINT:
            value, at = _read_varint(data, at)
        elif wire_type == _LENGTH_DELIMITED:
            length, at = _read_varint(data, at)
            value, at = data[at : at + length], at + length
        elif wire_type in _FIXED_SIZES:
            at += _FIXED_SIZES[wire_type]
        else:
            raise ValueError(f"unknown wire type {wire_type}")
        if at > len(data):
            raise ValueError("a field ends after the data")
        if key >> 3 == number and value is not None:
            yield value


def _read_varint(data: memoryview, at: int) -> tuple[int, int]:
    """Return the varint that begins at a position, and the position after it."""
    value = 0
    for shift in range(0, 70, 7):
        if at >= len(data):
            break
        value |= (data[at] & 0x7F) << shift
        at += 1
        if data[at - 1] < 0x80:
            return value, at
    raise ValueError("a number without end")
