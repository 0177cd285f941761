"""How tags are spelled in text, and in which file beside the image they go."""

import itertools
import types

import pytest

from Utils.command.cli import UserError
from Utils.data.sources.sidecar_folders import NAMESPACES, rating_and_tags
from Utils.tags import captions, sidecars

TXT, HYDRUS = sidecars.KINDS["txt"], sidecars.KINDS["hydrus"]


def selection():
    """Tags of an image, as `Utils.serving.tag_selection.Selection` holds them."""
    tags = (("long_hair", 0), ("rei_(eva)", 4), ("eva", 3), ("^_^", 0))
    tags = [types.SimpleNamespace(name=name, category=category) for name, category in tags]
    return types.SimpleNamespace(rating=types.SimpleNamespace(name="explicit", category=9), tags=tags)


def names(image):
    return [tag.name for tag in image.tags]


# Spelling


def test_emoticons_keep_their_underscores():
    """Those that A1111's extension and the clients after it list, and others that it lacks."""
    listed = "0_0 (o)_(o) +_+ +_- ._. <o>_<o> <|>_<|> =_= >_< 3_3 6_9 >_o @_@ ^_^ o_o u_u x_x |_| ||_||"
    others = ";_; t_t n_n >_@ d_b -__- m_(._.)_m @__@ o_x :_; 0_o"
    for name in (*listed.split(), *others.split()):
        assert sidecars.spaced(name) == name
    words = "long_hair m_legs v_arms r_18 k_(series) rei_(eva) d.va_(overwatch) 2_girls :o_face"
    for name in words.split():
        assert sidecars.spaced(name) == name.replace("_", " ")


def test_spellings_of_a_name_have_one_key():
    keys = {sidecars.spelling_key(word) for word in ("Caf\u00e9 \\(a\\)", "cafe\u0301_(a)")}
    assert keys == {"caf\u00e9_(a)"}


def test_captions_and_hydrus_files_spell_their_words_each_in_its_way():
    image = selection()
    assert sidecars.caption_words(image, sidecars.Style()) == ["long_hair", "rei_(eva)", "eva", "^_^"]
    style = sidecars.Style(spaces=True, escape=True, rating=True, prefix="mystyle")
    words = ["mystyle", "rating:explicit", "long hair", "rei \\(eva\\)", "eva", "^_^"]
    assert sidecars.caption_words(image, style) == words
    lines = ["rating:explicit", "long_hair", "character:rei_(eva)", "series:eva", "^_^"]
    assert sidecars.hydrus_words(image, sidecars.Style()) == lines
    assert sidecars.escaped("\\m/_(x)") == "\\\\m/_\\(x\\)"


@pytest.mark.parametrize("kind", [TXT, HYDRUS])
def test_the_source_of_sidecars_reads_them_back(kind):
    image = selection()
    text = kind.text(kind.words(image, sidecars.Style(rating=True)))
    rating, parsed = rating_and_tags(captions.parse(text, NAMESPACES))
    assert rating == "e"
    assert list(parsed) == names(image)
    if kind is HYDRUS:
        assert parsed == {tag.name: tag.category for tag in image.tags}


def test_names_that_hold_the_separator_are_refused():
    sidecars.require_separable(["a,b"], HYDRUS)
    for names_, kind in ((["x", "a,b"], TXT), (["a\nb"], HYDRUS), (["a\nb"], TXT)):
        with pytest.raises(UserError, match="json or csv"):
            sidecars.require_separable(names_, kind)


# Files


def test_captions_never_share_a_file():
    give = sidecars.sidecar_names
    assert give(["1.png", "1.jpg", "2.png"], TXT) == {
        "1.png": "1.png.txt",
        "1.jpg": "1.txt",
        "2.png": "2.txt",
    }
    assert give(["1.png", "1.jpg"], HYDRUS) == {"1.jpg": "1.jpg.txt", "1.png": "1.png.txt"}
    assert give(["1.png.png", "1.jpg", "1.png"], TXT)["1.png.png"] == "1.png.png.txt"
    assert give(["A.png", "a.jpg"], TXT) == {"a.jpg": "a.jpg.txt", "A.png": "A.txt"}
    assert give(["archive.tar.png"], TXT) == {"archive.tar.png": "archive.tar.txt"}
    pool = [
        f"{stem}{end}" for stem in ("1", "1.png", "1.png.png", "a", "A") for end in (".png", ".jpg", ".PNG")
    ]
    for count in (2, 3, 4):
        for images in itertools.combinations(pool, count):
            if (
                len({name.casefold() for name in images}) == count
            ):  # else one file where capitals do not count
                sidecar_of = give(images, TXT)
                assert len({sidecar.casefold() for sidecar in sidecar_of.values()}) == count
                assert sidecar_of == give(reversed(images), TXT)


