"""Write a dump: a model's probabilities for a split of a dataset, with its labels, or for any images.

Images are decoded, padded and resized as in serving. A dump of a dataset holds the tags that the model and
the dataset share (matched by id, else by name), in the model's order.
"""

import Utils.command.interrupt  # noqa: F401  first: imports take long

import argparse
import contextlib
import functools
import pathlib
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import pandas as pd

from Utils.command import programs
from Utils.command.backend import deferred, prepare_backend
from Utils.command.cli import Parser, UserError, WorkError, command, number, print_json, progress
from Utils.command.text import counted, join_names
from Utils.data import dataset_folder, folds, shard_damage
from Utils.evaluation import predictions
from Utils.files import csv_tables, hub
from Utils.files.atomic import provenance, read_json, to_path
from Utils.files.model_files import RELEASED_MODEL, RUN_MODELS, digest_in_run
from Utils.files.output_folders import require_replaceable_folder
from Utils.images import codec, image_folder, image_limits, image_reader, places
from Utils.recipe.recipe import RECIPE_FILE, read_recipe
from Utils.serving import onnx_tagger, place_predictions
from Utils.tags import tag_list, tag_matching

PADDING = {"white": 255, "black": 0}


def parser() -> Parser:
    """Return the argument parser."""
    arguments = Parser(prog="predict.py", description=__doc__)
    arguments.add_argument("model", metavar="RUN|FILE.keras|RELEASE|TIMM|HUB_ID", type=hub.argument)
    what = arguments.add_mutually_exclusive_group(required=True)
    what.add_argument("--dataset", type=to_path, help="dataset folder, with --split")
    what.add_argument(
        "--images", metavar="PLACE", help="images without labels: a folder; tar, zip or Parquet files"
    )
    arguments.add_argument("--split", help="split of the dataset (validation; train with --fold)")
    arguments.add_argument(
        "--fold", metavar="I/K", help="only fold I of K of the training split, which train.py --fold left out"
    )
    arguments.add_argument(
        "-o", "--output", required=True, type=pathlib.Path, metavar="DUMP", help="dump folder to write"
    )
    arguments.add_argument(
        "--dtype", choices=predictions.DTYPES, default="float32", help="stored dtype (float32)"
    )
    arguments.add_argument(
        "--padding", choices=PADDING,
        help="color around images that are not square (white; of other projects' releases their own)",
    )  # fmt: skip
    arguments.add_argument("--which", choices=("best", "last"), help="model of a run (best)")
    arguments.add_argument("--tags", type=pathlib.Path, help="tag list of a model that has none beside it")
    arguments.add_argument("--batch-size", type=number(least=1), default=32, help="images at a time (32)")
    image_reader.add_max_pixels(arguments)
    arguments.add_argument("--json", action="store_true", help="print one JSON object")
    arguments.add_argument("--overwrite", action="store_true", help="replace an existing dump")
    return arguments


@command
def main(argv: Sequence[str] | None = None) -> int:
    """Run the command."""
    options = parser().parse_args(argv)
    if options.split is not None and options.images is not None:
        raise UserError("--split belongs to --dataset; a folder of images has no splits")
    if options.fold is not None and (options.images is not None or options.split not in (None, "train")):
        raise UserError(
            "--fold belongs to --dataset and its training split, from which train.py leaves it out"
        )
    require_replaceable_folder(options.output, predictions.DUMP, options.overwrite)
    predict = _place(options) if options.images is not None else _split(options)
    run_name = hub.name_of(options.model).replace("/", "_") if hub.is_id(options.model) else ""
    model, tags, info = _load(options)
    info |= {"run_name": run_name} if run_name else {}
    with _expected_failures():
        predict(model, tags, info, options)
    dump = predictions.load(options.output)
    if options.json:
        print_json(_summary(options.output, dump))
    _say(f"{options.output}: {counted(len(dump.probabilities), 'image')}, {counted(len(dump.tags), 'tag')}")
    _say(_next_line(options, dump))
    return 0


def _summary(output: pathlib.Path, dump: predictions.Dump) -> dict[str, Any]:
    """Return what --json prints: the dump's size, what was left out and why, and the model."""
    left_out = dump.folder / "rejected.csv"
    return {
        "dump": str(output),
        "images": len(dump.probabilities),
        "tags": len(dump.tags),
        "has_labels": dump.labels is not None,
        "rejected": csv_tables.read_texts(left_out, "pictures left out") if left_out.is_file() else [],
        **dump.info,
    }


def _next_line(options: argparse.Namespace, dump: predictions.Dump) -> str:
    """Return the command that follows: a report where labels are known, else tags beside the pictures."""
    if dump.labels is None:
        return programs.next_line("tag_images", "--dump", options.output, "--images", options.images)
    dataset, report = options.dataset, f"{options.output}_report"
    return programs.next_line("make_report", options.output, "-o", report, "--dataset", dataset)


def _say(text: str) -> None:
    print(text, file=sys.stderr)


