"""Write a dump: a model's probabilities for a split of a dataset, with its labels, or for a folder of images.

Images are decoded, padded and resized as in serving. A dump of a dataset holds the tags that the model and
the dataset share (matched by id, else by name), in the model's order.
"""

import contextlib
import pathlib
import sys

import numpy as np

from Utils.command.backend import prepare_backend
from Utils.command.cli import Parser, UserError, WorkError, command, progress
from Utils.command.text import join_names
from Utils.data import dataset_folder, folds
from Utils.evaluation import predictions
from Utils.files import csv_tables
from Utils.files.atomic import provenance, read_json, require_absent, to_path
from Utils.images import image_folder, image_reader
from Utils.tags import tag_list

PADDING = {"white": 255, "black": 0}
READERS = 2  # threads that decode while the model works


def parser():
    """Return the argument parser."""
    made = Parser(prog="predict.py", description=__doc__)
    made.add_argument("model", metavar="RUN|FILE.keras|RELEASE", type=to_path)
    what = made.add_mutually_exclusive_group(required=True)
    what.add_argument("--dataset", type=to_path, help="dataset folder, with --split")
    what.add_argument(
        "--images", type=pathlib.Path, help="folder of images of any kind; there are no labels then"
    )
    made.add_argument("--split", help="split of the dataset (validation; train with --fold)")
    made.add_argument(
        "--fold", metavar="I/K", help="of the training split only fold I of K, which train.py --fold left out"
    )
    made.add_argument(
        "-o", "--output", required=True, type=pathlib.Path, metavar="DUMP", help="dump folder to write"
    )
    made.add_argument("--dtype", choices=predictions.DTYPES, default="float32", help="how to store (float32)")
    made.add_argument(
        "--padding", choices=PADDING, default="white", help="around images that are not square (white)"
    )
    made.add_argument("--which", choices=("best", "last"), default="best", help="model of a run (best)")
    made.add_argument("--tags", type=pathlib.Path, help="tag list of a model that has none beside it")
    made.add_argument("--batch-size", type=int, default=32, help="images at a time (32)")
    made.add_argument("--overwrite", action="store_true", help="replace an existing dump")
    return made


@command
def main(argv=None):
    """Run the command."""
    options = parser().parse_args(argv)
    if options.batch_size < 1:
        raise UserError(f"--batch-size must be 1 or more; got {options.batch_size}")
    if options.split is not None and options.images is not None:
        raise UserError("--split belongs to --dataset; a folder of images has no splits")
    if options.fold is not None and (options.images is not None or options.split not in (None, "train")):
        raise UserError(
            "--fold belongs to --dataset and its training split, from which train.py leaves it out"
        )
    require_absent(options.output, options.overwrite)
    source = _split(options) if options.dataset is not None else _folder(options.images)
    model, tags, info = _load(options)
    with _expected_failures():
        return source(model, tags, info, options)


def _split(options):
    """Check what can be checked before tensorflow is imported; return the function that predicts."""
    dataset, fold = dataset_folder.load(options.dataset), folds.parse(options.fold)
    split = options.split or ("train" if fold else "validation")
    dataset.shards(split)
    return lambda *given: _predict_split(dataset, split, fold, *given)


def _folder(folder):
    paths = image_folder.image_paths(folder)
    return lambda *given: _predict_folder(folder, paths, *given)


def _load(options):
    """Load the model, ready for `predict_on_batch`; return it with its tag list and what dump.json says."""
    prepare_backend()
    import Models
    from Utils.training import devices

    compiled = devices.find().jit_compile
    tagger = Models.load(options.model, which=options.which)
    tags = tagger.tags if options.tags is None else tag_list.read(options.tags)
    labels = tagger.model.output_shape[-1]
    if tags is None:
        raise UserError(f"{options.model} has no selected_tags.csv beside it; give its list with --tags")
    if len(tags) != labels:
        raise UserError(f"{options.tags} has {len(tags)} tags, but the model gives {labels} probabilities")
    tagger.model.compile(jit_compile=compiled)
    named, recipe = _run(options.model)
    if options.fold and recipe.get("fold") != options.fold:
        print(f"warning: nothing says that {options.model} was trained without fold {options.fold}; it may "
              "have seen these images", file=sys.stderr)  # fmt: skip
    info = {
        **named,
        "params": tagger.model.count_params(),
        "image_size": tagger.image_size,
        "padding": options.padding,
        "dtype": options.dtype,
        "which": options.which,
        **provenance(),
    }
    return tagger.model, tags, info


