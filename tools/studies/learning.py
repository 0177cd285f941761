"""The study behind the recipe `small`: does it learn as fast as a net of timm that costs as much?

    python tools/studies/learning.py runs/study --peer-python /path/with/torch/bin/python

Four sets of pictures: emoji of a vendor never seen, emoji never seen (make_emoji.py), two drawn boorus.
It trains, in this order and each with one thread:

steps        from the demo's network of before to `small`, a change at a time, a third of the presentations
grid         three learning rates of each side, a third of the presentations, both splits of the emoji
others       the other nets of timm of this size at three rates, likewise, the unseen vendor
rates        `small` at three rates and four warm-ups, likewise, with all pictures and with a quarter of them
sampling     `small` with repeat factors, at three thresholds, and without, likewise, the unseen vendor
confirm      ours and timm's best net, 48,640 presentations, both splits of the emoji, three seeds; a machine
             that is too slow for it takes --presentations and --seeds
drawn        ours and timm's best net on the two drawn boorus, 24,320 presentations
same         the same network in both, a tenth of the presentations, the cheapest with three seeds

A run that is there is not trained again, so the command continues where it was stopped; --report only writes
the tables and the figure of what is there: results/learning/ with runs.csv, curves.csv and curves.svg.
"""

import Utils.command.interrupt  # noqa: F401  first: imports take long

import argparse
import dataclasses
import itertools
import pathlib
import sys
import time
from collections.abc import Iterator, Sequence

from Utils.bench import learning, learning_curves, scripts
from Utils.bench.learning import Run, Shape
from Utils.command.backend import prepare_backend
from Utils.command.cli import Parser, WorkError, command, number
from Utils.command.machine import require_linux
from Utils.files import atomic, csv_tables
from Utils.recipe.recipe import Recipe, load_recipe

RESULTS = atomic.ROOT / "results" / "learning"
EMOJI, DRAWN = ("unseen_vendor", "unseen_emoji"), {"faces": (), "scenes": ("--style", "scenes")}
PEER = "resnet10t"  # of some 5 million weights, about as costly as `small`
FULL, THIRD, EVALUATIONS = 48_640, 16_256, 8
SIDES = ("ours", "timm")
RATES = {"ours": (1.5e-3, 3e-3, 6e-3), "timm": (3e-3, 6e-3, 1.2e-2)}
BEST = {"ours": 3e-3, "timm": 1.2e-2}  # by the part grid
BEST_OF_UNSEEN_EMOJI = {**BEST, "timm": 6e-3}
OTHERS = {
    "convnext_atto": (1e-3, 3e-3, 6e-3), "mobilenetv4_conv_small": (3e-3, 6e-3, 1.2e-2),
    "regnety_002": (3e-3, 6e-3, 1.2e-2), "vit_tiny_patch16_224": (3e-4, 1e-3, 3e-3),
}  # fmt: skip
# Networks that both sides have, and the rate at which both train them.
SAME = {
    "resnet10t": 3e-3, "resnet18": 3e-3, "resnet50": 3e-3, "convnext_atto": 1e-3, "eca_nfnet_l0": 1e-3,
    "vit_tiny_patch16_224": 1e-3,
}  # fmt: skip
_BEFORE = ("depths=1,1,1", "widths=64,128,256", "stem=convolutions", "pool_cells=2")
# The demo's network of before and what was changed, one after another: name -> (model options, prior).
STEPS: dict[str, tuple[tuple[str, ...], bool]] = {
    "before": (_BEFORE, False),
    "prior": (_BEFORE, True),
    "norm": ((*_BEFORE, "shortcut_norm=true"), True),
    "stage": (("depths=1,1,1,1", "stem=convolutions", "pool_cells=2", "shortcut_norm=true"), True),
    "stem": (("depths=1,1,1,1", "stem=deep", "pool_cells=2", "shortcut_norm=true"), True),
}
QUARTER = "unseen_vendor_quarter"  # the unseen vendor, with one of four pictures for training
WARMUPS = ("0 epochs", "0.2 epochs", "2 epochs", "1 epoch")  # of 4; the last is that of `small`
THRESHOLDS = (None, 0.005, 0.03)  # of repeat factors; None: the median of the tags' shares, here 0.00415
PARTS = ("steps", "grid", "others", "rates", "sampling", "confirm", "drawn", "same")


def parser() -> Parser:
    """Return the argument parser."""
    parser = Parser(prog="tools/studies/learning.py", description=__doc__)
    add = parser.add_argument
    add("output", metavar="OUT", help="folder of the datasets and the runs")
    add("--peer-python", default=sys.executable, metavar="PATH", help="Python with torch, torchvision, timm")
    add("--packages", metavar="DIR", help="where npm installs the emoji (OUT/packages)")
    add("--parts", nargs="+", choices=PARTS, default=list(PARTS), help="which parts to train (all)")
    add("--seeds", type=number(above=0), default=3, help="seeds of the part confirm (3)")
    add(
        "--presentations",
        type=number(above=0),
        nargs="+",
        default=[FULL],
        help=f"images seen in the part confirm, one length after another ({FULL})",
    )
    add("--report", action="store_true", help="train nothing, write results/learning/ of the runs there are")
    return parser


