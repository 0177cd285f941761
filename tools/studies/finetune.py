"""Study behind the rule of `train.py finetune`: one's own pictures, a base that lacks some of their tags.

    python tools/studies/finetune.py OUT [--only PATTERN] [--emoji EMOJI] [--table results/finetune/runs.csv]

A base is trained on pictures of a world without some of its tags (Utils/bench/finetune_worlds.py). Own
pictures of that world become a tagger by the commands that people type: select_tags and write_records with no
further words, then `train.py finetune`, or that with --probe, or the base's own recipe from scratch for as
many presentations. A seed draws the own pictures, and is that of the training. Scores are those on the test's
true tags. Every run has a result file in OUT/results and is not repeated.
"""

import Utils.command.interrupt  # noqa: F401  first: imports take long

import argparse
import itertools
import pathlib
import shutil
import sys
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import pandas as pd

from Utils.bench import finetune_worlds, scripts
from Utils.bench.finetune_worlds import EMOJI, HALF_OF_EMOJI, MOST_NEW, STYLES, World
from Utils.command.backend import prepare_backend
from Utils.command.cli import Parser, UserError, command, pattern
from Utils.data import dataset_folder
from Utils.evaluation.scores import rarest_third
from Utils.files import atomic, csv_tables
from Utils.images import codec
from Utils.recipe import finetuning
from Utils.recipe.recipe import Recipe

FREQUENT = 30  # training pictures of a new tag, from which on it is expected to be learned
SCRATCH = "scratch"
METHODS = {  # {name: words for `train.py finetune`}
    "rule": "",
    "probe": "--probe",
    "probe-6": "--probe --epochs 6",
    "probe-map": "--probe --head map",
    SCRATCH: "",
    "repeat": "--sampling repeat_factor",
    "probe-repeat": "--probe --sampling repeat_factor",
    "no-mixup": "--mixup-alpha 0",
    "body0.1": "--learned-rate-factor 0.1",
    "lamb": "--optimizer lamb --learning-rate 5e-4 --weight-decay 0.005 --learning-rate-batch-size 256 "
    "--learned-rate-factor 1 --best-by f1",
}
ROADS = ("rule", "probe", SCRATCH)
Setting = tuple[str, int, int, str, int]  # method, pictures, new tags, world, seed


def _runs(
    methods: Sequence[str],
    size: int,
    new: int,
    worlds: Sequence[str] = STYLES,
    seeds: Sequence[int] = (0, 1, 2),
) -> list[Setting]:
    return [(method, size, new, world, seed) for seed in seeds for world in worlds for method in methods]


# Those that tell the most come first: one world with all seeds, then others, then rare tags and other sizes.
GRID = tuple(
    itertools.chain(
        _runs(ROADS, 1000, 20, ["faces"]),
        _runs(["probe-6", "probe-map"], 1000, 20, ["faces"]),
        _runs(ROADS, 1000, 20, ["scenes"], [0]),
        _runs(ROADS, 1000, HALF_OF_EMOJI, [EMOJI], [0]),
        _runs([*ROADS, "repeat"], 300, 20, ["faces"]),
        _runs(["repeat"], 1000, 20, ["faces"]),
        _runs(ROADS, 1000, 20, ["scenes"], [1, 2]),
        _runs(ROADS, 1000, HALF_OF_EMOJI, [EMOJI], [1, 2]),
        _runs([*ROADS, "repeat"], 300, 20, ["scenes"]),
        _runs(["repeat"], 1000, 20, ["scenes"]),
        _runs(["repeat"], 1000, HALF_OF_EMOJI, [EMOJI]),
        *(_runs(ROADS, 1000, new) for new in (MOST_NEW, 5)),
        _runs(ROADS, 3000, 20),
        _runs(ROADS, 300, HALF_OF_EMOJI, [EMOJI]),
        *(_runs(ROADS, size, new) for size in (300, 3000) for new in (5, MOST_NEW)),
        _runs(["probe-repeat"], 1000, MOST_NEW),
        _runs(["probe-repeat"], 3000, MOST_NEW),
        _runs(["lamb", "no-mixup", "body0.1"], 300, 20),
    )
)


def probabilities(model: pathlib.Path, world: World, posts: np.ndarray) -> pd.DataFrame:
    """Return what a model gives for pictures of a world: a row for each, a column for each of its tags."""
    import Models

    tagger = Models.load(model)
    assert tagger.tags is not None
    images = np.stack([codec.prepare(world.jpegs[post], tagger.image_size) for post in posts])
    return pd.DataFrame(tagger.model.predict(images, batch_size=50, verbose=0), columns=tagger.tags["name"])  # pyright: ignore[reportArgumentType]


