"""Scenes: the figures, frame, background and style of a picture, chosen at random by weights."""

import dataclasses
import random
from collections.abc import Mapping
from typing import Any, TypeVar

from Utils.demo_booru import vocabulary as words
from Utils.demo_booru.things import LOW

Key = TypeVar("Key")

# The tables have weights, not shares: they need not add up to 100.
FRAMES = {"upper_body": 56, "full_body": 17, "cowboy_shot": 15, "portrait": 12}
CAST = {"girl": 62, "boy": 19, "girl girl": 7, "girl boy": 4, "": 5, "boy boy": 1, "girl girl girl": 1}
GIRL_HAIR = {
    "long": 28, "short": 14, "twintails": 15, "bob": 18, "very_long": 9, "ponytail": 8, "double_bun": 1.5,
    "side_ponytail": 1.5, "braid": 1.2, "bun": 0.8, "curly": 0.8,
}  # fmt: skip
BOY_HAIR = {"spiky": 70, "short": 27, "curly": 2, "long": 1}
HAIR = {
    "blonde": 25, "black": 20, "brown": 17, "blue": 12, "pink": 10, "white": 6, "red": 5, "purple": 2.5,
    "green": 1.5,
    "orange": 1,
}  # fmt: skip
EYES = {"blue": 36, "brown": 20, "red": 17, "green": 14, "purple": 8, "yellow": 5}
BANGS = {"swept": 64, "blunt": 24, "parted": 11, "over_eye": 1}
MOUTHS = {"smile": 58, "open": 24, "closed": 9, "frown": 5.5, "surprised": 2.5, "cry": 1}
LIDS = {"open": 88, "closed": 8, "wink": 4}
VIEWS = {"front": 96, "side": 3, "behind": 1}
GIRL_TOPS = {
    "shirt": 30, "dress": 29, "serafuku": 15, "jacket": 9, "hoodie": 8, "sweater": 4, "kimono": 2, "maid": 1,
    "overalls": 1, "armor": 0.5, "vest": 0.5,
}  # fmt: skip
BOY_TOPS = {
    "shirt": 44,
    "jacket": 25,
    "hoodie": 19,
    "sweater": 6,
    "vest": 2.5,
    "overalls": 2,
    "kimono": 1,
    "armor": 0.5,
}
CLOTH = {"white": 32, "black": 27, "blue": 20, "red": 11, "pink": 4.5, "green": 2.5, "yellow": 2, "purple": 1}
POSES = {
    "down": 63, "holding": 10, "arms_up": 10, "waving": 9, "hand_on_hip": 3.5, "arms_behind_back": 2,
    "outstretched_arms": 1.5, "crossed_arms": 1,
}  # fmt: skip
HOLDS = {
    "book": 30, "umbrella": 16, "balloon": 12, "sword": 10, "bouquet": 8, "cup": 7, "microphone": 5,
    "ice_cream": 4,
    "staff": 3, "apple": 2.5, "phone": 1.5, "guitar": 1,
}  # fmt: skip
LEGWEAR = {"": 58, "kneehighs": 30, "boots": 9, "pantyhose": 3}
SLOTS = {
    "top": {
        "": 84, "cat_ears": 6, "straw_hat": 4.5, "rabbit_ears": 1.2, "beret": 1, "baseball_cap": 0.8,
        "witch_hat": 0.6,
        "crown": 0.5, "fox_ears": 0.4, "horns": 0.3, "santa_hat": 0.2,
    },
    "hair": {"": 82, "hair_bow": 14, "hair_flower": 3, "hairband": 1},
    "face": {"": 87, "glasses": 11, "sunglasses": 0.7, "eyepatch": 0.3},
    "neck": {"": 87, "scarf": 9, "necktie": 1.8, "bowtie": 1, "choker": 0.7},
    "ear": {"": 97, "headphones": 1.5, "earrings": 1},
    "back": {"": 97, "angel_wings": 1, "cape": 0.8, "backpack": 0.5, "bat_wings": 0.3},
    "over": {"": 99.2, "halo": 0.8},
    "tail": {"": 100},
}  # fmt: skip
PLAIN = {"white": 46, "flat": 38, "gradient": 12, "dots": 2, "hearts": 2}
PLACES = {
    "sky": 34, "beach": 22, "forest": 20, "room": 15, "city": 5, "field": 2, "classroom": 1, "snow": 1,
}  # fmt: skip
HOURS = {"day": 75, "night": 20, "sunset": 5}
BACKDROPS = {"blue": 46, "pink": 28, "yellow": 10, "green": 6, "purple": 4.5, "grey": 3.5, "red": 2}
WEATHER = {"": 95.5, "sparkle": 2, "rain": 1.2, "petals": 0.8, "snowing": 0.5}
ANIMALS = {
    "cat": 45, "dog": 25, "bird": 10, "rabbit": 8, "penguin": 4, "fish": 3, "ghost": 22, "jack-o'-lantern": 2,
}  # fmt: skip
STYLES = {"plain": 90, "monochrome": 6, "sketch": 1.5, "flat": 1.5, "pixel": 1}
SIGNS = {"": 97.5, "heart": 1, "exclamation": 0.8, "words": 0.7}
SHARE_OF_CHARACTERS = {
    "girl": 0.55,
    "boy": 0.68,
}  # boys are fewer: each must still be frequent enough


