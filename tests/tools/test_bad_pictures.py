"""Broken, odd and hostile pictures through check_images and write_records, each with its expected end."""

import gzip
import io
import os
import zlib

import numpy as np
import pytest
from helpers import jpeg
from helpers.bad_inputs import GOOD, SIZE, define, reasons_in
from PIL import Image

from tools import check_images, select_tags, write_records
from Utils.data import dataset_folder
from Utils.images import codec, image_reader


def saved(picture, image_format, **options):
    data = io.BytesIO()
    picture.save(data, image_format, **options)
    return data.getvalue()


def gradient(mode="RGB", size=(SIZE, SIZE)):
    return Image.linear_gradient("L").resize(size).convert(mode)


def animated(image_format):
    frames = [Image.new("RGB", (SIZE, SIZE), color) for color in ("red", "blue", "green")]
    return saved(frames[0], image_format, save_all=True, append_images=frames[1:])


def turned():
    exif = Image.Exif()
    exif[0x0112] = 6
    return saved(gradient(), "JPEG", exif=exif)


def huge_png():
    """A zip bomb: the header promises 60000 x 60000 pixels, the data are a kilobyte."""
    head = b"IHDR" + (60000).to_bytes(4) * 2 + bytes([8, 2, 0, 0, 0])
    body = b"IDAT" + zlib.compress(b"\0" * 100_000)
    chunks = [
        len(part[4:]).to_bytes(4) + part + zlib.crc32(part).to_bytes(4) for part in (head, body, b"IEND")
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


def without_tables():
    """A JPEG whose quantization tables are gone: header and end are in order, no decoder can read it."""
    start = end = GOOD.index(b"\xff\xdb")
    while GOOD[end : end + 2] == b"\xff\xdb":
        end += 2 + int.from_bytes(GOOD[end + 2 : end + 4])
    return GOOD[:start] + GOOD[end:]


PICTURES = {  # suffix and content, then the reason for its rejection, or None where it is packed
    "empty": (".jpg", b"", "empty file"),
    "one byte": (".jpg", b"\xff", "not an image"),
    "zeros": (".jpg", bytes(5000), "not an image"),
    "error page": (".jpg", b"<html>404</html>", "HTML data, which are not read here: a page from a server"),
    "truncated jpeg": (".jpg", GOOD[: len(GOOD) // 2], "truncated JPEG"),
    "jpeg without its end": (".jpg", GOOD[:-2], "truncated JPEG"),
    "jpeg that ends in zeros": (".jpg", GOOD[:-200] + bytes(200), "truncated JPEG"),
    "jpeg header alone": (".jpg", GOOD[:20], "truncated JPEG"),
    "jpeg without tables": (".jpg", without_tables(), "damaged JPEG"),
    "png named jpg": (".jpg", saved(gradient(), "PNG"), None),
    "jpg named png": (".png", GOOD, None),
    "webp named jpg": (".jpg", saved(gradient(), "WEBP"), None),
    "truncated png": (".png", saved(gradient(), "PNG")[:-30], "truncated PNG"),
    "truncated webp": (".webp", saved(gradient(), "WEBP")[:-9], "truncated WEBP"),
    "animated gif": (".gif", animated("GIF"), "animated GIF (3 frames)"),
    "animated webp": (".webp", animated("WEBP"), "animated WEBP (3 frames)"),
    "animated png": (".png", animated("PNG"), "animated PNG (3 frames)"),
    "zip bomb": (".png", huge_png(), "too large: 60000 x 60000, above --max-pixels 250000000"),
    "gzip": (".jpg", gzip.compress(GOOD), "gzip data, which are not read here: unpack it first"),
    "jpeg with trailing bytes": (".jpg", GOOD + b"trailing", None),
    "cmyk": (".jpg", saved(gradient("CMYK"), "JPEG"), None),
    "gray": (".jpg", saved(gradient("L"), "JPEG"), None),
    "16 bits": (".png", saved(Image.fromarray(np.full((9, 9), 40000, np.uint16)), "PNG"), None),
    "alpha": (".png", saved(Image.new("RGBA", (SIZE, SIZE), (0, 0, 0, 0)), "PNG"), None),
    "palette with a transparent color": (".gif", saved(gradient("P"), "GIF", transparency=0), None),
    "rotated by exif": (".jpg", turned(), None),
    "broken exif": (".jpg", GOOD[:2] + b"\xff\xe1\x00\x0cExif\x00\x00MM\x00\x01" + GOOD[2:], None),
    "progressive": (".jpg", saved(gradient(), "JPEG", progressive=True), None),
    "extreme aspect": (".png", saved(Image.new("RGB", (3000, 1), "black"), "PNG"), None),
    "one pixel": (".bmp", saved(Image.new("RGB", (1, 1), "red"), "BMP"), None),
    "other size": (".jpeg", jpeg(2, (40, 70)), None),
    "capital suffix": (".JPG", GOOD, None),
}  # fmt: skip


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    """A folder of every picture with a sidecar, checked and packed once: ``(rejected by each, records)``."""
    folder = tmp_path_factory.mktemp("pictures")
    for number, (suffix, data, _) in enumerate(PICTURES.values()):
        (folder / "p" / f"{number}{suffix}").parent.mkdir(exist_ok=True)
        (folder / "p" / f"{number}{suffix}").write_bytes(data)
        (folder / "p" / f"{number}.txt").write_text("solo")
    (folder / "p" / "loop").symlink_to(folder / "p", target_is_directory=True)
    (folder / "p" / "nothing.jpg").symlink_to(folder / "gone.jpg")
    os.mkfifo(folder / "p" / "pipe.fifo")
    odd_files(folder / "p")
    define(folder, splits={"train": [0, 999]}, ratings=["g"])
    words = [str(folder / "definition.toml"), "--source", "sidecars", "--from", str(folder / "p")]
    assert select_tags.main([*words, "-o", str(folder / "d")]) == 0
    assert write_records.main([str(folder / "d"), "--images", str(folder / "p"), "--shard-size", "7"]) == 0
    assert check_images.main(["--images", str(folder / "p"), "-o", str(folder / "rejected.csv")]) == 0
    return (
        reasons_in(folder / "rejected.csv"),
        reasons_in(folder / "d" / "rejected.csv"),
        packed(folder / "d"),
    )


NO_FILES = {
    "pipe.jpg": "not a file",
    "zero.jpg": "not a file",
    "circle.jpg": "cannot be read: Too many levels of symbolic links",
    "endless.jpg": f"too large a file: {image_reader.MOST_BYTES + 1} bytes",
}


def odd_files(folder):
    """Make what has a picture's name and a sidecar, but is no file that can be read to its end."""
    os.mkfifo(folder / "pipe.jpg")
    (folder / "zero.jpg").symlink_to("/dev/zero")
    (folder / "circle.jpg").symlink_to("circle.jpg")
    with (folder / "endless.jpg").open("wb") as file:
        file.truncate(image_reader.MOST_BYTES + 1)
    for name in NO_FILES:
        (folder / name).with_suffix(".txt").write_text("solo")


def packed(dataset):
    import tensorflow as tf

    from Generators import records

    parsed = map(records.parse, tf.data.TFRecordDataset(dataset_folder.load(dataset).shards("train")))
    return {int(record["image_id"]): record["image_bytes"].numpy() for record in parsed}


@pytest.mark.parametrize("number", range(len(PICTURES)), ids=list(PICTURES))
def test_each_image_is_packed_or_rejected_with_its_reason(pictures, number):
    checked, rejected, records = pictures
    suffix, data, reason = list(PICTURES.values())[number]
    name = f"{number}{suffix}"
    assert checked.get(name) == rejected.get(name) == reason
    assert (number in records) == (reason is None)
    if reason is None:
        stored = codec.probe(records[number])
        assert stored == ("JPEG", SIZE, SIZE)
        is_stored = codec.probe(data) == stored
        with Image.open(io.BytesIO(data)) as picture:
            is_stored = is_stored and picture.mode == "RGB" and picture.getexif().get(0x0112, 1) == 1
        expected = data if is_stored else codec.encode_jpeg(codec.prepare(data, SIZE), 95)
        assert records[number] == expected


def test_links_and_pipes_are_not_images(pictures):
    checked, rejected, _ = pictures
    assert checked["nothing.jpg"].startswith("cannot be read")
    assert rejected["nothing.jpg"] == "no sidecar"
    assert not [path for path in checked if "loop" in path or path.endswith(".fifo")]
    assert NO_FILES.items() <= checked.items()
    assert NO_FILES.items() <= rejected.items()