@command
def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit code."""
    require_linux("tools/studies/learning.py")
    options = parser().parse_args(argv)
    folder = pathlib.Path(options.output).resolve()
    runs = [run for part in options.parts for run in plan(part, folder, options.seeds, options.presentations)]
    if not options.report:
        make_datasets(folder, {run.dataset for run in runs}, options)
        started = time.monotonic()
        for place, run in enumerate(runs, 1):
            learning.train(run, folder / "runs", options.peer_python)
            minutes = (time.monotonic() - started) / 60
            print(f"{place} of {len(runs)} runs, {minutes:.0f} min: {run.name}", flush=True)
    write_report(folder, options.seeds, options.presentations)
    return 0


def plan(
    part: str, folder: pathlib.Path, seeds: int = 3, presentations: Sequence[int] = (FULL,)
) -> Iterator[Run]:
    """Yield the runs of a part of the study; seeds and presentations are those of the part confirm."""
    vendor, small = str(folder / EMOJI[0]), load_recipe("small")
    third = learning.with_presentations(small, THIRD, 4)
    if part == "steps":
        yield from _steps(vendor, third)
    if part == "grid":
        for name, side in itertools.product(EMOJI, SIDES):
            dataset = str(folder / name)
            yield from (learning.make_run(side, dataset, third, rate, 0, PEER) for rate in RATES[side])
    if part == "others":
        for peer, rates in OTHERS.items():
            yield from (learning.make_run("timm", vendor, third, rate, 0, peer) for rate in rates)
    if part == "rates":
        yield from _rates((str(folder / QUARTER), vendor), third)
    if part == "sampling":
        yield from _sampling(vendor, third)
    if part == "confirm":
        for images in presentations:
            points = EVALUATIONS if images >= FULL // 2 else EVALUATIONS // 2
            recipe = learning.with_presentations(small, images, points)
            for seed, name, side in itertools.product(range(seeds), EMOJI, SIDES):
                rate = (BEST_OF_UNSEEN_EMOJI if name == "unseen_emoji" else BEST)[side]
                yield learning.make_run(side, str(folder / name), recipe, rate, seed, PEER)
    if part == "drawn":
        recipe = learning.with_presentations(small, FULL // 2, EVALUATIONS)
        for name, side in itertools.product(DRAWN, SIDES):
            yield learning.make_run(side, str(folder / name), recipe, BEST[side], 0, PEER)
    if part == "same":
        yield from _same(vendor, learning.with_presentations(small, FULL // 10, 4))


def _steps(dataset: str, recipe: Recipe) -> Iterator[Run]:
    for name, (model_options, has_prior) in STEPS.items():
        changed = dataclasses.replace(recipe, model_options=model_options, prior_bias=has_prior)
        run = learning.make_run("ours", dataset, changed, 3e-3, 0)
        yield dataclasses.replace(run, name=f"{run.name}-{name}", model=f"{run.model} {name}")


def _rates(datasets: Sequence[str], recipe: Recipe) -> Iterator[Run]:
    for dataset, warmup, rate in itertools.product(datasets, WARMUPS, RATES["ours"]):
        run = learning.make_run("ours", dataset, dataclasses.replace(recipe, warmup=warmup), rate, 0)
        if warmup != recipe.warmup:
            name, model = f"{run.name}-warmup-{warmup.split()[0]}", f"{run.model} warm-up {warmup}"
            run = dataclasses.replace(run, name=name, model=model)
        yield run  # without a name of its own it is one of the part grid


def _sampling(dataset: str, recipe: Recipe) -> Iterator[Run]:
    yield learning.make_run("ours", dataset, recipe, BEST["ours"], 0)
    for threshold in THRESHOLDS:
        changed = dataclasses.replace(recipe, sampling="repeat_factor", sampling_threshold=threshold)
        run = learning.make_run("ours", dataset, changed, BEST["ours"], 0)
        suffix = "" if threshold is None else f"{threshold:g}"
        model = f"{run.model} repeat factors {suffix}".rstrip()
        yield dataclasses.replace(run, name=f"{run.name}-rfs{suffix}", model=model)


def _same(dataset: str, recipe: Recipe) -> Iterator[Run]:
    # Without the prior on our side: timm's classifiers start at 0, and networks are compared here.
    recipe = dataclasses.replace(recipe, prior_bias=False)
    for peer, rate in SAME.items():
        shape = learning.LIKE_TIMM.get(peer) or _shape_of_timm(peer)
        for seed, side in itertools.product(range(3 if peer == PEER else 1), SIDES):
            yield learning.make_run(side, dataset, recipe, rate, seed, peer, shape)


def _shape_of_timm(peer: str) -> Shape:
    prepare_backend()
    import Models  # here: it starts the backend, which only this part needs

    return learning.shape_of(*Models.shape_of_timm(peer))


def make_datasets(folder: pathlib.Path, needed: set[str], options: argparse.Namespace) -> None:
    """Make and pack the sets of pictures that are not there."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in (*EMOJI, QUARTER, *DRAWN):
        dataset = folder / name
        if str(dataset) not in needed or (dataset / "train").is_dir():
            continue
        packages = options.packages or folder / "packages"
        words, images = _drawn(folder, name) if name in DRAWN else _emoji(folder, name, packages)
        _tool("tools/select_tags.py", *words, "-o", dataset, "--overwrite")
        _tool("tools/write_records.py", dataset, "--images", images)


