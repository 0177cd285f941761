"""Utils/images/formats.py: formats told by bytes."""

import io

import pytest
from helpers.pictures import smooth
from PIL import Image

from Utils.images import formats


@pytest.mark.parametrize("image_format", formats.FORMATS)
def test_a_file_is_recognized_by_its_bytes(image_format):
    data = io.BytesIO()
    Image.fromarray(smooth(8, 8)).save(data, image_format)
    assert formats.from_bytes(data.getvalue()[:64]) == image_format
    for suffix in formats.FORMATS[image_format]:
        assert formats.wrong_suffix(data.getvalue(), suffix.upper()) is None
    assert formats.wrong_suffix(data.getvalue(), ".Odd") == f"{image_format} data in .odd files"
    assert formats.wrong_suffix(data.getvalue(), "") == f"{image_format} data in files without suffix"


@pytest.mark.parametrize(
    ("data", "name"),
    [
        (b"\xff\x0a", "JPEG XL"),
        (b"\0\0\0\x18ftypheic" + bytes(12), "HEIC"),
        (b"\0\0\0\x18ftypmif1\0\0\0\0mif1heic", "HEIC"),
        (b"\0\0\0\x18ftypmif1\0\0\0\0mif1avif", "AVIF"),
        (b"\0\0\0\x14ftypisom\0\0\0\0mp42", "MP4"),
        (b"RIFF\0\0\0\0WAVE", None),
        (b"", None),
        (b"text", None),
    ],
)
def test_others_have_names_too(data, name):
    assert formats.from_bytes(data) == name


def test_no_suffix_is_of_two_kinds():
    assert not formats.OTHER_SUFFIXES & set(formats.SUFFIXES)
    assert len(set(formats.SUFFIXES)) == len(formats.SUFFIXES)
