"""Worlds of the study of fine-tuning: pictures of a base, of one's own and of a test, and their tags.

A world is a drawn booru of one style (tools/make_demo_booru.py), whose labels lack a tenth of the true tags,
or the emoji of tools/studies/make_emoji.py: the base's are of some vendors, one's own of another. Pictures
become folders as people have them: numbers from 1 on in each of two sub-folders, JPEG, PNG and WebP, captions
in .txt and .caption, with spaces and commas.
"""

import contextlib
import csv
import dataclasses
import itertools
import pathlib
import shutil
import sqlite3
import subprocess
import sys

import cv2
import numpy as np
import pandas as pd

from Utils.bench import scripts
from Utils.command.cli import UserError, WorkError
from Utils.data import dataset_folder
from Utils.files import atomic
from Utils.images import codec
from Utils.tags import captions, sidecars

SIDE = 72  # of pictures; models see 64
BOORU_POSTS = 8600
BASE_POSTS, OWN_POSTS, TEST_POSTS = 3600, 3400, 1000
MOST_NEW = 60  # tags that the base of a booru lacks
HALF_OF_EMOJI = 137  # likewise of emoji: half of the tags of the packages that make_emoji.py names
MIN_IMAGES = 30  # of the base's posts with a tag
STYLES, EMOJI = ("faces", "scenes"), "emoji"
BASE_VENDORS, OWN_VENDOR = ("apple", "google", "noto-v1"), "twitter"
FORMATS = ((".jpg", [cv2.IMWRITE_JPEG_QUALITY, 95]), (".png", []), (".webp", [cv2.IMWRITE_WEBP_QUALITY, 95]))
CAPTIONS = (".txt", ".caption")

# The network and the settings of `make demo` at the time of the study, all named: recipes move on.
DEMO = """demo --tracker none --keep-checkpoints 1 --checkpoint-every 1000m --image-size 64 --model ResNet/18
--model-options depths=1,1,1 widths=64,128,256 stem=convolutions pool_cells=2 --stochastic-depth 0 --dropout 0
--batch-size-per-device 32 --epochs 12 --rotation 0 --crop 0.9 1.0 --methods area --mixup-alpha 0 --loss bce
--optimizer adamw --learning-rate 3e-3 --learning-rate-batch-size 32 --schedule cosine --warmup 1epoch
--weight-decay 0.05 --ema 0 --label-smoothing 0"""


