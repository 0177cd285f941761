"""The words of the drawn booru: colors, characters and their series, and the category of every tag name."""

import dataclasses
from typing import Any

Color = tuple[int, int, int]  # blue, green, red, as OpenCV has them


def _bgr(text: str) -> Color:
    """Return the (blue, green, red) of ``"#rrggbb"``."""
    blue, green, red = (int(text[start : start + 2], 16) for start in (5, 3, 1))
    return blue, green, red


HAIR = {
    "blonde": _bgr("#f7d774"),
    "black": _bgr("#33303a"),
    "brown": _bgr("#8a5a3a"),
    "blue": _bgr("#4f7fe0"),
    "pink": _bgr("#f79bc0"),
    "red": _bgr("#d0393b"),
    "white": _bgr("#eef0f4"),
    "purple": _bgr("#9560cc"),
    "green": _bgr("#5cb562"),
    "orange": _bgr("#f28a33"),
}
EYES = {
    "blue": _bgr("#2f7fe8"),
    "brown": _bgr("#7a4a28"),
    "red": _bgr("#dd2f3a"),
    "green": _bgr("#2fa84f"),
    "purple": _bgr("#8d46d0"),
    "yellow": _bgr("#f0b91e"),
}
CLOTH = {
    "white": _bgr("#f6f6f8"),
    "black": _bgr("#3a3a44"),
    "blue": _bgr("#4474cc"),
    "red": _bgr("#cf3b40"),
    "pink": _bgr("#f4a3bf"),
    "green": _bgr("#57a065"),
    "yellow": _bgr("#f2cf55"),
    "purple": _bgr("#8a62b8"),
}
BACKGROUND = {
    "blue": _bgr("#a9d3f5"),
    "pink": _bgr("#f9cfdd"),
    "yellow": _bgr("#fbeaa6"),
    "green": _bgr("#bfe5bd"),
    "purple": _bgr("#d6c4ee"),
    "grey": _bgr("#c4c6cb"),
    "red": _bgr("#e58a86"),
}
SKIN = {"light": _bgr("#fde3d0"), "tan": _bgr("#f0c39c"), "dark": _bgr("#9d6b4a")}
INK = _bgr("#3b2f3a")
NAVY = _bgr("#33477f")
SCARLET = _bgr("#d8323c")
GOLD = _bgr("#f4c63d")
STEEL = _bgr("#b8c2cf")
WHITE = (255, 255, 255)


@dataclasses.dataclass(frozen=True)
class Character:
    """The fixed features of a character; everything else differs from picture to picture."""

    name: str
    series: str
    boy: bool
    hair: str
    style: str
    bangs: str
    eyes: str
    outfit: str
    color: str
    second: str
    wears: tuple[tuple[str, str], ...] = ()  # (slot, thing) pairs
    skin: str = "light"


def _cast(series: str, *rows: Any) -> list[Character]:
    return [Character(row[0] + f"_({series})", series, *row[1:]) for row in rows]


# A series shares a motif of dress, so that its tag can be seen in the picture too.
CHARACTERS = tuple(
    _cast(
        "starlit_academy",
        ("aoba", False, "blue", "twintails", "blunt", "yellow", "serafuku", "white", "blue",
         (("hair", "hair_bow"),)),
        ("hinata", False, "orange", "ponytail", "swept", "green", "serafuku", "white", "blue",
         (("hair", "hair_flower"),)),
        ("shirou", True, "white", "short", "parted", "red", "serafuku", "black", "black",
         (("face", "glasses"),)),
        ("yukari", False, "purple", "long", "blunt", "purple", "serafuku", "black", "red",
         (("face", "glasses"),)),
    )
    + _cast(
        "moor_witches",
        ("morwen", False, "green", "very_long", "parted", "red", "dress", "black", "black",
         (("top", "witch_hat"),)),
        ("tansy", False, "pink", "short", "blunt", "blue", "dress", "purple", "purple",
         (("top", "witch_hat"), ("neck", "scarf"))),
        ("corvin", True, "black", "spiky", "swept", "yellow", "robe", "purple", "black",
         (("top", "witch_hat"), ("back", "cape"))),
    )
    + _cast(
        "cat_cafe_nine",
        ("mocha", False, "brown", "bob", "blunt", "green", "maid", "black", "white",
         (("top", "cat_ears"), ("tail", "cat_tail"))),
        ("latte", False, "blonde", "twintails", "parted", "blue", "maid", "pink", "white",
         (("top", "cat_ears"), ("tail", "cat_tail"))),
        ("kuro", True, "black", "short", "swept", "green", "vest", "black", "black",
         (("top", "cat_ears"), ("neck", "bowtie"))),
    )
    + _cast(
        "cloud_knights",
        ("seraphine", False, "blonde", "very_long", "parted", "purple", "armor", "white", "white",
         (("back", "angel_wings"), ("over", "halo"))),
        ("roland", True, "red", "spiky", "swept", "blue", "armor", "blue", "black",
         (("back", "cape"),)),
        ("nyx", False, "white", "long", "swept", "red", "armor", "black", "red",
         (("back", "bat_wings"), ("top", "horns"))),
    )
    + _cast(
        "neon_band",
        ("riffa", False, "pink", "side_ponytail", "swept", "yellow", "jacket", "black", "red",
         (("ear", "headphones"),)),
        ("bass", True, "green", "spiky", "swept", "purple", "hoodie", "yellow", "black",
         (("ear", "headphones"),)),
        ("synthia", False, "purple", "double_bun", "blunt", "blue", "hoodie", "blue", "pink",
         (("ear", "headphones"),), "tan"),
    )
)  # fmt: skip
# Rows of CHARACTERS, the best known first: alternating series, so that each has a well-known and a rare one.
FAME = (0, 10, 4, 7, 14, 5, 1, 2, 8, 13, 3, 11, 12, 9, 6, 15)
SERIES = tuple(dict.fromkeys(person.series for person in CHARACTERS))

# An artist is a way to draw: (weight of the line, ink, saturation of colors, width of the eyes: not used).
ARTISTS = {
    "ink_otter": (1.7, _bgr("#1c1820"), 1.0, 1.0),
    "soft_pebble": (0.7, _bgr("#8d6b62"), 0.8, 1.1),
    "mint_comet": (1.0, _bgr("#2c4a6a"), 1.1, 0.95),
    "paper_heron": (1.25, _bgr("#4a2f52"), 0.9, 1.05),
}
META = ("highres", "commentary", "absurdres", "tagme", "wide_image", "tall_image")
GENERAL, ARTIST, COPYRIGHT, CHARACTER_CATEGORY, META_CATEGORY = 0, 1, 3, 4, 5


def category(name: str) -> int:
    """Return Danbooru's category code of a tag name."""
    if name in SERIES or name == "original":
        return COPYRIGHT
    if any(name == person.name for person in CHARACTERS):
        return CHARACTER_CATEGORY
    if name in ARTISTS:
        return ARTIST
    return META_CATEGORY if name in META else GENERAL
