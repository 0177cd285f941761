"""The tags of a view in Danbooru's vocabulary, and which of them lie in which box."""

from Utils.demo_booru import boxes as box_lists
from Utils.demo_booru import tagging
from Utils.demo_booru.boxes import Box
from Utils.demo_booru.canvas import Extent
from Utils.demo_booru.places.composition import Item, View
from Utils.demo_booru.places.contents import ANIMALS, INSIDE, PROPS

_PLACES = {
    "park": ("park", "grass"), "street": ("street", "road", "city", "building"),
    "market": ("market", "building"),
    "beach": ("beach", "ocean", "sand", "water"), "harbor": ("harbor", "pier", "ocean", "water"),
    "mountain": ("mountain", "grass"), "farm": ("field", "grass", "barn"), "snow": ("snow", "forest"),
    "shrine": ("shrine", "forest"), "classroom": ("classroom", "chalkboard", "school"),
    "library": ("library", "book", "bookshelf"), "kitchen": ("kitchen", "tile_floor"),
    "living_room": ("living_room", "wooden_floor"), "stage": ("stage", "spotlight", "curtains"), "": (),
}  # fmt: skip
_HOURS = {"day": ("day", "blue_sky"), "night": ("night", "night_sky"), "sunset": ("sunset", "orange_sky")}
_FALLING = {"rain": ("rain",), "snowing": ("snowing",), "petals": ("petals", "falling_petals"),
            "autumn_leaves": ("autumn_leaves", "falling_leaves"),
            "confetti": ("confetti",), "": ()}  # fmt: skip
WRITING = {"speech_bubble": ("speech_bubble", "english_text"), "title": ("english_text", "cover"),
           "signature": ("signature",), "": ()}  # fmt: skip
_STYLES = {"monochrome": ("monochrome", "greyscale"), "sepia": ("sepia", "monochrome"),
           "film_grain": ("film_grain",), "blurry": ("blurry", "blurry_background", "depth_of_field"),
           "halftone": ("halftone", "monochrome", "greyscale"), "border": ("border",), "": ()}  # fmt: skip
_COLORLESS = ("monochrome", "sepia", "halftone")
_PEOPLE, _CROWD = 3, 8  # passers from which a picture has "people", and a "crowd"


def tags(view: View) -> tuple[str, ...]:
    """Return the true tag names of a view, sorted."""
    color = view.style not in _COLORLESS
    blurry = view.style == "blurry" and any(item.kind == "lead" for item in view.items)
    names = {*_PLACES[view.place], *_FALLING[view.falling], *WRITING[view.writing.kind]}
    names |= {*_STYLES[view.style if view.style != "blurry" or blurry else ""], *_around(view, color)}
    names |= _counts(view)
    for item in view.items:
        names |= item_tags(item, color)
    names |= {view.artist} if view.artist else set()
    return tuple(sorted(names | ({"transparent_background"} if view.transparent else set())))


def _around(view: View, color: bool) -> set[str]:
    if not view.place:
        return set()
    if view.place in INSIDE:
        return {"indoors"}
    names = {"outdoors", "sky", *_HOURS[view.hour]}
    return names if color else names - {"blue_sky", "orange_sky"}


def _counts(view: View) -> set[str]:
    leads = [item.figure for item in view.items if item.figure]
    passers = sum(item.kind == "passer" for item in view.items)
    names = tagging.people(leads)
    names |= {"people"} if passers >= _PEOPLE else set()
    names |= {"crowd"} if passers >= _CROWD else set()
    names |= {"scenery"} if not leads and not passers else set()
    if passers:
        names -= {"solo", "no_humans"}
    return names


def item_tags(item: Item, color: bool) -> set[str]:
    """Return the tags that one item gives to its picture."""
    if item.figure:
        return {name for names in _by_part(item, color).values() for name in names}
    if item.kind == "animal":
        return tagging.animal_tags(item.name)
    return {*PROPS[item.name].tags} if item.kind == "prop" else set()


def _by_part(item: Item, color: bool) -> dict[str, set[str]]:
    """Return {part: tags} of a lead, of the parts that can be seen; its face is too small for tags."""
    figure = item.figure
    assert figure is not None
    parts = {"whole": tagging.identity_tags(figure, color)}
    parts["hair"] = tagging.hair_tags(figure, color) - {
        "blunt_bangs",
        "parted_bangs",
        "hair_over_one_eye",
        "ahoge",
    }
    for slot, thing in figure.wears:
        if thing != "earrings" and ("torso" in item.shown or slot not in ("back", "tail", "neck")):
            parts[thing] = tagging.worn_tags(thing)
    if "torso" in item.shown:
        parts["clothes"] = tagging.clothes_tags(figure, color)
        parts |= tagging.pose_tags(figure)
    if "legs" in item.shown:
        parts["legs"] = tagging.below_tags(figure, color, full_body=True)
    return parts


def boxes(item: Item, parts: dict[str, Extent], shape: tuple[int, ...]) -> list[Box]:
    """Return the box of every tag of an item; ``parts`` lie in a picture of ``shape`` (height, width)."""
    if item.figure:
        tags = _by_part(item, color=True)
        tags["whole"] |= tagging.counting_tags(item.figure)
    else:
        tags = {"whole": item_tags(item, color=True) if item.kind != "passer" else {"people", "crowd"}}
    return box_lists.of_parts(tags, parts, shape)


def rating(view: View) -> str:
    """Return the letter g, s, q or e, for how spooky a picture is."""
    return tagging.spookiness(set(tags(view)))


def all_names() -> tuple[str, ...]:
    """Return every tag name that a booru of this style can have, sorted."""
    names = {*tagging.all_names(), "3boys", "people", "crowd", "scenery", "indoors", "outdoors", "sky"}
    for table in (_PLACES, _HOURS, _FALLING, WRITING, _STYLES):
        names |= {name for row in table.values() for name in row}
    return tuple(sorted(names | {name for prop in PROPS.values() for name in prop.tags} | {*ANIMALS}))
