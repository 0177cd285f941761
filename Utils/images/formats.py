"""Formats of pictures, told by a file's first bytes: those that are read here, and others by name.

A suffix says little: downloaders name everything ``.jpg``, browsers save WebP under any name.
"""

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
# Of pictures, drawings and films that are not read here; folders tell how many of them they pass by.
_OTHERS = (
    "ai apng arw avifs clip cr2 cr3 dds dng eps exr flif heic heics heif hdr ico j2k jp2 jpf jpx jxl jxr",
    "kra m4v mkv mov mp4 mpo nef orf pbm pdf pgm pnm ppm psb psd qoi raf rw2 sai sai2 svg svgz swf tga wdp",
    "webm xcf",
)
OTHER_SUFFIXES = frozenset(f".{name}" for line in _OTHERS for name in line.split())

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
    return next((name for start, name in _SIGNATURES if data.startswith(start)), None)


def wrong_suffix(data: bytes, suffix: str) -> str | None:
    """Return "PNG data in .jpg files" where the suffix of a picture lies, else None."""
    name = from_bytes(data)
    if name not in FORMATS or suffix.lower() in FORMATS[name]:
        return None
    return f"{name} data in {suffix.lower()} files" if suffix else f"{name} data in files without suffix"
