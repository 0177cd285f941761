"""The scenes style: what is tagged can be seen, boxes lie around what was drawn, a seed fixes pixels."""

import collections
import dataclasses
import hashlib
import random

import numpy as np
import pytest

from Utils.demo_booru import posts, scenes, tagging, vocabulary
from Utils.demo_booru.canvas import Extent, Look, Pen
from Utils.demo_booru.places import composition, contents, rendering
from Utils.demo_booru.places import tagging as place_tagging
from Utils.demo_booru.places.composition import Item, View, Writing
from Utils.demo_booru.styles import STYLES

VIEWS = [composition.compose(random.Random(f"test/{at}")) for at in range(600)]
EMPTY = View("park", 215.0, "day", "", Writing("", 0, 0), "", "", ())


def lead(**attributes):
    rng = random.Random("lead")
    figure = scenes.compose_figure(rng, False, None, "full_body", alone=False)
    figure = dataclasses.replace(figure, wears=(), **attributes)
    return Item("lead", "", 256, 240, 44, 0.5, False, figure, ("torso", "legs"))


def drawn(view, scale=0.5, places=None):
    return rendering.render(view, "key", scale, places)


def changed(view, other, scale=0.5):
    return (drawn(view, scale) != drawn(other, scale)).any(axis=2)


def test_every_tag_is_of_the_vocabulary_and_most_of_it_is_used():
    names = set(place_tagging.all_names())
    used = {name for view in VIEWS for name in place_tagging.tags(view)}
    assert used <= names
    own = names - set(tagging.all_names())
    assert len(own & used) > 0.95 * len(own)


def test_every_prop_of_a_place_exists_and_has_a_place():
    standing = {name for table in contents.STANDING.values() for name in table}
    flying = {name for table in contents.SKIES.values() for name in table}
    assert standing | flying == set(contents.PROPS)
    assert contents.PLACES.keys() == contents.HORIZON.keys() == contents.STANDING.keys()


@pytest.mark.parametrize("name", contents.PROPS)
def test_a_prop_is_drawn_inside_the_room_that_it_takes(name):
    prop, box = contents.PROPS[name], Extent()
    image = np.full((300, 400, 3), 128, np.uint8)
    for hue in (0.0, 0.4, 0.99):
        prop.draw(Pen(image, Look(), extent=box).at(200, 250, 50), hue)
    unit = 50
    assert box.left >= 200 - (prop.wide + 0.12) * unit
    assert box.right <= 200 + (prop.wide + 0.12) * unit
    assert box.top >= 250 - (prop.tall + 0.12) * unit
    assert box.bottom <= 250 + 0.2 * unit
    assert (image != 128).any(axis=2).sum() > 0.1 * prop.wide * 2 * prop.tall * unit**2


@pytest.mark.slow
def test_what_is_tagged_can_be_seen():
    """Leaving out one thing changes a fair part of the pixels of the room that it takes."""
    seen = []
    for view in VIEWS[:30]:
        if view.style in ("blurry", "halftone", "film_grain") or view.falling:
            continue
        for at, item in enumerate(view.items):
            if item.kind != "prop":
                continue
            prop = contents.PROPS[item.name]
            without = dataclasses.replace(view, items=view.items[:at] + view.items[at + 1 :])
            area = prop.wide * 2 * prop.tall * (item.size * 0.25) ** 2
            seen.append(changed(view, without, 0.25).sum() / area)
    assert len(seen) > 75
    assert np.quantile(seen, 0.02) > 0.1
    assert np.median(seen) > 0.4


def test_boxes_lie_around_what_was_drawn():
    item = lead(holds="umbrella", pose="holding")
    view = dataclasses.replace(EMPTY, items=(item,))
    places = []
    drawn(view, 1.0, places)
    rows, columns = np.nonzero(changed(view, EMPTY, 1.0))
    (whole,) = [box for box in places if box.tag == "1girl"]
    assert abs(whole.left - columns.min()) < 6
    assert abs(whole.right - columns.max()) < 6
    assert abs(whole.top - rows.min()) < 6
    assert abs(whole.bottom - rows.max()) < 6
    (umbrella,) = [box for box in places if box.tag == "umbrella"]
    assert whole.left <= umbrella.left < umbrella.right <= whole.right
    assert {box.tag for box in places} >= set(tagging.hair_tags(item.figure, True)) - {"ahoge", "blunt_bangs"}


