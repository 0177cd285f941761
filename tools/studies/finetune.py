"""Study behind the rule of `train.py finetune`: one's own pictures, a base that lacks some of their tags.

    python tools/studies/finetune.py OUT [--only PATTERN] [--emoji EMOJI] [--table results/finetune/runs.csv]

A world is a drawn booru: its posts are split into those of the base, of one's own pictures, and of a test
whose true tags are known. The base is trained without the new tags; own datasets have 300, 1,000 or 3,000
pictures and 5, 20 or 60 new tags. Every run has a result file in OUT/results and is not repeated.
"""

import Utils.command.interrupt  # noqa: F401  first: imports take long

import argparse
import contextlib
import csv
import pathlib
import re
import shutil
import sqlite3
import subprocess
import sys
import time
from typing import Any

import numpy as np
import pandas as pd

from Utils.command.backend import prepare_backend
from Utils.command.cli import Parser, WorkError, command
from Utils.files import atomic, csv_tables, tfrecord
from Utils.images import codec
from Utils.recipe import finetuning
from Utils.recipe.recipe import Recipe
from Utils.tags import tag_list

SIDE = 72  # of stored pictures; models see 64
BASE_POSTS, BASE_HELD, OWN_POSTS, TEST_POSTS = 3600, 300, 3400, 1000
MOST_NEW = 60
MIN_IMAGES = 30  # of the base's posts with a tag
EMOJI = "emoji"  # the world of tools/studies/make_emoji.py; the others are named by their seed
BASE_VENDORS, OWN_VENDOR = ("apple", "google", "noto-v1"), "twitter"
# The network and the settings of `make demo` at the time of the study, all named: recipes move on.
DEMO = """demo --tracker none --keep-checkpoints 1 --checkpoint-every 1000m --image-size 64 --model ResNet/18
--model-options depths=1,1,1 widths=64,128,256 stem=convolutions pool_cells=2 --stochastic-depth 0 --dropout 0
--batch-size-per-device 32 --epochs 12 --rotation 0 --crop 0.9 1.0 --methods area --mixup-alpha 0 --loss bce
--optimizer adamw --learning-rate 3e-3 --learning-rate-batch-size 32 --schedule cosine --warmup 1epoch
--weight-decay 0.05 --ema 0 --label-smoothing 0"""


def _posts(booru: pathlib.Path) -> tuple[list[str], dict[int, set[str]], dict[int, set[str]], pd.DataFrame]:
    """Return paths, labels by post, true tags by post and the tags of a drawn booru, posts that have both."""
    with contextlib.closing(sqlite3.connect(booru / "danbooru.db")) as database:
        tags = pd.read_sql("SELECT tag_id, name, category, count FROM tags", database)
        names = dict(zip(tags["tag_id"], tags["name"], strict=True))
        labels: dict[int, set[str]] = {}
        for post, tag in database.execute("SELECT image_id, tag_id FROM imageTags"):
            labels.setdefault(post, set()).add(names[tag])
    with (booru / "truth.csv").open() as file:
        truth = {int(row["image_id"]): set(row["tags"].split()) for row in csv.DictReader(file)}
    copies = set(pd.read_csv(booru / "duplicates.csv")["image_id"])
    posts = sorted(set(labels) & set(truth) - copies)
    return [f"512px/{post % 1000:04}/{post}.jpg" for post in posts], labels, truth, tags