def _run(path):
    """Name the run, by its folder or a file that is not one of a run's, and its variant; and its recipe."""
    folder = path if path.is_dir() else path.parent
    recipe = read_json(folder / "recipe.json") if (folder / "recipe.json").is_file() else {}
    name = path.resolve().name if path.is_dir() else path.stem
    if path.is_file() and recipe and path.stem in ("best", "model"):
        name = folder.resolve().name
    return {"run_name": name, "definition_name": recipe.get("model") or None}, recipe


@contextlib.contextmanager
def _expected_failures():
    """Turn what tensorflow says of broken records into one paragraph."""
    import tensorflow as tf

    try:
        yield
    except tf.errors.OpError as error:
        first = str(error.message or error).splitlines()[0]  # a traceback of the reader follows
        raise WorkError(f"prediction failed: {first}") from error


def _predict_split(dataset, split, fold, model, tags, info, options):
    from Generators import eval_dataset, shard_stats

    columns, rows = _common(tags, dataset)
    count = dataset.num_records(split)
    if fold:
        count = int(fold.contains(shard_stats.post_ids(dataset, split)).sum())
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
        padding=PADDING[options.padding],
    )
    info |= {"dataset": dataset.name, "split": split, **({"fold": str(fold)} if fold else {})}
    with predictions.writing(
        options.output, tags.iloc[columns], dtype=options.dtype, info=info, overwrite=options.overwrite
    ) as writer:
        for batch, labels, weights, ids in progress(
            batches, total=len(batches), label="predict", unit="batches"
        ):
            real = weights.numpy() > 0  # the last batch is filled up
            found = _probabilities(model, batch.numpy(), ids.numpy())[real]
            writer.add(found[:, columns], ids.numpy()[real], labels.numpy()[real][:, rows])
    return 0


def _common(tags, dataset):
    """Return the model's columns and the dataset's rows of the tags that both have."""
    found = tag_list.matches(tags, dataset.tags)
    columns = np.flatnonzero(found >= 0)
    if not len(columns):
        raise UserError(
            f"the model and {dataset.folder} have no tag in common: the model's {len(tags)} start with "
            f"{join_names(tags['name'])}, the dataset's {dataset.num_labels} with "
            f"{join_names(dataset.tags['name'])}"
        )
    left = tags.iloc[np.flatnonzero(found < 0)]
    if len(left):
        print(
            f"{len(left)} of the model's {len(tags)} tags are not in the dataset and are left out: "
            f"{join_names(left['name'])}",
            file=sys.stderr,
        )
    extra = dataset.num_labels - len(columns)
    if extra:
        print(f"{extra} of the dataset's {dataset.num_labels} tags are unknown to the model", file=sys.stderr)
    return columns, found[columns]


def _probabilities(model, batch, ids):
    """Return (B, L) float32 of a whole batch."""
    found = np.asarray(model.predict_on_batch(batch))
    broken = np.flatnonzero(~np.isfinite(found).all(axis=1))
    if len(broken):
        raise WorkError(f"the model gives no number for image {ids[broken[0]]}: its weights are broken")
    return found


def _predict_folder(folder, paths, model, tags, info, options):
    rejected, rows = [], []
    with predictions.writing(
        options.output, tags, dtype=options.dtype, labels=False, info=info, overwrite=options.overwrite
    ) as writer:
        found = image_reader.read_batches(
            paths,
            info["image_size"],
            options.batch_size,
            path_of=lambda name: folder / name,
            padding=PADDING[options.padding],
            readers=READERS,
        )
        steps = -(-len(paths) // options.batch_size)
        for names, batch, bad in progress(found, total=steps, label="predict", unit="batches"):
            rejected += [(image_folder.post_id(name), name, reason) for name, reason in bad]
            if not names:
                continue
            ids = [image_folder.post_id(name) for name in names]
            whole = np.zeros((options.batch_size, *batch.shape[1:]), np.uint8)  # one shape: compiled once
            whole[: len(batch)] = batch
            writer.add(_probabilities(model, whole, [*ids, *[0] * options.batch_size])[: len(batch)], ids)
            rows += zip(ids, names, strict=True)
        if not rows:
            raise UserError(
                f"none of the {len(paths)} images in {folder} can be read; the first: {rejected[0][1:]}"
            )
        csv_tables.write_rows(writer.folder / "images.csv", ("post_id", "path"), rows)
        csv_tables.write_rows(writer.folder / "rejected.csv", ("post_id", "path", "reason"), rejected)
    for _, name, reason in rejected:
        print(f"left out: {name}: {reason}", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
