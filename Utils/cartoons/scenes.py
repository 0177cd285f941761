"""What is in a picture: figures with attributes, a frame, a background, a style; drawn by weighted lot."""

import dataclasses

from Utils.cartoons import vocabulary as words
from Utils.cartoons.things import HELD, LOW

FRAMES = {"upper_body": 42, "cowboy_shot": 24, "full_body": 24, "portrait": 10}
CAST = {"girl": 60, "boy": 19, "girl girl": 7, "girl boy": 5, "boy boy": 2, "girl girl girl": 2, "": 5}
GIRL_HAIR = {"long": 24, "short": 18, "twintails": 13, "bob": 12, "ponytail": 9, "very_long": 8,
             "double_bun": 4,
             "side_ponytail": 4, "braid": 4, "bun": 2, "curly": 2}  # fmt: skip
BOY_HAIR = {"short": 50, "spiky": 42, "curly": 4, "long": 4}
HAIR = {"blonde": 22, "black": 17, "brown": 16, "blue": 12, "pink": 11, "white": 7, "red": 6, "purple": 5,
        "green": 3,
        "orange": 2}  # fmt: skip
EYES = {"blue": 35, "brown": 20, "red": 17, "green": 15, "purple": 8, "yellow": 5}
BANGS = {"blunt": 40, "swept": 38, "parted": 18, "over_eye": 4}
MOUTHS = {"smile": 45, "open": 27, "closed": 15, "frown": 6, "surprised": 5, "cry": 2}
LIDS = {"open": 86, "closed": 8, "wink": 6}
VIEWS = {"front": 93, "side": 5, "behind": 2}
GIRL_TOPS = {"shirt": 26, "dress": 24, "serafuku": 14, "jacket": 9, "sweater": 8, "hoodie": 7, "kimono": 5,
             "maid": 3,
             "overalls": 2, "armor": 1, "vest": 1}  # fmt: skip
BOY_TOPS = {
    "shirt": 40,
    "jacket": 22,
    "hoodie": 16,
    "sweater": 9,
    "vest": 6,
    "overalls": 3,
    "kimono": 2,
    "armor": 2,
}
CLOTH = {"white": 27, "black": 22, "blue": 18, "red": 14, "pink": 8, "green": 5, "yellow": 4, "purple": 2}
POSES = {"down": 52, "holding": 16, "arms_up": 8, "waving": 8, "hand_on_hip": 6, "arms_behind_back": 5,
         "outstretched_arms": 4, "crossed_arms": 1}  # fmt: skip
HOLDS = dict(zip(HELD, (18, 13, 13, 11, 10, 9, 6, 6, 5, 4, 3, 2), strict=True))
LEGWEAR = {"": 45, "kneehighs": 27, "boots": 18, "pantyhose": 10}
SLOTS = {
    "top": {"": 80, "cat_ears": 5, "straw_hat": 4, "rabbit_ears": 2.5, "beret": 2.5, "baseball_cap": 2,
    "witch_hat": 1.5,
            "crown": 1, "horns": 1, "fox_ears": 0.8, "santa_hat": 0.4},
    "hair": {"": 77, "hair_bow": 13, "hair_flower": 6, "hairband": 4},
    "face": {"": 87, "glasses": 11, "sunglasses": 1.2, "eyepatch": 0.5},
    "neck": {"": 82, "scarf": 8, "necktie": 5, "bowtie": 3, "choker": 2},
    "ear": {"": 93, "earrings": 4, "headphones": 3},
    "back": {"": 92, "cape": 2.5, "angel_wings": 2.5, "backpack": 2, "bat_wings": 1},
    "over": {"": 98.5, "halo": 1.5},
    "tail": {"": 100},
}  # fmt: skip
PLAIN = {"white": 44, "flat": 34, "gradient": 14, "dots": 4, "hearts": 4}
PLACES = {"sky": 28, "beach": 18, "forest": 17, "room": 13, "city": 10, "field": 6, "classroom": 4, "snow": 4}
HOURS = {"day": 68, "night": 21, "sunset": 11}
BACKDROPS = {"blue": 30, "pink": 22, "yellow": 16, "green": 11, "purple": 9, "grey": 8, "red": 4}
WEATHER = {"": 90, "sparkle": 4, "rain": 2.5, "petals": 2.5, "snowing": 1}
ANIMALS = {
    "cat": 38,
    "dog": 22,
    "bird": 16,
    "rabbit": 12,
    "penguin": 6,
    "fish": 3,
    "ghost": 2,
    "jack-o'-lantern": 1,
}
STYLES = {"plain": 85, "monochrome": 7, "sketch": 3, "flat": 3, "pixel": 2}
SIGNS = {"": 95, "heart": 2, "exclamation": 1.5, "words": 1.5}
SHARE_OF_CHARACTERS = 0.4


