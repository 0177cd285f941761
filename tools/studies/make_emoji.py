"""Make a dataset of pictures that nobody drew for this project: emoji of seven vendors, human keywords.

    python tools/studies/make_emoji.py emoji
    python tools/select_tags.py emoji/unseen_vendor.toml --source sidecars --from emoji/pictures -o data

Packages of the npm registry give the artwork and the keywords (430 MB); `npm` is needed and, for the three
sets of vector graphics, the package resvg-py. Keywords become general tags; the group and subgroup of the
Unicode list become copyright tags. Flags are left out: every vendor draws the same ones. The pictures lie on
white, one PNG an emoji and vendor with its sidecar beside it: 1,644 emoji, 10,913 pictures, at 64 px 100 MB
of small files.

Two ways to split: unseen_vendor (all of Twitter's pictures validate) and unseen_emoji (a tenth of the emoji
validates, with all its vendors; the woman, the man and the person of one activity stay together).

The artwork belongs to its authors and is no part of this project. LICENSES.md in OUT names the license of
each package; Apple's and Facebook's pictures may be looked at, but neither sold nor passed on.
"""

import Utils.command.interrupt  # noqa: F401  first: imports take long

import collections
import dataclasses
import hashlib
import json
import pathlib
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from typing import Any

import cv2

from Utils.command.cli import Parser, UserError, WorkError, command, number, print_json, progress
from Utils.files import csv_tables
from Utils.files.output_folders import FolderKind, replacing_folder, require_replaceable_folder
from Utils.images import codec, image_folder
from Utils.images.resize import resize

SPRITES, VECTORS, KEYWORDS = "pictures of 64 px", "vector graphics", "keywords"


@dataclasses.dataclass(frozen=True)
class Package:
    """A package of the npm registry."""

    name: str
    version: str  # another version has other pictures
    kind: str  # SPRITES, VECTORS or KEYWORDS
    megabytes: int  # on the disk
    license: str

    @property
    def vendor(self) -> str:
        """Return the vendor: the last word of ``emoji-datasource-apple``, the name of an icon set."""
        return self.name.removeprefix("emoji-datasource-").rpartition("/")[2]


PACKAGES = (
    Package("emoji-datasource-apple", "16.0.0", SPRITES, 106, "(c) Apple Inc., not for commercial use"),
    Package("emoji-datasource-google", "16.0.0", SPRITES, 82, "Noto: Apache-2.0"),
    Package("emoji-datasource-twitter", "16.0.0", SPRITES, 70, "Twemoji: CC-BY-4.0"),
    Package("emoji-datasource-facebook", "16.0.0", SPRITES, 109, "(c) Facebook, Inc., no license is known"),
    Package("@iconify-json/fluent-emoji-flat", "1.2.6", VECTORS, 5, "Microsoft: MIT"),
    Package("@iconify-json/openmoji", "1.2.29", VECTORS, 11, "OpenMoji: CC-BY-SA-4.0"),
    Package("@iconify-json/noto-v1", "1.2.5", VECTORS, 10, "Noto of 2013 to 2016: Apache-2.0"),
    Package("emojibase-data", "17.0.0", KEYWORDS, 49, "MIT; from Unicode's CLDR, Unicode License v3"),
    Package("emojilib", "4.0.3", KEYWORDS, 1, "MIT"),
)  # fmt: skip

UNSEEN_VENDOR = "twitter"
VALIDATION_SHARE = 10  # one emoji of so many validates
LEFT_OUT = {"component", "flags"}  # groups: parts of emoji, and pictures that are the same for every vendor
# Code points that say who does something (man, woman, person, the signs of gender) or join the others.
PEOPLE = {"1F468", "1F469", "1F9D1", "2640", "2642", "200D", "FE0F"}
EMOJI = FolderKind(
    "a dataset of emoji",
    ("LICENSES.md", "emoji.csv"),
    ("*.toml", "*_splits.csv", "pictures/*.png", "pictures/*.txt"),
)
DEFINITION = """# Emoji of seven vendors (tools/studies/make_emoji.py), {what}.
name = "emoji_{name}"
image_size = {size}
jpeg_quality = 95
split_file = "{name}_splits.csv"
categories = [0, 3]
min_tag_count = 0
min_tag_images = {least}
min_tag_share = 0.0
max_tags = 10000
min_tags_per_image = 1
"""
PROTOCOLS = {
    "unseen_vendor": f"all pictures of {UNSEEN_VENDOR} validate",
    "unseen_emoji": f"one of {VALIDATION_SHARE} emoji validates, with all its vendors",
}


@dataclasses.dataclass(frozen=True)
class Emoji:
    """One emoji: its code points as in ``1F600-FE0F``, its name, and its tags as in a sidecar."""

    code: str
    label: str
    tags: tuple[str, ...]

    @property
    def activity(self) -> str:
        """Return the code points without those that say who does it: the same for man, woman and person."""
        rest = [point for point in self.code.split("-") if point not in PEOPLE]
        return "-".join(rest or [self.code])

    def validates(self) -> bool:
        """Whether this emoji, with its like, is one of the emoji that training never sees."""
        digest = hashlib.sha256(self.activity.encode()).digest()
        return int.from_bytes(digest[:8], "big") % VALIDATION_SHARE == 0


