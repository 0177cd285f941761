"""The rating of a scene and its tags, in Danbooru's vocabulary: exactly what its picture shows."""

from collections.abc import Sequence

from Utils.demo_booru import scenes
from Utils.demo_booru import vocabulary as words
from Utils.demo_booru.bodies import LONG_SLEEVES
from Utils.demo_booru.hair import LONG, SHORT
from Utils.demo_booru.scenes import Figure, Scene

_IMPLIED = {
    "cat_ears": ("animal_ears",), "fox_ears": ("animal_ears",), "rabbit_ears": ("animal_ears",),
    "cat_tail": ("tail",), "fox_tail": ("tail",), "angel_wings": ("wings",), "bat_wings": ("wings",),
    "witch_hat": ("hat",), "straw_hat": ("hat",), "beret": ("hat",), "baseball_cap": ("hat",),
    "santa_hat": ("hat",),
    "hair_flower": ("flower",),
}  # fmt: skip
_MOUTHS = {"smile": ("smile",), "open": ("open_mouth", "smile"), "closed": ("closed_mouth",),
           "frown": ("frown",),
           "surprised": ("open_mouth", "surprised"), "cry": ("crying",)}  # fmt: skip
_STYLES = {"twintails": "twintails", "ponytail": "ponytail", "side_ponytail": "side_ponytail",
           "braid": "braid",
           "bun": "hair_bun", "double_bun": "double_bun", "bob": "bob_cut", "spiky": "spiky_hair",
           "curly": "curly_hair"}  # fmt: skip
_BANGS = {
    "blunt": "blunt_bangs",
    "parted": "parted_bangs",
    "over_eye": "hair_over_one_eye",
}
_TOPS = {"serafuku": ("serafuku", "school_uniform"), "maid": ("maid", "dress"),
         "jacket": ("jacket", "shirt"), "vest": ("vest", "shirt"),
         "kimono": ("kimono",),
         "overalls": ("overalls", "shirt")}  # fmt: skip
_COLORED_TOPS = ("shirt", "dress", "jacket")
_PLACES = {
    "white": ("white_background", "simple_background"), "flat": ("simple_background",),
    "gradient": ("gradient_background",), "hearts": ("heart", "heart_background"),
    "dots": ("polka_dot_background",),
    "sky": ("outdoors", "sky"), "beach": ("outdoors", "sky", "beach", "ocean"),
    "forest": ("outdoors", "sky", "forest", "tree"), "field": ("outdoors", "sky", "flower",
    "flower_field"),
    "city": ("outdoors", "sky", "city"), "snow": ("outdoors", "sky", "snow", "tree"),
    "room": ("indoors", "window", "bookshelf"), "classroom": ("indoors", "classroom",
    "chalkboard"),
}  # fmt: skip
_COLORED_PLACES = ("flat", "gradient", "hearts", "dots")
_WEATHER = {"rain": "rain", "snowing": "snowing", "petals": "petals", "sparkle": "sparkle"}
_ART = {"monochrome": ("monochrome",), "sketch": ("sketch", "monochrome"),
        "flat": ("no_lineart",),
        "pixel": ("pixel_art",)}  # fmt: skip

_OTHERS = (
    "1girl", "2girls", "3girls", "1boy", "2boys", "multiple_girls", "multiple_boys", "solo",
    "no_humans", "long_hair", "short_hair", "very_long_hair", "ahoge", "blush", "closed_eyes",
    "one_eye_closed", "heterochromia", "from_side", "from_behind", "dark_skin", "white_shirt",
    "striped_shirt", "neckerchief", "long_sleeves", "short_sleeves", "sleeveless", "gloves",
    "skirt", "shorts", "pants", "holding", "animal", "day", "blue_sky", "sunset", "night",
    "night_sky", "cloud", "moon", "speech_bubble", "chibi", "border", "outline",
    "transparent_background", "robe",
)  # fmt: skip


def tags(scene: Scene) -> tuple[str, ...]:
    """Return the true tag names of a scene, sorted."""
    names = {*_ART.get(scene.style, ()), *_around(scene), *people(scene.figures)}
    names |= {scene.frame} if scene.figures else set()
    for figure in scene.figures:
        names |= set().union(*by_part(figure, scene).values())
    for kind, _ in scene.animals:
        names |= animal_tags(kind)
    names |= {name for name, is_so in (("chibi", scene.chibi and scene.figures), ("border", scene.border),
                                       ("outline", scene.thick),
                                       ("transparent_background", scene.transparent))
              if is_so}  # fmt: skip
    return tuple(sorted(names | ({scene.artist} if scene.artist else set())))