@dataclasses.dataclass(frozen=True)
class Figure:
    """One person: every attribute that can be seen; "" or False for what is absent."""

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
    wears: tuple[tuple[str, str], ...]  # (slot of SLOTS, thing)

    def worn(self, slot: str) -> str:
        """Return what is worn at a slot, or an empty string."""
        return dict(self.wears).get(slot, "")


@dataclasses.dataclass(frozen=True)
class Scene:
    """One picture: its figures and animals, and everything around them."""

    figures: tuple[Figure, ...]
    animals: tuple[tuple[str, float], ...]  # (kind, coat from 0 to 1)
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
    size: tuple[int, int] = (512, 512)  # width and height, in units
    transparent: bool = False


def pick(rng: random.Random, table: Mapping[Key, float]) -> Key:
    """Return a key of ``table``, with a probability proportional to its value."""
    return rng.choices(list(table), list(table.values()))[0]


def chance(rng: random.Random, share: float) -> bool:
    """Return True with the probability ``share``."""
    return rng.random() < share


def compose(rng: random.Random) -> Scene:
    """Return a random Scene. The order of the draws is part of the booru's bytes."""
    cast = pick(rng, CAST).split()
    style = pick(rng, STYLES) if cast else "plain"
    chibi = chance(rng, 0.02)
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
        thick=style == "plain" and chance(rng, 0.015),
        border=chance(rng, 0.015),
        artist=pick(rng, {"": 64, **dict(zip(words.ARTISTS, (15, 10, 7, 4), strict=True))})
        if style == "plain"
        else "",
    )


def reshaped(scene: Scene, size: tuple[int, int], transparent: bool) -> Scene:
    """Return the scene on a picture of another size; a transparent one shows figures and animals only."""
    scene = dataclasses.replace(scene, size=size, transparent=transparent)
    if not transparent:
        return scene
    return dataclasses.replace(scene, background="white", hour="day", weather="", border=False, sign="")


def _place(rng: random.Random, style: str) -> tuple[str, str]:
    if style == "sketch":
        return "white", "day"
    if style == "monochrome":
        return ("white" if chance(rng, 0.6) else "flat"), "day"
    if chance(rng, 0.53):
        return pick(rng, PLAIN), "day"
    place = pick(rng, PLACES)
    hour = "day" if place in ("classroom", "field") else pick(rng, HOURS)
    return place, "day" if place in ("room", "snow") and hour == "sunset" else hour


def _animals(rng: random.Random, people: bool, frame: str) -> tuple[tuple[str, float], ...]:
    if people and (frame == "portrait" or not chance(rng, 0.08)):
        return ()
    count = 1 if people or chance(rng, 0.7) else 2
    return tuple((pick(rng, ANIMALS), rng.random()) for _ in range(count))


def _figures(rng: random.Random, cast: list[str], frame: str) -> tuple[Figure, ...]:
    figures, taken = [], set()
    for sex in cast:
        boy = sex == "boy"
        character = compose_character(rng, boy, taken) if chance(rng, SHARE_OF_CHARACTERS[sex]) else None
        if character:
            taken.add(character.name)
        figures.append(compose_figure(rng, boy, character, frame, alone=len(cast) == 1))
    return tuple(figures)


def compose_character(rng: random.Random, boy: bool, taken: set[str]) -> words.Character:
    """Return a random character that is not taken; the one of rank r in FAME has the weight 1 / (r + 14)."""
    table = {
        words.CHARACTERS[at]: 1 / (rank + 14)
        for rank, at in enumerate(words.FAME)
        if words.CHARACTERS[at].boy == boy and words.CHARACTERS[at].name not in taken
    }
    return pick(rng, table)