# Takes a model, its tag list, entries for dump.json and the options; writes the dump.
Predict = Callable[[Any, pd.DataFrame, dict[str, Any], argparse.Namespace], None]


def _split(options: argparse.Namespace) -> Predict:
    """Check what can be checked before tensorflow is imported, which takes seconds; return the next step."""
    dataset, fold = dataset_folder.load(options.dataset), folds.parse(options.fold)
    split = options.split or ("train" if fold else "validation")
    dataset.require_shards(split)
    return functools.partial(_predict_split, dataset, split, fold)


def _place(options: argparse.Namespace) -> Predict:
    place = places.open_place(options.images, options.output)
    paths = image_folder.image_paths(place, _say)

    def predict(model: Any, tags: pd.DataFrame, info: dict[str, Any], options: argparse.Namespace) -> None:
        image_limits.allow_pixels(options.max_pixels)
        place_predictions.write(
            options.output,
            place,
            paths,
            model,
            tags,
            info,
            batch_size=options.batch_size,
            padding=PADDING[info["padding"]],
            dtype=options.dtype,
            overwrite=options.overwrite,
        )

    return predict


def _load(options: argparse.Namespace) -> tuple[Any, pd.DataFrame, dict[str, Any]]:
    """Return the model, ready for `predict_on_batch`, its tag list, and entries for dump.json."""
    source, options.model = options.model, hub.local(options.model)
    released = None if _has_weights(options.model) else onnx_tagger.find(hub.local_tagger(source))
    prepare_backend()
    model, tags, info = _load_keras(options) if released is None else _open_released(options, released)
    if options.fold and info.get("fold") != options.fold:
        _say(f"warning: nothing says that {options.model} was trained without fold {options.fold}; it may "
             "have seen these images")  # fmt: skip
    padding = {"padding": options.padding or "white", "dtype": options.dtype}
    return model, tags, {**{key: info[key] for key in info if key != "fold"}, **padding, **provenance()}


def _has_weights(path: pathlib.Path) -> bool:
    """Whether there is a model for Keras: a .keras file, or a timm folder."""
    files = (*RUN_MODELS.values(), str(RELEASED_MODEL))
    if path.is_file() or any((path / name).is_file() for name in files):
        return path.suffix != ".onnx"
    config = path / "config.json"
    return (
        (path / "model.safetensors").is_file()
        and config.is_file()
        and "architecture" in read_json(config, dict)
    )


class _Released:
    """A release of any project in place of a Keras model."""

    def __init__(self, tagger: onnx_tagger.ServingTagger, padding: int) -> None:
        self.predict_on_batch = tagger.probabilities
        self.prepare = (
            tagger.prepare if padding == codec.WHITE else functools.partial(_padded, tagger, padding)
        )


def _padded(
    tagger: onnx_tagger.ServingTagger, padding: int, data: bytes, damages: list[str] | None = None
) -> np.ndarray:
    return codec.prepare(data, tagger.image_size, padding, damages)


def _open_released(
    options: argparse.Namespace, path: pathlib.Path
) -> tuple[Any, pd.DataFrame, dict[str, Any]]:
    tagger = onnx_tagger.load(path, deferred("Models.load"))
    for sentence in tagger.evidence:
        _say(sentence)
    _require_used(options, tagger)
    tags = tagger.tags if options.tags is None else tag_list.read(options.tags)
    if len(tags) != len(tagger.tags):
        raise UserError(
            f"{options.tags} has {counted(len(tags), 'tag')}, but the model gives {len(tagger.tags)} "
            "probabilities"
        )
    info = {"run_name": tagger.name, "definition_name": None, "image_size": tagger.image_size}
    return _Released(tagger, PADDING[options.padding or "white"]), tags, info


def _require_used(options: argparse.Namespace, tagger: onnx_tagger.ServingTagger) -> None:
    """Refuse options that a release has no use for, and say how pictures of a dataset are prepared for it."""
    if options.which:
        raise UserError(f"--which is for runs, which have two models; {tagger.name} is a release and has one")
    if tagger.preparation is None or tagger.preparation.is_by_area:
        return
    about = f"{tagger.name} gets them as its own program makes them ({tagger.preparation.about})"
    if options.padding:
        raise UserError(
            f"--padding is for models whose pictures this project prepares; {about}: leave it out"
        )
    if options.dataset:
        _say(
            f"pictures of the dataset are padded white and averaged; from --images PLACE {about}, which may "
            "give other scores"
        )


