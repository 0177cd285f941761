"""JPEG headers, as Pillow reads them and as this project needs them."""

import io

import numpy as np
import pytest
from helpers.pictures import noise, smooth
from PIL import Image

from Utils.images import jpeg_header


def jpeg(image, mode="RGB", **options):
    data = io.BytesIO()
    Image.fromarray(image).convert(mode).save(data, "JPEG", **options)
    return data.getvalue()


@pytest.mark.parametrize(("mode", "components"), [("RGB", 3), ("L", 1), ("CMYK", 4)])
def test_size_and_components_are_read(mode, components):
    header = jpeg_header.parse(jpeg(smooth(20, 31), mode))
    assert (header.width, header.height, header.components, header.bits) == (31, 20, components, 8)
    assert header.is_plain == (components != 4)


def test_one_scan_of_huffman_codes_is_sequential_and_several_are_not():
    assert jpeg_header.parse(jpeg(smooth(20, 31))).is_sequential
    assert not jpeg_header.parse(jpeg(smooth(20, 31), progressive=True)).is_sequential


def test_exif_data_are_noticed():
    exif = Image.Exif()
    exif[0x0112] = 6
    assert jpeg_header.parse(jpeg(smooth(8, 8), exif=exif)).has_exif
    assert not jpeg_header.parse(jpeg(smooth(8, 8))).has_exif


def test_equal_tables_mean_equal_size_and_quality():
    first, second = (jpeg_header.parse(jpeg(noise(16, 16, seed=seed))) for seed in (0, 1))
    assert first.tables == second.tables
    assert first.tables != jpeg_header.parse(jpeg(noise(16, 16), quality=30)).tables
    assert first.tables != jpeg_header.parse(jpeg(noise(16, 8))).tables


def test_comments_do_not_count_as_tables_and_stray_bytes_are_irregular():
    data = jpeg(smooth(8, 8))
    plain = jpeg_header.parse(data)
    commented = jpeg_header.parse(data[:2] + b"\xff\xfe\x00\x05abc" + data[2:])
    assert (commented.tables, commented.is_sequential) == (plain.tables, True)
    for stray in (b"abc", b"\xff"):
        header = jpeg_header.parse(data[:2] + stray + data[2:])
        assert (header.is_irregular, header.is_sequential, header.width) == (True, False, 8)


def test_a_jpeg_that_is_cut_anywhere_has_no_header():
    data = jpeg(noise(16, 16))
    assert jpeg_header.parse(data) is not None
    assert all(jpeg_header.parse(data[:end]) is None for end in range(2, len(data)))


def test_any_bytes_are_parsed_without_an_error():
    random = np.random.default_rng(0)
    for _ in range(300):
        jpeg_header.parse(b"\xff\xd8\xff" + random.bytes(60))
