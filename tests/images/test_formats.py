"""Utils/images/formats.py: formats told by bytes."""

import gzip
import io

import numpy as np
import pytest
from helpers.pictures import smooth
from PIL import Image

from Utils.images import codec, formats


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


@pytest.mark.reliability("JPEG XL and HEIC where nothing installed reads them", "the package is named")
@pytest.mark.parametrize("name", formats.PLUGINS)
def test_a_missing_plugin_is_named(monkeypatch, name):
    data = {"JPEG XL": b"\xff\x0a", "HEIC": b"\0\0\0\x18ftypheic"}[name] + bytes(80)
    monkeypatch.setattr(formats, "find_spec", lambda module: None)
    assert not formats.is_readable(name)
    assert formats.load_plugin(name) == []
    sentence = f"{name} needs {formats.PLUGINS[name].package}: pip install -r requirements-pictures.txt"
    with pytest.raises(codec.ImageError) as caught:
        codec.check(data)
    assert str(caught.value) == f"{name} data, which are not read here: {sentence}"


def test_a_pointer_of_git_lfs_is_named():
    with pytest.raises(
        codec.ImageError, match="^Git LFS data, which are not read here: `git lfs pull` in its"
    ):
        codec.check(b"version https://git-lfs.github.com/spec/v1\noid sha256:" + bytes(64))


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (gzip.compress(bytes(99), mtime=0), "gzip data, which are not read here: unpack it first"),
        (
            b"\n <!DOCTYPE HTML><html>" + bytes(99),
            "HTML data, which are not read here: a page from a server",
        ),
        (b"\0\0\x01\0\x01\0" + bytes(99), "ICO data, which are not read here"),
    ],
)
def test_what_lies_under_the_name_of_a_picture_is_named(data, reason):
    with pytest.raises(codec.ImageError, match=f"^{reason}"):
        codec.check(data)


def test_a_whole_picture_of_floating_point_is_not_called_damaged():
    data = io.BytesIO()
    Image.fromarray(np.zeros((8, 8), np.float32)).save(data, "TIFF")
    with pytest.raises(codec.ImageError, match="^TIFF of floating-point pixels, which have no known range$"):
        codec.check(data.getvalue())


def test_an_avif_that_is_cut_is_an_avif():
    data = io.BytesIO()
    Image.fromarray(smooth(32, 32)).save(data, "AVIF")
    with pytest.raises(codec.ImageError, match="^truncated AVIF$"):
        codec.check(data.getvalue()[:200])


@pytest.mark.parametrize("name", formats.PLUGINS)
def test_a_plugin_reads_its_format(name):
    plugin = formats.PLUGINS[name]
    pytest.importorskip(plugin.module)
    assert formats.is_readable(name)
    assert formats.load_plugin(name) == [plugin.name]
    data = io.BytesIO()
    Image.fromarray(smooth(64, 48)).save(data, plugin.name, quality=95)
    assert formats.from_bytes(data.getvalue()) == name
    assert codec.probe(data.getvalue()) == (plugin.name, 48, 64)
    image = codec.check(data.getvalue())
    assert np.abs(image[..., ::-1].astype(int) - smooth(64, 48)).mean() < 8
    assert formats.wrong_suffix(data.getvalue(), ".jpg") == f"{name} data in .jpg files"
    assert formats.wrong_suffix(data.getvalue(), plugin.suffixes[0].upper()) is None
    for cut in range(12, len(data.getvalue()), 97):
        with pytest.raises(codec.ImageError):
            codec.check(data.getvalue()[:cut])