@dataclasses.dataclass(frozen=True)
class Figure:
    """One person: every attribute that is drawn."""

    character: str
    boy: bool
    hair: str
    style: str
    bangs: str
    ahoge: bool
    eye_color: str
    other_eye: str
    eyes: str
    mouth: str
    blush: bool
    top: str
    color: str
    bottom: str
    second: str
    striped: bool
    legwear: str
    gloves: bool
    pose: str
    holds: str
    view: str
    skin: str
    wears: tuple

    def worn(self, slot):
        """Return what is worn at a slot, or an empty string."""
        return dict(self.wears).get(slot, "")


@dataclasses.dataclass(frozen=True)
class Scene:
    """One picture: its figures and animals, and all around them. ``size`` is (width, height) in units."""

    figures: tuple
    animals: tuple
    frame: str
    background: str
    backdrop: str
    hour: str
    moon: bool
    clouds: bool
    pines: bool
    weather: str
    sign: str
    style: str
    chibi: bool
    thick: bool
    border: bool
    artist: str
    size: tuple = (512, 512)
    transparent: bool = False


def pick(rng, table):
    """Return a key of ``table``, drawn in proportion to its value."""
    return rng.choices(list(table), list(table.values()))[0]


def chance(rng, share):
    """Return True in ``share`` of all cases."""
    return rng.random() < share


def compose(rng):
    """Return a Scene drawn by lot from ``rng`` (a ``random.Random``)."""
    cast = pick(rng, CAST).split()
    style = pick(rng, STYLES) if cast else "plain"
    chibi = chance(rng, 0.05)
    frame = "full_body" if chibi else pick(rng, FRAMES)
    if len(cast) > 1 and frame == "portrait":
        frame = "upper_body"
    background, hour = _place(rng, style)
    animals = _animals(rng, bool(cast), frame)
    return Scene(
        figures=_figures(rng, cast, frame),
        animals=animals,
        frame=frame,
        background=background,
        backdrop="grey" if style == "monochrome" else pick(rng, BACKDROPS),
        hour=hour,
        moon=chance(rng, 0.6),
        clouds=chance(rng, 0.5),
        pines=chance(rng, 0.35),
        weather=pick(rng, WEATHER) if style in ("plain", "flat") else "",
        sign=pick(rng, SIGNS) if frame != "portrait" and len(cast) < 2 else "",
        style=style,
        chibi=chibi,
        thick=style == "plain" and chance(rng, 0.04),
        border=chance(rng, 0.03),
        artist=pick(rng, {"": 64, **dict(zip(words.ARTISTS, (15, 10, 7, 4), strict=True))})
        if style == "plain"
        else "",
    )


def _place(rng, style):
    if style == "sketch":
        return "white", "day"
    if style == "monochrome":
        return ("white" if chance(rng, 0.6) else "flat"), "day"
    if chance(rng, 0.53):
        return pick(rng, PLAIN), "day"
    place = pick(rng, PLACES)
    hour = "day" if place in ("classroom", "field") else pick(rng, HOURS)
    return place, "day" if place in ("room", "snow") and hour == "sunset" else hour


def _animals(rng, people, frame):
    if people and (frame == "portrait" or not chance(rng, 0.09)):
        return ()
    count = 1 if people or chance(rng, 0.7) else 2
    return tuple((pick(rng, ANIMALS), rng.random()) for _ in range(count))


def _figures(rng, cast, frame):
    figures, taken = [], set()
    for sex in cast:
        boy = sex == "boy"
        known = _character(rng, boy, taken) if chance(rng, SHARE_OF_CHARACTERS) else None
        if known:
            taken.add(known.name)
        figures.append(_figure(rng, boy, known, frame, alone=len(cast) == 1))
    return tuple(figures)


def _character(rng, boy, taken):
    """Draw a character of the wanted sex by fame, rank r with weight 1 / (r + 2)."""
    table = {
        words.CHARACTERS[at]: 1 / (rank + 2)
        for rank, at in enumerate(words.FAME)
        if words.CHARACTERS[at].boy == boy and words.CHARACTERS[at].name not in taken
    }
    return pick(rng, table)


