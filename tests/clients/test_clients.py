"""Clients read, prepare and spell as they are described: known rows, known pixels, known texts."""

import numpy as np
import pytest
from PIL import Image

from Utils import clients
from Utils.clients import hard_cases, preprocessing, score_effects, spelling, tag_reading
from Utils.images import codec

ROWS = [
    ["9999999", "general", "9", "0"], ["9999998", "sensitive", "9", "0"],
    ["9999997", "questionable", "9", "0"], ["9999996", "explicit", "9", "0"],
    ["1", "1girl", "0", "9"], ["2", "smile", "0", "8"], ["3", "reimu_(touhou)", "4", "7"],
]  # fmt: skip
VALUES = [0.1, 0.6, 0.2, 0.1, 0.9, 0.2, 0.5]


@pytest.mark.parametrize("client", clients.CLIENTS, ids=lambda one: one.name)
def test_every_client_reads_the_order_of_wd(client):
    found, rating = client.found(ROWS, VALUES, 0.35, 0.35)
    assert found == {"1girl", "reimu_(touhou)"}
    assert rating == (None if client.name == "comfy" else "sensitive")
    assert (client.found(ROWS, VALUES, 0.5, 0.5)[0] == {"1girl"}) is not client.at_threshold


def test_a_general_tag_after_the_characters_misleads_those_who_count():
    """What a fine-tuner did who appended tags: client after client differs."""
    rows = [*ROWS, ["4", "new_tag", "0", "6"]]
    values = [*VALUES, 0.05]
    by_name = {client.name: client.found(rows, values, 0.35, 0.35)[0] for client in clients.CLIENTS}
    assert by_name["wdv3"] == by_name["imgutils"] == by_name["standalone"] == {"1girl", "reimu_(touhou)"}
    assert by_name["kohya"] == {"1girl", "new_tag"}  # the third general name took the character's output
    own = clients.COMFY.found(rows, [*VALUES[:-1], 0.1, 0.6], 0.35, 0.85)[0]
    assert own == {"1girl"}  # the new tag is held against the threshold of characters


def test_outputs_without_a_name_are_told():
    with pytest.raises(tag_reading.UnreadableError, match="1 outputs have no name among 2 general and 0"):
        tag_reading.by_arithmetic(ROWS[:-1], VALUES)
    with pytest.raises(tag_reading.UnreadableError, match="7 outputs for 6 rows"):
        tag_reading.by_category(ROWS[:-1], VALUES)
    with pytest.raises(tag_reading.UnreadableError, match="category 0"):
        tag_reading.by_slices(ROWS[:4], VALUES[:4])


def test_spelling_and_the_way_back():
    names = ["^_^", "long_hair", "reimu_(touhou)"]
    spelled = {client.name: [client.spell(name) for name in names] for client in clients.CLIENTS}
    assert spelled["kohya"] == spelled["imgutils"] == names
    assert spelled["standalone"] == spelled["wdv3"] == ["^ ^", "long hair", r"reimu \(touhou\)"]
    assert spelled["picobyte"] == ["^_^", "long hair", "reimu (touhou)"]
    assert spelled["comfy"] == ["^_^", "long_hair", r"reimu_\(touhou\)"]
    found, lost = spelling.back(spelling.spaced_escaped, [*names, "long hair"])
    assert found["long hair"] == "long_hair"
    assert lost == ["long hair"]


def noise(height, width):
    return Image.fromarray(np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8))


PREPARATIONS = clients.PREPARATIONS.items()


@pytest.mark.parametrize(("name", "prepare"), PREPARATIONS, ids=dict(PREPARATIONS))
def test_a_square_picture_of_the_right_size_stays_as_it_is_in_bgr(name, prepare):
    picture = noise(32, 32)
    found = prepare(picture, 32)
    assert found.dtype == np.uint8
    np.testing.assert_array_equal(found, np.asarray(picture)[..., ::-1])
    for shape in ((20, 50), (50, 20), (1, 90), (5, 5)):
        assert prepare(noise(*shape), 32).shape == (32, 32, 3)