def draw_world(folder: pathlib.Path, seed: int) -> None:
    """Draw a booru and keep its posts as small JPEGs with their labels: ``world.npz`` and ``tags.csv``."""
    booru = folder / "booru"
    if not booru.exists():
        drawn = ["tools/make_demo_booru.py", booru, "--images", "8600", "--seed", str(seed)]
        subprocess.run([sys.executable, *map(str, drawn)], cwd=atomic.ROOT, check=True)
    paths, labels, truth, tags = _posts(booru)
    order = np.random.default_rng(seed).permutation(len(paths))
    jpegs, ids = [], []
    for index in order:
        with contextlib.suppress(codec.ImageError, OSError):
            jpegs.append(codec.to_stored_jpeg((booru / paths[index]).read_bytes(), SIDE))
            ids.append(int(pathlib.Path(paths[index]).stem))
    tags = tags[tags["category"].isin([0, 3, 4])]
    matrix = np.array([[name in labels[post] for name in tags["name"]] for post in ids])
    true = np.array([[name in truth[post] for name in tags["name"]] for post in ids])
    often = matrix[:BASE_POSTS].sum(axis=0) >= MIN_IMAGES
    tags = tags[often].assign(count=matrix[:BASE_POSTS].sum(axis=0)[often])
    tag_list.write(tags.reset_index(drop=True), folder / "tags.csv")
    with atomic.replacing(folder / "world.npz") as beside:
        np.savez(beside, jpegs=np.array(jpegs, object), labels=matrix[:, often], true=true[:, often], ids=ids)


def read_emoji(folder: pathlib.Path, emoji: pathlib.Path) -> None:
    """Make the same files of emoji: those of some vendors are the base's, those of another one's own."""
    pictures = emoji / "pictures"
    paths = [path for vendor in BASE_VENDORS for path in sorted((pictures / vendor).glob("*.png"))]
    own = sorted((pictures / OWN_VENDOR).glob("*.png"))
    own = [own[place] for place in np.random.default_rng(0).permutation(len(own))]
    base_posts, paths = len(paths), [*paths, *own]
    captions = [path.with_suffix(".txt").read_text(encoding="utf-8").splitlines() for path in paths]
    names = sorted({name for caption in captions for name in caption if ":" not in name})
    matrix = np.array([[name in caption for name in names] for caption in map(set, captions)])
    often = matrix[:base_posts].sum(axis=0) >= MIN_IMAGES
    tags = pd.DataFrame({"tag_id": map(tag_list.name_id, names), "name": names, "category": 0})[often]
    tag_list.write(tags.assign(count=matrix[:base_posts, often].sum(axis=0)), folder / "tags.csv")
    jpegs = np.array([codec.to_stored_jpeg(path.read_bytes(), SIDE) for path in paths], object)
    with atomic.replacing(folder / "world.npz") as beside:
        np.savez(
            beside, jpegs=jpegs, labels=matrix[:, often], true=matrix[:, often], ids=np.arange(len(paths)),
            counts=(base_posts, 1000),
        )  # fmt: skip


class World:
    """Pictures of the base, one's own and a test, their labels and true tags, and tags that the base lacks.

    Args:
        folder: where it is, or will be.
        name: the seed of a drawn world, whose labels lack a tenth, or "emoji".
        emoji: folder of tools/studies/make_emoji.py.
    """

    def __init__(self, folder: pathlib.Path, name: str, emoji: pathlib.Path | None = None) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        if not (folder / "world.npz").is_file():
            if name == EMOJI:
                assert emoji is not None
                read_emoji(folder, emoji)
            else:
                draw_world(folder, int(name))
        self.folder, self.seed = folder, 0 if name == EMOJI else int(name)
        with np.load(folder / "world.npz", allow_pickle=True) as stored:
            self.jpegs, self.labels = stored["jpegs"], stored["labels"]
            self.true, self.ids = stored["true"], stored["ids"]
            counts = stored["counts"].tolist() if "counts" in stored else (BASE_POSTS, OWN_POSTS)
        self.base_posts, self.own_posts = counts
        self.tags = tag_list.read(folder / "tags.csv")
        most = len(self.tags) // 2 if name == EMOJI else MOST_NEW
        self.new = np.random.default_rng([self.seed, 1]).permutation(len(self.tags))[:most]

    def write(self, folder: pathlib.Path, tags: np.ndarray, **splits: tuple[np.ndarray, np.ndarray]) -> None:
        """Write a dataset as the original project's, with the columns ``tags``; {split: (posts, labels)}."""
        if folder.exists():
            return
        with contextlib.ExitStack() as stack:
            beside = folder.with_name(f".{folder.name}")
            for split, (posts, labels) in splits.items():
                (beside / split).mkdir(parents=True, exist_ok=True)
                writer = stack.enter_context(tfrecord.Writer(beside / split / f"{split}-0.tfrecord"))
                for post in posts:
                    found = np.flatnonzero(labels[post, tags]).tolist()
                    writer.write_record(tfrecord.encode_example(int(self.ids[post]), self.jpegs[post], found))
        frame = self.tags.iloc[tags].reset_index(drop=True)
        tag_list.write(frame.assign(count=labels[:, tags].sum(axis=0)), beside / "selected_tags.csv")
        beside.rename(folder)

    def base(self) -> pathlib.Path:
        """Write the base's dataset: without the new tags."""
        posts, folder = np.arange(self.base_posts), self.folder / "base_data"
        if len(posts) > BASE_POSTS:  # emoji lie vendor by vendor
            posts = np.random.default_rng(0).permutation(posts)
        tags = np.setdiff1d(np.arange(len(self.tags)), self.new)
        held, rest = posts[:BASE_HELD], posts[BASE_HELD:]
        self.write(folder, tags, train=(rest, self.labels), validation=(held, self.labels))
        return folder

    def own(self, size: int, num_new: int) -> pathlib.Path:
        """Write own pictures: a tenth for validation; the test has true tags."""
        folder = self.folder / f"own_{size}_{num_new}"
        tags = np.setdiff1d(np.arange(len(self.tags)), self.new[num_new:])
        posts = self.base_posts + np.arange(size)
        test = self.base_posts + self.own_posts + np.arange(TEST_POSTS)
        held = size // 10
        self.write(folder, tags, train=(posts[held:], self.labels), validation=(posts[:held], self.labels),
                   test=(test[test < len(self.jpegs)], self.true))  # fmt: skip
        return folder