def compose_figure(
    rng: random.Random, boy: bool, character: words.Character | None, frame: str, alone: bool
) -> Figure:
    """Return a random person, or a character with its fixed features; ``alone`` ones may turn away."""
    view = pick(rng, VIEWS) if alone and not character else "front"
    eyes = {"eye_color": pick(rng, EYES), "eyes": pick(rng, LIDS), "mouth": pick(rng, MOUTHS)}
    hair = _hair(rng, boy, character)
    if hair["bangs"] == "over_eye" and eyes["eyes"] == "wink":
        eyes["eyes"] = "open"  # which of the two is closed could not be seen
    dressed = _clothes(rng, boy, character)
    wears = _wears(rng, boy, character, hair["style"], dressed["top"], view, frame)
    covered = any(slot in ("top", "over") for slot, _ in wears)
    pose, holds = _pose(rng, view, frame)
    return Figure(
        character=character.name if character else "",
        boy=boy,
        **{**eyes, **({"eye_color": character.eyes} if character else {})},
        other_eye="red"
        if not character and eyes["eye_color"] in ("blue", "green") and chance(rng, 0.015)
        else "",
        **hair,
        ahoge=not covered
        and hair["style"] not in ("bun", "curly")
        and view != "behind"
        and chance(rng, 0.14),
        blush=view != "behind" and chance(rng, 0.08 if boy else 0.24),
        **dressed,
        gloves=chance(rng, 0.015),
        pose=pose,
        holds=holds,
        view=view,
        skin=character.skin if character else pick(rng, {"light": 88, "tan": 10, "dark": 2}),
        wears=wears,
    )


def _hair(rng: random.Random, boy: bool, character: words.Character | None) -> dict[str, str]:
    if character:
        return {"hair": character.hair, "style": character.style, "bangs": character.bangs}
    return {
        "hair": pick(rng, HAIR),
        "style": pick(rng, BOY_HAIR if boy else GIRL_HAIR),
        "bangs": pick(rng, BANGS),
    }


def _clothes(rng: random.Random, boy: bool, character: words.Character | None) -> dict[str, Any]:
    top = character.outfit if character else pick(rng, BOY_TOPS if boy else GIRL_TOPS)
    color = character.color if character else pick(rng, CLOTH)
    second = character.second if character else pick(rng, CLOTH)
    bottom = pick(rng, {"pants": 70, "shorts": 30} if boy else {"skirt": 74, "shorts": 14, "pants": 12})
    if top == "serafuku":
        bottom = "pants" if boy else "skirt"
        color, second = (color, second) if character else ("white", "black" if chance(rng, 0.3) else "blue")
    if top in ("dress", "maid", "kimono", "robe"):
        bottom = ""
    if top == "overalls":
        bottom, second, color = "pants", "blue", "blue"
    if second == color and not character:
        second = "black" if color != "black" else "blue"
    legwear = "" if bottom == "pants" or top in ("kimono", "robe") else pick(rng, LEGWEAR)
    return {
        "top": top,
        "color": color,
        "bottom": bottom,
        "second": second,
        "striped": top == "shirt" and chance(rng, 0.06),
        "legwear": "" if boy and legwear == "pantyhose" else legwear,
    }


def _wears(
    rng: random.Random,
    boy: bool,
    character: words.Character | None,
    style: str,
    top: str,
    view: str,
    frame: str,
) -> tuple[tuple[str, str], ...]:
    wears = {slot: pick(rng, table) for slot, table in SLOTS.items()}
    if wears["top"] in ("cat_ears", "fox_ears"):
        wears["tail"] = wears["top"].replace("ears", "tail")
    if boy:
        wears.update(hair="", ear="" if wears["ear"] == "earrings" else wears["ear"])
    if boy and wears["top"] not in ("baseball_cap", "crown", "horns", "santa_hat"):
        wears.update(top="", tail="")
    if style in ("bun", "double_bun"):
        wears.update(top="", over="", tail="")
    if character:
        wears.update(top="", tail="", face="", ear="", over="", back="")
        wears.update(character.wears)
    if wears["top"].endswith(("hat", "beret", "cap", "crown")):
        wears.update(hair="", over="")
    if wears["ear"] == "headphones":
        wears.update(hair="")
    if top in ("serafuku", "hoodie", "armor", "sweater") and wears["neck"] != "scarf":
        wears["neck"] = ""
    hidden = {"side": {"ear"}, "behind": {"ear", "face", "neck"}}.get(view, set())
    hidden |= {"portrait": {"back", "tail"}, "upper_body": {"tail"}}.get(frame, set())
    return tuple((slot, thing) for slot, thing in wears.items() if thing and slot not in hidden)


def _pose(rng: random.Random, view: str, frame: str) -> tuple[str, str]:
    if frame == "portrait" or view == "behind":
        return "down", ""
    pose = pick(rng, POSES)
    if view == "side" and pose not in ("holding", "waving"):
        pose = "down"
    if pose != "holding":
        return pose, ""
    holds = pick(rng, HOLDS)
    return pose, "balloon" if frame == "upper_body" and holds in LOW else holds