def _figure(rng, boy, known, frame, alone):
    view = pick(rng, VIEWS) if alone and not known else "front"
    eyes = {"eye_color": pick(rng, EYES), "eyes": pick(rng, LIDS), "mouth": pick(rng, MOUTHS)}
    hair = _hair(rng, boy, known)
    dressed = _clothes(rng, boy, known)
    wears = _wears(rng, known, hair["style"], dressed["top"], view, frame)
    covered = any(slot in ("top", "over") for slot, _ in wears)
    pose, holds = _pose(rng, view, frame)
    return Figure(
        character=known.name if known else "",
        boy=boy,
        **{**eyes, **({"eye_color": known.eyes} if known else {})},
        other_eye="red"
        if not known and eyes["eye_color"] in ("blue", "green") and chance(rng, 0.015)
        else "",
        **hair,
        ahoge=not covered
        and hair["style"] not in ("bun", "curly")
        and view != "behind"
        and chance(rng, 0.14),
        blush=view != "behind" and chance(rng, 0.12 if boy else 0.34),
        **dressed,
        gloves=chance(rng, 0.04),
        pose=pose,
        holds=holds,
        view=view,
        skin=known.skin if known else pick(rng, {"light": 88, "tan": 7, "dark": 5}),
        wears=wears,
    )


def _hair(rng, boy, known):
    if known:
        return {"hair": known.hair, "style": known.style, "bangs": known.bangs}
    return {
        "hair": pick(rng, HAIR),
        "style": pick(rng, BOY_HAIR if boy else GIRL_HAIR),
        "bangs": pick(rng, BANGS),
    }


def _clothes(rng, boy, known):
    top = known.outfit if known else pick(rng, BOY_TOPS if boy else GIRL_TOPS)
    color = known.color if known else pick(rng, CLOTH)
    second = known.second if known else pick(rng, CLOTH)
    bottom = pick(rng, {"pants": 70, "shorts": 30} if boy else {"skirt": 74, "shorts": 14, "pants": 12})
    if top == "serafuku":
        bottom = "pants" if boy else "skirt"
        color, second = (color, second) if known else ("white", "black" if chance(rng, 0.3) else "blue")
    if top in ("dress", "maid", "kimono", "robe"):
        bottom = ""
    if top == "overalls":
        bottom, second, color = "pants", "blue", "blue"
    if second == color and not known:
        second = "black" if color != "black" else "blue"
    legwear = "" if bottom == "pants" or top in ("kimono", "robe") else pick(rng, LEGWEAR)
    return {
        "top": top,
        "color": color,
        "bottom": bottom,
        "second": second,
        "striped": top == "shirt" and chance(rng, 0.12),
        "legwear": "" if boy and legwear == "pantyhose" else legwear,
    }


def _wears(rng, known, style, top, view, frame):
    wears = {slot: pick(rng, table) for slot, table in SLOTS.items()}
    if wears["top"] in ("cat_ears", "fox_ears"):
        wears["tail"] = wears["top"].replace("ears", "tail")
    if style in ("bun", "double_bun"):
        wears.update(top="", over="", tail="")
    if known:
        wears.update(top="", tail="", face="", ear="", over="", back="")
        wears.update(known.wears)
    if wears["top"].endswith(("hat", "beret", "cap", "crown")):
        wears.update(hair="", over="")
    if wears["ear"] == "headphones":
        wears.update(hair="")
    if top in ("serafuku", "hoodie", "armor", "sweater") and wears["neck"] != "scarf":
        wears["neck"] = ""
    hidden = {"side": {"ear"}, "behind": {"ear", "face", "neck"}}.get(view, set())
    hidden |= {"portrait": {"back", "tail"}, "upper_body": {"tail"}}.get(frame, set())
    return tuple((slot, thing) for slot, thing in wears.items() if thing and slot not in hidden)


def _pose(rng, view, frame):
    if frame == "portrait" or view == "behind":
        return "down", ""
    pose = pick(rng, POSES)
    if view == "side" and pose not in ("holding", "waving"):
        pose = "down"
    if pose != "holding":
        return pose, ""
    holds = pick(rng, HOLDS)
    return pose, "balloon" if frame == "upper_body" and holds in LOW else holds