def test_most_tags_that_lie_somewhere_have_a_box():
    everywhere = {name for row in place_tagging._PLACES.values() for name in row}
    everywhere |= {name for table in (place_tagging._STYLES, place_tagging._HOURS) for row in table.values()
                   for name in row}  # fmt: skip
    for view in VIEWS[:40]:
        places = []
        drawn(view, 0.25, places)
        boxed = {box.tag for box in places if not box.empty}
        missing = (
            set(place_tagging.tags(view)) - boxed - everywhere - {"outdoors", "indoors", "sky", view.artist}
        )
        missing -= set(place_tagging._FALLING[view.falling]) | {"scenery", "no_humans"}
        assert not missing


def test_nearer_things_hide_farther_ones():
    behind = Item("prop", "car", 256, 400, 60, 0.1, False)
    before = Item("prop", "bus", 256, 430, 80, 0.1, False)
    nothing = Writing("", 0, 0)
    assert composition.visible([], [behind], nothing) == (behind,)
    assert composition.visible([], [behind, before], nothing) == (before,)
    beside = dataclasses.replace(behind, x=60, size=25)
    assert composition.visible([], [before, beside], nothing) == (beside, before)
    outside = dataclasses.replace(behind, x=5)
    assert composition.visible([], [outside], nothing) == ()


def test_clothes_behind_other_things_are_not_tagged():
    person = lead(bottom="skirt", second="red", top="shirt", legwear="boots")
    (alone,) = composition.visible([person], [], Writing("", 0, 0))
    assert alone.shown == ("torso", "legs")
    stall = Item("prop", "stall", 256, 480, 52, 0.1, False)
    items = composition.visible([person], [stall], Writing("", 0, 0))
    (hidden,) = [item for item in items if item.figure]
    assert "legs" not in hidden.shown
    assert {"skirt", "boots"} <= place_tagging.item_tags(alone, True)
    assert not {"skirt", "boots"} & place_tagging.item_tags(hidden, True)


def test_nothing_hides_the_face_of_a_lead():
    person = lead()
    wall = Item("prop", "bookshelf", 256, 500, 110, 0.1, False)
    assert [item.kind for item in composition.visible([person], [wall], Writing("", 0, 0))] == ["lead"]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("hour", name) for name in contents.HOURS if name != "day"),
        *(("falling", name) for name in contents.FALLING_ON_SNOW if name),
        *(("style", name) for name in contents.FILTERS if name),
        *(("writing", Writing(name, 200, 90)) for name in contents.WRITING if name),
        *(("place", name) for name in contents.PLACES if name != "park"),
    ],
    ids=lambda value: str(getattr(value, "kind", value)),
)
def test_the_surroundings_are_tagged_and_drawn(name, value):
    view = dataclasses.replace(EMPTY, items=(lead(),))
    other = dataclasses.replace(view, **{name: value})
    assert place_tagging.tags(view) != place_tagging.tags(other)
    assert changed(view, other, 0.25).mean() > 0.004


def test_no_colors_are_claimed_where_none_are():
    view = dataclasses.replace(EMPTY, items=(lead(hair="red"),))
    assert "red_hair" in place_tagging.tags(view)
    gray = dataclasses.replace(view, style="monochrome")
    image = drawn(gray)
    assert (image[..., 0] == image[..., 2]).all()
    assert not {"red_hair", "blue_sky"} & set(place_tagging.tags(gray))


def test_a_transparent_picture_shows_its_figures_only():
    view = composition.reshaped(dataclasses.replace(VIEWS[0], items=(lead(),)), (512, 704), True)
    image = drawn(view)
    assert image.shape == (352, 256, 4)
    assert image[0, 0, 3] == 0
    names = place_tagging.tags(view)
    assert "transparent_background" in names
    assert not {"sky", "outdoors", "indoors"} & set(names)


@pytest.fixture(scope="module")
def planned():
    return posts.plan_posts(3000, 0, 0.1, STYLES["scenes"])


def test_characters_and_things_are_frequent_enough_to_be_learned(planned):
    counts = collections.Counter(name for post in planned for name in post.labels)
    assert min(counts[person.name] for person in vocabulary.CHARACTERS) >= 60
    assert sum(count >= 60 for count in counts.values()) > 200
    assert {post.rating for post in planned} == set("gsqe")
    assert sum(len(post.truth) for post in planned) / len(planned) > 20


def test_the_posts_of_a_seed_are_the_same_for_ever():
    """Measurements on drawn boorus are compared over years: no draw may move."""
    plan = [dataclasses.astuple(post) for post in posts.plan_posts(100, 0, 0.1, STYLES["scenes"])]
    assert (
        hashlib.sha256(repr(plan).encode()).hexdigest()
        == "3867f2ccc0f138ad02547580d9383a70327f4e839ad3f2cc00b2b3e9cf107919"
    )


def test_the_same_view_and_key_give_the_same_pixels():
    assert (drawn(VIEWS[3]) == drawn(VIEWS[3])).all()