def group_scores(p: np.ndarray, y: np.ndarray, rare: Sequence[int] = ()) -> dict[str, Any]:
    """Return micro and macro F1 where as many are predicted as true, and the tags never predicted.

    Also the macro F1 of the columns ``rare`` there. ``low`` and ``high`` end the 95% interval of micro F1:
    a bootstrap of pictures at that threshold.
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
    of_rare = {"rare": float(f1[[column for column in rare if y[:, column].any()]].mean())} if rare else {}
    return {
        "count": y.shape[1], "micro": float(micro), "low": float(low), "high": float(high), "macro": macro,
        "never": never, **of_rare,
    }  # fmt: skip


def scores(
    after: pd.DataFrame, before: pd.DataFrame, true: pd.DataFrame, training: pd.Series
) -> dict[str, Any]:
    """Return the scores of groups of tags, each at its own threshold.

    Args:
        after, before: probabilities of the new model and of the base.
        true: (N, T) bool, a column for each tag of the world.
        training: training pictures of each tag of the new model.

    ``kept`` are the tags of both, ``before`` the same by the base; ``new`` are the others, ``frequent`` those
    of them with ``FREQUENT`` training pictures. ``all`` also has the score of the rarest third of them.
    """
    kept = [name for name in after if name in before]
    new = [name for name in after if name not in before]
    often = set(training.index[training >= FREQUENT])
    frequent = [name for name in new if name in often]
    rare = rarest_third(training.reindex(after.columns).to_numpy()).tolist()
    groups = {
        "kept": (after, kept),
        "before": (before, kept),
        "new": (after, new),
        "frequent": (after, frequent),
    }
    return {
        group: group_scores(model[names].to_numpy(), true[names].to_numpy())
        for group, (model, names) in groups.items()
        if names
    } | {"all": group_scores(after.to_numpy(), true[list(after)].to_numpy(), rare)}


def words_of(method: str, base: pathlib.Path, data: pathlib.Path) -> list[Any]:
    """Return the words for train.py: recipe and flags."""
    if method != SCRATCH:
        return ["finetune", "--init-from", base, "--tracker", "none", *METHODS[method].split()]
    made = dataset_folder.load(data)
    counts = [made.num_records(split) for split in ("train", "validation")]
    situation = finetuning.Situation(counts[0], kept=1, new=1, image_size=64, validation=counts[1])
    epochs = finetuning.apply(Recipe(), finetuning.choose(situation)).epochs
    return [*finetune_worlds.DEMO.split(), "--epochs", epochs]


def result(options: argparse.Namespace, setting: Setting) -> dict[str, Any]:
    """Return the result of a run: its file's, or that of a new run."""
    method, size, num_new, world_name, seed = setting
    file = _result_file(options, setting)
    if file.is_file():
        return atomic.read_json(file, dict)
    folder = options.output / world_name
    world = finetune_worlds.load(folder, world_name, options.emoji)
    base = finetune_worlds.base_of(world, folder, folder / "base.log")
    posts, columns = world.own_posts(size, num_new, seed), world.columns(num_new)
    data = finetune_worlds.dataset(folder / f"own-{size}-{num_new}-{seed}", world, posts, columns)
    run_dir = options.output / "runs" / file.stem
    shutil.rmtree(run_dir, ignore_errors=True)
    run_dir.parent.mkdir(exist_ok=True)
    words = [*words_of(method, base, data), "--seed", seed, "--dataset", data, "--run-dir", run_dir]
    cost = scripts.timed("train.py", *words, log=run_dir.with_suffix(".log"))
    test = world.posts(2)
    true = pd.DataFrame(world.true[test], columns=world.names)
    before, after = (probabilities(model, world, test) for model in (base, run_dir))
    training = pd.read_csv(data / dataset_folder.TAG_SPLITS).set_index("name")["train"]
    facts = {
        "method": method, "pictures": size, "new_tags": num_new, "world": world_name, "seed": seed, **cost,
        **scores(after, before, true, training),
    }  # fmt: skip
    atomic.write_json(file, facts)
    shutil.rmtree(run_dir / "features", ignore_errors=True)
    return facts


def _result_file(options: argparse.Namespace, setting: Setting) -> pathlib.Path:
    return options.output / "results" / f"{'-'.join(map(str, setting))}.json"


