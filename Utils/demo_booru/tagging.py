"""The tags of a scene: everything that can be seen in its picture, in Danbooru's words, and its rating."""

from Utils.demo_booru import scenes
from Utils.demo_booru import vocabulary as words
from Utils.demo_booru.bodies import LONG_SLEEVES
from Utils.demo_booru.hair import LONG, SHORT

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


def tags(scene):
    """Return the true tag names of a scene, sorted."""
    found = {*_ART.get(scene.style, ()), *_around(scene), *_people(scene)}
    for figure in scene.figures:
        found |= _person(figure, scene)
    for kind, _ in scene.animals:
        found |= {kind} if kind in ("ghost", "jack-o'-lantern") else {kind, "animal"}
    found |= {name for name, is_so in (("chibi", scene.chibi and scene.figures), ("border", scene.border),
                                       ("outline", scene.thick),
                                       ("transparent_background", scene.transparent))
              if is_so}  # fmt: skip
    return tuple(sorted(found | ({scene.artist} if scene.artist else set())))


def rating(scene):
    """Return the letter g, s, q or e; it only says how spooky a picture is: all of them are safe."""
    found = set(tags(scene))
    spooky = 2 * ("ghost" in found) + ("jack-o'-lantern" in found) + len(found & {"sword", "eyepatch"})
    spooky += bool(found & {"horns", "bat_wings", "witch_hat"}) + ("night" in found)
    return "gsqe"[min(spooky, 3)]


def has_color(scene):
    """Return whether colors can be told from one another in a scene's picture."""
    return scene.style not in ("monochrome", "sketch")


def _people(scene):
    girls = sum(not figure.boy for figure in scene.figures)
    boys = len(scene.figures) - girls
    if not scene.figures:
        return {"no_humans"}
    found = {f"{count}{sex}" + "s" * (count > 1) for count, sex in ((girls, "girl"), (boys, "boy")) if count}
    found |= {"solo"} if girls + boys == 1 else set()
    found |= {"multiple_girls"} if girls > 1 else set()
    found |= {"multiple_boys"} if boys > 1 else set()
    return found | {scene.frame}


def _around(scene):
    found = set(_PLACES[scene.background])
    if scene.background in _COLORED_PLACES and has_color(scene):
        found.add(f"{scene.backdrop}_background")
    elif scene.background == "flat":
        found.add("grey_background")
    if "sky" in found:
        found |= {
            "day": {"day", "blue_sky"},
            "sunset": {"sunset"},
            "night": {"night", "night_sky"},
        }[scene.hour]
        found |= {"cloud"} if scene.clouds else set()
        found |= {"moon"} if scene.moon and scene.hour == "night" else set()
    elif scene.hour == "night":
        found.add("night")
    found |= {_WEATHER[scene.weather]} if scene.weather else set()
    found |= {"heart": {"speech_bubble", "heart"}, "": set()}.get(scene.sign, {"speech_bubble"})
    return found


def _person(figure, scene):
    color = has_color(scene)
    found = _hair(figure, scene, color) | _face(figure, color) | _clothes(figure, scene, color)
    for _, thing in figure.wears:
        found |= {thing, *_IMPLIED.get(thing, ())}
    found |= {"side": {"from_side"}, "behind": {"from_behind"}}.get(figure.view, set())
    found |= {"dark_skin"} if figure.skin == "dark" and color else set()
    if figure.pose not in ("down", "holding"):
        found.add(figure.pose)
    if figure.holds:
        found |= {"holding", figure.holds}
    if figure.character:
        found |= {figure.character, *(c.series for c in words.CHARACTERS if c.name == figure.character)}
    return found


def _hair(figure, scene, color):
    found = {f"{figure.hair}_hair"} if color else set()
    found |= {"long_hair"} if figure.style in LONG or figure.style == "very_long" else set()
    found |= {"short_hair"} if figure.style in SHORT else set()
    found |= {"very_long_hair"} if figure.style == "very_long" and scene.frame != "portrait" else set()
    found |= {_STYLES[figure.style]} if figure.style in _STYLES else set()
    if figure.view == "front" and figure.style != "curly":
        found |= {_BANGS[figure.bangs]} if figure.bangs in _BANGS else set()
    return found | ({"ahoge"} if figure.ahoge else set())


def _face(figure, color):
    if figure.view == "behind":
        return set()
    found = {*_MOUTHS[figure.mouth]} | ({"blush"} if figure.blush and color else set())
    if figure.worn("face") == "sunglasses":
        return found
    found |= {"closed": {"closed_eyes"}, "wink": {"one_eye_closed"}}.get(figure.eyes, set())
    if figure.eyes != "closed" and color:
        found.add(f"{figure.eye_color}_eyes")
    if figure.other_eye and figure.eyes == "open" and figure.view == "front" and color:
        found |= {"heterochromia", f"{figure.other_eye}_eyes"}
    return found


def _clothes(figure, scene, color):
    if scene.frame == "portrait":
        return set()
    found = set(_TOPS.get(figure.top, (figure.top,)))
    if color:
        found |= {f"{figure.color}_{figure.top}"} if figure.top in _COLORED_TOPS else set()
        found |= {"white_shirt"} if figure.top in ("jacket", "vest", "overalls") else set()
    found |= {"striped_shirt"} if figure.striped else set()
    found |= {"neckerchief"} if figure.top == "serafuku" and figure.view != "behind" else set()
    sleeves = "sleeveless" if figure.top == "dress" else "short_sleeves"
    found.add("long_sleeves" if figure.top in LONG_SLEEVES else sleeves)
    found |= {"gloves"} if figure.gloves else set()
    return found if scene.frame == "upper_body" else found | _below(figure, scene, color)


def _below(figure, scene, color):
    found = {figure.bottom} if figure.bottom and figure.top != "overalls" else set()
    if figure.bottom == "skirt" and figure.top != "overalls" and color:
        found.add(f"{figure.second}_{figure.bottom}")
    if figure.legwear == "pantyhose" or (figure.legwear and scene.frame == "full_body"):
        found.add(figure.legwear)
    return found


def all_names():
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