def rating(scene: Scene) -> str:
    """Return the letter g, s, q or e, for how spooky a picture is: all of them are safe."""
    return spookiness(set(tags(scene)))


def spookiness(names: set[str]) -> str:
    """Return the rating of a picture with these tags."""
    spooky = 2 * ("ghost" in names) + ("jack-o'-lantern" in names) + len(names & {"sword", "eyepatch"})
    spooky += bool(names & {"horns", "bat_wings", "witch_hat"}) + ("night" in names)
    return "gsqe"[min(spooky, 3)]


def has_color(scene: Scene) -> bool:
    """Return whether a scene's picture has colors; tags of colors would not be true otherwise."""
    return scene.style not in ("monochrome", "sketch")


def people(figures: Sequence[Figure]) -> set[str]:
    """Return the tags that count people."""
    girls = sum(not figure.boy for figure in figures)
    boys = len(figures) - girls
    if not figures:
        return {"no_humans"}
    names = {f"{count}{sex}" + "s" * (count > 1) for count, sex in ((girls, "girl"), (boys, "boy")) if count}
    names |= {"solo"} if girls + boys == 1 else set()
    names |= {"multiple_girls"} if girls > 1 else set()
    return names | ({"multiple_boys"} if boys > 1 else set())


def counting_tags(figure: Figure) -> set[str]:
    """Return the tags of `people` that a figure can be one of; those of its picture are the true ones."""
    if figure.boy:
        return {"1boy", "2boys", "3boys", "multiple_boys", "solo"}
    return {"1girl", "2girls", "3girls", "multiple_girls", "solo"}


def _around(scene: Scene) -> set[str]:
    names = set(_PLACES[scene.background])
    if scene.background in _COLORED_PLACES and has_color(scene):
        names.add(f"{scene.backdrop}_background")
    elif scene.background == "flat":
        names.add("grey_background")
    if "sky" in names:
        names |= {
            "day": {"day", "blue_sky"},
            "sunset": {"sunset"},
            "night": {"night", "night_sky"},
        }[scene.hour]
        names |= {"cloud"} if scene.clouds else set()
        names |= {"moon"} if scene.moon and scene.hour == "night" else set()
    elif scene.hour == "night":
        names.add("night")
    names |= {_WEATHER[scene.weather]} if scene.weather else set()
    return names | bubble_tags(scene)


def bubble_tags(scene: Scene) -> set[str]:
    """Return the tags of a scene's speech bubble."""
    return {"heart": {"speech_bubble", "heart"}, "": set()}.get(scene.sign, {"speech_bubble"})


def worn_tags(thing: str) -> set[str]:
    """Return the tags of a thing that is worn."""
    return {thing, *_IMPLIED.get(thing, ())}


def animal_tags(kind: str) -> set[str]:
    """Return the tags of an animal, or of what is drawn in its place."""
    return {kind} if kind in ("ghost", "jack-o'-lantern") else {kind, "animal"}


def by_part(figure: Figure, scene: Scene) -> dict[str, set[str]]:
    """Return the tags of a figure by the part of it that shows them; "whole" is the figure."""
    color = has_color(scene)
    hair = hair_tags(figure, color) - ({"very_long_hair"} if scene.frame == "portrait" else set())
    parts = {"whole": identity_tags(figure, color), "hair": hair, "face": face_tags(figure, color)}
    if scene.frame != "portrait":
        parts["clothes"] = clothes_tags(figure, color)
        if scene.frame != "upper_body":
            parts["legs"] = below_tags(figure, color, full_body=scene.frame == "full_body")
    parts |= {thing: worn_tags(thing) for _, thing in figure.wears}
    return {**parts, **pose_tags(figure)}


def identity_tags(figure: Figure, color: bool) -> set[str]:
    """Return who a figure is, and what can be said of all of it."""
    names = {"side": {"from_side"}, "behind": {"from_behind"}}.get(figure.view, set())
    names = names | ({"dark_skin"} if figure.skin == "dark" and color else set())
    if figure.character:
        names |= {figure.character, *(c.series for c in words.CHARACTERS if c.name == figure.character)}
    return names


