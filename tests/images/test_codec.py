"""Odd and broken files decode as they should or are refused; padding, preparing, encoding."""

import contextlib
import io

import cv2
import numpy as np
import pytest
from helpers.pictures import difference, noise, saved, smooth
from PIL import Image

from Utils.images import codec
from Utils.images.resize import resize

# ---- decoding


@pytest.mark.parametrize("image_format", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_applied(image_format, orientation):
    upright = smooth(24, 40)
    turned = {
        1: lambda a: a,
        2: np.fliplr,
        3: lambda a: np.rot90(a, 2),
        4: np.flipud,
        5: lambda a: a.transpose(1, 0, 2),
        6: lambda a: np.rot90(a, 1),
        7: lambda a: np.rot90(a, 2).transpose(1, 0, 2),
        8: lambda a: np.rot90(a, 3),
    }[orientation](upright)  # what the camera stored
    exif = Image.Exif()
    exif[0x0112] = orientation
    options = {"lossless": True} if image_format == "WEBP" else {"quality": 100, "subsampling": 0}
    decoded = codec.decode(saved(np.ascontiguousarray(turned), image_format, exif=exif, **options))
    assert difference(decoded[..., ::-1], upright) <= (12 if image_format == "JPEG" else 0)


@pytest.mark.parametrize("mode", ["L", "LA", "1", "P", "RGB", "RGBA"])
def test_every_png_mode_gives_three_channels(mode):
    decoded = codec.decode(saved(smooth(20, 30), "PNG", mode))
    assert decoded.shape == (20, 30, 3)
    assert decoded.dtype == np.uint8
    assert decoded.flags.c_contiguous


@pytest.mark.parametrize("image_format", ["JPEG", "WEBP", "GIF", "BMP", "TIFF", "AVIF"])
def test_every_format_decodes_to_the_same_pixels(image_format):
    picture = smooth(48, 64)
    decoded = codec.decode(saved(picture, image_format))
    assert np.abs(decoded[..., ::-1].astype(float) - picture).mean() < (12 if image_format == "GIF" else 6)


def test_cmyk_and_gray_jpegs_decode():
    picture = smooth(48, 64)
    cmyk = codec.decode(saved(picture, "JPEG", "CMYK", quality=100))
    assert np.abs(cmyk[..., ::-1].astype(float) - picture).mean() < 4
    gray = codec.decode(saved(picture, "JPEG", "L"))
    assert difference(gray[..., 0], gray[..., 2]) == 0


@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"subsampling": 0}, {"quality": 30}])
def test_fast_jpeg_path_equals_pillow(options):
    data = saved(smooth(50, 70), "JPEG", **options)
    expected = np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))
    assert difference(codec.decode(data)[..., ::-1], expected) <= 1


@pytest.mark.parametrize(
    "options",
    [{}, {"progressive": True}, {"subsampling": 0}, {"subsampling": 1}, {"quality": 30}, {"mode": "L"}],
)
@pytest.mark.parametrize("channels", [3, 4])
def test_decoding_into_a_buffer_gives_the_same_pixels(options, channels):
    """Training reads JPEGs by another library than evaluation: to the bit."""
    data = saved(smooth(51, 70), "JPEG", **options)
    array = np.zeros((51, 70, channels), np.uint8)
    decoded = codec.decode(data, None, lambda shape: array[: shape[0], : shape[1]])
    assert np.shares_memory(decoded, array)
    assert np.array_equal(decoded[..., :3], codec.decode(data))
    odd = data[:-40] + b"\xff\xd9"  # the library refuses what OpenCV makes the best of
    assert np.array_equal(codec.decode(odd, None, lambda shape: array)[..., :3], codec.decode(odd))