def _load_keras(options: argparse.Namespace) -> tuple[Any, pd.DataFrame, dict[str, Any]]:
    import Models
    from Utils.training import devices

    jit_compile = devices.find().jit_compile
    tagger = Models.load(options.model, which=options.which or "best")
    for sentence in tagger.evidence:
        _say(sentence)
    tags = tagger.tags if options.tags is None else tag_list.read(options.tags)
    outputs = tagger.model.output_shape[-1]
    if tags is None:
        raise UserError(f"{options.model} has no selected_tags.csv beside it; give its list with --tags")
    if len(tags) != outputs:
        raise UserError(
            f"{options.tags} has {counted(len(tags), 'tag')}, but the model gives {outputs} probabilities"
        )
    tagger.model.compile(jit_compile=jit_compile)
    names, recipe = _run(options.model)
    model_digest = digest_in_run(tagger.file)
    info = {
        **names,
        **({predictions.MODEL_DIGEST: model_digest} if model_digest else {}),
        "params": tagger.model.count_params(),
        "image_size": tagger.image_size,
        "which": options.which or "best",
        "fold": recipe.get("fold"),
    }
    return tagger.model, tags, info


def _run(path: pathlib.Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the names of the run and of its model for dump.json, and its recipe.

    A run is named by its folder; a file that a run did not write, by its own name.
    """
    folder = path if path.is_dir() else path.parent
    recipe = read_recipe(folder / RECIPE_FILE)[1] if (folder / RECIPE_FILE).is_file() else {}
    name = path.resolve().name if path.is_dir() else path.stem
    if path.is_file() and recipe and path.stem in ("best", "model"):
        name = folder.resolve().name
    return {"run_name": name, "definition_name": recipe.get("model") or None}, recipe


@contextlib.contextmanager
def _expected_failures() -> Iterator[None]:
    """Turn tensorflow's errors into one paragraph."""
    import tensorflow as tf

    try:
        yield
    except tf.errors.OpError as error:
        first = str(error.message or error).splitlines()[0]  # a traceback of the reader follows
        raise WorkError(f"prediction failed: {first}") from error


def _predict_split(
    dataset: dataset_folder.Dataset,
    split: str,
    fold: folds.Fold | None,
    model: Any,
    tags: pd.DataFrame,
    info: dict[str, Any],
    options: argparse.Namespace,
) -> None:
    from Generators import eval_dataset, shard_stats

    model_columns, dataset_columns = _common_columns(tags, dataset)
    count = dataset.num_records(split)
    expected = shard_stats.post_ids(dataset, split) if fold or dataset.has_post_ids(split) else None
    if fold and expected is not None:
        expected = expected[fold.contains(expected)]
        count = len(expected)
        if not count:
            raise UserError(f"fold {fold} of the training split of {dataset.folder} holds no record")
    batches = eval_dataset(
        dataset.shards(split),
        num_labels=dataset.num_labels,
        image_size=info["image_size"],
        batch_size=options.batch_size,
        with_ids=True,
        pad_batches=True,
        num_records=count,
        keep=fold and fold.contains,
        padding=PADDING[info["padding"]],
    )
    info |= {"dataset": dataset.name, "split": split, **({"fold": str(fold)} if fold else {})}
    seen: list[np.ndarray] = []
    with (
        shard_damage.named(dataset),
        predictions.writing(
            options.output,
            tags.iloc[model_columns],
            dtype=options.dtype,
            info=info,
            overwrite=options.overwrite,
        ) as writer,
    ):
        for images, labels, weights, ids in progress(
            batches, total=len(batches), label="predict", unit="batches"
        ):
            is_real = weights.numpy() > 0  # the last batch is filled up: one shape is compiled once
            probabilities = place_predictions.probabilities(model, images.numpy(), ids.numpy())[is_real]
            true = labels.numpy()[is_real]
            seen.append(ids.numpy()[is_real])
            writer.add(probabilities[:, model_columns], seen[-1], true[:, dataset_columns])
        if expected is not None and not np.array_equal(
            np.sort(np.concatenate([*seen, np.zeros(0, np.int64)])), np.sort(expected)
        ):
            raise UserError(
                f"the records of {split} in {dataset.folder} are of other posts than its ids.npy names: a "
                "shard was exchanged; restore it, or write the records again"
            )


def _common_columns(tags: pd.DataFrame, dataset: dataset_folder.Dataset) -> tuple[np.ndarray, np.ndarray]:
    """Return the columns, in the model and in the dataset, of the tags that both have."""
    matches = tag_matching.matching_rows(tags, dataset.tags)
    columns = np.flatnonzero(matches >= 0)
    if not len(columns):
        raise UserError(
            f"the model and {dataset.folder} have no tag in common: the model's {len(tags)} start with "
            f"{join_names(tags['name'])}, the dataset's {dataset.num_labels} with "
            f"{join_names(dataset.tags['name'])}"
        )
    unmatched = tags.iloc[np.flatnonzero(matches < 0)]
    if len(unmatched):
        print(
            f"{len(unmatched)} of the model's {len(tags)} tags are not in the dataset and are left out: "
            f"{join_names(unmatched['name'])}",
            file=sys.stderr,
        )
    unknown = dataset.num_labels - len(columns)
    if unknown:
        print(
            f"{unknown} of the dataset's {dataset.num_labels} tags are unknown to the model", file=sys.stderr
        )
    return columns, matches[columns]


if __name__ == "__main__":
    sys.exit(main())
