"""Cartoons: tags say what is drawn, drawing is a function of scene and key."""

import collections
import dataclasses
import random

import numpy as np
import pytest

from Utils.demo_booru import pictures, scenes, tagging, vocabulary
from Utils.demo_booru.canvas import Look, Pen, smooth

SCENES = [scenes.compose(random.Random(f"test/{at}")) for at in range(1500)]
FIGURE = scenes.Figure(
    character="", boy=False, hair="brown", style="long", bangs="swept", ahoge=False, eye_color="blue",
    other_eye="",
    eyes="open", mouth="smile", blush=False, top="shirt", color="white", bottom="skirt", second="black",
    striped=False, legwear="", gloves=False, pose="down", holds="", view="front", skin="light", wears=(),
)  # fmt: skip
SCENE = scenes.Scene(
    figures=(FIGURE,), animals=(), frame="full_body", background="white", backdrop="blue", hour="day",
    moon=False,
    clouds=False, pines=False, weather="", sign="", style="plain", chibi=False, thick=False, border=False,
    artist="",
)  # fmt: skip


def drawn(scale=0.25, scene=SCENE, **attributes):
    figure = dataclasses.replace(FIGURE, **attributes)
    return pictures.render(dataclasses.replace(scene, figures=(figure,)), "key", scale)


def nearness(image, color, distance=30):
    """The share of pixels that have nearly this color."""
    return (np.abs(image.astype(int) - color).max(axis=2) < distance).mean()


def test_the_vocabulary_is_as_large_as_promised():
    sizes = collections.Counter(vocabulary.category(name) for name in tagging.all_names())
    assert sizes[0] >= 60
    assert sizes[3] == 5
    assert sizes[4] == 16
    assert len(vocabulary.HAIR) >= 8
    assert sorted(vocabulary.FAME) == list(range(16))


def test_every_tag_is_of_the_vocabulary():
    names = set(tagging.all_names())
    used = {name for scene in SCENES for name in tagging.tags(scene)}
    assert used <= names
    assert len(used) > 0.8 * len(names)


def test_a_character_has_what_makes_it():
    seen = set()
    for scene in SCENES:
        tags = set(tagging.tags(scene))
        for person in vocabulary.CHARACTERS:
            if person.name not in tags:
                continue
            seen.add(person.name)
            assert person.series in tags
            assert f"{person.hair}_hair" in tags or not tagging.has_color(scene)
            assert {thing for slot, thing in person.wears if slot in ("top", "face")} <= tags
    assert len(seen) == 16


def test_a_figure_has_one_of_each_kind():
    for scene in SCENES:
        if len(scene.figures) != 1:
            continue
        tags = set(tagging.tags(scene))
        assert "solo" in tags
        assert len(tags & {"1girl", "1boy"}) == 1
        assert len({f"{color}_hair" for color in vocabulary.HAIR} & tags) == tagging.has_color(scene)
        assert len(tags & set(scenes.FRAMES)) == 1
        assert not {"long_hair", "short_hair"} <= tags


@pytest.mark.parametrize("color", vocabulary.HAIR)
def test_hair_color_is_visible(color):
    shares = {name: nearness(drawn(hair=name, style="bob"), bgr, 12) for name, bgr in vocabulary.HAIR.items()}
    other = nearness(
        drawn(hair="brown" if color != "brown" else "blue", style="bob"), vocabulary.HAIR[color], 12
    )
    assert shares[color] > other + 0.01


@pytest.mark.parametrize("color", vocabulary.EYES)
def test_eye_color_is_visible_at_the_size_the_demo_trains_at(color):
    portrait = dataclasses.replace(SCENE, frame="upper_body")
    image = drawn(0.125, portrait, eye_color=color)
    other = drawn(0.125, portrait, eye_color="blue" if color != "blue" else "red")
    assert np.abs(image.astype(int) - other).max(axis=2).max() > 40


ATTRIBUTES = [
    *(("wears", ((slot, thing),)) for slot, table in scenes.SLOTS.items() for thing in table if thing),
    *(("style", name) for name in scenes.GIRL_HAIR if name != "long"),
    *(("bangs", name) for name in scenes.BANGS if name != "swept"),
    *(("mouth", name) for name in scenes.MOUTHS if name != "smile"),
    *(("eyes", name) for name in scenes.LIDS if name != "open"),
    *(("view", name) for name in scenes.VIEWS if name != "front"),
    *(("top", name) for name in scenes.GIRL_TOPS if name != "shirt"),
    *(("pose", name) for name in scenes.POSES if name not in ("down", "holding")),
    *(("holds", name) for name in scenes.HOLDS),
    *(("legwear", name) for name in scenes.LEGWEAR if name),
    ("blush", True), ("ahoge", True), ("gloves", True), ("striped", True), ("boy", True), ("bottom", "pants"),
    ("bottom", "shorts"), ("skin", "dark"), ("other_eye", "red"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "value"), ATTRIBUTES, ids=lambda value: str(value))