def parser() -> Parser:
    """Return the argument parser."""
    parser = Parser(prog="tools/studies/make_emoji.py", description=__doc__)
    parser.add_argument("output", metavar="OUT", help="folder to make")
    parser.add_argument(
        "--size", type=number(least=16, most=512), default=64, help="side of the pictures (64)"
    )
    parser.add_argument("--cache", metavar="DIR", help="where npm installs its packages (OUT-packages)")
    parser.add_argument(
        "--min-tag-images", type=number(least=1), default=25, help="pictures that a tag must be on (25)"
    )
    parser.add_argument("--overwrite", action="store_true", help="replace OUT where it exists")
    parser.add_argument("--json", action="store_true", help="print the summary as JSON")
    return parser


@command
def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit code."""
    options = parser().parse_args(argv)
    require_replaceable_folder(options.output, EMOJI, options.overwrite)
    _require_resvg()
    packages = install(pathlib.Path(options.cache or f"{options.output.rstrip('/')}-packages"))
    emoji = read_emoji(packages)
    with replacing_folder(options.output, EMOJI, options.overwrite) as folder:
        counts = write_pictures(folder, emoji, packages, options.size)
        write_tables(folder, emoji, options)
    if options.json:
        print_json({"output": options.output, "emoji": len(emoji), "pictures": counts})
        return 0
    print(f"{len(emoji)} emoji, {sum(counts.values())} pictures in {options.output}:")
    for vendor, pictures in counts.items():
        print(f"  {vendor:<20}{pictures:>6}")
    print(f"{options.output}/LICENSES.md says whose they are; they are not for passing on")
    return 0


def _require_resvg() -> None:
    try:
        import resvg_py  # noqa: F401
    except ImportError:
        raise UserError("emoji of vector graphics need resvg-py; pip install resvg-py") from None


def install(folder: pathlib.Path) -> pathlib.Path:
    """Install PACKAGES into a folder with npm, unless they are there; return their ``node_modules``."""
    modules = folder / "node_modules"
    missing = [package for package in PACKAGES if _version(modules / package.name) != package.version]
    if not missing:
        return modules
    npm = shutil.which("npm")
    names = [f"{package.name}@{package.version}" for package in missing]
    if npm is None:
        raise UserError(f"npm is needed to fetch {', '.join(names)}; install Node.js, or give --cache")
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "package.json").write_text('{"private": true}\n', encoding="utf-8")
    print(f"npm fetches {sum(package.megabytes for package in missing)} MB into {folder}", file=sys.stderr)
    arguments = ["install", "--ignore-scripts", "--no-audit", "--no-fund", "--save-exact", *names]
    result = subprocess.run([npm, *arguments], cwd=folder, capture_output=True, text=True, check=False)
    if result.returncode:
        raise WorkError(f"npm install failed: {result.stderr.strip()[-500:]}")
    return modules


def _version(folder: pathlib.Path) -> str | None:
    """Return the version of an installed package, None where it is not there."""
    path = folder / "package.json"
    return _read(path)["version"] if path.is_file() else None


def _read(path: pathlib.Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


def read_emoji(packages: pathlib.Path) -> list[Emoji]:
    """Return the emoji with their tags, by code: Unicode's keywords and emojilib's, group and subgroup."""
    folder = packages / "emojibase-data" / "en"
    messages = _read(folder / "messages.json")
    groups, subgroups = (
        {entry["order"]: entry["key"] for entry in messages[name]} for name in ("groups", "subgroups")
    )
    keywords = {
        _plain(key): words for key, words in _read(packages / "emojilib/dist/emoji-en-US.json").items()
    }
    emoji = []
    for entry in _read(folder / "data.json"):
        group = groups.get(entry.get("group"))
        if group is None or group in LEFT_OUT:
            continue
        words = [*entry.get("tags", ()), *keywords.get(_plain(entry["emoji"]), ())]
        tags = sorted({tag for tag in map(tag_name, words) if tag})
        # Named as boorus do it, since some groups are called like a keyword: sport is both.
        places = [f"series:{tag_name(name)}_(emoji)" for name in (group, subgroups[entry["subgroup"]])]
        emoji.append(Emoji(entry["hexcode"], entry["label"], (*tags, *dict.fromkeys(places))))
    return sorted(emoji, key=lambda one: one.code)


def _plain(emoji: str) -> str:
    """Return an emoji without the code points that ask for a picture or for a letter."""
    return emoji.replace("\ufe0f", "").replace("\ufe0e", "")


def tag_name(keyword: str) -> str:
    """Return a keyword as a tag, ``high_five``; nothing where it has less than two letters, as ``:D``."""
    words = re.findall(r"[^\W_]+", keyword.lower().replace("’", "").replace("'", ""))
    return "_".join(words) if sum(map(str.isalpha, "".join(words))) > 1 else ""


def write_pictures(
    folder: pathlib.Path, emoji: list[Emoji], packages: pathlib.Path, size: int
) -> dict[str, int]:
    """Write ``pictures/VENDOR/uCODE.png`` and the sidecar of each; return the pictures of each vendor."""
    counts: collections.Counter[str] = collections.Counter()
    vendors = [package for package in PACKAGES if package.kind != KEYWORDS]
    for package in progress(vendors, total=len(vendors), label="vendors", unit="vendors"):
        place = folder / "pictures" / package.vendor
        place.mkdir(parents=True)
        images = sprites if package.kind == SPRITES else vectors
        for one, data in images(packages, package, emoji, size):
            image = codec.pad_square(codec.decode(data))
            _, encoded = cv2.imencode(".png", resize(image, size, "area"))
            (place / f"u{one.code.lower()}.png").write_bytes(encoded.tobytes())
            text = "".join(f"{tag}\n" for tag in one.tags)
            (place / f"u{one.code.lower()}.txt").write_text(text, encoding="utf-8")
            counts[package.vendor] += 1
    return dict(counts)


def sprites(
    packages: pathlib.Path, package: Package, emoji: list[Emoji], size: int
) -> Iterator[tuple[Emoji, bytes]]:
    """Yield the emoji that an emoji-datasource has, each with its PNG."""
    folder = packages / package.name
    entries = {
        entry["unified"].replace("-FE0F", ""): entry["image"]
        for entry in _read(folder / "emoji.json")
        if entry[f"has_img_{package.vendor}"]
    }
    for one in emoji:
        name = entries.get(one.code.replace("-FE0F", ""))
        if name:
            yield one, (folder / "img" / package.vendor / "64" / name).read_bytes()


def vectors(
    packages: pathlib.Path, package: Package, emoji: list[Emoji], size: int
) -> Iterator[tuple[Emoji, bytes]]:
    """Yield the emoji that a set of icons has, each drawn as a PNG of ``size`` pixels on white."""
    import resvg_py

    folder = packages / package.name
    icons, names = _read(folder / "icons.json"), _read(folder / "chars.json")
    for one in emoji:
        # One of the sets has no table of characters: its icons are called as the emoji are.
        code, slug = one.code.lower(), re.sub(r"[^a-z0-9]+", "-", one.label.lower()).strip("-")
        name = names.get(code) or names.get(code.replace("-fe0f", "")) or (slug if not names else "")
        icon = icons["icons"].get(icons.get("aliases", {}).get(name, {}).get("parent", name))
        if icon is None:
            continue
        width, height = (icon.get(side) or icons.get(side) or 16 for side in ("width", "height"))
        box = f"{icon.get('left', 0)} {icon.get('top', 0)} {width} {height}"
        svg = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="{box}" width="{size}" height="{size}">'
        yield (
            one,
            resvg_py.svg_to_bytes(
                svg_string=f"{svg}{icon['body']}</svg>",
                width=size,
                background="#ffffff",
                skip_system_fonts=True,
            ),
        )


def write_tables(folder: pathlib.Path, emoji: list[Emoji], options: Any) -> None:
    """Write emoji.csv, LICENSES.md, and for each protocol its definition and the split of every post."""
    by_code = {one.code.lower(): one for one in emoji}
    rows = [(one.code, one.label, " ".join(one.tags)) for one in emoji]
    csv_tables.write_rows(folder / "emoji.csv", ("code", "label", "tags"), rows)
    pictures = folder / "pictures"
    paths = [path.relative_to(pictures).as_posix() for path in sorted(pictures.rglob("*.png"))]
    ids = dict(zip(paths, image_folder.post_ids(paths), strict=True))
    is_validation = {
        "unseen_vendor": lambda path: path.parent.name == UNSEEN_VENDOR,
        "unseen_emoji": lambda path: by_code[path.stem[1:]].validates(),
    }
    for name, what in PROTOCOLS.items():
        splits = [
            (post_id, "validation" if is_validation[name](pathlib.PurePosixPath(path)) else "train", path)
            for path, post_id in ids.items()
        ]
        csv_tables.write_rows(folder / f"{name}_splits.csv", ("post_id", "split", "path"), splits)
        text = DEFINITION.format(name=name, what=what, size=options.size, least=options.min_tag_images)
        (folder / f"{name}.toml").write_text(text, encoding="utf-8")
    lines = [
        f"| {package.name} {package.version} | {package.kind} | {package.license} |" for package in PACKAGES
    ]
    head = (
        "Where these pictures and keywords come from, all through the npm registry. Do not pass them on.\n\n"
    )
    table = "\n".join(["| package | what | license |", "|:--|:--|:--|", *lines])
    (folder / "LICENSES.md").write_text(f"{head}{table}\n", encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
