"""F1 over images seen and over CPU seconds: of a recipe, and of timm's model on the same pictures, the peer.

Both sides get the same pictures, presentations, augmentation, optimizer, schedule and seeds, those of a
recipe. The peer is trained as a user of timm writes it (peers/timm_training.py), by the interpreter that
--peer-python names. A run has one thread and becomes a folder below -o, so the same command continues.
"""

import argparse
import dataclasses
import pathlib
import subprocess
import sys
from typing import Any

from Utils.bench import learning, learning_curves, scripts, timm_peer
from Utils.bench.learning import Shape
from Utils.command.cli import Parser, UserError, number
from Utils.data import dataset_folder
from Utils.files import csv_tables
from Utils.files.atomic import replacing
from Utils.recipe.recipe import Recipe, load_recipe, recipe_names


def add_arguments(parser: Parser) -> None:
    """Declare the options."""
    add = parser.add_argument
    add("--data", required=True, metavar="PATH", help="dataset folder, or a folder of captioned pictures")
    recipes = [name for name in recipe_names() if load_recipe(name).model]
    add("--recipe", default="small", choices=recipes, help="settings of both sides (small)")
    add("--model", metavar="FAMILY/VARIANT", help="our model, if it is not the recipe's")
    add("--peer", metavar="timm|timm:NAME", help="train timm's model of the same shape too, or any other")
    add("--peer-python", metavar="PATH", help="Python that has torch and timm (this one)")
    add("--same", action="store_true", help="train ours in the very shape of the peer's")
    add("--learning-rates", type=number(float, above=0), nargs="+", help="peak rates to try (the recipe's)")
    add("--seeds", type=number(least=0), nargs="+", default=[0], help="seeds of every run (0)")
    add("--image-size", type=number(above=0), help="side of the images (the recipe's)")
    add("--presentations", type=number(above=0), default=48640, help="images seen by a run (48640)")
    add("--evaluations", type=number(above=0), default=8, help="points of a curve (8)")
    add("-o", "--output", default="runs/learn", metavar="DIR", help="where the runs are kept (runs/learn)")


def run_benchmark(options: argparse.Namespace) -> dict[str, Any]:
    """Train every run that is missing; return figures in percent, the table, and its differences."""
    if options.same and not options.peer:
        raise UserError("--same needs --peer: ours takes the shape of timm's model")
    if options.peer_python and not options.peer:
        raise UserError("--peer-python is of the peer; name one with --peer timm")
    options.peer_python = options.peer_python or sys.executable
    folder = pathlib.Path(options.output).resolve()  # the commands run elsewhere, in the project's folder
    folder.mkdir(parents=True, exist_ok=True)
    dataset = _dataset(pathlib.Path(options.data).resolve(), folder)
    recipe = learning.with_presentations(
        load_recipe(options.recipe), options.presentations, options.evaluations
    )
    if options.image_size:
        recipe = dataclasses.replace(recipe, image_size=options.image_size)
    if options.model:
        recipe = dataclasses.replace(recipe, model=options.model, model_options=())
    peer = _peer_name(options, recipe) if options.peer else ""
    shape = shape_of_peer(peer) if options.same else None
    rates = options.learning_rates or [recipe.peak_learning_rate(recipe.batch_size_per_device)]
    rows, scores, groups = [], {}, {}
    for rate in rates:
        for side in ("ours", "timm") if peer else ("ours",):
            runs = [
                learning.make_run(
                    side, str(dataset), recipe, rate, seed, peer, shape if side == "ours" else None
                )
                for seed in options.seeds
            ]
            places = [learning.train(run, folder, options.peer_python) for run in runs]
            line, score = learning_curves.row(dataset.name, side, runs[0].model, rate, places)
            rows.append(line)
            scores[side, rate] = score
            groups[f"{side} {runs[0].model}, {rate:g}"] = places
    csv_tables.write_rows(folder / "learn.csv", learning_curves.TABLE, [row.values() for row in rows])
    with replacing(folder / "learn.svg") as beside:
        beside.write_text(learning_curves.render({dataset.name: groups}), encoding="utf-8")
    return _result(options, rows, scores)


