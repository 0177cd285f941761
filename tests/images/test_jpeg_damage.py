"""Utils/images/jpeg_damage.py: what libjpeg warns of is found, what spoils no pixel is not."""

import contextlib
import io
import re

import numpy as np
import pytest
from helpers.pictures import smooth
from PIL import Image

from Utils.images import codec

END = b"\xff\xd9"


def jpeg(mode="RGB", **options):
    data = io.BytesIO()
    Image.fromarray(smooth(128, 128)).convert(mode).save(data, "JPEG", quality=92, **options)
    return data.getvalue()


KINDS = {
    "baseline": jpeg(),
    "progressive": jpeg(progressive=True),
    "gray": jpeg("L"),
    "CMYK": jpeg("CMYK"),
    "restarts": jpeg(restart_marker_blocks=4),
}


def cut(data):
    return data[: -len(data) // 4] + END


def zeroed(data):
    return data[: -len(data) // 2] + bytes(len(data) // 2 - 2) + END


def overwritten(data):
    noise = np.random.default_rng(0).integers(0, 255, 500, dtype=np.uint8).tobytes()
    return data[: -len(data) // 2] + noise + data[-len(data) // 2 + 500 :]


@pytest.mark.reliability("A JPEG damaged inside, with its end in place", "set aside in the words of libjpeg")
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("damage", [cut, zeroed, overwritten])
def test_damage_inside_is_found(kind, damage):
    data = damage(KINDS[kind])
    with pytest.raises(codec.ImageError, match="damaged JPEG"):
        codec.check(data)
    with pytest.raises(codec.ImageError, match="damaged JPEG"):
        codec.to_stored_jpeg(data, 128, checks=True)
    with pytest.raises(codec.ImageError, match="damaged JPEG"):
        codec.to_stored_jpeg(data, 64)


def between_scans(data):
    """A progressive JPEG cut before each of its later scans, with an end marker."""
    starts = [match.start() for match in re.finditer(rb"\xff\xda", data)]
    return [data[: data.rindex(b"\xff\xc4", 0, start)] + END for start in starts[1:]]


@pytest.mark.reliability("A progressive JPEG that was cut between two scans", "set aside: scans are missing")
@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
def test_a_progressive_jpeg_without_its_last_scans(mode):
    whole = jpeg(mode, progressive=True)
    codec.check(whole)
    for data in between_scans(whole):
        with pytest.raises(codec.ImageError, match="damaged JPEG: scans are missing: [0-9]+ of"):
            codec.check(data)


@pytest.mark.parametrize("kind", KINDS)
def test_decoding_in_spite_of_damage_tells_it(kind):
    for data, is_damaged in ((KINDS[kind], False), (cut(KINDS[kind]), True)):
        damages = []
        image = codec.prepare(data, 64, damages=damages)
        assert np.array_equal(image, codec.prepare(data, 64))
        assert len(damages) == is_damaged
        with contextlib.suppress(codec.ImageError) if is_damaged else contextlib.nullcontext():
            codec.check(data)
            assert not is_damaged


def test_the_words_are_those_of_libjpeg():
    with pytest.raises(codec.ImageError) as caught:
        codec.check(cut(KINDS["baseline"]))
    assert str(caught.value) == "damaged JPEG: Corrupt JPEG data: premature end of data segment"


def test_damaged_pictures_are_decoded_as_far_as_they_go_without_a_word(capfd):
    for kind, data in KINDS.items():
        assert codec.decode(cut(data)).shape == codec.decode(data).shape, kind
    assert capfd.readouterr() == ("", "")


def odd(data):
    """What decoders warn of, or skip, without a loss."""
    second = 4 + int.from_bytes(data[4:6])  # where the second segment begins
    yield data + b"trailing"
    yield data[:-2] + bytes(200) + END
    yield data[:-2] + b"\xff" * 20 + END
    yield data.replace(b"JFIF\0\1", b"JFIF\0\x09")
    yield data[:second] + b"\xff\xe2\0\x12ICC_PROFILE\0\5\1no" + data[second:]
    yield data[:second] + b"stray" + data[second:]


@pytest.mark.parametrize("kind", KINDS)
def test_faults_that_change_no_pixel_pass(kind):
    data = KINDS[kind]
    expected = codec.decode(data)
    for changed in odd(data):
        assert np.array_equal(codec.check(changed), expected)


def test_an_odd_header_does_not_hide_damage():
    """libjpeg tells its first warning only."""
    for changed in odd(KINDS["baseline"]):
        start = changed.index(b"\xff\xda") + 300
        with pytest.raises(codec.ImageError, match="damaged JPEG"):
            codec.check(changed[:start] + END)