def test_reduced_decoding_stays_large_enough_and_near_the_area_average():
    picture = smooth(256, 256)
    data = saved(picture, "JPEG", quality=95)
    assert codec.decode(data, 257).shape == (256, 256, 3)
    assert codec.decode(data, 128).shape == (128, 128, 3)
    assert codec.decode(data, 65).shape == (128, 128, 3)
    reduced = codec.decode(data, 64)
    assert reduced.shape == (64, 64, 3)
    assert np.abs(reduced.astype(float) - resize(codec.decode(data), 64)).mean() < 2.5


# ---- refusing


def animation(image_format):
    frames = [Image.fromarray(smooth(16, 16, seed=seed)) for seed in range(3)]
    data = io.BytesIO()
    frames[0].save(data, image_format, save_all=True, append_images=frames[1:])
    return data.getvalue()


JPEG, PNG, WEBP = (saved(smooth(64, 64), image_format) for image_format in ("JPEG", "PNG", "WEBP"))


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "empty file"),
        (b"<html><body>404</body></html>", "HTML data, which are not read here: a page from a server"),
        (b"\x00" * 1000, "not an image"),
        (JPEG[:2], "not an image"),
        (JPEG[:20], "truncated JPEG"),
        (JPEG[:-2], "truncated JPEG"),
        (JPEG[: len(JPEG) // 2], "truncated JPEG"),
        (JPEG[:-500] + b"\x00" * 500, "truncated JPEG"),
        (PNG[: len(PNG) // 2], "truncated PNG"),
        (PNG[:-12], "truncated PNG"),
        (PNG[:-12] + b"IEND", "truncated PNG"),
        (PNG[:20], "not an image"),
        (WEBP[: len(WEBP) // 2], "truncated WEBP"),
        (animation("GIF"), "animated GIF (3 frames)"),
        (animation("PNG"), "animated PNG (3 frames)"),
        (animation("WEBP"), "animated WEBP (3 frames)"),
        (
            PNG[:16] + (60000).to_bytes(4) * 2 + PNG[24:],
            "too large: 60000 x 60000, above --max-pixels 250000000",
        ),
        (PNG[:16] + (0).to_bytes(4) * 2 + PNG[24:], "no pixels: 0 x 0"),
    ],
)
def test_bad_files_are_refused_with_their_reason(data, reason):
    with pytest.raises(codec.ImageError) as caught:
        codec.check(data)
    assert str(caught.value) == reason


def test_a_thumbnail_inside_does_not_hide_a_truncation():
    exif = b"Exif\x00\x00" + JPEG[: len(JPEG)]  # an end marker inside an APP1 segment
    segment = b"\xff\xe1" + (len(exif) + 2).to_bytes(2) + exif
    whole = JPEG[:2] + segment + JPEG[2:]
    assert difference(codec.decode(whole), codec.decode(JPEG)) == 0
    with pytest.raises(codec.ImageError, match="truncated JPEG"):
        codec.decode(whole[:-100])


@pytest.mark.parametrize("image_format", ["JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF"])
@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
def test_good_files_pass_the_check_with_the_pixels_of_decoding(image_format, mode):
    if mode == "CMYK" and image_format not in ("JPEG", "TIFF"):
        return
    data = saved(smooth(40, 30), image_format, mode)
    for bytes_after in (b"", b"trailing bytes"):
        assert np.array_equal(codec.check(data + bytes_after), codec.decode(data))


def test_large_jpegs_are_decoded_small(monkeypatch):
    """Less memory, nearly the same picture; damage is found all the same."""
    data = saved(smooth(512, 256), "JPEG", quality=95)
    expected = codec.prepare(data, 16).astype(int)
    monkeypatch.setattr(codec, "LARGE", 1000)
    shapes, real = [], codec.fit
    monkeypatch.setattr(codec, "fit", lambda image, *more: shapes.append(image.shape) or real(image, *more))
    assert np.abs(codec.prepare(data, 16) - expected).max() <= 3
    codec.to_stored_jpeg(data, 16)
    assert shapes == [(64, 32, 3)] * 2
    with pytest.raises(codec.ImageError, match="premature end"):
        codec.check(data[: len(data) // 2] + b"\xff\xd9", 16)


def test_probe_reads_the_header_only():
    assert codec.probe(saved(smooth(20, 31), "JPEG")) == ("JPEG", 31, 20)
    assert codec.probe(PNG[:40]) == ("PNG", 64, 64)
    assert codec.probe(saved(smooth(20, 31), "WEBP")) == ("WEBP", 31, 20)


def test_any_bytes_give_an_image_or_an_image_error():
    rng = np.random.default_rng(1)
    for data in (JPEG, PNG, WEBP, saved(smooth(32, 32), "GIF"), saved(smooth(32, 32), "TIFF")):
        for _ in range(30):
            hurt = bytearray(data)
            for at in rng.integers(0, len(hurt), 8):
                hurt[at] = rng.integers(256)
            with contextlib.suppress(codec.ImageError):
                assert codec.decode(bytes(hurt)).ndim == 3


# ---- preparing and encoding


@pytest.mark.parametrize(("height", "width"), [(300, 512), (512, 300), (5, 8), (8, 5), (1, 9)])
def test_pad_square_centers_and_never_stretches(height, width):
    image = noise(height, width)
    padded = codec.pad_square(image)
    side = max(height, width)
    assert padded.shape == (side, side, 3)
    top, left = (side - height) // 2, (side - width) // 2
    assert difference(padded[top : top + height, left : left + width], image) == 0
    assert padded.astype(int).sum() == image.astype(int).sum() + 3 * 255 * (side * side - height * width)
    assert codec.pad_square(image, 0).astype(int).sum() == image.astype(int).sum()


def test_prepare_is_decode_pad_resize():
    data = saved(smooth(60, 100), "PNG")
    expected = resize(codec.pad_square(codec.decode(data)), 32, "area")
    assert difference(codec.prepare(data, 32), expected) == 0
    assert codec.prepare(data, 32)[0].min() == 255
    assert codec.prepare(data, 32, padding=0)[0].max() == 0
    assert codec.prepare(saved(smooth(10, 7), "PNG"), 32).shape == (32, 32, 3)  # enlarged, not padded


def test_extreme_aspects_stay_in_bounds(monkeypatch):
    tall = smooth(600, 90)
    whole = codec.fit(tall, 40)
    monkeypatch.setattr(codec, "_PADDED_AT_ONCE", 100)
    assert difference(codec.fit(tall, 40), whole) <= 1
    wide = np.ascontiguousarray(tall.transpose(1, 0, 2))
    assert difference(codec.fit(wide, 40), whole.transpose(1, 0, 2)) <= 1
    monkeypatch.undo()
    strip = codec.prepare(saved(np.zeros((1, 60000, 3), np.uint8), "PNG"), 64)
    assert strip.shape == (64, 64, 3)
    assert strip.min() >= 253


def test_encode_jpeg_round_trip_and_same_bytes():
    image = smooth(64, 64)
    data = codec.encode_jpeg(image)
    assert data == codec.encode_jpeg(image)
    assert codec.probe(data) == ("JPEG", 64, 64)
    assert np.abs(codec.decode(data).astype(float) - image).mean() < 5


def test_a_jpeg_passes_without_decoding_only_where_it_can_be_decoded():
    """Thousands of headers with a few bytes changed: what is stored as it is, a decoder can read."""
    random, num_stored = np.random.default_rng(0), 0
    whole = [
        saved(smooth(32, 32), "JPEG", **options)
        for options in ({}, {"progressive": True}, {"optimize": True})
    ]
    for number in range(3000):
        data = bytearray(whole[number % 3])
        for at in random.integers(2, 640, random.integers(1, 4)):
            data[min(at, len(data) - 3)] = random.integers(256)
        try:
            is_stored = codec.to_stored_jpeg(bytes(data), 32) == data
        except codec.ImageError:
            continue
        num_stored += is_stored
        if is_stored:
            pixels = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
            assert pixels is not None
            assert pixels.shape == (32, 32, 3)
    assert num_stored > 300