def _result(
    options: argparse.Namespace, rows: list[dict[str, Any]], scores: dict[Any, Any]
) -> dict[str, Any]:
    """Return the benchmark's result: each side at its best learning rate."""
    best = {}
    for (side, rate), score in scores.items():
        if (
            side not in best
            or score.mean.values["micro_F1"] > scores[side, best[side]].mean.values["micro_F1"]
        ):
            best[side] = rate
    ratios, lines = {}, learning_curves.text_table(rows)
    if "timm" in best:
        ours, theirs = (scores[side, best[side]] for side in ("ours", "timm"))
        lines.append(learning_curves.difference_line("ours above timm, each at its best rate", theirs, ours))
        seconds = {
            row["side"]: row["cpu_seconds"]
            for row in rows
            if row["learning_rate"] == f"{best[row['side']]:g}"
        }
        ratios = {
            "micro F1, ours to timm": ours.mean.values["micro_F1"] / theirs.mean.values["micro_F1"],
            "CPU seconds, ours to timm": seconds["ours"] / seconds["timm"],
        }
    setup = {"data": options.data, "recipe": options.recipe, "presentations": options.presentations}
    setup |= {"seeds": " ".join(map(str, options.seeds)), "threads": 1}
    figures = {
        f"{side} {name}": 100 * scores[side, rate].mean.values[f"{name}_F1"]
        for side, rate in best.items()
        for name in ("micro", "macro")
    }
    return {
        "part": "learn", "unit": "% F1", "setup": setup, "figures": figures, "ratios": ratios,
        "rows": rows, "lines": lines,
    }  # fmt: skip


def shape_of_peer(peer: str) -> Shape:
    """Return ``(Family/Variant, model options)`` of ours that has the layers of timm's model."""
    if peer in learning.LIKE_TIMM:
        return learning.LIKE_TIMM[peer]
    from Utils.command.backend import prepare_backend

    prepare_backend()
    import Models

    return learning.shape_of(*Models.shape_of_timm(peer))


def _peer_name(options: argparse.Namespace, recipe: Recipe) -> str:
    """Return the name of timm's model; UserError where it or its interpreter is missing."""
    library, _, name = options.peer.partition(":")
    if library != "timm":
        raise UserError(f"--peer is timm or timm:NAME; got {options.peer!r}")
    if not name and recipe.model not in timm_peer.TIMM_NAMES:
        raise UserError(f"no model of timm is known for {recipe.model}; use --peer timm:NAME")
    name = name or timm_peer.TIMM_NAMES[recipe.model]
    code = f"import timm, torchvision; timm.create_model({name!r})"
    try:
        subprocess.run([options.peer_python, "-c", code], check=True, capture_output=True, text=True)
    except (OSError, subprocess.CalledProcessError) as error:
        reason = (getattr(error, "stderr", "") or str(error)).strip().splitlines()[-1]
        raise UserError(
            f"--peer timm:{name} needs torch, torchvision and timm in {options.peer_python}: {reason}. "
            "Install the extra `peers` there, or name another interpreter with --peer-python"
        ) from error
    return name


def _dataset(path: pathlib.Path, folder: pathlib.Path) -> pathlib.Path:
    """Return the dataset folder at a path, or pack the captioned pictures there, below ``folder``, once."""
    if (path / "dataset.json").is_file():
        dataset = dataset_folder.load(path)
        missing = {"train", "validation"} - set(dataset.splits)
        if missing:
            raise UserError(f"{path} has no records of {' and '.join(sorted(missing))}")
        return path
    packed = folder / f"dataset-{path.name}"
    if not (packed / "train").is_dir():
        scripts.run("tools/select_tags.py", "--from", path, "-o", packed, "--overwrite")
        scripts.run("tools/write_records.py", packed)
    return packed