def flat(height, width, color, alpha=None):
    value = color if alpha is None else (*color, alpha)
    return Image.new("RGB" if alpha is None else "RGBA", (width, height), value)


def test_padding_is_white_and_centered():
    for name, prepare in clients.PREPARATIONS.items():
        found = prepare(flat(16, 32, (0, 0, 255)), 32)
        np.testing.assert_array_equal(found[[0, 7, 24, 31]], 255, name)
        np.testing.assert_array_equal(found[8:24, :, 0], 255, name)  # blue comes first
        np.testing.assert_array_equal(found[8:24, :, 1:], 0, name)


def test_small_pictures_stay_small_in_two_ways():
    filled = {name: (prepare(flat(8, 8, (0, 0, 0)), 32) == 0).mean() for name, prepare in PREPARATIONS}
    small = {name for name, share in filled.items() if share < 0.1}
    assert small == {"standalone, picobyte", "original, single images"}
    assert all(share == 1 for name, share in filled.items() if name not in small)


def test_transparency():
    half = {name: prepare(flat(32, 32, (0, 0, 0), 128), 32)[0, 0, 0] for name, prepare in PREPARATIONS}
    none = {name: prepare(flat(32, 32, (0, 0, 0), 0), 32)[0, 0, 0] for name, prepare in PREPARATIONS}
    assert {name for name, value in half.items() if value == 127} == {
        "ours", "kohya", "standalone, picobyte", "wdv3, imgutils"
    }  # fmt: skip
    assert {name for name, value in half.items() if value == 0} == {
        "comfy", "original, single images", "original, evaluation"
    }  # fmt: skip
    assert {name for name, value in none.items() if value == 0} == {"comfy"}


def test_shrinking_by_area_or_by_a_filter():
    picture = noise(64, 64)
    mean = np.asarray(picture, np.float64)[..., ::-1].reshape(32, 2, 32, 2, 3).mean(axis=(1, 3))
    for name, prepare in clients.PREPARATIONS.items():
        apart = np.abs(prepare(picture, 32) - mean).max()
        assert (apart <= 0.5) == (name not in ("comfy", "wdv3, imgutils")), name


def test_only_ours_turns_by_exif(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    noise(32, 32).save(tmp_path / "x.png", exif=exif)
    with Image.open(tmp_path / "x.png") as picture:
        np.testing.assert_array_equal(
            preprocessing.ours(picture, 32), codec.prepare((tmp_path / "x.png").read_bytes(), 32)
        )
        assert (preprocessing.ours(picture, 32) != preprocessing.kohya(picture, 32)).any()


def test_cases():
    picture = Image.fromarray(codec.decode(codec.encode_jpeg(np.asarray(noise(48, 40)))))
    assert hard_cases.stored(picture, 20) is picture
    assert max(hard_cases.small(picture, 20).size) == 12
    assert hard_cases.wide(picture, 20).size == (40, 24)
    clear = hard_cases.transparent(picture, 20)
    assert clear.mode == "RGBA"
    again = np.asarray(Image.alpha_composite(Image.new("RGBA", clear.size, "white"), clear).convert("RGB"))
    assert np.abs(again.astype(int) - np.asarray(picture)).max() <= 2
    white = np.asarray(hard_cases.transparent(flat(4, 4, (255, 255, 255)), 20))
    np.testing.assert_array_equal(white, 0)


def test_what_cannot_be_read_is_counted(tmp_path):
    (tmp_path / "a.jpg").write_bytes(codec.encode_jpeg(np.zeros((8, 8, 3), np.uint8)))
    (tmp_path / "b.jpg").write_bytes(b"no image")
    good, bad = score_effects.readable([tmp_path / "a.jpg", tmp_path / "b.jpg", tmp_path / "c.jpg"])
    assert (good, bad) == ([tmp_path / "a.jpg"], 2)
