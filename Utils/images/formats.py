"""Formats of pictures, told by a file's first bytes: those that are read here, and others by name.

A suffix says little: downloaders name everything ``.jpg``, browsers save WebP under any name.
"""

import importlib
from importlib.util import find_spec
from typing import NamedTuple

from Utils.command import programs
from Utils.files import damage

# Format as Pillow calls it -> suffixes that say so.
FORMATS = {
    "JPEG": (".jpg", ".jpeg", ".jpe", ".jfif"),
    "PNG": (".png",),
    "WEBP": (".webp",),
    "GIF": (".gif",),
    "BMP": (".bmp",),
    "TIFF": (".tif", ".tiff"),
    "AVIF": (".avif",),
}
SUFFIXES = tuple(suffix for suffixes in FORMATS.values() for suffix in suffixes)


class Plugin(NamedTuple):
    """A package that teaches Pillow a format."""

    package: str
    module: str
    name: str  # as Pillow calls the format then
    suffixes: tuple[str, ...]


PLUGINS = {
    "JPEG XL": Plugin("pillow-jxl-plugin", "pillow_jxl", "JXL", (".jxl",)),
    "HEIC": Plugin("pillow-heif", "pillow_heif", "HEIF", (".heic", ".heif", ".hif", ".heics")),
}
# Of pictures, drawings and films that are not read here; folders tell how many of them they pass by.
_OTHERS = (
    "ai apng arw avifs clip cr2 cr3 dds dng eps exr flif heic heics heif hdr ico j2k jp2 jpf jpx jxl jxr",
    "kra m4v mkv mov mp4 mpo nef orf pbm pdf pgm pnm ppm psb psd qoi raf rw2 sai sai2 svg svgz swf tga wdp",
    "webm xcf",
)
OTHER_SUFFIXES = frozenset(f".{name}" for line in _OTHERS for name in line.split())

# Of texts, tables, archives and programs: files that are not looked into for a picture.
_TEXTS_AND_TABLES = (
    "txt json jsonl csv tsv xml html htm md rst caption tags yaml yml toml ini cfg conf log nfo sha256 md5",
    "parquet arrow npy npz h5 hdf5 pt pth onnx safetensors keras tfrecord db sqlite sqlite3 lst idx index",
    "zip tar gz tgz bz2 xz zst 7z rar py sh bat js css lock torrent url desktop",
)
# Of files that browsers and downloaders have not finished: what is there of a picture looks like one.
UNFINISHED = frozenset((".part", ".tmp", ".partial", ".download", ".crdownload", ".opdownload", ".!ut"))
NO_PICTURES = UNFINISHED | {f".{name}" for line in _TEXTS_AND_TABLES for name in line.split()}

_GIT_LFS = "Git LFS"
_COMPRESSED = ("gzip", "bzip2", "xz", "Zstandard")
_SIGNATURES = (
    (b"\xff\xd8\xff", "JPEG"),
    (b"\x89PNG\r\n\x1a\n", "PNG"),
    (b"GIF87a", "GIF"),
    (b"GIF89a", "GIF"),
    (b"BM", "BMP"),
    (b"II*\0", "TIFF"),
    (b"MM\0*", "TIFF"),
    (b"II+\0", "TIFF"),
    (b"MM\0+", "TIFF"),
    (b"\xff\x0a", "JPEG XL"),
    (b"\0\0\0\x0cJXL ", "JPEG XL"),
    (b"\0\0\0\x0cjP  ", "JPEG 2000"),
    (b"\xff\x4f\xff\x51", "JPEG 2000"),
    (b"II\xbc", "JPEG XR"),
    (b"8BPS", "Photoshop"),
    (b"qoif", "QOI"),
    (b"v/1\x01", "OpenEXR"),
    (b"\x1a\x45\xdf\xa3", "WebM"),
    (b"%PDF", "PDF"),
    (b"PK\x03\x04", "zip"),
    (b"<svg", "SVG"),
    (b"\0\0\x01\0", "ICO"),
    (b"\x1f\x8b", "gzip"),
    (b"BZh", "bzip2"),
    (b"\xfd7zXZ\0", "xz"),
    (b"\x28\xb5\x2f\xfd", "Zstandard"),
    (damage.GIT_LFS, _GIT_LFS),
)
# Brands of files that begin with a box "ftyp" (ISO/IEC 14496-12): AVIF, HEIC and films.
_BRANDS = (
    ("AVIF", (b"avif", b"avis")),
    ("HEIC", (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1")),
)


def from_bytes(data: bytes) -> str | None:
    """Return the format of a file, given its first 64 bytes or more; None where nothing here begins so."""
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "WEBP"
    if data[4:8] == b"ftyp":
        size = min(int.from_bytes(data[:4]), 64)
        brands = {data[8:12], *(data[at : at + 4] for at in range(16, size, 4))}
        return next((name for name, format_brands in _BRANDS if brands & {*format_brands}), "MP4")
    if data[:64].lstrip().lower().startswith((b"<!doctype html", b"<html")):
        return "HTML"
    return next((name for start, name in _SIGNATURES if data.startswith(start)), None)


def is_readable(image_format: str | None) -> bool:
    """Whether pictures of a format, as `from_bytes` names it, are read here."""
    return image_format in FORMATS or (image_format in PLUGINS and not advice(image_format))


def advice(image_format: str | None) -> list[str]:
    """Return a sentence on what to do about a format that is not read, or an empty list."""
    if image_format == _GIT_LFS:
        return [damage.GIT_LFS_ADVICE]
    if image_format in _COMPRESSED:
        return ["unpack it first"]
    if image_format == "HTML":
        return ["a page from a server"]
    plugin = PLUGINS.get(image_format or "")
    if plugin is None or find_spec(plugin.module) is not None:
        return []
    return [f"{image_format} needs {plugin.package}: {programs.install_line('pictures')}"]


def load_plugin(image_format: str | None) -> list[str]:
    """Let Pillow read a format of PLUGINS, where the package is there; return what Pillow calls it."""
    plugin = PLUGINS.get(image_format or "")
    if plugin is None or find_spec(plugin.module) is None:
        return []
    module = importlib.import_module(plugin.module)  # the import registers the one, a call the other
    if hasattr(module, "register_heif_opener"):
        module.register_heif_opener()
    return [plugin.name]


def wrong_suffix(data: bytes, suffix: str) -> str | None:
    """Return "PNG data in .jpg files" where the suffix of a picture lies, else None."""
    name = from_bytes(data) or ""
    suffixes = PLUGINS[name].suffixes if name in PLUGINS else FORMATS.get(name)
    if suffixes is None or suffix.lower() in suffixes:
        return None
    return f"{name} data in {suffix.lower()} files" if suffix else f"{name} data in files without suffix"