def scores(model: pathlib.Path, data: pathlib.Path, base_tags: pd.DataFrame) -> dict[str, Any]:
    """Return the scores of kept and of new tags on the test split, each group at its own P = R threshold."""
    import Generators
    import Models

    tagger, tags = Models.load(model), tag_list.read(data / "selected_tags.csv")
    assert tagger.tags is not None
    batches = Generators.eval_dataset(
        f"{data}/test/*", num_labels=len(tags), image_size=tagger.image_size, batch_size=50
    )
    rows = tag_list.matching_rows(tags, tagger.tags)
    probabilities, labels = [], []
    for images, true in batches:
        outputs = np.asarray(tagger.model.predict_on_batch(images.numpy()))
        probabilities.append(np.where(rows >= 0, outputs[:, rows], 0))
        labels.append(true.numpy())
    p, y = np.concatenate(probabilities), np.concatenate(labels) > 0.5
    is_new = tag_list.matching_rows(tags, base_tags) < 0
    result: dict[str, Any] = {}
    for group, columns in (("kept", ~is_new), ("new", is_new & (rows >= 0))):
        if columns.any():
            result[group] = group_scores(p[:, columns], y[:, columns])
    return result


def group_scores(p: np.ndarray, y: np.ndarray) -> dict[str, Any]:
    """Return micro and macro F1 where as many are predicted as true, and the tags never predicted.

    ``low`` and ``high`` end the 95% interval of micro F1 over pictures: a bootstrap at that threshold.
    """
    threshold = np.partition(p.ravel(), -int(y.sum()) - 1)[-int(y.sum()) - 1]
    predicted = p > threshold
    hits = (predicted & y).sum(axis=0)
    f1 = 2 * hits / np.maximum(predicted.sum(axis=0) + y.sum(axis=0), 1)
    micro = 2 * hits.sum() / (predicted.sum() + y.sum())
    never = int((~predicted.any(axis=0) & y.any(axis=0)).sum())
    macro = float(f1[y.any(axis=0)].mean())
    counts = np.stack([2 * (predicted & y).sum(axis=1), predicted.sum(axis=1) + y.sum(axis=1)])
    rows = np.random.default_rng(0).integers(len(y), size=(1000, len(y)))
    resampled = counts[:, rows].sum(axis=2)
    low, high = np.quantile(resampled[0] / np.maximum(resampled[1], 1), (0.025, 0.975))
    return {
        "tags": y.shape[1], "micro": float(micro), "low": float(low), "high": float(high), "macro": macro,
        "never": never,
    }  # fmt: skip