def rows_of(results: Iterable[dict[str, Any]]) -> pd.DataFrame:
    """Return a row for each run."""
    rows = []
    for facts in results:
        row = {key: facts[key] for key in ("method", "pictures", "new_tags", "world", "seed")}
        for group in ("new", "frequent", "kept", "before", "all"):
            values = {f"{group}_{name}": value for name, value in facts.get(group, {}).items()}
            row |= {name: round(value, 4) for name, value in values.items()}
        rows.append({**row, **{name: round(facts[name], 1) for name in ("seconds", "cpu_seconds")}})
    return pd.DataFrame(rows)


def summary(rows: pd.DataFrame) -> str:
    """Return a table in Markdown: means over seeds, and in brackets the lowest and the highest of them.

    Shares are those of `finetune` by the rule with the same pictures; processor time is that of the process.
    """
    keys = ["world", "pictures", "new_tags", "seed"]
    rule = rows[rows["method"] == "rule"].set_index(keys)[["new_micro", "cpu_seconds"]].add_prefix("rule_")
    rows = rows.join(rule, on=keys)
    rows["share"] = rows["new_micro"] / rows["rule_new_micro"]
    rows["time"] = rows["cpu_seconds"] / rows["rule_cpu_seconds"]
    rows["lost"] = rows["kept_micro"] - rows["before_micro"]
    lines = [
        "| world | pictures | new tags | road | seeds | new, micro F1 | of the rule's | new, macro F1 "
        "| 30+ pictures | kept, change | CPU s | of the rule's |",
        "|:--|--:|--:|:--|--:|--:|--:|--:|--:|--:|--:|--:|",
    ]
    order = {method: place for place, method in enumerate(METHODS)}
    rows["order"] = rows["method"].map(order)
    for (world, size, new, _, method), group in rows.groupby(
        ["world", "pictures", "new_tags", "order", "method"]
    ):
        columns = ("new_micro", "share", "new_macro", "frequent_micro", "lost", "cpu_seconds", "time")
        cells = [
            _spread(group[name], signed=name == "lost", digits=name != "cpu_seconds") for name in columns
        ]
        words = [world, f"{size:,}", new, f"`{method}`", len(group), *cells]
        lines.append(f"| {' | '.join(map(str, words))} |")
    return "\n".join(lines)


def _spread(values: pd.Series, signed: bool, digits: bool) -> str:
    spelled = f"{{:{'+' if signed else ''}.{3 if digits else 0}f}}".format
    if len(values) < 2:
        return spelled(values.mean())
    return f"{spelled(values.mean())} ({spelled(values.min())} to {spelled(values.max())})"


def parser() -> Parser:
    """Return the parser of the command line."""
    command_line = Parser(prog="tools/studies/finetune.py", description=__doc__)
    command_line.add_argument("output", metavar="OUT", type=pathlib.Path)
    command_line.add_argument("--emoji", metavar="EMOJI", type=pathlib.Path, help="pictures of make_emoji.py")
    command_line.add_argument("--table", metavar="CSV", type=pathlib.Path, help="write a row for each run")
    command_line.add_argument("--done", action="store_true", help="only runs that have been done")
    command_line.add_argument(
        "--only", type=pattern, default="", metavar="PATTERN", help="runs whose name matches this"
    )
    return command_line


@command
def main(argv: list[str] | None = None) -> None:
    """Make worlds and bases, do the runs that are missing, print the table."""
    options = parser().parse_args(argv)
    prepare_backend()
    options.output = options.output.resolve()
    results: list[dict[str, Any]] = []
    for setting in GRID:
        file = _result_file(options, setting)
        is_possible = file.is_file() or (
            not options.done and (setting[3] != EMOJI or options.emoji is not None)
        )
        if is_possible and options.only.search(file.stem):
            results.append(result(options, setting))
            print(_line(file.stem, results[-1]), flush=True)
    if not results:
        raise UserError("no run fits --done and --only; emoji need --emoji")
    rows = rows_of(results)
    if options.table:
        csv_tables.write_frame(options.table, rows)
    print(summary(rows))


def _line(name: str, facts: dict[str, Any]) -> str:
    new, kept = facts["new"], facts["kept"]
    return (
        f"{name:<28} new {new['micro']:.3f} macro {new['macro']:.3f} never {new['never']:>2}  kept "
        f"{facts['before']['micro']:.3f} -> {kept['micro']:.3f}  {facts['seconds']:.0f} s, CPU "
        f"{facts['cpu_seconds']:.0f} s"
    )


if __name__ == "__main__":
    sys.exit(main())
