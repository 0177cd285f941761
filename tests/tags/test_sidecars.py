"""Which tags are chosen, how they are spelled, and in which file beside the picture they go."""

import argparse
import itertools

import numpy as np
import pandas as pd
import pytest

from Utils.command.cli import UserError
from Utils.data.sources.sidecar_folders import parse_sidecar
from Utils.serving import tag_selection
from Utils.tags import sidecars

NAMES = ["general", "explicit", "long_hair", "^_^", "solo", "rei_(eva)", "eva", "someone"]
CODES = [9, 9, 0, 0, 0, 4, 3, 1]
TAGS = pd.DataFrame({"tag_id": range(10, 18), "name": NAMES, "category": CODES, "count": [0] * 8})
PROBABILITIES = np.array([0.2, 0.7, 0.9, 0.4, 0.35, 0.86, 0.5, 0.1], np.float32)
TXT, HYDRUS = sidecars.KINDS["txt"], sidecars.KINDS["hydrus"]


def chosen(**options):
    made = tag_selection.Chooser(TAGS, tag_selection.defaults(TAGS), **options)
    return made.choose(PROBABILITIES)


def names(found):
    return [tag.name for tag in found.tags]


# Choosing


def test_a_tag_is_chosen_above_its_threshold_and_a_rating_by_its_rank():
    found = chosen()
    assert names(found) == ["long_hair", "rei_(eva)", "eva", "^_^"]  # solo is at its threshold, not above
    assert found.rating.name == "explicit"
    assert [tag.name for tag in found.ratings] == ["general", "explicit"]
    assert found.tags[1] == tag_selection.Tag(15, "rei_(eva)", 4, float(PROBABILITIES[5]))


def test_thresholds_compare_in_the_dtype_of_the_probabilities():
    """0.1 as float32 is greater than 0.1: stored so, it is at the threshold 0.1 and not above."""
    tags = TAGS.iloc[2:3]
    chooser = tag_selection.Chooser(tags, np.array([0.1]))
    assert names(chooser.choose(np.array([0.1], np.float32))) == []
    assert names(chooser.choose(np.nextafter(np.array([0.1], np.float32), 1, dtype=np.float32))) == [
        "long_hair"
    ]


def test_equal_probabilities_keep_the_order_of_the_list_and_max_tags_takes_the_likeliest():
    chooser = tag_selection.Chooser(TAGS, tag_selection.defaults(TAGS), max_tags=3)
    assert names(chooser.choose(np.full(8, 0.9, np.float32))) == ["long_hair", "^_^", "solo"]
    with pytest.raises(UserError, match="1 or more"):
        tag_selection.Chooser(TAGS, tag_selection.defaults(TAGS), max_tags=0)


def test_mcut_cuts_where_the_gap_is_largest():
    assert tag_selection.largest_gap(np.array([0.1, 0.9, 0.8])) == pytest.approx(0.45)
    assert tag_selection.largest_gap(np.array([0.9])) == 1
    found = chosen(mcut=True)  # general: 0.9 | 0.4 0.35
    assert names(found) == ["long_hair"]
    low = tag_selection.Chooser(TAGS.iloc[[5, 5]], np.zeros(2), mcut=True)
    assert names(low.choose(np.array([0.12, 0.01], np.float32))) == []  # the floor of characters
    assert names(low.choose(np.array([0.16, 0.01], np.float32))) == ["rei_(eva)"]


class Opened:
    def __init__(self, folder, tags=TAGS):
        self.folder, self.tags = folder, tags


def of_words(words, tagger, warn=pytest.fail):
    parser = argparse.ArgumentParser()
    tag_selection.add_arguments(parser)
    return tag_selection.of_options(parser.parse_args(words), tagger, warn)


TABLE = "scope,category,tag_id,name,threshold\nall,,,,0.2\ncategory,4,,,0.9\ntag,0,14,solo,0.6\n"


def test_the_release_brings_its_thresholds_and_flags_overrule_them(tmp_path):
    chooser, source = of_words([], Opened(tmp_path))
    assert chooser.thresholds.tolist() == [0.35] * 5 + [0.85, 0.35, 0.35]
    assert source == "0.35, characters 0.85"
    best = TAGS.assign(best_threshold=[np.nan, np.nan, 0.1, 0.2, 0.3, 0.4, np.nan, 0.5])
    chooser, source = of_words([], Opened(tmp_path, best))
    assert chooser.thresholds.tolist() == [0.35, 0.35, 0.1, 0.2, 0.3, 0.4, 0.35, 0.5]
    assert source == "the column best_threshold"
    (tmp_path / "extra").mkdir()
    (tmp_path / "extra" / "thresholds.csv").write_text(TABLE)
    chooser, source = of_words([], Opened(tmp_path, best))
    assert chooser.thresholds.tolist() == [0.2] * 4 + [0.6, 0.9, 0.2, 0.2]
    assert source.endswith("thresholds.csv")
    other = tmp_path / "other.csv"
    other.write_text(TABLE.replace("0.6", "0.7"))
    assert of_words(["--thresholds", str(other)], Opened(tmp_path))[0].thresholds[4] == 0.7
    assert set(of_words(["--threshold", "0.4"], Opened(tmp_path))[0].thresholds) == {0.4}
    both = of_words(["--threshold", "0.4", "--character-threshold", "0.8"], Opened(tmp_path))[0]
    assert both.thresholds.tolist() == [0.4] * 5 + [0.8, 0.4, 0.4]
    only = of_words(["--character-threshold", "0.8"], Opened(tmp_path))[0]
    assert only.thresholds.tolist() == [0.2] * 4 + [0.6, 0.8, 0.2, 0.2]