@dataclasses.dataclass(frozen=True)
class World:
    """Pictures in the order base, own, test, with labels and true tags.

    Attributes:
        jpegs: (N,) files of squares of ``SIDE`` pixels.
        labels: (N, T) bool, what captions say.
        true: (N, T) bool, what the pictures show.
        names: (T,) tags, each on ``MIN_IMAGES`` of the base's pictures or more.
        parts: numbers of pictures of the base, of one's own, and of the test.
        new: columns that the base lacks; the first ones are new in every set of one's own pictures.
    """

    jpegs: list[bytes]
    labels: np.ndarray
    true: np.ndarray
    names: np.ndarray
    parts: tuple[int, int, int]
    new: np.ndarray

    def columns(self, num_new: int) -> np.ndarray:
        """Return the columns of a dataset with so many of the new tags, 0 for the base's."""
        return np.setdiff1d(np.arange(len(self.names)), self.new[num_new:])

    def posts(self, part: int) -> np.ndarray:
        """Return the positions of the base's (0), own (1) or test (2) pictures."""
        first = sum(self.parts[:part])
        return np.arange(first, first + self.parts[part])

    def tagged(self, posts: np.ndarray, num_new: int) -> np.ndarray:
        """Return those of the pictures that have one of the tags of a dataset with so many new tags."""
        return posts[self.labels[np.ix_(posts, self.columns(num_new))].any(axis=1)]

    def own_posts(self, size: int, num_new: int, seed: int) -> np.ndarray:
        """Return the positions of ``size`` own pictures that have a tag, drawn by ``seed``."""
        own = self.tagged(self.posts(1), num_new)
        if len(own) < size:
            raise UserError(f"this world has {len(own)} own pictures with a tag; got {size}")
        return np.random.default_rng([seed, 2]).permutation(own)[:size]

    def write_pictures(self, folder: pathlib.Path, posts: np.ndarray, columns: np.ndarray) -> None:
        """Write pictures and their captions, which name ``columns`` only; a folder is there whole or not."""
        if folder.exists():
            return
        beside = folder.with_name(f".{folder.name}")
        shutil.rmtree(beside, ignore_errors=True)
        spelled = np.array([sidecars.spaced(name) for name in self.names], object)
        for number, post in enumerate(posts):
            place = beside / ("first", "second")[number % 2] / str(number // 2 + 1)
            place.parent.mkdir(parents=True, exist_ok=True)
            suffix, options = FORMATS[number % len(FORMATS)]
            picture = codec.decode(self.jpegs[post])
            place.with_suffix(suffix).write_bytes(cv2.imencode(suffix, picture, options)[1].tobytes())
            caption = ", ".join(spelled[columns[self.labels[post, columns]]])
            caption_suffix = CAPTIONS[number // 5 % len(CAPTIONS)]
            place.with_suffix(caption_suffix).write_text(caption + "\n", encoding="utf-8")
        beside.rename(folder)


def load(folder: pathlib.Path, name: str, emoji: pathlib.Path | None = None) -> World:
    """Return a world, made where it is missing: ``folder/world.npz``.

    Args:
        folder: its folder.
        name: a style of drawn boorus, or "emoji".
        emoji: folder of make_emoji.py.
    """
    file = folder / "world.npz"
    if not file.is_file():
        folder.mkdir(parents=True, exist_ok=True)
        arrays = _read_emoji(emoji) if name == EMOJI and emoji else _draw(folder / "booru", name)
        with atomic.replacing(file) as beside:
            np.savez(beside, **arrays)  # pyright: ignore[reportArgumentType]  its stub takes "allow_pickle" only
    with np.load(file) as stored:
        data, ends = stored["jpegs"].tobytes(), [0, *stored["ends"].tolist()]
        names, labels, true, parts = (stored[key] for key in ("names", "labels", "true", "parts"))
    jpegs = [data[begin:end] for begin, end in itertools.pairwise(ends)]
    most = HALF_OF_EMOJI if name == EMOJI else MOST_NEW
    new = np.random.default_rng([0, 1]).permutation(len(names))[:most]
    base, own, test = parts.tolist()
    return World(jpegs, labels, true, names, (base, own, test), new)


def dataset(folder: pathlib.Path, world: World, posts: np.ndarray, columns: np.ndarray) -> pathlib.Path:
    """Write pictures and captions to ``folder/pictures``; make them records by the two commands of users.

    Raises WorkError where a picture is lost, or a tag has another name.
    """
    data, mark = folder / "data", folder / "packed"
    if mark.is_file():
        return data
    folder.mkdir(parents=True, exist_ok=True)
    world.write_pictures(folder / "pictures", posts, columns)
    shutil.rmtree(data, ignore_errors=True)
    scripts.timed("tools/select_tags.py", "--from", folder / "pictures", "-o", data, log=folder / "log.txt")
    scripts.timed("tools/write_records.py", data, log=folder / "log.txt")
    made = dataset_folder.load(data)
    records = sum(made.num_records(split) for split in made.splits)
    unknown = set(made.tags["name"]) - set(world.names[columns])
    if unknown or records != len(posts):
        raise WorkError(
            f"{folder}: {records} of {len(posts)} pictures; names that are new: {sorted(unknown)}"
        )
    mark.touch()
    return data


def base_of(world: World, folder: pathlib.Path, log: pathlib.Path) -> pathlib.Path:
    """Return the run of a world's base, trained where it is missing."""
    base = folder / "base"
    if not (base / "model.keras").is_file():
        data = dataset(folder / "base_data", world, world.tagged(world.posts(0), 0), world.columns(0))
        cost = scripts.timed("train.py", *DEMO.split(), "--dataset", data, "--run-dir", base, log=log)
        print(f"base of {folder.name}: {cost['seconds']:.0f} s", flush=True)
    return base


def _draw(booru: pathlib.Path, style: str) -> dict[str, np.ndarray]:
    """Draw a booru; return the arrays of its world."""
    if not booru.exists():
        words = ["--images", BOORU_POSTS, "--style", style, "--workers", 1]
        drawn = [sys.executable, "tools/make_demo_booru.py", booru, *words]
        subprocess.run(list(map(str, drawn)), cwd=atomic.ROOT, check=True)
    labels, truth, tags = _posts(booru)
    jpegs, ids = [], []
    for post in np.random.default_rng(0).permutation(sorted(labels)).tolist():
        path = booru / f"512px/{post % 1000:04}/{post}.jpg"
        with contextlib.suppress(codec.ImageError, OSError):  # a booru has broken files, too
            jpegs.append(codec.to_stored_jpeg(path.read_bytes(), SIDE))
            ids.append(post)
    return _arrays(jpegs, [labels[post] for post in ids], [truth[post] for post in ids], tags,
                   (BASE_POSTS, OWN_POSTS, TEST_POSTS))  # fmt: skip


def _posts(booru: pathlib.Path) -> tuple[dict[int, set[str]], dict[int, set[str]], list[str]]:
    """Return labels and true tags by post, of posts that are no copies, and the tags that describe."""
    with contextlib.closing(sqlite3.connect(booru / "danbooru.db")) as database:
        tags = pd.read_sql("SELECT tag_id, name, category FROM tags", database)
        names = dict(zip(tags["tag_id"], tags["name"], strict=True))
        labels: dict[int, set[str]] = {}
        for post, tag in database.execute("SELECT image_id, tag_id FROM imageTags"):
            labels.setdefault(post, set()).add(names[tag])
    with (booru / "truth.csv").open(encoding="utf-8") as file:
        truth = {int(row["image_id"]): set(row["tags"].split()) for row in csv.DictReader(file)}
    copies = set(pd.read_csv(booru / "duplicates.csv")["image_id"])
    labels = {post: names for post, names in labels.items() if post in truth and post not in copies}
    return labels, truth, sorted(tags.loc[tags["category"].isin([0, 3, 4]), "name"])


def _read_emoji(emoji: pathlib.Path) -> dict[str, np.ndarray]:
    """Return the arrays of the world of emoji: keywords are tags, groups are not."""
    vendors = {
        name: sorted((emoji / "pictures" / name).glob("*.png")) for name in (*BASE_VENDORS, OWN_VENDOR)
    }
    own = vendors.pop(OWN_VENDOR)
    random = np.random.default_rng(0)
    base = [path for paths in vendors.values() for path in paths]
    # The base's lie vendor by vendor: a split of it would be a vendor.
    paths = [base[place] for place in random.permutation(len(base))]
    paths += [own[place] for place in random.permutation(len(own))]
    texts = [path.with_suffix(".txt").read_text(encoding="utf-8").splitlines() for path in paths]
    tags = [{name for name in text if name and ":" not in name} for text in texts]
    jpegs = [codec.to_stored_jpeg(path.read_bytes(), SIDE) for path in paths]
    parts = (len(base), len(own) - len(own) // 3, len(own) // 3)
    return _arrays(jpegs, tags, tags, sorted(set().union(*tags)), parts)


def _arrays(
    jpegs: list[bytes],
    labels: list[set[str]],
    true: list[set[str]],
    names: list[str],
    parts: tuple[int, int, int],
) -> dict[str, np.ndarray]:
    """Return the arrays of a world, with the tags that the base's pictures have often enough."""
    matrices = [np.array([[name in tags for name in names] for tags in each]) for each in (labels, true)]
    # What a caption cannot say, or says as another tag, is none: names are spelled as captions are read.
    plain = np.array([name == captions.tag_name(sidecars.spaced(name)) for name in names])
    often = (matrices[0][: parts[0]].sum(axis=0) >= MIN_IMAGES) & plain
    parts = (*parts[:2], min(parts[2], len(jpegs) - sum(parts[:2])))
    return {
        "jpegs": np.frombuffer(b"".join(jpegs), np.uint8), "ends": np.cumsum([len(jpeg) for jpeg in jpegs]),
        "labels": matrices[0][:, often], "true": matrices[1][:, often],
        "names": np.array(names)[often], "parts": np.array(parts),
    }  # fmt: skip