def test_an_attribute_is_tagged_and_drawn(name, value):
    figure = dataclasses.replace(FIGURE, **{name: value})
    before, after = tagging.tags(SCENE), tagging.tags(dataclasses.replace(SCENE, figures=(figure,)))
    assert before != after
    assert (drawn() != drawn(**{name: value})).any(axis=2).mean() > 0.0005


AROUND = [
    *(("background", name) for name in (*scenes.PLAIN, *scenes.PLACES) if name != "white"),
    *(("weather", name) for name in scenes.WEATHER if name),
    *(("sign", name) for name in scenes.SIGNS if name),
    *(("style", name) for name in scenes.STYLES if name != "plain"),
    *(("animals", ((name, 0.5),)) for name in scenes.ANIMALS),
    *(("frame", name) for name in scenes.FRAMES if name != "full_body"),
    ("chibi", True), ("thick", True), ("border", True), ("artist", "ink_otter"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "value"), AROUND, ids=lambda value: str(value))
def test_the_surroundings_are_tagged_and_drawn(name, value):
    other = dataclasses.replace(SCENE, **{name: value})
    assert tagging.tags(SCENE) != tagging.tags(other)
    assert (pictures.render(other, "key", 0.25) != drawn()).any(axis=2).mean() > 0.005


def test_no_colors_are_claimed_where_none_are():
    gray = dataclasses.replace(SCENE, style="monochrome")
    image = pictures.render(gray, "key", 0.25)
    assert (image[..., 0] == image[..., 2]).all()
    assert not {"brown_hair", "blue_eyes", "white_shirt", "black_skirt"} & set(tagging.tags(gray))


def test_things_outside_the_frame_are_not_tagged():
    figure = dataclasses.replace(FIGURE, legwear="boots", holds="")
    full = dataclasses.replace(SCENE, figures=(figure,))
    assert {"boots", "skirt"} <= set(tagging.tags(full))
    assert not {"boots", "skirt"} & set(tagging.tags(dataclasses.replace(full, frame="upper_body")))


def test_the_same_scene_and_key_give_the_same_pixels():
    assert (drawn() == drawn()).all()
    moved = pictures.render(SCENE, "another key", 0.25)
    assert (drawn() != moved).any()


def test_size_follows_scene_and_scale():
    tall = dataclasses.replace(SCENE, size=(512, 768))
    assert pictures.render(tall, "key", 0.5).shape == (384, 256, 3)


def test_a_transparent_picture_on_white_is_the_picture_on_white():
    plain = pictures.render(SCENE, "key", 0.5)
    image = pictures.render(dataclasses.replace(SCENE, transparent=True), "key", 0.5)
    assert image.shape[2] == 4
    assert image[0, 0, 3] == 0
    alpha = image[..., 3:] / 255
    difference = np.abs(image[..., :3] * alpha + 255 * (1 - alpha) - plain)
    assert difference.max() < 8  # every blended edge is rounded
    assert difference.mean() < 0.05


def test_ratings_come_from_what_is_spooky():
    assert tagging.rating(SCENE) == "g"
    night = dataclasses.replace(SCENE, background="sky", hour="night")
    assert tagging.rating(night) == "s"
    assert tagging.rating(dataclasses.replace(SCENE, animals=(("ghost", 0.5),))) == "q"
    assert tagging.rating(dataclasses.replace(night, animals=(("ghost", 0.5),))) == "e"


def test_pen_places_turns_and_mirrors():
    image = np.full((100, 100, 3), 255, np.uint8)
    Pen(image, Look()).at(50, 50, 30).ellipse(0, 0, 1, 0.5, (0, 0, 0), edge=0)
    assert (image[..., 0] < 128).sum() == pytest.approx(
        np.pi * 30 * 15, rel=0.08
    )  # OpenCV fills half a pixel beyond an edge
    image = np.full((100, 100, 3), 255, np.uint8)
    Pen(image, Look()).at(50, 50, 30, mirror=True).ellipse(1, 0, 0.3, 0.3, (0, 0, 0), edge=0)
    assert (image[50, 20] == 0).all()
    image = np.full((100, 100, 3), 255, np.uint8)
    Pen(image, Look()).at(50, 50, 30, turn=90).ellipse(1, 0, 0.3, 0.3, (0, 0, 0), edge=0)
    assert (image[80, 50] == 0).all()


def test_a_smooth_curve_passes_through_its_points():
    points = [(0, 0), (2, 1), (3, 4), (-1, 2)]
    assert np.allclose(smooth(points, steps=5)[::5], points)
    assert np.allclose(smooth(points, closed=False, steps=5)[::5], points)