def test_only_exclude_and_categories(tmp_path):
    listed = tmp_path / "tags.txt"
    listed.write_text("long hair\n^_^, solo\n", encoding="utf-8")
    warnings = []
    for words, expected in (
        (["--exclude", "long_hair", "solo"], ["rei_(eva)", "eva", "^_^"]),
        (["--exclude", "Long hair,long hair"], ["rei_(eva)", "eva", "^_^"]),
        (["--only", f"@{listed}", "--threshold", "0.3"], ["long_hair", "^_^", "solo"]),
        (["--categories", "general", "4"], ["long_hair", "rei_(eva)", "^_^"]),
    ):
        chooser, _ = of_words(words, Opened(tmp_path), warnings.append)
        assert names(chooser.choose(PROBABILITIES)) == expected
    assert warnings == ["--exclude: the model has no tag Long_hair; did you mean long_hair?"]
    many = [f"unknown_{number}" for number in range(7)]
    of_words(["--exclude", *many], Opened(tmp_path), warnings.append)
    assert warnings[-1] == f"--exclude: the model has no tag {', '.join(many[:5])} and 2 more"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--threshold", "1.2"], "between 0 and 1"),
        (["--character-threshold", "nan"], "between 0 and 1"),
        (["--mcut", "--threshold", "0.3"], "without thresholds"),
        (["--only", "nothing_known"], "leave no tag"),
        (["--only", "explicit"], "leave no tag"),
        (["--categories", "people"], "unknown category"),
        (["--exclude", "@nowhere.txt"], "no list of tags"),
        (["--thresholds", "nowhere.csv"], "expected at nowhere.csv"),
        (["--max-tags", "0"], "1 or more"),
    ],
)
def test_wrong_choices_are_told(tmp_path, words, said):
    with pytest.raises(UserError, match=said):
        of_words(words, Opened(tmp_path), lambda text: None)


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


def test_words_of_captions_and_of_hydrus():
    found = chosen()
    assert sidecars.caption_words(found, sidecars.Style()) == ["long_hair", "rei_(eva)", "eva", "^_^"]
    style = sidecars.Style(spaces=True, escape=True, rating=True, prefix="mystyle")
    words = ["mystyle", "rating:explicit", "long hair", "rei \\(eva\\)", "eva", "^_^"]
    assert sidecars.caption_words(found, style) == words
    lines = ["rating:explicit", "long_hair", "character:rei_(eva)", "series:eva", "^_^"]
    assert sidecars.hydrus_words(found, sidecars.Style()) == lines
    assert sidecars.escaped("\\m/_(x)") == "\\\\m/_\\(x\\)"


@pytest.mark.parametrize("kind", [TXT, HYDRUS])
def test_our_own_reader_reads_them_back(kind):
    found = chosen()
    rating, parsed = parse_sidecar(kind.text(kind.words(found, sidecars.Style(rating=True))))
    assert rating == "e"
    assert list(parsed) == names(found)
    if kind is HYDRUS:
        assert parsed == {tag.name: tag.category for tag in found.tags}


def test_names_that_text_cannot_tell_apart_are_refused():
    sidecars.require_tellable(["a,b"], HYDRUS)
    for names_, kind in ((["x", "a,b"], TXT), (["a\nb"], HYDRUS), (["a\nb"], TXT)):
        with pytest.raises(UserError, match="json or csv"):
            sidecars.require_tellable(names_, kind)


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
                found = give(images, TXT)
                assert len({sidecar.casefold() for sidecar in found.values()}) == count
                assert found == give(reversed(images), TXT)


def test_a_picture_that_came_later_does_not_take_anothers_caption():
    """1.txt lies there alone: it may be that of 1.png, which was there first."""
    fresh = {"1.png": "1.png.txt", "1.jpg": "1.txt"}
    both = {"1.png": "1.png.txt", "1.jpg": "1.jpg.txt"}
    images = ["1.jpg", "1.png"]
    assert list(sidecars.sidecar_names(images, TXT).items()) == list(fresh.items())  # 1.txt is written last
    assert sidecars.sidecar_names(images, TXT, ["1.txt"]) == both
    assert sidecars.sidecar_names(images, TXT, ["1.txt", "1.png.txt", "1.jpg.txt"]) == both
    assert sidecars.sidecar_names(images, TXT, ["1.txt", "1.png.txt"]) == fresh
    assert sidecars.sidecar_names(images, TXT, ["1.png.txt"]) == fresh  # cut short


def test_writing_and_appending(tmp_path):
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
    sidecars.write(path, ["character:a", "b"], HYDRUS)
    sidecars.write(path, ["b", "series:c"], HYDRUS, append=True)
    assert path.read_text(encoding="utf-8") == "character:a\nb\nseries:c\n"
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(UserError, match="UTF-8"):
        sidecars.write(path, ["a"], TXT, append=True)
    assert [file.name for file in tmp_path.iterdir()] == ["x.txt"]
    sidecars.write(path, [], TXT)
    assert sidecars.is_written(path)  # a picture without tags is done
    path.write_bytes(b"")
    assert not sidecars.is_written(path)