def _emoji(folder: pathlib.Path, name: str, packages: object) -> tuple[list[object], pathlib.Path]:
    """Make the emoji if they are not there; return words for select_tags, and where the pictures are."""
    emoji = folder / "emoji"
    if not emoji.exists():
        _tool("tools/studies/make_emoji.py", emoji, "--cache", packages)
    if name == QUARTER:
        _write_quarter(emoji)
    pictures = emoji / "pictures"
    return [emoji / f"{name}.toml", "--source", "sidecars", "--from", pictures], pictures


def _write_quarter(emoji: pathlib.Path) -> None:
    """Write the definition and the splits of QUARTER: every fourth training picture of the whole set."""
    columns = ("post_id", "split")
    rows = csv_tables.read_texts(emoji / f"{EMOJI[0]}_splits.csv", "a list of splits", columns)
    train = [row["post_id"] for row in rows if row["split"] == "train"]
    left_out = set(train) - set(train[::4])
    kept = [[row[name] for name in columns] for row in rows if row["post_id"] not in left_out]
    csv_tables.write_rows(emoji / f"{QUARTER}_splits.csv", columns, kept)
    text = (emoji / f"{EMOJI[0]}.toml").read_text(encoding="utf-8").replace(EMOJI[0], QUARTER)
    with atomic.replacing(emoji / f"{QUARTER}.toml") as beside:
        beside.write_text(text, encoding="utf-8")


def _drawn(folder: pathlib.Path, name: str) -> tuple[list[object], pathlib.Path]:
    """Draw a booru if it is not there; return as `_emoji` does."""
    booru = folder / f"booru-{name}"
    if not booru.exists():
        _tool("tools/make_demo_booru.py", booru, *DRAWN[name])
    images, source = booru / "512px", ("--source", "fire-eggs", "--from", booru / "danbooru.db")
    return [booru / "definition.toml", *source, "--images", images], images


def _tool(*words: object) -> None:
    print(" ".join(map(str, words)), flush=True)
    scripts.run(*map(str, words))


def write_report(folder: pathlib.Path, seeds: int, presentations: Sequence[int]) -> None:
    """Write results/learning/ of the runs that are finished, and print the table and the differences."""
    rows, lines, curves = [], [], {}
    groups: dict[str, dict[str, list[pathlib.Path]]] = {}
    for part in PARTS:
        places: dict[tuple[str, str, str, float], list[pathlib.Path]] = {}
        for run in plan(part, folder, seeds, presentations):
            place = folder / "runs" / run.name
            if place.exists():
                curves[run.name] = learning.curve(place)
                images = f"{curves[run.name][-1]['images']:,.0f} images"
                dataset = f"{pathlib.Path(run.dataset).name}, {images}"
                key = (dataset, run.side, run.model, run.recipe.learning_rate)
                places.setdefault(key, []).append(place)
        if not places:
            lines.append(f"\n{part}: no run is finished")
        scores = {}
        for (dataset, side, model, rate), same in places.items():
            row, scores[dataset, side] = learning_curves.row(dataset, side, model, rate, same)
            rows.append({"part": part, **row})
            if part in ("confirm", "drawn"):
                groups.setdefault(dataset, {})[f"{side} {model}, seeds: {len(same)}"] = same
        done = [row for row in rows if row["part"] == part]
        lines += [f"\n{part}", *learning_curves.text_table(done)] if done else []
        lines += differences(scores) if part in ("confirm", "drawn") else []
    if not rows:  # results of others are not replaced by an empty table
        raise WorkError(f"no run is finished in {folder}")
    RESULTS.mkdir(parents=True, exist_ok=True)
    csv_tables.write_rows(
        RESULTS / "runs.csv", ("part", *learning_curves.TABLE), [list(row.values()) for row in rows]
    )
    points = [[name, *point.values()] for name, curve in curves.items() for point in curve]
    csv_tables.write_rows(RESULTS / "curves.csv", ("run", *learning.CURVE), points)
    groups = {dataset: sides for dataset, sides in groups.items() if len(sides) > 1}
    if groups:
        with atomic.replacing(RESULTS / "curves.svg") as beside:
            beside.write_text(learning_curves.render(groups), encoding="utf-8")
    print("\n".join(lines))


def differences(scores: dict[tuple[str, str], learning_curves.SeedScores]) -> list[str]:
    """Return a line for each dataset that both sides were trained on; scores are by dataset and side."""
    return [
        learning_curves.difference_line(
            f"{dataset}, ours above timm's", scores[dataset, "timm"], scores[dataset, "ours"]
        )
        for dataset in dict.fromkeys(dataset for dataset, _ in scores)
        if {(dataset, "ours"), (dataset, "timm")} <= set(scores)
    ]


if __name__ == "__main__":
    sys.exit(main())