def test_an_image_added_later_does_not_take_the_caption_of_another():
    """1.txt lies there alone: it may be that of 1.png, which was there first."""
    fresh = {"1.png": "1.png.txt", "1.jpg": "1.txt"}
    both = {"1.png": "1.png.txt", "1.jpg": "1.jpg.txt"}
    images = ["1.jpg", "1.png"]
    assert list(sidecars.sidecar_names(images, TXT).items()) == list(fresh.items())  # 1.txt is written last
    assert sidecars.sidecar_names(images, TXT, ["1.txt"]) == both
    assert sidecars.sidecar_names(images, TXT, ["1.txt", "1.png.txt", "1.jpg.txt"]) == both
    assert sidecars.sidecar_names(images, TXT, ["1.txt", "1.png.txt"]) == fresh
    assert sidecars.sidecar_names(images, TXT, ["1.png.txt"]) == fresh  # cut short


def test_appending_adds_words_and_keeps_those_that_are_there(tmp_path):
    path = tmp_path / "x.txt"
    sidecars.write(path, ["a", "b c"], TXT)
    assert path.read_bytes() == b"a, b c\n"
    sidecars.write(path, ["b_c", "rei \\(eva\\)", "d"], TXT, append=True)
    once = path.read_bytes()
    assert once == b"a, b c, rei \\(eva\\), d\n"
    sidecars.write(path, ["rei_(eva)", "D"], TXT, append=True)
    assert path.read_bytes() == once
    path.write_text("\ufeffself made\nsecond line , b\n", encoding="utf-8")
    sidecars.write(path, ["b"], TXT, append=True)
    assert path.read_text(encoding="utf-8") == "self made, second line, b\n"
    for text in ("a,b,ready,_set", "a\uff0cb\u3001ready,_set"):  # without a space, and wide
        path.write_text(text, encoding="utf-8")
        sidecars.write(path, ["b", "c"], TXT, append=True)
        assert path.read_text(encoding="utf-8") == "a, b, ready,_set, c\n"
    path.write_text("a\nNegative prompt: c, d\nSteps: 20, Seed: 1\n", encoding="utf-8")
    sidecars.write(path, ["c"], TXT, append=True)
    assert path.read_text(encoding="utf-8") == "a, c\nNegative prompt: c, d\nSteps: 20, Seed: 1\n"
    path.write_text("1girl long_hair b", encoding="utf-8")  # as boorus write them
    sidecars.write(path, ["b", "hat"], TXT, append=True)
    assert path.read_text(encoding="utf-8") == "1girl, long_hair, b, hat\n"
    sidecars.write(path, ["character:a", "b"], HYDRUS)
    sidecars.write(path, ["b", "series:c"], HYDRUS, append=True)
    assert path.read_text(encoding="utf-8") == "character:a\nb\nseries:c\n"
    for data in (b"\xff\xfe", "1girl".encode("utf-16-le")):
        path.write_bytes(data)
        with pytest.raises(UserError, match="UTF-8"):
            sidecars.write(path, ["a"], TXT, append=True)
        assert path.read_bytes() == data
    assert [file.name for file in tmp_path.iterdir()] == ["x.txt"]
    sidecars.write(path, [], TXT)
    assert sidecars.is_written(path)  # a picture without tags is done
    path.write_bytes(b"")
    assert not sidecars.is_written(path)


def test_a_category_that_only_its_list_names_is_a_namespace_of_that_name():
    tags = [
        types.SimpleNamespace(name="canine", category=5, category_name="species"),
        types.SimpleNamespace(name="hires", category=7, category_name="meta"),
        types.SimpleNamespace(name="odd", category=8, category_name="category 8"),
        types.SimpleNamespace(name="rei", category=4, category_name="character"),
    ]
    image = types.SimpleNamespace(rating=None, tags=tags)
    words = sidecars.hydrus_words(image, sidecars.Style())
    assert words == ["species:canine", "meta:hires", "odd", "character:rei"]