def pose_tags(figure: Figure) -> dict[str, set[str]]:
    """Return {part: tags} of what the arms do and hold."""
    parts = {} if figure.pose in ("down", "holding") else {"arms": {figure.pose}}
    return {**parts, figure.holds: {"holding", figure.holds}} if figure.holds else parts


def hair_tags(figure: Figure, color: bool) -> set[str]:
    """Return the tags of hair."""
    names = {f"{figure.hair}_hair"} if color else set()
    names |= {"long_hair"} if figure.style in LONG or figure.style == "very_long" else set()
    names |= {"short_hair"} if figure.style in SHORT else set()
    names |= {"very_long_hair"} if figure.style == "very_long" else set()
    names |= {_STYLES[figure.style]} if figure.style in _STYLES else set()
    if figure.view == "front" and figure.style != "curly":
        names |= {_BANGS[figure.bangs]} if figure.bangs in _BANGS else set()
    return names | ({"ahoge"} if figure.ahoge else set())


def face_tags(figure: Figure, color: bool) -> set[str]:
    """Return the tags of eyes, mouth and cheeks."""
    if figure.view == "behind":
        return set()
    names = {*_MOUTHS[figure.mouth]} | ({"blush"} if figure.blush and color else set())
    if figure.worn("face") == "sunglasses":
        return names
    names |= {"closed": {"closed_eyes"}, "wink": {"one_eye_closed"}}.get(figure.eyes, set())
    if figure.eyes != "closed" and color:
        names.add(f"{figure.eye_color}_eyes")
    if figure.other_eye and figure.eyes == "open" and figure.view == "front" and color:
        names |= {"heterochromia", f"{figure.other_eye}_eyes"}
    return names


def clothes_tags(figure: Figure, color: bool) -> set[str]:
    """Return the tags of what is worn above the waist."""
    names = set(_TOPS.get(figure.top, (figure.top,)))
    if color:
        names |= {f"{figure.color}_{figure.top}"} if figure.top in _COLORED_TOPS else set()
        names |= {"white_shirt"} if figure.top in ("jacket", "vest", "overalls") else set()
    names |= {"striped_shirt"} if figure.striped else set()
    names |= {"neckerchief"} if figure.top == "serafuku" and figure.view != "behind" else set()
    sleeves = "sleeveless" if figure.top == "dress" else "short_sleeves"
    names.add("long_sleeves" if figure.top in LONG_SLEEVES else sleeves)
    return names | ({"gloves"} if figure.gloves else set())


def below_tags(figure: Figure, color: bool, full_body: bool) -> set[str]:
    """Return the tags of what is worn below the waist; ``full_body``: the picture shows socks and boots."""
    names = {figure.bottom} if figure.bottom and figure.top != "overalls" else set()
    if figure.bottom == "skirt" and figure.top != "overalls" and color:
        names.add(f"{figure.second}_{figure.bottom}")
    if figure.legwear == "pantyhose" or (figure.legwear and full_body):
        names.add(figure.legwear)
    return names


def all_names() -> tuple[str, ...]:
    """Return every tag name that a drawn booru can have, sorted."""
    names = {person.name for person in words.CHARACTERS} | {*words.SERIES, *words.ARTISTS, *words.META}
    names |= {*_IMPLIED}
    for table in (_IMPLIED, _MOUTHS, _TOPS, _PLACES, _ART):
        names |= {name for row in table.values() for name in row}
    for table in (_STYLES, _BANGS, _WEATHER):
        names |= set(table.values())
    names |= {thing for table in scenes.SLOTS.values() for thing in table if thing}
    for table in (
        scenes.GIRL_TOPS,
        scenes.BOY_TOPS,
        scenes.POSES,
        scenes.HOLDS,
        scenes.LEGWEAR,
        scenes.ANIMALS,
        scenes.FRAMES,
    ):
        names |= {name for name in table if name}
    names |= {f"{color}_hair" for color in words.HAIR} | {f"{color}_eyes" for color in words.EYES}
    names |= {f"{color}_background" for color in words.BACKGROUND}
    names |= {f"{color}_{item}" for color in words.CLOTH for item in (*_COLORED_TOPS, "skirt")}
    return tuple(sorted(names - {"down"} | set(_OTHERS)))