def train(words: str, data: pathlib.Path, run: pathlib.Path) -> float:
    """Run train.py; return its seconds, the start of the process included."""
    begin = time.perf_counter()
    arguments = [*words.split(), "--dataset", str(data), "--run-dir", str(run)]
    done = subprocess.run([sys.executable, "train.py", *arguments], cwd=atomic.ROOT, stderr=subprocess.PIPE)
    (run / "log.txt").write_bytes(done.stderr)
    if done.returncode:
        raise WorkError(f"{words}: {done.stderr.decode()[-2000:]}")
    return time.perf_counter() - begin


# Settings by hand: {name: (flags, presentations of a picture set of 300, 1,000 or 3,000)}
USUAL = {300: 8000, 1000: 12000, 3000: 21600}
HAND = "--optimizer adamw --learning-rate-batch-size 0 --weight-decay 0.05 --mixup-alpha 0 --image-size 64"
LEARNED = f"{HAND} --learning-rate 3e-3 --best-by balanced_f1 --learned-rate-factor"
METHODS: dict[str, tuple[str, float]] = {
    "lamb": ("--optimizer lamb --learning-rate 5e-4 --weight-decay 0.005 --mixup-alpha 0.2 --image-size 64 "
             "--learning-rate-batch-size 256 --learned-rate-factor 1 --best-by f1", 1),
    "learned1": (f"{LEARNED} 1", 1),
    "learned.3": (f"{LEARNED} 0.3", 1),
    "learned.1": (f"{LEARNED} 0.1", 1),
    "learned.03": (f"{LEARNED} 0.03", 1),
    "rate1e-2": (f"{LEARNED} 0.03 --learning-rate 1e-2", 1),
    "rate1e-3": (f"{LEARNED} 0.3 --learning-rate 1e-3", 1),
    "mixup": (f"{LEARNED} 0.1 --mixup-alpha 0.2", 1),
    "small": (f"{LEARNED} 0.03 --mixup-alpha 0.2", 1),
    "half": (f"{LEARNED} 0.1", 0.5),
    "double": (f"{LEARNED} 0.1", 2),
    "scratch": ("", 1),
    "rule": ("", 0),
    "probe": ("--probe", 0),
}  # fmt: skip


def result(options: argparse.Namespace, method: str, size: int, num_new: int, name: str) -> dict[str, Any]:
    """Return the result of a run: its file's, or that of a new run."""
    seed = 0 if name == EMOJI else int(name)
    world_name, name = name, f"{method}-{size}-{num_new}-{name}"
    file = options.output / "results" / f"{name}.json"
    world_folder, run = options.output / f"world{world_name}", options.output / "runs" / name
    if file.is_file():
        return atomic.read_json(file, dict)
    world, base = World(world_folder, world_name, options.emoji), world_folder / "base"
    data = world.own(size, num_new)
    shutil.rmtree(run, ignore_errors=True)
    run.mkdir(parents=True)
    words, amount = METHODS[method]
    epochs = f"--epochs {max(2, round(amount * USUAL[size] / (0.9 * size)))}" if amount else ""
    if method == "scratch":
        records = size - size // 10
        situation = finetuning.Situation(records=records, kept=1, new=num_new, image_size=64)
        epochs = f"--epochs {finetuning.apply(Recipe(), finetuning.choose(situation)).epochs}"
        words = f"{DEMO} --seed {seed} {epochs}"
    else:
        words = (
            f"finetune --init-from {base} --tracker none --seed {seed} --keep-checkpoints 1 {words} {epochs}"
        )
    seconds = train(words, data, run / "run")
    facts = {"method": method, "size": size, "new_tags": num_new, "world": world_name, "seconds": seconds}
    begun, ended = ((run / "run" / name).stat().st_mtime for name in ("recipe.json", "history.csv"))
    facts["work_seconds"] = ended - begun  # without the start of the process and the building of the model
    tags = tag_list.read(base / "selected_tags.csv")
    facts |= {"before": scores(base, data, tags)["kept"], **scores(run / "run", data, tags)}
    facts["last"] = scores(run / "run" / "model.keras", data, tags)
    atomic.write_json(file, facts)
    return facts


SETTINGS = (
    *((method, 300, 20, "0") for method in ("lamb", "learned.1", "learned.03", "mixup", "small")),
    *((method, 1000, 20, "0") for method in ("mixup", "small")),
)
ROADS = tuple(
    (method, *setting)
    for setting in (
        (300, 20, "0"), (1000, 20, "0"), (300, 20, "1"), (1000, 100, EMOJI), (3000, 20, "0"), (1000, 20, "1"),
        (300, 20, "2"), (1000, 20, "2"), (1000, 60, "0"), (1000, 5, "0"),
    )
    for method in ("rule", "probe", "scratch")
)  # fmt: skip
GRID = SETTINGS + ROADS


def parser() -> Parser:
    """Return the parser of the command line."""
    command_line = Parser(prog="tools/studies/finetune.py", description=__doc__)
    command_line.add_argument("output", metavar="OUT", type=pathlib.Path)
    command_line.add_argument("--emoji", metavar="EMOJI", type=pathlib.Path, help="pictures of make_emoji.py")
    command_line.add_argument("--table", metavar="CSV", type=pathlib.Path, help="write the table of all runs")
    command_line.add_argument("--done", action="store_true", help="only runs that have been done")
    command_line.add_argument("--only", default="", metavar="PATTERN", help="runs whose name matches this")
    return command_line


def write_table(path: pathlib.Path, results: list[dict[str, Any]]) -> None:
    """Write a row for each run."""
    rows = [
        {
            "method": facts["method"], "pictures": facts["size"], "new_tags": facts["new"]["tags"],
            "kept_tags": facts["before"]["tags"], "world": facts.get("world", "0"),
            **{f"new_{name}": _rounded(value) for name, value in facts["new"].items() if name != "tags"},
            "kept_before": _rounded(facts["before"]["micro"]),
            **{f"kept_{name}": _rounded(facts["kept"][name]) for name in ("micro", "low", "high")},
            "seconds": round(facts["seconds"]), "work_seconds": round(facts.get("work_seconds", 0)) or "",
        }
        for facts in results
    ]  # fmt: skip
    csv_tables.write_frame(path, pd.DataFrame(rows))


def _rounded(value: float) -> float | int:
    return round(value, 4)


@command
def main(argv: list[str] | None = None) -> None:
    """Make worlds and bases, do the runs that are missing, print the table."""
    options = parser().parse_args(argv)
    prepare_backend()
    options.output = options.output.resolve()
    results: list[dict[str, Any]] = []
    for method, size, num_new, name in GRID:
        if (
            options.done
            and not (options.output / "results" / f"{method}-{size}-{num_new}-{name}.json").is_file()
        ):
            continue
        if name == EMOJI and options.emoji is None:
            continue
        if not re.search(options.only, f"{method}-{size}-{num_new}-{name}"):
            continue
        base = options.output / f"world{name}" / "base"
        if not (base / "model.keras").is_file():
            world = World(base.parent, name, options.emoji)
            seconds = train(f"{DEMO} --seed {world.seed}", world.base(), base)
            print(f"base of world {name}: {seconds:.0f} s", flush=True)
        results.append(result(options, method, size, num_new, name))
        print(_line(results[-1]), flush=True)
    if options.table:
        write_table(options.table, results)


def _line(facts: dict[str, Any]) -> str:
    new, kept, world = facts["new"], facts["kept"], facts.get("world", "0")
    return (
        f"{facts['method']:<9}{facts['size']:>5}{facts['new_tags']:>4} {world}"
        f"  new {new['micro']:.3f} macro {new['macro']:.3f} never {new['never']:>2} (last "
        f"{facts['last']['new']['micro']:.3f})  kept {facts['before']['micro']:.3f} -> {kept['micro']:.3f} "
        f"(last {facts['last']['kept']['micro']:.3f})  {facts['seconds']:.0f} s, "
        f"{facts.get('work_seconds', 0):.0f} of work"
    )


if __name__ == "__main__":
    sys.exit(main())
